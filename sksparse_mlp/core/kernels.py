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
def _add_scaled_4(z, row, w0, w1, w2, w3, x, indices, k):
    i0, i1, i2, i3 = _at_4(indices, k)
    for s in range(z.shape[1]):
        z[row, s] += (w0 * x[i0, s] + w1 * x[i1, s]) + (w2 * x[i2, s] + w3 * x[i3, s])


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
        if k + 4 <= end:
            _add_scaled_4(
                z, np.uint64(row), w[k], w[k + 1], w[k + 2], w[k + 3], x, indices, k
            )
            k += 4
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
        if k + 4 <= end:
            p0, p1, p2, p3 = _at_4(p, k)
            _add_scaled_4(dx, np.uint64(row), w[p0], w[p1], w[p2], w[p3], dz, indices, k)
            k += 4
        while k < end:
            _add_scaled(dx, np.uint64(row), w[_at(p, k)], dz, _at(indices, k))
            k += 1


@kernel
def share_active(x):
    """Share of the entries of x that are not zero."""
    count = 0
    for row in range(x.shape[0]):
        for s in range(x.shape[1]):
            count += x[row, s] != 0.0
    return count / x.size


@kernel
def forward_skipping(indptr, indices, weights, bias, x, z, start, stop):
    """z = W x + b for the samples ``[start, stop)``, skipping inputs that are zero.

    ``indptr``, ``indices`` and ``weights`` are by input neuron.
    """
    total = np.empty_like(bias)
    for s in range(start, stop):
        total[:] = bias
        for i in range(x.shape[0]):
            value = x[i, s]
            if value != 0.0:
                for k in range(indptr[i], indptr[i + 1]):
                    total[_at(indices, k)] += value * weights[k]
        for row in range(z.shape[0]):
            z[row, s] = total[row]


@kernel
def forward_skipping_full(weights, bias, x, z, start, stop):
    """As :func:`forward_skipping` for a full layer; ``weights`` is (n_in, n_out)."""
    w = weights
    total = np.empty_like(bias)
    active = np.empty(x.shape[0], np.int64)
    for s in range(start, stop):
        n_active = 0
        for i in range(x.shape[0]):
            active[n_active] = i
            n_active += x[i, s] != 0.0
        total[:] = bias
        k = 0
        while k + 4 <= n_active:
            i0, i1, i2, i3 = _at_4(active, k)
            v0, v1, v2, v3 = x[i0, s], x[i1, s], x[i2, s], x[i3, s]
            for row in range(total.size):
                low = v0 * w[i0, row] + v1 * w[i1, row]
                total[row] += low + (v2 * w[i2, row] + v3 * w[i3, row])
            k += 4
        while k < n_active:
            i = _at(active, k)
            for row in range(total.size):
                total[row] += x[i, s] * w[i, row]
            k += 1
        for row in range(z.shape[0]):
            z[row, s] = total[row]


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


# --- full products without biases: few outputs, or few inputs --------------------------


@kernel
def add_product(weights, x, z, start, stop):
    """z += W x for the rows ``[start, stop)``; ``weights`` is (n_out, n_in)."""
    w = weights
    for r in range(start, stop):
        row = np.uint64(r)
        k = 0
        while k + 4 <= x.shape[0]:
            for s in range(z.shape[1]):
                low = w[row, k] * x[k, s] + w[row, k + 1] * x[k + 1, s]
                high = w[row, k + 2] * x[k + 2, s] + w[row, k + 3] * x[k + 3, s]
                z[row, s] += low + high
            k += 4
        while k < x.shape[0]:
            _add_scaled(z, row, w[row, k], x, np.uint64(k))
            k += 1


@inlined
def _row_gradient(dz, row, x, inputs, gradient, target):
    k = 0
    while k + 8 <= inputs.size:
        g = _dot_8(dz, row, x, inputs, k)
        for j in range(8):
            gradient[target, k + j] = g[j]
        k += 8
    while k < inputs.size:
        gradient[target, k] = _dot(dz, row, x, _at(inputs, k))
        k += 1


@kernel
def product_gradient(x, dz, gradient):
    """Gradient of the loss for all pairs: ``gradient[j, i]`` is ``dz[j] . x[i]``."""
    inputs = np.arange(x.shape[0])
    for row in range(dz.shape[0]):
        _row_gradient(dz, np.uint64(row), x, inputs, gradient, row)


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


@kernel
def sgd_update(values, velocity, gradient, rate, momentum, nesterov, scale, tiny):
    """Momentum descent for a vector of parameters, without penalty."""
    cast = values.dtype.type
    rate, momentum, scale, tiny = cast(rate), cast(momentum), cast(scale), cast(tiny)
    for k in range(values.size):
        _sgd(values, velocity, k, scale * gradient[k], rate, momentum, nesterov, tiny)


@kernel
def adam_update(
    values, first, second, gradient, rate, beta_1, beta_2, epsilon, scale, tiny
):
    """Adam for a vector of parameters, without penalty."""
    cast = values.dtype.type
    rate, beta_1, beta_2 = cast(rate), cast(beta_1), cast(beta_2)
    epsilon, scale, tiny = cast(max(epsilon, tiny)), cast(scale), cast(tiny)
    for k in range(values.size):
        g = scale * gradient[k]
        _adam(values, first, second, k, g, rate, beta_1, beta_2, epsilon, tiny)


# --- batch normalisation (Ioffe and Szegedy 2015) -------------------------------------


@kernel
def normalise_batch(
    u, z, gain, shift, mean, variance, inverse_deviation, momentum, epsilon, start, stop
):
    """u = (u - its mean) / its deviation over the batch; z = gain * u + shift.

    ``mean`` and ``variance`` are moving averages, of the unbiased variance; a batch of
    one sample, which has none, leaves them alone.
    """
    size = u.shape[1]
    cast = u.dtype.type
    momentum, epsilon, one = cast(momentum), cast(epsilon), cast(1.0)
    for row in range(start, stop):
        center = cast(0.0)
        for s in range(size):
            center += u[row, s]
        center /= cast(size)
        spread = cast(0.0)
        for s in range(size):
            u[row, s] -= center
            spread += u[row, s] * u[row, s]
        inverse = one / math.sqrt(spread / cast(size) + epsilon)
        inverse_deviation[row] = inverse
        if size > 1:
            unbiased = spread / cast(size - 1)
            mean[row] += momentum * (center - mean[row])
            variance[row] += momentum * (unbiased - variance[row])
        for s in range(size):
            u[row, s] *= inverse
            z[row, s] = gain[row] * u[row, s] + shift[row]


@kernel
def normalise(u, z, gain, shift, mean, variance, epsilon, start, stop):
    """z = gain * (u - mean) / deviation + shift, with given moments."""
    epsilon = u.dtype.type(epsilon)
    for row in range(start, stop):
        factor = gain[row] / math.sqrt(variance[row] + epsilon)
        offset = shift[row] - factor * mean[row]
        for s in range(u.shape[1]):
            z[row, s] = factor * u[row, s] + offset


@kernel
def normalise_batch_gradient(
    u, dz, gain, inverse_deviation, gain_gradient, shift_gradient, start, stop
):
    """From the gradient for z to that for the u before :func:`normalise_batch`.

    ``u`` holds the normalised values that :func:`normalise_batch` left there.
    """
    size = u.dtype.type(u.shape[1])
    for row in range(start, stop):
        total = product = u.dtype.type(0.0)
        for s in range(u.shape[1]):
            total += dz[row, s]
            product += dz[row, s] * u[row, s]
        gain_gradient[row], shift_gradient[row] = product, total
        factor = gain[row] * inverse_deviation[row]
        for s in range(u.shape[1]):
            dz[row, s] = factor * (dz[row, s] - (total + product * u[row, s]) / size)


# --- activations: values, and the gradient multiplied by the derivative in place ------


@kernel
def copy_rows(z, a, start, stop):
    """a = z."""
    for row in range(start, stop):
        for s in range(z.shape[1]):
            a[row, s] = z[row, s]


@kernel
def leaky_relu(z, a, slopes, start, stop):
    """a = z where z is positive, slope * z elsewhere; one slope per neuron or in all."""
    for row in range(start, stop):
        slope = slopes[min(row, slopes.size - 1)]
        for s in range(z.shape[1]):
            value = z[row, s]
            a[row, s] = value if value > 0.0 else slope * value


@kernel
def leaky_relu_gradient(z, da, slopes, start, stop):
    """da *= 1 where z is positive, the slope elsewhere."""
    one = z.dtype.type(1.0)
    for row in range(start, stop):
        slope = slopes[min(row, slopes.size - 1)]
        for s in range(z.shape[1]):
            da[row, s] *= one if z[row, s] > 0.0 else slope


@kernel
def slope_gradient(z, da, gradient, start, stop):
    """gradient[row] = sum of da * z over the samples where z is not positive."""
    zero = z.dtype.type(0.0)
    for row in range(start, stop):
        total = zero
        for s in range(z.shape[1]):
            total += da[row, s] * (zero if z[row, s] > 0.0 else z[row, s])
        gradient[row] = total


@kernel
def srelu(z, a, parameters, start, stop):
    """a = z between two thresholds, lines of two slopes outside.

    ``parameters`` holds, per neuron, the left threshold and slope, then the right ones.
    Where training has made the left threshold the larger one, the left line wins.
    """
    for row in range(start, stop):
        left, left_slope = parameters[0, row], parameters[1, row]
        right, right_slope = parameters[2, row], parameters[3, row]
        for s in range(z.shape[1]):
            value = z[row, s]
            if value <= left:
                value = left + left_slope * (value - left)
            elif value >= right:
                value = right + right_slope * (value - right)
            a[row, s] = value


@kernel
def srelu_gradient(z, da, parameters, gradient, start, stop):
    """Gradient of the parameters of :func:`srelu`; da *= its derivative."""
    one = z.dtype.type(1.0)
    for row in range(start, stop):
        left, left_slope = parameters[0, row], parameters[1, row]
        right, right_slope = parameters[2, row], parameters[3, row]
        gradient[:, row] = 0.0
        for s in range(z.shape[1]):
            value, d = z[row, s], da[row, s]
            if value <= left:
                gradient[0, row] += d * (one - left_slope)
                gradient[1, row] += d * (value - left)
                da[row, s] = d * left_slope
            elif value >= right:
                gradient[2, row] += d * (one - right_slope)
                gradient[3, row] += d * (value - right)
                da[row, s] = d * right_slope


@kernel
def clipped_shift(z, a, threshold, clip, start, stop):
    """a = min(max(z - threshold, 0), clip)."""
    threshold, clip = z.dtype.type(threshold), z.dtype.type(clip)
    zero = z.dtype.type(0.0)
    for row in range(start, stop):
        for s in range(z.shape[1]):
            value = z[row, s]
            rest = value - threshold
            rest = rest if rest < clip else clip
            # A comparison with NaN is false: NaN passes.
            a[row, s] = zero if value <= threshold else (rest if value == value else value)


@kernel
def clipped_shift_gradient(z, da, threshold, clip, start, stop):
    """da *= 1 where threshold < z < threshold + clip, 0 elsewhere."""
    threshold, clip = z.dtype.type(threshold), z.dtype.type(clip)
    zero, one = z.dtype.type(0.0), z.dtype.type(1.0)
    for row in range(start, stop):
        for s in range(z.shape[1]):
            rest = z[row, s] - threshold
            da[row, s] *= one if zero < rest < clip else zero


@kernel
def clipped_shrink(z, a, threshold, clip, start, stop):
    """a = sign(z) * min(max(abs(z) - threshold, 0), clip)."""
    threshold, clip = z.dtype.type(threshold), z.dtype.type(clip)
    zero = z.dtype.type(0.0)
    for row in range(start, stop):
        for s in range(z.shape[1]):
            value = z[row, s]
            size = abs(value)
            rest = size - threshold
            rest = rest if rest < clip else clip
            signed = rest if value > zero else -rest
            a[row, s] = zero if size <= threshold else (signed if value == value else value)


@kernel
def clipped_shrink_gradient(z, da, threshold, clip, start, stop):
    """da *= 1 where threshold < abs(z) < threshold + clip, 0 elsewhere."""
    threshold, clip = z.dtype.type(threshold), z.dtype.type(clip)
    zero, one = z.dtype.type(0.0), z.dtype.type(1.0)
    for row in range(start, stop):
        for s in range(z.shape[1]):
            rest = abs(z[row, s]) - threshold
            da[row, s] *= one if zero < rest < clip else zero


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


@kernel
def free_gradient_sizes(indptr, indices, keep, x, dz, sizes, start, stop):
    """Absolute gradients at all positions of rows ``[start, stop)``, -1 where taken.

    ``sizes`` is (rows, n_in); a position is taken by a connection that is kept.
    """
    inputs = np.arange(x.shape[0])
    for row in range(start, stop):
        target = row - start
        _row_gradient(dz, np.uint64(row), x, inputs, sizes, target)
        for i in range(sizes.shape[1]):
            sizes[target, i] = abs(sizes[target, i])
        for k in range(indptr[row], indptr[row + 1]):
            if keep[k]:
                sizes[target, indices[k]] = -1.0


@kernel
def gradient_sizes_at(rows, columns, x, dz, sizes):
    """Absolute gradients at the positions (rows[k], columns[k])."""
    for k in range(rows.size):
        sizes[k] = abs(_dot(dz, _at(rows, k), x, _at(columns, k)))
