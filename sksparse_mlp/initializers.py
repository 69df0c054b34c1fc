"""Initial weights of sparse layers, scaled by each neuron's own number of connections.

A new initialisation is one class and one line of :data:`INITIALIZERS`.
"""

from numbers import Real
from typing import Any

import numpy as np

from sksparse_mlp._names import publish
from sksparse_mlp._sklearn import BaseEstimator, Interval
from sksparse_mlp.activations import Activation
from sksparse_mlp.core import kernels
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.edge_of_chaos import EdgeOfChaosPoint, edge_of_chaos

__all__ = [
    "EdgeOfChaos",
    "HeNormal",
    "HeUniform",
    "XavierNormal",
    "XavierUniform",
    "edge_of_chaos",
]


# Weights that are drawn at a time, in double precision.
BLOCK = 2**13


class Initializer(BaseEstimator):
    """Base of the initialisations: independent weights of a given variance, zero biases.

    All methods are told the activation ``before`` the layer, which feeds it, None for
    the first layer, and the one ``after`` it, None for the output layer.
    """

    _parameter_constraints: dict[str, Any] = {}

    def variance(
        self,
        fan_in: np.ndarray,
        fan_out: float,
        before: Activation | None = None,
        after: Activation | None = None,
    ) -> np.ndarray:
        """Variance of the weights into each neuron.

        Parameters
        ----------
        fan_in : ndarray of shape (n_out,)
            Number of connections into each neuron.
        fan_out : float
            Mean number of connections that leave an input neuron.
        before, after : Activation, default=None
            Activations before and after the layer.

        Returns
        -------
        ndarray of shape (n_out,)
        """
        raise NotImplementedError

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Independent variates of variance 1; those of a layer come in several calls.

        Parameters
        ----------
        rng : numpy.random.Generator
            Where they come from.
        size : int
            Their number.

        Returns
        -------
        ndarray of shape (size,)
        """
        raise NotImplementedError

    def draw_bias(
        self,
        rng: np.random.Generator,
        size: int,
        before: Activation | None = None,
        after: Activation | None = None,
    ) -> np.ndarray:
        """Biases of the neurons of a layer.

        Parameters
        ----------
        rng : numpy.random.Generator
            Where random ones come from.
        size : int
            Number of neurons.
        before, after : Activation, default=None
            Activations before and after the layer.

        Returns
        -------
        ndarray of shape (size,)
        """
        return np.zeros(size)

    def __call__(
        self,
        layer: SparseLayer,
        rng: np.random.Generator,
        before: Activation | None = None,
        after: Activation | None = None,
    ) -> None:
        """Set the weights and biases of a sparse layer."""
        fan_in, fan_out = np.maximum(layer.fan_in, 1), layer.n_connections / layer.n_in
        scale = np.sqrt(self.variance(fan_in, fan_out, before, after))
        for start in range(0, layer.n_connections, BLOCK):
            part = layer.weights[start : start + BLOCK]
            part[:] = self.draw(rng, part.size)
        kernels.scale_rows(layer.indptr, layer.weights, scale.astype(layer.weights.dtype))
        layer.bias[:] = self.draw_bias(rng, layer.n_out, before, after)


class _Uniform:
    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return rng.uniform(-np.sqrt(3), np.sqrt(3), size)


class _Normal:
    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return rng.standard_normal(size)


class _He:
    def variance(
        self,
        fan_in: np.ndarray,
        fan_out: float,
        before: Activation | None = None,
        after: Activation | None = None,
    ) -> np.ndarray:
        return 2 / fan_in


class _Xavier:
    def variance(
        self,
        fan_in: np.ndarray,
        fan_out: float,
        before: Activation | None = None,
        after: Activation | None = None,
    ) -> np.ndarray:
        return 2 / (fan_in + fan_out)


class HeUniform(_He, _Uniform, Initializer):
    """Uniform weights of variance 2 / fan_in (He et al. 2015).

    Examples
    --------
    >>> from sksparse_mlp.initializers import HeUniform
    >>> float(HeUniform().variance(fan_in=8, fan_out=2))
    0.25
    """


class HeNormal(_He, _Normal, Initializer):
    """Normal weights of variance 2 / fan_in (He et al. 2015).

    Examples
    --------
    >>> from sksparse_mlp.initializers import HeNormal
    >>> float(HeNormal().variance(fan_in=8, fan_out=2))
    0.25
    """


class XavierUniform(_Xavier, _Uniform, Initializer):
    """Uniform weights of variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010).

    Examples
    --------
    >>> from sksparse_mlp.initializers import XavierUniform
    >>> float(XavierUniform().variance(fan_in=8, fan_out=2))
    0.2
    """


class XavierNormal(_Xavier, _Normal, Initializer):
    """Normal weights of variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010).

    Examples
    --------
    >>> from sksparse_mlp.initializers import XavierNormal
    >>> float(XavierNormal().variance(fan_in=8, fan_out=2))
    0.2
    """


class EdgeOfChaos(_Normal, Initializer):
    """Normal weights of variance sigma_w2 / fan_in, normal biases of variance sigma_b2.

    Both are those of :func:`edge_of_chaos` for the activation before the layer, so that
    pre-activations of variance q stay at q from layer to layer. The first layer has no
    activation before it: its weights have variance (q - sigma_b2) / fan_in, with the
    sigma_b2 of the activation after it, so that features of mean square 1 are brought
    to variance q. This choice for the first layer is not from the article.

    Parameters
    ----------
    q : float, default=1.0
        Variance of the pre-activations, greater than 0.

    References
    ----------
    Price et al., *Deep Neural Network Initialization with Sparsity Inducing
    Activations*, 2024.

    Examples
    --------
    >>> from sksparse_mlp.activations import ReLU
    >>> from sksparse_mlp.initializers import EdgeOfChaos
    >>> round(EdgeOfChaos().variance(fan_in=8, fan_out=2, before=ReLU()), 6)
    0.25
    """

    _parameter_constraints: dict[str, Any] = {
        "q": [Interval(Real, 0, None, closed="neither")]
    }

    def __init__(self, q: float = 1.0):
        self.q = q

    def variance(
        self,
        fan_in: np.ndarray,
        fan_out: float,
        before: Activation | None = None,
        after: Activation | None = None,
    ) -> np.ndarray:
        point = self._point(before, after)
        return (point.q - point.sigma_b2 if before is None else point.sigma_w2) / fan_in

    def draw_bias(
        self,
        rng: np.random.Generator,
        size: int,
        before: Activation | None = None,
        after: Activation | None = None,
    ) -> np.ndarray:
        deviation: np.float64 = np.sqrt(self._point(before, after).sigma_b2)
        return deviation * self.draw(rng, size)

    def _point(
        self, before: Activation | None, after: Activation | None
    ) -> EdgeOfChaosPoint:
        activation = after if before is None else before
        if activation is None:
            raise ValueError(
                "EdgeOfChaos needs the activation of a hidden layer, and there is none: "
                "the network has no hidden layer. Choose another initialisation, such as "
                '"xavier_uniform".'
            )
        return edge_of_chaos(activation, self.q)


INITIALIZERS: dict[str, type[Initializer]] = {
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "xavier_uniform": XavierUniform,
    "xavier_normal": XavierNormal,
    "edge_of_chaos": EdgeOfChaos,
}

publish(__name__, __all__)
