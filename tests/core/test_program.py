"""One compiled call trains the same network as its steps, to the last bit."""

from dataclasses import replace

import numpy as np
import pytest
from networks import (
    HERE,
    LOSS_NAMES,
    N_OUTPUTS,
    assert_same_network,
    new_evolution,
    new_network,
    random_targets,
    share_all_work,
)
from numba import config
from scipy import sparse

from sksparse_mlp.activations import ACTIVATIONS, GAReLU, PReLU, ReLU, SReLU
from sksparse_mlp.core import kernels, program
from sksparse_mlp.core.learning_rates import LearningRate
from sksparse_mlp.core.losses import LogisticCrossEntropy, SoftmaxCrossEntropy
from sksparse_mlp.core.optimizers import SGD, Adam
from sksparse_mlp.core.program import Program, code_of
from sksparse_mlp.core.samples import Samples
from sksparse_mlp.core.training import Patience, Training
from sksparse_mlp.core.workers import Workers
from sksparse_mlp.topology import LiSET

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="compilation is switched off")
N_SAMPLES = 43
OPTIMIZERS = {
    "sgd": lambda: SGD(momentum=0.9, nesterov=False),
    "nesterov": lambda: SGD(momentum=0.9, nesterov=True),
    "adam": lambda: Adam(beta_1=0.9, beta_2=0.999, epsilon=1e-8),
}


def new_samples(loss=SoftmaxCrossEntropy, dtype=np.float64, container=np.asarray):
    rng = np.random.default_rng(4)
    X = container(rng.standard_normal((N_SAMPLES, 6)).astype(dtype))
    y = random_targets(loss, N_SAMPLES, rng)
    y = y.astype(dtype) if y.dtype.kind == "f" else y
    weights = rng.uniform(0.5, 2, N_SAMPLES).astype(dtype)
    return Samples(X, y, weights, np.arange(N_SAMPLES))


def new_training(network, solver="sgd", every=None, growth=None, **changes):
    growing = {} if growth is None else {"growth": growth}
    parameters = {
        "network": network,
        "optimizer": OPTIMIZERS[solver](),
        "learning_rate": LearningRate(0.02, 0.5),
        "evolution": new_evolution(every=every, **growing),
        "alpha": 0.01,
        "dropout": 0.2,
        "batch_size": 10,
        "n_epochs": 3,
        "shuffle": True,
        "patience": Patience(np.inf, 0.0),
        "data_rng": np.random.default_rng(1),
    }
    return Training(**(parameters | changes))


def trained(samples, network, workers=HERE, **changes):
    training = new_training(network, **changes)
    records = list(training.run(samples, None, workers, 3))
    return training.network, [record["loss"] for record in records]


def assert_both_ways_agree(samples, network, **changes):
    buffers = network.buffers(10, training=True)
    network.add_slots(2)
    assert Program.of(network, buffers, samples, SGD(momentum=0, nesterov=False), 0, 0)
    compiled, losses = trained(samples, network.copy(), **changes)
    by_steps, others = trained(samples, network.copy(), compiles=False, **changes)
    assert_same_network(compiled, by_steps)
    assert losses == others


ALL = {name: cls() for name, cls in ACTIVATIONS.items()}
ALL["garelu by epoch"] = GAReLU(update="epoch")
ALL["srelu in part"] = SReLU(threshold_left=-0.3, slope_right=0.4)
ALL["prelu slowly"] = PReLU(learning_rate_factor=0.3)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("solver", ["nesterov", "adam"])
@pytest.mark.parametrize("name", ALL)
def test_both_ways_agree_for_every_activation(name, solver, norm):
    network = new_network(ALL[name], norm=norm)
    assert_both_ways_agree(new_samples(), network, solver=solver)


def test_activations_learn_in_a_compiled_call():
    for name in ("prelu", "garelu", "srelu", "garelu by epoch"):
        network = new_network(ALL[name])
        before = [unit.parameters.copy() for unit in network.hidden]
        after, _ = trained(new_samples(), network)
        for unit, parameters in zip(after.hidden, before, strict=True):
            assert (unit.parameters != parameters).any()


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", N_OUTPUTS, ids=LOSS_NAMES)
def test_both_ways_agree_for_every_loss(loss, dtype, container):
    network = new_network("all_relu", loss, dtype=dtype)
    assert_both_ways_agree(new_samples(loss, dtype, container), network)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("solver", OPTIMIZERS)
@pytest.mark.parametrize(
    "changes",
    [
        {"alpha": 0.0, "dropout": 0.0},
        {"every": 3},
        {"batch_size": 1},
        {"batch_size": N_SAMPLES},
    ],
    ids=["plain", "often", "one", "all"],
)
def test_both_ways_agree_for_every_solver(solver, norm, changes):
    network = new_network("relu", norm=norm, hidden_sizes=(9, 8, 7))
    assert_both_ways_agree(new_samples(), network, solver=solver, **changes)


@pytest.mark.parametrize("every", [None, 3])
@pytest.mark.parametrize("solver", OPTIMIZERS)
@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy, LogisticCrossEntropy])
@pytest.mark.parametrize("name", ["all_relu", "prelu"])
def test_both_ways_agree_with_shortcuts(name, loss, solver, every):
    network = new_network(name, loss, norm=name == "prelu", hidden_sizes=(9, 8))
    changes = {"growth": LiSET(learning_rate_factor=0.7), "every": every}
    assert_both_ways_agree(
        new_samples(loss), network, solver=solver, batch_size=7, **changes
    )


@pytest.mark.parametrize("n_jobs", [2, 3, 7])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("name", ["tanh", "prelu", "garelu by epoch"])
def test_threads_change_nothing_of_a_compiled_call(name, n_jobs, norm, monkeypatch):
    share_all_work(monkeypatch)
    samples, network = new_samples(), new_network(ALL[name], norm=norm)
    changes = {"growth": LiSET() if name == "prelu" else None}
    alone, losses = trained(samples, network.copy(), **changes)
    with Workers(n_jobs) as workers:
        shared, others = trained(samples, network.copy(), workers, **changes)
    assert_same_network(alone, shared)
    assert losses == others


def test_short_calls_do_what_a_long_one_does(monkeypatch):
    samples, network = new_samples(), new_network("relu")
    at_once, losses = trained(samples, network.copy())
    monkeypatch.setattr(program, "WORK_OF_A_CALL", 1)
    one_by_one, others = trained(samples, network.copy())
    assert_same_network(at_once, one_by_one)
    assert losses == others


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e9, 1e30])
@pytest.mark.parametrize("name", ALL)
def test_outputs_are_within_their_bound_and_weights_that_overflow_have_none(name, scale):
    samples = new_samples(dtype=np.float32)
    network = new_network(ALL[name], dtype=np.float32)
    for layer in network.layers:
        layer.weights *= np.float32(scale)
    network.add_slots(1)
    buffers = network.buffers(N_SAMPLES, training=True)
    optimizer = SGD(momentum=0, nesterov=False)
    compiled = Program.of(network, buffers, samples, optimizer, 0, 0)
    compiled._fill_layers()
    norm = np.linalg.norm(samples.X, axis=1).max()
    bound = kernels.bound_of_outputs(compiled._table, norm, np.float32(0))
    logits = network.logits(samples.X, samples.rows, HERE)
    if np.isfinite(logits).all():
        assert float(abs(logits).max()) <= bound
    assert compiled.is_surely_sound() == (scale < 1e9 or bound < 1e19)
    assert not (compiled.is_surely_sound() and not np.isfinite(logits).all())
    network.layers[1].weights[3] = np.nan
    assert not compiled.is_surely_sound()


def test_a_loss_that_is_not_finite_ends_the_run():
    samples, network = new_samples(), new_network("relu")
    samples = replace(samples, X=samples.X.copy())
    samples.X[13] = np.nan
    training = new_training(network)
    assert list(training.run(samples, None, HERE, 3)) == []
    assert training.diverged
    assert training.network.is_finite()


class Doubled(ReLU):
    """What a user may write: a subclass that does something else."""

    def forward(self, z, a, parameters, start, stop):
        super().forward(z, a, parameters, start, stop)
        a[start:stop] *= 2


class Learned(ReLU):
    """A subclass that wants its slopes to be trained."""

    learnable = True


class Named(ReLU):
    """A subclass that only adds to its parent."""


def test_only_what_kernels_know_is_compiled():
    methods = "forward", "backward"
    assert code_of(ReLU(), *methods) == code_of(Named(), *methods) == kernels.LEAKY_RELU
    assert code_of(Doubled(), *methods) == 0
    samples = new_samples()
    for changes in ({"X": samples.X.astype(np.float32)}, {"y": samples.y.astype(np.int32)}):
        others = replace(samples, **changes)
        assert program_of(new_network("relu"), others) is None
    assert program_of(new_network("relu"), samples) is not None
    assert program_of(new_network(Doubled()), samples) is None
    assert program_of(new_network(Learned()), samples) is None


def program_of(network, samples):
    network.add_slots(1)
    buffers = network.buffers(10, training=True)
    return Program.of(network, buffers, samples, SGD(momentum=0, nesterov=False), 0, 0)


def test_activations_of_users_are_called():
    samples, network = new_samples(), new_network(Doubled())
    _, losses = trained(samples, network.copy())
    for unit in network.hidden:
        unit.activation = ReLU()
    _, others = trained(samples, network)
    assert np.isfinite(losses).all()
    assert losses[-1] != others[-1]
