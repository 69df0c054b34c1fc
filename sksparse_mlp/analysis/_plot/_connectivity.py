"""How many connections the input neurons have."""

import math
from typing import Any, Self

import numpy as np

from sksparse_mlp.analysis._layers import fitted
from sksparse_mlp.analysis._plot._display import Display
from sksparse_mlp.analysis._topology import connectivity

MOST_BARS = 60


class ConnectivityDisplay(Display):
    """Degrees of the input neurons: as an image, or how many neurons have which degree.

    Parameters
    ----------
    degrees : array-like of shape (n_features,)
        Number of connections from each input neuron.
    image_shape : tuple of int, default=None
        Rows, columns and perhaps channels, where inputs are images; the degrees of
        channels are added up. None draws how many neurons have which degree.

    Attributes
    ----------
    ax_ : matplotlib Axes
    image_ : matplotlib AxesImage or None
        The image, if there is one.
    figure_ : matplotlib Figure

    See Also
    --------
    connectivity : The figures behind it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import ConnectivityDisplay
    >>> clf = SparseMLPClassifier((50, 50), epsilon=5, max_iter=5, random_state=0)
    >>> clf = clf.fit(*load_digits(return_X_y=True))
    >>> display = ConnectivityDisplay.from_estimator(clf, image_shape=(8, 8))
    >>> display.image_.get_array().shape
    (8, 8)
    """

    def __init__(self, *, degrees: Any, image_shape: tuple[int, ...] | None = None) -> None:
        self.degrees = degrees
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, image_shape: tuple[int, ...] | None = None, ax: Any = None
    ) -> Self:
        """Draw the degrees of a fitted network's input neurons.

        Parameters
        ----------
        estimator : SparseMLPClassifier or SparseMLPRegressor
            Fitted; a `FrozenEstimator` around it is allowed.
        image_shape : tuple of int, default=None
            Rows, columns and perhaps channels, where inputs are images.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        ConnectivityDisplay

        Raises
        ------
        ValueError
            If ``image_shape`` does not suit the number of features.
        ImportError, sklearn.exceptions.NotFittedError
            If matplotlib is not installed, or the estimator not fitted.
        """
        first = connectivity(fitted(estimator))[0]
        return cls.from_connectivity(first, image_shape=image_shape, ax=ax)

    @classmethod
    def from_connectivity(
        cls,
        connectivity: Any,
        *,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw the degrees of the input neurons of a layer.

        Parameters
        ----------
        connectivity : Connectivity
            Of one layer, as from :func:`connectivity`.
        image_shape : tuple of int, default=None
            As in `from_estimator`.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        ConnectivityDisplay

        Raises
        ------
        ValueError, ImportError
            As in `from_estimator`.
        """
        degrees = connectivity.out_degrees
        return cls(degrees=degrees, image_shape=image_shape).plot(ax)

    def _height(self) -> float:
        if self.image_shape is None:
            return 2.2
        rows, columns = self._image(self.image_shape).shape
        height: float = 2.4 * rows / columns + 0.5
        return min(max(height, 1.2), 6)

    def _image(self, shape: tuple[int, ...]) -> np.ndarray:
        """The degrees as an array of shape (rows, columns)."""
        degrees, shape = np.asarray(self.degrees), tuple(shape)
        if len(shape) not in (2, 3) or math.prod(shape) != degrees.size:
            raise ValueError(
                f"image_shape={self.image_shape!r} must be (rows, columns) or (rows, "
                f"columns, channels), whose product is the number of input neurons, "
                f"{degrees.size}."
            )
        image: np.ndarray = degrees.reshape(*shape[:2], -1).sum(axis=2)
        return image

    def _draw(self, ax: Any) -> None:
        self.image_ = None
        if self.image_shape is None:
            _draw_distribution(ax, np.asarray(self.degrees))
            return
        self.image_ = ax.imshow(self._image(self.image_shape), cmap="Greys", vmin=0)
        ax.set(xlabel="column (pixels)", ylabel="row (pixels)")
        ax.figure.colorbar(self.image_, ax=ax, label="connections per pixel")


def _draw_distribution(ax: Any, degrees: np.ndarray) -> None:
    """How many neurons have how many connections, in bins of whole numbers."""
    low, high = int(degrees.min()), int(degrees.max())
    step = math.ceil((high - low + 1) / MOST_BARS)
    edges = np.arange(low, high + step + 1, step) - 0.5
    counts, _ = np.histogram(degrees, edges)
    ax.stairs(counts, edges, fill=True, facecolor="0.7", edgecolor="0.2", linewidth=0.6)
    width = "" if step == 1 else f" (bins of {step})"
    ax.set(
        xlabel=f"connections of an input neuron{width}",
        ylabel="number of input neurons",
        ylim=(0, None),
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_major_locator().set_params(integer=True)
