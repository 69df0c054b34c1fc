"""Losses, their links and their scores: right values, stable at any logits."""

import math

import mpmath
import numpy as np
import pytest
from networks import SQUARED_ERROR
from scipy import special
from sklearn.metrics import accuracy_score, r2_score

from sksparse_mlp.core.losses import (
    LogisticCrossEntropy,
    MultilabelCrossEntropy,
    SoftmaxCrossEntropy,
    TargetLoss,
)

LOSSES = [SoftmaxCrossEntropy, LogisticCrossEntropy]
DTYPES = [np.float32, np.float64]
by_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.link)
by_dtype = pytest.mark.parametrize("dtype", DTYPES)
by_size = pytest.mark.parametrize("size", [1e-3, 1, 30, 1e4])


def logits_of(loss, size, dtype, n_samples=60):
    n_outputs = 1 if loss is LogisticCrossEntropy else 5
    rng = np.random.default_rng(0)
    return (size * rng.uniform(-1, 1, (n_samples, n_outputs))).astype(dtype)


def log_proba(loss, logits):
    """Reference in float64: log-softmax, the logistic being a softmax of (0, logit)."""
    logits = logits.astype(np.float64)
    if loss is LogisticCrossEntropy:
        logits = np.hstack([np.zeros_like(logits), logits])
    return special.log_softmax(logits, axis=1)


def value_and_gradient(loss, logits, y, weights, tiny=0.0, rows=None):
    """The losses of the samples, and the gradient of their sum."""
    rows = np.arange(len(logits)) if rows is None else rows
    z = np.ascontiguousarray(logits.T)
    dz, losses = np.empty_like(z), np.empty(rows.size)
    loss.value_and_gradient(z, y, weights, rows, dz, losses, tiny, 0, rows.size)
    return losses, dz.T


def sample(loss, size, dtype):
    """Logits, targets and sample weights."""
    rng = np.random.default_rng(1)
    logits = logits_of(loss, size, dtype)
    y = rng.integers(max(2, logits.shape[1]), size=len(logits))
    return logits, y, rng.exponential(size=y.size).astype(dtype)


@by_loss
@by_dtype
@by_size
def test_value_is_the_weighted_cross_entropy(loss, dtype, size):
    logits, y, weights = sample(loss, size, dtype)
    expected = -weights * log_proba(loss, logits)[np.arange(y.size), y]
    actual, _ = value_and_gradient(loss, logits, y, weights)
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(actual.sum(), expected.sum(), rtol=tolerance)
    np.testing.assert_allclose(actual, expected, tolerance, tolerance * max(1, size))


@by_loss
@by_dtype
@by_size
def test_gradient_is_probability_less_target(loss, dtype, size):
    logits, y, weights = sample(loss, size, dtype)
    target = np.eye(max(2, logits.shape[1]))[y]
    delta = weights[:, np.newaxis] * (np.exp(log_proba(loss, logits)) - target)
    expected = delta[:, 1:] if loss is LogisticCrossEntropy else delta
    _, actual = value_and_gradient(loss, logits, y, weights)
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@by_loss
@by_dtype
@by_size
def test_probabilities_are_right_and_sum_to_one(loss, dtype, size):
    logits = logits_of(loss, size, dtype)
    probabilities = loss.predict_proba(logits)
    tolerance = 100 * np.finfo(dtype).eps
    assert probabilities.dtype == dtype
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=tolerance)
    np.testing.assert_allclose(
        probabilities, np.exp(log_proba(loss, logits)), rtol=tolerance, atol=tolerance
    )


@by_loss
@by_dtype
@by_size
def test_log_probabilities_are_right_where_probabilities_underflow(loss, dtype, size):
    logits = logits_of(loss, size, dtype)
    log_probabilities = loss.predict_log_proba(logits)
    assert log_probabilities.dtype == dtype
    assert np.isfinite(log_probabilities).all()
    tolerance = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(
        log_probabilities, log_proba(loss, logits), rtol=tolerance, atol=tolerance
    )


@by_loss
@by_dtype
@by_size
def test_prediction_is_the_most_probable_class(loss, dtype, size):
    logits = logits_of(loss, size, dtype)
    best = log_proba(loss, logits).argmax(axis=1)
    np.testing.assert_array_equal(loss.predict(logits), best)


@by_loss
@by_dtype
def test_gradient_below_the_limit_is_exactly_zero(loss, dtype):
    logits, y, weights = sample(loss, 30, dtype)
    _, gradient = value_and_gradient(loss, logits, y, weights)
    tiny = 1e-4
    _, flushed = value_and_gradient(loss, logits, y, weights, tiny)
    small = np.abs(gradient) < tiny
    assert 0 < small.mean() < 1
    np.testing.assert_array_equal(flushed, np.where(small, 0, gradient))


@by_loss
def test_samples_are_those_of_the_given_rows(loss):
    logits, y, weights = sample(loss, 1, np.float64)
    rows = np.array([7, 3, 3, 40])
    actual = value_and_gradient(loss, logits[:4], y, weights, rows=rows)
    expected = value_and_gradient(loss, logits[:4], y[rows], weights[rows])
    for values, of_rows in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(values, of_rows)


@by_loss
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_value_shows_logits_that_are_not_finite(loss, bad):
    logits, y, weights = sample(loss, 1, np.float32)
    logits[5] = bad
    y[5] = 0
    losses, _ = value_and_gradient(loss, logits, y, weights)
    np.testing.assert_array_equal(np.isfinite(losses), np.arange(y.size) != 5)


# --- several labels per sample --------------------------------------------------------


def labels_sample(size, dtype):
    """Logits of four labels, indicators and sample weights."""
    rng = np.random.default_rng(2)
    logits = (size * rng.uniform(-1, 1, (60, 4))).astype(dtype)
    y = rng.integers(2, size=logits.shape, dtype=np.int8)
    return logits, y, rng.exponential(size=len(y)).astype(dtype)


@by_dtype
@by_size
def test_labels_are_as_many_binary_problems(dtype, size):
    logits, y, weights = labels_sample(size, dtype)
    losses, gradient = value_and_gradient(MultilabelCrossEntropy, logits, y, weights)
    binary = [
        value_and_gradient(LogisticCrossEntropy, logits[:, [k]], y[:, k].copy(), weights)
        for k in range(4)
    ]
    expected = np.sum([values for values, _ in binary], axis=0)
    np.testing.assert_allclose(losses, expected, rtol=1e3 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(gradient, np.hstack([one for _, one in binary]))


@by_dtype
@by_size
def test_probabilities_of_labels_are_those_of_many_digits(dtype, size):
    logits = labels_sample(size, dtype)[0][:12]
    tolerance = 20 * np.finfo(dtype).eps
    with mpmath.workdps(50):
        true = [[1 / (1 + mpmath.exp(-float(z))) for z in row] for row in logits]
        expected = np.array(true, float)
        logarithms = np.array([[mpmath.log(p) for p in row] for row in true], float)
    actual = MultilabelCrossEntropy.predict_proba(logits)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)
    actual = MultilabelCrossEntropy.predict_log_proba(logits)
    np.testing.assert_allclose(actual, logarithms, rtol=tolerance, atol=1e-44)


def test_labels_are_predicted_from_one_half():
    logits = np.array([[0.1, -3.0], [0.0, 2.0]])
    predicted = MultilabelCrossEntropy.predict(logits)
    np.testing.assert_array_equal(predicted, [[1, 0], [0, 1]])


# --- squared error --------------------------------------------------------------------


@by_dtype
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("size", [1e-12, 1, 1e12])
def test_squared_error_is_that_of_many_digits(dtype, n_outputs, size):
    rng = np.random.default_rng(0)
    outputs, y = (size * rng.standard_normal((2, 30, n_outputs))).astype(dtype)
    weights = rng.exponential(size=30).astype(dtype)
    losses, gradient = value_and_gradient(SQUARED_ERROR, outputs, y, weights)
    for k in range(30):
        # Rounded once, as two numbers of the dtype cannot but be subtracted.
        errors = [mpmath.mpf(float(error)) for error in outputs[k] - y[k]]
        weight = mpmath.mpf(float(weights[k]))
        true = weight * mpmath.fsum(error**2 for error in errors) / n_outputs / 2
        assert losses[k] == pytest.approx(float(true), rel=1e-14)
        expected = [float(weight * error) for error in errors]
        rounding = 2 * np.finfo(dtype).eps
        np.testing.assert_allclose(gradient[k], expected, rtol=rounding)


def test_squared_error_of_large_float32_does_not_overflow():
    outputs, y = np.full((2, 1), 1e30, np.float32), np.full((2, 1), -1e30, np.float32)
    losses, gradient = value_and_gradient(SQUARED_ERROR, outputs, y, np.ones(2, np.float32))
    np.testing.assert_allclose(losses, 2e60, rtol=1e-6)
    np.testing.assert_allclose(gradient, 2e30, rtol=1e-6)


# --- scores ---------------------------------------------------------------------------


@by_dtype
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_r2_is_that_of_scikit_learn(dtype, n_outputs):
    rng = np.random.default_rng(0)
    y, noise = rng.standard_normal((2, 40, n_outputs)).astype(dtype)
    weights = rng.exponential(size=40).astype(dtype)
    for predicted in (y + noise, y, np.zeros_like(y)):
        expected = r2_score(y, predicted, sample_weight=weights)
        assert TargetLoss.score(y, predicted, weights) == pytest.approx(expected)


def test_r2_of_constant_targets_is_that_of_scikit_learn():
    y, weights = np.full((5, 2), 3.0), np.ones(5)
    near = y + np.array([0.0, 0.5])
    for predicted in (y, near, near + 1):
        expected = r2_score(y, predicted)
        assert TargetLoss.score(y, predicted, weights) == expected


def test_r2_of_one_sample_is_undefined():
    assert math.isnan(TargetLoss.score(np.ones((1, 1)), np.ones((1, 1)), np.ones(1)))


def test_r2_of_overflowing_errors_is_minus_infinity():
    y = np.array([[0.0], [1.0]])
    assert TargetLoss.score(y, y + 1e200, np.ones(2)) == -math.inf


@pytest.mark.parametrize("shape", [(50,), (50, 3)])
def test_accuracy_is_that_of_scikit_learn(shape):
    rng = np.random.default_rng(0)
    y, predicted = rng.integers(2, size=(2, *shape))
    weights = rng.exponential(size=50)
    expected = accuracy_score(y, predicted, sample_weight=weights)
    loss = LogisticCrossEntropy if len(shape) == 1 else MultilabelCrossEntropy
    assert 0 < expected < 1
    assert loss.score(y, predicted, weights) == pytest.approx(expected)


@by_loss
def test_baseline_is_the_least_loss_of_predictions_that_are_all_the_same(loss):
    rng = np.random.default_rng(2)
    y, weights = rng.choice(4, p=[0.5, 0.3, 0.2, 0.0], size=80), rng.exponential(size=80)
    y = np.minimum(y, 1) if loss is LogisticCrossEntropy else y
    shares = np.array([weights[y == k].sum() for k in range(4)]) / weights.sum()
    expected = -np.average(np.log(shares[y]), weights=weights)
    assert loss.baseline(y, weights) == pytest.approx(expected, rel=1e-12)


def test_baseline_of_labels_is_that_of_each():
    rng = np.random.default_rng(2)
    y, weights = rng.integers(2, size=(80, 3)), rng.exponential(size=80)
    y[:, 2] = 1
    alone = [LogisticCrossEntropy.baseline(y[:, k], weights) for k in range(3)]
    assert alone[2] == pytest.approx(0, abs=1e-12)
    assert MultilabelCrossEntropy.baseline(y, weights) == pytest.approx(sum(alone))
