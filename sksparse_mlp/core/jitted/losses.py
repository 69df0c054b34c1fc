"""Losses of samples, and their gradients for the output of the network."""

import math

import numpy as np

from sksparse_mlp.core.jitted.options import inlined, kernel
from sksparse_mlp.core.jitted.units import _logistic

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
