"""Samples without replacement: distinct, sorted, uniform, in memory of their own size."""

import tracemalloc
from collections import Counter
from itertools import combinations, permutations

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from sksparse_mlp.core import sampling
from sksparse_mlp.core.sampling import (
    sample_sorted,
    sample_weighted,
    to_positions,
    to_ranks,
)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.data(), st.integers(0, 2**53), st.integers(0, 2**32))
def test_sample_is_sorted_distinct_and_in_range(data, population, seed):
    size = data.draw(st.integers(0, min(population, 500)))
    sample = sample_sorted(np.random.default_rng(seed), population, size)
    assert sample.dtype == np.int64
    assert sample.shape == (size,)
    assert np.all(np.diff(sample) > 0)
    assert np.all((sample >= 0) & (sample < population))


@pytest.mark.parametrize("left_out", [0, 1, 3])
def test_nearly_all_of_a_population_can_be_drawn(left_out):
    sample = sample_sorted(np.random.default_rng(0), 1000, 1000 - left_out)
    assert np.unique(sample).size == 1000 - left_out


@pytest.mark.parametrize(("population", "size"), [(6, 1), (6, 2), (6, 3), (6, 4), (7, 6)])
def test_every_subset_is_equally_likely(population, size):
    rng = np.random.default_rng(1)
    subsets = dict.fromkeys(combinations(range(population), size), 0)
    for _ in range(200 * len(subsets)):
        subsets[tuple(sample_sorted(rng, population, size).tolist())] += 1
    assert chisquare(list(subsets.values())).pvalue > 1e-3


@pytest.mark.parametrize("population", [2**20, 2**45, 2**53])
def test_a_large_population_is_covered_evenly_at_every_scale(population):
    sample = sample_sorted(np.random.default_rng(2), population, 100_000)
    by_block = np.bincount(sample // (population // 64), minlength=64)
    by_lowest_bits = np.bincount(sample % 64, minlength=64)
    assert chisquare(by_block).pvalue > 1e-3
    assert chisquare(by_lowest_bits).pvalue > 1e-3


def test_memory_follows_the_sample_not_the_population():
    rng = np.random.default_rng(3)
    size = 100_000
    tracemalloc.start()
    sample_sorted(rng, 2**50, size)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The sample itself takes 8 bytes per integer, with some more that are drawn.
    assert peak < 8.5 * size


def test_most_of_a_population_takes_memory_of_the_sample_and_of_the_rest():
    tracemalloc.start()
    sample_sorted(np.random.default_rng(3), 1_000_000, 900_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8.5 * 1_000_000


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.data(), st.integers(0, 2**53), st.integers(0, 2**32))
def test_sample_is_that_of_the_plain_twin(data, population, seed):
    population = data.draw(st.sampled_from([population, population % 1000]))
    size = data.draw(st.integers(0, min(population, 500)))
    rng, twin = np.random.default_rng(seed), np.random.default_rng(seed)
    for _ in range(2):
        np.testing.assert_array_equal(
            sample_sorted(rng, population, size),
            naive.sample_sorted(twin, population, size),
        )


class TooFew:
    """A generator whose first gaps are all of the same place, but for the last."""

    def __init__(self, rng):
        self.rng, self.n_draws = rng, []

    def __getattr__(self, name):
        return getattr(self.rng, name)

    def standard_exponential(self, size):
        self.n_draws.append(size)
        gaps = self.rng.standard_exponential(size)
        if len(self.n_draws) == 1:
            gaps[1:-1] = 0
        return gaps


def test_what_is_missing_from_a_sample_is_drawn_again():
    rngs = [TooFew(np.random.default_rng(0)) for _ in range(2)]
    sample = sample_sorted(rngs[0], 1000, 100)
    np.testing.assert_array_equal(sample, naive.sample_sorted(rngs[1], 1000, 100))
    assert np.all(np.diff(sample) > 0)
    assert len(rngs[0].n_draws) == len(rngs[1].n_draws) > 1


# --- one after the other, with likelihoods --------------------------------------------

# (rows, likelihood by column, taken positions, size). In few positions all arrivals are
# drawn, in many only those before a horizon.
SUCCESSIVE = {
    "few-one": (2, (0.3, 1.0, 0.2), (0, 4), 1),
    "few-two": (3, (0.3, 1.0, 0.2), (4,), 2),
    "few-three": (2, (0.5, 1.0, 0.3, 0.8), (), 3),
    "few-all-but-one": (2, (0.5, 0.9), (), 3),
    "many-one": (20, (0.3, 1.0, 0.2), (0, 3, 4, 59), 1),
    "many-two": (16, (0.3, 1.0, 0.2), (), 2),
    "many-three": (14, (0.3, 0.9, 0.2), (0, 3, 6, 9), 3),
}


def outcome(positions, n_columns, n_rows):
    """The set of positions or, in tall tables, that of their columns."""
    kept = [p % n_columns for p in positions] if n_rows > 3 else positions
    return tuple(sorted(kept))


def outcome_probabilities(n_rows, likelihood, taken, size):
    """The probability of each outcome, summed over all successive draws."""
    n_columns = len(likelihood)
    free = [p for p in range(n_rows * n_columns) if p not in taken]
    weights = {p: likelihood[p % n_columns] for p in free}
    probabilities = Counter()
    for draws in permutations(free, size):
        probability, rest = 1.0, sum(weights.values())
        for position in draws:
            probability *= weights[position] / rest
            rest -= weights[position]
        probabilities[outcome(draws, n_columns, n_rows)] += probability
    return probabilities


@pytest.mark.parametrize("name", SUCCESSIVE)
def test_weighted_sample_follows_the_law_of_successive_draws(name):
    n_rows, likelihood, taken, size = SUCCESSIVE[name]
    expected = outcome_probabilities(n_rows, likelihood, taken, size)
    n_samples = max(2000, round(10 / min(expected.values())))
    rng, taken = np.random.default_rng(6), np.array(taken, np.int64)
    counts = Counter()
    for _ in range(n_samples):
        ranks = sample_weighted(rng, taken, np.array(likelihood), n_rows, size)
        positions = to_positions(ranks, taken).tolist()
        counts[outcome(positions, len(likelihood), n_rows)] += 1
    assert counts.keys() <= expected.keys()
    observed = [counts[key] for key in expected]
    assert chisquare(observed, n_samples * np.array([*expected.values()])).pvalue > 1e-3


@st.composite
def partly_taken(draw):
    """A table's numbers of rows and columns, and the positions that are taken."""
    n_rows, n_columns = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    positions = st.sets(st.integers(0, n_rows * n_columns - 1))
    return n_rows, n_columns, np.array(sorted(draw(positions)), np.int64)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(data=st.data(), table=partly_taken(), seed=st.integers(0, 2**32))
def test_weighted_sample_is_of_sorted_distinct_ranks_of_free_positions(data, table, seed):
    n_rows, n_columns, taken = table
    n_free = n_rows * n_columns - taken.size
    size = data.draw(st.integers(0, n_free))
    rng = np.random.default_rng(seed)
    ranks = sample_weighted(rng, taken, rng.uniform(0.1, 1, n_columns), n_rows, size)
    assert ranks.dtype == np.int64
    assert ranks.shape == (size,)
    assert np.all(np.diff(ranks) > 0)
    assert np.all((ranks >= 0) & (ranks < n_free))


class Unlucky:
    """A generator whose first number of candidates is zero."""

    def __init__(self, rng):
        self.rng, self.n_binomial = rng, 0

    def __getattr__(self, name):
        return getattr(self.rng, name)

    def binomial(self, n, p):
        self.n_binomial += 1
        return self.rng.binomial(n, p) if self.n_binomial > 1 else 0


def test_sample_with_too_few_arrivals_is_drawn_again():
    rng = Unlucky(np.random.default_rng(0))
    ranks = sample_weighted(rng, np.arange(50), np.full(40, 0.5), 40, 100)
    assert np.unique(ranks).size == 100
    assert rng.n_binomial == 2


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_samples_are_hardly_ever_drawn_again(size):
    # It would favour samples that arrive early.
    rng = Unlucky(np.random.default_rng(0))
    rng.n_binomial = 1
    likelihood = np.random.default_rng(1).uniform(0.3, 1, 100)
    for _ in range(100):
        sample_weighted(rng, np.arange(50), likelihood, 50, size)
    assert rng.n_binomial == 101


def test_inputs_of_very_different_likelihood_can_all_be_drawn():
    likelihood = np.array([1.0, 1e-12, 1e-6])
    rng = np.random.default_rng(0)
    ranks = sample_weighted(rng, np.array([1]), likelihood, 30, 89)
    np.testing.assert_array_equal(ranks, np.arange(89))
    first = sample_weighted(rng, np.array([1]), likelihood, 30, 30)
    np.testing.assert_array_equal(to_positions(first, np.array([1])) % 3, 0)


@pytest.mark.parametrize("block", [1, 7, 100, 10**6])
def test_weighted_sample_does_not_depend_on_its_blocks(monkeypatch, block):
    taken = sample_sorted(np.random.default_rng(1), 2000, 500)
    likelihood = np.random.default_rng(2).uniform(0.3, 1, 50)
    expected = sample_weighted(np.random.default_rng(3), taken, likelihood, 40, 300)
    monkeypatch.setattr(sampling, "BLOCK", block)
    ranks = sample_weighted(np.random.default_rng(3), taken, likelihood, 40, 300)
    np.testing.assert_array_equal(ranks, expected)


@pytest.mark.parametrize("share_taken", [0.0, 1.0])
def test_weighted_sample_of_a_huge_table_takes_memory_of_its_own_size(share_taken):
    n_rows, n_columns, size = 50_000_000, 20_000, 50_000
    rng = np.random.default_rng(8)
    likelihood = np.where(np.arange(n_columns) % 2, 1.0, 1 / 3)
    taken = sample_sorted(rng, n_rows * n_columns, round(share_taken * size))
    tracemalloc.start()
    ranks = sample_weighted(rng, taken, likelihood, n_rows, size)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Candidates, and the arrival times of those that are on time.
    assert peak < 50 * size + 8 * taken.size + 50 * n_columns + 200 * sampling.BLOCK
    positions = to_positions(ranks, taken)
    assert not np.isin(positions, taken).any()
    by_row = np.bincount(positions // n_columns // (n_rows // 50), minlength=50)
    assert chisquare(by_row).pvalue > 1e-3
    by_parity = np.bincount(positions % n_columns % 2)
    assert chisquare(by_parity, [size / 4, 3 * size / 4]).pvalue > 1e-3


@settings(deadline=None, derandomize=True, max_examples=200)
@given(partly_taken())
def test_ranks_number_the_free_positions(table):
    n_rows, n_columns, taken = table
    free = np.setdiff1d(np.arange(n_rows * n_columns), taken)
    ranks = np.arange(free.size)
    np.testing.assert_array_equal(to_ranks(free, taken), ranks)
    np.testing.assert_array_equal(to_positions(ranks, taken), free)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.sets(st.integers(0, 2**53)), st.lists(st.integers(0, 2**53)))
def test_ranks_and_positions_are_inverse_in_large_tables(taken, ranks):
    taken, ranks = np.array(sorted(taken), np.int64), np.array(sorted(ranks), np.int64)
    positions = to_positions(ranks, taken)
    assert not np.isin(positions, taken).any()
    np.testing.assert_array_equal(to_ranks(positions, taken), ranks)
