"""Hidden neurons leave while the network trains; what is dead is left out afterwards."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sksparse_mlp.activations import ACTIVATIONS
from sksparse_mlp.topology import GROWTHS, ImportancePruning


@pytest.fixture
def pruned(mlp):
    """Make a small network that loses a fifth of its hidden neurons after many epochs."""
    often = ImportancePruning(share=0.2, start=0.25, every=1)
    return lambda **params: mlp(**{"pruning": often, "max_iter": 8, "epsilon": 2} | params)


def counts(model, name):
    return np.array([record[name] for record in model.history_])


def n_bytes(model):
    arrays = [a for c in model.coefs_ for a in (c.data, c.indices, c.indptr)]
    return sum(array.nbytes for array in [*arrays, *model.intercepts_])


def used_neurons(model):
    """Which neurons of each hidden layer have any connection."""
    pairs = zip(model.coefs_[:-1], model.coefs_[1:], strict=True)
    return [
        (np.diff(before.tocsc().indptr) > 0) | (np.diff(after.indptr) > 0)
        for before, after in pairs
    ]


def linked(model):
    """Numbers of neurons of each hidden layer that have any connection."""
    return [int(used.sum()) for used in used_neurons(model)]


# --- while it trains ------------------------------------------------------------------


@pytest.mark.parametrize("pruning", ["importance", ImportancePruning()])
def test_connections_go_when_pruning_is_due(mlp, multiclass, pruning):
    model = mlp(pruning=pruning, max_iter=26).fit(*multiclass)
    n_connections = counts(model, "n_connections")
    # Due after 40 % of the epochs and ten epochs later.
    assert np.flatnonzero(np.diff(n_connections)).tolist() == [10, 20]
    assert np.all(np.diff(n_connections) <= 0)
    assert model.n_connections_.sum() == n_connections[-1]
    assert linked(model) == [24 - 2 - 2, 16 - 2 - 1]


@pytest.mark.parametrize("growth", GROWTHS)
@pytest.mark.parametrize("evolve_every", ["epoch", 2])
def test_counts_add_up(pruned, multiclass, evolve_every, growth):
    model = pruned(evolve_every=evolve_every, growth=growth).fit(*multiclass)
    n_connections = counts(model, "n_connections")
    change = counts(model, "n_grown") - counts(model, "n_pruned")
    in_time = change[:-1] if evolve_every == "epoch" else change[1:]
    assert np.array_equal(np.diff(n_connections), in_time)
    assert n_connections[-1] < 0.6 * n_connections[0]
    turnover = counts(model, "n_grown") / model.n_connections_.sum()
    assert np.all(counts(model, "turnover") <= turnover + 1e-12)
    assert counts(model, "turnover")[1] > 0


def test_neurons_leave_once_per_epoch_that_is_due(pruned, multiclass):
    by_updates = pruned(evolve_every=1, zeta=0).fit(*multiclass)
    # Due in six of eight epochs: of 24 neurons 5, 4, 3, 2, 2, 2 leave.
    assert linked(by_updates)[0] == 24 - 18
    by_epochs = pruned(zeta=0).fit(*multiclass)
    assert linked(by_epochs)[0] == 24 - 16


def test_zeta_zero_only_prunes(pruned, multiclass):
    model = pruned(zeta=0).fit(*multiclass)
    assert not counts(model, "n_grown").any()
    assert counts(model, "n_pruned").sum() > 0


def test_neurons_that_left_get_no_connections(pruned, recorder, multiclass):
    record = recorder()
    pruned(max_iter=12).set_callbacks(record).fit(*multiclass)
    for before, after in pairwise(record.epochs):
        for old, new in zip(used_neurons(before), used_neurons(after), strict=True):
            assert not np.any(new & ~old)
    assert linked(record.epochs[-1])[0] < linked(record.epochs[0])[0] / 2


def test_each_hidden_layer_keeps_a_neuron(pruned, multiclass):
    hard = ImportancePruning(share=0.9, start=0, every=1)
    model = pruned(pruning=hard, max_iter=6).fit(*multiclass)
    assert linked(model) == [1, 1]
    assert np.isfinite(model.loss_)


def test_full_layers_lose_neurons_too(pruned, multiclass):
    model = pruned(epsilon=100, zeta=0).fit(*multiclass)
    alive = linked(model)
    assert alive[0] < 24
    assert model.n_connections_.tolist() == [
        12 * alive[0],
        alive[0] * alive[1],
        alive[1] * 3,
    ]


def test_pruned_network_learns(mlp, multiclass):
    model = mlp(pruning="importance", max_iter=60).fit(*multiclass)
    assert model.score(*multiclass) > 0.95


def test_no_pruning_keeps_all_connections(mlp, multiclass):
    assert np.ptp(counts(mlp(max_iter=8).fit(*multiclass), "n_connections")) == 0


def test_warm_start_keeps_the_neurons_away(pruned, multiclass):
    never = ImportancePruning(start=1.0)
    model = pruned(warm_start=True).fit(*multiclass)
    before = linked(model)
    model.set_params(pruning=never).fit(*multiclass)
    assert linked(model) == before


def test_early_stopping_restores_a_network_with_its_neurons(pruned, recorder, same_network):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(150, 12)), rng.integers(3, size=150)
    record = recorder()
    model = pruned(early_stopping=True, scoring="accuracy", max_iter=12)
    model.set_callbacks(record).fit(X[:120], y[:120], X_val=X[120:], y_val=y[120:])
    scores = np.array(model.validation_scores_)
    best = np.flatnonzero(scores == scores.max())[-1]
    assert same_network(model, record.epochs[best])


# --- afterwards -----------------------------------------------------------------------

CONFIGS = {
    "plain": {},
    "zeta_zero": {"zeta": 0},
    "batch_norm": {"batch_norm": True},
    "activation_per_layer": {"activation": ["srelu", "garelu"]},
    "logistic_with_norm": {"activation": ["logistic", "prelu"], "batch_norm": True},
    "selection": {"n_features_to_select": 4},
    "deep": {"hidden_layer_sizes": (30, 20, 10, 20)},
    "sgd": {"solver": "sgd", "dropout": 0.2},
}


def assert_smaller_and_the_same(model, X, tolerance=1e-6):
    small = model.compress()
    for method in ("predict_proba", "decision_function"):
        one, other = getattr(model, method)(X), getattr(small, method)(X)
        assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    assert np.array_equal(model.predict(X), small.predict(X))
    assert n_bytes(small) < n_bytes(model)
    sizes = [coef.shape[1] for coef in small.coefs_[:-1]]
    assert small.hidden_layer_sizes == tuple(sizes)
    assert small.n_connections_.tolist() == [coef.nnz for coef in small.coefs_]
    return small


@pytest.mark.parametrize("config", CONFIGS)
def test_compressed_network_predicts_the_same(pruned, multiclass, config):
    X, y = multiclass
    model = pruned(**CONFIGS[config]).fit(X, y)
    small = assert_smaller_and_the_same(model, X)
    assert small.coefs_[0].shape[0] == 12
    for coef, following in zip(small.coefs_[:-1], small.coefs_[1:], strict=True):
        assert np.all(np.bincount(coef.indices, minlength=coef.shape[1]) > 0)
        assert np.all(np.diff(following.indptr) > 0)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_compressed_network_of_any_activation(pruned, binary, activation, batch_norm):
    X, y = binary
    model = pruned(activation=activation, batch_norm=batch_norm, init="he_uniform")
    assert_smaller_and_the_same(model.fit(X, y), X)


def test_compressed_network_in_float32(pruned, multiclass):
    X, y = multiclass[0].astype(np.float32), multiclass[1]
    small = assert_smaller_and_the_same(pruned().fit(X, y), X, tolerance=1e-5)
    assert {coef.dtype for coef in small.coefs_} == {np.dtype(np.float32)}


@pytest.fixture
def tampered(mlp, multiclass):
    """A network with a neuron of every kind that does not matter."""
    model = mlp(activation=["logistic", "prelu"], epsilon=100, zeta=0).fit(*multiclass)
    coefs = [coef.toarray() for coef in model.coefs_]
    coefs[0][:, 3] = 0  # constant, but not zero
    coefs[1][5] = 0  # reaches nothing
    coefs[1][:, 7] = 0  # constant, whatever reaches the others
    coefs[2][2] = 0  # reaches no output
    coefs[1][9, [k for k in range(16) if k != 2]] = 0  # reaches only what does not
    model.coefs_ = [type(c)(dense) for c, dense in zip(model.coefs_, coefs, strict=True)]
    model.intercepts_[0][3] = 1.5
    model.intercepts_[1][7] = -2.0
    return model


def test_every_kind_of_dead_neuron_goes(tampered, multiclass):
    small = assert_smaller_and_the_same(tampered, multiclass[0])
    assert small.hidden_layer_sizes == (24 - 3, 16 - 2)


def test_stored_zeros_go(mlp, multiclass):
    X, y = multiclass
    model = mlp().fit(X, y)
    model.coefs_[1].data[::2] = 0
    small = assert_smaller_and_the_same(model, X)
    assert all(np.all(coef.data != 0) for coef in small.coefs_)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_layer_without_weights_leaves_one_neuron_each(mlp, multiclass, layer):
    X, y = multiclass
    model = mlp(activation="tanh").fit(X, y)
    model.coefs_[layer].data[:] = 0
    small = assert_smaller_and_the_same(model, X)
    assert min(small.hidden_layer_sizes) == 1


def test_network_without_anything_dead_stays_as_it_is(mlp, multiclass, same_network):
    model = mlp(epsilon=100, zeta=0).fit(*multiclass)
    small = model.compress()
    assert same_network(model, small)
    assert small.hidden_layer_sizes == (24, 16)


def test_original_is_left_alone(pruned, multiclass, same_network):
    X, y = multiclass
    model = pruned().fit(X, y)
    twin, before = pickle.loads(pickle.dumps(model)), model.get_params()
    small = model.compress()
    small.partial_fit(X, y)
    assert same_network(model, twin)
    assert model.get_params() == before
    assert np.array_equal(model.predict_proba(X), twin.predict_proba(X))
    assert model.history_ == twin.history_


@pytest.mark.parametrize("config", CONFIGS)
def test_compressed_network_is_an_ordinary_one(pruned, multiclass, same_network, config):
    X, y = multiclass
    small = pruned(**CONFIGS[config]).fit(X, y).compress()
    restored = pickle.loads(pickle.dumps(small))
    assert same_network(restored, small)
    assert same_network(restored.partial_fit(X, y), small.partial_fit(X, y))
    again = clone(small)
    assert again.get_params()["hidden_layer_sizes"] == small.hidden_layer_sizes
    assert not hasattr(again, "coefs_")
    assert [coef.shape for coef in again.fit(X, y).coefs_] == [
        c.shape for c in small.coefs_
    ]
    small.set_params(warm_start=True).fit(X, y)
    assert len(small.history_) == 8 + 1 + 8
    assert_allclose(small.compress().predict_proba(X), small.predict_proba(X), atol=1e-6)


def test_compressed_network_keeps_what_was_learned_of_the_data(pruned, multiclass):
    X, codes = multiclass
    y = np.array(["a", "b", "c"])[codes]
    model = pruned(n_features_to_select=5).fit(X, y)
    small = model.compress()
    assert set(small.predict(X)) <= {"a", "b", "c"}
    assert small.n_features_in_ == 12
    assert small.history_ == model.history_
    assert small.support_.sum() == 5
    assert np.array_equal(small.support_, model.support_)
    again = small.compress()
    assert again.hidden_layer_sizes == small.hidden_layer_sizes


@pytest.mark.parametrize("seed", range(4))
def test_compressed_network_selects_the_same_features(pruned, seed):
    X = np.random.default_rng(0).normal(size=(150, 60))
    params = {"n_features_to_select": 20, "epsilon": 0.6, "max_iter": 12}
    model = pruned(random_state=seed, **params).fit(X, (X[:, 0] > 0).astype(int))
    small = model.compress()
    assert small.support_.sum() == 20
    assert np.array_equal(small.support_, model.support_)


def test_network_of_partial_fit_is_compressed_too(mlp, multiclass, same_network):
    X, y = multiclass
    model = mlp(epsilon=1, activation="prelu", batch_norm=True, evolve_every=2)
    small = assert_smaller_and_the_same(model.partial_fit(X, y, classes=[0, 1, 2]), X)
    shapes = [coef.shape for coef in small.coefs_]
    for _ in range(2):
        small.partial_fit(X, y)
    assert [coef.shape for coef in small.coefs_] == shapes
    twin = pickle.loads(pickle.dumps(small))
    assert same_network(small.partial_fit(X, y), twin.partial_fit(X, y))


def test_only_fitted_networks_are_compressed(pruned):
    with pytest.raises(NotFittedError):
        pruned().compress()
