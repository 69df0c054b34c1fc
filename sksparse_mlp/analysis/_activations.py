"""The outputs of hidden layers as features."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from numbers import Integral
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp._sklearn import (
    StrOptions,
    _align_api_if_sparse,
    _check_feature_names_in,
    _fit_context,
    _get_output_config,
)
from sksparse_mlp.analysis._layers import Analyser, checked_data, layer_numbers
from sksparse_mlp.core.passes import passes
from sksparse_mlp.estimators._mlp import BaseSparseMLP


def rows_from(
    blocks: Iterable[np.ndarray], shape: tuple[int, int], dtype: Any, *, as_sparse: bool
) -> Any:
    """The array or CSR matrix of one sample per row.

    Each block is (n_nodes, n_samples), valid until the next one is asked for.
    """
    if as_sparse:
        parts = [sparse.csr_array(np.ascontiguousarray(block.T)) for block in blocks]
        return _align_api_if_sparse(sparse.vstack(parts, format="csr"))
    rows, start = np.empty(shape, dtype), 0
    for block in blocks:
        stop = start + block.shape[1]
        rows[start:stop] = block.T
        start = stop
    return rows


def is_mostly_zero(blocks: Iterable[np.ndarray], n_entries: int) -> bool:
    """Whether more than half of all entries are exactly zero.

    Takes no more blocks than are needed to know.
    """
    n_zeros = n_others = 0
    for block in blocks:
        n_active = int(np.count_nonzero(block))
        n_others += n_active
        n_zeros += block.size - n_active
        if 2 * max(n_zeros, n_others) > n_entries:
            break
    return 2 * n_zeros > n_entries


class NodeTransformer(TransformerMixin, Analyser):
    """Base of the transformers whose features are the nodes of hidden layers."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        # The dtype is that of the network, or bool.
        tags.transformer_tags.preserves_dtype = []
        return tags

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Get the names of the nodes, such as "layer1_node0".

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features of X, only checked against those seen in `fit`.

        Returns
        -------
        ndarray of shape (n_nodes,), dtype object
            Layers are counted from 1, nodes of a layer from 0.

        Raises
        ------
        ValueError
            If ``input_features`` differ from those seen in `fit`.
        sklearn.exceptions.NotFittedError
            Before `fit`, where it is needed.
        """
        check_is_fitted(self)
        estimator = self._fitted()
        seen = self if hasattr(self, "n_features_in_") else estimator
        _check_feature_names_in(seen, input_features)
        names = [
            f"layer{depth + 1}_node{node}"
            for depth in self._depths(estimator)
            for node in range(estimator.coefs_[depth].shape[1])
        ]
        return np.array(names, dtype=object)

    def _depths(self, estimator: BaseSparseMLP) -> list[int]:
        """Indices, from 0, of the hidden layers whose nodes are the features."""
        return list(range(len(estimator.coefs_) - 1))

    def _n_nodes(self, estimator: BaseSparseMLP) -> int:
        return sum(estimator.coefs_[depth].shape[1] for depth in self._depths(estimator))

    def _must_be_dense(self) -> bool:
        """Whether the containers of `set_output` cannot hold sparse matrices."""
        config: dict[str, str] = _get_output_config("transform", self)
        return config["dense"] != "default"


class LayerActivations(NodeTransformer):
    """Pre-activations or activations of the nodes of hidden layers.

    Works without `fit` too, which adds two things: the number and names of the features
    are remembered, and the kind of output is decided once for all data.

    Parameters
    ----------
    estimator : SparseMLPClassifier or SparseMLPRegressor
        Fitted; a `FrozenEstimator` around it is allowed.

    layers : int, sequence of int or None, default=None
        Hidden layers to look at, counted from 1 as in `get_feature_names_out`; their
        nodes are the features, in this order. None takes all.

    stage : {"post", "pre"}, default="post"
        After or before the activation. Batch normalisation is before both.

    Attributes
    ----------
    sparse_output_ : bool
        Whether `transform` returns CSR: whether more than half of the values of the
        samples given to `fit` were exactly zero.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X has names that are strings.

    See Also
    --------
    NodeActivity : Whether the nodes are on.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import LayerActivations
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SparseMLPClassifier((20, 10), epsilon=2, max_iter=5).fit(X, y)
    >>> nodes = LayerActivations(clf, layers=2, stage="pre").fit(X)
    >>> nodes.transform(X).shape
    (150, 10)
    >>> nodes.get_feature_names_out()[:2]
    array(['layer2_node0', 'layer2_node1'], dtype=object)
    """

    _parameter_constraints: dict[str, Any] = {
        "estimator": [BaseSparseMLP, FrozenEstimator],
        "layers": [None, Integral, "array-like"],
        "stage": [StrOptions({"post", "pre"})],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        layers: int | Sequence[int] | None = None,
        stage: str = "post",
    ) -> None:
        self.estimator = estimator
        self.layers = layers
        self.stage = stage

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Take note of the features and decide between arrays and CSR.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples as the estimator takes them.
        y : ignored

        Returns
        -------
        self : LayerActivations

        Raises
        ------
        ValueError
            If a layer does not exist or the data do not suit the estimator.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        estimator = self._fitted()
        self._depths(estimator)
        X = self._checked(X, reset=True)
        self.sparse_output_ = self._is_mostly_zero(estimator, X)
        return self

    def transform(self, X: Any) -> Any:
        """Compute the values of the nodes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        {ndarray, CSR matrix} of shape (n_samples, n_nodes)
            Of the dtype of the estimator's weights. CSR if `sparse_output_`, without
            `fit` if more than half of these values are exactly zero. It is built batch
            by batch: the dense array is never in memory. CSR is a matrix or array as
            scikit-learn's ``sparse_interface`` is set. Always an array, and so dense,
            where `set_output` asks for data frames.

        Raises
        ------
        ValueError, sklearn.exceptions.NotFittedError
            As in `fit`.
        """
        self._validate_params()
        estimator = self._fitted()
        self._depths(estimator)
        is_fitted = hasattr(self, "sparse_output_")
        X = self._checked(X, reset=False) if is_fitted else checked_data(estimator, X)
        as_sparse = not self._must_be_dense() and (
            self.sparse_output_ if is_fitted else self._is_mostly_zero(estimator, X)
        )
        shape = X.shape[0], self._n_nodes(estimator)
        return rows_from(self._blocks(estimator, X), shape, X.dtype, as_sparse=as_sparse)

    def _depths(self, estimator: BaseSparseMLP) -> list[int]:
        all_depths = super()._depths(estimator)
        if self.layers is None:
            return all_depths
        return [number - 1 for number in layer_numbers(self.layers, len(all_depths))]

    def _blocks(
        self, estimator: BaseSparseMLP, X: Any
    ) -> Generator[np.ndarray, None, None]:
        """Values of shape (n_nodes, n_samples) for one batch of samples after another."""
        depths = self._depths(estimator)
        for _, batch in passes(estimator._fitted_network(), X):
            values = batch.z if self.stage == "pre" else batch.a
            yield np.concatenate([values[depth] for depth in depths])

    def _is_mostly_zero(self, estimator: BaseSparseMLP, X: Any) -> bool:
        n_entries = X.shape[0] * self._n_nodes(estimator)
        with closing(self._blocks(estimator, X)) as blocks:
            return is_mostly_zero(blocks, n_entries)
