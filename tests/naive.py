"""One plain NumPy twin per public function of ``sksparse_mlp.core.kernels``.

Same names, same arguments, same effects on the output arrays: clarity before speed.
"""

import math

import numpy as np
from scipy import sparse, special

from sksparse_mlp.core.kernels import HUBER, PINBALL, SQUARED


def dense(indptr, indices, values, n_columns):
    """The (rows, n_columns) array that a CSR pattern and its values describe."""
    shape = (len(indptr) - 1, n_columns)
    return sparse.csr_array((values, indices, indptr), shape).toarray()


def connections(indptr, indices, start, stop):
    """(place, row, column) of each connection of the rows ``[start, stop)``."""
    for row in range(start, stop):
        for k in range(indptr[row], indptr[row + 1]):
            yield k, row, indices[k]


# --- sparse products ------------------------------------------------------------------


def forward(indptr, indices, weights, bias, x, z, start, stop):
    W = dense(indptr, indices, weights, len(x))
    z[start:stop] = (W @ x + bias[:, np.newaxis])[start:stop]


def backward_input(indptr, indices, positions, weights, dz, dx, start, stop):
    W_transposed = dense(indptr, indices, weights[positions], len(dz))
    dx[start:stop] = (W_transposed @ dz)[start:stop]


def backward_times(indptr, indices, positions, weights, dz, dx, scale, start, stop):
    derivative = dx.copy()
    backward_input(indptr, indices, positions, weights, dz, dx, start, stop)
    dx[start:stop] *= (scale * derivative)[start:stop]


def share_active(x, size):
    return np.mean(x[:, :size] != 0)


def forward_skipping(indptr, indices, weights, bias, x, z, start, stop):
    W_transposed = dense(indptr, indices, weights, len(z))
    forward_skipping_full(W_transposed, bias, x, z, start, stop)


def forward_skipping_full(weights, bias, x, z, start, stop):
    z[:, start:stop] = (weights.T @ x + bias[:, np.newaxis])[:, start:stop]


def sum_of_squares(values):
    return np.sum(values.astype(np.float64) ** 2)


def sum_in_order(values):
    return np.sum(values, dtype=np.float64)


def weight_gradient(indptr, indices, x, dz, gradient, bias_gradient, start, stop):
    dW = dz @ x.T
    for k, row, column in connections(indptr, indices, start, stop):
        gradient[k] = dW[row, column]
    bias_gradient[start:stop] = dz.sum(axis=1)[start:stop]


# --- full products without biases -----------------------------------------------------


def add_product(weights, x, z, start, stop):
    z[start:stop] += (weights @ x)[start:stop]


def product_gradient(x, dz, gradient):
    gradient[:] = dz @ x.T


# --- optimizer steps ------------------------------------------------------------------


def flushed(values, tiny):
    return np.where(np.abs(values) < tiny, 0, values)


def penalised_gradient(indptr, indices, weights, bias, x, dz, alpha, scale):
    gradient, bias_gradient = np.zeros_like(weights), np.zeros_like(bias)
    weight_gradient(indptr, indices, x, dz, gradient, bias_gradient, 0, len(bias))
    return scale * (gradient + alpha * weights), scale * bias_gradient


def sgd_step(
    indptr, indices, weights, bias, velocity, bias_velocity, x, dz,
    rate, momentum, nesterov, alpha, scale, tiny, start, stop,
):  # fmt: skip
    gradients = penalised_gradient(indptr, indices, weights, bias, x, dz, alpha, scale)
    places = slice(indptr[start], indptr[stop]), slice(start, stop)
    parameters = (weights, velocity), (bias, bias_velocity)
    for part, g, (w, v) in zip(places, gradients, parameters, strict=True):
        sgd_update(w[part], v[part], g[part], rate, momentum, nesterov, 1, tiny)


def adam_step(
    indptr, indices, weights, bias, first, bias_first, second, bias_second, x, dz,
    rate, beta_1, beta_2, epsilon, alpha, scale, tiny, start, stop,
):  # fmt: skip
    gradients = penalised_gradient(indptr, indices, weights, bias, x, dz, alpha, scale)
    places = slice(indptr[start], indptr[stop]), slice(start, stop)
    parameters = (weights, first, second), (bias, bias_first, bias_second)
    for part, g, (w, m, v) in zip(places, gradients, parameters, strict=True):
        adam_update(
            w[part], m[part], v[part], g[part], rate, beta_1, beta_2, epsilon, 1, tiny
        )


def sgd_update(values, velocity, gradient, rate, momentum, nesterov, scale, tiny):
    g = scale * gradient
    velocity[:] = flushed(momentum * velocity - rate * g, tiny)
    values += momentum * velocity - rate * g if nesterov else velocity


def adam_update(
    values, first, second, gradient, rate, beta_1, beta_2, epsilon, scale, tiny
):
    g = scale * gradient
    first[:] = flushed(beta_1 * first + (1 - beta_1) * g, tiny)
    second[:] = flushed(beta_2 * second + (1 - beta_2) * g**2, tiny)
    values -= rate * first / (np.sqrt(second) + max(epsilon, tiny))


# --- batch normalisation --------------------------------------------------------------


def normalise_batch(
    u, z, gain, shift, mean, variance, inverse_deviation,
    momentum, epsilon, size, start, stop,
):  # fmt: skip
    rows = slice(start, stop)
    counted = u[rows, :size]
    batch_mean, batch_variance = counted.mean(axis=1), counted.var(axis=1)
    if size > 1:
        unbiased = batch_variance * size / (size - 1)
        mean[rows] = (1 - momentum) * mean[rows] + momentum * batch_mean
        variance[rows] = (1 - momentum) * variance[rows] + momentum * unbiased
    inverse_deviation[rows] = 1 / np.sqrt(batch_variance + epsilon)
    u[rows] = (u[rows] - batch_mean[:, np.newaxis]) * inverse_deviation[rows, np.newaxis]
    z[rows] = gain[rows, np.newaxis] * u[rows] + shift[rows, np.newaxis]


def normalise(u, z, gain, shift, mean, variance, epsilon, start, stop):
    centered = u - mean[:, np.newaxis]
    normalised = centered / np.sqrt(variance + epsilon)[:, np.newaxis]
    z[start:stop] = (gain[:, np.newaxis] * normalised + shift[:, np.newaxis])[start:stop]


def normalise_batch_gradient(
    u, dz, gain, inverse_deviation, gain_gradient, shift_gradient, size, start, stop
):
    rows = slice(start, stop)
    u, dz = u[:, :size], dz[:, :size]
    gain_gradient[rows] = np.sum(dz * u, axis=1)[rows]
    shift_gradient[rows] = np.sum(dz, axis=1)[rows]
    d = gain[:, np.newaxis] * dz
    along = u * np.mean(d * u, axis=1, keepdims=True)
    centered = d - d.mean(axis=1, keepdims=True) - along
    dz[rows] = (inverse_deviation[:, np.newaxis] * centered)[rows]


# --- activations ----------------------------------------------------------------------


def copy_rows(z, a, start, stop):
    a[start:stop] = z[start:stop]


def leaky_relu(z, a, slopes, start, stop):
    a[start:stop] = np.where(z > 0, z, slopes[:, np.newaxis] * z)[start:stop]


def leaky_relu_and_derivative(a, derivative, slopes, start, stop):
    derivative[start:stop] = 1
    leaky_relu_gradient(a, derivative, slopes, start, stop)
    leaky_relu(a, a, slopes, start, stop)


def leaky_relu_gradient(z, da, slopes, start, stop):
    da[start:stop] *= np.where(z > 0, 1, slopes[:, np.newaxis])[start:stop]


def slope_gradient(z, da, gradient, start, stop):
    gradient[start:stop] = np.sum(da * np.where(z > 0, 0, z), axis=1)[start:stop]


def sum_rows(gradient, sums):
    sums[:] = gradient.sum(axis=1, keepdims=True)


def add_times(total, gradient, scale):
    total += scale * gradient


def srelu(z, a, parameters, start, stop):
    left, left_slope, right, right_slope = parameters[:, :, np.newaxis]
    below = left + left_slope * (z - left)
    above = right + right_slope * (z - right)
    a[start:stop] = np.select([z <= left, z >= right], [below, above], z)[start:stop]


def srelu_gradient(z, da, parameters, gradient, start, stop):
    left, left_slope, right, right_slope = parameters[:, :, np.newaxis]
    below, above = da * (z <= left), da * ((z > left) & (z >= right))
    of_parameters = (
        below * (1 - left_slope),
        below * (z - left),
        above * (1 - right_slope),
        above * (z - right),
    )
    gradient[:, start:stop] = np.sum(of_parameters, axis=2)[:, start:stop]
    slope = np.select([z <= left, z >= right], [left_slope, right_slope], 1)
    da[start:stop] *= slope[start:stop]


def clipped_shift(z, a, threshold, clip, start, stop):
    a[start:stop] = np.clip(z - threshold, 0, clip)[start:stop]


def clipped_shift_gradient(z, da, threshold, clip, start, stop):
    da[start:stop] *= ((z > threshold) & (z < threshold + clip))[start:stop]


def clipped_shrink(z, a, threshold, clip, start, stop):
    a[start:stop] = (np.sign(z) * np.clip(np.abs(z) - threshold, 0, clip))[start:stop]


def clipped_shrink_gradient(z, da, threshold, clip, start, stop):
    size = np.abs(z)
    da[start:stop] *= ((size > threshold) & (size < threshold + clip))[start:stop]


def logistic(z, a, start, stop):
    a[start:stop] = special.expit(z)[start:stop]


def logistic_gradient(z, da, start, stop):
    da[start:stop] *= (special.expit(z) * special.expit(-z))[start:stop]


def tanh(z, a, start, stop):
    a[start:stop] = np.tanh(z)[start:stop]


def tanh_gradient(z, da, start, stop):
    da[start:stop] *= (1 - np.tanh(z) ** 2)[start:stop]


# --- dropout --------------------------------------------------------------------------


def mix(h):
    """Finalizer of MurmurHash3, on Python integers."""
    h = (h ^ h >> 16) * 0x85EBCA6B % 2**32
    h = (h ^ h >> 13) * 0xC2B2AE35 % 2**32
    return h ^ h >> 16


def dropout(a, key, threshold, scale, start, stop):
    golden = 0x9E3779B9
    for row in range(start, stop):
        row_key = mix((key + row * golden) % 2**32)
        for column in range(a.shape[1]):
            kept = mix((row_key + column * golden) % 2**32) >= threshold
            a[row, column] *= scale if kept else 0


def dropout_and_derivative(a, derivative, key, threshold, scale, start, stop):
    dropout(derivative, key, threshold, 1, start, stop)
    dropout(a, key, threshold, scale, start, stop)


# --- losses ---------------------------------------------------------------------------


def softmax_cross_entropy(z, y, weights, rows, dz, losses, tiny, start, stop):
    target = np.zeros_like(z)  # (n_classes, batch)
    target[y[rows], np.arange(len(rows))] = 1
    gradient = flushed(weights[rows] * (special.softmax(z, axis=0) - target), tiny)
    log_likelihood = np.sum(target * special.log_softmax(z, axis=0), axis=0)
    dz[:, start:stop] = gradient[:, start:stop]
    losses[start:stop] = -(weights[rows] * log_likelihood)[start:stop]


def logistic_cross_entropy(z, y, weights, rows, dz, losses, tiny, start, stop):
    target = y[rows].T  # (n_labels, batch)
    gradient = flushed(weights[rows] * (special.expit(z) - target), tiny)
    log_likelihood = np.where(target, special.log_expit(z), special.log_expit(-z))
    dz[:, start:stop] = gradient[:, start:stop]
    losses[start:stop] = -(weights[rows] * log_likelihood.sum(axis=0))[start:stop]


def of_present(z, y, weights, rows, dz, losses, tiny, start, stop, values, slopes):
    """Losses of errors, the mean over the targets that are numbers, and gradients."""
    missing = np.isnan(y[rows].T)  # (n_outputs, batch)
    gradient = flushed(weights[rows] * np.where(missing, 0, slopes), tiny)
    totals = np.where(missing, 0, values).sum(axis=0)
    means = totals / np.maximum((~missing).sum(axis=0), 1)
    dz[:, start:stop] = gradient[:, start:stop]
    losses[start:stop] = (weights[rows] * means)[start:stop]


def loss_of_targets(
    z, y, weights, rows, dz, losses, loss, first, second, tiny, start, stop
):
    target = y[rows].T
    error = z - target
    if loss == SQUARED:
        values, slopes = error**2 / 2, error
    elif loss == HUBER:
        values = special.huber(first, error)
        slopes = np.where(np.abs(error) <= first, error, first * np.sign(error))
    elif loss == PINBALL:
        values = np.maximum(first * error, -second * error)
        slopes = np.select([error > 0, error < 0], [first, -second], 0)
    else:
        values = special.kl_div(target.astype(float), np.exp(z.astype(float)))
        slopes = np.exp(z) - target
    of_present(
        z, y, weights, rows, dz, losses, tiny, start, stop, values=values, slopes=slopes
    )


# --- batches --------------------------------------------------------------------------


def gather_dense(X, rows, x, start, stop):
    x[:, start:stop] = X[rows[np.minimum(np.arange(start, stop), len(rows) - 1)]].T


def gather_csr(data, indices, indptr, rows, x, start, stop):
    gather_dense(dense(indptr, indices, data, len(x)), rows, x, start, stop)


# --- topology -------------------------------------------------------------------------


def merge_pattern(indptr, indices, keep, ranks, n_columns, new_indptr, new_indices, grown):
    n_rows = len(indptr) - 1
    kept = [
        row * n_columns + column
        for k, row, column in connections(indptr, indices, 0, n_rows)
        if keep[k]
    ]
    free = np.setdiff1d(np.arange(n_rows * n_columns), kept)
    positions = np.sort([*kept, *free[ranks]])
    split_positions(positions, n_columns, new_indptr, new_indices)
    grown[:] = np.append(np.searchsorted(positions, free[ranks]), 0)


def move_values(values, slot, slot_2, keep, grown):
    for array in (values, slot, slot_2)[: 1 + (len(slot) > 0) + (len(slot_2) > 0)]:
        kept = array[: len(keep)][keep]
        array[grown] = 0
        array[np.setdiff1d(np.arange(len(kept) + len(grown)), grown)] = kept


def keep_strongest(bits, infinity, zeta, keep):
    values = bits.view(f"f{bits.itemsize}")
    keep[:] = True
    for side in (values >= 0, values < 0):
        places = np.flatnonzero(side)
        sizes = np.abs(values[places])
        limit = np.sort(sizes)[: round(zeta * len(sizes))][-1:]
        keep[places[sizes < limit.sum()]] = False
        equal = places[np.isin(sizes, limit)]
        n_of_equal = round(zeta * len(sizes)) - np.count_nonzero(sizes < limit.sum())
        chosen = (2 * np.arange(n_of_equal) + 1) * len(equal) // max(2 * n_of_equal, 1)
        keep[equal[chosen]] = False
    return np.count_nonzero(~keep)


def keep_among(indptr, indices, inputs, outputs, keep):
    keep[:] = inputs[indices] & np.repeat(outputs, np.diff(indptr))


def kept_positions(indptr, indices, keep, n_columns, positions):
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    positions[:] = (rows * n_columns + indices)[keep]


def transpose_pattern(indptr, indices, new_indptr, new_indices, positions):
    shape = len(indptr) - 1, len(new_indptr) - 1
    places = np.arange(len(indices))
    by_column = sparse.csr_array((places, indices, indptr), shape).tocsc()
    new_indptr[:], new_indices[:] = by_column.indptr, by_column.indices
    positions[:] = by_column.data


def take(values, places, out):
    out[:] = values[places]


def count_each(indices, counts):
    counts += np.bincount(indices, minlength=len(counts))


def scale_rows(indptr, weights, factors):
    weights *= np.repeat(factors, np.diff(indptr))


def all_finite(values):
    return np.isfinite(values).all()


def sum_sizes_by_row(indptr, weights, sums):
    rows = np.repeat(np.arange(len(sums)), np.diff(indptr))
    sums += np.bincount(rows, np.abs(weights), len(sums))


def sum_sizes_by_column(indptr, indices, weights, factors, sums):
    of_rows = np.repeat(factors, np.diff(indptr))
    sums += np.bincount(indices, of_rows * np.abs(weights), len(sums))


def free_gradient_sizes(indptr, indices, keep, x, dz, sizes, start, stop):
    of_all = np.abs(dz @ x.T)
    for k, row, column in connections(indptr, indices, start, stop):
        if keep[k]:
            of_all[row, column] = -1
    sizes[: stop - start] = of_all[start:stop]


def gradient_sizes_at(rows, columns, x, dz, sizes):
    sizes[:] = np.abs(dz @ x.T)[rows, columns]


# --- sampling -------------------------------------------------------------------------


def distinct_draws(sums, population, drawn):
    np.cumsum(sums, out=sums)
    draws = (sums[:-1] / sums[-1] * population).astype(np.int64)
    distinct = np.unique(np.minimum(draws, population - 1))
    drawn[: len(distinct)] = distinct
    return len(distinct)


def drop_places(values, places):
    kept = np.delete(values, places)
    values[: len(kept)] = kept


def list_others(left_out, others):
    others[:] = np.setdiff1d(np.arange(len(left_out) + len(others)), left_out)


def split_positions(positions, n_columns, indptr, indices):
    rows, indices[:] = np.divmod(positions, n_columns)
    indptr[:] = np.searchsorted(rows, range(len(indptr)))


def free_positions(ranks, taken, positions):
    free_before = taken - np.arange(len(taken))
    positions[:] = ranks + np.searchsorted(free_before, ranks, side="right")


# --- paths of length three ------------------------------------------------------------


def walk_ends(
    indptr, indices, ends, outputs, of_outputs, of_inputs, sums, picks, positions
):
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    weights = np.cumsum(of_outputs[rows] * of_inputs[indices])
    if len(weights) == 0 or weights[-1] == 0:
        return 0
    middles = np.searchsorted(weights, sums[:-1] * (weights[-1] / sums[-1]), side="right")
    for j, middle in enumerate(middles):
        row, column = rows[middle], indices[middle]
        inputs = np.delete(indices[rows == row], middle - indptr[row])
        others = np.setdiff1d(rows[indices == column], [row])
        choice = int(picks[j] * len(inputs) * len(others))
        a, b = divmod(choice, len(others))
        positions[j] = others[b] * (len(ends) - 1) + inputs[a]
    return len(middles)


def ranks_of_free(positions, indptr, indices, n_columns):
    taken = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)) * n_columns + indices
    free = np.setdiff1d(positions, taken)
    positions[: len(free)] = free - np.searchsorted(taken, free)
    return len(free)


def path_scores(indptr, indices, ends, outputs, rows, columns, scores):
    linked = np.zeros((len(indptr) - 1, len(ends) - 1))
    for _, row, column in connections(indptr, indices, 0, len(indptr) - 1):
        linked[row, column] = 1
    for place, (row, column) in enumerate(zip(rows, columns, strict=True)):
        # Paths go on from the column to these rows, and back to these columns.
        paths = np.outer(linked[:, column], linked[row]) * linked
        external_rows = (linked.sum(axis=1) - paths.astype(bool).sum(axis=1))[:, None]
        external_columns = linked.sum(axis=0) - paths.astype(bool).sum(axis=0)
        degrees = np.where(paths, external_rows * external_columns, 1)
        scores[place] = np.sum(paths / np.sqrt(degrees))


def sample_sorted(rng, population, size):
    """What the function of this name in ``sksparse_mlp.core.sampling`` draws."""
    if size > population // 2:
        left_out = sample_sorted(rng, population, population - size)
        return np.setdiff1d(np.arange(population), left_out)
    drawn = np.empty(0, np.int64)
    while True:
        missing = size - len(drawn)
        if missing:
            expected = -population * math.log1p(-missing / population)
            n_draws = math.ceil(expected + 4 * math.sqrt(expected) + 1)
            sums = rng.standard_exponential(n_draws + 1)
            more = np.empty(n_draws, np.int64)
            n_distinct = distinct_draws(sums, population, more)
            drawn = np.union1d(drawn, more[:n_distinct])
        if len(drawn) >= size:
            surplus = rng.choice(len(drawn), len(drawn) - size, replace=False)
            return np.delete(drawn, surplus)


def add_weight_gradient(indptr, indices, x, dz, gradient, start, stop):
    dW = dz @ x.T
    for k, row, column in connections(indptr, indices, start, stop):
        gradient[k] += dW[row, column]


# --- distributions of values ----------------------------------------------------------


def count_bins(values, classes, low, high, counts):
    n_bins = counts.shape[2]
    factors = n_bins / np.maximum(high - low, 1e-300)
    places = ((values.T - low) * factors).astype(int).T
    rows = np.arange(len(values))[:, np.newaxis]
    np.add.at(counts, (rows, classes, np.minimum(places, n_bins - 1)), 1)


def count_cells(values, classes, low, middle, high, n_below, counts):
    n_cells = counts.shape[2]
    for row, sample in np.ndindex(values.shape):
        value, first, center, end = values[row, sample], low[row], middle[row], high[row]
        below = n_below[row]
        above = n_cells - 3 - below
        if value in (first, center, end):
            places = {end: n_cells - 1, first: 0, center: below + 1}
            cell = places[value]
        elif value < center:
            factor = below / max(center - first, 1e-300)
            cell = 1 + min(int((value - first) * factor), below - 1)
        else:
            place = int((value - center) * (above / max(end - center, 1e-300)))
            cell = below + 2 + min(place, above - 1)
        counts[row, classes[sample], cell] += 1


# --- kernel density estimates ---------------------------------------------------------


def log_sum_of_gaussians(points, weights, positions, precision):
    distances = np.asarray(positions, float)[..., np.newaxis] - points
    return special.logsumexp(-precision * distances**2, b=weights, axis=-1)


def add_to_bins(z, codes, low, scale, n_bins, starts, counts):
    for node in np.flatnonzero(n_bins):
        positions = (z[node] - low[node]) * scale
        below = np.floor(positions).astype(int)
        parts = positions - below
        np.add.at(counts, (codes, starts[node] + below), 1 - parts)
        np.add.at(counts, (codes, starts[node] + below + 1), parts)


def tabulate_log_densities(
    points, weights, indptr, n_bins, starts, precision, reach, offsets, table
):
    for row in range(len(indptr) - 1):
        node, c = divmod(row, len(offsets))
        part, positions = slice(indptr[row], indptr[row + 1]), np.arange(n_bins[node])
        sums = log_sum_of_gaussians(points[part], weights[part], positions, precision)
        table[starts[node] : starts[node + 1], c] = sums + offsets[c]


def add_log_densities(
    z, taken, low, scale, n_bins, starts, table,
    points, weights, indptr, precision, reach, offsets, totals,
):  # fmt: skip
    for node, s in np.argwhere(taken):
        position = np.clip((z[node, s] - low[node]) * scale, -1e150, 1e150)
        if 0 <= position < n_bins[node] - 1:
            below = int(position)
            lower, upper = table[starts[node] + below : starts[node] + below + 2]
            totals[s] += lower + (position - below) * (upper - lower)
            continue
        for c, offset in enumerate(offsets):
            row = node * len(offsets) + c
            part = slice(indptr[row], indptr[row + 1])
            total = log_sum_of_gaussians(points[part], weights[part], position, precision)
            totals[s, c] += total + offset
