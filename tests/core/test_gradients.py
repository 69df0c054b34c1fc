"""Mean gradients of every connection, in batches and threads; which samples they see."""

from copy import deepcopy
from dataclasses import replace

import networks
import numpy as np
import pytest
from networks import (
    HERE,
    central_differences,
    new_network,
    random_targets,
    share_all_work,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, special

from sksparse_mlp.core.gradients import gradient_flow, mean_gradients, observed
from sksparse_mlp.core.losses import (
    LogisticCrossEntropy,
    MultilabelCrossEntropy,
    SoftmaxCrossEntropy,
    TargetLoss,
)
from sksparse_mlp.core.samples import Samples
from sksparse_mlp.core.workers import Workers

by_norm = pytest.mark.parametrize("norm", [False, True])
by_loss = pytest.mark.parametrize("loss", networks.N_OUTPUTS)


def new_samples(n_samples=23, dtype=np.float64, loss=LogisticCrossEntropy):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n_samples, 6)).astype(dtype)
    y, weights = random_targets(loss, n_samples, rng), rng.uniform(0, 2, n_samples)
    rows = rng.permutation(n_samples)[: n_samples - 3]
    return Samples(X, y, weights.astype(dtype), rows)


def losses_of(loss, logits, y):
    """The loss of each sample."""
    if isinstance(loss, TargetLoss):
        return loss.losses_of(y, loss.predictions(logits))
    if loss is MultilabelCrossEntropy:
        return -special.log_expit(np.where(y, logits, -logits)).sum(axis=1)
    if loss is LogisticCrossEntropy:
        logits = np.hstack([np.zeros_like(logits), logits])
    return -special.log_softmax(logits, axis=1)[np.arange(len(y)), y]


def mean_loss(network, samples):
    logits = network.logits(samples.X, samples.rows, HERE)
    losses = losses_of(network.loss, logits, samples.y[samples.rows])
    return np.average(losses, weights=samples.weights[samples.rows])


def gradients_of(network, samples, size=8, workers=HERE):
    return mean_gradients(network, samples, network.buffers(size, training=True), workers)


def assert_all_equal(actual, expected, **tolerances):
    for values, twin in zip(actual, expected, strict=True):
        assert_allclose(values, twin, **tolerances)


@by_norm
@by_loss
@pytest.mark.parametrize("activation", ["tanh", "prelu", "srelu"])
def test_gradients_are_the_numerical_derivatives(activation, loss, norm):
    network, samples = new_network(activation, loss, norm=norm), new_samples(loss=loss)
    actual = gradients_of(network, samples)
    for layer, gradient in zip(network.layers, actual, strict=True):
        slopes = central_differences(
            lambda: mean_loss(network, samples), layer.weights, h=1e-6
        )
        assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-8)


@by_norm
@pytest.mark.parametrize("size", [1, 7, 10, 20, 64])
def test_batches_of_any_size_give_the_same(size, norm):
    network, samples = new_network("srelu", norm=norm), new_samples()
    expected = gradients_of(network, samples)
    assert_all_equal(gradients_of(network, samples, size), expected, rtol=1e-12, atol=1e-15)


@by_norm
@by_loss
def test_threads_give_the_same_bits(monkeypatch, loss, norm):
    share_all_work(monkeypatch)
    network, samples = new_network("srelu", loss, norm=norm), new_samples(90, loss=loss)
    expected = gradients_of(network, samples, 40)
    with Workers(n_jobs=3) as workers:
        for _ in range(5):
            actual = gradients_of(network, samples, 40, workers)
            for values, twin in zip(actual, expected, strict=True):
                assert_array_equal(values, twin)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_have_the_dtype_of_the_network(dtype):
    network, samples = new_network("tanh", dtype=dtype), new_samples(dtype=dtype)
    expected = gradients_of(new_network("tanh"), new_samples())
    actual = gradients_of(network, samples)
    assert all(gradient.dtype == dtype for gradient in actual)
    assert_all_equal(actual, expected, rtol=1e-3, atol=1e-6)
    flow = gradient_flow(network, samples, network.buffers(8, training=True), HERE)
    assert flow.dtype == np.float64


def test_sparse_data_give_the_same():
    network, samples = new_network("tanh"), new_samples()
    in_csr = replace(samples, X=sparse.csr_array(samples.X))
    assert_all_equal(gradients_of(network, in_csr), gradients_of(network, samples))


def test_the_network_stays_as_it_is():
    network = new_network("prelu", norm=True)
    network.add_slots(2)
    before = deepcopy(network)
    gradients_of(network, new_samples())
    networks.assert_same_network(network, before)
    for layer in network.layers:
        assert not any(np.any(slot) for slots in layer.slots for slot in slots)
    for unit, twin in zip(network.hidden, before.hidden, strict=True):
        assert_array_equal(unit.epoch_gradient, twin.epoch_gradient)
        assert unit._n_batches == 0


def test_flow_is_the_norm_of_the_gradients():
    network, samples = new_network("tanh"), new_samples()
    buffers = network.buffers(8, training=True)
    gradients = mean_gradients(network, samples, buffers, HERE)
    for p in (1, 1.5, 2, np.inf):
        flow = gradient_flow(network, samples, buffers, HERE, p)
        assert_allclose(flow, [np.linalg.norm(g, p) for g in gradients])
    assert_array_equal(
        gradient_flow(network, samples, buffers, HERE),
        gradient_flow(network, samples, buffers, HERE, 1),
    )


def test_flow_may_be_infinite():
    network, samples = new_network("identity", SoftmaxCrossEntropy), new_samples()
    # The gradient of the first layer overflows, the logits do not.
    network.layers[0].weights[:] = 0
    network.layers[0].bias[:] = 0
    network.layers[1].weights[:] = 1e300
    network.layers[2].weights[:] = np.linspace(1e300, 2e300, network.layers[2].weights.size)
    network.layers[1].bias[:] = 0
    with np.errstate(all="ignore"):
        buffers = network.buffers(8, training=True)
        for p in (1, 2, np.inf):
            flow = gradient_flow(network, samples, buffers, HERE, p)
            assert not np.isfinite(flow[0])


# --- which samples are looked at ------------------------------------------------------


@pytest.mark.parametrize(
    ("n_samples", "batch_size", "size"),
    [(1003, 10, 50), (1003, 100, 100), (1003, 50, 50), (83, 100, 80), (4, 1, 1), (4, 5, 1)],
)
def test_one_in_twenty_are_observed_but_at_least_a_batch(n_samples, batch_size, size):
    samples = new_samples(n_samples)
    some = observed(samples, batch_size)
    assert some.rows.size == size
    assert np.unique(some.rows).size == size
    assert set(some.rows) <= set(samples.rows)
    assert some.X is samples.X


def test_the_same_samples_are_observed_at_every_call():
    samples = new_samples(1003)
    rows = observed(samples, 10).rows
    assert_array_equal(observed(samples, 10).rows, rows)


@pytest.mark.parametrize("order", ["sorted", "in turns"])
def test_every_class_is_observed_whatever_the_order(order):
    classes = np.repeat(np.arange(10), 100)
    y = classes if order == "sorted" else classes.reshape(10, 100).T.ravel()
    samples = Samples(np.zeros((1000, 1)), y, np.ones(1000), np.arange(1000))
    assert np.unique(y[observed(samples, 1).rows]).size == 10


def test_samples_of_weight_zero_are_not_observed():
    samples = new_samples(1003)
    samples.weights[::2] = 0
    assert np.all(samples.weights[observed(samples, 100).rows] > 0)
