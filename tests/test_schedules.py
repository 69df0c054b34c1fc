"""Schedules of zeta: pure functions of (epoch, n_epochs), and of what was measured."""

from math import cos, pi

import numpy as np
import pytest
from sklearn.base import clone

from sksparse_mlp.core.training import Training
from sksparse_mlp.schedules import (
    ZETA_SCHEDULES,
    Constant,
    Cosine,
    ExponentialDecay,
    LinearDecreasing,
    LossDriven,
    Oscillating,
)

by_name = pytest.mark.parametrize("name", ZETA_SCHEDULES)
E_VALUES = [1, 2, 3, 10, 25, 500]


@pytest.mark.parametrize("zeta", [0, 0.2, 0.999])
@pytest.mark.parametrize("n_epochs", [1, 2, 25])
def test_constant_is_zeta_at_every_epoch(zeta, n_epochs):
    schedule = Constant(zeta)
    assert [schedule(epoch, n_epochs) for epoch in range(n_epochs)] == [zeta] * n_epochs


def test_default_is_that_of_set():
    assert Constant()(0, 1) == 0.3


@by_name
@pytest.mark.parametrize("n_epochs", [1, 2, 25])
def test_zeta_is_a_share_at_every_epoch(name, n_epochs):
    schedule = ZETA_SCHEDULES[name]()
    for epoch in range(n_epochs):
        zeta = schedule(epoch, n_epochs)
        assert isinstance(zeta, float)
        assert 0 <= zeta < 1


@by_name
def test_zeta_does_not_depend_on_earlier_calls(name):
    schedule = ZETA_SCHEDULES[name]()
    forwards = [schedule(epoch, 10) for epoch in range(10)]
    assert [schedule(epoch, 10) for epoch in reversed(range(10))] == forwards[::-1]


@by_name
def test_schedule_is_a_cloneable_holder_of_valid_parameters(name):
    schedule = ZETA_SCHEDULES[name]()
    schedule._validate_params()
    assert clone(schedule).get_params() == schedule.get_params()
    assert set(schedule.get_params()) == set(schedule._parameter_constraints)


@pytest.mark.parametrize("zeta", [-0.1, 1, 1.5, "much", None])
def test_zeta_that_is_no_share_is_refused_by_name(zeta):
    with pytest.raises(ValueError, match="The 'zeta' parameter of Constant"):
        Constant(zeta=zeta)._validate_params()


# --- formulas -------------------------------------------------------------------------


def linear(e, E, zeta_max=0.3, zeta_min=0.01):
    return zeta_min + (zeta_max - zeta_min) * (E - e) / E


def oscillating(e, E, zeta_max=0.3, zeta_min=0.01, k=1):
    T = 2 * E / (3 + 2 * k)
    middle, half = (zeta_max + zeta_min) / 2, (zeta_max - zeta_min) / 2
    return middle + half * cos(2 * pi * e / T)


def exponential(e, E, zeta=0.3, interest=0.01):
    return zeta * (1 - interest) ** e


def cosine(e, E, zeta=0.3, end=1.0):
    return zeta / 2 * (1 + cos(pi * e / (end * E))) if e < end * E else 0.0


def constant(e, E, zeta=0.3):
    return zeta


FORMULAS = {
    "constant": constant,
    "linear": linear,
    "oscillating": oscillating,
    "exponential": exponential,
    "cosine": cosine,
    # Without a record of an epoch before.
    "loss": constant,
}
PARAMETERS = [
    (Constant, constant, [{}, {"zeta": 0}, {"zeta": 0.7}]),
    (
        LinearDecreasing,
        linear,
        [{}, {"zeta_max": 0.9, "zeta_min": 0.2}, {"zeta_max": 0.1, "zeta_min": 0.1}],
    ),
    (
        Oscillating,
        oscillating,
        [{}, {"k": 0}, {"k": 7}, {"zeta_max": 0.8, "zeta_min": 0.0, "k": 3}],
    ),
    (
        ExponentialDecay,
        exponential,
        [{}, {"interest": 0}, {"interest": 1}, {"zeta": 0.9, "interest": 0.3}],
    ),
    (Cosine, cosine, [{}, {"end": 0.75}, {"zeta": 0.9, "end": 0.01}]),
    (LossDriven, constant, [{}, {"zeta": 0.7}]),
]
CASES = [(cls, formula, params) for cls, formula, many in PARAMETERS for params in many]


def test_every_schedule_has_a_formula_here():
    assert FORMULAS.keys() == ZETA_SCHEDULES.keys()
    assert {cls for cls, _, _ in PARAMETERS} == set(ZETA_SCHEDULES.values())


@pytest.mark.parametrize("n_epochs", E_VALUES)
@pytest.mark.parametrize(("cls", "formula", "params"), CASES)
def test_schedule_is_its_formula_at_every_epoch(cls, formula, params, n_epochs):
    schedule = cls(**params)
    zetas = [schedule(epoch, n_epochs) for epoch in range(n_epochs)]
    expected = [formula(epoch, n_epochs, **params) for epoch in range(n_epochs)]
    np.testing.assert_allclose(zetas, expected, rtol=1e-13, atol=1e-16)


def test_linear_and_oscillating_begin_at_their_largest_zeta_and_stay_between():
    for cls in (LinearDecreasing, Oscillating):
        schedule = cls(zeta_max=0.45, zeta_min=0.05)
        zetas = [schedule(epoch, 77) for epoch in range(77)]
        assert zetas[0] == max(zetas) == 0.45
        assert min(zetas) >= 0.05


def test_oscillation_ends_a_training_at_its_smallest_zeta():
    for k in range(5):
        assert Oscillating(zeta_min=0.02, k=k)(100, 100) == pytest.approx(0.02)


# --- parameters -----------------------------------------------------------------------


@pytest.mark.parametrize("cls", [LinearDecreasing, Oscillating])
def test_smallest_zeta_above_the_largest_is_refused(mlp, binary, cls):
    match = rf"zeta_min=0.5 of {cls.__name__} is above its zeta_max=0.3.*must not exceed"
    with pytest.raises(ValueError, match=match):
        mlp(zeta_schedule=cls(zeta_max=0.3, zeta_min=0.5)).fit(*binary)


@pytest.mark.parametrize("name", ["linear", "oscillating"])
def test_zeta_below_the_smallest_of_a_named_schedule_is_refused(mlp, binary, name):
    match = r"zeta_min=0.01 of .* is above its zeta_max=0.005.*`zeta`"
    with pytest.raises(ValueError, match=match):
        mlp(zeta_schedule=name, zeta=0.005).fit(*binary)


@pytest.mark.parametrize(
    ("schedule", "match"),
    [
        (LinearDecreasing(zeta_max=1.0), "'zeta_max' parameter of LinearDecreasing"),
        (LinearDecreasing(zeta_min=-0.1), "'zeta_min' parameter of LinearDecreasing"),
        (Oscillating(k=-1), "'k' parameter of Oscillating"),
        (Oscillating(k=0.5), "'k' parameter of Oscillating"),
        (ExponentialDecay(interest=1.1), "'interest' parameter of ExponentialDecay"),
        (ExponentialDecay(zeta=np.nan), "'zeta' parameter of ExponentialDecay"),
        (Cosine(end=0), "'end' parameter of Cosine"),
        (Cosine(end=1.1), "'end' parameter of Cosine"),
    ],
)
def test_parameters_outside_their_range_are_refused(mlp, binary, schedule, match):
    with pytest.raises(ValueError, match=match):
        mlp(zeta_schedule=schedule).fit(*binary)


# --- in a training --------------------------------------------------------------------


def zetas_of(model):
    return [record["zeta"] for record in model.history_]


def formula_of(name, n_epochs, zeta):
    """Zetas of a schedule chosen by name."""
    parameter = "zeta_max" if name in ("linear", "oscillating") else "zeta"
    return [FORMULAS[name](e, n_epochs, **{parameter: zeta}) for e in range(n_epochs)]


@pytest.mark.parametrize("name", [k for k in ZETA_SCHEDULES if k != "loss"])
@pytest.mark.parametrize("zeta", [0.1, 0.45])
def test_zeta_of_every_epoch_is_that_of_the_formula(mlp, multiclass, name, zeta):
    model = mlp(zeta_schedule=name, zeta=zeta, max_iter=7).fit(*multiclass)
    np.testing.assert_allclose(zetas_of(model), formula_of(name, 7, zeta), rtol=1e-13)


def test_zeta_leaves_instances_alone(mlp, multiclass):
    model = mlp(zeta_schedule=ExponentialDecay(zeta=0.4, interest=0.5), zeta=0.1)
    np.testing.assert_allclose(zetas_of(model.fit(*multiclass)), [0.4, 0.2, 0.1, 0.05])


def test_zeta_decides_how_many_connections_move(mlp, multiclass):
    model = mlp(zeta_schedule=lambda e, n: [0.0, 0.5, 0.1, 0.2][e]).fit(*multiclass)
    sparse_layers = model.n_connections_[:2].sum()
    shares = [record["n_pruned"] / sparse_layers for record in model.history_]
    np.testing.assert_allclose(shares, [0, 0.5, 0.1, 0], atol=0.02)


@by_name
def test_zeta_of_zero_never_evolves(mlp, multiclass, same_network, name):
    model = mlp(zeta_schedule=name, zeta=0).fit(*multiclass)
    assert zetas_of(model) == [0] * 4
    assert not any(record["n_pruned"] or record["n_grown"] for record in model.history_)
    assert same_network(model, mlp(zeta=0).fit(*multiclass))


@pytest.mark.parametrize("until", [0.25, 0.5, 0.55, 1.0])
@pytest.mark.parametrize("evolve_every", ["epoch", 2])
def test_topology_is_left_alone_after_evolve_until(mlp, multiclass, until, evolve_every):
    model = mlp(evolve_until=until, evolve_every=evolve_every, max_iter=8)
    expected = [0.3 if epoch < until * 8 else 0.0 for epoch in range(8)]
    assert zetas_of(model.fit(*multiclass)) == expected
    evolved = [record["n_grown"] > 0 for record in model.history_]
    by_epoch = evolve_every == "epoch"
    assert evolved == [z > 0 and not (by_epoch and e == 7) for e, z in enumerate(expected)]


@pytest.mark.parametrize("bad", [-0.1, 1.0, np.nan, np.inf, "0.3", None, [0.3], 0.3j])
def test_schedule_whose_last_value_is_no_share_is_refused(mlp, binary, monkeypatch, bad):
    def started(*args, **kwargs):
        raise AssertionError("training has started")

    monkeypatch.setattr(Training, "run", started)
    model = mlp(zeta_schedule=lambda e, n: bad if e == 39 else 0.3, max_iter=40)
    match = r"zeta_schedule=.* at epoch 39 of 40; zeta must be in \[0, 1\) at every epoch"
    with pytest.raises(ValueError, match=match):
        model.fit(*binary)


# --- what was learned -----------------------------------------------------------------


def test_loss_driven_zeta_is_the_share_that_is_not_learned():
    schedule, probabilities = LossDriven(zeta=0.4), np.array([0.9, 0.5, 0.2])
    loss = -np.log(probabilities).mean()
    expected = 0.4 * (1 - np.exp(np.log(probabilities).mean()))
    assert schedule(3, 10, loss=loss) == pytest.approx(expected, rel=1e-12)
    assert schedule(3, 10) == 0.4
    assert [schedule(3, 10, loss=loss) for loss in (0.0, -1.0, np.inf)] == [0, 0, 0.4]
    zetas = [schedule(3, 10, loss=loss) for loss in (0.01, 0.1, 1.0, 10.0, 1e300)]
    assert np.all(np.diff([0, *zetas]) >= 0)
    assert zetas[-1] == 0.4


@pytest.mark.parametrize("evolve_every", ["epoch", 3])
def test_zeta_follows_the_loss_of_the_epoch_before(mlp, multiclass, evolve_every):
    model = mlp(zeta_schedule="loss", zeta=0.2, evolve_every=evolve_every, max_iter=8)
    history = model.fit(*multiclass).history_
    losses = [record["loss"] for record in history]
    expected = [0.2, *(0.2 * (1 - np.exp(-loss)) for loss in losses[:-1])]
    zetas = [record["zeta"] for record in history]
    np.testing.assert_allclose(zetas, expected, rtol=1e-12)
    assert zetas[-1] < zetas[0]


class Reader:
    """A schedule of a user's that reads a metric."""

    metric = "turnover"

    def __init__(self, wrong=False):
        self.seen, self.wrong = [], wrong

    def __call__(self, epoch, n_epochs, turnover=None):
        self.seen.append((epoch, turnover))
        return 1.5 if self.wrong and turnover is not None else 0.25


def test_any_schedule_may_read_a_metric(mlp, multiclass):
    schedule = Reader()
    model = mlp(zeta_schedule=schedule, max_iter=5).fit(*multiclass)
    read = [(epoch, turnover) for epoch, turnover in schedule.seen if turnover is not None]
    assert read == [(k + 1, model.history_[k]["turnover"]) for k in range(4)]
    assert (0, None) in schedule.seen


def test_what_is_made_of_a_metric_must_be_a_share_too(mlp, multiclass):
    with pytest.raises(ValueError, match=r"at epoch 1 of 5; zeta must be in \[0, 1\)"):
        mlp(zeta_schedule=Reader(wrong=True), max_iter=5).fit(*multiclass)
