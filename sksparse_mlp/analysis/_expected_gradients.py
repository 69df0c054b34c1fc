"""How much each feature adds to an output: expected gradients."""

from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp._sklearn import Interval, _check_feature_names_in, _fit_context
from sksparse_mlp.analysis._layers import Analyser
from sksparse_mlp.core.gradients import path_gradients
from sksparse_mlp.core.workers import Workers
from sksparse_mlp.estimators._mlp import BaseSparseMLP


class ExpectedGradients(TransformerMixin, Analyser):
    """How much each feature adds to an output of a network, sample by sample.

    ``mean over s of (x_j - s_j) * integral from 0 to 1 of df/dx_j(s + t * (x - s)) dt``
    for feature j of sample x, where s are the samples of a background given to `fit`, and
    f is an output of the network before its link: a class's logit, or a target in units
    of `target_scale_` (for ``loss="poisson"`` its logarithm). All pairs of x and s are
    taken, so that nothing is drawn.

    A sample's attributions add up to f(x) minus the mean of f over the background, but
    for the error of the integral, which more steps make smaller.

    Parameters
    ----------
    estimator : SparseMLPClassifier or SparseMLPRegressor
        Fitted; a `FrozenEstimator` around it is allowed.

    output : int, default=None
        Index of the output, such as that of a class in `classes_`; the only output of
        two classes is the second's. None takes the only output or, of a classifier with
        one label per sample, that of the class it predicts for the sample.

    n_steps : int, default=16
        Points on the way from s to x at which the gradient is taken (the middles of as
        many equal parts).

    Attributes
    ----------
    background_ : ndarray or CSR matrix of shape (n_background, n_features)
        The samples given to `fit`.
    expected_value_ : ndarray of shape (n_outputs,), dtype float64
        Means of the outputs over them.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where the background has names that are strings.

    See Also
    --------
    AttributionDisplay : Which features add most.

    Notes
    -----
    The time is proportional to the samples times the background times the steps times
    the connections.

    References
    ----------
    Erion et al., *Improving performance of deep learning models with axiomatic
    attribution priors and expected gradients*, 2021. Sundararajan et al., *Axiomatic
    attribution for deep networks*, 2017, for a single s.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import ExpectedGradients
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SparseMLPClassifier((20, 10), epsilon=2, max_iter=20, random_state=0)
    >>> explainer = ExpectedGradients(clf.fit(X, y), output=2).fit(X)
    >>> attributions = explainer.transform(X[:5])
    >>> attributions.shape
    (5, 4)
    """

    _parameter_constraints: dict[str, Any] = {
        "estimator": [BaseSparseMLP, FrozenEstimator],
        "output": [None, Interval(Integral, 0, None, closed="left")],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self, estimator: Any, *, output: int | None = None, n_steps: int = 16
    ) -> None:
        self.estimator = estimator
        self.output = output
        self.n_steps = n_steps

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Take the background.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_background, n_features)
            Samples that stand for what is usual, such as some of the training.
        y : ignored

        Returns
        -------
        self : ExpectedGradients

        Raises
        ------
        ValueError
            If the estimator has no such ``output`` or needs one to be named, or the data
            do not suit it.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        estimator = self._fitted()
        self._check_output(estimator)
        self.background_ = self._checked(X, reset=True)
        outputs = estimator._outputs(self.background_)
        self.expected_value_ = outputs.mean(axis=0, dtype=np.float64)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute the attributions of samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features), dtype float64
            In units of the output.

        Raises
        ------
        ValueError
            As in `fit`.
        sklearn.exceptions.NotFittedError
            If `fit` has not been called.
        """
        check_is_fitted(self)
        self._validate_params()
        estimator = self._fitted()
        self._check_output(estimator)
        X = self._checked(X, reset=False)
        network = estimator._fitted_network()
        outputs = self._outputs_of(estimator, X)
        with Workers(estimator.n_jobs) as workers:
            return path_gradients(
                network, X, self.background_, self.n_steps, outputs, workers
            )

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Get the names of the features.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features of X, only checked against those seen in `fit`.

        Returns
        -------
        ndarray of shape (n_features,), dtype object

        Raises
        ------
        ValueError
            If ``input_features`` differ from those seen in `fit`.
        sklearn.exceptions.NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        names: np.ndarray = _check_feature_names_in(self, input_features)
        return names

    def _check_output(self, estimator: BaseSparseMLP) -> None:
        n_outputs = estimator.coefs_[-1].shape[1]
        if self.output is None and n_outputs > 1 and not estimator._has_single_labels:
            raise ValueError(
                f"output=None does not say which of the {n_outputs} outputs is meant. "
                f"Give an index from 0 to {n_outputs - 1}."
            )
        if self.output is not None and self.output >= n_outputs:
            raise ValueError(
                f"output={self.output!r} must be None or an index from 0 to "
                f"{n_outputs - 1}; the estimator has {n_outputs} "
                f"{'output' if n_outputs == 1 else 'outputs'}."
            )

    def _outputs_of(self, estimator: BaseSparseMLP, X: Any) -> np.ndarray:
        """The index of each sample's output."""
        if self.output is not None:
            return np.full(X.shape[0], self.output)
        largest: np.ndarray = estimator._outputs(X).argmax(axis=1)
        return largest
