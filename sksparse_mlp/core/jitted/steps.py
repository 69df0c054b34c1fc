"""Gradients of weights: fused with the steps of the optimizers, or summed up."""

import math

import numpy as np

from sksparse_mlp.core.jitted.options import FIRST, exact_inlined, inlined, kernel
from sksparse_mlp.core.jitted.products import AT_A_TIME, _row_dots, _sum

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
    j = FIRST
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
            g = scale * _sum(dz, done)
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
            g = scale * _sum(dz, done)
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
