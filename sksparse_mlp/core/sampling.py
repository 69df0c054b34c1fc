"""Sampling without replacement from populations too large to list."""

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


def sample_weighted(
    rng: np.random.Generator,
    taken: np.ndarray,
    likelihood: np.ndarray,
    n_rows: int,
    size: int,
) -> np.ndarray:
    """Draw ``size`` free positions of a table one after the other, without replacement.

    Each draw takes a free position with probability proportional to the likelihood of
    its column. Time and memory are proportional to the taken and drawn positions, up to
    logarithms.

    Parameters
    ----------
    rng : numpy.random.Generator
    taken : ndarray of dtype int64
        Sorted row-major positions that are not free.
    likelihood : ndarray of shape (n_columns,)
        Positive; the largest not many times the smallest.
    n_rows : int
    size : int
        At most the number of free positions.

    Returns
    -------
    ndarray of shape (size,), dtype int64
        Sorted row-major positions.
    """
    n_columns = likelihood.size
    n_free = n_rows * n_columns - taken.size
    if n_free <= 2 * (taken.size + size):
        free = to_positions(np.arange(n_free), taken)
        # The order of exponential arrival times is that of successive draws.
        arrivals = rng.standard_exponential(n_free) / likelihood[free % n_columns]
        return np.sort(free[np.argsort(arrivals, kind="stable")[:size]])
    cumulated = np.cumsum(likelihood)
    drawn = np.empty(0, np.int64)
    while drawn.size < size:
        n_draws = math.ceil(1.2 * (size - drawn.size)) + 10
        columns = np.searchsorted(cumulated, rng.random(n_draws) * cumulated[-1])
        columns = np.minimum(columns, n_columns - 1)
        positions = rng.integers(n_rows, size=n_draws) * n_columns + columns
        drawn = np.append(drawn, positions[~_is_among(positions, taken)])
        _, first = np.unique(drawn, return_index=True)
        drawn = drawn[np.sort(first)]
    return np.sort(drawn[:size])


def to_ranks(positions: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Ranks of free positions among all that are not taken; ``taken`` is sorted."""
    return positions - np.searchsorted(taken, positions)


def to_positions(ranks: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Positions from their ranks among all that are not taken; ``taken`` is sorted."""
    return ranks + np.searchsorted(taken - np.arange(taken.size), ranks, side="right")


def _is_among(values, ordered):
    places = np.searchsorted(ordered, values)
    return np.append(ordered, -1)[places] == values


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
