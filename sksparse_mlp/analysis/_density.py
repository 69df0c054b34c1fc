"""Kernel density estimates of many one-dimensional samples, evaluated on grids."""

from dataclasses import dataclass

import numpy as np

from sksparse_mlp.core import kernels

# Points of a grid per bandwidth: sets the error that `NodeDensities` states.
POINTS_PER_BANDWIDTH = 16
# The Gaussian at a distance of d points is exp(-PRECISION * d**2).
PRECISION = 0.5 / POINTS_PER_BANDWIDTH**2
# Largest grid of one node, and of a layer's nodes over all classes together.
MAX_POINTS, MAX_ENTRIES = 2**13, 2**27
# Gaussians that are exp(-REACH) times the largest one and less are left out.
REACH = 50.0
# Weights that are dropped: they would hide how far the points of larger weights are.
NEGLIGIBLE = 1e-9
LARGEST_SCALE = 1e150


@dataclass(frozen=True)
class NodeDensities:
    """Gaussian kernel density estimates, one per node and class.

    Each value is shared between the two points beside it of a grid with 16 points per
    bandwidth (linear binning). The logarithm of the estimate at the points of the grid is
    tabulated; between them it is interpolated. With ``l <= 0`` the exact log density
    less that at the peak of a single kernel, results are off by at least ``-1/1024`` and
    at most ``|l|/512`` [1]_, but for rounding of the table to float32. This holds however
    far from the values: results are never infinite.

    A node whose values span more than 8192 points, such as where pre-activations are in
    the millions, has no table: the few Gaussians that matter are added up for each
    sample. This is slower; memory is then at most in proportion to the number of values.

    Attributes
    ----------
    low : ndarray of shape (n_nodes,)
        Where the grids begin.
    scale : float
        Points per unit.
    n_bins, starts : ndarray of shape (n_nodes,), (n_nodes + 1,)
        Sizes of the tables, zero where there is none, and where they begin.
    table : ndarray of shape (starts[-1], n_classes), dtype float32
        Log densities at the points.
    points, weights : ndarray of shape (n_points,)
        The points that hold values, by node and class, in units of the grid.
    indptr : ndarray of shape (n_nodes * n_classes + 1,)
        Where the points of each node and class begin.
    offsets : ndarray of shape (n_classes,)
        Log of the factor that makes sums of Gaussians densities.

    Notes
    -----
    .. [1] Let ``e`` be the grid's spacing over the bandwidth, and a value be shared in
       the parts ``1 - t`` and ``t``. A kernel at distance x, in bandwidths, is replaced by
       the mean of kernels at distances ``x + y``, where y has mean 0 and lies within an
       interval of length e. By Jensen's inequality its log falls by no more than
       ``t * (1 - t) * e**2 / 2 <= e**2 / 8``; by Hoeffding's lemma it rises by no more
       than ``x**2 * e**2 / 8``, so that the mean over the values is at most the mean of
       the kernels' powers ``1 - e**2 / 4``, and that at most the power of their mean.
       Interpolating the logarithm does both once more.
    """

    low: np.ndarray
    scale: float
    n_bins: np.ndarray
    starts: np.ndarray
    table: np.ndarray
    points: np.ndarray
    weights: np.ndarray
    indptr: np.ndarray
    offsets: np.ndarray

    def add_to(self, totals: np.ndarray, z: np.ndarray, taken: np.ndarray) -> None:
        """Add the log densities of values to ``totals``, of shape (n_samples, n_classes).

        Parameters
        ----------
        totals : ndarray of shape (n_samples, n_classes), dtype float64
        z : ndarray of shape (n_nodes, n_samples)
            Finite values.
        taken : ndarray of shape (n_nodes, n_samples), dtype bool
            The values that count.
        """
        kernels.add_log_densities(
            z, taken, self.low, self.scale, self.n_bins, self.starts, self.table,
            self.points, self.weights, self.indptr, PRECISION, REACH, self.offsets, totals,
        )  # fmt: skip


class BinnedValues:
    """Values of many nodes, given batch by batch, from which densities are estimated.

    Parameters
    ----------
    low, high : ndarray of shape (n_nodes,), dtype float64
        Smallest and largest value of each node.
    class_counts : ndarray of shape (n_classes,)
        Number of samples of each class.
    bandwidth : float
        Standard deviation of the Gaussians.
    dtype : numpy dtype
        That of the values.
    """

    def __init__(
        self,
        low: np.ndarray,
        high: np.ndarray,
        class_counts: np.ndarray,
        bandwidth: float,
        dtype: np.dtype,
    ) -> None:
        self.low = low
        self.scale = min(POINTS_PER_BANDWIDTH / bandwidth, LARGEST_SCALE)
        self.offsets = -np.log(class_counts) - np.log(bandwidth) - 0.5 * np.log(2 * np.pi)
        with np.errstate(over="ignore"):
            n_bins = np.floor((high - low) * self.scale) + 2
        n_classes = class_counts.size
        limit = min(MAX_POINTS, MAX_ENTRIES // (n_classes * low.size))
        self.n_bins = np.where(n_bins <= limit, n_bins, 0).astype(np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.n_bins)])
        self._counts = np.zeros((n_classes, self.starts[-1]))
        self._wide = np.flatnonzero(self.n_bins == 0)
        n_samples = int(class_counts.sum())
        self._values = np.empty((self._wide.size, n_samples), dtype)
        self._codes = np.empty(n_samples, np.intp)

    def add(self, start: int, z: np.ndarray, codes: np.ndarray) -> None:
        """Take in the values, of shape (n_nodes, n_samples), of samples from ``start``.

        ``codes`` are their classes, of dtype intp.
        """
        kernels.add_to_bins(
            z, codes, self.low, self.scale, self.n_bins, self.starts, self._counts
        )
        part = slice(start, start + codes.size)
        self._values[:, part] = z[self._wide]
        self._codes[part] = codes

    def densities(self) -> NodeDensities:
        """Estimates from the values taken in."""
        n_classes, n_nodes = self.offsets.size, self.low.size
        wide = iter(range(self._wide.size))
        found = [
            self._tabulated(node) if self.n_bins[node] else self._spread(node, next(wide))
            for node in range(n_nodes)
        ]
        sizes = [np.bincount(classes, minlength=n_classes) for classes, _, _ in found]
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
        points, weights = (np.concatenate([of[i] for of in found]) for i in (1, 2))
        table = np.empty((self.starts[-1], n_classes), np.float32)
        kernels.tabulate_log_densities(
            points, weights, indptr, self.n_bins, self.starts,
            PRECISION, REACH, self.offsets, table,
        )  # fmt: skip
        return NodeDensities(
            self.low, self.scale, self.n_bins, self.starts, table,
            points, weights, indptr, self.offsets,
        )  # fmt: skip

    def _tabulated(self, node: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Classes, points and weights of a node whose values were counted."""
        counts = self._counts[:, self.starts[node] : self.starts[node + 1]]
        classes, points = np.nonzero(counts > NEGLIGIBLE)
        return classes, points.astype(np.float64), counts[classes, points]

    def _spread(self, node: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same for a node whose values were kept."""
        with np.errstate(over="ignore"):
            positions = (self._values[k].astype(np.float64) - self.low[node]) * self.scale
        positions = np.minimum(positions, LARGEST_SCALE)
        below = np.floor(positions)
        shares = positions - below
        points, weights = (
            np.concatenate(pair) for pair in ((below, below + 1), (1 - shares, shares))
        )
        merged = _merged(np.tile(self._codes, 2), points, weights)
        if merged[1].size < positions.size:
            return merged
        # Where the values are far from each other, they take less memory themselves.
        return _merged(self._codes, positions, np.ones(positions.size))


def _merged(
    classes: np.ndarray, points: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes, points and weights, sorted; the weights of the same points are added."""
    order = np.lexsort((points, classes))
    order = order[weights[order] > NEGLIGIBLE]
    classes, points = classes[order], points[order]
    is_new = (np.diff(points) != 0) | (np.diff(classes) != 0)
    firsts = np.concatenate([[0], 1 + np.flatnonzero(is_new)])
    return classes[firsts], points[firsts], np.add.reduceat(weights[order], firsts)
