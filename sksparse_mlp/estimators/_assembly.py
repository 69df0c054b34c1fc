"""From an estimator's parameters and fitted attributes to the objects that train."""

import inspect
import math
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
from sksparse_mlp.core.layer import (
    SparseLayer,
    common_epsilon,
    n_connections,
    required_bytes,
)
from sksparse_mlp.core.learning_rates import LEARNING_RATES, Repeated
from sksparse_mlp.core.losses import Loss
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.optimizers import OPTIMIZERS, SGD, Adam, Optimizer
from sksparse_mlp.core.samples import Samples
from sksparse_mlp.core.training import Patience, Training
from sksparse_mlp.estimators._parameters import Parameters
from sksparse_mlp.estimators._restored import restored_network
from sksparse_mlp.initializers import INITIALIZERS, Initializer
from sksparse_mlp.schedules import ZETA_SCHEDULES, Constant
from sksparse_mlp.topology import GROWTHS, PRUNINGS, Growth

AUTO_BATCH_SIZE = 64
# Parameters that decide how a network begins, and nothing afterwards; those that decide
# where the random streams begin, which partial_fit continues.
BUILDING = ("batch_norm", "density", "epsilon", "init")
SEEDING = ("random_state",)
# The default of epsilon, beside which density may be given.
EPSILON = inspect.signature(Parameters).parameters["epsilon"].default
# What there is one more of than of hidden layers.
CONNECTIONS = "layers of connections (one between each two layers of neurons)"
# Values of epsilon below this are rather those of Adam's stabiliser.
LIKE_ADAMS = 1e-3
# Of a schedule that is a function of the user's, before training.
N_EPOCHS_CHECKED = 100
# What history_ has of each epoch when asked for.
RECORDABLE = ["train_score", "effective_gradient_flow"]


def physical_memory() -> float:
    """Bytes of memory that this machine has, infinity where it does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return math.inf


def member_of(registry: Mapping[str, type[Any]], member: Any, **shared: Any) -> Any:
    """The member of a family: an instance, or the one of that name.

    A named member takes those of the ``shared`` parameters that it has.
    """
    if isinstance(member, str):
        cls = registry[member]
        member = cls(**{k: v for k, v in shared.items() if k in cls._get_param_names()})
    if hasattr(member, "_validate_params"):
        member._validate_params()
    return member


def _per_layer(name: str, value: Any, n_layers: int, of_what: str) -> list[Any]:
    """A parameter's value for each of so many layers: its own, or the one for all."""
    if not isinstance(value, (list, tuple)):
        return [value] * n_layers
    if len(value) != n_layers:
        raise ValueError(
            f"{name}={value!r} has {len(value)} entries for {n_layers} {of_what}; give "
            "one for each, or a single one."
        )
    return list(value)


def _checked_zeta(
    schedule: Callable[..., float], epoch: int, n_epochs: int, **read: float
) -> float:
    """What a schedule of the user's gives, which must be a share."""
    try:
        zeta = schedule(epoch, n_epochs, **read)
    except TypeError as error:
        raise ValueError(
            f"zeta_schedule={schedule!r} cannot be called with (epoch, n_epochs): {error}. "
            "Give a function of these two."
        ) from error
    if not (isinstance(zeta, Real) and 0 <= zeta < 1):
        raise ValueError(
            f"zeta_schedule={schedule!r} gives zeta={zeta!r} at epoch {epoch} of "
            f"{n_epochs}; zeta must be in [0, 1) at every epoch."
        )
    return float(zeta)


class Assembly(Parameters, ABC):
    """Mixin of the estimators: builds networks and trainings."""

    n_features_in_: int
    coefs_: list[csr_array]
    intercepts_: list[np.ndarray]
    support_: np.ndarray
    activation_parameters_: list[np.ndarray]
    batch_norms_: list[dict[str, np.ndarray] | None]

    @abstractmethod
    def _n_outputs(self) -> int:
        """Number of output neurons that the targets need."""

    @abstractmethod
    def _loss(self) -> Loss:
        """What the network minimises."""

    @abstractmethod
    def _targets_text(self) -> str:
        """What decides about the number of outputs, for messages."""

    def _layer_sizes(self) -> list[int]:
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object))
        if sizes.ndim > 1 or not all(isinstance(n, Integral) and int(n) > 0 for n in sizes):
            raise ValueError(
                "hidden_layer_sizes must be one positive integer or a sequence of them, "
                f"got {self.hidden_layer_sizes!r}."
            )
        return [self.n_features_in_, *map(int, sizes), self._n_outputs()]

    def _epsilons(self, sizes: list[int]) -> list[float]:
        """The epsilon of each layer of connections."""
        if self.density is not None:
            if np.ndim(self.epsilon) or self.epsilon != EPSILON:
                raise ValueError(
                    f"density={self.density!r} and epsilon={self.epsilon!r} both set the "
                    "number of connections; give one of them and leave density=None or "
                    f"epsilon={EPSILON}."
                )
            epsilons = [common_epsilon(sizes, self.density)] * (len(sizes) - 1)
            self._check_connected(sizes, epsilons)
            return epsilons
        given = self.epsilon.tolist() if hasattr(self.epsilon, "tolist") else self.epsilon
        epsilons = _per_layer("epsilon", given, len(sizes) - 1, CONNECTIONS)
        for epsilon in epsilons:
            is_number = isinstance(epsilon, Real) and not isinstance(epsilon, bool)
            if not (is_number and 0 < epsilon < math.inf):
                raise ValueError(
                    f"epsilon={self.epsilon!r} has {epsilon!r}; allowed are positive "
                    "finite numbers, one for all layers or one for each."
                )
        return epsilons

    def _check_connected(self, sizes: list[int], epsilons: list[float]) -> None:
        """Refuse a density that leaves a layer without any connection."""
        pairs = list(pairwise(sizes))
        counts = [n_connections(*p, e) for p, e in zip(pairs, epsilons, strict=True)]
        if all(counts):
            return
        empty = counts.index(0)
        n_in, n_out = pairs[empty]
        needed = max(1 / sum(pair) for pair in pairs)
        n_needed = sum(n_connections(*pair, needed) for pair in pairs)
        least = n_needed / sum(math.prod(pair) for pair in pairs)
        raise ValueError(
            f"density={self.density!r} leaves layer {empty} (from {n_in} to {n_out} "
            "neurons) without connections, so that nothing reaches the outputs. Give "
            f"{least:.2g} or more, or an epsilon for each layer."
        )

    def _amount(self) -> str:
        """What sets the number of connections, for messages."""
        name = "epsilon" if self.density is None else "density"
        return f"{name}={getattr(self, name)}"

    def _activations(self, n_hidden: int) -> list[Activation]:
        """One activation per hidden layer."""
        members = _per_layer("activation", self.activation, n_hidden, "hidden layers")
        for member in members:
            if not (isinstance(member, Activation) or member in list(ACTIVATIONS)):
                raise ValueError(
                    f"activation={self.activation!r} has {member!r}; allowed are "
                    f"instances of Activation and the names {sorted(ACTIVATIONS)}."
                )
        return [member_of(ACTIVATIONS, member, slope=self.slope) for member in members]

    def _new_hidden(self, sizes: list[int], dtype: DTypeLike) -> list[Hidden]:
        """What follows each hidden layer, before training."""
        units = []
        for depth, activation in enumerate(self._activations(len(sizes) - 2), start=1):
            n_neurons = sizes[depth]
            parameters = activation.initial_parameters(depth, n_neurons, dtype)
            norm = BatchNorm.initial(n_neurons, dtype) if self.batch_norm else None
            units.append(Hidden(activation, parameters, n_neurons, norm))
        return units

    @property
    def _n_epochs(self) -> int:
        """Epochs over which schedules are planned; partial_fit trains without any too."""
        return max(int(self.max_iter), 1)

    def _zeta_schedule(self) -> Callable[[int, int], float]:
        if self.zeta == 0 and isinstance(self.zeta_schedule, str):
            return Constant(0)
        if isinstance(self.zeta_schedule, type):
            name = self.zeta_schedule.__name__
            raise ValueError(
                f"zeta_schedule={name} is a class; give an instance of it, {name}(), or "
                f"one of the names {sorted(ZETA_SCHEDULES)}."
            )
        schedule: Callable[[int, int], float] = member_of(
            ZETA_SCHEDULES, self.zeta_schedule, zeta=self.zeta, zeta_max=self.zeta
        )
        if type(schedule) in ZETA_SCHEDULES.values():
            # Their parameters keep them in range.
            return schedule
        checked = partial(_checked_zeta, schedule)
        # What it reads, if anything.
        vars(checked)["metric"] = getattr(schedule, "metric", None)
        n_epochs = self._n_epochs
        for epoch in np.linspace(0, n_epochs - 1, N_EPOCHS_CHECKED, dtype=int):
            checked(int(epoch), n_epochs)
        return checked

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

    def _new_network(
        self, rng: np.random.Generator, dtype: DTypeLike, n_samples: float
    ) -> Network:
        sizes = self._layer_sizes()
        self._check_memory(sizes, dtype, n_samples)
        hidden = self._new_hidden(sizes, dtype)
        activations = [None, *(unit.activation for unit in hidden), None]
        layers = []
        for (n_in, n_out), epsilon, (before, after) in zip(
            pairwise(sizes), self._epsilons(sizes), pairwise(activations), strict=True
        ):
            layer = SparseLayer.random(n_in, n_out, epsilon, rng, dtype)
            self._initializer(after)(layer, rng, before, after)
            layers.append(layer)
        return Network(layers, hidden, self._loss())

    def _warn_of_few_connections(self, sizes: list[int]) -> None:
        """Say if layers have outputs that no input can reach, for lack of connections."""
        counts = self._counts(sizes)
        poor = [
            f"{count or 'none'} for the {n_out} outputs of layer {k}"
            for k, (count, n_out) in enumerate(zip(counts, sizes[1:], strict=True))
            if count < n_out
        ]
        if not poor:
            return
        hint = (
            " The stabiliser of Adam, which MLPClassifier calls epsilon, is adam_epsilon "
            "here."
        )
        name = "epsilon" if self.density is None else "density"
        like_adams = self.density is None and np.min(self.epsilon) < LIKE_ADAMS
        warnings.warn(
            f"{self._amount()} leaves too few connections: {', '.join(poor)}. "
            f"Outputs without connections are constant; choose a larger {name}."
            f"{hint if like_adams else ''}",
            stacklevel=2,
        )

    def _counts(self, sizes: list[int]) -> list[int]:
        """The number of connections of each layer, before training."""
        layers = zip(pairwise(sizes), self._epsilons(sizes), strict=True)
        return [n_connections(*pair, epsilon) for pair, epsilon in layers]

    def _check_memory(self, sizes: list[int], dtype: DTypeLike, n_samples: float) -> None:
        """Refuse a network that this machine could not hold while it trains."""
        n_slots = OPTIMIZERS[self.solver].n_slots
        layers = sum(
            required_bytes(*pair, epsilon, dtype, n_slots)
            for pair, epsilon in zip(pairwise(sizes), self._epsilons(sizes), strict=True)
        )
        # Pre-activations, activations and their gradients.
        batch_size = int(min(self._batch_size(), n_samples))
        buffers = 3 * batch_size * sum(sizes) * np.dtype(dtype).itemsize
        available = physical_memory()
        if layers + buffers > available:
            n = sum(self._counts(sizes))
            raise ValueError(
                f"hidden_layer_sizes={self.hidden_layer_sizes!r} with "
                f"{self._amount()} makes {n:,} connections, which need {layers:,} bytes "
                f"while they train, and batches need {buffers:,} bytes; this machine has "
                f"{available:,}. Choose smaller layers, a smaller density, epsilon or "
                "batch_size, or float32 data."
            )

    def _initializer(self, after: Activation | None) -> Initializer:
        if self.init == "auto":
            return INITIALIZERS[after.initializer if after else "xavier_uniform"]()
        initializer: Initializer = member_of(INITIALIZERS, self.init)
        return initializer

    def _fitted_network(self) -> Network:
        """The network that the public attributes describe."""
        return restored_network(self)

    def _continued_network(self) -> Network:
        network = self._fitted_network()
        if network.sizes != self._layer_sizes():
            raise ValueError(
                f"The fitted layers have sizes {network.sizes}, but hidden_layer_sizes="
                f"{self.hidden_layer_sizes!r} asks for {self._layer_sizes()}. Training can "
                "only continue with the same sizes; fit without warm_start to change them."
            )
        return network

    def _building_parameters(self) -> dict[str, str]:
        """Texts of the parameters of which a network that goes on takes no notice."""
        values = {name: getattr(self, name) for name in (*BUILDING, *SEEDING)}
        return {
            # Instances of random states have an address in their text.
            name: type(value).__name__ if hasattr(value, "randint") else repr(value)
            for name, value in values.items()
        }

    def _say_what_is_kept(self, names: Sequence[str]) -> None:
        """Say if parameters have changed that cannot change a network that goes on."""
        built, now = getattr(self, "_built_with", {}), self._building_parameters()
        changed = [name for name in names if built.get(name, now[name]) != now[name]]
        if changed:
            kept = " and ".join(f"{name}={built[name]}" for name in changed)
            wanted = " and ".join(f"{name}={now[name]}" for name in changed)
            warnings.warn(
                f"{wanted} has no effect, as training goes on with a network that began "
                f"with {kept}. Fit without warm_start, or a new estimator, to change it.",
                stacklevel=2,
            )

    def _new_training(
        self,
        dtype: DTypeLike,
        *,
        continued: bool,
        n_samples: float = math.inf,
        seeds: list[list[int]] | None = None,
    ) -> Training:
        """A training as the parameters say, with streams from ``seeds`` if given."""
        is_repeated = seeds is not None
        if seeds is None:
            random_state = check_random_state(self.random_state)
            seeds = random_state.randint(np.iinfo(np.int32).max, size=(3, 4)).tolist()
        init_rng, data_rng, topology_rng = map(np.random.default_rng, seeds)
        network = (
            self._continued_network()
            if continued
            else self._new_network(init_rng, dtype, n_samples)
        )
        if not (continued or is_repeated):
            self._warn_of_few_connections(self._layer_sizes())
        return Training(
            network=network,
            optimizer=self._optimizer(),
            learning_rate=LEARNING_RATES[self.learning_rate](
                self.learning_rate_init, self.power_t
            ),
            evolution=self._evolution(topology_rng, continued=continued),
            alpha=self.alpha,
            dropout=self.dropout,
            batch_size=self._batch_size(),
            n_epochs=self._n_epochs,
            shuffle=self.shuffle,
            patience=Patience(self.n_iter_no_change, self.tol),
            data_rng=data_rng,
            records_train_score="train_score" in self._recorded(),
            records_gradient_flow="effective_gradient_flow" in self._recorded(),
            seeds=seeds,
        )

    def _repeated_training(
        self, first: Training, samples: Samples, rates: Sequence[float]
    ) -> Training:
        """A training that begins as the first did, for other samples, at these rates."""
        n_samples = samples.rows.size
        training = self._new_training(
            samples.dtype, continued=False, n_samples=n_samples, seeds=first.seeds
        )
        training.learning_rate = Repeated(rates)
        training.patience = Patience(math.inf, 0)
        training.records_train_score = training.records_gradient_flow = False
        return training

    def _recorded(self) -> Sequence[str]:
        if isinstance(self.record, str):
            raise ValueError(
                f"record={self.record!r} is one name and must be a list of names; allowed "
                f"are {RECORDABLE}."
            )
        unknown = [name for name in self.record if name not in RECORDABLE]
        if unknown:
            raise ValueError(
                f"record={self.record!r} has {unknown[0]!r}; allowed are {RECORDABLE}."
            )
        return self.record

    def _evolution(self, rng: np.random.Generator, *, continued: bool) -> Evolution:
        pruning = self.pruning
        return Evolution(
            growth=self._growth(),
            pruning=None if pruning is None else member_of(PRUNINGS, pruning),
            zeta_schedule=self._zeta_schedule(),
            n_epochs=self._n_epochs,
            every=None if self.evolve_every == "epoch" else int(self.evolve_every),
            until=self.evolve_until,
            n_inputs=self._n_features_to_select(continued=continued),
            rng=rng,
            chooses=self.n_features_to_select == "auto" and not self._has_chosen(continued),
        )

    def _has_chosen(self, continued: bool) -> bool:
        """Whether training goes on with features that were selected before."""
        return continued and hasattr(self, "support_")

    def _growth(self) -> Growth | list[Growth]:
        """The growth rule, or one for each layer of connections."""
        if not isinstance(self.growth, (list, tuple)):
            rule: Growth = member_of(GROWTHS, self.growth, gamma=self.gamma)
            return rule
        n_layers = len(self._layer_sizes()) - 1
        members = _per_layer("growth", self.growth, n_layers, CONNECTIONS)
        for member in members:
            if not (isinstance(member, Growth) or member in list(GROWTHS)):
                raise ValueError(
                    f"growth={self.growth!r} has {member!r}; allowed are instances of "
                    f"Growth and the names {sorted(GROWTHS)}."
                )
        return [member_of(GROWTHS, member, gamma=self.gamma) for member in members]

    def _n_features_to_select(self, *, continued: bool) -> int | None:
        """The number of features to select, None for no selection.

        Where it is still to be chosen, the fewest that there may be.
        """
        wanted, n_features = self.n_features_to_select, self.n_features_in_
        if wanted is None:
            return None
        if isinstance(wanted, str):
            chosen = self._has_chosen(continued)
            return int(np.count_nonzero(self.support_)) if chosen else 1
        n_selected = wanted if isinstance(wanted, Integral) else round(wanted * n_features)
        if isinstance(wanted, bool) or not 1 <= n_selected <= n_features:
            raise ValueError(
                f"n_features_to_select={wanted!r} selects {n_selected} of n_features = "
                f"{n_features}; give a number from 1 to {n_features}, a share of the "
                "features in (0, 1], or 'auto'."
            )
        return int(n_selected)
