"""Small data, small estimators and the real data sets, for all test modules."""

import signal

import numpy as np
import pytest
from recording import Recorder
from sklearn.datasets import (
    make_classification,
    make_multilabel_classification,
    make_regression,
)
from sklearn.preprocessing import scale

from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor
from sksparse_mlp.core.evolution import Evolution
from sksparse_mlp.datasets import fetch


@pytest.fixture
def binary():
    """150 samples of 2 classes, 12 features."""
    return make_classification(
        150, 12, n_informative=6, class_sep=2.0, flip_y=0, random_state=0
    )


@pytest.fixture
def multiclass():
    """150 samples of 3 classes, 12 features."""
    return make_classification(
        150, 12, n_informative=6, n_classes=3, class_sep=2.0, flip_y=0, random_state=0
    )


@pytest.fixture
def regression():
    """150 samples with one target of mean 0 and standard deviation 1, 12 features."""
    X, y = make_regression(150, 12, n_informative=6, random_state=0)
    return X, scale(y)


# What targets there are besides one label per sample.
OTHER_TARGETS = ["one target", "a column", "three targets", "labels"]


@pytest.fixture(params=OTHER_TARGETS)
def other(request):
    """An estimator's class and data, for targets that are not one label per sample."""
    if request.param == "labels":
        X, y = make_multilabel_classification(150, 12, n_classes=4, random_state=0)
        return SparseMLPClassifier, scale(X), y
    n_targets = 3 if request.param == "three targets" else 1
    X, y = make_regression(
        150, 12, n_informative=6, n_targets=n_targets, noise=5, random_state=0
    )
    y = scale(y)
    return SparseMLPRegressor, X, y[:, np.newaxis] if request.param == "a column" else y


SMALL = {
    "hidden_layer_sizes": (24, 16),
    "activation": "all_relu",
    "slope": 0.25,
    "epsilon": 3,
    "zeta": 0.3,
    "zeta_schedule": "constant",
    "growth": "random",
    "evolve_every": "epoch",
    "solver": "adam",
    "alpha": 1e-4,
    "dropout": 0.0,
    "batch_size": 32,
    "learning_rate": "constant",
    "learning_rate_init": 0.01,
    "max_iter": 4,
    "shuffle": True,
    "early_stopping": False,
    "n_iter_no_change": np.inf,
    "tol": 0.0,
    "random_state": 0,
}


@pytest.fixture
def mlp():
    """Make a small estimator whose every parameter that matters is set.

    Its hidden layers are sparse for 12 features; with few classes the last one is full.
    """

    def make(cls=SparseMLPClassifier, **params):
        return cls(**SMALL | params)

    return make


@pytest.fixture
def recorder():
    """The class of the recording callback, where scikit-learn has callbacks."""
    pytest.importorskip("sklearn.callback")
    return Recorder


@pytest.fixture
def same_network():
    """Whether two fitted estimators have the same pattern and weights to the last bit."""

    def same(one, other):
        layers = zip(one.coefs_, other.coefs_, strict=True)
        biases = zip(one.intercepts_, other.intercepts_, strict=True)
        return all(_same_matrix(a, b) for a, b in layers) and all(
            _same_array(a, b) for a, b in biases
        )

    return same


def _same_matrix(a, b):
    return a.shape == b.shape and all(
        _same_array(getattr(a, name), getattr(b, name))
        for name in ("indptr", "indices", "data")
    )


def _same_array(a, b):
    return a.dtype == b.dtype and np.array_equal(a, b)


@pytest.fixture
def real_data():
    """Skip the test unless a real data set is at hand; the network is not asked."""

    def look_for(name):
        try:
            fetch(name, download_if_missing=False)
        except OSError as error:
            pytest.skip(str(error))

    return look_for


@pytest.fixture(autouse=True)
def full_layers_are_said_again(monkeypatch):
    """Every test is told of full layers as if it were the first of its process."""
    monkeypatch.setattr(Evolution, "has_said_full", False)


@pytest.fixture
def interruptible():
    """Ctrl-C raises KeyboardInterrupt, also in a process that was told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
