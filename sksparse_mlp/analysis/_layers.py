"""What analysers share: fitted estimators and their data."""

from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from sksparse_mlp._sklearn import BaseEstimator
from sksparse_mlp.estimators._input import missing_labels_told, validated
from sksparse_mlp.estimators._mlp import BaseSparseMLP


def fitted(estimator: Any) -> BaseSparseMLP:
    """The estimator, without a `FrozenEstimator` around it.

    Raises
    ------
    TypeError
        If it is not one of this package's networks.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    """
    is_frozen = isinstance(estimator, FrozenEstimator)
    inner = estimator.estimator if is_frozen else estimator
    if not isinstance(inner, BaseSparseMLP):
        raise TypeError(
            "estimator must be a SparseMLPClassifier or SparseMLPRegressor, got "
            f"{type(inner).__name__}. Give the network inside of it: the last step of a "
            "Pipeline, the best_estimator_ of a search, one of the estimators_ of a "
            "cross-fitted ensemble."
        )
    check_is_fitted(inner, "coefs_")
    return inner._snapshot()


def checked_data(estimator: BaseSparseMLP, X: Any) -> Any:
    """X as the fitted estimator computes with it: a C-contiguous array or CSR matrix."""
    X = validated(estimator, X, reset=False)
    return X.astype(estimator.coefs_[0].dtype, copy=False)


def input_names(estimator: BaseSparseMLP) -> list[Any]:
    """Names of the features that it was fitted with, or their indices."""
    names = getattr(estimator, "feature_names_in_", None)
    return list(range(estimator.n_features_in_)) if names is None else list(names)


def output_names(estimator: BaseSparseMLP) -> list[Any]:
    """What each output speaks for: a class, or the index of a target.

    The single output of two classes speaks for the second.
    """
    n_outputs = estimator.coefs_[-1].shape[1]
    classes = getattr(estimator, "classes_", None)
    return list(range(n_outputs)) if classes is None else list(classes[-n_outputs:])


def layer_number(layer: Any, n_hidden: int) -> int:
    """The number of a hidden layer, counted from 1, once it exists."""
    if not isinstance(layer, Integral) or not 1 <= int(layer) <= n_hidden:
        raise ValueError(
            f"layer={layer!r} does not exist; hidden layers are counted from 1 to "
            f"{n_hidden}."
        )
    return int(layer)


def layer_numbers(layers: Any, n_hidden: int) -> list[int]:
    """Numbers of hidden layers, of one or of several different ones that exist."""
    try:
        numbers = list(layers)
    except TypeError:
        numbers = [layers]
    exist = all(isinstance(k, Integral) and 1 <= int(k) <= n_hidden for k in numbers)
    if not numbers or not exist or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"layers={layers!r} must be one number or different numbers of hidden layers, "
            f"counted from 1; the estimator has {n_hidden}."
        )
    return [int(number) for number in numbers]


def node_number(node: Any, layer: int, n_nodes: int) -> int:
    """The number of a node of a hidden layer, counted from 0, once it exists."""
    if not isinstance(node, Integral) or not 0 <= int(node) < n_nodes:
        raise ValueError(
            f"node={node!r} does not exist; the nodes of hidden layer {layer} are counted "
            f"from 0 to {n_nodes - 1}."
        )
    return int(node)


def groups(estimator: BaseSparseMLP, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Names of groups of the samples X, and the group's index of each, of dtype intp.

    The groups are the classes; where the estimator has no single label per sample, all
    samples are one group and y is not looked at.

    Raises
    ------
    ValueError
        As from `class_codes`.
    """
    if estimator._has_single_labels:
        return estimator.classes_.copy(), class_codes(estimator, X, y)
    return np.array(["all"]), np.zeros(X.shape[0], np.intp)


def check_single_labels(estimator: BaseSparseMLP) -> None:
    """Refuse a fitted estimator whose targets are not one label per sample."""
    if not estimator._has_single_labels:
        raise ValueError(
            "This needs a classifier that was fitted to one label per sample, and not a "
            f"{type(estimator).__name__} fitted to other targets."
        )


def known_codes(estimator: BaseSparseMLP, X: Any, y: Any) -> np.ndarray:
    """As `class_codes`, of samples that need not have every class."""
    check_single_labels(estimator)
    classes = estimator.classes_
    with missing_labels_told(y):
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        check_classification_targets(y)
        unknown = np.setdiff1d(y, classes)
        if unknown.size:
            raise ValueError(
                f"y has labels {unknown.tolist()} that are not among the estimator's "
                f"classes {classes.tolist()}."
            )
    codes: np.ndarray = estimator._codes(y)
    return codes


def class_codes(estimator: BaseSparseMLP, X: Any, y: Any) -> np.ndarray:
    """Indices into the estimator's `classes_` of the labels y of X, of dtype intp.

    Raises
    ------
    ValueError
        If the estimator is not a classifier with one label per sample, y has other labels
        or another length, or a class has no samples.
    """
    codes, classes = known_codes(estimator, X, y), estimator.classes_
    missing = classes[np.bincount(codes, minlength=classes.size) == 0]
    if missing.size:
        raise ValueError(
            f"y has no samples of the classes {missing.tolist()}; every class of the "
            "estimator needs at least one."
        )
    return codes


class Analyser(BaseEstimator):
    """Base of the analysers, whose parameter `estimator` is fitted already.

    A clone of an analyser has the same fitted estimator, so that analysers work in
    pipelines and searches.
    """

    def __sklearn_clone__(self) -> Self:
        parameters = self.get_params(deep=False)
        estimator = parameters.pop("estimator")
        copies = {name: clone(value, safe=False) for name, value in parameters.items()}
        return type(self)(estimator=estimator, **copies)

    def _fitted(self) -> BaseSparseMLP:
        return fitted(self.estimator)

    def _checked(self, X: Any, *, reset: bool) -> Any:
        """X as the estimator computes with it; ``reset`` takes note of its features."""
        # The estimator first: it says how to reshape data of one dimension.
        checked = checked_data(self._fitted(), X)
        validate_data(self, X, reset=reset, skip_check_array=True)
        return checked
