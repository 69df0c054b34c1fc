"""Schedules of zeta: pure functions of (epoch, n_epochs)."""

import pytest
from sklearn.base import clone

from sksparse_mlp.schedules import ZETA_SCHEDULES, Constant

by_name = pytest.mark.parametrize("name", ZETA_SCHEDULES)


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
