"""Attributions of features: against differences, sums that must hold, and SHAP."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor
from sksparse_mlp.activations import ACTIVATIONS
from sksparse_mlp.analysis import AttributionDisplay, ExpectedGradients
from sksparse_mlp.core import gradients

mpl.use("Agg")


def outputs(model, X):
    return model._logits(np.asarray(X, float))


def by_differences(model, X, background, n_steps, output, h=1e-6):
    """The mean of the products, point by point, with central differences."""
    found = np.zeros(X.shape)
    for i, x in enumerate(X):
        for start in background:
            for step in range(n_steps):
                point = start + (step + 0.5) / n_steps * (x - start)
                moved = point + h * np.vstack([np.eye(x.size), -np.eye(x.size)])
                above, below = np.split(outputs(model, moved)[:, output], 2)
                found[i] += (x - start) * (above - below) / (2 * h)
    return found / (len(background) * n_steps)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_attributions_are_those_of_differences(mlp, multiclass, activation, batch_norm):
    X, y = multiclass
    model = mlp(activation=activation, batch_norm=batch_norm).fit(X, y)
    explainer = ExpectedGradients(model, output=1, n_steps=3).fit(X[:4])
    found = explainer.transform(X[10:13])
    expected = by_differences(model, X[10:13], X[:4], 3, output=1)
    assert np.abs(expected).max() > 1e-3
    # A difference that spans a kink is wrong; nearly none does.
    assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_attributions_add_up(mlp, multiclass, activation):
    X, y = multiclass
    model = mlp(activation=activation).fit(X, y)
    errors = []
    for n_steps in (1, 8, 64, 512):
        explainer = ExpectedGradients(model, output=2, n_steps=n_steps).fit(X[:9])
        expected = outputs(model, X)[:, 2] - explainer.expected_value_[2]
        errors.append(np.abs(explainer.transform(X).sum(axis=1) - expected).max())
    assert errors[0] > 4 * errors[1] > 16 * errors[2] > 64 * errors[3]
    # ReLUs have kinks on the way, where the gradient jumps.
    assert errors[-1] < {"relu": 1e-3, "tanh": 1e-5}[activation] * np.ptp(expected)


def test_a_linear_network_is_explained_exactly(regression):
    X, y = regression
    model = SparseMLPRegressor((), epsilon=2, max_iter=3, zeta=0, random_state=0).fit(X, y)
    explainer = ExpectedGradients(model, n_steps=1).fit(X[:20])
    expected = (X - X[:20].mean(axis=0)) * model.coefs_[0].toarray()[:, 0]
    assert_allclose(explainer.transform(X), expected, rtol=1e-6, atol=1e-9)


def test_sparse_samples_give_the_same(mlp, multiclass):
    X, y = multiclass
    X = np.where(np.abs(X) > 1, X, 0)
    model = mlp().fit(X, y)
    expected = ExpectedGradients(model).fit(X[:7]).transform(X)
    for container in (sparse.csr_array, sparse.csc_array):
        explainer = ExpectedGradients(model).fit(container(X[:7]))
        assert_array_equal(explainer.transform(container(X)), expected)


def test_batches_and_threads_give_the_same(mlp, multiclass, monkeypatch):
    X, y = multiclass
    model = mlp().fit(X, y)
    expected = ExpectedGradients(model).fit(X[:7]).transform(X)
    monkeypatch.setattr(gradients, "POINTS", 10)
    model.n_jobs = 2
    found = ExpectedGradients(model).fit(X[:7]).transform(X)
    assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_none_is_the_predicted_class(mlp, multiclass):
    X, y = multiclass
    model = mlp().fit(X, y)
    found = ExpectedGradients(model).fit(X[:7]).transform(X)
    of_each = [ExpectedGradients(model, output=k).fit(X[:7]).transform(X) for k in range(3)]
    chosen = np.array(of_each)[model._codes(model.predict(X)), np.arange(len(X))]
    assert_array_equal(found, chosen)


def test_single_precision_is_close(mlp, multiclass):
    X, y = multiclass
    model = mlp().fit(X.astype(np.float32), y)
    explainer = ExpectedGradients(model, output=0, n_steps=256).fit(X[:9])
    expected = model._logits(X.astype(np.float32))[:, 0] - explainer.expected_value_[0]
    found = explainer.transform(X.astype(np.float32))
    assert found.dtype == np.float64
    assert_allclose(found.sum(axis=1), expected, atol=1e-3 * np.ptp(expected))


def test_agrees_with_shap(regression):
    shap = pytest.importorskip("shap")
    X, y = regression
    X = X[:, :5]
    model = SparseMLPRegressor((30, 20), density=0.5, max_iter=30, random_state=0)
    model.fit(X, y)
    background, some = X[:25], X[25:55]
    found = ExpectedGradients(model, n_steps=64).fit(background).transform(some)
    masker = shap.maskers.Independent(background, max_samples=len(background))
    explainer = shap.PermutationExplainer(
        lambda rows: outputs(model, rows)[:, 0], masker, seed=0
    )
    # Both are shares of one whole; how interactions are divided differs.
    other = explainer(some, max_evals=500, silent=True).values
    assert_allclose(found.sum(axis=1), other.sum(axis=1), atol=0.02)
    assert np.corrcoef(found.ravel(), other.ravel())[0, 1] > 0.95


# --- bad input, names, pictures -------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"output": 3}, "output=3 must be None or an index from 0 to 2"),
        ({"output": -1}, "'output' parameter"),
        ({"output": "x"}, "'output' parameter"),
        ({"n_steps": 0}, "'n_steps' parameter"),
    ],
)
def test_refuses_what_does_not_exist(mlp, multiclass, params, match):
    model = mlp().fit(*multiclass)
    with pytest.raises(ValueError, match=match):
        ExpectedGradients(model, **params).fit(multiclass[0])


def test_several_targets_need_an_output(mlp, multiclass):
    X, y = multiclass
    models = [
        SparseMLPRegressor((9,), epsilon=3, max_iter=2).fit(X, X[:, :2]),
        mlp().fit(X, y[:, np.newaxis] == [0, 1]),
    ]
    for model in models:
        with pytest.raises(ValueError, match="output=None does not say which of the 2"):
            ExpectedGradients(model).fit(X)
        assert ExpectedGradients(model, output=1).fit(X[:3]).transform(X).any()


def test_needs_a_fit(mlp, multiclass):
    X, y = multiclass
    with pytest.raises(NotFittedError):
        ExpectedGradients(SparseMLPClassifier()).fit(X)
    explainer = ExpectedGradients(mlp().fit(X, y)).fit(X[:3])
    with pytest.raises(NotFittedError):
        clone(explainer).transform(X)
    with pytest.raises(ValueError, match="features"):
        explainer.transform(X[:, 1:])


def test_picture_shows_the_largest(mlp, multiclass):
    pandas = pytest.importorskip("pandas")
    X, y = multiclass
    X = pandas.DataFrame(X).rename(columns=lambda k: f"size {k}")
    explainer = ExpectedGradients(mlp().fit(X, y)).fit(X[:5])
    explainer.set_output(transform="pandas")
    table = explainer.transform(X)
    means = table.abs().mean().sort_values(ascending=False)
    display = AttributionDisplay.from_explainer(explainer, X, max_features=4)
    assert [bar.get_width() for bar in display.bars_] == means[:4].tolist()
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == means.index[:4].tolist()
    assert display.ax_.get_ylabel() == f"feature (4 of {X.shape[1]})"
    with pytest.raises(ValueError, match="'max_features' parameter"):
        AttributionDisplay.from_explainer(explainer, X, max_features=0)
    plt.close("all")
