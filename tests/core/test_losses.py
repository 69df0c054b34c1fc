"""Losses and their links: right values, stable at any logits."""

import numpy as np
import pytest
from scipy import special

from sksparse_mlp.core.losses import LogisticCrossEntropy, SoftmaxCrossEntropy

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
