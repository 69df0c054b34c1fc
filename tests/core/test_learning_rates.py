"""Learning-rate schedules are their formulas."""

import numpy as np
import pytest

from sksparse_mlp.core.learning_rates import LEARNING_RATES

FORMULAS = {
    "constant": lambda epoch, n_epochs, n_seen: 0.3,
    "invscaling": lambda epoch, n_epochs, n_seen: 0.3 / (1 + n_seen) ** 0.7,
    "adaptive": lambda epoch, n_epochs, n_seen: 0.3,
    "exponential": lambda epoch, n_epochs, n_seen: 0.3 * 0.99**epoch,
    "cosine": lambda epoch, n_epochs, n_seen: (
        0.15 + 0.15 * np.cos(np.pi * epoch / n_epochs)
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("n_epochs", [1, 2, 10])
def test_schedule_is_its_formula_at_every_epoch(name, n_epochs):
    schedule = LEARNING_RATES[name](initial=0.3, power_t=0.7)
    for epoch in range(n_epochs):
        arguments = epoch, n_epochs, 57 * epoch
        expected = FORMULAS[name](*arguments)
        assert schedule(*arguments) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", LEARNING_RATES)
def test_schedule_does_not_depend_on_the_order_of_calls(name):
    schedule = LEARNING_RATES[name](initial=0.3, power_t=0.7)
    forwards = [schedule(epoch, 10, 7 * epoch) for epoch in range(10)]
    backwards = [schedule(epoch, 10, 7 * epoch) for epoch in reversed(range(10))]
    assert forwards == backwards[::-1]


@pytest.mark.parametrize("name", LEARNING_RATES)
def test_rate_stays_positive_and_never_exceeds_the_initial_one(name):
    schedule = LEARNING_RATES[name](initial=0.3, power_t=0.7)
    # Training may go on past the epochs that were planned.
    assert all(0 < schedule(epoch, 10, 100 * epoch) <= 0.3 for epoch in range(30))


@pytest.mark.parametrize("name", ["constant", "invscaling", "exponential", "cosine"])
def test_training_stops_on_the_first_plateau(name):
    assert LEARNING_RATES[name](initial=0.3, power_t=0.7).on_plateau()


def test_adaptive_divides_by_5_on_a_plateau_and_stops_at_1e_6():
    schedule = LEARNING_RATES["adaptive"](initial=1e-3, power_t=0.5)
    rates = [schedule(0, 10, 0)]
    while not schedule.on_plateau():
        rates.append(schedule(0, 10, 0))
    # 1e-3 / 5**5 is the first rate that is not above 1e-6.
    assert rates == pytest.approx([1e-3 / 5**k for k in range(6)])
    assert schedule(0, 10, 0) == rates[-1]
