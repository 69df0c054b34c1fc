"""The epoch loop: records, evolution, plateaus, divergence, best network."""

import math
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from networks import (
    HERE,
    TakingTurns,
    assert_same_network,
    layer_gradients,
    new_evolution,
    share_all_work,
)
from scipy import special

from sksparse_mlp.activations import AllReLU, PReLU
from sksparse_mlp.core import kernels
from sksparse_mlp.core.hidden import BatchNorm, Hidden
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.learning_rates import LEARNING_RATES
from sksparse_mlp.core.losses import SoftmaxCrossEntropy
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.optimizers import SGD, Adam
from sksparse_mlp.core.samples import Samples, gather
from sksparse_mlp.core.skips import Skips
from sksparse_mlp.core.training import COMPETING, Patience, Training
from sksparse_mlp.core.workers import ALONE, Workers
from sksparse_mlp.initializers import HeNormal
from sksparse_mlp.schedules import Constant
from sksparse_mlp.topology import GradientGrowth, LiSET, RandomGrowth

N_SAMPLES = 50


class RecordingGrowth(RandomGrowth):
    """Keeps what is evolved, and copies of the signals that come with it."""

    def __init__(self, signal=None):
        self.signal = signal
        self.scale = 0.0
        self.layers, self.signals = [], []

    def evolve(self, layer, zeta, rng, signal=None, n_connections=None):
        self.layers.append(layer)
        self.signals.append(deepcopy(signal))
        return super().evolve(layer, zeta, rng, signal, n_connections)


def new_plan(**changes):
    return new_evolution(**({"growth": RecordingGrowth()} | changes))


def new_samples(weights=None):
    rng = np.random.default_rng(5)
    X = rng.standard_normal((N_SAMPLES, 12))
    y = (X[:, :2] > 0).sum(axis=1)
    weights = np.ones(N_SAMPLES) if weights is None else weights
    return Samples(X, y, weights, np.arange(N_SAMPLES))


def new_network(seed=0, activation=None, norm=False):
    activation = activation or AllReLU(0.6)
    rng = np.random.default_rng(seed)
    sizes = (12, 20, 15, 3)
    layers = [SparseLayer.random(*pair, 4, rng, np.float64) for pair in pairwise(sizes)]
    for layer in layers:
        HeNormal()(layer, rng)
    hidden = []
    for depth, n_neurons in enumerate(sizes[1:-1], start=1):
        parameters = activation.initial_parameters(depth, n_neurons, np.float64)
        batch_norm = BatchNorm.initial(n_neurons, np.float64) if norm else None
        hidden.append(Hidden(activation, parameters, n_neurons, batch_norm))
    return Network(layers, hidden, SoftmaxCrossEntropy)


def new_training(**changes):
    parameters = {
        "network": new_network(),
        "optimizer": SGD(momentum=0.9, nesterov=True),
        "learning_rate": LEARNING_RATES["constant"](0.05, 0.5),
        "evolution": new_plan(),
        "alpha": 0.0,
        "dropout": 0.0,
        "batch_size": 16,
        "n_epochs": 5,
        "shuffle": True,
        "patience": Patience(math.inf, 0.0),
        "data_rng": np.random.default_rng(1),
        # Step by step, where tests can look; test_program.py has the other way.
        "compiles": False,
    }
    return Training(**(parameters | changes))


def never():
    return new_plan(zeta_schedule=Constant(0))


def run(training, n_epochs=5, samples=None, validation=None):
    return list(training.run(samples or new_samples(), validation, HERE, n_epochs))


def gradients_of_all(network, samples):
    """Gradients of weights and biases for one batch of all samples."""
    batch = network.buffers(N_SAMPLES, training=True)
    gather(samples.X, samples.rows, batch.x, 0, batch.x.shape[1])
    network.forward(batch, ALONE, training=True)
    network.loss.value_and_gradient(
        batch.z[-1], samples.y, samples.weights, samples.rows,
        batch.dz[-1], batch.losses, 0.0, 0, N_SAMPLES,
    )  # fmt: skip
    network.backward(batch, ALONE)
    return layer_gradients(network, batch)


def mean_loss(network, samples):
    """Weighted mean cross-entropy of a network without dropout."""
    logits = network.logits(samples.X, samples.rows, HERE)
    losses = -special.log_softmax(logits, axis=1)[samples.rows, samples.y]
    return np.average(losses, weights=samples.weights)


# --- epochs and their records ---------------------------------------------------------


def test_training_lowers_the_loss():
    losses = [record["loss"] for record in run(new_training(n_epochs=40), 40)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("optimizer", [SGD(momentum=0.9, nesterov=True), None])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_same_streams_give_the_same_network(optimizer, dropout):
    optimizer = optimizer or Adam(beta_1=0.9, beta_2=0.999, epsilon=1e-8)
    trainings = [new_training(optimizer=optimizer, dropout=dropout) for _ in range(2)]
    losses = [[record["loss"] for record in run(training)] for training in trainings]
    assert losses[0] == losses[1]
    assert_same_network(*(training.network for training in trainings))


@pytest.mark.parametrize("stream", ["data", "topology"])
def test_each_stream_matters(stream):
    rng = np.random.default_rng(9)
    change = {"data_rng": rng} if stream == "data" else {"evolution": new_plan(rng=rng)}
    training, other = new_training(), new_training(**change)
    run(training)
    run(other)
    assert not np.array_equal(
        training.network.layers[0].weights, other.network.layers[0].weights
    )


@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_loss_of_a_record_is_the_penalised_mean_before_the_updates(alpha):
    weights = np.random.default_rng(0).uniform(0.5, 2, N_SAMPLES)
    samples = new_samples(weights)
    training = new_training(alpha=alpha, batch_size=N_SAMPLES)
    expected = mean_loss(training.network, samples)
    squares = sum(np.sum(layer.weights**2) for layer in training.network.layers)
    expected += 0.5 * alpha * squares / weights.sum()
    (record,) = run(training, 1, samples)
    assert record["loss"] == pytest.approx(expected, rel=1e-10)


def test_loss_of_an_epoch_is_the_mean_over_samples_not_over_batches():
    frozen = LEARNING_RATES["constant"](0.0, 0.5)
    training = new_training(learning_rate=frozen, batch_size=48, evolution=never())
    (record,) = run(training, 1)
    expected = mean_loss(training.network, new_samples())
    assert record["loss"] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("norm", [False, True])
def test_update_moves_all_layers_by_their_gradients_before_it(norm, n_jobs, monkeypatch):
    share_all_work(monkeypatch)
    samples = new_samples(np.random.default_rng(0).uniform(0.5, 2, N_SAMPLES))
    training = new_training(
        network=new_network(norm=norm),
        optimizer=SGD(momentum=0.0, nesterov=False),
        alpha=0.7,
        batch_size=N_SAMPLES,
    )
    before = training.network.copy()
    expected = gradients_of_all(before.copy(), samples)
    with Workers(n_jobs) as workers:
        list(training.run(samples, None, workers, 1))
    rate = 0.05 / samples.weights.sum()
    for layer, old in zip(training.network.layers, before.layers, strict=True):
        weights, bias = expected.pop(0) + 0.7 * old.weights, expected.pop(0)
        np.testing.assert_allclose(layer.weights, old.weights - rate * weights, rtol=1e-9)
        np.testing.assert_allclose(layer.bias, old.bias - rate * bias, atol=1e-12)


def test_everything_that_learns_is_told_the_same_number_of_the_update(monkeypatch):
    told = {"step": [], "update": []}

    class Counting(Adam):
        def step(self, layer, x, dz, rate, n_updates, *args):
            told["step"].append(n_updates)
            return super().step(layer, x, dz, rate, n_updates, *args)

        def update(self, values, gradient, slots, rate, n_updates, *args):
            told["update"].append(n_updates)
            super().update(values, gradient, slots, rate, n_updates, *args)

    optimizer = Counting(beta_1=0.9, beta_2=0.999, epsilon=1e-8)
    network = new_network(activation=PReLU())
    run(new_training(network=network, optimizer=optimizer), 2)
    updates = range(1, 2 * math.ceil(N_SAMPLES / 16) + 1)
    # Three layers, two of them followed by slopes.
    assert told["step"] == [n for n in updates for _ in range(3)]
    assert told["update"] == [n for n in updates for _ in range(2)]


# --- threads --------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("n_threads", [2, 3])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("growth", [RandomGrowth(), LiSET(), GradientGrowth()])
def test_threads_meet_before_they_read_what_others_write(growth, norm, n_threads, step):
    def new():
        return new_training(
            network=new_network(activation=PReLU(), norm=norm),
            evolution=new_evolution(growth=growth),
            alpha=0.3,
            dropout=0.2,
            records_train_score=True,
        )

    alone, shared = new(), new()
    expected = run(alone, 3)
    turns = TakingTurns(n_threads, step)
    actual = list(shared.run(new_samples(), new_samples(), turns, 3))
    assert_same_network(alone.network, shared.network)
    for key in ("loss", "train_score", "n_pruned"):
        assert [r[key] for r in actual] == [r[key] for r in expected]


@pytest.mark.parametrize("growth", [RandomGrowth(), LiSET(), GradientGrowth()])
def test_patterns_are_transposed_before_threads_share_them(growth, monkeypatch):
    is_shared = []
    transpose_pattern = kernels.transpose_pattern

    class Sharing(Workers):
        def run(self, task, work):
            is_shared.append(True)
            super().run(task, work)
            is_shared.pop()

    def spy(*args):
        assert not is_shared
        transpose_pattern(*args)

    monkeypatch.setattr(kernels, "transpose_pattern", spy)
    training = new_training(evolution=new_evolution(growth=growth))
    for _ in training.run(new_samples(), None, Sharing(1), 3):
        # What the fitted attributes are made from takes the transposed patterns away.
        for layer in training.network.layers:
            layer.to_coef()


@pytest.mark.parametrize("n_samples", [5, 16, 17, 50])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_threads_share_samples_by_cache_lines(n_threads, n_samples, monkeypatch):
    seen, gather_dense = [], kernels.gather_dense

    def spy(X, rows, x, start, stop):
        seen.append((start, stop))
        gather_dense(X, rows, x, start, stop)

    monkeypatch.setattr(kernels, "gather_dense", spy)
    training = new_training(batch_size=n_samples)
    samples = replace(new_samples(), rows=np.arange(n_samples))
    list(training.run(samples, None, TakingTurns(n_threads, 1), 1))
    assert len(seen) == n_threads
    # Of float64, eight of which are a vector.
    width = -(-n_samples // 8) * 8
    assert [s for start, stop in seen for s in range(start, stop)] == [*range(width)]
    # Sixteen numbers of float32 are a line.
    assert all(start % 16 == 0 or start == width for start, _ in seen)


def test_work_of_an_update_is_three_passes(monkeypatch):
    told = []

    class Recording(Workers):
        def run(self, task, work):
            told.append(work)
            super().run(task, work)

    growth = GradientGrowth()
    training = new_training(
        evolution=new_evolution(growth=growth), records_train_score=True
    )
    list(training.run(new_samples(), None, Recording(1), 2))
    n = training.network.n_connections
    batches = [3 * n * 16] * 3 + [3 * n * 2]
    # The check of the last batch, the score of all samples, the gradient of one batch.
    assert told == [*batches, 2 * n, 50 * n, 2 * n * 16, *batches, 2 * n, 50 * n]


# --- records --------------------------------------------------------------------------


def test_record_holds_what_the_epoch_was_trained_with():
    rate = LEARNING_RATES["exponential"](0.05, 0.5)
    training = new_training(learning_rate=rate)
    records = run(training, 3)
    assert [record["epoch"] for record in records] == [0, 1, 2]
    np.testing.assert_allclose(
        [r["learning_rate"] for r in records], 0.05 * 0.99 ** np.arange(3)
    )
    assert all(record["zeta"] == 0.3 for record in records)
    assert all(record["slopes"] == [-0.6, 0.6] for record in records)
    assert all(record["seconds"] >= 0 for record in records)
    assert all(
        record["n_connections"] == training.network.n_connections for record in records
    )
    assert all("train_score" not in record for record in records)


def test_schedules_continue_from_one_run_to_the_next():
    rate = LEARNING_RATES["invscaling"](0.05, 0.5)
    training = new_training(learning_rate=rate, evolution=new_plan(every=1000))
    rates = [run(training, 1)[0]["learning_rate"] for _ in range(3)]
    expected = 0.05 / np.sqrt(1 + N_SAMPLES * np.arange(3))
    np.testing.assert_allclose(rates, expected)
    assert training.n_updates == 3 * math.ceil(N_SAMPLES / 16)


@pytest.mark.parametrize("growth", [RandomGrowth(), LiSET()], ids=["set", "liset"])
@pytest.mark.parametrize("resumed", [False, True])
def test_training_continues_from_one_run_to_the_next(resumed, growth):
    def new(**changes):
        plan = new_evolution(every=3, growth=growth, n_epochs=3)
        return new_training(evolution=plan, dropout=0.2, **changes)

    together, apart = new(), new()
    run(together, 3)
    for _ in range(3):
        if resumed:
            previous, apart = apart, new(network=apart.network, data_rng=None)
            apart.resume(previous.state())
        run(apart, 1)
    assert_same_network(together.network, apart.network)


# --- evolution ------------------------------------------------------------------------


@pytest.mark.parametrize("n_epochs", [1, 2, 4])
def test_topology_evolves_after_every_epoch_but_the_last(n_epochs):
    training = new_training()
    records = run(training, n_epochs)
    # The last layer is full.
    assert [layer.is_full for layer in training.network.layers] == [False, False, True]
    expected = training.network.layers[:2] * (n_epochs - 1)
    assert training.evolution.growth.layers == expected
    assert [record["n_pruned"] > 0 for record in records] == [True] * (n_epochs - 1) + [
        False
    ]


def test_turnover_is_entered_in_the_record_and_counts_stay():
    training = new_training()
    counts = [layer.n_connections for layer in training.network.layers]
    first, _, last = run(training, 3)
    # One rounding for each sign of each of the two layers.
    assert abs(first["n_pruned"] - 0.3 * sum(counts[:2])) <= 2
    assert first["n_pruned"] == first["n_grown"]
    assert first["turnover"] == first["n_grown"] / sum(counts)
    assert first["evolution_seconds"] > 0
    assert last["turnover"] == last["evolution_seconds"] == 0
    assert [layer.n_connections for layer in training.network.layers] == counts


@pytest.mark.parametrize("every", [1, 3, 100])
def test_topology_evolves_between_updates_when_asked(every):
    training = new_training(evolution=new_plan(every=every))
    run(training, 2)
    run(training, 1)
    assert training.n_updates == 12
    # Never before the first update, nor after the last.
    assert len(training.evolution.growth.layers) == 2 * ((12 - 1) // every)


def test_zeta_of_zero_never_evolves():
    training = new_training(evolution=never())
    pattern = training.network.copy()
    records = run(training)
    assert training.evolution.growth.layers == []
    assert all(record["n_pruned"] == 0 for record in records)
    for layer, before in zip(training.network.layers, pattern.layers, strict=True):
        assert layer.has_pattern_of(before)


# --- what growth rules are told -------------------------------------------------------


def dense_gradients(network, samples):
    """Gradients for all pairs of neurons, from a copy of full layers."""
    full = network.copy()
    for layer in full.layers:
        keep = np.ones(layer.n_connections, bool)
        n_free = layer.n_in * layer.n_out - layer.n_connections
        layer.rewire(keep, np.arange(n_free))
    weights = gradients_of_all(full, samples)[::2]
    return [
        gradient.reshape(layer.n_out, layer.n_in)
        for gradient, layer in zip(weights, full.layers, strict=True)
    ]


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_gradient_signal_is_the_dense_gradient_of_one_batch(dropout, norm):
    samples = new_samples(np.random.default_rng(0).uniform(0.5, 2, N_SAMPLES))
    growth = RecordingGrowth("gradient")
    training = new_training(
        network=new_network(norm=norm),
        evolution=new_plan(growth=growth),
        dropout=dropout,
        batch_size=N_SAMPLES,
    )
    epochs = training.run(samples, None, HERE, 2)
    next(epochs)
    expected = dense_gradients(training.network, samples)
    next(epochs)
    assert len(growth.signals) == 2
    for (x, dz), gradient in zip(growth.signals, expected, strict=False):
        np.testing.assert_allclose(dz @ x.T, gradient, rtol=1e-9, atol=1e-9)


def test_gradient_signal_is_of_a_batch_drawn_without_repetition():
    growth = RecordingGrowth("gradient")
    training = new_training(evolution=new_plan(growth=growth))
    samples = new_samples()
    run(training, 3, samples)
    batches = [x for x, _ in growth.signals[::2]]
    assert [x.shape for x in batches] == [(12, 16)] * 2
    drawn = [
        [np.flatnonzero((column == samples.X).all(axis=1)).item() for column in x.T]
        for x in batches
    ]
    assert all(len(set(rows)) == 16 for rows in drawn)
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [0, 1, 2]),
        ({"zeta_schedule": Constant(0)}, []),
        ({"zeta_schedule": lambda epoch, n_epochs: 0.3 * (epoch == 1)}, [1]),
        ({"until": 0.5}, [0, 1]),
        ({"growth": RandomGrowth()}, []),
    ],
    ids=["last", "zeta", "zeta-by-epoch", "until", "set"],
)
def test_shortcuts_train_only_before_evolutions(changes, expected, monkeypatch):
    plan = {"growth": LiSET(skip_dropout=0.0), "n_epochs": 4} | changes
    training = new_training(evolution=new_evolution(**plan))
    seen, forward = [], Skips.forward

    def spy(*args):
        seen.append(training.epoch)
        forward(*args)

    monkeypatch.setattr(Skips, "forward", spy)
    run(training, 4)
    n_batches = math.ceil(N_SAMPLES / 16)
    assert seen == [epoch for epoch in expected for _ in range(n_batches)]


def test_shortcuts_start_again_from_zero_after_an_evolution(monkeypatch):
    plan = new_evolution(growth=LiSET(skip_dropout=0.0), n_epochs=4)
    training = new_training(evolution=plan)
    seen, forward = [], Skips.forward

    def spy(skips, *args):
        seen.append((skips.n_updates, skips.strengths(0).any()))
        forward(skips, *args)

    monkeypatch.setattr(Skips, "forward", spy)
    run(training, 4)
    # Four batches in an epoch.
    assert seen == [(0, False), (1, True), (2, True), (3, True)] * 3


def test_shortcuts_are_as_the_growth_rule_says(monkeypatch):
    growth = LiSET(skip_dropout=0.25, learning_rate_factor=0.5)
    training = new_training(evolution=new_evolution(growth=growth))
    dropouts, rates = [], []
    monkeypatch.setattr(
        Skips, "draw", lambda skips, dropout, rng: dropouts.append(dropout(0))
    )
    monkeypatch.setattr(
        Skips, "step", lambda skips, batch, optimizer, rate, scale: rates.append(rate(0))
    )
    run(training, 2)
    assert set(dropouts) == {0.25}
    assert set(rates) == {0.5 * training.learning_rate(0, 5, 0)}


def test_diverged_training_forgets_its_shortcuts():
    growth = LiSET(skip_dropout=0.0)
    training = new_training(
        evolution=new_evolution(growth=growth, every=1),
        learning_rate=LEARNING_RATES["constant"](1e200, 0.5),
    )
    with np.errstate(all="ignore"):
        run(training, 2)
    assert training.diverged
    assert training._skips is None


def test_gradients_through_shortcuts_reach_the_layers_before(monkeypatch):
    growth = LiSET(skip_dropout=0.0, learning_rate_factor=1.0)
    training, cut = (new_training(evolution=new_evolution(growth=growth)) for _ in "ab")
    next(training.run(new_samples(), None, HERE, 2))
    monkeypatch.setattr(Skips, "backward_input", lambda *args: None)
    next(cut.run(new_samples(), None, HERE, 2))
    weights = [t.network.layers[0].weights for t in (training, cut)]
    assert not np.array_equal(*weights)


def test_growth_is_told_the_strengths_in_the_shortcuts():
    growth = RecordingGrowth("skips")
    growth.skip_dropout, growth.learning_rate_factor = 0.0, 1.0
    run(new_training(evolution=new_plan(growth=growth)), 3)
    assert [signal.shape for signal in growth.signals] == [(12,), (20,)] * 2
    assert all(np.all(signal > 0) for signal in growth.signals)


def test_consumer_that_stops_leaves_the_network_as_trained():
    training, full = new_training(), new_training(n_epochs=1)
    epochs = training.run(new_samples(), None, HERE, 5)
    next(epochs)
    epochs.close()
    run(full, 1)
    assert_same_network(training.network, full.network)


# --- validation, plateaus, divergence -------------------------------------------------


@pytest.mark.parametrize("norm", [False, True])
def test_network_ends_as_it_was_at_its_best_validation_score(norm):
    network = new_network(activation=PReLU(), norm=norm)
    training = new_training(network=network, evolution=new_plan(n_epochs=20))
    validation = new_samples()
    training.criterion = lambda p: np.mean(p.argmax(axis=1) == validation.y)
    validation.y = validation.y[::-1]  # labels of other samples, so that scores vary
    snapshots, scores = [], []
    for record in training.run(new_samples(), validation, HERE, 20):
        snapshots.append(training.network.copy())
        scores.append(record["validation_score"])
        logits = training.network.logits(validation.X, validation.rows, HERE)
        assert scores[-1] == np.mean(logits.argmax(axis=1) == validation.y)
    best = max(range(20), key=lambda epoch: (scores[epoch], epoch))
    assert scores[best] > scores[-1]
    assert_same_network(training.network, snapshots[best])


def test_training_stops_on_a_plateau():
    training = new_training(patience=Patience(2, tol=1e9))
    records = run(training, 5)
    # The first epoch is an improvement on nothing; then three are not.
    assert len(records) == 4
    assert training.finished


def test_adaptive_rate_falls_on_a_plateau_and_training_goes_on():
    rate = LEARNING_RATES["adaptive"](0.05, 0.5)
    training = new_training(patience=Patience(1, tol=1e9), learning_rate=rate)
    rates = [record["learning_rate"] for record in run(training, 7)]
    np.testing.assert_allclose(rates, [0.05, 0.05, 0.05, 0.01, 0.01, 0.002, 0.002])


@pytest.fixture
def beginnings(monkeypatch):
    """Copies of the networks with which epochs began."""
    networks, train_epoch = [], Training._train_epoch

    def spy(training, *args):
        networks.append(training.network.copy())
        return train_epoch(training, *args)

    monkeypatch.setattr(Training, "_train_epoch", spy)
    return networks


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("every", [None, 2])
def test_divergence_restores_the_network_as_the_epoch_began(norm, every, beginnings):
    network = new_network(activation=PReLU(), norm=norm)
    training = new_training(network=network, evolution=new_plan(every=every))
    epochs = training.run(new_samples(), None, HERE, 5)
    next(epochs)
    trained = training.network.copy()
    training.learning_rate.initial = 1e300
    with np.errstate(all="ignore"):
        assert list(epochs) == []
    assert training.diverged
    assert training.finished
    _, beginning = beginnings
    assert_same_network(training.network, beginning)
    # Between epochs the topology evolved, unless it does between updates.
    evolved = not beginning.layers[0].has_pattern_of(trained.layers[0])
    assert evolved == (every is None)


@pytest.mark.parametrize("part", ["parameters", "gain", "mean"])
def test_what_a_hidden_layer_learns_is_guarded_like_weights(part, beginnings, monkeypatch):
    training = new_training(network=new_network(activation=PReLU(), norm=True))
    epochs = training.run(new_samples(), None, HERE, 5)
    next(epochs)

    def spoil(unit, *args):
        # A neuron that feeds nothing would not spoil the outputs.
        values = unit.parameters if part == "parameters" else getattr(unit.norm, part)
        values.flat[0] = np.inf
        training.network.layers[-1].weights[:] = 0

    monkeypatch.setattr(Hidden, "end_epoch", spoil)
    with np.errstate(all="ignore"):
        assert list(epochs) == []
    assert training.diverged
    assert_same_network(training.network, beginnings[1])


def interrupt(*args):
    raise KeyboardInterrupt


def test_interruption_restores_the_network_as_the_epoch_began(beginnings, monkeypatch):
    training = new_training(network=new_network(activation=PReLU(), norm=True))
    epochs = training.run(new_samples(), None, HERE, 5)
    next(epochs)
    trained = training.network.copy()
    assert not np.all(trained.hidden[0].parameters == PReLU().slope)
    update, n_updates = training._update, iter(range(3))

    def interrupted(*args):
        if next(n_updates) == 2:
            raise KeyboardInterrupt
        return update(*args)

    monkeypatch.setattr(training, "_update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(epochs)
    assert_same_network(training.network, beginnings[1])
    assert not beginnings[1].layers[0].has_pattern_of(trained.layers[0])


def test_interruption_between_epochs_restores_the_network_as_it_was_trained(monkeypatch):
    growth = RecordingGrowth()
    training = new_training(evolution=new_plan(growth=growth))
    epochs = training.run(new_samples(), None, HERE, 5)
    next(epochs)
    trained, evolve = training.network.copy(), growth.evolve

    def interrupted(layer, *args):
        # The first of the two sparse layers has evolved.
        if growth.layers:
            raise KeyboardInterrupt
        return evolve(layer, *args)

    monkeypatch.setattr(growth, "evolve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(epochs)
    assert_same_network(training.network, trained)


def test_interruption_of_a_score_leaves_the_network_as_trained(monkeypatch):
    training, full = new_training(records_train_score=True), new_training(n_epochs=1)
    monkeypatch.setattr(training, "_score", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(training, 5)
    run(full, 1)
    assert_same_network(training.network, full.network)


@pytest.mark.parametrize("end", ["finished", "closed", "diverged", "interrupted"])
def test_copies_to_go_back_to_are_one_at_a_time_and_gone_at_the_end(end, monkeypatch):
    training, copy, n_copies = new_training(), Network.copy, []

    def spy(network):
        assert training._last is None
        n_copies.append(1)
        return copy(network)

    monkeypatch.setattr(Network, "copy", spy)
    epochs = training.run(new_samples(), new_samples(), HERE, 3)
    next(epochs)
    # At the beginning, and as the best so far.
    assert len(n_copies) == 2
    if end == "closed":
        epochs.close()
    elif end == "diverged":
        training.learning_rate.initial = math.nan
        assert list(epochs) == []
    elif end == "interrupted":
        monkeypatch.setattr(training, "_update", interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(epochs)
    else:
        list(epochs)
    assert training._last is None


# --- scores and plateaus while inputs leave -------------------------------------------


def test_train_score_is_recorded_when_asked():
    samples = new_samples(np.random.default_rng(0).uniform(0.5, 2, N_SAMPLES))
    training = new_training(records_train_score=True)
    scores = []
    for record in training.run(samples, None, HERE, 5):
        logits = training.network.logits(samples.X, samples.rows, HERE)
        correct = logits.argmax(axis=1) == samples.y
        assert record["train_score"] == np.average(correct, weights=samples.weights)
        assert "validation_score" not in record
        scores.append(record["train_score"])
    assert len(set(scores)) > 1


def new_selection(n_epochs=20, **changes):
    """A training that selects 4 of 12 inputs, by the evolution after the epoch 6."""
    evolution = new_plan(n_epochs=n_epochs, n_inputs=4)
    return new_training(evolution=evolution, n_epochs=n_epochs, **changes)


def test_patience_pauses_while_inputs_leave():
    training = new_selection(patience=Patience(2, tol=1e9))
    records = run(training, 20)
    # The epoch 7 is an improvement on nothing; then three are not.
    assert len(records) == 11
    assert [record["n_inputs"] for record in records[:5]] == [12] * 5
    assert all(record["n_inputs"] > 4 for record in records[:7])
    assert [record["n_inputs"] for record in records[7:]] == [4] * 4


def test_best_network_is_one_with_the_selected_inputs(monkeypatch):
    training = new_selection()
    scores = iter(np.linspace(1, 0, 20).tolist())
    monkeypatch.setattr(training, "_validate", lambda *args: next(scores))
    snapshots = []
    for record in training.run(new_samples(), new_samples(), HERE, 20):
        snapshots.append(training.network.copy())
        assert training.evolution.is_selecting == (record["epoch"] < 7)
    assert_same_network(training.network, snapshots[7])
    selected = np.flatnonzero(training.network.layers[0].fan_out)
    np.testing.assert_array_equal(selected, training.evolution.alive[0])
    assert selected.size == 4


# --- patience -------------------------------------------------------------------------


def plateaus(values, limit, tol):
    """For each value, whether more than ``limit`` in a row now failed to improve."""
    found, failures = [], 0
    for n, value in enumerate(values):
        failed = n > 0 and value < max(values[:n]) + tol
        failures = failures + 1 if failed else 0
        found.append(failures > limit)
        failures = 0 if found[-1] else failures
    return found


@pytest.mark.parametrize("limit", [1, 2, 5, math.inf])
@pytest.mark.parametrize("tol", [0.0, 0.25, 1.0])
def test_patience_counts_as_documented(limit, tol):
    # Quarters are exact, so that values at the tolerance itself occur.
    values = np.random.default_rng(0).integers(8, size=200) / 4 + np.arange(200) // 40
    patience = Patience(limit, tol)
    is_best, exhausted = [], []
    for value in values.tolist():
        is_best.append(patience.update(value))
        exhausted.append(patience.is_exhausted())
    assert exhausted == plateaus(values, limit, tol)
    assert is_best == (values == np.maximum.accumulate(values)).tolist()
    assert any(exhausted) == (limit < math.inf)


@pytest.mark.parametrize("headroom", [0.0, 0.01, 0.6])
def test_penalty_of_competing_inputs_is_a_share_of_what_was_learned(headroom):
    training = new_selection(alpha=0.05)
    training.evolution.attach(training.network)
    training.headroom = headroom
    assert training._penalty_of(16) == max(0.05, COMPETING * 16 * headroom)
    training.evolution.alive[0] = np.arange(4)
    assert training._penalty_of(16) == 0.05


def test_headroom_is_the_baseline_less_the_loss_without_penalty():
    samples, learned = new_samples(), new_training()
    run(learned, 40)
    training = new_selection(alpha=0.0, n_epochs=60, network=learned.network.copy())
    training.evolution.zeta_schedule = Constant(0)
    training.learning_rate = LEARNING_RATES["constant"](0.0, 0.5)
    y, weights = samples.y[samples.rows], samples.weights[samples.rows]
    baseline = training.network.loss.baseline(y, weights)
    losses, rooms = [], []
    for record in training.run(samples, None, HERE, 3):
        losses.append(record["loss"])
        rooms.append(training.headroom)
    # The network stays as it is, and its penalty, which is none at first, grows.
    assert rooms[0] > 0
    assert rooms[0] == pytest.approx(baseline - losses[0])
    assert rooms == pytest.approx([rooms[0]] * 3)
    assert losses[1] > losses[0]
