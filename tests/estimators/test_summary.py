"""What `summary` says of networks, against what their attributes hold."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr

from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPClassifierCV,
    SparseMLPRegressor,
    SparseMLPRegressorCV,
)
from sksparse_mlp.analysis import NodeActivity, memory_footprint

NETWORKS = [SparseMLPClassifier, SparseMLPRegressor]
ENSEMBLES = {
    SparseMLPClassifierCV: SparseMLPClassifier,
    SparseMLPRegressorCV: SparseMLPRegressor,
}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:200] / 16, y[:200]


def network(cls=SparseMLPClassifier, **parameters):
    return cls((30, 20), **{"epsilon": 1, "max_iter": 3, "random_state": 0} | parameters)


def sizes(model):
    return [(*coef.shape, coef.nnz) for coef in model.coefs_]


@pytest.mark.parametrize("cls", NETWORKS)
def test_figures_are_those_of_the_attributes(digits, cls):
    model = network(cls).fit(*digits)
    summary, footprint = model.summary(), memory_footprint(model)
    names = "n_in", "n_out", "n_connections"
    assert [tuple(la[k] for k in names) for la in summary.layers] == sizes(model)
    assert [la["density"] for la in summary.layers] == pytest.approx(1 - model.sparsity_)
    assert summary.n_connections == footprint.n_connections
    assert summary.density == model.density_
    assert summary.prediction_bytes == footprint.prediction_bytes
    assert summary.training_bytes == footprint.training_bytes
    assert summary.times_smaller == footprint.compression_rate
    assert summary.n_networks == 1


@pytest.mark.parametrize(("cls", "member"), ENSEMBLES.items())
def test_figures_of_an_ensemble_are_sums_over_its_members(digits, cls, member):
    X, _ = digits
    model = cls(network(member), cv=3, random_state=0).fit(*digits)
    summary = model.summary(X)
    parts = [each.summary(X) for each in model.estimators_]
    for name in ("n_connections", "prediction_bytes", "training_bytes"):
        assert getattr(summary, name) == sum(getattr(part, name) for part in parts)
    for k, layer in enumerate(summary.layers[:-1]):
        assert layer["dead_nodes"] == sum(part.layers[k]["dead_nodes"] for part in parts)
    assert summary.n_networks == 3
    assert summary.times_smaller == pytest.approx(parts[0].times_smaller)
    assert summary.density == model.density_ == pytest.approx(parts[0].density)


@pytest.mark.parametrize("activation", ["relu", "logistic", "st", "srelu"])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_dead_nodes_are_those_of_node_activity(digits, activation, container):
    X, y = digits
    model = network(activation=activation).fit(X, y)
    # A node whose bias is far below zero is on for no sample.
    model.intercepts_[0][:4] = -1e6
    dead = [int(d.sum()) for d in NodeActivity(model).fit(X, y).dead_nodes_]
    summary = model.summary(container(X))
    assert [layer["dead_nodes"] for layer in summary.layers] == [*dead, None]
    assert dead[0] >= 4
    assert all("dead_nodes" not in layer for layer in model.summary().layers)


def test_text_is_a_table(digits):
    X, _ = digits
    model = network(epsilon=2).fit(*digits)
    lines = str(model.summary(X)).splitlines()
    assert repr(model.summary(X)).splitlines() == lines
    possible = sum(n_in * n_out for n_in, n_out, _ in sizes(model))
    assert lines[0].startswith(
        f"3 layers, {model.n_connections_.sum()} of {possible:,} con"
    )
    header = ["layer", "from", "to", "connections", "density", "dead", "nodes"]
    assert lines[1].split() == header
    for line, (n_in, n_out, nnz) in zip(lines[2:5], sizes(model), strict=True):
        assert line.split()[1:4] == [str(n_in), str(n_out), str(nnz)]
    assert lines[5] == (
        f"{model.summary().prediction_bytes:,} bytes while it predicts, "
        f"{model.summary().training_bytes:,} while it trains"
    )


def test_layers_as_a_data_frame(digits):
    pytest.importorskip("pandas")
    model = network().fit(*digits)
    table = model.summary().to_pandas()
    assert table.index.tolist() == [1, 2, 3]
    assert table.index.name == "layer"
    assert table["n_connections"].tolist() == model.n_connections_.tolist()


@pytest.mark.parametrize(
    "model",
    [network(), SparseMLPClassifierCV(network(), cv=2, random_state=0)],
    ids=["network", "ensemble"],
)
def test_html_has_the_headline_once_fitted(digits, model):
    assert "times smaller" not in estimator_html_repr(model)
    headline = model.fit(*digits).summary().headline
    assert headline in estimator_html_repr(model)
    assert headline in estimator_html_repr(make_pipeline(model))


def test_html_of_an_edited_network_is_still_shown(digits):
    model = network().fit(*digits)
    model.coefs_ = model.coefs_[:2]
    model.intercepts_ = None
    assert "SparseMLPClassifier" in estimator_html_repr(model)


def test_needs_a_fitted_network_and_its_features(digits):
    with pytest.raises(NotFittedError):
        network().summary()
    model = network().fit(*digits)
    with pytest.raises(ValueError, match="X has 3 features, but SparseMLPClassifier is"):
        model.summary(digits[0][:, :3])
