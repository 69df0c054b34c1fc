"""One sparse layer: CSR pattern, weights, biases and optimizer slots."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import DTypeLike
from scipy import sparse

from sksparse_mlp.core import kernels
from sksparse_mlp.core.sampling import sample_sorted


def n_connections(n_in: int, n_out: int, epsilon: float) -> int:
    """Number of connections of an Erdős-Rényi layer (Mocanu et al. 2018).

    Density ``epsilon * (n_in + n_out) / (n_in * n_out)``, at most 1, rounded to whole
    connections.
    """
    return round(min(epsilon * (n_in + n_out), n_in * n_out))


class SparseLayer:
    """Connections from ``n_in`` to ``n_out`` neurons.

    Rows of the pattern are output neurons, with their inputs sorted. Pattern arrays are
    never changed in place, only replaced, so that copies may share them.

    Parameters
    ----------
    indptr, indices : ndarray of shape (n_out + 1,) and (n_connections,)
        CSR pattern, rows being output neurons.
    weights : ndarray of shape (n_connections,), dtype float32 or float64
    bias : ndarray of shape (n_out,), of the same dtype
    n_in : int
        Number of input neurons.
    """

    def __init__(self, indptr, indices, weights, bias, n_in):
        self.weights = weights
        self.bias = bias
        self.n_in = n_in
        self.n_out = bias.size
        self.slots: list[tuple[np.ndarray, np.ndarray]] = []
        self._transposed: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._by_input: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._set_pattern(indptr, indices)

    @classmethod
    def random(
        cls,
        n_in: int,
        n_out: int,
        epsilon: float,
        rng: np.random.Generator,
        dtype: DTypeLike,
    ) -> "SparseLayer":
        """A layer of Erdős-Rényi pattern with zero weights."""
        size = n_connections(n_in, n_out, epsilon)
        positions = sample_sorted(rng, n_in * n_out, size)
        index_dtype = np.int32 if max(n_in, size) < 2**31 else np.int64
        rows, columns = np.divmod(positions, n_in)
        indptr = np.searchsorted(rows, np.arange(n_out + 1)).astype(index_dtype)
        indices = columns.astype(index_dtype)
        return cls(indptr, indices, np.zeros(size, dtype), np.zeros(n_out, dtype), n_in)

    @classmethod
    def from_coef(cls, coef: sparse.sparray, intercept: np.ndarray) -> "SparseLayer":
        """A layer holding a copy of a (n_in, n_out) sparse matrix and its biases."""
        rows = sparse.csr_array(coef)
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        bias = np.array(intercept, dtype=rows.dtype)
        if bias.shape != rows.shape[1:]:
            raise ValueError(
                f"A layer of shape {rows.shape} needs {rows.shape[1]} biases, got an "
                f"array of shape {bias.shape}."
            )
        columns = rows.tocsc()
        layer = cls(columns.indptr, columns.indices, columns.data, bias, rows.shape[0])
        layer._by_input = rows.indptr, rows.indices, rows.data
        return layer

    def to_coef(self) -> sparse.csr_array:
        """The weights as a CSR matrix of shape (n_in, n_out)."""
        shape = (self.n_in, self.n_out)
        return sparse.csc_array((self.weights, self.indices, self.indptr), shape).tocsr()

    def copy(self) -> "SparseLayer":
        """A layer with the same pattern and weights, without optimizer slots."""
        return SparseLayer(
            self.indptr, self.indices, self.weights.copy(), self.bias.copy(), self.n_in
        )

    @property
    def n_connections(self) -> int:
        return self.indices.size

    @property
    def is_full(self) -> bool:
        return self.n_connections == self.n_in * self.n_out

    @property
    def fan_in(self) -> np.ndarray:
        """Number of connections into each output neuron, shape (n_out,)."""
        return np.diff(self.indptr)

    def input_strengths(self) -> np.ndarray:
        """Sum of the absolute weights from each input neuron, shape (n_in,), float64."""
        return _sums(self.indices, np.abs(self.weights), self.n_in)

    def output_strengths(self) -> np.ndarray:
        """Sum of the absolute weights into each output neuron, shape (n_out,), float64."""
        rows = np.repeat(np.arange(self.n_out), self.fan_in)
        return _sums(rows, np.abs(self.weights), self.n_out)

    @property
    def fan_out(self) -> np.ndarray:
        """Number of connections from each input neuron, shape (n_in,)."""
        return np.bincount(self.indices, minlength=self.n_in)

    def is_finite(self) -> bool:
        return bool(np.isfinite(self.weights).all() and np.isfinite(self.bias).all())

    def has_pattern_of(self, other: "SparseLayer") -> bool:
        return (
            self.n_in == other.n_in
            and np.array_equal(self.indptr, other.indptr)
            and np.array_equal(self.indices, other.indices)
        )

    def add_slots(self, n_slots: int) -> None:
        """Give the optimizer ``n_slots`` zero arrays per weight and bias, once."""
        # Training makes any other copy of the weights outdated.
        self._by_input = None
        if not self.slots:
            self.slots = [
                (np.zeros_like(self.weights), np.zeros_like(self.bias))
                for _ in range(n_slots)
            ]

    def forward(self, x, z, start, stop):
        """z = W x + b for some output neurons; x (n_in, batch), z (n_out, batch)."""
        kernels.forward(
            self.indptr, self.indices, self.weights, self.bias, x, z, start, stop
        )

    def prefers_skipping(self, x: np.ndarray) -> bool:
        """Whether `forward_skipping` is expected to beat `forward` on these inputs.

        Measured by ``python -m benchmarks.sparse_outputs``: on a full layer it does once
        half of the inputs are zero, if there are outputs enough to make up for looking at
        the inputs; on a sparse one, where vectors of samples are lost, once no more than
        about 2 samples of a batch use a connection, hardly ever in large batches.
        """
        if self.is_full:
            return self.n_out >= 32 and kernels.share_active(x) <= 0.5
        batch = x.shape[1]
        return batch <= 64 and kernels.share_active(x) * batch <= 2

    def skipping_forward(self) -> Callable:
        """A function of (x, z, start, stop) that skips inputs that are exactly zero.

        It does for the samples ``[start, stop)`` what `forward` does for output neurons,
        with the weights as they are now.
        """
        if self._by_input is None:
            indptr, indices, positions = self.transposed
            by_input = indptr, indices, self.weights[positions]
        else:
            by_input = self._by_input
        indptr, indices, weights = by_input
        if self.is_full:
            full = weights.reshape(self.n_in, self.n_out)
            return partial(kernels.forward_skipping_full, full, self.bias)
        return partial(kernels.forward_skipping, indptr, indices, weights, self.bias)

    def backward_input(self, dz, dx, start, stop):
        """dx = W' dz for some input neurons; dz (n_out, batch), dx (n_in, batch)."""
        kernels.backward_input(*self.transposed, self.weights, dz, dx, start, stop)

    def gradient(self, x, dz):
        """Gradients of the weights and of the biases, summed over the batch."""
        weights, bias = np.empty_like(self.weights), np.empty_like(self.bias)
        kernels.weight_gradient(
            self.indptr, self.indices, x, dz, weights, bias, 0, self.n_out
        )
        return weights, bias

    def rewire(self, keep: np.ndarray, ranks: np.ndarray) -> np.ndarray:
        """Drop the connections that are not kept and add new ones of weight zero.

        Parameters
        ----------
        keep : ndarray of shape (n_connections,), dtype bool
        ranks : ndarray of dtype int64
            Where the new connections go: sorted ranks among the positions (row-major)
            that no kept connection holds.

        Returns
        -------
        ndarray of shape (n_grown,), dtype intp
            Indices of the new connections.
        """
        n_connections = np.count_nonzero(keep) + ranks.size
        indptr = np.empty_like(self.indptr)
        indices = np.empty(n_connections, self.indices.dtype)
        source = np.empty(n_connections, np.int64)
        kernels.merge_pattern(
            self.indptr, self.indices, keep, ranks, self.n_in, indptr, indices, source
        )
        self.weights = _take(self.weights, source)
        self.slots = [(_take(slot, source), bias_slot) for slot, bias_slot in self.slots]
        self._set_pattern(indptr, indices)
        return np.flatnonzero(source < 0)

    def positions(self, keep: np.ndarray) -> np.ndarray:
        """Sorted row-major positions of the connections that are kept, dtype int64."""
        rows = np.repeat(np.arange(self.n_out), self.fan_in)[keep]
        return rows * self.n_in + self.indices[keep]

    def restricted(self, inputs: np.ndarray, outputs: np.ndarray) -> "SparseLayer":
        """The connections among some neurons, which must be all, as a layer of their own.

        Parameters
        ----------
        inputs, outputs : ndarray of dtype intp
            Sorted indices of the neurons.
        """
        number = np.zeros(self.n_in, self.indices.dtype)
        number[inputs] = np.arange(inputs.size)
        indptr = np.append(self.indptr[outputs], self.indptr[-1:])
        part = SparseLayer(
            indptr, number[self.indices], self.weights, self.bias[outputs], inputs.size
        )
        part.slots = self.slots
        return part

    def take_restricted(
        self, part: "SparseLayer", inputs: np.ndarray, outputs: np.ndarray
    ) -> None:
        """Take over the connections of what `restricted` returned."""
        fan_in = np.zeros(self.n_out + 1, self.indptr.dtype)
        fan_in[outputs + 1] = part.fan_in
        self.weights, self.slots = part.weights, part.slots
        self._set_pattern(
            np.cumsum(fan_in, dtype=fan_in.dtype),
            inputs[part.indices].astype(part.indices.dtype),
        )

    @property
    def transposed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The pattern by input neurons: row ends, output neurons, places of the weights."""
        if self._transposed is None:
            positions = np.arange(self.n_connections, dtype=self.indptr.dtype)
            shape = (self.n_out, self.n_in)
            by_input = sparse.csr_array(
                (positions, self.indices, self.indptr), shape
            ).tocsc()
            self._transposed = by_input.indptr, by_input.indices, by_input.data
        return self._transposed

    def shares(self, n_threads: int) -> list[int]:
        """Output neurons where the threads' shares of the work begin and end."""
        return self._shares_of("output", self.indptr, n_threads)

    def input_shares(self, n_threads: int) -> list[int]:
        """Input neurons where the threads' shares of the work begin and end."""
        return self._shares_of("input", self.transposed[0], n_threads)

    def _shares_of(self, side, indptr, n_threads):
        if (side, n_threads) not in self._shares:
            # A row costs something even without connections.
            cost = indptr + np.arange(indptr.size)
            ends = np.linspace(0, cost[-1], n_threads + 1)
            self._shares[side, n_threads] = np.searchsorted(cost, ends).tolist()
        return self._shares[side, n_threads]

    def _set_pattern(self, indptr, indices):
        self.indptr, self.indices = indptr, indices
        self._transposed = None
        self._shares: dict[tuple[str, int], list[int]] = {}


def _sums(groups, values, n_groups):
    # Without values numpy counts, in integers.
    return np.bincount(groups, values, n_groups).astype(np.float64)


def _take(values, source):
    taken = np.empty(source.size, values.dtype)
    kernels.take_or_zero(values, source, taken)
    return taken
