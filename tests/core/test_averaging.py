"""Averages of networks of different patterns, against dense arithmetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import new_network

from sksparse_mlp.core.averaging import LayerAverage, NetworkAverage, strongest, turnover
from sksparse_mlp.core.layer import SparseLayer

N_IN, N_OUT = 5, 4


def naive_strongest(weights, size):
    """The sorted sizes of those that are kept."""
    return sorted(sorted(np.abs(weights), reverse=True)[:size])


def naive_average(layers, shares):
    """Dense sums of weights and of who has a connection."""
    weights, known = np.zeros((N_OUT, N_IN)), np.zeros((N_OUT, N_IN), bool)
    for layer, share in zip(layers, shares, strict=True):
        for row in range(N_OUT):
            for k in range(layer.indptr[row], layer.indptr[row + 1]):
                weights[row, layer.indices[k]] += share * float(layer.weights[k])
                known[row, layer.indices[k]] = True
    return weights, known


def new_layer(seed, size, dtype=np.float32, n_slots=0):
    rng = np.random.default_rng(seed)
    layer = SparseLayer.random(N_IN, N_OUT, size / (N_IN + N_OUT), rng, dtype)
    layer.weights[:] = rng.standard_normal(layer.n_connections)
    layer.bias[:] = rng.standard_normal(N_OUT)
    layer.slots = [
        (rng.random(layer.n_connections).astype(dtype), rng.random(N_OUT).astype(dtype))
        for _ in range(n_slots)
    ]
    return layer


def dense(layer, values):
    matrix = np.zeros((layer.n_out, layer.n_in))
    rows = np.repeat(np.arange(layer.n_out), layer.fan_in)
    matrix[rows, layer.indices] = values
    return matrix


cases = st.lists(
    st.tuples(st.integers(0, 99), st.integers(0, N_IN * N_OUT), st.floats(0.1, 1)),
    min_size=1,
    max_size=5,
)


@settings(deadline=None)
@given(cases, st.integers(0, N_IN * N_OUT))
def test_layers_are_averaged_on_the_union_and_cut_to_the_strongest(drawn, n_connections):
    layers = [new_layer(seed, size) for seed, size, _ in drawn]
    shares = [share for *_, share in drawn]
    average = LayerAverage(N_IN)
    for layer, share in zip(layers, shares, strict=True):
        average.add(layer, share)
    weights, known = naive_average(layers, shares)
    assert np.array_equal(average.positions, np.flatnonzero(known))

    cut = average.layer(n_connections, np.float64)
    size = min(n_connections, known.sum())
    assert cut.n_connections == size
    assert np.array_equal(cut.positions(np.ones(size, bool)), _kept(average, n_connections))
    kept = dense(cut, np.ones(size)).astype(bool)
    assert not (kept & ~known).any()
    assert np.array_equal(dense(cut, cut.weights), np.where(kept, weights, 0))
    assert sorted(abs(cut.weights)) == naive_strongest(weights[known], n_connections)
    biases = sum(s * la.bias.astype(float) for la, s in zip(layers, shares, strict=True))
    assert np.allclose(cut.bias, biases, rtol=1e-15, atol=1e-15)


def _kept(average, size):
    return average.positions[strongest(average.values[0], size)]


@settings(deadline=None)
@given(st.lists(st.integers(-3, 3), max_size=30), st.integers(0, 35))
def test_the_strongest_are_distinct_sorted_and_no_weaker_than_the_rest(values, size):
    weights = np.array(values, dtype=float)
    kept = strongest(weights, size)
    assert kept.size == min(size, weights.size)
    assert (np.diff(kept) > 0).all()
    assert sorted(abs(weights[kept])) == naive_strongest(weights, size)


def test_equal_weights_are_kept_at_even_distances():
    assert strongest(np.full(12, -2.0), 3).tolist() == [2, 6, 10]
    weights = np.array([1.0, 1, 9, 1, 1, 1, 1])
    assert strongest(weights, 3).tolist() == [1, 2, 5]


def test_slots_follow_their_connections():
    layers = [new_layer(seed, 9, n_slots=2) for seed in range(3)]
    average = LayerAverage(N_IN)
    for layer in layers:
        average.add(layer, 1 / 3)
    cut = average.layer(8, np.float32)
    kept = dense(cut, np.ones(8)).astype(bool)
    for k in range(2):
        mean = sum(dense(layer, layer.slots[k][0]) for layer in layers) / 3
        assert np.allclose(dense(cut, cut.slots[k][0]), np.where(kept, mean, 0), atol=1e-7)
        biases = sum(layer.slots[k][1] for layer in layers) / 3
        assert np.allclose(cut.slots[k][1], biases)
        assert cut.slots[k][0].dtype == np.float32


def arrays_of(network):
    for layer in network.layers:
        yield from (layer.indptr, layer.indices, layer.weights, layer.bias)
        yield from (array for pair in layer.slots for array in pair)
    for unit in network.hidden:
        yield unit.parameters
        yield from unit.slots
        yield from () if unit.norm is None else vars(unit.norm).values()


def averaged(networks, shares, n_connections=None):
    average = NetworkAverage(networks[0])
    for network, share in zip(networks, shares, strict=True):
        average.add(network, share)
    sizes = [layer.n_connections for layer in networks[0].layers]
    return average.network(n_connections or sizes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_average_of_one_network_is_itself(dtype):
    network = new_network("prelu", dtype=dtype, norm=True)
    network.add_slots(2)
    copy = averaged([network], [1.0])
    for one, other in zip(arrays_of(copy), arrays_of(network), strict=True):
        assert one.dtype == other.dtype
        # The variance comes from the mean of squares.
        assert np.allclose(one, other, rtol=1e-6)
    assert np.array_equal(copy.layers[0].weights, network.layers[0].weights)
    assert not np.shares_memory(copy.layers[0].weights, network.layers[0].weights)
    assert copy.loss is network.loss


def test_moments_become_those_of_all_samples():
    networks = [new_network("relu", seed=seed, norm=True) for seed in (0, 1)]
    rng = np.random.default_rng(0)
    values = [rng.normal(3 * k, 1 + k, (size, 8)) for k, size in enumerate((300, 100))]
    for network, sample in zip(networks, values, strict=True):
        norm = network.hidden[0].norm
        norm.mean[:], norm.variance[:] = sample.mean(axis=0), sample.var(axis=0)
    norm = averaged(networks, [0.75, 0.25]).hidden[0].norm
    everything = np.concatenate(values)
    assert np.allclose(norm.mean, everything.mean(axis=0))
    assert np.allclose(norm.variance, everything.var(axis=0))
    gains = [network.hidden[0].norm.gain for network in networks]
    assert np.allclose(norm.gain, 0.75 * gains[0] + 0.25 * gains[1])


def test_learned_parameters_of_activations_and_their_slots_are_averaged():
    networks = [new_network("prelu", seed=seed) for seed in (0, 1)]
    for seed, network in enumerate(networks):
        network.add_slots(1)
        network.hidden[0].slots[0][:] = seed
    unit = averaged(networks, [0.25, 0.75]).hidden[0]
    ones, others = (network.hidden[0].parameters for network in networks)
    assert np.allclose(unit.parameters, 0.25 * ones + 0.75 * others)
    assert (unit.slots[0] == 0.75).all()
    assert unit.activation is networks[0].hidden[0].activation


def test_a_tiny_variance_does_not_become_negative():
    network = new_network("relu", dtype=np.float32, norm=True)
    norm = network.hidden[0].norm
    norm.mean[:], norm.variance[:] = 1e4 / 3, 0
    assert (averaged([network, network], [0.3, 0.7]).hidden[0].norm.variance >= 0).all()


def test_turnover_is_the_share_of_connections_that_are_new():
    network = new_network("relu")
    assert turnover(network, network.copy()) == 0
    moved = network.copy()
    keep = np.ones(moved.layers[0].n_connections, bool)
    keep[:4] = False
    # The highest ranks are free positions of the last output, none of which just left.
    n_free = moved.layers[0].n_in * moved.layers[0].n_out - keep.sum()
    moved.layers[0].rewire(keep, np.arange(n_free - 4, n_free))
    assert turnover(network, moved) == pytest.approx(4 / network.n_connections)


def test_turnover_of_full_networks_is_none():
    network = new_network("relu", epsilon=1e6)
    assert turnover(network, network.copy()) == 0
