"""How the pattern of a sparse layer evolves: what goes, and where new connections grow.

A growth rule is a cloneable holder of parameters. A new one is one class and one line
of :data:`GROWTHS`.
"""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.sampling import sample_sorted

__all__ = ["RandomGrowth"]


def weakest(weights: np.ndarray, zeta: float) -> np.ndarray:
    """The connections that SET removes.

    They are the share ``zeta`` of the smallest positive weights and the share ``zeta``
    of the negative weights closest to zero, each rounded to whole connections. Weights
    of exactly zero count as the smallest positive ones.

    Parameters
    ----------
    weights : ndarray of shape (n_connections,)
    zeta : float
        In [0, 1).

    Returns
    -------
    ndarray of shape (n_removed,), dtype intp
        Indices into ``weights``.

    References
    ----------
    Mocanu et al., *Scalable training of artificial neural networks with adaptive sparse
    connectivity inspired by network science*, Nature Communications 9, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sksparse_mlp.topology import weakest
    >>> weakest(np.array([0.1, -3.0, 2.0, -0.2]), zeta=0.5)
    array([0, 3])
    """
    removed = []
    for side in (np.flatnonzero(weights >= 0), np.flatnonzero(weights < 0)):
        n_removed = round(zeta * side.size)
        by_size = np.argpartition(np.abs(weights[side]), n_removed - 1)
        removed.append(side[by_size[:n_removed]])
    return np.concatenate(removed)


class Growth(BaseEstimator):
    """Base of the growth rules: weak connections go, as many grow elsewhere."""

    _parameter_constraints: dict = {}
    scale = 0.0

    def evolve(
        self, layer: SparseLayer, zeta: float, rng: np.random.Generator
    ) -> tuple[int, int]:
        """Replace the weakest connections of a sparse layer.

        New connections start without momentum, at weight zero or, where the rule has a
        ``scale``, at normal weights; their number equals that of the removed ones.

        Parameters
        ----------
        layer : SparseLayer
            Changed in place.
        zeta : float
            Share of the connections to replace, in [0, 1).
        rng : numpy.random.Generator

        Returns
        -------
        n_pruned, n_grown : int
        """
        removed = weakest(layer.weights, zeta)
        keep = np.ones(layer.n_connections, dtype=bool)
        keep[removed] = False
        grown = layer.rewire(keep, self.free_ranks(layer, keep, removed.size, rng))
        if self.scale > 0:
            rows = np.searchsorted(layer.indptr, grown, side="right") - 1
            deviation = self.scale * np.sqrt(2 / layer.fan_in[rows])
            layer.weights[grown] = deviation * rng.standard_normal(grown.size)
        return removed.size, grown.size

    def free_ranks(
        self, layer: SparseLayer, keep: np.ndarray, size: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Choose where to grow.

        Returns sorted ranks among the positions of the layer, row by row (output neuron
        by output neuron), that no kept connection holds.
        """
        raise NotImplementedError


class RandomGrowth(Growth):
    """New connections anywhere, all free positions being equally likely (SET).

    Parameters
    ----------
    scale : float, default=0.0
        Standard deviation of the normal weights of new connections, relative to that of
        He's initialisation, ``sqrt(2 / fan_in)``. 0 starts them at zero, which does not
        disturb what the network has learned; ``docs/new_weights.md`` has the comparison.

    Examples
    --------
    >>> from sksparse_mlp.topology import RandomGrowth
    >>> RandomGrowth(scale=0.1)
    RandomGrowth(scale=0.1)
    """

    _parameter_constraints: dict = {"scale": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, scale: float = 0.0):
        self.scale = scale

    def free_ranks(self, layer, keep, size, rng):
        n_free = layer.n_in * layer.n_out - (layer.n_connections - size)
        return sample_sorted(rng, n_free, size)


GROWTHS: dict[str, type[Growth]] = {"random": RandomGrowth}
