"""A stack of sparse layers: forward and backward passes over one batch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from sksparse_mlp.core import kernels
from sksparse_mlp.core.hidden import Hidden
from sksparse_mlp.core.layer import Forward, SparseLayer
from sksparse_mlp.core.losses import Loss
from sksparse_mlp.core.samples import gather
from sksparse_mlp.core.simd import LINE
from sksparse_mlp.core.workers import Member, Workers

# Samples per forward pass when predicting: fewer in networks of very many neurons.
PREDICTION_BATCH, SMALLEST_PREDICTION_BATCH = 256, 32
PREDICTION_ENTRIES = 2**25

# Applies dropout: of (depth, activations, start, stop).
Mask: TypeAlias = Callable[[int, np.ndarray, int, int], None]


def aligned(shape: tuple[int, int], dtype: DTypeLike) -> np.ndarray:
    """An array of zeros that begins where a cache line does.

    Where vectors lie across two lines, kernels lose up to a third of their speed
    (measured by ``python -m benchmarks.peers --only batches``).
    """
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.zeros(n_bytes + LINE, np.uint8)
    start = -room.__array_interface__["data"][0] % LINE
    return room[start : start + n_bytes].view(dtype).reshape(shape)


def padded(size: int, dtype: DTypeLike) -> int:
    """So many samples rounded up to whole vectors."""
    n_lanes = LINE // np.dtype(dtype).itemsize
    return -(-size // n_lanes) * n_lanes


@dataclass
class Batch:
    """Buffers for one batch of ``size`` samples, whose losses are (size,).

    Arrays are (neurons, width): their rows are padded to whole vectors with repetitions of
    the last sample, whose gradient is zero.
    """

    size: int
    x: np.ndarray
    u: list[np.ndarray]
    z: list[np.ndarray]
    a: list[np.ndarray]
    dz: list[np.ndarray]
    losses: np.ndarray

    @classmethod
    def allocate(
        cls,
        sizes: list[int],
        size: int,
        dtype: DTypeLike,
        *,
        training: bool,
        normed: list[bool],
    ) -> "Batch":
        """Buffers for ``size`` samples through layers of the given sizes.

        Products ``u`` and pre-activations ``z`` are the same array, unless a layer is
        ``normed`` and trained; without ``training`` activations overwrite them too.
        """

        def matrices(neurons: list[int]) -> list[np.ndarray]:
            return [aligned((n, padded(size, dtype)), dtype) for n in neurons]

        (x,), u, losses = matrices(sizes[:1]), matrices(sizes[1:]), np.empty(size)
        if not training:
            return cls(size, x, u, u, u[:-1], [], losses)
        z = [
            aligned(m.shape, dtype) if norm else m
            for m, norm in zip(u, normed, strict=True)
        ]
        return cls(size, x, u, z, matrices(sizes[1:-1]), matrices(sizes[1:]), losses)

    def first(self, size: int) -> "Batch":
        """Contiguous buffers for fewer samples, in the same memory."""
        width = padded(size, self.x.dtype)

        def part(matrix: np.ndarray) -> np.ndarray:
            n = matrix.shape[0]
            return matrix.reshape(-1)[: n * width].reshape(n, width)

        return self._mapped(part, size)

    def without_padding(self) -> "Batch":
        """Contiguous arrays of the samples alone: the same ones if rows have no padding."""
        return self._mapped(lambda m: np.ascontiguousarray(m[:, : self.size]), self.size)

    def _mapped(self, part: Callable[[np.ndarray], np.ndarray], size: int) -> "Batch":
        lists = self.u, self.z, self.a, self.dz
        u, z, a, dz = ([part(m) for m in matrices] for matrices in lists)
        return Batch(size, part(self.x), u, z, a, dz, self.losses[:size])

    def inputs(self, depth: int) -> np.ndarray:
        """What layer ``depth`` (0 is the first) reads."""
        return self.x if depth == 0 else self.a[depth - 1]

    def activations(self, depth: int) -> np.ndarray:
        """What layer ``depth`` reads, or the products of the last one, without padding."""
        last = depth == len(self.z)
        values = self.z[-1] if last else self.inputs(depth)
        return np.ascontiguousarray(values[:, : self.size])


class Dropout:
    """Inverted dropout; a mask is a function of its key, so it is never stored.

    Parameters
    ----------
    rate : float
        Probability that a hidden output is set to zero, in [0, 1).
    """

    def __init__(self, rate: float):
        self.rate = rate
        self.threshold = min(round(rate * 2**32), 2**32 - 1)
        self.scale = 1 / (1 - rate)

    def __call__(self, a: np.ndarray, key: int, start: int, stop: int) -> None:
        """Apply the mask of ``key`` to some rows of ``a``, in place."""
        kernels.dropout(a, key, self.threshold, self.scale, start, stop)


class Network:
    """Sparse layers with an activation after each but the last.

    Parameters
    ----------
    layers : list of SparseLayer
    hidden : list of Hidden
        What follows each layer but the last.
    loss : class of :mod:`sksparse_mlp.core.losses`
    """

    def __init__(self, layers: list[SparseLayer], hidden: list[Hidden], loss: Loss):
        self.layers = layers
        self.hidden = hidden
        self.loss = loss

    @property
    def sizes(self) -> list[int]:
        return [self.layers[0].n_in, *(layer.n_out for layer in self.layers)]

    @property
    def dtype(self) -> np.dtype:
        return self.layers[0].weights.dtype

    @property
    def n_connections(self) -> int:
        return sum(layer.n_connections for layer in self.layers)

    @property
    def is_normed(self) -> bool:
        """Whether any hidden layer is normalised over the batch."""
        return any(unit.norm is not None for unit in self.hidden)

    def input_strengths(self) -> np.ndarray:
        """What of each input can reach the outputs, as a share of the strongest's.

        The sum over all paths from it to the outputs of the products of the absolute
        weights on the way, shape (n_in,), float64. What a hidden neuron takes in larger
        units and passes on in smaller ones does not change it. All are zero where no path
        leads through.
        """
        strengths = np.ones(self.sizes[-1])
        for depth in reversed(range(len(self.layers))):
            strengths = self.layers[depth].input_strengths(strengths)
            strengths /= strengths.max() or 1.0
            if depth > 0:
                strengths *= self.hidden[depth - 1].scales
        return strengths

    def slopes(self) -> list[float | np.ndarray | None]:
        """Signed slopes of each hidden layer's negative side, None where there are none."""
        return [unit.activation.slopes(unit.parameters) for unit in self.hidden]

    def copy(self) -> "Network":
        """The same network with copied parameters, without optimizer slots."""
        layers = [layer.copy() for layer in self.layers]
        return Network(layers, [unit.copy() for unit in self.hidden], self.loss)

    def become(self, other: "Network") -> None:
        """Take over another network's patterns and parameters, without any slots.

        Arrays of biases and of hidden units stay in their places, which compiled updates
        know.
        """
        for layer, like in zip(self.layers, other.layers, strict=True):
            layer.become(like)
        for unit, twin in zip(self.hidden, other.hidden, strict=True):
            unit.become(twin)

    def add_slots(self, n_slots: int) -> None:
        """Give the optimizer its slots where there are none."""
        for part in self._parts():
            part.add_slots(n_slots)

    def slots(self) -> dict[str, Any]:
        """The optimizer slots, not copied, with the patterns that they belong to."""
        layers = [
            {"indptr": layer.indptr, "indices": layer.indices, "slots": layer.slots}
            for layer in self.layers
        ]
        return {"layers": layers, "hidden": [unit.slots for unit in self.hidden]}

    def take_slots(self, slots: dict[str, Any]) -> None:
        """Take over what `slots` of another network gave, where it has the same form."""
        parts_slots = [*slots["layers"], *slots["hidden"]]
        for part, part_slots in zip(self._parts(), parts_slots, strict=True):
            part.take_slots(part_slots)

    def is_finite(self) -> bool:
        return all(part.is_finite() for part in self._parts())

    def _parts(self) -> list[SparseLayer | Hidden]:
        return [*self.layers, *self.hidden]

    def buffers(self, size: int, *, training: bool) -> Batch:
        """Buffers for batches of ``size`` samples."""
        normed = [*(unit.norm is not None for unit in self.hidden), False]
        return Batch.allocate(
            self.sizes, size, self.dtype, training=training, normed=normed
        )

    def prepare(self) -> None:
        """Make what the passes over the layers share, before threads meet there."""
        for layer in self.layers:
            _ = layer.transposed

    def work(self, n_samples: int) -> int:
        """Multiply-adds of one forward pass."""
        return self.n_connections * n_samples

    def forward(
        self,
        batch: Batch,
        member: Member,
        *,
        training: bool = False,
        mask: Mask | None = None,
    ) -> None:
        """Fill the batch's pre-activations and activations from its inputs.

        ``training`` normalises by the batch's own moments, where there is batch
        normalisation. ``mask(depth, a, start, stop)``, if given, applies dropout to some
        rows of a hidden layer's activations, the same whenever it is called for this
        batch.
        """
        for depth, layer in enumerate(self.layers):
            u, z = batch.u[depth], batch.z[depth]
            rows = member.part(layer.shares(member.n_threads))
            layer.forward(batch.inputs(depth), u, *rows)
            if depth < len(self.hidden):
                a = batch.a[depth]
                size = batch.size if training else None
                self.hidden[depth].forward(u, z, a, *rows, size=size)
                if mask is not None:
                    mask(depth, a, *rows)
            member.wait()

    def backward(
        self,
        batch: Batch,
        member: Member,
        mask: Mask | None = None,
        skips: Any = None,
    ) -> None:
        """Propagate the last layer's gradient ``batch.dz[-1]`` down to the first.

        ``skips`` adds what reaches a layer's inputs by shortcuts.
        """
        for depth in reversed(range(1, len(self.layers))):
            layer, dx = self.layers[depth], batch.dz[depth - 1]
            rows = member.part(layer.input_shares(member.n_threads))
            layer.backward_input(batch.dz[depth], dx, *rows)
            if skips is not None:
                skips.backward_input(depth, batch, *rows)
            if mask is not None:
                mask(depth - 1, dx, *rows)
            u, z = batch.u[depth - 1], batch.z[depth - 1]
            self.hidden[depth - 1].backward(u, z, dx, batch.size, *rows)
            member.wait()

    def logits(self, X: Any, rows: np.ndarray, workers: Workers) -> np.ndarray:
        """Outputs before the link function, of shape (n_rows, n_outputs)."""
        logits = np.empty((rows.size, self.sizes[-1]), self.dtype)
        fitting = max(SMALLEST_PREDICTION_BATCH, PREDICTION_ENTRIES // sum(self.sizes))
        size = max(1, min(PREDICTION_BATCH, fitting, rows.size))

        def predict(member: Member) -> None:
            buffers = self.buffers(size, training=False)
            skipping: dict[int, Forward] = {}
            for first in range(member.rank * size, rows.size, member.n_threads * size):
                chunk = rows[first : first + size]
                batch = buffers if chunk.size == size else buffers.first(chunk.size)
                gather(X, chunk, batch.x, 0, batch.x.shape[1])
                self._predict(batch, skipping)
                logits[first : first + chunk.size] = batch.z[-1][:, : batch.size].T

        workers.run(predict, self.work(rows.size))
        return logits

    def _predict(self, batch: Batch, skipping: dict[int, Forward]) -> None:
        """A forward pass that skips inputs that are zero where it is faster.

        ``skipping`` holds by depth the functions that do.
        """
        for depth, layer in enumerate(self.layers):
            x, u, z = batch.inputs(depth), batch.u[depth], batch.z[depth]
            if depth == 0 or not layer.prefers_skipping(x, batch.size):
                layer.forward(x, u, 0, layer.n_out)
            else:
                if depth not in skipping:
                    skipping[depth] = layer.skipping_forward()
                skipping[depth](x, u, 0, batch.size)
            if depth < len(self.hidden):
                a = batch.a[depth]
                self.hidden[depth].forward(u, z, a, 0, layer.n_out)
