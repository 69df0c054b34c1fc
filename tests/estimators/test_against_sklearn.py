"""At density 1, zeta 0 and the same initial weights, training is scikit-learn's."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.validation import has_fit_parameter

from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor

weighted = pytest.mark.skipif(
    not has_fit_parameter(MLPClassifier(), "sample_weight"),
    reason="this scikit-learn's MLPClassifier takes no weights",
)
SHARED_ACTIVATIONS = ["identity", "logistic", "tanh", "relu"]
SOLVERS = {
    "plain_momentum": {"solver": "sgd", "momentum": 0.8, "nesterovs_momentum": False},
    "nesterov": {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": True},
    "adam": {"solver": "adam", "beta_1": 0.85, "beta_2": 0.99},
}
RATES = {"sgd": 0.05, "adam": 0.01}
EPOCHS = 12


@pytest.fixture(params=["binary", "multiclass"])
def data(request):
    """90 samples, so that batches of 32 end in one of 26."""
    X, y = request.getfixturevalue(request.param)
    return X[:90], y[:90]


REFERENCES = {SparseMLPClassifier: MLPClassifier, SparseMLPRegressor: MLPRegressor}


def twins(X, y, cls=SparseMLPClassifier, **params):
    """Our estimator and scikit-learn's, with equal weights and nothing else trained."""
    shared = {
        "hidden_layer_sizes": (9, 6),
        "batch_size": 32,
        "alpha": 0.02,
        "learning_rate": "constant",
        "max_iter": EPOCHS,
        "shuffle": False,
        "tol": 0.0,
        "n_iter_no_change": 1000,
        "warm_start": True,
        "random_state": 0,
        **params,
    }
    shared.setdefault("learning_rate_init", RATES[shared["solver"]])
    ours = cls(**shared, epsilon=1e6, zeta=0, dropout=0)
    reference = REFERENCES[cls](**shared)
    for model in (ours, reference):
        _fit_quietly(model.set_params(max_iter=1), X, y).set_params(max_iter=EPOCHS)
    _equate(ours, reference, np.random.default_rng(3))
    return ours, reference


def _equate(ours, reference, rng):
    """Give both the same random weights; forget scikit-learn's state of training."""
    for layer, coef in enumerate(reference.coefs_):
        assert ours.n_connections_[layer] == coef.size
        coef[:] = rng.normal(scale=np.sqrt(2 / coef.shape[0]), size=coef.shape)
        ours.coefs_[layer].data[:] = coef.ravel()
        bias = rng.normal(scale=0.1, size=coef.shape[1])
        ours.intercepts_[layer][:] = reference.intercepts_[layer][:] = bias
    if hasattr(ours, "target_scale_"):
        # scikit-learn learns targets as they are.
        ours.target_mean_[:], ours.target_scale_[:] = 0, 1
        ours.target_range_ += np.array([[-1e6], [1e6]])
    ours.history_ = []
    reference.loss_curve_ = []
    reference.best_loss_ = np.inf
    reference.t_ = reference._no_improvement_count = 0
    del reference._optimizer


def _fit_quietly(model, X, y, sample_weight=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if sample_weight is None:
            return model.fit(X, y)
        return model.fit(X, y, sample_weight=sample_weight)


def assert_same_network(ours, reference):
    for layer, coef in enumerate(reference.coefs_):
        assert_allclose(ours.coefs_[layer].toarray(), coef, rtol=1e-6, atol=1e-9)
        bias = reference.intercepts_[layer]
        assert_allclose(ours.intercepts_[layer], bias, rtol=1e-6, atol=1e-9)


def assert_same_training(ours, reference, X, y, sample_weight=None):
    """Fit both; their losses, weights and outputs are the same and have changed."""
    before = [coef.copy() for coef in reference.coefs_]
    for model in (ours, reference):
        _fit_quietly(model, X, y, sample_weight)
    assert not np.allclose(before[0], reference.coefs_[0], rtol=1e-3)
    assert ours.n_iter_ == reference.n_iter_
    assert_allclose(ours.loss_curve_, reference.loss_curve_, rtol=1e-6)
    assert_same_network(ours, reference)
    method = "predict_proba" if hasattr(ours, "classes_") else "predict"
    outputs, expected = (getattr(model, method)(X) for model in (ours, reference))
    assert_allclose(outputs.reshape(expected.shape), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("activation", SHARED_ACTIVATIONS)
def test_outputs_equal(data, activation):
    X, y = data
    ours, reference = twins(X, y, activation=activation, solver="sgd")
    assert_allclose(ours.predict_proba(X), reference.predict_proba(X), rtol=1e-6)
    assert_allclose(
        ours.predict_log_proba(X), reference.predict_log_proba(X), rtol=1e-6, atol=1e-12
    )
    assert np.array_equal(ours.predict(X), reference.predict(X))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("activation", SHARED_ACTIVATIONS)
def test_fit_equals(data, activation, solver):
    X, y = data
    ours, reference = twins(X, y, activation=activation, **SOLVERS[solver])
    assert_same_training(ours, reference, X, y)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("activation", SHARED_ACTIVATIONS)
def test_every_epoch_of_partial_fit_equals(data, activation, solver):
    X, y = data
    ours, reference = twins(X, y, activation=activation, **SOLVERS[solver])
    for _ in range(EPOCHS):
        ours.partial_fit(X, y)
        reference.partial_fit(X, y)
        assert_same_network(ours, reference)
    assert_allclose(ours.loss_curve_, reference.loss_curve_, rtol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_fit_equals_at_any_penalty(data, solver, alpha):
    X, y = data
    ours, reference = twins(X, y, activation="relu", alpha=alpha, **SOLVERS[solver])
    assert_same_training(ours, reference, X, y)


@pytest.mark.parametrize("batch_size", [1, 10, 90])
def test_fit_equals_at_any_batch_size(data, batch_size):
    X, y = data
    ours, reference = twins(
        X,
        y,
        activation="tanh",
        batch_size=batch_size,
        learning_rate_init=0.002,
        solver="sgd",
    )
    assert_same_training(ours, reference, X, y)


@pytest.mark.parametrize("solver", ["plain_momentum", "nesterov"])
def test_inverse_scaling_equals(data, solver):
    X, y = data
    schedule = {"learning_rate": "invscaling", "learning_rate_init": 0.1, "power_t": 0.2}
    ours, reference = twins(X, y, activation="relu", **schedule, **SOLVERS[solver])
    assert_same_training(ours, reference, X, y)
    assert ours.history_[-1]["learning_rate"] < 0.05


@pytest.mark.parametrize("solver", ["plain_momentum", "nesterov"])
def test_adaptive_rate_equals_and_stops_at_the_same_epoch(data, solver):
    X, y = data
    schedule = {"learning_rate": "adaptive", "tol": 0.01, "n_iter_no_change": 2}
    ours, reference = twins(X, y, activation="relu", **schedule, **SOLVERS[solver])
    for model in (ours, reference):
        model.set_params(max_iter=500)
    assert_same_training(ours, reference, X, y)
    assert EPOCHS < ours.n_iter_ < 500
    assert ours.history_[-1]["learning_rate"] < 1e-5


@pytest.mark.parametrize("solver", SOLVERS)
def test_training_stops_at_the_same_epoch(data, solver):
    X, y = data
    ours, reference = twins(
        X, y, activation="tanh", tol=0.02, n_iter_no_change=3, **SOLVERS[solver]
    )
    for model in (ours, reference):
        model.set_params(max_iter=500)
    assert_same_training(ours, reference, X, y)
    assert ours.n_iter_ < 500


@weighted
@pytest.mark.parametrize("solver", SOLVERS)
def test_sample_weights_in_one_batch_equal(data, solver):
    X, y = data
    sample_weight = np.random.default_rng(1).uniform(0.1, 5.0, y.size)
    sample_weight /= sample_weight.mean()
    ours, reference = twins(X, y, activation="relu", batch_size=y.size, **SOLVERS[solver])
    assert_same_training(ours, reference, X, y, sample_weight)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.filterwarnings(
    "ignore:A column-vector y:sklearn.exceptions.DataConversionWarning"
)
def test_fit_to_other_targets_equals(other, activation, solver):
    cls, X, y = other
    ours, reference = twins(X[:90], y[:90], cls, activation=activation, **SOLVERS[solver])
    assert_same_training(ours, reference, X[:90], y[:90])


@pytest.mark.filterwarnings(
    "ignore:A column-vector y:sklearn.exceptions.DataConversionWarning"
)
@weighted
def test_sample_weights_of_other_targets_equal(other):
    cls, X, y = other
    sample_weight = np.random.default_rng(1).uniform(0.1, 5.0, len(y))
    sample_weight /= sample_weight.mean()
    ours, reference = twins(X, y, cls, activation="relu", batch_size=150, solver="adam")
    assert_same_training(ours, reference, X, y, sample_weight)
