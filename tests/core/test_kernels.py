"""Each kernel equals its plain twin, however its rows are shared.

Also run with ``NUMBA_DISABLE_JIT=1``, where the kernels are ordinary Python.
"""

import inspect
from copy import deepcopy
from itertools import pairwise

import naive
import numpy as np
import pytest
from scipy import sparse

from sksparse_mlp.core import jitted, kernels

# Those of whole networks, which test_program.py compares with their steps.
COMPOSED = {"bound_of_outputs", "update"}
KERNELS = sorted(
    name
    for name, value in vars(kernels).items()
    if callable(value)
    and value.__module__.startswith(jitted.__name__)
    and not name.startswith("_")
    and name not in COMPOSED
)
# Rows without connections, below, at and above the eight that one pass takes, and many.
FAN_INS = (0, 1, 7, 8, 9, 0, 16, 21, 40)
N_INPUTS = 48
BATCHES = (1, 5, 16, 33, 128)
# Rows of so many samples are whole vectors of any dtype.
WHOLE = 16


def random_pattern(rng, fan_ins=FAN_INS, n_columns=N_INPUTS):
    rows = [np.sort(rng.choice(n_columns, size, replace=False)) for size in fan_ins]
    indptr = np.cumsum([0, *fan_ins]).astype(np.int32)
    return indptr, np.concatenate(rows).astype(np.int32)


def whole(batch):
    return -(-batch // WHOLE) * WHOLE


def layer_arguments(rng, dtype, batch):
    indptr, indices = random_pattern(rng)
    n_rows, batch = len(FAN_INS), whole(batch)

    def normal(*shape):
        return rng.standard_normal(shape).astype(dtype)

    arguments = {"indptr": indptr, "indices": indices, "start": 0, "stop": n_rows}
    for name in ("weights", "velocity", "first", "gradient"):
        arguments[name] = normal(indices.size)
    for name in ("bias", "bias_velocity", "bias_first", "bias_gradient"):
        arguments[name] = normal(n_rows)
    arguments |= {"second": normal(indices.size) ** 2, "bias_second": normal(n_rows) ** 2}
    arguments |= {"x": normal(N_INPUTS, batch), "z": normal(n_rows, batch)}
    arguments |= {"dz": normal(n_rows, batch), "rate": 0.1, "momentum": 0.9}
    arguments |= {"nesterov": bool(batch % 2), "beta_1": 0.8, "beta_2": 0.9}
    # A limit that some of the values fall below.
    arguments |= {"epsilon": 1e-3, "alpha": 0.3, "scale": 1 / batch, "tiny": 0.05}
    return arguments


def backward_input_arguments(rng, dtype, batch):
    arguments = layer_arguments(rng, dtype, batch)
    # The rows of the pattern are input neurons here.
    arguments["dx"], arguments["dz"] = arguments["z"], arguments["x"]
    positions = rng.permutation(arguments["weights"].size).astype(np.int32)
    return arguments | {"positions": positions}


def skipping_arguments(rng, dtype, batch):
    """The rows of the pattern are input neurons; samples differ in how many are on."""
    indptr, indices = random_pattern(rng)
    x = rng.standard_normal((len(FAN_INS), batch)).astype(dtype)
    x[rng.random(x.shape) > np.linspace(0, 1, batch)] = 0
    arguments = {"indptr": indptr, "indices": indices, "x": x, "start": 0, "stop": batch}
    arguments["weights"] = rng.standard_normal(indices.size).astype(dtype)
    arguments["bias"] = rng.standard_normal(N_INPUTS).astype(dtype)
    arguments["size"] = max(1, batch - 2)
    return arguments | {"z": np.full((N_INPUTS, batch), np.nan, dtype)}


def full_skipping_arguments(rng, dtype, batch):
    arguments = skipping_arguments(rng, dtype, batch)
    weights = rng.standard_normal((len(FAN_INS), N_INPUTS)).astype(dtype)
    return arguments | {"weights": weights}


def product_arguments(rng, dtype, batch, n_inputs=N_INPUTS):
    """What full products take: all pairs of inputs and rows, some of them taken."""
    arguments = layer_arguments(rng, dtype, batch)
    n_rows = len(FAN_INS)
    arguments["x"] = rng.standard_normal((n_inputs, whole(batch))).astype(dtype)
    arguments["weights"] = rng.standard_normal((n_rows, n_inputs)).astype(dtype)
    fan_ins = [min(size, n_inputs) for size in FAN_INS]
    indptr, indices = random_pattern(rng, fan_ins, n_inputs)
    arguments |= {"indptr": indptr, "indices": indices}
    arguments["keep"] = rng.random(indices.size) < 0.7
    for name in ("gradient", "sizes"):
        arguments[name] = np.full((n_rows, n_inputs), np.nan, dtype)
    return arguments


def places_arguments(rng, dtype, batch, n_inputs=N_INPUTS):
    arguments = product_arguments(rng, dtype, batch, n_inputs)
    rows, columns = np.divmod(rng.permutation(len(FAN_INS) * n_inputs)[:20], n_inputs)
    arguments |= {"rows": rows, "columns": columns}
    return arguments | {"sizes": np.full(rows.size, np.nan, dtype)}


def vector_arguments(rng, dtype, batch):
    arguments = layer_arguments(rng, dtype, batch)
    return arguments | {"values": arguments["weights"]}


def elementwise_arguments(rng, dtype, batch):
    """Even batches have one slope for all neurons, odd ones one per neuron."""
    n_rows = len(FAN_INS)
    z, a, da = 3 * rng.standard_normal((3, n_rows, batch)).astype(dtype)
    arguments = {"z": z, "a": a, "da": da, "key": int(rng.integers(2**32))}
    arguments["derivative"] = da.copy()
    arguments["slopes"] = rng.standard_normal(n_rows if batch % 2 else 1).astype(dtype)
    arguments |= {"gradient": np.full(n_rows, np.nan, dtype), "scale": 1 / 0.7}
    return arguments | {"threshold": round(0.3 * 2**32), "start": 0, "stop": n_rows}


def srelu_arguments(rng, dtype, batch):
    arguments = elementwise_arguments(rng, dtype, batch)
    parameters = rng.standard_normal((4, len(FAN_INS))).astype(dtype)
    parameters[2] = parameters[0] + np.abs(parameters[2])
    arguments |= {"gradient": np.full_like(parameters, np.nan)}
    return arguments | {"parameters": parameters}


def clipped_arguments(rng, dtype, batch):
    clip = 1.5 if batch % 2 else np.inf
    return elementwise_arguments(rng, dtype, batch) | {"threshold": 0.75, "clip": clip}


def norm_arguments(rng, dtype, batch):
    n_rows = len(FAN_INS)
    u, z, dz = 3 + 2 * rng.standard_normal((3, n_rows, batch)).astype(dtype)
    arguments = {"u": u, "z": z, "dz": dz, "momentum": 0.3, "epsilon": 0.01}
    for name in ("gain", "shift", "mean", "gain_gradient", "shift_gradient"):
        arguments[name] = rng.standard_normal(n_rows).astype(dtype)
    for name in ("variance", "inverse_deviation"):
        arguments[name] = rng.exponential(size=n_rows).astype(dtype)
    return arguments | {"size": max(1, batch - 2), "start": 0, "stop": n_rows}


def loss_arguments(rng, dtype, batch, n_classes):
    n_samples = 150
    z = 4 * rng.standard_normal((max(n_classes, 1), batch)).astype(dtype)
    y = rng.integers(max(n_classes, 2), size=n_samples)
    weights = rng.exponential(size=n_samples).astype(dtype)
    rows = rng.permutation(n_samples)[:batch]
    arguments = {"z": z, "y": y, "weights": weights, "rows": rows, "tiny": 1e-3}
    arguments |= {"dz": np.full_like(z, np.nan), "losses": np.full(batch, np.nan)}
    return arguments | {"start": 0, "stop": batch}


def softmax_arguments(rng, dtype, batch):
    return loss_arguments(rng, dtype, batch, n_classes=7)


def logistic_arguments(rng, dtype, batch):
    """One output with class indices, or three with labels."""
    if batch % 2:
        arguments = loss_arguments(rng, dtype, batch, n_classes=1)
        return arguments | {"y": arguments["y"].reshape(-1, 1)}
    arguments = loss_arguments(rng, dtype, batch, n_classes=3)
    return arguments | {"y": rng.integers(2, size=(150, 3), dtype=np.int8)}


# Losses of numbers, with their parameters.
LOSSES_OF_TARGETS = {
    kernels.SQUARED: (0.0, 0.0),
    kernels.HUBER: (0.7, 0.0),
    kernels.PINBALL: (0.2, 0.8),
    kernels.POISSON: (0.0, 0.0),
}


def target_arguments(rng, dtype, batch, loss=kernels.SQUARED):
    arguments = loss_arguments(rng, dtype, batch, n_classes=1 + batch % 4)
    y = rng.standard_normal((150, len(arguments["z"]))).astype(dtype)
    y[rng.random(y.shape) < 0.2] = np.nan
    if loss == kernels.POISSON:
        # Many zeros, and as many of what is missing.
        y = np.floor(np.exp(y))
    first, second = LOSSES_OF_TARGETS[loss]
    return arguments | {"y": y, "loss": loss, "first": first, "second": second}


def gather_arguments(rng, dtype, batch):
    X = sparse.random_array((40, 37), density=0.3, rng=rng, dtype=dtype, format="csr")
    # Duplicates of an entry are legal in CSR, and add up.
    X.indices[1::5] = X.indices[:-1:5]
    rows = rng.integers(X.shape[0], size=max(1, batch - 3))
    arguments = {"X": rng.standard_normal(X.shape).astype(dtype), "rows": rows}
    arguments |= {"data": X.data, "indices": X.indices, "indptr": X.indptr}
    arguments |= {"start": 0, "stop": batch}
    return arguments | {"x": np.full((X.shape[1], batch), np.nan, dtype)}


def topology_arguments(rng, dtype, batch):
    """Odd batches are of layers that get more connections than they lose."""
    indptr, indices = random_pattern(rng)
    n_rows, keep = len(FAN_INS), rng.random(indices.size) < 0.7
    n_free, n_new = n_rows * N_INPUTS - keep.sum(), np.sum(~keep) + 5 * (batch % 2)
    size = keep.sum() + n_new
    arguments = {"indptr": indptr, "indices": indices, "keep": keep}
    arguments["ranks"] = np.sort(rng.choice(n_free, n_new, replace=False))
    arguments["grown"] = np.sort(rng.choice(size, n_new, replace=False))
    arguments |= {"n_columns": N_INPUTS, "new_indptr": np.empty_like(indptr)}
    arguments |= {"new_indices": np.empty(size, np.int32)}
    arguments["values"] = rng.standard_normal(size).astype(dtype)
    # Without slots, with one, and with two of them.
    for name, has_some in (("slot", batch > 5), ("slot_2", batch > 16)):
        n_values = size if has_some else 0
        arguments[name] = rng.standard_normal(n_values).astype(dtype)
    arguments["weights"] = rng.standard_normal(indices.size).astype(dtype)
    arguments["factors"] = rng.standard_normal(n_rows).astype(dtype)
    arguments["inputs"] = rng.random(N_INPUTS) < 0.7
    arguments["outputs"] = rng.random(n_rows) < 0.7
    arguments["positions"] = np.empty(keep.sum(), np.int64)
    return arguments


def merge_arguments(rng, dtype, batch):
    arguments = topology_arguments(rng, dtype, batch)
    return arguments | {"grown": np.full(arguments["ranks"].size + 1, -7)}


def transpose_arguments(rng, dtype, batch):
    arguments = topology_arguments(rng, dtype, batch)
    places = np.empty((2, arguments["indices"].size), np.int32)
    arguments |= {"new_indptr": np.empty(N_INPUTS + 1, np.int32)}
    return arguments | {"new_indices": places[0], "positions": places[1]}


def row_sums_arguments(rng, dtype, batch):
    return topology_arguments(rng, dtype, batch) | {"sums": rng.random(len(FAN_INS))}


def column_sums_arguments(rng, dtype, batch):
    arguments = topology_arguments(rng, dtype, batch) | {"sums": rng.random(N_INPUTS)}
    return arguments | {"counts": rng.integers(5, size=N_INPUTS)}


def signs_arguments(rng, dtype, batch):
    """Numbers of both signs, many of them equal with even batches, and both zeros."""
    drawn = rng.integers(-3, 4, 60) if batch % 2 == 0 else rng.standard_normal(700)
    drawn = drawn.astype(float)
    drawn[::7], drawn[3::50], drawn[7::50] = -0.0, np.nan, -np.inf
    kind = np.int32 if dtype is np.float32 else np.int64
    bits, infinity = drawn.astype(dtype).view(kind), dtype(np.inf).view(kind)
    keep = np.empty(bits.size, bool)
    return {"bits": bits, "infinity": infinity, "zeta": batch / 140, "keep": keep}


def take_arguments(rng, dtype, batch):
    values = rng.standard_normal(30).astype(dtype)
    places = rng.integers(30, size=50).astype(np.int32)
    return {"values": values, "places": places, "out": np.empty(50, dtype)}


def draws_arguments(rng, dtype, batch):
    """Many draws of the same integers in small batches, hardly any in large ones."""
    sums = rng.exponential(size=80)
    # Divided by their end some sums are 1, which is beyond the range.
    sums[-4:] = 0
    drawn = np.full(sums.size, -7)
    return {"sums": sums, "population": 30 * batch, "drawn": drawn}


def sampling_arguments(rng, dtype, batch):
    n_rows = len(FAN_INS)
    chosen = np.sort(rng.choice(n_rows * N_INPUTS, 3 * batch, replace=False))
    others = np.empty(n_rows * N_INPUTS - chosen.size, np.int64)
    ranks = np.sort(rng.integers(others.size, size=40))
    arguments = {"left_out": chosen, "others": others, "taken": chosen, "ranks": ranks}
    arguments |= {"values": rng.integers(9, size=n_rows * N_INPUTS), "places": chosen}
    return arguments | {"positions": np.empty(ranks.size, np.int64)}


def paths_arguments(rng, dtype, batch):
    """A pattern from both sides; random middles and choices; some and free positions."""
    indptr, indices = random_pattern(rng)
    n_rows = len(FAN_INS)
    taken = np.repeat(np.arange(n_rows), np.diff(indptr)) * N_INPUTS + indices
    by_column = np.lexsort((taken // N_INPUTS, taken % N_INPUTS))
    ends = np.searchsorted(taken[by_column] % N_INPUTS, np.arange(N_INPUTS + 1))
    arguments = {"indptr": indptr, "indices": indices, "ends": ends.astype(np.int32)}
    arguments["outputs"] = (taken[by_column] // N_INPUTS).astype(np.int32)
    arguments["of_outputs"] = np.sqrt(np.maximum(np.diff(indptr) - 1, 0))
    arguments["of_inputs"] = np.sqrt(np.maximum(np.diff(ends) - 1, 0))
    arguments["sums"] = np.cumsum(rng.standard_exponential(batch + 1))
    arguments["picks"] = rng.random(batch)
    arguments["positions"] = np.sort(rng.integers(n_rows * N_INPUTS, size=batch))
    free = np.setdiff1d(np.arange(n_rows * N_INPUTS), taken)
    rows, columns = np.divmod(rng.permutation(free)[:batch], N_INPUTS)
    arguments |= {"rows": rows, "columns": columns, "scores": np.empty(rows.size)}
    return arguments | {"n_columns": N_INPUTS}


def learned_arguments(rng, dtype, batch):
    gradient = rng.standard_normal((4, batch)).astype(dtype)
    arguments = {"gradient": gradient, "sums": np.empty((4, 1), dtype), "scale": 0.3}
    return arguments | {"total": rng.standard_normal((4, batch)).astype(dtype)}


def split_arguments(rng, dtype, batch):
    chosen = sampling_arguments(rng, dtype, batch)["left_out"]
    arguments = {"positions": chosen, "n_columns": N_INPUTS}
    arguments |= {"indptr": np.empty(len(FAN_INS) + 1, np.int32)}
    return arguments | {"indices": np.empty(chosen.size, np.int32)}


def distribution_arguments(rng, dtype, batch):
    """Rows on both sides of zero, on one side, with repetitions, and constant ones."""
    values = rng.standard_normal((len(FAN_INS), batch)).astype(dtype)
    values[1], values[2] = abs(values[1]), -abs(values[2])
    values[3], values[4] = np.maximum(values[3], 0), np.clip(values[4], -0.5, 0.25)
    values[5], values[6] = 0, 1.25
    values[7] *= np.finfo(dtype).tiny
    values[8, ::2] *= np.finfo(dtype).max / 8
    low, high = values.min(axis=1).astype(float), values.max(axis=1).astype(float)
    middle = np.clip(0, low, high)
    share = (middle - low) / np.where(low < high, high - low, 1)
    arguments = {"values": values, "low": low, "middle": middle, "high": high}
    arguments |= {"classes": rng.integers(3, size=batch), "n_below": np.ceil(8 * share)}
    arguments["n_below"] = arguments["n_below"].astype(np.intp)
    return arguments | {"counts": np.ones((len(FAN_INS), 3, 12), np.uint32)}


def density_arguments(rng, dtype, batch):
    """Grids of three classes with gaps and ends without points, and nodes without one."""
    n_nodes, n_classes, scale = len(FAN_INS), 3, 8.0
    n_bins = np.where(np.arange(n_nodes) % 4 == 2, 0, 200)
    starts = np.concatenate([[0], np.cumsum(n_bins)])
    sizes = rng.integers(1, 30, size=n_nodes * n_classes)
    points = [np.sort(rng.choice(60, size, replace=False)) for size in sizes]
    # Every other class has its upper half far from the lower one.
    moved = [np.where(p > 30, p + 130 * (k % 2), p) for k, p in enumerate(points)]
    arguments = {"points": np.concatenate(moved).astype(float), "scale": scale}
    arguments |= {"weights": rng.exponential(size=sizes.sum()) + 1e-9, "starts": starts}
    arguments |= {"indptr": np.concatenate([[0], np.cumsum(sizes)]), "n_bins": n_bins}
    arguments |= {"precision": 0.5 / 4**2, "reach": 50.0}
    arguments |= {"offsets": rng.standard_normal(n_classes), "low": np.full(n_nodes, -12.0)}
    z = 10 * rng.standard_normal((n_nodes, batch)).astype(dtype)
    arguments |= {"z": z, "taken": rng.random(z.shape) < 0.8}
    # A value at the very end of the last grid.
    z[-1, 0], arguments["taken"][-1, 0] = 12.875, True
    arguments["table"] = rng.standard_normal((starts[-1], n_classes)).astype(dtype)
    return arguments | {"totals": rng.standard_normal((batch, n_classes))}


def binning_arguments(rng, dtype, batch):
    arguments = density_arguments(rng, dtype, batch)
    arguments["z"] = np.clip(arguments["z"], -12, 12)
    counts = rng.exponential(size=(3, arguments["starts"][-1]))
    return arguments | {"codes": rng.integers(3, size=batch), "counts": counts}


ARGUMENTS = {
    "forward": layer_arguments,
    "backward_input": backward_input_arguments,
    "backward_times": backward_input_arguments,
    "forward_skipping": skipping_arguments,
    "share_active": skipping_arguments,
    "forward_skipping_full": full_skipping_arguments,
    "sum_of_squares": topology_arguments,
    "sum_in_order": topology_arguments,
    "weight_gradient": layer_arguments,
    "add_weight_gradient": layer_arguments,
    "add_product": product_arguments,
    "product_gradient": product_arguments,
    "sgd_step": layer_arguments,
    "adam_step": layer_arguments,
    "sgd_update": vector_arguments,
    "adam_update": vector_arguments,
    "normalise_batch": norm_arguments,
    "normalise": norm_arguments,
    "normalise_batch_gradient": norm_arguments,
    "copy_rows": elementwise_arguments,
    "leaky_relu": elementwise_arguments,
    "leaky_relu_gradient": elementwise_arguments,
    "leaky_relu_and_derivative": elementwise_arguments,
    "slope_gradient": elementwise_arguments,
    "sum_rows": learned_arguments,
    "add_times": learned_arguments,
    "srelu": srelu_arguments,
    "srelu_gradient": srelu_arguments,
    "clipped_shift": clipped_arguments,
    "clipped_shift_gradient": clipped_arguments,
    "clipped_shrink": clipped_arguments,
    "clipped_shrink_gradient": clipped_arguments,
    "logistic": elementwise_arguments,
    "logistic_gradient": elementwise_arguments,
    "tanh": elementwise_arguments,
    "tanh_gradient": elementwise_arguments,
    "dropout": elementwise_arguments,
    "dropout_and_derivative": elementwise_arguments,
    "softmax_cross_entropy": softmax_arguments,
    "logistic_cross_entropy": logistic_arguments,
    "loss_of_targets": target_arguments,
    "gather_dense": gather_arguments,
    "gather_csr": gather_arguments,
    "merge_pattern": merge_arguments,
    "move_values": topology_arguments,
    "keep_strongest": signs_arguments,
    "keep_among": topology_arguments,
    "kept_positions": topology_arguments,
    "transpose_pattern": transpose_arguments,
    "take": take_arguments,
    "count_each": column_sums_arguments,
    "scale_rows": topology_arguments,
    "all_finite": topology_arguments,
    "sum_sizes_by_row": row_sums_arguments,
    "sum_sizes_by_column": column_sums_arguments,
    "distinct_draws": draws_arguments,
    "drop_places": sampling_arguments,
    "list_others": sampling_arguments,
    "split_positions": split_arguments,
    "free_positions": sampling_arguments,
    "walk_ends": paths_arguments,
    "ranks_of_free": paths_arguments,
    "path_scores": paths_arguments,
    "free_gradient_sizes": product_arguments,
    "gradient_sizes_at": places_arguments,
    "count_bins": distribution_arguments,
    "count_cells": distribution_arguments,
    "add_to_bins": binning_arguments,
    "tabulate_log_densities": density_arguments,
    "add_log_densities": density_arguments,
}
BY_RANGE = [
    name for name in KERNELS if "stop" in inspect.signature(getattr(naive, name)).parameters
]
# Writes its range to the beginning of a block.
IN_PLACE = [name for name in BY_RANGE if name != "free_gradient_sizes"]
PRODUCTS = ("add_product", "product_gradient", "free_gradient_sizes", "gradient_sizes_at")
ACTIVATION_KERNELS = [
    name
    for name in KERNELS
    if [*inspect.signature(getattr(naive, name)).parameters][:2] == ["z", "a"]
]


def arguments_of(name, dtype, batch, seed=0, **sizes):
    drawn = ARGUMENTS[name](np.random.default_rng([seed, batch]), dtype, batch, **sizes)
    return {key: drawn[key] for key in inspect.signature(getattr(naive, name)).parameters}


def call(function, arguments):
    """Call with copies of the arguments; return what was returned and the arrays."""
    copies = deepcopy(arguments)
    # Without JIT, the hash of dropout wraps around as NumPy scalars, which warn.
    with np.errstate(over="ignore"):
        returned = function(*copies.values())
    arrays = {k: v for k, v in copies.items() if isinstance(v, np.ndarray)}
    return arrays | ({} if returned is None else {"returned": returned})


def assert_close(actual, expected, dtype):
    assert actual.keys() == expected.keys()
    tolerance = 100 * np.finfo(dtype).eps
    for name, values in expected.items():
        size = max(1, np.max(np.abs(values), initial=0))
        np.testing.assert_allclose(
            actual[name], values, rtol=tolerance, atol=tolerance * size, err_msg=name
        )


def assert_identical(actual, expected):
    for name, values in expected.items():
        np.testing.assert_array_equal(actual[name], values, err_msg=name, strict=True)


def test_every_kernel_has_a_twin_of_the_same_arguments():
    for name in KERNELS:
        kernel = inspect.signature(getattr(kernels, name))
        assert inspect.signature(getattr(naive, name)) == kernel, name
    assert set(ARGUMENTS) == set(KERNELS)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", KERNELS)
def test_kernel_equals_twin(name, dtype, batch):
    arguments = arguments_of(name, dtype, batch)
    actual = call(getattr(kernels, name), arguments)
    assert_close(actual, call(getattr(naive, name), arguments), dtype)


@pytest.mark.parametrize(("start", "stop"), [(2, 6), (0, 1), (8, 9), (4, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", BY_RANGE)
def test_kernel_equals_twin_on_a_range(name, dtype, start, stop):
    arguments = arguments_of(name, dtype, batch=33) | {"start": start, "stop": stop}
    actual = call(getattr(kernels, name), arguments)
    assert_close(actual, call(getattr(naive, name), arguments), dtype)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", IN_PLACE)
def test_sharing_the_range_changes_no_bit(name, dtype, batch):
    arguments = arguments_of(name, dtype, batch)
    shared, end = dict(arguments), arguments["stop"]
    for start, stop in pairwise([0, (end + 2) // 5, (end + 1) // 2, end]):
        shared = call(getattr(kernels, name), shared | {"start": start, "stop": stop})
        shared = arguments | shared
    assert_identical(shared, call(getattr(kernels, name), arguments))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", LOSSES_OF_TARGETS)
def test_every_loss_of_targets_equals_its_twin(loss, dtype, batch):
    arguments = arguments_of("loss_of_targets", dtype, batch, loss=loss)
    for start, stop in [(0, batch), (batch // 3, batch // 2)]:
        arguments |= {"start": start, "stop": stop}
        actual = call(kernels.loss_of_targets, arguments)
        assert_close(actual, call(naive.loss_of_targets, arguments), dtype)


@pytest.mark.parametrize("n_inputs", [1, 3, 4, 5, 7, 8, 9, 16, 21])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PRODUCTS)
def test_full_product_equals_twin_for_any_number_of_inputs(name, dtype, n_inputs):
    arguments = arguments_of(name, dtype, batch=5, n_inputs=n_inputs)
    actual = call(getattr(kernels, name), arguments)
    assert_close(actual, call(getattr(naive, name), arguments), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_of_a_full_product_may_be_transposed(dtype):
    arguments = arguments_of("add_product", dtype, batch=16)
    expected = call(kernels.add_product, arguments)["z"]
    z = arguments["z"].copy()
    weights = np.ascontiguousarray(arguments["weights"].T).T
    kernels.add_product(weights, arguments["x"], z, 0, len(z))
    assert_close({"z": z}, {"z": expected}, dtype)


@pytest.mark.parametrize("n_rows", [1, 2, 4, 9])
def test_blocks_of_free_gradients_are_those_of_the_whole_layer(n_rows):
    arguments = arguments_of("free_gradient_sizes", np.float32, batch=16)
    whole = call(kernels.free_gradient_sizes, arguments)["sizes"]
    for start in range(0, len(FAN_INS), n_rows):
        stop = min(start + n_rows, len(FAN_INS))
        part = arguments | {"sizes": np.empty_like(whole[:n_rows])}
        block = call(kernels.free_gradient_sizes, part | {"start": start, "stop": stop})
        np.testing.assert_array_equal(block["sizes"][: stop - start], whole[start:stop])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_output_of_a_sample_is_the_same_in_every_batch(dtype):
    arguments = arguments_of("forward", dtype, batch=128)
    together = call(kernels.forward, arguments)["z"]
    for first, size in [(3, 16), (0, 32), (7, 48), (1, 112), (64, 64)]:
        part = slice(first, first + size)
        x, z = (np.ascontiguousarray(arguments[name][:, part]) for name in "xz")
        alone = call(kernels.forward, arguments | {"x": x, "z": z})["z"]
        np.testing.assert_array_equal(alone, together[:, part])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATION_KERNELS)
def test_activation_may_overwrite_its_input(name, dtype):
    arguments = arguments_of(name, dtype, batch=33)
    apart = call(getattr(kernels, name), arguments)["a"]
    z = arguments["z"].copy()
    getattr(kernels, name)(*(arguments | {"z": z, "a": z}).values())
    np.testing.assert_array_equal(z, apart)


def test_normalised_values_may_overwrite_their_input():
    arguments = arguments_of("normalise", np.float64, batch=33)
    apart = call(kernels.normalise, arguments)["z"]
    u = arguments["u"].copy()
    kernels.normalise(*(arguments | {"u": u, "z": u}).values())
    np.testing.assert_array_equal(u, apart)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATION_KERNELS)
def test_activation_keeps_nan_visible(name, dtype):
    arguments = arguments_of(name, dtype, batch=33)
    bad = np.random.default_rng(0).random(arguments["z"].shape) < 0.3
    arguments["z"][bad] = np.nan
    np.testing.assert_array_equal(
        np.isnan(call(getattr(kernels, name), arguments)["a"]), bad
    )


@pytest.mark.parametrize("name", ["normalise", "normalise_batch"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_normalisation_keeps_what_is_not_finite_visible(name, bad):
    arguments = arguments_of(name, np.float32, batch=16)
    arguments["u"][2, 3] = bad
    with np.errstate(invalid="ignore"):
        results = call(getattr(kernels, name), arguments)
    assert not np.isfinite(results["z"][2, 3])
    assert np.isfinite(results["z"][[0, 1, 3]]).all()
    if name == "normalise_batch":
        assert not np.isfinite([results["mean"][2], results["variance"][2]]).any()


@pytest.mark.parametrize("batch", BATCHES)
def test_training_moments_of_a_batch_are_standard(batch):
    arguments = arguments_of("normalise_batch", np.float64, batch)
    arguments |= {"epsilon": 0.0, "size": batch}
    if batch == 1:
        arguments["epsilon"] = 1e-5
    u = call(kernels.normalise_batch, arguments)["u"]
    np.testing.assert_allclose(u.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(u.std(axis=1), 1 if batch > 1 else 0, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clipped_activations_are_exactly_zero_up_to_the_threshold(dtype):
    z = np.array([[-0.5, -0.0, 0.0, 0.25, 0.5, 0.75, 1.5, 2.0]], dtype)
    shifted, shrunk = np.empty_like(z), np.empty_like(z)
    kernels.clipped_shift(z, shifted, 0.5, 1.0, 0, 1)
    kernels.clipped_shrink(-z, shrunk, 0.5, 1.0, 0, 1)
    expected = [[0, 0, 0, 0, 0, 0.25, 1, 1]]
    np.testing.assert_array_equal(shifted, expected)
    np.testing.assert_array_equal(shrunk, -np.array(expected))


@pytest.mark.parametrize("name", ["forward_skipping", "forward_skipping_full"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_skipping_zeros_keeps_what_is_not_finite_visible(name, bad):
    arguments = arguments_of(name, np.float32, batch=16)
    arguments["x"][:] = 0
    arguments["x"][-1, 5] = bad
    z = call(getattr(kernels, name), arguments)["z"]
    fed = slice(None) if name.endswith("full") else arguments["indices"][-FAN_INS[-1] :]
    assert not np.isfinite(z[fed, 5]).any()
    assert np.isfinite(np.delete(z, 5, axis=1)).all()


@pytest.mark.parametrize("name", ["forward_skipping", "forward_skipping_full"])
def test_weights_of_inputs_that_are_zero_are_not_read(name):
    arguments = arguments_of(name, np.float64, batch=5)
    arguments["x"][:] = 0
    arguments["weights"][:] = np.nan
    z = call(getattr(kernels, name), arguments)["z"]
    np.testing.assert_array_equal(z, np.tile(arguments["bias"], (5, 1)).T)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturated_activations_are_finite(dtype):
    z = np.array([[-1e4, -800, -100, 100, 800, 1e4]], dtype)
    outputs = {name: np.empty_like(z) for name in ("logistic", "tanh")}
    gradients = {name: np.ones_like(z) for name in outputs}
    for name, a in outputs.items():
        getattr(kernels, name)(z, a, 0, 1)
        getattr(kernels, f"{name}_gradient")(z, gradients[name], 0, 1)
        np.testing.assert_allclose(gradients[name], 0, atol=1e-40)
    np.testing.assert_allclose(outputs["logistic"], [[0, 0, 0, 1, 1, 1]], atol=1e-40)
    np.testing.assert_array_equal(outputs["tanh"], [[-1, -1, -1, 1, 1, 1]])


@pytest.mark.parametrize("name", ["forward", "backward_input", "weight_gradient"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_products_keep_what_is_not_finite_visible(name, bad):
    arguments = arguments_of(name, np.float32, batch=16)
    source = "x" if name == "forward" else "dz"
    arguments[source][:] = bad
    output = {"forward": "z", "backward_input": "dx", "weight_gradient": "gradient"}[name]
    rows = slice(1, 5)  # those with connections
    with np.errstate(invalid="ignore"):
        result = call(getattr(kernels, name), arguments)[output]
    assert not np.isfinite(result if name == "weight_gradient" else result[rows]).any()


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_full_products_keep_what_is_not_finite_visible(name, bad):
    arguments = arguments_of(name, np.float32, batch=16)
    arguments["x"][:] = bad
    with np.errstate(invalid="ignore"):
        result = call(getattr(kernels, name), arguments)
    output = next(result[key] for key in ("z", "gradient", "sizes") if key in result)
    # Sizes are -1 at the positions that are taken.
    n_taken = np.sum(arguments["keep"]) if "keep" in arguments else 0
    assert np.sum(output == -1) == np.sum(np.isfinite(output)) == n_taken


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_found_anywhere(bad, dtype):
    values = np.linspace(-1, 1, 37, dtype=dtype) * np.finfo(dtype).max
    assert kernels.all_finite(values)
    assert kernels.all_finite(values[:0])
    for k in range(values.size):
        with_bad = values.copy()
        with_bad[k] = bad
        assert not kernels.all_finite(with_bad)


def test_values_next_to_an_end_are_counted_in_the_bin_beside_it():
    high = np.random.default_rng(0).uniform(1, 2, size=200)
    values, zeros = np.nextafter(high, 0)[:, np.newaxis], np.zeros(200)
    classes, n_below = np.zeros(1, np.intp), np.zeros(200, np.intp)
    counts = np.zeros((200, 1, 12), np.uint32)
    kernels.count_cells(values, classes, zeros, zeros, high, n_below, counts)
    assert np.all(counts[:, 0, -2] == 1)
    counts = np.zeros((200, 1, 12), np.uint32)
    kernels.count_cells(-values, classes, -high, zeros, zeros, n_below + 8, counts)
    assert np.all(counts[:, 0, 1] == 1)


# --- dropout as a source of randomness ------------------------------------------------

SHAPE = (200, 300)


def dropped(key, rate=0.3, shape=SHAPE):
    """Which entries dropout sets to zero, shape (rows, batch)."""
    arguments = {"a": np.ones(shape), "key": key, "threshold": round(rate * 2**32)}
    arguments |= {"scale": 1 / (1 - rate), "start": 0, "stop": shape[0]}
    return call(kernels.dropout, arguments)["a"] == 0


def assert_probability(observed, rate, n_trials):
    assert abs(observed - rate) < 4.5 * np.sqrt(rate * (1 - rate) / n_trials)


def assert_independent(first, second):
    correlation = np.corrcoef(first.ravel(), second.ravel())[0, 1]
    assert abs(correlation) < 4.5 / np.sqrt(first.size)


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("key", [0, 1, 2**31, 2**32 - 1])
def test_dropout_zeroes_the_stated_share(rate, key):
    zeros = dropped(key, rate, shape=(100, 150))
    assert_probability(zeros.mean(), rate, zeros.size)


@pytest.mark.parametrize("axis", [0, 1])
def test_dropout_is_even_over_rows_and_columns(axis):
    shares = dropped(key=12345).mean(axis=axis)
    length = SHAPE[axis]
    spread = np.sum((shares - 0.3) ** 2) / (0.3 * 0.7 / length)
    assert abs(spread - shares.size) < 4.5 * np.sqrt(2 * shares.size)


@pytest.mark.parametrize("lag", [(0, 1), (1, 0), (1, 1), (0, 8), (8, 0), (1, -1)])
def test_dropout_is_independent_across_rows_and_columns(lag):
    zeros = dropped(key=12345)
    shifted = np.roll(zeros, lag, axis=(0, 1))
    assert_independent(zeros, shifted)


@pytest.mark.parametrize("other", [1, 2, 2**16, 2**31])
def test_dropout_is_independent_across_keys(other):
    assert_independent(dropped(key=7), dropped(key=7 ^ other))


def test_dropout_scales_what_it_keeps():
    a = np.full((4, 50), 3.0)
    with np.errstate(over="ignore"):
        kernels.dropout(a, 99, round(0.25 * 2**32), 1 / 0.75, 1, 3)
    np.testing.assert_array_equal(a[[0, 3]], 3.0)
    assert set(np.unique(a[1:3])) == {0.0, 4.0}


# --- losses at the ends of the range --------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name", ["softmax_cross_entropy", "logistic_cross_entropy", "loss_of_targets"]
)
def test_loss_is_exact_and_free_of_subnormals_at_extreme_logits(name, dtype):
    arguments = arguments_of(name, dtype, batch=128)
    tiny = float(np.finfo(dtype).tiny)
    arguments |= {"z": arguments["z"] / 8 * dtype(1e4), "tiny": tiny}
    actual = call(getattr(kernels, name), arguments)
    assert np.isfinite(actual["losses"]).all()
    assert_close(actual, call(getattr(naive, name), arguments), dtype)
    gradient = np.abs(actual["dz"])
    assert np.all((gradient == 0) | (gradient >= tiny))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (40, 33)])
def test_share_active(dtype, shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    x[x < 0.5] = 0
    x[0, 0] = np.nan
    for size in (1, shape[1]):
        expected = naive.share_active(x, size)
        assert kernels.share_active(x, size) == pytest.approx(expected)
