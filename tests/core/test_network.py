"""Forward and backward passes: gradients, masks, batches, threads."""

from itertools import pairwise

import naive
import numpy as np
import pytest
from scipy import sparse

from sksparse_mlp.activations import ACTIVATIONS
from sksparse_mlp.core import workers as workers_module
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.losses import LogisticCrossEntropy, SoftmaxCrossEntropy
from sksparse_mlp.core.network import PREDICTION_BATCH, Dropout, Network
from sksparse_mlp.core.workers import Workers
from sksparse_mlp.initializers import HeNormal

N_OUTPUTS = {SoftmaxCrossEntropy: 3, LogisticCrossEntropy: 1}
EPSILONS = {"sparse": 1.8, "full": 1e6}
BATCH = 5
HERE = Workers(n_jobs=1)


def new_network(name, loss=SoftmaxCrossEntropy, epsilon=1.8, dtype=np.float64, seed=0):
    """Three layers, the hidden ones of 8 and 7 neurons, with random biases."""
    rng = np.random.default_rng(seed)
    sizes = [6, 8, 7, N_OUTPUTS[loss]]
    layers = [SparseLayer.random(*pair, epsilon, rng, dtype) for pair in pairwise(sizes)]
    for layer in layers:
        HeNormal()(layer, rng)
        layer.bias[:] = 0.5 * rng.standard_normal(layer.n_out)
    return Network(layers, [ACTIVATIONS[name]()] * 2, loss)


def new_batch(network, seed=0, size=BATCH):
    batch = network.buffers(size, training=True)
    batch.x[:] = np.random.default_rng(seed).standard_normal(batch.x.shape)
    return batch


def frozen_mask(keys=(17, 4)):
    dropout = Dropout(0.3)
    return lambda depth, a, start, stop: dropout(a, keys[depth], start, stop)


# --- gradients ------------------------------------------------------------------------


def total_loss(network, batch, mask):
    """The loss of a forward pass; leaves its gradient in ``batch.dz[-1]``."""
    rng = np.random.default_rng(3)
    y = rng.integers(max(2, network.sizes[-1]), size=BATCH)
    network.forward(batch, HERE, mask)
    return network.loss.value_and_gradient(
        batch.z[-1], y, rng.uniform(0.5, 2, BATCH), np.arange(BATCH), batch.dz[-1], 0.0
    )


def gradients(network, batch, mask):
    """Analytic gradients of the inputs, then of weights and biases layer by layer."""
    collected = {}

    def step(layer, x, dz):
        collected[id(layer)] = layer.gradient(x, dz)
        dx = np.empty_like(x)
        layer.backward_input(dz, dx, 0, layer.n_in)
        collected["inputs"] = dx

    total_loss(network, batch, mask)
    network.backward(batch, HERE, step, mask)
    by_layer = [g for layer in network.layers for g in collected[id(layer)]]
    return [collected["inputs"], *by_layer]


def central_differences(function, values, h=1e-5):
    slopes = np.empty_like(values)
    for place in np.ndindex(values.shape):
        original = values[place]
        values[place] = original + h
        above = function()
        values[place] = original - h
        slopes[place] = (above - function()) / (2 * h)
        values[place] = original
    return slopes


def is_away_from_kinks(network, batch):
    """Whether no derivative jumps near any pre-activation."""
    for depth, (f, z) in enumerate(zip(network.activations, batch.z[:-1], strict=True), 1):
        below, above = np.ones_like(z), np.ones_like(z)
        f.backward(z - 1e-3, below, depth, 0, len(z))
        f.backward(z + 1e-3, above, depth, 0, len(z))
        if np.max(np.abs(above - below)) > 0.01:
            return False
    return True


def smooth_problem(name, loss, epsilon, mask):
    for seed in range(100):
        network = new_network(name, loss, epsilon, seed=seed)
        batch = new_batch(network, seed)
        network.forward(batch, HERE, mask)
        if is_away_from_kinks(network, batch):
            return network, batch
    raise AssertionError("every seed puts a pre-activation next to a kink")


@pytest.mark.parametrize("mask", [None, frozen_mask()], ids=["all", "dropout"])
@pytest.mark.parametrize("loss", N_OUTPUTS, ids=lambda loss: loss.link)
@pytest.mark.parametrize("kind", EPSILONS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradient_is_that_of_central_differences(name, kind, loss, mask):
    network, batch = smooth_problem(name, loss, EPSILONS[kind], mask)
    analytic = gradients(network, batch, mask)
    parameters = [p for layer in network.layers for p in (layer.weights, layer.bias)]
    for values, expected in zip([batch.x, *parameters], analytic, strict=True):
        numeric = central_differences(lambda: total_loss(network, batch, mask), values)
        error = np.linalg.norm(numeric - expected)
        assert error < 1e-6 * np.linalg.norm(expected)


def test_gradient_has_an_entry_for_existing_connections_only():
    network = new_network("tanh")
    for layer in network.layers[:-1]:
        assert not layer.is_full
        weights, bias = layer.gradient(np.ones((layer.n_in, 2)), np.ones((layer.n_out, 2)))
        assert weights.shape == layer.weights.shape
        assert bias.shape == layer.bias.shape


def test_a_step_may_change_its_layer_without_changing_other_gradients():
    network = new_network("tanh")
    batch = new_batch(network)
    expected = gradients(network, batch, None)[1:]
    collected = []

    def step(layer, x, dz):
        collected[:0] = layer.gradient(x, dz)
        layer.weights[:] = np.nan

    total_loss(network, batch, None)
    network.backward(batch, HERE, step)
    for actual, gradient in zip(collected, expected, strict=True):
        np.testing.assert_array_equal(actual, gradient)


# --- forward --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_forward_is_layer_after_layer(name):
    network = new_network(name)
    batch = new_batch(network)
    network.forward(batch, HERE)
    a = batch.x
    for depth, layer in enumerate(network.layers):
        W = naive.dense(layer.indptr, layer.indices, layer.weights, layer.n_in)
        z = W @ a + layer.bias[:, np.newaxis]
        np.testing.assert_allclose(batch.z[depth], z, rtol=1e-12, atol=1e-12)
        if depth < 2:
            a = np.empty_like(z)
            network.activations[depth].forward(z, a, depth + 1, 0, len(z))


def data_of(network, n_samples, dtype):
    rng = np.random.default_rng(8)
    return rng.standard_normal((n_samples, network.sizes[0])).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_logits_of_a_sample_are_the_same_in_every_batch(name, dtype):
    network = new_network(name, dtype=dtype)
    X = data_of(network, PREDICTION_BATCH + 44, dtype)
    together = network.logits(X, np.arange(len(X)), HERE)
    assert together.dtype == dtype
    assert together.shape == (len(X), 3)
    for rows in ([0], [7], [len(X) - 1], [3, 90, 4, 4, 299], range(33), range(5, 133)):
        alone = network.logits(X, np.array(rows), HERE)
        np.testing.assert_array_equal(alone, together[rows])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_prediction_buffers_give_the_logits_of_training_buffers(name):
    network = new_network(name)
    batch = new_batch(network)
    network.forward(batch, HERE)
    logits = network.logits(np.ascontiguousarray(batch.x.T), np.arange(BATCH), HERE)
    np.testing.assert_array_equal(logits, batch.z[-1].T)


def test_logits_of_csr_and_dense_input_are_identical():
    network = new_network("relu")
    X = data_of(network, 300, np.float64)
    X[np.abs(X) < 0.7] = 0
    rows = np.arange(len(X))
    expected = network.logits(X, rows, HERE)
    actual = network.logits(sparse.csr_array(X), rows, HERE)
    np.testing.assert_array_equal(actual, expected)


def test_logits_of_no_rows_are_empty():
    network = new_network("relu")
    X = data_of(network, 3, np.float64)
    assert network.logits(X, np.arange(0), HERE).shape == (0, 3)


def test_smaller_batches_use_contiguous_parts_of_the_same_memory():
    batch = new_network("relu").buffers(16, training=True)
    part = batch.first(5)
    assert part.size == 5
    names = ("z", "a", "dz")
    whole = [batch.x, *(m for name in names for m in getattr(batch, name))]
    parts = [part.x, *(m for name in names for m in getattr(part, name))]
    for matrix, smaller in zip(whole, parts, strict=True):
        assert smaller.shape == (matrix.shape[0], 5)
        assert smaller.flags.c_contiguous
        assert np.shares_memory(matrix, smaller)


# --- threads --------------------------------------------------------------------------


@pytest.fixture
def many_cores(monkeypatch):
    """Threads share even the smallest work."""
    monkeypatch.setattr(workers_module, "MIN_WORK_PER_THREAD", 0)
    monkeypatch.setattr(
        workers_module.os, "sched_getaffinity", lambda pid: range(8), raising=False
    )


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize("n_jobs", [2, 3, 8])
def test_number_of_threads_changes_no_bit(n_jobs):
    network = new_network("tanh", dtype=np.float32)
    batches = new_batch(network), new_batch(network)
    dz = np.random.default_rng(1).standard_normal(batches[0].dz[-1].shape)
    with Workers(n_jobs) as workers:
        for batch, threads in zip(batches, (HERE, workers), strict=True):
            network.forward(batch, threads, frozen_mask())
            batch.dz[-1][:] = dz
            network.backward(batch, threads, lambda *_: None, frozen_mask())
    for name in ("z", "a", "dz"):
        for alone, shared in zip(*(getattr(b, name) for b in batches), strict=True):
            np.testing.assert_array_equal(alone, shared)


# --- dropout --------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.999])
def test_dropout_drops_its_share_and_keeps_the_mean(rate):
    a = np.ones((200, 200))
    Dropout(rate)(a, 11, 0, 200)
    limit = 4.5 * np.sqrt(rate * (1 - rate) / a.size)
    assert abs(np.mean(a == 0) - rate) <= limit
    assert abs(a.mean() - 1) <= limit / (1 - rate)
    np.testing.assert_allclose(a[a != 0], 1 / (1 - rate))


def test_dropout_next_to_one_drops_nearly_everything():
    a = np.ones((50, 50))
    Dropout(1 - 2**-40)(a, 11, 0, 50)
    assert not a.any()


def test_mask_of_the_backward_pass_is_that_of_the_forward_pass():
    network = new_network("identity")
    batch = new_batch(network)
    network.forward(batch, HERE, frozen_mask())
    batch.dz[-1][:] = 1
    network.backward(batch, HERE, lambda *_: None, frozen_mask())
    for a, dz in zip(batch.a, batch.dz, strict=False):
        assert 0 < np.sum(a == 0) < a.size
        assert np.all(dz[a == 0] == 0)


# --- networks as values ---------------------------------------------------------------


def test_network_knows_its_sizes_dtype_and_slopes():
    network = new_network("all_relu", dtype=np.float32)
    assert network.sizes == [6, 8, 7, 3]
    assert network.dtype == np.float32
    slope = network.activations[0].slope
    assert network.slopes() == [-slope, slope]
    assert new_network("tanh").slopes() == [None, None]


def test_copy_does_not_follow_the_original():
    network = new_network("relu")
    copy = network.copy()
    assert copy.activations == network.activations
    assert copy.loss is network.loss
    for layer, twin in zip(network.layers, copy.layers, strict=True):
        before = twin.weights.copy()
        layer.weights[:] = np.nan
        np.testing.assert_array_equal(twin.weights, before)


def test_network_is_finite_when_all_its_layers_are():
    network = new_network("relu")
    assert network.is_finite()
    network.layers[1].bias[0] = np.inf
    assert not network.is_finite()


def test_slots_are_taken_over_where_the_pattern_is_the_same():
    network, other = new_network("relu"), new_network("relu")
    for layer in other.layers:
        layer.add_slots(1)
    keep = np.arange(network.layers[0].n_connections) > 0
    network.layers[0].rewire(keep, np.array([20]))
    network.take_slots(other)
    assert network.layers[0].slots == []
    assert network.layers[1].slots is other.layers[1].slots
