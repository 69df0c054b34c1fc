"""Regression: numeric targets, one or more per sample."""

import math
from copy import deepcopy
from functools import partial
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import MultiOutputMixin, RegressorMixin

from sksparse_mlp._sklearn import _fit_context
from sksparse_mlp.core.losses import SquaredError
from sksparse_mlp.estimators._docstrings import with_shared_sections
from sksparse_mlp.estimators._input import validated
from sksparse_mlp.estimators._mlp import BaseSparseMLP
from sksparse_mlp.estimators._predictor import TargetPredictor


@with_shared_sections
class SparseMLPRegressor(MultiOutputMixin, RegressorMixin, BaseSparseMLP):
    """Multilayer perceptron regressor whose layers are sparse from start to end.

    Every layer is a random sparse matrix in which only existing connections are stored
    and trained; memory and time grow with the connections. While the network learns,
    its topology evolves: between epochs the weakest connections are removed and as many
    new ones grow (sparse evolutionary training, SET [1]_). It minimises the squared error
    of one or more targets, which should be scaled to a standard deviation of about 1, for
    instance by :class:`sklearn.compose.TransformedTargetRegressor`.

    Parameters
    ----------
    $parameters

    Attributes
    ----------
    n_outputs_ : int
        Number of targets, each of which has an output neuron.
    out_activation_ : {"identity"}
        Activation of the output layer.
    $attributes

    See Also
    --------
    SparseMLPClassifier : The same network for classification.
    sklearn.neural_network.MLPRegressor : Dense layers.

    Notes
    -----
    The loss is half of the mean squared error over samples and targets. As in
    scikit-learn, each target has the same part in the gradient whatever their number: it
    is the gradient of the mean over samples and the sum over targets. The `score` is the
    coefficient of determination R2, the mean over the targets.

    $notes

    References
    ----------
    $references

    Examples
    --------
    >>> from sklearn.compose import TransformedTargetRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sksparse_mlp import SparseMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> reg = make_pipeline(
    ...     StandardScaler(), SparseMLPRegressor(epsilon=10, max_iter=50, random_state=0)
    ... )
    >>> model = TransformedTargetRegressor(reg, transformer=StandardScaler())
    >>> model.fit(X[:300], y[:300]).score(X[300:], y[300:]) > 0.4
    True
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one pass over the given samples.

        Weights, pattern, momentum and random streams continue from the previous call.
        Passes are not epochs of a planned training: with ``evolve_every="epoch"`` the
        topology does not evolve here; with a number, it evolves after every that many
        updates, counted over all calls. Early stopping does not apply.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, as many per sample in every call.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        self : SparseMLPRegressor

        Raises
        ------
        ValueError
            As in `fit`.
        """
        with self._transaction() as trainee:
            continued = hasattr(trainee, "coefs_")
            take_targets = partial(trainee._take_targets, continued=continued)
            trainee._one_pass(X, y, sample_weight, take_targets)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            As the `y` of the training, of the dtype of the weights.
        """
        fitted = self._published()
        return fitted._logits(X).reshape(-1, *fitted._target_shape)

    def predictor(self) -> TargetPredictor:
        """Make an object that predicts without validation, in some tens of microseconds.

        Returns
        -------
        TargetPredictor
            Has `predict` for arrays of finite numbers, and holds a copy of the network as
            it is now.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from sksparse_mlp import SparseMLPRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> reg = SparseMLPRegressor(max_iter=10, random_state=0).fit(X, y / 100)
        >>> predictor = reg.predictor()
        >>> bool((predictor.predict(X[:3]) == reg.predict(X[:3])).all())
        True
        """
        fitted = self._published()
        return TargetPredictor(deepcopy(fitted._fitted_network()), fitted._target_shape)

    # --- targets ----------------------------------------------------------------------

    _has_single_labels = False

    def _loss(self) -> type[SquaredError]:
        return SquaredError

    def _n_outputs(self) -> int:
        return math.prod(self._target_shape)

    def _targets_text(self) -> str:
        return f"{self._n_outputs()} per sample"

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        X, y = validated(self, X, y, reset=reset, multi_output=True, y_numeric=True)
        y = y.toarray() if sparse.issparse(y) else y
        if y.dtype.kind not in "biuf":
            raise ValueError(f"y must be numbers, got an array of dtype {y.dtype}.")
        return X, y

    def _take_targets(self, y: Any, *, continued: bool) -> None:
        """Set the shape of a sample's targets, which stays as it is in training."""
        if continued:
            self._check_targets(y)
        self._target_shape = y.shape[1:]

    def _check_targets(self, y: Any) -> None:
        """Refuse another number of targets per sample."""
        if y.shape[1:] != self._target_shape:
            shapes = [("n_samples", *shape) for shape in (self._target_shape, y.shape[1:])]
            raise ValueError(
                f"The network is for y of shape {shapes[0]}, got {shapes[1]}. Make a new "
                "estimator."
            )

    def _encoded(self, y: np.ndarray, rows: np.ndarray, dtype: Any) -> np.ndarray:
        """The targets of these rows, of shape (n_samples, n_outputs), the others zero."""
        targets = np.zeros((len(y), self._n_outputs()))
        targets[rows] = y[rows].reshape(rows.size, -1)
        largest = np.abs(targets).max()
        # The dtype holds differences of targets, and float64 the sum of their squares.
        if largest > min(
            float(np.finfo(dtype).max) / 2,
            math.sqrt(np.finfo(np.float64).max / targets.size) / 2,
        ):
            raise ValueError(
                f"y goes up to {largest:g}, too large for squared errors in {dtype}; scale "
                "the targets to a standard deviation of about 1 "
                "(TransformedTargetRegressor with StandardScaler)."
            )
        return targets.astype(dtype)
