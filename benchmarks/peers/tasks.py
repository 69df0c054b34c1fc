"""The networks and data that every program trains on."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from benchmarks import data
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.initializers import HeNormal

# What all programs share besides the sizes.
DROPOUT, MOMENTUM = 0.3, 0.9
# More samples than these are used only when asked for.
MOST_SAMPLES = 12_000


@dataclass(frozen=True)
class Task:
    """A network and the shape of its training data.

    Attributes
    ----------
    name : str
        Also that of the data set, if there is one.
    sizes : tuple of int
        Neurons of every layer, inputs and classes among them.
    epsilon : float
    batch_size, n_samples : int
    learning_rate : float
    n_epochs : int
        Epochs that are timed together.
    most_repeats : int
        Repeats that are enough where an epoch of the slow programs takes many seconds.
    """

    name: str
    sizes: tuple[int, ...]
    epsilon: float
    batch_size: int
    n_samples: int
    learning_rate: float = 1e-2
    n_epochs: int = 2
    most_repeats: int = 1000

    def __str__(self):
        return f"{self.name} {'-'.join(map(str, self.sizes))}"

    @property
    def density(self) -> float:
        """Share of the connections of full layers that the sparse ones have."""
        full = sum(n_in * n_out for n_in, n_out in self._pairs())
        return sum(layer.n_connections for layer in self.layers()) / full

    def samples(self, *, full: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Standardised training data in float32; random where there is no data set."""
        n_used = self.n_used(full=full)
        if self.is_real:
            X, y, *_ = data.load(self.name)
            scaled = StandardScaler().fit_transform(X[:n_used].astype(np.float32))
            return scaled, np.unique(y, return_inverse=True)[1][:n_used]
        rng = np.random.default_rng(0)
        X = rng.standard_normal((n_used, self.sizes[0]), dtype=np.float32)
        return X, np.arange(n_used) % self.sizes[-1]

    def n_used(self, *, full: bool = False) -> int:
        return self.n_samples if full else min(self.n_samples, MOST_SAMPLES)

    @property
    def is_real(self) -> bool:
        return self.name in REAL and data.has_folder()

    def layers(self) -> list[SparseLayer]:
        """Random sparse layers, as this package begins with."""
        rng, layers = np.random.default_rng(0), []
        for pair in self._pairs():
            layers.append(SparseLayer.random(*pair, self.epsilon, rng, np.float32))
            HeNormal()(layers[-1], rng)
        return layers

    def matrices(self) -> list[sparse.csr_array]:
        """The weights of `layers`, of shape (n_out, n_in)."""
        return [
            sparse.csr_array((la.weights, la.indices, la.indptr), (la.n_out, la.n_in))
            for la in self.layers()
        ]

    def _pairs(self):
        return list(zip(self.sizes, self.sizes[1:], strict=False))


REAL = ("madelon", "isolet", "mnist")
MADELON = Task("madelon", (500, 400, 100, 400, 2), 10, 32, 2000, n_epochs=8)
ISOLET = Task("isolet", (617, 512, 256, 128, 26), 21, 100, 6238, n_epochs=3)
MNIST = Task("mnist", (784, 1000, 1000, 1000, 10), 20, 128, 60_000)
WIDE = Task("wide", (3072, 4000, 1000, 4000, 10), 20, 128, 5000, 3e-3, most_repeats=2)
TASKS = {task.name: task for task in (MADELON, ISOLET, MNIST, WIDE)}
