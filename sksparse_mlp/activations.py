"""Activations of hidden layers.

Each class is a cloneable holder of parameters with its value and its derivative. A
new activation is one class and one line of :data:`ACTIVATIONS`; validation,
documentation and tests follow from there.
"""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from sksparse_mlp.core import kernels

__all__ = ["AllReLU", "Identity", "LeakyReLU", "Logistic", "ReLU", "Tanh"]


class Activation(BaseEstimator):
    """Base of the activations.

    Attributes
    ----------
    initializer : str
        Name of the weight initialisation that suits the activation.
    """

    _parameter_constraints: dict = {}
    initializer = "xavier_uniform"

    def signed_slope(self, depth: int) -> float | None:
        """Slope for negative inputs in hidden layer ``depth`` (1 is the first)."""
        return None

    def forward(
        self, z: np.ndarray, a: np.ndarray, depth: int, start: int, stop: int
    ) -> None:
        """Write f(z) into ``a`` for the neurons ``[start, stop)`` of a hidden layer.

        Parameters
        ----------
        z, a : ndarray of shape (n_neurons, batch)
            Pre-activations and activations; they may be the same array.
        depth : int
            Which hidden layer this is, counted from 1.
        start, stop : int
            Range of neurons.
        """
        raise NotImplementedError

    def backward(
        self, z: np.ndarray, da: np.ndarray, depth: int, start: int, stop: int
    ) -> None:
        """Multiply the gradient ``da`` by f'(z) in place; arguments as in `forward`."""
        raise NotImplementedError


class Identity(Activation):
    """f(x) = x.

    Examples
    --------
    >>> from sksparse_mlp.activations import Identity
    >>> Identity()
    Identity()
    """

    def forward(self, z, a, depth, start, stop):
        kernels.copy_rows(z, a, start, stop)

    def backward(self, z, da, depth, start, stop):
        pass


class Logistic(Activation):
    """f(x) = 1 / (1 + exp(-x)).

    Examples
    --------
    >>> from sksparse_mlp.activations import Logistic
    >>> Logistic()
    Logistic()
    """

    def forward(self, z, a, depth, start, stop):
        kernels.logistic(z, a, start, stop)

    def backward(self, z, da, depth, start, stop):
        kernels.logistic_gradient(z, da, start, stop)


class Tanh(Activation):
    """f(x) = tanh(x).

    Examples
    --------
    >>> from sksparse_mlp.activations import Tanh
    >>> Tanh()
    Tanh()
    """

    def forward(self, z, a, depth, start, stop):
        kernels.tanh(z, a, start, stop)

    def backward(self, z, da, depth, start, stop):
        kernels.tanh_gradient(z, da, start, stop)


class ReLU(Activation):
    """f(x) = max(0, x).

    Examples
    --------
    >>> from sksparse_mlp.activations import ReLU
    >>> ReLU().signed_slope(1)
    0.0
    """

    initializer = "he_uniform"

    def signed_slope(self, depth):
        return 0.0

    def forward(self, z, a, depth, start, stop):
        kernels.leaky_relu(z, a, self.signed_slope(depth), start, stop)

    def backward(self, z, da, depth, start, stop):
        kernels.leaky_relu_gradient(z, da, self.signed_slope(depth), start, stop)


class LeakyReLU(ReLU):
    """f(x) = x for x > 0, slope * x elsewhere.

    Parameters
    ----------
    slope : float, default=0.25
        Slope for negative inputs, at least 0.

    Examples
    --------
    >>> from sksparse_mlp.activations import LeakyReLU
    >>> LeakyReLU(slope=0.1).signed_slope(2)
    0.1
    """

    _parameter_constraints: dict = {"slope": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, slope: float = 0.25):
        self.slope = slope

    def signed_slope(self, depth):
        return float(self.slope)


class AllReLU(LeakyReLU):
    """f(x) = x for x > 0, else -slope * x in odd hidden layers, slope * x in even ones.

    The first hidden layer is odd. The sign convention is that of the signed slopes in
    Zhang, *Design and Impact of Activation Functions for Sparse Neural Networks*,
    2023, Tables 7.2 and 7.4.

    Parameters
    ----------
    slope : float, default=0.25
        Size of the slope for negative inputs, at least 0.

    References
    ----------
    Curci, Mocanu, Pechenizkiy, *Truly Sparse Neural Networks at Scale*, 2021.

    Examples
    --------
    >>> from sksparse_mlp.activations import AllReLU
    >>> AllReLU(slope=0.5).signed_slope(1), AllReLU(slope=0.5).signed_slope(2)
    (-0.5, 0.5)
    """

    def signed_slope(self, depth):
        return float(self.slope if depth % 2 == 0 else -self.slope)


ACTIVATIONS: dict[str, type[Activation]] = {
    "identity": Identity,
    "logistic": Logistic,
    "tanh": Tanh,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "all_relu": AllReLU,
}
