"""Samples without replacement: distinct, sorted, uniform, in memory of their own size."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from sksparse_mlp.core.sampling import sample_sorted


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
    assert peak < 100 * size
