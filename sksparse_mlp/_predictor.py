"""Predictions without validation."""

from typing import Any

import numpy as np
from scipy import sparse

from sksparse_mlp.core.network import Network
from sksparse_mlp.core.workers import Workers


class ClassPredictor:
    """Predictions of a classifier as it was fitted then, for small and frequent requests.

    Made by :meth:`SparseMLPClassifier.predictor`. What a fitted classifier does for every
    call is done once: checking its attributes and bringing its layers into the form in
    which they compute. Inputs are not searched for NaN, and the predictor takes no notice
    of a later `fit`. It computes in the calling thread; threads may share it.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    n_features_in_ : int
        Number of features.
    """

    def __init__(self, network: Network, classes: np.ndarray):
        self._network = network
        self._workers = Workers(n_jobs=1)
        self._loss: Any = network.loss
        self.classes_ = classes
        self.n_features_in_ = network.sizes[0]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict labels.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Finite numbers; fastest in the dtype of the training data and C-contiguous.

        Returns
        -------
        ndarray of shape (n_samples,)

        Raises
        ------
        ValueError
            If X has another shape.
        TypeError
            If X is a sparse matrix.
        """
        return self.classes_[self._loss.predict(self._logits(X))]

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Predict class probabilities, of shape (n_samples, n_classes); see `predict`."""
        return self._loss.predict_proba(self._logits(X))

    def predict_log_proba(self, X: np.ndarray) -> np.ndarray:
        """Predict their logarithms; see `predict`."""
        return self._loss.predict_log_proba(self._logits(X))

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Compute the last layer's outputs as the classifier does; see `predict`."""
        logits = self._logits(X)
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def _logits(self, X):
        if sparse.issparse(X):
            raise TypeError("A predictor takes dense arrays only; use X.toarray().")
        X = np.ascontiguousarray(X, self._network.dtype)
        if X.ndim != 2 or X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X must have shape (n_samples, {self.n_features_in_}), got {X.shape}; "
                "reshape one sample with x.reshape(1, -1)."
            )
        return self._network.logits(X, np.arange(X.shape[0]), self._workers)
