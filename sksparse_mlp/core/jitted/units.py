"""What follows a layer: batch normalisation, activations, dropout."""

import math

import numpy as np

from sksparse_mlp.core.jitted.options import exact, inlined, kernel
from sksparse_mlp.core.jitted.products import _dot_of_some, _sum_of_some

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


@exact
def sum_rows(gradient, sums):
    """sums[k] = sum of gradient[k] over the neurons, which share a parameter."""
    for k in range(gradient.shape[0]):
        total = 0.0
        for row in range(gradient.shape[1]):
            total += gradient[k, row]
        sums[k, 0] = total


@exact
def add_times(total, gradient, scale):
    """total += scale * gradient."""
    scale = total.dtype.type(scale)
    for k in range(total.shape[0]):
        for row in range(total.shape[1]):
            total[k, row] += scale * gradient[k, row]


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
            below = left + left_slope * (value - left)
            above = right + right_slope * (value - right)
            outer = above if value >= right else value
            a[row, s] = below if value <= left else outer


@kernel
def srelu_gradient(z, da, parameters, gradient, start, stop):
    """Gradient of the parameters of :func:`srelu`; da *= its derivative."""
    zero, one = z.dtype.type(0.0), z.dtype.type(1.0)
    for row in range(start, stop):
        left, left_slope = parameters[0, row], parameters[1, row]
        right, right_slope = parameters[2, row], parameters[3, row]
        below = above = below_product = above_product = zero
        for s in range(z.shape[1]):
            value, d = z[row, s], da[row, s]
            is_below = value <= left
            is_above = value >= right and not is_below
            below += d if is_below else zero
            below_product += d * (value - left) if is_below else zero
            above += d if is_above else zero
            above_product += d * (value - right) if is_above else zero
            slope = right_slope if is_above else one
            da[row, s] = d * (left_slope if is_below else slope)
        gradient[0, row], gradient[1, row] = below * (one - left_slope), below_product
        gradient[2, row], gradient[3, row] = above * (one - right_slope), above_product


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
