"""One plain NumPy twin per public function of ``sksparse_mlp.core.kernels``.

Same names, same arguments, same effects on the output arrays: clarity before speed.
"""

import numpy as np
from scipy import sparse, special


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


def share_active(x):
    return np.mean(x != 0)


def forward_skipping(indptr, indices, weights, bias, x, z, start, stop):
    W_transposed = dense(indptr, indices, weights, len(z))
    forward_skipping_full(W_transposed, bias, x, z, start, stop)


def forward_skipping_full(weights, bias, x, z, start, stop):
    z[:, start:stop] = (weights.T @ x + bias[:, np.newaxis])[:, start:stop]


def sum_of_squares(values):
    return np.sum(values.astype(np.float64) ** 2)


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
    u, z, gain, shift, mean, variance, inverse_deviation, momentum, epsilon, start, stop
):
    rows = slice(start, stop)
    batch_mean, batch_variance = u[rows].mean(axis=1), u[rows].var(axis=1)
    size = u.shape[1]
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
    u, dz, gain, inverse_deviation, gain_gradient, shift_gradient, start, stop
):
    rows = slice(start, stop)
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


def leaky_relu_gradient(z, da, slopes, start, stop):
    da[start:stop] *= np.where(z > 0, 1, slopes[:, np.newaxis])[start:stop]


def slope_gradient(z, da, gradient, start, stop):
    gradient[start:stop] = np.sum(da * np.where(z > 0, 0, z), axis=1)[start:stop]


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


# --- losses ---------------------------------------------------------------------------


def softmax_cross_entropy(z, y, weights, rows, dz, tiny):
    target = np.zeros_like(z)  # (n_classes, batch)
    target[y[rows], np.arange(len(rows))] = 1
    dz[:] = flushed(weights[rows] * (special.softmax(z, axis=0) - target), tiny)
    return -np.sum(weights[rows] * target * special.log_softmax(z, axis=0))


def logistic_cross_entropy(z, y, weights, rows, dz, tiny):
    target = y[rows]
    dz[0] = flushed(weights[rows] * (special.expit(z[0]) - target), tiny)
    log_likelihood = np.where(target, special.log_expit(z[0]), special.log_expit(-z[0]))
    return -np.sum(weights[rows] * log_likelihood)


# --- batches --------------------------------------------------------------------------


def gather_dense(X, rows, x):
    x[:] = X[rows].T


def gather_csr(data, indices, indptr, rows, x):
    x[:] = dense(indptr, indices, data, len(x))[rows].T


# --- topology -------------------------------------------------------------------------


def merge_pattern(indptr, indices, keep, ranks, n_columns, new_indptr, new_indices, source):
    n_rows = len(indptr) - 1
    origin = {
        row * n_columns + column: k
        for k, row, column in connections(indptr, indices, 0, n_rows)
        if keep[k]
    }
    free = [p for p in range(n_rows * n_columns) if p not in origin]
    positions = np.array(sorted([*origin, *(free[rank] for rank in ranks)]))
    rows, new_indices[:] = np.divmod(positions, n_columns)
    new_indptr[:] = np.searchsorted(rows, range(n_rows + 1))
    source[:] = [origin.get(position, -1) for position in positions]


def take_or_zero(values, source, out):
    out[:] = [values[k] if k >= 0 else 0 for k in source]


def free_gradient_sizes(indptr, indices, keep, x, dz, sizes, start, stop):
    of_all = np.abs(dz @ x.T)
    for k, row, column in connections(indptr, indices, start, stop):
        if keep[k]:
            of_all[row, column] = -1
    sizes[: stop - start] = of_all[start:stop]


def gradient_sizes_at(rows, columns, x, dz, sizes):
    sizes[:] = np.abs(dz @ x.T)[rows, columns]
