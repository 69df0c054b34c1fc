"""What older versions of scikit-learn lack is there, or said to be missing."""

import numpy as np
import pytest
from sklearn import utils

from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor, _sklearn
from sksparse_mlp.callbacks import Checkpoint

CLASSES = np.array([3, 5, 9])


@pytest.fixture
def labels():
    """40 labels of three classes, and a weight of each."""
    rng = np.random.default_rng(0)
    return rng.choice(CLASSES, 40), rng.uniform(0.1, 3, 40)


def of_version_1_6(class_weight, *, classes, y):
    return utils.class_weight.compute_class_weight(class_weight, classes=classes, y=y)


@pytest.mark.parametrize("old", [False, True])
def test_balanced_weights_make_classes_weigh_the_same(labels, old, monkeypatch):
    if old:
        monkeypatch.setattr(utils, "compute_class_weight", of_version_1_6)
    y, weights = labels
    found = _sklearn.compute_class_weight(
        "balanced", classes=CLASSES, y=y, sample_weight=weights
    )
    totals = [weights[y == label].sum() for label in CLASSES]
    np.testing.assert_allclose(found * totals, weights.sum() / 3)


@pytest.mark.parametrize("old", [False, True])
def test_weights_in_a_dict_are_taken_as_they_are(labels, old, monkeypatch):
    if old:
        monkeypatch.setattr(utils, "compute_class_weight", of_version_1_6)
    y, weights = labels
    found = _sklearn.compute_class_weight(
        {3: 2.0}, classes=CLASSES, y=y, sample_weight=weights
    )
    assert found.tolist() == [2, 1, 1]


def test_weights_that_are_all_zero_are_refused():
    with pytest.raises(ValueError, match="at least one non-zero"):
        _sklearn._check_sample_weight(np.zeros(3), np.ones((3, 2)))


def test_missing_callbacks_are_named_with_the_version(monkeypatch, tmp_path):
    monkeypatch.setattr(_sklearn, "HAS_CALLBACKS", False)
    with pytest.raises(ImportError, match=r"Checkpoint needs .* 1\.9 or newer; installed"):
        Checkpoint(tmp_path / "run.npz")


@pytest.mark.skipif(_sklearn.HAS_CALLBACKS, reason="this scikit-learn has callbacks")
@pytest.mark.parametrize("cls", [SparseMLPClassifier, SparseMLPRegressor])
def test_networks_without_callbacks_fit_and_say_what_is_missing(cls, mlp, binary):
    model = mlp(cls).fit(*binary)
    assert model.n_iter_ == 4
    with pytest.raises(ImportError, match=rf"{cls.__name__}\.set_callbacks needs .* 1\.9"):
        model.set_callbacks(object())
