"""Small files in place of the real data sets, for tests and the examples in docstrings."""

from inspect import signature

import numpy as np
import pytest
from sklearn.datasets import make_classification

from sksparse_mlp.datasets._fetch import FOLDER_VARIABLE
from sksparse_mlp.datasets._registry import DATA_SETS


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    """Folder with one sample of each class in each part of each data set."""
    folder = tmp_path_factory.mktemp("small")
    for name, data_set in DATA_SETS.items():
        shape = len(data_set.classes), data_set.n_features
        arrays = {}
        for part in data_set.parts:
            X, y = data_set.array_names(part)
            arrays[X] = np.ones(shape, data_set.dtype)
            arrays[y] = np.array(list(data_set.classes), np.int8)
        np.savez(folder / f"{name}.npz", **arrays)
    return folder


def _skip_unless_told():
    """Skip an example where scikit-learn tells nothing of the features it makes."""
    if "return_X_y" not in signature(make_classification).parameters:
        pytest.skip("this scikit-learn tells nothing of the features it makes")


@pytest.fixture(autouse=True)
def examples_find_small_data(request, monkeypatch):
    if isinstance(request.node, pytest.DoctestItem):
        if request.node.name.startswith("sksparse_mlp.callbacks."):
            pytest.importorskip("sklearn.callback")
        if request.node.name.startswith("sksparse_mlp.datasets._madelon."):
            _skip_unless_told()
        folder = request.getfixturevalue("small_folder")
        monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
