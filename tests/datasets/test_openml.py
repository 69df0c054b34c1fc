"""Data sets of OpenML: in the forms in which scikit-learn returns them."""

import gzip
import hashlib
import json
import sys
from dataclasses import replace
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import served
from served import Answer
from sklearn.utils import Bunch

from sksparse_mlp.datasets import _openml, fetch, fetch_madelon
from sksparse_mlp.datasets._openml import OpenML
from sksparse_mlp.datasets._registry import DATA_SETS, Part
from sksparse_mlp.datasets._samples import fingerprint

LABELS = {
    "text": served.Y.astype(str).astype(object),
    "quoted text": np.array([f"'{label}'" for label in served.Y], dtype=object),
    "integers": served.Y,
    "floats": served.Y.astype(float),
    "categories": pd.Categorical(served.Y.astype(str)),
    "text with points": np.array([f"{label}." for label in served.Y]),
}


@pytest.fixture
def stand_in(monkeypatch):
    """Replace scikit-learn's download by samples in memory; returns what it was asked."""

    def replace_by(X, y):
        asked = {}

        def fetch_openml(**options):
            asked.update(options)
            return Bunch(data=X, target=y)

        monkeypatch.setattr(_openml, "fetch_openml", fetch_openml)
        return asked

    return replace_by


@pytest.fixture
def tiny(register):
    data_set = replace(served.tiny("unused"), source=OpenML(7))
    register("tiny", data_set)
    return data_set


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_become_integers(labels, tiny, stand_in, home):
    asked = stand_in(served.X.astype(float), labels)
    X, y = fetch("tiny", return_X_y=True, n_retries=5, delay=0.5)
    np.testing.assert_array_equal(X, served.X)
    assert X.dtype == np.uint8
    np.testing.assert_array_equal(y, served.Y)
    assert y.dtype == np.int64
    assert (asked["data_id"], asked["n_retries"], asked["delay"]) == (7, 5, 0.5)
    assert list((home / "sksparse_mlp").iterdir()) == [home / "sksparse_mlp" / "tiny.npz"]


def test_samples_as_objects(tiny, stand_in):
    stand_in(served.X.astype(object), served.Y)
    np.testing.assert_array_equal(fetch("tiny").data, served.X)


@pytest.mark.parametrize(
    ("X", "y", "problem"),
    [
        (served.X ^ 1, served.Y, "SHA-256"),
        (served.X, served.Y[::-1], "SHA-256"),
        (served.X[:11], served.Y[:11], "expected 12 samples, got 11"),
        (served.X, np.full(12, "a"), "could not convert"),
        (served.X, served.Y + 0.5, "do not fit into int64"),
    ],
)
def test_another_version_is_refused(X, y, problem, tiny, stand_in):
    stand_in(X, y)
    with pytest.raises(OSError, match=rf"openml\.org/d/7.*{problem}"):
        fetch("tiny")


def test_labels_of_madelon(stand_in, register):
    # OpenML has 1 and 2 for Madelon's -1 and 1.
    y = np.where(served.Y == 2, 1, -1)
    parts = {
        "train": Part(8, fingerprint(served.X[:8].astype("i2"), y[:8])),
        "test": Part(4, fingerprint(served.X[8:].astype("i2"), y[8:])),
    }
    register("madelon", replace(DATA_SETS["madelon"], n_features=5, parts=parts))
    stand_in(served.X, np.where(y == 1, "2", "1"))
    np.testing.assert_array_equal(fetch_madelon().target, y)
    np.testing.assert_array_equal(fetch_madelon(subset="test").target, y[8:])


def feature(index, name, **more):
    flags = dict.fromkeys(("is_target", "is_ignore", "is_row_identifier"), "false")
    kind = {"data_type": "numeric", "number_of_missing_values": "0"}
    return {"index": str(index), "name": name} | flags | kind | more


def arff(X, y):
    """The file of OpenML, and what it says of its columns."""
    names = [f"value{i}" for i in range(X.shape[1])]
    labels = np.unique(y).astype(str).tolist()
    classes = {"data_type": "nominal", "nominal_value": labels, "is_target": "true"}
    features = [feature(i, name) for i, name in enumerate(names)]
    features.append(feature(len(names), "class", **classes))
    lines = ["@relation numbers", *(f"@attribute {name} numeric" for name in names)]
    lines += [f"@attribute class {{{', '.join(map(repr, labels))}}}", "@data"]
    samples = zip(X.tolist(), y, strict=True)
    lines += [",".join([*map(str, sample), f"'{label}'"]) for sample, label in samples]
    return "\n".join(lines).encode() + b"\n", features


@pytest.fixture
def openml(server, monkeypatch):
    """Let the server be OpenML, with a data set; returns the answers it will give."""
    module = "sklearn.datasets._openml"
    if hasattr(import_module(module), "_OPENML_PREFIX"):
        pytest.skip("this scikit-learn names the parts of an address otherwise")
    for what in ("INFO", "FEATURES", "QUALITIES"):
        monkeypatch.setattr(f"{module}._DATA_{what}", f"{server.url}{what}/{{}}")

    def publish(X, y, data_id=7):
        content, features = arff(X, y)
        info = {
            "id": str(data_id),
            "name": "numbers",
            "version": "1",
            "status": "active",
            "description": "Numbers",
            "format": "ARFF",
            "url": f"{server.url}numbers.arff",
            "md5_checksum": hashlib.md5(content).hexdigest(),
        }
        quality = [{"name": "NumberOfInstances", "value": str(len(X))}]
        documents = {
            f"/INFO/{data_id}": {"data_set_description": info},
            f"/FEATURES/{data_id}": {"data_features": {"feature": features}},
            f"/QUALITIES/{data_id}": {"data_qualities": {"quality": quality}},
        }
        for path, document in documents.items():
            server.answers[path] = Answer(json.dumps(document).encode())
        server.answers["/numbers.arff"] = Answer(content)
        return server.answers

    return publish


@pytest.mark.parametrize("pandas", [True, False])
def test_from_a_server(pandas, openml, tiny, home, server, monkeypatch):
    openml(served.X, served.Y)
    if not pandas:
        monkeypatch.setitem(sys.modules, "pandas", None)
    for _ in range(2):
        X, y = fetch("tiny", return_X_y=True)
        np.testing.assert_array_equal(X, served.X)
        np.testing.assert_array_equal(y, served.Y)
    assert server.requested.count("/numbers.arff") == 1
    assert [path.name for path in home.rglob("*")] == ["sksparse_mlp", "tiny.npz"]


@pytest.mark.filterwarnings("ignore:Invalid cache", "ignore:A network error")
@pytest.mark.parametrize("damage", ["truncated", "corrupted", "missing", "changed", "text"])
def test_a_bad_answer_is_refused_and_leaves_nothing(damage, openml, tiny, home):
    answers = openml(served.X, served.Y)
    content = answers["/numbers.arff"].body
    if damage == "truncated":
        answers["/numbers.arff"] = Answer(content[:-9], missing_bytes=9)
    elif damage == "corrupted":
        answers["/numbers.arff"] = Answer(content[:-9] + bytes(9))
    elif damage == "missing":
        del answers["/numbers.arff"]
    elif damage == "changed":
        openml(served.X ^ 1, served.Y)
    else:
        answers["/INFO/7"] = Answer(b"<html>Sorry</html>")
    with pytest.raises(OSError, match="Tiny could not be downloaded from"):
        fetch("tiny", n_retries=1, delay=0.01)
    assert list((home / "sksparse_mlp").iterdir()) == []


@pytest.mark.parametrize("name", ["madelon", "isolet"])
def test_published_samples_from_a_server(name, real_samples, openml):
    parts = zip(*[real_samples(name, part) for part in ("train", "test")], strict=True)
    X, y = map(np.concatenate, parts)
    source = DATA_SETS[name].source
    there = {here: label for label, here in source.relabel.items()}
    # Four decimals are what has been published of ISOLET.
    labels = [there.get(label, label) for label in y.tolist()]
    answers = openml(X.astype(float).round(4), labels, source.data_id)
    # Otherwise scikit-learn compresses the file itself, with much effort.
    content = gzip.compress(answers["/numbers.arff"].body, compresslevel=1)
    answers["/numbers.arff"] = Answer(content, encoding="gzip")
    found = fetch(name)
    np.testing.assert_array_equal(found.data, X)
    np.testing.assert_array_equal(found.target, y)
