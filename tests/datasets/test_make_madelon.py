"""Generated problems like Madelon."""

from inspect import signature

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.neighbors import KNeighborsClassifier

from sksparse_mlp.datasets import make_madelon

told = pytest.mark.skipif(
    "return_X_y" not in signature(make_classification).parameters,
    reason="this scikit-learn tells nothing of the features it makes",
)


def test_samples_are_those_of_the_generator_by_guyon():
    X, y = make_madelon(random_state=0)
    expected, classes = make_classification(
        2600,
        500,
        n_informative=5,
        n_redundant=15,
        n_clusters_per_class=16,
        class_sep=2.0,
        random_state=0,
    )
    np.testing.assert_array_equal(X, expected)
    np.testing.assert_array_equal(y, 2 * classes - 1)
    assert y.dtype == np.int64


@told
def test_every_parameter_reaches_the_generator():
    given = {
        "n_samples": 64,
        "n_features": 12,
        "n_informative": 4,
        "n_redundant": 3,
        "n_repeated": 2,
        "n_clusters_per_class": 8,
        "flip_y": 0.25,
        "class_sep": 3.0,
        "shuffle": False,
        "random_state": 7,
    }
    parameters = make_madelon(**given, return_X_y=False).parameters
    assert {name: parameters[name] for name in given} == given


@told
def test_useful_features_are_known():
    madelon = make_madelon(400, 40, flip_y=0, random_state=0, return_X_y=False)
    kinds = np.array(madelon.feature_info)
    assert [np.sum(kinds == kind) for kind in ("informative", "redundant")] == [5, 15]
    accuracies = {}
    for kind in ("informative", "random"):
        X, y = madelon.X[:, kinds == kind], madelon.y
        accuracies[kind] = (
            KNeighborsClassifier().fit(X[:200], y[:200]).score(X[200:], y[200:])
        )
    assert accuracies["informative"] > 0.85 > 0.65 > accuracies["random"]


@told
def test_useful_features_come_first_without_shuffling():
    madelon = make_madelon(40, 30, n_repeated=2, shuffle=False, return_X_y=False)
    kinds = ["informative"] * 5 + ["redundant"] * 15 + ["repeated"] * 2 + ["random"] * 8
    assert madelon.feature_info == kinds


def test_labels_without_noise_are_balanced():
    _, y = make_madelon(320, 30, flip_y=0, random_state=0)
    assert np.unique(y, return_counts=True)[1].tolist() == [160, 160]


def test_too_few_features_are_refused():
    with pytest.raises(ValueError, match="features must sum"):
        make_madelon(100, 10)
