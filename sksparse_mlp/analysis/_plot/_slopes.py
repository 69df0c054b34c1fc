"""How the slopes of activations changed while a network was trained."""

from typing import Any, Self

import numpy as np

from sksparse_mlp.analysis._layers import fitted
from sksparse_mlp.analysis._plot._display import (
    LINE_STYLES,
    MARKERS,
    MOST_IN_LEGEND,
    Display,
    mark_every,
    name_layers,
    shades,
)

QUARTILES = [0.25, 0.5, 0.75]


class SlopesDisplay(Display):
    """Slopes for negative inputs, per hidden layer, over the epochs.

    A layer with one slope per neuron has a line for the median, and with up to six such
    layers a band from the lower to the upper quartile of its neurons.

    Parameters
    ----------
    epochs : array-like of shape (n_epochs,)
        Numbers of the epochs.
    quartiles : dict of int to ndarray of shape (n_epochs, 3)
        By the number of the hidden layer, from 1, the lower quartile, the median and the
        upper quartile of the slopes.

    Attributes
    ----------
    ax_ : matplotlib Axes
    lines_ : dict of int to matplotlib Line2D
        The medians, by hidden layer.
    figure_ : matplotlib Figure

    See Also
    --------
    TrainingHistoryDisplay : Loss and accuracy.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import SlopesDisplay
    >>> clf = SparseMLPClassifier((20, 10), "prelu", epsilon=2, max_iter=9, random_state=0)
    >>> display = SlopesDisplay.from_estimator(clf.fit(*load_iris(return_X_y=True)))
    >>> list(display.lines_)
    [1, 2]
    """

    def __init__(self, *, epochs: np.ndarray, quartiles: dict[int, np.ndarray]) -> None:
        self.epochs = epochs
        self.quartiles = quartiles

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the slopes of a fitted network.

        Parameters
        ----------
        estimator : SparseMLPClassifier or SparseMLPRegressor
            Fitted, with an activation that has slopes.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        SlopesDisplay

        Raises
        ------
        ValueError
            If no epoch was recorded, or no activation has slopes.
        ImportError, sklearn.exceptions.NotFittedError
            If matplotlib is not installed, or the estimator not fitted.
        """
        return cls.from_history(fitted(estimator).history_, ax=ax)

    @classmethod
    def from_history(cls, history: list[dict[str, Any]], *, ax: Any = None) -> Self:
        """Draw the slopes of a history.

        Parameters
        ----------
        history : list of dict
            One record per epoch with "epoch" and "slopes", such as `history_`.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        SlopesDisplay

        Raises
        ------
        ValueError
            If there are no slopes.
        """
        layers = zip(*(record["slopes"] for record in history), strict=True)
        quartiles = {
            number: np.array([np.quantile(slopes, QUARTILES) for slopes in of_epochs])
            for number, of_epochs in enumerate(layers, 1)
            if of_epochs[0] is not None
        }
        if not quartiles:
            raise ValueError(
                "There are no slopes to draw: no epoch was recorded, or no hidden layer "
                "has an activation with slopes, such as leaky_relu, prelu or all_relu."
            )
        epochs = np.array([record["epoch"] for record in history])
        return cls(epochs=epochs, quartiles=quartiles).plot(ax)

    def _draw(self, ax: Any) -> None:
        colors = shades(len(self.quartiles))
        self.lines_ = {}
        for line, (number, values) in enumerate(self.quartiles.items()):
            low, median, high = np.transpose(values)
            looks = {"color": colors[line], "label": str(number)} | self._looks(line)
            if self._has_few_layers() and np.any(low < high):
                ax.fill_between(
                    self.epochs, low, high, color=colors[line], alpha=0.2, linewidth=0
                )
            (self.lines_[number],) = ax.plot(self.epochs, median, **looks)
        if np.prod(ax.get_ylim()) < 0:
            ax.axhline(0, color="0.8", linewidth=0.6, zorder=0)
        ax.set(xlabel="epoch", ylabel="slope for negative inputs")
        ax.xaxis.get_major_locator().set_params(integer=True)
        name_layers(ax, list(self.quartiles), colors)

    def _has_few_layers(self) -> bool:
        return len(self.quartiles) <= MOST_IN_LEGEND

    def _looks(self, line: int) -> dict[str, Any]:
        """Style and markers of the line; of many, only the colours differ."""
        if not self._has_few_layers():
            return {"marker": "." if len(self.epochs) == 1 else ""}
        return {
            "linestyle": LINE_STYLES[line],
            "marker": MARKERS[line],
            "markevery": mark_every(len(self.epochs), len(self.quartiles), line),
        }
