"""Files that earlier versions wrote load, and what they hold gives what it gave then."""

import pickle
import warnings

import numpy as np
import pytest
import skops.io
from releases import write
from sklearn.exceptions import InconsistentVersionWarning

from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor
from sksparse_mlp.callbacks import Checkpoint
from sksparse_mlp.persistence import TRUSTED_TYPES

RELEASES = sorted(path for path in write.FOLDER.iterdir() if path.name[0].isdecimal())
FILES = [path for folder in RELEASES for path in sorted(folder.iterdir())]


def of_kind(suffix):
    paths = [p for p in FILES if p.suffix == suffix and p.stem not in ("expected",)]
    return pytest.mark.parametrize("path", paths, ids=lambda p: f"{p.parent.name}/{p.name}")


def expected(path):
    """What the model in a file gave when it was written, by method."""
    with np.load(path.parent / "expected.npz") as arrays:
        parts = {tuple(name.split("/")): arrays[name] for name in arrays}
    return {method: array for (name, method), array in parts.items() if name == path.stem}


def assert_gives_the_same(model, path):
    """Up to rounding, which is not the same on all processors."""
    made = write.results(model)
    assert made.keys() == expected(path).keys()
    for method, array in expected(path).items():
        assert made[method].dtype == array.dtype
        if array.dtype.kind == "f":
            np.testing.assert_allclose(made[method], array, rtol=2e-6, atol=1e-7)
        else:
            np.testing.assert_array_equal(made[method], array)


@pytest.fixture(autouse=True)
def other_versions_of_scikit_learn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        yield


@of_kind(".pkl")
def test_pickles_load(path):
    model = pickle.loads(path.read_bytes())
    assert pickle.loads(pickle.dumps(model)) is not None
    if not path.stem.startswith("other_"):
        assert_gives_the_same(model, path)


@of_kind(".skops")
def test_skops_files_load(path):
    assert_gives_the_same(skops.io.load(path, trusted=TRUSTED_TYPES), path)


def test_predictors_predict_as_their_networks():
    X, _ = write.data()
    for folder in RELEASES:
        for predictor, network in (("classes", "binary"), ("numbers", "targets")):
            loaded = pickle.loads((folder / f"other_{predictor}.pkl").read_bytes())
            given = expected(folder / f"{network}.pkl")["predict"]
            np.testing.assert_allclose(loaded.predict(X), given, rtol=2e-6)


@of_kind(".npz")
def test_arrays_load(path):
    if path.stem == "checkpoint":
        assert SparseMLPClassifier.from_arrays(path).n_iter_ == 2
        return
    is_regressor = path.stem in ("regressor", "targets")
    cls = SparseMLPRegressor if is_regressor else SparseMLPClassifier
    model = cls.from_arrays(path)
    assert_gives_the_same(model, path)
    pickled = pickle.loads(path.with_suffix(".pkl").read_bytes())
    for one, other in zip(model.coefs_, pickled.coefs_, strict=True):
        assert (one != other).nnz == 0


@pytest.mark.parametrize("folder", RELEASES, ids=lambda p: p.name)
def test_checkpoints_go_on(folder, tmp_path):
    pytest.importorskip("sklearn.callback")
    path = tmp_path / "checkpoint.npz"
    path.write_bytes((folder / "checkpoint.npz").read_bytes())
    model = write.checkpointed().set_callbacks(Checkpoint(path))
    with warnings.catch_warnings():
        # That it goes on in another version is said.
        warnings.simplefilter("ignore", UserWarning)
        model.fit(*write.data())
    assert model.n_iter_ == 5
    assert_gives_the_same(model, folder / "checkpoint.npz")


@pytest.mark.parametrize("folder", RELEASES, ids=lambda p: p.name)
@pytest.mark.parametrize("name", ["continued", "targets"])
def test_training_goes_on(folder, name):
    path = folder / f"{name}.pkl"
    model, before = pickle.loads(path.read_bytes()), pickle.loads(path.read_bytes())
    X, y = write.data()
    X = X.astype(np.float32)
    model.partial_fit(X, y if name == "continued" else X[:, :2])
    assert len(model.history_) == len(before.history_) + 1
    assert (model.coefs_[0] != before.coefs_[0]).nnz
