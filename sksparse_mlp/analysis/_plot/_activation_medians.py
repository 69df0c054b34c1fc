"""What nodes typically put out, for each class."""

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp.analysis._distributions import STAGES, ActivationDistributions
from sksparse_mlp.analysis._layers import layer_number
from sksparse_mlp.analysis._plot._display import (
    MARKERS,
    Display,
    name_ticks,
    shades,
    shown,
)

# Classes named in a legend; more are told from light to dark.
MOST_CLASSES = 12
# More markers would cover each other: their place is taken by a map of colours.
MOST_MARKERS = 400
AXIS = {"pre": "median pre-activation", "post": "median activation"}


class ActivationMediansDisplay(Display):
    """Medians of the values of a layer's nodes, for each class.

    Up to 400 medians are markers. A grey bar spans those of all classes at one node: the
    longer it is, the more the node tells of the class. Nodes are in the order of their
    means over the classes. More medians are a map of colours, a row per class and a column
    per node, with the nodes side by side that are highest for the same class: what is
    bright in one row alone tells of this class.

    Parameters
    ----------
    medians : array-like of shape (n_nodes, n_classes)
        The medians.
    classes : array-like of shape (n_classes,)
        The class labels.
    layer : int
        The number of the hidden layer, from 1.
    stage : {"pre", "post"}
        Whether the values are from before or after the activation.

    Attributes
    ----------
    ax_ : matplotlib Axes
    lines_ : list of matplotlib Line2D
        The markers, one object per class; none where there is a map.
    image_ : matplotlib AxesImage or None
        The map, where medians are many.
    figure_ : matplotlib Figure

    See Also
    --------
    ActivationDistributions : The figures behind it.
    PreActivationDisplay : The distributions of one node.

    References
    ----------
    Pretorius, *Activation functions in deep neural networks*, 2020, chapter 4.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import ActivationMediansDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SparseMLPClassifier((20, 10), epsilon=2, max_iter=9, random_state=0).fit(X, y)
    >>> display = ActivationMediansDisplay.from_estimator(clf, X, y, layer=2)
    >>> display.medians.shape
    (10, 3)
    """

    def __init__(
        self, *, medians: np.ndarray, classes: Any, layer: int, stage: str
    ) -> None:
        self.medians = medians
        self.classes = classes
        self.layer = layer
        self.stage = stage

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        layer: int,
        stage: str = "post",
        ax: Any = None,
    ) -> Self:
        """Draw the medians of a fitted network's layer.

        Parameters
        ----------
        estimator : SparseMLPClassifier or SparseMLPRegressor
            Fitted; a `FrozenEstimator` around it is allowed.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,)
            Their labels, with every class of the estimator.
        layer : int
            The hidden layer, counted from 1.
        stage : {"post", "pre"}, default="post"
            After or before the activation.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        ActivationMediansDisplay

        Raises
        ------
        ValueError
            If the layer or the stage does not exist, or the data do not suit the
            estimator.
        ImportError, sklearn.exceptions.NotFittedError
            If matplotlib is not installed, or the estimator not fitted.
        """
        distributions = ActivationDistributions(estimator, n_bins=1, quantiles=[])
        return cls.from_distributions(
            distributions.fit(X, y), layer=layer, stage=stage, ax=ax
        )

    @classmethod
    def from_distributions(
        cls, distributions: Any, *, layer: int, stage: str = "post", ax: Any = None
    ) -> Self:
        """Draw what an `ActivationDistributions` has found.

        Parameters
        ----------
        distributions : ActivationDistributions
            Fitted.
        layer : int
            The hidden layer, counted from 1.
        stage : {"post", "pre"}, default="post"
            After or before the activation.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        ActivationMediansDisplay

        Raises
        ------
        ValueError, ImportError, sklearn.exceptions.NotFittedError
            As in `from_estimator`.
        """
        check_is_fitted(distributions)
        if stage not in STAGES:
            raise ValueError(f"stage must be 'pre' or 'post', got {stage!r}.")
        medians = distributions.medians_[stage]
        layer = layer_number(layer, len(medians))
        display = cls(
            medians=medians[layer - 1],
            classes=distributions.classes_,
            layer=layer,
            stage=stage,
        )
        return display.plot(ax)

    def _height(self) -> float:
        return 2.6

    def _draw(self, ax: Any) -> None:
        medians = np.asarray(self.medians)
        self.lines_: list[Any] = []
        self.image_: Any = None
        draw = self._draw_map if medians.size > MOST_MARKERS else self._draw_markers
        draw(ax, medians)
        ax.xaxis.get_major_locator().set_params(integer=True)

    def _draw_map(self, ax: Any, medians: np.ndarray) -> None:
        highest = np.lexsort((-medians.max(axis=1), medians.argmax(axis=1)))
        self.image_ = ax.imshow(
            medians[highest].T, cmap="viridis", aspect="auto", interpolation="nearest"
        )
        ax.set(
            xlabel=f"nodes of hidden layer {self.layer}, by the class of their highest",
            ylabel="class",
        )
        name_ticks(ax.yaxis, self.classes, at_most=12)
        ax.figure.colorbar(
            self.image_, ax=ax, location="top", aspect=30, label=AXIS[self.stage]
        )

    def _draw_markers(self, ax: Any, medians: np.ndarray) -> None:
        medians = medians[np.argsort(medians.mean(axis=1), kind="stable")]
        n_nodes, n_classes = medians.shape
        nodes = np.arange(n_nodes)
        ax.vlines(
            nodes, medians.min(axis=1), medians.max(axis=1),
            color="0.88", linewidth=min(100 / n_nodes, 2), zorder=0,
        )  # fmt: skip
        size = min(max(150 / n_nodes, 1.8), 4)
        colors = shades(n_classes)
        for k in range(n_classes):
            self.lines_ += ax.plot(
                nodes, medians[:, k], linestyle="", marker=MARKERS[k % len(MARKERS)],
                markersize=size, color=colors[k], markeredgewidth=0,
                label=shown(self.classes[k]),
            )  # fmt: skip
        ax.set(
            xlabel=f"nodes of hidden layer {self.layer}, by mean median",
            ylabel=AXIS[self.stage],
        )
        self._name_classes(ax)

    def _name_classes(self, ax: Any) -> None:
        """A legend of all classes, or of the first and the last where they are many."""
        few = len(self.classes) <= MOST_CLASSES
        lines = self.lines_ if few else [self.lines_[0], self.lines_[-1]]
        longest = max(len(line.get_label()) for line in lines)
        ax.legend(
            handles=lines, title=None if few else "classes, from the first to the last",
            title_fontsize="small", markerscale=4 / lines[0].get_markersize(),
            loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False,
            ncols=max(1, min(len(lines), 48 // (longest + 3))),
            handlelength=1, handletextpad=0.2, columnspacing=0.8,
        )  # fmt: skip
