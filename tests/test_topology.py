"""Evolution: what is removed, what stays untouched, where new connections grow."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from sklearn.base import clone

from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.initializers import HeNormal
from sksparse_mlp.topology import GROWTHS, RandomGrowth, weakest

by_growth = pytest.mark.parametrize("name", GROWTHS)
thoroughly = settings(deadline=None, derandomize=True, max_examples=300)
# Ties, both zeros, and ordinary values.
WEIGHTS = st.one_of(
    st.sampled_from([0.0, -0.0, 0.5, -0.5, 1e-30, -1e-30]),
    st.floats(-10, 10, width=32, allow_subnormal=False),
)
ZETAS = st.one_of(
    st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, 0.3, 0.5, 0.999])
)


def positions_of(layer):
    """Row-major positions of the connections."""
    return np.repeat(np.arange(layer.n_out), layer.fan_in) * layer.n_in + layer.indices


def layer_at(positions, weights, n_in, n_out, dtype=np.float64):
    """A layer with connections at the given sorted row-major positions.

    Its one slot numbers the connections from 1.
    """
    rows, columns = np.divmod(np.asarray(positions, np.int64), n_in)
    indptr = np.searchsorted(rows, np.arange(n_out + 1)).astype(np.int32)
    weights, bias = np.array(weights, dtype), np.arange(n_out, dtype=dtype)
    layer = SparseLayer(indptr, columns.astype(np.int32), weights, bias, n_in)
    layer.add_slots(1)
    layer.slots[0][0][:] = np.arange(1, weights.size + 1)
    layer.slots[0][1][:] = 5
    return layer


@st.composite
def layers(draw):
    """Layers of any shape and density, often nearly full."""
    n_in, n_out = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    n_positions = n_in * n_out
    n_free = draw(
        st.one_of(st.integers(0, min(3, n_positions)), st.integers(0, n_positions))
    )
    order = np.random.default_rng(draw(st.integers(0, 2**32))).permutation(n_positions)
    positions = np.sort(order[n_free:])
    size = positions.size
    weights = draw(st.lists(WEIGHTS, min_size=size, max_size=size))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return layer_at(positions, weights, n_in, n_out, dtype)


def evolved(name, layer, zeta, seed):
    """(layer before, layer after, numbers of the kept connections, returned counts)."""
    before = layer.copy()
    counts = GROWTHS[name]().evolve(layer, zeta, np.random.default_rng(seed))
    numbers = layer.slots[0][0].astype(int)
    return before, layer, numbers[numbers > 0] - 1, counts


def removed_sizes(weights, zeta):
    """Sizes of the non-negative and of the negative weights that SET removes, sorted."""
    for side in (weights >= 0, weights < 0):
        sizes = np.sort(np.abs(weights[side]))
        yield sizes[: round(zeta * sizes.size)]


@by_growth
@thoroughly
@given(layer=layers(), zeta=ZETAS, seed=st.integers(0, 2**32))
def test_pattern_stays_valid_and_of_the_same_size(name, layer, zeta, seed):
    before, after, _, _ = evolved(name, layer, zeta, seed)
    assert after.n_connections == before.n_connections
    assert after.weights.size == after.indices.size == after.indptr[-1]
    assert after.indptr[0] == 0
    assert np.all(np.diff(after.indptr) >= 0)
    assert np.all((after.indices >= 0) & (after.indices < after.n_in))
    # Increasing positions: columns sorted within rows, no duplicates.
    assert np.all(np.diff(positions_of(after)) > 0)
    assert after.indices.dtype == before.indices.dtype
    assert after.weights.dtype == after.slots[0][0].dtype == before.weights.dtype


@by_growth
@thoroughly
@given(layer=layers(), zeta=ZETAS, seed=st.integers(0, 2**32))
def test_exactly_the_weakest_of_each_sign_are_removed(name, layer, zeta, seed):
    before, _, kept, counts = evolved(name, layer, zeta, seed)
    removed = np.delete(before.weights, kept)
    expected = list(removed_sizes(before.weights, zeta))
    for side, sizes in zip((removed >= 0, removed < 0), expected, strict=True):
        np.testing.assert_array_equal(np.sort(np.abs(removed[side])), sizes)
    n_removed = sum(sizes.size for sizes in expected)
    assert counts == (n_removed, n_removed)


@by_growth
@thoroughly
@given(layer=layers(), zeta=ZETAS, seed=st.integers(0, 2**32))
def test_kept_connections_are_unchanged_and_new_ones_start_at_zero(name, layer, zeta, seed):
    before, after, kept, _ = evolved(name, layer, zeta, seed)
    is_old = after.slots[0][0] > 0
    np.testing.assert_array_equal(positions_of(after)[is_old], positions_of(before)[kept])
    np.testing.assert_array_equal(after.weights[is_old], before.weights[kept])
    assert not after.weights[~is_old].any()
    np.testing.assert_array_equal(after.bias, before.bias)
    assert np.all(after.slots[0][1] == 5)


def test_zeros_are_removed_before_any_positive_weight():
    weights = np.array([0.1, 0.0, -1e-9, 0.2, -0.0, 3.0, -2.0])
    assert sorted(weakest(weights, zeta=0.4).tolist()) == [1, 2, 4]


@pytest.mark.parametrize("weights", [[], [0.0], [1.0, 2.0], [-1.0, -2.0], [-0.5, 0.5]])
def test_zeta_of_zero_or_a_missing_sign_removes_nothing_of_it(weights):
    weights = np.array(weights)
    assert weakest(weights, zeta=0.0).size == 0
    removed = weights[weakest(weights, zeta=0.5)]
    n_expected = round(0.5 * np.sum(weights >= 0)) + round(0.5 * np.sum(weights < 0))
    assert removed.size == n_expected


def test_every_choice_of_free_positions_is_equally_likely():
    positions = np.array([0, 2, 3, 7, 8, 11])
    weights = [1.0, 0.1, -1.0, 5.0, -0.1, -2.0]
    rng = np.random.default_rng(0)
    # The connections at 2 and 8 go, so that their positions are free like the others.
    choices = dict.fromkeys(combinations([1, 2, 4, 5, 6, 8, 9, 10], 2), 0)
    for _ in range(200 * len(choices)):
        layer = layer_at(positions, weights, n_in=4, n_out=3)
        RandomGrowth().evolve(layer, 0.3, rng)
        grown = positions_of(layer)[layer.weights == 0]
        choices[tuple(grown.tolist())] += 1
    assert chisquare(list(choices.values())).pvalue > 1e-3


def test_growth_in_a_large_layer_is_even_over_rows_and_columns():
    rng = np.random.default_rng(0)
    layer = SparseLayer.random(1000, 800, 20, rng, np.float32)
    HeNormal()(layer, rng)
    for _ in range(5):
        RandomGrowth().evolve(layer, 0.3, rng)
        new = positions_of(layer)[layer.weights == 0]
        by_row = np.bincount(new // 1000 // 40, minlength=20)
        by_column = np.bincount(new % 1000 // 50, minlength=20)
        assert chisquare(by_row).pvalue > 1e-3
        assert chisquare(by_column).pvalue > 1e-3
        layer.weights[layer.weights == 0] = 10


@by_growth
def test_growth_follows_the_generator(name):
    def pattern(seed):
        rng = np.random.default_rng(0)
        layer = SparseLayer.random(40, 30, 3, rng, np.float64)
        HeNormal()(layer, rng)
        GROWTHS[name]().evolve(layer, 0.3, np.random.default_rng(seed))
        return positions_of(layer)

    np.testing.assert_array_equal(pattern(1), pattern(1))
    assert not np.array_equal(pattern(1), pattern(2))


@by_growth
def test_evolution_takes_memory_of_the_connections_only(name):
    n = 100_000
    rng = np.random.default_rng(0)
    layer = SparseLayer.random(n, n, 1, rng, np.float32)
    HeNormal()(layer, rng)
    layer.add_slots(2)
    tracemalloc.start()
    GROWTHS[name]().evolve(layer, 0.3, rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * (layer.n_connections + 2 * n)


@by_growth
def test_growth_is_a_cloneable_holder_of_valid_parameters(name):
    growth = GROWTHS[name]()
    growth._validate_params()
    assert clone(growth).get_params() == growth.get_params()
