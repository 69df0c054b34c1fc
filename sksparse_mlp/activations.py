"""Activations of hidden layers.

Each class is a cloneable holder of starting values with the function and its
derivatives. The parameters that a layer trains live in the network, one array per
layer. A new activation is one class and one line of :data:`ACTIVATIONS`; validation,
documentation and tests follow from there.
"""

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from sksparse_mlp._sklearn import BaseEstimator, Interval, StrOptions
from sksparse_mlp.core import kernels

__all__ = [
    "CST",
    "AllReLU",
    "CReLU",
    "GAReLU",
    "Identity",
    "LeakyReLU",
    "Logistic",
    "PReLU",
    "ReLU",
    "ReLUTau",
    "SReLU",
    "SoftThreshold",
    "Tanh",
]

Array = np.ndarray
_NOT_NEGATIVE = [Interval(Real, 0, None, closed="left")]
_POSITIVE = [Interval(Real, 0, None, closed="neither")]


class Activation(BaseEstimator):
    """Base of the activations.

    Attributes
    ----------
    initializer : str
        Name of the weight initialisation that suits the activation.
    learnable : bool
        Whether the parameters are trained.
    update : {"batch", "epoch"}
        When they are: at every update, or once after each epoch.
    code : int
        What compiled updates know the class by that has it; 0 where they call `forward`
        and `backward` instead.
    """

    _parameter_constraints: dict[str, Any] = {}
    initializer = "xavier_uniform"
    learnable = False
    update = "batch"
    code = 0

    def initial_parameters(self, depth: int, n_neurons: int, dtype: DTypeLike) -> Array:
        """Parameters of a hidden layer before training.

        Parameters
        ----------
        depth : int
            Number of the hidden layer; 1 is the first.
        n_neurons : int
            Its number of neurons.
        dtype : dtype
            In which it computes.

        Returns
        -------
        ndarray of shape (n_parameters, 1) or (n_parameters, n_neurons)
            One value for the whole layer, or one per neuron.
        """
        return np.empty((0, 1), dtype)

    def slopes(self, parameters: Array) -> float | Array | None:
        """Signed slopes for negative inputs.

        Parameters
        ----------
        parameters : ndarray
            As from `initial_parameters`.

        Returns
        -------
        float, ndarray of shape (n_neurons,) or None
            One for the layer, one per neuron, or none.
        """
        return None

    def kinks(self, parameters: Array) -> Array | None:
        """Where the slope of one neuron's function jumps.

        Parameters
        ----------
        parameters : ndarray
            As from `initial_parameters`.

        Returns
        -------
        ndarray of shape (n_kinks,) or None
            Ascending; None if the function is not piecewise linear.
        """
        return None

    def is_on(self, z: Array, a: Array) -> Array:
        """Whether neurons are on, from their pre-activations and activations.

        Pre-activation above zero, unless the activation is zero on a side of its own
        (Pretorius 2020).

        Parameters
        ----------
        z, a : ndarray
            Pre-activations and activations, of the same shape.

        Returns
        -------
        ndarray of dtype bool
            Of this shape.
        """
        return z > 0

    def forward(self, z: Array, a: Array, parameters: Array, start: int, stop: int) -> None:
        """Write f(z) into ``a`` for the neurons ``[start, stop)`` of a hidden layer.

        Parameters
        ----------
        z, a : ndarray of shape (n_neurons, batch)
            Pre-activations and activations; they may be the same array.
        parameters : ndarray
            As from `initial_parameters`.
        start, stop : int
            Range of neurons.
        """
        raise NotImplementedError

    def backward(
        self, z: Array, da: Array, parameters: Array, gradient: Array, start: int, stop: int
    ) -> None:
        """Multiply a gradient by f'(z) in place.

        Parameters
        ----------
        z : ndarray of shape (n_neurons, batch)
            Pre-activations.
        da : ndarray of shape (n_neurons, batch)
            Gradient for the activations, which becomes that for the pre-activations.
        parameters : ndarray
            As from `initial_parameters`.
        gradient : ndarray of shape (n_parameters, n_neurons)
            Where a learnable activation writes each neuron's gradient of the parameters.
        start, stop : int
            Range of neurons.
        """
        raise NotImplementedError


class Identity(Activation):
    """f(x) = x.

    Examples
    --------
    >>> from sksparse_mlp.activations import Identity
    >>> Identity()
    Identity()
    """

    code = kernels.IDENTITY

    def kinks(self, parameters: Array) -> Array:
        return np.empty(0)

    def forward(self, z: Array, a: Array, parameters: Array, start: int, stop: int) -> None:
        kernels.copy_rows(z, a, start, stop)

    def backward(
        self, z: Array, da: Array, parameters: Array, gradient: Array, start: int, stop: int
    ) -> None:
        pass


class Logistic(Activation):
    """f(x) = 1 / (1 + exp(-x)).

    Examples
    --------
    >>> from sksparse_mlp.activations import Logistic
    >>> Logistic()
    Logistic()
    """

    code = kernels.LOGISTIC

    def is_on(self, z: Array, a: Array) -> Array:
        return a > 0.5

    def forward(self, z: Array, a: Array, parameters: Array, start: int, stop: int) -> None:
        kernels.logistic(z, a, start, stop)

    def backward(
        self, z: Array, da: Array, parameters: Array, gradient: Array, start: int, stop: int
    ) -> None:
        kernels.logistic_gradient(z, da, start, stop)


class Tanh(Activation):
    """f(x) = tanh(x).

    Examples
    --------
    >>> from sksparse_mlp.activations import Tanh
    >>> Tanh()
    Tanh()
    """

    code = kernels.TANH

    def forward(self, z: Array, a: Array, parameters: Array, start: int, stop: int) -> None:
        kernels.tanh(z, a, start, stop)

    def backward(
        self, z: Array, da: Array, parameters: Array, gradient: Array, start: int, stop: int
    ) -> None:
        kernels.tanh_gradient(z, da, start, stop)


class _TwoSlopes(Activation):
    """x for x > 0 and a multiple of x elsewhere; the multiple is the one parameter."""

    slope: float
    initializer = "he_uniform"
    code = kernels.LEAKY_RELU

    def signed_slope(self, depth: int) -> float:
        """Slope for negative inputs before training.

        Parameters
        ----------
        depth : int
            Number of the hidden layer; 1 is the first.

        Returns
        -------
        float
        """
        return float(self.slope)

    def initial_parameters(self, depth: int, n_neurons: int, dtype: DTypeLike) -> Array:
        return np.full((1, 1), self.signed_slope(depth), dtype)

    def slopes(self, parameters: Array) -> float | Array:
        return float(parameters[0, 0])

    def kinks(self, parameters: Array) -> Array:
        return np.zeros(1)

    def forward(self, z: Array, a: Array, parameters: Array, start: int, stop: int) -> None:
        kernels.leaky_relu(z, a, parameters[0], start, stop)

    def backward(
        self, z: Array, da: Array, parameters: Array, gradient: Array, start: int, stop: int
    ) -> None:
        kernels.leaky_relu_gradient(z, da, parameters[0], start, stop)


class _AlternatingSign:
    """Zhang's convention: -slope in odd hidden layers (1, 3, ..), slope in even ones."""

    slope: float

    def signed_slope(self, depth: int) -> float:
        """Slope for negative inputs before training, with the sign of the layer.

        Parameters
        ----------
        depth : int
            Number of the hidden layer; 1 is the first.

        Returns
        -------
        float
        """
        return float(self.slope if depth % 2 == 0 else -self.slope)


class _Learnable:
    """Parameters that are trained in the optimizer's step, without penalty."""

    learnable = True
    _parameter_constraints: dict[str, Any] = {"learning_rate_factor": _NOT_NEGATIVE}


class _LearnedSlope(_Learnable, _TwoSlopes):
    """The multiple is learned."""

    code = kernels.TWO_SLOPES

    def backward(
        self, z: Array, da: Array, parameters: Array, gradient: Array, start: int, stop: int
    ) -> None:
        kernels.slope_gradient(z, da, gradient[0], start, stop)
        super().backward(z, da, parameters, gradient, start, stop)


class ReLU(_TwoSlopes):
    """f(x) = max(0, x).

    Examples
    --------
    >>> from sksparse_mlp.activations import ReLU
    >>> ReLU()
    ReLU()
    """

    slope = 0.0

    def is_on(self, z: Array, a: Array) -> Array:
        return a > 0


class LeakyReLU(_TwoSlopes):
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

    _parameter_constraints: dict[str, Any] = {"slope": _NOT_NEGATIVE}

    def __init__(self, slope: float = 0.25):
        self.slope = slope


class PReLU(_LearnedSlope):
    """f(x) = x for x > 0, slope * x elsewhere, with one learned slope per neuron.

    Parameters
    ----------
    slope : float, default=0.25
        Slope before training, at least 0.
    learning_rate_factor : float, default=1.0
        Learning rate of the slopes, relative to that of the weights.

    References
    ----------
    He et al., *Delving Deep into Rectifiers*, 2015.

    Examples
    --------
    >>> from sksparse_mlp.activations import PReLU
    >>> PReLU(slope=0.1).initial_parameters(depth=1, n_neurons=3, dtype=float)
    array([[0.1, 0.1, 0.1]])
    """

    _parameter_constraints: dict[str, Any] = {
        "slope": _NOT_NEGATIVE,
        **_Learnable._parameter_constraints,
    }

    def __init__(self, slope: float = 0.25, learning_rate_factor: float = 1.0):
        self.slope = slope
        self.learning_rate_factor = learning_rate_factor

    def initial_parameters(self, depth: int, n_neurons: int, dtype: DTypeLike) -> Array:
        return np.full((1, n_neurons), self.slope, dtype)

    def slopes(self, parameters: Array) -> Array:
        slopes: Array = parameters[0]
        return slopes.copy()


class AllReLU(_AlternatingSign, LeakyReLU):
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


class GAReLU(_AlternatingSign, _LearnedSlope):
    """All-ReLU whose slope is learned, one per layer.

    Parameters
    ----------
    slope : float, default=0.25
        Size of the slope before training, at least 0.
    learning_rate_factor : float, default=1.0
        Learning rate of the slopes, relative to that of the weights.
    update : {"batch", "epoch"}, default="batch"
        Whether slopes follow their gradient at every update, or once after each epoch
        the mean of its gradients (Zhang's Algorithm 4).

    References
    ----------
    Zhang, *Design and Impact of Activation Functions for Sparse Neural Networks*, 2023,
    eq. 1.3 and 1.4. The printed update drops the gradient's sign; here it is momentum
    descent like that of the weights.

    Examples
    --------
    >>> from sksparse_mlp.activations import GAReLU
    >>> GAReLU(slope=0.5).initial_parameters(depth=1, n_neurons=3, dtype=float)
    array([[-0.5]])
    """

    _parameter_constraints: dict[str, Any] = {
        "slope": _NOT_NEGATIVE,
        "update": [StrOptions({"batch", "epoch"})],
        **_Learnable._parameter_constraints,
    }

    def __init__(
        self, slope: float = 0.25, learning_rate_factor: float = 1.0, update: str = "batch"
    ):
        self.slope = slope
        self.learning_rate_factor = learning_rate_factor
        self.update = update


class SReLU(_Learnable, Activation):
    """Three learned line segments per neuron.

    f(x) = t_l + a_l (x - t_l) for x <= t_l, t_r + a_r (x - t_r) for x >= t_r, x between.

    Parameters
    ----------
    slope : float, default=0.25
        Left slope a_l before training, at least 0.
    threshold_left, threshold_right : float, default=0.0, 1.0
        Thresholds t_l and t_r before training; the left one must be the smaller.
    slope_right : float, default=1.0
        Right slope a_r before training.
    learning_rate_factor : float, default=1.0
        Learning rate of the four parameters, relative to that of the weights.

    References
    ----------
    Jin et al., *Deep Learning with S-Shaped Rectified Linear Activation Units*, 2016.

    Examples
    --------
    >>> from sksparse_mlp.activations import SReLU
    >>> SReLU().initial_parameters(depth=1, n_neurons=2, dtype=float)
    array([[0.  , 0.  ],
           [0.25, 0.25],
           [1.  , 1.  ],
           [1.  , 1.  ]])
    """

    _parameter_constraints: dict[str, Any] = {
        "slope": _NOT_NEGATIVE,
        "threshold_left": [Interval(Real, None, None, closed="neither")],
        "threshold_right": [Interval(Real, None, None, closed="neither")],
        "slope_right": [Interval(Real, None, None, closed="neither")],
        **_Learnable._parameter_constraints,
    }
    initializer = "he_uniform"
    code = kernels.SRELU

    def __init__(
        self,
        slope: float = 0.25,
        threshold_left: float = 0.0,
        threshold_right: float = 1.0,
        slope_right: float = 1.0,
        learning_rate_factor: float = 1.0,
    ):
        self.slope = slope
        self.threshold_left = threshold_left
        self.threshold_right = threshold_right
        self.slope_right = slope_right
        self.learning_rate_factor = learning_rate_factor

    def initial_parameters(self, depth: int, n_neurons: int, dtype: DTypeLike) -> Array:
        if self.threshold_left > self.threshold_right:
            raise ValueError(
                f"threshold_left={self.threshold_left} of SReLU must not exceed "
                f"threshold_right={self.threshold_right}."
            )
        left = self.threshold_left, self.slope
        right = self.threshold_right, self.slope_right
        return np.repeat(np.array([*left, *right], dtype)[:, np.newaxis], n_neurons, axis=1)

    def slopes(self, parameters: Array) -> Array:
        slopes: Array = parameters[1]
        return slopes.copy()

    def kinks(self, parameters: Array) -> Array:
        return parameters[[0, 2], 0]

    def forward(self, z: Array, a: Array, parameters: Array, start: int, stop: int) -> None:
        kernels.srelu(z, a, parameters, start, stop)

    def backward(
        self, z: Array, da: Array, parameters: Array, gradient: Array, start: int, stop: int
    ) -> None:
        kernels.srelu_gradient(z, da, parameters, gradient, start, stop)


class _Shifted(Activation):
    """Zero up to a threshold, then x - threshold, at most clip."""

    _parameter_constraints: dict[str, Any] = {"threshold": _NOT_NEGATIVE}
    initializer = "edge_of_chaos"
    clip = np.inf
    code = kernels.CLIPPED_SHIFT

    def is_on(self, z: Array, a: Array) -> Array:
        return a > 0

    def kinks(self, parameters: Array) -> Array:
        ends = np.array([self.threshold, self.threshold + self.clip], float)
        finite: Array = ends[np.isfinite(ends)]
        return finite

    def forward(self, z: Array, a: Array, parameters: Array, start: int, stop: int) -> None:
        kernels.clipped_shift(z, a, self.threshold, self.clip, start, stop)

    def backward(
        self, z: Array, da: Array, parameters: Array, gradient: Array, start: int, stop: int
    ) -> None:
        kernels.clipped_shift_gradient(z, da, self.threshold, self.clip, start, stop)


class _Shrunk(_Shifted):
    """The odd extension of `_Shifted`: zero between -threshold and threshold."""

    code = kernels.CLIPPED_SHRINK

    def is_on(self, z: Array, a: Array) -> Array:
        on: Array = a != 0
        return on

    def kinks(self, parameters: Array) -> Array:
        positive = super().kinks(parameters)
        return np.concatenate([-positive[::-1], positive])

    def forward(self, z: Array, a: Array, parameters: Array, start: int, stop: int) -> None:
        kernels.clipped_shrink(z, a, self.threshold, self.clip, start, stop)

    def backward(
        self, z: Array, da: Array, parameters: Array, gradient: Array, start: int, stop: int
    ) -> None:
        kernels.clipped_shrink_gradient(z, da, self.threshold, self.clip, start, stop)


class ReLUTau(_Shifted):
    """f(x) = max(0, x - threshold).

    Parameters
    ----------
    threshold : float, default=1.0
        The threshold tau, at least 0.

    References
    ----------
    Price et al., *Deep Neural Network Initialization with Sparsity Inducing
    Activations*, 2024.

    Examples
    --------
    >>> from sksparse_mlp.activations import ReLUTau
    >>> ReLUTau(threshold=0.5)
    ReLUTau(threshold=0.5)
    """

    def __init__(self, threshold: float = 1.0):
        self.threshold = threshold


class SoftThreshold(_Shrunk):
    """f(x) = sign(x) max(0, abs(x) - threshold).

    Parameters
    ----------
    threshold : float, default=0.5
        The threshold tau, at least 0.

    References
    ----------
    Price et al., *Deep Neural Network Initialization with Sparsity Inducing
    Activations*, 2024.

    Examples
    --------
    >>> from sksparse_mlp.activations import SoftThreshold
    >>> SoftThreshold(threshold=0.25)
    SoftThreshold(threshold=0.25)
    """

    def __init__(self, threshold: float = 0.5):
        self.threshold = threshold


class CReLU(_Shifted):
    """f(x) = min(max(0, x - threshold), clip).

    Parameters
    ----------
    threshold : float, default=1.0
        The threshold tau, at least 0.
    clip : float, default=1.0
        The largest value m, greater than 0.

    References
    ----------
    Price et al., *Deep Neural Network Initialization with Sparsity Inducing
    Activations*, 2024.

    Examples
    --------
    >>> from sksparse_mlp.activations import CReLU
    >>> CReLU(threshold=0.5)
    CReLU(threshold=0.5)
    """

    _parameter_constraints: dict[str, Any] = {"threshold": _NOT_NEGATIVE, "clip": _POSITIVE}

    def __init__(self, threshold: float = 1.0, clip: float = 1.0):
        self.threshold = threshold
        self.clip = clip


class CST(_Shrunk):
    """f(x) = sign(x) min(max(0, abs(x) - threshold), clip).

    Parameters
    ----------
    threshold : float, default=0.5
        The threshold tau, at least 0.
    clip : float, default=1.0
        The largest value m, greater than 0.

    References
    ----------
    Price et al., *Deep Neural Network Initialization with Sparsity Inducing
    Activations*, 2024.

    Examples
    --------
    >>> from sksparse_mlp.activations import CST
    >>> CST(threshold=0.25)
    CST(threshold=0.25)
    """

    _parameter_constraints: dict[str, Any] = {"threshold": _NOT_NEGATIVE, "clip": _POSITIVE}

    def __init__(self, threshold: float = 0.5, clip: float = 1.0):
        self.threshold = threshold
        self.clip = clip


ACTIVATIONS: dict[str, type[Activation]] = {
    "identity": Identity,
    "logistic": Logistic,
    "tanh": Tanh,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "prelu": PReLU,
    "srelu": SReLU,
    "all_relu": AllReLU,
    "garelu": GAReLU,
    "relu_tau": ReLUTau,
    "st": SoftThreshold,
    "crelu": CReLU,
    "cst": CST,
}
