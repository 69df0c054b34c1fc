"""Estimators that have the predictions they are given: scorers can judge these."""

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from sksparse_mlp.core.losses import r2
from sksparse_mlp.estimators._predictor import decoded


class ClassPredictions(ClassifierMixin, BaseEstimator):
    """Predicts labels from class probabilities.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
    multilabel : bool
    probabilities : ndarray of shape (n_samples, n_classes)
        What it predicts, whatever X is.
    """

    def __init__(self, classes: np.ndarray, multilabel: bool, probabilities: np.ndarray):
        self.classes = classes
        self.multilabel = multilabel
        self.probabilities = probabilities
        self.classes_ = classes

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.probabilities

    def predict(self, X: Any) -> np.ndarray:
        probabilities = self.probabilities
        if self.multilabel:
            return (probabilities > 0.5).astype(np.intp)
        return decoded(probabilities.argmax(axis=1), self.classes)


class TargetPredictions(RegressorMixin, BaseEstimator):
    """Predicts what it is told.

    Parameters
    ----------
    predictions : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        What it predicts, whatever X is.
    """

    def __init__(self, predictions: np.ndarray):
        self.predictions = predictions

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: Any) -> np.ndarray:
        return self.predictions

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R2 of the targets that are numbers."""
        y = np.asarray(y.toarray() if sparse.issparse(y) else y)
        if y.dtype.kind != "f" or not np.isnan(y).any():
            return float(super().score(X, y, sample_weight))
        known = ~np.isnan(y.reshape(len(y), -1)).all(axis=1)
        weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
        y, predicted = (p[known].reshape(known.sum(), -1) for p in (y, self.predictions))
        return r2(y, predicted, weights[known])
