"""Analysis by epoch: against the analysers of the network of each epoch."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor
from sksparse_mlp.analysis import LayerClassifier, NodeActivity
from sksparse_mlp.analysis._layer_classifier import SYSTEMS
from sksparse_mlp.analysis._measures import MEASURES
from sksparse_mlp.callbacks import AnalysisRecorder

pytest.importorskip("sklearn.callback")

EPOCHS = 4
SUFFIX = {"discrete": "", "continuous": "_continuous", "combined": "_combined"}


@pytest.fixture
def some(multiclass):
    """Fewer samples than the networks learn from."""
    X, y = multiclass
    return X[::2], y[::2]


def test_each_record_is_what_the_analysers_say_of_its_epoch(
    mlp, multiclass, some, recorder
):
    watch, record = recorder(), AnalysisRecorder(*some, measures=tuple(MEASURES))
    model = mlp(activation="relu", max_iter=EPOCHS).set_callbacks(watch, record)
    model.fit(*multiclass)
    assert [each["epoch"] for each in record.results_] == list(range(EPOCHS))
    before = None
    for network, found in zip(watch.epochs, record.results_, strict=True):
        activity = NodeActivity(network).fit(*some)
        dead = activity.dead_nodes_
        assert found["dead_nodes"] == [layer.sum() for layer in dead]
        recovered = [np.sum(b & ~n) for b, n in zip(before or dead, dead, strict=True)]
        assert found["recovered_nodes"] == recovered
        np.testing.assert_allclose(found["sparsity"], activity.sparsity_, rtol=1e-12)
        for system in SYSTEMS:
            for k in (1, 2):
                layer = LayerClassifier(network, layer=k, system=system).fit(*some)
                own = found[f"layer_accuracy{SUFFIX[system]}"][k - 1]
                assert own == pytest.approx(layer.score(*some), abs=1e-12)
                same = found[f"layer_agreement{SUFFIX[system]}"][k - 1]
                assert same == pytest.approx(layer.agreement(some[0]), abs=1e-12)
        before = dead


def test_nodes_recover(mlp, multiclass):
    """A bias that kills a node of the first layer is undone by hand."""
    record = AnalysisRecorder(*multiclass)
    model = mlp(activation="relu").fit(*multiclass)
    model.intercepts_[0][:3] = -1e6
    record.record(model)
    model.intercepts_[0][:2] = 1e6
    record.record(model)
    first, second = record.results_
    assert first["recovered_nodes"] == [0, 0]
    assert second["recovered_nodes"][0] == 2
    assert first["dead_nodes"][0] - second["dead_nodes"][0] == 2


def test_recording_changes_nothing_in_what_is_trained(mlp, multiclass, some, same_network):
    plain = mlp().fit(*multiclass)
    assert same_network(
        mlp().set_callbacks(AnalysisRecorder(*some)).fit(*multiclass), plain
    )


@pytest.mark.parametrize("every", [1, 2, 3, 100])
def test_every_so_many_epochs(mlp, multiclass, every):
    record = AnalysisRecorder(*multiclass, every=every)
    mlp(max_iter=EPOCHS).set_callbacks(record).fit(*multiclass)
    epochs = [each["epoch"] for each in record.results_]
    assert epochs == list(range(every - 1, EPOCHS, every))


def test_each_fit_begins_anew_and_warm_starts_count_on(mlp, multiclass):
    record = AnalysisRecorder(*multiclass)
    model = mlp(max_iter=2, warm_start=True).set_callbacks(record).fit(*multiclass)
    before = record.results_
    model.fit(*multiclass)
    assert [each["epoch"] for each in before] == [0, 1]
    assert [each["epoch"] for each in record.results_] == [2, 3]


def test_fits_of_a_search_leave_the_last(mlp, multiclass):
    record = AnalysisRecorder(*multiclass)
    search = GridSearchCV(mlp().set_callbacks(record), {"max_iter": [2, 3]}, cv=2)
    search.fit(*multiclass)
    assert len(record.results_) == search.best_params_["max_iter"]
    assert record._fits == {}


def test_partial_fit_is_recorded_by_hand(mlp, multiclass):
    X, y = multiclass
    record, model = AnalysisRecorder(X, y), mlp()
    for _ in range(3):
        record.record(model.partial_fit(X, y, classes=np.unique(y)))
    assert [each["epoch"] for each in record.results_] == [0, 1, 2]
    dead = NodeActivity(model).fit(X, y).dead_nodes_
    assert record.results_[-1]["dead_nodes"] == [layer.sum() for layer in dead]


def test_pickles_and_clones(mlp, multiclass):
    record = AnalysisRecorder(*multiclass, measures=["sparsity"])
    model = mlp(max_iter=2).set_callbacks(record).fit(*multiclass)
    copy = pickle.loads(pickle.dumps(record))
    assert copy.results_ == record.results_
    assert copy.measures == record.measures
    for other in (pickle.loads(pickle.dumps(model)), clone(model)):
        [callback] = other._skl_callbacks
        other.fit(*multiclass)
        assert callback.results_ == copy.results_


def test_a_table_has_a_row_per_epoch_and_layer(mlp, multiclass):
    pytest.importorskip("pandas")
    record = AnalysisRecorder(*multiclass)
    assert record.to_pandas().empty
    mlp(max_iter=2).set_callbacks(record).fit(*multiclass)
    table = record.to_pandas()
    assert table.index.tolist() == [(0, 1), (0, 2), (1, 1), (1, 2)]
    for each in record.results_:
        for name in table.columns:
            assert table.loc[each["epoch"], name].tolist() == each[name]


def test_a_fit_that_diverges_has_no_record_of_it(mlp, multiclass):
    record = AnalysisRecorder(*multiclass)
    model = mlp(solver="sgd", learning_rate_init=1e30).set_callbacks(record)
    with pytest.warns(UserWarning, match="no longer finite"):
        model.fit(*multiclass)
    assert [each["epoch"] for each in record.results_] == list(range(model.n_iter_))


def test_regressors_and_frames(mlp, multiclass):
    pd = pytest.importorskip("pandas")
    X, _ = multiclass
    frame = pd.DataFrame(X, columns=[f"f{k}" for k in range(X.shape[1])])
    record = AnalysisRecorder(frame, None, measures=["dead_nodes", "sparsity"])
    mlp(SparseMLPRegressor).set_callbacks(record).fit(frame, X[:, 0])
    assert record.results_


# --- what cannot be done is said before any work ---------------------------------------


@pytest.mark.parametrize(
    "measures",
    [
        "dead_nodes",
        [],
        ["sparsity", "sparsity"],
        ["combined"],
        [3],
        3,
        None,
        [["sparsity"]],
    ],
)
def test_measures_are_names_that_exist(multiclass, measures):
    with pytest.raises(ValueError, match=r"measures=.*'layer_accuracy'"):
        AnalysisRecorder(*multiclass, measures=measures)


def test_measures_may_be_any_strings_that_are_names(mlp, multiclass):
    record = AnalysisRecorder(*multiclass, measures=np.array(["sparsity"]))
    mlp(max_iter=1).set_callbacks(record).fit(*multiclass)
    assert [type(name) for name in record.results_[0]] == [str, str]


@pytest.mark.parametrize("every", [0, -1, 1.5, "1", True, None])
def test_every_is_a_number_of_epochs(multiclass, every):
    with pytest.raises(ValueError, match=r"every=.*positive number of epochs"):
        AnalysisRecorder(*multiclass, every=every)


def unsuitable(X, y):
    few = np.isin(y, np.unique(y)[:2])
    accuracy = {"measures": ["layer_accuracy"]}
    combined = {"measures": ["layer_accuracy_combined"]}
    return {
        "columns": (X[:, :-1], y, {}, {}, "features"),
        "length": (X, y[:-1], {}, {}, "inconsistent numbers of samples"),
        "unknown class": (X, np.where(y == y[0], 99, y), {}, {}, "labels .*99"),
        "missing class": (X[few], y[few], {}, {}, "no samples of the classes"),
        "not finite": (np.where(X > 0, np.nan, X), y, {}, {}, "NaN"),
        "no zero side": (X, y, combined, {"activation": "all_relu"}, "system='combined'"),
        "regressor": (X, y, accuracy, None, "one label per sample"),
    }


@pytest.mark.parametrize(
    "case", ["columns", "length", "unknown class", "missing class", "not finite",
             "no zero side", "regressor"],
)  # fmt: skip
def test_samples_and_measures_that_do_not_suit(mlp, multiclass, recorder, case):
    X, y, options, params, message = unsuitable(*multiclass)[case]
    # Whose arguments are meant: those of fit are called X and y too.
    message = rf"AnalysisRecorder\((measures=.*|X, y)\): .*{message}"
    watch, record = recorder(), AnalysisRecorder(X, y, **options)
    cls = SparseMLPRegressor if params is None else SparseMLPClassifier
    model = mlp(cls, **params or {}).set_callbacks(watch, record)
    with pytest.raises(ValueError, match=message):
        model.fit(*multiclass)
    assert watch.epochs == []
    assert not hasattr(model, "coefs_")
    assert record.results_ == []
    assert record._fits == {}


def test_other_estimators_are_refused(multiclass):
    record = AnalysisRecorder(*multiclass)
    with pytest.raises(TypeError, match="SparseMLPRegressor, got LogisticRegression"):
        record.record(LogisticRegression().fit(*multiclass))
    with pytest.raises(TypeError, match="networks of this package and not of Logistic"):
        record.setup(LogisticRegression(), None)
