"""How often nodes are on, for each class, as a heat map."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp.analysis._activity import NodeActivity
from sksparse_mlp.analysis._layers import layer_numbers
from sksparse_mlp.analysis._plot._display import (
    Display,
    name_ticks,
    panels,
    spread,
)

# Layers in a picture, unless others are asked for.
MOST_LAYERS = 8


class NodeActivityDisplay(Display):
    """Heat map of the activity of nodes, for each class, with dead nodes marked.

    One panel per hidden layer. A triangle below a panel marks a dead node, one that is
    on for no sample.

    Parameters
    ----------
    activity : list of array-like of shape (n_nodes, n_classes)
        For each layer to draw, the share of the samples of each class for which each node
        is on, in [0, 1].
    dead_nodes : list of array-like of shape (n_nodes,)
        Whether each node is dead.
    layers : sequence of int
        The numbers of these hidden layers.
    n_layers : int
        How many hidden layers there are.
    classes : array-like of shape (n_classes,)
        The class labels.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes in whose place the panels are.
    axes_ : ndarray of matplotlib Axes
        The panels, one per layer.
    images_ : list of matplotlib AxesImage
        The heat maps, of shape (n_classes, n_nodes).
    figure_ : matplotlib Figure

    See Also
    --------
    NodeActivity : The figures behind it.

    References
    ----------
    Pretorius, *Activation functions in deep neural networks*, 2020, chapter 5.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import NodeActivityDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SparseMLPClassifier((20, 10), epsilon=2, max_iter=9, random_state=0).fit(X, y)
    >>> display = NodeActivityDisplay.from_estimator(clf, X, y)
    >>> [image.get_array().shape for image in display.images_]
    [(3, 20), (3, 10)]
    """

    def __init__(
        self, *, activity: Any, dead_nodes: Any, layers: Any, n_layers: int, classes: Any
    ) -> None:
        self.activity = activity
        self.dead_nodes = dead_nodes
        self.layers = layers
        self.n_layers = n_layers
        self.classes = classes

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        layers: int | Sequence[int] | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw the activity of a fitted network's nodes.

        Parameters
        ----------
        estimator : SparseMLPClassifier or SparseMLPRegressor
            Fitted; a `FrozenEstimator` around it is allowed.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,)
            Their labels, with every class of the estimator.
        layers : int, sequence of int or None, default=None
            Hidden layers to draw, counted from 1. None draws all, or of more than eight
            layers eight from the first to the last.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        NodeActivityDisplay

        Raises
        ------
        ValueError
            If a layer does not exist, or the data do not suit the estimator.
        ImportError, sklearn.exceptions.NotFittedError
            If matplotlib is not installed, or the estimator not fitted.
        """
        return cls.from_activity(NodeActivity(estimator).fit(X, y), layers=layers, ax=ax)

    @classmethod
    def from_activity(
        cls, activity: Any, *, layers: int | Sequence[int] | None = None, ax: Any = None
    ) -> Self:
        """Draw what a `NodeActivity` has found.

        Parameters
        ----------
        activity : NodeActivity
            Fitted.
        layers : int, sequence of int or None, default=None
            As in `from_estimator`.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        NodeActivityDisplay

        Raises
        ------
        ValueError, ImportError, sklearn.exceptions.NotFittedError
            As in `from_estimator`.
        """
        check_is_fitted(activity)
        n_layers = len(activity.activity_)
        numbers = _numbers(layers, n_layers)
        display = cls(
            activity=[activity.activity_[number - 1] for number in numbers],
            dead_nodes=[activity.dead_nodes_[number - 1] for number in numbers],
            layers=numbers,
            n_layers=n_layers,
            classes=activity.classes_,
        )
        return display.plot(ax)

    def _height(self) -> float:
        panel = min(max(0.09 * len(self.classes), 0.3), 1.2)
        panel += 0.35 if self._has_one_size() else 0.5
        return 1.0 + panel * len(self.layers)

    def _has_one_size(self) -> bool:
        """Whether all panels have equal axes of nodes."""
        return len({len(activity) for activity in self.activity}) == 1

    def _draw(self, ax: Any) -> None:
        self.axes_ = panels(ax, len(self.layers), share_x=self._has_one_size())
        self.images_ = [
            self._draw_layer(*layer)
            for layer in zip(
                self.axes_, self.layers, self.activity, self.dead_nodes, strict=True
            )
        ]
        self.axes_[-1].set_xlabel("node")
        height = self._height()
        ax.figure.colorbar(
            self.images_[0], ax=list(self.axes_), location="bottom", aspect=25,
            fraction=0.3 / height, pad=0.1 / height,
            label="activity (share of the class's samples)",
        )  # fmt: skip

    def _draw_layer(
        self, panel: Any, number: int, activity: np.ndarray, dead: np.ndarray
    ) -> Any:
        image = panel.imshow(
            np.transpose(activity), cmap="Greys", vmin=0, vmax=1, aspect="auto"
        )
        dead = np.flatnonzero(dead)
        if dead.size:
            panel.plot(
                dead, np.full(dead.size, -0.05), "k^",
                transform=panel.get_xaxis_transform(), clip_on=False,
                markersize=3.5, markeredgewidth=0,
            )  # fmt: skip
        panel.tick_params(axis="x", length=5)
        panel.set_title(
            f"layer {number} of {self.n_layers}: {dead.size} dead "
            f"{'node' if dead.size == 1 else 'nodes'}"
        )
        panel.set_ylabel("class")
        name_ticks(panel.yaxis, self.classes, at_most=6)
        panel.xaxis.get_major_locator().set_params(integer=True)
        return image


def _numbers(layers: Any, n_layers: int) -> list[int]:
    """Numbers of the layers to draw."""
    if layers is None:
        return [index + 1 for index in spread(n_layers, MOST_LAYERS)]
    return layer_numbers(layers, n_layers)
