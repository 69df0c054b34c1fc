"""Losses with their canonical link and their score: what the output layer's values mean."""

import math
from typing import Any, TypeAlias

import numpy as np
from scipy import special

from sksparse_mlp.core import kernels


def accuracy(y: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> float:
    """Weighted share of the samples whose class index, or every label, is right."""
    right = (y == predicted).reshape(len(y), -1).all(axis=1)
    return float(np.average(right, weights=weights))


def r2(y: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> float:
    """Weighted coefficient of determination, the mean over the outputs.

    As scikit-learn's ``r2_score``: with constant targets 1 if all predictions are right
    and 0 otherwise; NaN for a single sample.
    """
    if len(y) < 2:
        return math.nan
    y, weights = y.astype(np.float64), weights.astype(np.float64)
    with np.errstate(over="ignore"):
        residual = np.average((y - predicted) ** 2, axis=0, weights=weights)
    mean = np.average(y, axis=0, weights=weights)
    variance = np.average((y - mean) ** 2, axis=0, weights=weights)
    constant = variance == 0
    scores = 1 - residual / np.where(constant, 1, variance)
    return float(np.where(constant, residual == 0, scores).mean())


class SoftmaxCrossEntropy:
    """Multinomial cross-entropy; one output neuron per class."""

    link = "softmax"
    code = kernels.SOFTMAX
    value_and_gradient = staticmethod(kernels.softmax_cross_entropy)
    score = staticmethod(accuracy)

    @staticmethod
    def predict_proba(logits: np.ndarray) -> np.ndarray:
        """Class probabilities from logits of shape (n_samples, n_classes)."""
        probabilities: np.ndarray = special.softmax(logits, axis=1)
        return probabilities

    @staticmethod
    def predict_log_proba(logits: np.ndarray) -> np.ndarray:
        logarithms: np.ndarray = special.log_softmax(logits, axis=1)
        return logarithms

    @staticmethod
    def predict(logits: np.ndarray) -> np.ndarray:
        """Class indices from logits."""
        codes: np.ndarray = logits.argmax(axis=1)
        return codes


class LogisticCrossEntropy:
    """Binary cross-entropy; one output neuron, the logit of the second class."""

    link = "logistic"
    code = kernels.LOGISTIC_CLASSES
    score = staticmethod(accuracy)

    @staticmethod
    def value_and_gradient(z: np.ndarray, y: np.ndarray, *others: Any) -> None:
        kernels.logistic_cross_entropy(z, y.reshape(-1, 1), *others)

    @staticmethod
    def predict_proba(logits: np.ndarray) -> np.ndarray:
        """Class probabilities from logits of shape (n_samples, 1)."""
        probabilities: np.ndarray = special.expit(np.hstack([-logits, logits]))
        return probabilities

    @staticmethod
    def predict_log_proba(logits: np.ndarray) -> np.ndarray:
        logarithms: np.ndarray = special.log_expit(np.hstack([-logits, logits]))
        return logarithms

    @staticmethod
    def predict(logits: np.ndarray) -> np.ndarray:
        """Class indices from logits."""
        return (logits[:, 0] > 0).astype(np.intp)


class MultilabelCrossEntropy:
    """Binary cross-entropy summed over labels; one output neuron, the logit, per label."""

    link = "logistic"
    code = kernels.LOGISTIC_LABELS
    value_and_gradient = staticmethod(kernels.logistic_cross_entropy)
    score = staticmethod(accuracy)

    @staticmethod
    def predict_proba(logits: np.ndarray) -> np.ndarray:
        """Probabilities of the labels from logits of shape (n_samples, n_labels)."""
        probabilities: np.ndarray = special.expit(logits)
        return probabilities

    @staticmethod
    def predict_log_proba(logits: np.ndarray) -> np.ndarray:
        logarithms: np.ndarray = special.log_expit(logits)
        return logarithms

    @staticmethod
    def predict(logits: np.ndarray) -> np.ndarray:
        """Indicator matrix of the labels from logits."""
        labels: np.ndarray = (logits > 0).astype(np.intp)
        return labels


class SquaredError:
    """Half of the squared error; one output neuron per target."""

    link = "identity"
    code = kernels.SQUARED_ERROR
    value_and_gradient = staticmethod(kernels.squared_error)
    score = staticmethod(r2)

    @staticmethod
    def predict(outputs: np.ndarray) -> np.ndarray:
        """The outputs themselves, of shape (n_samples, n_outputs)."""
        return outputs


Loss: TypeAlias = (
    type[SoftmaxCrossEntropy]
    | type[LogisticCrossEntropy]
    | type[MultilabelCrossEntropy]
    | type[SquaredError]
)
