"""A fitted network in a few figures: for a print, a table, and the HTML of notebooks."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp._sklearn import check_pandas_support, visual_block
from sksparse_mlp.core.passes import nodes_on
from sksparse_mlp.estimators._input import validated
from sksparse_mlp.estimators._memory import footprint_of


@dataclass(frozen=True)
class NetworkSummary:
    """What a fitted network, or an ensemble of them, consists of.

    Attributes
    ----------
    layers : list of dict
        Of each layer of connections ``n_in`` and ``n_out`` (neurons), ``n_connections``,
        ``density`` (share of the possible connections that exist) and, where there are
        samples to see it by, ``dead_nodes``: how many of its ``n_out`` neurons are on for
        none of these (None for the outputs). Connections and dead nodes of an ensemble
        are sums over its networks.
    n_networks : int
        How many networks these are.
    n_connections : int
        Of all layers.
    density : float
        Share of the possible connections of all layers that exist.
    prediction_bytes, training_bytes : int
        Memory of the network while it predicts, and while it trains, without activations
        (as :func:`~sksparse_mlp.analysis.memory_footprint` has them).
    times_smaller : float
        How many times the weights and biases are that full layers of the same sizes have.

    See Also
    --------
    sksparse_mlp.analysis.memory_footprint : All figures of the memory.
    sksparse_mlp.analysis.NodeActivity : Which nodes are on, for which classes.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SparseMLPClassifier((20, 10), density=0.3, max_iter=5, random_state=0)
    >>> clf.fit(X, y).summary()
    3 layers, 93 of 310 connections (30.0 %), 2.7 times smaller than dense
    layer  from  to  connections  density
        1     4  20           33   41.2 %
        2    20  10           42   21.0 %
        3    10   3           18   60.0 %
    3,084 bytes while it predicts, 4,480 while it trains
    """

    layers: list[dict[str, Any]]
    n_networks: int
    n_connections: int
    density: float
    prediction_bytes: int
    training_bytes: int
    times_smaller: float

    @property
    def headline(self) -> str:
        """The figures of all layers in one line."""
        ensemble = f"{self.n_networks} networks of " if self.n_networks > 1 else ""
        possible = self.n_networks * sum(la["n_in"] * la["n_out"] for la in self.layers)
        return (
            f"{ensemble}{len(self.layers)} layers, {self.n_connections:,} of {possible:,} "
            f"connections ({self.density:.1%}), {self.times_smaller:.1f} times smaller "
            "than dense"
        ).replace("%", " %")

    def __str__(self) -> str:
        rows = [["layer", "from", "to", "connections", "density"]]
        sees_dead = "dead_nodes" in self.layers[0]
        rows[0] += ["dead nodes"] if sees_dead else []
        for number, layer in enumerate(self.layers, 1):
            row = [str(number), *(f"{layer[name]:,}" for name in COUNTS)]
            row.append(f"{layer['density']:.1%}".replace("%", " %"))
            if sees_dead:
                dead = layer["dead_nodes"]
                row.append("" if dead is None else f"{dead:,}")
            rows.append(row)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = [
            "  ".join(text.rjust(n) for text, n in zip(row, widths, strict=True))
            for row in rows
        ]
        memory = (
            f"{self.prediction_bytes:,} bytes while it predicts, "
            f"{self.training_bytes:,} while it trains"
        )
        return "\n".join([self.headline, *(line.rstrip() for line in table), memory])

    __repr__ = __str__

    def to_pandas(self) -> Any:
        """The layers as a table.

        Returns
        -------
        pandas.DataFrame
            One row per layer, with the figures of `layers`, indexed by "layer" from 1.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = check_pandas_support("NetworkSummary.to_pandas")
        index = pandas.RangeIndex(1, len(self.layers) + 1, name="layer")
        return pandas.DataFrame(self.layers, index=index)


COUNTS = ("n_in", "n_out", "n_connections")


class Summarised:
    """Mixin of the estimators: what they consist of, once they are fitted."""

    @abstractmethod
    def _networks(self) -> list[Any]:
        """The fitted networks."""

    @property
    def density_(self) -> float:
        """Share of the possible connections of all layers together that exist."""
        check_is_fitted(self)
        coefs = [coef for network in self._networks() for coef in network.coefs_]
        possible = sum(math.prod(coef.shape) for coef in coefs)
        return float(sum(coef.nnz for coef in coefs) / possible)

    def summary(self, X: Any = None) -> NetworkSummary:
        """Say in a few figures what the fitted network consists of.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Samples by which to count dead nodes: those that are on for none of them.

        Returns
        -------
        sksparse_mlp.analysis.NetworkSummary
            Its text is a table.

        Raises
        ------
        ValueError
            If X does not suit the estimator.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from sksparse_mlp import SparseMLPClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> clf = SparseMLPClassifier(density=0.1, max_iter=2, random_state=0).fit(X, y)
        >>> summary = clf.summary(X)
        >>> round(summary.density, 3)
        0.1
        >>> summary.to_pandas().columns.tolist()
        ['n_in', 'n_out', 'n_connections', 'density', 'dead_nodes']
        """
        check_is_fitted(self)
        fitted: Any = self._snapshot()  # type: ignore[attr-defined]
        networks = fitted._networks()
        layers = _layers(networks)
        if X is not None:
            samples = validated(fitted, X, reset=False)
            dead = np.sum([_n_dead(network, samples) for network in networks], axis=0)
            for layer, n_dead in zip(layers, [*dead.tolist(), None], strict=True):
                layer["dead_nodes"] = n_dead
        footprints = [footprint_of(network) for network in networks]
        return NetworkSummary(
            layers=layers,
            n_networks=len(networks),
            n_connections=sum(layer["n_connections"] for layer in layers),
            density=fitted.density_,
            prediction_bytes=sum(f.prediction_bytes for f in footprints),
            training_bytes=sum(f.training_bytes for f in footprints),
            times_smaller=sum(f.n_dense_parameters for f in footprints)
            / sum(f.n_parameters for f in footprints),
        )

    def _sk_visual_block_(self) -> Any:
        """The HTML representation of scikit-learn, with the headline as its caption."""
        try:
            caption = self.summary().headline
        except (AttributeError, TypeError, ValueError):
            # Not fitted, or edited to what no network is; a picture is no place to say so.
            caption = None
        return visual_block(self, caption)


def _layers(networks: list[Any]) -> list[dict[str, Any]]:
    """The figures of each layer, summed over networks of the same sizes."""
    rows = []
    for coefs in zip(*(network.coefs_ for network in networks), strict=True):
        n_in, n_out = coefs[0].shape
        n_connections = sum(int(coef.nnz) for coef in coefs)
        rows.append(
            {
                "n_in": n_in,
                "n_out": n_out,
                "n_connections": n_connections,
                "density": n_connections / (len(coefs) * n_in * n_out),
            }
        )
    return rows


def _n_dead(network: Any, X: Any) -> list[int]:
    """Per hidden layer, the number of nodes that are on for none of the samples."""
    restored = network._fitted_network()
    X = X.astype(restored.dtype, copy=False)
    seen = [np.zeros(unit.n_neurons, dtype=bool) for unit in restored.hidden]
    for _, nodes in nodes_on(restored, X):
        for known, on in zip(seen, nodes, strict=True):
            known |= on.any(axis=1)
    return [int(np.count_nonzero(~known)) for known in seen]
