"""Compression: the same outputs from fewer neurons and connections."""

import numpy as np
import pytest
from networks import HERE, new_network

from sksparse_mlp.activations import ACTIVATIONS
from sksparse_mlp.core.compression import compressed

HIDDEN_SIZES = (9, 8, 7)
TOLERANCES = {np.float32: 1e-6, np.float64: 1e-12}
by_activation = pytest.mark.parametrize("name", ACTIVATIONS)
by_norm = pytest.mark.parametrize("norm", [False, True], ids=["plain", "norm"])


def full_network(name="tanh", dtype=np.float64, norm=False):
    return new_network(name, epsilon=1e6, dtype=dtype, norm=norm, hidden_sizes=HIDDEN_SIZES)


def full_masks():
    """Which connections exist, layer by layer, as arrays of shape (n_out, n_in)."""
    sizes = (6, *HIDDEN_SIZES, 3)
    return [np.ones((n, sizes[k]), bool) for k, n in enumerate(sizes[1:])]


def random_masks():
    rng = np.random.default_rng(0)
    return [rng.random(mask.shape) < 0.4 for mask in full_masks()]


def nothing(masks):
    pass


def without_incoming(masks):
    masks[0][[2, 8]] = False
    masks[2][0] = False


def without_outgoing(masks):
    masks[1][:, [0, 5]] = False
    masks[3][:, 3] = False


def isolated(masks):
    masks[0][4] = False
    masks[1][:, 4] = False


def chain_of_constants(masks):
    """The neurons 0 of the hidden layers have no inputs but one another."""
    masks[0][0] = False
    for mask in masks[1:-1]:
        mask[0] = False
        mask[0, 0] = True


def chain_to_nowhere(masks):
    """The neurons 0 of the hidden layers feed nothing but one another."""
    for mask in masks[1:]:
        mask[:, 0] = False
    for mask in masks[1:-1]:
        mask[0, 0] = True


def dead_layer(masks):
    masks[1][:] = False


def all_constant(masks):
    masks[0][:] = False


def nothing_to_outputs(masks):
    masks[-1][:] = False


def unused_inputs(masks):
    masks[0][:, [0, 3, 5]] = False


CASES = {
    case.__name__: case
    for case in (
        nothing,
        without_incoming,
        without_outgoing,
        isolated,
        chain_of_constants,
        chain_to_nowhere,
        dead_layer,
        all_constant,
        nothing_to_outputs,
        unused_inputs,
    )
}
by_case = pytest.mark.parametrize("case", CASES)


def with_pattern(network, masks, as_zeros=False):
    """Leave a network the connections of the masks; the others go, or are zeros."""
    for layer, mask in zip(network.layers, masks, strict=True):
        if as_zeros:
            layer.weights[~mask.reshape(-1)] = 0
        else:
            layer.rewire(mask.reshape(-1), np.empty(0, np.int64))
    return network


def damaged(case, masks=None, as_zeros=False, **kwargs):
    masks = random_masks() if masks is None else masks
    CASES[case](masks)
    return with_pattern(full_network(**kwargs), masks, as_zeros)


def logits(network, n_samples=50):
    X = np.random.default_rng(1).standard_normal((n_samples, network.sizes[0]))
    X = X.astype(network.dtype)
    return network.logits(X, np.arange(n_samples), HERE)


def assert_same_outputs(network, smaller):
    expected = logits(network)
    assert np.isfinite(expected).all()
    tolerance = TOLERANCES[network.dtype.type] * max(1, np.max(np.abs(expected)))
    np.testing.assert_allclose(logits(smaller), expected, rtol=0, atol=tolerance)


def assert_minimal(network):
    """No zeros, and no hidden neuron without connections that could go."""
    assert all(layer.weights.all() for layer in network.layers)
    for layer, following in zip(network.layers[:-1], network.layers[1:], strict=True):
        assert layer.n_out == following.n_in > 0
        if layer.n_out > 1:
            assert layer.fan_in.all()
            assert following.fan_out.all()


@by_activation
@by_norm
@by_case
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_outputs_are_the_same_without_what_cannot_matter(dtype, case, norm, name):
    network = damaged(case, name=name, dtype=dtype, norm=norm)
    smaller = compressed(network)
    assert smaller.dtype == dtype
    assert (smaller.sizes[0], smaller.sizes[-1]) == (6, 3)
    assert smaller.n_connections <= network.n_connections
    assert smaller.loss is network.loss
    assert_minimal(smaller)
    assert_same_outputs(network, smaller)


@by_case
def test_connections_of_weight_zero_are_like_none(case):
    zeros, missing = damaged(case, as_zeros=True), damaged(case)
    smaller, expected = compressed(zeros), compressed(missing)
    assert smaller.sizes == expected.sizes
    for layer, twin in zip(smaller.layers, expected.layers, strict=True):
        assert layer.has_pattern_of(twin)
        np.testing.assert_array_equal(layer.weights, twin.weights)
    assert_same_outputs(zeros, smaller)


@by_activation
@by_norm
@pytest.mark.parametrize("seed", range(5))
def test_outputs_of_very_sparse_networks_are_the_same(seed, norm, name):
    network = new_network(name, epsilon=0.5, norm=norm, seed=seed, hidden_sizes=(40, 30))
    smaller = compressed(network)
    assert smaller.n_connections < network.n_connections
    assert_minimal(smaller)
    assert_same_outputs(network, smaller)


@pytest.mark.parametrize(
    ("case", "sizes"),
    [
        ("nothing", [6, 9, 8, 7, 3]),
        ("without_incoming", [6, 7, 8, 6, 3]),
        ("without_outgoing", [6, 7, 8, 6, 3]),
        ("isolated", [6, 8, 8, 7, 3]),
        ("chain_of_constants", [6, 8, 7, 6, 3]),
        ("chain_to_nowhere", [6, 8, 7, 6, 3]),
        ("unused_inputs", [6, 9, 8, 7, 3]),
        ("all_constant", [6, 1, 1, 1, 3]),
        ("dead_layer", [6, 1, 1, 1, 3]),
        ("nothing_to_outputs", [6, 1, 1, 1, 3]),
    ],
)
def test_neurons_that_cannot_matter_go(case, sizes):
    assert compressed(damaged(case, full_masks())).sizes == sizes


@pytest.mark.parametrize("case", ["all_constant", "dead_layer"])
def test_network_of_constant_outputs_needs_biases_only(case):
    network = damaged(case)
    smaller = compressed(network)
    np.testing.assert_allclose(
        np.tile(smaller.layers[-1].bias, (50, 1)), logits(network), rtol=1e-12
    )


@by_activation
@by_norm
def test_network_without_anything_to_remove_stays_the_same(norm, name):
    network = full_network(name, norm=norm)
    smaller = compressed(network)
    for layer, twin in zip(smaller.layers, network.layers, strict=True):
        assert layer.has_pattern_of(twin)
        np.testing.assert_array_equal(layer.weights, twin.weights)
        np.testing.assert_array_equal(layer.bias, twin.bias)
    for unit, other in zip(smaller.hidden, network.hidden, strict=True):
        assert unit.activation is other.activation
        assert unit.n_neurons == other.n_neurons
        np.testing.assert_array_equal(unit.parameters, other.parameters)
    np.testing.assert_array_equal(logits(smaller), logits(network))


@by_case
@pytest.mark.parametrize("as_zeros", [False, True])
@pytest.mark.parametrize("name", ["tanh", "srelu", "garelu"])
def test_original_is_unchanged_and_shares_no_memory(name, as_zeros, case):
    network = damaged(case, as_zeros=as_zeros, name=name, norm=True)
    before = network.copy()
    smaller = compressed(network)
    for layer in smaller.layers:
        layer.weights[:] = layer.bias[:] = np.nan
    for unit in smaller.hidden:
        unit.parameters[:] = np.nan
        for values in vars(unit.norm).values():
            values[:] = np.nan
    for layer, twin in zip(network.layers, before.layers, strict=True):
        assert layer.has_pattern_of(twin)
    np.testing.assert_array_equal(logits(network), logits(before))


@pytest.mark.parametrize("name", ["prelu", "srelu"])
def test_neurons_keep_the_parameters_that_are_their_own(name):
    network = damaged("without_incoming", full_masks(), name=name, norm=True)
    smaller = compressed(network)
    kept = np.setdiff1d(np.arange(9), [2, 8])
    unit, original = smaller.hidden[0], network.hidden[0]
    assert unit.n_neurons == 7
    np.testing.assert_array_equal(unit.parameters, original.parameters[:, kept])
    for values, array in vars(unit.norm).items():
        np.testing.assert_array_equal(array, vars(original.norm)[values][kept])


def test_compressed_network_has_nothing_more_to_remove():
    smaller = compressed(damaged("nothing"))
    again = compressed(smaller)
    assert again.sizes == smaller.sizes
    assert again.n_connections == smaller.n_connections
