"""One sparse layer: CSR pattern, weights, biases and optimizer slots."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike
from scipy import sparse

from sksparse_mlp.core import kernels
from sksparse_mlp.core.sampling import sample_sorted

# Up to here every integer is a float64, as which positions are drawn.
MAX_POSITIONS = 2**53

# Of (x, z, start, stop).
Forward: TypeAlias = Callable[[np.ndarray, np.ndarray, int, int], None]


def n_connections(n_in: int, n_out: int, epsilon: float) -> int:
    """Number of connections of an Erdős-Rényi layer (Mocanu et al. 2018).

    Density ``epsilon * (n_in + n_out) / (n_in * n_out)``, at most 1, rounded to whole
    connections. More than 2**53 positions are refused.
    """
    if int(n_in) * int(n_out) > MAX_POSITIONS:
        raise ValueError(
            f"A layer from {n_in} to {n_out} neurons has more than 2**53 positions for "
            "connections, which cannot be told apart. Choose smaller layers."
        )
    return round(min(epsilon * (n_in + n_out), n_in * n_out))


def common_epsilon(sizes: list[int], density: float) -> float:
    """The epsilon with which layers between ``sizes`` have an overall ``density``.

    Layers that it fills leave their share to the others, so that the sum of
    ``min(epsilon * (n_in + n_out), n_in * n_out)`` over the layers is ``density`` times
    the possible connections.

    Parameters
    ----------
    sizes : list of int
        Numbers of neurons, input layer first.
    density : float
        In (0, 1].

    Returns
    -------
    float
    """
    layers = sorted(
        (n_in * n_out / (n_in + n_out), n_in + n_out, n_in * n_out)
        for n_in, n_out in pairwise(sizes)
    )
    wanted = density * sum(possible for *_, possible in layers)
    neurons = sum(n for _, n, _ in layers)
    for filling, n, possible in layers:
        if filling * neurons >= wanted:
            break
        wanted, neurons = wanted - possible, neurons - n
    else:
        # All layers are full, up to rounding.
        return filling
    return wanted / neurons


def required_bytes(
    n_in: int, n_out: int, epsilon: float, dtype: DTypeLike, n_slots: int
) -> int:
    """Bytes that the arrays of a random layer take while it is trained.

    They are the weights and biases with ``n_slots`` optimizer slots each, the pattern,
    and the pattern by input neurons.
    """
    size = n_connections(n_in, n_out, epsilon)
    n_indices = size + 2 * size + (n_in + 1) + (n_out + 1)
    n_values = (1 + n_slots) * (size + n_out)
    index_size = _index_dtype(n_in, n_out, size).itemsize
    return n_indices * index_size + n_values * np.dtype(dtype).itemsize


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

    def __init__(
        self,
        indptr: np.ndarray,
        indices: np.ndarray,
        weights: np.ndarray,
        bias: np.ndarray,
        n_in: int,
    ):
        self.weights = weights
        self.bias = bias
        self.n_in = n_in
        self.n_out = bias.size
        self.slots: list[tuple[np.ndarray, np.ndarray]] = []
        self._transposed: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._by_input: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._set_pattern(indptr, indices)

    def __getstate__(self) -> dict[str, Any]:
        # What follows from the rest is made anew where it arrives.
        return vars(self) | {"_transposed": None, "_by_input": None}

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
        indptr, indices = _random_pattern(n_in, n_out, size, rng)
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
        # SciPy's conversion needs no array of places, which would be the peak of memory.
        columns = rows.tocsc()
        layer = cls(columns.indptr, columns.indices, columns.data, bias, rows.shape[0])
        layer._by_input = rows.indptr, rows.indices, rows.data
        return layer

    def to_coef(self) -> sparse.csr_array:
        """The weights as a CSR matrix of shape (n_in, n_out), which shares no memory.

        Its pattern is the transposed one, which the layer makes anew when asked for it.
        """
        indptr, indices, positions = self.transposed
        self.drop_transposed()
        parts = _take(self.weights, positions), indices, indptr
        coef = sparse.csr_array(parts, (self.n_in, self.n_out))
        coef.has_canonical_format = True
        return coef

    def copy(self) -> "SparseLayer":
        """A layer with the same pattern and weights, without optimizer slots."""
        return SparseLayer(
            self.indptr, self.indices, self.weights.copy(), self.bias.copy(), self.n_in
        )

    def become(self, other: "SparseLayer") -> None:
        """Take over pattern, weights and biases of a layer that is used no more."""
        self._by_input = None
        self.slots = []
        self.weights = other.weights
        self.bias[...] = other.bias
        self._set_pattern(other.indptr, other.indices)

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

    def input_strengths(self, output_strengths: np.ndarray) -> np.ndarray:
        """Sum of the absolute weights from each input neuron, shape (n_in,), float64.

        Each weight counts as much as the neuron that it leads to, shape (n_out,), float64.
        """
        strengths = np.zeros(self.n_in)
        kernels.sum_sizes_by_column(
            self.indptr, self.indices, self.weights, output_strengths, strengths
        )
        return strengths

    def output_strengths(self) -> np.ndarray:
        """Sum of the absolute weights into each output neuron, shape (n_out,), float64."""
        strengths = np.zeros(self.n_out)
        kernels.sum_sizes_by_row(self.indptr, self.weights, strengths)
        return strengths

    @property
    def fan_out(self) -> np.ndarray:
        """Number of connections from each input neuron, shape (n_in,)."""
        if self._transposed is not None:
            return np.diff(self._transposed[0])
        counts = np.zeros(self.n_in, self.indptr.dtype)
        kernels.count_each(self.indices, counts)
        return counts

    def is_finite(self) -> bool:
        return bool(kernels.all_finite(self.weights) and kernels.all_finite(self.bias))

    def has_pattern_of(self, other: "SparseLayer") -> bool:
        return self.n_in == other.n_in and self._has_pattern(other.indptr, other.indices)

    def _has_pattern(self, indptr: np.ndarray, indices: np.ndarray) -> bool:
        same_rows = np.array_equal(self.indptr, indptr)
        return same_rows and np.array_equal(self.indices, indices)

    def take_slots(self, slots: dict[str, Any]) -> None:
        """Take over optimizer slots, as `Network.slots` has them, of the same pattern."""
        if self._has_pattern(slots["indptr"], slots["indices"]):
            self.slots = slots["slots"]

    def add_slots(self, n_slots: int) -> None:
        """Give the optimizer ``n_slots`` zero arrays per weight and bias, once."""
        # Training makes any other copy of the weights outdated.
        self._by_input = None
        if not self.slots:
            self.slots = [
                (np.zeros_like(self.weights), np.zeros_like(self.bias))
                for _ in range(n_slots)
            ]

    def forward(self, x: np.ndarray, z: np.ndarray, start: int, stop: int) -> None:
        """z = W x + b for some output neurons; x (n_in, batch), z (n_out, batch)."""
        kernels.forward(
            self.indptr, self.indices, self.weights, self.bias, x, z, start, stop
        )

    def prefers_skipping(self, x: np.ndarray, size: int) -> bool:
        """Whether `forward_skipping` is expected to beat `forward` on so many samples.

        Measured by ``python -m benchmarks.sparse_outputs``: on a full layer it does once
        half of the inputs are zero, if there are outputs enough to make up for looking at
        the inputs; on a sparse one, where vectors of samples are lost, once no more than
        about 2 samples of a batch use a connection, hardly ever in large batches.
        """
        if self.is_full:
            return self.n_out >= 32 and bool(kernels.share_active(x, size) <= 0.5)
        return size <= 64 and bool(kernels.share_active(x, size) * size <= 2)

    def skipping_forward(self) -> Forward:
        """A function of (x, z, start, stop) that skips inputs that are exactly zero.

        It does for the samples ``[start, stop)`` what `forward` does for output neurons,
        with the weights as they are now.
        """
        if self._by_input is None:
            indptr, indices, positions = self.transposed
            by_input = indptr, indices, _take(self.weights, positions)
        else:
            by_input = self._by_input
        indptr, indices, weights = by_input
        if self.is_full:
            full = weights.reshape(self.n_in, self.n_out)
            return partial(kernels.forward_skipping_full, full, self.bias)
        return partial(kernels.forward_skipping, indptr, indices, weights, self.bias)

    def backward_input(self, dz: np.ndarray, dx: np.ndarray, start: int, stop: int) -> None:
        """dx = W' dz for some input neurons; dz (n_out, batch), dx (n_in, batch)."""
        kernels.backward_input(*self.transposed, self.weights, dz, dx, start, stop)

    def gradient(self, x: np.ndarray, dz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradients of the weights and of the biases, summed over the batch."""
        weights, bias = np.empty_like(self.weights), np.empty_like(self.bias)
        kernels.weight_gradient(
            self.indptr, self.indices, x, dz, weights, bias, 0, self.n_out
        )
        return weights, bias

    def rewire(self, keep: np.ndarray, ranks: np.ndarray) -> np.ndarray:
        """Drop the connections that are not kept and add new ones of weight zero.

        Weights and slots move in place if there will be as many connections as before:
        an interrupt may leave them beside the old pattern.

        Parameters
        ----------
        keep : ndarray of shape (n_connections,), dtype bool
        ranks : ndarray of dtype int64
            Where the new connections go: sorted ranks among the positions (row-major)
            that no kept connection holds.

        Returns
        -------
        ndarray of shape (n_grown,)
            Indices of the new connections.
        """
        self.drop_transposed()
        n_connections = int(np.count_nonzero(keep)) + ranks.size
        indptr = np.empty_like(self.indptr)
        indices = np.empty(n_connections, self.indices.dtype)
        grown = np.empty(ranks.size + 1, self.indptr.dtype)
        kernels.merge_pattern(
            self.indptr, self.indices, keep, ranks, self.n_in, indptr, indices, grown
        )
        grown = grown[:-1]
        self._move_values(keep, grown, n_connections)
        self._set_pattern(indptr, indices)
        return grown

    def _move_values(self, keep: np.ndarray, grown: np.ndarray, size: int) -> None:
        """Move weights and slots to where they belong, with zeros where they are new."""
        # One after the other, so that only one is there twice at a time.
        self._map_values(lambda values: _with_room(values, size))
        slots = [slot for slot, _ in self.slots]
        slots += [np.empty(0, self.weights.dtype)] * (2 - len(slots))
        kernels.move_values(self.weights, *slots, keep, grown)
        if size < self.weights.size:
            del slots
            self._map_values(lambda values: values[:size].copy())

    def _map_values(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Put others in the place of the weights and of their slots."""
        self.weights = change(self.weights)
        for k, (slot, bias_slot) in enumerate(self.slots):
            self.slots[k] = change(slot), bias_slot

    def positions(self, keep: np.ndarray) -> np.ndarray:
        """Sorted row-major positions of the connections that are kept, dtype int64."""
        positions = np.empty(np.count_nonzero(keep), np.int64)
        kernels.kept_positions(self.indptr, self.indices, keep, self.n_in, positions)
        return positions

    def among(self, inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Mask of the connections between some neurons, given by sorted indices."""
        of_inputs, of_outputs = np.zeros(self.n_in, bool), np.zeros(self.n_out, bool)
        of_inputs[inputs] = of_outputs[outputs] = True
        mask = np.empty(self.n_connections, bool)
        kernels.keep_among(self.indptr, self.indices, of_inputs, of_outputs, mask)
        return mask

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
            indptr,
            _take(number, self.indices),
            self.weights,
            self.bias[outputs],
            inputs.size,
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
            _take(inputs.astype(part.indices.dtype), part.indices),
        )

    @property
    def transposed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The pattern by input neurons: row ends, output neurons, places of the weights."""
        if self._transposed is None:
            indptr = np.empty(self.n_in + 1, self.indptr.dtype)
            indices, positions = np.empty_like(self.indices), np.empty_like(self.indices)
            kernels.transpose_pattern(self.indptr, self.indices, indptr, indices, positions)
            self._transposed = indptr, indices, positions
        return self._transposed

    def drop_transposed(self) -> None:
        """Give back the memory of the transposed pattern until it is asked for again."""
        self._transposed = None

    def shares(self, n_threads: int) -> list[int]:
        """Output neurons where the threads' shares of the work begin and end."""
        return self._shares_of("output", self.indptr, n_threads)

    def input_shares(self, n_threads: int) -> list[int]:
        """Input neurons where the threads' shares of the work begin and end."""
        return self._shares_of("input", self.transposed[0], n_threads)

    def _shares_of(self, side: str, indptr: np.ndarray, n_threads: int) -> list[int]:
        if n_threads == 1:
            return [0, indptr.size - 1]
        if (side, n_threads) not in self._shares:
            # A row costs something even without connections.
            cost = indptr + np.arange(indptr.size)
            ends = np.linspace(0, cost[-1], n_threads + 1)
            self._shares[side, n_threads] = np.searchsorted(cost, ends).tolist()
        return self._shares[side, n_threads]

    def _set_pattern(self, indptr: np.ndarray, indices: np.ndarray) -> None:
        self.indptr, self.indices = indptr, indices
        self._transposed = None
        self._shares: dict[tuple[str, int], list[int]] = {}


def _index_dtype(n_in: int, n_out: int, n_connections: int) -> np.dtype:
    return np.dtype(np.int32 if max(n_in, n_out, n_connections) < 2**31 else np.int64)


def _random_pattern(
    n_in: int, n_out: int, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    positions = sample_sorted(rng, n_in * n_out, size)
    index_dtype = _index_dtype(n_in, n_out, size)
    indptr, indices = np.empty(n_out + 1, index_dtype), np.empty(size, index_dtype)
    kernels.split_positions(positions, n_in, indptr, indices)
    return indptr, indices


def _take(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    # Indexing would make a copy of 32-bit places first.
    taken = np.empty(places.size, values.dtype)
    kernels.take(values, places, taken)
    return taken


def _with_room(values: np.ndarray, size: int) -> np.ndarray:
    """An array that begins with the values, for at least so many."""
    if size <= values.size:
        return values
    return np.concatenate([values, np.empty(size - values.size, values.dtype)])
