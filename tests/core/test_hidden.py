"""What a hidden layer learns besides weights: updates, moments, slots."""

import numpy as np
import pytest

from sksparse_mlp.activations import ACTIVATIONS, GAReLU, LeakyReLU, PReLU, SReLU
from sksparse_mlp.core.hidden import NORM_EPSILON, NORM_MOMENTUM, BatchNorm, Hidden
from sksparse_mlp.core.optimizers import OPTIMIZERS, SGD, Adam

N_NEURONS = 6
BATCH = 9
RATE, MOMENTUM = 0.05, 0.9
LEARNABLE = [name for name, cls in ACTIVATIONS.items() if cls.learnable]
descent = SGD(momentum=MOMENTUM, nesterov=False)


def new_hidden(activation, depth=1, norm=False, n_slots=1, dtype=np.float64):
    parameters = activation.initial_parameters(depth, N_NEURONS, dtype)
    norm = BatchNorm.initial(N_NEURONS, dtype) if norm else None
    unit = Hidden(activation, parameters, N_NEURONS, norm)
    unit.add_slots(n_slots)
    return unit


def batches(n_batches, dtype=np.float64):
    """Pre-activations and gradients for the activations."""
    rng = np.random.default_rng(0)
    for _ in range(n_batches):
        yield rng.standard_normal((2, N_NEURONS, BATCH)).astype(dtype)


def pass_through(unit, u, da, *, training=True):
    """Forward and backward of one batch; returns what came in, normalised, and out."""
    u, da = u.copy(), da.copy()
    z = u if unit.norm is None else np.empty_like(u)
    a = np.empty_like(u)
    unit.forward(u, z, a, 0, N_NEURONS, size=u.shape[1] if training else None)
    unit.backward(u, z, da, u.shape[1], 0, N_NEURONS)
    return z, a, da


# --- one slope per layer --------------------------------------------------------------


def slope_gradient(z, da):
    """Eq. 1.3: the sum over neurons and samples where the input is not positive."""
    return np.sum(da * np.minimum(z, 0))


@pytest.mark.parametrize("factor", [1.0, 0.3, 0.0])
@pytest.mark.parametrize("depth", [1, 2])
def test_garelu_follows_momentum_descent_at_every_batch(depth, factor):
    unit = new_hidden(GAReLU(slope=0.4, learning_rate_factor=factor), depth)
    slope, velocity = -0.4 if depth == 1 else 0.4, 0.0
    for n, (z, da) in enumerate(batches(7), start=1):
        pass_through(unit, z, da)
        unit.step(descent, RATE, n, 1 / BATCH)
        gradient = slope_gradient(z, da) / BATCH
        velocity = MOMENTUM * velocity - factor * RATE * gradient
        slope += velocity
        assert unit.parameters.shape == (1, 1)
        assert unit.parameters[0, 0] == pytest.approx(slope, rel=1e-12)


@pytest.mark.parametrize("factor", [1.0, 0.3])
def test_garelu_follows_the_mean_gradient_once_per_epoch(factor):
    activation = GAReLU(slope=0.4, learning_rate_factor=factor, update="epoch")
    unit = new_hidden(activation)
    slope, velocity, drawn = -0.4, 0.0, batches(9)
    for n_epochs, scales in enumerate([(0.1, 0.2, 0.1, 0.5), (0.3,), (0.1,) * 4], start=1):
        gradients = []
        for scale in scales:
            z, da = next(drawn)
            pass_through(unit, z, da)
            unit.step(descent, RATE, 1, scale)
            gradients.append(scale * slope_gradient(z, da))
            assert unit.parameters[0, 0] == pytest.approx(slope, rel=1e-12)
        unit.end_epoch(descent, RATE, n_epochs)
        velocity = MOMENTUM * velocity - factor * RATE * np.mean(gradients)
        slope += velocity
        assert unit.parameters[0, 0] == pytest.approx(slope, rel=1e-12)


def test_adam_corrects_its_bias_by_epochs_for_what_learns_once_per_epoch():
    unit = new_hidden(GAReLU(update="epoch"), n_slots=2)
    before = unit.parameters.copy()
    for n, (z, da) in enumerate(batches(4), start=1):
        pass_through(unit, z, da)
        unit.step(Adam(beta_1=0.9, beta_2=0.999, epsilon=1e-8), RATE, n, 1 / BATCH)
    unit.end_epoch(Adam(beta_1=0.9, beta_2=0.999, epsilon=1e-8), RATE, 1)
    # Adam's first step is as long as the rate.
    np.testing.assert_allclose(np.abs(unit.parameters - before), RATE, rtol=1e-5)


@pytest.mark.parametrize("activation", [GAReLU(), LeakyReLU(), PReLU()])
def test_end_of_an_epoch_moves_nothing_that_learns_at_every_batch(activation):
    unit = new_hidden(activation)
    for z, da in batches(3):
        pass_through(unit, z, da)
        unit.step(descent, RATE, 1, 1 / BATCH)
    before = unit.parameters.copy()
    unit.end_epoch(descent, RATE, 1)
    np.testing.assert_array_equal(unit.parameters, before)


# --- any activation -------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_only_learnable_parameters_move(name, optimizer):
    slots = {"sgd": 1, "adam": 2}[optimizer]
    unit = new_hidden(ACTIVATIONS[name](), n_slots=slots)
    step = {"sgd": descent, "adam": Adam(beta_1=0.9, beta_2=0.999, epsilon=1e-8)}
    before = unit.parameters.copy()
    for n, (z, da) in enumerate(batches(3), start=1):
        pass_through(unit, z, da)
        unit.step(step[optimizer], RATE, n, 1 / BATCH)
    moved = np.any(unit.parameters != before)
    assert moved == unit.activation.learnable


def test_each_neuron_has_its_own_slope():
    unit = new_hidden(PReLU(learning_rate_factor=0.5))
    ((z, da),) = batches(1)
    pass_through(unit, z, da)
    unit.step(descent, RATE, 1, 1 / BATCH)
    gradients = np.sum(da * np.minimum(z, 0), axis=1) / BATCH
    np.testing.assert_allclose(unit.parameters[0], 0.25 - 0.5 * RATE * gradients)


@pytest.mark.parametrize("name", LEARNABLE)
def test_copy_shares_nothing_and_has_no_slots(name):
    unit = new_hidden(ACTIVATIONS[name](), norm=True)
    copy = unit.copy()
    assert copy.slots == []
    arrays = [unit.parameters, *vars(unit.norm).values()]
    twins = [copy.parameters, *vars(copy.norm).values()]
    for values, twin in zip(arrays, twins, strict=True):
        np.testing.assert_array_equal(values, twin)
        assert not np.shares_memory(values, twin)


def test_slots_are_zero_and_added_once():
    unit = new_hidden(SReLU(), norm=True, n_slots=2, dtype=np.float32)
    assert [s.shape for s in unit.slots] == [(2, 4 * N_NEURONS), (2, 6), (2, 6)]
    assert not any(slot.any() for slot in unit.slots)
    assert all(slot.dtype == np.float32 for slot in unit.slots)
    unit.slots[0][:] = 7
    unit.add_slots(2)
    assert np.all(unit.slots[0] == 7)


# --- batch normalisation --------------------------------------------------------------


def test_moving_moments_are_those_of_the_batches():
    unit = new_hidden(PReLU(), norm=True)
    mean, variance = np.zeros(N_NEURONS), np.ones(N_NEURONS)
    for u, da in batches(5):
        z, _, _ = pass_through(unit, u, da)
        mean += 0.1 * (u.mean(axis=1) - mean)
        variance += 0.1 * (u.var(axis=1, ddof=1) - variance)
        np.testing.assert_allclose(unit.norm.mean, mean, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(unit.norm.variance, variance, rtol=1e-10)
        np.testing.assert_allclose(z.mean(axis=1), 0, atol=1e-12)
        np.testing.assert_allclose(z.var(axis=1), 1, rtol=1e-3)
    assert NORM_MOMENTUM == 0.1


def test_prediction_uses_the_moving_moments_and_changes_none():
    unit = new_hidden(PReLU(), norm=True)
    for name, values in vars(unit.norm).items():
        values[:] = np.random.default_rng(len(name)).uniform(0.5, 2, N_NEURONS)
    before = unit.norm.copy()
    ((u, _),) = batches(1)
    z, a = np.empty_like(u), np.empty_like(u)
    unit.forward(u.copy(), z, a, 0, N_NEURONS)
    gain, shift, mean, variance = (m[:, np.newaxis] for m in vars(before).values())
    expected = gain * (u - mean) / np.sqrt(variance + NORM_EPSILON) + shift
    np.testing.assert_allclose(z, expected, rtol=1e-12, atol=1e-12)
    for name, values in vars(unit.norm).items():
        np.testing.assert_array_equal(values, getattr(before, name))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batch_of_one_sample_is_its_own_mean(dtype):
    unit = new_hidden(PReLU(), norm=True, dtype=dtype)
    unit.norm.shift[:] = np.arange(1, N_NEURONS + 1)
    u = np.full((N_NEURONS, 1), 3, dtype)
    z, _, du = pass_through(unit, u, np.ones_like(u))
    np.testing.assert_array_equal(z[:, 0], unit.norm.shift)
    # Whatever the input, the output is the shift: no gradient.
    np.testing.assert_array_equal(du, 0)
    np.testing.assert_array_equal(unit.gain_gradient, 0)
    np.testing.assert_array_equal(unit.shift_gradient, 1)
    # One sample has no variance: the moving averages stay as they were.
    np.testing.assert_array_equal(unit.norm.mean, 0)
    np.testing.assert_array_equal(unit.norm.variance, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_inputs_are_normalised_to_zero(dtype):
    unit = new_hidden(PReLU(), norm=True, dtype=dtype)
    u = np.full((N_NEURONS, BATCH), 5, dtype)
    z, _, du = pass_through(unit, u, np.ones_like(u))
    np.testing.assert_array_equal(z, 0)
    assert np.isfinite(du).all()


@pytest.mark.parametrize("activation", [PReLU(), LeakyReLU()])
def test_gain_and_shift_follow_their_own_gradients(activation):
    unit = new_hidden(activation, norm=True)
    ((u, da),) = batches(1)
    z, _, _ = pass_through(unit, u, da)
    dz = da * np.where(z > 0, 1, 0.25)
    unit.step(descent, RATE, 1, 1 / BATCH)
    rate = RATE / BATCH
    # Gain 1 and shift 0 before: the pre-activations are the normalised values.
    np.testing.assert_allclose(unit.norm.gain, 1 - rate * np.sum(dz * z, axis=1))
    np.testing.assert_allclose(unit.norm.shift, -rate * np.sum(dz, axis=1))
