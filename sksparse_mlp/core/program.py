"""A network's updates as one compiled call, where all of its parts are known to kernels."""

import math
import weakref
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from scipy import sparse

from sksparse_mlp.core import kernels, spinning
from sksparse_mlp.core.addresses import address_of
from sksparse_mlp.core.hidden import NORM_EPSILON, NORM_MOMENTUM, Hidden
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.losses import Loss, TargetLoss
from sksparse_mlp.core.network import Batch, Dropout, Network
from sksparse_mlp.core.optimizers import Optimizer, flush_limit
from sksparse_mlp.core.samples import Samples
from sksparse_mlp.core.skips import Skips
from sksparse_mlp.core.workers import Member, Workers

# Multiply-adds of one call: so many that the call itself costs nothing, and so few that
# Ctrl-C is heard within a tenth of a second or so.
WORK_OF_A_CALL = 2e9
# Names in the table of a layer's arrays; an optimizer may use fewer slots.
LAYER_ARRAYS = (
    "indptr", "indices", "in_indptr", "in_indices", "in_positions",
    "weights", "bias", "slot", "bias_slot", "slot_2", "bias_slot_2",
)  # fmt: skip


def code_of(member: Any, *methods: str) -> int:
    """The number by which kernels know a member of a family, 0 if they do not.

    It counts unless a class further down changes one of the methods that it stands for:
    what a subclass changes is called as it is.
    """

    def depth(name: str) -> int:
        return next(i for i, cls in enumerate(type(member).__mro__) if name in vars(cls))

    return int(member.code) if all(depth("code") <= depth(m) for m in methods) else 0


class Program:
    """The updates of a network that trains on some samples.

    Parameters
    ----------
    network : Network
        With the optimizer's slots. Evolution may change it between two calls.
    buffers : Batch
        The network's, for training.
    samples : Samples
    optimizer : Optimizer
    alpha, dropout : float
    """

    def __init__(
        self,
        network: Network,
        buffers: Batch,
        samples: Samples,
        optimizer: Optimizer,
        alpha: float,
        dropout: float,
    ):
        self._network = network
        self._optimizer = optimizer
        self._drops = dropout > 0
        self._buffers = buffers
        self._samples = samples
        n_layers = len(network.layers)
        self._table = np.zeros(n_layers, kernels.LAYER)
        self._known: list[tuple[weakref.ref[np.ndarray], ...]] = [()] * n_layers
        self._squares = np.zeros(n_layers)
        self._shares: dict[int, np.ndarray] = {}
        self._plan = np.zeros(1, kernels.PLAN)
        self._norm_of_samples = _norm_of(samples.X)
        # Half of the digits are left for what is rounded on the way.
        self._limit = math.sqrt(np.finfo(network.dtype).max)
        self._learning_by_epoch = [
            unit
            for unit in network.hidden
            if unit.activation.learnable and not unit.learns_at_once
        ]
        # What is None is not compiled.
        hidden = network.hidden
        others = [u for u in hidden if u.activation.code != kernels.LEAKY_RELU]
        self._norms = 1 if any(unit.norm for unit in hidden) else None
        self._others = 1 if others else None
        self._has_skips = False
        self._fill_plan(alpha, Dropout(dropout))
        for row, unit in zip(self._table[:-1], network.hidden, strict=True):
            _fill_hidden(row, unit)
        self._fill_buffers()

    @classmethod
    def of(
        cls,
        network: Network,
        buffers: Batch,
        samples: Samples,
        optimizer: Optimizer,
        alpha: float,
        dropout: float,
    ) -> Self | None:
        """The program, None if a part is not known to kernels."""
        known = (
            spinning.IS_COMPILED
            and code_of(optimizer, "step", "update")
            and _loss_code(network.loss)
            and all(_is_known(unit) for unit in network.hidden)
            and all(_has_short_indices(layer) for layer in network.layers)
            and _is_readable(samples, network.dtype)
        )
        return cls(network, buffers, samples, optimizer, alpha, dropout) if known else None

    def take_alpha(self, alpha: float) -> None:
        """Go on with another strength of the penalty."""
        self._plan["alpha"] = alpha

    def n_updates_of_a_call(self) -> int:
        """How many updates to ask for at a time."""
        work = 3 * self._network.work(self._buffers.size)
        return max(1, int(WORK_OF_A_CALL // max(work, 1)))

    def run(
        self,
        rows: np.ndarray,
        rate: float,
        n_updates: int,
        loss: float,
        data_rng: np.random.Generator,
        workers: Workers,
        skips: Skips | None = None,
        draw_skips: Callable[[int], np.ndarray] | None = None,
    ) -> tuple[int, float, float]:
        """Make the updates of batches of some rows, after ``n_updates`` others.

        ``draw_skips(k)`` gives, for the k-th of them, the learning rate of each layer's
        shortcut, below zero of those that take no part.

        Returns how many were made, and ``loss`` with the samples' losses before each
        update added, NaN if that of the last batch was not finite: that update was not
        made then. Last comes the part of the penalty in what was added.
        """
        network, size = self._network, self._buffers.size
        count = -(-rows.size // size)
        rates = self._optimizer.rates(rate, n_updates, count)
        keys, skip_rates = self._drawn(count, data_rng, draw_skips)
        self._fill_layers()
        self._fill_skips(skips)
        results: dict[int, tuple[int, float, float]] = {}

        def update(member: Member) -> None:
            plan = self._plan.copy()
            plan["rank"], plan["n_threads"] = member.rank, member.n_threads
            results[member.rank] = kernels.update(
                self._table, plan, rows, keys, rates, self._shares_of(member.n_threads),
                self._buffers.losses, self._squares, member.counters,
                loss,
                network.dtype.type(0), np.int32(0), skip_rates, self._norms, self._others,
            )  # fmt: skip

        workers.run(update, 3 * network.work(size), count)
        for part in self._learning_by_epoch:
            part.count_batches(results[0][0])
        if skips is not None:
            skips.n_updates += results[0][0]
        return results[0]

    def _drawn(
        self,
        count: int,
        data_rng: np.random.Generator,
        draw_skips: Callable[[int], np.ndarray] | None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Keys of dropout and rates of shortcuts, in the order of single updates."""
        n_hidden = len(self._network.hidden)
        keys = np.zeros((count, n_hidden + 1), np.int64)
        if draw_skips is None:
            if self._drops:
                keys[:, :-1] = data_rng.integers(2**32, size=(count, n_hidden))
            return keys, None
        skip_rates = np.empty(keys.shape)
        for k in range(count):
            if self._drops:
                keys[k, :-1] = data_rng.integers(2**32, size=n_hidden)
            skip_rates[k] = draw_skips(k)
        return keys, skip_rates

    def is_surely_sound(self) -> bool:
        """Whether all outputs for the samples must be finite, by the weights alone.

        Other networks may be so too.
        """
        bound = kernels.bound_of_outputs(
            self._table, self._norm_of_samples, self._network.dtype.type(0)
        )
        return bool(bound < self._limit)

    def _fill_layers(self) -> None:
        """Enter where the layers' arrays are, if they are others than before."""
        for depth, layer in enumerate(self._network.layers):
            slots = [array for pair in layer.slots for array in pair]
            pattern = layer.indptr, layer.indices, *layer.transposed
            arrays = *pattern, layer.weights, layer.bias, *slots
            known = self._known[depth]
            if known and all(
                reference() is array for reference, array in zip(known, arrays, strict=True)
            ):
                continue
            _fill_layer(self._table[depth], layer, arrays)
            # Arrays that the layer gives up are not kept alive.
            self._known[depth] = tuple(map(weakref.ref, arrays))
            self._shares.clear()

    def _fill_skips(self, skips: Skips | None) -> None:
        if (skips is not None) != self._has_skips:
            # What shortcuts add to gradients comes before the derivatives, which must not
            # wait in the gradients' place.
            self._has_skips = skips is not None
            self._plan["has_skips"] = self._has_skips
            self._fill_buffers()
        if skips is None:
            return
        for depth, matrix in skips.matrices.items():
            row = self._table[depth]
            row["skip"] = address_of(matrix)
            row["skip_gradient"] = address_of(skips.gradients[depth])
            row["skip_slots"] = address_of(skips.slots[depth])

    def _shares_of(self, n_threads: int) -> np.ndarray:
        if n_threads not in self._shares:
            shares = [
                [layer.shares(n_threads), layer.input_shares(n_threads)]
                for layer in self._network.layers
            ]
            self._shares[n_threads] = np.array(shares, np.int64)
        return self._shares[n_threads]

    def _fill_plan(self, alpha: float, dropout: Dropout) -> None:
        plan, samples, optimizer = self._plan[0], self._samples, self._optimizer
        X = samples.X
        plan["n_rows"], plan["n_features"] = X.shape
        if sparse.issparse(X):
            plan["is_sparse"] = True
            plan["n_entries"], plan["X"] = X.data.size, address_of(X.data)
            plan["X_indices"], plan["X_indptr"] = map(address_of, (X.indices, X.indptr))
        else:
            plan["X"] = address_of(X)
        plan["y"], plan["weights"] = map(address_of, (samples.y, samples.weights))
        plan["loss"], plan["solver"] = _loss_code(self._network.loss), optimizer.code
        first, second = self._network.loss.constants
        plan["loss_parameter"], plan["loss_parameter_2"] = first, second
        plan["batch_size"], plan["mean_weight"] = self._buffers.size, samples.mean_weight()
        plan["alpha"], plan["tiny"] = alpha, flush_limit(self._network.dtype)
        plan["keep_scale"] = 1.0
        if self._drops:
            plan["drop_below"], plan["keep_scale"] = dropout.threshold, dropout.scale
        for name, value in optimizer.constants().items():
            plan[name] = value

    def _fill_buffers(self) -> None:
        batch = self._buffers
        for depth, row in enumerate(self._table):
            row["x"] = address_of(batch.inputs(depth))
            row["u"], row["z"] = address_of(batch.u[depth]), address_of(batch.z[depth])
            row["dz"] = address_of(batch.dz[depth])
            if depth == len(batch.a):
                return
            row["a"] = address_of(batch.a[depth])
            if self._network.hidden[depth].activation.code != kernels.LEAKY_RELU:
                continue
            row["activation"] = kernels.TWO_SLOPES
            if not self._has_skips:
                # Its values take the place of what they are made of.
                row["activation"], row["z"] = kernels.LEAKY_RELU, row["a"]
                row["u"] = row["u"] if row["has_norm"] else row["a"]


def _loss_code(loss: Loss) -> int:
    if isinstance(loss, TargetLoss):
        return code_of(loss.member, "value_and_gradient")
    return loss.code


def _is_known(unit: Hidden) -> bool:
    return bool(code_of(unit.activation, "forward", "backward", "learnable"))


def _has_short_indices(layer: SparseLayer) -> bool:
    return layer.indptr.dtype == layer.indices.dtype == np.int32


def _is_readable(samples: Samples, dtype: np.dtype) -> bool:
    """Whether the arrays are as kernels expect them."""
    X, y = samples.X, samples.y
    arrays = [X.data, X.indices, X.indptr] if sparse.issparse(X) else [X]
    return (
        all(array.flags.c_contiguous for array in (*arrays, y, samples.weights))
        and {arrays[0].dtype, samples.weights.dtype} == {dtype}
        and all(array.dtype == np.int32 for array in arrays[1:])
        and samples.rows.dtype == np.int64
        and y.dtype in (np.int64, np.int8, dtype)
    )


def _norm_of(X: Any) -> float:
    """At least the norm of each sample."""
    values = X.data if sparse.issparse(X) else X.reshape(-1)
    return math.sqrt(kernels.sum_of_squares(values))


def _fill_layer(row: Any, layer: SparseLayer, arrays: tuple[np.ndarray, ...]) -> None:
    row["n_in"], row["n_out"] = layer.n_in, layer.n_out
    row["n_connections"] = layer.n_connections
    for name, array in zip(LAYER_ARRAYS, arrays, strict=False):
        row[name] = address_of(array)


def _fill_hidden(row: Any, unit: Hidden) -> None:
    activation, norm = unit.activation, unit.norm
    row["activation"] = activation.code
    parameters = unit.parameters
    row["parameters"], row["n_parameters"] = address_of(parameters), parameters.size
    row["threshold"] = getattr(activation, "threshold", 0.0)
    row["clip"] = getattr(activation, "clip", np.inf)
    if activation.learnable:
        row["n_learned"], row["rate_factor"] = (
            parameters.shape[0],
            activation.learning_rate_factor,
        )
        row["gradient"], row["summed"] = map(address_of, (unit.gradient, unit.summed))
        row["parameter_slots"] = address_of(unit.slots[0])
        if not unit.learns_at_once:
            row["epoch_gradient"] = address_of(unit.epoch_gradient)
    if norm is None:
        return
    row["has_norm"] = True
    row["norm_momentum"], row["norm_epsilon"] = NORM_MOMENTUM, NORM_EPSILON
    arrays = vars(norm) | {
        "inverse_deviation": unit.inverse_deviation,
        "gain_gradient": unit.gain_gradient,
        "shift_gradient": unit.shift_gradient,
    }
    arrays |= dict(zip(("gain_slots", "shift_slots"), unit.slots[-2:], strict=True))
    for name, array in arrays.items():
        row[name] = address_of(array)
