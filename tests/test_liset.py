"""Shortcuts to the outputs tell LiSET where to grow, and leave no trace in the network."""

import pickle
import weakref

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse, special
from sklearn.model_selection import GridSearchCV

from sksparse_mlp.analysis import average_ratioed_accuracy
from sksparse_mlp.core import training
from sksparse_mlp.core.skips import Skips
from sksparse_mlp.topology import LiSET


@pytest.fixture
def liset(mlp):
    """Make a small network that grows by a LiSET that prefers useful inputs."""
    return lambda **params: mlp(**{"growth": "liset", "gamma": -5.0} | params)


@pytest.fixture
def skips_made(monkeypatch):
    """Weak references to all skips that were made."""
    made = []

    class Watched(Skips):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(weakref.ref(self))

    monkeypatch.setattr(training, "Skips", Watched)
    return made


class Listening(LiSET):
    """Keeps the strengths that it was told of each layer."""

    heard: list = []

    def free_ranks(self, layer, keep, size, rng, signal):
        Listening.heard.append(signal.copy())
        return super().free_ranks(layer, keep, size, rng, signal)


@pytest.fixture
def listening(monkeypatch):
    monkeypatch.setattr(Listening, "heard", [])
    return Listening(gamma=-5.0, skip_dropout=0.0)


# --- predictions ----------------------------------------------------------------------


@pytest.mark.parametrize("problem", ["binary", "multiclass"])
def test_predictions_are_those_of_the_network_alone(liset, request, problem):
    X, y = request.getfixturevalue(problem)
    model = liset(activation="relu", growth=LiSET(skip_dropout=0.0)).fit(X, y)
    *hidden, (coef, bias) = zip(model.coefs_, model.intercepts_, strict=True)
    a = X
    for hidden_coef, hidden_bias in hidden:
        a = np.maximum(a @ hidden_coef.toarray() + hidden_bias, 0)
    z = a @ coef.toarray() + bias
    if problem == "binary":
        expected = np.hstack([special.expit(-z), special.expit(z)])
    else:
        expected = special.softmax(z, axis=1)
    assert_allclose(model.predict_proba(X), expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("evolve_every", ["epoch", 2])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_skips_are_released_after_fit(
    liset, multiclass, skips_made, evolve_every, early_stopping
):
    model = liset(evolve_every=evolve_every, early_stopping=early_stopping)
    model.fit(*multiclass)
    assert skips_made
    assert not any(reference() for reference in skips_made)


def test_only_the_current_skips_are_kept_by_partial_fit(liset, multiclass, skips_made):
    model = liset(evolve_every=2).partial_fit(*multiclass, classes=[0, 1, 2])
    assert len(skips_made) == 3  # 5 updates: anew before the third and the fifth
    assert not any(reference() for reference in skips_made)
    assert model._training["skips"]["matrices"].keys() == {0, 1}
    model.fit(*multiclass)
    assert not hasattr(model, "_training")


def test_pickle_is_no_larger_than_with_random_growth(mlp, liset, multiclass):
    params = {"hidden_layer_sizes": (400, 200)}  # skips would take 15 kB
    sizes = [
        len(pickle.dumps(make(**params).fit(*multiclass), protocol=5))
        for make in (liset, mlp)
    ]
    assert sizes[0] < sizes[1] + 1000


# --- training -------------------------------------------------------------------------


def test_training_learns(liset, multiclass):
    assert liset(max_iter=60).fit(*multiclass).score(*multiclass) > 0.95


def test_network_learns_beside_its_skips(liset, mlp, multiclass, recorder, same_network):
    records = recorder(), recorder()
    liset().set_callbacks(records[0]).fit(*multiclass)
    mlp().set_callbacks(records[1]).fit(*multiclass)
    first, alone = (record.epochs[0] for record in records)
    assert np.array_equal(first.coefs_[0].indices, alone.coefs_[0].indices)
    assert not same_network(first, alone)
    assert first.loss_ < alone.loss_


@pytest.mark.parametrize(
    "params", [{"zeta": 0}, {"max_iter": 1}, {"zeta_schedule": lambda epoch, n: 0.0}]
)
def test_there_are_no_skips_where_nothing_will_evolve(
    liset, mlp, multiclass, same_network, skips_made, params
):
    model = liset(**params).fit(*multiclass)
    assert same_network(model, mlp(**params).fit(*multiclass))
    assert not skips_made


@pytest.mark.parametrize(("until", "n_evolutions"), [(0.25, 2), (0.5, 4), (1.0, 7)])
def test_there_are_skips_as_long_as_the_topology_evolves(
    liset, multiclass, skips_made, until, n_evolutions
):
    liset(evolve_until=until, max_iter=8).fit(*multiclass)
    assert len(skips_made) == n_evolutions + 1


def test_full_layers_have_no_skip(liset, multiclass, listening):
    liset(growth=listening).fit(*multiclass)
    assert [signal.size for signal in Listening.heard] == [12, 24] * 3


def test_strengths_are_largest_for_the_inputs_that_matter(liset, listening):
    X = np.random.default_rng(0).normal(size=(300, 12))
    y = (X[:, 2] - X[:, 7] > 0).astype(int)
    liset(growth=listening, hidden_layer_sizes=(24,)).fit(X, y)
    for strengths in Listening.heard:
        assert set(np.argsort(strengths)[-2:]) == {2, 7}


def test_connections_move_to_the_inputs_that_matter(liset, mlp):
    X = np.random.default_rng(0).normal(size=(300, 40))
    y = (X[:, :2].sum(axis=1) > 0).astype(int)
    params = {"hidden_layer_sizes": (50,), "zeta": 0.6, "max_iter": 8}
    n_connections = [
        sum(
            make(random_state=seed, **params).fit(X, y).coefs_[0][:2].nnz
            for seed in range(8)
        )
        for make in (liset, mlp)
    ]
    assert n_connections[0] > 1.2 * n_connections[1]


def test_skips_start_again_from_zero_after_an_evolution(liset, multiclass, listening):
    plain = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 1e-6}
    liset(growth=listening, evolve_every=1, max_iter=1, **plain).fit(*multiclass)
    strongest = [signal.max() for signal in Listening.heard[::2]]
    assert len(strongest) == 4
    assert 0 < max(strongest) < 2 * min(strongest)


# --- parameters -----------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [-18.0, 0.0, 3.0])
def test_gamma_is_that_of_the_rule(mlp, multiclass, same_network, gamma):
    named = mlp(growth="liset", gamma=gamma).fit(*multiclass)
    instance = mlp(growth=LiSET(gamma=gamma), gamma=1.0).fit(*multiclass)
    assert same_network(named, instance)


def test_gamma_changes_the_network(liset, multiclass, same_network):
    networks = [liset(gamma=gamma).fit(*multiclass) for gamma in (-50.0, 50.0)]
    assert not same_network(*networks)


def test_gamma_means_nothing_to_other_rules(mlp, multiclass, same_network):
    networks = [mlp(gamma=gamma).fit(*multiclass) for gamma in (-50.0, 50.0)]
    assert same_network(*networks)


def test_gamma_means_nothing_without_skips(mlp, multiclass, same_network):
    model = mlp(growth=LiSET()).set_params(growth__skip_dropout=1.0)
    networks = [
        pickle.loads(pickle.dumps(model.set_params(growth__gamma=gamma).fit(*multiclass)))
        for gamma in (-50.0, 50.0)
    ]
    assert same_network(*networks)


def test_parameters_of_the_rule_are_searched(mlp, multiclass):
    grid = {"growth__gamma": [-18.0, 1.0], "growth__skip_dropout": [0.0, 0.5, 1.0]}
    search = GridSearchCV(mlp(growth=LiSET(), max_iter=6), grid, cv=3).fit(*multiclass)
    scores = search.cv_results_["mean_test_score"]
    assert np.unique(scores).size > 2
    by_name = GridSearchCV(
        mlp(growth="liset", max_iter=6), {"gamma": [-18.0, 1.0]}, cv=3
    ).fit(*multiclass)
    at_default = [p["growth__skip_dropout"] == 0.5 for p in search.cv_results_["params"]]
    assert np.array_equal(scores[at_default], by_name.cv_results_["mean_test_score"])


def test_skips_learn_at_their_own_rate(liset, multiclass, listening):
    plain = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 1e-6, "max_iter": 2}
    for factor in (0.01, 1.0):
        growth = listening.set_params(learning_rate_factor=factor)
        liset(growth=growth, **plain).fit(*multiclass)
    slow, fast = Listening.heard[0], Listening.heard[2]
    assert_allclose(fast, 100 * slow, rtol=1e-3)


@pytest.mark.parametrize("skip_dropout", [-0.1, 1.1, np.nan, "half"])
def test_skip_dropout_outside_its_range_is_refused(mlp, binary, skip_dropout):
    with pytest.raises(ValueError, match="'skip_dropout' parameter of LiSET"):
        mlp(growth=LiSET(skip_dropout=skip_dropout)).fit(*binary)


# --- continuing -----------------------------------------------------------------------


@pytest.mark.parametrize("evolve_every", [3, 7])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fits_are_one_training(
    liset, multiclass, same_network, solver, evolve_every
):
    params = {"solver": solver, "evolve_every": evolve_every, "max_iter": 4}
    model = liset(**params)
    for _ in range(4):
        model.partial_fit(*multiclass, classes=[0, 1, 2])
    whole = liset(**params).fit(*multiclass)
    assert same_network(model, whole)
    assert model.loss_curve_ == whole.loss_curve_


def test_partial_fit_by_epochs_is_without_skips(liset, mlp, multiclass, same_network):
    networks = [
        make().partial_fit(*multiclass, classes=[0, 1, 2]).partial_fit(*multiclass)
        for make in (liset, mlp)
    ]
    assert same_network(*networks)


def test_warm_start_continues(liset, multiclass, same_network):
    model = liset(warm_start=True, max_iter=10).fit(*multiclass)
    loss = model.loss_
    again = liset(warm_start=True, max_iter=10).fit(*multiclass)
    assert same_network(model, again)
    model.fit(*multiclass)
    assert model.loss_ < loss
    assert len(model.history_) == 20
    assert not same_network(model, again)


def test_growth_may_change_between_partial_fits(liset, multiclass, skips_made):
    model = liset(evolve_every=2).partial_fit(*multiclass, classes=[0, 1, 2])
    model.set_params(growth="random").partial_fit(*multiclass)
    assert not any(reference() for reference in skips_made)
    model.set_params(growth="liset", solver="sgd").partial_fit(*multiclass)
    assert np.isfinite(model.loss_)


# --- data -----------------------------------------------------------------------------


def test_train_scores_are_recorded_when_asked_for(liset, recorder, multiclass):
    X, y = multiclass
    record = recorder()
    model = liset(record=("train_score",), max_iter=6).set_callbacks(record).fit(X, y)
    scores = [r["train_score"] for r in model.history_]
    assert scores == [epoch.score(X, y) for epoch in record.epochs]
    ratioed = average_ratioed_accuracy(scores)
    assert min(scores) < ratioed < max(scores)
    assert "train_score" not in liset().fit(X, y).history_[0]


def test_recording_changes_nothing(liset, multiclass, same_network):
    recorded = liset(record=["train_score"]).fit(*multiclass)
    assert same_network(recorded, liset().fit(*multiclass))


@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_matrix])
def test_sparse_input_equals_dense_input(liset, multiclass, same_network, container):
    X, y = multiclass
    assert same_network(liset().fit(container(X), y), liset().fit(X, y))


def test_float32_stays_float32(liset, multiclass, listening):
    X, y = multiclass
    model = liset(growth=listening, solver="sgd").fit(X.astype(np.float32), y)
    assert {coef.dtype for coef in model.coefs_} == {np.dtype(np.float32)}
    assert {signal.dtype for signal in Listening.heard} == {np.dtype(np.float32)}
    assert model.predict_proba(X.astype(np.float32)).dtype == np.float32


def test_class_weights_are_sample_weights(liset, multiclass, same_network):
    X, y = multiclass
    by_class = liset(class_weight={0: 1, 1: 4, 2: 0.5}).fit(X, y)
    by_sample = liset().fit(X, y, np.array([1, 4, 0.5])[y])
    assert same_network(by_class, by_sample)
    assert not same_network(by_class, liset().fit(X, y))


def test_early_stopping_restores_the_best_epoch(liset, recorder, same_network):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(150, 12)), rng.integers(3, size=150)
    record = recorder()
    model = liset(early_stopping=True, scoring="accuracy", max_iter=15).set_callbacks(
        record
    )
    model.fit(X[:105], y[:105], X_val=X[105:], y_val=y[105:])
    scores = np.array(model.validation_scores_)
    best = np.flatnonzero(scores == scores.max())[-1]
    assert best < 14
    assert same_network(model, record.epochs[best])
