"""Products with sparse and full layers, and the gradients of their weights."""

import numpy as np

from sksparse_mlp.core.jitted.options import FIRST, exact_inlined, inlined, kernel
from sksparse_mlp.core.simd import (
    N_TOTALS,
    add_products,
    add_scaled,
    lanes,
    load,
    put_sums,
    splat,
    store,
    times,
    total_of,
)

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
    step, s, b = lanes(x), FIRST, splat(bias)
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
    totals, s = (splat(d.dtype.type(0.0)),), FIRST
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
    one, totals, s = d.dtype.type(1.0), (splat(d.dtype.type(0.0)),), FIRST
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
    step, s = lanes(x), FIRST
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
        bias_gradient[row] = _sum(dz, row)
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
