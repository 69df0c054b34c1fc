"""Tables as they come: what the pipeline makes of their columns, and what it refuses."""

import datetime
import decimal
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score

from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPClassifierCV,
    SparseMLPRegressor,
    SparseMLPRegressorCV,
    make_tabular_pipeline,
)
from sksparse_mlp.estimators._tables import TableColumns

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

N = 60
LIBRARIES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}
by_library = pytest.mark.parametrize("make", LIBRARIES.values(), ids=LIBRARIES)
by_numeric = pytest.mark.parametrize("numeric", ["scale", "spline"])


def columns():
    rng = np.random.default_rng(0)
    ages = rng.normal(40, 10, N).tolist()
    ages[3] = ages[17] = None
    towns = rng.choice(["Ghent", "Lund", "Bath"], N).tolist()
    towns[5] = towns[8] = None
    towns[9] = "Rare"
    return {
        "age": ages,
        "town": towns,
        "count": rng.integers(9, size=N).tolist(),
        "flag": (rng.random(N) > 0.5).tolist(),
    }


def labels():
    return np.where(np.arange(N) % 2, "yes", "no")


def network(**parameters):
    return SparseMLPClassifier(
        (20, 10), **{"epsilon": 5, "max_iter": 3, "random_state": 0} | parameters
    )


def pipeline(numeric="scale"):
    return make_tabular_pipeline(network(), numeric=numeric)


def encoded(table, numeric="scale"):
    """What the network gets, as one dense array, with its names."""
    model = pipeline(numeric).fit(table, labels())
    values = model[:-1].transform(table)
    assert values.dtype == np.float32
    dense = values.toarray() if sparse.issparse(values) else values
    return dense, model[:-1].get_feature_names_out().tolist()


def column_of(encoding, name):
    values, names = encoding
    return values[:, names.index(name)]


# --- what becomes of columns ----------------------------------------------------------


@by_library
@by_numeric
def test_numbers_and_categories_become_columns_with_names(make, numeric):
    values, names = encoded(make(columns()), numeric)
    assert values.shape == (N, len(names))
    own = [name for name in names if not name.startswith("spline__")]
    assert own == [
        *("number__age", "number__count", "number__flag"),
        "missing__missingindicator_age",
        *("category__town_Bath", "category__town_Ghent", "category__town_Lund"),
        *("category__town_None", "category__town_infrequent_sklearn"),
    ]
    assert len(names) - len(own) == (3 * 16 if numeric == "spline" else 0)


@by_library
def test_missing_entries_are_a_category_and_a_column(make):
    table = columns()
    encoding = encoded(make(table))
    for name, column in [("town", "category__town_None"), ("age", "missing__mis")]:
        (found,) = (k for k in encoding[1] if k.startswith(column))
        wanted = [float(entry is None) for entry in table[name]]
        assert column_of(encoding, found).tolist() == wanted
    ages = column_of(encoding, "number__age")
    assert ages[3] == ages[17]
    assert np.isfinite(encoding[0]).all()


def test_scaled_columns_have_mean_zero_and_deviation_one():
    values = column_of(encoded(pd.DataFrame(columns())), "number__count")
    assert values.mean() == pytest.approx(0, abs=1e-6)
    assert values.std() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("outlier", [1e4, -1e9, 1e300])
def test_an_outlier_cannot_ruin_a_column(outlier):
    plain = pd.DataFrame({"x": np.random.default_rng(0).normal(size=N)})
    spoiled = plain.copy()
    spoiled.loc[7, "x"] = outlier
    ours, before = (column_of(encoded(table), "number__x") for table in (spoiled, plain))
    others = np.arange(N) != 7
    # Without care the others would share a thousandth of a deviation.
    assert ours[others].std() > 0.2
    assert abs(ours).max() < 10
    assert np.corrcoef(ours[others], before[others])[0, 1] > 0.99


def test_an_outlier_among_later_samples_is_moved_near():
    table = pd.DataFrame(columns())
    model = pipeline().fit(table, labels())
    later = table.assign(count=1e12)
    assert abs(model[:-1].transform(later)).max() < 50


def test_piecewise_linear_codes_sum_to_one_and_are_sparse():
    numbers = np.random.default_rng(0).normal(size=(N, 6))
    table = pd.DataFrame(numbers).rename(columns=lambda k: f"x{k}")
    model = pipeline("spline").fit(table, labels())
    values = model[:-1].transform(table)
    assert sparse.issparse(values)
    names = model[:-1].get_feature_names_out()
    for k in range(6):
        codes = values.toarray()[:, [n.startswith(f"spline__x{k}_") for n in names]]
        np.testing.assert_allclose(codes.sum(axis=1), 1, rtol=1e-6)
        assert (np.count_nonzero(codes, axis=1) <= 2).all()


@by_numeric
@pytest.mark.parametrize("value", [0.0, 3.0, -1e300])
def test_constant_columns_are_no_trouble(value, numeric):
    values, _ = encoded(pd.DataFrame({"x": [value] * N, "y": np.arange(N) * 1.0}), numeric)
    assert np.isfinite(values).all()


def test_whole_numbers_are_the_same_category_in_any_type():
    rng = np.random.default_rng(0)
    codes = pd.Series(rng.integers(3, size=N))
    ways = [codes.astype("category"), codes.astype(float).astype("category")]
    ways.append(codes.astype(str))
    first, *others = (encoded(pd.DataFrame({"code": way, "x": codes})) for way in ways)
    for other in others:
        assert other[1] == first[1]
        np.testing.assert_array_equal(other[0], first[0])


NUMBERS = {
    "integers": lambda c: c.astype("int64"),
    "nullable integers": lambda c: c.astype("Int64"),
    "nullable floats": lambda c: c.astype("Float32"),
    "objects": lambda c: c.astype(object),
    "decimals": lambda c: c.map(decimal.Decimal),
    "small": lambda c: c.astype("uint8"),
    "sparse": lambda c: c.astype(pd.SparseDtype("float64", 0.0)),
}


@pytest.mark.parametrize("kind", NUMBERS.values(), ids=NUMBERS)
def test_numbers_of_any_type_are_the_same(kind):
    column = pd.Series(np.random.default_rng(0).integers(9, size=N))
    ours, plain = (
        encoded(pd.DataFrame({"x": way})) for way in (kind(column), column.astype(float))
    )
    assert ours[1] == plain[1]
    np.testing.assert_allclose(ours[0], plain[0], rtol=1e-6)


TEXTS = {
    "object": lambda c: c.astype(object),
    "string": lambda c: c.astype("string"),
    "str": lambda c: c.astype(str),
    "category": lambda c: c.astype("category"),
}


@pytest.mark.parametrize("kind", TEXTS.values(), ids=TEXTS)
def test_texts_of_any_type_are_the_same(kind):
    towns = pd.Series(np.random.default_rng(0).choice(["a", "b", "c"], N), dtype=object)
    ours, plain = (
        encoded(pd.DataFrame({"x": kind(towns)})),
        encoded(pd.DataFrame({"x": towns})),
    )
    assert ours[1] == plain[1]
    np.testing.assert_array_equal(ours[0], plain[0])


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_both_libraries_give_the_same(data):
    numbers = st.none() | st.floats(-1e6, 1e6)
    texts = st.none() | st.sampled_from(["a", "b", "c", ""])
    table = {
        "x": data.draw(st.lists(numbers, min_size=N, max_size=N)),
        "t": data.draw(st.lists(texts, min_size=N, max_size=N)),
        "n": list(range(N)),
    }
    schema = {"x": pl.Float64, "t": pl.String, "n": pl.Int64}
    ours = encoded(pd.DataFrame(table)), encoded(pl.DataFrame(table, schema=schema))
    assert ours[0][1] == ours[1][1]
    np.testing.assert_array_equal(ours[0][0], ours[1][0])


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.String, pl.Enum(["a", "b"])])
def test_categories_of_polars(dtype):
    table = pl.DataFrame({"x": ["a", "b", None] * 20}, schema={"x": dtype})
    assert encoded(table)[1] == [f"category__x_{k}" for k in ("a", "b", "None")]


@by_library
def test_columns_that_are_all_missing_are_left_out(make):
    plain, table = columns(), columns() | {"empty": [None] * N}
    model = pipeline().fit(make(table), labels())
    ours, other = encoded(make(table)), encoded(make(plain))
    assert ours[1] == other[1]
    np.testing.assert_array_equal(ours[0], other[0])
    # Later they may hold anything of which there is a number or a text.
    model.predict(make(table | {"empty": [1.0] * N}))


def test_arrays_are_columns_of_numbers():
    X, y = load_iris(return_X_y=True)
    X[3, 1] = np.nan
    model = pipeline().fit(X, y)
    assert model.predict(X).shape == (150,)
    named = [f"number__x{k}" for k in range(4)]
    names = model[:-1].get_feature_names_out().tolist()
    assert names[:4] == named
    assert len(names) == 5


def test_input_is_never_changed():
    table = pd.DataFrame(columns())
    before = table.copy(deep=True)
    pipeline().fit(table, labels()).predict(table)
    pd.testing.assert_frame_equal(table, before)


# --- later samples --------------------------------------------------------------------


@by_library
@by_numeric
def test_predictions_of_classes(make, numeric):
    table = make(columns())
    model = pipeline(numeric).fit(table, labels())
    assert set(model.predict(table)) <= {"yes", "no"}
    assert model.predict_proba(table).shape == (N, 2)
    assert model.n_features_in_ == 4
    assert model.feature_names_in_.tolist() == list(columns())


@by_library
def test_new_categories_are_as_rare_ones(make):
    table = columns()
    model = pipeline().fit(make(table), labels())
    new, rare = (make(table | {"town": [town] * N}) for town in ("Elsewhere", "Rare"))
    np.testing.assert_array_equal(model.predict_proba(new), model.predict_proba(rare))


@by_library
def test_texts_that_are_all_different_are_warned_of(make):
    names = [f"name {k}" for k in range(40)]
    table = make({"name": names, "town": ["Ghent", None] * 20})
    with pytest.warns(UserWarning, match="40 texts of column 'name' are all different"):
        make_tabular_pipeline(network()).fit(table, [0, 1] * 20)


@by_library
def test_few_or_repeated_texts_are_not_warned_of(make):
    few = make({"name": [f"name {k}" for k in range(19)] + [None] * 21})
    twice = make({"name": [f"name {k // 2}" for k in range(40)]})
    for table in (few, twice):
        make_tabular_pipeline(network()).fit(table, [0, 1] * 20)


@by_library
def test_order_of_columns_means_nothing(make):
    table = columns()
    model = pipeline().fit(make(table), labels())
    other = make(dict(reversed(table.items())))
    np.testing.assert_array_equal(
        model.predict_proba(make(table)), model.predict_proba(other)
    )


@by_library
def test_entries_may_be_missing_where_none_were(make):
    table = columns()
    model = pipeline().fit(make(table), labels())
    later = table | {"count": [None, *table["count"][1:]]}
    assert np.isfinite(model.predict_proba(make(later))).all()


def test_whole_numbers_may_come_as_floats_and_as_text():
    table = pd.DataFrame(columns())
    model = pipeline().fit(table, labels())
    wanted = model.predict_proba(table)
    for dtype in ("float64", "Int64", "string"):
        later = table.assign(count=table["count"].astype(dtype))
        np.testing.assert_array_equal(model.predict_proba(later), wanted)


# --- refusals -------------------------------------------------------------------------

DAY = datetime.date(2020, 1, 1)
BAD_COLUMNS = {
    "datetime": ([datetime.datetime(2020, 1, 1)] * N, "'when' hold dates or times; turn"),
    "date": ([DAY] * N, "'when' hold dates or times; turn them into numbers"),
    "duration": ([datetime.timedelta(1)] * N, "'when' hold dates or times"),
    "list": ([[1, 2]] * N, "'when' hold lists or other objects; give each"),
    "dict": ([{"a": 1}] * N, "'when' hold lists or other objects"),
    "infinite": ([1.0] * (N - 1) + [np.inf], f"'when' are infinite in 1 rows, .* {N - 1};"),
    "nearly": (
        [1.7e308, -1.7e308] * (N // 2),
        r"'when' are beyond 4e\+307 in 60 rows, .* 0;",
    ),
}


@by_library
@pytest.mark.parametrize(("entries", "message"), BAD_COLUMNS.values(), ids=BAD_COLUMNS)
def test_columns_that_no_network_can_read_are_named(make, entries, message):
    with pytest.raises(ValueError, match=f"The entries of column {message}"):
        pipeline().fit(make(columns() | {"when": entries}), labels())


BAD_PANDAS = {
    "zones": pd.date_range("2020", periods=N, tz="UTC"),
    "period": pd.period_range("2020", periods=N, freq="D"),
    "interval": pd.interval_range(0, N),
    "complex": np.full(N, 1j),
    "complex objects": pd.Series([1j, 2.0] * (N // 2), dtype=object),
    "huge integers": pd.Series([10**400] * N, dtype=object),
    "array": [np.arange(3)] * N,
}


@pytest.mark.parametrize("entries", BAD_PANDAS.values(), ids=BAD_PANDAS)
def test_columns_of_pandas_alone_are_named(entries):
    table = pd.DataFrame(columns()).assign(when=pd.Series(entries))
    with pytest.raises(
        ValueError, match=r"The entries of column .when. .* or fit without it"
    ):
        pipeline().fit(table, labels())


def test_two_columns_of_one_name_are_refused():
    table = pd.DataFrame(columns()).set_axis(["a", "b", "a", "c"], axis=1)
    with pytest.raises(ValueError, match="more than one column 'a'; rename or remove"):
        pipeline().fit(table, labels())


CHANGES = {
    "fewer": (lambda t: {k: t[k] for k in t if k != "age"}, r"lacks the columns \['age'\]"),
    "more": (lambda t: t | {"new": t["age"]}, r"has the columns \['new'\], which were not"),
    "renamed": (
        lambda t: {("AGE" if k == "age" else k): t[k] for k in t},
        r"lacks the columns \['age'\] and has the columns \['AGE'\]",
    ),
    "text": (lambda t: t | {"age": ["old"] * N}, "column 'age' were numbers in fit and"),
    "dates for numbers": (lambda t: t | {"age": [DAY] * N}, "column 'age' hold dates"),
    "dates for texts": (lambda t: t | {"town": [DAY] * N}, "column 'town' hold dates"),
    "lists for numbers": (lambda t: t | {"age": [[1]] * N}, "column 'age' hold lists"),
    "lists for texts": (lambda t: t | {"town": [[1]] * N}, "column 'town' hold lists"),
    "infinite": (lambda t: t | {"age": [np.inf] * N}, "column 'age' are infinite in 60 ro"),
}


@by_library
@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_other_columns_than_in_fit_are_named(make, change, message):
    model = pipeline().fit(make(columns()), labels())
    with pytest.raises(ValueError, match=message):
        model.predict(make(change(columns())))


def test_arrays_and_tables_are_not_exchanged():
    table = pd.DataFrame({"a": np.arange(N) * 1.0})
    with pytest.raises(ValueError, match="X is an array without names"):
        pipeline().fit(table, labels()).predict(table.to_numpy())
    with pytest.raises(ValueError, match="X is a table with names"):
        pipeline().fit(table.to_numpy(), labels()).predict(table)


NO_TABLES = {
    "sparse": (sparse.csr_array(np.eye(N)), TypeError, "must be a pandas or polars Data"),
    "lazy": (pl.LazyFrame({"a": [1] * N}), TypeError, "LazyFrame, and must be .*Collect"),
    "objects": (np.full((N, 2), "a", object), ValueError, "make it a DataFrame"),
    "texts": (np.full((N, 2), "a"), ValueError, "make it a DataFrame"),
    "ragged": ([[1.0, 2.0], [3.0]] * 30, ValueError, "X is a list, which .* make it a Da"),
    "mixed": ([["a", 2.0]] * N, ValueError, "X is a list, which .* make it a DataFrame"),
    "complex": (np.full((N, 2), 1j), ValueError, "complex128; give real numbers"),
    "series": (pl.Series([1.0] * N), ValueError, "Expected 2D array"),
    "dict": ({"a": [1] * N}, ValueError, "X is a dict, which .* make it a DataFrame"),
    "no columns": (pd.DataFrame(index=range(N)), ValueError, "60 rows .* and 0 columns"),
    "no rows": (pd.DataFrame({"a": []}), ValueError, r"0 rows \(n_samples\)"),
    "all empty": (pd.DataFrame({"a": [None] * N}), ValueError, "All entries of .*'a'"),
}


@pytest.mark.parametrize(("X", "error", "message"), NO_TABLES.values(), ids=NO_TABLES)
def test_what_is_no_table_is_refused(X, error, message):
    with pytest.raises(error, match=message):
        pipeline().fit(X, labels()[: X.shape[0]] if hasattr(X, "shape") else labels())


@pytest.mark.parametrize("given", [{"numeric": "bins"}, {"estimator": "forest"}])
def test_unknown_choices_are_refused(given):
    with pytest.raises(ValueError, match=f"'{next(iter(given))}' parameter of make_tab"):
        make_tabular_pipeline(**given)


LABELS = {
    "None": ["yes", None, "no"] * (N // 3),
    "NaN": np.array(["yes", np.nan, "no"] * (N // 3), dtype=object),
    "numbers": pd.Series([1, None, 0] * (N // 3), dtype="Int64"),
    "string": pd.Series(["yes", None, "no"] * (N // 3), dtype="string"),
    "category": pd.Series(["yes", None, "no"] * (N // 3), dtype="category"),
    "polars": pl.Series(["yes", None, "no"] * (N // 3)),
}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_missing_labels_are_counted(y):
    match = "y contains NaN: 20 of 60 labels are missing, first in row 1. Leave these samp"
    with pytest.raises(ValueError, match=match):
        pipeline().fit(pd.DataFrame(columns()), y)


GIVEN = {"missing": {"x": [None, *range(N - 1)]}, "text": {"x": ["a", "b"] * (N // 2)}}


@by_library
@pytest.mark.parametrize("column", GIVEN.values(), ids=GIVEN)
def test_networks_say_what_takes_tables(make, column):
    with pytest.raises(ValueError, match="make_tabular_pipeline takes tables with missing"):
        network().fit(make(column), labels())


# --- in the company of scikit-learn ---------------------------------------------------


def test_default_estimators_are_the_cross_fitted_ones():
    chosen = {None: SparseMLPClassifierCV, "classifier": SparseMLPClassifierCV}
    chosen["regressor"] = SparseMLPRegressorCV
    for given_, cls in chosen.items():
        assert type(make_tabular_pipeline(given_)[-1]) is cls
    given_ = RandomForestClassifier()
    assert make_tabular_pipeline(given_)[-1] is given_


def test_numbers_and_categories_are_learned_from():
    table = pd.DataFrame(columns())
    y = table["age"].fillna(40) + 10 * (table["town"] == "Lund")
    member = SparseMLPRegressor((20,), max_iter=60, learning_rate_init=0.01, zeta=0)
    model = make_tabular_pipeline(SparseMLPRegressorCV(member, cv=3, random_state=0))
    assert model.fit(table, y).score(table, y) > 0.8
    model = make_tabular_pipeline(SparseMLPClassifierCV(network(max_iter=40), cv=3))
    lund = table["town"] == "Lund"
    assert model.fit(table, lund).score(table, lund) > 0.95


@by_library
def test_searches_clones_and_pickles(make):
    table = make(columns())
    model = pipeline()
    copy = clone(model)
    assert repr(copy) == repr(model)
    grid = {
        "estimator__epsilon": [2, 5],
        "columns__category__min_frequency": [1, 2],
    }
    search = GridSearchCV(model, grid, cv=3).fit(table, labels())
    wanted = search.predict(table)
    loaded = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(loaded.predict(table), wanted)
    assert cross_val_score(model, table, labels(), cv=3).shape == (3,)


# In one of the splits the rare town is new, of which skrub tells.
@pytest.mark.filterwarnings("ignore:Found unknown categories:UserWarning")
@pytest.mark.parametrize("estimator", ["network", "ensemble"])
def test_skrubs_pipeline_takes_our_estimators(estimator):
    skrub = pytest.importorskip("skrub")
    table = pd.DataFrame(columns())
    ours = network() if estimator == "network" else SparseMLPClassifierCV(network(), cv=2)
    model = skrub.tabular_pipeline(ours).fit(table, labels())
    assert model.predict_proba(table).shape == (N, 2)
    assert cross_val_score(model, table, labels(), cv=3).shape == (3,)


@by_library
@by_numeric
@pytest.mark.parametrize("frames", LIBRARIES)
def test_frames_as_output_of_all_of_scikit_learn_change_nothing(make, numeric, frames):
    table = make(columns())
    wanted = pipeline(numeric).fit(table, labels()).predict_proba(table)
    with config_context(transform_output=frames):
        model = clone(pipeline(numeric)).fit(table, labels())
        np.testing.assert_array_equal(model.predict_proba(table), wanted)


@by_library
@pytest.mark.parametrize("frames", LIBRARIES)
def test_frames_with_names_where_they_are_asked_for(make, frames):
    table = make(columns())
    model = pipeline().set_params(columns__category__sparse_output=False)
    model.set_output(transform=frames).fit(table, labels())
    made = model[:-1].transform(table)
    assert isinstance(made, LIBRARIES[frames])
    assert list(made.columns) == model[:-1].get_feature_names_out().tolist()
    assert {str(dtype).lower() for dtype in made.dtypes} == {"float32"}
    values, _ = encoded(table)
    np.testing.assert_array_equal(made.to_numpy(), values)


def test_masked_entries_are_missing():
    numbers = np.random.default_rng(0).normal(size=(N, 2))
    masked = np.ma.masked_less(numbers, 0)
    np.testing.assert_array_equal(
        encoded(masked)[0], encoded(np.where(numbers < 0, np.nan, numbers))[0]
    )


def test_table_columns_has_no_parameters():
    assert TableColumns().get_params() == {}
