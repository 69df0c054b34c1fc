"""The seed decides every weight to the last bit, and nothing else does."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from benchmarks.reliability import determinism, golden
from benchmarks.reliability.golden import digest
from sksparse_mlp.activations import ACTIVATIONS, GAReLU
from sksparse_mlp.core import workers
from sksparse_mlp.core.optimizers import OPTIMIZERS
from sksparse_mlp.core.workers import Workers
from sksparse_mlp.topology import GROWTHS, ImportancePruning, LiSET

CONFIGS = {
    "plain": {},
    "dropout": {"dropout": 0.3},
    "early_stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "evolving_often": {"evolve_every": 2},
    "batch_norm": {"batch_norm": True},
    "slope_per_layer": {"activation": GAReLU(update="epoch")},
    "everything_learned": {"activation": ["srelu", "prelu"], "batch_norm": True},
    "liset": {"growth": "liset", "dropout": 0.3},
    "liset_evolving_often": {
        "growth": LiSET(gamma=-5.0, learning_rate_factor=1.0),
        "evolve_every": 2,
    },
    "gradient": {"growth": "gradient"},
    "gradient_evolving_often": {"growth": "gradient", "evolve_every": 2},
    "selection": {"n_features_to_select": 5},
    "pruning": {"pruning": ImportancePruning(share=0.2, start=0.3, every=1)},
    "selection_and_pruning": {
        "growth": "liset",
        "n_features_to_select": 5,
        "pruning": ImportancePruning(share=0.2, start=0.3, every=1),
    },
}


@pytest.fixture
def threads(monkeypatch):
    """Share even the least work among up to seven threads; list those at work."""
    at_work, do = [], Workers._do

    def spy(self, task, member):
        at_work.append(member.rank)
        do(self, task, member)

    monkeypatch.setattr(workers, "MIN_WORK", 0)
    monkeypatch.setattr(workers, "available_cores", lambda: 7)
    monkeypatch.setattr(workers.Pace, "shares", lambda pace: True)
    monkeypatch.setattr(Workers, "_do", spy)
    return at_work


def assert_threads_change_nothing(model, X, y, threads, n_jobs=2):
    serial = clone(model).set_params(n_jobs=1).fit(X, y)
    assert not threads
    shared = clone(model).set_params(n_jobs=n_jobs).fit(X, y)
    assert set(threads) == set(range(n_jobs))
    assert digest(serial) == digest(shared)
    assert serial.loss_curve_ == shared.loss_curve_
    threads.clear()
    assert np.array_equal(serial.predict_proba(X), shared.predict_proba(X))
    assert set(threads) == set(range(n_jobs))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("solver", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_change_nothing(mlp, multiclass, threads, dtype, solver, config):
    X, y = multiclass
    model = mlp(hidden_layer_sizes=(61, 37), solver=solver, **CONFIGS[config])
    assert_threads_change_nothing(model, X.astype(dtype), y, threads)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_threads_change_nothing_for_any_activation(
    mlp, binary, threads, activation, batch_norm
):
    model = mlp(activation=activation, batch_norm=batch_norm)
    assert_threads_change_nothing(model, *binary, threads)


@pytest.mark.parametrize("growth", GROWTHS)
def test_threads_change_nothing_for_any_growth(mlp, multiclass, threads, growth):
    assert_threads_change_nothing(mlp(growth=growth), *multiclass, threads)


@pytest.mark.parametrize("n_jobs", [2, 3])
@pytest.mark.parametrize("growth", GROWTHS)
def test_threads_change_nothing_for_other_targets(mlp, other, threads, growth, n_jobs):
    cls, X, y = other
    params = {"growth": growth, "early_stopping": True, "record": ["train_score"]}
    serial, shared = (mlp(cls, **params, n_jobs=jobs).fit(X, y) for jobs in (1, n_jobs))
    assert set(threads) == set(range(n_jobs))
    assert digest(serial) == digest(shared)
    assert serial.validation_scores_ == shared.validation_scores_
    assert np.array_equal(serial.predict(X), shared.predict(X))


def test_more_threads_than_neurons_change_nothing(mlp, binary, threads):
    model = mlp(hidden_layer_sizes=(3, 2), zeta=0, max_iter=2)
    assert_threads_change_nothing(model, *binary, threads, n_jobs=7)


@pytest.mark.parametrize("n_jobs", [2, 3])
@pytest.mark.parametrize("batch_size", [1, 5, 48, 100])
@pytest.mark.parametrize("growth", GROWTHS)
def test_threads_change_nothing_for_any_batches(
    mlp, multiclass, threads, growth, batch_size, n_jobs
):
    X, y = multiclass
    # The odd sizes have a last batch of fewer samples, or of one.
    n_samples = 41 if batch_size < 10 else 149
    params = {"growth": growth, "batch_size": batch_size, "evolve_every": 4}
    params |= {"alpha": 0.0, "batch_norm": batch_size > 1, "max_iter": 2}
    model = mlp(activation="srelu", **params)
    data = sparse.csr_array(X[:n_samples].astype(np.float32)), y[:n_samples]
    assert_threads_change_nothing(model, *data, threads, n_jobs)


@pytest.mark.parametrize("n_jobs", [2, 3])
@pytest.mark.parametrize("growth", GROWTHS)
def test_threads_change_nothing_of_scores(mlp, multiclass, threads, growth, n_jobs):
    params = {"early_stopping": True, "validation_fraction": 0.3, "dropout": 0.2}
    model = mlp(growth=growth, record=["train_score"], batch_norm=True, **params)
    scores = []
    for jobs in (1, n_jobs):
        fitted = clone(model).set_params(n_jobs=jobs).fit(*multiclass)
        train_scores = [record["train_score"] for record in fitted.history_]
        scores.append((digest(fitted), train_scores, fitted.validation_scores_))
    assert scores[0] == scores[1]
    assert threads


@pytest.mark.parametrize("n_jobs", [2, 3])
@pytest.mark.parametrize("n_samples", [1, 256, 1000])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_threads_change_nothing_of_predictions(
    mlp, multiclass, threads, container, n_samples, n_jobs
):
    X, y = multiclass
    model = mlp(activation="crelu", epsilon=8).fit(X, y)
    # The most are four batches, of which the last is not full.
    many = container(np.tile(X, (7, 1))[:n_samples])
    expected = model.predict_proba(many)
    assert not threads
    model.set_params(n_jobs=n_jobs)
    assert np.array_equal(model.predict_proba(many), expected)
    assert set(threads) == set(range(n_jobs))


# A few of the kept fits, which differ in much.
SOME = ["sgd, liset, float32", "all learned", "pruning", "sparse input", "partial_fit"]


@pytest.mark.parametrize("way", [way for way in determinism.WAYS if "nothing" not in way])
def test_no_circumstance_changes_a_bit(way):
    assert determinism.WAYS[way](SOME) == determinism.here(SOME)


@pytest.mark.nightly
def test_code_compiled_anew_trains_the_same_network():
    # One that needs few kernels, because every one takes a while.
    assert determinism.compiled_anew(["in order"]) == determinism.here(["in order"])


@pytest.mark.parametrize("config", [name for name in CONFIGS if name != "early_stopping"])
@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_partial_fit_continues_after_pickling(mlp, multiclass, solver, config):
    X, y = multiclass
    model = mlp(solver=solver, **CONFIGS[config])
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1, 2])
    restored = pickle.loads(pickle.dumps(model))
    assert digest(restored) == digest(model)
    for _ in range(3):
        model.partial_fit(X, y)
        restored.partial_fit(X, y)
    assert digest(restored) == digest(model)
    assert restored.loss_curve_ == model.loss_curve_


def test_momentum_goes_with_the_pickle(mlp, multiclass):
    X, y = multiclass
    model = mlp(shuffle=False).fit(X, y)
    weights_alone = clone(model).fit(X, y)
    model.partial_fit(X, y)
    weights_alone.coefs_, weights_alone.intercepts_ = model.coefs_, model.intercepts_
    assert digest(weights_alone) == digest(model)
    whole = pickle.loads(pickle.dumps(model))
    assert digest(weights_alone.partial_fit(X, y)) != digest(whole.partial_fit(X, y))


@pytest.mark.parametrize("config", CONFIGS)
def test_clone_and_second_fit_train_the_same_network(mlp, multiclass, config):
    model = mlp(**CONFIGS[config]).fit(*multiclass)
    first = digest(model)
    assert digest(clone(model).fit(*multiclass)) == first
    assert digest(model.fit(*multiclass)) == first


@pytest.mark.parametrize("config", CONFIGS)
def test_seeds_differ(mlp, multiclass, config):
    networks = {
        digest(mlp(random_state=seed, **CONFIGS[config]).fit(*multiclass))
        for seed in range(5)
    }
    assert len(networks) == 5


def test_no_seed_gives_a_new_network_each_time(mlp, multiclass):
    model = mlp(random_state=None)
    assert digest(model.fit(*multiclass)) != digest(model.fit(*multiclass))


def test_random_state_may_be_an_instance(mlp, multiclass):
    def fresh():
        return mlp(random_state=np.random.RandomState(7))

    model = fresh().fit(*multiclass)
    first = digest(model)
    assert digest(fresh().fit(*multiclass)) == first
    assert digest(model.fit(*multiclass)) != first


def test_seed_decides_pattern_weights_and_order_apart(mlp, multiclass):
    still = {"learning_rate_init": 1e-300, "max_iter": 1}
    plain = mlp(**still).fit(*multiclass)
    dropping = mlp(dropout=0.5, shuffle=False, **still).fit(*multiclass)
    for one, other in zip(plain.coefs_, dropping.coefs_, strict=True):
        assert np.array_equal(one.indices, other.indices)
        assert np.array_equal(one.data, other.data)


def global_state():
    _, keys, *position = np.random.get_state()  # noqa: NPY002
    return keys.tolist(), position


@pytest.mark.parametrize("seed", [3, np.random.RandomState])
@pytest.mark.parametrize("config", CONFIGS)
def test_global_random_state_is_neither_read_nor_changed(mlp, multiclass, config, seed):
    networks = set()
    for global_seed in (1, 2):
        np.random.seed(global_seed)  # noqa: NPY002
        before = global_state()
        random_state = seed if isinstance(seed, int) else seed(3)
        model = mlp(random_state=random_state, **CONFIGS[config]).fit(*multiclass)
        model.partial_fit(*multiclass)
        assert global_state() == before
        networks.add(digest(model))
    assert len(networks) == 1


# --- kept results ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept():
    return golden.read()


@pytest.mark.parametrize("name", golden.CASES)
def test_results_are_those_that_were_kept(kept, name):
    case = golden.CASES[name]
    found = golden.summary(case, case.train(case.estimator()))
    assert not golden.changes(case, kept[name], found), (
        "What the same seed gives has changed. If that is meant, write the kept results "
        f"anew with `{golden.COMMAND}` and say so in CHANGELOG.md."
    )


def test_every_kept_result_has_its_case(kept):
    assert list(kept) == list(golden.CASES)


@pytest.mark.parametrize("dtype", golden.TOLERANCES)
@pytest.mark.parametrize(
    "params", [{"alpha": 2e-3}, {"learning_rate_init": 0.0101}, {"random_state": 1}]
)
def test_a_small_change_of_what_is_computed_is_noticed(kept, dtype, params):
    name = f"adam, random, {dtype}"
    case = golden.CASES[name]
    found = golden.summary(case, case.train(case.estimator(**params)))
    assert golden.changes(case, kept[name], found)
