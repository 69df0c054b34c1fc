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


def sum_of_squares(values):
    return np.sum(values.astype(np.float64) ** 2)


def weight_gradient(indptr, indices, x, dz, gradient, bias_gradient, start, stop):
    dW = dz @ x.T
    for k, row, column in connections(indptr, indices, start, stop):
        gradient[k] = dW[row, column]
    bias_gradient[start:stop] = dz.sum(axis=1)[start:stop]


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
        v[part] = flushed(momentum * v - rate * g, tiny)[part]
        w[part] += (momentum * v - rate * g if nesterov else v)[part]


def adam_step(
    indptr, indices, weights, bias, first, bias_first, second, bias_second, x, dz,
    rate, beta_1, beta_2, epsilon, alpha, scale, tiny, start, stop,
):  # fmt: skip
    gradients = penalised_gradient(indptr, indices, weights, bias, x, dz, alpha, scale)
    places = slice(indptr[start], indptr[stop]), slice(start, stop)
    parameters = (weights, first, second), (bias, bias_first, bias_second)
    for part, g, (w, m, v) in zip(places, gradients, parameters, strict=True):
        m[part] = flushed(beta_1 * m + (1 - beta_1) * g, tiny)[part]
        v[part] = flushed(beta_2 * v + (1 - beta_2) * g**2, tiny)[part]
        w[part] -= (rate * m / (np.sqrt(v) + epsilon))[part]


# --- activations ----------------------------------------------------------------------


def copy_rows(z, a, start, stop):
    a[start:stop] = z[start:stop]


def leaky_relu(z, a, slope, start, stop):
    a[start:stop] = np.where(z > 0, z, slope * z)[start:stop]


def leaky_relu_gradient(z, da, slope, start, stop):
    da[start:stop] *= np.where(z > 0, 1, slope)[start:stop]


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
