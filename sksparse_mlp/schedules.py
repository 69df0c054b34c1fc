"""Schedules of zeta, the share of connections replaced at each evolution.

A schedule is a callable of (epoch, n_epochs), with epochs counted from 0. One with an
attribute ``metric`` reads that entry of the record of the epoch before too, as a keyword
argument, except before the first epoch. A new one is one class and one line of
:data:`ZETA_SCHEDULES`.
"""

import math
from numbers import Integral, Real
from typing import Any

from sksparse_mlp._sklearn import BaseEstimator, Interval

__all__ = [
    "Constant",
    "Cosine",
    "ExponentialDecay",
    "LinearDecreasing",
    "LossDriven",
    "Oscillating",
]

_SHARE = Interval(Real, 0, 1, closed="left")


class Constant(BaseEstimator):
    """The same zeta after every epoch (SET, Mocanu et al. 2018).

    Parameters
    ----------
    zeta : float, default=0.3
        Share of the connections to replace, in [0, 1).

    Examples
    --------
    >>> from sksparse_mlp.schedules import Constant
    >>> Constant(zeta=0.2)(epoch=5, n_epochs=10)
    0.2
    """

    _parameter_constraints: dict[str, Any] = {"zeta": [_SHARE]}

    def __init__(self, zeta: float = 0.3):
        self.zeta = zeta

    def __call__(self, epoch: int, n_epochs: int) -> float:
        return float(self.zeta)


class _BetweenTwo(BaseEstimator):
    """Base of the schedules that move between two values of zeta."""

    zeta_max: float
    zeta_min: float

    def _validate_params(self) -> None:
        super()._validate_params()
        if self.zeta_min > self.zeta_max:
            raise ValueError(
                f"zeta_min={self.zeta_min} of {type(self).__name__} is above its zeta_max="
                f"{self.zeta_max}; zeta_min must not exceed zeta_max, which is `zeta` of "
                "the estimator for a schedule given by name."
            )


class LinearDecreasing(_BetweenTwo):
    """Zeta falls on a straight line (LDV, Chouliaras 2021).

    ``zeta_min + (zeta_max - zeta_min) * (n_epochs - epoch) / n_epochs``.

    Parameters
    ----------
    zeta_max : float, default=0.3
        Zeta after the first epoch, in [0, 1).
    zeta_min : float, default=0.01
        What zeta falls towards, in [0, `zeta_max`].

    Examples
    --------
    >>> from sksparse_mlp.schedules import LinearDecreasing
    >>> LinearDecreasing(zeta_max=0.4, zeta_min=0.0)(epoch=5, n_epochs=10)
    0.2
    """

    _parameter_constraints: dict[str, Any] = {"zeta_max": [_SHARE], "zeta_min": [_SHARE]}

    def __init__(self, zeta_max: float = 0.3, zeta_min: float = 0.01):
        self.zeta_max = zeta_max
        self.zeta_min = zeta_min

    def __call__(self, epoch: int, n_epochs: int) -> float:
        rest = (n_epochs - epoch) / n_epochs
        return float(self.zeta_min + (self.zeta_max - self.zeta_min) * rest)


class Oscillating(_BetweenTwo):
    """Zeta swings between two values (OSV, Chouliaras 2021).

    ``(zeta_max + zeta_min) / 2 + (zeta_max - zeta_min) / 2 * cos(2 * pi * epoch / T)``
    with the period ``T = 2 * n_epochs / (3 + 2 * k)``.

    Parameters
    ----------
    zeta_max : float, default=0.3
        Largest zeta, with which it begins, in [0, 1).
    zeta_min : float, default=0.01
        Smallest zeta, in [0, `zeta_max`].
    k : int, default=1
        Sets the number of periods in a training, ``1.5 + k``; not negative.

    Examples
    --------
    >>> from sksparse_mlp.schedules import Oscillating
    >>> Oscillating(zeta_max=0.4, zeta_min=0.0, k=1)(epoch=4, n_epochs=10)
    0.4
    """

    _parameter_constraints: dict[str, Any] = {
        "zeta_max": [_SHARE],
        "zeta_min": [_SHARE],
        "k": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(self, zeta_max: float = 0.3, zeta_min: float = 0.01, k: int = 1):
        self.zeta_max = zeta_max
        self.zeta_min = zeta_min
        self.k = k

    def __call__(self, epoch: int, n_epochs: int) -> float:
        period = 2 * n_epochs / (3 + 2 * self.k)
        swing = math.cos(2 * math.pi * epoch / period)
        middle, half = self.zeta_max + self.zeta_min, self.zeta_max - self.zeta_min
        return float(min(max(middle / 2 + half / 2 * swing, self.zeta_min), self.zeta_max))


class ExponentialDecay(BaseEstimator):
    """Zeta shrinks by the same share after every epoch (EXD, Chouliaras 2021).

    ``zeta * (1 - interest) ** epoch``.

    Parameters
    ----------
    zeta : float, default=0.3
        Zeta after the first epoch, in [0, 1).
    interest : float, default=0.01
        Share that zeta loses with every epoch, in [0, 1].

    Examples
    --------
    >>> from sksparse_mlp.schedules import ExponentialDecay
    >>> ExponentialDecay(zeta=0.4, interest=0.5)(epoch=2, n_epochs=10)
    0.1
    """

    _parameter_constraints: dict[str, Any] = {
        "zeta": [_SHARE],
        "interest": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, zeta: float = 0.3, interest: float = 0.01):
        self.zeta = zeta
        self.interest = interest

    def __call__(self, epoch: int, n_epochs: int) -> float:
        return float(self.zeta * (1 - self.interest) ** epoch)


class Cosine(BaseEstimator):
    """Zeta falls to zero along half a cosine (RigL, Evci et al. 2020).

    ``zeta / 2 * (1 + cos(pi * epoch / (end * n_epochs)))``, and zero from
    ``end * n_epochs`` on.

    Parameters
    ----------
    zeta : float, default=0.3
        Zeta after the first epoch, in [0, 1).
    end : float, default=1.0
        Share of the training after which zeta is zero, in (0, 1]; RigL has 0.75.

    Examples
    --------
    >>> from sksparse_mlp.schedules import Cosine
    >>> Cosine(zeta=0.4)(epoch=5, n_epochs=10)
    0.2
    """

    _parameter_constraints: dict[str, Any] = {
        "zeta": [_SHARE],
        "end": [Interval(Real, 0, 1, closed="right")],
    }

    def __init__(self, zeta: float = 0.3, end: float = 1.0):
        self.zeta = zeta
        self.end = end

    def __call__(self, epoch: int, n_epochs: int) -> float:
        progress = min(epoch / (self.end * n_epochs), 1.0)
        return float(self.zeta / 2 * (1 + math.cos(math.pi * progress)))


class LossDriven(BaseEstimator):
    """Zeta falls as the training loss does, which Chouliaras 2021 leaves to future work.

    ``zeta * (1 - exp(-loss))`` with the loss of the epoch before. For a cross-entropy,
    ``exp(-loss)`` is the geometric mean of the probabilities that the network gives to the
    true classes: as much moves as is not learned yet. Squared errors count in the units of
    the targets, which should be standardised.

    Parameters
    ----------
    zeta : float, default=0.3
        Zeta after the first epoch, and of a network that knows nothing, in [0, 1).

    Examples
    --------
    >>> from sksparse_mlp.schedules import LossDriven
    >>> schedule = LossDriven(zeta=0.4)
    >>> schedule(epoch=0, n_epochs=10)
    0.4
    >>> round(schedule(epoch=5, n_epochs=10, loss=0.25), 3)
    0.088
    """

    _parameter_constraints: dict[str, Any] = {"zeta": [_SHARE]}
    metric = "loss"

    def __init__(self, zeta: float = 0.3):
        self.zeta = zeta

    def __call__(self, epoch: int, n_epochs: int, loss: float = math.inf) -> float:
        return float(-self.zeta * math.expm1(-max(loss, 0.0)))


ZETA_SCHEDULES = {
    "constant": Constant,
    "linear": LinearDecreasing,
    "oscillating": Oscillating,
    "exponential": ExponentialDecay,
    "cosine": Cosine,
    "loss": LossDriven,
}
