"""Linear shortcuts: gradients of both paths, dropout, updates, strengths."""

from functools import partial

import numpy as np
import pytest
from networks import (
    HERE,
    N_OUTPUTS,
    central_differences,
    frozen_mask,
    gradients,
    hidden_gradients,
    new_batch,
    new_network,
    share_all_work,
    smooth_problem,
    total_loss,
)

from sksparse_mlp.core.losses import LogisticCrossEntropy
from sksparse_mlp.core.optimizers import OPTIMIZERS, SGD, Adam
from sksparse_mlp.core.skips import Skips
from sksparse_mlp.core.workers import ALONE, Workers

# No layer is full, whichever the loss.
EPSILON = 0.8
ALL = (True, True, True)


class Choice:
    """In the place of a generator: which shortcuts take part."""

    def __init__(self, used):
        self.used = used

    def random(self, size):
        return np.where(self.used, 0.5, 0.49)


class Collector:
    """In the place of an optimizer: keeps what it is told."""

    n_slots = 1

    def __init__(self):
        self.gradients, self.told = [], []

    def update(self, values, gradient, slots, rate, n_updates, scale):
        self.gradients.append(gradient.copy())
        self.told.append((rate, n_updates, scale))


def new_skips(network, used=ALL, n_slots=1):
    """Shortcuts with random weights, of which some take part in the next batch."""
    skips = Skips(network, n_slots)
    rng = np.random.default_rng(7)
    for matrix in skips.matrices.values():
        matrix[:] = 0.5 * rng.standard_normal(matrix.shape)
    skips.draw(lambda depth: 0.5, Choice(used))
    return skips


def train(network, skips, optimizer, n_batches=1):
    """Some updates of the shortcuts alone."""
    for n in range(n_batches):
        batch = new_batch(network, seed=n)
        gradients(network, batch, skips=skips)
        skips.step(batch, optimizer, lambda depth: 0.1, 0.2)


# --- gradients ------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, frozen_mask()], ids=["all", "dropout"])
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "norm"])
@pytest.mark.parametrize("loss", N_OUTPUTS, ids=lambda loss: loss.link)
@pytest.mark.parametrize("used", [ALL, (True, False, True), (False, True, False)])
@pytest.mark.parametrize("name", ["tanh", "srelu"])
def test_gradient_of_both_paths_is_that_of_central_differences(
    name, used, loss, norm, mask
):
    network, batch = smooth_problem(mask, name=name, loss=loss, epsilon=EPSILON, norm=norm)
    skips = new_skips(network, used)
    _, *analytic = gradients(network, batch, mask, skips)
    parameters = [p for layer in network.layers for p in (layer.weights, layer.bias)]
    pairs = list(zip(parameters, analytic, strict=True))
    pairs += [(values, gradient.copy()) for values, gradient in hidden_gradients(network)]
    collector = Collector()
    skips.step(batch, collector, lambda depth: 0.1, 0.2)
    matrices = [skips.matrices[k].reshape(-1) for k in range(3) if used[k]]
    pairs += zip(matrices, collector.gradients, strict=True)
    for values, expected in pairs:
        numeric = central_differences(
            lambda: total_loss(network, batch, mask, skips), values
        )
        error = np.linalg.norm(numeric - expected)
        # What has no effect, as a bias before batch normalisation, leaves rounding errors.
        assert error < 1e-6 * max(np.linalg.norm(expected), 1e-4)


def test_outputs_are_those_of_the_network_plus_the_products():
    network = new_network("tanh", epsilon=EPSILON)
    skips, batch = new_skips(network, (True, False, True)), new_batch(network)
    network.forward(batch, ALONE, training=True)
    expected = batch.z[-1] + skips.matrices[0] @ batch.x + skips.matrices[2] @ batch.a[1]
    skips.forward(batch, 2, 3)
    skips.forward(batch, 0, 2)
    np.testing.assert_allclose(batch.z[-1], expected, rtol=1e-12)


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_number_of_threads_changes_no_bit_of_the_gradient(n_jobs, monkeypatch):
    share_all_work(monkeypatch)
    network = new_network("tanh", epsilon=EPSILON, dtype=np.float32)
    skips, alone, shared = new_skips(network), new_batch(network), new_batch(network)
    backward = partial(network.backward, mask=frozen_mask(), skips=skips)
    with Workers(n_jobs) as workers:
        for batch, threads in [(alone, HERE), (shared, workers)]:
            total_loss(network, batch, skips=skips)
            threads.run(partial(backward, batch), work=0)
    for one, other in zip(alone.dz, shared.dz, strict=True):
        np.testing.assert_array_equal(one, other)


# --- which layers have them -----------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "depths"),
    [
        ({"epsilon": EPSILON}, [0, 1, 2]),
        ({"epsilon": 1.8, "loss": LogisticCrossEntropy}, [0, 1]),
        ({"epsilon": 1e6}, []),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layers_that_are_not_full_have_shortcuts_of_zeros(kwargs, depths, dtype):
    network = new_network("tanh", dtype=dtype, **kwargs)
    skips = Skips(network, n_slots=1)
    assert list(skips.matrices) == depths
    for depth, matrix in skips.matrices.items():
        assert matrix.shape == (network.sizes[-1], network.layers[depth].n_in)
        assert matrix.dtype == dtype
        assert not matrix.any()


def test_network_of_full_layers_trains_without_shortcuts():
    network = new_network("tanh", epsilon=1e6)
    skips, collector = Skips(network, n_slots=1), Collector()
    skips.draw(lambda depth: 0.5, np.random.default_rng(0))
    batch, plain = new_batch(network), new_batch(network)
    actual = gradients(network, batch, skips=skips)
    skips.step(batch, collector, lambda depth: 0.1, 0.2)
    for one, other in zip(actual, gradients(network, plain), strict=True):
        np.testing.assert_array_equal(one, other)
    assert collector.told == []


def test_prediction_does_not_use_shortcuts():
    network = new_network("tanh", epsilon=EPSILON)
    X, rows = np.random.default_rng(0).standard_normal((9, 6)), np.arange(9)
    before = network.logits(X, rows, HERE)
    train(network, new_skips(network), Collector())
    np.testing.assert_array_equal(network.logits(X, rows, HERE), before)


# --- dropout --------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.2, 0.5, 1.0])
def test_each_shortcut_is_left_out_of_its_share_of_the_batches(dropout):
    network = new_network("tanh", epsilon=EPSILON)
    skips, rng = Skips(network, n_slots=1), np.random.default_rng(0)
    batch = new_batch(network, size=1)
    for depth, matrix in skips.matrices.items():
        batch.inputs(depth)[:] = 1
        matrix[depth] = 1
    n_batches = 2000
    seen = np.empty((n_batches, 3))
    for outputs in seen:
        batch.z[-1][:] = 0
        skips.draw(lambda depth: dropout, rng)
        skips.forward(batch, 0, 3)
        outputs[:] = batch.z[-1][:, 0] != 0
    limit = 4.5 * np.sqrt(dropout * (1 - dropout) / n_batches)
    assert np.all(np.abs(seen.mean(axis=0) - (1 - dropout)) <= limit)
    if 0 < dropout < 1:
        correlations = np.corrcoef(seen.T)[np.triu_indices(3, 1)]
        assert np.all(np.abs(correlations) < 4.5 / np.sqrt(n_batches))


# --- updates --------------------------------------------------------------------------


@pytest.mark.parametrize("used", [(True, False, True), (False, True, False)])
def test_shortcut_that_is_left_out_is_not_updated(used):
    network = new_network("tanh", epsilon=EPSILON)
    skips, before = new_skips(network, used), new_skips(network).matrices
    train(network, skips, SGD(momentum=0.9, nesterov=False), n_batches=2)
    for depth, matrix in skips.matrices.items():
        assert np.array_equal(matrix, before[depth]) != used[depth]


@pytest.mark.parametrize("used", [ALL, (False, False, True)])
def test_updates_are_counted_from_one(used):
    network, collector = new_network("tanh", epsilon=EPSILON), Collector()
    train(network, new_skips(network, used), collector, n_batches=3)
    expected = [(0.1, n, 0.2) for n in (1, 2, 3) for _ in range(sum(used))]
    assert collector.told == expected


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_shortcut_follows_the_optimizer_with_slots_of_its_own(name):
    network = new_network("tanh", epsilon=EPSILON)
    optimizer = {
        "sgd": SGD(momentum=0.9, nesterov=True),
        "adam": Adam(beta_1=0.9, beta_2=0.999, epsilon=1e-8),
    }[name]
    skips = new_skips(network, n_slots=optimizer.n_slots)
    expected = new_skips(network)
    slots = {k: np.zeros((optimizer.n_slots, m.size)) for k, m in expected.matrices.items()}
    for n in (1, 2, 3):
        batch = new_batch(network, seed=n)
        total_loss(network, batch, skips=skips)
        skips.step(batch, optimizer, lambda depth: 0.1, 0.2)
        for depth, matrix in expected.matrices.items():
            gradient = (batch.dz[-1] @ batch.inputs(depth).T).reshape(-1)
            optimizer.update(matrix.reshape(-1), gradient, slots[depth], 0.1, n, 0.2)
    for depth, matrix in expected.matrices.items():
        np.testing.assert_allclose(skips.matrices[depth], matrix, rtol=1e-9, atol=1e-12)


def test_strength_of_an_input_is_its_sum_of_absolute_weights():
    network = new_network("tanh", epsilon=EPSILON)
    skips = new_skips(network)
    for depth, matrix in skips.matrices.items():
        expected = [sum(abs(w) for w in column) for column in matrix.T.tolist()]
        np.testing.assert_allclose(skips.strengths(depth), expected, rtol=1e-12)
