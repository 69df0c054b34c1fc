"""What follows a hidden layer's products: batch normalisation and the activation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from sksparse_mlp.core import kernels
from sksparse_mlp.core.optimizers import Optimizer

# Share of a new batch in the moving averages, and what is added to a variance.
NORM_MOMENTUM = 0.1
NORM_EPSILON = 1e-5


@dataclass
class BatchNorm:
    """Affine batch normalisation of the neurons of one layer (Ioffe and Szegedy 2015).

    Attributes
    ----------
    gain, shift : ndarray of shape (n_neurons,)
        The learned scale and offset.
    mean, variance : ndarray of shape (n_neurons,)
        Moving averages over batches, used for prediction.
    """

    gain: np.ndarray
    shift: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def initial(cls, n_neurons: int, dtype: DTypeLike) -> "BatchNorm":
        zeros, ones = np.zeros(n_neurons, dtype), np.ones(n_neurons, dtype)
        return cls(ones, zeros, zeros.copy(), ones.copy())

    def copy(self) -> "BatchNorm":
        return BatchNorm(**{name: values.copy() for name, values in vars(self).items()})


class Hidden:
    """Batch normalisation, activation and their trained parameters, for one layer.

    Parameters
    ----------
    activation : Activation
        A member of the public family, asked for values and derivatives.
    parameters : ndarray of shape (n_parameters, 1) or (n_parameters, n_neurons)
        The activation's parameters in this layer.
    n_neurons : int
    norm : BatchNorm or None
    """

    def __init__(
        self,
        activation: Any,
        parameters: np.ndarray,
        n_neurons: int,
        norm: BatchNorm | None,
    ):
        self.activation = activation
        self.parameters = parameters
        self.n_neurons = n_neurons
        self.norm = norm
        dtype = parameters.dtype
        n_trained = parameters.shape[0] if activation.learnable else 0
        self.gradient = np.zeros((n_trained, n_neurons), dtype)
        # What neurons share follows the sum of their gradients.
        is_shared = activation.learnable and parameters.shape[1] < n_neurons
        self.summed = np.zeros_like(parameters) if is_shared else self.gradient
        self.epoch_gradient = np.zeros(parameters.shape, dtype)
        self.slots: list[np.ndarray] = []
        self._n_batches = 0
        if norm is not None:
            self.inverse_deviation = np.empty(n_neurons, dtype)
            self.gain_gradient = np.empty(n_neurons, dtype)
            self.shift_gradient = np.empty(n_neurons, dtype)

    def copy(self) -> "Hidden":
        """The same with copied parameters, without optimizer slots."""
        norm = None if self.norm is None else self.norm.copy()
        return Hidden(self.activation, self.parameters.copy(), self.n_neurons, norm)

    def become(self, other: "Hidden") -> None:
        """Take over the parameters of another one in place, and forget the slots."""
        self.parameters[...] = other.parameters
        if self.norm is not None and other.norm is not None:
            for name, array in vars(self.norm).items():
                array[...] = getattr(other.norm, name)
        for slots in self.slots:
            slots[...] = 0

    def part(self, kept: np.ndarray) -> "Hidden":
        """The same for some of the neurons, given by a mask of shape (n_neurons,)."""
        per_neuron = self.parameters.shape[1] == self.n_neurons
        parameters = self.parameters[:, kept] if per_neuron else self.parameters.copy()
        norm = self.norm
        if norm is not None:
            norm = BatchNorm(**{name: array[kept] for name, array in vars(norm).items()})
        return Hidden(self.activation, parameters, int(kept.sum()), norm)

    @property
    def scales(self) -> np.ndarray:
        """By what batch normalisation multiplies products, shape (n_neurons,), float64."""
        if self.norm is None:
            return np.ones(self.n_neurons)
        variance = self.norm.variance.astype(np.float64)
        scales: np.ndarray = np.abs(self.norm.gain) / np.sqrt(variance + NORM_EPSILON)
        return scales

    def is_finite(self) -> bool:
        arrays = [self.parameters, *([] if self.norm is None else vars(self.norm).values())]
        return all(bool(np.isfinite(array).all()) for array in arrays)

    def forward(
        self,
        u: np.ndarray,
        z: np.ndarray,
        a: np.ndarray,
        start: int,
        stop: int,
        *,
        size: int | None = None,
    ) -> None:
        """From products ``u`` to pre-activations ``z`` and activations ``a``, some rows.

        All are (n_neurons, batch). With ``size``, when training, batch normalisation takes
        the moments of so many samples and leaves ``u`` normalised, for `backward`; without
        it, those that training left. Without a ``norm`` ``u`` and ``z`` are the same array.
        """
        norm = self.norm
        if norm is not None and size is not None:
            kernels.normalise_batch(
                u, z, norm.gain, norm.shift, norm.mean, norm.variance,
                self.inverse_deviation, NORM_MOMENTUM, NORM_EPSILON, size, start, stop,
            )  # fmt: skip
        elif norm is not None:
            kernels.normalise(
                u, z, norm.gain, norm.shift, norm.mean, norm.variance,
                NORM_EPSILON, start, stop,
            )  # fmt: skip
        self.activation.forward(z, a, self.parameters, start, stop)

    def backward(
        self, u: np.ndarray, z: np.ndarray, da: np.ndarray, size: int, start: int, stop: int
    ) -> None:
        """Turn the gradient for the activations into that for the products, in place."""
        self.activation.backward(z, da, self.parameters, self.gradient, start, stop)
        if self.norm is not None:
            kernels.normalise_batch_gradient(
                u, da, self.norm.gain, self.inverse_deviation,
                self.gain_gradient, self.shift_gradient, size, start, stop,
            )  # fmt: skip

    def parameter_gradient(self) -> np.ndarray:
        """Gradient of the activation's parameters, summed over what shares them."""
        if self.summed is not self.gradient:
            kernels.sum_rows(self.gradient, self.summed)
        return self.summed

    def add_slots(self, n_slots: int) -> None:
        """Give the optimizer ``n_slots`` zero arrays per trained array, once."""
        if not self.slots:
            self.slots = [
                np.zeros((n_slots, values.size), values.dtype) for values in self.trained()
            ]

    def take_slots(self, slots: list[np.ndarray]) -> None:
        """Take over optimizer slots, one array per trained array, if they fit."""
        if [slot.shape[1] for slot in slots] == self.trained_sizes():
            self.slots = slots

    def trained_sizes(self) -> list[int]:
        """Numbers of values in the arrays that have optimizer slots."""
        return [values.size for values in self.trained()]

    def step(self, optimizer: Optimizer, rate: float, n_updates: int, scale: float) -> None:
        """Let the trained parameters follow the gradient of the last batch."""
        if self.norm is not None:
            gradients = self.gain_gradient, self.shift_gradient
            values = self.norm.gain, self.norm.shift
            for value, gradient, slots in zip(
                values, gradients, self.slots[-2:], strict=True
            ):
                optimizer.update(value, gradient, slots, rate, n_updates, scale)
        if not self.activation.learnable:
            return
        gradient = self.parameter_gradient()
        if self.learns_at_once:
            self._step_activation(optimizer, gradient, rate, n_updates, scale)
        else:
            kernels.add_times(self.epoch_gradient, gradient, scale)
            self.count_batches(1)

    @property
    def learns_at_once(self) -> bool:
        """Whether the activation follows the gradient of every batch, or of epochs."""
        return bool(self.activation.update == "batch")

    def count_batches(self, n_batches: int) -> None:
        """Note that gradients of so many batches were added for the end of the epoch."""
        self._n_batches += n_batches

    def end_epoch(self, optimizer: Optimizer, rate: float, n_epochs: int) -> None:
        """Let parameters that learn once per epoch follow the mean of its gradients."""
        if self._n_batches:
            self._step_activation(
                optimizer, self.epoch_gradient, rate, n_epochs, 1 / self._n_batches
            )
            self.epoch_gradient[:] = 0
            self._n_batches = 0

    def _step_activation(
        self,
        optimizer: Optimizer,
        gradient: np.ndarray,
        rate: float,
        n_updates: int,
        scale: float,
    ) -> None:
        optimizer.update(
            self.parameters.reshape(-1),
            gradient.reshape(-1),
            self.slots[0],
            rate,
            n_updates,
            scale,
            self.activation.learning_rate_factor,
        )

    def trained(self) -> Iterator[np.ndarray]:
        """The arrays that the gradient trains, and not their copies."""
        if self.activation.learnable:
            yield self.parameters
        if self.norm is not None:
            yield self.norm.gain
            yield self.norm.shift
