"""Accuracy on the real data sets, with the networks of ``benchmarks/accuracy.py``."""

import pytest

from benchmarks.accuracy import train

pytestmark = pytest.mark.nightly


@pytest.mark.parametrize("name", ["isolet", "mnist"])
def test_accuracy_after_the_last_epoch(real_data, name):
    real_data(name)
    scores, model = train(name, seed=0)
    assert len(scores) <= {"isolet": 100, "mnist": 25}[name]
    assert scores[-1] >= {"isolet": 0.95, "mnist": 0.98}[name]
    assert model.epsilon == {"isolet": 21, "mnist": 20}[name]


def test_best_accuracy_on_madelon(real_data):
    real_data("madelon")
    scores, model = train("madelon", seed=0)
    assert len(scores) <= 300
    assert max(scores) >= 0.65
    assert (model.activation, model.slope, model.epsilon) == ("all_relu", 0.5, 10)
