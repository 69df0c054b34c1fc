"""Weights of one are no weights: the same bits for every target, dtype and solver."""

from itertools import product

import everything
import numpy as np
import pytest

TARGETS = {
    "labels": 0,
    "two classes": 1,
    "indicators": 2,
    "one target": 3,
    "two targets": 4,
}
CASES = list(product(everything.REGISTRIES["solver"], everything.DTYPES))


@pytest.fixture(params=TARGETS)
def network(request):
    """Class and targets."""
    return list(everything.targets())[TARGETS[request.param]]


@pytest.mark.parametrize(("solver", "dtype"), CASES)
@pytest.mark.parametrize("container", everything.CONTAINERS)
@pytest.mark.parametrize("more", [{}, {"early_stopping": True, "validation_fraction": 0.3}])
def test_fit(network, solver, dtype, container, more, same_network):
    cls, y = network
    X = everything.samples(dtype, container)
    plain, weighted = (everything.small(cls, solver=solver, **more) for _ in range(2))
    plain.fit(X, y)
    weighted.fit(X, y, sample_weight=np.ones(len(y)))
    assert same_network(weighted, plain)
    assert weighted.loss_curve_ == plain.loss_curve_
    assert weighted.validation_scores_ == plain.validation_scores_


@pytest.mark.parametrize(("solver", "dtype"), CASES)
def test_partial_fit(network, solver, dtype, same_network):
    cls, y = network
    X = everything.samples(dtype)
    plain, weighted = (everything.small(cls, solver=solver) for _ in range(2))
    classes = (
        {"classes": np.unique(y)} if y.ndim == 1 and hasattr(cls, "predict_proba") else {}
    )
    for _ in range(2):
        plain.partial_fit(X, y, **classes)
        weighted.partial_fit(X, y, sample_weight=np.ones(len(y), dtype), **classes)
    assert same_network(weighted, plain)
