"""Worst errors against references of 50 digits.

``python -m benchmarks.reliability.numerics`` takes some 20 seconds. An error is relative to
the true value, or to 1 (with a variance: to that variance) where the true value is smaller
and what matters is a sum to which it contributes. It is counted in units of the dtype's
rounding: the difference between 1 and the next number.
"""

from collections.abc import Iterator
from itertools import pairwise, product

import mpmath
import numpy as np

from benchmarks.reliability import results
from sksparse_mlp.activations import ACTIVATIONS, CST, CReLU, ReLUTau, SoftThreshold, SReLU
from sksparse_mlp.core.losses import (
    LogisticCrossEntropy,
    MultilabelCrossEntropy,
    SoftmaxCrossEntropy,
)
from sksparse_mlp.initializers import edge_of_chaos
from sksparse_mlp.losses import SquaredError

DTYPES = (np.float32, np.float64)
SIZES = (1e-30, 1e-5, 1.0, 10.0, 30.0, 80.0, 1e3, 1e10, 1e30)
VARIANCES = (1e-4, 0.3, 1.0, 100.0)
POINTS = [
    ("tanh", VARIANCES),
    (ReLUTau(1.0), (0.3, 1.0)),
    (SoftThreshold(0.5), (0.3, 1.0)),
    (CReLU(1.0, 2.0), (0.3, 1.0)),
    (CST(0.5, 1.0), (0.3, 1.0)),
    (SReLU(slope=0.3, threshold_left=-0.7, threshold_right=0.4, slope_right=0.2), (1.0,)),
]
DIGITS = 50


def rounding(dtype) -> float:
    return float(np.finfo(dtype).eps)


def error(actual, true, floor, dtype) -> float:
    """In units of the rounding, relative to the true value or to a larger floor."""
    size = max(abs(true), floor, np.finfo(dtype).tiny)
    return float(abs(mpmath.mpf(float(actual)) - true) / size / rounding(dtype))


# --- losses and probabilities ---------------------------------------------------------


def logits_of(loss, size, dtype) -> np.ndarray:
    """Samples whose logits are far apart, close to each other and equal."""
    if loss is LogisticCrossEntropy:
        return size * np.array([[1.0], [-1.0], [0.3]], dtype)
    rows = [[1.0, -1.0, 0.3], [0.5, 1.0, -1.0], [1.0, 1.0, 1.0], [1.0, 0.999, -0.3]]
    return (size * np.array(rows)).astype(dtype)


def true_log_probabilities(logits) -> list[list]:
    """Of each sample and class; the logistic is the softmax of (0, logit)."""
    rows = [[mpmath.mpf(float(value)) for value in row] for row in logits]
    rows = [[mpmath.mpf(0), *row] if len(row) == 1 else row for row in rows]
    return [_log_softmax(row) for row in rows]


def _log_softmax(row):
    k = row.index(max(row))
    gaps = [value - row[k] for value in row]
    others = mpmath.fsum(mpmath.exp(gap) for j, gap in enumerate(gaps) if j != k)
    return [gap - mpmath.log1p(others) for gap in gaps]


def losses_and_gradients(loss, logits, target) -> tuple[np.ndarray, np.ndarray]:
    """Of each sample, all having the same target and weight 1."""
    n, dtype = len(logits), logits.dtype
    z = np.ascontiguousarray(logits.T)
    dz, losses = np.empty_like(z), np.empty(n)
    y, weights = np.repeat([target], n, axis=0), np.ones(n, dtype)
    loss.value_and_gradient(z, y, weights, np.arange(n), dz, losses, 0.0, 0, n)
    return losses, dz.T


def class_errors(loss, dtype, size) -> Iterator[tuple[str, float]]:
    """Errors of losses and gradients, by quantity."""
    logits = logits_of(loss, size, dtype)
    true = true_log_probabilities(logits)
    for target in range(len(true[0])):
        losses, gradients = losses_and_gradients(loss, logits, target)
        for row, value, gradient in zip(true, losses, gradients, strict=True):
            yield "loss", error(value, -row[target], 0, dtype)
            slopes = [mpmath.exp(p) - (c == target) for c, p in enumerate(row)]
            slopes = slopes[-1:] if gradient.size == 1 else slopes
            for actual, slope in zip(gradient, slopes, strict=True):
                yield "gradient", error(actual, slope, 1, dtype)


def probability_errors(loss, dtype, size) -> Iterator[tuple[str, float]]:
    """Errors of probabilities and of their logarithms, by quantity."""
    logits = logits_of(loss, size, dtype)
    both = loss.predict_proba(logits), loss.predict_log_proba(logits)
    for row, *actual in zip(true_log_probabilities(logits), *both, strict=True):
        for true, probability, logarithm in zip(row, *actual, strict=True):
            yield "probability", error(probability, mpmath.exp(true), 1, dtype)
            yield "log-probability", error(logarithm, true, 1, dtype)


def label_errors(dtype, size) -> Iterator[tuple[str, float]]:
    """Errors of what labels that do not depend on each other have, by quantity."""
    logits = logits_of(MultilabelCrossEntropy, size, dtype)
    true = [true_log_probabilities(row[:, np.newaxis]) for row in logits]
    for target in product((0, 1), repeat=logits.shape[1]):
        found = losses_and_gradients(MultilabelCrossEntropy, logits, target)
        for labels, value, gradient in zip(true, *found, strict=True):
            of_target = [label[k] for label, k in zip(labels, target, strict=True)]
            yield "loss", error(value, -mpmath.fsum(of_target), 0, dtype)
            for label, k, actual in zip(labels, target, gradient, strict=True):
                yield "gradient", error(actual, mpmath.exp(label[1]) - k, 1, dtype)
    probabilities = MultilabelCrossEntropy.predict_proba(logits)
    logarithms = MultilabelCrossEntropy.predict_log_proba(logits)
    for labels, *actual in zip(true, probabilities, logarithms, strict=True):
        for (_, label), probability, logarithm in zip(labels, *actual, strict=True):
            yield "probability", error(probability, mpmath.exp(label), 1, dtype)
            yield "log-probability", error(logarithm, label, 1, dtype)


def squared_errors(dtype, size) -> Iterator[tuple[str, float]]:
    """Errors of half of the squared error, the mean over three targets, by quantity."""
    outputs = logits_of(SquaredError, size, dtype)
    for target in (outputs[1], np.zeros(3, dtype), dtype(1) / 3 * outputs[3]):
        found = losses_and_gradients(SquaredError(), outputs, target)
        for row, value, gradient in zip(outputs, *found, strict=True):
            pairs = zip(row.tolist(), target.tolist(), strict=True)
            gaps = [mpmath.mpf(output) - mpmath.mpf(wanted) for output, wanted in pairs]
            squares = mpmath.fsum(gap**2 for gap in gaps)
            yield "loss", error(value, squares / 6, 0, dtype)
            for actual, gap in zip(gradient, gaps, strict=True):
                yield "gradient", error(actual, gap, 0, dtype)


def of_classes(loss):
    """The errors of losses and of probabilities."""

    def errors(dtype, size):
        yield from class_errors(loss, dtype, size)
        yield from probability_errors(loss, dtype, size)

    return errors


LOSSES = {
    "softmax": of_classes(SoftmaxCrossEntropy),
    "logistic": of_classes(LogisticCrossEntropy),
    "logistic, several labels": label_errors,
    "squared error": squared_errors,
}

# --- activations ----------------------------------------------------------------------

TRUE_ACTIVATIONS = {
    "logistic": (
        lambda x: 1 / (1 + mpmath.exp(-x)),
        lambda x: 1 / (2 + mpmath.exp(x) + mpmath.exp(-x)),
    ),
    "tanh": (mpmath.tanh, lambda x: mpmath.sech(x) ** 2),
}


def activation_errors(name, dtype) -> Iterator[tuple[str, float]]:
    """Errors of a smooth activation's values and derivatives, by quantity."""
    z = np.concatenate([np.geomspace(1e-6, 80, 40), -np.geomspace(1e-6, 80, 40)])
    z = z.astype(dtype).reshape(1, -1)
    activation, a, da = ACTIVATIONS[name](), np.empty_like(z), np.ones_like(z)
    parameters = activation.initial_parameters(1, 1, dtype)
    activation.forward(z, a, parameters, 0, 1)
    activation.backward(z, da, parameters, np.empty((0, 1)), 0, 1)
    value, slope = TRUE_ACTIVATIONS[name]
    for x, actual, derivative in zip(z[0], a[0], da[0], strict=True):
        x = mpmath.mpf(float(x))
        yield f"{name}, value", error(actual, value(x), 0, dtype)
        yield f"{name}, derivative", error(derivative, slope(x), 1, dtype)


# --- edge of chaos --------------------------------------------------------------------


def piecewise(activation):
    """Value and slope of an activation that is linear between its kinks."""
    parameters = activation.initial_parameters(1, 1, np.float64)
    kinks = sorted({0.0, *activation.kinks(parameters).tolist()})
    inside = [kinks[0] - 1, *((a + b) / 2 for a, b in pairwise(kinks)), kinks[-1] + 1]
    z = np.array([inside])
    a, da = np.empty_like(z), np.ones_like(z)
    activation.forward(z, a, parameters, 0, 1)
    activation.backward(z, da, parameters, np.empty((len(parameters), 1)), 0, 1)
    lines = list(zip(inside, a[0].tolist(), da[0].tolist(), strict=True))

    def line(x):
        return lines[sum(x > kink for kink in kinks)]

    def value(x):
        middle, height, slope = line(x)
        return height + mpmath.mpf(slope) * (x - middle)

    return value, lambda x: mpmath.mpf(line(x)[2]), kinks


def true_point(activation, q) -> tuple:
    """sigma_w2, sigma_b2 and V'(q) by integration of 50 digits."""
    if isinstance(activation, str):
        value, slope, kinks = *TRUE_ACTIVATIONS[activation], [0.0]
    else:
        value, slope, kinks = piecewise(activation)
    root = mpmath.sqrt(q)
    ends = sorted({-40, -10, 10, 40, *(kink / root for kink in kinks)})

    def mean(function):
        return mpmath.quad(lambda z: mpmath.npdf(z) * function(z, root * z), ends)

    chi = mean(lambda z, x: slope(x) ** 2)
    square = mean(lambda z, x: value(x) ** 2)
    growth = mean(lambda z, x: value(x) * slope(x) * z) / root
    return 1 / chi, q - square / chi, growth / chi


def edge_errors(activation, q) -> Iterator[tuple[str, float]]:
    """Errors of an edge of chaos, by quantity."""
    point = edge_of_chaos(activation, q)
    sigma_w2, sigma_b2, stability = true_point(activation, mpmath.mpf(q))
    yield "edge of chaos, sigma_w2", error(point.sigma_w2, sigma_w2, 0, np.float64)
    yield "edge of chaos, sigma_b2", error(point.sigma_b2, sigma_b2, q, np.float64)
    yield "edge of chaos, V'", error(point.stability, stability, 1, np.float64)


# --- all of them ----------------------------------------------------------------------


def worst(errors) -> dict[str, float]:
    """The largest error of each quantity."""
    largest: dict[str, float] = {}
    for name, value in errors:
        largest[name] = max(value, largest.get(name, 0.0))
    return largest


def measurements() -> Iterator[tuple[str, type, dict[str, float]]]:
    """Group, dtype, and the worst error of each of its quantities."""
    with mpmath.workdps(DIGITS):
        for dtype in DTYPES:
            for name, loss_errors in LOSSES.items():
                errors = [pair for size in SIZES for pair in loss_errors(dtype, size)]
                yield name, dtype, worst(errors)
            for name in TRUE_ACTIVATIONS:
                yield "activation", dtype, worst(activation_errors(name, dtype))
        pairs = [(activation, q) for activation, variances in POINTS for q in variances]
        errors = [error for pair in pairs for error in edge_errors(*pair)]
        yield "initialisation", np.float64, worst(errors)


def main():
    figures = [
        {
            "of": group,
            "quantity": name,
            "dtype": np.dtype(dtype).name,
            "worst error, in roundings": f"{value:.3g}",
            "worst error": f"{value * rounding(dtype):.1e}",
        }
        for group, dtype, largest in measurements()
        for name, value in largest.items()
    ]
    results.write("numerics", seeds="none, nothing is random", figures=figures)


if __name__ == "__main__":
    main()
