"""Paths of three connections within a layer: where random ones lead, what they score."""

from dataclasses import dataclass

import numpy as np

from sksparse_mlp.core import kernels
from sksparse_mlp.core.layer import SparseLayer

# Walks are repeated for those that led to positions that are not free or known already.
N_ROUNDS = 10


@dataclass
class Paths:
    """Connections of a layer, from both sides.

    A path leads from an input neuron to an output neuron, back to an input neuron and on
    to an output neuron.

    Attributes
    ----------
    indptr, indices : ndarray
        CSR pattern, rows being output neurons.
    ends, outputs : ndarray
        The same, rows being input neurons.
    """

    indptr: np.ndarray
    indices: np.ndarray
    ends: np.ndarray
    outputs: np.ndarray

    @classmethod
    def of(cls, layer: SparseLayer, keep: np.ndarray) -> "Paths":
        """Those connections of a layer that are kept."""
        indptr = np.empty_like(layer.indptr)
        indices = np.empty(np.count_nonzero(keep), layer.indices.dtype)
        none, grown = np.empty(0, np.int64), np.empty(1, indptr.dtype)
        kernels.merge_pattern(
            layer.indptr, layer.indices, keep, none, layer.n_in, indptr, indices, grown
        )
        ends = np.empty(layer.n_in + 1, indptr.dtype)
        outputs, places = np.empty_like(indices), np.empty_like(indices)
        kernels.transpose_pattern(indptr, indices, ends, outputs, places)
        return cls(indptr, indices, ends, outputs)

    @property
    def n_in(self) -> int:
        return self.ends.size - 1

    @property
    def n_out(self) -> int:
        return self.indptr.size - 1

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw free positions one after the other, without replacement.

        Each draw takes a free position with a probability proportional to the sum of
        ``1 / sqrt((d - 1) * (e - 1))`` over the paths between its neurons, ``d`` and ``e``
        being the numbers of connections of the two neurons on the way. A path is drawn by
        its connection in the middle, so that time and memory are proportional to the
        connections and draws, however many paths there are.

        Returns
        -------
        ndarray of shape (n_drawn,), dtype int64
            Sorted ranks among the free positions, row-major; up to ``size``, fewer where
            hardly any other path leads to a free position.
        """
        found = np.empty(0, np.int64)
        for _ in range(N_ROUNDS):
            # Never more than are missing: the first to come are the ones to take.
            ranks = self._walk(rng, size - found.size)
            found = np.union1d(found, ranks) if found.size > 0 else ranks
            if found.size == size:
                break
        return found

    def _walk(self, rng: np.random.Generator, n_draws: int) -> np.ndarray:
        """Sorted ranks of the free positions between the ends of so many random paths."""
        sums = rng.standard_exponential(n_draws + 1)
        np.cumsum(sums, out=sums)
        picks = rng.random(n_draws)
        positions = picks.view(np.int64)
        n_paths = kernels.walk_ends(
            self.indptr, self.indices, self.ends, self.outputs,
            _roots(self.indptr), _roots(self.ends), sums, picks, positions,
        )  # fmt: skip
        del sums
        positions = positions[:n_paths]
        positions.sort()
        n_free = kernels.ranks_of_free(positions, self.indptr, self.indices, self.n_in)
        return positions[:n_free]

    def scores(self, positions: np.ndarray) -> np.ndarray:
        """CH3-L3 of free positions, row-major: an array of float64.

        It is the sum of ``1 / sqrt((1 + d) * (1 + e))`` over the paths between the two
        neurons, ``d`` and ``e`` being the numbers of connections that lead from the two
        neurons on the way to others than those on any such path.
        """
        rows, columns = np.divmod(positions, self.n_in)
        scores = np.empty(positions.size)
        kernels.path_scores(
            self.indptr, self.indices, self.ends, self.outputs, rows, columns, scores
        )
        return scores


def _roots(ends: np.ndarray) -> np.ndarray:
    """The square root of each neuron's number of connections but one, 0 without any."""
    roots: np.ndarray = np.sqrt(np.maximum(np.diff(ends) - 1, 0), dtype=np.float64)
    return roots
