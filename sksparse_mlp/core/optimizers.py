"""Optimizers: how a layer's weights follow their gradient."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache

import numpy as np

from sksparse_mlp.core import kernels
from sksparse_mlp.core.layer import SparseLayer


class Optimizer(ABC):
    """Base of the optimizers; ``n_slots`` arrays of state belong to each parameter."""

    n_slots: int
    # What compiled updates know the class by that has it; 0 where they call its methods.
    code = 0

    def constants(self) -> dict[str, float]:
        """The parameters, by their names in `kernels.PLAN`."""
        return {}

    def rates(self, rate: float, n_updates: int, count: int) -> np.ndarray:
        """What the learning rate comes to in so many updates, after ``n_updates`` others.

        Returns
        -------
        ndarray of shape (count,), dtype float64
        """
        return np.full(count, rate)

    @abstractmethod
    def step(
        self,
        layer: SparseLayer,
        x: np.ndarray,
        dz: np.ndarray,
        rate: float,
        n_updates: int,
        alpha: float,
        scale: float,
    ) -> Callable[[int, int], None]:
        """The update of some rows of ``layer``, as a function of (start, stop)."""

    @abstractmethod
    def update(
        self,
        values: np.ndarray,
        gradient: np.ndarray,
        slots: np.ndarray,
        rate: float,
        n_updates: int,
        scale: float,
        factor: float = 1.0,
    ) -> None:
        """Update a vector of parameters, at ``factor`` times the rate.

        ``slots`` is (n_slots, values.size).
        """


class SGD(Optimizer):
    """Gradient descent with momentum ``momentum``, Nesterov's if ``nesterov``.

    ``v = momentum * v - rate * g``; the weight moves by ``v``, or with Nesterov by
    ``momentum * v - rate * g``.
    """

    n_slots = 1
    code = kernels.MOMENTUM

    def __init__(self, *, momentum: float, nesterov: bool):
        self.momentum = momentum
        self.nesterov = nesterov

    def constants(self) -> dict[str, float]:
        return {"momentum": self.momentum, "nesterov": self.nesterov}

    def step(
        self,
        layer: SparseLayer,
        x: np.ndarray,
        dz: np.ndarray,
        rate: float,
        n_updates: int,
        alpha: float,
        scale: float,
    ) -> Callable[[int, int], None]:
        ((velocity, bias_velocity),) = layer.slots
        tiny = flush_limit(layer.weights.dtype)

        def rows(start: int, stop: int) -> None:
            kernels.sgd_step(
                layer.indptr, layer.indices, layer.weights, layer.bias,
                velocity, bias_velocity, x, dz,
                rate, self.momentum, self.nesterov, alpha, scale, tiny, start, stop,
            )  # fmt: skip

        return rows

    def update(
        self,
        values: np.ndarray,
        gradient: np.ndarray,
        slots: np.ndarray,
        rate: float,
        n_updates: int,
        scale: float,
        factor: float = 1.0,
    ) -> None:
        kernels.sgd_update(
            values, slots[0], gradient, rate * factor,
            self.momentum, self.nesterov, scale, flush_limit(values.dtype),
        )  # fmt: skip


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2014)."""

    n_slots = 2
    code = kernels.ADAM

    def __init__(self, *, beta_1: float, beta_2: float, epsilon: float):
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def constants(self) -> dict[str, float]:
        return {
            "momentum": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }

    def rates(self, rate: float, n_updates: int, count: int) -> np.ndarray:
        steps = range(n_updates + 1, n_updates + 1 + count)
        return np.array([rate * self._correction(step) for step in steps])

    def step(
        self,
        layer: SparseLayer,
        x: np.ndarray,
        dz: np.ndarray,
        rate: float,
        n_updates: int,
        alpha: float,
        scale: float,
    ) -> Callable[[int, int], None]:
        (first, bias_first), (second, bias_second) = layer.slots
        tiny = flush_limit(layer.weights.dtype)
        corrected = rate * self._correction(n_updates)

        def rows(start: int, stop: int) -> None:
            kernels.adam_step(
                layer.indptr, layer.indices, layer.weights, layer.bias,
                first, bias_first, second, bias_second, x, dz,
                corrected, self.beta_1, self.beta_2, self.epsilon,
                alpha, scale, tiny, start, stop,
            )  # fmt: skip

        return rows

    def update(
        self,
        values: np.ndarray,
        gradient: np.ndarray,
        slots: np.ndarray,
        rate: float,
        n_updates: int,
        scale: float,
        factor: float = 1.0,
    ) -> None:
        corrected = rate * self._correction(n_updates) * factor
        kernels.adam_update(
            values, slots[0], slots[1], gradient, corrected,
            self.beta_1, self.beta_2, self.epsilon, scale, flush_limit(values.dtype),
        )  # fmt: skip

    def _correction(self, n_updates: int) -> float:
        return math.sqrt(1 - self.beta_2**n_updates) / (1 - self.beta_1**n_updates)


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam}


@cache
def flush_limit(dtype: np.dtype) -> float:
    """Magnitude below which gradients and velocities are set to zero.

    Products of such values with ordinary ones would be subnormal, which costs up to
    ten times the time and changes no weight.
    """
    info = np.finfo(dtype)
    return float(info.tiny / info.eps)
