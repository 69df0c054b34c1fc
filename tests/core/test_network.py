"""Forward and backward passes: gradients, masks, batches, threads."""

import threading

import naive
import numpy as np
import pytest
from networks import (
    BATCH,
    EPSILONS,
    HERE,
    N_OUTPUTS,
    assert_same_network,
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
from scipy import sparse

from sksparse_mlp.activations import ACTIVATIONS, CST, CReLU, Identity, ReLU
from sksparse_mlp.core import kernels
from sksparse_mlp.core import network as network_module
from sksparse_mlp.core.hidden import NORM_EPSILON
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.network import (
    PREDICTION_BATCH,
    SMALLEST_PREDICTION_BATCH,
    Dropout,
    Network,
)
from sksparse_mlp.core.workers import ALONE, Member, Workers

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
    # Differences of large losses are rounded to some of their last digits.
    rounding = 2e-4 * max(1, total_loss(network, batch, mask) / 10)
    for values, expected in pairs:
        numeric = central_differences(lambda: total_loss(network, batch, mask), values)
        error = np.linalg.norm(numeric - expected)
        # What has no effect, as a bias before batch normalisation, leaves rounding errors.
        assert error < 1e-6 * max(np.linalg.norm(expected), rounding)


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
        weights, bias = layer.gradient(np.ones((layer.n_in, 8)), np.ones((layer.n_out, 8)))
        assert weights.shape == layer.weights.shape
        assert bias.shape == layer.bias.shape


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
    network.forward(batch, ALONE, training=training)
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
    network.forward(batch, ALONE, training=True)
    plain.forward(plain_batch, ALONE, training=True)
    np.testing.assert_allclose(batch.a[0], plain_batch.a[0], rtol=1e-12)
    assert np.isfinite(batch.z[-1]).all()


def test_work_is_counted_in_connections_times_samples():
    network = new_network("relu")
    assert network.work(7) == 7 * sum(layer.indices.size for layer in network.layers)


def data_of(network, n_samples, dtype):
    rng = np.random.default_rng(8)
    return rng.standard_normal((n_samples, network.sizes[0])).astype(dtype)


@pytest.fixture(params=[False, True], ids=["dense", "skipping"])
def one_way(request, monkeypatch):
    """Prediction computes every layer but the first in the same way."""
    monkeypatch.setattr(SparseLayer, "prefers_skipping", lambda *args: request.param)


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
    network.forward(batch, ALONE)
    logits = network.logits(np.ascontiguousarray(batch.x.T), np.arange(BATCH), HERE)
    np.testing.assert_allclose(logits, batch.z[-1][:, :BATCH].T, rtol=1e-12, atol=1e-12)


# --- prediction that skips zeros ------------------------------------------------------


def logits_of(network, X, skip, monkeypatch, workers=HERE):
    """Logits with every layer but the first skipping zeros, or none."""
    with monkeypatch.context() as patch:
        patch.setattr(SparseLayer, "prefers_skipping", lambda *args: skip)
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

    def spy(layer, x, size):
        zeros = np.mean(x[:, :size] == 0)
        asked.append((layer, zeros, prefers_skipping(layer, x, size)))
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
    network.forward(new_batch(network), ALONE, training=True)
    network.forward(new_batch(network), ALONE)
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


@pytest.fixture
def buffer_sizes(monkeypatch):
    """The sizes of all buffers that networks made for predictions."""
    sizes, buffers = [], Network.buffers

    def spy(network, size, *, training):
        assert not training
        sizes.append(size)
        return buffers(network, size, training=training)

    monkeypatch.setattr(Network, "buffers", spy)
    return sizes


@pytest.mark.parametrize(
    ("n_samples", "entries", "expected"),
    [
        (300, 40, 40),
        (300, SMALLEST_PREDICTION_BATCH - 1, SMALLEST_PREDICTION_BATCH),
        (300, PREDICTION_BATCH + 1, PREDICTION_BATCH),
        (7, 40, 7),
        (0, 40, 1),
    ],
)
@pytest.mark.parametrize("norm", [False, True])
def test_predictions_of_wide_networks_are_made_in_smaller_batches(
    n_samples, entries, expected, norm, buffer_sizes, monkeypatch
):
    network = new_network("relu", norm=norm)
    X, rows = data_of(network, n_samples, np.float64), np.arange(n_samples)
    whole = network.logits(X, rows, HERE)
    # Room for some samples and not quite one more.
    n_entries = sum(network.sizes) * (entries + 1) - 1
    monkeypatch.setattr(network_module, "PREDICTION_ENTRIES", n_entries)
    np.testing.assert_array_equal(network.logits(X, rows, HERE), whole)
    assert buffer_sizes == [max(1, min(n_samples, PREDICTION_BATCH)), expected]


def test_smaller_batches_use_contiguous_parts_of_the_same_memory():
    batch = new_network("relu", norm=True).buffers(24, training=True)
    part = batch.first(13)
    assert part.size == 13
    names = ("u", "z", "a", "dz")
    whole = [batch.x, *(m for name in names for m in getattr(batch, name))]
    parts = [part.x, *(m for name in names for m in getattr(part, name))]
    for matrix, smaller in zip(whole, parts, strict=True):
        assert smaller.shape == (matrix.shape[0], 16)
        assert smaller.flags.c_contiguous
        assert np.shares_memory(matrix, smaller)
    assert part.losses.shape == (13,)
    assert np.shares_memory(part.losses, batch.losses)


# --- threads --------------------------------------------------------------------------


class Silent:
    """In the place of a team whose other threads are never late."""

    def meet(self, n_arrivals):
        pass


def passes(network, batch):
    """A task of both passes over a batch, whose gradient at the outputs is drawn here."""
    dz = batch.dz[-1]
    dz[:] = np.random.default_rng(1).standard_normal(dz.shape)

    def task(member):
        network.forward(batch, member, training=True, mask=frozen_mask())
        network.backward(batch, member, frozen_mask())

    network.prepare()
    return task


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("name", ["tanh", "srelu", "garelu"])
@pytest.mark.parametrize("n_jobs", [2, 3, 8])
def test_number_of_threads_changes_no_bit(n_jobs, name, norm, monkeypatch):
    share_all_work(monkeypatch)
    network = new_network(name, dtype=np.float32, norm=norm)
    batches = new_batch(network), new_batch(network)
    learned = []
    with Workers(n_jobs) as workers:
        for batch, threads in zip(batches, (HERE, workers), strict=True):
            threads.run(passes(network, batch), work=0)
            learned.append([g.copy() for _, g in hidden_gradients(network)])
    for alone, shared in zip(*learned, strict=True):
        np.testing.assert_array_equal(alone, shared)
    for name in ("u", "z", "a", "dz"):
        for alone, shared in zip(*(getattr(b, name) for b in batches), strict=True):
            np.testing.assert_array_equal(alone, shared)


def test_rows_of_a_layer_are_shared_out_once_and_completely():
    """Each thread alone computes its own rows, and all together every row."""
    network = new_network("tanh", hidden_sizes=(61, 53))
    whole, batch = new_batch(network), new_batch(network)
    passes(network, whole)(ALONE)
    written = np.zeros(61, int)
    for rank in range(3):
        batch.z[0][:] = np.nan
        member = Member(rank, 3, Silent())
        network.forward(batch, member, training=True)
        own = ~np.isnan(batch.z[0]).any(axis=1)
        np.testing.assert_array_equal(batch.z[0][own], whole.z[0][own])
        written += own
    np.testing.assert_array_equal(written, 1)


def test_passes_of_a_prepared_network_make_nothing_that_threads_share(monkeypatch):
    network = new_network("tanh")
    task = passes(network, new_batch(network))
    monkeypatch.delattr(kernels, "transpose_pattern")
    task(ALONE)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("kind", EPSILONS)
@pytest.mark.parametrize("n_samples", [1, 5, 256, 257, 1000])
@pytest.mark.parametrize("n_jobs", [2, 3])
def test_number_of_threads_changes_no_bit_of_predictions(
    n_jobs, n_samples, kind, skip, monkeypatch
):
    share_all_work(monkeypatch)
    network = new_network("crelu", epsilon=EPSILONS[kind], dtype=np.float32)
    X = data_of(network, n_samples, np.float32)
    alone = logits_of(network, X, skip, monkeypatch)
    with Workers(n_jobs) as workers:
        shared = logits_of(network, X, skip, monkeypatch, workers)
    np.testing.assert_array_equal(alone, shared)


def test_threads_predict_whole_batches_each(buffer_sizes, monkeypatch):
    share_all_work(monkeypatch)
    gathered, gather = [], network_module.gather

    def spy(X, rows, *args):
        gathered.append((threading.get_ident(), rows[0], rows.size))
        gather(X, rows, *args)

    monkeypatch.setattr(network_module, "gather", spy)
    network = new_network("relu")
    X = data_of(network, 3 * PREDICTION_BATCH + 5, np.float64)
    with Workers(n_jobs=2) as workers:
        network.logits(X, np.arange(len(X)), workers)
    assert buffer_sizes == [PREDICTION_BATCH] * 2
    here = [part for thread, *part in gathered if thread == threading.get_ident()]
    assert here == [[0, PREDICTION_BATCH], [2 * PREDICTION_BATCH, PREDICTION_BATCH]]
    assert sorted(n for _, _, n in gathered) == [5, *[PREDICTION_BATCH] * 3]


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
    network.forward(batch, ALONE, training=True, mask=frozen_mask())
    batch.dz[-1][:] = 1
    network.backward(batch, ALONE, frozen_mask())
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
    network.take_slots(other.slots())
    assert network.layers[0].slots == []
    assert network.layers[1].slots is other.layers[1].slots


def test_slots_of_hidden_layers_are_taken_over_where_they_fit():
    network, other = new_network("prelu", norm=True), new_network("prelu", norm=True)
    other.add_slots(2)
    network.hidden[0].norm = None
    network.take_slots(other.slots())
    assert network.hidden[0].slots == []
    assert network.hidden[1].slots is other.hidden[1].slots
    assert [slot.shape for slot in network.hidden[1].slots] == [(2, 7)] * 3


def test_network_becomes_another_in_place():
    network = new_network("prelu", epsilon=2, norm=True)
    other = new_network("prelu", epsilon=3, norm=True, seed=5)
    for part in (network, other):
        part.add_slots(2)
    for unit in network.hidden:
        unit.slots[0][:] = 1
    places = [unit.parameters for unit in network.hidden]
    biases, expected = [layer.bias for layer in network.layers], other.copy()
    network.become(other.copy())
    assert_same_network(network, expected)
    assert all(unit.parameters is a for unit, a in zip(network.hidden, places, strict=True))
    assert all(la.bias is b for la, b in zip(network.layers, biases, strict=True))
    assert not any(slots.any() for unit in network.hidden for slots in unit.slots)
    assert not any(layer.slots for layer in network.layers)


# --- what inputs are worth ------------------------------------------------------------


def path_strengths(network):
    """By dense products."""
    product = np.eye(network.sizes[0])
    for depth, layer in enumerate(network.layers):
        matrix = np.zeros((layer.n_out, layer.n_in))
        matrix[np.repeat(np.arange(layer.n_out), layer.fan_in), layer.indices] = np.abs(
            layer.weights
        )
        product = matrix @ product
        if depth < len(network.hidden) and (norm := network.hidden[depth].norm) is not None:
            factors = np.abs(norm.gain) / np.sqrt(norm.variance + NORM_EPSILON)
            product *= factors[:, np.newaxis]
    strengths = product.sum(axis=0)
    return strengths / strengths.max()


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "norm"])
@pytest.mark.parametrize("kind", EPSILONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_input_strengths_are_sums_over_paths(kind, norm, dtype):
    network = new_network("relu", epsilon=EPSILONS[kind], norm=norm, dtype=dtype)
    strengths = network.input_strengths()
    assert strengths.dtype == np.float64
    np.testing.assert_allclose(strengths, path_strengths(network), rtol=1e-5)


def test_input_strengths_do_not_depend_on_units_of_hidden_neurons():
    network = new_network("relu")
    expected = network.input_strengths()
    factors = np.random.default_rng(3).uniform(0.01, 100, network.sizes[1])
    first, second = network.layers[:2]
    first.weights *= np.repeat(factors, first.fan_in)
    second.weights /= factors[second.indices]
    np.testing.assert_allclose(network.input_strengths(), expected)


def test_input_strengths_of_very_deep_networks_stay_finite():
    network = new_network("relu", epsilon=50, hidden_sizes=(9,) * 400)
    for layer in network.layers:
        layer.weights *= 100
    assert network.input_strengths().max() == 1
    network.layers[3].weights[:] = 0
    assert not network.input_strengths().any()
