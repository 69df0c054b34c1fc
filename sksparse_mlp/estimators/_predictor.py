"""Predictions without validation."""

from typing import Any

import numpy as np
from scipy import sparse

from sksparse_mlp.core import kernels
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.workers import Workers
from sksparse_mlp.estimators._docstrings import with_shared_sections


class Predictor:
    """What predictors share, whatever they predict.

    Attributes
    ----------
    n_features_in_ : int
        Number of features.

    Notes
    -----
    What a fitted estimator does for every call is done once: checking its attributes and
    bringing its layers into the form in which they compute. The predictor takes no notice
    of a later `fit`, nor of feature names. It computes in the calling thread; threads may
    share it.
    """

    def __init__(self, network: Network):
        self._network = network
        self._workers = Workers(n_jobs=1)
        self._loss: Any = network.loss
        self.n_features_in_ = network.sizes[0]

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        # Those of a pickle may be of another version.
        self._workers = Workers(n_jobs=1)

    def _outputs(self, X: np.ndarray) -> np.ndarray:
        """Outputs of the last layer, of shape (n_samples, n_outputs)."""
        if sparse.issparse(X):
            raise TypeError("A predictor takes dense arrays only; use X.toarray().")
        X = self._checked(X)
        logits = self._network.logits(X, np.arange(X.shape[0]), self._workers)
        return finite_outputs(logits)

    def _checked(self, given: Any) -> np.ndarray:
        """Samples as the network takes them."""
        X: np.ndarray = given
        if getattr(given, "dtype", None) is not self._network.dtype:
            if np.iscomplexobj(given):
                raise ValueError("X must have real numbers, got complex ones.")
            with np.errstate(over="ignore"):
                X = np.asarray(given, self._network.dtype)
        X = np.ascontiguousarray(X)
        if X.ndim != 2 or X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X must have shape (n_samples, {self.n_features_in_}), got {X.shape}; "
                "reshape one sample with x.reshape(1, -1)."
            )
        if not kernels.all_finite(X.reshape(-1)):
            raise ValueError(f"X has NaN, or numbers that are infinite in {X.dtype}.")
        return X


@with_shared_sections
class ClassPredictor(Predictor):
    """Predictions of a classifier as it was fitted then, for small and frequent requests.

    Made by :meth:`SparseMLPClassifier.predictor`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    $attributes

    Notes
    -----
    $notes
    """

    def __init__(self, network: Network, classes: np.ndarray):
        super().__init__(network)
        self.classes_ = classes

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict labels.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Finite numbers; fastest in the dtype of the training data and C-contiguous.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)

        Raises
        ------
        ValueError
            If X has another shape, NaN or infinity, or numbers for which the outputs
            overflow.
        TypeError
            If X is a sparse matrix.
        """
        return decoded(self._loss.predict(self._outputs(X)), self.classes_)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Predict class probabilities, of shape (n_samples, n_classes); see `predict`."""
        probabilities: np.ndarray = self._loss.predict_proba(self._outputs(X))
        return probabilities

    def predict_log_proba(self, X: np.ndarray) -> np.ndarray:
        """Predict their logarithms; see `predict`."""
        logarithms: np.ndarray = self._loss.predict_log_proba(self._outputs(X))
        return logarithms

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Compute the last layer's outputs as the classifier does; see `predict`."""
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs


@with_shared_sections
class TargetPredictor(Predictor):
    """Predictions of a regressor as it was fitted then, for small and frequent requests.

    Made by :meth:`SparseMLPRegressor.predictor`.

    Attributes
    ----------
    $attributes

    Notes
    -----
    $notes
    """

    def __init__(
        self,
        network: Network,
        target_shape: tuple[int, ...],
        mean: np.ndarray,
        scale: np.ndarray,
    ):
        super().__init__(network)
        self._scaling = target_shape, mean, scale

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_target_shape" in state:
            # Version 0.1.0 took targets as they are.
            self._scaling = state["_target_shape"], np.zeros(1), np.ones(1)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict targets.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Finite numbers; fastest in the dtype of the training data and C-contiguous.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            As the targets of the training.

        Raises
        ------
        ValueError
            If X has another shape, NaN or infinity, or numbers for which the outputs
            overflow.
        TypeError
            If X is a sparse matrix.
        """
        return rescaled(self._loss.predictions(self._outputs(X)), *self._scaling)


def finite_outputs(logits: np.ndarray) -> np.ndarray:
    """The outputs, unless some are too large for predictions to be made of them."""
    # Half the range, so that differences of outputs are finite too.
    sound = np.abs(logits) <= np.finfo(logits.dtype).max / 2
    if not sound.all():
        overflown = np.flatnonzero(~sound.all(axis=1))
        raise ValueError(
            f"The network's outputs overflow {logits.dtype} for {overflown.size} of "
            f"{len(logits)} samples, the first of which is {overflown[0]}: their features "
            "are far from those of the training. Scale the features (StandardScaler), or "
            "fit on float64 data."
        )
    return logits


def rescaled(
    values: np.ndarray, shape: tuple[int, ...], mean: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Targets as the user has them, from what networks see of them."""
    targets: np.ndarray = (values * scale + mean).astype(values.dtype)
    shaped: np.ndarray = targets.reshape(-1, *shape)
    return shaped


def decoded(codes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The labels of class indices; an indicator matrix is itself what is predicted."""
    return classes[codes] if codes.ndim == 1 else codes
