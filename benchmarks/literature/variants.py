"""Ways to evolve and to begin that were tried beside the package's own.

Each is a growth rule or an initialisation like any that a user writes: a class.
"""

import numpy as np

from sksparse_mlp.core.layer import n_connections
from sksparse_mlp.initializers import HeUniform
from sksparse_mlp.topology import RandomGrowth, weakest


def all_but(layer, removed):
    """Mask of a layer's connections."""
    keep = np.ones(layer.n_connections, dtype=bool)
    keep[removed] = False
    return keep


class RelativeImportance(RandomGrowth):
    """Removal by |w| relative to its row and to its column (Zhang et al. 2024).

    ``|w| / sum of the row + |w| / sum of the column``: no neuron loses all its connections
    because its weights are small. Of each sign the least go, as with SET.
    """

    def kept(self, layer, zeta, signal):
        sizes = np.abs(layer.weights).astype(np.float64)
        rows = np.repeat(layer.output_strengths(), layer.fan_in)
        columns = layer.input_strengths(np.ones(layer.n_out))[layer.indices]
        tiny = np.finfo(float).tiny
        relative = sizes / np.maximum(rows, tiny) + sizes / np.maximum(columns, tiny)
        return all_but(layer, weakest(np.copysign(relative, layer.weights), zeta))


class Revitalisation(RandomGrowth):
    """Removal that wakes dormant neurons (after NeurRev, Li et al. 2024).

    Into neurons that are zero for a whole batch the negative weights go first, up to half
    of what is removed, the largest ones before others; the rest is SET's.
    """

    signal = "activations"

    def kept(self, layer, zeta, signal):
        if signal is None:
            return super().kept(layer, zeta, signal)
        dormant = np.repeat(~signal[1].any(axis=1), layer.fan_in)
        asleep = np.flatnonzero(dormant & (layer.weights < 0))
        n_removed = round(zeta * layer.n_connections)
        order = np.argsort(layer.weights[asleep], kind="stable")
        waking = asleep[order[: n_removed // 2]]
        others = np.delete(np.arange(layer.n_connections), waking)
        share = max(n_removed - waking.size, 0) / max(others.size, 1)
        return all_but(layer, np.r_[waking, others[weakest(layer.weights[others], share)]])


class FallingDensity(RandomGrowth):
    """A layer that loses connections at every evolution until few are left (GraNet).

    Parameters
    ----------
    epsilon : float
        Of the layer that is left.
    ratio : float
        Share of the connections that remains at each evolution.
    """

    def __init__(self, epsilon, ratio, scale=0.0):
        super().__init__(scale)
        self.epsilon = epsilon
        self.ratio = ratio

    def evolve(self, layer, zeta, rng, signal=None, wanted=None):
        least = n_connections(layer.n_in, layer.n_out, self.epsilon)
        wanted = max(round(self.ratio * layer.n_connections), least)
        # At least as many go, whatever is rounded for either sign.
        zeta = max(zeta, (layer.n_connections - wanted + 2) / layer.n_connections)
        return super().evolve(layer, zeta, rng, signal, wanted)


class Rewired(HeUniform):
    """Base of initialisations that choose the pattern too."""

    def pattern(self, layer, rng, before):
        """Inputs of each output neuron, sorted; None leaves the layer as it is."""
        raise NotImplementedError

    def __call__(self, layer, rng, before=None, after=None):
        inputs = self.pattern(layer, rng, before)
        if inputs is not None:
            sizes = np.cumsum([0, *map(len, inputs)])
            indptr = sizes.astype(layer.indptr.dtype)
            indices = np.concatenate(inputs).astype(layer.indices.dtype)
            layer._set_pattern(indptr, indices)
        super().__call__(layer, rng, before, after)


class LognormalFanIn(Rewired):
    """As many connections, lognormally many per neuron (Equilibrium start, 2026)."""

    def pattern(self, layer, rng, before):
        shares = rng.lognormal(size=layer.n_out)
        size = layer.n_connections
        counts = np.clip(np.round(size * shares / shares.sum()), 1, layer.n_in).astype(int)
        while (missing := size - counts.sum()) != 0:
            free = counts < layer.n_in if missing > 0 else counts > 1
            some = rng.permutation(np.flatnonzero(free))[: abs(missing)]
            counts[some] += np.sign(missing)
        return [np.sort(rng.choice(layer.n_in, n, replace=False)) for n in counts]


class CorrelatedStart(Rewired):
    """Each neuron of the first layer reads inputs that go together (CHTs).

    It belongs to an input and is connected to those with the largest absolute correlation
    with it; as many as a random layer gives it.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    """

    def __init__(self, X):
        self.X = X

    def pattern(self, layer, rng, before):
        if before is not None:
            return None
        X = self.X - self.X.mean(axis=0)
        norms = np.linalg.norm(X, axis=0)
        used = np.flatnonzero(norms > 0)
        X = X / np.where(norms > 0, norms, 1)
        own = np.resize(rng.permutation(used), layer.n_out)
        # A little noise tells inputs apart that are all alike.
        alike = np.abs(X.T @ X) + 1e-6 * rng.random((X.shape[1], X.shape[1]))
        return [
            np.sort(np.argpartition(-alike[i], n - 1)[:n]) if n else np.empty(0, int)
            for i, n in zip(own, layer.fan_in, strict=True)
        ]
