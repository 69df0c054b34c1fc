"""Updates of a whole network, in one call."""

import math

import numpy as np

from sksparse_mlp.core.addresses import array_at, rows_at
from sksparse_mlp.core.jitted.losses import (
    LOGISTIC_CLASSES,
    LOGISTIC_LABELS,
    SOFTMAX,
    logistic_cross_entropy,
    loss_of_targets,
    softmax_cross_entropy,
)
from sksparse_mlp.core.jitted.options import FIRST, exact, inlined, inner, kernel
from sksparse_mlp.core.jitted.products import (
    add_product,
    backward_input,
    backward_times,
    forward,
    product_gradient,
    sum_of_squares,
)
from sksparse_mlp.core.jitted.steps import adam_step, adam_update, sgd_step, sgd_update
from sksparse_mlp.core.jitted.units import (
    add_times,
    clipped_shift,
    clipped_shift_gradient,
    clipped_shrink,
    clipped_shrink_gradient,
    copy_rows,
    dropout,
    dropout_and_derivative,
    leaky_relu,
    leaky_relu_and_derivative,
    leaky_relu_gradient,
    logistic,
    logistic_gradient,
    normalise_batch,
    normalise_batch_gradient,
    slope_gradient,
    srelu,
    srelu_gradient,
    sum_rows,
    tanh,
    tanh_gradient,
)
from sksparse_mlp.core.simd import gather_columns, lanes, lanes_of
from sksparse_mlp.core.spinning import meet

# --- batches --------------------------------------------------------------------------


@inlined
def _gather_features(X, rows, x, start, stop, first, last):
    for s in range(start, stop):
        row = rows[min(s, rows.size - 1)]
        for i in range(first, last):
            x[i, s] = X[row, i]


@kernel
def gather_dense(X, rows, x, start, stop):
    """x[i, s] = X[rows[s], i] for the samples ``[start, stop)``.

    Samples behind the last of the rows repeat it. As many samples as a vector has lanes
    give as many features at a time, where there is nothing to convert.
    """
    n, first = lanes(x), FIRST
    while X.dtype == x.dtype and first + n <= X.shape[1]:
        s = start
        while s + n <= stop:
            gather_columns(x, first, s, X, rows, s, first)
            s += n
        _gather_features(X, rows, x, s, stop, first, first + n)
        first += n
    _gather_features(X, rows, x, start, stop, first, X.shape[1])


@kernel
def gather_csr(data, indices, indptr, rows, x, start, stop):
    """x[:, s] = row rows[s] of a CSR matrix for the samples ``[start, stop)``.

    Samples behind the last of the rows repeat it. Duplicate entries are added.
    """
    x[:, start:stop] = 0.0
    for s in range(start, stop):
        row = rows[min(s, rows.size - 1)]
        for k in range(indptr[row], indptr[row + 1]):
            x[indices[k], s] += data[k]


# --- updates: those of a whole network, in one call -----------------------------------

# A network is a table with one row per layer, which holds sizes and where arrays begin in
# memory: so one function, compiled once, serves networks of any depth.
LAYER = np.dtype(
    [
        *((name, np.int64) for name in ("n_in", "n_out", "n_connections")),
        *((name, np.int64) for name in ("indptr", "indices", "weights", "bias")),
        *((name, np.int64) for name in ("in_indptr", "in_indices", "in_positions")),
        *((name, np.int64) for name in ("slot", "bias_slot", "slot_2", "bias_slot_2")),
        *((name, np.int64) for name in ("x", "u", "z", "a", "dz")),
        # Of what follows the layer, the last one excepted.
        *((name, np.int64) for name in ("activation", "parameters", "n_parameters")),
        ("threshold", np.float64),
        ("clip", np.float64),
        # Of parameters that are learned, in so many rows.
        *((name, np.int64) for name in ("n_learned", "gradient", "summed")),
        *((name, np.int64) for name in ("epoch_gradient", "parameter_slots")),
        ("rate_factor", np.float64),
        *((name, np.int64) for name in ("has_norm", "gain", "shift", "mean", "variance")),
        *((name, np.int64) for name in ("inverse_deviation", "gain_gradient")),
        *((name, np.int64) for name in ("shift_gradient", "gain_slots", "shift_slots")),
        ("norm_momentum", np.float64),
        ("norm_epsilon", np.float64),
        # Of a shortcut from the layer's inputs to the outputs.
        *((name, np.int64) for name in ("skip", "skip_gradient", "skip_slots")),
    ],
    align=True,
)
PLAN = np.dtype(
    [
        *((name, np.int64) for name in ("X", "n_features", "X_indices", "X_indptr")),
        *(
            (name, np.int64)
            for name in ("n_rows", "n_entries", "is_sparse", "y", "weights")
        ),
        *((name, np.int64) for name in ("loss", "solver", "nesterov", "batch_size")),
        *((name, np.int64) for name in ("drop_below", "rank", "n_threads")),
        ("has_skips", np.int64),
        *((name, np.float64) for name in ("keep_scale", "mean_weight", "alpha", "tiny")),
        *((name, np.float64) for name in ("momentum", "beta_2", "epsilon")),
        *((name, np.float64) for name in ("loss_parameter", "loss_parameter_2")),
    ],
    align=True,
)
IDENTITY, LOGISTIC, TANH, LEAKY_RELU, CLIPPED_SHIFT, CLIPPED_SHRINK = range(1, 7)
# The first as `LEAKY_RELU`, with values beside those that they are made of.
TWO_SLOPES, SRELU = range(7, 9)
MOMENTUM, ADAM = range(1, 3)
# Rows that a layer's passes take at a time: they stay in the nearest cache between them.
ROWS = 16
# Samples of which no two threads should write to one cache line.
GRAIN = 16


@exact
def sum_in_order(values):
    """Sum of the values from first to last, in float64."""
    total = 0.0
    for k in range(values.size):
        total += values[k]
    return total


@inlined
def _share(n_items, rank, n_threads):
    """Where a thread's share of so many samples begins and ends, in whole grains."""
    n_grains = (n_items + GRAIN - 1) // GRAIN
    start, stop = n_grains * rank // n_threads, n_grains * (rank + 1) // n_threads
    return min(start * GRAIN, n_items), min(stop * GRAIN, n_items)


@inner
def _fill_squares(table, plan, squares, like):
    """Sums of the squared weights of a thread's share of the layers."""
    for depth in range(plan.rank, table.size, plan.n_threads):
        weights = array_at(table[depth].weights, table[depth].n_connections, like)
        squares[depth] = sum_of_squares(weights)


@inner
def _fill_inputs(layer, plan, rows, width, like, index):
    start, stop = _share(width, plan.rank, plan.n_threads)
    x = rows_at(layer.x, layer.n_in, width, like)
    if not plan.is_sparse:
        X = rows_at(plan.X, plan.n_rows, plan.n_features, like)
        gather_dense(X, rows, x, start, stop)
        return
    data = array_at(plan.X, plan.n_entries, like)
    indices = array_at(plan.X_indices, plan.n_entries, index)
    indptr = array_at(plan.X_indptr, plan.n_rows + 1, index)
    gather_csr(data, indices, indptr, rows, x, start, stop)


@inlined
def _parameters(layer, like):
    return array_at(layer.parameters, layer.n_parameters, like)


@inlined
def _gradient(layer, like):
    return rows_at(layer.gradient, layer.n_learned, layer.n_out, like)


@inner
def _activate(layer, z, a, like, start, stop):
    if layer.activation == IDENTITY:
        copy_rows(z, a, start, stop)
    elif layer.activation == LOGISTIC:
        logistic(z, a, start, stop)
    elif layer.activation == TANH:
        tanh(z, a, start, stop)
    elif layer.activation == CLIPPED_SHIFT:
        clipped_shift(z, a, layer.threshold, layer.clip, start, stop)
    elif layer.activation == CLIPPED_SHRINK:
        clipped_shrink(z, a, layer.threshold, layer.clip, start, stop)
    elif layer.activation == TWO_SLOPES:
        leaky_relu(z, a, _parameters(layer, like), start, stop)
    else:
        parameters = rows_at(layer.parameters, layer.n_learned, layer.n_out, like)
        srelu(z, a, parameters, start, stop)


@inner
def _differentiate_activation(layer, z, da, like, start, stop):
    if layer.activation == LOGISTIC:
        logistic_gradient(z, da, start, stop)
    elif layer.activation == TANH:
        tanh_gradient(z, da, start, stop)
    elif layer.activation == CLIPPED_SHIFT:
        clipped_shift_gradient(z, da, layer.threshold, layer.clip, start, stop)
    elif layer.activation == CLIPPED_SHRINK:
        clipped_shrink_gradient(z, da, layer.threshold, layer.clip, start, stop)
    elif layer.activation == TWO_SLOPES:
        if layer.n_learned > 0:
            slope_gradient(z, da, _gradient(layer, like)[0], start, stop)
        leaky_relu_gradient(z, da, _parameters(layer, like), start, stop)
    elif layer.activation == SRELU:
        parameters = rows_at(layer.parameters, layer.n_learned, layer.n_out, like)
        srelu_gradient(z, da, parameters, _gradient(layer, like), start, stop)


@inlined
def _of_neurons(layer, address, like):
    return array_at(address, layer.n_out, like)


@inner
def _forward_rows(
    layer, plan, key, size, width, like, index, skip_rates, norms, others, start, stop
):
    """The pass forward of some rows of a layer, a few at a time."""
    indptr = array_at(layer.indptr, layer.n_out + 1, index)
    indices = array_at(layer.indices, layer.n_connections, index)
    weights = array_at(layer.weights, layer.n_connections, like)
    bias = _of_neurons(layer, layer.bias, like)
    x = rows_at(layer.x, layer.n_in, width, like)
    u = rows_at(layer.u, layer.n_out, width, like)
    z = rows_at(layer.z, layer.n_out, width, like)
    a = rows_at(layer.a, layer.n_out, width, like)
    dz = rows_at(layer.dz, layer.n_out, width, like)
    for row in range(start, stop, ROWS):
        end = min(row + ROWS, stop)
        forward(indptr, indices, weights, bias, x, u, row, end)
        if layer.activation == 0:
            continue
        if norms is not None and layer.has_norm:
            normalise_batch(
                u, z,
                _of_neurons(layer, layer.gain, like),
                _of_neurons(layer, layer.shift, like),
                _of_neurons(layer, layer.mean, like),
                _of_neurons(layer, layer.variance, like),
                _of_neurons(layer, layer.inverse_deviation, like),
                layer.norm_momentum, layer.norm_epsilon, size, row, end,
            )  # fmt: skip
        if others is not None and layer.activation != LEAKY_RELU:
            _activate(layer, z, a, like, row, end)
        elif skip_rates is not None and layer.activation != LEAKY_RELU:
            leaky_relu(z, a, _parameters(layer, like), row, end)
        else:
            # The derivative is known now: where it waits there is nothing else yet.
            leaky_relu_and_derivative(a, dz, _parameters(layer, like), row, end)
            if plan.drop_below > 0:
                dropout_and_derivative(
                    a, dz, key, plan.drop_below, plan.keep_scale, row, end
                )
            continue
        if plan.drop_below > 0:
            dropout(a, key, plan.drop_below, plan.keep_scale, row, end)


@inlined
def _skip(table, depth, like):
    """The weights of the shortcut from a layer's inputs to the outputs."""
    layer, last = table[depth], table[table.size - 1]
    return rows_at(layer.skip, last.n_out, layer.n_in, like)


@inner
def _add_skips(table, plan, rates, width, like):
    """Add the products of the shortcuts of a batch to some outputs."""
    last = table[table.size - 1]
    z = rows_at(last.z, last.n_out, width, like)
    start, stop = _share(last.n_out, plan.rank, plan.n_threads)
    for depth in range(table.size):
        if rates[depth] >= 0:
            x = rows_at(table[depth].x, table[depth].n_in, width, like)
            add_product(_skip(table, depth, like), x, z, start, stop)


@inner
def _step_skip(table, depth, plan, rate, scale, width, like):
    """A step of the weights of a layer's shortcut."""
    layer, last = table[depth], table[table.size - 1]
    n = last.n_out * layer.n_in
    gradient = rows_at(layer.skip_gradient, last.n_out, layer.n_in, like)
    x = rows_at(layer.x, layer.n_in, width, like)
    product_gradient(x, rows_at(last.dz, last.n_out, width, like), gradient)
    _update_some(
        plan, array_at(layer.skip, n, like), gradient.reshape(n),
        rows_at(layer.skip_slots, 2, n, like), rate, scale, FIRST, n,
    )  # fmt: skip


@inner
def _backward_rows(
    table, depth, plan, key, rate, scale, size, width, like, index,
    skip_rates, norms, others, start, stop,
):  # fmt: skip
    """The pass backward to some inputs of a layer, which those below it put out."""
    layer, below = table[depth], table[depth - 1]
    indptr = array_at(layer.in_indptr, layer.n_in + 1, index)
    indices = array_at(layer.in_indices, layer.n_connections, index)
    positions = array_at(layer.in_positions, layer.n_connections, index)
    weights = array_at(layer.weights, layer.n_connections, like)
    dz = rows_at(layer.dz, layer.n_out, width, like)
    dx = rows_at(below.dz, below.n_out, width, like)
    z = rows_at(below.z, below.n_out, width, like)
    for row in range(start, stop, ROWS):
        end = min(row + ROWS, stop)
        if (
            skip_rates is not None or others is not None
        ) and below.activation != LEAKY_RELU:
            backward_input(indptr, indices, positions, weights, dz, dx, row, end)
            if skip_rates is not None and skip_rates[depth] >= 0:
                last = table[table.size - 1]
                of_outputs = rows_at(last.dz, last.n_out, width, like)
                add_product(_skip(table, depth, like).T, of_outputs, dx, row, end)
            if plan.drop_below > 0:
                dropout(dx, key, plan.drop_below, plan.keep_scale, row, end)
            if others is not None:
                _differentiate_activation(below, z, dx, like, row, end)
            else:
                leaky_relu_gradient(z, dx, _parameters(below, like), row, end)
        else:
            backward_times(
                indptr, indices, positions, weights, dz, dx, plan.keep_scale, row, end
            )
        if norms is not None and below.has_norm:
            normalise_batch_gradient(
                rows_at(below.u, below.n_out, width, like), dx,
                _of_neurons(below, below.gain, like),
                _of_neurons(below, below.inverse_deviation, like),
                _of_neurons(below, below.gain_gradient, like),
                _of_neurons(below, below.shift_gradient, like),
                size, row, end,
            )  # fmt: skip
    if norms is not None and below.has_norm:
        for values, gradient, slots in (
            (below.gain, below.gain_gradient, below.gain_slots),
            (below.shift, below.shift_gradient, below.shift_slots),
        ):
            _update_some(
                plan,
                _of_neurons(below, values, like)[start:stop],
                _of_neurons(below, gradient, like)[start:stop],
                rows_at(slots, 2, below.n_out, like),
                rate, scale, start, stop,
            )  # fmt: skip


@inner
def _update_some(plan, values, gradient, slots, rate, scale, start, stop):
    """A step of some values; ``slots`` may have fewer rows with descent."""
    first = slots[0, start:stop]
    if plan.solver == MOMENTUM:
        momentum, nesterov = plan.momentum, plan.nesterov != 0
        sgd_update(values, first, gradient, rate, momentum, nesterov, scale, plan.tiny)
    else:
        adam_update(
            values, first, slots[1, start:stop], gradient, rate,
            plan.momentum, plan.beta_2, plan.epsilon, scale, plan.tiny,
        )  # fmt: skip


@inner
def _learn(layer, plan, rate, scale, like):
    """A step of what an activation learns, or what a batch adds to that of an epoch."""
    n, n_rows, rate = layer.n_parameters, layer.n_learned, rate * layer.rate_factor
    if n_rows == 0:
        return
    summed = rows_at(layer.summed, n_rows, n // n_rows, like)
    if layer.summed != layer.gradient:
        sum_rows(_gradient(layer, like), summed)
    if layer.epoch_gradient != 0:
        add_times(rows_at(layer.epoch_gradient, n_rows, n // n_rows, like), summed, scale)
        return
    _update_some(
        plan, _parameters(layer, like), array_at(layer.summed, n, like),
        rows_at(layer.parameter_slots, 2, n, like), rate, scale, FIRST, n,
    )  # fmt: skip


@inner
def _step_rows(layer, plan, rate, scale, width, like, index, start, stop):
    indptr = array_at(layer.indptr, layer.n_out + 1, index)
    indices = array_at(layer.indices, layer.n_connections, index)
    weights = array_at(layer.weights, layer.n_connections, like)
    slot = array_at(layer.slot, layer.n_connections, like)
    bias = _of_neurons(layer, layer.bias, like)
    bias_slot = _of_neurons(layer, layer.bias_slot, like)
    x = rows_at(layer.x, layer.n_in, width, like)
    dz = rows_at(layer.dz, layer.n_out, width, like)
    if plan.solver == MOMENTUM:
        sgd_step(
            indptr, indices, weights, bias, slot, bias_slot, x, dz,
            rate, plan.momentum, plan.nesterov != 0, plan.alpha, scale, plan.tiny,
            start, stop,
        )  # fmt: skip
    else:
        adam_step(
            indptr, indices, weights, bias, slot, bias_slot,
            array_at(layer.slot_2, layer.n_connections, like),
            _of_neurons(layer, layer.bias_slot_2, like), x, dz,
            rate, plan.momentum, plan.beta_2, plan.epsilon, plan.alpha, scale, plan.tiny,
            start, stop,
        )  # fmt: skip


@inner
def _differentiate_loss(layer, plan, rows, losses, width, like):
    start, stop = _share(rows.size, plan.rank, plan.n_threads)
    z = rows_at(layer.z, layer.n_out, width, like)
    dz = rows_at(layer.dz, layer.n_out, width, like)
    weights, tiny = array_at(plan.weights, plan.n_rows, like), plan.tiny
    if plan.loss == SOFTMAX:
        y = array_at(plan.y, plan.n_rows, np.int64(0))
        softmax_cross_entropy(z, y, weights, rows, dz, losses, tiny, start, stop)
    elif plan.loss == LOGISTIC_CLASSES:
        codes = rows_at(plan.y, plan.n_rows, 1, np.int64(0))
        logistic_cross_entropy(z, codes, weights, rows, dz, losses, tiny, start, stop)
    elif plan.loss == LOGISTIC_LABELS:
        labels = rows_at(plan.y, plan.n_rows, layer.n_out, np.int8(0))
        logistic_cross_entropy(z, labels, weights, rows, dz, losses, tiny, start, stop)
    else:
        targets = rows_at(plan.y, plan.n_rows, layer.n_out, like)
        loss_of_targets(
            z, targets, weights, rows, dz, losses,
            plan.loss, plan.loss_parameter, plan.loss_parameter_2, tiny, start, stop,
        )  # fmt: skip
    if stop == rows.size:
        dz[:, rows.size :] = 0.0


@exact
def bound_of_outputs(table, of_inputs, like):
    """No output of the network is larger for samples whose norm is at most ``of_inputs``.

    A layer multiplies norms by no more than that of its weights (Frobenius's). Infinity or
    NaN where there is no such bound, which says nothing.
    """
    bound = of_inputs
    for depth in range(table.size):
        layer = table[depth]
        weights = array_at(layer.weights, layer.n_connections, like)
        bias = array_at(layer.bias, layer.n_out, like)
        bound = bound * math.sqrt(sum_of_squares(weights)) + math.sqrt(sum_of_squares(bias))
        if layer.has_norm:
            return np.inf
        # No activation that is known here exceeds 1 plus its largest slope, or 1, times its
        # input and its thresholds.
        size = math.sqrt(sum_of_squares(_parameters(layer, like)))
        bound = (1.0 + size) * (bound + size) + math.sqrt(layer.n_out)
    return bound


@exact
def update(
    table,
    plans,
    rows,
    keys,
    rates,
    shares,
    losses,
    squares,
    counters,
    loss_before,
    like,
    index,
    skip_rates,
    norms,
    others,
):
    """Optimizer steps for the batches of ``rows``, one per rate.

    What :class:`sksparse_mlp.core.training.Training` does step by step for networks of any
    kind. ``keys`` are of dropout, (n_updates, n_hidden), ``shares`` where the threads'
    rows begin and end, (n_layers, 2, n_threads + 1); ``like`` and ``index`` are a weight
    and an index. ``skip_rates``, (n_updates, n_layers), are those of the layers'
    shortcuts, below zero of those that take no part. They are None where there are no
    shortcuts, ``norms`` where no layer is normalised, ``others`` where all activations have
    two slopes that do not learn, anything else otherwise: what a network does not have is
    not compiled. Returns how many steps were made, the sum of all samples' losses with that
    of those before, NaN if the last was not finite, and what the penalty is of it.
    """
    plan, total, penalties = plans[0], loss_before, 0.0
    rank, depths = plan.rank, table.size
    for k in range(rates.size):
        chunk = rows[k * plan.batch_size : (k + 1) * plan.batch_size]
        size, scale = chunk.size, 1.0 / (chunk.size * plan.mean_weight)
        skips = None if skip_rates is None else skip_rates[k]
        width = -(-size // lanes_of(like)) * lanes_of(like)
        if plan.alpha != 0:
            _fill_squares(table, plan, squares, like)
        _fill_inputs(table[0], plan, chunk, width, like, index)
        meet(counters, plan.n_threads)
        for depth in range(depths):
            _forward_rows(
                table[depth], plan, keys[k, depth], size, width, like, index,
                skips, norms, others,
                shares[depth, 0, rank], shares[depth, 0, rank + 1],
            )  # fmt: skip
            meet(counters, plan.n_threads)
        if skips is not None and plan.has_skips:
            _add_skips(table, plan, skips, width, like)
            meet(counters, plan.n_threads)
        _differentiate_loss(table[depths - 1], plan, chunk, losses, width, like)
        meet(counters, plan.n_threads)
        penalty = 0.5 * plan.alpha * sum_in_order(squares)
        loss = sum_in_order(losses[:size]) + penalty
        if not abs(loss) < np.inf:
            return k, np.nan, penalties
        total += size * (loss * scale)
        penalties += size * (penalty * scale)
        for depth in range(depths - 1, -1, -1):
            if depth > 0:
                _backward_rows(
                    table, depth, plan, keys[k, depth - 1],
                    rates[k], scale, size, width, like, index, skips, norms, others,
                    shares[depth, 1, rank], shares[depth, 1, rank + 1],
                )  # fmt: skip
                meet(counters, plan.n_threads)
                if others is not None and rank == depth % plan.n_threads:
                    _learn(table[depth - 1], plan, rates[k], scale, like)
            if skips is not None and rank == depth % plan.n_threads and skips[depth] >= 0:
                _step_skip(table, depth, plan, skips[depth], scale, width, like)
            _step_rows(
                table[depth], plan, rates[k], scale, width, like, index,
                shares[depth, 0, rank], shares[depth, 0, rank + 1],
            )  # fmt: skip
        meet(counters, plan.n_threads)
    return rates.size, total, penalties
