"""Analysers of networks whose targets are not one label per sample."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier

from sksparse_mlp import SparseMLPRegressor
from sksparse_mlp.analysis import (
    ActivationDistributions,
    ActivationMediansDisplay,
    ConnectivityDisplay,
    LayerActivations,
    LayerClassifier,
    NetworkDisplay,
    NodeActivity,
    NodeActivityDisplay,
    NodeClassifier,
    PreActivationDisplay,
    SlopesDisplay,
    TrainingHistoryDisplay,
    WeightDistributionDisplay,
    effective_gradient_flow,
    gradient_flow,
    layer_accuracies,
    memory_footprint,
    report,
)


@pytest.fixture
def network(mlp, other):
    """A fitted network with its data."""
    cls, X, y = other
    return mlp(cls, max_iter=6, activation="relu").fit(X, y), X, y


def outputs_of_first_layer(model, X):
    return np.maximum(X @ model.coefs_[0].toarray() + model.intercepts_[0], 0)


def test_nodes_are_looked_at_over_all_samples(network):
    model, X, y = network
    on = outputs_of_first_layer(model, X) > 0
    for estimator in (model, FrozenEstimator(model)):
        activity = NodeActivity(estimator).fit(X, y)
        assert activity.classes_.tolist() == ["all"]
        assert_allclose(activity.activity_[0], on.mean(axis=0)[:, np.newaxis])
    assert_array_equal(activity.dead_nodes_[0], ~on.any(axis=0))
    assert activity.to_pandas().columns.tolist() == ["all"]
    assert_array_equal(activity.transform(X).toarray()[:, :24], on)


def test_values_of_nodes_are_found_over_all_samples(network):
    model, X, y = network
    values = outputs_of_first_layer(model, X)
    features = LayerActivations(model, layers=1).fit_transform(X)
    features = features.toarray() if sparse.issparse(features) else features
    assert_allclose(features, values, atol=1e-12)
    found = ActivationDistributions(model).fit(X, y)
    middle = np.median(values, axis=0)[:, np.newaxis]
    assert_allclose(found.medians_["post"][0], middle, atol=0.01 * np.ptp(values))


def test_gradient_flow_is_of_the_loss_that_was_trained(network):
    model, X, y = network
    targets = y.reshape(len(y), -1)
    outputs = model.predict_proba(X) if hasattr(model, "classes_") else model.predict(X)
    errors = outputs.reshape(targets.shape) - targets
    hidden = outputs_of_first_layer(model, X)
    hidden = np.maximum(hidden @ model.coefs_[1].toarray() + model.intercepts_[1], 0)
    last = (hidden.T @ errors / len(y))[model.coefs_[2].toarray() != 0]
    flow = gradient_flow(model, X, y)
    assert flow[-1] == pytest.approx(np.abs(last).sum())
    assert effective_gradient_flow(model, X, y) == pytest.approx(flow.mean())
    other_targets = np.hstack([targets, targets])
    with pytest.raises(ValueError, match=r"network is for y of shape|got 8 columns"):
        gradient_flow(model, X, other_targets)


def test_memory_is_counted(network):
    model = network[0]
    footprint = memory_footprint(model)
    assert footprint.n_connections == model.n_connections_.sum()


@pytest.fixture
def pictures():
    """Draw with matplotlib, and close what was drawn."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


@pytest.mark.usefixtures("pictures")
def test_displays_draw(network):
    model, X, y = network
    for display in (
        TrainingHistoryDisplay, SlopesDisplay, ConnectivityDisplay,
        WeightDistributionDisplay, NetworkDisplay,
    ):  # fmt: skip
        display.from_estimator(model)
    NodeActivityDisplay.from_estimator(model, X, y)
    ActivationMediansDisplay.from_estimator(model, X, y, layer=1)
    drawn = PreActivationDisplay.from_estimator(model, X, y, layer=1, node=0)
    assert drawn.histograms.shape[0] == 1


def test_what_is_about_classes_is_refused(network, tmp_path):
    model, X, y = network
    needs = "needs a classifier that was fitted to one label per sample"
    with pytest.raises(ValueError, match=needs):
        LayerClassifier(model, layer=1).fit(X, y)
    with pytest.raises(ValueError, match=needs):
        NodeClassifier(model, layer=1, node=0).fit(X, y)
    with pytest.raises(ValueError, match=needs):
        layer_accuracies(model, X, y, X, y)
    error = TypeError if isinstance(model, SparseMLPRegressor) else ValueError
    with pytest.raises(error, match=f"{needs}|takes a fitted SparseMLPClassifier"):
        report(model, X, y, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


TAKE_A_NETWORK = {
    "gradient_flow": gradient_flow,
    "effective_gradient_flow": effective_gradient_flow,
    "memory_footprint": lambda model, X, y: memory_footprint(model),
    "LayerClassifier": lambda model, X, y: LayerClassifier(model, layer=1).fit(X, y),
    "NodeClassifier": lambda model, X, y: NodeClassifier(model, layer=1, node=0).fit(X, y),
    "layer_accuracies": lambda model, X, y: layer_accuracies(model, X, y, X, y),
    "history": lambda model, X, y: TrainingHistoryDisplay.from_estimator(model),
}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("name", TAKE_A_NETWORK)
def test_other_estimators_are_refused(multiclass, name, wrapped):
    model = MLPClassifier(5, max_iter=1000, random_state=0).fit(*multiclass)
    given = FrozenEstimator(model) if wrapped else model
    with pytest.raises(TypeError, match="SparseMLPRegressor, got MLPClassifier"):
        TAKE_A_NETWORK[name](given, *multiclass)
