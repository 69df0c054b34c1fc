"""Initial weights of sparse layers, scaled by each neuron's own number of connections.

A new initialisation is one class and one line of :data:`INITIALIZERS`.
"""

import numpy as np
from sklearn.base import BaseEstimator

from sksparse_mlp.core.layer import SparseLayer

__all__ = ["HeNormal", "HeUniform", "XavierNormal", "XavierUniform"]


class Initializer(BaseEstimator):
    """Base of the initialisations: independent weights of a given variance, zero biases."""

    _parameter_constraints: dict = {}

    def variance(self, fan_in: np.ndarray, fan_out: float) -> np.ndarray:
        """Variance of the weights into neurons with ``fan_in`` connections each.

        ``fan_out`` is the mean number of connections that leave an input neuron.
        """
        raise NotImplementedError

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """``size`` independent variates of variance 1."""
        raise NotImplementedError

    def __call__(self, layer: SparseLayer, rng: np.random.Generator, before=None, after=None) -> None:
        """Set the weights of a sparse layer."""
        fan_in = np.maximum(layer.fan_in, 1)
        scale = np.sqrt(self.variance(fan_in, layer.n_connections / layer.n_in))
        layer.weights[:] = self.draw(rng, layer.n_connections)
        layer.weights *= np.repeat(scale.astype(layer.weights.dtype), layer.fan_in)


class _Uniform:
    def draw(self, rng, size):
        return rng.uniform(-np.sqrt(3), np.sqrt(3), size)


class _Normal:
    def draw(self, rng, size):
        return rng.standard_normal(size)


class _He:
    def variance(self, fan_in, fan_out):
        return 2 / fan_in


class _Xavier:
    def variance(self, fan_in, fan_out):
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


INITIALIZERS: dict[str, type[Initializer]] = {
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "xavier_uniform": XavierUniform,
    "xavier_normal": XavierNormal,
}
