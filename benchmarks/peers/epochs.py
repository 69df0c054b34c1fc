"""Training epochs beside scikit-learn's dense MLPClassifier of the same layer sizes."""

from dataclasses import dataclass
from statistics import median

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from benchmarks import data
from benchmarks.peers.report import Section
from benchmarks.peers.timing import interleave, once, spread
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.topology import RandomGrowth

# More samples than these are used only when asked for.
MOST_SAMPLES = 12_000
TEXT = """One `partial_fit` of each on the same samples in float32, after a first call on
512 of them: relu, SGD with Nesterov momentum 0.9, the same batch size and L2 penalty,
shuffled, no dropout. Two classes share one output in both. An evolution is SET's at zeta
0.3 in every layer that is not full, with the new transposed patterns; the last column adds
it to the epoch. Data: {source}; digits are scikit-learn's."""


@dataclass(frozen=True)
class Task:
    """A network and the shape of its training data."""

    name: str
    hidden: tuple[int, ...]
    epsilon: float
    batch_size: int
    n_samples: int
    n_features: int
    n_classes: int

    @property
    def sizes(self) -> str:
        return "-".join(map(str, (self.n_features, *self.hidden, self.n_classes)))

    def samples(self, *, full: bool) -> tuple[np.ndarray, np.ndarray]:
        """Standardised training data, random where no folder of data sets is named."""
        n_used = self.n_samples if full else min(self.n_samples, MOST_SAMPLES)
        if self.name == "digits":
            X, y = load_digits(return_X_y=True)
        elif data.has_folder():
            X, y, *_ = data.load(self.name)
        else:
            X = np.random.default_rng(0).standard_normal((n_used, self.n_features))
            y = np.arange(n_used) % self.n_classes
        return StandardScaler().fit_transform(X[:n_used].astype(np.float32)), y[:n_used]

    def sparse(self, **parameters) -> SparseMLPClassifier:
        return SparseMLPClassifier(epsilon=self.epsilon, **self._shared(), **parameters)

    def dense(self) -> MLPClassifier:
        return MLPClassifier(**self._shared())

    def _shared(self):
        sizes = {"hidden_layer_sizes": self.hidden, "batch_size": self.batch_size}
        sgd = {"solver": "sgd", "momentum": 0.9, "learning_rate_init": 1e-3}
        return {"activation": "relu", "random_state": 0, **sizes, **sgd}


MNIST = Task("mnist", (1000, 1000, 1000), 20, 128, 60_000, 784, 10)
TASKS = [
    Task("madelon", (400, 100, 400), 10, 32, 2000, 500, 2),
    Task("isolet", (512, 256, 128), 21, 100, 6238, 617, 26),
    MNIST,
    Task("digits", (256, 128), 20, 128, 1797, 64, 10),
]


def epoch_of(model, X, y):
    """A contestant: one pass of a model that has been through a first call."""
    model.partial_fit(X[:512], y[:512], classes=np.unique(y))
    return once(lambda: model.partial_fit(X, y))


def evolution_of(model):
    """A contestant: one evolution of layers like the model's."""
    pairs = zip(model.coefs_, model.intercepts_, strict=True)
    layers = [SparseLayer.from_coef(coef, intercept) for coef, intercept in pairs]
    layers = [layer for layer in layers if not layer.is_full]
    rng = np.random.default_rng(0)

    def evolve():
        for layer in layers:
            layer.add_slots(1)
            RandomGrowth().evolve(layer, 0.3, rng)
            layer.transposed  # noqa: B018, it is computed when asked for

    evolve()
    return once(evolve)


def measure(options) -> Section:
    source = "real" if data.has_folder() else "random, of the real data's shapes"
    section = Section("Training epochs", TEXT.format(source=source))
    for task in TASKS:
        X, y = task.samples(full=options.full)
        sparse, dense = task.sparse(), task.dense()
        contestants = {"sparse": epoch_of(sparse, X, y), "dense": epoch_of(dense, X, y)}
        contestants["evolution"] = evolution_of(sparse)
        result = interleave(contestants, options.repeats)
        section.seconds[task.name] = result.seconds
        density = sparse.n_connections_.sum() / sum(coef.size for coef in dense.coefs_)
        section.table.append(_row(task, len(X), density, result))
        if task is MNIST:
            ratios = result.ratios("dense", "sparse")
            name = f"epoch of {task.sizes}, times faster than MLPClassifier"
            met = median(ratios) >= 3
            section.add_target(name, "at least 3", spread(ratios), met=met)
    return section


def _row(task, n_used, density, result):
    return {
        "network": f"{task.name} {task.sizes}",
        "epsilon": str(task.epsilon),
        "density": f"{density:.1%}",
        "batch": str(task.batch_size),
        "samples": f"{n_used:,} of {task.n_samples:,}",
        "sparse, s": f"{result.median('sparse'):.3f}",
        "MLPClassifier, s": f"{result.median('dense'):.3f}",
        "times faster": spread(result.ratios("dense", "sparse")),
        "evolution, s": f"{result.median('evolution'):.4f}",
        "with evolution": spread(result.ratios("dense", "sparse", "evolution")),
    }
