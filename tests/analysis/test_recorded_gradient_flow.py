"""The effective gradient flow that history_ has of every epoch, when asked for."""

import numpy as np
import pytest
from sklearn.datasets import make_classification

from sksparse_mlp.analysis._gradients import effective_gradient_flow
from sksparse_mlp.core import training
from sksparse_mlp.core.gradients import observed
from sksparse_mlp.core.samples import Samples

NAME = "effective_gradient_flow"


def flows(model):
    return [record[NAME] for record in model.history_]


@pytest.fixture
def many():
    """1200 samples of 3 classes, 12 features."""
    return make_classification(1200, 12, n_informative=6, n_classes=3, random_state=0)


@pytest.mark.parametrize("data", ["binary", "multiclass"])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"activation": "srelu", "batch_norm": True},
        {"activation": "garelu", "solver": "sgd"},
        {"dropout": 0.4, "alpha": 1.0},
        {"growth": "gradient", "hidden_layer_sizes": 9},
        {"growth": "liset", "epsilon": 1},
    ],
)
def test_flow_is_that_of_the_network_after_each_epoch(mlp, recorder, data, params, request):
    X, y = request.getfixturevalue(data)
    callback = recorder()
    # All samples make one batch, so that all are looked at.
    model = mlp(record=[NAME], batch_size=y.size, **params).set_callbacks(callback)
    model.fit(X, y)
    expected = [effective_gradient_flow(epoch, X, y) for epoch in callback.epochs]
    assert len(expected) == 4
    assert flows(model) == pytest.approx(expected, rel=1e-9)
    assert all(type(flow) is float for flow in flows(model))


def test_one_in_twenty_samples_is_looked_at(mlp, many, monkeypatch):
    X, y = many
    seen = []

    def spied(network, samples, buffers, workers):
        seen.append(samples.rows)
        return np.array([1.0, 3.0])

    monkeypatch.setattr(training, "gradient_flow", spied)
    model = mlp(record=[NAME], batch_size=20).fit(X, y)
    assert flows(model) == [2.0] * 4
    assert all(np.array_equal(rows, seen[0]) for rows in seen)
    assert np.unique(seen[0]).size == seen[0].size == 60
    assert np.unique(y[seen[0]]).size == 3


def test_flow_of_some_samples_in_several_batches(mlp, many):
    X, y = many
    weights = np.random.default_rng(0).uniform(size=y.size)
    model = mlp(record=[NAME], batch_size=25).fit(X, y, sample_weight=weights)
    samples = Samples(X, y, weights, np.arange(y.size))
    rows = observed(samples, 25).rows
    expected = effective_gradient_flow(model, X[rows], y[rows], sample_weight=weights[rows])
    assert flows(model)[-1] == pytest.approx(expected, rel=1e-9)


def test_class_weights_weigh_the_samples(mlp, multiclass):
    X, y = multiclass
    class_weight = {0: 3.0, 1: 0.5, 2: 0.0}
    model = mlp(record=[NAME], batch_size=y.size, class_weight=class_weight).fit(X, y)
    weights = np.array([3.0, 0.5, 0.0])[y]
    expected = effective_gradient_flow(model, X, y, sample_weight=weights)
    assert flows(model)[-1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("growth", ["random", "liset", "gradient"])
@pytest.mark.parametrize("activation", ["relu", "prelu", "garelu"])
def test_recording_does_not_change_the_training(
    mlp, many, same_network, growth, activation
):
    params = {"growth": growth, "activation": activation, "batch_norm": True}
    params |= {"dropout": 0.2, "solver": "sgd"}
    plain = mlp(**params).fit(*many)
    recorded = mlp(record=[NAME], **params).fit(*many)
    assert same_network(plain, recorded)
    assert plain.loss_curve_ == recorded.loss_curve_
    assert not any(NAME in record for record in plain.history_)
    for one, other in zip(plain.batch_norms_, recorded.batch_norms_, strict=True):
        assert all(np.array_equal(one[key], other[key]) for key in one)


def test_recording_is_reproducible_whatever_the_threads(mlp, many, monkeypatch):
    expected = flows(mlp(record=[NAME]).fit(*many))
    assert flows(mlp(record=[NAME]).fit(*many)) == expected
    monkeypatch.setattr("sksparse_mlp.core.workers.MIN_WORK", 0)
    monkeypatch.setattr("sksparse_mlp.core.workers.available_cores", lambda: 3)
    assert flows(mlp(record=[NAME], n_jobs=3).fit(*many)) == expected


def test_validation_samples_are_not_looked_at(mlp, many, monkeypatch):
    X, y = many
    seen, trained = [], []
    spied, original = training.gradient_flow, training.Training.run

    def keep_rows(network, samples, buffers, workers):
        seen.extend(samples.rows)
        return spied(network, samples, buffers, workers)

    def run(self, samples, *args, **kwargs):
        trained.extend(samples.rows)
        return original(self, samples, *args, **kwargs)

    monkeypatch.setattr(training, "gradient_flow", keep_rows)
    monkeypatch.setattr(training.Training, "run", run)
    model = mlp(record=[NAME, "train_score"], early_stopping=True).fit(X, y)
    # The second training, on all samples, is not recorded.
    assert len(trained) == 960 + 1200
    assert set(seen) <= set(trained[:960])
    assert {NAME, "train_score", "validation_score"} <= model.history_[0].keys()


def test_passes_of_partial_fit_are_recorded(mlp, multiclass):
    X, y = multiclass
    model = mlp(record=[NAME], batch_size=y.size)
    for _ in range(2):
        model.partial_fit(X, y, classes=np.unique(y))
    assert len(flows(model)) == 2
    assert flows(model)[-1] == pytest.approx(effective_gradient_flow(model, X, y), rel=1e-9)


def test_float32_is_recorded_as_it_is_analysed(mlp, multiclass):
    X, y = multiclass[0].astype(np.float32), multiclass[1]
    model = mlp(record=[NAME], batch_norm=True, batch_size=y.size).fit(X, y)
    assert flows(model)[-1] == pytest.approx(effective_gradient_flow(model, X, y), rel=1e-5)
