"""How the pre-activations of one node are distributed, for each class."""

from typing import Any, Self

import numpy as np
from sklearn.neighbors import KernelDensity

from sksparse_mlp.analysis._layers import (
    checked_data,
    fitted,
    groups,
    layer_number,
    node_number,
)
from sksparse_mlp.analysis._plot._display import (
    Display,
    draw_ridges,
    ridges_height,
)
from sksparse_mlp.core.passes import passes
from sksparse_mlp.estimators._mlp import BaseSparseMLP

# Points at which densities are drawn: per bandwidth, and at least and at most in all.
PER_BANDWIDTH, FEWEST, MOST = 8, 256, 4096
# Relative error of the densities that no eye can see.
PRECISION = 1e-3


class PreActivationDisplay(Display):
    """Histograms of the pre-activations of one node, and the densities behind them.

    One row per class, with the histogram of its samples and, as a line, their Gaussian
    kernel density estimate, which a `LayerClassifier` takes for the likelihood. Rows are
    scaled to the same height. A dotted line is at zero.

    Parameters
    ----------
    bin_edges : ndarray of shape (n_bins + 1,)
        Edges of the histograms, in units of the pre-activations.
    histograms : ndarray of shape (n_classes, n_bins)
        Densities, whose integral is 1 for every class.
    points : ndarray of shape (n_points,)
        Where the densities are known.
    densities : ndarray of shape (n_classes, n_points)
        The kernel density estimates.
    classes : array-like of shape (n_classes,)
        The class labels.
    layer, node : int
        The hidden layer, counted from 1, and the node in it, from 0.

    Attributes
    ----------
    ax_ : matplotlib Axes
    lines_ : list of matplotlib Line2D
        The densities, one line per class.
    figure_ : matplotlib Figure

    See Also
    --------
    LayerClassifier : Predicts classes from such densities.

    References
    ----------
    Pretorius, *Activation functions in deep neural networks*, 2020, chapters 4 and 6.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import PreActivationDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SparseMLPClassifier((20, 10), epsilon=2, max_iter=9, random_state=0).fit(X, y)
    >>> display = PreActivationDisplay.from_estimator(clf, X, y, layer=2, node=0)
    >>> display.histograms.shape
    (3, 30)
    """

    def __init__(
        self,
        *,
        bin_edges: Any,
        histograms: Any,
        points: np.ndarray,
        densities: np.ndarray,
        classes: Any,
        layer: int,
        node: int,
    ) -> None:
        self.bin_edges = bin_edges
        self.histograms = histograms
        self.points = points
        self.densities = densities
        self.classes = classes
        self.layer = layer
        self.node = node

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        layer: int,
        node: int,
        bandwidth: float = 0.2,
        n_bins: int = 30,
        ax: Any = None,
    ) -> Self:
        """Draw the pre-activations of a fitted network's node.

        Parameters
        ----------
        estimator : SparseMLPClassifier or SparseMLPRegressor
            Fitted; a `FrozenEstimator` around it is allowed.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples; they pass batch by batch.
        y : array-like of shape (n_samples,)
            Their labels, with every class of the estimator; not looked at where it has no
            single label per sample, and all samples make one histogram.
        layer : int
            The hidden layer, counted from 1.
        node : int
            The node, counted from 0.
        bandwidth : float, default=0.2
            Standard deviation of the kernels, in units of the pre-activations.
        n_bins : int, default=30
            Number of bins of the histograms.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        PreActivationDisplay

        Raises
        ------
        ValueError
            If the layer or the node does not exist, ``bandwidth`` or ``n_bins`` is not
            positive, the data do not suit the estimator, or a value overflows.
        ImportError, sklearn.exceptions.NotFittedError
            If matplotlib is not installed, or the estimator not fitted.
        """
        estimator = fitted(estimator)
        layer = layer_number(layer, len(estimator.coefs_) - 1)
        node = node_number(node, layer, estimator.coefs_[layer - 1].shape[1])
        for name, value in {"bandwidth": bandwidth, "n_bins": n_bins}.items():
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value!r}.")
        X = checked_data(estimator, X)
        classes, codes = groups(estimator, X, y)
        values = _pre_activations(estimator, X, layer, node)
        by_class = [values[codes == code] for code in range(classes.size)]
        edges = np.histogram_bin_edges(values, n_bins)
        points = _points(edges, bandwidth)
        display = cls(
            bin_edges=edges,
            histograms=np.stack([_histogram(own, edges) for own in by_class]),
            points=points,
            densities=np.stack([_density(own, points, bandwidth) for own in by_class]),
            classes=classes,
            layer=layer,
            node=node,
        )
        return display.plot(ax)

    def _height(self) -> float:
        return ridges_height(len(self.classes))

    def _draw(self, ax: Any) -> None:
        peaks = np.max(self.densities, axis=1, keepdims=True)
        tops = np.maximum(np.max(self.histograms, axis=1, keepdims=True), peaks)
        scales = draw_ridges(ax, self.bin_edges, self.histograms, self.classes, tops[:, 0])
        ax.axvline(0, color="0.4", linestyle=":", linewidth=0.8)
        self.lines_ = [
            ax.plot(self.points, row - scales[row] * density, color="black")[0]
            for row, density in enumerate(self.densities)
        ]
        ax.set(
            xlabel=f"pre-activation of node {self.node}, hidden layer {self.layer}",
            ylabel="class (densities, scaled)",
        )


def _pre_activations(estimator: BaseSparseMLP, X: Any, layer: int, node: int) -> np.ndarray:
    """Those of all samples, (n_samples,) in float64."""
    batches = passes(estimator._fitted_network(), X)
    values = np.concatenate(
        [batch.z[layer - 1][node].astype(np.float64) for _, batch in batches]
    )
    if not np.isfinite(values).all():
        raise ValueError(
            f"Pre-activations of node {node} in hidden layer {layer} are not finite. Scale "
            "the data as those that the estimator was fitted with."
        )
    return values


def _points(edges: np.ndarray, bandwidth: float) -> np.ndarray:
    """Where to evaluate densities: as far as they can be seen."""
    low, high = edges[0] - 3 * bandwidth, edges[-1] + 3 * bandwidth
    n_points = np.clip(PER_BANDWIDTH * (high - low) / bandwidth, FEWEST, MOST)
    return np.linspace(low, high, int(n_points))


def _histogram(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts, _ = np.histogram(values, edges)
    densities: np.ndarray = counts / (values.size * np.diff(edges))
    return densities


def _density(values: np.ndarray, points: np.ndarray, bandwidth: float) -> np.ndarray:
    estimate = KernelDensity(bandwidth=bandwidth, rtol=PRECISION).fit(values[:, np.newaxis])
    densities: np.ndarray = np.exp(estimate.score_samples(points[:, np.newaxis]))
    return densities
