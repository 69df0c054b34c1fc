"""Threads, processes and interrupts; every scenario has a process and a time limit."""

import os

import pytest
from numba import config

from benchmarks.reliability.concurrency import SCENARIOS, Scenario

pytestmark = [
    pytest.mark.skipif(config.DISABLE_JIT, reason="threads need compiled code"),
    pytest.mark.skipif(os.name != "posix", reason="signals and forks are those of POSIX"),
]


# The others take some ten seconds each.
QUICK = ["fits in threads", "predictions in threads", "interrupted fit"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.nightly)
        for name in SCENARIOS
    ],
)
def test_scenario_ends_as_it_should(name):
    SCENARIOS[name].run()


def test_a_scenario_that_ends_otherwise_is_noticed():
    with pytest.raises(AssertionError, match="invalid choice"):
        Scenario(test_scenario_ends_as_it_should).run()
