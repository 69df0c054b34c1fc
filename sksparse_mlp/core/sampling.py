"""Uniform sampling without replacement from populations too large to list."""

import math

import numpy as np


def sample_sorted(rng: np.random.Generator, population: int, size: int) -> np.ndarray:
    """Draw ``size`` distinct integers of ``range(population)``, sorted.

    Every subset is equally likely. Time and memory are O(size), whatever the
    population: sorted uniform variates come from normalised cumulative sums of
    exponential ones, so nothing is sorted and no table of the population is made.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    population : int
        Number of integers to choose from; at most 2**53.
    size : int
        Number of integers to draw, at most ``population``.

    Returns
    -------
    ndarray of shape (size,), dtype int64
    """
    if size > population // 2:
        left_out = sample_sorted(rng, population, population - size)
        return np.delete(np.arange(population, dtype=np.int64), left_out)
    drawn = _sorted_draws(rng, population, size)
    while drawn.size < size:
        more = _sorted_draws(rng, population, size - drawn.size)
        # A stable sort of two sorted runs is one linear merge.
        drawn = _distinct(np.sort(np.concatenate([drawn, more]), kind="stable"))
    surplus = rng.choice(drawn.size, drawn.size - size, replace=False)
    return np.delete(drawn, surplus)


def _sorted_draws(rng, population, size):
    """About ``size`` distinct integers (four standard deviations more), sorted."""
    if size == 0:
        return np.empty(0, np.int64)
    expected = -population * math.log1p(-size / population)
    n_draws = math.ceil(expected + 4 * math.sqrt(expected) + 1)
    gaps = rng.standard_exponential(n_draws + 1)
    np.cumsum(gaps, out=gaps)
    draws = (gaps[:-1] / gaps[-1] * population).astype(np.int64)
    return _distinct(np.minimum(draws, population - 1))


def _distinct(values):
    return values[np.flatnonzero(np.diff(values, prepend=-1))]
