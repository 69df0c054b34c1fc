"""Networks of different patterns averaged, and cut back to a number of connections."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from sksparse_mlp.core import kernels
from sksparse_mlp.core.hidden import BatchNorm, Hidden
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.network import Network


class NetworkAverage:
    """A weighted mean of networks that start from the same one, taken in one by one.

    A connection that a network does not have counts there as one of weight zero. Sums
    are float64 and in the order of the networks; beside them only one network at a time
    is in memory. Optimizer slots are averaged with the weights and biases they belong to,
    where every network has them.

    Parameters
    ----------
    start : Network
        Has the sizes, dtype, activations and loss of all of them.
    """

    def __init__(self, start: Network):
        self._start = start
        self._layers = [LayerAverage(layer.n_in) for layer in start.layers]
        self._hidden = [HiddenAverage() for _ in start.hidden]

    def add(self, network: Network, share: float) -> None:
        """Take in a network that makes up this share of the mean; shares add up to 1."""
        for layer_sum, layer in zip(self._layers, network.layers, strict=True):
            layer_sum.add(layer, share)
        for hidden_sum, unit in zip(self._hidden, network.hidden, strict=True):
            hidden_sum.add(unit, share)

    def network(self, n_connections: Sequence[int]) -> Network:
        """The mean, of whose connections these many per layer are kept, the strongest."""
        dtype = self._start.dtype
        layers = [
            layer_sum.layer(size, dtype)
            for layer_sum, size in zip(self._layers, n_connections, strict=True)
        ]
        hidden = [
            hidden_sum.unit(unit)
            for hidden_sum, unit in zip(self._hidden, self._start.hidden, strict=True)
        ]
        return Network(layers, hidden, self._start.loss)


class LayerAverage:
    """The weighted sum of sparse layers on the union of their patterns.

    Parameters
    ----------
    n_in : int
        Number of input neurons.

    Attributes
    ----------
    positions : ndarray of shape (n_union,), dtype int64
        Sorted row-major positions of all connections so far.
    values : ndarray of shape (1 + n_slots, n_union), dtype float64
        Sums of their weights and optimizer slots.
    biases : ndarray of shape (1 + n_slots, n_out), dtype float64
    """

    def __init__(self, n_in: int):
        self._n_in = n_in
        self.positions = np.empty(0, np.int64)
        self.values = np.empty((0, 0))
        self.biases = np.empty((0, 0))

    def add(self, layer: SparseLayer, share: float) -> None:
        """Add a layer times its share."""
        positions = positions_of(layer)
        if not self.biases.size:
            n_arrays = 1 + len(layer.slots)
            self.values = np.zeros((n_arrays, 0))
            self.biases = np.zeros((n_arrays, layer.n_out))
        places = self._places(positions)
        arrays = [(layer.weights, layer.bias), *layer.slots]
        for k, (weights, biases) in enumerate(arrays):
            self.values[k, places] += share * weights.astype(np.float64)
            self.biases[k] += share * biases.astype(np.float64)

    def _places(self, positions: np.ndarray) -> np.ndarray:
        """Where these positions are in the union, which takes in those that are new."""
        new = np.setdiff1d(positions, self.positions, assume_unique=True)
        if new.size:
            before = np.searchsorted(self.positions, new)
            self.positions = np.insert(self.positions, before, new)
            self.values = np.insert(self.values, before, 0.0, axis=1)
        return np.searchsorted(self.positions, positions)

    def layer(self, n_connections: int, dtype: DTypeLike) -> SparseLayer:
        """The sum as a layer with this many connections, or with all if there are fewer."""
        kept = strongest(self.values[0], n_connections)
        n_out = self.biases.shape[1]
        # An index dtype holds the numbers of neurons and of connections.
        largest = max(self._n_in, n_out, kept.size)
        index_dtype = np.int32 if largest < 2**31 else np.int64
        indptr, indices = (np.empty(n, index_dtype) for n in (n_out + 1, kept.size))
        kernels.split_positions(self.positions[kept], self._n_in, indptr, indices)
        values, biases = self.values[:, kept].astype(dtype), self.biases.astype(dtype)
        arrays = list(zip(values, biases, strict=True))
        layer = SparseLayer(indptr, indices, *arrays[0], self._n_in)
        layer.slots = arrays[1:]
        return layer


class HiddenAverage:
    """The weighted sum of what follows a hidden layer in different networks."""

    def __init__(self) -> None:
        self._sums: dict[str, np.ndarray] = {}

    def add(self, unit: Hidden, share: float) -> None:
        """Add the trained parameters, moments and optimizer slots times their share."""
        for name, values in _named(unit).items():
            term = share * values.astype(np.float64)
            self._sums[name] = self._sums[name] + term if name in self._sums else term

    def unit(self, like: Hidden) -> Hidden:
        """The sum, with the activation and dtype of another."""
        sums = dict(self._sums)
        dtype = like.parameters.dtype
        norm = None
        if like.norm is not None:
            sums["variance"] = np.maximum(sums.pop("square") - sums["mean"] ** 2, 0)
            names = "gain", "shift", "mean", "variance"
            norm = BatchNorm(**{name: sums[name].astype(dtype) for name in names})
        parameters = sums["parameters"].astype(dtype)
        unit = Hidden(like.activation, parameters, like.n_neurons, norm)
        n_slots = sum(name.startswith("slot") for name in sums)
        unit.slots = [sums[f"slot {k}"].astype(dtype) for k in range(n_slots)]
        return unit


def _named(unit: Hidden) -> dict[str, np.ndarray]:
    """The arrays of a hidden unit whose weighted sums make up the mean."""
    arrays = {"parameters": unit.parameters}
    arrays |= {f"slot {k}": slots for k, slots in enumerate(unit.slots)}
    norm = unit.norm
    if norm is not None:
        arrays |= {"gain": norm.gain, "shift": norm.shift, "mean": norm.mean}
        # The mean of the squares makes the variance that of all samples together.
        mean, variance = norm.mean.astype(np.float64), norm.variance.astype(np.float64)
        arrays["square"] = variance + mean**2
    return arrays


def strongest(weights: np.ndarray, size: int) -> np.ndarray:
    """Sorted indices of the ``size`` largest absolute weights, or of all.

    Where only some of several equal ones are kept, they are at even distances among
    these, so that no end of the layer keeps more than the other.
    """
    sizes = np.abs(weights)
    if size >= sizes.size:
        return np.arange(sizes.size)
    if size == 0:
        return np.empty(0, np.intp)
    limit = np.partition(sizes, sizes.size - size)[sizes.size - size]
    keep = sizes > limit
    n_tied = size - np.count_nonzero(keep)
    tied = np.flatnonzero(sizes == limit)
    keep[tied[(2 * np.arange(n_tied) + 1) * tied.size // (2 * n_tied)]] = True
    return np.flatnonzero(keep)


def turnover(before: Network, after: Network) -> float:
    """Share of the connections of a network that another one did not have."""
    n_common = sum(
        np.intersect1d(positions_of(old), positions_of(new), assume_unique=True).size
        for old, new in zip(before.layers, after.layers, strict=True)
    )
    return 1 - n_common / max(after.n_connections, 1)


def positions_of(layer: SparseLayer) -> np.ndarray:
    """Sorted row-major positions of a layer's connections, dtype int64."""
    return layer.positions(np.ones(layer.n_connections, bool))
