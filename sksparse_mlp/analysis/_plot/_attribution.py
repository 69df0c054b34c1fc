"""Which features add most to an output."""

from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp._sklearn import Interval, validate_params
from sksparse_mlp.analysis._plot._display import Display, shown

_CONSTRAINTS: dict[str, Any] = {
    "max_features": [Interval(Integral, 1, None, closed="left")]
}


class AttributionDisplay(Display):
    """Bars of the mean absolute attribution of the features that have most of it.

    Parameters
    ----------
    means : array-like of shape (n_features,)
        Mean absolute attributions.
    names : sequence of shape (n_features,)
        Names of the features.
    max_features : int, default=20
        So many features at most are drawn, those of the largest means.

    Attributes
    ----------
    features_ : ndarray of shape (n_drawn,), dtype intp
        Indices of the drawn features, largest mean first.
    bars_ : matplotlib BarContainer
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    ExpectedGradients : The attributions.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import AttributionDisplay, ExpectedGradients
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SparseMLPClassifier((20, 10), epsilon=2, max_iter=20, random_state=0)
    >>> explainer = ExpectedGradients(clf.fit(X, y)).fit(X[::5])
    >>> AttributionDisplay.from_explainer(explainer, X).features_.shape
    (4,)
    """

    def __init__(self, *, means: Any, names: Any, max_features: int = 20) -> None:
        self.means = means
        self.names = names
        self.max_features = max_features

    @classmethod
    @validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
    def from_explainer(
        cls, explainer: Any, X: Any, *, max_features: int = 20, ax: Any = None
    ) -> Self:
        """Draw what features add to the output for some samples.

        Parameters
        ----------
        explainer : ExpectedGradients
            Fitted to a background.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        max_features : int, default=20
            So many features at most are drawn.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        AttributionDisplay

        Raises
        ------
        ValueError
            If ``max_features`` is not a positive integer, or the data do not suit the
            estimator.
        ImportError, sklearn.exceptions.NotFittedError
            If matplotlib is not installed, or the explainer not fitted.
        """
        check_is_fitted(explainer)
        means = np.abs(np.asarray(explainer.transform(X))).mean(axis=0)
        names = explainer.get_feature_names_out()
        return cls(means=means, names=names, max_features=max_features).plot(ax)

    def _height(self) -> float:
        return 0.7 + min(max(0.16 * min(len(self.means), self.max_features), 0.8), 5)

    def _draw(self, ax: Any) -> None:
        means = np.asarray(self.means)
        order = np.argsort(-means, kind="stable")
        self.features_ = order[: self.max_features]
        labels = [shown(self.names[feature]) for feature in self.features_]
        places = np.arange(self.features_.size)
        self.bars_ = ax.barh(places, means[self.features_], color="0.45", height=0.7)
        ax.set_yticks(places, labels)
        ax.set_ylim(places.size - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("mean absolute attribution")
        ax.set_ylabel(f"feature ({places.size:,} of {means.size:,})")
