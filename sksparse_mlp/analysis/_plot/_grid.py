"""The scores of a searched grid as a map."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp.analysis._plot._display import Display

# Of a row of the map, in inches.
ROW = 0.35


class GridDisplay(Display):
    """Scores of a grid's configurations over the values of two parameters.

    Where the grid has more parameters, the best score over the others is shown.

    Parameters
    ----------
    scores : ndarray of shape (n_values, n_others)
        NaN where the grid has no such configuration.
    rows, columns : tuple of (str, list)
        Name and values of the parameter along the rows and of that along the columns.

    Attributes
    ----------
    ax_ : matplotlib Axes
    image_ : matplotlib AxesImage
        The map.
    best_ : matplotlib Line2D
        Marker of the best score.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier, SparseMLPClassifierCV
    >>> from sksparse_mlp.analysis import GridDisplay
    >>> network = SparseMLPClassifier((20, 10), epsilon=2, max_iter=10)
    >>> grid = {"alpha": [0.01, 0.1, 1], "epsilon": [1, 2]}
    >>> clf = SparseMLPClassifierCV(network, grid, cv=3, random_state=0)
    >>> clf = clf.fit(*load_iris(return_X_y=True))
    >>> GridDisplay.from_estimator(clf).scores.shape
    (3, 2)
    """

    def __init__(
        self,
        *,
        scores: np.ndarray,
        rows: tuple[str, list[Any]],
        columns: tuple[str, list[Any]],
    ) -> None:
        self.scores = scores
        self.rows = rows
        self.columns = columns

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, rows: str | None = None, columns: str | None = None,
        ax: Any = None,
    ) -> Self:  # fmt: skip
        """Draw the grid of a fitted search.

        Parameters
        ----------
        estimator : SparseMLPClassifierCV or SparseMLPRegressorCV
            Fitted with a `param_grid`; whatever else has such a `cv_results_` will do.
        rows, columns : str, default=None
            Names of parameters; None takes the first and the second of the grid.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        GridDisplay

        Raises
        ------
        ValueError
            If no grid was searched, or it has no such parameter.
        ImportError, sklearn.exceptions.NotFittedError
            If matplotlib is not installed, or the estimator not fitted.
        """
        check_is_fitted(estimator)
        results = estimator.cv_results_
        names = list(dict.fromkeys(name for p in results["params"] for name in p))
        if not names:
            raise ValueError(
                "The estimator searched no grid; fit it with param_grid, for instance "
                '{"alpha": [0.01, 0.1, 1]}.'
            )
        chosen = [rows or names[0], columns or (names[1:2] or names)[0]]
        unknown = [name for name in chosen if name not in names]
        if unknown:
            raise ValueError(f"The grid has no {unknown[0]!r}; its parameters are {names}.")
        return cls(**_map(results, *chosen)).plot(ax)

    def _height(self) -> float:
        return 0.8 + ROW * max(len(self.rows[1]), 2)

    def _draw(self, ax: Any) -> None:
        self.image_ = ax.imshow(self.scores, cmap="gray", aspect="auto")
        best = np.unravel_index(np.nanargmax(self.scores), self.scores.shape)
        (self.best_,) = ax.plot(best[1], best[0], "o", color="0", mfc="white")
        for axis, (name, values) in ((ax.yaxis, self.rows), (ax.xaxis, self.columns)):
            axis.set_ticks(range(len(values)), [str(value) for value in values])
            axis.set_label_text(name)
        ax.figure.colorbar(self.image_, ax=ax, label="score (out of fold)")


def _map(results: Mapping[str, Any], rows: str, columns: str) -> dict[str, Any]:
    """Scores over the values of two parameters, the best over all others."""
    # Values need not be hashable.
    values = [
        {repr(p[name]): p[name] for p in results["params"] if name in p}
        for name in (rows, columns)
    ]
    if rows == columns:
        values[1] = {"": ""}
    scores = np.full([len(axis) for axis in values], np.nan)
    for params, score in zip(results["params"], results["mean_test_score"], strict=True):
        if rows in params and columns in params:
            column = "" if rows == columns else repr(params[columns])
            at = list(values[0]).index(repr(params[rows])), list(values[1]).index(column)
            scores[at] = np.fmax(scores[at], score if np.isfinite(score) else np.nan)
    titles = rows, "" if rows == columns else columns
    along = [(title, list(v.values())) for title, v in zip(titles, values, strict=True)]
    return {"scores": scores, "rows": along[0], "columns": along[1]}
