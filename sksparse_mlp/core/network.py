"""A stack of sparse layers: forward and backward passes over one batch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sksparse_mlp.core import kernels
from sksparse_mlp.core.hidden import Hidden
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.samples import gather
from sksparse_mlp.core.workers import Workers

# Samples per forward pass when predicting.
PREDICTION_BATCH = 256


@dataclass
class Batch:
    """Buffers for one batch; all arrays are (neurons, batch)."""

    x: np.ndarray
    u: list[np.ndarray]
    z: list[np.ndarray]
    a: list[np.ndarray]
    dz: list[np.ndarray]

    @classmethod
    def allocate(
        cls, sizes: list[int], size: int, dtype, *, training: bool, normed: list[bool]
    ) -> "Batch":
        """Buffers for ``size`` samples through layers of the given sizes.

        Products ``u`` and pre-activations ``z`` are the same array, unless a layer is
        ``normed`` and trained; without ``training`` activations overwrite them too.
        """

        def matrices(neurons):
            return [np.empty((n, size), dtype) for n in neurons]

        (x,), u = matrices(sizes[:1]), matrices(sizes[1:])
        if not training:
            return cls(x, u, u, u[:-1], [])
        z = [np.empty_like(m) if norm else m for m, norm in zip(u, normed, strict=True)]
        return cls(x, u, z, matrices(sizes[1:-1]), matrices(sizes[1:]))

    def first(self, size: int) -> "Batch":
        """Contiguous buffers for fewer samples, in the same memory."""

        def part(matrix):
            n = matrix.shape[0]
            return matrix.reshape(-1)[: n * size].reshape(n, size)

        lists = self.u, self.z, self.a, self.dz
        return Batch(part(self.x), *([part(m) for m in matrices] for matrices in lists))

    @property
    def size(self) -> int:
        return self.x.shape[1]

    def inputs(self, depth: int) -> np.ndarray:
        """What layer ``depth`` (0 is the first) reads."""
        return self.x if depth == 0 else self.a[depth - 1]


class Dropout:
    """Inverted dropout; a mask is a function of its key, so it is never stored.

    Parameters
    ----------
    rate : float
        Probability that a hidden output is set to zero, in [0, 1).
    """

    def __init__(self, rate: float):
        self.rate = rate
        self._threshold = min(round(rate * 2**32), 2**32 - 1)
        self._scale = 1 / (1 - rate)

    def __call__(self, a, key, start, stop):
        """Apply the mask of ``key`` to some rows of ``a``, in place."""
        kernels.dropout(a, key, self._threshold, self._scale, start, stop)


class Network:
    """Sparse layers with an activation after each but the last.

    Parameters
    ----------
    layers : list of SparseLayer
    hidden : list of Hidden
        What follows each layer but the last.
    loss : object of :mod:`sksparse_mlp.core.losses`
    """

    def __init__(self, layers: list[SparseLayer], hidden: list[Hidden], loss):
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

    def slopes(self) -> list:
        """Signed slopes of each hidden layer's negative side, None where there are none."""
        return [unit.activation.slopes(unit.parameters) for unit in self.hidden]

    def copy(self) -> "Network":
        """The same network with copied parameters, without optimizer slots."""
        layers = [layer.copy() for layer in self.layers]
        return Network(layers, [unit.copy() for unit in self.hidden], self.loss)

    def add_slots(self, n_slots: int) -> None:
        """Give the optimizer its slots where there are none."""
        for part in self._parts():
            part.add_slots(n_slots)

    def take_slots(self, other: "Network") -> None:
        """Take over the optimizer slots of ``other`` in layers of the same pattern."""
        for layer, twin in zip(self.layers, other.layers, strict=True):
            if layer.has_pattern_of(twin):
                layer.slots = twin.slots
        for unit, other_unit in zip(self.hidden, other.hidden, strict=True):
            unit.take_slots(other_unit)

    def is_finite(self) -> bool:
        return all(part.is_finite() for part in self._parts())

    def _parts(self) -> list[Any]:
        return [*self.layers, *self.hidden]

    def buffers(self, size: int, *, training: bool) -> Batch:
        """Buffers for batches of ``size`` samples."""
        normed = [*(unit.norm is not None for unit in self.hidden), False]
        return Batch.allocate(
            self.sizes, size, self.dtype, training=training, normed=normed
        )

    def forward(
        self,
        batch: Batch,
        workers: Workers,
        *,
        training: bool = False,
        mask: Callable | None = None,
    ) -> None:
        """Fill the batch's pre-activations and activations from its inputs.

        ``training`` normalises by the batch's own moments, where there is batch
        normalisation. ``mask(depth, a, start, stop)``, if given, applies dropout to some
        rows of a hidden layer's activations, the same whenever it is called for this
        batch.
        """
        for depth in range(len(self.layers)):
            self._forward_layer(depth, batch, workers, training, mask)

    def _forward_layer(self, depth, batch, workers, training, mask):
        layer, is_hidden = self.layers[depth], depth < len(self.hidden)
        x, u, z = batch.inputs(depth), batch.u[depth], batch.z[depth]

        def rows(start, stop):
            layer.forward(x, u, start, stop)
            if is_hidden:
                a = batch.a[depth]
                self.hidden[depth].forward(u, z, a, start, stop, training=training)
                if mask is not None:
                    mask(depth, a, start, stop)

        work = layer.n_connections * batch.size
        workers.run(rows, layer.shares(workers.n_threads), work)

    def backward(
        self,
        batch: Batch,
        workers: Workers,
        step: Callable | None = None,
        mask: Callable | None = None,
        skips: Any = None,
    ) -> None:
        """Propagate the last layer's gradient ``batch.dz[-1]`` down to the first.

        Calls ``step(layer, x, dz)`` on each layer, with its inputs and the gradient at
        its outputs, once nothing else needs the layer's weights. ``skips`` adds what
        reaches a layer's inputs by shortcuts.
        """
        for depth in reversed(range(len(self.layers))):
            if depth > 0:
                self._backward_input(depth, batch, workers, mask, skips)
            if step is not None:
                step(self.layers[depth], batch.inputs(depth), batch.dz[depth])

    def _backward_input(self, depth, batch, workers, mask, skips):
        layer, dz = self.layers[depth], batch.dz[depth]
        u, z, dx = batch.u[depth - 1], batch.z[depth - 1], batch.dz[depth - 1]

        def rows(start, stop):
            layer.backward_input(dz, dx, start, stop)
            if skips is not None:
                skips.backward_input(depth, batch, start, stop)
            if mask is not None:
                mask(depth - 1, dx, start, stop)
            self.hidden[depth - 1].backward(u, z, dx, start, stop)

        work = layer.n_connections * batch.size
        workers.run(rows, layer.input_shares(workers.n_threads), work)

    def logits(self, X, rows: np.ndarray, workers: Workers) -> np.ndarray:
        """Outputs before the link function, of shape (n_rows, n_outputs)."""
        logits = np.empty((rows.size, self.sizes[-1]), self.dtype)
        buffers = self.buffers(min(PREDICTION_BATCH, rows.size), training=False)
        skipping: dict[int, Callable] = {}
        for first in range(0, rows.size, PREDICTION_BATCH):
            chunk = rows[first : first + PREDICTION_BATCH]
            batch = buffers if chunk.size == buffers.size else buffers.first(chunk.size)
            gather(X, chunk, batch.x)
            for depth in range(len(self.layers)):
                if depth > 0 and self.layers[depth].prefers_skipping(batch.inputs(depth)):
                    self._forward_skipping(depth, batch, workers, skipping)
                else:
                    self._forward_layer(depth, batch, workers, training=False, mask=None)
            logits[first : first + chunk.size] = batch.z[-1].T
        return logits

    def _forward_skipping(self, depth, batch, workers, skipping):
        """What `_forward_layer` does, skipping inputs that are zero; keeps copies."""
        if depth not in skipping:
            skipping[depth] = self.layers[depth].skipping_forward()
        x, u = batch.inputs(depth), batch.u[depth]
        shares = np.linspace(0, batch.size, workers.n_threads + 1).astype(int).tolist()
        work = self.layers[depth].n_connections * batch.size
        workers.run(partial(skipping[depth], x, u), shares, work)
        if depth < len(self.hidden):
            z, a = batch.z[depth], batch.a[depth]
            self.hidden[depth].forward(u, z, a, 0, u.shape[0], training=False)
