"""What fit and partial_fit do to weights, pattern and history."""

import gc
import json
import signal
import threading
import tracemalloc
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse, special
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import compute_class_weight

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.activations import LeakyReLU
from sksparse_mlp.core import kernels, workers
from sksparse_mlp.core.hidden import Hidden
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.learning_rates import LEARNING_RATES
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.optimizers import OPTIMIZERS, Adam
from sksparse_mlp.core.program import Program
from sksparse_mlp.core.skips import Skips
from sksparse_mlp.core.training import Training
from sksparse_mlp.initializers import INITIALIZERS
from sksparse_mlp.schedules import ZETA_SCHEDULES
from sksparse_mlp.topology import GROWTHS, RandomGrowth, weakest


def same_pattern(one, other):
    """Whether two lists of CSR matrices have the same connections."""
    return all(
        np.array_equal(a.indptr, b.indptr) and np.array_equal(a.indices, b.indices)
        for a, b in zip(one, other, strict=True)
    )


def losses(model):
    return [record["loss"] for record in model.history_]


def best_epochs(model):
    """The epochs that reached the best validation score."""
    return np.flatnonzero(np.equal(model.validation_scores_, model.best_validation_score_))


def assert_untrained(model, X, y):
    """The network is the one that training starts from."""
    vanishing = {"learning_rate_init": 1e-300, "max_iter": 1}
    start = clone(model).set_callbacks().set_params(**vanishing).fit(X, y)
    assert same_pattern(model.coefs_, start.coefs_)
    for coef, expected in zip(model.coefs_, start.coefs_, strict=True):
        assert np.array_equal(coef.data, expected.data)
        assert coef.data.any()
    assert not any(bias.any() for bias in model.intercepts_)
    assert (model.n_iter_, model.history_, model.loss_curve_) == (0, [], [])


# --- connections ----------------------------------------------------------------------


@pytest.mark.parametrize("evolve_every", ["epoch", 2])
@pytest.mark.parametrize("growth", GROWTHS)
def test_counts_stay_and_patterns_stay_valid_in_every_epoch(
    mlp, recorder, multiclass, growth, evolve_every
):
    X, y = multiclass
    record = recorder()
    model = mlp(growth=growth, evolve_every=evolve_every, max_iter=6)
    model.set_callbacks(record).fit(X, y)
    counts = [round(min(3 * (a + b), a * b)) for a, b in [(12, 24), (24, 16), (16, 3)]]
    for epoch in [*record.epochs, model]:
        assert epoch.n_connections_.tolist() == counts
        for coef in epoch.coefs_:
            rebuilt = sparse.csr_array((coef.data, coef.indices, coef.indptr), coef.shape)
            rebuilt.check_format(full_check=True)
            assert rebuilt.has_canonical_format
        assert [coef.nnz for coef in epoch.coefs_] == counts
    assert not same_pattern(record.epochs[0].coefs_, record.epochs[-1].coefs_)


@pytest.mark.parametrize("schedule", ZETA_SCHEDULES)
def test_every_zeta_schedule_trains_and_appears_in_history(mlp, multiclass, schedule):
    model = mlp(zeta_schedule=schedule, zeta=0.25).fit(*multiclass)
    assert model.history_[0]["zeta"] == 0.25
    assert model.history_[0]["n_pruned"] > 0


@pytest.mark.parametrize("init", INITIALIZERS)
def test_every_initialisation_trains(mlp, multiclass, same_network, init):
    model = mlp(init=init, learning_rate_init=1e-300, max_iter=1, zeta=0).fit(*multiclass)
    twin = clone(model).set_params(init=INITIALIZERS[init]()).fit(*multiclass)
    assert same_network(model, twin)
    assert model.set_params(learning_rate_init=0.01, max_iter=20).fit(
        *multiclass
    ).score(*multiclass) > 0.8  # fmt: skip


@pytest.mark.parametrize("evolve_every", ["epoch", 1])
def test_zeta_zero_keeps_the_pattern(mlp, recorder, multiclass, evolve_every):
    record = recorder()
    model = mlp(zeta=0, evolve_every=evolve_every, max_iter=6)
    model.set_callbacks(record).fit(*multiclass)
    assert same_pattern(record.epochs[0].coefs_, model.coefs_)
    assert [r["n_pruned"] + r["n_grown"] for r in model.history_] == [0] * 6


def test_last_epoch_does_not_evolve(mlp, recorder, multiclass, same_network):
    record = recorder()
    model = mlp(max_iter=3).set_callbacks(record).fit(*multiclass)
    assert [r["n_pruned"] > 0 for r in model.history_] == [True, True, False]
    assert [r["n_grown"] for r in model.history_] == [r["n_pruned"] for r in model.history_]
    assert same_network(model, record.epochs[-1])
    once = mlp(max_iter=1)
    assert same_network(
        once.fit(*multiclass), clone(once).set_params(zeta=0).fit(*multiclass)
    )


def test_epoch_that_stops_training_does_not_evolve(mlp, multiclass):
    model = mlp(max_iter=50, tol=1e9, n_iter_no_change=2).fit(*multiclass)
    assert model.n_iter_ == 4
    assert [r["n_pruned"] > 0 for r in model.history_] == [True, True, True, False]


def test_history_counts_the_removed_connections(mlp, recorder, multiclass):
    record = recorder()
    model = mlp(zeta=0.2, max_iter=2).set_callbacks(record).fit(*multiclass)
    sparse_layers = [c for c in record.epochs[0].coefs_ if c.nnz < np.prod(c.shape)]
    expected = sum(weakest(coef.data, 0.2).size for coef in sparse_layers)
    assert len(sparse_layers) == 2
    assert model.history_[0]["n_pruned"] == expected > 0


class CountingGrowth(RandomGrowth):
    """Counts its evolutions of layers, over all instances."""

    n_calls = 0

    def evolve(self, layer, zeta, rng, signal=None, n_connections=None):
        CountingGrowth.n_calls += 1
        return super().evolve(layer, zeta, rng, signal, n_connections)


@pytest.fixture
def counted(monkeypatch):
    """A growth rule, and how often it evolved a network of two sparse layers."""
    monkeypatch.setattr(CountingGrowth, "n_calls", 0)
    return CountingGrowth(), lambda: CountingGrowth.n_calls / 2


@pytest.mark.parametrize("every", [1, 3, 7, 100])
def test_fit_evolves_between_updates_when_asked_to(mlp, multiclass, counted, every):
    growth, n_evolutions = counted
    model = mlp(growth=growth, evolve_every=every, max_iter=4).fit(*multiclass)
    n_updates = 4 * 5  # 150 samples in batches of 32
    assert n_evolutions() == (n_updates - 1) // every
    assert (sum(r["n_pruned"] for r in model.history_) > 0) == (every < n_updates)


def test_partial_fit_counts_updates_over_all_calls(mlp, multiclass, counted):
    X, y = multiclass
    growth, n_evolutions = counted
    model = mlp(growth=growth, evolve_every=3)
    for n_updates in range(1, 12):
        model.partial_fit(X[:32], y[:32], classes=[0, 1, 2])
        assert n_evolutions() == (n_updates - 1) // 3


def test_partial_fit_does_not_evolve_by_epochs(mlp, multiclass, counted):
    X, y = multiclass
    growth, n_evolutions = counted
    model = mlp(growth=growth).partial_fit(X, y, classes=[0, 1, 2])
    first = model.coefs_
    for _ in range(3):
        model.partial_fit(X, y)
    assert n_evolutions() == 0
    assert same_pattern(first, model.coefs_)


# --- history and fitted attributes ----------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
def test_history_has_one_plain_record_per_epoch(mlp, multiclass, early_stopping):
    model = mlp(early_stopping=early_stopping, validation_fraction=0.3).fit(*multiclass)
    keys = {"epoch", "data_loss", "loss", "zeta", "n_pruned", "n_grown", "turnover"}
    keys |= {"evolution_seconds", "n_connections", "n_inputs"}
    keys |= {"learning_rate", "slopes", "seconds"}
    keys |= {"validation_score", "validation_loss"} if early_stopping else set()
    assert [set(record) for record in model.history_] == [keys] * 4
    assert [record["epoch"] for record in model.history_] == [0, 1, 2, 3]
    assert json.loads(json.dumps(model.history_)) == model.history_
    assert {type(record["loss"]) for record in model.history_} == {float}
    assert all(record["slopes"] == [-0.25, 0.25] for record in model.history_)
    assert all(record["seconds"] > 0 for record in model.history_)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_fitted_attributes_agree_with_history(mlp, multiclass, early_stopping):
    model = mlp(early_stopping=early_stopping, validation_fraction=0.3).fit(*multiclass)
    assert model.n_iter_ == len(model.history_) == 4
    assert model.loss_curve_ == losses(model)
    assert model.loss_ == model.loss_curve_[-1]
    assert model.slopes_ == model.history_[-1]["slopes"]
    if early_stopping:
        scores = [record["validation_score"] for record in model.history_]
        assert model.validation_scores_ == scores
        assert model.best_validation_score_ == max(scores)
        assert model.best_loss_ is None
    else:
        assert model.best_loss_ == min(model.loss_curve_)
        assert model.validation_scores_ is None
        assert model.best_validation_score_ is None


@pytest.mark.parametrize("problem", ["binary", "multiclass"])
def test_fitted_attributes_describe_the_layers(mlp, request, problem):
    X, y = request.getfixturevalue(problem)
    model = mlp().fit(X, y)
    n_outputs, link = {"binary": (1, "logistic"), "multiclass": (3, "softmax")}[problem]
    shapes = [(12, 24), (24, 16), (16, n_outputs)]
    assert [coef.shape for coef in model.coefs_] == shapes
    assert [bias.shape for bias in model.intercepts_] == [(n,) for _, n in shapes]
    assert all(sparse.issparse(coef) and coef.format == "csr" for coef in model.coefs_)
    density = [coef.nnz / np.prod(coef.shape) for coef in model.coefs_]
    assert_allclose(model.sparsity_, 1 - np.array(density), atol=1e-15)
    assert (model.n_layers_, model.n_outputs_) == (4, n_outputs)
    assert model.out_activation_ == link
    assert model.n_features_in_ == 12


@pytest.mark.parametrize("problem", ["binary", "multiclass"])
def test_predictions_agree_with_each_other(mlp, request, problem):
    X, y = request.getfixturevalue(problem)
    model = mlp().fit(X, y)
    decision, proba = model.decision_function(X), model.predict_proba(X)
    expected = special.softmax(decision, axis=1) if y.max() > 1 else special.expit(decision)
    assert_allclose(proba if y.max() > 1 else proba[:, 1], expected, rtol=1e-12)
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    assert_allclose(model.predict_log_proba(X), np.log(proba), rtol=1e-9, atol=1e-12)
    assert np.array_equal(model.predict(X), model.classes_[proba.argmax(axis=1)])


@pytest.mark.parametrize("solver", OPTIMIZERS)
@pytest.mark.parametrize("problem", ["binary", "multiclass"])
def test_training_learns(mlp, request, problem, solver):
    X, y = request.getfixturevalue(problem)
    model = mlp(solver=solver, max_iter=60).fit(X, y)
    assert model.score(X, y) > 0.95
    assert model.loss_ < 0.3 * model.loss_curve_[0]


@pytest.mark.parametrize("hidden_layer_sizes", [7, (7,), [7], np.array([7])])
def test_one_hidden_layer_may_be_given_as_a_number(mlp, binary, hidden_layer_sizes):
    model = mlp(hidden_layer_sizes=hidden_layer_sizes).fit(*binary)
    assert [coef.shape for coef in model.coefs_] == [(12, 7), (7, 1)]


def test_verbose_prints_a_line_per_epoch(mlp, binary, capsys):
    model = mlp(verbose=True, early_stopping=True, validation_fraction=0.3).fit(*binary)
    said = capsys.readouterr().out.splitlines()
    full, *lines, anew = [line for line in said if not line.startswith("Compiled")]
    assert anew.startswith("Training anew on all samples, for ")
    assert full == "Layers [3] are full and keep their pattern."
    assert len(lines) == 4
    for line, record in zip(lines, model.history_, strict=True):
        assert f"{record['loss']:.6f}" in line
        assert f"{record['validation_score']:.4f}" in line


# --- stopping and continuing ----------------------------------------------------------


@pytest.mark.parametrize("evolve_every", ["epoch", 2])
def test_early_stopping_restores_weights_and_pattern_of_the_best_epoch(
    mlp, recorder, same_network, evolve_every
):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(150, 12)), rng.integers(3, size=150)
    record = recorder()
    model = mlp(
        early_stopping=True,
        scoring="accuracy",
        evolve_every=evolve_every,
        n_iter_no_change=5,
        max_iter=200,
    )
    model.set_callbacks(record).fit(X[:105], y[:105], X_val=X[105:], y_val=y[105:])
    best = best_epochs(model)
    assert max(best) < model.n_iter_ - 1 < 199
    assert any(same_network(model, record.epochs[epoch]) for epoch in best)
    assert not same_pattern(model.coefs_, record.epochs[-1].coefs_)


def test_validation_scores_are_those_of_samples_left_out(mlp, recorder, multiclass):
    X, y = multiclass
    record = recorder()
    model = mlp(early_stopping=True, validation_fraction=0.2, n_iter_no_change=np.inf)
    model.set_callbacks(record).fit(X, y)
    for epoch, score in zip(record.epochs, model.validation_scores_, strict=True):
        n_right = score * 30  # 20 % of 150 samples
        assert n_right == pytest.approx(round(n_right))
        assert n_right <= np.sum(epoch.predict(X) == y)


@pytest.mark.parametrize("seed", range(3))
def test_validation_part_is_stratified(mlp, seed):
    X, y = np.zeros((200, 12)), np.r_[np.zeros(180, int), np.ones(20, int)]
    model = mlp(early_stopping=True, validation_fraction=0.25, random_state=seed)
    model.set_params(max_iter=1, learning_rate_init=1e-9).fit(X, y)
    assert not model.predict(X).any()
    assert model.validation_scores_ == [45 / 50]


def test_warm_start_continues(mlp, multiclass, same_network):
    steady = {"zeta": 0, "shuffle": False, "solver": "sgd", "momentum": 0.0}
    whole = mlp(max_iter=6, **steady).fit(*multiclass)
    halves = mlp(max_iter=3, warm_start=True, **steady).fit(*multiclass).fit(*multiclass)
    assert same_network(whole, halves)
    assert losses(halves) == losses(whole) == halves.loss_curve_
    assert [record["epoch"] for record in halves.history_] == list(range(6))


def test_fit_starts_anew_without_warm_start(mlp, multiclass, same_network):
    model = mlp().fit(*multiclass)
    first = clone(model).fit(*multiclass)
    model.partial_fit(*multiclass)
    model.fit(*multiclass)
    assert same_network(model, first)
    assert losses(model) == losses(first)


def test_fit_forgets_what_partial_fit_was_at(mlp, multiclass, same_network):
    X, y = multiclass
    fresh = mlp().fit(X, y).partial_fit(X, y)
    used = mlp(zeta=0).partial_fit(X, y, classes=[0, 1, 2]).set_params(zeta=0.3)
    assert same_network(used.fit(X, y).partial_fit(X, y), fresh)


def test_partial_fit_is_one_epoch_without_evolution(mlp, multiclass, same_network):
    X, y = multiclass
    passes = mlp(zeta=0.3)
    for n_passes in range(1, 4):
        passes.partial_fit(X, y, classes=[0, 1, 2])
        assert passes.n_iter_ == len(passes.history_) == n_passes
    assert same_network(passes, mlp(zeta=0, max_iter=3).fit(X, y))
    assert losses(passes) == losses(mlp(zeta=0, max_iter=3).fit(X, y))


def test_partial_fit_continues_from_fit(mlp, multiclass):
    X, y = multiclass
    model = mlp(max_iter=10).fit(X, y)
    fitted = model.loss_
    model.partial_fit(X, y)
    assert len(model.history_) == 11
    assert model.loss_ < 1.5 * fitted < model.loss_curve_[0]


def test_partial_fit_knows_classes_it_has_not_seen(mlp, multiclass):
    X, y = multiclass
    model = mlp().partial_fit(X[y < 2], y[y < 2], classes=[0, 1, 2])
    assert model.predict_proba(X).shape == (150, 3)
    for _ in range(30):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize("parameter", ["learning_rate_init", "alpha", "batch_size"])
def test_parameters_set_between_partial_fits_count(
    mlp, multiclass, same_network, parameter
):
    X, y = multiclass
    value = {"learning_rate_init": 0.5, "alpha": 100.0, "batch_size": 7}[parameter]
    model = mlp().partial_fit(X, y, classes=[0, 1, 2])
    changed = clone(model).partial_fit(X, y, classes=[0, 1, 2])
    changed.set_params(**{parameter: value})
    assert not same_network(model.partial_fit(X, y), changed.partial_fit(X, y))


@pytest.mark.parametrize("limit", [1, 3])
def test_no_improvement_by_tol_stops(mlp, multiclass, limit):
    model = mlp(max_iter=50, tol=1e9, n_iter_no_change=limit).fit(*multiclass)
    assert model.n_iter_ == limit + 2


def test_infinite_patience_trains_to_the_end(mlp, multiclass):
    model = mlp(max_iter=30, tol=1e9, n_iter_no_change=np.inf).fit(*multiclass)
    assert model.n_iter_ == 30


# --- learning rates -------------------------------------------------------------------


@pytest.mark.parametrize("name", LEARNING_RATES)
def test_every_learning_rate_starts_at_its_initial_value(mlp, multiclass, name):
    model = mlp(learning_rate=name, learning_rate_init=0.02, max_iter=6).fit(*multiclass)
    rates = [record["learning_rate"] for record in model.history_]
    assert rates[0] == pytest.approx(0.02)
    assert all(0 < rate <= 0.02 for rate in rates)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("constant", lambda epoch: 0.02),
        ("invscaling", lambda epoch: 0.02 / (150 * epoch + 1) ** 0.4),
        ("exponential", lambda epoch: 0.02 * 0.99**epoch),
        ("cosine", lambda epoch: 0.01 * (1 + np.cos(np.pi * epoch / 6))),
    ],
)
def test_learning_rates_follow_their_formula(mlp, multiclass, name, rate):
    params = {"learning_rate_init": 0.02, "power_t": 0.4, "max_iter": 6}
    model = mlp(learning_rate=name, **params).fit(*multiclass)
    rates = [record["learning_rate"] for record in model.history_]
    assert_allclose(rates, [rate(epoch) for epoch in range(6)], rtol=1e-12)


def test_adaptive_rate_falls_on_every_plateau_and_ends_training(mlp, multiclass):
    params = {"learning_rate": "adaptive", "tol": 1e9, "n_iter_no_change": 1}
    model = mlp(learning_rate_init=1e-4, max_iter=50, **params).fit(*multiclass)
    rates = [record["learning_rate"] for record in model.history_]
    expected = [1e-4] * 3 + [2e-5] * 2 + [4e-6] * 2 + [8e-7] * 2
    assert_allclose(rates, expected, rtol=1e-12)


def test_rate_in_history_is_the_rate_used(mlp, multiclass, same_network):
    params = {"solver": "sgd", "momentum": 0.0, "max_iter": 1, "shuffle": False, "alpha": 0}
    start = mlp(learning_rate_init=1e-300, **params).fit(*multiclass)
    small = mlp(learning_rate_init=1e-6, **params).fit(*multiclass)
    large = mlp(learning_rate_init=2e-6, **params).fit(*multiclass)
    one = small.coefs_[0].data - start.coefs_[0].data
    two = large.coefs_[0].data - start.coefs_[0].data
    assert_allclose(two, 2 * one, rtol=1e-3, atol=1e-12)
    assert np.abs(one).max() > 1e-8


# --- weights of classes and samples ---------------------------------------------------


def mean_proba(model, X):
    return model.predict_proba(X)[:, 0].mean()


def test_class_weight_shifts_predictions(mlp, multiclass):
    X, y = multiclass
    plain = mlp().fit(X, y)
    shifted = mlp(class_weight={0: 20.0}).fit(X, y)
    assert mean_proba(shifted, X) > mean_proba(plain, X) + 0.05


def test_sample_weight_shifts_predictions(mlp, multiclass):
    X, y = multiclass
    plain = mlp().fit(X, y)
    shifted = mlp().fit(X, y, sample_weight=np.where(y == 0, 20.0, 1.0))
    assert mean_proba(shifted, X) > mean_proba(plain, X) + 0.05


def test_class_weights_are_sample_weights(mlp, multiclass, same_network):
    X, y = multiclass
    weights = {0: 0.5, 1: 2.0, 2: 1.25}
    by_class = mlp(class_weight=weights).fit(X, y)
    by_sample = mlp().fit(X, y, sample_weight=[weights[label] for label in y])
    assert same_network(by_class, by_sample)
    assert not same_network(by_class, mlp().fit(X, y))


def test_class_and_sample_weights_multiply(mlp, multiclass, same_network):
    X, y = multiclass
    sample_weight = np.random.default_rng(0).uniform(0.5, 2, y.size)
    both = mlp(class_weight={1: 4.0}).fit(X, y, sample_weight.copy())
    product = mlp().fit(X, y, sample_weight * np.where(y == 1, 4.0, 1.0))
    assert same_network(both, product)


@pytest.mark.parametrize("class_weight", [{0: 5.0}, "balanced"])
def test_class_weight_leaves_the_given_sample_weight_alone(mlp, multiclass, class_weight):
    X, y = multiclass
    sample_weight = np.linspace(1, 2, y.size)
    mlp(class_weight=class_weight).fit(X, y, sample_weight)
    assert np.array_equal(sample_weight, np.linspace(1, 2, y.size))


def test_balanced_classes_weigh_the_same(mlp, multiclass, same_network):
    X, y = multiclass
    rows = np.r_[np.flatnonzero(y == 0)[:10], np.flatnonzero(y > 0)]
    X, y = X[rows], y[rows]
    weights = compute_class_weight("balanced", classes=np.arange(3), y=y)
    balanced = mlp(class_weight="balanced").fit(X, y)
    explicit = mlp(class_weight=dict(enumerate(weights))).fit(X, y)
    assert same_network(balanced, explicit)
    assert not same_network(balanced, mlp().fit(X, y))


def test_class_weight_counts_in_partial_fit(mlp, multiclass, same_network):
    X, y = multiclass
    by_class = mlp(class_weight={0: 3.0}).partial_fit(X, y, classes=[0, 1, 2])
    by_sample = mlp().partial_fit(
        X, y, classes=[0, 1, 2], sample_weight=np.where(y == 0, 3.0, 1.0)
    )
    assert same_network(by_class, by_sample)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_whole_weights_are_repetitions_in_one_batch(
    mlp, multiclass, same_network, solver, dtype, container
):
    X, y = multiclass
    X = X.astype(dtype)
    rng = np.random.default_rng(5)
    weights = rng.integers(4, size=y.size)
    repeated = rng.permutation(np.repeat(np.arange(y.size), weights))
    params = {"batch_size": 1000, "solver": solver, "max_iter": 8, "dropout": 0.2}
    weighted = mlp(**params).fit(container(X), y, sample_weight=weights)
    expected = mlp(**params).fit(container(X[repeated]), y[repeated])
    assert same_network(weighted, expected)
    assert losses(weighted) == losses(expected)
    assert not same_network(weighted, mlp(**params).fit(container(X), y))


@pytest.mark.parametrize("batch_size", [32, 1000])
def test_weight_zero_removes_a_sample(mlp, multiclass, same_network, batch_size):
    X, y = multiclass
    X = X.copy()
    weights = np.random.default_rng(5).uniform(0.5, 2.0, y.size)
    weights[::3] = 0
    kept = weights > 0
    X[~kept] = 1e6
    weighted = mlp(batch_size=batch_size).fit(X, y, sample_weight=weights)
    removed = mlp(batch_size=batch_size).fit(X[kept], y[kept], sample_weight=weights[kept])
    assert same_network(weighted, removed)
    assert losses(weighted) == losses(removed)


def test_class_whose_samples_all_weigh_zero_is_removed(mlp, multiclass):
    X, y = multiclass
    model = mlp().fit(X, y, sample_weight=(y > 0).astype(float))
    assert model.classes_.tolist() == [1, 2]


# --- dropout --------------------------------------------------------------------------


def test_dropout_changes_training_but_not_prediction(mlp, multiclass, same_network):
    X, y = multiclass
    plain, dropping = mlp(zeta=0).fit(X, y), mlp(zeta=0, dropout=0.5).fit(X, y)
    assert not same_network(plain, dropping)
    assert same_pattern(plain.coefs_, dropping.coefs_)
    predicted = dropping.predict_proba(X)
    assert np.array_equal(dropping.set_params(dropout=0.0).predict_proba(X), predicted)


def test_dropped_neurons_are_not_trained(mlp, binary):
    X, y = binary[0][:1], binary[1][:1]
    params = {"hidden_layer_sizes": 40, "activation": "tanh", "epsilon": 100}
    params |= {"solver": "sgd", "alpha": 0, "dropout": 0.5}
    start, model = (
        mlp(learning_rate_init=rate, **params).partial_fit(X, y, classes=[0, 1])
        for rate in (1e-300, 0.1)
    )
    output_moved = abs(model.coefs_[1].toarray() - start.coefs_[1].toarray()) > 1e-12
    bias_moved = abs(model.intercepts_[0] - start.intercepts_[0]) > 1e-12
    assert np.array_equal(output_moved[:, 0], bias_moved)
    assert 8 < bias_moved.sum() < 32


def test_dropout_draws_new_masks_for_every_batch(mlp, multiclass):
    X, y = multiclass
    still = {"learning_rate_init": 1e-300, "batch_size": 150, "shuffle": False, "zeta": 0}
    dropping = mlp(dropout=0.5, **still).fit(X, y)
    assert len(set(losses(dropping))) == 4
    assert len(set(losses(mlp(dropout=0.0, **still).fit(X, y)))) == 1


# --- precision ------------------------------------------------------------------------


def in_both_precisions(model, X, y):
    """The same fitted network twice: in float32, and in float64 with equal weights."""
    single = model.fit(X.astype(np.float32), y)
    double = clone(single).fit(X.astype(np.float32).astype(np.float64), y)
    double.coefs_ = [coef.astype(np.float64) for coef in single.coefs_]
    double.intercepts_ = [bias.astype(np.float64) for bias in single.intercepts_]
    return single, double


def outputs(model, X):
    return [
        getattr(model, method)(X)
        for method in ("decision_function", "predict_proba", "predict_log_proba")
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("problem", ["binary", "multiclass"])
def test_precision_of_the_input_is_kept(mlp, request, problem, dtype):
    X, y = request.getfixturevalue(problem)
    for container in (np.asarray, sparse.csr_array):
        data = container(X.astype(dtype))
        model = mlp(early_stopping=True, validation_fraction=0.3, dropout=0.1).fit(data, y)
        for array in [*model.coefs_, *model.intercepts_, *outputs(model, data)]:
            assert array.dtype == dtype


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, bool, np.float16])
def test_other_types_are_computed_in_float64(mlp, binary, dtype):
    X, y = binary
    model = mlp().fit((X > 0).astype(dtype), y)
    assert {coef.dtype for coef in model.coefs_} == {np.dtype(np.float64)}


@pytest.mark.parametrize("problem", ["binary", "multiclass"])
def test_prediction_is_computed_in_the_precision_of_the_weights(mlp, request, problem):
    X, y = request.getfixturevalue(problem)
    X = X.astype(np.float32)
    single, double = in_both_precisions(mlp(), X, y)
    low, high = single.decision_function(X), double.decision_function(X)
    assert (low.dtype, high.dtype) == (np.float32, np.float64)
    assert_allclose(low, high, rtol=1e-3, atol=1e-4)
    assert np.any(low != high.astype(np.float32))
    a = X.astype(np.float64)
    for coef, bias, slope in zip(
        double.coefs_, double.intercepts_, [-0.25, 0.25, 1.0], strict=True
    ):
        z = a @ coef.toarray() + bias
        a = np.where(z > 0, z, slope * z)
    assert_allclose(high.reshape(a.shape), a, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_training_is_computed_in_the_precision_of_the_weights(mlp, multiclass, solver):
    X, y = multiclass
    X = X.astype(np.float32)
    params = {"solver": solver, "warm_start": True, "zeta": 0, "max_iter": 1}
    single, double = in_both_precisions(mlp(**params), X, y)
    start = single.coefs_[0].data
    single.fit(X, y)
    double.fit(X.astype(np.float64), y)
    low, high = single.coefs_[0].data, double.coefs_[0].data
    assert (low.dtype, high.dtype) == (np.float32, np.float64)
    assert np.abs(high - start).max() > 1e-3
    assert_allclose(low, high, atol=1e-4)
    assert np.mean(low != high.astype(np.float32)) > 0.05
    assert np.mean(high == high.astype(np.float32)) < 0.05


def test_float32_loss_differs_from_float64_by_float32_rounding(mlp, multiclass):
    X, y = multiclass
    X = X.astype(np.float32)
    params = {"warm_start": True, "zeta": 0, "max_iter": 1, "learning_rate_init": 1e-300}
    single, double = in_both_precisions(mlp(**params), X, y)
    low, high = single.fit(X, y).loss_, double.fit(X.astype(np.float64), y).loss_
    assert 0 < abs(low - high) < 1e-5 * high


# --- sparse input ---------------------------------------------------------------------


def untidy_csr(X):
    """X as CSR with every value split in two unsorted entries, and explicit zeros."""
    n, d = X.shape
    rows = np.tile(np.repeat(np.arange(n), d), 3)
    columns = np.concatenate([np.tile(np.arange(d), n), np.tile(np.arange(d)[::-1], n)] * 2)
    half = (X / 4).ravel()
    rest = (X - X / 4)[:, ::-1].ravel()
    values = np.concatenate([half, rest, np.zeros(n * d)])
    order = np.argsort(rows, kind="stable")
    indptr = np.arange(n + 1) * 3 * d
    return sparse.csr_array(
        (values[order], columns[: rows.size][order], indptr), shape=X.shape
    )


@pytest.mark.parametrize("batch_size", [32, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_csr_input_equals_dense_input(mlp, multiclass, same_network, dtype, batch_size):
    X, y = multiclass
    untidy = untidy_csr(np.where(np.abs(X) > 0.5, X, 0).astype(dtype))
    dense = untidy.toarray()
    assert untidy.nnz == 3 * X.size
    by_csr = mlp(batch_size=batch_size).fit(untidy, y)
    by_array = mlp(batch_size=batch_size).fit(dense, y)
    assert untidy.nnz == 3 * X.size
    assert same_network(by_csr, by_array)
    for ours, expected in zip(
        outputs(by_csr, untidy), outputs(by_array, dense), strict=True
    ):
        assert np.array_equal(ours, expected)


@pytest.mark.parametrize("batch_size", [32, 1000])
def test_partial_fit_of_csr_input_equals_dense_input(
    mlp, multiclass, same_network, batch_size
):
    X, y = multiclass
    models = []
    for data in (untidy_csr(X), untidy_csr(X).toarray()):
        model = mlp(batch_size=batch_size).partial_fit(data, y, classes=[0, 1, 2])
        models.append(model.partial_fit(data[:100], y[:100]))
    assert same_network(*models)


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "lil", "dok"])
@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csr_matrix])
def test_every_sparse_layout_trains(mlp, multiclass, same_network, kind, layout):
    X, y = multiclass
    model = mlp().fit(kind(X).asformat(layout), y)
    assert same_network(model, mlp().fit(X, y))


def test_csr_input_with_64_bit_indices_trains(mlp, multiclass, same_network):
    X, y = multiclass
    wide = sparse.csr_array(X)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    assert same_network(mlp().fit(wide, y), mlp().fit(X, y))


@pytest.fixture
def wide():
    """Sparse data of 3000 x 8000, which would take 192 MB if made dense."""
    rng = np.random.default_rng(0)
    X = sparse.random_array((3000, 8000), density=5e-4, format="csr", rng=rng)
    return X, rng.integers(2, size=3000)


@pytest.fixture
def never_dense(monkeypatch):
    """Forbid scipy's ways of making a CSR matrix dense."""

    def forbidden(*args, **kwargs):
        raise AssertionError("a sparse matrix was made dense as a whole")

    for kind in (sparse.csr_array, sparse.csr_matrix):
        for method in ("toarray", "todense", "__array__"):
            monkeypatch.setattr(kind, method, forbidden, raising=False)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_csr_input_is_never_made_dense_as_a_whole(mlp, wide, never_dense, early_stopping):
    X, y = wide
    model = mlp(
        hidden_layer_sizes=(8,),
        epsilon=0.5,
        max_iter=1,
        early_stopping=early_stopping,
        validation_fraction=0.3,
    )
    tracemalloc.start()
    try:
        model.fit(X, y).predict_proba(X)
        model.partial_fit(X, y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0 < peak < X.shape[0] * X.shape[1] * 8 / 5


# --- labels ---------------------------------------------------------------------------


LABELS = {
    "text": np.array(["one", "two", "three"]),
    "object": np.array(["b", "a", "c"], dtype=object),
    "negative": np.array([-5, 7, 0]),
    "float": np.array([-1.0, 2.0, 10.0]),
    "uint8": np.array([0, 200, 255], dtype=np.uint8),
    "bool": np.array([False, True]),
    "minus_one": np.array([-1, 1]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_any_labels_train_as_their_codes(mlp, multiclass, same_network, kind):
    X, codes = multiclass
    labels = LABELS[kind]
    codes = codes % labels.size
    y = labels[codes]
    model = mlp(max_iter=20).fit(X, y)
    assert np.array_equal(model.classes_, np.unique(labels))
    assert model.predict(X).dtype == model.classes_.dtype
    assert np.mean(model.predict(X) == y) > 0.8
    assert same_network(model, mlp(max_iter=20).fit(X, np.searchsorted(model.classes_, y)))


@pytest.mark.parametrize("kind", LABELS)
def test_any_labels_train_in_partial_fit(mlp, multiclass, kind):
    X, codes = multiclass
    labels = LABELS[kind]
    y = labels[codes % labels.size]
    model = mlp()
    for _ in range(20):
        model.partial_fit(X, y, classes=labels)
    assert np.array_equal(model.classes_, np.unique(labels))
    assert np.mean(model.predict(X) == y) > 0.8


@pytest.mark.parametrize("dtype", ["category", "str", "object", "Int64"])
def test_pandas_labels_train(mlp, multiclass, dtype):
    X, codes = multiclass
    values = codes - 1 if dtype == "Int64" else np.array(["u", "v", "w"])[codes]
    y = pd.Series(values).astype(dtype)
    model = mlp(max_iter=20).fit(X, y)
    assert model.classes_.tolist() == sorted(set(values.tolist()))
    assert np.mean(model.predict(X) == values) > 0.8


def test_list_labels_train(mlp, multiclass, same_network):
    X, y = multiclass
    assert same_network(mlp().fit(X.tolist(), y.tolist()), mlp().fit(X, y))


# --- public arrays are the truth ------------------------------------------------------


@pytest.fixture
def edited(mlp, multiclass):
    """A fitted estimator of which half of the first layer was cut by hand."""

    def make(**params):
        model = mlp(zeta=0, warm_start=True, **params).fit(*multiclass)
        coef = model.coefs_[0]
        coef.data[::2] = 0
        coef.eliminate_zeros()
        model.coefs_[1].data *= 2
        model.intercepts_[1][:] = np.linspace(-1, 1, 16)
        return model

    return make


def test_edited_arrays_are_predicted_with(edited, multiclass):
    X, _ = multiclass
    model = edited()
    before = model.predict_proba(X)
    for coef, bias in zip(model.coefs_[2:], model.intercepts_[2:], strict=True):
        coef.data[:] = 0
        bias[:] = [3.0, 0.0, -1.0]
    expected = special.softmax([3.0, 0.0, -1.0])
    assert_allclose(model.predict_proba(X), np.tile(expected, (len(X), 1)), rtol=1e-12)
    assert not np.allclose(before, expected, atol=0.01)


def test_replaced_arrays_may_have_any_sparse_layout(edited, multiclass):
    X, _ = multiclass
    model = edited()
    expected = model.predict_proba(X)
    model.coefs_ = [coef.tocoo() for coef in model.coefs_]
    assert np.array_equal(model.predict_proba(X), expected)


def untidy_csc(coef):
    """The same matrix as CSC, with every value split in two entries, unsorted."""
    tidy = coef.tocsc()
    columns = np.repeat(np.arange(coef.shape[1]), np.diff(tidy.indptr))
    order = np.lexsort((-np.tile(tidy.indices, 2), np.tile(columns, 2)))
    values = np.tile(tidy.data / 2, 2)[order]
    rows = np.tile(tidy.indices, 2)[order]
    return sparse.csc_array((values, rows, 2 * tidy.indptr), shape=coef.shape)


def test_untidy_arrays_are_tidied_before_use_and_left_alone(
    edited, multiclass, same_network
):
    X, y = multiclass
    tidy, untidy = edited(), edited()
    coefs = untidy.coefs_ = [untidy_csc(coef) for coef in tidy.coefs_]
    before = [coef.data.copy() for coef in coefs]
    assert np.array_equal(untidy.predict_proba(X), tidy.predict_proba(X))
    assert same_network(untidy.partial_fit(X, y), tidy.partial_fit(X, y))
    assert all(map(np.array_equal, before, [coef.data for coef in coefs]))


def test_sorted_csc_arrays_are_left_alone(edited, multiclass):
    model = edited()
    coefs = model.coefs_ = [coef.tocsc() for coef in model.coefs_]
    before = [coef.data.copy() for coef in coefs]
    model.partial_fit(*multiclass)
    assert all(map(np.array_equal, before, [coef.data for coef in coefs]))


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_training_continues_from_edited_arrays(edited, multiclass, method):
    model = edited(learning_rate_init=0.01)
    model.set_params(learning_rate_init=1e-300)
    start = [coef.copy() for coef in model.coefs_]
    getattr(model, method)(*multiclass)
    assert model.coefs_[0] is not start[0]
    assert same_pattern(start, model.coefs_)
    for before, after in zip(start, model.coefs_, strict=True):
        assert np.array_equal(before.data, after.data)
    assert np.array_equal(model.intercepts_[1], np.linspace(-1, 1, 16))
    assert model.n_connections_[0] == start[0].nnz


def test_edits_between_partial_fits_count(mlp, multiclass):
    X, y = multiclass
    model = mlp(learning_rate_init=1e-300).partial_fit(X, y, classes=[0, 1, 2])
    model.coefs_[0].data[::2] = 0
    model.coefs_[0].eliminate_zeros()
    start = [coef.copy() for coef in model.coefs_]
    model.partial_fit(X, y)
    assert same_pattern(start, model.coefs_)
    assert np.array_equal(model.coefs_[0].data, start[0].data)


def test_training_leaves_earlier_arrays_alone(mlp, multiclass):
    X, y = multiclass
    model = mlp(evolve_every=2).partial_fit(X, y, classes=[0, 1, 2])
    kept, start = model.coefs_[0], model.coefs_[0].copy()
    model.partial_fit(X, y)
    assert np.array_equal(kept.data, start.data)
    assert np.array_equal(kept.indices, start.indices)
    assert not np.array_equal(model.coefs_[0].data, start.data)


# --- training that cannot go on -------------------------------------------------------


def assert_finite(model):
    for array in [*(coef.data for coef in model.coefs_), *model.intercepts_]:
        assert np.isfinite(array).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_overflow_stops_with_advice_and_keeps_finite_weights(mlp, binary, dtype):
    X, y = binary
    model = mlp(solver="sgd", learning_rate_init=1e6, max_iter=100)
    with pytest.warns(ConvergenceWarning, match="Lower learning_rate_init"):
        model.fit(X.astype(dtype), y)
    assert_finite(model)
    assert model.n_iter_ == len(model.history_) == len(model.loss_curve_) < 100
    assert np.isfinite(model.loss_curve_).all()


@pytest.mark.parametrize("early_stopping", [False, True])
def test_overflow_in_the_first_epoch_keeps_the_initial_weights(
    mlp, multiclass, early_stopping
):
    X, y = multiclass
    model = mlp(solver="sgd", learning_rate_init=1e200, early_stopping=early_stopping)
    model.set_params(validation_fraction=0.3)
    with pytest.warns(ConvergenceWarning, match="after 0 epochs"):
        model.fit(X, y)
    assert_untrained(model, X, y)
    assert np.isfinite(model.predict_proba(X)).all()


def test_overflow_keeps_the_best_network_of_early_stopping(mlp, recorder, same_network):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(150, 12)), rng.integers(3, size=150)
    record = recorder()
    model = mlp(solver="sgd", learning_rate_init=1e3, max_iter=100, early_stopping=True)
    model.set_params(validation_fraction=0.3).set_callbacks(record)
    with pytest.warns(ConvergenceWarning, match="learning_rate_init"):
        model.fit(X, y)
    best = best_epochs(model)
    assert any(same_network(model, record.epochs[epoch]) for epoch in best)


def test_overflow_in_partial_fit_can_be_recovered_from(mlp, multiclass):
    X, y = multiclass
    model = mlp(solver="sgd", learning_rate_init=1e200)
    with pytest.warns(ConvergenceWarning, match="Lower learning_rate_init"):
        model.partial_fit(X, y, classes=[0, 1, 2])
    assert_finite(model)
    model.set_params(learning_rate_init=0.01)
    for _ in range(20):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.8


@pytest.mark.parametrize("early_stopping", [False, True])
def test_interrupt_from_a_callback_keeps_the_epochs_done(
    mlp, recorder, multiclass, same_network, early_stopping
):
    X, y = multiclass
    params = {"early_stopping": early_stopping}
    validation = {"X_val": X[::3], "y_val": y[::3]} if early_stopping else {}
    model = mlp(max_iter=9, **params).set_callbacks(recorder(interrupt_after=3))
    with pytest.warns(ConvergenceWarning, match="interrupted after 3 epochs"):
        model.fit(X, y, **validation)
    expected = mlp(max_iter=3, **params).fit(X, y, **validation)
    assert same_network(model, expected)
    assert model.n_iter_ == 3
    assert losses(model) == losses(expected) == model.loss_curve_


def interrupt(monkeypatch, call, owner=kernels, name="gather_dense"):
    """Press Ctrl-C at a given call (counted from 1) of a function in this thread.

    Training without threads gathers once for every batch.
    """
    calls = iter(range(1, 10**6))
    function = getattr(owner, name)

    def interrupted(*args, **kwargs):
        here = threading.current_thread() is threading.main_thread()
        if here and next(calls) == call:
            raise KeyboardInterrupt
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, interrupted)
    if name != "update":
        # A compiled call has no points within it.
        monkeypatch.setattr(Program, "of", lambda *_: None)


def fit_interrupted(model, data, monkeypatch, *point):
    with monkeypatch.context() as patch:
        interrupt(patch, *point)
        with pytest.warns(ConvergenceWarning, match="interrupted after . epochs"):
            return model.fit(*data)


@pytest.mark.parametrize("evolve_every", ["epoch", 2])
def test_interrupt_within_an_epoch_goes_back_to_its_beginning(
    mlp, multiclass, same_network, monkeypatch, evolve_every
):
    model = mlp(max_iter=9, evolve_every=evolve_every)
    beginning = fit_interrupted(clone(model), multiclass, monkeypatch, 11)
    for call in (13, 15):
        fit_interrupted(model, multiclass, monkeypatch, call)
        assert model.n_iter_ == 2
        assert same_network(model, beginning)
    finished = mlp(max_iter=2, evolve_every=evolve_every).fit(*multiclass)
    assert losses(model) == losses(finished)
    assert same_network(model, finished) == (evolve_every == 2)
    if evolve_every == "epoch":
        assert_is_evolved(model, finished)


def assert_is_evolved(model, before):
    """Connections have moved since, and none has learned."""
    n_grown = 0
    for coef, old in zip(model.coefs_, before.coefs_, strict=True):
        values, old_values = coef.toarray(), old.toarray()
        survived = values != 0
        assert np.array_equal(values[survived], old_values[survived])
        n_grown += coef.nnz - survived.sum()
    assert n_grown == model.history_[-1]["n_grown"] > 0
    assert before.history_[-1]["n_grown"] == 0


def test_interrupt_within_the_first_epoch_keeps_the_initial_weights(
    mlp, multiclass, monkeypatch
):
    interrupt(monkeypatch, call=3)
    with pytest.warns(ConvergenceWarning, match="interrupted after 0 epochs"):
        model = mlp().fit(*multiclass)
    assert_untrained(model, *multiclass)


def test_interrupt_while_full_layers_are_named_keeps_the_initial_weights(
    mlp, multiclass, monkeypatch
):
    model = mlp(verbose=True, epsilon=1_000)
    with monkeypatch.context() as patch:
        patch.setattr("builtins.print", Mock(side_effect=KeyboardInterrupt))
        with pytest.warns(ConvergenceWarning, match="interrupted after 0 epochs"):
            model.fit(*multiclass)
    assert_untrained(model, *multiclass)


def test_interrupt_of_partial_fit_is_raised_and_leaves_the_weights(
    mlp, multiclass, same_network, monkeypatch
):
    X, y = multiclass
    model = mlp().partial_fit(X, y, classes=[0, 1, 2])
    before = clone(model).partial_fit(X, y, classes=[0, 1, 2])
    interrupt(monkeypatch, call=3)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(X, y)
    assert same_network(model, before)


@pytest.fixture
def two_threads(monkeypatch):
    """Estimators with n_jobs=2 share even the least work."""
    monkeypatch.setattr(workers, "MIN_WORK", 0)
    monkeypatch.setattr(workers, "available_cores", lambda: 2)
    monkeypatch.setattr(workers.Pace, "shares", lambda pace: True)


@pytest.mark.usefixtures("interruptible", "two_threads")
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("n_times", [1, 2])
def test_an_epoch_that_ends_as_ctrl_c_comes_is_entered(
    mlp, multiclass, same_network, monkeypatch, n_jobs, n_times
):
    expected = mlp(max_iter=1).fit(*multiclass)
    record = SparseMLPClassifier._record

    def interrupted(model, entry):
        for _ in range(n_times):
            signal.raise_signal(signal.SIGINT)
        record(model, entry)

    monkeypatch.setattr(SparseMLPClassifier, "_record", interrupted)
    model = mlp(n_jobs=n_jobs)
    with pytest.warns(ConvergenceWarning, match="interrupted after 1 epochs"):
        model.fit(*multiclass)
    assert losses(model) == losses(expected)
    assert same_network(model, expected)


POINTS = {
    "task": (workers.Workers, "_hand_out"),
    "meeting": (workers.Member, "wait"),
    "update": (kernels, "update"),
    "gather": (kernels, "gather_dense"),
    "forward": (SparseLayer, "forward"),
    "backward": (SparseLayer, "backward_input"),
    "step": (Adam, "step"),
    "end": (Hidden, "end_epoch"),
    "score": (Network, "logits"),
    "evolution": (RandomGrowth, "evolve"),
}


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("call", [1, 2, 3, 6])
@pytest.mark.parametrize("point", POINTS)
def test_interrupt_at_any_point_leaves_a_sound_network_and_no_thread(
    mlp, multiclass, same_network, monkeypatch, point, call
):
    before = set(threading.enumerate())
    record = ["train_score"] if point == "score" else []
    model = mlp(max_iter=9, n_jobs=2, record=record)
    fit_interrupted(model, multiclass, monkeypatch, call, *POINTS[point])
    assert set(threading.enumerate()) <= before
    n_iter = model.n_iter_
    alone = clone(model).set_params(n_jobs=1)
    if point == "evolution":
        alone.set_params(max_iter=n_iter).fit(*multiclass)
    elif point == "score":
        # The epoch is trained, but has no record.
        alone.set_params(max_iter=n_iter + 1).fit(*multiclass)
    else:
        fit_interrupted(alone, multiclass, monkeypatch, 5 * n_iter + 1)
    assert same_network(model, alone)
    model.set_params(max_iter=2)
    assert same_network(model.fit(*multiclass), clone(model).fit(*multiclass))
    assert set(threading.enumerate()) <= before


class FailsElsewhere(LeakyReLU):
    """Cannot be computed in another than the main thread."""

    def forward(self, z, a, parameters, start, stop):
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("not here")
        super().forward(z, a, parameters, start, stop)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("method", ["fit", "partial_fit", "predict"])
def test_error_in_another_thread_is_raised_and_leaves_no_thread(mlp, multiclass, method):
    X, y = multiclass
    before = set(threading.enumerate())
    model = mlp(activation=FailsElsewhere(), n_jobs=2)
    if method == "predict":
        model.set_params(n_jobs=1).fit(X, y).set_params(n_jobs=2)
        X = np.tile(X, (4, 1))
    arguments = {"predict": (X,), "partial_fit": (X, y, [0, 1, 2])}.get(method, (X, y))
    with pytest.raises(RuntimeError, match="not here"):
        getattr(model, method)(*arguments)
    assert set(threading.enumerate()) <= before


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"growth": "liset"}])
def test_nothing_of_the_training_is_left_after_fit(mlp, multiclass, params, n_jobs):
    def left():
        gc.collect()
        kinds = (Training, Network, SparseLayer, Skips, workers.Workers)
        return {id(thing) for thing in gc.get_objects() if type(thing) in kinds}

    before, threads = left(), set(threading.enumerate())
    model = mlp(n_jobs=n_jobs, validation_fraction=0.3, **params).fit(*multiclass)
    assert left() <= before
    # Small networks stay for the next prediction, as long as the estimator does.
    model.predict(multiclass[0])
    del model
    assert left() <= before
    assert set(threading.enumerate()) <= threads


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_network_of_a_diverged_training_predicts_finite_probabilities(seed):
    X, y = make_classification(150, 12, n_informative=6, n_classes=3, random_state=0)
    X = X.astype(np.float32)
    model = SparseMLPClassifier(
        (24, 16), epsilon=3, solver="sgd", learning_rate_init=1e3, random_state=seed
    )
    with pytest.warns(ConvergenceWarning, match="no longer finite"):
        model.fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()


def test_labels_keep_their_dtype(mlp, binary):
    X, y = binary
    labels = np.array(["no", "yes"], dtype=object)[y]
    assert mlp().fit(X, labels).predict(X).dtype == object


def test_adam_epsilon_below_the_range_of_float32(mlp, multiclass):
    X, y = multiclass
    X = np.hstack([X, np.zeros((len(X), 3))]).astype(np.float32)
    model = mlp(solver="adam", adam_epsilon=1e-50, alpha=0).fit(X, y)
    assert model.n_iter_ == 4
    assert np.isfinite(model.predict_proba(X)).all()
