"""Predictions without validation are those of the estimator, as it was, to the last bit."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor
from sksparse_mlp.activations import ACTIVATIONS, LeakyReLU
from sksparse_mlp.core import kernels, workers

METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")
KINDS = {
    "sparse": {},
    "full": {"epsilon": 1e6, "zeta": 0},
    "batch_norm": {"batch_norm": True},
    "srelu": {"activation": "srelu"},
    "skipping": {"hidden_layer_sizes": (40, 40), "activation": "crelu", "zeta": 0}
    | {"epsilon": 1e6},
    "learned_per_neuron": {"activation": ["prelu", "srelu"], "batch_norm": True},
    "pruned": {"pruning": "importance", "max_iter": 12},
    "one_hidden_layer": {"hidden_layer_sizes": 30},
}


def assert_same_predictions(predictor, model, X):
    for method in METHODS:
        actual, expected = (getattr(one, method)(X) for one in (predictor, model))
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected, strict=True)


def predictions(predictor, X):
    return [getattr(predictor, method)(X).copy() for method in METHODS]


def assert_unchanged(predictor, X, before):
    for actual, expected in zip(predictions(predictor, X), before, strict=True):
        np.testing.assert_array_equal(actual, expected)


# --- the same predictions -------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("problem", ["binary", "multiclass"])
@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_those_of_the_estimator(mlp, request, kind, problem, dtype):
    X, y = request.getfixturevalue(problem)
    X = X.astype(dtype)
    model = mlp(**KINDS[kind]).fit(X, y)
    predictor = model.predictor()
    assert predictor.n_features_in_ == 12
    assert np.array_equal(predictor.classes_, model.classes_)
    # From one sample, for which zeros are skipped, to several batches.
    for n_samples in (1, 2, 150, 600):
        assert_same_predictions(predictor, model, np.tile(X, (4, 1))[:n_samples])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_predictions_are_those_of_the_estimator_for_any_activation(
    mlp, multiclass, activation
):
    X, y = multiclass
    model = mlp(activation=activation).fit(X, y)
    for n_samples in (1, 150):
        assert_same_predictions(model.predictor(), model, X[:n_samples])


@pytest.mark.parametrize(
    "labels", [["no", "yes"], ["one", "two", "three"], [-5, 7], [-1.0, 2.0, 10.0]], ids=str
)
def test_labels_of_any_type_are_predicted(mlp, multiclass, labels):
    X, y = multiclass
    model = mlp().fit(X, np.array(labels)[y % len(labels)])
    assert set(model.predictor().predict(X).tolist()) <= set(labels)
    assert_same_predictions(model.predictor(), model, X)


def test_partial_fit_and_compression_give_predictors_too(mlp, multiclass):
    X, y = multiclass
    model = mlp().partial_fit(X, y, classes=[0, 1, 2])
    assert_same_predictions(model.predictor(), model, X)
    small = model.compress()
    assert_same_predictions(small.predictor(), small, X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "convert",
    [
        np.asfortranarray,
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        lambda X: X[::-1][::-1],
        lambda X: X.astype(np.float64),
        lambda X: X.astype(">f8"),
        lambda X: X.tolist(),
        lambda X: np.broadcast_to(X[:1], X.shape),
    ],
    ids=["fortran", "columns", "reversed", "double", "big-endian", "list", "broadcast"],
)
def test_layout_of_the_input_means_nothing(mlp, multiclass, convert, dtype):
    X, y = multiclass
    X = X.astype(np.float32)
    model = mlp().fit(X.astype(dtype), y)
    given = convert(X)
    assert_same_predictions(model.predictor(), model, np.asarray(given, dtype))
    for method in METHODS:
        of_given = getattr(model.predictor(), method)(given)
        expected = getattr(model, method)(np.asarray(given, dtype))
        np.testing.assert_array_equal(of_given, expected, strict=True)


def test_no_kernel_is_compiled_for_other_layouts(mlp, multiclass, monkeypatch):
    X, y = multiclass
    predictor = mlp().fit(X, y).predictor()
    gather_dense = kernels.gather_dense

    def spy(X, *args):
        assert X.flags.c_contiguous
        gather_dense(X, *args)

    monkeypatch.setattr(kernels, "gather_dense", spy)
    predictor.predict(np.asfortranarray(X))


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float16])
def test_other_numbers_are_converted(mlp, multiclass, dtype):
    X, y = multiclass
    X = (X > 0).astype(dtype)
    model = mlp().fit(X, y)
    assert_same_predictions(model.predictor(), model, X)


def test_input_is_left_as_it_is(mlp, multiclass):
    X, y = multiclass
    predictor = mlp(activation="relu").fit(X, y).predictor()
    before = X.copy()
    X.flags.writeable = False
    predictions(predictor, X)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("problem", ["binary", "multiclass"])
def test_no_samples_give_no_predictions(mlp, request, problem):
    X, y = request.getfixturevalue(problem)
    model = mlp().fit(X, y)
    for method in METHODS:
        one, none = (getattr(model.predictor(), method)(X[:n]) for n in (1, 0))
        assert none.shape == (0, *one.shape[1:])
        assert none.dtype == one.dtype


@pytest.mark.parametrize(
    "shape", [(12,), (1, 11), (3, 13), (12, 1), (1, 1, 12), (0, 11), ()], ids=str
)
@pytest.mark.parametrize("method", METHODS)
def test_other_shapes_are_refused_with_advice(mlp, multiclass, method, shape):
    predictor = mlp().fit(*multiclass).predictor()
    match = r"X must have shape \(n_samples, 12\), got \(.*\); .*x.reshape\(1, -1\)"
    with pytest.raises(ValueError, match=match):
        getattr(predictor, method)(np.zeros(shape))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38, 1e200, 1e300])
def test_what_the_estimator_refuses_is_refused(mlp, multiclass, value, dtype):
    X, y = multiclass[0].astype(dtype), multiclass[1]
    model = mlp().fit(X, y)
    X = X.astype(np.float64)
    X[3, 2] = value
    for method in METHODS:
        refused = []
        for one in (model, model.predictor()):
            try:
                refused.append(not np.isfinite(getattr(one, method)(X)).all())
            except ValueError:
                refused.append(True)
        assert refused in ([False, False], [True, True])
    with pytest.raises(ValueError, match=r"complex|Complex"):
        model.predictor().predict(X + 1j)


def test_regressors_refuse_too(mlp, multiclass):
    X, _ = multiclass
    predictor = SparseMLPRegressor((8,), max_iter=1, random_state=0).fit(X, X).predictor()
    with pytest.raises(ValueError, match="outputs overflow"):
        predictor.predict(np.sign(X) * 1e308)
    with pytest.raises(ValueError, match="X has NaN"):
        predictor.predict(X * np.nan)


def test_estimator_must_be_fitted():
    with pytest.raises(NotFittedError):
        SparseMLPClassifier().predictor()


# --- as it was then -------------------------------------------------------------------


def edit(model, X, y):
    arrays = [coef.data for coef in model.coefs_]
    arrays += [*model.intercepts_, *model.activation_parameters_]
    arrays += [values for norm in model.batch_norms_ if norm for values in norm.values()]
    for array in arrays:
        array[:] = 7
    model.classes_[:] = model.classes_[::-1].copy()


CHANGES = {
    "fit": lambda model, X, y: model.set_params(random_state=1).fit(X, -y),
    "partial_fit": lambda model, X, y: model.partial_fit(-X, y),
    "edit": edit,
}


@pytest.mark.parametrize("n_samples", [1, 150])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["sparse", "skipping", "learned_per_neuron"])
def test_later_changes_of_the_estimator_are_not_noticed(
    mlp, multiclass, kind, change, n_samples
):
    X, y = multiclass
    model = mlp(**KINDS[kind]).fit(X, y)
    predictor = model.predictor()
    before = predictions(predictor, X[:n_samples])
    CHANGES[change](model, X, y)
    assert_unchanged(predictor, X[:n_samples], before)


def test_later_changes_of_an_activation_are_not_noticed(mlp, multiclass):
    X, y = multiclass
    activation = LeakyReLU(slope=0.1)
    predictor = mlp(activation=activation).fit(X, y).predictor()
    before = predictions(predictor, X)
    activation.set_params(slope=0.9)
    assert_unchanged(predictor, X, before)


def test_predictors_of_edited_arrays_use_these(mlp, multiclass):
    X, y = multiclass
    model = mlp(activation="crelu", epsilon=1e6, zeta=0).fit(X, y)
    first = model.predictor()
    model.coefs_[1].data *= -3
    model.intercepts_[2][:] = [1, 2, 3]
    assert_same_predictions(model.predictor(), model, X)
    assert not np.array_equal(first.predict_proba(X), model.predict_proba(X))


# --- where it is used -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sparse", "skipping", "batch_norm"])
def test_threads_may_share_a_predictor(mlp, multiclass, kind):
    X, y = multiclass
    predictor = mlp(**KINDS[kind]).fit(X, y).predictor()
    parts = [X[start : start + n] for start, n in enumerate(range(1, 65))]
    expected = [predictor.predict_proba(part) for part in parts]
    # One that nobody has used yet.
    predictor = pickle.loads(pickle.dumps(predictor))
    with ThreadPoolExecutor(8) as executor:
        for _ in range(5):
            actual = executor.map(predictor.predict_proba, parts)
            for one, other in zip(actual, expected, strict=True):
                np.testing.assert_array_equal(one, other)


def test_predictor_computes_in_the_calling_thread(mlp, multiclass, monkeypatch):
    X, y = multiclass
    monkeypatch.setattr(workers, "available_cores", lambda: 2)
    predictor = mlp(n_jobs=2).fit(X, y).predictor()
    monkeypatch.setattr(workers, "MIN_WORK", 0)
    monkeypatch.delattr(workers.threading, "Thread")
    predictor.predict(X)


@pytest.mark.parametrize("problem", ["binary", "multiclass"])
@pytest.mark.parametrize("kind", KINDS)
def test_pickles_predict_the_same(mlp, request, kind, problem):
    X, y = request.getfixturevalue(problem)
    model = mlp(**KINDS[kind]).fit(X, y)
    predictor = model.predictor()
    for _ in range(2):
        copy = pickle.loads(pickle.dumps(predictor))
        assert copy.n_features_in_ == 12
        assert_same_predictions(copy, model, X)
        assert_same_predictions(copy, model, X[:1])
