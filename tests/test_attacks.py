"""Attacks have a process each, and what goes wrong in one is told apart."""

import os
import signal
import time

import pytest
from numba import config

from benchmarks.reliability import attacks

pytestmark = [
    pytest.mark.skipif(config.DISABLE_JIT, reason="what is compiled is attacked"),
    pytest.mark.skipif(os.name != "posix", reason="signals and pipes are those of POSIX"),
]


def test_every_attack_has_a_name_and_says_what_it_does():
    functions = [f for kind in attacks.ATTACKS.values() for f in kind]
    assert len({f.__name__ for f in functions}) == len(functions) > 30
    assert all(f.__doc__.rstrip().endswith(".") for f in functions)


# The others are run by `make nightly`; tests of each room hold what they show.
@pytest.mark.parametrize("name", ["forks_between_two_epochs", "a_pipe"])
def test_attacks_end_as_they_should(name):
    assert attacks.outcome(name, attacks.ROOT) == "sound"


WAYS = {
    "sound": lambda: None,
    "wrong": lambda: attacks.refused(ValueError).__enter__() or [][0],
    "crashed": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "stuck": lambda: time.sleep(60),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_goes_wrong_is_noticed(way, tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text(
        f"import sys; sys.path[:0] = {[str(attacks.ROOT), str(attacks.ROOT / 'tests')]}\n"
        "import test_attacks; test_attacks.WAYS[sys.argv[-1]]()"
    )
    monkeypatch.setattr(attacks, "__file__", str(program))
    monkeypatch.setattr(attacks, "LIMIT", 10)
    assert attacks.outcome(way, attacks.ROOT) == way
