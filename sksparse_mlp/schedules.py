"""Schedules of zeta, the share of connections replaced at each evolution.

A schedule is a callable of (epoch, n_epochs), with epochs counted from 0. A new one is
one class and one line of :data:`ZETA_SCHEDULES`.
"""

from numbers import Real

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

__all__ = ["Constant"]


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

    _parameter_constraints: dict = {"zeta": [Interval(Real, 0, 1, closed="left")]}

    def __init__(self, zeta: float = 0.3):
        self.zeta = zeta

    def __call__(self, epoch: int, n_epochs: int) -> float:
        return float(self.zeta)


ZETA_SCHEDULES = {"constant": Constant}
