"""SparseMLPClassifier with any number of labels per sample."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import make_multilabel_classification
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from sksparse_mlp import SparseMLPClassifier


@pytest.fixture
def labels():
    """200 samples with any of 4 labels, 12 features."""
    X, y = make_multilabel_classification(200, 12, n_classes=4, random_state=0)
    return StandardScaler().fit_transform(X), y


def test_labels_are_learned_as_well_as_by_dense_layers():
    X, y = make_multilabel_classification(1000, 20, n_classes=5, random_state=0)
    X = StandardScaler().fit_transform(X)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    ours = SparseMLPClassifier((64,), epsilon=10, max_iter=30, random_state=0)
    dense = MLPClassifier((64,), alpha=0.1, max_iter=400, tol=0.01, random_state=0)
    guess = DummyClassifier(strategy="most_frequent")
    right = [
        np.mean(model.fit(X, y).predict(X_test) == y_test) for model in (ours, dense, guess)
    ]
    assert right[0] > max(right[1] - 0.04, right[2] + 0.1)


def test_attributes_are_those_of_mlpclassifier(mlp, labels):
    X, y = labels
    model = mlp().fit(X, y)
    reference = MLPClassifier(max_iter=1000, early_stopping=True, n_iter_no_change=1)
    reference.fit(X, y)
    assert_array_equal(model.classes_, reference.classes_)
    assert model.multilabel_
    for name in ("n_outputs_", "out_activation_"):
        assert getattr(model, name) == getattr(reference, name)
    for method in ("predict", "predict_proba", "predict_log_proba"):
        found, expected = getattr(model, method)(X), getattr(reference, method)(X)
        assert found.shape == expected.shape == y.shape
        assert found.dtype == expected.dtype


def test_predictions_agree(mlp, labels):
    X, y = labels
    model = mlp(max_iter=20).fit(X, y)
    probabilities = model.predict_proba(X)
    assert_array_equal(model.predict(X), probabilities > 0.5)
    assert_allclose(np.exp(model.predict_log_proba(X)), probabilities)
    logits = model.decision_function(X)
    assert_allclose(1 / (1 + np.exp(-logits)), probabilities)
    predictor = model.predictor()
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        assert_array_equal(getattr(predictor, method)(X), getattr(model, method)(X))
    assert model.score(X, y) == accuracy_score(y, model.predict(X))


def test_loss_is_the_sum_over_the_labels(mlp, labels):
    X, y = labels
    params = {"alpha": 0.0, "learning_rate_init": 1e-12, "max_iter": 1, "zeta": 0}
    model = mlp(**params).fit(X, y)
    probabilities = model.predict_proba(X)
    expected = sum(log_loss(y[:, k], probabilities[:, k]) for k in range(4))
    assert model.loss_ == pytest.approx(expected, rel=1e-6)


def test_recorded_score_is_the_share_of_wholly_right_samples(mlp, labels):
    X, y = labels
    model = mlp(record=["train_score"], max_iter=20).fit(X, y)
    assert model.history_[-1]["train_score"] == pytest.approx(model.score(X, y))
    assert 0 < model.score(X, y) < 1


@pytest.mark.parametrize(
    "convert",
    [
        sparse.csr_array, sparse.csr_matrix, sparse.lil_array, pd.DataFrame, list,
        lambda y: y.astype(bool), lambda y: y.astype(float), np.asfortranarray,
    ],
)  # fmt: skip
def test_indicators_may_come_in_any_form(mlp, labels, convert):
    X, y = labels
    expected = mlp().fit(X, y).predict_proba(X)
    model = mlp().fit(X, convert(y))
    assert_array_equal(model.predict_proba(X), expected)
    assert_array_equal(model.partial_fit(X, convert(y)).classes_, range(4))


def test_two_labels_are_not_two_classes(mlp, labels):
    X, y = labels[0], labels[1][:, :2]
    model = mlp().fit(X, y)
    assert model.predict(X).shape == (200, 2)
    assert model.n_outputs_ == 2
    single = model.fit(X, y[:, 0])
    assert single.predict(X).shape == (200,)
    assert not single.multilabel_


def test_a_label_may_be_constant(mlp, labels):
    X, y = labels[0], labels[1].copy()
    y[:, 0], y[:, 1] = 0, 1
    model = mlp(max_iter=60).fit(X, y)
    assert_array_equal(model.predict(X)[:, 0], 0)
    assert_array_equal(model.predict(X)[:, 1], 1)


def test_early_stopping_takes_any_samples_apart(mlp, labels):
    X, y = labels[0], labels[1].copy()
    # A combination of labels that is there once cannot be in both parts.
    y[0] = 1
    model = mlp(early_stopping=True, max_iter=400, n_iter_no_change=3).fit(X, y)
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.n_iter_ < 400


def test_weights_are_repetitions(mlp, labels, same_network):
    X, y = labels[0][:20], labels[1][:20]
    counts = np.random.default_rng(0).integers(4, size=20)
    params = {"batch_size": 100, "max_iter": 8}
    repeated = mlp(**params).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts, axis=0))
    assert same_network(mlp(**params).fit(X, y, counts), repeated)


def test_partial_fit_needs_no_classes(mlp, labels, same_network):
    without = mlp().partial_fit(*labels)
    given = mlp().partial_fit(*labels, classes=range(4))
    assert same_network(without, given)
    assert same_network(without.partial_fit(*labels), given.partial_fit(*labels))
    assert without.n_iter_ == 2


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize("class_weight", ["balanced", {0: 2.0}])
def test_class_weight_is_refused(mlp, labels, class_weight):
    model = mlp(class_weight=class_weight)
    with pytest.raises(ValueError, match=r"class_weight=.* leave it None"):
        model.fit(*labels)
    assert not hasattr(model, "classes_")


@pytest.mark.parametrize("classes", [range(3), range(5), ["a", "b", "c", "d"]])
def test_classes_other_than_the_columns_are_refused(mlp, labels, classes):
    with pytest.raises(ValueError, match="got 4 columns for the classes"):
        mlp().partial_fit(*labels, classes=classes)


@pytest.mark.parametrize("values", [(1, 2), (-1, 1), (0, 2)])
def test_indicators_are_zero_or_one(mlp, labels, values):
    X, y = labels
    with pytest.raises(ValueError, match=r"it also has \[-?\d"):
        mlp().fit(X, np.where(y, values[1], values[0]))


def test_several_classes_per_column_are_refused(mlp, labels):
    X, y = labels
    with pytest.raises(ValueError, match="1d array"):
        mlp().fit(X, y + np.arange(4))


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_continuing_with_other_labels_is_refused(mlp, labels, method):
    X, y = labels
    several = mlp(warm_start=True).fit(X, y)
    single = mlp(warm_start=True).fit(X, y[:, 0])
    for model, other, match in (
        (several, y[:, 0], "for an indicator matrix as y; got one label"),
        (single, y, "for one label per sample as y; got an indicator"),
        (several, y[:, :3], "got 3 columns"),
    ):
        before = model.predict_proba(X)
        with pytest.raises(ValueError, match=match):
            getattr(model, method)(X, other)
        assert_array_equal(model.predict_proba(X), before)
