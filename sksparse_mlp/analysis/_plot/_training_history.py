"""How loss, score, zeta and gradient flow went on while a network was trained."""

from typing import Any, Self

import numpy as np

from sksparse_mlp.analysis._layers import fitted
from sksparse_mlp.analysis._plot._display import Display, mark_every, panels

# Panels from the top: axis label, and for each line the key in history_ and its name.
PANELS = [
    (
        "loss",
        {
            "loss": "training, with penalty",
            "data_loss": "training, without",
            "validation_loss": "validation, without",
        },
    ),
    ("score", {"train_score": "training", "validation_score": "validation"}),
    ("zeta (share of\nconnections)", {"zeta": "zeta"}),
    (
        "gradient flow\n(loss per weight)",
        {"effective_gradient_flow": "effective gradient flow"},
    ),
]
# These need not be seen from zero.
SCORES = {"train_score", "validation_score"}
STYLES = [("-", "o"), ("--", "s"), (":", "^")]


class TrainingHistoryDisplay(Display):
    """Loss, and what else was recorded, of each epoch.

    One panel each for the loss, the score (accuracy or R2) of training and of validation
    samples, zeta and the effective gradient flow, as far as they are in `history_`. The
    loss that training lowers has the L2 penalty and dropout in it, that of validation
    samples has neither: compare only those that mean the same.

    Parameters
    ----------
    history : list of dict
        One record per epoch, such as `history_`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes in whose place the panels are.
    axes_ : ndarray of matplotlib Axes
        The panels, from the top.
    lines_ : dict of str to matplotlib Line2D
        The lines, by their keys in `history_`.
    figure_ : matplotlib Figure

    See Also
    --------
    SlopesDisplay : Slopes of the activations.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import TrainingHistoryDisplay
    >>> clf = SparseMLPClassifier(
    ...     (20, 10), epsilon=2, record=["train_score"], max_iter=20, random_state=0
    ... ).fit(*load_iris(return_X_y=True))
    >>> display = TrainingHistoryDisplay.from_estimator(clf)
    >>> list(display.lines_)
    ['loss', 'data_loss', 'train_score', 'zeta']
    """

    def __init__(self, *, history: list[dict[str, Any]]) -> None:
        self.history = history

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the history of a fitted network.

        Parameters
        ----------
        estimator : SparseMLPClassifier or SparseMLPRegressor
            Fitted.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        TrainingHistoryDisplay

        Raises
        ------
        ValueError
            If no epoch was recorded.
        ImportError, sklearn.exceptions.NotFittedError
            If matplotlib is not installed, or the estimator not fitted.
        """
        return cls.from_history(fitted(estimator).history_, ax=ax)

    @classmethod
    def from_history(cls, history: list[dict[str, Any]], *, ax: Any = None) -> Self:
        """Draw a history.

        Parameters
        ----------
        history : list of dict
            One record per epoch, such as `history_`.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        TrainingHistoryDisplay
        """
        return cls(history=history).plot(ax)

    def _panels(self) -> list[tuple[str, dict[str, str]]]:
        """Axis labels and lines of the panels that have data."""
        found = [
            (label, {key: name for key, name in lines.items() if self._has(key)})
            for label, lines in PANELS
        ]
        return [(label, lines) for label, lines in found if lines]

    def _has(self, key: str) -> bool:
        return any(key in record for record in self.history)

    def _height(self) -> float:
        return 0.4 + 1.0 * max(len(self._panels()), 1.5)

    def _draw(self, ax: Any) -> None:
        chosen = self._panels()
        if not chosen:
            raise ValueError(
                "The history has no records of epochs; fit the estimator for at least one."
            )
        self.axes_ = panels(ax, len(chosen), share_x=True)
        self.lines_ = {}
        epochs = [record["epoch"] for record in self.history]
        for panel, (label, lines) in zip(self.axes_, chosen, strict=True):
            for line, (key, name) in enumerate(lines.items()):
                values = [record.get(key, np.nan) for record in self.history]
                style, marker = STYLES[line]
                every = mark_every(len(epochs), len(lines), line)
                (self.lines_[key],) = panel.plot(
                    epochs, values, style, marker=marker, markevery=every,
                    color=str(0.0 if line == 0 else 0.45), label=name,
                )  # fmt: skip
            panel.set_ylabel(label)
            if not SCORES & set(lines):
                panel.set_ylim(bottom=min(0, panel.get_ylim()[0]))
            panel.grid(axis="y", color="0.9", linewidth=0.5)
            if len(lines) > 1 or "loss" in lines:
                panel.legend(frameon=False)
        self.axes_[-1].set_xlabel("epoch")
        self.axes_[-1].xaxis.get_major_locator().set_params(integer=True)
        ax.figure.align_ylabels(self.axes_)
