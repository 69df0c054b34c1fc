"""The passes of a training step over one layer, and what they compute and move."""

from dataclasses import dataclass

import numpy as np

from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.network import aligned, padded
from sksparse_mlp.core.optimizers import SGD, Adam

FLOAT = INDEX = 4  # bytes
OPTIMIZERS = {
    "gradient + SGD": SGD(momentum=0.9, nesterov=False),
    "gradient + Adam": Adam(beta_1=0.9, beta_2=0.999, epsilon=1e-8),
}
# Bytes of a connection that a pass in float32 reads and writes.
CONNECTION = {
    "forward": FLOAT + INDEX,
    "backward": FLOAT + 2 * INDEX,
    "gradient + SGD": INDEX + 4 * FLOAT,
    "gradient + Adam": INDEX + 6 * FLOAT,
}


@dataclass
class Passes:
    """The passes of a batch over a layer."""

    layer: SparseLayer
    batch: int

    @property
    def flops(self) -> int:
        """Two operations per connection and sample, in every pass."""
        return 2 * self.layer.n_connections * self.batch

    def bytes_moved(self, name: str) -> int:
        """Bytes of a pass that reads and writes everything once."""
        activations = FLOAT * self.batch * (self.layer.n_in + self.layer.n_out)
        return activations + CONNECTION[name] * self.layer.n_connections

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Activations that come in and gradients of those that go out, whole vectors."""
        rng, layer = np.random.default_rng(1), self.layer
        sizes, dtype = (layer.n_in, layer.n_out), layer.weights.dtype
        x, dz = (aligned((n, padded(self.batch, dtype)), dtype) for n in sizes)
        for array in (x, dz):
            array[:] = rng.standard_normal(array.shape, dtype)
        return x, dz

    def functions(self, x: np.ndarray, dz: np.ndarray) -> dict:
        """Each pass as a function; all but the optimizers' return what they fill."""
        layer, (z, dx) = self.layer, (aligned(m.shape, m.dtype) for m in (dz, x))

        def forward():
            layer.forward(x, z, 0, layer.n_out)
            return z

        def backward():
            layer.backward_input(dz, dx, 0, layer.n_in)
            return dx

        functions = {
            "forward": forward,
            "backward": backward,
            "gradient": lambda: layer.gradient(x, dz)[0],
        }
        return functions | {name: self._step(o, x, dz) for name, o in OPTIMIZERS.items()}

    def _step(self, optimizer, x, dz):
        # Steps too small to lead anywhere, in a copy with slots of its own.
        layer = self.layer.copy()
        layer.add_slots(optimizer.n_slots)
        step = optimizer.step(layer, x, dz, 1e-9, 1, 0.0, 1 / self.batch)
        return lambda: step(0, layer.n_out)


def random_layer(n_in, n_out, epsilon, dtype) -> SparseLayer:
    """A layer of standard normal weights and zero biases."""
    rng = np.random.default_rng(0)
    layer = SparseLayer.random(n_in, n_out, epsilon, rng, dtype)
    layer.weights[:] = rng.standard_normal(layer.n_connections)
    return layer
