"""Cross-fitted regressors."""

from typing import Any

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from sksparse_mlp.estimators._cross_validated import BaseSparseMLPCV
from sksparse_mlp.estimators._docstrings import with_shared_sections
from sksparse_mlp.estimators._regressor import SparseMLPRegressor

# Of the ridge regressions where they are solved by iteration.
TOL = 1e-10


@with_shared_sections
class SparseMLPRegressorCV(MultiOutputMixin, RegressorMixin, BaseSparseMLPCV):
    """Cross-fitted ensemble of sparse networks that chooses for itself when to stop.

    Each member leaves out a fold and predicts it as it trains, so that every sample has a
    prediction of a network that did not see it. These choose the epoch, one of the
    configurations of a grid, and how much of a ridge regression takes part.

    Parameters
    ----------
    estimator : SparseMLPRegressor, default=None
        The network; it is cloned. None takes one with ``learning_rate="cosine"``,
        ``learning_rate_init=0.01``, ``max_iter=100``, ``alpha=0.01``, ``dropout=0`` and
        ``epsilon=20``, else with its defaults. Its `early_stopping` and `warm_start` mean
        nothing here.

    $parameters

    Attributes
    ----------
    estimators_ : list of SparseMLPRegressor
        The network of each fold, as it was at the chosen epoch.
    oof_predictions_ : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Prediction of each training sample by the members that did not see it; NaN where
        all did.
    oof_score_ : float
        R2 of these.
    target_mean_, target_scale_ : ndarray of shape (n_outputs,)
        What the members take from targets and divide them by.
    target_range_ : ndarray of shape (2, n_outputs)
        Lowest and highest target of the training, which limit predictions as they limit
        those of `SparseMLPRegressor`.
    $attributes

    See Also
    --------
    SparseMLPRegressor : One network.
    SparseMLPClassifierCV : The same for classification.

    Notes
    -----
    $notes

    References
    ----------
    $references

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from sksparse_mlp import SparseMLPRegressorCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X = scale(X)
    >>> reg = SparseMLPRegressorCV(random_state=0).fit(X[:300], y[:300])
    >>> reg.score(X[300:], y[300:]) > 0.4
    True
    """

    def predict(self, X: Any) -> np.ndarray:
        """Predict targets, the mean over the members.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        fitted = self._published()
        predicted: np.ndarray = fitted.estimators_[0]._shown(fitted._mean_prediction(X))
        return predicted

    _network_class = SparseMLPRegressor

    # --- targets ----------------------------------------------------------------------

    def _default_estimator(self) -> SparseMLPRegressor:
        return SparseMLPRegressor(
            learning_rate="cosine",
            learning_rate_init=0.01,
            max_iter=100,
            epsilon=20,
            alpha=0.01,
            dropout=0,
        )

    def _splitter(self, n_folds: int, y: np.ndarray, seed: int) -> Any:
        return KFold(n_folds, shuffle=True, random_state=seed)

    def _check_part(self, y: np.ndarray, network: Any, k: int) -> None:
        """Any targets will do."""

    @classmethod
    def _limits(cls, network: Any) -> np.ndarray:
        limits: np.ndarray = network._loss().limits
        return limits

    @classmethod
    def _linear_model(cls, network: Any) -> Any:
        return Ridge(tol=TOL)

    @classmethod
    def _fit_linear(cls, network: Any, X: Any, y: np.ndarray, weights: np.ndarray) -> Any:
        known = ~np.isnan(y)
        if known.all():
            return super()._fit_linear(network, X, y, weights)
        # Each target of the samples that have it; else its centre is all that is known.
        coef, intercept = np.zeros((y.shape[1], X.shape[1])), np.zeros(y.shape[1])
        for k in np.flatnonzero(known.any(axis=0)):
            rows = known[:, k]
            model = super()._fit_linear(network, X[rows], y[rows, k], weights[rows])
            coef[k], intercept[k] = model.coef_, model.intercept_
        return cls._linear_restored(network, coef, intercept)

    @classmethod
    def _linear_arrays(cls, model: Any) -> tuple[np.ndarray, np.ndarray]:
        return np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)

    @classmethod
    def _linear_restored(cls, network: Any, coef: np.ndarray, intercept: np.ndarray) -> Any:
        model = cls._linear_model(network)
        model.coef_, model.intercept_ = coef, intercept
        model.n_features_in_ = coef.shape[1]
        return model

    @classmethod
    def _linear_predictions(cls, model: Any, X: Any) -> np.ndarray:
        predictions: np.ndarray = model.predict(X)
        return predictions.reshape(X.shape[0], -1)
