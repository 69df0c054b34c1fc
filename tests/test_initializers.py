"""Initial weights: the variance that each neuron's own number of connections asks for."""

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone

from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.initializers import INITIALIZERS

VARIANCES = {
    "he_uniform": lambda fan_in, fan_out: 2 / fan_in,
    "he_normal": lambda fan_in, fan_out: 2 / fan_in,
    "xavier_uniform": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "xavier_normal": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
}
SHAPES = {"uniform": stats.uniform(-np.sqrt(3), 2 * np.sqrt(3)), "normal": stats.norm()}
N_INPUTS = 500
FAN_INS = np.repeat([0, 1, 5, 50, 400], [10, 20_000, 4000, 400, 50])
by_name = pytest.mark.parametrize("name", INITIALIZERS)


def new_layer(dtype=np.float64):
    """A layer of neurons with very different numbers of connections."""
    indptr = np.concatenate([[0], np.cumsum(FAN_INS)]).astype(np.int32)
    # As many connections from each input as there can be.
    indices = np.concatenate([np.arange(fan_in) for fan_in in FAN_INS]).astype(np.int32)
    weights = np.full(indices.size, np.nan, dtype)
    return SparseLayer(indptr, indices, weights, np.zeros(FAN_INS.size, dtype), N_INPUTS)


def initialised(name, dtype=np.float64, seed=0):
    layer = new_layer(dtype)
    INITIALIZERS[name]()(layer, np.random.default_rng(seed))
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
        expected = INITIALIZERS[name]().variance(fan_in, fan_out)
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
def test_weights_are_finite_of_the_layers_dtype_and_biases_zero(name, dtype):
    layer = initialised(name, dtype)
    assert layer.weights.dtype == layer.bias.dtype == dtype
    assert np.isfinite(layer.weights).all()
    assert not layer.bias.any()


@by_name
def test_weights_follow_the_generator(name):
    first, again, other = (initialised(name, seed=seed).weights for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.isclose(first, other).all()


@by_name
def test_initializer_is_a_cloneable_holder_of_valid_parameters(name):
    initializer = INITIALIZERS[name]()
    initializer._validate_params()
    assert clone(initializer).get_params() == initializer.get_params()
