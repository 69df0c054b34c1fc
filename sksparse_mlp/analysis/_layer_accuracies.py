"""How accurate hidden layers are as classifiers, and how they agree with the network."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from sksparse_mlp._sklearn import Interval, check_pandas_support, validate_params
from sksparse_mlp.analysis._layer_classifier import (
    SYSTEMS,
    _check_combined,
    _fitted_models,
    _LayerModel,
    _states,
)
from sksparse_mlp.analysis._layers import checked_data, class_codes, fitted, known_codes
from sksparse_mlp.core.network import Network


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
    agreement_train, agreement_test : ndarray of shape (n_systems, n_layers) or None
        Shares of the samples for which a layer predicts what the network does, right or
        wrong.

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
    agreement_train: np.ndarray | None = None
    agreement_test: np.ndarray | None = None

    def to_pandas(self) -> Any:
        """The accuracies as a table.

        Returns
        -------
        pandas.DataFrame
            One row per hidden layer; columns have two levels: "data" ("train" or "test",
            then "agreement, train" and "agreement, test", where these are known) and
            "system" (the systems; of the accuracies also "network", the same in every
            row).

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
        table = table[["train", "test"]]
        for data in ("train", "test"):
            agreements = getattr(self, f"agreement_{data}")
            if agreements is not None:
                for row, system in enumerate(self.systems):
                    table[f"agreement, {data}", system] = agreements[row]
        return table.rename_axis(columns=["data", "system"])


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
        Their labels, all from the estimator's classes, of which each needs a training
        sample.
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
    codes_other = known_codes(estimator, X_other, y_test)
    log_prior = np.log(np.bincount(codes) / codes.size)
    judge = _Judge(network, models, chosen, estimator.classes_, log_prior)
    shares = [
        judge.shares(X, labels, estimator.predict(raw))
        for X, labels, raw in (
            (X, estimator.classes_[codes], X_train),
            (X_other, estimator.classes_[codes_other], X_test),
        )
    ]
    (train, network_train, agreement_train), (test, network_test, agreement_test) = shares
    return LayerAccuracies(
        systems=chosen,
        train=train,
        test=test,
        network_train=network_train,
        network_test=network_test,
        agreement_train=agreement_train,
        agreement_test=agreement_test,
    )


def _checked_systems(
    systems: Sequence[str], network: Network, layers: Iterable[int]
) -> tuple[str, ...]:
    names = tuple(map(str, systems))
    unknown = [name for name in names if name not in SYSTEMS]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(
            f"systems={systems!r} must be one or more different names of {SYSTEMS}, or "
            "None for all."
        )
    if "combined" in names:
        _check_combined(network, layers)
    return names


@dataclass(frozen=True)
class _Judge:
    """Compares what layers predict with the labels, and with what the network predicts."""

    network: Network
    models: list[_LayerModel]
    systems: Sequence[str]
    classes: np.ndarray
    log_prior: np.ndarray

    def shares(
        self, X: Any, y: np.ndarray, predicted: np.ndarray
    ) -> tuple[np.ndarray, float, np.ndarray]:
        """Accuracies of the layers and of the network, and agreements of the two.

        Of shape (n_systems, n_layers), () and (n_systems, n_layers).
        """
        n_right = np.full((len(self.systems), len(self.models)), np.nan)
        for row, system in enumerate(self.systems):
            n_right[row, [system in model.systems for model in self.models]] = 0
        n_same = n_right.copy()
        for rows, model, z, a in _states(self.network, X, self.models):
            for row, system in enumerate(self.systems):
                if system in model.systems:
                    joint = model.log_likelihoods(z, a, system) + self.log_prior
                    labels = self.classes[np.argmax(joint, axis=1)]
                    n_right[row, model.depth - 1] += np.sum(labels == y[rows])
                    n_same[row, model.depth - 1] += np.sum(labels == predicted[rows])
        n_samples = X.shape[0]
        return n_right / n_samples, float(np.mean(predicted == y)), n_same / n_samples
