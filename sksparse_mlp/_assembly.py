"""From an estimator's parameters and fitted attributes to the objects that train."""

from itertools import pairwise
from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state

from sksparse_mlp.activations import ACTIVATIONS, Activation
from sksparse_mlp.core.hidden import BatchNorm, Hidden
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.learning_rates import LEARNING_RATES
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.optimizers import SGD, Adam
from sksparse_mlp.core.training import Patience, Training
from sksparse_mlp.initializers import INITIALIZERS
from sksparse_mlp.schedules import ZETA_SCHEDULES
from sksparse_mlp.topology import GROWTHS

AUTO_BATCH_SIZE = 64


def _member(registry, member, **shared):
    """The member of a family: an instance, or the one of that name.

    A named member takes those of the ``shared`` parameters that it has.
    """
    if not isinstance(member, str):
        if hasattr(member, "_validate_params"):
            member._validate_params()
        return member
    cls = registry[member]
    return cls(**{k: v for k, v in shared.items() if k in cls._get_param_names()})


class Assembly:
    """Mixin of the estimators: builds networks and trainings."""

    def _layer_sizes(self):
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object))
        if sizes.ndim > 1 or not all(isinstance(n, Integral) and n > 0 for n in sizes):
            raise ValueError(
                "hidden_layer_sizes must be one positive integer or a sequence of them, "
                f"got {self.hidden_layer_sizes!r}."
            )
        return [self.n_features_in_, *map(int, sizes), self._n_outputs()]

    def _activations(self, n_hidden):
        """One activation per hidden layer."""
        members = self.activation
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

    def _new_hidden(self, sizes, dtype):
        """What follows each hidden layer, before training."""
        units = []
        for depth, activation in enumerate(self._activations(len(sizes) - 2), start=1):
            n_neurons = sizes[depth]
            parameters = activation.initial_parameters(depth, n_neurons, dtype)
            norm = BatchNorm.initial(n_neurons, dtype) if self.batch_norm else None
            units.append(Hidden(activation, parameters, n_neurons, norm))
        return units

    def _zeta_schedule(self):
        schedule = _member(ZETA_SCHEDULES, self.zeta_schedule, zeta=self.zeta)
        for epoch in range(self.max_iter):
            zeta = schedule(epoch, self.max_iter)
            if not 0 <= zeta < 1:
                raise ValueError(
                    f"zeta_schedule={self.zeta_schedule!r} gives zeta={zeta!r} at epoch "
                    f"{epoch} of {self.max_iter}; zeta must be in [0, 1) at every epoch."
                )
        return schedule

    def _optimizer(self):
        if self.solver == "sgd":
            return SGD(momentum=self.momentum, nesterov=self.nesterovs_momentum)
        return Adam(beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.adam_epsilon)

    def _batch_size(self):
        if self.batch_norm and self.batch_size == 1:
            raise ValueError(
                "batch_norm=True needs batches of at least 2 samples, got batch_size=1."
            )
        return AUTO_BATCH_SIZE if self.batch_size == "auto" else int(self.batch_size)

    def _new_network(self, rng, dtype):
        sizes = self._layer_sizes()
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

    def _initializer(self, after):
        if self.init == "auto":
            return INITIALIZERS[after.initializer if after else "xavier_uniform"]()
        return _member(INITIALIZERS, self.init)

    def _fitted_network(self):
        """The network that the public attributes describe."""
        layers = [
            SparseLayer.from_coef(coef, intercept)
            for coef, intercept in zip(self.coefs_, self.intercepts_, strict=True)
        ]
        if any(layer.n_out != following.n_in for layer, following in pairwise(layers)):
            shapes = [coef.shape for coef in self.coefs_]
            raise ValueError(f"The layers in coefs_ do not fit each other: {shapes}.")
        return Network(layers, self._fitted_hidden(layers[:-1]), self._loss())

    def _fitted_hidden(self, layers):
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

    def _fitted_norm(self, depth, n_neurons, dtype):
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

    def _continued_network(self):
        network = self._fitted_network()
        if network.sizes != self._layer_sizes():
            raise ValueError(
                f"The fitted layers have sizes {network.sizes}, but hidden_layer_sizes="
                f"{self.hidden_layer_sizes!r} asks for {self._layer_sizes()}. Training can "
                "only continue with the same sizes; fit without warm_start to change them."
            )
        return network

    def _new_training(self, dtype, *, continued):
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
            growth=_member(GROWTHS, self.growth),
            zeta_schedule=self._zeta_schedule(),
            alpha=self.alpha,
            dropout=self.dropout,
            batch_size=self._batch_size(),
            n_epochs=self.max_iter,
            shuffle=self.shuffle,
            evolve_every=None if self.evolve_every == "epoch" else int(self.evolve_every),
            patience=Patience(self.n_iter_no_change, self.tol),
            data_rng=data_rng,
            topology_rng=topology_rng,
        )
