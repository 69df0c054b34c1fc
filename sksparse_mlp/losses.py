"""Losses of regression: what predictions of numbers are judged by, and are predictions of.

A loss is a cloneable parameter holder. Networks see targets less a centre and divided by
a scale, which the loss chooses. A new loss is one class and one line of :data:`LOSSES`.
"""

from numbers import Real
from typing import Any

import numpy as np
from scipy import special

from sksparse_mlp._sklearn import BaseEstimator, Interval
from sksparse_mlp.core import kernels

__all__ = ["AbsoluteError", "Huber", "Poisson", "Quantile", "SquaredError"]

# Deviations from the lower to the upper quartile of a normal distribution.
QUARTILES = 1.349


class RegressionLoss(BaseEstimator):
    """Base of the losses of regression.

    Attributes
    ----------
    link : {"identity", "exp"}
        What makes predictions of the outputs of the network.
    code : int
        What compiled updates know the class by.
    degree : int
        The power of the targets' unit that losses have.

    Examples
    --------
    >>> from sksparse_mlp.losses import LOSSES
    >>> sorted(LOSSES)
    ['absolute_error', 'huber', 'poisson', 'quantile', 'squared_error']
    """

    _parameter_constraints: dict[str, Any] = {}
    link = "identity"
    code = 0
    degree = 1

    @property
    def constants(self) -> tuple[float, float]:
        """What kernels are told of the parameters."""
        return 0.0, 0.0

    def value_and_gradient(self, *arguments: Any) -> None:
        """Enter the losses of samples, and their gradients for the network's outputs.

        Parameters
        ----------
        *arguments : tuple
            As ``core.kernels.loss_of_targets`` has them, without the code of the loss and
            its parameters.
        """
        raise NotImplementedError

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Apply the link.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_outputs)
            Of the network.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
        """
        return outputs

    def losses_of(self, y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """Losses of single predictions.

        Parameters
        ----------
        y, predictions : ndarray of shape (n_samples, n_outputs)
            As the network sees targets; NaN gives NaN.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs), dtype float64
        """
        raise NotImplementedError

    def centre_and_scale(self, y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
        """What to take from a target and then divide by, before a network sees it.

        Parameters
        ----------
        y : ndarray of shape (n_samples,)
            Targets of one output.
        weights : ndarray of shape (n_samples,)
            Their positive weights.

        Returns
        -------
        tuple of two floats
            The scale is positive, or zero where all targets are the same.
        """
        return _quantile(y, weights, 0.5), _spread(y, weights)

    def check(self, y: np.ndarray) -> None:
        """Refuse targets that are none of this loss.

        Parameters
        ----------
        y : ndarray of shape (n_samples, n_outputs)
            Numbers, or NaN where a target is missing.

        Raises
        ------
        ValueError
            If some are unsuitable.
        """


class _KernelLoss(RegressionLoss):
    """Base of the losses that a kernel knows by their `code`."""

    def value_and_gradient(self, *arguments: Any) -> None:
        """Enter losses and gradients.

        Parameters
        ----------
        *arguments : tuple
            As :meth:`RegressionLoss.value_and_gradient` has them.
        """
        *first, tiny, start, stop = arguments
        kernels.loss_of_targets(*first, self.code, *self.constants, tiny, start, stop)


class SquaredError(_KernelLoss):
    """Half of the squared error, of which the mean is the best prediction.

    Examples
    --------
    >>> import numpy as np
    >>> from sksparse_mlp.losses import SquaredError
    >>> SquaredError().losses_of(np.array([[1.0]]), np.array([[3.0]]))
    array([[2.]])
    """

    code = kernels.SQUARED
    degree = 2

    def losses_of(self, y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        errors: np.ndarray = np.subtract(predictions, y, dtype=np.float64)
        return 0.5 * errors**2

    def centre_and_scale(self, y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
        mean = float(np.average(y, weights=weights))
        return mean, float(np.sqrt(np.average((y - mean) ** 2, weights=weights)))


class _Pinball(_KernelLoss):
    """Base of the losses in proportion to the error, which may depend on its sign."""

    code = kernels.PINBALL

    def losses_of(self, y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        above, below = self.constants
        errors: np.ndarray = np.subtract(predictions, y, dtype=np.float64)
        losses: np.ndarray = np.maximum(above * errors, -below * errors)
        return losses


class AbsoluteError(_Pinball):
    """The absolute error, of which the median is the best prediction.

    Examples
    --------
    >>> import numpy as np
    >>> from sksparse_mlp.losses import AbsoluteError
    >>> AbsoluteError().losses_of(np.array([[1.0]]), np.array([[3.0]]))
    array([[2.]])
    """

    @property
    def constants(self) -> tuple[float, float]:
        """What errors count above and below the targets."""
        return 1.0, 1.0


class Quantile(_Pinball):
    """The pinball loss, of which a quantile is the best prediction (Koenker 1978).

    A prediction that is too small costs the error times `quantile`, one that is too large
    the error times ``1 - quantile`` [1]_.

    Parameters
    ----------
    quantile : float, default=0.5
        The share of the targets that should be below the predictions, in (0, 1).

    References
    ----------
    .. [1] Koenker and Bassett, *Regression quantiles*, Econometrica 46, 1978.

    Examples
    --------
    >>> import numpy as np
    >>> from sksparse_mlp.losses import Quantile
    >>> Quantile(0.75).losses_of(np.array([[1.0]]), np.array([[3.0]]))
    array([[0.5]])
    """

    _parameter_constraints: dict[str, Any] = {
        "quantile": [Interval(Real, 0, 1, closed="neither")]
    }

    def __init__(self, quantile: float = 0.5):
        self.quantile = quantile

    @property
    def constants(self) -> tuple[float, float]:
        """What errors count above and below the targets."""
        return 1.0 - self.quantile, float(self.quantile)

    def centre_and_scale(self, y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
        return _quantile(y, weights, self.quantile), _spread(y, weights)


class Huber(_KernelLoss):
    """Squared for small errors and in proportion for large ones (Huber 1964).

    ``error ** 2 / 2`` up to `delta`, and ``delta * (abs(error) - delta / 2)`` beyond [1]_.

    Parameters
    ----------
    delta : float, default=1.35
        Where errors become large, in scales of the targets: these are divided by the
        distance of their quartiles, which is 1.349 deviations if they are normal, over
        1.349.

    References
    ----------
    .. [1] Huber, *Robust estimation of a location parameter*, The Annals of Mathematical
       Statistics 35, 1964.

    Examples
    --------
    >>> import numpy as np
    >>> from sksparse_mlp.losses import Huber
    >>> Huber(delta=1).losses_of(np.array([[1.0]]), np.array([[3.0]]))
    array([[1.5]])
    """

    _parameter_constraints: dict[str, Any] = {
        "delta": [Interval(Real, 0, None, closed="neither")]
    }
    code = kernels.HUBER
    degree = 2

    def __init__(self, delta: float = 1.35):
        self.delta = delta

    @property
    def constants(self) -> tuple[float, float]:
        """Where errors become large."""
        return float(self.delta), 0.0

    def losses_of(self, y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        errors = np.subtract(predictions, y, dtype=np.float64)
        losses: np.ndarray = special.huber(self.delta, errors)
        return losses


class Poisson(_KernelLoss):
    """Half of the Poisson deviance, for counts and other targets that are not negative.

    ``mean - y + y * log(y / mean)``, where the mean is the exponential of the network's
    output: predictions are positive. Targets are divided by their mean and not centred.

    Examples
    --------
    >>> import numpy as np
    >>> from sksparse_mlp.losses import Poisson
    >>> Poisson().losses_of(np.array([[0.0, 1.0]]), np.array([[2.0, 1.0]]))
    array([[2., 0.]])
    """

    link = "exp"
    code = kernels.POISSON

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            means: np.ndarray = np.exp(outputs)
        return means

    def losses_of(self, y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        # Where a mean is zero, what happened anyway would cost infinitely much.
        smallest = np.finfo(predictions.dtype).tiny
        means = np.maximum(predictions, smallest).astype(np.float64)
        losses: np.ndarray = special.kl_div(y.astype(np.float64), means)
        return losses

    def centre_and_scale(self, y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
        return 0.0, float(np.average(y, weights=weights))

    def check(self, y: np.ndarray) -> None:
        if (y < 0).any():
            raise ValueError(
                f"loss='poisson' is for targets that are not negative, and y has "
                f"{np.nanmin(y):g}. Choose another loss, such as 'squared_error'."
            )


def _quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The first value of which so large a share of the weights is not above."""
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    # A rounding of the sums decides nothing.
    place = np.searchsorted(sums, share * sums[-1] * (1 - 1e-9))
    return float(values[order[place]])


def _spread(values: np.ndarray, weights: np.ndarray) -> float:
    """The deviation by the quartiles, or where these are equal by the mean square."""
    lower, upper = (_quantile(values, weights, share) for share in (0.25, 0.75))
    if upper > lower:
        return (upper - lower) / QUARTILES
    return SquaredError().centre_and_scale(values, weights)[1]


LOSSES = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
    "poisson": Poisson,
    "quantile": Quantile,
}
