"""What samples tell of the hidden layers of a network.

A new measure is one line of :data:`MEASURES`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from sksparse_mlp.analysis._layer_classifier import SYSTEMS, _fitted_models
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.passes import passes


@dataclass(frozen=True)
class Observation:
    """A network as some samples see it; each quantity is computed when it is asked for.

    Attributes
    ----------
    network : Network
    X : ndarray or CSR array of shape (n_samples, n_features)
        Of the dtype of the network.
    codes : ndarray of shape (n_samples,), dtype intp
        Indices of the samples' classes, each of which has a sample.
    systems : tuple of str
        Those whose predictions will be asked for.
    bandwidth : float
        Of the densities.
    """

    network: Network
    X: Any
    codes: np.ndarray
    systems: tuple[str, ...] = ()
    bandwidth: float = 0.2

    @cached_property
    def _models(self) -> list[Any]:
        bandwidth = self.bandwidth if {*self.systems} - {"discrete"} else None
        layers = range(1, len(self.network.hidden) + 1)
        return _fitted_models(self.network, self.X, self.codes, layers, bandwidth)

    @cached_property
    def n_on(self) -> list[np.ndarray]:
        """Per layer, for how many samples each node is on."""
        return [model.n_on.sum(axis=1) for model in self._models]

    @cached_property
    def dead(self) -> list[np.ndarray]:
        """Per layer, whether a node is on for no sample."""
        return [n_on == 0 for n_on in self.n_on]

    @cached_property
    def sparsity(self) -> list[float]:
        """Per layer, the mean share of samples for which living nodes are off."""
        alive = (n_on[n_on > 0] for n_on in self.n_on)
        return [
            float(1 - n_on.mean() / self.codes.size) if n_on.size else np.nan
            for n_on in alive
        ]

    @cached_property
    def _shares(self) -> dict[str, np.ndarray]:
        """By system, the accuracy and the agreement of each layer, (2, n_layers)."""
        log_prior = np.log(np.bincount(self.codes) / self.codes.size)
        n_same = {system: np.zeros((2, len(self._models))) for system in self.systems}
        for start, batch in passes(self.network, self.X):
            codes = self.codes[start : start + batch.size]
            predicted = self.network.loss.predict(batch.z[-1].T)
            for k, model in enumerate(self._models):
                for system, counts in n_same.items():
                    joint = model.log_likelihoods(batch.z[k], batch.a[k], system)
                    found = np.argmax(joint + log_prior, axis=1)
                    counts[:, k] += np.sum(found == codes), np.sum(found == predicted)
        return {system: counts / self.codes.size for system, counts in n_same.items()}

    def accuracy(self, system: str) -> list[float]:
        """Per layer, the share of samples that it classifies rightly."""
        shares: list[float] = self._shares[system][0].tolist()
        return shares

    def agreement(self, system: str) -> list[float]:
        """Per layer, the share of samples for which it predicts what the network does."""
        shares: list[float] = self._shares[system][1].tolist()
        return shares


@dataclass(frozen=True)
class Measure:
    """A quantity of every hidden layer.

    Attributes
    ----------
    of : callable of an Observation
        One number per layer.
    meaning : str
        In words.
    system : str or None
        That of the layers as classifiers whose predictions it needs.
    """

    of: Callable[[Observation], list[Any]]
    meaning: str
    system: str | None = None


def _of_system(what: str, system: str) -> Measure:
    kind = f"the layer as a {system} classifier"
    meaning = {
        "accuracy": f"share of the samples that {kind} predicts rightly",
        "agreement": f"share for which {kind} predicts what the network does",
    }[what]
    return Measure(lambda seen: getattr(seen, what)(system), meaning, system)


def _by_system() -> Iterator[tuple[str, Measure]]:
    for what, system in product(("accuracy", "agreement"), SYSTEMS):
        suffix = "" if system == "discrete" else f"_{system}"
        yield f"layer_{what}{suffix}", _of_system(what, system)


#: By the names that `AnalysisRecorder` takes.
MEASURES: dict[str, Measure] = {
    "dead_nodes": Measure(
        lambda seen: [int(dead.sum()) for dead in seen.dead],
        "number of nodes that are on for no sample",
    ),
    "sparsity": Measure(
        lambda seen: seen.sparsity,
        "mean share of the samples for which nodes that are not dead are off",
    ),
    **dict(_by_system()),
}
