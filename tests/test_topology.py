"""Evolution: what is removed, what stays untouched, where new connections grow."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import chi2_contingency, chisquare
from sklearn.base import clone

from sksparse_mlp import topology
from sksparse_mlp.core import pairs, paths
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.initializers import HeNormal
from sksparse_mlp.topology import (
    GROWTHS,
    PRUNINGS,
    CannistraciHebbGrowth,
    CosineGrowth,
    GradientGrowth,
    ImportancePruning,
    LiSET,
    RandomGrowth,
    weakest,
)

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


def signal_of(rule, layer, batch=2):
    """What a rule wants to know of a layer, most of whose neurons are silent."""
    rng = np.random.default_rng(2)
    if rule.signal == "skips":
        return rng.random(layer.n_in).astype(np.float32)
    if rule.signal is None:
        return None
    parts = [rng.standard_normal((n, batch)) for n in (layer.n_in, layer.n_out)]
    for part in parts:
        part[np.arange(len(part)) % 5 > 0] = 0
    return tuple(part.astype(layer.weights.dtype) for part in parts)


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
    before, rng = layer.copy(), np.random.default_rng(seed)
    counts = GROWTHS[name]().evolve(layer, zeta, rng, signal_of(GROWTHS[name], layer))
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
    assert weakest(weights, zeta=0.4).tolist() == [1, 2, 4]


@pytest.mark.parametrize("value", [0.0, -0.0, 0.5, -0.5])
@pytest.mark.parametrize(("size", "n_removed"), [(1000, 300), (7, 2), (50, 50), (9, 1)])
def test_equal_weights_go_at_even_distances(value, size, n_removed):
    removed = weakest(np.full(size, value, np.float32), n_removed / size)
    assert removed.size == n_removed
    distance = size / n_removed
    assert np.all(np.abs(np.diff(removed) - distance) < 1)
    # No end of the layer is preferred.
    assert abs(removed[0] - (size - 1 - removed[-1])) <= 1


def test_equal_weights_among_others_go_last_and_evenly():
    weights = np.tile([0.1, 5.0, 0.5, -2.0, 9.0, -0.5], 50)
    removed = weakest(weights, zeta=0.5)
    # 100 of 200 positive ones: 50 of 0.1, 50 of 0.5; 50 of 100 negative ones.
    assert weights[removed].tolist().count(0.1) == 50
    assert weights[removed].tolist().count(0.5) == 50
    assert weights[removed].tolist().count(-0.5) == 50
    removed = weakest(weights, zeta=0.375)
    assert weights[removed].tolist().count(0.1) == 50
    of_limit = removed[weights[removed] == 0.5]
    assert of_limit.size == 25
    np.testing.assert_array_equal(np.diff(of_limit), 12)
    of_limit = removed[weights[removed] < 0]
    assert of_limit.size == round(37.5)
    assert set(np.diff(of_limit)) == {6, 12}


def test_weights_that_are_not_numbers_stay():
    weights = np.array([np.nan, 1.0, -1.0, np.nan, 2.0, -2.0])
    assert weakest(weights, zeta=0.5).tolist() == [1, 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [5e-324, 1e-45])
def test_smallest_weights_of_a_sign_do_not_go_with_the_other_sign(value, dtype):
    weights = np.array([-value, 1.0, 2.0, 3.0, 4.0], dtype)
    assert weakest(weights, zeta=0.4).tolist() == [1, 2] if weights[0] else [0, 1]


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
        signal = signal_of(GROWTHS[name], layer)
        GROWTHS[name]().evolve(layer, 0.3, np.random.default_rng(seed), signal)
        return positions_of(layer)

    np.testing.assert_array_equal(pattern(1), pattern(1))
    assert not np.array_equal(pattern(1), pattern(2))


def extra_bytes(growth, *, transposed, one_sign=False):
    """Bytes per connection that an evolution takes, at most, beyond the layer's own.

    The layer has one slot and, if wanted, its transposed pattern.
    """
    rng = np.random.default_rng(0)
    # The smaller layer has the kernels compiled.
    for n in (100, 10_000):
        tracemalloc.start()
        layer = SparseLayer.random(n, n, 15, rng, np.float32)
        signal = signal_of(growth, layer)
        HeNormal()(layer, rng)
        layer.add_slots(1)
        if one_sign:
            np.abs(layer.weights, out=layer.weights)
        if transposed:
            layer.transposed  # noqa: B018, it is computed when asked for
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        growth.evolve(layer, 0.3, rng, signal)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return (peak - before) / layer.n_connections


@pytest.mark.parametrize(
    ("growth", "limit"),
    [
        (RandomGrowth(), 1.0),
        (RandomGrowth(scale=0.1), 2.0),
        (LiSET(gamma=-3.0), 10.5),
        (GradientGrowth(n_candidates=3), 13.0),
        (CosineGrowth(), 13.0),
        (CannistraciHebbGrowth(), 9.0),
    ],
    ids=["random", "random-scale", "liset", "gradient", "ctre", "cht"],
)
def test_evolution_takes_little_beside_the_layer(growth, limit):
    # The transposed pattern, of 8 bytes, gives way to it.
    assert limit - 1 < extra_bytes(growth, transposed=True) < limit
    assert extra_bytes(growth, transposed=False) < limit + 8


def test_weakest_of_one_sign_take_no_more_than_the_transposed_pattern():
    assert extra_bytes(RandomGrowth(), transposed=True, one_sign=True) < 1.0


@by_growth
def test_growth_is_a_cloneable_holder_of_valid_parameters(name):
    growth = GROWTHS[name]()
    growth._validate_params()
    assert clone(growth).get_params() == growth.get_params()


@by_growth
@pytest.mark.parametrize(("wanted", "expected"), [(None, 7), (7, 7), (10, 10), (99, 12)])
def test_layer_ends_with_the_wanted_connections_as_far_as_there_is_room(
    name, wanted, expected
):
    layer = layer_at([0, 2, 3, 5, 7, 8, 11], np.arange(1, 8), n_in=4, n_out=3)
    rng = np.random.default_rng(0)
    signal = signal_of(GROWTHS[name], layer)
    n_pruned, n_grown = GROWTHS[name]().evolve(layer, 0.3, rng, signal, wanted)
    assert (n_pruned, n_grown) == (2, expected - 5)
    assert np.unique(positions_of(layer)).size == layer.n_connections == expected


# --- LiSET ----------------------------------------------------------------------------

GAMMAS = [-800.0, -50.0, -3.0, 0.0, 2.0, 50.0]
# Most positions are free, or less than half.
by_density = pytest.mark.parametrize("density", [0.05, 0.6])


def likelihood_of(strengths, gamma):
    """Equation 2 as printed, relative to the largest."""
    u = expit(strengths / strengths.max() + gamma)
    return u / u.max()


def random_layer(n_in, n_out, density, seed=0):
    """A layer with one tiny positive weight per ten others, so that these go."""
    rng = np.random.default_rng(seed)
    size = round(density * n_in * n_out)
    positions = np.sort(rng.choice(n_in * n_out, size, replace=False))
    weights = np.where(np.arange(size) % 10 == 0, 1e-3, 1.0)
    return layer_at(positions, weights, n_in, n_out)


def grown_inputs(growth, layer, rng, signal, n_repeats, zeta=0.1):
    """How often each input got a new connection, evolving copies of a layer."""
    counts = np.zeros(layer.n_in, int)
    for _ in range(n_repeats):
        copy = layer.copy()
        growth.evolve(copy, zeta, rng, signal)
        counts += np.bincount(copy.indices[copy.weights == 0], minlength=layer.n_in)
    return counts


def free_positions(layer, zeta):
    """Positions that no connection holds once the weakest are gone."""
    kept = np.delete(positions_of(layer), weakest(layer.weights, zeta))
    return np.setdiff1d(np.arange(layer.n_in * layer.n_out), kept)


def test_likelihood_is_equation_2():
    strengths = np.array([3.0, 0.0, 1.5, 6.0])
    for gamma in (-3.0, 0.0, 2.0):
        expected = likelihood_of(strengths, gamma)
        np.testing.assert_allclose(LiSET(gamma).likelihood(strengths), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gamma", GAMMAS)
def test_likelihood_is_positive_and_at_most_one_for_any_gamma(gamma, dtype):
    likelihood = LiSET(gamma).likelihood(np.array([0, 1e-30, 1, 5], dtype))
    assert likelihood.dtype == np.float64
    assert likelihood.max() == 1
    assert likelihood.min() > 1 / 2.72
    assert np.all(np.diff(likelihood) >= 0)


@pytest.mark.parametrize("gamma", [-50.0, -800.0])
def test_very_negative_gamma_makes_the_likeliest_e_times_as_likely(gamma):
    weakest_input, strongest = LiSET(gamma).likelihood(np.array([0.0, 7.0]))
    assert strongest / weakest_input == pytest.approx(np.e, rel=1e-12)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_no_strengths_are_no_preference(gamma):
    assert LiSET(gamma).likelihood(np.zeros(3)).tolist() == [1, 1, 1]


def test_large_gamma_is_no_preference():
    assert LiSET(50.0).likelihood(np.array([0, 1e-3, 2.0, 9.0])).tolist() == [1] * 4


@by_density
@pytest.mark.parametrize("gamma", [-800.0, -3.0, 0.0])
def test_inputs_get_connections_in_proportion_to_equation_2(gamma, density):
    layer = random_layer(8, 300, density)
    strengths = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 0.5, 8.0, 7.0])
    rng = np.random.default_rng(1)
    zeta = 4 / layer.n_connections
    counts = grown_inputs(LiSET(gamma), layer, rng, strengths, 500, zeta)
    # In the limit -800, sigmoid is the exponential function.
    u = np.exp(strengths / 8) if gamma == -800 else likelihood_of(strengths, gamma)
    n_free = np.bincount(free_positions(layer, zeta) % 8)
    assert chisquare(counts, 2000 * u * n_free / (u @ n_free)).pvalue > 1e-3
    assert chisquare(counts, 2000 * n_free / n_free.sum()).pvalue < 1e-3


@pytest.mark.parametrize("n_kept", [2, 6])
def test_connections_grow_one_after_the_other(n_kept):
    """Every pair of positions is as likely as two successive draws make it."""
    n_in, n_out, strengths = 4, 3, np.array([0.0, 1.0, 0.2, 0.8])
    positions = np.arange(n_kept + 2) + np.arange(n_kept + 2) // 3
    weights = np.r_[1e-3, np.ones(n_kept), 1e-3]
    kept = positions[1:-1]
    free = np.setdiff1d(np.arange(n_in * n_out), kept)
    u = likelihood_of(strengths, -20.0)[free % n_in]
    p = u / u.sum()
    pairs = list(combinations(range(free.size), 2))
    expected = [p[a] * p[b] * (1 / (1 - p[a]) + 1 / (1 - p[b])) for a, b in pairs]
    counts = dict.fromkeys([(free[a], free[b]) for a, b in pairs], 0)
    rng = np.random.default_rng(0)
    n_repeats = 60 * len(pairs)
    for _ in range(n_repeats):
        layer = layer_at(positions, weights, n_in, n_out)
        LiSET(-20.0).evolve(layer, 2 / weights.size, rng, strengths)
        counts[tuple(positions_of(layer)[layer.weights == 0])] += 1
    expected = n_repeats * np.array(expected)
    assert chisquare(list(counts.values()), expected).pvalue > 1e-3


@by_density
@pytest.mark.parametrize(
    ("growth", "strengths"),
    [
        (LiSET(gamma=50.0), np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0])),
        (LiSET(gamma=0.0), np.zeros(8)),
        (LiSET(gamma=-20.0), None),
    ],
)
def test_growth_without_preference_is_that_of_set(growth, strengths, density):
    layer = random_layer(8, 60, density)
    counts = [
        grown_inputs(rule, layer, np.random.default_rng(seed), strengths, 800)
        for seed, rule in enumerate([growth, RandomGrowth()])
    ]
    assert chi2_contingency(counts).pvalue > 1e-3


@by_density
def test_liset_grows_only_at_free_positions(density):
    rng = np.random.default_rng(0)
    strengths = rng.exponential(size=30)
    layer = random_layer(30, 20, density)
    for _ in range(20):
        kept = positions_of(layer)[layer.weights > 0.01]
        LiSET(-5.0).evolve(layer, 0.1, rng, strengths)
        positions = positions_of(layer)
        assert np.isin(kept, positions).all()
        assert np.unique(positions).size == round(density * 600)
        layer.weights[layer.weights == 0] = 1e-3


# --- gradient growth ------------------------------------------------------------------


@pytest.fixture(params=[1, 20, 100, 2**20])
def block(request, monkeypatch):
    """Look at so many positions at a time."""
    monkeypatch.setattr(pairs, "BLOCK", request.param)


def gradients(layer, rng, batch=6):
    """Inputs and gradients at the outputs, and the dense gradient by position."""
    dtype = layer.weights.dtype
    x = rng.normal(size=(layer.n_in, batch)).astype(dtype)
    dz = rng.normal(size=(layer.n_out, batch)).astype(dtype)
    return (x, dz), np.abs(dz @ x.T).reshape(-1)


def steepest(dense, candidates, size):
    """Those of the candidates where the gradient is largest, sorted."""
    return np.sort(candidates[np.argsort(dense[candidates])[-size:]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("density", [0.0, 0.05, 0.6, 0.98])
def test_new_connections_have_the_largest_gradients(block, density, dtype):
    rng = np.random.default_rng(0)
    layer = SparseLayer.random(31, 17, density * 31 * 17 / 48, rng, dtype)
    HeNormal()(layer, rng)
    signal, dense = gradients(layer, rng)
    free = free_positions(layer, 0.3)
    kept = layer.n_connections - weakest(layer.weights, 0.3).size
    wanted = min(layer.n_connections + 3, 31 * 17)
    _, n_grown = GradientGrowth().evolve(layer, 0.3, rng, signal, wanted)
    assert n_grown == wanted - kept > 0
    grown = positions_of(layer)[layer.weights == 0]
    np.testing.assert_array_equal(grown, steepest(dense, free, n_grown))


@pytest.mark.parametrize("n_candidates", [None, 10**6])
def test_positions_without_gradient_are_chosen_at_random_after_all_others(n_candidates):
    layer = random_layer(12, 9, density=0.4)
    rng = np.random.default_rng(0)
    x, dz = np.zeros((12, 3)), np.zeros((9, 3))
    x[5], dz[[2, 7]] = 1, -1
    with_gradient = [2 * 12 + 5, 7 * 12 + 5]
    free = free_positions(layer, 0.1)
    assert np.isin(with_gradient, free).all()
    counts = dict.fromkeys(np.setdiff1d(free, with_gradient).tolist(), 0)
    for _ in range(1000):
        copy = layer.copy()
        GradientGrowth(n_candidates).evolve(copy, 0.1, rng, (x, dz))
        grown = positions_of(copy)[copy.weights == 0].tolist()
        assert len(set(grown)) == 4
        assert set(with_gradient) < set(grown)
        for position in set(grown) - set(with_gradient):
            counts[position] += 1
    assert chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("n_candidates", [None, 3])
def test_no_gradient_at_all_is_random_growth(n_candidates):
    layer = random_layer(8, 60, density=0.3)
    signal = np.zeros((8, 5)), np.ones((60, 5))
    counts = [
        grown_inputs(rule, layer, np.random.default_rng(seed), signal, 500)
        for seed, rule in enumerate([GradientGrowth(n_candidates), RandomGrowth()])
    ]
    assert chi2_contingency(counts).pvalue > 1e-3


@pytest.fixture
def drawn(monkeypatch):
    """Ranks that were drawn from the free positions, of every draw."""
    draws = []
    sample = topology.sample_sorted

    def recording(rng, population, size):
        draws.append(sample(rng, population, size))
        return draws[-1]

    monkeypatch.setattr(topology, "sample_sorted", recording)
    return draws


@pytest.mark.parametrize("n_candidates", [1, 3, 10])
def test_best_of_the_candidates_grow(drawn, n_candidates):
    rng = np.random.default_rng(0)
    layer = random_layer(40, 30, density=0.2)
    signal, dense = gradients(layer, rng)
    free = free_positions(layer, 0.1)
    _, n_grown = GradientGrowth(n_candidates).evolve(layer, 0.1, rng, signal)
    candidates = free[drawn[0]]
    assert candidates.size == n_grown * n_candidates
    grown = positions_of(layer)[layer.weights == 0]
    np.testing.assert_array_equal(grown, steepest(dense, candidates, n_grown))


def test_candidates_are_evenly_drawn():
    layer = random_layer(8, 60, density=0.3)
    signal = np.ones((8, 5)), np.ones((60, 5))
    counts = [
        grown_inputs(rule, layer, np.random.default_rng(seed), signal, 500)
        for seed, rule in enumerate([GradientGrowth(n_candidates=1), RandomGrowth()])
    ]
    assert chi2_contingency(counts).pvalue > 1e-3


@pytest.mark.parametrize("n_together", [1, 7, 10**6])
def test_growth_does_not_depend_on_how_many_candidates_are_together(
    monkeypatch, n_together
):
    layer = random_layer(40, 30, density=0.2)
    signal, _ = gradients(layer, np.random.default_rng(0))
    expected, evolved = layer.copy(), layer.copy()
    GradientGrowth(3).evolve(expected, 0.1, np.random.default_rng(1), signal)
    monkeypatch.setattr(pairs, "CANDIDATES", n_together)
    GradientGrowth(3).evolve(evolved, 0.1, np.random.default_rng(1), signal)
    assert evolved.has_pattern_of(expected)


def test_enough_candidates_are_all_positions():
    rng = np.random.default_rng(0)
    layer = random_layer(40, 30, density=0.2)
    signal, _ = gradients(layer, rng)
    exact, sampled = layer.copy(), layer.copy()
    GradientGrowth().evolve(exact, 0.1, np.random.default_rng(1), signal)
    GradientGrowth(n_candidates=1000).evolve(sampled, 0.1, rng, signal)
    np.testing.assert_array_equal(positions_of(exact), positions_of(sampled))


def test_candidates_take_memory_of_the_connections_only():
    n = 100_000
    rng = np.random.default_rng(0)
    layer = SparseLayer.random(n, n, 1, rng, np.float32)
    HeNormal()(layer, rng)
    layer.add_slots(2)
    signal = [rng.standard_normal((n, 4), np.float32) for _ in range(2)]
    tracemalloc.start()
    _, n_grown = GradientGrowth(n_candidates=5).evolve(layer, 0.3, rng, tuple(signal))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_grown == 60_000
    assert peak < 100 * (layer.n_connections + 5 * n_grown)


@pytest.mark.parametrize("bad", [0, 1.5, "all"])
def test_number_of_candidates_is_validated(mlp, binary, bad):
    with pytest.raises(ValueError, match="'n_candidates' parameter of GradientGrowth"):
        mlp(growth=GradientGrowth(n_candidates=bad)).fit(*binary)


@pytest.mark.parametrize("bad", [None, 0, 1.5])
def test_number_of_paths_to_draw_is_validated(mlp, binary, bad):
    message = "'n_candidates' parameter of CannistraciHebbGrowth"
    with pytest.raises(ValueError, match=message):
        mlp(growth=CannistraciHebbGrowth(n_candidates=bad)).fit(*binary)


# --- cosines of activations -----------------------------------------------------------


def cosines(layer, rng, batch=6):
    """Activations, some neurons' being zero, and the dense cosines by position."""
    dtype = layer.weights.dtype
    x = np.maximum(rng.normal(size=(layer.n_in, batch)), 0).astype(dtype)
    # Sizes of very different neurons must not matter.
    y = (np.exp(3 * rng.normal(size=(layer.n_out, 1))) * rng.normal(size=batch)).astype(
        dtype
    )
    x[3] = y[2] = 0
    norms = np.outer(np.linalg.norm(y, axis=1), np.linalg.norm(x, axis=1))
    return (x, y), (np.abs(y @ x.T) / np.where(norms > 0, norms, 1)).reshape(-1)


@pytest.mark.parametrize("density", [0.05, 0.6])
def test_new_connections_have_the_largest_cosines(block, density):
    rng = np.random.default_rng(0)
    layer = random_layer(31, 17, density)
    signal, dense = cosines(layer, rng)
    free = free_positions(layer, 0.1)
    CosineGrowth(n_candidates=None).evolve(layer, 0.1, rng, signal)
    grown = positions_of(layer)[layer.weights == 0]
    least = np.sort(dense[free])[-grown.size]
    assert np.isin(grown, free).all()
    assert np.all(dense[grown] >= least * (1 - 1e-12))


@pytest.mark.parametrize("n_candidates", [1, 3, 10])
def test_best_cosines_of_the_candidates_grow(drawn, n_candidates):
    rng = np.random.default_rng(0)
    layer = random_layer(40, 30, density=0.2)
    (x, y), _ = cosines(layer, rng)
    y = rng.normal(size=y.shape)
    dense = np.abs((y / np.linalg.norm(y, axis=1)[:, None]) @ x.T).reshape(-1)
    dense /= np.tile(np.maximum(np.linalg.norm(x, axis=1), 1e-9), 30)
    free = free_positions(layer, 0.1)
    _, n_grown = CosineGrowth(n_candidates).evolve(layer, 0.1, rng, (x, y))
    grown = positions_of(layer)[layer.weights == 0]
    candidates = free[drawn[0]]
    assert candidates.size == n_grown * n_candidates
    expected = steepest(dense, candidates[dense[candidates] > 0], n_grown)
    assert np.isin(expected, grown).all()


def test_silent_neurons_connect_at_random():
    layer = random_layer(8, 60, density=0.3)
    signal = np.zeros((8, 5)), np.ones((60, 5))
    counts = [
        grown_inputs(rule, layer, np.random.default_rng(seed), signal, 500)
        for seed, rule in enumerate([CosineGrowth(), RandomGrowth()])
    ]
    assert chi2_contingency(counts).pvalue > 1e-3


@pytest.mark.parametrize(
    "signal", [None, (np.ones((7, 3)), np.ones((60, 3))), (np.ones((60, 3)),) * 2]
)
def test_cosines_without_the_layers_activations_are_refused(signal):
    layer = random_layer(8, 60, density=0.3)
    before = layer.copy()
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"activations of a layer from 8 to 60 neurons"):
        CosineGrowth().evolve(layer, 0.3, rng, signal)
    assert layer.has_pattern_of(before)
    np.testing.assert_array_equal(layer.weights, before.weights)
    # Where nothing grows, nothing has to be known.
    assert CosineGrowth().evolve(layer, 0.0, rng) == (0, 0)


# --- paths of length three ------------------------------------------------------------


def path_weights(layer, zeta):
    """Of each position: the sum over paths of what the draws go by; 0 where taken."""
    linked = np.zeros(layer.n_out * layer.n_in)
    linked[np.delete(positions_of(layer), weakest(layer.weights, zeta))] = 1
    linked = linked.reshape(layer.n_out, layer.n_in)
    outputs, inputs = linked.sum(axis=1) - 1, linked.sum(axis=0) - 1
    weights = np.zeros_like(linked)
    for row, column in np.argwhere(linked == 0):
        paths = np.outer(linked[:, column], linked[row]) * linked
        sizes = np.sqrt(np.maximum(np.outer(outputs, inputs), 1))
        weights[row, column] = np.sum(paths / sizes)
    return weights.reshape(-1)


@pytest.mark.parametrize("density", [0.2, 0.3, 0.6])
def test_draws_are_in_proportion_to_the_paths_between_neurons(density):
    layer = random_layer(9, 14, density)
    zeta = 1 / layer.n_connections
    weights = path_weights(layer, zeta)
    rng, counts = np.random.default_rng(1), np.zeros(weights.size)
    n_repeats = 30 * np.count_nonzero(weights)
    for _ in range(n_repeats):
        copy = layer.copy()
        CannistraciHebbGrowth().evolve(copy, zeta, rng)
        counts[positions_of(copy)[copy.weights == 0]] += 1
    expected = n_repeats * weights / weights.sum()
    possible = expected > 0
    assert counts.sum() == n_repeats
    # A walk that led nowhere ten times in a row leaves a connection to chance.
    assert counts[~possible].sum() < 0.02 * n_repeats
    observed = counts[possible] * n_repeats / counts[possible].sum()
    assert chisquare(observed, expected[possible]).pvalue > 1e-3
    even = np.full(possible.sum(), n_repeats / possible.sum())
    assert chisquare(observed, even).pvalue < 1e-3


def test_two_draws_are_one_after_the_other(monkeypatch):
    monkeypatch.setattr(paths, "N_ROUNDS", 100)
    layer = random_layer(4, 4, density=0.5)
    layer.weights[[2, 5]] = 1e-3
    zeta = 2 / layer.n_connections
    weights = path_weights(layer, zeta)
    p, free = weights / weights.sum(), np.flatnonzero(weights)
    pairs_of = list(combinations(free, 2))
    expected = [p[a] * p[b] * (1 / (1 - p[a]) + 1 / (1 - p[b])) for a, b in pairs_of]
    counts, rng = dict.fromkeys(pairs_of, 0), np.random.default_rng(0)
    n_repeats = 60 * len(pairs_of)
    for _ in range(n_repeats):
        copy = layer.copy()
        CannistraciHebbGrowth().evolve(copy, zeta, rng)
        counts[tuple(positions_of(copy)[copy.weights == 0])] += 1
    assert chisquare(list(counts.values()), n_repeats * np.array(expected)).pvalue > 1e-3


def test_of_enough_candidates_the_highest_scores_grow():
    """Two full blocks with a hole each, and bridges between them."""
    linked = np.zeros((12, 12), bool)
    linked[:6, :6] = linked[6:, 6:] = True
    linked[2, 3] = linked[8, 9] = False
    linked[0, 11] = linked[11, 0] = True
    positions = np.flatnonzero(linked)
    weights = np.ones(positions.size)
    bridges = np.isin(positions, [11, 11 * 12])
    weights[bridges] = 1e-3
    layer = layer_at(positions, weights, n_in=12, n_out=12)
    rng = np.random.default_rng(0)
    CannistraciHebbGrowth(n_candidates=50).evolve(layer, 2 / positions.size, rng)
    grown = positions_of(layer)[layer.weights == 0]
    assert grown.tolist() == [2 * 12 + 3, 8 * 12 + 9]


@pytest.mark.parametrize("n_candidates", [1, 5])
def test_without_any_path_growth_is_random(n_candidates):
    # Every neuron has one connection: no path goes on.
    layer = layer_at(np.arange(8) * 9, np.r_[1e-3, np.ones(7)], n_in=8, n_out=8)
    rule = CannistraciHebbGrowth(n_candidates)
    counts = [
        grown_inputs(each, layer, np.random.default_rng(seed), None, 3000, zeta=1 / 8)
        for seed, each in enumerate([rule, RandomGrowth()])
    ]
    assert chi2_contingency(counts).pvalue > 1e-3


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_paths_are_of_the_kept_connections_from_both_sides(density):
    layer = random_layer(9, 7, density)
    keep = np.random.default_rng(0).random(layer.n_connections) < 0.7
    found, expected = paths.Paths.of(layer, keep), np.zeros((7, 9), bool)
    expected.reshape(-1)[positions_of(layer)[keep]] = True
    rows = np.repeat(np.arange(7), np.diff(found.indptr))
    np.testing.assert_array_equal(rows * 9 + found.indices, np.flatnonzero(expected))
    columns = np.repeat(np.arange(9), np.diff(found.ends))
    by_column = np.flatnonzero(expected.T)
    np.testing.assert_array_equal(columns * 7 + found.outputs, by_column)


def test_paths_take_no_memory_for_many_connections_per_neuron():
    rng = np.random.default_rng(0)
    layer = SparseLayer.random(2000, 2000, 100, rng, np.float32)
    HeNormal()(layer, rng)
    tracemalloc.start()
    CannistraciHebbGrowth().evolve(layer, 0.3, rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The new pattern and weights are 8 bytes of these.
    assert peak < 25 * layer.n_connections


# --- pruning --------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRUNINGS)
def test_pruning_is_a_cloneable_holder_of_valid_parameters(name):
    pruning = PRUNINGS[name]()
    pruning._validate_params()
    assert clone(pruning).get_params() == pruning.get_params()
    assert set(pruning.get_params()) == set(pruning._parameter_constraints)


@pytest.mark.parametrize(
    ("parameter", "bad"),
    [("share", 0), ("share", 1), ("start", -0.1), ("start", 1.1), ("every", 0)],
)
def test_parameters_of_pruning_are_validated(mlp, binary, parameter, bad):
    pruning = ImportancePruning(**{parameter: bad})
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of ImportancePruning"):
        mlp(pruning=pruning).fit(*binary)


@pytest.mark.parametrize(
    ("params", "n_epochs", "due"),
    [
        ({}, 60, [24, 34, 44, 54]),
        ({"start": 0, "every": 3}, 10, [0, 3, 6, 9]),
        ({"start": 0.5, "every": 1}, 8, [4, 5, 6, 7]),
        ({"start": 1.0}, 20, []),
    ],
)
def test_pruning_is_due_from_its_start_every_so_often(params, n_epochs, due):
    pruning = ImportancePruning(**params)
    assert [e for e in range(n_epochs) if pruning.is_due(e, n_epochs)] == due


@pytest.mark.parametrize(
    ("share", "weak"), [(0.1, []), (0.3, [3]), (0.5, [1, 3]), (0.99, [0, 1, 3])]
)
def test_least_important_leave_and_one_always_remains(share, weak):
    importance = np.array([3.0, 2.0, 5.0, 1.0])
    assert ImportancePruning(share).weakest(importance).tolist() == weak
    assert ImportancePruning(share).weakest(np.ones(1)).tolist() == []
