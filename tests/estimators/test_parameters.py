"""The places where the parameters of the networks stand say the same."""

import inspect

import pytest

from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor
from sksparse_mlp.estimators._parameters import Parameters

NETWORKS = [SparseMLPClassifier, SparseMLPRegressor]
# Parameters that a network has beside those that all share.
OWN = {SparseMLPClassifier: {"class_weight"}, SparseMLPRegressor: {"loss", "quantile"}}
# Defaults that one of them has for itself.
DEFAULTS = {SparseMLPRegressor: {"alpha": 0.01, "dropout": 0.0, "learning_rate_init": 0.01}}
by_network = pytest.mark.parametrize("cls", NETWORKS)


def shared(cls):
    """Parameters of a constructor in their order, without those of the class alone."""
    parameters = inspect.signature(cls).parameters.values()
    return [p for p in parameters if p.name not in OWN.get(cls, ())]


@by_network
def test_constructors_have_the_parameters_of_the_one_source(cls):
    own = DEFAULTS.get(cls, {})
    for here, there in zip(shared(cls), shared(Parameters), strict=True):
        there = there.replace(default=own.get(there.name, there.default))
        assert here == there, (
            f"{cls.__name__} has `{here}` where Parameters in "
            f"estimators/_parameters.py has `{there}`: write it the same in both."
        )


@by_network
def test_constructors_keep_what_they_are_given(cls):
    given = {name: object() for name in inspect.signature(cls).parameters}
    model = cls(**given)
    lost = [
        name for name, value in given.items() if getattr(model, name, None) is not value
    ]
    assert lost == [], f"{cls.__name__}.__init__ does not pass on or keep {lost}."
    assert vars(model) == given


@by_network
def test_every_parameter_has_its_constraint(cls):
    assert cls._parameter_constraints.keys() == inspect.signature(cls).parameters.keys()


@by_network
def test_own_parameters_are_those_that_are_named(cls):
    names = inspect.signature(cls).parameters.keys()
    assert names - inspect.signature(Parameters).parameters.keys() == OWN[cls]
