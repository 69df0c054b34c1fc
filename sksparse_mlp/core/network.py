"""A stack of sparse layers: forward and backward passes over one batch."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sksparse_mlp.core import kernels
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.samples import gather
from sksparse_mlp.core.workers import Workers

# Samples per forward pass when predicting.
PREDICTION_BATCH = 256


@dataclass
class Batch:
    """Buffers for one batch; all arrays are (neurons, batch)."""

    x: np.ndarray
    z: list[np.ndarray]
    a: list[np.ndarray]
    dz: list[np.ndarray]

    @classmethod
    def allocate(cls, sizes: list[int], size: int, dtype, *, training: bool) -> "Batch":
        """Buffers for ``size`` samples through layers of the given sizes.

        Unless ``training``, activations overwrite the pre-activations.
        """

        def matrices(neurons):
            return [np.empty((n, size), dtype) for n in neurons]

        (x,), z = matrices(sizes[:1]), matrices(sizes[1:])
        if not training:
            return cls(x, z, z[:-1], [])
        return cls(x, z, matrices(sizes[1:-1]), matrices(sizes[1:]))

    def first(self, size: int) -> "Batch":
        """Contiguous buffers for fewer samples, in the same memory."""

        def part(matrix):
            n = matrix.shape[0]
            return matrix.reshape(-1)[: n * size].reshape(n, size)

        return Batch(
            part(self.x), *([part(m) for m in ms] for ms in (self.z, self.a, self.dz))
        )

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
    activations : list of Activation
        One per hidden layer.
    loss : object of :mod:`sksparse_mlp.core.losses`
    """

    def __init__(self, layers: list[SparseLayer], activations: list, loss):
        self.layers = layers
        self.activations = activations
        self.loss = loss

    @property
    def sizes(self) -> list[int]:
        return [self.layers[0].n_in, *(layer.n_out for layer in self.layers)]

    @property
    def dtype(self) -> np.dtype:
        return self.layers[0].weights.dtype

    def slopes(self) -> list:
        """Signed slope of each hidden layer's negative side, None where there is none."""
        return [f.signed_slope(depth) for depth, f in enumerate(self.activations, start=1)]

    def copy(self) -> "Network":
        return Network([layer.copy() for layer in self.layers], self.activations, self.loss)

    def take_slots(self, other: "Network") -> None:
        """Take over the optimizer slots of ``other`` in layers of the same pattern."""
        for layer, twin in zip(self.layers, other.layers, strict=True):
            if layer.has_pattern_of(twin):
                layer.slots = twin.slots

    def is_finite(self) -> bool:
        return all(layer.is_finite() for layer in self.layers)

    def buffers(self, size: int, *, training: bool) -> Batch:
        return Batch.allocate(self.sizes, size, self.dtype, training=training)

    def forward(self, batch: Batch, workers: Workers, mask: Callable | None = None) -> None:
        """Fill the batch's pre-activations and activations from its inputs.

        ``mask(depth, a, start, stop)``, if given, applies dropout to some rows of a
        hidden layer's activations, the same whenever it is called for this batch.
        """
        for depth in range(len(self.layers)):
            self._forward_layer(depth, batch, workers, mask)

    def _forward_layer(self, depth, batch, workers, mask):
        layer, is_hidden = self.layers[depth], depth < len(self.activations)
        x, z = batch.inputs(depth), batch.z[depth]

        def rows(start, stop):
            layer.forward(x, z, start, stop)
            if is_hidden:
                a = batch.a[depth]
                self.activations[depth].forward(z, a, depth + 1, start, stop)
                if mask is not None:
                    mask(depth, a, start, stop)

        work = layer.n_connections * batch.size
        workers.run(rows, layer.shares(workers.n_threads), work)

    def backward(
        self, batch: Batch, workers: Workers, step: Callable, mask: Callable | None = None
    ) -> None:
        """Propagate the last layer's gradient ``batch.dz[-1]`` down to the first.

        Calls ``step(layer, x, dz)`` on each layer, with its inputs and the gradient at
        its outputs, once nothing else needs the layer's weights.
        """
        for depth in reversed(range(len(self.layers))):
            if depth > 0:
                self._backward_input(depth, batch, workers, mask)
            step(self.layers[depth], batch.inputs(depth), batch.dz[depth])

    def _backward_input(self, depth, batch, workers, mask):
        layer, dz = self.layers[depth], batch.dz[depth]
        z, dx = batch.z[depth - 1], batch.dz[depth - 1]

        def rows(start, stop):
            layer.backward_input(dz, dx, start, stop)
            if mask is not None:
                mask(depth - 1, dx, start, stop)
            self.activations[depth - 1].backward(z, dx, depth, start, stop)

        work = layer.n_connections * batch.size
        workers.run(rows, layer.input_shares(workers.n_threads), work)

    def logits(self, X, rows: np.ndarray, workers: Workers) -> np.ndarray:
        """Outputs before the link function, of shape (n_rows, n_outputs)."""
        logits = np.empty((rows.size, self.sizes[-1]), self.dtype)
        buffers = self.buffers(min(PREDICTION_BATCH, rows.size), training=False)
        for first in range(0, rows.size, PREDICTION_BATCH):
            chunk = rows[first : first + PREDICTION_BATCH]
            batch = buffers if chunk.size == buffers.size else buffers.first(chunk.size)
            gather(X, chunk, batch.x)
            self.forward(batch, workers)
            logits[first : first + chunk.size] = batch.z[-1].T
        return logits
