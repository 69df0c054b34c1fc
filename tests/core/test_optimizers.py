"""Optimizer steps equal gradient and plain update; nothing turns subnormal."""

import inspect
from itertools import pairwise

import naive
import numpy as np
import pytest

from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.optimizers import OPTIMIZERS, flush_limit
from sksparse_mlp.initializers import HeNormal

SHAPE = N_IN, N_OUT = 40, 9
BATCH = 16
N_STEPS = 6
PARAMETERS = {"momentum": 0.9, "nesterov": True}
PARAMETERS |= {"beta_1": 0.9, "beta_2": 0.97, "epsilon": 1e-8}


def new_optimizer(name, **changes):
    names = inspect.signature(OPTIMIZERS[name]).parameters
    return OPTIMIZERS[name](**{key: PARAMETERS[key] for key in names} | changes)


def new_layer(optimizer, dtype=np.float64):
    rng = np.random.default_rng(0)
    layer = SparseLayer.random(*SHAPE, 3, rng, dtype)
    HeNormal()(layer, rng)
    layer.add_slots(optimizer.n_slots)
    return layer


def batches(dtype=np.float64):
    """Inputs and output gradients of a few steps."""
    rng = np.random.default_rng(1)
    for _ in range(N_STEPS):
        yield tuple(rng.standard_normal((n, BATCH)).astype(dtype) for n in SHAPE)


def train(optimizer, layer, *, alpha=0.0, rows=(0, N_OUT)):
    for n_updates, (x, dz) in enumerate(batches(layer.weights.dtype), start=1):
        step = optimizer.step(layer, x, dz, 0.05 / n_updates, n_updates, alpha, 1 / BATCH)
        for start, stop in pairwise(rows):
            step(start, stop)
    return layer


def plain_sgd(w, slots, g, rate, t, *, momentum, nesterov):
    (v,) = slots
    v[:] = momentum * v - rate * g
    w += momentum * v - rate * g if nesterov else v


def plain_adam(w, slots, g, rate, t, *, beta_1, beta_2, epsilon):
    m, v = slots
    m[:] = beta_1 * m + (1 - beta_1) * g
    v[:] = beta_2 * v + (1 - beta_2) * g * g
    rate_t = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    w -= rate_t * m / (np.sqrt(v) + epsilon)


def train_densely(update, layer, n_slots, *, alpha, **parameters):
    """Plain updates of a dense copy of the layer, masked by its pattern."""
    pattern = layer.indptr, layer.indices
    mask = naive.dense(*pattern, np.ones_like(layer.weights), N_IN)
    W, b = naive.dense(*pattern, layer.weights, N_IN), layer.bias.copy()
    slots = [(np.zeros_like(W), np.zeros_like(b)) for _ in range(n_slots)]
    for t, (x, dz) in enumerate(batches(), start=1):
        gW = mask * (dz @ x.T + alpha * W) / BATCH
        gb = dz.sum(axis=1) / BATCH
        for values, own, g in zip((W, b), zip(*slots, strict=True), (gW, gb), strict=True):
            update(values, own, g, 0.05 / t, t, **parameters)
    return W[mask == 1], b, [(W_slot[mask == 1], b_slot) for W_slot, b_slot in slots]


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize(
    ("name", "update", "parameters"),
    [
        ("sgd", plain_sgd, {"momentum": 0.0, "nesterov": False}),
        ("sgd", plain_sgd, {"momentum": 0.9, "nesterov": False}),
        ("sgd", plain_sgd, {"momentum": 0.9, "nesterov": True}),
        ("adam", plain_adam, {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}),
        ("adam", plain_adam, {"beta_1": 0.0, "beta_2": 0.5, "epsilon": 0.1}),
    ],
)
def test_steps_equal_gradient_and_plain_update(name, update, parameters, alpha):
    optimizer = new_optimizer(name, **parameters)
    layer = new_layer(optimizer)
    expected = train_densely(update, layer, optimizer.n_slots, alpha=alpha, **parameters)
    train(optimizer, layer, alpha=alpha)
    weights, bias, slots = expected
    np.testing.assert_allclose(layer.weights, weights, rtol=1e-10)
    np.testing.assert_allclose(layer.bias, bias, rtol=1e-10)
    for actual, plain in zip(layer.slots, slots, strict=True):
        for values, reference in zip(actual, plain, strict=True):
            np.testing.assert_allclose(values, reference, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_steps_stay_float32_and_near_float64(name):
    optimizer = new_optimizer(name)
    double, single = (
        train(optimizer, new_layer(optimizer, d)) for d in (float, np.float32)
    )
    assert single.weights.dtype == single.bias.dtype == np.float32
    np.testing.assert_allclose(single.weights, double.weights, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(single.bias, double.bias, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_sharing_rows_changes_no_bit(name, dtype):
    optimizer = new_optimizer(name)
    whole = train(optimizer, new_layer(optimizer, dtype), alpha=0.1)
    shared = train(optimizer, new_layer(optimizer, dtype), alpha=0.1, rows=(0, 1, 5, N_OUT))
    np.testing.assert_array_equal(whole.weights, shared.weights)
    np.testing.assert_array_equal(whole.bias, shared.bias)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_penalty_pulls_weights_towards_zero_but_not_biases(name):
    optimizer = new_optimizer(name)
    layer = new_layer(optimizer)
    layer.bias[:] = 1
    before = layer.weights.copy()
    x, dz = np.zeros((N_IN, BATCH)), np.zeros((N_OUT, BATCH))
    optimizer.step(layer, x, dz, 1e-6, 1, 0.5, 1 / BATCH)(0, N_OUT)
    np.testing.assert_array_equal(np.sign(before - layer.weights), np.sign(before))
    np.testing.assert_array_equal(layer.bias, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_slots_without_gradient_decay_to_zero_and_are_never_subnormal(name, dtype):
    optimizer = new_optimizer(name)
    layer = new_layer(optimizer, dtype)
    values = [array for slot in layer.slots for array in slot]
    for array in values:
        array[:] = np.linspace(1, 100, array.size) * flush_limit(dtype)
    zeros = [np.zeros((n, BATCH), dtype) for n in SHAPE]
    for n_updates in range(1, 400):
        optimizer.step(layer, *zeros, 0.01, n_updates, 0.0, 1.0)(0, N_OUT)
        for array in values:
            assert not np.any((array != 0) & (np.abs(array) < np.finfo(dtype).tiny))
    assert not any(array.any() for array in values)
    assert layer.is_finite()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_flush_limit_leaves_room_for_products(dtype):
    limit = dtype(flush_limit(dtype))
    assert limit * np.finfo(dtype).eps >= np.finfo(dtype).tiny
    assert limit < np.finfo(dtype).eps ** 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_vectors_follow_their_gradient_like_biases(name, dtype):
    optimizer = new_optimizer(name)
    layer = new_layer(optimizer, dtype)
    values = layer.bias.copy()
    slots = np.zeros((optimizer.n_slots, values.size), dtype)
    for n_updates, (_, dz) in enumerate(batches(dtype), start=1):
        rate = 0.05 / n_updates
        optimizer.update(values, dz.sum(axis=1), slots, rate, n_updates, 1 / BATCH)
    assert np.all(values != layer.bias)
    # The penalty concerns weights alone.
    train(optimizer, layer, alpha=0.5)
    np.testing.assert_allclose(
        values, layer.bias, rtol=1e-4 if dtype == np.float32 else 1e-10
    )
    for slot, (_, bias_slot) in zip(slots, layer.slots, strict=True):
        np.testing.assert_allclose(slot, bias_slot, rtol=1e-4, atol=1e-6)
