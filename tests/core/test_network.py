"""Forward and backward passes: gradients, masks, batches, threads."""

import naive
import numpy as np
import pytest
from networks import (
    BATCH,
    EPSILONS,
    HERE,
    N_OUTPUTS,
    central_differences,
    frozen_mask,
    gradients,
    hidden_gradients,
    new_batch,
    new_network,
    smooth_problem,
    total_loss,
)
from scipy import sparse

from sksparse_mlp.activations import ACTIVATIONS, CST, CReLU, Identity, ReLU
from sksparse_mlp.core.hidden import NORM_EPSILON
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.network import PREDICTION_BATCH, Dropout
from sksparse_mlp.core.workers import Workers

# --- gradients ------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, frozen_mask()], ids=["all", "dropout"])
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "norm"])
@pytest.mark.parametrize("loss", N_OUTPUTS, ids=lambda loss: loss.link)
@pytest.mark.parametrize("kind", EPSILONS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradient_is_that_of_central_differences(name, kind, loss, norm, mask):
    network, batch = smooth_problem(
        mask, name=name, loss=loss, epsilon=EPSILONS[kind], norm=norm
    )
    analytic = gradients(network, batch, mask)
    parameters = [p for layer in network.layers for p in (layer.weights, layer.bias)]
    pairs = list(zip([batch.x, *parameters], analytic, strict=True))
    pairs += [(values, gradient.copy()) for values, gradient in hidden_gradients(network)]
    for values, expected in pairs:
        numeric = central_differences(lambda: total_loss(network, batch, mask), values)
        error = np.linalg.norm(numeric - expected)
        # What has no effect, as a bias before batch normalisation, leaves rounding errors.
        assert error < 1e-6 * max(np.linalg.norm(expected), 1e-4)


def test_gradients_are_checked_for_all_that_is_trained():
    network = new_network("srelu", norm=True)
    gradients(network, new_batch(network), None)
    checked = [values for values, _ in hidden_gradients(network)]
    trained = [
        values
        for unit in network.hidden
        for values in (unit.parameters, unit.norm.gain, unit.norm.shift)
    ]
    assert all(one is other for one, other in zip(checked, trained, strict=True))


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


def normalised(norm, u, training):
    if norm is None:
        return u
    column = u.mean(axis=1), u.var(axis=1)
    mean, variance = column if training else (norm.mean, norm.variance)
    scale = norm.gain / np.sqrt(variance + NORM_EPSILON)
    return scale[:, np.newaxis] * (u - mean[:, np.newaxis]) + norm.shift[:, np.newaxis]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_forward_is_layer_after_layer(name, norm, training):
    network = new_network(name, norm=norm)
    batch = new_batch(network)
    network.forward(batch, HERE, training=training)
    a = batch.x
    for depth, layer in enumerate(network.layers):
        W = naive.dense(layer.indptr, layer.indices, layer.weights, layer.n_in)
        z = W @ a + layer.bias[:, np.newaxis]
        if depth < 2:
            unit = network.hidden[depth]
            z = normalised(unit.norm, z, training)
            a = np.empty_like(z)
            unit.activation.forward(z, a, unit.parameters, 0, len(z))
        np.testing.assert_allclose(batch.z[depth], z, rtol=1e-11, atol=1e-11)


def test_layers_with_and_without_batch_normalisation_may_be_mixed():
    network = new_network("tanh", norm=True)
    network.hidden[0].norm = None
    plain = new_network("tanh", norm=True)
    plain.hidden[0].norm = None
    plain.hidden[1].norm = None
    batch, plain_batch = new_batch(network), new_batch(plain)
    for z in batch.z:
        z[:] = np.nan
    network.forward(batch, HERE, training=True)
    plain.forward(plain_batch, HERE, training=True)
    np.testing.assert_allclose(batch.a[0], plain_batch.a[0], rtol=1e-12)
    assert np.isfinite(batch.z[-1]).all()


def data_of(network, n_samples, dtype):
    rng = np.random.default_rng(8)
    return rng.standard_normal((n_samples, network.sizes[0])).astype(dtype)


@pytest.fixture(params=[False, True], ids=["dense", "skipping"])
def one_way(request, monkeypatch):
    """Prediction computes every layer but the first in the same way."""
    monkeypatch.setattr(SparseLayer, "prefers_skipping", lambda layer, x: request.param)


@pytest.mark.usefixtures("one_way")
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_logits_of_a_sample_are_the_same_in_every_batch(name, dtype, norm):
    network = new_network(name, dtype=dtype, norm=norm)
    X = data_of(network, PREDICTION_BATCH + 44, dtype)
    together = network.logits(X, np.arange(len(X)), HERE)
    assert together.dtype == dtype
    assert together.shape == (len(X), 3)
    for rows in ([0], [7], [len(X) - 1], [3, 90, 4, 4, 299], range(33), range(5, 133)):
        alone = network.logits(X, np.array(rows), HERE)
        np.testing.assert_array_equal(alone, together[rows])


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_prediction_buffers_give_the_logits_of_training_buffers(name, norm):
    network = new_network(name, norm=norm)
    batch = new_batch(network)
    network.forward(batch, HERE)
    logits = network.logits(np.ascontiguousarray(batch.x.T), np.arange(BATCH), HERE)
    np.testing.assert_allclose(logits, batch.z[-1].T, rtol=1e-12, atol=1e-12)


# --- prediction that skips zeros ------------------------------------------------------


def logits_of(network, X, skip, monkeypatch, workers=HERE):
    """Logits with every layer but the first skipping zeros, or none."""
    with monkeypatch.context() as patch:
        patch.setattr(SparseLayer, "prefers_skipping", lambda layer, x: skip)
        return network.logits(X, np.arange(len(X)), workers)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 5, 17, 128, 255, 256, 300])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", EPSILONS)
@pytest.mark.parametrize("name", ["relu", "crelu", "cst", "srelu"])
def test_skipping_zeros_gives_the_same_logits(
    name, kind, dtype, norm, n_samples, monkeypatch
):
    network = new_network(
        name, epsilon=EPSILONS[kind] * 2, dtype=dtype, norm=norm, hidden_sizes=(61, 53)
    )
    X = data_of(network, n_samples, dtype)
    dense = logits_of(network, X, False, monkeypatch)
    skipping = logits_of(network, X, True, monkeypatch)
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    size = np.max(np.abs(dense))
    np.testing.assert_allclose(skipping, dense, rtol=0, atol=tolerance * size)


@pytest.fixture
def choices(monkeypatch):
    """What each layer was asked and chose: (layer, share of zeros, whether it skips)."""
    asked = []
    prefers_skipping = SparseLayer.prefers_skipping

    def spy(layer, x):
        asked.append((layer, np.mean(x == 0), prefers_skipping(layer, x)))
        return asked[-1][-1]

    monkeypatch.setattr(SparseLayer, "prefers_skipping", spy)
    return asked


@pytest.fixture
def skipped(monkeypatch):
    """The layers that made a function that skips zeros, once for each time."""
    layers = []
    skipping_forward = SparseLayer.skipping_forward

    def spy(layer):
        layers.append(layer)
        return skipping_forward(layer)

    monkeypatch.setattr(SparseLayer, "skipping_forward", spy)
    return layers


@pytest.mark.parametrize(
    ("activation", "skips"), [(CReLU(), True), (CST(1.5), True), (Identity(), False)]
)
def test_full_layers_skip_zeros_where_most_inputs_are_zero(
    activation, skips, choices, skipped
):
    network = new_network(activation, epsilon=1e6, hidden_sizes=(61, 53))
    network.logits(data_of(network, 600, np.float64), np.arange(600), HERE)
    later = network.layers[1:]
    assert [layer for layer, *_ in choices] == later * 3
    assert all((zeros >= 0.5) == skips for _, zeros, _ in choices)
    # Not the output layer, which is too narrow; weights are copied once for all batches.
    assert all(chosen == (skips and layer is later[0]) for layer, _, chosen in choices)
    assert skipped == (later[:1] if skips else [])


def test_sparse_layers_skip_zeros_where_few_inputs_of_a_batch_are_not(choices, skipped):
    network = new_network(ReLU(), hidden_sizes=(61, 53))
    X = data_of(network, 256, np.float64)
    network.logits(X, np.arange(256), HERE)
    assert [layer for layer, *_ in choices] == network.layers[1:]
    assert not any(chosen for layer, _, chosen in choices if not layer.is_full)
    choices.clear()
    network.logits(X, np.arange(1), HERE)
    assert [chosen for *_, chosen in choices] == [True, True]
    assert network.layers[1] in skipped


def test_training_skips_nothing(choices):
    network = new_network(CReLU(), epsilon=1e6)
    network.forward(new_batch(network), HERE, training=True)
    network.forward(new_batch(network), HERE)
    assert not choices


def test_prediction_after_a_weight_changed_uses_the_new_weight(choices):
    network = new_network(CReLU(), epsilon=1e6, hidden_sizes=(61, 53))
    X = data_of(network, 40, np.float64)
    before = network.logits(X, np.arange(40), HERE)
    network.layers[-1].weights *= 2
    network.layers[-1].bias *= 2
    assert any(chosen for *_, chosen in choices)
    np.testing.assert_allclose(network.logits(X, np.arange(40), HERE), 2 * before)


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
    batch = new_network("relu", norm=True).buffers(16, training=True)
    part = batch.first(5)
    assert part.size == 5
    names = ("u", "z", "a", "dz")
    whole = [batch.x, *(m for name in names for m in getattr(batch, name))]
    parts = [part.x, *(m for name in names for m in getattr(part, name))]
    for matrix, smaller in zip(whole, parts, strict=True):
        assert smaller.shape == (matrix.shape[0], 5)
        assert smaller.flags.c_contiguous
        assert np.shares_memory(matrix, smaller)


# --- threads --------------------------------------------------------------------------


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("name", ["tanh", "srelu", "garelu"])
@pytest.mark.parametrize("n_jobs", [2, 3, 8])
def test_number_of_threads_changes_no_bit(n_jobs, name, norm):
    network = new_network(name, dtype=np.float32, norm=norm)
    batches = new_batch(network), new_batch(network)
    dz = np.random.default_rng(1).standard_normal(batches[0].dz[-1].shape)
    learned = []
    with Workers(n_jobs) as workers:
        for batch, threads in zip(batches, (HERE, workers), strict=True):
            network.forward(batch, threads, training=True, mask=frozen_mask())
            batch.dz[-1][:] = dz
            network.backward(batch, threads, lambda *_: None, frozen_mask())
            learned.append([g.copy() for _, g in hidden_gradients(network)])
    for alone, shared in zip(*learned, strict=True):
        np.testing.assert_array_equal(alone, shared)
    for name in ("u", "z", "a", "dz"):
        for alone, shared in zip(*(getattr(b, name) for b in batches), strict=True):
            np.testing.assert_array_equal(alone, shared)


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize("kind", EPSILONS)
@pytest.mark.parametrize("n_samples", [1, 5, 300])
def test_number_of_threads_changes_no_bit_of_skipping(kind, n_samples, monkeypatch):
    network = new_network("crelu", epsilon=EPSILONS[kind], dtype=np.float32)
    X = data_of(network, n_samples, np.float32)
    alone = logits_of(network, X, True, monkeypatch)
    with Workers(3) as workers:
        shared = logits_of(network, X, True, monkeypatch, workers)
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
    network.forward(batch, HERE, training=True, mask=frozen_mask())
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
    slope = network.hidden[0].activation.slope
    assert network.slopes() == [-slope, slope]
    assert new_network("tanh").slopes() == [None, None]


def arrays_of(network):
    """Everything that training changes."""
    for layer in network.layers:
        yield from (layer.weights, layer.bias)
    for unit in network.hidden:
        yield unit.parameters
        yield from vars(unit.norm).values()


def test_copy_does_not_follow_the_original():
    network = new_network("prelu", norm=True)
    copy = network.copy()
    assert [u.activation for u in copy.hidden] == [u.activation for u in network.hidden]
    assert copy.loss is network.loss
    for values, twin in zip(arrays_of(network), arrays_of(copy), strict=True):
        before = twin.copy()
        np.testing.assert_array_equal(values, before)
        values[:] = np.nan
        np.testing.assert_array_equal(twin, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_network_is_finite_when_all_that_is_trained_is(bad):
    network = new_network("prelu", norm=True)
    assert network.is_finite()
    for values in arrays_of(network):
        values.flat[0], original = bad, values.flat[0]
        assert not network.is_finite()
        values.flat[0] = original
    assert network.is_finite()


def test_slots_are_taken_over_where_the_pattern_is_the_same():
    network, other = new_network("relu"), new_network("relu")
    for layer in other.layers:
        layer.add_slots(1)
    keep = np.arange(network.layers[0].n_connections) > 0
    network.layers[0].rewire(keep, np.array([20]))
    network.take_slots(other)
    assert network.layers[0].slots == []
    assert network.layers[1].slots is other.layers[1].slots


def test_slots_of_hidden_layers_are_taken_over_where_they_fit():
    network, other = new_network("prelu", norm=True), new_network("prelu", norm=True)
    other.add_slots(2)
    network.hidden[0].norm = None
    network.take_slots(other)
    assert network.hidden[0].slots == []
    assert network.hidden[1].slots is other.hidden[1].slots
    assert [slot.shape for slot in network.hidden[1].slots] == [(2, 7)] * 3
