"""Hidden layers as classifiers: how much their nodes tell of the class."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted, column_or_1d

from sksparse_mlp._sklearn import (
    HasMethods,
    Interval,
    StrOptions,
    _fit_context,
    check_pandas_support,
    validate_params,
)
from sksparse_mlp.activations import Activation
from sksparse_mlp.analysis._density import BinnedValues
from sksparse_mlp.analysis._layers import (
    Analyser,
    checked_data,
    class_codes,
    fitted,
    passes,
)
from sksparse_mlp.core.network import Network

SYSTEMS = ("discrete", "continuous", "combined")


def _is_zero_when_off(activation: Activation) -> bool:
    """Whether nodes with this activation are off exactly where their output is zero."""
    negative, barely_positive = np.array([-1.0]), np.array([np.finfo(float).tiny])
    return bool(activation.is_on(negative, barely_positive)[0])


class _LayerModel:
    """What the nodes of one hidden layer say of the classes.

    Given the training samples batch by batch, it takes two passes: `observe`, and from
    `start_binning` to `finish` for the densities.
    """

    def __init__(
        self, depth: int, activation: Activation, n_nodes: int, class_counts: np.ndarray
    ) -> None:
        self.depth = depth
        self._activation = activation
        self._class_counts = class_counts
        self._n_on = np.zeros((n_nodes, class_counts.size))
        self._low = np.full(n_nodes, np.inf)
        self._high = np.full(n_nodes, -np.inf)

    @property
    def systems(self) -> tuple[str, ...]:
        """Those that the activation allows."""
        return SYSTEMS if _is_zero_when_off(self._activation) else SYSTEMS[:2]

    def observe(self, z: np.ndarray, a: np.ndarray, codes: np.ndarray) -> None:
        """Take note of a batch: who is on, and the ranges of the values."""
        self._check_finite(z)
        members = np.eye(self._class_counts.size)[codes]
        self._n_on += self._activation.is_on(z, a) @ members
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
        totals = (~on).T @ self.log_off
        if system == "discrete":
            totals += on.T @ self.log_on
            return totals
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
            k = model.depth - 1
            yield slice(start, start + batch.size), model, batch.z[k], batch.a[k]


def _fitted_models(
    network: Network,
    X: Any,
    codes: np.ndarray,
    layers: Iterable[int],
    bandwidth: float | None,
) -> list[_LayerModel]:
    """Models of some layers, numbered from 1; with densities if there is a bandwidth."""
    class_counts = np.bincount(codes)
    models = [
        _LayerModel(
            depth, network.hidden[depth - 1].activation, network.sizes[depth], class_counts
        )
        for depth in layers
    ]
    for rows, model, z, a in _states(network, X, models):
        model.observe(z, a, codes[rows])
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


class LayerClassifier(TransformerMixin, ClassifierMixin, Analyser):
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

    _parameter_constraints: dict[str, Any] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "layer": [Interval(Integral, 1, None, closed="left")],
        "system": [StrOptions(set(SYSTEMS))],
        "bandwidth": [Interval(Real, 0, None, closed="neither")],
    }

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
        self : LayerClassifier

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
        X = self._checked(X, reset=True)
        codes = class_codes(estimator, X, y)
        bandwidth = None if self.system == "discrete" else self.bandwidth
        (self._model,) = _fitted_models(network, X, codes, [self.layer], bandwidth)
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
        """Names of the columns of `transform`, such as "layer1_class_setosa".

        Parameters
        ----------
        input_features : object, default=None
            Not used.

        Returns
        -------
        ndarray of shape (n_classes,), dtype object
        """
        check_is_fitted(self)
        prefix = f"layer{self._model.depth}_class_"
        return np.array([f"{prefix}{label}" for label in self.classes_], dtype=object)

    def _network(self) -> Network:
        """The estimator's network, once layer and system are known to suit it."""
        network = self._fitted()._fitted_network()
        n_hidden = len(network.hidden)
        if self.layer > n_hidden:
            raise ValueError(
                f"layer={self.layer} does not exist: the estimator has {n_hidden} hidden "
                f"layers, so that layer must be from 1 to {n_hidden}."
            )
        if self.system == "combined":
            _check_combined(network, [self.layer])
        return network


@dataclass(frozen=True)
class LayerAccuracies:
    """Accuracies of layers as classifiers, as from `layer_accuracies`.

    Attributes
    ----------
    systems : tuple of str
        The systems, in the order of the rows of the arrays.
    train, test : ndarray of shape (n_systems, n_layers)
        Shares of the samples that each layer classifies rightly, from the first hidden
        layer to the last; NaN where the layer's activation does not allow the system.
    network_train, network_test : float
        The same for the network.

    See Also
    --------
    layer_accuracies : Makes them of a fitted network.

    Examples
    --------
    >>> import numpy as np
    >>> from sksparse_mlp.analysis import LayerAccuracies
    >>> shares = np.array([[0.75, 0.875]])
    >>> accuracies = LayerAccuracies(("discrete",), shares, shares - 0.25, 1.0, 0.75)
    >>> accuracies.to_pandas()["test", "discrete"].tolist()
    [0.5, 0.625]
    """

    systems: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray
    network_train: float
    network_test: float

    def to_pandas(self) -> Any:
        """The accuracies as a table.

        Returns
        -------
        pandas.DataFrame
            One row per hidden layer; columns have two levels, "data" ("train" or "test")
            and "system" (the systems and "network", the same in every row).

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pd = check_pandas_support("LayerAccuracies.to_pandas")
        columns = {
            (data, system): getattr(self, data)[row]
            for data in ("train", "test")
            for row, system in enumerate(self.systems)
        }
        layers = pd.RangeIndex(1, self.train.shape[1] + 1, name="layer")
        table = pd.DataFrame(columns, index=layers)
        table["train", "network"] = self.network_train
        table["test", "network"] = self.network_test
        ordered = table[["train", "test"]]
        return ordered.rename_axis(columns=["data", "system"])


@validate_params(
    {
        "systems": ["array-like", None],
        "bandwidth": [Interval(Real, 0, None, closed="neither")],
    },
    prefer_skip_nested_validation=True,
)
def layer_accuracies(
    estimator: Any,
    X_train: Any,
    y_train: Any,
    X_test: Any,
    y_test: Any,
    *,
    systems: Sequence[str] | None = None,
    bandwidth: float = 0.2,
) -> LayerAccuracies:
    """Accuracies of all hidden layers as classifiers, on training and test samples.

    The same as from a `LayerClassifier` per layer and system, in a few passes over the
    samples for all of them together.

    Parameters
    ----------
    estimator : SparseMLPClassifier
        Fitted.
    X_train, X_test : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples from which the layers learn, and others.
    y_train, y_test : array-like of shape (n_samples,)
        Their labels. Every class of the estimator needs a training sample.
    systems : sequence of {"discrete", "continuous", "combined"}, default=None
        The systems to evaluate. None takes all, and leaves "combined" out in layers whose
        activation does not allow it.
    bandwidth : float, default=0.2
        Standard deviation of the kernels.

    Returns
    -------
    LayerAccuracies

    Raises
    ------
    TypeError
        If the estimator is not one of this package's networks.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ValueError
        As from `LayerClassifier.fit`; also if ``systems`` has another name, or
        "combined" where a layer's activation does not allow it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import layer_accuracies
    >>> X, y = load_digits(return_X_y=True)
    >>> train, test = (X[:1500] / 16, y[:1500]), (X[1500:] / 16, y[1500:])
    >>> network = SparseMLPClassifier(max_iter=20, random_state=0).fit(*train)
    >>> accuracies = layer_accuracies(network, *train, *test)
    >>> accuracies.systems, accuracies.test.shape
    (('discrete', 'continuous', 'combined'), (3, 2))
    >>> bool(accuracies.test[:, 1].min() > 0.8)
    True
    """
    estimator = fitted(estimator)
    network = estimator._fitted_network()
    layers = range(1, len(network.hidden) + 1)
    chosen = SYSTEMS if systems is None else _checked_systems(systems, network, layers)
    X, X_other = (checked_data(estimator, data) for data in (X_train, X_test))
    codes = class_codes(estimator, X, y_train)
    models = _fitted_models(
        network, X, codes, layers, None if set(chosen) == {"discrete"} else bandwidth
    )
    log_prior = np.log(np.bincount(codes) / codes.size)
    classes = estimator.classes_
    y_other = column_or_1d(y_test, warn=True)
    check_consistent_length(X_other, y_other)
    return LayerAccuracies(
        systems=chosen,
        train=_accuracies(network, X, classes[codes], models, chosen, classes, log_prior),
        test=_accuracies(network, X_other, y_other, models, chosen, classes, log_prior),
        network_train=float(estimator.score(X_train, y_train)),
        network_test=float(estimator.score(X_test, y_test)),
    )


def _checked_systems(
    systems: Sequence[str], network: Network, layers: Iterable[int]
) -> tuple[str, ...]:
    systems = tuple(systems)
    unknown = [system for system in systems if system not in SYSTEMS]
    if unknown or not systems:
        raise ValueError(
            f"systems={systems!r} must be one or more of {SYSTEMS}, or None for all."
        )
    if "combined" in systems:
        _check_combined(network, layers)
    return systems


def _accuracies(
    network: Network,
    X: Any,
    y: np.ndarray,
    models: list[_LayerModel],
    systems: Sequence[str],
    classes: np.ndarray,
    log_prior: np.ndarray,
) -> np.ndarray:
    """Shares of the samples classified rightly, of shape (n_systems, n_layers)."""
    n_right = np.full((len(systems), len(models)), np.nan)
    for row, system in enumerate(systems):
        n_right[row, [system in model.systems for model in models]] = 0
    for rows, model, z, a in _states(network, X, models):
        for row, system in enumerate(systems):
            if system in model.systems:
                joint = model.log_likelihoods(z, a, system) + log_prior
                predicted = classes[np.argmax(joint, axis=1)]
                n_right[row, model.depth - 1] += np.sum(predicted == y[rows])
    shares: np.ndarray = n_right / X.shape[0]
    return shares
