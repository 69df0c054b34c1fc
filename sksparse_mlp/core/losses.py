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


class CrossEntropy:
    """What the losses of classification share.

    The loss of predictions is that of what it sees of them, which is linear in them: so
    mixtures of predictions are cheap to judge.
    """

    score = staticmethod(accuracy)

    @classmethod
    def predictions(cls, logits: np.ndarray) -> np.ndarray:
        """What losses are of: class probabilities."""
        probabilities: np.ndarray = cls.predict_proba(logits)
        return probabilities

    @staticmethod
    def predict_proba(logits: np.ndarray) -> np.ndarray:
        """Class probabilities from logits."""
        raise NotImplementedError

    @staticmethod
    def seen_of(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """The probability of each sample's class index."""
        seen: np.ndarray = probabilities[np.arange(len(y)), y]
        return seen

    @staticmethod
    def losses_of(y: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Losses of samples, from the probabilities of what happened to them."""
        # Where it is zero, scikit-learn's log_loss takes as much.
        smallest = np.finfo(seen.dtype).eps
        logarithms = np.log(np.maximum(seen, smallest), dtype=np.float64)
        losses: np.ndarray = -logarithms.reshape(len(y), -1).sum(axis=1)
        return losses


class SoftmaxCrossEntropy(CrossEntropy):
    """Multinomial cross-entropy; one output neuron per class."""

    link = "softmax"
    code = kernels.SOFTMAX
    value_and_gradient = staticmethod(kernels.softmax_cross_entropy)

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


class LogisticCrossEntropy(CrossEntropy):
    """Binary cross-entropy; one output neuron, the logit of the second class."""

    link = "logistic"
    code = kernels.LOGISTIC_CLASSES

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


class MultilabelCrossEntropy(CrossEntropy):
    """Binary cross-entropy summed over labels; one output neuron, the logit, per label."""

    link = "logistic"
    code = kernels.LOGISTIC_LABELS
    value_and_gradient = staticmethod(kernels.logistic_cross_entropy)

    @staticmethod
    def seen_of(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """The probability that each label is as it is."""
        return np.where(y == 1, probabilities, 1 - probabilities)

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

    predictions = predict

    @staticmethod
    def seen_of(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """All of the predictions, of shape (n_samples, n_outputs)."""
        return predicted

    @staticmethod
    def losses_of(y: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Losses of samples, the mean over their targets."""
        differences = np.subtract(y, seen, dtype=np.float64)
        losses: np.ndarray = 0.5 * (differences**2).mean(axis=1)
        return losses


Loss: TypeAlias = (
    type[SoftmaxCrossEntropy]
    | type[LogisticCrossEntropy]
    | type[MultilabelCrossEntropy]
    | type[SquaredError]
)
