"""Searches and data-parallel training on a Dask cluster of processes."""

import gc
import importlib
import os
import pickle
import signal
import sys
import time
from dataclasses import replace
from itertools import cycle, pairwise, product

import dask
import dask.array as da
import dask.dataframe as dd
import joblib
import numpy as np
import pandas as pd
import pytest
from dask.delayed import Delayed
from distributed import Client, LocalCluster
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_validate

import sksparse_mlp
from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPClassifierCV,
    SparseMLPRegressor,
    SparseMLPRegressorCV,
)
from sksparse_mlp.core.layer import n_connections
from sksparse_mlp.core.samples import Samples
from sksparse_mlp.core.training import Training
from sksparse_mlp.distributed import (
    DaskSparseMLPClassifier,
    DaskSparseMLPRegressor,
    _checkpoint,
    _cluster,
    _local,
    _rounds,
)
from sksparse_mlp.distributed._checkpoint import RoundsFile
from sksparse_mlp.distributed._classifier import class_totals
from sksparse_mlp.distributed._partitions import load
from sksparse_mlp.estimators._members import Course, Lesson
from sksparse_mlp.schedules import LinearDecreasing
from sksparse_mlp.serialization._npz import previous_of

SIZES = 70, 60, 50, 60
# Seconds that a busy machine may need to start a worker.
PATIENCE = 120


@pytest.fixture(scope="module")
def cluster():
    with (
        dask.config.set({"distributed.comm.timeouts.connect": f"{PATIENCE}s"}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    """Not the current client, so that fits without one find none."""
    with Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=PATIENCE)
        yield client


@pytest.fixture(scope="module")
def data():
    """240 samples of 3 classes, 12 features."""
    return make_classification(
        240, 12, n_informative=6, n_classes=3, class_sep=2.0, flip_y=0, random_state=0
    )


@pytest.fixture(scope="module")
def arrays(data):
    """The same as Dask arrays of four partitions."""
    X, y = data
    return da.from_array(X, chunks=(SIZES, 12)), da.from_array(y, chunks=(SIZES,))


@pytest.fixture
def frames(data):
    """The same as Dask dataframe and series of four partitions."""
    X, y = data
    frame = pd.DataFrame(X, columns=[f"f{k}" for k in range(12)]).assign(y=y)
    ends = np.cumsum(SIZES)[:-1]
    parts = [frame.iloc[rows] for rows in np.split(np.arange(240), ends)]
    together = dd.concat([dd.from_pandas(part, npartitions=1) for part in parts])
    return together.drop(columns="y"), together["y"]


def network(**params):
    """A small network, with 12 features sparse in its hidden layers."""
    small = {
        "hidden_layer_sizes": (24, 16),
        "activation": "all_relu",
        "epsilon": 3,
        "alpha": 1e-4,
        "dropout": 0.0,
        "batch_size": 32,
        "learning_rate_init": 0.01,
        "max_iter": 4,
        "n_iter_no_change": np.inf,
        "random_state": 0,
    }
    return SparseMLPClassifier(**small | params)


@pytest.fixture(scope="module")
def distributed_mlp(client):
    """Make a small estimator; parameters with two underscores are the network's."""

    def make(**params):
        own = {k: v for k, v in params.items() if "__" not in k}
        inner = {k.split("__")[1]: v for k, v in params.items() if "__" in k}
        small = {"n_rounds": 4, "client": client}
        return DaskSparseMLPClassifier(network(**inner), **small | own)

    return make


@pytest.fixture(scope="module")
def reference(distributed_mlp, arrays):
    """Four rounds of two epochs, on two workers."""
    return distributed_mlp(epochs_per_round=2).fit(*arrays)


@pytest.fixture
def same(same_network):
    """Whether two fits have the same bits, and the same history but for times."""

    def compare(one, other):
        fields = "round", "epoch", "loss", "zeta", "n_connections", "turnover"
        histories = [
            [[record[name] for name in fields] for record in model.history_]
            for model in (one, other)
        ]
        return (
            same_network(one.estimator_, other.estimator_) and histories[0] == histories[1]
        )

    return compare


# --- joblib's backend -----------------------------------------------------------------


def test_a_search_on_the_cluster_equals_a_sequential_one(data, client, same_network):
    grid = {"zeta": [0.0, 0.3], "slope": [0.1, 0.5]}
    search = GridSearchCV(network(), grid, cv=2)
    sequential = clone(search).fit(*data)
    with joblib.parallel_config(backend="dask", client=client):
        there = clone(search).set_params(n_jobs=-1).fit(*data)
    scores = sequential.cv_results_["mean_test_score"]
    assert np.array_equal(scores, there.cv_results_["mean_test_score"])
    assert np.unique(scores).size > 1
    assert same_network(sequential.best_estimator_, there.best_estimator_)


def test_cross_validation_on_the_cluster_equals_a_sequential_one(
    data, client, same_network
):
    options = {"cv": 3, "return_estimator": True}
    sequential = cross_validate(network(), *data, **options)
    with joblib.parallel_config(backend="dask", client=client):
        there = cross_validate(network(), *data, n_jobs=-1, **options)
    assert np.array_equal(sequential["test_score"], there["test_score"])
    assert all(map(same_network, sequential["estimator"], there["estimator"]))


ENSEMBLES = {
    "grid": (
        SparseMLPClassifierCV(network(), {"alpha": [1e-4, 10]}, refit=True),
        # Of three members of two configurations, three linear models; of the refit.
        [9, 1],
    ),
    "numbers": (
        SparseMLPRegressorCV(
            SparseMLPRegressor((16,), epsilon=3, batch_size=32, max_iter=12),
            n_iter_no_change=np.inf,
        ),
        [6],
    ),
}


@pytest.mark.parametrize(("ensemble", "n_lessons"), ENSEMBLES.values(), ids=ENSEMBLES)
def test_ensembles_train_on_the_workers_and_send_data_once(
    ensemble, n_lessons, data, client, monkeypatch, same_network
):
    ensemble = clone(ensemble).set_params(cv=3, random_state=0)
    here = clone(ensemble).fit(*data)
    sent = []

    def refuse(*args, **kwargs):
        raise AssertionError("This was to be done elsewhere.")

    def to_be_sent(lesson):
        sent.append(lesson)
        return vars(lesson)

    monkeypatch.setattr(Training, "run", refuse)
    monkeypatch.setattr(LogisticRegression, "fit", refuse)
    monkeypatch.setattr(Ridge, "fit", refuse)
    monkeypatch.setattr(Lesson, "__getstate__", to_be_sent, raising=False)
    with joblib.parallel_config(backend="dask", client=client):
        there = clone(ensemble).fit(*data)
    assert len(here.history_) > 1
    assert here.history_ == there.history_
    assert np.array_equal(here.oof_predictions_, there.oof_predictions_)
    for name in ("estimators_", "best_estimator_"):
        pairs = zip(*(np.ravel(getattr(e, name, [])) for e in (here, there)), strict=True)
        assert all(same_network(*pair) for pair in pairs)
    # Once for all epochs: to one worker, from which others have it.
    assert len(sent) == sum(n_lessons)


def test_what_lessons_share_is_sent_once(data, client):
    X, y = data
    samples = Samples(X, y, np.ones(len(y)), np.arange(len(y)))
    lessons = [Lesson(replace(samples, rows=rows), rows) for rows in np.eye(4, dtype=int)]
    (course,) = client.scatter([Course(lessons)], hash=False)
    arrays = client.submit(lambda c: {id(part.samples.X) for part in c.lessons}, course)
    assert len(arrays.result()) == 1


# --- training -------------------------------------------------------------------------


def test_it_learns_and_says_what_it_did(distributed_mlp, arrays, data):
    model = distributed_mlp(n_rounds=10, epochs_per_round=2).fit(*arrays)
    assert model.score(*data) > 0.85
    assert [record["round"] for record in model.history_] == list(range(10))
    assert [record["epoch"] for record in model.history_] == list(range(1, 20, 2))
    assert model.history_[-1]["loss"] < 0.7 * model.history_[0]["loss"]
    for record in model.history_:
        assert record["bytes_sent"] > 0
        assert record["bytes_received"] > 0
        assert 0 < record["train_seconds"] < record["seconds"]
    assert all(0 < record["turnover"] < 1 for record in model.history_)

    fitted = model.estimator_
    assert type(fitted) is SparseMLPClassifier
    assert fitted.max_iter == fitted.n_iter_ == len(fitted.history_) == 20
    assert model.history_[-1]["loss"] == fitted.loss_
    assert np.array_equal(model.classes_, fitted.classes_)
    assert model.n_features_in_ == 12
    assert not hasattr(model, "feature_names_in_")


def test_layers_keep_their_numbers_of_connections(distributed_mlp, arrays):
    model = distributed_mlp(epochs_per_round=3).fit(*arrays)
    sizes = [12, 24, 16, 3]
    wanted = [n_connections(*pair, 3) for pair in pairwise(sizes)]
    assert model.estimator_.n_connections_.tolist() == wanted


def test_schedules_are_planned_over_all_rounds(distributed_mlp, arrays):
    params = {"estimator__learning_rate": "exponential", "estimator__zeta": 0.4}
    model = distributed_mlp(
        n_rounds=3, epochs_per_round=2, estimator__zeta_schedule="linear", **params
    ).fit(*arrays)
    history, schedule = model.estimator_.history_, LinearDecreasing(zeta_max=0.4)
    assert [r["learning_rate"] for r in history] == [0.01 * 0.99**k for k in range(6)]
    assert [r["zeta"] for r in history] == [schedule(k, 6) for k in range(6)]
    assert [record["zeta"] for record in model.history_] == [
        schedule(k, 6) for k in (1, 3, 5)
    ]


NETWORKS = {
    "sgd, batch norm": {"solver": "sgd", "learning_rate_init": 0.1, "batch_norm": True},
    "learned activation": {"activation": "srelu", "growth": "gradient"},
    "liset": {"growth": "liset", "dropout": 0.2},
    "activations": {"growth": "ctre", "zeta_schedule": "loss"},
    "activations by updates": {
        "growth": "ctre",
        "evolve_every": 5,
        "n_features_to_select": 5,
    },
    "fixed pattern": {"zeta": 0.0},
    "by updates": {"evolve_every": 5},
    "neurons leave": {"n_features_to_select": 5, "pruning": "importance"},
    "float32, class weights": {"class_weight": "balanced"},
}


STATES = "averaged", "restarted"
CASES = [*product(list(NETWORKS)[:2], STATES), *zip(list(NETWORKS)[2:], cycle(STATES))]


@pytest.mark.parametrize(("name", "optimizer_state"), CASES)
def test_every_kind_of_network_trains_and_is_sound(
    distributed_mlp, arrays, data, name, optimizer_state
):
    X, y = arrays
    dtype = np.float32 if name.startswith("float32") else np.float64
    params = {f"estimator__{k}": v for k, v in NETWORKS[name].items()}
    model = distributed_mlp(
        n_rounds=10, epochs_per_round=2, optimizer_state=optimizer_state, **params
    ).fit(X.astype(dtype), y)
    fitted = model.estimator_
    assert fitted.coefs_[0].dtype == dtype
    assert model.score(*data) > 0.7
    arrays = fitted.export_arrays()
    copy = SparseMLPClassifier.from_arrays(arrays)
    assert np.array_equal(copy.predict_proba(data[0]), fitted.predict_proba(data[0]))
    turnover = [record["turnover"] for record in model.history_]
    assert (max(turnover) == 0) == (name == "fixed pattern")
    if name == "neurons leave":
        assert fitted.support_.sum() == 5
        assert np.count_nonzero(fitted.feature_importances_) <= 5


def prepared(estimator, data):
    """A partition, and what it is trained from in a first round of one epoch."""
    partition = load(estimator, class_totals, *data, None, with_digest=False)
    estimator._take_known_classes(data[1], None, np.arange(3))
    training = estimator._new_training(np.float64, continued=False)
    training.evolution.attach(training.network)
    return partition, _local.Start(estimator, training, 0, 1, False, True, [])


@pytest.mark.parametrize(
    ("growth", "shapes"),
    [
        ("liset", [(12,), (24,)]),
        ("gradient", [((12, 32), (24, 32)), ((24, 32), (16, 32))]),
        ("ctre", [((12, 32), (24, 32)), ((24, 32), (16, 32))]),
    ],
)
def test_partitions_find_out_what_growth_wants_to_know(data, growth, shapes):
    partition, start = prepared(network(growth=growth, epsilon=2), data)
    start.signallers = [5]
    assert _local.train(start, partition, 4, 1.0).signals == [None] * 3
    signals = _local.train(start, partition, 5, 1.0).signals
    found = [
        signal.shape if growth == "liset" else tuple(part.shape for part in signal)
        for signal in signals[:2]
    ]
    assert found == shapes
    assert all(np.any(signal[0]) for signal in signals[:2])


def test_a_partition_trains_a_copy(data):
    partition, start = prepared(network(), data)
    before = start.training.network.copy()
    weights = [
        _local.train(start, partition, 0, 1.0).network.layers[0].weights for _ in "ab"
    ]
    assert np.array_equal(*weights)
    assert np.array_equal(
        start.training.network.layers[0].weights, before.layers[0].weights
    )
    assert not np.array_equal(weights[0], before.layers[0].weights)
    assert start.training.epoch == 0


def test_only_changed_patterns_come_back(data):
    partition, start = prepared(network(), data)
    sizes = {}
    for n_epochs in (1, 2):
        start.n_epochs = n_epochs
        trained = _local.train(start, partition, 0, 1.0)
        sizes[n_epochs] = _cluster.n_bytes(trained)
        kept = [layer.indices is None for layer in trained.network.layers]
        # The last layer is full and never evolves.
        assert kept == [n_epochs == 1, n_epochs == 1, True]
    assert sizes[2] > sizes[1]


@pytest.mark.parametrize(("averages", "n_updates"), [(True, 12), (False, 0)])
def test_the_optimizer_goes_on_or_starts_anew(data, averages, n_updates):
    partition, start = prepared(network(), data)
    start.averages_state, start.training.epoch = averages, 3
    assert _local._local_training(start, 0, 100).n_updates == n_updates
    trained = _local.train(start, partition, 0, 1.0)
    assert [bool(layer.slots) for layer in trained.network.layers] == [averages] * 3


def test_what_two_have_trained_becomes_one(data):
    _, start = prepared(network(), data)
    pair = []
    for k, share in ((1, 0.125), (2, 0.375)):
        record = {"loss": k, "turnover": 2 * k, "n_pruned": k, "n_grown": 5, "seconds": k}
        record |= {"evolution_seconds": k, "zeta": 0.3}
        signals = [np.full(2, k), ("of", k), None]
        pair.append(
            _local.Trained(
                start.training.network, share, [record] * 2, False, signals, 2 * k, k, 7
            )
        )
    merged = _local.merge(start, *pair)
    wanted = {"loss": 1.75, "turnover": 3.5, "n_pruned": 3, "n_grown": 10, "seconds": 2}
    assert merged.records == [wanted | {"evolution_seconds": 3, "zeta": 0.3}] * 2
    assert (merged.share, merged.train_seconds) == (0.5, 4)
    assert merged.merge_seconds > 2
    assert merged.merged_bytes == 14 + sum(map(_cluster.n_bytes, pair))
    assert merged.signals[0].tolist() == [1.75, 1.75]
    assert merged.signals[1:] == [("of", 1), None]
    assert all(layer.indices is None for layer in merged.network.layers)


def test_training_stops_where_the_loss_no_longer_falls(distributed_mlp, arrays):
    stops = {"estimator__n_iter_no_change": 2, "estimator__tol": 10.0}
    model = distributed_mlp(n_rounds=20, **stops).fit(*arrays)
    assert len(model.history_) < 6
    assert model.estimator_.n_iter_ == len(model.history_)


def test_training_that_diverges_ends_with_the_last_sound_network(distributed_mlp, arrays):
    model = distributed_mlp(estimator__solver="sgd", estimator__learning_rate_init=1e200)
    with pytest.warns(ConvergenceWarning, match=r"after 0 rounds.*1e\+200"):
        model.fit(*arrays)
    assert np.isfinite(model.estimator_.coefs_[0].data).all()
    assert model.history_ == []


def test_small_or_few_partitions_are_said(distributed_mlp, data):
    with pytest.warns(UserWarning, match=r"1 partitions leave 1 of the 2 workers idle"):
        distributed_mlp(n_rounds=1, n_partitions=1).fit(*data)
    with pytest.warns(UserWarning, match=r"smallest partition has 30 .*batch_size is 32"):
        distributed_mlp(n_rounds=1, n_partitions=8).fit(*data)


@pytest.mark.parametrize(("n_partitions", "size"), [(2, 32), (4, 16), (3, 21), (16, 8)])
def test_batches_are_smaller_where_partitions_are_many(
    distributed_mlp, data, n_partitions, size
):
    model = distributed_mlp(
        n_rounds=1,
        n_partitions=n_partitions,
        estimator__batch_size="auto",
        estimator__alpha=0.64,
    )
    assert model.fit(*data).estimator_.batch_size == size
    assert model.estimator_.alpha == pytest.approx(size / 100)
    assert model.estimator.batch_size == "auto"


def test_a_round_goes_on_by_momentum(distributed_mlp, arrays):
    fits = [
        distributed_mlp(n_rounds=1, outer_momentum=m, estimator__zeta=0).fit(*arrays)
        for m in (0.0, 0.9)
    ]
    untrained = network(max_iter=0, zeta=0).fit(*(part.compute() for part in arrays))
    before, mean, after = (
        model.coefs_[0].data for model in (untrained, *(fit.estimator_ for fit in fits))
    )
    assert abs(mean - before).max() > 0.01
    assert np.allclose(after - mean, 0.9 * (mean - before), atol=1e-12)


def test_indicator_matrices(distributed_mlp, arrays, data):
    X, _ = arrays
    labels = np.stack([data[1] == 0, data[1] != 1, data[0][:, 0] > 0], axis=1).astype(int)
    model = distributed_mlp(n_rounds=20).fit(X, da.from_array(labels, chunks=(SIZES, 3)))
    assert model.classes_.tolist() == [0, 1, 2]
    lazily = model.predict(X)
    assert lazily.shape == labels.shape
    assert np.array_equal(lazily.compute(), model.estimator_.predict(data[0]))
    right = model.score(X, da.from_array(labels, chunks=(SIZES, 3)))
    assert right == model.score(data[0], labels) > 0.6
    assert model.predict_proba(X).shape == labels.shape


def regressor(client, **params):
    small = {"hidden_layer_sizes": (24, 16), "epsilon": 4, "batch_size": 32}
    small |= {"learning_rate_init": 0.01, "random_state": 0, "n_iter_no_change": np.inf}
    network = SparseMLPRegressor(**small | params)
    return DaskSparseMLPRegressor(network, n_rounds=15, client=client)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_regression(client, arrays, data, n_outputs):
    X, _ = arrays
    y = 1e3 + 50 * np.stack([data[0][:, 0] + data[0][:, 1], data[0][:, 2]], axis=1)
    y = y[:, 0] if n_outputs == 1 else y
    lazy_y = da.from_array(y, chunks=(SIZES, *y.shape[1:]))
    model = regressor(client).fit(X, lazy_y)
    assert model.score(data[0], y) > 0.8
    assert model.score(X, lazy_y) == pytest.approx(model.score(data[0], y))
    weights = np.arange(240) % 3
    weighted = model.score(X, lazy_y, weights)
    assert weighted == pytest.approx(model.score(data[0], y, weights))
    assert weighted != model.score(X, lazy_y)
    assert model.predict(X).shape == y.shape
    assert np.array_equal(model.predict(X).compute(), model.predict(data[0]))
    # The scale is that of all partitions.
    alone = SparseMLPRegressor(max_iter=0).fit(data[0], y)
    fitted = model.estimator_
    assert np.allclose(fitted.target_scale_, alone.target_scale_, rtol=1e-5)
    assert np.array_equal(fitted.target_range_, alone.target_range_)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(data[0]), model.predict(data[0]))


def test_targets_that_a_loss_cannot_take(client, arrays):
    X, y = arrays
    poisson = regressor(client, loss="poisson")
    refused(poisson, X, y - 1, match="Partition 0 of 4.*negative")
    unknown = da.full(240, np.nan, chunks=(SIZES,))
    refused(regressor(client), X, unknown, match="Partition 0 of 4.*NaN")
    classifier = DaskSparseMLPRegressor(SparseMLPClassifier(), client=client)
    refused(classifier, X, y, match="estimator")


def test_missing_targets_are_left_out(client, arrays, data):
    y = data[0][:, 0] + data[0][:, 1]
    y[::7] = np.nan
    model = regressor(client).fit(arrays[0], da.from_array(y, chunks=(SIZES,)))
    known = ~np.isnan(y)
    assert model.score(data[0][known], y[known]) > 0.8


# --- the same result ------------------------------------------------------------------


def test_the_number_of_workers_does_not_matter(
    distributed_mlp, arrays, reference, cluster, client, same
):
    try:
        for n_workers in (3, 1):
            cluster.scale(n_workers)
            deadline = time.monotonic() + PATIENCE
            while len(client.scheduler_info()["workers"]) != n_workers:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert same(distributed_mlp(epochs_per_round=2).fit(*arrays), reference)
    finally:
        cluster.scale(2)
    assert same(distributed_mlp(epochs_per_round=2).fit(*arrays), reference)


def test_killed_workers_do_not_matter(
    distributed_mlp, arrays, reference, client, same, monkeypatch
):
    """The second one is killed while what the first had done is computed again."""
    processes = sorted(client.run(os.getpid).values())
    compute, rounds = client.compute, []

    def and_kill_in_the_second_round(lazy, **options):
        future = compute(lazy, **options)
        rounds.append(isinstance(lazy, Delayed))
        for process in processes if rounds[-1] and sum(rounds) == 2 else []:
            time.sleep(0.1)
            os.kill(process, signal.SIGKILL)
        return future

    monkeypatch.setattr(client, "compute", and_kill_in_the_second_round)
    model = distributed_mlp(epochs_per_round=2).fit(*arrays)
    assert sum(rounds) == 4
    client.wait_for_workers(2, timeout=PATIENCE)
    assert not set(processes) & set(client.run(os.getpid).values())
    assert same(model, reference)


def test_scattered_data_that_are_lost_are_an_error(
    distributed_mlp, data, client, cluster, monkeypatch
):
    worker = min(client.scheduler_info()["workers"])
    process = client.run(os.getpid)[worker]
    held = [client.scatter(part, workers=[worker], hash=False) for part in data]
    X, y = (
        da.from_delayed(dask.delayed(future), part.shape, part.dtype)
        for future, part in zip(held, data, strict=True)
    )
    merged = _rounds.Rounds._merged

    def kill_first(self, start):
        if not self.history:
            os.kill(process, signal.SIGKILL)
        return merged(self, start)

    monkeypatch.setattr(_rounds.Rounds, "_merged", kill_first)
    with (
        pytest.warns(UserWarning, match="1 of the 2 workers idle"),
        pytest.raises(RuntimeError, match="Partition 0 was lost with its worker"),
    ):
        distributed_mlp().fit(X, y)
    client.wait_for_workers(2, timeout=PATIENCE)


def test_a_task_that_ends_its_workers_is_an_error(distributed_mlp, arrays):
    """As the system does with those that take more memory than there is."""

    def die(block):
        os.kill(os.getpid(), signal.SIGKILL)
        return block

    deadly = arrays[0].map_blocks(die, meta=np.empty((0, 12)))
    match = "want of memory.*smaller partitions"
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(**options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        model = distributed_mlp(client=client)
        refused(model, deadly, arrays[1], match=match, error=RuntimeError)


def n_tasks(client):
    """How many tasks the scheduler knows of, once it has heard of what was released."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        # What was waited for in vain is held by cycles of references.
        gc.collect()
        n_known = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
        if not n_known:
            break
        time.sleep(0.05)
    return n_known


def test_a_result_that_comes_as_its_wait_times_out_is_taken():
    class Late:
        def result(self, timeout=None):
            if timeout is not None:
                raise TimeoutError
            return "there"

        def done(self):
            return True

    assert _cluster.result_of(None, Late()) == "there"


def test_no_task_is_left(distributed_mlp, arrays, monkeypatch):
    options = {"processes": False, "n_workers": 1, "dashboard_address": ":0"}
    with Client(**options, set_as_default=False) as client:
        model = distributed_mlp(client=client).fit(*arrays)
        assert n_tasks(client) == 0

        def interrupt(client, future):
            raise KeyboardInterrupt

        notes = []
        with monkeypatch.context() as patch:
            patch.setattr(_rounds, "result_of", interrupt)
            try:
                model.fit(*arrays)
            except KeyboardInterrupt as interruption:
                notes = interruption.__notes__
        assert notes == ["In round 0."]
        assert n_tasks(client) == 0


def test_a_fit_goes_on_after_the_scheduler_is_lost(
    distributed_mlp, arrays, monkeypatch, tmp_path, same
):
    merged = _rounds.Rounds._merged

    def lose(self, start):
        if len(self.history) == 2:
            cluster.sync(cluster.scheduler.close)
        return merged(self, start)

    options = {"processes": False, "n_workers": 1, "dashboard_address": ":0"}
    model = distributed_mlp(checkpoint=tmp_path / "rounds.npz")
    with (
        # Nobody waits long for what is gone.
        dask.config.set({"distributed.comm.timeouts.connect": "5s"}),
        LocalCluster(**options) as cluster,
        Client(cluster, set_as_default=False) as client,
        monkeypatch.context() as patch,
    ):
        patch.setattr(_rounds.Rounds, "_merged", lose)
        with pytest.raises(ConnectionError, match="goes on after the last round"):
            model.set_params(client=client).fit(*arrays)
    with (
        LocalCluster(**options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        assert fit_counting(model.set_params(client=client), arrays, monkeypatch) == 2
        anew = clone(model).set_params(checkpoint=None).fit(*arrays)
    assert same(model, anew)


def test_another_seed_gives_another_network(distributed_mlp, arrays, reference, same):
    other = distributed_mlp(epochs_per_round=2, random_state=1).fit(*arrays)
    assert not same(other, reference)
    again = distributed_mlp(epochs_per_round=2, random_state=1).fit(*arrays)
    assert same(other, again)


def test_kinds_of_data_do_not_matter(distributed_mlp, arrays, frames, reference, same):
    X, y = arrays
    model = distributed_mlp(epochs_per_round=2)
    assert same(clone(model).fit(X.map_blocks(sparse.csr_array), y), reference)
    assert same(clone(model).fit(X.rechunk({1: 5}), y.compute()), reference)
    unknown = [frame.to_dask_array() for frame in frames]
    assert same(clone(model).fit(*unknown), reference)
    of_frames = clone(model).fit(*frames)
    assert same(of_frames, reference)
    assert of_frames.feature_names_in_.tolist() == [f"f{k}" for k in range(12)]
    assert of_frames.estimator_.feature_names_in_[0] == "f0"
    assert np.array_equal(
        of_frames.predict(frames[0]).compute(), reference.predict(X).compute()
    )


def test_data_in_memory_are_cut_into_partitions(distributed_mlp, data, same):
    X, y = data
    parts = da.from_array(X, chunks=(80, 12)), da.from_array(y, chunks=80)
    model = distributed_mlp(n_partitions=3)
    expected = clone(model).fit(*parts)
    assert same(clone(model).fit(X, y), expected)
    assert same(clone(model).fit(sparse.coo_array(X), y.tolist()), expected)
    assert same(clone(model).fit(pd.DataFrame(X), pd.Series(y)), expected)


def test_samples_of_no_weight_are_left_out(distributed_mlp, arrays, same):
    X, y = arrays
    weights = np.ones(240)
    weights[:70] = weights[100:120] = 0
    model = distributed_mlp().fit(X, y, weights)
    kept = da.from_array(weights, chunks=(SIZES,)) > 0
    assert same(model, distributed_mlp().fit(X[kept], y[kept]))
    assert not same(model, distributed_mlp().fit(X, y))


def test_weights_set_the_shares_of_partitions(distributed_mlp, arrays, data):
    X, y = arrays
    weights = np.ones(240)
    weights[:70] = 1e6
    with pytest.warns(UserWarning, match="leave 1 of the 2 workers idle"):
        alone = distributed_mlp().fit(X[:70], y[:70]).estimator_.predict_proba(data[0])
    heavy = distributed_mlp().fit(X, y, weights).estimator_.predict_proba(data[0])
    equal = distributed_mlp().fit(X, y).estimator_.predict_proba(data[0])
    assert abs(heavy - alone).max() < 0.1 * abs(equal - alone).max()


def test_class_weights_are_those_of_all_partitions(distributed_mlp, arrays, same):
    X, y = arrays
    counts = np.bincount(y.compute())
    by_hand = {k: 240 / (3 * count) for k, count in enumerate(counts.tolist())}
    one, other = (
        distributed_mlp(estimator__class_weight=weights).fit(X, y)
        for weights in ("balanced", by_hand)
    )
    assert same(one, other)
    assert one.estimator_.class_weight == "balanced"


# --- partitions that lack something ---------------------------------------------------


def test_partitions_may_lack_classes(distributed_mlp, data):
    X, y = data
    order = np.argsort(y, kind="stable")
    model = distributed_mlp(estimator__class_weight="balanced").fit(X[order], y[order])
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.predict_proba(X).shape == (240, 3)


def test_classes_may_be_given(distributed_mlp, arrays, data):
    model = distributed_mlp(estimator__class_weight="balanced")
    model.fit(*arrays, classes=[3, 0, 1, 2])
    assert model.predict_proba(data[0]).shape == (240, 4)
    with pytest.raises(ValueError, match=r"labels \[2\].*classes \[0, 1\]"):
        model.fit(*arrays, classes=[0, 1])
    assert model.classes_.tolist() == [0, 1, 2, 3]


def test_empty_partitions_are_skipped(distributed_mlp, frames):
    without = [
        frame.map_partitions(
            lambda part: part[(part.index < 70) | (part.index > 129)], meta=frame._meta
        )
        for frame in frames
    ]
    assert without[0].map_partitions(len).compute().tolist() == [70, 0, 50, 60]
    model = distributed_mlp().fit(*without)
    assert model.predict(without[0]).compute().size == 180
    none = [frame.map_partitions(lambda part: part[:0]) for frame in frames]
    with pytest.raises(ValueError, match="None of the 4 partitions has a sample"):
        distributed_mlp().fit(*none)


def test_text_labels(distributed_mlp, frames, same_network):
    names = np.array(["a", "b", "c"])
    X, y = frames
    text = y.map_partitions(lambda part: part.map(dict(enumerate(names))), meta=("y", str))
    model, numbers = distributed_mlp().fit(X, text), distributed_mlp().fit(X, y)
    assert model.classes_.tolist() == names.tolist()
    assert same_network(model.estimator_, numbers.estimator_)
    predicted = names[numbers.predict(X).compute()]
    assert model.predict(X).compute().tolist() == predicted.tolist()
    assert model.score(X, text) == numbers.score(X, y)


# --- bad input ------------------------------------------------------------------------


def refused(model, *args, match, error=ValueError):
    """Fail before training starts, and leave the estimator as it is."""
    before = dict(vars(model))
    train_one = _rounds.Rounds.train_one
    _rounds.Rounds.train_one = None
    try:
        with pytest.raises(error, match=match):
            model.fit(*args)
    finally:
        _rounds.Rounds.train_one = train_one
    assert vars(model) == before


def with_value(X, row, value):
    X = X.compute()
    X[row, 3] = value
    return da.from_array(X, chunks=(SIZES, 12))


def test_nan_is_found_with_its_partition(distributed_mlp, arrays):
    X, y = arrays
    match = r"Partition 1 of 4 .*contains NaN\. .*faults: \[1\]"
    refused(distributed_mlp(), with_value(X, 75, np.nan), y, match=match)


@pytest.mark.parametrize("place", [0, 150])
@pytest.mark.parametrize("column", [-1, 12, 2**31 - 1])
def test_indices_out_of_reach_are_found_with_their_partition(
    distributed_mlp, arrays, place, column
):
    """Nothing of a block of an array is believed before a kernel reads it."""

    def spoil(block, block_info=None):
        rows = sparse.csr_array(block)
        (first, last), _ = block_info[0]["array-location"]
        if first <= place < last:
            rows.indices[(place - first) * 12 + 3] = column
        return rows

    X, y = arrays
    hostile = X.map_blocks(spoil, meta=X._meta)
    number = 0 if place == 0 else 2
    refused(distributed_mlp(), hostile, y, match=f"Partition {number} of 4.*ind")


def test_partitions_of_other_dtypes_are_computed_in_one(distributed_mlp, arrays, same):
    X = arrays[0].to_delayed().ravel()
    kinds = [np.float32, np.float64, np.int8, np.float32]
    rounded = [dask.delayed(np.round)(part) for part in X]
    mixed = [
        da.from_delayed(dask.delayed(np.asarray)(part, kind), (size, 12), kind)
        for part, kind, size in zip(rounded, kinds, SIZES, strict=True)
    ]
    model = distributed_mlp().fit(da.concatenate(mixed), arrays[1])
    assert model.estimator_.coefs_[0].dtype == np.float64
    assert same(model, distributed_mlp().fit(arrays[0].round(), arrays[1]))


def test_data_that_do_not_fit_each_other(distributed_mlp, arrays, frames):
    X, y = arrays
    model = distributed_mlp()
    refused(model, X, y[:200], match="X has 240 rows and y has 200")
    refused(model, X, y, y[:9], match="240 rows and sample_weight has 9")
    refused(model, X.compute(), y, match="X is in memory, but y", error=TypeError)
    refused(model, X, dask.delayed(1), match="y must be a Dask array", error=TypeError)
    refused(model, frames[0], y.compute(), match="y is in memory, but the sizes")
    fewer = frames[1].repartition(npartitions=2)
    refused(model, frames[0], fewer, match="4 partitions and y has 2.*compute_chunk_sizes")
    shifted = da.from_array(y.compute(), chunks=((60, 70, 50, 60),))
    refused(model, frames[0], shifted, match="Partition 0 of 4.*70 and 60 rows")


def test_data_in_other_partitions_of_known_sizes_are_aligned(distributed_mlp, arrays, same):
    X, y = arrays
    assert same(distributed_mlp().fit(X, y.rechunk(100)), distributed_mlp().fit(X, y))


def test_partitions_that_differ(distributed_mlp, frames):
    X, y = frames
    other = X.rename(columns={"f2": "g"})
    both = [*X.to_delayed()[:2], *other.to_delayed()[2:]]
    mixed = dd.from_delayed(both, meta=X._meta, verify_meta=False)
    refused(distributed_mlp(), mixed, y, match="Partitions 0 and 2 .*feature_names.*'g'")


def test_labels_that_cannot_be_trained_on(distributed_mlp, arrays):
    X, y = arrays
    refused(distributed_mlp(), X, 0 * y, match=r"at least 2 classes.*together have \[0\]")
    refused(distributed_mlp(), X, y + 0.5, match="Partition 0 of 4.*continuous")
    refused(distributed_mlp(), X, X[:, :3], match="Partition 0 of 4")
    weighted = distributed_mlp(estimator__class_weight="balanced")
    refused(weighted, X, X[:, :3] > 0, match="class_weight='balanced' weighs samples by")
    zero = distributed_mlp(estimator__class_weight={0: 0, 1: 0, 2: 0})
    refused(zero, X, y, match="class_weight is zero")


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"n_rounds": 0}, "'n_rounds' parameter"),
        ({"epochs_per_round": 1.5}, "'epochs_per_round' parameter"),
        ({"outer_momentum": 1.0}, "'outer_momentum' parameter"),
        ({"optimizer_state": "kept"}, "'optimizer_state' parameter"),
        ({"n_partitions": 0}, "'n_partitions' parameter"),
        ({"estimator": "mlp"}, "'estimator' parameter"),
        ({"estimator__zeta": 2}, "'zeta' parameter"),
        ({"estimator__early_stopping": True}, "early_stopping=True is not available"),
        (
            {"estimator__n_features_to_select": "auto"},
            "n_features_to_select=.auto. is not available",
        ),
        ({"checkpoint": "no/such/folder/file"}, "there is no folder"),
    ],
)
def test_bad_parameters(distributed_mlp, arrays, params, match):
    own = {k: v for k, v in params.items() if k != "estimator"}
    model = distributed_mlp(**own)
    if "estimator" in params:
        model.set_params(**params)
    refused(model, *arrays, match=match, error=(ValueError, FileNotFoundError))


def test_without_a_cluster_it_says_how_to_make_one(distributed_mlp, arrays):
    message = r"no Dask cluster.*client = Client\(\)"
    refused(distributed_mlp(client=None), *arrays, match=message, error=ConnectionError)


def test_a_closed_client_is_refused(distributed_mlp, arrays, cluster):
    with Client(cluster, set_as_default=False) as closed:
        pass
    model = distributed_mlp(client=closed)
    refused(model, *arrays, match="is closed", error=ConnectionError)


def test_the_current_client_or_an_address_will_do(
    distributed_mlp, arrays, client, cluster, same
):
    expected = distributed_mlp().fit(*arrays)
    with client.as_current():
        assert same(distributed_mlp(client=None).fit(*arrays), expected)
    address = cluster.scheduler_address
    assert same(distributed_mlp(client=address).fit(*arrays), expected)


def test_workers_without_the_package_are_named(
    distributed_mlp, arrays, client, monkeypatch
):
    workers = list(client.scheduler_info()["workers"])
    monkeypatch.setattr(_cluster, "_VERSION", "__import__('no_such_package').__version__")
    match = rf"cannot be imported on the workers .*{workers[0]}.*Install sksparse_mlp=="
    refused(distributed_mlp(), *arrays, match=match, error=ImportError)


def test_workers_with_another_version_are_named(
    distributed_mlp, arrays, client, monkeypatch
):
    workers = list(client.scheduler_info()["workers"])
    monkeypatch.setattr(sksparse_mlp, "__version__", "99.1")
    match = rf"has sksparse_mlp 99\.1, but other.*{workers[0]}"
    refused(distributed_mlp(), *arrays, match=match, error=ImportError)


def test_a_cluster_without_workers_is_refused(distributed_mlp, arrays):
    options = {"n_workers": 0, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(**options) as empty, Client(empty, set_as_default=False) as client:
        model = distributed_mlp(client=client)
        refused(model, *arrays, match="has no workers", error=ConnectionError)


# --- checkpoints ----------------------------------------------------------------------


@pytest.fixture
def interrupted(distributed_mlp, arrays, monkeypatch, tmp_path):
    """A model with the checkpoint of two rounds, which the next fit goes on from."""
    write, n_written = RoundsFile.write, []

    def write_twice(self, rounds):
        write(self, rounds)
        n_written.append(1)
        if len(n_written) == 2:
            raise KeyboardInterrupt

    path = tmp_path / "rounds.npz"
    params = {"estimator__growth": "liset", "estimator__batch_norm": True}
    params |= {"optimizer_state": "averaged"}
    model = distributed_mlp(epochs_per_round=2, checkpoint=path, **params)
    with monkeypatch.context() as patch:
        patch.setattr(RoundsFile, "write", write_twice)
        with pytest.raises(KeyboardInterrupt):
            model.fit(*arrays)
    assert not hasattr(model, "estimator_")
    return model


def fit_counting(model, arrays, monkeypatch):
    """Fit; return how many rounds were trained."""
    train_one, n_trained = _rounds.Rounds.train_one, []

    def count(self):
        n_trained.append(1)
        train_one(self)

    with monkeypatch.context() as patch:
        patch.setattr(_rounds.Rounds, "train_one", count)
        model.fit(*arrays)
    return len(n_trained)


@pytest.mark.parametrize("damage", [False, True])
def test_fit_goes_on_from_a_checkpoint(interrupted, arrays, monkeypatch, same, damage):
    path = interrupted.checkpoint
    if damage:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.warns(UserWarning, match="rounds.npz.previous is used instead"):
            n_trained = fit_counting(interrupted, arrays, monkeypatch)
    else:
        n_trained = fit_counting(interrupted, arrays, monkeypatch)
    assert n_trained == 2 + damage
    uninterrupted = clone(interrupted).set_params(checkpoint=None).fit(*arrays)
    assert same(interrupted, uninterrupted)
    again = clone(interrupted)
    assert fit_counting(again, arrays, monkeypatch) == 0
    assert same(again, uninterrupted)
    assert again.history_ == interrupted.history_


def test_going_on_in_another_version_is_said(interrupted, arrays, monkeypatch):
    read = _checkpoint._read

    def without_version(cls, path):
        content = read(cls, path)
        early = {name: content.state[name] for name in _checkpoint.FIELDS}
        return content._replace(state=early)

    monkeypatch.setattr(_checkpoint, "_read", without_version)
    with pytest.warns(UserWarning, match=r"by an early version, 0\.1\.0 or before"):
        interrupted.fit(*arrays)


def test_the_checkpoint_of_another_fit_is_refused(interrupted, arrays):
    X, y = arrays
    match = "checkpoint of another fit: partitions is"
    refused(interrupted, with_value(X, 75, 9.0), y, match=match)
    refused(clone(interrupted).set_params(estimator__alpha=0.5), X, y, match="alpha is")
    refused(clone(interrupted).set_params(epochs_per_round=1), X, y, match="epochs_per")


def test_no_readable_checkpoint_is_an_error(interrupted, arrays):
    path = interrupted.checkpoint
    path.write_bytes(b"nothing")
    previous_of(path).unlink()
    refused(interrupted, *arrays, match="no checkpoint that can be read.*Delete")
    np.savez(path, a=np.zeros(3))
    refused(interrupted, *arrays, match="no checkpoint that can be read.*checksum")


# --- scikit-learn's ways --------------------------------------------------------------


def test_predictions_are_lazy_where_the_data_are(reference, arrays, data):
    X, y = data
    fitted = reference.estimator_
    for collection in (arrays[0], arrays[0].map_blocks(sparse.csr_array)):
        lazy, proba = reference.predict(collection), reference.predict_proba(collection)
        assert isinstance(lazy, da.Array)
        assert isinstance(proba, da.Array)
        assert lazy.dtype == lazy.compute().dtype == y.dtype
        assert np.array_equal(lazy.compute(), fitted.predict(X))
        assert np.array_equal(proba.compute(), fitted.predict_proba(X))
    assert reference.predict(arrays[0]).chunks == (SIZES,)
    assert np.array_equal(reference.predict(X), fitted.predict(X))
    assert np.array_equal(reference.predict_proba(X), fitted.predict_proba(X))


def test_scores_are_computed_by_blocks(reference, arrays, data):
    expected = reference.estimator_.score(*data)
    assert reference.score(*data) == expected
    assert reference.score(*arrays) == pytest.approx(expected)
    weights = np.arange(240.0)
    weighted = reference.estimator_.score(*data, weights)
    assert weighted != expected
    assert reference.score(*arrays, weights) == pytest.approx(weighted)


def test_an_estimator_that_is_not_fitted_says_so(distributed_mlp, arrays):
    for method in ("predict", "predict_proba"):
        with pytest.raises(NotFittedError):
            getattr(distributed_mlp(), method)(arrays[0])
    with pytest.raises(NotFittedError):
        distributed_mlp().score(*arrays)


def test_pickles_leave_the_client_behind(reference, data):
    copy = pickle.loads(pickle.dumps(reference))
    assert copy.client is None
    assert np.array_equal(copy.predict_proba(data[0]), reference.predict_proba(data[0]))
    assert copy.history_ == reference.history_


def test_clones_share_the_client(distributed_mlp, client):
    model = distributed_mlp(epochs_per_round=3, estimator__zeta=0.1)
    copy = clone(model)
    assert copy.client is client
    assert copy.estimator is not model.estimator
    assert copy.get_params(deep=False).keys() == model.get_params(deep=False).keys()
    assert (copy.epochs_per_round, copy.estimator.zeta) == (3, 0.1)


def test_a_grid_search_fits_on_the_cluster(distributed_mlp, data):
    grid = {"epochs_per_round": [1, 2], "estimator__zeta": [0.0, 0.3]}
    search = GridSearchCV(distributed_mlp(n_rounds=2, n_partitions=2), grid, cv=2)
    search.fit(*data)
    assert np.unique(search.cv_results_["mean_test_score"]).size > 1
    assert search.best_estimator_.score(*data) > 0.4


def test_the_default_network_trains(client, arrays):
    model = DaskSparseMLPClassifier(n_rounds=1, client=client, random_state=0).fit(*arrays)
    assert model.estimator_.hidden_layer_sizes == (256, 128)


def test_without_dask_the_import_names_the_extra(monkeypatch):
    name = "sksparse_mlp.distributed"
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=r"pip install 'sksparse-mlp\[dask\]'"):
        importlib.import_module(name)
