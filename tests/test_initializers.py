"""Initial weights: the variance that each neuron's own number of connections asks for."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone

from sksparse_mlp import initializers
from sksparse_mlp.activations import CST, CReLU, Logistic, ReLU
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.initializers import INITIALIZERS, EdgeOfChaos, HeNormal, edge_of_chaos

VARIANCES = {
    "he_uniform": lambda fan_in, fan_out: 2 / fan_in,
    "he_normal": lambda fan_in, fan_out: 2 / fan_in,
    "xavier_uniform": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "xavier_normal": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
}
SHAPES = {"uniform": stats.uniform(-np.sqrt(3), 2 * np.sqrt(3)), "normal": stats.norm()}
N_INPUTS = 500
FAN_INS = np.repeat([0, 1, 5, 50, 400], [10, 20_000, 4000, 400, 50])
BEFORE, AFTER = CReLU(), CST()
by_name = pytest.mark.parametrize("name", INITIALIZERS)


def new_layer(dtype=np.float64):
    """A layer of neurons with very different numbers of connections."""
    indptr = np.concatenate([[0], np.cumsum(FAN_INS)]).astype(np.int32)
    # As many connections from each input as there can be.
    indices = np.concatenate([np.arange(fan_in) for fan_in in FAN_INS]).astype(np.int32)
    weights = np.full(indices.size, np.nan, dtype)
    return SparseLayer(indptr, indices, weights, np.zeros(FAN_INS.size, dtype), N_INPUTS)


def initialised(name, dtype=np.float64, seed=0, before=BEFORE, after=AFTER):
    layer = new_layer(dtype)
    INITIALIZERS[name]()(layer, np.random.default_rng(seed), before, after)
    return layer


def weights_by_fan_in(layer):
    """(fan_in, weights of all neurons with that many connections) for each fan_in."""
    of_connection = np.repeat(FAN_INS, FAN_INS)
    for fan_in in np.unique(of_connection):
        yield fan_in, layer.weights[of_connection == fan_in]


@by_name
def test_weights_have_the_variance_of_their_own_neuron(name):
    layer = initialised(name)
    fan_out = layer.n_connections / N_INPUTS
    for fan_in, weights in weights_by_fan_in(layer):
        expected = INITIALIZERS[name]().variance(fan_in, fan_out, BEFORE, AFTER)
        # Four standard errors of a variance of 20,000 normal variates.
        np.testing.assert_allclose(np.mean(weights**2), expected, rtol=0.04)
        assert abs(weights.mean()) < 4 * np.sqrt(expected / weights.size)


@pytest.mark.parametrize("name", VARIANCES)
def test_variance_is_the_formula(name):
    fan_in = np.array([1, 7, 100])
    expected = VARIANCES[name](fan_in, 3.5)
    np.testing.assert_allclose(INITIALIZERS[name]().variance(fan_in, 3.5), expected)


@pytest.mark.parametrize("name", VARIANCES)
def test_weights_have_the_shape_of_their_distribution(name):
    layer = initialised(name)
    shape = SHAPES[name.split("_")[1]]
    for _, weights in weights_by_fan_in(layer):
        scaled = weights / np.sqrt(np.mean(weights**2))
        assert stats.kstest(scaled, shape.cdf).pvalue > 1e-3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@by_name
def test_weights_and_biases_are_finite_and_of_the_layers_dtype(name, dtype):
    layer = initialised(name, dtype)
    assert layer.weights.dtype == layer.bias.dtype == dtype
    assert np.isfinite(layer.weights).all()
    assert np.isfinite(layer.bias).all()


@pytest.mark.parametrize("name", VARIANCES)
def test_biases_are_zero(name):
    layer = new_layer()
    layer.bias[:] = 7
    INITIALIZERS[name]()(layer, np.random.default_rng(0))
    assert not layer.bias.any()


@pytest.mark.parametrize("name", VARIANCES)
def test_activations_do_not_matter_to_he_and_xavier(name):
    one, other = initialised(name), initialised(name, before=None, after=ReLU())
    np.testing.assert_array_equal(one.weights, other.weights)


@by_name
def test_weights_follow_the_generator(name):
    first, again, other = (initialised(name, seed=seed).weights for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.isclose(first, other).all()


@by_name
def test_weights_do_not_depend_on_how_many_are_drawn_at_a_time(name, monkeypatch):
    expected = initialised(name, np.float32).weights
    monkeypatch.setattr(initializers, "BLOCK", 10**9)
    np.testing.assert_array_equal(initialised(name, np.float32).weights, expected)


@by_name
def test_weights_are_drawn_in_double_precision_and_scaled_in_the_layers(name):
    layer = initialised(name, np.float32)
    initializer, rng = INITIALIZERS[name](), np.random.default_rng(0)
    drawn = initializer.draw(rng, layer.n_connections).astype(np.float32)
    fan_out = layer.n_connections / N_INPUTS
    variance = initializer.variance(np.maximum(FAN_INS, 1), fan_out, BEFORE, AFTER)
    expected = drawn * np.repeat(np.sqrt(variance).astype(np.float32), FAN_INS)
    np.testing.assert_array_equal(layer.weights, expected)


@by_name
def test_initial_weights_take_memory_of_the_neurons_only(name):
    peaks = []
    for _ in range(2):
        layer = new_layer(np.float32)
        tracemalloc.start()
        INITIALIZERS[name]()(layer, np.random.default_rng(0), BEFORE, AFTER)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The first call compiles.
    assert peaks[1] < 40 * layer.n_out + 12 * initializers.BLOCK


@by_name
def test_initializer_is_a_cloneable_holder_of_valid_parameters(name):
    initializer = INITIALIZERS[name]()
    initializer._validate_params()
    assert clone(initializer).get_params() == initializer.get_params()


def assert_normal(values, variance):
    np.testing.assert_allclose(np.mean(values**2), variance, rtol=0.04)
    assert stats.kstest(values / np.sqrt(variance), stats.norm.cdf).pvalue > 1e-3


@pytest.mark.parametrize("after", [None, CST()])
@pytest.mark.parametrize("q", [1.0, 4.0])
def test_edge_of_chaos_is_that_of_the_activation_before(q, after):
    layer = new_layer()
    EdgeOfChaos(q)(layer, np.random.default_rng(0), CReLU(), after)
    point = edge_of_chaos(CReLU(), q)
    for fan_in, weights in weights_by_fan_in(layer):
        assert_normal(weights, point.sigma_w2 / fan_in)
    assert_normal(layer.bias, point.sigma_b2)


@pytest.mark.parametrize("q", [1.0, 4.0])
def test_edge_of_chaos_of_the_first_layer_brings_features_to_the_variance(q):
    layer = new_layer()
    EdgeOfChaos(q)(layer, np.random.default_rng(0), None, CST())
    point = edge_of_chaos(CST(), q)
    for fan_in, weights in weights_by_fan_in(layer):
        assert_normal(weights, (q - point.sigma_b2) / fan_in)
    assert_normal(layer.bias, point.sigma_b2)
    # Rows are of whole vectors.
    z = np.empty((FAN_INS.size, 16))
    layer.forward(np.ones((N_INPUTS, 16)), z, 0, FAN_INS.size)
    assert_normal(z[FAN_INS > 0, :1], q)


def test_edge_of_chaos_without_bias_variance_leaves_biases_at_zero():
    assert not initialised("edge_of_chaos", before=ReLU()).bias.any()


def test_edge_of_chaos_of_relu_is_he_normal():
    weights = initialised("edge_of_chaos", before=ReLU()).weights
    np.testing.assert_allclose(weights, initialised("he_normal").weights)


def test_edge_of_chaos_needs_a_hidden_layer():
    with pytest.raises(ValueError, match="the network has no hidden layer"):
        EdgeOfChaos()(new_layer(), np.random.default_rng(0))


def test_edge_of_chaos_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"activation=Logistic\(\) has no edge of chaos"):
        initialised("edge_of_chaos", before=Logistic())


@pytest.mark.parametrize("q", [0, -1, np.nan, np.inf, "1"])
def test_edge_of_chaos_refuses_a_bad_variance_by_name(q):
    with pytest.raises(ValueError, match="The 'q' parameter of EdgeOfChaos"):
        EdgeOfChaos(q)._validate_params()


def variances_by_depth(initializer, activation, epsilon, width=2000, depth=20):
    """Mean square of the pre-activations of each layer, for features of mean square 1."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((width, 8))
    a /= np.sqrt(np.mean(a**2, axis=0))
    before, parameters, variances = None, np.empty((0, 1)), []
    for _ in range(depth):
        layer = SparseLayer.random(width, width, epsilon, rng, np.float64)
        initializer(layer, rng, before, activation)
        z = np.empty_like(a)
        layer.forward(a, z, 0, width)
        variances.append(np.mean(z**2))
        activation.forward(z, a, parameters, 0, width)
        before = activation
    return np.array(variances)


@pytest.mark.parametrize("epsilon", [50, 1000])
@pytest.mark.parametrize("activation", [CReLU(1, 1), CST(0.5, 1)])
def test_edge_of_chaos_keeps_the_variance_through_a_deep_network(activation, epsilon):
    variances = variances_by_depth(EdgeOfChaos(), activation, epsilon)
    np.testing.assert_allclose(variances, 1, atol=0.2)
    assert np.mean(variances) == pytest.approx(1, abs=0.08)


def test_variance_vanishes_in_a_deep_network_off_the_edge_of_chaos():
    assert variances_by_depth(HeNormal(), CST(0.5, 1), 50)[-1] < 0.01
