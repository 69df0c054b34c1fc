"""Losses with their canonical link: what the output layer's logits mean."""

import numpy as np
from scipy import special

from sksparse_mlp.core import kernels


class SoftmaxCrossEntropy:
    """Multinomial cross-entropy; one output neuron per class."""

    link = "softmax"
    value_and_gradient = staticmethod(kernels.softmax_cross_entropy)

    @staticmethod
    def predict_proba(logits: np.ndarray) -> np.ndarray:
        """Class probabilities from logits of shape (n_samples, n_classes)."""
        return special.softmax(logits, axis=1)

    @staticmethod
    def predict_log_proba(logits: np.ndarray) -> np.ndarray:
        return special.log_softmax(logits, axis=1)

    @staticmethod
    def predict(logits: np.ndarray) -> np.ndarray:
        """Class indices from logits."""
        return logits.argmax(axis=1)


class LogisticCrossEntropy:
    """Binary cross-entropy; one output neuron, the logit of the second class."""

    link = "logistic"
    value_and_gradient = staticmethod(kernels.logistic_cross_entropy)

    @staticmethod
    def predict_proba(logits: np.ndarray) -> np.ndarray:
        """Class probabilities from logits of shape (n_samples, 1)."""
        return special.expit(np.hstack([-logits, logits]))

    @staticmethod
    def predict_log_proba(logits: np.ndarray) -> np.ndarray:
        return special.log_expit(np.hstack([-logits, logits]))

    @staticmethod
    def predict(logits: np.ndarray) -> np.ndarray:
        """Class indices from logits."""
        return (logits[:, 0] > 0).astype(np.intp)
