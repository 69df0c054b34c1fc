"""Samples: batches from dense and CSR input, weights, repetitions."""

import numpy as np
import pytest
from scipy import sparse

from sksparse_mlp.core.samples import Samples, gather

N_SAMPLES = 40


def new_samples(X=None, weights=None, rows=None):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_SAMPLES, 7)) if X is None else X
    weights = np.ones(N_SAMPLES) if weights is None else weights
    rows = np.arange(N_SAMPLES) if rows is None else rows
    return Samples(X, rng.integers(3, size=N_SAMPLES), weights, rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dense_and_csr_input_give_the_same_batch(dtype):
    X = sparse.random_array(
        (N_SAMPLES, 37), density=0.2, rng=np.random.default_rng(0), format="csr"
    ).astype(dtype)
    rows = np.array([5, 0, 39, 5])
    for given in (X, X.toarray(), sparse.csr_matrix(X)):
        x = np.full((37, rows.size), np.nan, dtype)
        gather(given, rows, x, 1, 3)
        assert np.isnan(x[:, [0, 3]]).all()
        np.testing.assert_array_equal(x[:, 1:3], X.toarray()[rows[1:3]].T)
        gather(given, rows, x, 0, rows.size)
        np.testing.assert_array_equal(x, X.toarray()[rows].T)


@pytest.mark.parametrize("wanted", [np.float32, np.float64])
@pytest.mark.parametrize("given", [np.float32, np.float64])
def test_batches_are_converted(given, wanted):
    X = np.random.default_rng(0).standard_normal((N_SAMPLES, 37)).astype(given)
    rows = np.arange(N_SAMPLES)[::-1].copy()
    x = np.full((37, rows.size), np.nan, wanted)
    gather(X, rows, x, 0, rows.size)
    np.testing.assert_array_equal(x, X[rows].T.astype(wanted))


def test_mean_weight_is_that_of_the_rows_that_take_part():
    weights = np.arange(N_SAMPLES, dtype=float)
    samples = new_samples(weights=weights, rows=np.array([1, 2, 7]))
    assert samples.mean_weight() == pytest.approx(10 / 3)


@pytest.mark.parametrize("factor", [1, 0.1, 1 / 3, 1e-30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("weights", "counts"),
    [
        ([2, 3, 2], [2, 3, 2]),
        ([5, 5, 5], [1, 1, 1]),
        ([1, 0.5, 1], [2, 1, 2]),
        ([1, 1e-3, 1], None),
        ([1, 1, 1.01], None),
        ([4, 4, 3], None),
    ],
)
def test_counts_are_the_smallest_in_the_ratio_of_the_weights(
    weights, counts, dtype, factor
):
    padded = (factor * np.r_[weights, np.full(N_SAMPLES - 3, 0.1)]).astype(dtype)
    found = new_samples(weights=padded, rows=np.arange(3)).as_counts(10)
    assert (found is None) if counts is None else found.tolist() == counts


def training_data(samples):
    """What an epoch without shuffling sees, in order."""
    X = samples.X.toarray() if sparse.issparse(samples.X) else samples.X
    return X[samples.rows], samples.y[samples.rows], samples.weights[samples.rows]


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_repetition_equals_weight_whatever_the_order(container):
    rng = np.random.default_rng(1)
    X = rng.integers(2, size=(N_SAMPLES, 7)).astype(float)
    counts = rng.integers(4, size=N_SAMPLES)
    weighted = new_samples(container(X), weights=counts.astype(float))
    rows = rng.permutation(np.repeat(np.arange(N_SAMPLES), counts))
    written_out = new_samples(container(X), rows=rows)
    for actual, expected in zip(
        training_data(weighted.repeated(counts[weighted.rows])),
        training_data(written_out.repeated(np.ones(rows.size, int))),
        strict=True,
    ):
        np.testing.assert_array_equal(actual, expected)
