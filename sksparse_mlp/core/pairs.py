"""Which free positions of a layer have the largest products of their neurons' values."""

from dataclasses import dataclass

import numpy as np

from sksparse_mlp.core import kernels
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.sampling import to_positions

# Positions whose products are computed at a time, of all and of candidates.
BLOCK = 2**20
CANDIDATES = 2**13


@dataclass
class Pairs:
    """Values of a layer's neurons for a batch; a position's size is their product's.

    Attributes
    ----------
    x, y : ndarray of shape (n_in, batch) and (n_out, batch)
        Of the input and of the output neurons.
    normed : bool
        Whether sizes are relative to the neurons' own: the cosines of their values.
    """

    x: np.ndarray
    y: np.ndarray
    normed: bool = False

    def __post_init__(self) -> None:
        if self.normed:
            self.factors_x, self.factors_y = _inverse_norms(self.x), _inverse_norms(self.y)

    def largest(self, layer: SparseLayer, keep: np.ndarray, size: int) -> np.ndarray:
        """Free positions with the ``size`` largest sizes, those with any, unsorted."""
        n_rows = min(max(1, BLOCK // layer.n_in), layer.n_out)
        block = np.empty((n_rows, layer.n_in), self.x.dtype)
        positions, sizes, least = np.empty(0, np.int64), np.empty(0, self.x.dtype), 0.0
        for start in range(0, layer.n_out, n_rows):
            stop = min(start + n_rows, layer.n_out)
            kernels.free_gradient_sizes(
                layer.indptr, layer.indices, keep, self.x, self.y, block, start, stop
            )
            if self.normed:
                # Sums that overflowed are like no others.
                with np.errstate(invalid="ignore"):
                    block *= self.factors_x
                    block[: stop - start] *= self.factors_y[start:stop, np.newaxis]
            found = np.flatnonzero(block[: stop - start] > least)
            positions = np.append(positions, start * layer.n_in + found)
            sizes = np.append(sizes, block.reshape(-1)[found])
            if sizes.size > size:
                largest = np.argpartition(sizes, -size)[-size:]
                positions, sizes = positions[largest], sizes[largest]
                least = sizes.min()
        return positions

    def largest_of(
        self, layer: SparseLayer, keep: np.ndarray, ranks: np.ndarray, size: int
    ) -> np.ndarray:
        """Those of the free positions' ranks with the largest sizes, if any, sorted."""
        sizes = self._sizes(layer, layer.positions(keep), ranks)
        largest = np.argpartition(sizes, -size)[-size:]
        largest = largest[sizes[largest] > 0]
        best = ranks[largest]
        best.sort()
        return best

    def _sizes(
        self, layer: SparseLayer, taken: np.ndarray, ranks: np.ndarray
    ) -> np.ndarray:
        sizes = np.empty(ranks.size, self.x.dtype)
        for start in range(0, ranks.size, CANDIDATES):
            part = slice(start, start + CANDIDATES)
            rows, columns = np.divmod(to_positions(ranks[part], taken), layer.n_in)
            kernels.gradient_sizes_at(rows, columns, self.x, self.y, sizes[part])
            if self.normed:
                with np.errstate(invalid="ignore"):
                    sizes[part] *= self.factors_y[rows] * self.factors_x[columns]
        return sizes


def _inverse_norms(values: np.ndarray) -> np.ndarray:
    """What makes each row's norm 1; 0 for rows of zeros, which are like no other."""
    norms = np.sqrt(np.einsum("ij,ij->i", values, values))
    inverse: np.ndarray = np.zeros_like(norms)
    np.divide(1, norms, out=inverse, where=norms > 0)
    return inverse
