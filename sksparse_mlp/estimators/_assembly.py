"""From an estimator's parameters and fitted attributes to the objects that train."""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import csr_array
from sklearn.utils import check_random_state

from sksparse_mlp.activations import ACTIVATIONS, Activation
from sksparse_mlp.core.evolution import Evolution
from sksparse_mlp.core.hidden import BatchNorm, Hidden
from sksparse_mlp.core.layer import SparseLayer, n_connections, required_bytes
from sksparse_mlp.core.learning_rates import LEARNING_RATES
from sksparse_mlp.core.losses import Loss
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.optimizers import OPTIMIZERS, SGD, Adam, Optimizer
from sksparse_mlp.core.training import Patience, Training
from sksparse_mlp.estimators._parameters import Parameters
from sksparse_mlp.initializers import INITIALIZERS, Initializer
from sksparse_mlp.schedules import ZETA_SCHEDULES, Constant
from sksparse_mlp.topology import GROWTHS, PRUNINGS

AUTO_BATCH_SIZE = 64
# What history_ has of each epoch when asked for.
RECORDABLE = ["train_score", "effective_gradient_flow"]


def physical_memory() -> float:
    """Bytes of memory that this machine has, infinity where it does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return math.inf


def _member(registry: Mapping[str, type[Any]], member: Any, **shared: Any) -> Any:
    """The member of a family: an instance, or the one of that name.

    A named member takes those of the ``shared`` parameters that it has.
    """
    if isinstance(member, str):
        cls = registry[member]
        member = cls(**{k: v for k, v in shared.items() if k in cls._get_param_names()})
    if hasattr(member, "_validate_params"):
        member._validate_params()
    return member


class Assembly(Parameters, ABC):
    """Mixin of the estimators: builds networks and trainings."""

    n_features_in_: int
    coefs_: list[csr_array]
    intercepts_: list[np.ndarray]
    activation_parameters_: list[np.ndarray]
    batch_norms_: list[dict[str, np.ndarray] | None]

    @abstractmethod
    def _n_outputs(self) -> int:
        """Number of output neurons that the targets need."""

    @abstractmethod
    def _loss(self) -> Loss:
        """What the network minimises."""

    def _layer_sizes(self) -> list[int]:
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object))
        if sizes.ndim > 1 or not all(isinstance(n, Integral) and int(n) > 0 for n in sizes):
            raise ValueError(
                "hidden_layer_sizes must be one positive integer or a sequence of them, "
                f"got {self.hidden_layer_sizes!r}."
            )
        return [self.n_features_in_, *map(int, sizes), self._n_outputs()]

    def _activations(self, n_hidden: int) -> list[Activation]:
        """One activation per hidden layer."""
        members: Any = self.activation
        if not isinstance(members, (list, tuple)):
            members = [members] * n_hidden
        if len(members) != n_hidden:
            raise ValueError(
                f"activation={self.activation!r} names {len(members)} activations for "
                f"{n_hidden} hidden layers; give one per hidden layer, or a single one."
            )
        for member in members:
            if not (isinstance(member, Activation) or member in list(ACTIVATIONS)):
                raise ValueError(
                    f"activation={self.activation!r} has {member!r}; allowed are "
                    f"instances of Activation and the names {sorted(ACTIVATIONS)}."
                )
        return [_member(ACTIVATIONS, member, slope=self.slope) for member in members]

    def _new_hidden(self, sizes: list[int], dtype: DTypeLike) -> list[Hidden]:
        """What follows each hidden layer, before training."""
        units = []
        for depth, activation in enumerate(self._activations(len(sizes) - 2), start=1):
            n_neurons = sizes[depth]
            parameters = activation.initial_parameters(depth, n_neurons, dtype)
            norm = BatchNorm.initial(n_neurons, dtype) if self.batch_norm else None
            units.append(Hidden(activation, parameters, n_neurons, norm))
        return units

    def _zeta_schedule(self) -> Callable[[int, int], float]:
        if self.zeta == 0 and isinstance(self.zeta_schedule, str):
            return Constant(0)
        schedule: Callable[[int, int], float] = _member(
            ZETA_SCHEDULES, self.zeta_schedule, zeta=self.zeta, zeta_max=self.zeta
        )
        for epoch in range(self.max_iter):
            zeta = schedule(epoch, self.max_iter)
            if not (isinstance(zeta, Real) and 0 <= zeta < 1):
                raise ValueError(
                    f"zeta_schedule={self.zeta_schedule!r} gives zeta={zeta!r} at epoch "
                    f"{epoch} of {self.max_iter}; zeta must be in [0, 1) at every epoch."
                )
        return schedule

    def _optimizer(self) -> Optimizer:
        if self.solver == "sgd":
            return SGD(momentum=self.momentum, nesterov=self.nesterovs_momentum)
        return Adam(beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.adam_epsilon)

    def _batch_size(self) -> int:
        if self.batch_norm and self.batch_size == 1:
            raise ValueError(
                "batch_norm=True needs batches of at least 2 samples, got batch_size=1."
            )
        return AUTO_BATCH_SIZE if self.batch_size == "auto" else int(self.batch_size)

    def _new_network(self, rng: np.random.Generator, dtype: DTypeLike) -> Network:
        sizes = self._layer_sizes()
        self._check_memory(sizes, dtype)
        hidden = self._new_hidden(sizes, dtype)
        activations = [None, *(unit.activation for unit in hidden), None]
        layers = []
        for (n_in, n_out), (before, after) in zip(
            pairwise(sizes), pairwise(activations), strict=True
        ):
            layer = SparseLayer.random(n_in, n_out, self.epsilon, rng, dtype)
            self._initializer(after)(layer, rng, before, after)
            layers.append(layer)
        return Network(layers, hidden, self._loss())

    def _check_memory(self, sizes: list[int], dtype: DTypeLike) -> None:
        """Refuse a network that this machine could not hold while it trains."""
        n_slots = OPTIMIZERS[self.solver].n_slots
        layers = sum(
            required_bytes(*pair, self.epsilon, dtype, n_slots) for pair in pairwise(sizes)
        )
        # Pre-activations, activations and their gradients.
        buffers = 3 * self._batch_size() * sum(sizes) * np.dtype(dtype).itemsize
        available = physical_memory()
        if layers + buffers > available:
            n = sum(n_connections(*pair, self.epsilon) for pair in pairwise(sizes))
            raise ValueError(
                f"hidden_layer_sizes={self.hidden_layer_sizes!r} with epsilon="
                f"{self.epsilon} makes {n:,} connections, which need {layers:,} bytes "
                f"while they train, and batches need {buffers:,} bytes; this machine has "
                f"{available:,}. Choose smaller layers, a smaller epsilon or batch_size, "
                "or float32 data."
            )

    def _initializer(self, after: Activation | None) -> Initializer:
        if self.init == "auto":
            return INITIALIZERS[after.initializer if after else "xavier_uniform"]()
        initializer: Initializer = _member(INITIALIZERS, self.init)
        return initializer

    def _fitted_network(self) -> Network:
        """The network that the public attributes describe."""
        layers = [
            SparseLayer.from_coef(coef, intercept)
            for coef, intercept in zip(self.coefs_, self.intercepts_, strict=True)
        ]
        if any(layer.n_out != following.n_in for layer, following in pairwise(layers)):
            shapes = [coef.shape for coef in self.coefs_]
            raise ValueError(f"The layers in coefs_ do not fit each other: {shapes}.")
        return Network(layers, self._fitted_hidden(layers[:-1]), self._loss())

    def _fitted_hidden(self, layers: list[SparseLayer]) -> list[Hidden]:
        """What follows each of these layers, as the public attributes have it."""
        units = []
        for depth, (layer, activation) in enumerate(
            zip(layers, self._activations(len(layers)), strict=True)
        ):
            dtype = layer.weights.dtype
            fitted = self.activation_parameters_[depth]
            expected = activation.initial_parameters(depth + 1, layer.n_out, dtype).shape
            if fitted.shape != expected:
                raise ValueError(
                    f"activation_parameters_[{depth}] has shape {fitted.shape}, but "
                    f"{activation!r} has {expected}. If activation was changed after fit, "
                    "fit again."
                )
            norm = self._fitted_norm(depth, layer.n_out, dtype)
            units.append(Hidden(activation, fitted.astype(dtype), layer.n_out, norm))
        return units

    def _fitted_norm(self, depth: int, n_neurons: int, dtype: np.dtype) -> BatchNorm | None:
        """The batch normalisation of a hidden layer as the public attributes have it."""
        arrays = self.batch_norms_[depth]
        if arrays is None:
            return None
        norm = BatchNorm(**{name: np.array(array, dtype) for name, array in arrays.items()})
        for name, array in vars(norm).items():
            if array.shape != (n_neurons,):
                raise ValueError(
                    f"batch_norms_[{depth}][{name!r}] has shape {array.shape}, but the "
                    f"layer has {n_neurons} neurons."
                )
        return norm

    def _continued_network(self) -> Network:
        network = self._fitted_network()
        if network.sizes != self._layer_sizes():
            raise ValueError(
                f"The fitted layers have sizes {network.sizes}, but hidden_layer_sizes="
                f"{self.hidden_layer_sizes!r} asks for {self._layer_sizes()}. Training can "
                "only continue with the same sizes; fit without warm_start to change them."
            )
        return network

    def _new_training(self, dtype: DTypeLike, *, continued: bool) -> Training:
        random_state = check_random_state(self.random_state)
        entropy = random_state.randint(np.iinfo(np.int32).max, size=(3, 4)).tolist()
        init_rng, data_rng, topology_rng = map(np.random.default_rng, entropy)
        network = (
            self._continued_network() if continued else self._new_network(init_rng, dtype)
        )
        return Training(
            network=network,
            optimizer=self._optimizer(),
            learning_rate=LEARNING_RATES[self.learning_rate](
                self.learning_rate_init, self.power_t
            ),
            evolution=self._evolution(topology_rng),
            alpha=self.alpha,
            dropout=self.dropout,
            batch_size=self._batch_size(),
            n_epochs=self.max_iter,
            shuffle=self.shuffle,
            patience=Patience(self.n_iter_no_change, self.tol),
            data_rng=data_rng,
            records_train_score="train_score" in self._recorded(),
            records_gradient_flow="effective_gradient_flow" in self._recorded(),
        )

    def _recorded(self) -> Sequence[str]:
        unknown = [name for name in self.record if name not in RECORDABLE]
        if unknown:
            raise ValueError(
                f"record={self.record!r} has {unknown[0]!r}; allowed are {RECORDABLE}."
            )
        return self.record

    def _evolution(self, rng: np.random.Generator) -> Evolution:
        pruning = self.pruning
        return Evolution(
            growth=_member(GROWTHS, self.growth, gamma=self.gamma),
            pruning=None if pruning is None else _member(PRUNINGS, pruning),
            zeta_schedule=self._zeta_schedule(),
            n_epochs=self.max_iter,
            every=None if self.evolve_every == "epoch" else int(self.evolve_every),
            until=self.evolve_until,
            n_inputs=self._n_features_to_select(),
            rng=rng,
        )

    def _n_features_to_select(self) -> int | None:
        """The number of features to select, None for no selection."""
        wanted, n_features = self.n_features_to_select, self.n_features_in_
        if wanted is None:
            return None
        n_selected = wanted if isinstance(wanted, Integral) else round(wanted * n_features)
        if isinstance(wanted, bool) or not 1 <= n_selected <= n_features:
            raise ValueError(
                f"n_features_to_select={wanted!r} selects {n_selected} of n_features = "
                f"{n_features}; give a number from 1 to {n_features}, or a share of the "
                "features in (0, 1]."
            )
        return int(n_selected)
