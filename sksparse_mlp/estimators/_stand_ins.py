"""Estimators that have the predictions they are given: scorers can judge these."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

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
