"""Every jitted function of the package: arrays and scalars in, arrays out.

Activations are stored as (neurons, batch), contiguous over the batch, so that every
inner loop runs over samples and vectorises; sparse products want rows of whole vectors,
see :mod:`sksparse_mlp.core.simd`. Kernels over a layer take a range of rows ``[start,
stop)``; each row is written by one call in a fixed order, so results do not depend on how
the rows are shared among threads.

All are in one file because Numba's cache notices changes of a kernel's own file, not of
others that it calls into. ``tests/naive.py`` holds one plain NumPy twin of each public
function here.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from sksparse_mlp.core.addresses import array_at, rows_at
from sksparse_mlp.core.compilation import kept
from sksparse_mlp.core.simd import (
    N_TOTALS,
    add_products,
    add_scaled,
    gather_columns,
    lanes,
    lanes_of,
    load,
    put_sums,
    splat,
    store,
    times,
    total_of,
)
from sksparse_mlp.core.spinning import meet

# Only the flags that keep NaN and infinity visible.
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
OPTIONS: Any = {"nogil": True, "fastmath": FASTMATH, "error_model": "numpy"}
kernel = kept(njit(**OPTIONS))
# A call with arrays as arguments costs as much as some of these functions do.
inlined = kept(njit(forceinline=True, **OPTIONS))
# Operations in the order in which they are written, to the last bit.
exact = kept(njit(**(OPTIONS | {"fastmath": False})))
# Which product and sum are rounded together must not depend on what is around them.
exact_inlined = kept(njit(forceinline=True, **(OPTIONS | {"fastmath": False})))


# --- sparse products: the sums of many samples in registers over all connections ------


@inlined
def _at(indices, k):
    # Unsigned indices spare the check for negative ones.
    return np.uint64(indices[np.uint64(k)])


@inlined
def _at_4(indices, k):
    return _at(indices, k), _at(indices, k + 1), _at(indices, k + 2), _at(indices, k + 3)


@inlined
def _check_rows(x):
    if x.shape[1] % lanes(x) != 0:
        raise ValueError("rows are not of whole vectors")


@inlined
def _add_connections(totals, indices, positions, weights, first, last, x, s):
    """Add weight times input, of samples from s on, for the connections of a row."""
    for k in range(first, last):
        place = np.uint64(k) if positions is None else _at(positions, k)
        totals = add_scaled(totals, weights[place], x, _at(indices, k), s)
    return totals


@inlined
def _put(z, row, s, totals, scale):
    if scale is None:
        store(z, row, s, totals)
    else:
        store(z, row, s, times(totals, scale, z, row, s))


@inlined
def _sum_row(indices, positions, weights, first, last, x, bias, z, row, scale):
    """z[row] = bias + sum of weight times input over the connections of a row.

    With a ``scale`` z[row] is multiplied by ``scale`` times the sum instead.
    """
    step, s, b = lanes(x), 0, splat(bias)
    if N_TOTALS == 8:
        while s + 8 * step <= x.shape[1]:
            t = (b, b, b, b, b, b, b, b)
            t = _add_connections(t, indices, positions, weights, first, last, x, s)
            _put(z, row, s, t, scale)
            s += 8 * step
    while s + 4 * step <= x.shape[1]:
        four = (b, b, b, b)
        four = _add_connections(four, indices, positions, weights, first, last, x, s)
        _put(z, row, s, four, scale)
        s += 4 * step
    while s + 2 * step <= x.shape[1]:
        two = (b, b)
        two = _add_connections(two, indices, positions, weights, first, last, x, s)
        _put(z, row, s, two, scale)
        s += 2 * step
    while s < x.shape[1]:
        one = (b,)
        one = _add_connections(one, indices, positions, weights, first, last, x, s)
        _put(z, row, s, one, scale)
        s += step


@kernel
def forward(indptr, indices, weights, bias, x, z, start, stop):
    """z = W x + b for the output neurons ``[start, stop)``."""
    _check_rows(x)
    for row in range(start, stop):
        first, last = indptr[row], indptr[row + 1]
        _sum_row(indices, None, weights, first, last, x, bias[row], z, row, None)


@kernel
def backward_input(indptr, indices, positions, weights, dz, dx, start, stop):
    """dx = W' dz for the input neurons ``[start, stop)``.

    ``indptr``, ``indices`` and ``positions`` are the transposed pattern: the output
    neurons that each input neuron feeds, and where their weights lie.
    """
    _check_rows(dz)
    zero = dz.dtype.type(0.0)
    for row in range(start, stop):
        first, last = indptr[row], indptr[row + 1]
        _sum_row(indices, positions, weights, first, last, dz, zero, dx, row, None)


@kernel
def backward_times(indptr, indices, positions, weights, dz, dx, scale, start, stop):
    """dx *= scale * W' dz, as :func:`backward_input`: dx holds derivatives before."""
    _check_rows(dz)
    zero, scale = dz.dtype.type(0.0), dz.dtype.type(scale)
    for row in range(start, stop):
        first, last = indptr[row], indptr[row + 1]
        _sum_row(indices, positions, weights, first, last, dz, zero, dx, row, scale)


@kernel
def share_active(x, size):
    """Share of the entries of x that are not zero, among the first ``size`` samples."""
    count = 0
    for row in range(x.shape[0]):
        for s in range(size):
            count += x[row, s] != 0.0
    return count / (x.shape[0] * size)


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


@exact_inlined
def _add_rest(total, d, row, x, i, start, size):
    for s in range(start, size):
        total += d[row, s] * x[i, s]
    return total


@inlined
def _dot_of_some(d, row, x, i, size):
    """d[row] . x[i] over the first ``size`` samples, always in the same order."""
    totals, s = (splat(d.dtype.type(0.0)),), 0
    while s + lanes(x) <= size:
        totals = add_products(totals, (load(d, row, s),), x, (i,), s)
        s += lanes(x)
    return _add_rest(total_of(totals[0]), d, row, x, i, s, size)


@exact_inlined
def _add_others(total, d, row, start, size):
    for s in range(start, size):
        total += d[row, s]
    return total


@inlined
def _sum_of_some(d, row, size):
    """Sum of d[row] over the first ``size`` samples, always in the same order."""
    one, totals, s = d.dtype.type(1.0), (splat(d.dtype.type(0.0)),), 0
    while s + lanes(d) <= size:
        totals = add_scaled(totals, one, d, row, s)
        s += lanes(d)
    return _add_others(total_of(totals[0]), d, row, s, size)


@inlined
def _sum(d, row):
    return _sum_of_some(d, row, d.shape[1])


@inlined
def _dot(d, row, x, i):
    total = d.dtype.type(0.0)
    for s in range(d.shape[1]):
        total += d[row, s] * x[i, s]
    return total


@inlined
def _add_row_products(totals, d, row, x, inputs):
    """Add products of d[row] with the rows of some inputs; lanes are partial sums."""
    step, s = lanes(x), 0
    while s + 4 * step <= x.shape[1]:
        of_row = (
            load(d, row, s),
            load(d, row, s + step),
            load(d, row, s + 2 * step),
            load(d, row, s + 3 * step),
        )
        totals = add_products(totals, of_row, x, inputs, s)
        s += 4 * step
    while s + step <= x.shape[1]:
        totals = add_products(totals, (load(d, row, s),), x, inputs, s)
        s += step
    return totals


@inlined
def _row_dots(dz, row, x, indices, k, end, dots, j):
    """Put dz[row] . x[indices[k]] for the connections ``[k, end)`` to dots[j] and on."""
    first, n_whole = k, x.shape[1] - x.shape[1] % lanes(x)
    zero = splat(dz.dtype.type(0.0))
    four = (zero, zero, zero, zero)
    while k + 8 <= end:
        inputs = _at_4(indices, k) + _at_4(indices, k + 4)
        put_sums(dots, j, _add_row_products(four + four, dz, row, x, inputs))
        k += 8
        j += 8
    if k + 4 <= end:
        put_sums(dots, j, _add_row_products(four, dz, row, x, _at_4(indices, k)))
        k += 4
        j += 4
    while k < end:
        put_sums(dots, j, _add_row_products((zero,), dz, row, x, (_at(indices, k),)))
        k += 1
        j += 1
    # Rows of the engine's own arrays are whole vectors; others have a rest.
    for i in range(first, end if n_whole < x.shape[1] else first):
        place = j - (end - i)
        dots[place] = _add_rest(
            dots[place], dz, row, x, _at(indices, i), n_whole, x.shape[1]
        )


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
        _row_dots(dz, np.uint64(row), x, indices, k, end, gradient, k)


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
            for s in range(z.shape[1]):
                z[row, s] += w[row, k] * x[k, s]
            k += 1


@kernel
def product_gradient(x, dz, gradient):
    """Gradient of the loss for all pairs: ``gradient[j, i]`` is ``dz[j] . x[i]``."""
    inputs = np.arange(x.shape[0])
    for row in range(dz.shape[0]):
        _row_dots(dz, np.uint64(row), x, inputs, 0, inputs.size, gradient[row], 0)


# Connections, or some more, whose products wait for their step together.
AT_A_TIME = 256


# --- optimizer steps, fused with the weight gradient: no gradient array ---------------


@exact_inlined
def _sgd(w, v, k, g, rate, momentum, nesterov, tiny):
    velocity = momentum * v[k] - rate * g
    # A velocity without gradient decays into subnormals, which cost ten times more.
    if abs(velocity) < tiny:
        velocity = w.dtype.type(0.0)
    v[k] = velocity
    w[k] += momentum * velocity - rate * g if nesterov else velocity


@inlined
def _room_for_dots(indptr, start, stop, like):
    """An array for the connections that `_dots_of_rows` takes at a time."""
    longest = 0
    for row in range(start, stop):
        longest = max(longest, indptr[row + 1] - indptr[row])
    return np.empty(longest + AT_A_TIME, like.dtype)


@inlined
def _dots_of_rows(indptr, indices, x, dz, row, stop, dots):
    """Products for the connections of some rows, from ``row`` on; returns the row after.

    Steps of a few hundred connections together are faster than of one row: their loops
    have less to begin and end, and what is read just after it was written in other pieces
    would be waited for.
    """
    j = 0
    while row < stop and j < AT_A_TIME:
        k, end = indptr[row], indptr[row + 1]
        _row_dots(dz, np.uint64(row), x, indices, k, end, dots, j)
        j += end - k
        row += 1
    return row


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
    # All products come before the updates, which vectorise then.
    dots = _room_for_dots(indptr, start, stop, weights)
    row = start
    while row < stop:
        first = row
        row = _dots_of_rows(indptr, indices, x, dz, first, stop, dots)
        for done in range(first, row):
            g = scale * _sum(dz, np.uint64(done))
            _sgd(bias, bias_velocity, done, g, rate, momentum, nesterov, tiny)
        k, end = indptr[first], indptr[row]
        w, v = weights[k:end], velocity[k:end]
        for j in range(w.size):
            g = scale * (dots[j] + alpha * w[j])
            _sgd(w, v, j, g, rate, momentum, nesterov, tiny)


@exact_inlined
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
    dots = _room_for_dots(indptr, start, stop, weights)
    row = start
    while row < stop:
        first_row = row
        row = _dots_of_rows(indptr, indices, x, dz, first_row, stop, dots)
        for done in range(first_row, row):
            g = scale * _sum(dz, np.uint64(done))
            _adam(
                bias, bias_first, bias_second, done, g,
                rate, beta_1, beta_2, epsilon, tiny,
            )  # fmt: skip
        k, end = indptr[first_row], indptr[row]
        w, m, v = weights[k:end], first[k:end], second[k:end]
        for j in range(w.size):
            g = scale * (dots[j] + alpha * w[j])
            _adam(w, m, v, j, g, rate, beta_1, beta_2, epsilon, tiny)


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
    u, z, gain, shift, mean, variance, inverse_deviation,
    momentum, epsilon, size, start, stop,
):  # fmt: skip
    """u = (u - its mean) / its deviation over the batch; z = gain * u + shift.

    Only the first ``size`` samples count for the moments. ``mean`` and ``variance`` are
    moving averages, of the unbiased variance; a batch of one sample, which has none,
    leaves them alone.
    """
    cast = u.dtype.type
    momentum, epsilon, one = cast(momentum), cast(epsilon), cast(1.0)
    for row in range(start, stop):
        center = _sum_of_some(u, row, size) / cast(size)
        for s in range(u.shape[1]):
            u[row, s] -= center
        spread = _dot_of_some(u, row, u, row, size)
        inverse = one / math.sqrt(spread / cast(size) + epsilon)
        inverse_deviation[row] = inverse
        if size > 1:
            unbiased = spread / cast(size - 1)
            mean[row] += momentum * (center - mean[row])
            variance[row] += momentum * (unbiased - variance[row])
        for s in range(u.shape[1]):
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
    u, dz, gain, inverse_deviation, gain_gradient, shift_gradient, size, start, stop
):
    """From the gradient for z to that for the u before :func:`normalise_batch`.

    ``u`` holds the normalised values that :func:`normalise_batch` left there.
    """
    n = u.dtype.type(size)
    for row in range(start, stop):
        total = _sum_of_some(dz, row, size)
        product = _dot_of_some(dz, row, u, row, size)
        gain_gradient[row], shift_gradient[row] = product, total
        factor = gain[row] * inverse_deviation[row]
        for s in range(size):
            dz[row, s] = factor * (dz[row, s] - (total + product * u[row, s]) / n)


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
def leaky_relu_and_derivative(a, derivative, slopes, start, stop):
    """From pre-activations to the values of :func:`leaky_relu`, in place."""
    one = a.dtype.type(1.0)
    for row in range(start, stop):
        slope = slopes[min(row, slopes.size - 1)]
        for s in range(a.shape[1]):
            factor = one if a[row, s] > 0.0 else slope
            a[row, s] *= factor
            derivative[row, s] = factor


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


@kernel
def dropout_and_derivative(a, derivative, key, threshold, scale, start, stop):
    """As :func:`dropout`; the derivative becomes zero where ``a`` does, without scale."""
    scale = a.dtype.type(scale)
    zero = a.dtype.type(0.0)
    threshold = np.uint32(threshold)
    for row in range(start, stop):
        row_key = _mix(np.uint32(np.uint32(key) + np.uint32(row) * np.uint32(0x9E3779B9)))
        for s in range(a.shape[1]):
            h = _mix(np.uint32(row_key + np.uint32(s) * np.uint32(0x9E3779B9)))
            a[row, s] *= scale if h >= threshold else zero
            derivative[row, s] = derivative[row, s] if h >= threshold else zero


# --- losses of samples, and their gradients for the output layer's logits -------------

SOFTMAX, LOGISTIC_LABELS, LOGISTIC_CLASSES, SQUARED, HUBER, PINBALL, POISSON = range(1, 8)


@kernel
def softmax_cross_entropy(z, y, weights, rows, dz, losses, tiny, start, stop):
    """Weighted cross-entropy of softmax(z) for the samples ``[start, stop)``.

    ``y[rows]`` are class indices.
    """
    zero, one = z.dtype.type(0.0), z.dtype.type(1.0)
    for s in range(start, stop):
        target, weight = y[rows[s]], weights[rows[s]]
        top = z[0, s]
        for c in range(1, z.shape[0]):
            top = max(top, z[c, s])
        norm = zero
        for c in range(z.shape[0]):
            dz[c, s] = math.exp(z[c, s] - top)
            norm += dz[c, s]
        gap = z[target, s] - top
        if gap < zero:
            losses[s] = weight * (math.log(norm) - gap)
        else:
            # Next to the 1 of a likeliest target, small terms would lose their digits.
            others = zero
            for c in range(z.shape[0]):
                others += zero if c == target else dz[c, s]
            losses[s] = weight * math.log1p(others)
        for c in range(z.shape[0]):
            delta = weight * (dz[c, s] / norm - (one if c == target else 0.0))
            dz[c, s] = 0.0 if abs(delta) < tiny else delta


@kernel
def logistic_cross_entropy(z, y, weights, rows, dz, losses, tiny, start, stop):
    """Weighted cross-entropy of the logistic of ``z`` for some samples, summed over labels.

    ``y[rows]`` are 0 or 1 for each label.
    """
    for s in range(start, stop):
        weight, total = weights[rows[s]], 0.0
        for k in range(z.shape[0]):
            target, value = y[rows[s], k], z[k, s]
            wrong = -value if target == 1 else value
            total += max(wrong, 0.0) + math.log1p(math.exp(-abs(value)))
            delta = weight * (_logistic(value) - target)
            dz[k, s] = 0.0 if abs(delta) < tiny else delta
        losses[s] = weight * total


@inlined
def _loss_and_slope(loss, first, second, output, target):
    """The loss of one output in float64, and its derivative, for a loss of numbers."""
    error = output - target
    exact_error = np.float64(error)
    if loss == SQUARED:
        return 0.5 * exact_error * exact_error, exact_error
    if loss == HUBER:
        # Errors beyond the first parameter count in proportion.
        inner = min(max(exact_error, -first), first)
        return inner * (exact_error - 0.5 * inner), inner
    if loss == PINBALL:
        # What errors count where outputs are larger than targets, and where smaller.
        factor = -second if error < 0 else first
        # An error of NaN gives NaN.
        return factor * exact_error, 0.0 if error == 0 else factor
    value = np.float64(output)
    deviance = math.exp(value) - target
    if target > 0:
        deviance += target * (math.log(np.float64(target)) - value)
    return deviance, np.float64(math.exp(output) - target)


@kernel
def loss_of_targets(
    z, y, weights, rows, dz, losses, loss, first, second, tiny, start, stop
):
    """Weighted loss of numbers for some samples, the mean over the outputs.

    ``loss`` is the code of the loss, and ``first`` and ``second`` its parameters.
    ``y[rows]`` are the targets of each output; what is NaN is left out. As in scikit-learn
    the gradient is that of the sum over the outputs: what one output learns does not
    depend on their number.
    """
    for s in range(start, stop):
        weight, total, count = weights[rows[s]], 0.0, 0
        for k in range(z.shape[0]):
            target = y[rows[s], k]
            if math.isnan(target):
                dz[k, s] = 0.0
                continue
            value, slope = _loss_and_slope(loss, first, second, z[k, s], target)
            total += value
            count += 1
            delta = weight * slope
            dz[k, s] = 0.0 if abs(delta) < tiny else delta
        losses[s] = weight * total / max(count, 1)


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
    n, first = lanes(x), 0
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


# --- topology -------------------------------------------------------------------------


@kernel
def merge_pattern(indptr, indices, keep, ranks, n_columns, new_indptr, new_indices, grown):
    """Drop the connections that are not kept, add those at the given free positions.

    ``ranks`` are sorted ranks among the positions of the layer (row-major) that no kept
    connection holds. ``grown[k]`` is where the connection at ``ranks[k]`` is then; there is
    one place more, which ends as zero.
    """
    n_rows, count, kept, n_grown, longest = indptr.size - 1, 0, 0, 0, 0
    for row in range(n_rows):
        longest = max(longest, indptr[row + 1] - indptr[row])
    columns = np.empty(longest + 1, indices.dtype)
    for row in range(n_rows):
        new_indptr[row] = count
        n_old = 0
        for k in range(indptr[row], indptr[row + 1]):
            columns[n_old] = indices[k]
            n_old += keep[k]
        # No column that is new comes behind this one.
        columns[n_old] = n_columns
        base, end = np.int64(row) * n_columns, n_grown
        while end < ranks.size and ranks[end] < base + n_columns - kept - n_old:
            end += 1
        i, j, last = 0, n_grown, end - 1
        for _ in range(n_old + end - n_grown if n_grown < end else 0):
            # Written without a branch, which the processor could not predict. A free
            # position comes behind its rank by as many as are kept before it.
            new, old = ranks[min(j, last)] + kept + i - base, columns[i]
            is_new = j <= last and new < old
            new_indices[count] = new if is_new else old
            grown[j] = count
            count += 1
            j += is_new
            i += not is_new
        for k in range(i, n_old):
            new_indices[count] = columns[k]
            count += 1
        kept, n_grown = kept + n_old, end
    new_indptr[n_rows], grown[ranks.size] = count, 0


@kernel
def move_values(values, slot, slot_2, keep, grown):
    """Move the kept values to make room for zeros at the places ``grown``, in place.

    The arrays have room for as many as before and for as many as there will be, or are
    empty but for the first.
    """
    n_kept, has_slot, has_slot_2 = 0, slot.size > 0, slot_2.size > 0
    for k in range(keep.size):
        # Written without a branch, which the processor could not predict, as below.
        values[n_kept] = values[k]
        if has_slot:
            slot[n_kept] = slot[k]
        if has_slot_2:
            slot_2[n_kept] = slot_2[k]
        n_kept += keep[k]
    # From the end, so that no value is overwritten before it has moved.
    source, j, zero = n_kept - 1, grown.size - 1, values.dtype.type(0.0)
    while j >= 0:
        k, last = source + j + 1, max(source, 0)
        is_new = grown[j] == k
        moved = values[last]
        values[k] = zero if is_new else moved
        if has_slot:
            moved = slot[last]
            slot[k] = zero if is_new else moved
        if has_slot_2:
            moved = slot_2[last]
            slot_2[k] = zero if is_new else moved
        j -= is_new
        source -= not is_new


# Bits of a digit by which numbers are sorted into bins.
DIGIT = 11


@inlined
def _bin_of_rank(counts, rank):
    """The bin with the value of this rank, and how many are in those before."""
    place, before = 0, 0
    while before + counts[place] <= rank:
        before += counts[place]
        place += 1
    return place, before


@kernel
def _nth_of(sizes, rank, shift):
    """The value of a rank among integers that differ in their lowest ``shift`` bits.

    Returns it, how many are smaller, and how many are as large. ``sizes`` are reordered.
    """
    counts = np.empty(1 << DIGIT, np.int64)
    n_left, smaller = sizes.size, 0
    while shift > 0:
        width = min(shift, DIGIT)
        shift -= width
        counts[:] = 0
        for k in range(n_left):
            counts[(sizes[k] >> shift) & ((1 << width) - 1)] += 1
        place, before = _bin_of_rank(counts, rank - smaller)
        smaller += before
        count = 0
        for k in range(n_left):
            size = sizes[k]
            if (size >> shift) & ((1 << width) - 1) == place:
                sizes[count] = size
                count += 1
        n_left = count
    return sizes[0], smaller, n_left


@inlined
def _side_of(bits, size):
    """0 for zeros and positive numbers, 1 for negative ones, by their bits."""
    return np.int64(bits < 0 and size != 0)


@kernel
def keep_strongest(bits, infinity, zeta, keep):
    """Mark all numbers but the share ``zeta`` of the smallest of each sign.

    ``bits`` are theirs, as integers, and ``infinity`` are those of infinity: without the
    sign they have the order of the sizes, and larger ones are not numbers and stay. Where
    only some of several equal numbers go, these are at even distances among them. Returns
    how many go.
    """
    shift = 8 * bits.itemsize - 1 - DIGIT
    largest = (np.int64(1) << (8 * bits.itemsize - 1)) - 1
    counts = np.zeros((2, 1 << DIGIT), np.int64)
    for k in range(bits.size):
        size = np.int64(bits[k] & largest)
        counts[_side_of(bits[k], size), size >> shift] += size <= infinity
    wanted, limits = np.zeros(2, np.int64), np.full(2, -1, np.int64)
    n_equal, n_of_equal = np.zeros(2, np.int64), np.zeros(2, np.int64)
    for side in range(2):
        wanted[side] = round(zeta * counts[side].sum())
        if wanted[side] == 0:
            continue
        place, before = _bin_of_rank(counts[side], wanted[side] - 1)
        sizes = np.empty(counts[side, place], np.int64)
        count = 0
        for k in range(bits.size):
            size = np.int64(bits[k] & largest)
            if size >> shift == place and _side_of(bits[k], size) == side:
                sizes[count] = size
                count += 1
        rank = wanted[side] - 1 - before
        limits[side], smaller, n_equal[side] = _nth_of(sizes, rank, shift)
        n_of_equal[side] = wanted[side] - before - smaller
    of_positive, of_negative = limits[0], limits[1]
    for k in range(bits.size):
        size = np.int64(bits[k] & largest)
        limit = of_negative if _side_of(bits[k], size) else of_positive
        keep[k] = size > limit
    for side in range(2):
        if n_of_equal[side] < n_equal[side]:
            _keep_evenly(
                bits, largest, side, limits[side], n_of_equal[side], n_equal[side], keep
            )
    return wanted[0] + wanted[1]


@kernel
def _keep_evenly(bits, largest, side, size, n_removed, n_equal, keep):
    """Keep the equal numbers of a sign but for so many at even distances."""
    seen = gone = 0
    for k in range(bits.size):
        if np.int64(bits[k] & largest) == size and _side_of(bits[k], size) == side:
            goes = seen == (2 * gone + 1) * n_equal // (2 * n_removed)
            keep[k] = not goes
            gone += goes
            seen += 1


@kernel
def keep_among(indptr, indices, inputs, outputs, keep):
    """Whether each connection is between neurons of the masks inputs and outputs."""
    for row in range(indptr.size - 1):
        for k in range(indptr[row], indptr[row + 1]):
            keep[k] = outputs[row] and inputs[indices[k]]


@kernel
def kept_positions(indptr, indices, keep, n_columns, positions):
    """Row-major positions of the connections that are kept."""
    count = 0
    for row in range(indptr.size - 1):
        for k in range(indptr[row], indptr[row + 1]):
            if keep[k]:
                positions[count] = np.int64(row) * n_columns + indices[k]
                count += 1


@kernel
def transpose_pattern(indptr, indices, new_indptr, new_indices, positions):
    """The pattern by columns, and where each of its connections lies by rows."""
    new_indptr[:] = 0
    for k in range(indices.size):
        new_indptr[_at(indices, k) + np.uint64(1)] += 1
    for column in range(1, new_indptr.size):
        new_indptr[column] += new_indptr[column - 1]
    for row in range(indptr.size - 1):
        for k in range(indptr[row], indptr[row + 1]):
            column = _at(indices, k)
            target = np.uint64(new_indptr[column])
            new_indices[target] = row
            positions[target] = k
            new_indptr[column] += 1
    # Each row now begins where it ended.
    for column in range(new_indptr.size - 1, 0, -1):
        new_indptr[column] = new_indptr[column - 1]
    new_indptr[0] = 0


@kernel
def take(values, places, out):
    """out = values[places]."""
    for k in range(places.size):
        out[k] = values[_at(places, k)]


@kernel
def count_each(indices, counts):
    """Add to ``counts[i]`` how often i is among the indices."""
    for k in range(indices.size):
        counts[_at(indices, k)] += 1


@kernel
def scale_rows(indptr, weights, factors):
    """Multiply the weights of each row by its factor."""
    for row in range(indptr.size - 1):
        for k in range(indptr[row], indptr[row + 1]):
            weights[k] *= factors[row]


@kernel
def all_finite(values):
    """Whether no value is NaN or infinite."""
    count = 0
    for k in range(values.size):
        count += abs(values[k]) < np.inf
    return count == values.size


@exact
def sum_sizes_by_row(indptr, weights, sums):
    """Add to ``sums`` the absolute weights of each row, in their order."""
    for row in range(indptr.size - 1):
        for k in range(indptr[row], indptr[row + 1]):
            sums[row] += abs(weights[k])


@exact
def sum_sizes_by_column(indices, weights, sums):
    """Add to ``sums`` the absolute weights of each column, in their order."""
    for k in range(indices.size):
        sums[_at(indices, k)] += abs(weights[k])


@kernel
def free_gradient_sizes(indptr, indices, keep, x, dz, sizes, start, stop):
    """Absolute gradients at all positions of rows ``[start, stop)``, -1 where taken.

    ``sizes`` is (rows, n_in); a position is taken by a connection that is kept.
    """
    inputs = np.arange(x.shape[0])
    for row in range(start, stop):
        target = row - start
        _row_dots(dz, np.uint64(row), x, inputs, 0, inputs.size, sizes[target], 0)
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


# --- sampling -------------------------------------------------------------------------


@exact
def distinct_draws(sums, population, drawn):
    """Turn gaps into sorted distinct integers of ``range(population)``.

    The sum of all gaps, which their sums so far take the place of, is the end of the range.
    Returns how many there are in ``drawn``, which may share its memory with ``sums``:
    nothing is written before it was read.
    """
    n_draws, last, count = sums.size - 1, -1, 0
    for k in range(n_draws):
        sums[k + 1] += sums[k]
    total = sums[n_draws]
    for k in range(n_draws):
        value = min(np.int64(sums[k] / total * population), population - 1)
        if value != last:
            drawn[count] = last = value
            count += 1
    return count


@kernel
def drop_places(values, places):
    """Close the gaps that the values at the sorted places leave, in place."""
    count = dropped = 0
    for k in range(values.size):
        if dropped < places.size and places[dropped] == k:
            dropped += 1
        else:
            values[count] = values[k]
            count += 1


@kernel
def list_others(left_out, others):
    """The integers from 0 that are not among the sorted ones left out."""
    value = skipped = 0
    for k in range(others.size):
        while skipped < left_out.size and left_out[skipped] == value:
            skipped += 1
            value += 1
        others[k] = value
        value += 1


@kernel
def split_positions(positions, n_columns, indptr, indices):
    """The pattern of connections at sorted row-major positions."""
    n_rows = indptr.size - 1
    row, indptr[0] = 0, 0
    for k in range(positions.size):
        of_connection = positions[k] // n_columns
        while row < of_connection:
            row += 1
            indptr[row] = k
        indices[k] = positions[k] - of_connection * n_columns
    indptr[row + 1 : n_rows + 1] = positions.size


@kernel
def free_positions(ranks, taken, positions):
    """Positions from their ranks among all that are not taken, both sorted."""
    if ranks.size == 0:
        return
    # Positions taken[j] - j are free before taken[j].
    n_before, end = 0, taken.size
    while n_before < end:
        middle = (n_before + end) // 2
        if taken[middle] - middle <= ranks[0]:
            n_before = middle + 1
        else:
            end = middle
    for k in range(ranks.size):
        while n_before < taken.size and taken[n_before] - n_before <= ranks[k]:
            n_before += 1
        positions[k] = ranks[k] + n_before


# --- paths of length three ------------------------------------------------------------


@exact
def _sum_of_middles(indptr, indices, of_outputs, of_inputs):
    """The sum over all connections of the product of their two neurons' values."""
    total = 0.0
    for row in range(indptr.size - 1):
        for k in range(indptr[row], indptr[row + 1]):
            total += of_outputs[row] * of_inputs[_at(indices, k)]
    return total


@exact
def walk_ends(
    indptr, indices, ends, outputs, of_outputs, of_inputs, sums, picks, positions
):
    """Positions between the ends of random paths of three connections.

    The pattern is given by rows (``indptr``, ``indices``) and by columns (``ends``,
    ``outputs``). The connection in the middle is drawn with a probability proportional to
    the product of its neurons' values, where ``sums`` are ascending, the last one being
    the end of their range; the other two are even choices among the rest of these
    neurons' connections, by ``picks`` in [0, 1). Returns how many paths there are, the
    number of draws, or 0 without any. ``positions`` may share the memory of ``picks``.
    """
    n_columns = np.int64(ends.size - 1)
    total = _sum_of_middles(indptr, indices, of_outputs, of_inputs)
    n_draws = sums.size - 1
    if total == 0:
        return 0
    scale = total / sums[n_draws]
    count, weight = 0, 0.0
    for row in range(indptr.size - 1):
        first, others = indptr[row], indptr[row + 1] - indptr[row] - 1
        for k in range(first, indptr[row + 1]):
            column = _at(indices, k)
            weight += of_outputs[row] * of_inputs[column]
            while count < n_draws and sums[count] * scale < weight:
                start = ends[column]
                n_rest = ends[column + np.uint64(1)] - start - 1
                n_choices = np.int64(others) * n_rest
                choice = min(np.int64(picks[count] * n_choices), n_choices - 1)
                place = first + choice // n_rest
                if place >= k:
                    place += 1
                other = start + choice % n_rest
                if outputs[other] >= row:
                    other += 1
                positions[count] = outputs[other] * n_columns + indices[place]
                count += 1
    return count


@kernel
def ranks_of_free(positions, indptr, indices, n_columns):
    """Turn sorted positions into their ranks among the free ones, each once, in place.

    Positions of connections are left out. Returns how many ranks there are.
    """
    count, k, row, last = 0, np.int64(0), np.int64(0), np.int64(-1)
    for j in range(positions.size):
        position = positions[j]
        if position == last:
            continue
        last, taken = position, np.int64(-1)
        while k < indices.size:
            while indptr[row + 1] <= k:
                row += 1
            taken = row * n_columns + indices[k]
            if taken >= position:
                break
            k += 1
        if taken == position:
            continue
        positions[count] = position - k
        count += 1
    return count


@inlined
def _count_common(a, i, i_end, b, j, j_end):
    """How many items two sorted ranges have in common."""
    count = 0
    while i < i_end and j < j_end:
        if a[i] < b[j]:
            i += 1
        elif a[i] > b[j]:
            j += 1
        else:
            count += 1
            i += 1
            j += 1
    return count


@exact
def path_scores(indptr, indices, ends, outputs, rows, columns, scores):
    """CH3-L3 of free positions: paths of length three, each by its external degrees.

    Each neuron between the two counts ``1 / sqrt(1 + e)``, where ``e`` of its
    connections lead neither to the two nor to others between them.
    """
    of_inputs = np.empty(np.diff(indptr).max(), np.float64)
    for place in range(rows.size):
        row, column = rows[place], columns[place]
        first, end = indptr[row], indptr[row + 1]
        start, stop = ends[column], ends[column + 1]
        for k in range(first, end):
            a, b = ends[indices[k]], ends[indices[k] + 1]
            inside = _count_common(outputs, a, b, outputs, start, stop)
            of_inputs[k - first] = 0.0 if inside == 0 else 1 / math.sqrt(b - a - inside)
        scores[place] = 0.0
        for m in range(start, stop):
            i, i_end = indptr[outputs[m]], indptr[outputs[m] + 1]
            n_own, inside, total, k = i_end - i, 0, 0.0, first
            while i < i_end and k < end:
                if indices[i] < indices[k]:
                    i += 1
                elif indices[i] > indices[k]:
                    k += 1
                else:
                    inside += 1
                    total += of_inputs[k - first]
                    i += 1
                    k += 1
            if inside > 0:
                scores[place] += total / math.sqrt(n_own - inside)


# --- gradients over many batches ------------------------------------------------------


@kernel
def add_weight_gradient(indptr, indices, x, dz, gradient, start, stop):
    """Add to the gradient for the connections of rows ``[start, stop)``."""
    dots = _room_for_dots(indptr, start, stop, gradient)
    row = start
    while row < stop:
        k = indptr[row]
        row = _dots_of_rows(indptr, indices, x, dz, row, stop, dots)
        for j in range(indptr[row] - k):
            gradient[k + j] += dots[j]


# --- distributions of values ----------------------------------------------------------


# Values in smaller ranges are all in the first bin; greater factors could overflow.
SMALLEST_RANGE = 1e-300


@exact
def count_bins(values, classes, low, high, counts):
    """Count each row's values by class in equal bins between its low and high ends.

    ``counts`` is (rows, classes, bins); the last bin holds its right edge.
    """
    n_bins = counts.shape[2]
    for row in range(values.shape[0]):
        start = low[row]
        factor = n_bins / max(high[row] - start, SMALLEST_RANGE)
        for s in range(values.shape[1]):
            place = np.int64((values[row, s] - start) * factor)
            counts[row, _at(classes, s), min(place, n_bins - 1)] += 1


@exact
def count_cells(values, classes, low, middle, high, n_below, counts):
    """Count each row's values by class in fine cells.

    The cells are the low end itself, ``n_below[row]`` equal bins up to the middle, the
    middle itself, equal bins from there, and the high end itself. ``counts`` is (rows,
    classes, cells).
    """
    last = counts.shape[2] - 1
    cells = np.empty(values.shape[1], np.int32)
    for row in range(values.shape[0]):
        first, center, end = low[row], middle[row], high[row]
        below = np.int32(n_below[row])
        above = np.int32(last - 2 - below)
        factor_below = below / max(center - first, SMALLEST_RANGE)
        factor_above = above / max(end - center, SMALLEST_RANGE)
        # Without branches, and apart from the counting, it is done for many at once.
        for s in range(values.shape[1]):
            value = np.float64(values[row, s])
            down = np.int32((min(value, center) - first) * factor_below)
            up = np.int32((max(value, center) - center) * factor_above)
            cell = 1 + min(down, below - 1)
            cell = below + 2 + min(up, above - 1) if value > center else cell
            cell = last if value == end else cell
            cell = 0 if value == first else cell
            cells[s] = below + 1 if value == center else cell
        for s in range(values.shape[1]):
            counts[row, _at(classes, s), _at(cells, s)] += 1


# --- kernel density estimates: sums of Gaussians around weighted points of a grid -----

# Positions that are further away count as this far: their squares are finite.
_FAR = 1e150
# Up to this exponent a sum of Gaussians is taken from a table of one of them.
_NEAR = 32.0


@exact
def add_to_bins(z, codes, low, scale, n_bins, starts, counts):
    """Share each value between the two points of its node's grid beside it.

    ``counts``, (n_classes, places), has ``n_bins[node]`` places for each node, from
    ``starts[node]``; a node without any is left out. ``codes`` are the samples' classes.
    """
    for node in range(z.shape[0]):
        if n_bins[node] == 0:
            continue
        for s in range(z.shape[1]):
            position = (z[node, s] - low[node]) * scale
            below = np.int64(position)
            part, k = position - below, starts[node] + below
            counts[codes[s], k] += 1.0 - part
            counts[codes[s], k + 1] += part


@inlined
def _side_sum(points, weights, first, last, step, position, nearest, precision, reach):
    total = 0.0
    for k in range(first, last, step):
        distance = abs(position - points[k])
        exponent = precision * (distance - nearest) * (distance + nearest)
        if exponent > reach:
            break
        total += weights[k] * math.exp(-exponent)
    return total


@inlined
def _log_sum_of_gaussians(points, weights, first, last, position, precision, reach):
    """Log of the sum of w * exp(-precision * distance^2) over sorted points.

    Exponents are relative to that of the nearest point, so that none underflows.
    """
    right = first + np.searchsorted(points[first:last], position)
    nearest = position - points[right - 1] if right > first else np.inf
    if right < last:
        nearest = min(nearest, points[right] - position)
    total = _side_sum(
        points, weights, right - 1, first - 1, -1, position, nearest, precision, reach
    ) + _side_sum(
        points, weights, right, last, 1, position, nearest, precision, reach
    )  # fmt: skip
    return math.log(total) - precision * nearest * nearest


@kernel
def tabulate_log_densities(
    points, weights, indptr, n_bins, starts, precision, reach, offsets, table
):
    """Log of the sum of Gaussians, plus the class's offset, at the points of the grids.

    Row ``starts[node] + k`` of ``table``, (rows, n_classes), is for point k of a node;
    the weighted points of class c of the node begin at ``indptr[node * n_classes + c]``.
    Terms that are exp(-reach) times the largest and less are left out.
    """
    n_classes = offsets.size
    n_taps = 1 + int(math.sqrt((_NEAR + reach) / precision))
    taps = np.exp(-precision * np.arange(1 - n_taps, n_taps) ** 2)
    n_near = int(math.sqrt(_NEAR / precision))
    for row in range(n_bins.size * n_classes):
        node, c = row // n_classes, row % n_classes
        size, first, last = n_bins[node], indptr[row], indptr[row + 1]
        if size == 0:
            continue
        totals, k = np.zeros(size), first
        for j in range(first, last):
            center = np.int64(points[j])
            start, stop = max(center - n_taps + 1, 0), min(center + n_taps, size)
            shift = n_taps - 1 - center
            for m in range(start, stop):
                totals[m] += weights[j] * taps[m + shift]
        for m in range(size):
            while k < last - 1 and abs(points[k + 1] - m) <= abs(points[k] - m):
                k += 1
            if abs(points[k] - m) <= n_near:
                value = math.log(totals[m])
            else:
                value = _log_sum_of_gaussians(
                    points, weights, first, last, float(m), precision, reach
                )
            table[starts[node] + m, c] = value + offsets[c]


@kernel
def add_log_densities(
    z, taken, low, scale, n_bins, starts, table,
    points, weights, indptr, precision, reach, offsets, totals,
):  # fmt: skip
    """Add the nodes' log densities to ``totals``, (n_samples, n_classes).

    Only the nodes and samples in ``taken`` count. Between the points of a node's grid the
    table is interpolated; beyond it, and where there is none, the sum is computed. The
    other arguments are those of `tabulate_log_densities`.
    """
    n_classes = offsets.size
    for node in range(z.shape[0]):
        end = n_bins[node] - 1.0
        for s in range(z.shape[1]):
            if not taken[node, s]:
                continue
            position = (z[node, s] - low[node]) * scale
            if 0.0 <= position < end:
                below = np.int64(position)
                row, part = starts[node] + below, position - below
                for c in range(n_classes):
                    value = table[row, c]
                    totals[s, c] += value + part * (table[row + 1, c] - value)
            else:
                position = min(max(position, -_FAR), _FAR)
                for c in range(n_classes):
                    row = node * n_classes + c
                    totals[s, c] += offsets[c] + _log_sum_of_gaussians(
                        points, weights, indptr[row], indptr[row + 1],
                        position, precision, reach,
                    )  # fmt: skip


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
        *((name, np.int64) for name in ("activation", "parameters", "n_slopes")),
        ("threshold", np.float64),
        ("clip", np.float64),
        *((name, np.int64) for name in ("has_norm", "gain", "shift", "mean", "variance")),
        *((name, np.int64) for name in ("inverse_deviation", "gain_gradient")),
        *((name, np.int64) for name in ("shift_gradient", "gain_slots", "shift_slots")),
        ("norm_momentum", np.float64),
        ("norm_epsilon", np.float64),
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
        *((name, np.float64) for name in ("keep_scale", "mean_weight", "alpha", "tiny")),
        *((name, np.float64) for name in ("momentum", "beta_2", "epsilon")),
        *((name, np.float64) for name in ("loss_parameter", "loss_parameter_2")),
    ],
    align=True,
)
IDENTITY, LOGISTIC, TANH, LEAKY_RELU, CLIPPED_SHIFT, CLIPPED_SHRINK = range(1, 7)
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


@kernel
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


@kernel
def _activate(layer, z, a, like, start, stop):
    if layer.activation == IDENTITY:
        copy_rows(z, a, start, stop)
    elif layer.activation == LOGISTIC:
        logistic(z, a, start, stop)
    elif layer.activation == TANH:
        tanh(z, a, start, stop)
    elif layer.activation == CLIPPED_SHIFT:
        clipped_shift(z, a, layer.threshold, layer.clip, start, stop)
    else:
        clipped_shrink(z, a, layer.threshold, layer.clip, start, stop)


@kernel
def _differentiate_activation(layer, z, da, like, start, stop):
    if layer.activation == LOGISTIC:
        logistic_gradient(z, da, start, stop)
    elif layer.activation == TANH:
        tanh_gradient(z, da, start, stop)
    elif layer.activation == CLIPPED_SHIFT:
        clipped_shift_gradient(z, da, layer.threshold, layer.clip, start, stop)
    elif layer.activation == CLIPPED_SHRINK:
        clipped_shrink_gradient(z, da, layer.threshold, layer.clip, start, stop)


@inlined
def _of_neurons(layer, address, like):
    return array_at(address, layer.n_out, like)


@kernel
def _forward_rows(layer, plan, key, size, width, like, index, start, stop):
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
        if layer.has_norm:
            normalise_batch(
                u, z,
                _of_neurons(layer, layer.gain, like),
                _of_neurons(layer, layer.shift, like),
                _of_neurons(layer, layer.mean, like),
                _of_neurons(layer, layer.variance, like),
                _of_neurons(layer, layer.inverse_deviation, like),
                layer.norm_momentum, layer.norm_epsilon, size, row, end,
            )  # fmt: skip
        if layer.activation == LEAKY_RELU:
            # The derivative is known now: where it waits there is nothing else yet.
            slopes = array_at(layer.parameters, layer.n_slopes, like)
            leaky_relu_and_derivative(a, dz, slopes, row, end)
            if plan.drop_below > 0:
                dropout_and_derivative(
                    a, dz, key, plan.drop_below, plan.keep_scale, row, end
                )
            continue
        _activate(layer, z, a, like, row, end)
        if plan.drop_below > 0:
            dropout(a, key, plan.drop_below, plan.keep_scale, row, end)


@kernel
def _backward_rows(
    layer, below, plan, key, rate, scale, size, width, like, index, start, stop
):
    """The pass backward to some inputs of a layer, which those ``below`` put out."""
    indptr = array_at(layer.in_indptr, layer.n_in + 1, index)
    indices = array_at(layer.in_indices, layer.n_connections, index)
    positions = array_at(layer.in_positions, layer.n_connections, index)
    weights = array_at(layer.weights, layer.n_connections, like)
    dz = rows_at(layer.dz, layer.n_out, width, like)
    dx = rows_at(below.dz, below.n_out, width, like)
    z = rows_at(below.z, below.n_out, width, like)
    for row in range(start, stop, ROWS):
        end = min(row + ROWS, stop)
        if below.activation == LEAKY_RELU:
            backward_times(
                indptr, indices, positions, weights, dz, dx, plan.keep_scale, row, end
            )
        else:
            backward_input(indptr, indices, positions, weights, dz, dx, row, end)
            if plan.drop_below > 0:
                dropout(dx, key, plan.drop_below, plan.keep_scale, row, end)
            _differentiate_activation(below, z, dx, like, row, end)
        if below.has_norm:
            normalise_batch_gradient(
                rows_at(below.u, below.n_out, width, like), dx,
                _of_neurons(below, below.gain, like),
                _of_neurons(below, below.inverse_deviation, like),
                _of_neurons(below, below.gain_gradient, like),
                _of_neurons(below, below.shift_gradient, like),
                size, row, end,
            )  # fmt: skip
    if below.has_norm:
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


@kernel
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


@kernel
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


@kernel
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
        # No activation that is known here exceeds 1 plus its largest slope times its input.
        if layer.activation == LEAKY_RELU:
            slopes = array_at(layer.parameters, layer.n_slopes, like)
            bound *= 1.0 + math.sqrt(sum_of_squares(slopes))
        bound += math.sqrt(layer.n_out)
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
):
    """Optimizer steps for the batches of ``rows``, one per rate.

    What :class:`sksparse_mlp.core.training.Training` does step by step for networks of any
    kind. ``keys`` are of dropout, (n_updates, n_hidden), ``shares`` where the threads'
    rows begin and end, (n_layers, 2, n_threads + 1); ``like`` and ``index`` are a weight
    and an index. Returns how many steps were made, the sum of all samples' losses with that
    of those before, NaN if the last was not finite, and what the penalty is of it.
    """
    plan, total, penalties = plans[0], loss_before, 0.0
    rank, depths = plan.rank, table.size
    for k in range(rates.size):
        chunk = rows[k * plan.batch_size : (k + 1) * plan.batch_size]
        size, scale = chunk.size, 1.0 / (chunk.size * plan.mean_weight)
        width = -(-size // lanes_of(like)) * lanes_of(like)
        for depth in range(rank, depths if plan.alpha != 0 else 0, plan.n_threads):
            weights = array_at(table[depth].weights, table[depth].n_connections, like)
            squares[depth] = sum_of_squares(weights)
        _fill_inputs(table[0], plan, chunk, width, like, index)
        meet(counters, plan.n_threads)
        for depth in range(depths):
            _forward_rows(
                table[depth], plan, keys[k, depth], size, width, like, index,
                shares[depth, 0, rank], shares[depth, 0, rank + 1],
            )  # fmt: skip
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
                    table[depth], table[depth - 1], plan, keys[k, depth - 1],
                    rates[k], scale, size, width, like, index,
                    shares[depth, 1, rank], shares[depth, 1, rank + 1],
                )  # fmt: skip
                meet(counters, plan.n_threads)
            _step_rows(
                table[depth], plan, rates[k], scale, width, like, index,
                shares[depth, 0, rank], shares[depth, 0, rank + 1],
            )  # fmt: skip
        meet(counters, plan.n_threads)
    return rates.size, total, penalties
