"""Training and prediction data, read batch by batch."""

import hashlib
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

    def total_if_counts(self) -> float:
        """Sum of the weights if all are whole numbers, infinity otherwise."""
        weights = self.weights[self.rows]
        return float(weights.sum(dtype=np.float64)) if (weights % 1 == 0).all() else np.inf

    def repeated(self) -> "Samples":
        """Weights turned into repetitions, in an order set by the samples' values alone.

        Makes a whole weight the same as so many repetitions, to the last bit.
        """
        counts = self.weights[self.rows].astype(np.intp)
        order = sorted(range(self.rows.size), key=self._fingerprint)
        rows = np.repeat(self.rows[order], counts[order])
        return replace(self, weights=np.ones_like(self.weights), rows=rows)

    def _fingerprint(self, i: int) -> tuple[Any, bytes]:
        row = self.X[self.rows[[i]]]
        row = row.toarray() if sparse.issparse(row) else row
        # Adding zero makes -0.0 the same as 0.0.
        return self.y[self.rows[i]].tolist(), hashlib.blake2b((row + 0).tobytes()).digest()
