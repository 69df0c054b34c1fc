"""Feature selection by the competition of a network's input neurons."""

from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp._sklearn import (
    BaseEstimator,
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    _fit_context,
    _routing_enabled,
    _set_random_states,
)
from sksparse_mlp.estimators._classifier import SparseMLPClassifier
from sksparse_mlp.estimators._input import sound


class SparseMLPSelector(SelectorMixin, MetaEstimatorMixin, BaseEstimator):
    """Keep the features whose input neurons win the competition for connections.

    Fits a network with `n_features_to_select`: while it trains, its weakest input
    neurons leave, and their connections move to those that remain. The strength of an
    input neuron is the sum of its absolute weights [1]_.

    Parameters
    ----------
    estimator : SparseMLPClassifier or SparseMLPRegressor, default=None
        The network; it is cloned. None takes a classifier with default parameters.

    n_features_to_select : int, float or "auto", default=0.5
        Number of features to keep, or their share of all in (0, 1]; "auto" lets
        validation samples choose, as the network says.

    random_state : int, RandomState instance or None, default=None
        Seeds the network; None leaves that to its own `random_state`.

    Attributes
    ----------
    estimator_ : SparseMLPClassifier or SparseMLPRegressor
        The fitted network.
    support_ : ndarray of shape (n_features_in_,), dtype bool
        Mask of the features that are kept.
    feature_importances_ : ndarray of shape (n_features_in_,)
        Shares of the input neurons in the sum of the first layer's absolute weights.
    n_features_ : int
        Number of features that are kept.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X has names that are strings.

    See Also
    --------
    sklearn.feature_selection.SelectFromModel : Selects by a threshold of
        `feature_importances_`, which every fitted network has.

    References
    ----------
    .. [1] Atashgahi et al., *Quick and robust feature selection: the strength of
       energy-efficient sparse training for autoencoders*, Machine Learning 111, 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sksparse_mlp import SparseMLPClassifier, SparseMLPSelector
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> network = SparseMLPClassifier(epsilon=5, max_iter=50, random_state=0)
    >>> selector = SparseMLPSelector(network, n_features_to_select=5)
    >>> model = make_pipeline(StandardScaler(), selector, LogisticRegression()).fit(X, y)
    >>> model[:-1].transform(X).shape
    (569, 5)
    >>> model.score(X, y) > 0.9
    True
    """

    estimator_: Any
    support_: np.ndarray
    _parameter_constraints: dict[str, Any] = {
        "estimator": [None, HasMethods(["fit", "set_params"])],
        "n_features_to_select": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="right"),
        ],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_features_to_select: int | float | str = 0.5,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_features_to_select = n_features_to_select
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags

    def get_metadata_routing(self) -> Any:
        """Get the metadata routing: the network's `fit` gets what it requests.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
        """
        # Before version 1.9.1 a Pipeline asks for what fit_transform routes.
        mapping = MethodMapping().add(caller="fit", callee="fit")
        mapping.add(caller="fit_transform", callee="fit")
        return MetadataRouter(owner=self).add(
            estimator=self._network(), method_mapping=mapping
        )

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, **fit_params: Any) -> Self:
        """Fit the network and so select features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. Features should be of similar scale.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels or targets, as the network takes them.
        **fit_params : dict
            Passed to the network's `fit`, such as ``sample_weight``.

        Returns
        -------
        self : SparseMLPSelector

        Raises
        ------
        ValueError
            As the network's `fit`.
        """
        if _routing_enabled():
            fit_params = process_routing(self, "fit", **fit_params).estimator.fit
        network = clone(self._network())
        network.set_params(n_features_to_select=self.n_features_to_select)
        if self.random_state is not None:
            _set_random_states(network, self.random_state)
        self.estimator_ = network.fit(X, y, **fit_params)
        self.n_features_in_ = network.n_features_in_
        if hasattr(network, "feature_names_in_"):
            self.feature_names_in_ = network.feature_names_in_
        else:
            self.__dict__.pop("feature_names_in_", None)
        self.support_ = network.support_
        self.n_features_ = int(np.count_nonzero(self.support_))
        return self

    @property
    def feature_importances_(self) -> np.ndarray:
        """Shares of the input neurons in the sum of the first layer's absolute weights."""
        check_is_fitted(self)
        importances: np.ndarray = self.estimator_.feature_importances_
        return importances

    def transform(self, X: Any) -> Any:
        """Keep the selected features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        {ndarray, sparse matrix} of shape (n_samples, n_features_)

        Raises
        ------
        ValueError
            If X has other features than in `fit`, or is a malformed sparse matrix.
        """
        return super().transform(sound(X))

    def _network(self) -> Any:
        return SparseMLPClassifier() if self.estimator is None else self.estimator

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self)
        return self.support_
