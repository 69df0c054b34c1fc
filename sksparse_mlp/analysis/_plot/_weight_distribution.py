"""How the weights of each layer are distributed."""

from typing import Any, Self

import numpy as np
from scipy import sparse

from sksparse_mlp.analysis._layers import fitted
from sksparse_mlp.analysis._plot._display import (
    Display,
    draw_ridges,
    ridges_height,
)


class WeightDistributionDisplay(Display):
    """Histograms of the weights of existing connections, one row per layer.

    Rows are scaled to the same height. The last one is the output layer.

    Parameters
    ----------
    bin_edges : ndarray of shape (n_bins + 1,)
        Edges of the bins, the same for all layers.
    counts : ndarray of shape (n_layers, n_bins)
        Numbers of connections.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    ConnectivityDisplay : How many connections input neurons have.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import WeightDistributionDisplay
    >>> clf = SparseMLPClassifier((20, 10), epsilon=2, max_iter=20, random_state=0)
    >>> clf = clf.fit(*load_iris(return_X_y=True))
    >>> display = WeightDistributionDisplay.from_estimator(clf)
    >>> display.counts.sum(axis=1)
    array([48, 60, 26])
    """

    def __init__(self, *, bin_edges: Any, counts: Any) -> None:
        self.bin_edges = bin_edges
        self.counts = counts

    @classmethod
    def from_estimator(cls, estimator: Any, *, n_bins: int = 61, ax: Any = None) -> Self:
        """Draw the weights of a fitted network.

        Parameters
        ----------
        estimator : SparseMLPClassifier or SparseMLPRegressor
            Fitted; a `FrozenEstimator` around it is allowed.
        n_bins : int, default=61
            Number of bins between the smallest and the largest weight.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        WeightDistributionDisplay

        Raises
        ------
        ValueError
            If ``n_bins`` is not positive.
        ImportError, sklearn.exceptions.NotFittedError
            If matplotlib is not installed, or the estimator not fitted.
        """
        weights = [sparse.csr_array(coef).data for coef in fitted(estimator).coefs_]
        ends = [end for w in weights if w.size for end in (w.min(), w.max())]
        edges = np.histogram_bin_edges(ends, n_bins)
        counts = np.stack([np.histogram(w, edges)[0] for w in weights])
        return cls(bin_edges=edges, counts=counts).plot(ax)

    def _height(self) -> float:
        return ridges_height(len(self.counts))

    def _draw(self, ax: Any) -> None:
        names = [str(number) for number in range(1, len(self.counts))] + ["output"]
        draw_ridges(ax, self.bin_edges, self.counts, names)
        ax.axvline(0, color="0.4", linestyle=":", linewidth=0.8)
        ax.set(xlabel="weight of a connection", ylabel="layer (counts, scaled)")
