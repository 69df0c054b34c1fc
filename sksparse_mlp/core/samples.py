"""Training and prediction data, read batch by batch."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from sksparse_mlp.core import kernels


def gather(X: Any, rows: np.ndarray, x: np.ndarray, start: int, stop: int) -> None:
    """Write rows of X into the columns ``[start, stop)`` of x, (n_features, batch).

    Column s takes row ``rows[s]`` of X, a C-contiguous array or a CSR matrix, which is
    made dense one batch at a time. Columns behind the last of the rows repeat it.
    """
    if sparse.issparse(X):
        kernels.gather_csr(X.data, X.indices, X.indptr, rows, x, start, stop)
    else:
        kernels.gather_dense(X, rows, x, start, stop)


@dataclass
class Samples:
    """Some rows of a data set.

    Attributes
    ----------
    X : C-contiguous ndarray or CSR matrix of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class indices of dtype intp, labels (0 or 1) of dtype int8, or numbers of the dtype
        of the weights.
    weights : ndarray of shape (n_samples,)
        Sample weights, of the dtype in which the network computes.
    rows : ndarray of shape (n_rows,), dtype intp
        The rows of X that take part.
    """

    X: Any
    y: np.ndarray
    weights: np.ndarray
    rows: np.ndarray

    @property
    def dtype(self) -> np.dtype:
        dtype: np.dtype = self.X.dtype
        return dtype

    def mean_weight(self) -> float:
        return float(np.mean(self.weights[self.rows], dtype=np.float64))

    def as_counts(self, largest_sum: int) -> np.ndarray | None:
        """The smallest whole numbers in the ratio of the weights.

        None if there are none whose sum is at most ``largest_sum``.
        """
        weights = self.weights[self.rows].astype(np.float64)
        if weights.size > largest_sum:
            return None
        ratios = weights / weights.min()
        # A ratio of few whole numbers is off by a rounding of each.
        tolerance = 8 * float(np.finfo(self.weights.dtype).eps)
        for factor in range(1, largest_sum // weights.size + 1):
            counts = np.rint(factor * ratios)
            if counts.sum() > largest_sum:
                return None
            if (np.abs(factor * ratios - counts) <= tolerance * counts).all():
                whole: np.ndarray = counts.astype(np.intp)
                return whole
        return None

    def repeated(self, counts: np.ndarray) -> "Samples":
        """Each row so many times, in an order set by the samples' values alone.

        Makes a whole weight the same as so many repetitions, to the last bit.
        """
        X, y = self.X[self.rows], self.y[self.rows].reshape(self.rows.size, -1)
        order = np.lexsort([_fingerprints(part, k) for part in (X, y) for k in range(2)])
        rows = np.repeat(self.rows[order], counts[order])
        return replace(self, weights=np.ones_like(self.weights), rows=rows)


# Values that are hashed together, to bound the memory.
HASHED_AT_ONCE = 2**20


def _fingerprints(X: Any, seed: int) -> np.ndarray:
    """64 bits for each row of a matrix, of its values that are not zero."""
    bits = np.zeros(X.shape[0], np.uint64)
    if sparse.issparse(X):
        X = X.copy()
        X.sum_duplicates()
        rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
        np.add.at(bits, rows, _hashed(X.data, X.indices, seed))
        return bits
    n_rows = max(1, HASHED_AT_ONCE // X.shape[1])
    for first in range(0, X.shape[0], n_rows):
        part = X[first : first + n_rows]
        hashed = _hashed(part, np.arange(X.shape[1]), seed)
        bits[first : first + n_rows] = hashed.sum(axis=1, dtype=np.uint64)
    return bits


def _hashed(values: np.ndarray, columns: np.ndarray, seed: int) -> np.ndarray:
    """64 bits of each value and its column (the finalizer of MurmurHash3); 0 of zeros."""
    h = np.asarray(values, np.float64).view(np.uint64)
    h = h ^ (
        (columns.astype(np.uint64) + np.uint64(1 + seed)) * np.uint64(0x9E3779B97F4A7C15)
    )
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        h = (h ^ (h >> np.uint64(33))) * np.uint64(factor)
    return np.where(values == 0, np.uint64(0), h ^ (h >> np.uint64(33)))
