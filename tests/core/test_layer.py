"""Sparse layers: counts, patterns, positions, conversions."""

import tracemalloc
from itertools import combinations, pairwise

import naive
import numpy as np
import pytest
from scipy import sparse
from scipy.stats import chisquare

from sksparse_mlp.core import layer as module
from sksparse_mlp.core.layer import SparseLayer, n_connections, required_bytes
from sksparse_mlp.initializers import HeNormal

HUGE = 3_000_000


def new_layer(n_in=30, n_out=20, epsilon=3.0, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    layer = SparseLayer.random(n_in, n_out, epsilon, rng, dtype)
    HeNormal()(layer, rng)
    layer.bias[:] = rng.standard_normal(n_out)
    return layer


def extra_bytes(function, *, transposed=False):
    """Bytes per connection that a function of a layer takes, at most, beyond its own.

    The layer has one slot and, if wanted, its transposed pattern.
    """
    # The smaller layer has the kernels compiled.
    for n in (100, 10_000):
        tracemalloc.start()
        layer = new_layer(n, n, epsilon=15, dtype=np.float32)
        layer.add_slots(1)
        if transposed:
            layer.transposed  # noqa: B018, it is computed when asked for
        size = layer.n_connections
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        result = function(layer)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        del result
    return (peak - before) / size


def dense(layer):
    """The weights as an array of shape (n_out, n_in)."""
    return naive.dense(layer.indptr, layer.indices, layer.weights, layer.n_in)


def huge_layer():
    # 4,000 connections among 9e12 positions.
    epsilon = 4000 / (2 * HUGE)
    return SparseLayer.random(HUGE, HUGE, epsilon, np.random.default_rng(5), np.float32)


def positions_of(layer):
    """Row-major positions of the connections, as 64-bit integers."""
    rows = np.repeat(np.arange(layer.n_out), layer.fan_in)
    return rows * layer.n_in + layer.indices


def assert_valid(layer):
    assert layer.indptr[0] == 0
    assert layer.indptr[-1] == layer.n_connections == layer.weights.size
    assert layer.indptr.shape == (layer.n_out + 1,)
    assert np.all(np.diff(layer.indptr) >= 0)
    assert np.all((layer.indices >= 0) & (layer.indices < layer.n_in))
    # Increasing positions: columns sorted within rows, no duplicates.
    assert np.all(np.diff(positions_of(layer)) > 0)


# --- how many connections -------------------------------------------------------------


@pytest.mark.parametrize(
    ("epsilon", "percentages"),
    [
        (10, ("95.50", "87.50", "87.50")),
        # Printed as 75.50; but density is proportional to epsilon, and the other rows
        # of the table agree on 0.0125 * epsilon for these layers.
        (20, ("91.00", "75.00", "75.00")),
        (30, ("86.50", "62.50", "62.50")),
        (40, ("82.00", "50.00", "50.00")),
    ],
)
def test_sparsity_is_that_of_zhang_table_6_2(epsilon, percentages):
    sizes = (500, 400, 100, 400)
    for (n_in, n_out), percentage in zip(pairwise(sizes), percentages, strict=True):
        layer = SparseLayer.random(n_in, n_out, epsilon, np.random.default_rng(0), float)
        sparsity = 1 - layer.n_connections / (n_in * n_out)
        assert f"{100 * sparsity:.2f}" == percentage


@pytest.mark.parametrize(
    ("n_in", "n_out", "epsilon", "expected"),
    [
        (784, 1000, 20, 35_680),
        (7, 3, 0.25, 2),  # 2.5, to the even number
        (7, 4, 0.25, 3),  # 2.75
        (7, 3, 0.01, 0),
        (5, 4, 2.2, 20),  # 19.8
    ],
)
def test_number_of_connections_is_rounded_to_the_nearest(n_in, n_out, epsilon, expected):
    assert n_connections(n_in, n_out, epsilon) == expected
    layer = SparseLayer.random(n_in, n_out, epsilon, np.random.default_rng(0), float)
    assert layer.n_connections == expected
    assert layer.is_full == (expected == n_in * n_out)


@pytest.mark.parametrize("epsilon", [20 / 9, 3, 1e6])
def test_layer_is_full_when_density_reaches_one(epsilon):
    layer = SparseLayer.random(5, 4, epsilon, np.random.default_rng(0), float)
    assert layer.is_full
    np.testing.assert_array_equal(positions_of(layer), np.arange(20))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_slots", [1, 2])
@pytest.mark.parametrize("epsilon", [0.01, 3, 100])
def test_required_bytes_are_those_of_a_layer_in_training(epsilon, n_slots, dtype):
    layer = new_layer(epsilon=epsilon, dtype=dtype)
    layer.add_slots(n_slots)
    arrays = [layer.weights, layer.bias, layer.indptr, layer.indices, *layer.transposed]
    arrays += [array for slots in layer.slots for array in slots]
    expected = sum(array.nbytes for array in arrays)
    assert required_bytes(30, 20, epsilon, dtype, n_slots) == expected


@pytest.mark.parametrize(
    ("n_in", "n_out", "epsilon", "index_size"),
    [
        (2**31 - 1, 2, 0.01, 4),
        (2**31, 2, 0.01, 8),
        (2, 2**31 - 1, 0.01, 4),
        (2, 2**31, 0.01, 8),
        (2**20, 2**20, 1023, 4),
        (2**20, 2**20, 1024, 8),
    ],
)
def test_indices_beyond_32_bits_require_64(n_in, n_out, epsilon, index_size):
    size = n_connections(n_in, n_out, epsilon)
    expected = index_size * (3 * size + n_in + n_out + 2) + 8 * (size + n_out)
    assert required_bytes(n_in, n_out, epsilon, np.float32, 1) == expected


def test_layer_of_more_positions_than_can_be_told_apart_is_refused():
    sizes = 2**27, np.int64(2**26 + 1)
    message = "from 134217728 to 67108865 neurons"
    with pytest.raises(ValueError, match=message):
        SparseLayer.random(*sizes, 1e-9, np.random.default_rng(0), np.float32)


def test_largest_layer_is_not_refused(monkeypatch):
    monkeypatch.setattr(module, "MAX_POSITIONS", 600)
    assert new_layer(30, 20).n_out == 20
    with pytest.raises(ValueError, match=r"from 601 to 1 "):
        new_layer(601, 1)


def test_layer_without_connections_passes_its_biases_on():
    layer = new_layer(epsilon=1e-6)
    z = np.empty((layer.n_out, 8))
    layer.forward(np.ones((layer.n_in, 8)), z, 0, layer.n_out)
    np.testing.assert_array_equal(z, np.repeat(layer.bias[:, np.newaxis], 8, axis=1))


# --- where they are -------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (30, 20), (300, 2)])
@pytest.mark.parametrize("epsilon", [0.01, 0.5, 1.9, 5])
def test_random_pattern_is_valid(shape, epsilon):
    layer = SparseLayer.random(*shape, epsilon, np.random.default_rng(0), np.float32)
    assert_valid(layer)
    assert layer.weights.dtype == layer.bias.dtype == np.float32
    assert not layer.weights.any()
    assert not layer.bias.any()


@pytest.mark.parametrize("size", [2, 4])
def test_every_pattern_is_equally_likely(size):
    rng = np.random.default_rng(4)
    patterns = dict.fromkeys(combinations(range(6), size), 0)
    for _ in range(200 * len(patterns)):
        layer = SparseLayer.random(3, 2, size / 5, rng, np.float64)
        patterns[tuple(positions_of(layer).tolist())] += 1
    assert chisquare(list(patterns.values())).pvalue > 1e-3


def test_rows_and_columns_are_hit_evenly():
    layer = SparseLayer.random(2000, 1000, 20, np.random.default_rng(6), np.float32)
    assert chisquare(layer.fan_in).pvalue > 1e-3
    assert chisquare(np.bincount(layer.indices, minlength=2000)).pvalue > 1e-3


def test_positions_beyond_32_bits_are_right():
    layer = huge_layer()
    assert layer.n_connections == 4000
    assert_valid(layer)
    positions = positions_of(layer)
    assert np.sum(positions > 2**32) > 3900
    by_block = np.bincount(positions // (HUGE**2 // 20), minlength=20)
    assert chisquare(by_block).pvalue > 1e-3
    by_column = np.bincount(layer.indices // (HUGE // 20), minlength=20)
    assert chisquare(by_column).pvalue > 1e-3


def test_rewiring_beyond_32_bits_puts_connections_where_asked():
    layer = huge_layer()
    layer.weights[:] = 1
    keep = np.ones(layer.n_connections, bool)
    keep[[5, 10, 20]] = False
    kept = positions_of(layer)[keep]
    ranks = np.array([0, 2**32 + 1, HUGE**2 - kept.size - 1])
    layer.rewire(keep, ranks)
    assert_valid(layer)
    new = positions_of(layer)[layer.weights == 0]
    # The rank of a position is the number of free ones before it.
    np.testing.assert_array_equal(new - np.searchsorted(kept, new), ranks)
    np.testing.assert_array_equal(positions_of(layer)[layer.weights == 1], kept)


@pytest.mark.parametrize("n_new", [0, 3, 40])
def test_rewiring_may_shrink_or_grow_a_layer(n_new):
    layer = new_layer(dtype=np.float32)
    layer.add_slots(2)
    for n, (slot, _) in enumerate(layer.slots, start=1):
        slot[:] = n * np.arange(1, slot.size + 1)
    before, slots, bias = (
        layer.copy(),
        [s.copy() for s, _ in layer.slots],
        layer.slots[0][1],
    )
    keep = np.arange(layer.n_connections) % 3 > 0
    taken = positions_of(layer)[keep]
    free = np.setdiff1d(np.arange(layer.n_in * layer.n_out), taken)
    ranks = np.linspace(0, free.size - 1, n_new).astype(np.int64)
    grown = layer.rewire(keep, ranks)
    assert_valid(layer)
    assert layer.n_connections == keep.sum() + n_new
    assert layer.indices.dtype == before.indices.dtype
    np.testing.assert_array_equal(positions_of(layer)[grown], free[ranks])
    np.testing.assert_array_equal(np.delete(positions_of(layer), grown), taken)
    for values, old in zip(
        [layer.weights, *(slot for slot, _ in layer.slots)],
        [before.weights, *slots],
        strict=True,
    ):
        assert not values[grown].any()
        np.testing.assert_array_equal(np.delete(values, grown), old[keep], strict=True)
    np.testing.assert_array_equal(layer.bias, before.bias)
    assert layer.slots[0][1] is bias


def test_layer_may_lose_and_regain_all_its_connections():
    layer = new_layer()
    size = layer.n_in * layer.n_out
    layer.rewire(np.zeros(layer.n_connections, bool), np.empty(0, np.int64))
    assert layer.n_connections == 0
    assert_valid(layer)
    grown = layer.rewire(np.empty(0, bool), np.arange(size))
    assert layer.is_full
    np.testing.assert_array_equal(grown, np.arange(size))
    assert_valid(layer)


@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
def test_positions_are_those_of_the_kept_connections(kept):
    layer = new_layer()
    keep = np.random.default_rng(0).random(layer.n_connections) < kept
    np.testing.assert_array_equal(
        layer.positions(keep), positions_of(layer)[keep], strict=True
    )


def test_positions_beyond_32_bits_are_not_wrapped():
    layer = huge_layer()
    positions = layer.positions(np.ones(layer.n_connections, bool))
    assert positions.dtype == np.int64
    assert np.all(np.diff(positions) > 0)
    rows, columns = np.divmod(positions, HUGE)
    np.testing.assert_array_equal(columns, layer.indices)
    np.testing.assert_array_equal(np.bincount(rows, minlength=HUGE), layer.fan_in)


def test_initialisation_takes_memory_of_the_connections_only():
    n = 100_000
    tracemalloc.start()
    layer = SparseLayer.random(n, n, 1, np.random.default_rng(0), np.float32)
    HeNormal()(layer, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * (layer.n_connections + 2 * n)


def test_random_pattern_takes_13_bytes_per_connection():
    def draw(layer):
        n, rng = layer.n_in, np.random.default_rng(0)
        return SparseLayer.random(n, n, 15, rng, np.float32)

    assert 8 < extra_bytes(draw) < 13


def test_random_pattern_is_that_of_the_plain_twin():
    layer = SparseLayer.random(300, 200, 3, np.random.default_rng(7), np.float32)
    positions = naive.sample_sorted(np.random.default_rng(7), 300 * 200, 1500)
    np.testing.assert_array_equal(positions_of(layer), positions)
    assert layer.indptr.dtype == layer.indices.dtype == np.int32


def test_positions_take_their_own_memory_only():
    def positions(layer):
        return layer.positions(np.ones(layer.n_connections, bool))

    # The mask of the connections takes another byte.
    assert extra_bytes(positions) < 9.1


# --- rewiring in place ----------------------------------------------------------------


def test_rewiring_to_as_many_connections_moves_values_in_place():
    layer = new_layer()
    layer.add_slots(2)
    arrays = [layer.weights, *(slot for slot, _ in layer.slots)]
    keep = np.arange(layer.n_connections) % 3 > 0
    layer.rewire(keep, np.arange(np.sum(~keep)))
    after = [layer.weights, *(slot for slot, _ in layer.slots)]
    assert all(a is b for a, b in zip(arrays, after, strict=True))


@pytest.mark.parametrize("n_new", [0, 3, 50, 90])
def test_rewiring_leaves_copies_alone(n_new):
    layer = new_layer()
    layer.add_slots(1)
    copy, before = layer.copy(), new_layer()
    _ = copy.transposed
    layer.rewire(np.arange(layer.n_connections) % 3 > 0, np.arange(n_new))
    for name in ("indptr", "indices", "weights", "bias"):
        np.testing.assert_array_equal(getattr(copy, name), getattr(before, name))
    assert_transposed_is_right(copy)


def test_smaller_layer_gives_memory_back():
    layer = new_layer()
    layer.add_slots(1)
    layer.rewire(np.arange(layer.n_connections) % 3 > 0, np.empty(0, np.int64))
    for array in (layer.weights, layer.slots[0][0]):
        assert array.base is None
        assert array.size == layer.n_connections


@pytest.mark.parametrize(
    ("n_new", "expected"), [(0, 1 + 8 / 3), (1, 1 + 8 / 3 + 4 + 4 / 3)]
)
def test_rewiring_takes_its_arguments_and_the_new_pattern(n_new, expected):
    """Of three connections two are kept; none or as many grow."""

    def rewire(layer):
        keep = np.tile([True, True, False], layer.n_connections // 3)
        layer.rewire(keep, np.arange(layer.n_connections // 3 * n_new))
        assert layer._transposed is None

    # Without new connections, an array that shrinks is there twice for a moment.
    expected += 8 / 3 * (n_new == 0)
    assert extra_bytes(rewire) < expected + 0.2
    # The transposed pattern took 8.
    assert extra_bytes(rewire, transposed=True) < max(expected - 8 + 0.2, 3.7)


# --- what neurons have ----------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("epsilon", [0.01, 0.5, 3, 100])
def test_strengths_and_fans_are_sums_over_the_dense_matrix(epsilon, dtype):
    layer = new_layer(epsilon=epsilon, dtype=dtype)
    sizes, exists = np.abs(dense(layer)).astype(np.float64), dense(layer) != 0
    wanted = np.random.default_rng(2).random(layer.n_out)
    found = layer.input_strengths(wanted)
    np.testing.assert_allclose(found, wanted @ sizes, rtol=1e-6)
    np.testing.assert_allclose(layer.output_strengths(), sizes.sum(axis=1), rtol=1e-6)
    assert found.dtype == layer.output_strengths().dtype == np.float64
    np.testing.assert_array_equal(layer.fan_out, exists.sum(axis=0))
    np.testing.assert_array_equal(layer.fan_in, exists.sum(axis=1))


def test_fan_out_counts_connections_of_weight_zero():
    layer = new_layer()
    fan_out = layer.fan_out
    layer.weights[:] = 0
    np.testing.assert_array_equal(layer.fan_out, fan_out)
    strengths = layer.input_strengths(np.ones(layer.n_out))
    assert strengths.shape == (layer.n_in,)
    assert not strengths.any()
    assert layer.output_strengths().shape == (layer.n_out,)


def test_fan_out_is_the_same_with_and_without_a_transposed_pattern():
    layer = new_layer()
    counted = layer.fan_out
    assert layer._transposed is None
    _ = layer.transposed
    np.testing.assert_array_equal(layer.fan_out, counted)
    assert counted.size == layer.n_in


ONES = np.ones(10**6)


@pytest.mark.parametrize("transposed", [False, True])
def test_sums_over_a_layer_take_memory_of_the_neurons_only(transposed):
    for function in (
        lambda layer: layer.input_strengths(ONES[: layer.n_out]),
        SparseLayer.output_strengths,
        SparseLayer.is_finite,
        lambda layer: layer.fan_out,
    ):
        assert extra_bytes(function, transposed=transposed) < 0.4


# --- layers among some of the neurons -------------------------------------------------

SOME = {
    "all": (np.arange(30), np.arange(20)),
    "last-dead": (np.arange(25), np.arange(17)),
    "first-dead": (np.arange(4, 30), np.arange(3, 20)),
    "scattered": (np.arange(1, 30, 2), np.array([0, 3, 4, 9, 18])),
    "one-each": (np.array([7]), np.array([19])),
    "dead-inputs": (np.arange(2, 28), np.arange(20)),
    "dead-outputs": (np.arange(30), np.array([1, 2, 18])),
}
by_part = pytest.mark.parametrize("name", SOME)


def layer_among(inputs, outputs, epsilon=3.0, index_dtype=np.int32):
    """A layer all of whose connections are between the given neurons."""
    layer = new_layer(epsilon=epsilon)
    layer.add_slots(1)
    layer.slots[0][0][:] = np.arange(1, layer.n_connections + 1)
    rows = np.repeat(np.arange(layer.n_out), layer.fan_in)
    keep = np.isin(layer.indices, inputs) & np.isin(rows, outputs)
    layer.rewire(keep, np.empty(0, np.int64))
    layer.indptr = layer.indptr.astype(index_dtype)
    layer.indices = layer.indices.astype(index_dtype)
    return layer


@by_part
@pytest.mark.parametrize("epsilon", [0.2, 3, 100])
def test_part_of_a_layer_has_its_weights_among_the_neurons(name, epsilon):
    inputs, outputs = SOME[name]
    layer = layer_among(inputs, outputs, epsilon)
    part = layer.restricted(inputs, outputs)
    assert_valid(part)
    assert (part.n_in, part.n_out) == (inputs.size, outputs.size)
    np.testing.assert_array_equal(dense(part), dense(layer)[np.ix_(outputs, inputs)])
    np.testing.assert_array_equal(part.bias, layer.bias[outputs])
    assert part.slots is layer.slots
    x = np.zeros((layer.n_in, 8))
    x[inputs] = np.random.default_rng(0).standard_normal((inputs.size, 8))
    z, z_part = np.empty((layer.n_out, 8)), np.empty((outputs.size, 8))
    layer.forward(x, z, 0, layer.n_out)
    part.forward(x[inputs], z_part, 0, part.n_out)
    np.testing.assert_allclose(z_part, z[outputs], rtol=1e-12, atol=1e-12)


@by_part
@pytest.mark.parametrize("epsilon", [0.2, 3, 100])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_layer_takes_its_part_back_as_it_was(name, epsilon, index_dtype):
    inputs, outputs = SOME[name]
    layer = layer_among(inputs, outputs, epsilon, index_dtype)
    before, slot = layer.copy(), layer.slots[0][0].copy()
    part = layer.restricted(inputs, outputs)
    layer.take_restricted(part, inputs, outputs)
    assert_valid(layer)
    for array in ("indptr", "indices", "weights", "bias"):
        np.testing.assert_array_equal(
            getattr(layer, array), getattr(before, array), strict=True
        )
    np.testing.assert_array_equal(layer.slots[0][0], slot)


@by_part
def test_connections_among_neurons_are_told_from_others(name):
    inputs, outputs = SOME[name]
    layer = new_layer()
    rows = np.repeat(np.arange(layer.n_out), layer.fan_in)
    expected = np.isin(layer.indices, inputs) & np.isin(rows, outputs)
    np.testing.assert_array_equal(layer.among(inputs, outputs), expected, strict=True)


def test_parts_of_a_layer_take_memory_of_their_pattern_only():
    def restrict(layer):
        neurons = np.arange(layer.n_in)
        return layer.restricted(neurons, neurons)

    def restrict_and_return(layer):
        neurons = np.arange(layer.n_in)
        layer.take_restricted(layer.restricted(neurons, neurons), neurons, neurons)

    def among(layer):
        neurons = np.arange(layer.n_in)
        return layer.among(neurons, neurons)

    assert extra_bytes(restrict) < 4.8
    # Two patterns for a moment.
    assert extra_bytes(restrict_and_return) < 9
    assert extra_bytes(among) < 1.4


@by_part
def test_layer_takes_the_changes_of_its_part(name):
    inputs, outputs = SOME[name]
    layer = layer_among(inputs, outputs)
    bias, bias_slot = layer.bias.copy(), layer.slots[0][1]
    part = layer.restricted(inputs, outputs)
    keep = np.arange(part.n_connections) % 4 > 0
    n_free = part.n_in * part.n_out - keep.sum()
    part.rewire(keep, np.arange(0, n_free, 3))
    part.weights[part.weights == 0] = 9
    # Computed before, so that it must follow.
    assert_transposed_is_right(layer)
    layer.take_restricted(part, inputs, outputs)
    assert_valid(layer)
    expected = np.zeros((layer.n_out, layer.n_in))
    expected[np.ix_(outputs, inputs)] = dense(part)
    np.testing.assert_array_equal(dense(layer), expected)
    np.testing.assert_array_equal(layer.bias, bias)
    assert layer.slots[0][0] is part.slots[0][0]
    assert layer.slots[0][1] is bias_slot
    assert_transposed_is_right(layer)


# --- conversions and copies -----------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("epsilon", [0.01, 3, 100])
def test_coef_describes_the_layer_and_back(epsilon, dtype):
    layer = new_layer(epsilon=epsilon, dtype=dtype)
    # A connection of weight zero, as evolution makes them, stays one.
    layer.weights[:1] = 0
    coef = layer.to_coef()
    assert isinstance(coef, sparse.csr_array)
    assert coef.shape == (layer.n_in, layer.n_out)
    np.testing.assert_array_equal(coef.toarray(), dense(layer).T)
    back = SparseLayer.from_coef(coef, layer.bias)
    assert back.has_pattern_of(layer)
    assert (back.n_in, back.n_out) == (layer.n_in, layer.n_out)
    for name in ("weights", "bias", "indptr", "indices"):
        np.testing.assert_array_equal(
            getattr(back, name), getattr(layer, name), strict=True
        )


@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_array])
def test_coef_and_layer_share_no_memory(container):
    layer = new_layer()
    coef = container(layer.to_coef())
    back = SparseLayer.from_coef(coef, layer.bias)
    assert not np.shares_memory(coef.data, layer.weights)
    assert not np.shares_memory(back.weights, coef.data)
    assert not np.shares_memory(back.bias, layer.bias)


def test_coef_is_canonical():
    coef = new_layer().to_coef()
    assert coef.has_canonical_format
    # Without what it was told:
    assert sparse.csr_array((coef.data, coef.indices, coef.indptr)).has_canonical_format


def test_coef_may_be_changed_in_place_without_any_effect_on_the_layer():
    layer = new_layer()
    _ = layer.transposed
    layer.weights[::2] = 0
    coef = layer.to_coef()
    coef.eliminate_zeros()
    coef.indptr[:] = coef.indices[:] = 0
    coef.data[:] = 0
    assert_valid(layer)
    assert_transposed_is_right(layer)
    assert np.count_nonzero(layer.weights) == layer.n_connections // 2


def test_coef_takes_4_bytes_beyond_the_transposed_pattern():
    assert extra_bytes(SparseLayer.to_coef, transposed=True) < 4.1
    assert extra_bytes(SparseLayer.to_coef) < 12.3


@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_array])
def test_from_coef_sorts_connections(container):
    coef = container(new_layer().to_coef())
    reverse = [np.arange(start, stop)[::-1] for start, stop in pairwise(coef.indptr)]
    order = np.concatenate(reverse)
    shuffled = container((coef.data[order], coef.indices[order], coef.indptr), coef.shape)
    layer = SparseLayer.from_coef(shuffled, np.zeros(coef.shape[1]))
    assert_valid(layer)
    np.testing.assert_array_equal(dense(layer), coef.toarray().T)


def test_copy_keeps_values_of_its_own_and_no_slots():
    layer = new_layer()
    layer.add_slots(1)
    copy = layer.copy()
    layer.weights += 1
    layer.bias += 1
    assert copy.has_pattern_of(layer)
    assert copy.slots == []
    np.testing.assert_allclose(layer.weights - copy.weights, 1)
    np.testing.assert_allclose(layer.bias - copy.bias, 1)


def test_copy_keeps_its_pattern_when_the_original_is_rewired():
    layer = new_layer()
    copy = layer.copy()
    pattern = positions_of(layer)
    keep = np.arange(layer.n_connections) >= 10
    layer.rewire(keep, np.arange(10))
    assert not copy.has_pattern_of(layer)
    np.testing.assert_array_equal(positions_of(copy), pattern)


@pytest.mark.parametrize("change", ["n_in", "indptr", "indices"])
def test_patterns_differ_in_any_of_their_parts(change):
    layer, other = new_layer(), new_layer()
    assert layer.has_pattern_of(other)
    setattr(other, change, getattr(other, change) + 1)
    assert not layer.has_pattern_of(other)


@pytest.mark.parametrize("values", ["weights", "bias"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_layer_notices_what_is_not_finite(values, bad):
    layer = new_layer()
    assert layer.is_finite()
    getattr(layer, values)[-1] = bad
    assert not layer.is_finite()


def test_slots_are_zero_and_added_once():
    layer = new_layer(dtype=np.float32)
    layer.add_slots(2)
    assert [(w.shape, b.shape) for w, b in layer.slots] == 2 * [
        (layer.weights.shape, layer.bias.shape)
    ]
    assert all(w.dtype == b.dtype == np.float32 for w, b in layer.slots)
    assert not any(w.any() or b.any() for w, b in layer.slots)
    layer.slots[0][0][:] = 7
    layer.add_slots(2)
    assert np.all(layer.slots[0][0] == 7)


# --- skipping inputs that are zero ----------------------------------------------------


def inputs_with(n_active, shape):
    x = np.zeros(shape)
    x.flat[:n_active] = 1.0
    return x


@pytest.mark.parametrize(("n_active", "skips"), [(0, True), (60, True), (61, False)])
def test_full_layer_prefers_skipping_up_to_half_of_the_inputs(n_active, skips):
    layer = new_layer(12, 32, epsilon=1e6)
    assert layer.is_full
    assert layer.prefers_skipping(inputs_with(n_active, (12, 10)), 10) is skips
    assert not new_layer(12, 31, epsilon=1e6).prefers_skipping(np.zeros((12, 10)), 10)


@pytest.mark.parametrize(
    ("n_active", "batch", "skips"),
    [(12, 1, True), (24, 10, True), (25, 10, False), (24, 64, True), (0, 65, False)],
)
def test_sparse_layer_prefers_skipping_where_few_samples_need_an_input(
    n_active, batch, skips
):
    layer = new_layer(12, 7, epsilon=1)
    assert not layer.is_full
    assert layer.prefers_skipping(inputs_with(n_active, (12, batch)), batch) is skips


@pytest.mark.parametrize("epsilon", [0.01, 3, 1e6])
def test_skipping_forward_equals_forward(epsilon):
    layer = new_layer(epsilon=epsilon)
    x = np.random.default_rng(0).standard_normal((layer.n_in, 16))
    x[np.random.default_rng(1).random(x.shape) < 0.7] = 0
    z, skipping = np.empty((2, layer.n_out, 16))
    layer.forward(x, z, 0, layer.n_out)
    layer.skipping_forward()(x, skipping, 0, 16)
    np.testing.assert_allclose(skipping, z, rtol=1e-12, atol=1e-12)


# --- the pattern by input neurons -----------------------------------------------------


def assert_transposed_is_right(layer):
    indptr, indices, positions = layer.transposed
    W_transposed = naive.dense(indptr, indices, layer.weights[positions], layer.n_out)
    np.testing.assert_array_equal(W_transposed, dense(layer).T)
    np.testing.assert_array_equal(np.sort(positions), np.arange(layer.n_connections))
    # Sorted within each row.
    rows = np.repeat(np.arange(layer.n_in), np.diff(indptr))
    assert np.all(np.diff(rows * layer.n_out + indices) > 0)
    assert indptr.dtype == indices.dtype == positions.dtype == layer.indices.dtype


@pytest.mark.parametrize("epsilon", [0.01, 3, 100])
def test_transposed_pattern_is_right(epsilon):
    assert_transposed_is_right(new_layer(epsilon=epsilon))


def test_transposed_pattern_follows_rewiring():
    layer = new_layer()
    assert_transposed_is_right(layer)
    keep = np.arange(layer.n_connections) % 3 > 0
    layer.rewire(keep, np.arange(np.sum(~keep)))
    layer.weights[:] = np.arange(1, layer.n_connections + 1)
    assert_transposed_is_right(layer)


def test_transposed_pattern_takes_its_own_memory_until_it_is_dropped():
    assert extra_bytes(lambda layer: layer.transposed) < 8.3
    layer = new_layer()
    first = layer.transposed
    assert layer.transposed is first
    layer.drop_transposed()
    assert layer.transposed is not first


@pytest.mark.parametrize("n_threads", [1, 2, 3, 16])
@pytest.mark.parametrize("shape", [(1, 1), (30, 20), (3, 400)])
def test_shares_cover_every_row_once(shape, n_threads):
    layer = new_layer(*shape)
    for shares, n_rows in [
        (layer.shares(n_threads), layer.n_out),
        (layer.input_shares(n_threads), layer.n_in),
    ]:
        assert len(shares) == n_threads + 1
        assert (shares[0], shares[-1]) == (0, n_rows)
        assert shares == sorted(shares)


def test_shares_are_of_equal_work():
    layer = new_layer(2000, 1000, epsilon=10)
    for shares, indptr in [
        (layer.shares(4), layer.indptr),
        (layer.input_shares(4), layer.transposed[0]),
    ]:
        work = np.diff(indptr[shares])
        np.testing.assert_allclose(work, layer.n_connections / 4, rtol=0.02)


@pytest.mark.parametrize("epsilon", [3, 1e6])
def test_layer_from_a_matrix_skips_with_its_weights_until_it_is_trained(epsilon):
    layer = new_layer(epsilon=epsilon)
    layer = SparseLayer.from_coef(layer.to_coef(), layer.bias)
    x = np.random.default_rng(0).standard_normal((layer.n_in, 16))
    z, skipping = np.empty((2, layer.n_out, 16))
    for factor in (1, 2):
        layer.weights *= factor
        layer.forward(x, z, 0, layer.n_out)
        layer.skipping_forward()(x, skipping, 0, 16)
        np.testing.assert_allclose(skipping, z, rtol=1e-12, atol=1e-12)
        layer.add_slots(1)
