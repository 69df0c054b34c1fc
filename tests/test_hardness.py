"""Numbers at the ends of their range: nothing that is not finite comes out."""

import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from benchmarks.reliability import numerics
from sksparse_mlp.activations import ACTIVATIONS
from sksparse_mlp.core.optimizers import OPTIMIZERS
from sksparse_mlp.topology import GROWTHS

# In roundings of the dtype; what is measured is below 6.
LARGEST_ERROR = 16
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
by_solver = pytest.mark.parametrize("solver", OPTIMIZERS)
by_activation = pytest.mark.parametrize("activation", ACTIVATIONS)


def outputs(model, X):
    """All that a fitted classifier says of X, by method."""
    methods = ("predict_proba", "predict_log_proba", "decision_function")
    return {method: getattr(model, method)(X) for method in methods}


def assert_sane(model, X):
    """The network is finite, and so is what it says of X; probabilities sum to 1."""
    arrays = [coef.data for coef in model.coefs_] + model.intercepts_
    arrays += model.activation_parameters_
    arrays += [values for norm in model.batch_norms_ if norm for values in norm.values()]
    said = outputs(model, X)
    assert all(np.isfinite(array).all() for array in [*arrays, *said.values()])
    sums = said["predict_proba"].sum(axis=1)
    np.testing.assert_allclose(sums, 1, rtol=10 * np.finfo(sums.dtype).eps)


@contextmanager
def may_diverge():
    """A context in which divergence, and nothing else, may be told."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


# --- references -----------------------------------------------------------------------


def test_errors_against_fifty_digits_are_some_roundings():
    found = set()
    for group, _, largest in numerics.measurements():
        for name, value in largest.items():
            found.add(name)
            assert value < LARGEST_ERROR, (group, name)
    assert {"loss", "gradient", "probability", "log-probability"} < found


def test_a_wrong_digit_is_noticed():
    with numerics.mpmath.workdps(numerics.DIGITS):
        third = numerics.mpmath.mpf(1) / 3
        assert numerics.error(1 / 3, third, 0, np.float64) < 1
        assert numerics.error(1 / 3 + 1e-14, third, 0, np.float64) > LARGEST_ERROR


# --- scales ---------------------------------------------------------------------------

SCALES = {
    "tiny": 1e-30,
    "huge": 1e30,
    "mixed": 10.0 ** np.linspace(-30, 30, 12),
    "one huge": np.where(np.arange(12) == 3, 1e30, 1.0),
    "subnormal": 1e-40,
}


@by_dtype
@by_solver
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("scale", SCALES)
def test_features_of_any_scale(mlp, multiclass, scale, batch_norm, solver, dtype):
    X, y = multiclass
    X = (X * SCALES[scale]).astype(dtype)
    model = mlp(solver=solver, batch_norm=batch_norm)
    with may_diverge():
        model.fit(X, y)
        assert_sane(model, X)
        assert_sane(model.fit(sparse.csr_array(X), y), X)


@by_dtype
@pytest.mark.parametrize("n_classes", [2, 3])
def test_outputs_that_overflow_are_an_error(mlp, request, n_classes, dtype):
    X, y = request.getfixturevalue("binary" if n_classes == 2 else "multiclass")
    model = mlp(activation="relu").fit(X.astype(dtype), y)
    far = np.full((3, 12), 0.9 * np.finfo(dtype).max, dtype)
    mixed = np.vstack([X[:2].astype(dtype), far])
    for method in ("predict", *outputs(model, X)):
        with pytest.raises(ValueError, match="overflow"):
            getattr(model, method)(mixed)
    assert_sane(model, X.astype(dtype))


def test_losses_that_overflow_are_told_once(mlp):
    X = 1e307 * np.random.default_rng(0).standard_normal((32, 3))
    model = mlp(hidden_layer_sizes=())
    with pytest.warns(ConvergenceWarning) as told:
        model.fit(X, np.arange(32) % 3)
    assert len(told) == 1


# --- weights --------------------------------------------------------------------------


@by_dtype
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_sample_weights_of_any_scale(mlp, multiclass, size, dtype):
    X, y = multiclass
    X = X.astype(dtype)
    with may_diverge():
        assert_sane(mlp(alpha=0).fit(X, y, np.full(len(y), size)), X)


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_weights_of_any_size_count_by_their_ratios(mlp, multiclass, same_network, size):
    X, y = multiclass[0].astype(np.float32), multiclass[1]
    model = mlp(class_weight=dict.fromkeys(range(3), size))
    model.fit(X, y, np.full(len(y), size))
    assert same_network(model, mlp().fit(X, y))


@by_solver
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_one_sample_of_a_class_among_a_thousand(mlp, solver, class_weight):
    X = np.random.default_rng(0).standard_normal((1000, 12))
    y = (np.arange(1000) == 7).astype(int)
    X[7] += 5
    model = mlp(solver=solver, class_weight=class_weight, max_iter=20)
    model.set_params(learning_rate_init=0.001)
    assert_sane(model.fit(X, y), X)
    if class_weight is not None:
        probabilities = model.predict_proba(X)[:, 1]
        assert probabilities.argmax() == 7
        assert probabilities[7] > 0.5


# --- divergence -----------------------------------------------------------------------


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("rate", [10.0, 1e10, 1e300])
@by_dtype
@by_solver
@by_activation
def test_any_learning_rate_leaves_a_finite_network(
    mlp, multiclass, activation, solver, dtype, rate, batch_norm
):
    X, y = multiclass
    X = X.astype(dtype)
    model = mlp(activation=activation, solver=solver, batch_norm=batch_norm)
    model.set_params(learning_rate_init=rate, momentum=0.99, max_iter=3)
    with may_diverge():
        model.fit(X, y)
        assert_sane(model, X)


@by_solver
@by_activation
def test_overflow_is_told(mlp, multiclass, activation, solver):
    model = mlp(activation=activation, solver=solver, learning_rate_init=1e300)
    with pytest.warns(ConvergenceWarning, match="Lower learning_rate_init"):
        model.fit(multiclass[0].astype(np.float32), multiclass[1])
    assert model.n_iter_ == len(model.history_) == 0


@pytest.mark.parametrize("growth", GROWTHS)
@pytest.mark.parametrize("evolve_every", ["epoch", 1])
def test_any_growth_survives_divergence(mlp, multiclass, growth, evolve_every):
    X, y = multiclass
    model = mlp(growth=growth, evolve_every=evolve_every, solver="sgd")
    model.set_params(learning_rate_init=100.0)
    with may_diverge():
        model.fit(X, y)
        assert_sane(model, X)


# --- shapes ---------------------------------------------------------------------------


@by_dtype
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "cst", "identity"])
def test_two_hundred_layers(mlp, multiclass, activation, batch_norm, dtype):
    X, y = multiclass
    X = X.astype(dtype)
    model = mlp(hidden_layer_sizes=[10] * 200, activation=activation, max_iter=2)
    model.set_params(batch_norm=batch_norm, epsilon=2)
    with may_diverge():
        assert_sane(model.fit(X, y), X)


@pytest.mark.filterwarnings("ignore:epsilon=1e-09 leaves too few connections")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_network_without_connections_learns_the_frequencies(mlp, multiclass, method):
    X, y = multiclass
    model = mlp(epsilon=1e-9, max_iter=300, evolve_every=2)
    if method == "fit":
        model.fit(X, y)
    else:
        for _ in range(300):
            model.partial_fit(X, y, classes=[0, 1, 2])
    assert model.n_connections_.tolist() == [0, 0, 0]
    expected = np.tile(np.bincount(y) / y.size, (len(X), 1))
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=0.02)


# --- batch normalisation --------------------------------------------------------------


@by_dtype
@pytest.mark.parametrize("value", [0.0, 1.0, -7.3, 1e-30])
def test_batch_norm_of_constant_features(mlp, multiclass, value, dtype):
    X, y = multiclass
    constant = np.full_like(X, value, dtype=dtype)
    model = mlp(batch_norm=True, max_iter=10).fit(constant, y)
    assert_sane(model, constant)
    assert np.ptp(model.predict_proba(constant), axis=0).max() == 0
    for norm in model.batch_norms_[:1]:
        assert (norm["variance"] >= 0).all()
        # From 1 towards zero, by a tenth with each batch.
        assert (norm["variance"] < 0.9**40).all()


def test_batch_norm_of_a_constant_feature_beside_others(mlp, multiclass):
    X, y = multiclass
    X = np.hstack([X, np.full((len(X), 1), 3.0)])
    model = mlp(batch_norm=True, max_iter=20).fit(X, y)
    assert_sane(model, X)
    assert model.score(X, y) > 0.8
