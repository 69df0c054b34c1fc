"""Bytes against what fit and predict allocate; parameters against the literature."""

import math
import tracemalloc
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.analysis import MemoryFootprint, memory_footprint
from sksparse_mlp.core.layer import n_connections, required_bytes
from sksparse_mlp.core.optimizers import OPTIMIZERS
from sksparse_mlp.topology import LiSET

by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
by_solver = pytest.mark.parametrize("solver", OPTIMIZERS)


def values_of(network):
    """The arrays that say what a network has learned."""
    for layer in network.layers:
        yield from (layer.weights, layer.bias)
    for unit in network.hidden:
        yield unit.parameters
        yield from () if unit.norm is None else vars(unit.norm).values()


def arrays_of(network):
    """All arrays of a network that is trained."""
    yield from values_of(network)
    for layer in network.layers:
        yield from (layer.indptr, layer.indices, *layer.transposed)
        yield from (values for slots in layer.slots for values in slots)
    for unit in network.hidden:
        yield from unit.slots


def n_bytes(arrays):
    return sum(array.nbytes for array in arrays)


@by_solver
@by_dtype
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ["srelu", "garelu", "tanh"])
def test_training_bytes_are_those_of_the_arrays(
    mlp, multiclass, solver, dtype, batch_norm, activation
):
    X, y = multiclass
    model = mlp(solver=solver, activation=activation, batch_norm=batch_norm)
    footprint = memory_footprint(model.fit(X.astype(dtype), y))
    network = model._fitted_network()
    network.add_slots(OPTIMIZERS[solver].n_slots)
    assert footprint.training_bytes == n_bytes(arrays_of(network))
    assert footprint.copy_bytes == n_bytes(values_of(network))


@by_solver
@by_dtype
def test_layers_are_counted_as_where_they_are_made(mlp, multiclass, solver, dtype):
    X, y = multiclass
    model = mlp(solver=solver, activation="tanh").fit(X.astype(dtype), y)
    n_slots = OPTIMIZERS[solver].n_slots
    layers = [
        required_bytes(*coef.shape, model.epsilon, dtype, n_slots) for coef in model.coefs_
    ]
    assert memory_footprint(model).training_bytes == sum(layers)


@by_dtype
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("sizes", [(24, 16), ()])
def test_activation_bytes_are_those_of_the_buffers(
    mlp, multiclass, dtype, batch_norm, sizes
):
    X, y = multiclass
    model = mlp(hidden_layer_sizes=sizes, batch_norm=batch_norm, epsilon=2, zeta=0)
    footprint = memory_footprint(model.fit(X.astype(dtype), y))
    # Rows are whole vectors.
    batch = model._fitted_network().buffers(16, training=True)
    arrays = {id(m): m for m in (batch.x, *batch.u, *batch.z, *batch.a, *batch.dz)}
    expected = n_bytes([*arrays.values(), batch.losses])
    assert 16 * footprint.activation_bytes_per_sample == expected


@pytest.fixture
def large():
    """Make an estimator beside whose connections all else is small, and data for it."""

    def make(**params):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((60, 1500), dtype=np.float32)
        few = {"max_iter": 2, "batch_size": 16, "n_iter_no_change": np.inf, "epsilon": 120}
        model = SparseMLPClassifier((1500, 1500), random_state=0, **few | params)
        return model, X, rng.integers(3, size=60)

    return make


def peak_of(function, *args):
    """Bytes that a call takes at most, on top of what there was."""
    tracemalloc.start()
    try:
        function(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@by_solver
@pytest.mark.parametrize(
    "params",
    [
        {"zeta": 0},
        {"zeta": 0, "batch_norm": True, "activation": "srelu"},
        {"evolve_until": 0.5},
        {"growth": "liset", "epsilon": 20},
    ],
)
def test_training_takes_that_much(large, solver, params):
    model, X, y = large(solver=solver, **params)
    # Compilation takes memory of its own.
    footprint = memory_footprint(model.fit(X, y))
    expected = footprint.training_bytes + footprint.copy_bytes
    expected += 16 * footprint.activation_bytes_per_sample
    share = peak_of(model.fit, X, y) / expected
    # An evolution takes more while it lasts.
    assert 1 <= share <= (1.03 if params.get("zeta") == 0 else 1.4)


def test_prediction_takes_that_much(large):
    model, X, y = large(zeta=0)
    footprint = memory_footprint(model.fit(X, y))
    model.predict(X[:1])
    # The fitted attributes, half of it, are there already; a sample takes a vector's room.
    expected = footprint.prediction_bytes / 2 + 16 * 4 * (3 * 1500 + 3)
    assert peak_of(model.predict, X[:1]) == pytest.approx(expected, rel=0.03)


def test_shortcuts_of_liset_count_where_layers_have_room(mlp, multiclass):
    model = mlp(growth=LiSET(), solver="sgd").fit(*multiclass)
    with_shortcuts = memory_footprint(model)
    full = [math.prod(coef.shape) == coef.nnz for coef in model.coefs_]
    assert full == [False, False, True]
    model.set_params(growth="gradient")
    difference = with_shortcuts.training_bytes - memory_footprint(model).training_bytes
    # Matrix, gradient and velocity, from 12 and 24 inputs to 3 outputs.
    assert difference == 3 * 3 * (12 + 24) * 8
    model.set_params(growth="liset")
    assert memory_footprint(model) == with_shortcuts


# --- parameters -----------------------------------------------------------------------


def test_parameters_by_hand(mlp, multiclass):
    model = mlp().fit(*multiclass)
    footprint = memory_footprint(model)
    assert footprint.n_connections == sum(model.n_connections_) == 108 + 120 + 48
    assert footprint.n_parameters == 108 + 120 + 48 + 24 + 16 + 3
    assert footprint.n_dense_parameters == 13 * 24 + 25 * 16 + 17 * 3
    assert footprint.compression_rate == (13 * 24 + 25 * 16 + 17 * 3) / (276 + 43)


@pytest.mark.parametrize(
    ("n_features", "n_classes", "dense", "rate"),
    [
        (3312, 5, 5_320_005, 30.9),
        (1024, 40, 3_067_040, 22.2),
        (4434, 4, 6_441_004, 33.3),
        (784, 10, 2_797_010, 21.5),
    ],
)
def test_compression_is_that_of_chouliaras(mlp, n_features, n_classes, dense, rate):
    rng = np.random.default_rng(0)
    y = np.arange(2 * n_classes) % n_classes
    X = rng.standard_normal((y.size, n_features), dtype=np.float32)
    model = mlp(hidden_layer_sizes=(1000, 1000, 1000), epsilon=20, max_iter=1).fit(X, y)
    footprint = memory_footprint(model)
    sizes = [n_features, 1000, 1000, 1000, n_classes]
    expected = sum(map(n_connections, sizes, sizes[1:], [20] * 4)) + sum(sizes[1:])
    assert footprint.n_parameters == expected
    assert footprint.n_dense_parameters == dense
    # The document rounds, and its code may place two connections at one position.
    assert footprint.compression_rate == pytest.approx(rate, rel=0.05)


def test_full_layers_are_not_compressed(mlp, multiclass):
    footprint = memory_footprint(mlp(epsilon=100, zeta=0).fit(*multiclass))
    assert footprint.compression_rate == 1
    assert footprint.n_parameters == footprint.n_dense_parameters


def test_compression_is_counted_as_the_network_is_now(mlp, multiclass):
    model = mlp().fit(*multiclass)
    before = memory_footprint(model)
    coef = model.coefs_[0]
    coef.data[:30] = 0
    coef.eliminate_zeros()
    after = memory_footprint(model)
    assert after.n_connections == before.n_connections - 30
    # Value, two slots, column, transposed row and position.
    assert before.training_bytes - after.training_bytes == 30 * (3 * 8 + 3 * 4)
    assert before.prediction_bytes - after.prediction_bytes == 30 * 2 * (8 + 4)


@pytest.mark.parametrize("layout", ["csc", "coo", "lil"])
def test_replaced_arrays_may_have_any_layout(mlp, multiclass, layout):
    model = mlp().fit(*multiclass)
    expected = memory_footprint(model)
    model.coefs_ = [sparse.csr_array(coef).asformat(layout) for coef in model.coefs_]
    assert memory_footprint(model) == expected


# --- the object -----------------------------------------------------------------------


def test_numbers_are_whole_and_fixed(mlp, multiclass):
    footprint = memory_footprint(mlp().fit(*multiclass))
    assert all(type(value) is int for value in vars(footprint).values())
    with pytest.raises(FrozenInstanceError):
        footprint.n_connections = 0
    assert isinstance(footprint, MemoryFootprint)


def test_a_frozen_estimator_will_do(mlp, multiclass):
    model = mlp().fit(*multiclass)
    assert memory_footprint(FrozenEstimator(model)) == memory_footprint(model)


def test_an_unfitted_estimator_is_refused(mlp):
    with pytest.raises(NotFittedError):
        memory_footprint(mlp())


def test_table_has_every_figure(mlp, multiclass):
    footprint = memory_footprint(mlp().fit(*multiclass))
    table = footprint.to_pandas()
    assert table.index.tolist() == [*vars(footprint), "compression_rate"]
    assert table.to_dict() == vars(footprint) | {
        "compression_rate": footprint.compression_rate
    }
