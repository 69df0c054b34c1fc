"""How accurate hidden layers are as classifiers."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from sksparse_mlp.analysis._layer_accuracies import layer_accuracies
from sksparse_mlp.analysis._plot._display import Display, mark_every

LOOKS = {
    "discrete": ("o", "-", "0.0"),
    "continuous": ("s", "--", "0.35"),
    "combined": ("^", "-.", "0.55"),
}


class LayerAccuracyDisplay(Display):
    """Accuracy of each hidden layer as a classifier, beside that of the network.

    Filled markers are accuracies on test samples, open ones on training samples. The
    lines across are those of the network: solid for test, dotted for training samples.

    Parameters
    ----------
    systems : sequence of {"discrete", "continuous", "combined"}
        The systems of the `LayerClassifier`.
    train : array-like of shape (n_systems, n_layers)
        Accuracies on training samples, NaN where a layer does not allow the system.
    network_train : float
        The network's.
    test : array-like of shape (n_systems, n_layers), default=None
        Accuracies on test samples, if there are any.
    network_test : float, default=None
        The network's.

    Attributes
    ----------
    ax_ : matplotlib Axes
    lines_ : dict of (str, str) to matplotlib Line2D
        The lines by system or "network", and "train" or "test".
    figure_ : matplotlib Figure

    See Also
    --------
    layer_accuracies : The figures behind it.

    References
    ----------
    Pretorius, *Activation functions in deep neural networks*, 2020, chapter 6.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import LayerAccuracyDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = X[::2], X[1::2], y[::2], y[1::2]
    >>> clf = SparseMLPClassifier((20, 10), epsilon=2, max_iter=50, random_state=0)
    >>> display = LayerAccuracyDisplay.from_estimator(
    ...     clf.fit(X_train, y_train), X_train, y_train, X_test, y_test
    ... )
    >>> display.test.shape
    (3, 2)
    """

    def __init__(
        self,
        *,
        systems: Sequence[str],
        train: np.ndarray,
        network_train: float,
        test: np.ndarray | None = None,
        network_test: float | None = None,
    ) -> None:
        self.systems = systems
        self.train = train
        self.network_train = network_train
        self.test = test
        self.network_test = network_test

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X_train: Any,
        y_train: Any,
        X_test: Any,
        y_test: Any,
        *,
        systems: Sequence[str] | None = None,
        bandwidth: float = 0.2,
        ax: Any = None,
    ) -> Self:
        """Draw the accuracies of a fitted network's layers.

        Parameters
        ----------
        estimator : SparseMLPClassifier
            Fitted; a `FrozenEstimator` around it is allowed.
        X_train, X_test : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples from which the layers learn, and others.
        y_train, y_test : array-like of shape (n_samples,)
            Their labels. Every class of the estimator needs a training sample.
        systems : sequence of {"discrete", "continuous", "combined"}, default=None
            The systems; None takes all that the activations allow.
        bandwidth : float, default=0.2
            Standard deviation of the kernels.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        LayerAccuracyDisplay

        Raises
        ------
        ValueError
            As from `layer_accuracies`.
        ImportError, sklearn.exceptions.NotFittedError
            If matplotlib is not installed, or the estimator not fitted.
        """
        accuracies = layer_accuracies(
            estimator,
            X_train,
            y_train,
            X_test,
            y_test,
            systems=systems,
            bandwidth=bandwidth,
        )
        return cls.from_accuracies(accuracies, ax=ax)

    @classmethod
    def from_accuracies(cls, accuracies: Any, *, ax: Any = None) -> Self:
        """Draw what `layer_accuracies` has found.

        Parameters
        ----------
        accuracies : LayerAccuracies
            The result.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        LayerAccuracyDisplay
        """
        display = cls(
            systems=accuracies.systems,
            train=accuracies.train,
            network_train=accuracies.network_train,
            test=accuracies.test,
            network_test=accuracies.network_test,
        )
        return display.plot(ax)

    def _height(self) -> float:
        return 2.9

    def _draw(self, ax: Any) -> None:
        parts = ["train"] if self.test is None else ["train", "test"]
        self.lines_: dict[tuple[str, str], Any] = {}
        for part in parts:
            self._draw_part(ax, part)
        ax.set(xlabel="hidden layer", ylabel="accuracy (share of samples)")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(axis="y", color="0.9", linewidth=0.5)
        ax.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(parts), frameon=False
        )

    def _draw_part(self, ax: Any, part: str) -> None:
        """Lines of the train or the test samples."""
        accuracies = np.asarray(getattr(self, part))
        is_test = part == "test"
        layers = np.arange(1, accuracies.shape[1] + 1)
        for k, (system, values) in enumerate(zip(self.systems, accuracies, strict=True)):
            if np.isnan(values).all():
                continue
            marker, style, color = LOOKS[system]
            (self.lines_[system, part],) = ax.plot(
                layers, values, linestyle=style, marker=marker, color=color,
                markerfacecolor=color if is_test else "white",
                linewidth=1.1 if is_test else 0.6, label=f"{system}, {part}",
                markevery=mark_every(layers.size, len(self.systems), k),
            )  # fmt: skip
        self.lines_["network", part] = ax.axhline(
            getattr(self, f"network_{part}"), color="black",
            linestyle="-" if is_test else ":", linewidth=0.8, label=f"network, {part}",
        )  # fmt: skip
