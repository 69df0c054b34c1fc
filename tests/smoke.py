"""What an installation must do with nothing but the dependencies: `make test-wheel`."""

import importlib
import importlib.metadata
import pkgutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import sklearn
from sklearn.datasets import load_digits, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import sksparse_mlp
from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor, SparseMLPSelector

# Modules that say by an ImportError what they need beside the dependencies.
OPTIONAL = ("sksparse_mlp.distributed",)


def check_installed():
    """Whether the package comes from the environment, with its marker of types."""
    folder = Path(sksparse_mlp.__file__).parent
    assert folder.is_relative_to(sys.prefix), folder
    assert (folder / "py.typed").exists()
    assert importlib.metadata.version("sksparse-mlp") == sksparse_mlp.__version__


def import_everything():
    for module in pkgutil.walk_packages(sksparse_mlp.__path__, "sksparse_mlp."):
        if not module.name.startswith(OPTIONAL):
            importlib.import_module(module.name)


def check_classifier():
    X, y = load_digits(return_X_y=True)
    selector = SparseMLPSelector(SparseMLPClassifier(max_iter=10, random_state=0))
    network = SparseMLPClassifier(max_iter=20, n_jobs=2, random_state=0)
    model = make_pipeline(MinMaxScaler(), selector, network).fit(X, y)
    assert model.score(X, y) > 0.9
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        np.savez(path, **network.export_arrays())
        copy = SparseMLPClassifier.from_arrays(path)
    selected = model[:-1].transform(X)
    assert np.array_equal(copy.predict_proba(selected), network.predict_proba(selected))


def check_regressor():
    X, _ = load_iris(return_X_y=True)
    network = SparseMLPRegressor(max_iter=100, random_state=0)
    model = make_pipeline(MinMaxScaler(), network).fit(X[:, :3], X[:, 3])
    assert model.score(X[:, :3], X[:, 3]) > 0.8


if __name__ == "__main__":
    check_installed()
    import_everything()
    check_classifier()
    check_regressor()
    versions = f"{sksparse_mlp.__version__} beside scikit-learn {sklearn.__version__}"
    print(f"sksparse-mlp {versions} from {sys.prefix} works.")
