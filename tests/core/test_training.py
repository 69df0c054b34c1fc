"""The epoch loop: records, evolution, plateaus, divergence, best network."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import special

from sksparse_mlp.activations import AllReLU, PReLU
from sksparse_mlp.core.hidden import BatchNorm, Hidden
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.learning_rates import LEARNING_RATES
from sksparse_mlp.core.losses import SoftmaxCrossEntropy
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.optimizers import SGD, Adam
from sksparse_mlp.core.samples import Samples
from sksparse_mlp.core.training import Patience, Training
from sksparse_mlp.core.workers import Workers
from sksparse_mlp.initializers import HeNormal
from sksparse_mlp.schedules import Constant
from sksparse_mlp.topology import RandomGrowth

N_SAMPLES = 50
HERE = Workers(n_jobs=1)


class RecordingGrowth(RandomGrowth):
    """Counts the evolutions of each layer."""

    def __init__(self):
        self.layers = []

    def evolve(self, layer, zeta, rng):
        self.layers.append(layer)
        return super().evolve(layer, zeta, rng)


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
        "growth": RecordingGrowth(),
        "zeta_schedule": Constant(0.3),
        "alpha": 0.0,
        "dropout": 0.0,
        "batch_size": 16,
        "n_epochs": 5,
        "shuffle": True,
        "evolve_every": None,
        "patience": Patience(math.inf, 0.0),
        "data_rng": np.random.default_rng(1),
        "topology_rng": np.random.default_rng(2),
    }
    return Training(**(parameters | changes))


def run(training, n_epochs=5, samples=None, validation=None):
    return list(training.run(samples or new_samples(), validation, HERE, n_epochs))


def assert_same_network(first, second):
    for layer, twin in zip(first.layers, second.layers, strict=True):
        assert layer.has_pattern_of(twin)
        np.testing.assert_array_equal(layer.weights, twin.weights)
        np.testing.assert_array_equal(layer.bias, twin.bias)
    for unit, other in zip(first.hidden, second.hidden, strict=True):
        np.testing.assert_array_equal(unit.parameters, other.parameters)
        assert (unit.norm is None) == (other.norm is None)
        for name in vars(unit.norm) if unit.norm else ():
            one, two = getattr(unit.norm, name), getattr(other.norm, name)
            np.testing.assert_array_equal(one, two)


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


@pytest.mark.parametrize("stream", ["data_rng", "topology_rng"])
def test_each_stream_matters(stream):
    training, other = new_training(), new_training(**{stream: np.random.default_rng(9)})
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
    training = new_training(learning_rate=frozen, batch_size=48, zeta_schedule=Constant(0))
    (record,) = run(training, 1)
    expected = mean_loss(training.network, new_samples())
    assert record["loss"] == pytest.approx(expected, rel=1e-10)


def test_record_holds_what_the_epoch_was_trained_with():
    rate = LEARNING_RATES["exponential"](0.05, 0.5)
    records = run(new_training(learning_rate=rate), 3)
    assert [record["epoch"] for record in records] == [0, 1, 2]
    np.testing.assert_allclose(
        [r["learning_rate"] for r in records], 0.05 * 0.99 ** np.arange(3)
    )
    assert all(record["zeta"] == 0.3 for record in records)
    assert all(record["slopes"] == [-0.6, 0.6] for record in records)
    assert all(record["seconds"] >= 0 for record in records)


def test_schedules_continue_from_one_run_to_the_next():
    rate = LEARNING_RATES["invscaling"](0.05, 0.5)
    training = new_training(learning_rate=rate, evolve_every=1000)
    rates = [run(training, 1)[0]["learning_rate"] for _ in range(3)]
    expected = 0.05 / np.sqrt(1 + N_SAMPLES * np.arange(3))
    np.testing.assert_allclose(rates, expected)
    assert training.n_updates == 3 * math.ceil(N_SAMPLES / 16)


def test_momentum_continues_from_one_run_to_the_next():
    together, apart = (new_training(evolve_every=1000) for _ in range(2))
    run(together, 2)
    run(apart, 1)
    run(apart, 1)
    assert_same_network(together.network, apart.network)


# --- evolution ------------------------------------------------------------------------


@pytest.mark.parametrize("n_epochs", [1, 2, 4])
def test_topology_evolves_after_every_epoch_but_the_last(n_epochs):
    training = new_training()
    records = run(training, n_epochs)
    # The last layer is full.
    assert [layer.is_full for layer in training.network.layers] == [False, False, True]
    expected = 2 * (n_epochs - 1)
    assert training.growth.layers == (training.network.layers[:2] * expected)[:expected]
    assert [record["n_pruned"] > 0 for record in records] == [True] * (n_epochs - 1) + [
        False
    ]


def test_turnover_is_entered_in_the_record_and_counts_stay():
    training = new_training()
    counts = [layer.n_connections for layer in training.network.layers]
    first, *_ = run(training, 3)
    # One rounding for each sign of each of the two layers.
    assert abs(first["n_pruned"] - 0.3 * sum(counts[:2])) <= 2
    assert first["n_pruned"] == first["n_grown"]
    assert [layer.n_connections for layer in training.network.layers] == counts


@pytest.mark.parametrize("evolve_every", [1, 3, 100])
def test_topology_evolves_between_updates_when_asked(evolve_every):
    training = new_training(evolve_every=evolve_every)
    run(training, 2)
    run(training, 1)
    assert training.n_updates == 12
    # Never before the first update, nor after the last.
    assert len(training.growth.layers) == 2 * ((12 - 1) // evolve_every)


def test_zeta_of_zero_never_evolves():
    training = new_training(zeta_schedule=Constant(0))
    pattern = training.network.copy()
    records = run(training)
    assert training.growth.layers == []
    assert all(record["n_pruned"] == 0 for record in records)
    for layer, before in zip(training.network.layers, pattern.layers, strict=True):
        assert layer.has_pattern_of(before)


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
    training, validation = new_training(network=network), new_samples()
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


@pytest.mark.parametrize("norm", [False, True])
def test_divergence_restores_the_last_finite_network(norm):
    training = new_training(network=new_network(activation=PReLU(), norm=norm))
    epochs = training.run(new_samples(), None, HERE, 5)
    next(epochs)
    trained = training.network.copy()
    training.learning_rate.initial = 1e300
    with np.errstate(all="ignore"):
        assert list(epochs) == []
    assert training.diverged
    assert training.finished
    assert_same_network(training.network, trained)


@pytest.mark.parametrize("part", ["parameters", "gain", "mean"])
def test_what_a_hidden_layer_learns_is_guarded_like_weights(part, monkeypatch):
    training = new_training(network=new_network(activation=PReLU(), norm=True))
    epochs = training.run(new_samples(), None, HERE, 5)
    next(epochs)
    trained = training.network.copy()

    def spoil(unit, *args):
        # A neuron that feeds nothing would not spoil the outputs.
        values = unit.parameters if part == "parameters" else getattr(unit.norm, part)
        values.flat[0] = np.inf
        training.network.layers[-1].weights[:] = 0

    monkeypatch.setattr(Hidden, "end_epoch", spoil)
    with np.errstate(all="ignore"):
        assert list(epochs) == []
    assert training.diverged
    assert_same_network(training.network, trained)


def test_interruption_restores_the_last_finished_epoch(monkeypatch):
    training = new_training(network=new_network(activation=PReLU(), norm=True))
    epochs = training.run(new_samples(), None, HERE, 5)
    next(epochs)
    trained = training.network.copy()
    assert not np.all(trained.hidden[0].parameters == PReLU().slope)

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(epochs)
    assert_same_network(training.network, trained)


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
