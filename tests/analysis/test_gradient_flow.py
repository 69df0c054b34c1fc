"""Norms of the loss gradient, against numerical derivatives and results by hand."""

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, special
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from sksparse_mlp.activations import ACTIVATIONS
from sksparse_mlp.analysis import _gradients
from sksparse_mlp.analysis._gradients import effective_gradient_flow, gradient_flow
from sksparse_mlp.core.network import Network

NORMS = (1, 1.5, 2, np.inf)
FUNCTIONS = (gradient_flow, effective_gradient_flow)


@pytest.fixture
def small(mlp):
    """Make an estimator of few weights, whose losses are far from zero."""

    def make(**params):
        few = {"hidden_layer_sizes": (7, 5), "epsilon": 2, "max_iter": 2}
        return mlp(**few | params)

    return make


def mean_loss(model, X, y, weights=None):
    logarithms = model.predict_log_proba(X)[np.arange(y.size), y]
    return -np.average(logarithms, weights=weights)


def numerical_gradients(model, X, y, weights=None, h=1e-6):
    """Central differences of the mean loss for every weight that exists."""
    model = deepcopy(model)
    gradients = []
    for coef in model.coefs_:
        gradient = np.empty(coef.nnz)
        for k, weight in enumerate(coef.data.copy()):
            coef.data[k] = weight + h
            above = mean_loss(model, X, y, weights)
            coef.data[k] = weight - h
            gradient[k] = (above - mean_loss(model, X, y, weights)) / (2 * h)
            coef.data[k] = weight
        gradients.append(gradient)
    return gradients


def assert_flow_is_that_of(gradients, model, X, y, **kwargs):
    for p in NORMS:
        expected = [np.linalg.norm(gradient, p) for gradient in gradients]
        flow = gradient_flow(model, X, y, norm=p, **kwargs)
        assert_allclose(flow, expected, rtol=1e-6, atol=1e-9)
        mean = effective_gradient_flow(model, X, y, norm=p, **kwargs)
        assert mean == pytest.approx(np.mean(flow), rel=1e-12)


# --- numerical derivatives ------------------------------------------------------------


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_flow_is_the_norm_of_the_numerical_derivatives(
    small, multiclass, activation, batch_norm
):
    X, y = multiclass
    model = small(activation=activation, batch_norm=batch_norm).fit(X, y)
    gradients = numerical_gradients(model, X, y)
    assert all(np.any(gradient) for gradient in gradients)
    assert_flow_is_that_of(gradients, model, X, y)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_flow_of_two_classes(small, binary, batch_norm):
    X, y = binary
    model = small(batch_norm=batch_norm, activation="tanh").fit(X, y)
    assert_flow_is_that_of(numerical_gradients(model, X, y), model, X, y)


def test_flow_of_one_activation_per_layer(small, multiclass):
    X, y = multiclass
    model = small(activation=["srelu", "logistic"]).fit(X, y)
    assert_flow_is_that_of(numerical_gradients(model, X, y), model, X, y)


@pytest.mark.parametrize("data", ["binary", "multiclass"])
def test_sample_weights_weigh_the_mean(small, data, request):
    X, y = request.getfixturevalue(data)
    model = small().fit(X, y)
    weights = np.random.default_rng(0).exponential(size=y.size)
    weights[::3] = 0
    gradients = numerical_gradients(model, X, y, weights)
    assert_flow_is_that_of(gradients, model, X, y, sample_weight=weights)


def test_dropout_and_penalty_have_no_part(small, multiclass):
    model = small(dropout=0.5, alpha=10.0).fit(*multiclass)
    gradients = numerical_gradients(model, *multiclass)
    assert_flow_is_that_of(gradients, model, *multiclass)


# --- by hand --------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["binary", "multiclass"])
def test_one_layer_by_hand(mlp, data, request):
    X, y = request.getfixturevalue(data)
    model = mlp(hidden_layer_sizes=(), epsilon=0.7).fit(X, y)
    (coef,) = model.coefs_
    assert 0 < coef.nnz < np.prod(coef.shape)
    logits = X @ coef.toarray() + model.intercepts_[0]
    if data == "binary":
        delta = special.expit(logits) - y[:, np.newaxis]
    else:
        delta = special.softmax(logits, axis=1) - np.eye(3)[y]
    gradient = (X.T @ delta / y.size)[coef.nonzero()]
    (flow,) = gradient_flow(model, X, y)
    assert flow == pytest.approx(np.abs(gradient).sum())
    assert gradient_flow(model, X, y, norm=2) == pytest.approx(np.linalg.norm(gradient))
    assert gradient_flow(model, X, y, norm=np.inf) == pytest.approx(np.abs(gradient).max())


def test_two_layers_by_hand(mlp, multiclass):
    X, y = multiclass
    model = mlp(hidden_layer_sizes=6, epsilon=1.5, activation="leaky_relu").fit(X, y)
    first, last = (coef.toarray() for coef in model.coefs_)
    z = X @ first + model.intercepts_[0]
    a = np.where(z > 0, z, 0.25 * z)
    logits = a @ last + model.intercepts_[1]
    delta = (special.softmax(logits, axis=1) - np.eye(3)[y]) / y.size
    gradients = [X.T @ (delta @ last.T * np.where(z > 0, 1, 0.25)), a.T @ delta]
    expected = [
        np.abs(gradient[coef.nonzero()]).sum()
        for gradient, coef in zip(gradients, model.coefs_, strict=True)
    ]
    assert_allclose(gradient_flow(model, X, y), expected)


# --- data -----------------------------------------------------------------------------


def test_samples_pass_in_batches(small, multiclass, monkeypatch):
    X, y = multiclass
    model = small(batch_norm=True).fit(X, y)
    weights = np.linspace(0, 2, y.size)
    expected = gradient_flow(model, X, y, sample_weight=weights)
    sizes, allocate = [], Network.buffers

    def buffers(self, size, **kwargs):
        sizes.append(size)
        return allocate(self, size, **kwargs)

    monkeypatch.setattr(Network, "buffers", buffers)
    monkeypatch.setattr(_gradients, "BATCH", 64)
    # The last of three batches is a smaller one.
    actual = gradient_flow(model, X, y, sample_weight=weights)
    assert_allclose(actual, expected, rtol=1e-12)
    gradient_flow(model, X[:9], y[:9])
    assert sizes == [64, 9]


def test_float32_is_computed_in_float32(small, multiclass):
    X, y = multiclass
    model = small(batch_norm=True, activation="srelu").fit(X.astype(np.float32), y)
    flow = gradient_flow(model, X, y)
    assert flow.dtype == np.float64
    double = deepcopy(model)
    double.coefs_ = [coef.astype(np.float64) for coef in model.coefs_]
    expected = gradient_flow(double, X, y)
    assert_allclose(flow, expected, rtol=1e-5)
    assert np.any(flow != expected)


@pytest.mark.parametrize("layout", ["csr", "csc", "coo"])
def test_sparse_data_give_the_same(small, multiclass, layout):
    X, y = multiclass
    model = small().fit(X, y)
    stored = sparse.csr_array(X).asformat(layout)
    assert_allclose(gradient_flow(model, stored, y), gradient_flow(model, X, y))


def test_labels_and_data_may_be_a_table_with_names(small, multiclass):
    X, y = multiclass
    names = np.array(["late", "early", "never"])
    table = pd.DataFrame(X, columns=[f"f{i}" for i in range(X.shape[1])])
    labels = pd.Series(names[y])
    model = small().fit(table, labels)
    codes = np.searchsorted(model.classes_, names[y])
    gradients = numerical_gradients(small().fit(X, codes), X, codes)
    assert_flow_is_that_of(gradients, model, table, labels)


def test_a_class_may_have_no_samples(small, multiclass):
    X, y = multiclass
    model = small().fit(X, y)
    X, y = X[y == 1], y[y == 1]
    assert_flow_is_that_of(numerical_gradients(model, X, y), model, X, y)


def test_a_frozen_estimator_will_do(small, multiclass):
    model = small().fit(*multiclass)
    expected = gradient_flow(model, *multiclass)
    assert_array_equal(gradient_flow(FrozenEstimator(model), *multiclass), expected)


@pytest.mark.parametrize("size", [1e-300, 1e308])
def test_sizes_of_the_weights_do_not_matter(small, multiclass, size):
    X, y = multiclass
    model = small().fit(X.astype(np.float32), y)
    weights = np.random.default_rng(0).uniform(size=y.size)
    expected = gradient_flow(model, X, y, sample_weight=weights)
    actual = gradient_flow(model, X, y, sample_weight=weights * size)
    assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("p", [300, 1e5])
def test_powers_of_high_norms_do_not_vanish(small, multiclass, p):
    model = small().fit(*multiclass)
    high = gradient_flow(model, *multiclass, norm=p)
    largest = gradient_flow(model, *multiclass, norm=np.inf)
    assert_allclose(high, largest, rtol=0.02)
    assert np.all(high >= largest)


def test_gradients_of_a_certain_network_are_zero(small, binary):
    X, y = binary
    model = small().fit(X, y)
    X, y = X[y == 1], y[y == 1]
    # Probabilities of which nothing is left in any precision.
    model.intercepts_[-1][:] = 1e9
    for p in NORMS:
        assert_array_equal(gradient_flow(model, X, y, norm=p), np.zeros(3))


def test_a_layer_without_connections_has_no_flow(small, multiclass):
    X, y = multiclass
    model = small().fit(X, y)
    model.coefs_[1] = sparse.csr_array(model.coefs_[1].shape)
    for p in NORMS:
        flow = gradient_flow(model, X, y, norm=p)
        # Nothing reaches the first layer.
        assert_array_equal(flow[:2], [0, 0])
        assert flow[2] > 0


def test_gradients_that_are_not_finite_stay_visible(small, multiclass):
    X, y = multiclass
    model = small(activation="relu").fit(X, y)
    model.coefs_[0].data[:] = np.inf
    with np.errstate(invalid="ignore"):
        assert np.isnan(gradient_flow(model, X, y)).any()


@pytest.mark.parametrize("activation", ["prelu", "relu"])
def test_the_estimator_and_the_data_stay_as_they_are(
    small, multiclass, activation, same_network
):
    X, y = multiclass
    weights = np.ones(y.size)
    model = small(batch_norm=True, activation=activation).fit(X, y)
    before, data = deepcopy(model), X.copy()
    effective_gradient_flow(model, X, y, sample_weight=weights)
    assert same_network(model, before)
    assert vars(model).keys() == vars(before).keys()
    assert_array_equal(X, data)
    for norm, twin in zip(model.batch_norms_, before.batch_norms_, strict=True):
        for name, values in norm.items():
            assert_array_equal(values, twin[name])


def test_threads_do_not_change_the_flow(mlp, multiclass, monkeypatch):
    model = mlp(batch_norm=True, activation="srelu").fit(*multiclass)
    expected = gradient_flow(model, *multiclass)
    monkeypatch.setattr("sksparse_mlp.core.workers.MIN_WORK", 0)
    monkeypatch.setattr("sksparse_mlp.core.workers.available_cores", lambda: 3)
    model.set_params(n_jobs=3)
    assert_array_equal(gradient_flow(model, *multiclass), expected)


# --- bad input ------------------------------------------------------------------------


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_unfitted_estimator_is_refused(small, multiclass, function):
    with pytest.raises(NotFittedError):
        function(small(), *multiclass)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("norm", [0, 0.99, -np.inf, np.nan, "2", None])
def test_norms_below_one_are_refused(small, multiclass, function, norm):
    model = small().fit(*multiclass)
    with pytest.raises(ValueError, match=rf"'norm' parameter of {function.__name__} must"):
        function(model, *multiclass, norm=norm)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_bad_data_are_refused(small, multiclass, function):
    X, y = multiclass
    model = small().fit(X, y)
    with pytest.raises(ValueError, match="11 features"):
        function(model, X[:, 1:], y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        function(model, X, y[1:])
    with pytest.raises(ValueError, match="NaN"):
        function(model, np.where(X > 1, np.nan, X), y)
    with pytest.raises(ValueError, match="1d array"):
        function(model, X, np.stack([y, y], axis=1))


def test_unknown_labels_are_refused(small, multiclass):
    X, y = multiclass
    model = small().fit(X, y)
    with pytest.raises(ValueError, match=r"labels \[3, 4\].*classes \[0, 1, 2\]"):
        gradient_flow(model, X, y + 2)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (np.zeros(150), "at least one non-zero"),
        (np.full(150, -1.0), "Negative values"),
        (np.ones(149), "sample_weight.shape"),
        (np.full(150, np.nan), "NaN"),
    ],
)
def test_bad_sample_weights_are_refused(small, multiclass, weights, match):
    model = small().fit(*multiclass)
    with pytest.raises(ValueError, match=match):
        gradient_flow(model, *multiclass, sample_weight=weights)
