"""What is fetched by name from files that are there, and what is refused."""

import inspect
import os
import subprocess
import sys

import numpy as np
import pytest
import served

from sksparse_mlp import datasets
from sksparse_mlp.datasets import fetch
from sksparse_mlp.datasets._fetch import FOLDER_VARIABLE
from sksparse_mlp.datasets._registry import DATA_SETS

SPLIT = [name for name, data_set in DATA_SETS.items() if len(data_set.parts) > 1]
WHOLE = [name for name in DATA_SETS if name not in SPLIT]


@pytest.fixture
def own(tmp_path, monkeypatch, register):
    """Write the user's own file of a data set of two parts, or of one, and name it."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))

    def write(**arrays):
        parts = ("all",) if "X" in arrays else ("train", "test")
        register("tiny", served.tiny("http://127.0.0.1:1/", parts))
        np.savez_compressed(folder / "tiny.npz", **arrays)
        return folder / "tiny.npz"

    return write


def halves(**changes):
    """Arrays of a file with two parts."""
    arrays = {"X_train": served.X[:8], "y_train": served.Y[:8]}
    return arrays | {"X_test": served.X[8:], "y_test": served.Y[8:]} | changes


@pytest.mark.parametrize("name", DATA_SETS)
def test_every_data_set_from_the_folder(name, small_folder, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(small_folder))
    data_set = DATA_SETS[name]
    bunch = fetch(name)
    n_samples = len(data_set.parts) * len(data_set.classes)
    assert bunch.data.shape == (n_samples, data_set.n_features)
    assert bunch.data.dtype == data_set.dtype
    assert bunch.target.dtype == np.int64
    assert bunch.target.tolist() == len(data_set.parts) * list(data_set.classes)
    assert bunch.target_names == list(data_set.classes.values())
    assert len(set(bunch.feature_names)) == data_set.n_features
    assert bunch.filename == str(small_folder / f"{name}.npz")
    assert bunch.frame is None
    assert data_set.title in bunch.DESCR
    assert data_set.source.url in bunch.DESCR


@pytest.mark.parametrize("name", DATA_SETS)
def test_every_data_set_has_its_fetcher(name, small_folder, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(small_folder))
    if name == "lung_discrete":
        X, y = datasets.fetch_lung(discrete=True, return_X_y=True)
    else:
        X, y = vars(datasets)[f"fetch_{name}"](return_X_y=True)
    expected = fetch(name)
    np.testing.assert_array_equal(X, expected.data)
    np.testing.assert_array_equal(y, expected.target)


@pytest.mark.parametrize("name", [n for n in datasets.__all__ if n.startswith("fetch_")])
def test_fetchers_have_the_signature_and_documentation_of_fetch(name):
    fetcher = vars(datasets)[name]
    assert fetcher.__name__ == name
    _, *shared = inspect.signature(fetch).parameters.values()
    parameters = list(inspect.signature(fetcher).parameters.values())
    own = ["discrete"] if name == "fetch_lung" else []
    assert [p.name for p in parameters] == own + [p.name for p in shared]
    assert parameters[len(own) :] == shared
    for parameter in parameters:
        assert f"\n{parameter.name} : " in fetcher.__doc__
    for section in ("Returns", "Raises", "Examples"):
        assert fetcher.__doc__.count(f"\n{section}\n---") == 1


def test_documentation_of_fetch_names_every_data_set():
    for name in DATA_SETS:
        assert f'"{name}"' in fetch.__doc__


def test_subsets_come_in_the_order_training_then_test(own):
    own(**halves())
    for subset, rows in (("train", slice(8)), ("test", slice(8, 12)), ("all", slice(12))):
        X, y = fetch("tiny", subset=subset, return_X_y=True)
        np.testing.assert_array_equal(X, served.X[rows])
        np.testing.assert_array_equal(y, served.Y[rows])


@pytest.mark.parametrize("name", SPLIT)
def test_official_splits(name, small_folder, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(small_folder))
    for subset in ("train", "test"):
        assert len(fetch(name, subset=subset).target) == len(DATA_SETS[name].classes)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("subset", ["train", "test"])
def test_a_split_that_does_not_exist_is_refused(name, subset):
    with pytest.raises(ValueError, match=rf"subset='{subset}'.*train_test_split"):
        fetch(name, subset=subset)


def test_frames(own):
    own(**halves())
    bunch = fetch("tiny", as_frame=True)
    assert bunch.frame.columns.tolist() == [*bunch.feature_names, "target"]
    assert (bunch.data.dtypes == np.uint8).all()
    assert bunch.target.name == "target"
    np.testing.assert_array_equal(bunch.data, served.X)
    X, y = fetch("tiny", as_frame=True, return_X_y=True)
    assert X.equals(bunch.data)
    assert y.equals(bunch.target)


def test_frames_without_pandas_are_refused_before_any_work(own, monkeypatch):
    own(**halves(X_train=np.zeros(3)))
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="as_frame=True"):
        fetch("tiny", as_frame=True)


def test_own_files_may_hold_other_samples_and_labels(own):
    X = np.asfortranarray(served.X.astype(">f8"))
    own(X=X, y=served.Y + 10.0)
    bunch = fetch("tiny")
    np.testing.assert_array_equal(bunch.data, X)
    assert bunch.data.flags.c_contiguous
    assert bunch.data.dtype == np.dtype(float)
    assert bunch.target.dtype == np.int64
    assert bunch.target_names == ["11", "12", "13"]


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        (halves(X_train=served.X), r"\(12, 5\) and \(8,\)"),
        (halves(X_train=served.X[0]), r"\(5,\) and \(8,\)"),
        (halves(X_train=served.X[:0], y_train=served.Y[:0]), r"\(0, 5\)"),
        (halves(y_test=served.Y[8:, None]), r"\(4, 5\) and \(4, 1\)"),
        (halves(X_test=served.X[8:, :4]), "differ in their features"),
        (halves(X_train=np.full((8, 5), np.nan)), "NaN or infinity"),
        (halves(X_train=np.full((8, 5), np.inf)), "NaN or infinity"),
        (halves(y_train=served.Y[:8] + 0.5), "do not fit into int64"),
        (halves(y_train=np.full(8, np.nan)), "do not fit into int64"),
        (halves(y_train=served.Y[:8].astype(str)), "not real numbers"),
        (halves(X_train=served.X[:8] + 0j), "not real numbers"),
        (halves(X_train=served.X[:8].astype(object)), "object, not real numbers"),
        (
            {"X_train": served.X, "y_test": served.Y},
            "no y_train, X_test, only X_train, y_test",
        ),
        ({}, "no X_train, y_train, X_test, y_test, only -"),
    ],
)
def test_own_files_of_another_structure_are_refused(own, arrays, problem):
    path = own(**arrays)
    with pytest.raises(ValueError, match=problem) as error:
        fetch("tiny")
    message = str(error.value)
    assert str(path) in message
    assert "X_train, y_train, X_test, y_test" in message
    assert "remove it" in message


def test_own_file_that_is_no_archive(own):
    path = own(**halves())
    path.write_text("no archive")
    with pytest.raises(ValueError, match=r"tiny\.npz is unusable.*not a sound npz file"):
        fetch("tiny")


def test_own_folder_is_looked_at_before_the_cache(own, home):
    own(**halves(X_train=served.X[:8] * 0))
    (home / "sksparse_mlp").mkdir()
    np.savez(home / "sksparse_mlp" / "tiny.npz", **halves())
    assert not fetch("tiny", subset="train").data.any()


@pytest.mark.parametrize("folder", [None, "elsewhere"])
@pytest.mark.parametrize("name", DATA_SETS)
def test_missing_without_download(name, folder, home, monkeypatch):
    if folder:
        monkeypatch.setenv(FOLDER_VARIABLE, folder)
    with pytest.raises(OSError, match="download_if_missing=False") as error:
        fetch(name, download_if_missing=False)
    message = str(error.value)
    assert str(home / "sksparse_mlp" / f"{name}.npz") in message
    assert ("X_train, y_train, X_test, y_test" if name in SPLIT else "X, y") in message
    assert f"{FOLDER_VARIABLE} names" in message
    assert (folder or "is not set") in message


def test_unknown_names_are_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"name='minst'.*madelon, isolet, mnist"):
        fetch("minst")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("data_home", 3),
        ("subset", "validation"),
        ("return_X_y", "no"),
        ("as_frame", "auto"),
        ("download_if_missing", None),
        ("n_retries", 0),
        ("delay", 0.0),
    ],
)
def test_invalid_parameters_are_refused_by_name(parameter, value):
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of fetch"):
        fetch("mnist", **{parameter: value})


def test_importing_reaches_for_no_network():
    program = (
        "import sys\n"
        "def refuse(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo'): sys.exit(event)\n"
        "sys.addaudithook(refuse)\n"
        "import sksparse_mlp.datasets\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=dict(os.environ))
