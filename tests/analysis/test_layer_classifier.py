"""Hidden layers as classifiers, against computations by hand and scikit-learn's checks."""

import pickle
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.special import log_softmax, logsumexp
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    parametrize_with_checks,
)

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.activations import ACTIVATIONS
from sksparse_mlp.analysis._layer_accuracies import layer_accuracies
from sksparse_mlp.analysis._layer_classifier import (
    SYSTEMS,
    LayerClassifier,
    NodeClassifier,
)
from sksparse_mlp.core.passes import passes

ZERO_SIDED = ["relu", "relu_tau", "crelu", "st", "cst"]


@pytest.fixture
def data():
    """700 samples of 3 classes of different sizes: more than pass the layers together."""
    rng = np.random.default_rng(0)
    y = rng.choice(3, size=700, p=[0.2, 0.3, 0.5])
    return 2 * np.eye(12)[y] + rng.standard_normal((700, 12)), y


@pytest.fixture
def network(mlp, data):
    return mlp(activation="relu").fit(*data)


def layer_values(network, X, layer):
    """Pre-activations and activations of a hidden layer, (n_samples, n_nodes)."""
    batches = [
        (batch.z[layer - 1].T.copy(), batch.a[layer - 1].T.copy())
        for _, batch in passes(network._fitted_network(), X)
    ]
    return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))


def log_shares(on, y):
    """Logs of the shares of each class with a node on and off, (n_classes, n_nodes)."""
    shares = np.array([on[y == c].mean(axis=0) for c in range(3)])
    floor = 0.5 / np.bincount(y)[:, np.newaxis]
    shares = np.minimum(np.maximum(shares, floor), 1 - floor)
    return np.log(shares), np.log(1 - shares)


def log_kernel_density(values, queries, h):
    distances = (queries[:, np.newaxis] - values) / h
    logs = logsumexp(-(distances**2) / 2, axis=1)
    return logs - np.log(values.size * h * np.sqrt(2 * np.pi))


def log_likelihoods_by_hand(system, z, on, y, h=0.2):
    """Log P(state | class) per node, (n_samples, n_classes, n_nodes)."""
    log_on, log_off = log_shares(on, y)
    discrete = np.where(on[:, np.newaxis], log_on, log_off)
    if system == "discrete":
        return discrete
    nodes = range(z.shape[1])
    continuous = np.array(
        [[log_kernel_density(z[y == c, k], z[:, k], h) for c in range(3)] for k in nodes]
    ).T
    if system == "continuous":
        return continuous
    return np.where(on[:, np.newaxis], continuous, discrete)


def error_bound(log_likelihoods, system):
    """Largest error that the grid of the densities may bring, (n_samples, 1)."""
    if system == "discrete":
        return 1e-12
    size = np.abs(log_likelihoods) + 2
    return 2 * np.max(np.sum(size / 512 + 1 / 1024, axis=2), axis=1, keepdims=True)


# --- by hand --------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("bandwidth", [0.05, 0.2, 1.0])
def test_layer_is_bayes_over_its_nodes(network, data, layer, system, bandwidth):
    X, y = data
    z, a = layer_values(network, X, layer)
    by_node = log_likelihoods_by_hand(system, z, a > 0, y, bandwidth)
    expected = log_softmax(np.log(np.bincount(y) / 700) + by_node.sum(axis=2), axis=1)
    model = LayerClassifier(network, layer=layer, system=system, bandwidth=bandwidth)
    actual = model.fit(X, y).predict_log_proba(X)
    assert np.all(np.abs(actual - expected) <= error_bound(by_node, system))
    # In most cases the error is far from its bound.
    np.testing.assert_allclose(np.exp(actual), np.exp(expected), atol=0.05)
    np.testing.assert_allclose(model.class_prior_, np.bincount(y) / 700, rtol=1e-15)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_node_alone_is_bayes_over_it(network, data, system):
    X, y = data
    z, a = layer_values(network, X, layer=2)
    by_node = log_likelihoods_by_hand(system, z, a > 0, y)
    log_prior = np.log(np.bincount(y) / 700)
    for node in (0, z.shape[1] - 1):
        expected = log_softmax(log_prior + by_node[:, :, node], axis=1)
        model = NodeClassifier(network, layer=2, node=node, system=system).fit(X, y)
        actual = model.predict_log_proba(X)
        bound = error_bound(by_node[:, :, node : node + 1], system)
        assert np.all(np.abs(actual - expected) <= bound)
        assert model.get_feature_names_out()[0] == f"layer2_node{node}_class_0"


def test_nodes_together_are_their_layer(network, data):
    X, y = data
    log_prior = np.log(np.bincount(y) / 700)
    nodes = range(network.coefs_[0].shape[1])
    joint = log_prior + sum(
        model.predict_log_proba(X) - log_prior
        for node in nodes
        if (model := NodeClassifier(network, layer=1, node=node).fit(X, y))
    )
    layer = LayerClassifier(network, layer=1).fit(X, y)
    expected = layer.predict_log_proba(X)
    np.testing.assert_allclose(log_softmax(joint, axis=1), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("node", [-1, 1.0, "0", None, 10_000])
def test_nodes_that_do_not_exist(network, data, node):
    with pytest.raises(ValueError, match=r"node( |=|').*"):
        NodeClassifier(network, layer=1, node=node).fit(*data)


@pytest.mark.parametrize("layer", [0, 3])
def test_nodes_of_layers_that_do_not_exist(network, data, layer):
    with pytest.raises(ValueError, match="layer"):
        NodeClassifier(network, layer=layer, node=0).fit(*data)


def test_agreement_is_with_the_network_and_not_with_labels(network, data):
    X, y = data
    model = LayerClassifier(network, layer=2).fit(X, y)
    own, networks = model.predict(X), network.predict(X)
    assert model.agreement(X) == np.mean(own == networks) != model.score(X, y)


@pytest.mark.parametrize("system", SYSTEMS)
def test_one_node_is_bayes_by_hand(mlp, data, system):
    X, y = data
    network = mlp(hidden_layer_sizes=1, activation="relu", epsilon=100, zeta=0).fit(X, y)
    z = X @ network.coefs_[0].toarray() + network.intercepts_[0]
    by_node = log_likelihoods_by_hand(system, z, z > 0, y)
    joint = np.bincount(y) / 700 * np.exp(by_node[:, :, 0])
    expected = joint / joint.sum(axis=1, keepdims=True)
    model = LayerClassifier(network, layer=1, system=system).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=0.01)


def test_one_sample_per_class_is_gaussian_naive_bayes(network, data):
    X, y = data
    firsts = [np.flatnonzero(y == c)[0] for c in range(3)]
    z, _ = layer_values(network, X, layer=2)
    bayes = GaussianNB().fit(z[firsts], y[firsts])
    bayes.var_[:] = 0.3**2
    model = LayerClassifier(network, layer=2, system="continuous", bandwidth=0.3)
    actual = model.fit(X[firsts], y[firsts]).predict_log_proba(X)
    depth = -bayes.predict_joint_log_proba(X=z).min(axis=1, keepdims=True)
    expected = bayes.predict_log_proba(z)
    assert np.all(np.abs(actual - expected) <= 2 * (depth + 32) / 512 + 32 / 512)


def test_states_that_a_class_never_had_count_as_half_a_sample(network, data):
    X, y = data
    model = LayerClassifier(network, layer=1).fit(X[:60], y[:60])
    z, _ = layer_values(network, X[:60], layer=1)
    counts = np.bincount(y[:60])
    never = np.array([~(z[y[:60] == c] > 0).any(axis=0) for c in range(3)]).T
    assert never.any()
    floor = np.broadcast_to(0.5 / counts, never.shape)
    np.testing.assert_allclose(np.exp(model._model.log_on[never]), floor[never])
    np.testing.assert_allclose(np.exp(model._model.log_off[never]), 1 - floor[never])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_node_is_on_as_its_activation_says(mlp, data, activation):
    X, y = data
    network = mlp(activation=activation, batch_norm=True).fit(X, y)
    z, a = layer_values(network, X, layer=2)
    on = network._fitted_network().hidden[1].activation.is_on(z, a)
    for system in SYSTEMS if activation in ZERO_SIDED else SYSTEMS[:2]:
        by_node = log_likelihoods_by_hand(system, z, on, y)
        joint = np.log(np.bincount(y) / 700) + by_node.sum(axis=2)
        model = LayerClassifier(network, layer=2, system=system).fit(X, y)
        error = model.predict_log_proba(X) - log_softmax(joint, axis=1)
        assert np.all(np.abs(error) <= error_bound(by_node, system))


def test_combined_is_what_it_is_made_of(network, data):
    """Off nodes say the same as with "discrete"."""
    X, y = data
    network.coefs_[0].data[:] = 0
    network.intercepts_[0][:] = -1
    log_probas = [
        LayerClassifier(network, layer=1, system=system).fit(X, y).predict_log_proba(X)
        for system in ("discrete", "combined")
    ]
    np.testing.assert_allclose(*log_probas, rtol=1e-12)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("level", [-3.0, 0.0, 2.0])
def test_constant_pre_activations_leave_the_prior(network, data, system, level):
    X, y = data
    network.coefs_[0].data[:] = 0
    network.intercepts_[0][:] = level
    model = LayerClassifier(network, layer=1, system=system).fit(X, y)
    expected = np.tile(np.bincount(y) / 700, (700, 1))
    # The floors of classes of different sizes differ.
    tolerance = 1e-5 if system == "continuous" else 0.2
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=tolerance)


# --- probabilities --------------------------------------------------------------------


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e6, 1e30])
def test_probabilities_are_finite_and_sum_to_one(mlp, data, system, dtype, scale):
    X, y = data[0].astype(dtype), data[1]
    network = mlp(activation="relu").fit(X, y)
    model = LayerClassifier(network, layer=2, system=system).fit(X * dtype(scale), y)
    wild = X * (10.0 ** np.random.default_rng(0).integers(-30, 30, size=X.shape))
    for queries in (X, X * dtype(scale), -X * dtype(1e3 * scale), wild.astype(dtype)):
        probabilities = model.predict_proba(queries)
        assert probabilities.dtype == np.float64
        assert np.isfinite(probabilities).all()
        assert np.all(probabilities >= 0)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
        logs = model.predict_log_proba(queries)
        assert np.isfinite(logs).all()
        np.testing.assert_allclose(logsumexp(logs, axis=1), 0, atol=1e-12)
        assert model.predict(queries).tolist() == probabilities.argmax(axis=1).tolist()


@pytest.mark.parametrize("system", SYSTEMS)
def test_predictions_are_labels_and_scores_are_accuracies(mlp, data, system):
    X, y = data
    labels = np.array(["setosa", "virginica", "versicolor"])[y]
    network = mlp(activation="relu").fit(X, labels)
    model = LayerClassifier(network, layer=2, system=system).fit(X, labels)
    assert is_classifier(model)
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    predicted = model.predict(X)
    assert predicted.tolist() == [
        model.classes_[k] for k in model.predict_proba(X).argmax(axis=1)
    ]
    assert model.score(X, labels) == np.mean(predicted == labels) > 0.6


def test_samples_do_not_influence_each_other(network, data):
    X, y = data
    model = LayerClassifier(network, layer=2, system="combined").fit(X, y)
    together = model.predict_log_proba(X)
    for rows in (slice(0, 1), slice(250, 260), slice(None, None, 3)):
        alone = model.predict_log_proba(X[rows])
        np.testing.assert_allclose(alone, together[rows], rtol=1e-12, atol=1e-12)


# --- the scikit-learn way -------------------------------------------------------------


def test_clone_keeps_the_fitted_estimator(network, data):
    model = LayerClassifier(network, layer=2, system="combined", bandwidth=0.3)
    copy = clone(model.fit(*data))
    assert copy.estimator is network
    assert copy.get_params(deep=False) == model.get_params(deep=False)
    with pytest.raises(NotFittedError):
        copy.predict(data[0])


def test_fitting_does_not_change_the_estimator(network, data, same_network):
    before = pickle.loads(pickle.dumps(network))
    LayerClassifier(network, layer=2, system="combined").fit(*data).predict(data[0])
    assert same_network(network, before)


def test_parameters_set_after_fit_count_from_the_next_fit(network, data):
    X, y = data
    model = LayerClassifier(network, layer=2, system="continuous").fit(X, y)
    before = model.predict_proba(X)
    model.set_params(layer=1, system="discrete", bandwidth=1.0)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert model.get_feature_names_out()[0] == "layer2_class_0"
    fresh = LayerClassifier(network, layer=1).fit(X, y)
    np.testing.assert_array_equal(model.fit(X, y).predict_proba(X), fresh.predict_proba(X))


@pytest.mark.parametrize("system", SYSTEMS)
def test_pickle(network, data, system):
    X, y = data
    model = LayerClassifier(network, layer=2, system=system).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("system", SYSTEMS)
def test_pipeline_after_a_scaler(mlp, data, system):
    X, y = 100 + 50 * data[0], data[1]
    network = mlp(activation="relu", max_iter=20).fit(StandardScaler().fit_transform(X), y)
    model = LayerClassifier(network, layer=2, system=system)
    pipeline = make_pipeline(StandardScaler(), model).fit(X, y)
    assert pipeline.score(X, y) > 0.7
    assert pipeline[-1].estimator is network
    model.set_output(transform="pandas")
    table = pipeline.transform(X)
    assert table.columns.tolist() == [f"layer2_class_{c}" for c in range(3)]
    np.testing.assert_array_equal(table, pipeline.predict_proba(X))


def test_cross_validation_and_searches(network, data):
    model = LayerClassifier(network, layer=2)
    scores = cross_val_score(model, *data, cv=4)
    assert np.all(scores > 0.5)
    grid = {"layer": [1, 2], "system": list(SYSTEMS), "bandwidth": [0.1, 0.4]}
    search = GridSearchCV(model, grid, cv=2).fit(*data)
    assert search.best_estimator_.estimator is network


def test_data_frames(mlp, data):
    X, y = data
    names = [f"feature {k}" for k in range(12)]
    frame, labels = pd.DataFrame(X, columns=names), pd.Series(y, index=range(700, 0, -1))
    network = mlp(activation="relu").fit(frame, labels)
    model = LayerClassifier(network, layer=1, system="combined").fit(frame, labels)
    assert model.feature_names_in_.tolist() == names
    assert model.n_features_in_ == 12
    expected = LayerClassifier(mlp(activation="relu").fit(X, y), layer=1, system="combined")
    np.testing.assert_array_equal(
        model.predict_proba(frame), expected.fit(X, y).predict_proba(X)
    )
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"feature 0": "another"}))


@pytest.mark.parametrize("system", SYSTEMS)
def test_sparse_input(network, data, system):
    X, y = np.round(data[0]), data[1]
    dense = LayerClassifier(network, layer=2, system=system).fit(X, y)
    thin = LayerClassifier(network, layer=2, system=system).fit(sparse.csr_array(X), y)
    np.testing.assert_allclose(
        thin.predict_proba(sparse.csr_array(X)), dense.predict_proba(X), atol=1e-9
    )


def test_estimator_may_be_frozen(network, data):
    X, y = data
    frozen = LayerClassifier(FrozenEstimator(network), layer=2).fit(X, y)
    plain = LayerClassifier(network, layer=2).fit(X, y)
    np.testing.assert_array_equal(frozen.predict_proba(X), plain.predict_proba(X))


def test_transform_gives_probabilities(network, data):
    X, y = data
    model = LayerClassifier(network, layer=1, system="combined")
    np.testing.assert_array_equal(model.fit_transform(X, y), model.predict_proba(X))
    names = ["layer1_class_0", "layer1_class_1", "layer1_class_2"]
    assert model.get_feature_names_out().tolist() == names
    assert model.get_feature_names_out().dtype == object


# --- bad input ------------------------------------------------------------------------


def test_unfitted_estimator(mlp, data):
    with pytest.raises(NotFittedError, match="SparseMLPClassifier"):
        LayerClassifier(mlp(), layer=1).fit(*data)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform"])
def test_unfitted_layer(network, data, method):
    with pytest.raises(NotFittedError, match="LayerClassifier"):
        getattr(LayerClassifier(network, layer=1), method)(data[0])


def test_layer_that_does_not_exist(network, data):
    with pytest.raises(ValueError, match=r"layer=3 does not exist.*from 1 to 2"):
        LayerClassifier(network, layer=3).fit(*data)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layer", 0),
        ("layer", -1),
        ("layer", 1.0),
        ("layer", None),
        ("system", "joint"),
        ("bandwidth", 0),
        ("bandwidth", -0.2),
        ("bandwidth", np.nan),
        ("bandwidth", np.inf),
        ("bandwidth", "0.2"),
        ("estimator", None),
    ],
)
def test_unsuitable_parameter(network, data, name, value):
    parameters = {"estimator": network, "layer": 1, name: value}
    with pytest.raises(ValueError, match=f"'{name}' parameter of LayerClassifier"):
        LayerClassifier(**parameters).fit(*data)


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - set(ZERO_SIDED)))
def test_combined_needs_a_zero_side(mlp, data, activation):
    network = mlp(activation=activation).fit(*data)
    with pytest.raises(ValueError, match=r"'combined' needs .* layer 2 has .*'discrete'"):
        LayerClassifier(network, layer=2, system="combined").fit(*data)


def test_combined_needs_a_zero_side_of_its_own_layer(mlp, data):
    network = mlp(activation=["relu", "tanh"]).fit(*data)
    LayerClassifier(network, layer=1, system="combined").fit(*data)
    with pytest.raises(ValueError, match="hidden layer 2 has Tanh"):
        LayerClassifier(network, layer=2, system="combined").fit(*data)


def test_other_number_of_features(network, data):
    X, y = data
    with pytest.raises(ValueError, match=r"11 features.*expecting 12"):
        LayerClassifier(network, layer=1).fit(X[:, :11], y)
    model = LayerClassifier(network, layer=1).fit(X, y)
    with pytest.raises(ValueError, match="11 features"):
        model.predict(X[:, :11])


def test_unsuitable_labels(network, data):
    X, y = data
    model = LayerClassifier(network, layer=1)
    with pytest.raises(ValueError, match=r"no samples of the classes \[2\]"):
        model.fit(X[y < 2], y[y < 2])
    with pytest.raises(ValueError, match=r"labels \[7\]"):
        model.fit(X, np.where(y == 2, 7, y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y[:-1])
    with pytest.raises(ValueError, match="y should be a 1d array"):
        model.fit(X, None)


def test_overflowing_pre_activations(mlp, data):
    X, y = data[0].astype(np.float32), data[1]
    network = mlp(activation="relu").fit(X, y)
    network.coefs_[0].data *= 100
    large = np.full_like(X, 3e38)
    model = LayerClassifier(network, layer=1)
    message = "layer 1 are not finite.*float32 overflows.*Scale the features"
    with pytest.raises(ValueError, match=message):
        model.fit(large, y)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y).predict(large)


# --- all layers and systems -----------------------------------------------------------


@pytest.fixture
def halves(data):
    X, y = data
    return X[:400], y[:400], X[400:], y[400:]


def test_accuracies_are_those_of_each_classifier(network, halves):
    X, y, X_test, y_test = halves
    result = layer_accuracies(network, *halves, bandwidth=0.3)
    assert result.systems == SYSTEMS
    assert result.train.shape == result.test.shape == (3, 2)
    for row, system in enumerate(SYSTEMS):
        for layer in (1, 2):
            model = LayerClassifier(network, layer=layer, system=system, bandwidth=0.3)
            model.fit(X, y)
            assert result.train[row, layer - 1] == model.score(X, y)
            assert result.test[row, layer - 1] == model.score(X_test, y_test)
            assert result.agreement_train[row, layer - 1] == model.agreement(X)
            assert result.agreement_test[row, layer - 1] == model.agreement(X_test)
    assert result.network_train == network.score(X, y)
    assert result.network_test == network.score(X_test, y_test)


@pytest.mark.parametrize("systems", [["discrete"], ("combined", "discrete")])
def test_accuracies_of_chosen_systems(network, halves, systems):
    result = layer_accuracies(network, *halves, systems=systems)
    everything = layer_accuracies(network, *halves)
    assert result.systems == tuple(systems)
    rows = [SYSTEMS.index(system) for system in systems]
    np.testing.assert_array_equal(result.train, everything.train[rows])
    np.testing.assert_array_equal(result.test, everything.test[rows])


def test_layers_without_a_zero_side_have_no_combined_accuracy(mlp, halves):
    network = mlp(activation=["relu", "tanh"]).fit(*halves[:2])
    result = layer_accuracies(network, *halves)
    for values in (result.train, result.test):
        expected = [[False, False], [False, False], [False, True]]
        assert np.isnan(values).tolist() == expected
    with pytest.raises(ValueError, match="hidden layer 2 has Tanh"):
        layer_accuracies(network, *halves, systems=["combined"])


def test_accuracies_as_a_table(network, halves):
    result = layer_accuracies(network, *halves)
    table = result.to_pandas()
    assert table.index.tolist() == [1, 2]
    assert table.index.name == "layer"
    assert table.columns.names == ["data", "system"]
    assert [*table["test"].columns] == [*SYSTEMS, "network"]
    for data in ("train", "test"):
        shares = table[f"agreement, {data}"][[*SYSTEMS]].T
        np.testing.assert_array_equal(shares, getattr(result, f"agreement_{data}"))
    np.testing.assert_array_equal(table["train"][[*SYSTEMS]].T, result.train)
    np.testing.assert_array_equal(table["test"][[*SYSTEMS]].T, result.test)
    assert set(table["train", "network"]) == {result.network_train}
    assert set(table["test", "network"]) == {result.network_test}


def test_table_needs_pandas(network, halves, monkeypatch):
    result = layer_accuracies(network, *halves, systems=["discrete"])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"LayerAccuracies.to_pandas requires pandas"):
        result.to_pandas()


def test_test_samples_may_lack_classes_and_names(mlp, halves):
    X, y, X_test, y_test = halves
    labels = np.array(["a", "b", "c"])
    network = mlp(activation="relu").fit(X, labels[y])
    some = y_test < 2
    result = layer_accuracies(network, X, labels[y], X_test[some], labels[y_test[some]])
    model = LayerClassifier(network, layer=2).fit(X, labels[y])
    assert result.test[0, 1] == model.score(X_test[some], labels[y_test[some]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"systems": []}, "one or more"),
        ({"systems": ["discrete", "joint"]}, "joint"),
        ({"systems": ["discrete", "discrete"]}, "different names"),
        ({"systems": 3}, "'systems' parameter"),
        ({"bandwidth": 0}, "'bandwidth' parameter"),
        ({"bandwidth": -1.0}, "'bandwidth' parameter"),
    ],
)
def test_unsuitable_arguments(network, halves, arguments, message):
    with pytest.raises(ValueError, match=message):
        layer_accuracies(network, *halves, **arguments)


def test_unsuitable_data(mlp, network, halves):
    X, y, X_test, y_test = halves
    with pytest.raises(NotFittedError):
        layer_accuracies(mlp(), *halves)
    with pytest.raises(ValueError, match=r"no samples of the classes \[0\]"):
        layer_accuracies(network, X[y > 0], y[y > 0], X_test, y_test)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        layer_accuracies(network, X, y, X_test, y_test[:-1])
    with pytest.raises(ValueError, match="11 features"):
        layer_accuracies(network, X, y, X_test[:, :11], y_test)
    for other in (np.where(y_test == y_test[0], 7, y_test), y_test.astype(str)):
        with pytest.raises(ValueError, match="not among the estimator's classes"):
            layer_accuracies(network, X, y, X_test, other)


# --- scikit-learn's checks ------------------------------------------------------------


class OwnNetwork:
    """Fits its network first, so that checks can come with data of their own."""

    def fit(self, X, y):
        self.network_ = SparseMLPClassifier(
            (16, 8), zeta=0, max_iter=30, learning_rate_init=0.01, random_state=0
        ).fit(X, y)
        return super().fit(X, y)

    def _fitted(self):
        return self.network_


class SelfSufficient(OwnNetwork, LayerClassifier):
    """A layer that needs no network."""

    def __init__(self, estimator=None, *, layer=1, system="discrete", bandwidth=0.2):
        super().__init__(estimator, layer=layer, system=system, bandwidth=bandwidth)

    _parameter_constraints: dict = LayerClassifier._parameter_constraints | {
        "estimator": [None]
    }


@parametrize_with_checks(
    # Wide kernels: scikit-learn takes logarithms of probabilities, which may underflow.
    [SelfSufficient(layer=2, system=system, bandwidth=2.0) for system in SYSTEMS]
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


class SelfSufficientNode(OwnNetwork, NodeClassifier):
    """A node that needs no network."""

    def __init__(
        self, estimator=None, *, layer=2, node=0, system="continuous", bandwidth=2.0
    ):
        super().__init__(
            estimator, layer=layer, node=node, system=system, bandwidth=bandwidth
        )

    _parameter_constraints: dict = NodeClassifier._parameter_constraints | {
        "estimator": [None]
    }


# One node is a poor classifier.
POOR = {"check_classifiers_train": "one node does not learn three classes"}


@parametrize_with_checks(
    [SelfSufficientNode()], expected_failed_checks=lambda estimator: POOR
)
def test_scikit_learn_check_of_a_node(estimator, check):
    check(estimator)


def test_column_names_are_consistent():
    check_dataframe_column_names_consistency("SelfSufficient", SelfSufficient())
