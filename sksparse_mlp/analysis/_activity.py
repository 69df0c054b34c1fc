"""Which nodes are on, for which classes."""

from typing import Any, Self

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import (
    check_is_fitted,
    validate_data,
)

from sksparse_mlp._sklearn import _fit_context, check_pandas_support
from sksparse_mlp.analysis._activations import NodeTransformer, rows_from
from sksparse_mlp.analysis._layers import Analyser, checked_data, groups
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.passes import nodes_on
from sksparse_mlp.estimators._mlp import BaseSparseMLP

# What analysers take.
NETWORK: list[type] = [BaseSparseMLP, FrozenEstimator]


def grouped_data(analyser: Analyser, X: Any, y: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """X as the analyser's estimator computes with it, and its `groups`.

    The analyser takes note of the features.
    """
    estimator = analyser._fitted()
    validate_data(analyser, X, y, skip_check_array=True)
    X = checked_data(estimator, X)
    return X, *groups(estimator, X, y)


def nodes_frame(pandas: Any, values: list[np.ndarray], columns: Any) -> Any:
    """A data frame of the values of the nodes, indexed by layer (from 1) and node."""
    index = pandas.MultiIndex.from_tuples(
        [(k, node) for k, layer in enumerate(values, 1) for node in range(len(layer))],
        names=["layer", "node"],
    )
    return pandas.DataFrame(np.concatenate(values), index=index, columns=columns)


class NodeActivity(NodeTransformer):
    """How often each node of the hidden layers is on, for each class.

    A node is on for a sample where the activation says so (its `is_on`): relu, relu_tau
    and crelu above 0, logistic above 0.5, st and cst other than 0, and all others where
    the pre-activation is above 0. Its activity is the share of the samples of a class
    for which it is on; a node that is on for no sample is dead [1]_.

    Parameters
    ----------
    estimator : SparseMLPClassifier or SparseMLPRegressor
        Fitted; a `FrozenEstimator` around it is allowed.

    Attributes
    ----------
    activity_ : list of ndarray of shape (n_nodes, n_classes), dtype float64
        Per hidden layer, the activity of each node for each of `classes_`, in [0, 1].
    dead_nodes_ : list of ndarray of shape (n_nodes,), dtype bool
        Per hidden layer, whether a node is on for no sample of any class.
    sparsity_ : ndarray of shape (n_hidden_layers,), dtype float64
        Share of the samples for which a node is off, the mean over the layer's nodes
        that are not dead; NaN if all are.
    classes_ : ndarray of shape (n_classes,)
        The estimator's classes. For a regressor, or with any number of labels per sample,
        the one group "all", to which all samples belong.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X has names that are strings.

    See Also
    --------
    LayerActivations : The values of the nodes.

    References
    ----------
    .. [1] Pretorius, *Activation functions in deep neural networks*, 2020, chapter 5.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import NodeActivity
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SparseMLPClassifier((20, 10), epsilon=2, max_iter=5).fit(X, y)
    >>> activity = NodeActivity(clf).fit(X, y)
    >>> [layer.shape for layer in activity.activity_]
    [(20, 3), (10, 3)]
    >>> activity.transform(X).shape
    (150, 30)
    """

    _parameter_constraints: dict[str, Any] = {"estimator": NETWORK}

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> Self:
        """Count for how many samples of each class each node is on.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples as the estimator takes them; they pass batch by batch.
        y : array-like of shape (n_samples,)
            Their labels, with every class of the estimator; not looked at where
            `classes_` is "all".

        Returns
        -------
        self : NodeActivity

        Raises
        ------
        ValueError
            If the data do not suit the estimator, y has other labels than its classes,
            or a class has no samples.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        estimator = self._fitted()
        X, self.classes_, codes = grouped_data(self, X, y)
        n_samples = np.bincount(codes)
        counts = self._counts(estimator._fitted_network(), X, codes)
        self.activity_ = [n_on / n_samples for n_on in counts]
        self.dead_nodes_ = [~n_on.any(axis=1) for n_on in counts]
        self.sparsity_ = np.array([_sparsity(n_on, codes.size) for n_on in counts])
        return self

    def transform(self, X: Any) -> Any:
        """Say which nodes of all hidden layers are on.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        CSR matrix of shape (n_samples, n_nodes), dtype bool
            Built batch by batch. A CSR matrix or array as scikit-learn's
            ``sparse_interface`` is set; dense where `set_output` asks for data frames.

        Raises
        ------
        ValueError
            If the data do not suit the estimator.
        sklearn.exceptions.NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        estimator = self._fitted()
        as_sparse = not self._must_be_dense()
        on = (
            np.concatenate(nodes) for _, nodes in nodes_on(estimator._fitted_network(), X)
        )
        shape = X.shape[0], self._n_nodes(estimator)
        return rows_from(on, shape, bool, as_sparse=as_sparse)

    def to_pandas(self) -> Any:
        """Make a data frame of `activity_`.

        Returns
        -------
        pandas.DataFrame
            One row per node, indexed by "layer" (from 1) and "node" (from 0), and one
            column per class.

        Raises
        ------
        ImportError
            If pandas is not installed.
        sklearn.exceptions.NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        pandas = check_pandas_support("NodeActivity.to_pandas")
        columns = pandas.Index(self.classes_, name="class")
        return nodes_frame(pandas, self.activity_, columns)

    def _counts(self, network: Network, X: Any, codes: np.ndarray) -> list[np.ndarray]:
        """Number of samples for which nodes are on, (n_nodes, n_classes) per layer."""
        counts = [
            np.zeros((unit.n_neurons, self.classes_.size), np.int64)
            for unit in network.hidden
        ]
        one_hot = np.eye(self.classes_.size, dtype=np.float32)
        for start, nodes in nodes_on(network, X):
            classes = one_hot[codes[start : start + nodes[0].shape[1]]]
            for n_on, on in zip(counts, nodes, strict=True):
                # Exact: a batch has far fewer samples than float32 counts to.
                n_on += (on.astype(np.float32) @ classes).astype(np.int64)
        return counts


def _sparsity(n_on: np.ndarray, n_samples: int) -> float:
    """Mean share of the samples for which nodes that are not dead are off."""
    totals = n_on.sum(axis=1)
    alive = totals[totals > 0]
    return 1 - alive.mean() / n_samples if alive.size else np.nan
