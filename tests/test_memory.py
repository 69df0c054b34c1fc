"""Training takes as many bytes per connection as when the baseline was kept."""

import json

import memory
import pytest

CASES = {name: case for name, *case in memory.cases()}
KEPT = json.loads(memory.BASELINE.read_text())


def test_baseline_has_every_case():
    assert KEPT.keys() == CASES.keys(), "run: python tests/memory.py"


@pytest.mark.parametrize("name", sorted(KEPT.keys() & CASES.keys()))
def test_bytes_per_connection(name):
    # One in ten more or less: libraries differ in what they allocate by the way.
    found = memory.bytes_per_connection(*CASES[name])
    assert found == pytest.approx(KEPT[name], rel=0.1), "if meant: python tests/memory.py"
