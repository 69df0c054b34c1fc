"""Small networks, batches and evolutions; comparisons and numerical derivatives."""

import threading
from itertools import pairwise

import numpy as np

from sksparse_mlp.activations import ACTIVATIONS
from sksparse_mlp.core import workers
from sksparse_mlp.core.evolution import Evolution
from sksparse_mlp.core.hidden import BatchNorm, Hidden
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.losses import (
    LogisticCrossEntropy,
    MultilabelCrossEntropy,
    SoftmaxCrossEntropy,
    TargetLoss,
)
from sksparse_mlp.core.network import Dropout, Network
from sksparse_mlp.core.workers import ALONE, Member, Workers
from sksparse_mlp.initializers import HeNormal
from sksparse_mlp.losses import LOSSES
from sksparse_mlp.schedules import Constant
from sksparse_mlp.topology import RandomGrowth

# Losses of numbers, one of each of the family.
OF_TARGETS = {
    name: TargetLoss(cls(), np.full((2, 1), [[-np.inf], [np.inf]]))
    for name, cls in LOSSES.items()
}
SQUARED_ERROR = OF_TARGETS["squared_error"]
N_OUTPUTS = {
    SoftmaxCrossEntropy: 3,
    LogisticCrossEntropy: 1,
    MultilabelCrossEntropy: 3,
    **dict.fromkeys(OF_TARGETS.values(), 1),
}
# Of all of them, the same in every process.
LOSS_NAMES = [
    getattr(loss, "__name__", None) or type(loss.member).__name__ for loss in N_OUTPUTS
]
EPSILONS = {"sparse": 1.8, "full": 1e6}
# Whole vectors of float64.
BATCH = 8
HERE = Workers(n_jobs=1)


def new_norm(rng, n_neurons, dtype):
    """Batch normalisation far from its initial values."""
    values = rng.standard_normal((3, n_neurons)), rng.uniform(0.5, 2, n_neurons)
    return BatchNorm(*values[0].astype(dtype), values[1].astype(dtype))


def new_hidden(rng, activation, depth, n_neurons, dtype, norm):
    """Learned parameters differ from neuron to neuron."""
    parameters = activation.initial_parameters(depth, n_neurons, dtype)
    if activation.learnable:
        parameters += rng.uniform(-0.2, 0.2, parameters.shape).astype(dtype)
    norm = new_norm(rng, n_neurons, dtype) if norm else None
    return Hidden(activation, parameters, n_neurons, norm)


def new_network(
    name,
    loss=SoftmaxCrossEntropy,
    epsilon=1.8,
    dtype=np.float64,
    seed=0,
    norm=False,
    hidden_sizes=(8, 7),
    n_inputs=6,
):
    """Layers with random biases; a small epsilon makes them sparse."""
    rng = np.random.default_rng(seed)
    sizes = [n_inputs, *hidden_sizes, N_OUTPUTS[loss]]
    layers = [SparseLayer.random(*pair, epsilon, rng, dtype) for pair in pairwise(sizes)]
    for layer in layers:
        HeNormal()(layer, rng, None, None)
        layer.bias[:] = 0.5 * rng.standard_normal(layer.n_out)
    activation = ACTIVATIONS[name]() if isinstance(name, str) else name
    hidden = [
        new_hidden(rng, activation, depth, n_neurons, dtype, norm)
        for depth, n_neurons in enumerate(hidden_sizes, start=1)
    ]
    return Network(layers, hidden, loss)


def new_batch(network, seed=0, size=BATCH):
    batch = network.buffers(size, training=True)
    batch.x[:] = np.random.default_rng(seed).standard_normal(batch.x.shape)
    return batch


def frozen_mask(keys=(17, 4)):
    dropout = Dropout(0.3)
    return lambda depth, a, start, stop: dropout(a, keys[depth], start, stop)


def new_evolution(**changes):
    """SET after every epoch, without any neuron leaving."""
    parameters = {
        "growth": RandomGrowth(),
        "pruning": None,
        "zeta_schedule": Constant(0.3),
        "n_epochs": 5,
        "every": None,
        "until": 1.0,
        "n_inputs": None,
        "rng": np.random.default_rng(2),
    }
    return Evolution(**(parameters | changes))


def assert_same_network(first, second):
    for layer, twin in zip(first.layers, second.layers, strict=True):
        assert layer.has_pattern_of(twin)
        np.testing.assert_array_equal(layer.weights, twin.weights)
        np.testing.assert_array_equal(layer.bias, twin.bias)
    for unit, other in zip(first.hidden, second.hidden, strict=True):
        np.testing.assert_array_equal(unit.parameters, other.parameters)
        assert (unit.norm is None) == (other.norm is None)
        for name in vars(unit.norm) if unit.norm else ():
            one, two = getattr(unit.norm, name), getattr(other.norm, name)
            np.testing.assert_array_equal(one, two)


def random_targets(loss, size, rng, n_outputs=None):
    """What the loss takes as ``y`` of so many samples."""
    n_outputs = N_OUTPUTS[loss] if n_outputs is None else n_outputs
    if loss is MultilabelCrossEntropy:
        return rng.integers(2, size=(size, n_outputs), dtype=np.int8)
    if isinstance(loss, TargetLoss):
        y = rng.standard_normal((size, n_outputs))
        return np.exp(y) if loss.link == "exp" else y
    return rng.integers(max(2, n_outputs), size=size)


def total_loss(network, batch, mask=None, skips=None):
    """The loss of a forward pass; leaves its gradient in ``batch.dz[-1]``."""
    rng = np.random.default_rng(3)
    y = random_targets(network.loss, BATCH, rng)
    network.forward(batch, ALONE, training=True, mask=mask)
    if skips is not None:
        skips.forward(batch, 0, network.sizes[-1])
    network.loss.value_and_gradient(
        batch.z[-1], y, rng.uniform(0.5, 2, BATCH), np.arange(BATCH),
        batch.dz[-1], batch.losses, 0.0, 0, BATCH,
    )  # fmt: skip
    return batch.losses.sum()


def gradients(network, batch, mask=None, skips=None):
    """Analytic gradients of the inputs, then of weights and biases layer by layer."""
    total_loss(network, batch, mask, skips)
    network.backward(batch, ALONE, mask, skips)
    of_inputs, first = np.empty_like(batch.x), network.layers[0]
    first.backward_input(batch.dz[0], of_inputs, 0, first.n_in)
    return [of_inputs, *layer_gradients(network, batch)]


def layer_gradients(network, batch):
    """Gradients of weights and biases layer by layer, after a backward pass."""
    return [
        gradient
        for depth, layer in enumerate(network.layers)
        for gradient in layer.gradient(batch.inputs(depth), batch.dz[depth])
    ]


class TakingTurns:
    """A team of which one member at a time works, until its next meeting.

    Whoever reads what another member has not yet written, for want of a meeting, gets
    what was there before. ``step`` is 1 if the first member begins, -1 if the last does.
    """

    def __init__(self, n_threads, step):
        self.n_threads, self._step = n_threads, step

    def run(self, task, work):
        self._turns = [threading.Semaphore(0) for _ in range(self.n_threads)]
        self._errors = []
        players = [
            threading.Thread(
                target=self._play, args=(task, Member(k, self.n_threads, self))
            )
            for k in range(self.n_threads)
        ]
        for player in players:
            player.start()
        self._playing = 0 if self._step > 0 else self.n_threads - 1
        self._turns[self._playing].release()
        for player in players:
            player.join()
        if self._errors:
            raise self._errors[0]

    def meet(self, n_arrivals):
        me = self._playing
        self._pass_on()
        self._await_turn(me)

    def _play(self, task, member):
        try:
            self._await_turn(member.rank)
            task(member)
        except BaseException as error:
            self._errors.append(error)
        self._pass_on()

    def _await_turn(self, rank):
        # Only a member that misses a meeting lets others wait.
        assert self._turns[rank].acquire(timeout=20)

    def _pass_on(self):
        self._playing = (self._playing + self._step) % self.n_threads
        self._turns[self._playing].release()


def share_all_work(monkeypatch):
    """Up to eight threads share even the smallest work, whatever cores there are."""
    monkeypatch.setattr(workers, "MIN_WORK", 0)
    monkeypatch.setattr(workers.Pace, "shares", lambda pace: True)
    monkeypatch.setattr(workers, "available_cores", lambda: 8)


def hidden_gradients(network):
    """(values, analytic gradient) of all that hidden layers train, after `gradients`."""
    for unit in network.hidden:
        if unit.activation.learnable:
            yield unit.parameters, unit.parameter_gradient()
        if unit.norm is not None:
            yield unit.norm.gain, unit.gain_gradient
            yield unit.norm.shift, unit.shift_gradient


def central_differences(function, values, h=1e-4):
    """Derivatives from five points, exact up to the fifth order of h."""

    def at(place, value):
        values[place] = value
        return function()

    slopes = np.empty_like(values)
    for place in np.ndindex(values.shape):
        x = values[place]
        near = at(place, x + h) - at(place, x - h)
        far = at(place, x + 2 * h) - at(place, x - 2 * h)
        slopes[place] = (8 * near - far) / (12 * h)
        values[place] = x
    return slopes


def distances_from_kinks(unit, z):
    for neuron, values in enumerate(z):
        column = [neuron % unit.parameters.shape[1]]
        kinks = unit.activation.kinks(unit.parameters[:, column])
        if kinks is not None and kinks.size:
            yield np.min(np.abs(values[:, np.newaxis] - kinks))


def is_away_from_kinks(network, batch):
    """Whether no derivative jumps near any pre-activation."""
    return all(
        distance > 4e-3
        for unit, z in zip(network.hidden, batch.z[:-1], strict=True)
        for distance in distances_from_kinks(unit, z)
    )


def smooth_problem(mask, **kwargs):
    for seed in range(100):
        network = new_network(**kwargs, seed=seed)
        batch = new_batch(network, seed)
        batch.x *= 2
        network.forward(batch, ALONE, training=True, mask=mask)
        is_alive = all(np.ptp(a) > 0 for a in batch.a)
        if is_alive and is_away_from_kinks(network, batch):
            return network, batch
    raise AssertionError("every seed puts a pre-activation next to a kink")
