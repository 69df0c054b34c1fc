"""Every jitted function of the package: arrays and scalars in, arrays out.

Activations are stored as (neurons, batch), contiguous over the batch, so that every
inner loop runs over samples and vectorises. Kernels over a layer take a range of
rows ``[start, stop)``; each row is written by one call in a fixed order, so results
do not depend on how the rows are shared among threads.

``tests/naive.py`` holds one plain NumPy twin of each public function here.
"""

import math
from typing import Any

import numpy as np
from numba import njit

# Only the flags that keep NaN and infinity visible.
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
OPTIONS: Any = {"cache": True, "nogil": True, "fastmath": FASTMATH, "error_model": "numpy"}
kernel = njit(**OPTIONS)
# A call with arrays as arguments costs as much as some of these functions do.
inlined = njit(forceinline=True, **OPTIONS)


# --- sparse products: eight connections per pass over the batch -----------------------


@inlined
def _at(indices, k):
    # An unsigned index spares the check for negative ones.
    return np.uint64(indices[k])


@inlined
def _at_4(indices, k):
    return _at(indices, k), _at(indices, k + 1), _at(indices, k + 2), _at(indices, k + 3)


@inlined
def _add_scaled(z, row, w, x, i):
    for s in range(z.shape[1]):
        z[row, s] += w * x[i, s]


@inlined
def _add_scaled_8(z, row, w0, w1, w2, w3, w4, w5, w6, w7, x, indices, k):
    i0, i1, i2, i3 = _at_4(indices, k)
    i4, i5, i6, i7 = _at_4(indices, k + 4)
    for s in range(z.shape[1]):
        low = (w0 * x[i0, s] + w1 * x[i1, s]) + (w2 * x[i2, s] + w3 * x[i3, s])
        high = (w4 * x[i4, s] + w5 * x[i5, s]) + (w6 * x[i6, s] + w7 * x[i7, s])
        z[row, s] += low + high


@kernel
def forward(indptr, indices, weights, bias, x, z, start, stop):
    """z = W x + b for the output neurons ``[start, stop)``."""
    w = weights
    for row in range(start, stop):
        z[row] = bias[row]
        k, end = indptr[row], indptr[row + 1]
        while k + 8 <= end:
            _add_scaled_8(
                z, np.uint64(row), w[k], w[k + 1], w[k + 2], w[k + 3],
                w[k + 4], w[k + 5], w[k + 6], w[k + 7], x, indices, k,
            )  # fmt: skip
            k += 8
        while k < end:
            _add_scaled(z, np.uint64(row), w[k], x, _at(indices, k))
            k += 1


@kernel
def backward_input(indptr, indices, positions, weights, dz, dx, start, stop):
    """dx = W' dz for the input neurons ``[start, stop)``.

    ``indptr``, ``indices`` and ``positions`` are the transposed pattern: the output
    neurons that each input neuron feeds, and where their weights lie.
    """
    w, p = weights, positions
    for row in range(start, stop):
        dx[row] = 0.0
        k, end = indptr[row], indptr[row + 1]
        while k + 8 <= end:
            _add_scaled_8(
                dx, np.uint64(row),
                w[_at(p, k)], w[_at(p, k + 1)], w[_at(p, k + 2)], w[_at(p, k + 3)],
                w[_at(p, k + 4)], w[_at(p, k + 5)], w[_at(p, k + 6)], w[_at(p, k + 7)],
                dz, indices, k,
            )  # fmt: skip
            k += 8
        while k < end:
            _add_scaled(dx, np.uint64(row), w[_at(p, k)], dz, _at(indices, k))
            k += 1


@inlined
def _sum(d, row):
    total = d.dtype.type(0.0)
    for s in range(d.shape[1]):
        total += d[row, s]
    return total


@inlined
def _dot(d, row, x, i):
    total = d.dtype.type(0.0)
    for s in range(d.shape[1]):
        total += d[row, s] * x[i, s]
    return total


@inlined
def _dot_8(d, row, x, indices, k):
    i0, i1, i2, i3 = _at_4(indices, k)
    i4, i5, i6, i7 = _at_4(indices, k + 4)
    t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = d.dtype.type(0.0)
    for s in range(d.shape[1]):
        t0 += d[row, s] * x[i0, s]
        t1 += d[row, s] * x[i1, s]
        t2 += d[row, s] * x[i2, s]
        t3 += d[row, s] * x[i3, s]
        t4 += d[row, s] * x[i4, s]
        t5 += d[row, s] * x[i5, s]
        t6 += d[row, s] * x[i6, s]
        t7 += d[row, s] * x[i7, s]
    return t0, t1, t2, t3, t4, t5, t6, t7


@kernel
def sum_of_squares(values):
    """Sum of squares, added in float64."""
    total = 0.0
    for k in range(values.size):
        total += values[k] * np.float64(values[k])
    return total


@kernel
def weight_gradient(indptr, indices, x, dz, gradient, bias_gradient, start, stop):
    """Gradient of the loss for the connections and biases of rows ``[start, stop)``."""
    for row in range(start, stop):
        bias_gradient[row] = _sum(dz, np.uint64(row))
        k, end = indptr[row], indptr[row + 1]
        while k + 8 <= end:
            g = _dot_8(dz, np.uint64(row), x, indices, k)
            for j in range(8):
                gradient[k + j] = g[j]
            k += 8
        while k < end:
            gradient[k] = _dot(dz, np.uint64(row), x, _at(indices, k))
            k += 1


# --- optimizer steps, fused with the weight gradient: no gradient array ---------------


@inlined
def _sgd(w, v, k, g, rate, momentum, nesterov, tiny):
    velocity = momentum * v[k] - rate * g
    # A velocity without gradient decays into subnormals, which cost ten times more.
    if abs(velocity) < tiny:
        velocity = w.dtype.type(0.0)
    v[k] = velocity
    w[k] += momentum * velocity - rate * g if nesterov else velocity


@kernel
def sgd_step(
    indptr, indices, weights, bias, velocity, bias_velocity, x, dz,
    rate, momentum, nesterov, alpha, scale, tiny, start, stop,
):  # fmt: skip
    """Momentum descent for the connections and biases of rows ``[start, stop)``.

    The gradient of a connection is ``scale * (dz x' + alpha * weight)``.
    """
    cast = weights.dtype.type
    rate, momentum, alpha = cast(rate), cast(momentum), cast(alpha)
    scale, tiny = cast(scale), cast(tiny)
    w, v = weights, velocity
    for row in range(start, stop):
        _sgd(
            bias,
            bias_velocity,
            row,
            scale * _sum(dz, np.uint64(row)),
            rate,
            momentum,
            nesterov,
            tiny,
        )
        k, end = indptr[row], indptr[row + 1]
        while k + 8 <= end:
            g = _dot_8(dz, np.uint64(row), x, indices, k)
            for j in range(k, k + 8):
                slope = scale * (g[j - k] + alpha * w[j])
                _sgd(w, v, j, slope, rate, momentum, nesterov, tiny)
            k += 8
        while k < end:
            slope = scale * (_dot(dz, np.uint64(row), x, _at(indices, k)) + alpha * w[k])
            _sgd(w, v, k, slope, rate, momentum, nesterov, tiny)
            k += 1


@inlined
def _adam(w, m, v, k, g, rate, beta_1, beta_2, epsilon, tiny):
    one = w.dtype.type(1.0)
    first = beta_1 * m[k] + (one - beta_1) * g
    second = beta_2 * v[k] + (one - beta_2) * g * g
    m[k] = first if abs(first) >= tiny else w.dtype.type(0.0)
    v[k] = second if second >= tiny else w.dtype.type(0.0)
    w[k] -= rate * m[k] / (math.sqrt(v[k]) + epsilon)


@kernel
def adam_step(
    indptr, indices, weights, bias, first, bias_first, second, bias_second, x, dz,
    rate, beta_1, beta_2, epsilon, alpha, scale, tiny, start, stop,
):  # fmt: skip
    """Adam (Kingma and Ba, 2014) for the connections and biases of some rows.

    ``rate`` holds the bias correction; the gradient is as in :func:`sgd_step`.
    """
    cast = weights.dtype.type
    rate, beta_1, beta_2 = cast(rate), cast(beta_1), cast(beta_2)
    epsilon = cast(max(epsilon, tiny))
    alpha, scale, tiny = cast(alpha), cast(scale), cast(tiny)
    w, m, v = weights, first, second
    for row in range(start, stop):
        g_bias = scale * _sum(dz, np.uint64(row))
        _adam(
            bias, bias_first, bias_second, row, g_bias, rate, beta_1, beta_2, epsilon, tiny
        )
        k, end = indptr[row], indptr[row + 1]
        while k + 8 <= end:
            g = _dot_8(dz, np.uint64(row), x, indices, k)
            for j in range(k, k + 8):
                slope = scale * (g[j - k] + alpha * w[j])
                _adam(w, m, v, j, slope, rate, beta_1, beta_2, epsilon, tiny)
            k += 8
        while k < end:
            slope = scale * (_dot(dz, np.uint64(row), x, _at(indices, k)) + alpha * w[k])
            _adam(w, m, v, k, slope, rate, beta_1, beta_2, epsilon, tiny)
            k += 1


# --- activations: values, and the gradient multiplied by the derivative in place ------


@kernel
def copy_rows(z, a, start, stop):
    """a = z."""
    for row in range(start, stop):
        for s in range(z.shape[1]):
            a[row, s] = z[row, s]


@kernel
def leaky_relu(z, a, slope, start, stop):
    """a = z where z is positive, slope * z elsewhere."""
    slope = z.dtype.type(slope)
    for row in range(start, stop):
        for s in range(z.shape[1]):
            value = z[row, s]
            a[row, s] = value if value > 0.0 else slope * value


@kernel
def leaky_relu_gradient(z, da, slope, start, stop):
    """da *= 1 where z is positive, slope elsewhere."""
    slope = z.dtype.type(slope)
    one = z.dtype.type(1.0)
    for row in range(start, stop):
        for s in range(z.shape[1]):
            da[row, s] *= one if z[row, s] > 0.0 else slope


@inlined
def _logistic(value):
    # The exponent is never positive, so that it cannot overflow.
    decay = math.exp(-abs(value))
    return 1.0 / (1.0 + decay) if value >= 0.0 else decay / (1.0 + decay)


@kernel
def logistic(z, a, start, stop):
    """a = 1 / (1 + exp(-z))."""
    for row in range(start, stop):
        for s in range(z.shape[1]):
            a[row, s] = _logistic(z[row, s])


@kernel
def logistic_gradient(z, da, start, stop):
    """da *= sigma(z) * (1 - sigma(z))."""
    for row in range(start, stop):
        for s in range(z.shape[1]):
            sigma = _logistic(z[row, s])
            da[row, s] *= sigma * (1.0 - sigma)


@kernel
def tanh(z, a, start, stop):
    """a = tanh(z)."""
    for row in range(start, stop):
        for s in range(z.shape[1]):
            a[row, s] = math.tanh(z[row, s])


@kernel
def tanh_gradient(z, da, start, stop):
    """da *= 1 - tanh(z)^2."""
    for row in range(start, stop):
        for s in range(z.shape[1]):
            value = math.tanh(z[row, s])
            da[row, s] *= 1.0 - value * value


# --- dropout --------------------------------------------------------------------------


@inlined
def _mix(h):
    """Finalizer of MurmurHash3: spreads every bit of a 32-bit counter over all bits."""
    h = np.uint32(h ^ (h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(0x85EBCA6B))
    h = np.uint32(h ^ (h >> np.uint32(13)))
    h = np.uint32(h * np.uint32(0xC2B2AE35))
    return np.uint32(h ^ (h >> np.uint32(16)))


@kernel
def dropout(a, key, threshold, scale, start, stop):
    """Zero the entries whose hash is below ``threshold``, multiply the others by ``scale``.

    The mask is a function of (key, row, column) alone: the backward pass applies the
    same one to the gradient, and nothing is stored.
    """
    scale = a.dtype.type(scale)
    zero = a.dtype.type(0.0)
    threshold = np.uint32(threshold)
    for row in range(start, stop):
        row_key = _mix(np.uint32(np.uint32(key) + np.uint32(row) * np.uint32(0x9E3779B9)))
        for s in range(a.shape[1]):
            h = _mix(np.uint32(row_key + np.uint32(s) * np.uint32(0x9E3779B9)))
            a[row, s] *= scale if h >= threshold else zero


# --- losses: sum over the batch, and the gradient for the output layer's logits -------


@kernel
def softmax_cross_entropy(z, y, weights, rows, dz, tiny):
    """Weighted cross-entropy of softmax(z); ``y[rows]`` are class indices."""
    total = 0.0
    one = z.dtype.type(1.0)
    for s in range(rows.size):
        target, weight = y[rows[s]], weights[rows[s]]
        top = z[0, s]
        for c in range(1, z.shape[0]):
            top = max(top, z[c, s])
        norm = z.dtype.type(0.0)
        for c in range(z.shape[0]):
            dz[c, s] = math.exp(z[c, s] - top)
            norm += dz[c, s]
        total += weight * (math.log(norm) + top - z[target, s])
        for c in range(z.shape[0]):
            delta = weight * (dz[c, s] / norm - (one if c == target else 0.0))
            dz[c, s] = 0.0 if abs(delta) < tiny else delta
    return total


@kernel
def logistic_cross_entropy(z, y, weights, rows, dz, tiny):
    """Weighted cross-entropy of the logistic of ``z[0]``; ``y[rows]`` are 0 or 1."""
    total = 0.0
    for s in range(rows.size):
        target, weight, value = y[rows[s]], weights[rows[s]], z[0, s]
        softplus = max(value, 0.0) + math.log1p(math.exp(-abs(value)))
        total += weight * (softplus - target * value)
        delta = weight * (_logistic(value) - target)
        dz[0, s] = 0.0 if abs(delta) < tiny else delta
    return total


# --- batches --------------------------------------------------------------------------


@kernel
def gather_dense(X, rows, x):
    """x[i, s] = X[rows[s], i]; one cache line of features at a time."""
    for first in range(0, X.shape[1], 16):
        last = min(first + 16, X.shape[1])
        for s in range(rows.size):
            row = rows[s]
            for i in range(first, last):
                x[i, s] = X[row, i]


@kernel
def gather_csr(data, indices, indptr, rows, x):
    """x[:, s] = row rows[s] of a CSR matrix (duplicate entries are added)."""
    x[:] = 0.0
    for s in range(rows.size):
        for k in range(indptr[rows[s]], indptr[rows[s] + 1]):
            x[indices[k], s] += data[k]


# --- topology -------------------------------------------------------------------------


@kernel
def merge_pattern(indptr, indices, keep, ranks, n_columns, new_indptr, new_indices, source):
    """Drop the connections that are not kept, add those at the given free positions.

    ``ranks`` are sorted ranks among the positions of the layer (row-major) that no kept
    connection holds. ``source[k]`` is where the new connection k stood before, or -1.
    """
    n_rows = indptr.size - 1
    count = kept = grown = 0
    for row in range(n_rows):
        base = np.int64(row) * n_columns
        new_indptr[row] = count
        for k in range(indptr[row], indptr[row + 1]):
            if not keep[k]:
                continue
            # Free positions before this connection: its own position less those kept.
            free = base + indices[k] - kept
            while grown < ranks.size and ranks[grown] < free:
                new_indices[count] = ranks[grown] + kept - base
                source[count] = -1
                grown += 1
                count += 1
            new_indices[count] = indices[k]
            source[count] = k
            kept += 1
            count += 1
        row_end = base + n_columns - kept
        while grown < ranks.size and ranks[grown] < row_end:
            new_indices[count] = ranks[grown] + kept - base
            source[count] = -1
            grown += 1
            count += 1
    new_indptr[n_rows] = count


@kernel
def take_or_zero(values, source, out):
    """out[k] = values[source[k]], or 0 where source[k] is negative."""
    for k in range(source.size):
        out[k] = values[source[k]] if source[k] >= 0 else 0.0
