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
    and 0 otherwise; NaN for a single sample. Targets that are NaN are left out.
    """
    pairs = zip(y.T, predicted.T, strict=True)
    return float(np.mean([_r2_of_one(*pair, weights) for pair in pairs]))


def _r2_of_one(y: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> float:
    """The same of one output."""
    known = ~np.isnan(y)
    if known.sum() < 2:
        return math.nan
    y, weights = y[known].astype(np.float64), weights[known].astype(np.float64)
    with np.errstate(over="ignore"):
        residual = np.average((y - predicted[known]) ** 2, weights=weights)
    mean = np.average(y, weights=weights)
    variance = np.average((y - mean) ** 2, weights=weights)
    if variance == 0:
        return float(residual == 0)
    return float(1 - residual / variance)


class CrossEntropy:
    """What the losses of classification share, which have no parameters.

    The loss of predictions is that of what it sees of them, which is linear in them: so
    mixtures of predictions are cheap to judge.
    """

    score = staticmethod(accuracy)
    constants = 0.0, 0.0
    unit = 1.0

    @staticmethod
    def baseline(y: np.ndarray, weights: np.ndarray) -> float:
        """Mean loss where every prediction is the shares of the classes."""
        shares = np.bincount(y, weights) / weights.sum(dtype=np.float64)
        shares = shares.clip(0, 1)
        return float(special.entr(shares).sum())

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
    def baseline(y: np.ndarray, weights: np.ndarray) -> float:
        """Mean loss where every prediction is the shares of the labels."""
        shares = np.average(y, axis=0, weights=weights.astype(np.float64)).clip(0, 1)
        return float((special.entr(shares) + special.entr(1 - shares)).sum())

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


class TargetLoss:
    """A loss of numbers as a network sees them: less a centre, and divided by a scale.

    Parameters
    ----------
    member : object
        Of a family of losses: what is asked of it are `link`, `code`, `constants`,
        `value_and_gradient`, `predictions` and `losses_of`.
    limits : ndarray of shape (2, n_outputs)
        Lowest and highest predictions.
    unit : float
        What the losses are to be multiplied by where somebody reads them.
    """

    score = staticmethod(r2)

    def __init__(self, member: Any, limits: np.ndarray, unit: float = 1.0):
        self.member, self.limits, self.unit = member, limits, unit
        self.link, self.constants = member.link, member.constants
        self.value_and_gradient = member.value_and_gradient

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """What losses are of, of shape (n_samples, n_outputs)."""
        linked = self.member.predictions(outputs)
        clipped: np.ndarray = np.clip(linked, *self.limits.astype(outputs.dtype))
        return clipped

    predict = predictions

    def baseline(self, y: np.ndarray, weights: np.ndarray) -> float:
        """Mean loss where every output is zero, which stands for the centre of targets."""
        losses = self.losses_of(y, self.predictions(np.zeros_like(y)))
        return float(np.average(losses, weights=weights.astype(np.float64)))

    @staticmethod
    def seen_of(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """All of the predictions, of shape (n_samples, n_outputs)."""
        return predicted

    def losses_of(self, y: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Losses of samples, the mean over those of their targets that are numbers."""
        known = ~np.isnan(y)
        losses = np.where(known, self.member.losses_of(y, seen), 0)
        means: np.ndarray = losses.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        return means


class SquaredError:
    """What pickled predictors of version 0.1.0 have as their loss."""

    @staticmethod
    def predictions(outputs: np.ndarray) -> np.ndarray:
        """The outputs themselves, of shape (n_samples, n_outputs)."""
        return outputs


Loss: TypeAlias = (
    type[SoftmaxCrossEntropy]
    | type[LogisticCrossEntropy]
    | type[MultilabelCrossEntropy]
    | TargetLoss
)
