"""Whether gradients reach every layer of a fitted network."""

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sksparse_mlp._sklearn import Interval, _check_sample_weight, validate_params
from sksparse_mlp.analysis._layers import checked_data, fitted
from sksparse_mlp.core import gradients
from sksparse_mlp.core.passes import BATCH
from sksparse_mlp.core.samples import Samples
from sksparse_mlp.core.workers import Workers
from sksparse_mlp.estimators._mlp import BaseSparseMLP

_CONSTRAINTS = {"norm": [Interval(Real, 1, None, closed="both")]}


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def gradient_flow(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    norm: float = 1,
    sample_weight: ArrayLike | None = None,
) -> np.ndarray:
    """Compute the norm of the loss gradient in each layer of weights.

    ``||dL/dW_n||_p`` for each layer n, over the connections that exist. L is the mean
    cross-entropy in nats of a classifier, the loss of scaled targets of a regressor (its
    sum over the targets), without the L2 penalty. The network is as it predicts:
    without dropout, and batch normalisation uses its moving averages.

    Parameters
    ----------
    estimator : SparseMLPClassifier or SparseMLPRegressor
        Fitted.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Any samples, such as those of the training; they pass the layers in batches.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their labels, all from the estimator's `classes_`, or their targets.
    norm : float, default=1
        The p of the norm, in [1, inf].
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights of the samples in the mean.

    Returns
    -------
    ndarray of shape (n_layers_ - 1,), dtype float64
        From the first layer to the output layer, in units of the loss per unit of weight.

    Raises
    ------
    TypeError
        If the estimator is not one of this package's networks.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ValueError
        If ``norm`` is below 1, X has another number of features than in `fit`, y a label
        that is not among `classes_` or another number of targets, or ``sample_weight`` no
        positive entry.

    See Also
    --------
    effective_gradient_flow : Their mean.

    References
    ----------
    Tessera et al., *Keep the gradients flowing: using gradient flow to study sparse
    network optimization*, 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import gradient_flow
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = SparseMLPClassifier((50, 50), max_iter=5, random_state=0).fit(X, y)
    >>> gradient_flow(clf, X, y).shape
    (3,)
    """
    estimator = fitted(estimator)
    samples = _samples(estimator, X, y, sample_weight)
    network = estimator._fitted_network()
    buffers = network.buffers(min(BATCH, samples.rows.size), training=True)
    with Workers(estimator.n_jobs) as workers:
        return gradients.gradient_flow(network, samples, buffers, workers, norm)


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def effective_gradient_flow(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    norm: float = 1,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the mean over the layers of weights of the norm of the loss gradient.

    ``EGF_p = (||dL/dW_1||_p + ... + ||dL/dW_N||_p) / N``: every layer counts the same,
    however many connections it has. `gradient_flow` says what L is, and has the layers
    one by one.

    Parameters
    ----------
    estimator : SparseMLPClassifier or SparseMLPRegressor
        Fitted.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Any samples, such as those of the training.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their labels, all from the estimator's `classes_`, or their targets.
    norm : float, default=1
        The p of the norm, in [1, inf].
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights of the samples in the mean.

    Returns
    -------
    float
        In units of the loss per unit of weight.

    Raises
    ------
    TypeError
        If the estimator is not one of this package's networks.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ValueError
        As in `gradient_flow`.

    Notes
    -----
    With ``record=["effective_gradient_flow"]`` an estimator's `history_` has it after
    each epoch, for the 1-norm and some of the training samples.

    References
    ----------
    Tessera et al., *Keep the gradients flowing: using gradient flow to study sparse
    network optimization*, 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import effective_gradient_flow
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = SparseMLPClassifier((50, 50), max_iter=5, random_state=0).fit(X, y)
    >>> effective_gradient_flow(clf, X, y, norm=2) < effective_gradient_flow(clf, X, y)
    True
    """
    flow = gradient_flow(estimator, X, y, norm=norm, sample_weight=sample_weight)
    return float(flow.mean())


def _samples(
    estimator: BaseSparseMLP, X: Any, y: ArrayLike, sample_weight: ArrayLike | None
) -> Samples:
    """The samples as the core takes them, with weights up to 1."""
    targets = estimator._targets(X, y)
    X = checked_data(estimator, X)
    weights = _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    weights = (weights / weights.max()).astype(X.dtype)
    return Samples(X, targets, weights, np.arange(X.shape[0]))
