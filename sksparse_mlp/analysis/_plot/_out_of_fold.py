"""How good the predictions of samples left out were as an ensemble was trained."""

from typing import Any, Self

from sklearn.utils.validation import check_is_fitted

from sksparse_mlp.analysis._plot._display import Display, mark_every, panels


class OutOfFoldDisplay(Display):
    """The curve by which a cross-fitted ensemble chose its epoch.

    One panel for the score of the predictions of samples left out, negated losses unless
    `scoring` says otherwise, with the epoch chosen; below it the part that networks had in
    the best of these predictions, where the rest was that of linear models.

    Parameters
    ----------
    history : list of dict
        One record per verdict, such as `history_` of an ensemble.
    n_epochs : int
        The epoch chosen.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes in whose place the panels are.
    axes_ : ndarray of matplotlib Axes
        The panels, from the top; without linear models there is one.
    lines_ : dict of str to matplotlib Line2D
        The lines, by their keys in `history_`.
    best_ : matplotlib Line2D
        Marker of the epoch chosen.
    figure_ : matplotlib Figure

    See Also
    --------
    GridDisplay : The scores of all configurations.
    TrainingHistoryDisplay : The loss of one network.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier, SparseMLPClassifierCV
    >>> from sksparse_mlp.analysis import OutOfFoldDisplay
    >>> network = SparseMLPClassifier((20, 10), epsilon=2, max_iter=20)
    >>> clf = SparseMLPClassifierCV(network, cv=3, random_state=0)
    >>> clf = clf.fit(*load_iris(return_X_y=True))
    >>> display = OutOfFoldDisplay.from_estimator(clf)
    >>> bool(display.best_.get_ydata()[0] == clf.best_score_)
    True
    """

    def __init__(self, *, history: list[dict[str, Any]], n_epochs: int) -> None:
        self.history = history
        self.n_epochs = n_epochs

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the curve of a fitted ensemble.

        Parameters
        ----------
        estimator : SparseMLPClassifierCV or SparseMLPRegressorCV
            Fitted.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        OutOfFoldDisplay

        Raises
        ------
        ImportError, sklearn.exceptions.NotFittedError
            If matplotlib is not installed, or the estimator not fitted.
        """
        check_is_fitted(estimator)
        return cls(history=estimator.history_, n_epochs=estimator.n_epochs_).plot(ax)

    def _panels(self) -> dict[str, str]:
        """Labels of the panels, by the keys of what they show."""
        labels = {"score": "score (out of fold)", "share": "share of\nnetworks"}
        blended = any(record["share"] < 1 for record in self.history)
        return labels if blended else {"score": labels["score"]}

    def _height(self) -> float:
        return 0.6 + 1.2 * len(self._panels())

    def _draw(self, ax: Any) -> None:
        labels = self._panels()
        self.axes_ = panels(ax, len(labels), share_x=True)
        self.lines_ = {}
        epochs = [record["epoch"] for record in self.history]
        every = mark_every(len(epochs))
        for panel, (key, label) in zip(self.axes_, labels.items(), strict=True):
            values = [record[key] for record in self.history]
            (self.lines_[key],) = panel.plot(
                epochs, values, "-", marker="o", markevery=every, color="0.45"
            )
            panel.set_ylabel(label)
            panel.axvline(self.n_epochs, color="0.7", linestyle=":")
            panel.grid(axis="y", color="0.9", linewidth=0.5)
        scores = dict(zip(epochs, self.lines_["score"].get_ydata(), strict=True))
        (self.best_,) = self.axes_[0].plot(
            self.n_epochs, scores[self.n_epochs], "o", color="0", mfc="white"
        )
        self.axes_[-1].set_xlabel("epoch")
        self.axes_[-1].xaxis.get_major_locator().set_params(integer=True)
        ax.figure.align_ylabels(self.axes_)
