"""Small networks, batches and evolutions; comparisons and numerical derivatives."""

from itertools import pairwise

import numpy as np

from sksparse_mlp.activations import ACTIVATIONS
from sksparse_mlp.core.evolution import Evolution
from sksparse_mlp.core.hidden import BatchNorm, Hidden
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.losses import LogisticCrossEntropy, SoftmaxCrossEntropy
from sksparse_mlp.core.network import Dropout, Network
from sksparse_mlp.core.workers import Workers
from sksparse_mlp.initializers import HeNormal
from sksparse_mlp.schedules import Constant
from sksparse_mlp.topology import RandomGrowth

N_OUTPUTS = {SoftmaxCrossEntropy: 3, LogisticCrossEntropy: 1}
EPSILONS = {"sparse": 1.8, "full": 1e6}
BATCH = 5
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


def total_loss(network, batch, mask=None, skips=None):
    """The loss of a forward pass; leaves its gradient in ``batch.dz[-1]``."""
    rng = np.random.default_rng(3)
    y = rng.integers(max(2, network.sizes[-1]), size=BATCH)
    network.forward(batch, HERE, training=True, mask=mask)
    if skips is not None:
        skips.forward(batch)
    return network.loss.value_and_gradient(
        batch.z[-1], y, rng.uniform(0.5, 2, BATCH), np.arange(BATCH), batch.dz[-1], 0.0
    )


def gradients(network, batch, mask=None, skips=None):
    """Analytic gradients of the inputs, then of weights and biases layer by layer."""
    collected = {}

    def step(layer, x, dz):
        collected[id(layer)] = layer.gradient(x, dz)
        dx = np.empty_like(x)
        layer.backward_input(dz, dx, 0, layer.n_in)
        collected["inputs"] = dx

    total_loss(network, batch, mask, skips)
    network.backward(batch, HERE, step, mask, skips)
    by_layer = [g for layer in network.layers for g in collected[id(layer)]]
    return [collected["inputs"], *by_layer]


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
        distance > 2e-3
        for unit, z in zip(network.hidden, batch.z[:-1], strict=True)
        for distance in distances_from_kinks(unit, z)
    )


def smooth_problem(mask, **kwargs):
    for seed in range(100):
        network = new_network(**kwargs, seed=seed)
        batch = new_batch(network, seed)
        batch.x *= 2
        network.forward(batch, HERE, training=True, mask=mask)
        is_alive = all(np.ptp(a) > 0 for a in batch.a)
        if is_alive and is_away_from_kinks(network, batch):
            return network, batch
    raise AssertionError("every seed puts a pre-activation next to a kink")
