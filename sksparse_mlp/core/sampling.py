"""Sampling without replacement from populations too large to list."""

import math
from typing import Any

import numpy as np
from scipy import optimize

from sksparse_mlp.core import kernels

# Candidates that are looked at together.
BLOCK = 2**13


def stream_from(state: dict[str, Any]) -> np.random.Generator:
    """A random stream that continues from the state of another's bit generator."""
    rng = np.random.default_rng(0)
    rng.bit_generator.state = state
    return rng


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
        others = np.empty(size, np.int64)
        kernels.list_others(left_out, others)
        return others
    drawn = _sorted_draws(rng, population, size)
    while drawn.size < size:
        more = _sorted_draws(rng, population, size - drawn.size)
        drawn = np.unique(np.concatenate([drawn, more]))
    surplus = rng.choice(drawn.size, drawn.size - size, replace=False)
    kernels.drop_places(drawn, np.sort(surplus))
    return drawn[:size]


def sample_weighted(
    rng: np.random.Generator,
    taken: np.ndarray,
    likelihood: np.ndarray,
    n_rows: int,
    size: int,
) -> np.ndarray:
    """Draw ``size`` free positions of a table one after the other, without replacement.

    Each draw takes a free position with probability proportional to the likelihood of
    its column. Time and memory are proportional to the taken and drawn positions.

    The first ``size`` draws are the first arrivals where every free position has an
    exponential arrival time of its likelihood as rate. Up to a horizon that about
    ``size`` positions reach, arrivals are thinned from those of rate one, which are
    uniform.

    Parameters
    ----------
    rng : numpy.random.Generator
    taken : ndarray of dtype int64
        Sorted row-major positions that are not free.
    likelihood : ndarray of shape (n_columns,)
        In (0, 1]; the smallest should not be many times smaller than the largest.
    n_rows : int
    size : int
        At most the number of free positions.

    Returns
    -------
    ndarray of shape (size,), dtype int64
        Sorted ranks of the drawn positions among the free ones, row-major.
    """
    if size == 0:
        return np.empty(0, np.int64)
    n_columns = likelihood.size
    n_free_of = n_rows - np.bincount(taken % n_columns, minlength=n_columns)
    n_free = int(n_free_of.sum())
    # More than six standard deviations: hardly ever too few.
    expected = size + 7 * math.sqrt(size) + 20
    while True:
        horizon = _horizon(likelihood, n_free_of, expected)
        n_candidates = rng.binomial(n_free, -math.expm1(-horizon))
        candidates = sample_sorted(rng, n_free, n_candidates)
        arrived, times = _arrivals(rng, candidates, taken, likelihood, horizon)
        if arrived.size >= size:
            break
        expected *= 2
    first = np.argpartition(times, size - 1)[:size]
    first.sort()
    return arrived[first]


def _arrivals(
    rng: np.random.Generator,
    candidates: np.ndarray,
    taken: np.ndarray,
    likelihood: np.ndarray,
    horizon: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Which of the candidates arrive before the horizon, and when.

    ``candidates`` lose their values, block by block.
    """
    n_arrived, times = 0, [np.empty(0)]
    for start in range(0, candidates.size, BLOCK):
        ranks = candidates[start : start + BLOCK]
        rates = likelihood[to_positions(ranks, taken) % likelihood.size]
        chances = rng.random(ranks.size) * -math.expm1(-horizon)
        arrives = chances < -np.expm1(-rates * horizon)
        times.append(-np.log1p(-chances[arrives]) / rates[arrives])
        n_before, n_arrived = n_arrived, n_arrived + times[-1].size
        candidates[n_before:n_arrived] = ranks[arrives]
    return candidates[:n_arrived], np.concatenate(times)


def _horizon(likelihood: np.ndarray, n_free_of: np.ndarray, expected: float) -> float:
    """When ``expected`` positions will have arrived, infinity if never."""

    def missing(horizon: float) -> float:
        return float(n_free_of @ -np.expm1(-likelihood * horizon) - expected)

    end = 1.0
    while missing(end) < 0:
        end *= 2
        if end > 1000:
            return math.inf
    root: float = optimize.brentq(missing, 0, end, rtol=1e-3)
    return root


def to_ranks(positions: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Ranks of free positions among all that are not taken; both are sorted."""
    return positions - np.searchsorted(taken, positions)


def to_positions(ranks: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Positions from their ranks among all that are not taken; both are sorted."""
    positions = np.empty(ranks.size, np.int64)
    kernels.free_positions(ranks, taken, positions)
    return positions


def _sorted_draws(rng: np.random.Generator, population: int, size: int) -> np.ndarray:
    """About ``size`` distinct integers (four standard deviations more), sorted."""
    if size == 0:
        return np.empty(0, np.int64)
    expected = -population * math.log1p(-size / population)
    n_draws = math.ceil(expected + 4 * math.sqrt(expected) + 1)
    gaps = rng.standard_exponential(n_draws + 1)
    drawn = gaps.view(np.int64)
    return drawn[: kernels.distinct_draws(gaps, population, drawn)]
