"""How the pattern of a sparse layer evolves: what goes, and where new connections grow.

A growth rule is a cloneable holder of parameters. A new one is one class and one line
of :data:`GROWTHS`; so is a new rule for hidden neurons to leave the network, of
:data:`PRUNINGS`.
"""

from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.special import log_expit

from sksparse_mlp._sklearn import BaseEstimator, Interval
from sksparse_mlp.core import kernels
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.pairs import Pairs
from sksparse_mlp.core.paths import Paths
from sksparse_mlp.core.sampling import (
    sample_sorted,
    sample_weighted,
    to_positions,
    to_ranks,
)

__all__ = [
    "CannistraciHebbGrowth",
    "CosineGrowth",
    "GradientGrowth",
    "ImportancePruning",
    "LiSET",
    "RandomGrowth",
]

_SCALE = [Interval(Real, 0, None, closed="left")]
_CANDIDATES = Interval(Integral, 1, None, closed="left")


def weakest(weights: np.ndarray, zeta: float) -> np.ndarray:
    """The connections that SET removes.

    They are the share ``zeta`` of the smallest positive weights and the share ``zeta``
    of the negative weights closest to zero, each rounded to whole connections. Weights
    of exactly zero count as the smallest positive ones. Where only some of several equal
    weights go, they are at even distances among these, so that no end of the layer loses
    more than the other.

    Parameters
    ----------
    weights : ndarray of shape (n_connections,)
    zeta : float
        In [0, 1).

    Returns
    -------
    ndarray of shape (n_removed,), dtype intp
        Sorted indices into ``weights``.

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
    return np.flatnonzero(~_strongest(weights, zeta))


def _strongest(weights: np.ndarray, zeta: float) -> np.ndarray:
    """Mask of the connections that stay where the `weakest` go."""
    kind = f"i{weights.itemsize}"
    infinity = np.full(1, np.inf, weights.dtype).view(kind)[0]
    keep = np.empty(weights.size, dtype=bool)
    kernels.keep_strongest(weights.view(kind), infinity, zeta, keep)
    return keep


class Growth(BaseEstimator):
    """Base of the growth rules: weak connections go, as many grow elsewhere.

    A rule says in ``signal`` what it needs to know of a layer:

    - None: nothing;
    - "skips": the strength of each input, an array of shape (n_in,), in a linear
      shortcut to the outputs that is trained beside the network (`LiSET`);
    - "gradient": the layer's inputs, of shape (n_in, batch), and the gradients at its
      outputs, of shape (n_out, batch), for one batch;
    - "activations": the layer's inputs, of shape (n_in, batch), and what its outputs are
      after their activation, of shape (n_out, batch), for one batch. Those of the last
      layer are before the softmax.
    """

    signal: str | None = None
    scale: float = 0.0

    def evolve(
        self,
        layer: SparseLayer,
        zeta: float,
        rng: np.random.Generator,
        signal: Any = None,
        n_connections: int | None = None,
    ) -> tuple[int, int]:
        """Replace the weakest connections of a sparse layer.

        New connections start without momentum, at weight zero or, where the rule has a
        ``scale``, at normal weights.

        Parameters
        ----------
        layer : SparseLayer
            Changed in place.
        zeta : float
            Share of the connections to replace, in [0, 1).
        rng : numpy.random.Generator
        signal : object, default=None
            What the rule's attribute ``signal`` names; without it all free positions
            are equally likely, unless the rule says otherwise.
        n_connections : int, default=None
            How many connections the layer shall have afterwards, if it has room for
            them; as many as before by default.

        Returns
        -------
        n_pruned, n_grown : int
        """
        # What follows takes the memory of what no longer holds afterwards.
        layer.drop_transposed()
        keep = self.kept(layer, zeta, signal)
        n_kept = int(np.count_nonzero(keep))
        n_removed = layer.n_connections - n_kept
        wanted = layer.n_connections if n_connections is None else n_connections
        size = min(wanted, layer.n_in * layer.n_out) - n_kept
        grown = layer.rewire(keep, self.free_ranks(layer, keep, size, rng, signal))
        if self.scale > 0:
            rows = np.searchsorted(layer.indptr, grown, side="right") - 1
            deviation = self.scale * np.sqrt(2 / layer.fan_in[rows])
            layer.weights[grown] = deviation * rng.standard_normal(grown.size)
        return n_removed, grown.size

    def kept(self, layer: SparseLayer, zeta: float, signal: Any) -> np.ndarray:
        """Choose what stays: all but the `weakest`, those that SET removes.

        Parameters
        ----------
        layer : SparseLayer
            The layer, from which nothing is removed yet.
        zeta : float
            Share of the connections to remove, in [0, 1).
        signal : object
            What the attribute ``signal`` names, or None.

        Returns
        -------
        ndarray of shape (n_connections,), dtype bool
        """
        return _strongest(layer.weights, zeta)

    def free_ranks(
        self,
        layer: SparseLayer,
        keep: np.ndarray,
        size: int,
        rng: np.random.Generator,
        signal: Any,
    ) -> np.ndarray:
        """Choose where to grow.

        Parameters
        ----------
        layer : SparseLayer
            The layer, from which nothing is removed yet.
        keep : ndarray of shape (n_connections,), dtype bool
            Mask of the connections that stay.
        size : int
            Number of connections to grow.
        rng : numpy.random.Generator
            Where random numbers come from.
        signal : object
            What the attribute ``signal`` names, or None.

        Returns
        -------
        ndarray of shape (size,), dtype int64
            Sorted ranks among the positions of the layer, row by row (output neuron by
            output neuron), that no kept connection holds.
        """
        raise NotImplementedError


def _random_ranks(
    layer: SparseLayer,
    keep: np.ndarray,
    size: int,
    rng: np.random.Generator,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """Sorted ranks of free positions, the known ones and others at random."""
    n_free = layer.n_in * layer.n_out - int(np.count_nonzero(keep))
    if known is None:
        return sample_sorted(rng, n_free, size)
    others = sample_sorted(rng, n_free - known.size, size - known.size)
    ranks = np.concatenate([known, to_positions(others, known)])
    ranks.sort()
    return ranks


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

    _parameter_constraints: dict[str, Any] = {"scale": _SCALE}

    def __init__(self, scale: float = 0.0):
        self.scale = scale

    def free_ranks(
        self,
        layer: SparseLayer,
        keep: np.ndarray,
        size: int,
        rng: np.random.Generator,
        signal: Any,
    ) -> np.ndarray:
        return _random_ranks(layer, keep, size, rng)


class LiSET(Growth):
    """New connections from inputs that a linear shortcut finds useful (Radu 2021).

    While the network trains, each sparse layer's inputs also reach the outputs through
    a full *skip matrix*, whose products are added to the network's outputs. With ``w_i``
    the sum of the absolute weights of input ``i`` in it, new connections start at input
    ``i`` with probability proportional to ``u_i = sigmoid(w_i / max(w) + gamma)``, one
    after the other at positions that are free. Then the skip matrix starts again from
    zero. Predictions use the network alone, as does training in epochs without
    evolution.

    Parameters
    ----------
    gamma : float, default=0.0
        Large values make all inputs equally likely, as SET does; with very negative ones
        the likeliest input is e times as likely as one without any weight.
    skip_dropout : float, default=0.5
        Probability that a skip matrix is left out of a batch, in [0, 1].
    learning_rate_factor : float, default=0.01
        Learning rate of the skip matrices relative to the network's. The ratios of their
        weights hardly depend on it, but what they learn the network does not have to: 1,
        as in the document, holds it back (``benchmarks/literature/results/liset.md``).
    scale : float, default=0.0
        Size of the weights of new connections, as in `RandomGrowth`.

    References
    ----------
    Radu, *Speeding up convergence for sparse training using feature extraction
    behaviour*, 2021, Algorithm 1 and equation 2.

    Examples
    --------
    >>> import numpy as np
    >>> from sksparse_mlp.topology import LiSET
    >>> LiSET(gamma=0.0).likelihood(np.array([0.0, 1.0, 2.0])).round(3)
    array([0.684, 0.851, 1.   ])
    """

    _parameter_constraints: dict[str, Any] = {
        "gamma": [Interval(Real, None, None, closed="neither")],
        "skip_dropout": [Interval(Real, 0, 1, closed="both")],
        "learning_rate_factor": [Interval(Real, 0, None, closed="neither")],
        "scale": _SCALE,
    }
    signal = "skips"

    def __init__(
        self,
        gamma: float = 0.0,
        skip_dropout: float = 0.5,
        learning_rate_factor: float = 0.01,
        scale: float = 0.0,
    ):
        self.gamma = gamma
        self.skip_dropout = skip_dropout
        self.learning_rate_factor = learning_rate_factor
        self.scale = scale

    def likelihood(self, strengths: np.ndarray) -> np.ndarray:
        """How likely each input is to get a new connection, relative to the likeliest.

        Parameters
        ----------
        strengths : ndarray of shape (n_in,)
            Sums of the absolute weights of each input in the skip matrix.

        Returns
        -------
        ndarray of shape (n_in,), dtype float64
        """
        largest = strengths.max()
        shares = strengths / largest if largest > 0 else np.zeros(strengths.size)
        # In logarithms, where a very negative gamma does not underflow.
        logarithms = log_expit(shares.astype(np.float64) + self.gamma)
        likelihood: np.ndarray = np.exp(logarithms - logarithms.max())
        return likelihood

    def free_ranks(
        self,
        layer: SparseLayer,
        keep: np.ndarray,
        size: int,
        rng: np.random.Generator,
        signal: Any,
    ) -> np.ndarray:
        if signal is None:
            return _random_ranks(layer, keep, size, rng)
        taken = layer.positions(keep)
        return sample_weighted(rng, taken, self.likelihood(signal), layer.n_out, size)


class _GrowthOfPairs(Growth):
    """Base of the rules that compare the values of two neurons for a batch."""

    _parameter_constraints: dict[str, Any] = {
        "n_candidates": [None, _CANDIDATES],
        "scale": _SCALE,
    }

    def __init__(self, n_candidates: int | None, scale: float):
        self.n_candidates = n_candidates
        self.scale = scale

    def _pairs(self, layer: SparseLayer, signal: Any) -> Pairs | None:
        """What is compared; None where all free positions are equally likely."""
        raise NotImplementedError

    def free_ranks(
        self,
        layer: SparseLayer,
        keep: np.ndarray,
        size: int,
        rng: np.random.Generator,
        signal: Any,
    ) -> np.ndarray:
        pairs = self._pairs(layer, signal) if size > 0 else None
        if pairs is None:
            return _random_ranks(layer, keep, size, rng)
        n_free = layer.n_in * layer.n_out - int(np.count_nonzero(keep))
        if self.n_candidates is None or size * self.n_candidates >= n_free:
            best = pairs.largest(layer, keep, size)
            ranks = to_ranks(np.sort(best), layer.positions(keep))
        else:
            candidates = sample_sorted(rng, n_free, size * self.n_candidates)
            ranks = pairs.largest_of(layer, keep, candidates, size)
        return _random_ranks(layer, keep, size, rng, ranks)


class GradientGrowth(_GrowthOfPairs):
    """New connections where the loss would fall fastest (RigL, Evci et al. 2020).

    Those are the free positions with the largest absolute gradients for one batch of
    training samples, without dropout. Positions without any gradient are chosen at
    random, where there are not enough others.

    Parameters
    ----------
    n_candidates : int or None, default=None
        None looks at all free positions: ``n_in * n_out * batch`` multiply-adds, a
        million positions at a time. A number draws that many candidates at random for
        every new connection and takes the best of all: time and memory then grow with
        the connections and not with the layer's size.
    scale : float, default=0.0
        Size of the weights of new connections, as in `RandomGrowth`.

    References
    ----------
    Evci et al., *Rigging the lottery: making all tickets winners*, ICML 2020. Removal is
    SET's, in place of the smallest weights of either sign together.

    Examples
    --------
    >>> from sksparse_mlp.topology import GradientGrowth
    >>> GradientGrowth(n_candidates=10)
    GradientGrowth(n_candidates=10)
    """

    signal = "gradient"

    def __init__(self, n_candidates: int | None = None, scale: float = 0.0):
        super().__init__(n_candidates, scale)

    def _pairs(self, layer: SparseLayer, signal: Any) -> Pairs | None:
        return None if signal is None else Pairs(*signal)


class CosineGrowth(_GrowthOfPairs):
    """New connections between neurons that are active together (CTRE, Atashgahi 2022).

    Those are the free positions where the absolute cosine of the two neurons' activations,
    ``|x_i . y_j| / (|x_i| |y_j|)`` over a batch of training samples without dropout, is
    largest. Positions of neurons that are never active are chosen at random, where there
    are not enough others.

    Parameters
    ----------
    n_candidates : int or None, default=3
        A number draws that many candidates at random for every new connection and takes
        the best of all: time and memory grow with the connections and not with the layer's
        size, and what grows is explored beside what is alike. None looks at all free
        positions, as the original does in turn with growth at random.
    scale : float, default=0.0
        Size of the weights of new connections, as in `RandomGrowth`.

    References
    ----------
    Atashgahi et al., *A brain-inspired algorithm for training highly sparse neural
    networks*, Machine Learning 111, 2022. Removal is SET's.

    Examples
    --------
    >>> from sksparse_mlp.topology import CosineGrowth
    >>> CosineGrowth(n_candidates=10)
    CosineGrowth(n_candidates=10)
    """

    signal = "activations"

    def __init__(self, n_candidates: int | None = 3, scale: float = 0.0):
        super().__init__(n_candidates, scale)

    def _pairs(self, layer: SparseLayer, signal: Any) -> Pairs | None:
        shapes = None if signal is None else tuple(np.shape(part) for part in signal)
        if shapes is None or [n for n, *_ in shapes] != [layer.n_in, layer.n_out]:
            raise ValueError(
                f"{self!r} needs the activations of a layer from {layer.n_in} to "
                f"{layer.n_out} neurons, and signal has "
                f"{'none yet' if shapes is None else f'arrays of shape {shapes}'}. Give "
                f"arrays of shape ({layer.n_in}, batch) and ({layer.n_out}, batch), or "
                "take a rule that needs none, such as RandomGrowth."
            )
        x, y = signal
        return Pairs(x, y, normed=True)


class CannistraciHebbGrowth(Growth):
    """New connections where many paths of length three lead already (CHT, Zhang 2024).

    The connections that stay say where others are missing: a path leads from an input to
    an output neuron, back to another input and on to another output. Each free position
    has as its score the sum of ``1 / sqrt((1 + d) * (1 + e))`` over the paths between its
    neurons, where ``d`` and ``e`` count the connections of the two neurons on the way that
    lead out of the neighbourhood. Positions without any path are chosen at random, where
    there are not enough others.

    Parameters
    ----------
    n_candidates : int, default=1
        1 draws new connections one after the other with probability proportional to their
        scores, as CHTs does; here all connections on the way but the path's own lead out.
        Time and memory then grow with the connections, however many paths there are. More
        draws so many candidates for every new connection and takes those with the highest
        scores, as CHT does: time grows with the square of the connections per neuron.
    scale : float, default=0.0
        Size of the weights of new connections, as in `RandomGrowth`.

    References
    ----------
    Zhang et al., *Epitopological learning and Cannistraci-Hebb network shape intelligence
    brain-inspired theory for ultra-sparse advantage in deep learning*, ICLR 2024. The
    draws: Zhang et al., *Brain network science modelling of sparse neural networks enables
    transformers and LLMs to perform as fully connected*, NeurIPS 2025. Removal is SET's.

    Examples
    --------
    >>> from sksparse_mlp.topology import CannistraciHebbGrowth
    >>> CannistraciHebbGrowth(n_candidates=3)
    CannistraciHebbGrowth(n_candidates=3)
    """

    _parameter_constraints: dict[str, Any] = {
        "n_candidates": [_CANDIDATES],
        "scale": _SCALE,
    }

    def __init__(self, n_candidates: int = 1, scale: float = 0.0):
        self.n_candidates = n_candidates
        self.scale = scale

    def free_ranks(
        self,
        layer: SparseLayer,
        keep: np.ndarray,
        size: int,
        rng: np.random.Generator,
        signal: Any,
    ) -> np.ndarray:
        n_free = layer.n_in * layer.n_out - int(np.count_nonzero(keep))
        n_drawn = min(size * self.n_candidates, n_free)
        if n_drawn == 0:
            return _random_ranks(layer, keep, size, rng)
        paths = Paths.of(layer, keep)
        ranks = paths.sample(rng, n_drawn)
        if ranks.size > size:
            scores = paths.scores(to_positions(ranks, layer.positions(keep)))
            ranks = np.sort(ranks[np.argpartition(scores, -size)[-size:]])
        return _random_ranks(layer, keep, size, rng, ranks)


GROWTHS: dict[str, type[Growth]] = {
    "random": RandomGrowth,
    "liset": LiSET,
    "gradient": GradientGrowth,
    "ctre": CosineGrowth,
    "cht": CannistraciHebbGrowth,
}


class ImportancePruning(BaseEstimator):
    """Weak hidden neurons leave the network, with all their connections.

    A neuron's importance is the sum of the absolute weights of its incoming connections.
    The connections that go are not replaced, so that the network shrinks as it learns.

    Parameters
    ----------
    share : float, default=0.1
        Share of the remaining neurons of each hidden layer that leave at a time, in
        (0, 1); at least one neuron always remains.
    start : float, default=0.4
        Share of the training before the first neurons leave, in [0, 1].
    every : int, default=10
        Epochs between two prunings.

    References
    ----------
    Curci et al., *Truly sparse neural networks at scale*, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sksparse_mlp.topology import ImportancePruning
    >>> pruning = ImportancePruning(share=0.5)
    >>> pruning.is_due(epoch=39, n_epochs=100), pruning.is_due(epoch=40, n_epochs=100)
    (False, True)
    >>> pruning.weakest(np.array([3.0, 1.0, 2.0, 5.0]))
    array([1, 2])
    """

    _parameter_constraints: dict[str, Any] = {
        "share": [Interval(Real, 0, 1, closed="neither")],
        "start": [Interval(Real, 0, 1, closed="both")],
        "every": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, share: float = 0.1, start: float = 0.4, every: int = 10):
        self.share = share
        self.start = start
        self.every = every

    def is_due(self, epoch: int, n_epochs: int) -> bool:
        """Whether neurons leave after an epoch.

        Parameters
        ----------
        epoch : int
            Number of the epoch, counted from 0.
        n_epochs : int
            Number of epochs of the whole training.

        Returns
        -------
        bool
        """
        since = epoch - round(self.start * n_epochs)
        return since >= 0 and since % self.every == 0

    def weakest(self, importance: np.ndarray) -> np.ndarray:
        """The neurons that leave.

        Parameters
        ----------
        importance : ndarray of shape (n_neurons,)
            Sums of absolute incoming weights of the neurons that remain so far.

        Returns
        -------
        ndarray of shape (n_weak,), dtype intp
            Their sorted indices.
        """
        n_weak = min(round(self.share * importance.size), importance.size - 1)
        return np.sort(np.argsort(importance, kind="stable")[:n_weak])


PRUNINGS: dict[str, type[ImportancePruning]] = {"importance": ImportancePruning}
