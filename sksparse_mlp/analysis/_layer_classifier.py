"""Hidden layers and nodes as classifiers: how much they tell of the class."""

from collections.abc import Iterable, Iterator
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp._sklearn import (
    HasMethods,
    Interval,
    StrOptions,
    _fit_context,
)
from sksparse_mlp.activations import Activation
from sksparse_mlp.analysis._density import BinnedValues
from sksparse_mlp.analysis._layers import (
    Analyser,
    class_codes,
    layer_number,
    node_number,
)
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.passes import passes

SYSTEMS = ("discrete", "continuous", "combined")


def _is_zero_when_off(activation: Activation) -> bool:
    """Whether nodes with this activation are off exactly where their output is zero."""
    negative, barely_positive = np.array([-1.0]), np.array([np.finfo(float).tiny])
    return bool(activation.is_on(negative, barely_positive)[0])


def _summed(on: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Sums over the nodes that are on, of shape (n_samples, n_classes)."""
    # Contiguous in the order of the product: the other way takes ten times as long.
    sums: np.ndarray = (np.ascontiguousarray(logs.T) @ on).T
    return sums


class _LayerModel:
    """What the nodes of one hidden layer say of the classes.

    Given the training samples batch by batch, it takes two passes: `observe`, and for the
    densities `take_range`, then from `start_binning` to `finish`.
    """

    # The one node that is looked at, all if None. Files of 0.1.0 have none.
    node: int | None = None

    def __init__(
        self,
        depth: int,
        activation: Activation,
        n_nodes: int,
        class_counts: np.ndarray,
        node: int | None = None,
    ) -> None:
        self.depth = depth
        self.node = node
        n_nodes = n_nodes if node is None else 1
        self._activation = activation
        self._class_counts = class_counts
        self._n_on = np.zeros((n_nodes, class_counts.size))
        self._low = np.full(n_nodes, np.inf)
        self._high = np.full(n_nodes, -np.inf)

    @property
    def systems(self) -> tuple[str, ...]:
        """Those that the activation allows."""
        return SYSTEMS if _is_zero_when_off(self._activation) else SYSTEMS[:2]

    @property
    def n_on(self) -> np.ndarray:
        """Samples of each class for which nodes are on, of shape (n_nodes, n_classes)."""
        counts: np.ndarray = self._n_on
        return counts

    def observe(self, z: np.ndarray, a: np.ndarray, codes: np.ndarray) -> None:
        """Take note of a batch: who is on."""
        self._check_finite(z)
        members = np.eye(self._class_counts.size, dtype=np.float32)[codes]
        # Exact: a batch has far fewer samples than float32 counts to.
        self._n_on += self._activation.is_on(z, a).astype(np.float32) @ members

    def take_range(self, z: np.ndarray) -> None:
        """Take note of a batch: between what its values are."""
        np.minimum(self._low, z.min(axis=1), out=self._low)
        np.maximum(self._high, z.max(axis=1), out=self._high)

    def log_shares(self) -> tuple[np.ndarray, np.ndarray]:
        """Logs of the shares of each class's samples with a node on, and with it off.

        Both are (n_nodes, n_classes). Shares of none and of all are taken as if half a
        sample was different.
        """
        floor = 0.5 / self._class_counts
        shares = np.clip(self._n_on / self._class_counts, floor, 1 - floor)
        return np.log(shares), np.log1p(-shares)

    def start_binning(self, bandwidth: float, dtype: np.dtype) -> None:
        self._bins = BinnedValues(
            self._low, self._high, self._class_counts, bandwidth, dtype
        )

    def bin(self, start: int, z: np.ndarray, codes: np.ndarray) -> None:
        self._bins.add(start, z, codes)

    def finish(self) -> None:
        self.log_on, self.log_off = self.log_shares()
        if hasattr(self, "_bins"):
            self.densities = self._bins.densities()
            del self._bins

    def log_likelihoods(self, z: np.ndarray, a: np.ndarray, system: str) -> np.ndarray:
        """Log P(z | class) of a batch, summed over the nodes, (n_samples, n_classes)."""
        self._check_finite(z)
        if system == "continuous":
            totals: np.ndarray = np.zeros((z.shape[1], self._class_counts.size))
            self.densities.add_to(totals, z, np.ones(z.shape, bool))
            return totals
        on = self._activation.is_on(z, a)
        if system == "discrete":
            totals = _summed(on, self.log_on - self.log_off)
            totals += self.log_off.sum(axis=0)
            return totals
        totals = self.log_off.sum(axis=0) - _summed(on, self.log_off)
        self.densities.add_to(totals, z, on)
        return totals

    def _check_finite(self, z: np.ndarray) -> None:
        if not np.isfinite(z).all():
            raise ValueError(
                f"Pre-activations of hidden layer {self.depth} are not finite for some "
                f"samples: their {z.dtype} overflows. Scale the features (StandardScaler)."
            )


def _states(
    network: Network, X: Any, models: list[_LayerModel]
) -> Iterator[tuple[slice, _LayerModel, np.ndarray, np.ndarray]]:
    """For each batch and model: the batch's rows, and its layer's values z and a."""
    for start, batch in passes(network, X):
        for model in models:
            k, node = model.depth - 1, model.node
            nodes = slice(None) if node is None else slice(node, node + 1)
            rows = slice(start, start + batch.size)
            yield rows, model, batch.z[k][nodes], batch.a[k][nodes]


def _fitted_models(
    network: Network,
    X: Any,
    codes: np.ndarray,
    layers: Iterable[int],
    bandwidth: float | None,
    node: int | None = None,
) -> list[_LayerModel]:
    """Models of some layers, numbered from 1; with densities if there is a bandwidth.

    A ``node`` is the only one of its layer that they look at.
    """
    class_counts = np.bincount(codes)
    models = [
        _LayerModel(
            depth,
            network.hidden[depth - 1].activation,
            network.sizes[depth],
            class_counts,
            node,
        )
        for depth in layers
    ]
    for rows, model, z, a in _states(network, X, models):
        model.observe(z, a, codes[rows])
        if bandwidth is not None:
            model.take_range(z)
    if bandwidth is not None:
        for model in models:
            model.start_binning(bandwidth, network.dtype)
        for rows, model, z, _ in _states(network, X, models):
            model.bin(rows.start, z, codes[rows])
    for model in models:
        model.finish()
    return models


def _check_combined(network: Network, layers: Iterable[int]) -> None:
    for depth in layers:
        activation = network.hidden[depth - 1].activation
        if not _is_zero_when_off(activation):
            raise ValueError(
                f"system='combined' needs an activation whose output is zero where a node "
                f"is off, such as relu, relu_tau, crelu, st or cst; hidden layer {depth} "
                f"has {activation!r}. Use 'discrete' or 'continuous'."
            )


class _StatesClassifier(TransformerMixin, ClassifierMixin, Analyser):
    """Base of the classifiers that know of the samples only the states of hidden nodes."""

    estimator: Any
    layer: int
    system: str
    bandwidth: float

    _parameter_constraints: dict[str, Any] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "layer": [Interval(Integral, 1, None, closed="left")],
        "system": [StrOptions(set(SYSTEMS))],
        "bandwidth": [Interval(Real, 0, None, closed="neither")],
    }

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> Self:
        """Estimate the likelihoods of the nodes' states in each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples that the estimator accepts.
        y : array-like of shape (n_samples,)
            Their labels; every class of the estimator needs at least one.

        Returns
        -------
        self : estimator

        Raises
        ------
        TypeError
            If the estimator is not one of this package's networks.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If a parameter or the data are unsuitable; the message names what to change.
        """
        estimator, network = self._fitted(), self._network()
        node = self._node(network)
        X = self._checked(X, reset=True)
        codes = class_codes(estimator, X, y)
        bandwidth = None if self.system == "discrete" else self.bandwidth
        (self._model,) = _fitted_models(network, X, codes, [self.layer], bandwidth, node)
        self._system = self.system
        self.classes_ = estimator.classes_.copy()
        self.class_prior_ = np.bincount(codes) / codes.size
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        log_probabilities = self.predict_log_proba(X)
        labels: np.ndarray = self.classes_[np.argmax(log_probabilities, axis=1)]
        return labels

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes), dtype float64
            In the order of `classes_`.
        """
        probabilities: np.ndarray = np.exp(self.predict_log_proba(X))
        return probabilities

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict logarithms of class probabilities, exact where these underflow.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes), dtype float64
        """
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        network = self._fitted()._fitted_network()
        joint = np.empty((X.shape[0], self.classes_.size))
        for rows, model, z, a in _states(network, X, [self._model]):
            joint[rows] = model.log_likelihoods(z, a, self._system)
        joint += np.log(self.class_prior_)
        log_probabilities: np.ndarray = log_softmax(joint, axis=1)
        return log_probabilities

    def agreement(self, X: Any) -> float:
        """Share of the samples for which this predicts what the network does.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        float
            In [0, 1].

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sksparse_mlp import SparseMLPClassifier
        >>> from sksparse_mlp.analysis import LayerClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> network = SparseMLPClassifier(random_state=0).fit(X, y)
        >>> LayerClassifier(network, layer=2).fit(X, y).agreement(X) > 0.8
        True
        """
        return float(np.mean(self.predict(X) == self._fitted().predict(X)))

    def transform(self, X: Any) -> Any:
        """Class probabilities, as from `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes), dtype float64
        """
        return self.predict_proba(X)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns of `transform`: the layer, any node, and the class.

        Parameters
        ----------
        input_features : object, default=None
            Not used.

        Returns
        -------
        ndarray of shape (n_classes,), dtype object
        """
        check_is_fitted(self)
        model = self._model
        node = "" if model.node is None else f"_node{model.node}"
        prefix = f"layer{model.depth}{node}_class_"
        return np.array([f"{prefix}{label}" for label in self.classes_], dtype=object)

    def _network(self) -> Network:
        """The estimator's network, once layer and system are known to suit it."""
        network = self._fitted()._fitted_network()
        layer_number(self.layer, len(network.hidden))
        if self.system == "combined":
            _check_combined(network, [self.layer])
        return network

    def _node(self, network: Network) -> int | None:
        """The only node that counts, if there is one."""
        return None


class LayerClassifier(_StatesClassifier):
    """One hidden layer of a fitted network as a classifier of its own.

    Each node tells how likely its state is in each class, and the classes' posterior
    probabilities follow from Bayes' theorem, as if the nodes were independent: logarithms
    are summed over the layer's nodes, in float64. With depth, these classifiers come to
    be about as accurate as the network [1]_.

    Parameters
    ----------
    estimator : SparseMLPClassifier
        Fitted; a clone of this classifier has the same one.
    layer : int
        The hidden layer, counted from 1.
    system : {"discrete", "continuous", "combined"}, default="discrete"
        What a node's state is. With "discrete", whether it is on: its likelihood is the
        share of the class's training samples for which it is, or is not. With
        "continuous", its pre-activation: its likelihood is a Gaussian kernel density
        estimate from those of the class's training samples. With "combined", for
        activations whose output is zero where a node is off, what the next layer sees:
        the discrete likelihood if the node is off, and otherwise the continuous one,
        which is estimated from all samples of the class, on and off. Probabilities and
        densities multiply, as for a variable with an atom.
    bandwidth : float, default=0.2
        Standard deviation of the kernels, in units of the pre-activations.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, those of the estimator.
    class_prior_ : ndarray of shape (n_classes,)
        Shares of the classes in the training samples.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X has names that are strings.

    See Also
    --------
    layer_accuracies : All systems of all layers at once.
    NodeClassifier : What a single node knows.
    sklearn.naive_bayes.GaussianNB : Normal instead of estimated densities.

    Notes
    -----
    When a node was on for all or none of a class's ``n`` samples, the share is taken as if
    half a sample was different, ``0.5 / n`` or ``1 - 0.5 / n``: that many samples cannot
    tell it from zero, and one state never seen before must not outvote all other nodes.

    Densities are evaluated on a grid of 16 points per bandwidth with linear binning and
    linear interpolation of the logarithm. Where ``l <= 0`` is the exact log density less
    that at the peak of a single kernel, the result is off by at least -1/1024 and at most
    ``abs(l) / 512``. There is no floor: a value far from a class's training samples has
    the log density that their Gaussians have there, which is finite.

    Where samples differ by millions of bandwidths, log densities are so large that
    float64 may lose what tells classes apart; scale the features (StandardScaler).

    References
    ----------
    .. [1] Pretorius, *Activation functions in deep neural networks*, 2020, chapter 6.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import LayerClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> network = SparseMLPClassifier(max_iter=20, random_state=0).fit(X / 16, y)
    >>> last = LayerClassifier(network, layer=2, system="combined").fit(X / 16, y)
    >>> last.score(X / 16, y) > 0.95
    True
    >>> last.transform(X[:3] / 16).shape
    (3, 10)
    """

    def __init__(
        self,
        estimator: Any,
        *,
        layer: int,
        system: str = "discrete",
        bandwidth: float = 0.2,
    ) -> None:
        self.estimator = estimator
        self.layer = layer
        self.system = system
        self.bandwidth = bandwidth


class NodeClassifier(_StatesClassifier):
    """One hidden node of a fitted network as a classifier of its own.

    The same as a `LayerClassifier` of a layer that has no other node: the posterior
    probabilities of the classes follow from the state of this node alone. With the system
    "discrete" it predicts one of two classes at most.

    Parameters
    ----------
    estimator : SparseMLPClassifier
        Fitted; a clone of this classifier has the same one.
    layer : int
        The hidden layer, counted from 1.
    node : int
        The node of that layer, counted from 0.
    system : {"discrete", "continuous", "combined"}, default="discrete"
        What the node's state is, as for a `LayerClassifier`.
    bandwidth : float, default=0.2
        Standard deviation of the kernels, in units of the pre-activations.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, those of the estimator.
    class_prior_ : ndarray of shape (n_classes,)
        Shares of the classes in the training samples.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X has names that are strings.

    See Also
    --------
    LayerClassifier : All nodes of a layer, how probabilities are estimated, and the source.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import NodeClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> network = SparseMLPClassifier(max_iter=20, random_state=0).fit(X / 16, y)
    >>> node = NodeClassifier(network, layer=2, node=5).fit(X / 16, y)
    >>> node.predict_proba(X[:3] / 16).shape
    (3, 10)
    >>> 0.1 < node.score(X / 16, y) < 0.3
    True
    """

    _parameter_constraints: dict[str, Any] = {
        **_StatesClassifier._parameter_constraints,
        "node": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        layer: int,
        node: int,
        system: str = "discrete",
        bandwidth: float = 0.2,
    ) -> None:
        self.estimator = estimator
        self.layer = layer
        self.node = node
        self.system = system
        self.bandwidth = bandwidth

    def _node(self, network: Network) -> int:
        return node_number(self.node, self.layer, network.sizes[self.layer])
