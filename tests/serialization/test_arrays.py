"""Estimators come back from plain arrays as they were, and from nothing else."""

import contextlib
import hashlib
import inspect
import json
import os
import re
import signal
import time
import tracemalloc
import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from benchmarks.reliability import hostile, mutations
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.activations import ACTIVATIONS, AllReLU, LeakyReLU, ReLU
from sksparse_mlp.initializers import INITIALIZERS, EdgeOfChaos
from sksparse_mlp.schedules import ZETA_SCHEDULES, Cosine
from sksparse_mlp.serialization import _arrays, _npz, _values
from sksparse_mlp.topology import GROWTHS, PRUNINGS, LiSET

FAMILIES = {
    "activation": ACTIVATIONS,
    "zeta_schedule": ZETA_SCHEDULES,
    "growth": GROWTHS,
    "pruning": PRUNINGS,
    "init": INITIALIZERS,
}
NORM = ("gain", "shift", "mean", "variance")
MEMBERS = [(family, name) for family, names in FAMILIES.items() for name in names]
VALUES = [
    None, True, 0, -5, 2**63, 0.1, -0.0, 1e-320, "", "é\0\N{OLD ITALIC LETTER A}", [], (),
    [1, (2.0, "a", [None])], {}, {1: "one", "two": (2,), None: 3, 0.5: False},
    {"a": {"b": (1,)}, "tuple": 2}, {"tuple": 2}, {"array": {"float": 1.0}},
    {0: {"dict": 1}},
    np.float32(0.1), np.int8(-3), np.bool_(True), np.str_("text"), np.float16(2),
    np.arange(3), np.array([[0.5]], ">f4"), np.array(["a", "bc"]), np.empty((0, 2)),
    [LiSET(gamma=np.float64(2)), EdgeOfChaos(q=2)],
]  # fmt: skip


def same(a, b):
    """Whether two values have the same type and content, however they are nested."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        native = a.dtype.newbyteorder("=") == b.dtype.newbyteorder("=")
        return native and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, np.random.RandomState):
        return _values.dumps(a) == _values.dumps(b)
    if hasattr(a, "get_params"):
        return same(a.get_params(), b.get_params())
    if hasattr(a, "toarray"):
        return all(
            same(getattr(a, k), getattr(b, k)) for k in ("indptr", "indices", "data")
        )
    return repr(a) == repr(b)


def documented_attributes(cls):
    doc = inspect.getdoc(cls).split("Attributes\n")[1].split("See Also")[0]
    lines = [line for line in doc.splitlines() if line[:1].isalpha() and " : " in line]
    return [name for line in lines for name in line.split(" : ")[0].split(", ")]


def assert_same_estimator(copy, model, X):
    for name in documented_attributes(type(model)):
        assert hasattr(copy, name) == hasattr(model, name), name
        assert same(getattr(copy, name, None), getattr(model, name, None)), name
    assert same(copy.get_params(deep=False), model.get_params(deep=False))
    assert same(copy.predict(X), model.predict(X))
    if hasattr(model, "predict_proba"):
        assert np.array_equal(copy.predict_proba(X), model.predict_proba(X))
    assert same(clone(copy).get_params(), clone(model).get_params())


def there_and_back(model, folder):
    np.savez(folder / "model.npz", **model.export_arrays())
    return type(model).from_arrays(folder / "model.npz")


# --- there and back -------------------------------------------------------------------

WAYS = {
    "plain": {},
    "selection": {"n_features_to_select": 5},
    "chosen selection": {"n_features_to_select": "auto"},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "learned": {"activation": ["prelu", "srelu"], "batch_norm": True},
    "instances": {
        "activation": AllReLU(slope=0.5),
        "growth": LiSET(),
        "zeta_schedule": Cosine(),
    },
    "sizes in a list": {"hidden_layer_sizes": [24, 16]},
    "sizes in an array": {"hidden_layer_sizes": np.array([24, 16])},
    "no hidden layer": {"hidden_layer_sizes": (), "zeta": 0},
    "infinite": {"n_iter_no_change": np.inf},
    "NumPy numbers": {"alpha": np.float32(0.5), "max_iter": np.int64(3), "n_jobs": 1},
    "class weights": {"class_weight": {np.int64(0): 1, 1: 2.0, np.int64(2): np.float64(3)}},
    "balanced": {"class_weight": "balanced", "record": ("train_score",)},
    "random state": {"random_state": np.random.RandomState(5)},
    "unseeded": {"random_state": None},
    "dead neurons": {"epsilon": 0.2, "pruning": "importance"},
}


@pytest.mark.filterwarnings("ignore:epsilon=0.2 leaves too few connections")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("way", WAYS)
def test_estimator_comes_back_as_it_was(mlp, multiclass, tmp_path, way, dtype):
    X, y = multiclass[0].astype(dtype), multiclass[1]
    model = mlp(**WAYS[way]).fit(X, y)
    before = json.dumps(_values.encoded(model.get_params(deep=False)))
    copy = there_and_back(model, tmp_path)
    assert_same_estimator(copy, model, X)
    after = json.dumps(_values.encoded(copy.get_params(deep=False)))
    assert after == before
    assert not hasattr(copy, "_training")


@pytest.mark.parametrize(("parameter", "name"), MEMBERS)
def test_every_member_comes_back(mlp, multiclass, tmp_path, parameter, name):
    instance = FAMILIES[parameter][name]()
    model = mlp(**{parameter: instance}).fit(*multiclass)
    copy = there_and_back(model, tmp_path)
    assert type(getattr(copy, parameter)) is type(instance)
    assert_same_estimator(copy, model, multiclass[0])


LABELS = [
    np.array(["b", "", "long text"]),
    np.array(["b", "a", "cc"], dtype=object),
    np.array([3, -1, 7], np.int16),
    np.array([1.0, 2.0, 4.0], np.float32),
    np.array([2**63 + 1, 1, 5], np.uint64),
    np.array([True, False, True]),
    pd.array(["x", "y", "z"], dtype="string"),
]


@pytest.mark.parametrize("labels", LABELS, ids=lambda labels: str(labels.dtype))
def test_labels_of_every_kind_come_back(mlp, multiclass, tmp_path, labels):
    X, codes = multiclass
    model = mlp().fit(X, labels[codes])
    copy = there_and_back(model, tmp_path)
    assert copy.classes_.dtype == model.classes_.dtype
    assert_same_estimator(copy, model, X)
    assert same(copy.predict(X).tolist(), model.predict(X).tolist())


def test_networks_for_other_targets_come_back_and_go_on(mlp, other, tmp_path):
    cls, X, y = other
    model = mlp(cls, max_iter=8, growth="liset", evolve_every=2).fit(X, y)
    for _ in range(3):
        copy = there_and_back(model, tmp_path)
        assert_same_estimator(copy, model, X)
        for estimator in (model, copy):
            estimator.partial_fit(X, y)
        assert same(copy.predict(X), model.predict(X))


OTHER_METADATA = [
    {"classes_are_objects": False},
    {"target_shape": [2]},
    {"target_shape": [1, 1]},
    {"target_shape": None},
    {"target_shape": [], "n_labels": 4},
    {"n_labels": 3},
    {"n_labels": 2**60},
    {"n_labels": True},
    {},
]


@pytest.mark.parametrize("metadata", OTHER_METADATA, ids=str)
def test_descriptions_of_other_targets_are_checked(mlp, other, metadata):
    cls, X, y = other
    arrays = mlp(cls).fit(X, y).export_arrays()
    del arrays[_npz.CHECKSUM]
    description = {"estimator": cls.__name__, "n_iter": 4} | metadata
    arrays["metadata"] = text_array(json.dumps(description))
    match = "metadata has|does not fit the outputs|outputs do not fit|n_labels|classes is"
    with pytest.raises(ValueError, match=match):
        cls.from_arrays(_npz.sealed(arrays))


def test_feature_names_come_back(mlp, multiclass, tmp_path):
    X = pd.DataFrame(multiclass[0], columns=[f"feature é {k}" for k in range(12)])
    model = mlp().fit(X, multiclass[1])
    copy = there_and_back(model, tmp_path)
    assert_same_estimator(copy, model, X)
    with pytest.raises(ValueError, match="feature names should match"):
        copy.predict(X.rename(columns={"feature é 0": "other"}))


def test_arrays_are_taken_as_a_mapping_and_not_shared(mlp, multiclass):
    model = mlp(batch_norm=True).partial_fit(*multiclass, [0, 1, 2])
    arrays = model.export_arrays()
    before = {name: array.copy() for name, array in arrays.items()}
    copy = SparseMLPClassifier.from_arrays(arrays)
    model.partial_fit(*multiclass)
    copy.partial_fit(*multiclass)
    copy.intercepts_[0][:] = 9
    assert all(np.array_equal(arrays[name], before[name]) for name in arrays)
    assert SparseMLPClassifier.from_arrays(arrays).n_iter_ == 1
    assert all(array.flags.writeable for array in arrays.values())


CONTINUED = [
    {"growth": "liset", "evolve_every": 2},
    {"solver": "sgd", "batch_norm": True, "activation": "prelu", "evolve_every": 3},
    {"n_features_to_select": 4, "evolve_every": 2, "dropout": 0.3},
    {"learning_rate": "invscaling", "pruning": "importance", "evolve_every": 1},
    {"activation": "garelu", "random_state": np.random.RandomState(3)},
]


@pytest.mark.parametrize("params", CONTINUED)
def test_partial_fit_goes_on_as_if_never_exported(mlp, multiclass, tmp_path, params):
    model = mlp(**params, max_iter=8).partial_fit(*multiclass, [0, 1, 2])
    for _ in range(3):
        copy = there_and_back(model, tmp_path)
        assert_same_estimator(copy, model, multiclass[0])
        for estimator in (model, copy):
            estimator.partial_fit(*multiclass)
        for a, b in zip(copy.coefs_, model.coefs_, strict=True):
            assert same(a, b)


def test_slots_of_edited_layers_are_left_out(mlp, multiclass, tmp_path):
    model = mlp(growth="liset", evolve_every=2).partial_fit(*multiclass, [0, 1, 2])
    model.coefs_[0].data[0] = 0
    model.coefs_[0].eliminate_zeros()
    copy = there_and_back(model, tmp_path)
    for estimator in (model, copy):
        estimator.partial_fit(*multiclass)
    for a, b in zip(copy.coefs_, model.coefs_, strict=True):
        assert same(a, b)


def test_warm_start_goes_on_from_what_came_back(mlp, multiclass, tmp_path, same_network):
    model = mlp(warm_start=True).fit(*multiclass)
    copy = there_and_back(model, tmp_path)
    assert same_network(copy.fit(*multiclass), model.fit(*multiclass))
    assert len(copy.history_) == 8


def test_compressed_estimator_comes_back(mlp, multiclass, tmp_path):
    small = mlp(epsilon=1, pruning="importance").fit(*multiclass).compress()
    assert_same_estimator(there_and_back(small, tmp_path), small, multiclass[0])


# --- the documented format -------------------------------------------------------------

FORMAT = (Path(__file__).parents[2] / "docs" / "arrays.md").read_text()


def documented_checksum(arrays):
    digest = hashlib.sha256()
    for name in sorted(set(arrays) - {"checksum"}):
        array = arrays[name]
        for part in (name, array.dtype.str, "x".join(str(n) for n in array.shape)):
            digest.update(part.encode() + b"\0")
        digest.update(array.tobytes())
    return digest.digest()


def documented_logits(arrays, X):
    """Outputs of the last layer, with leaky ReLUs, by the text of the format."""
    x, k = X, 0
    while f"layers/{k}/shape" in arrays:
        layer = {
            n: arrays[f"layers/{k}/{n}"] for n in ("data", "indices", "indptr", "shape")
        }
        W = np.zeros(layer["shape"])
        for row, (start, stop) in enumerate(pairwise(layer["indptr"])):
            W[row, layer["indices"][start:stop]] = layer["data"][start:stop]
        z = x @ W + arrays[f"layers/{k}/intercept"]
        if f"hidden/{k}/activation_parameters" not in arrays:
            return z
        norm = {n: arrays[f"hidden/{k}/batch_norm/{n}"] for n in NORM}
        deviation = np.sqrt(norm["variance"] + 1e-5)
        z = norm["gain"] * (z - norm["mean"]) / deviation + norm["shift"]
        (slopes,) = arrays[f"hidden/{k}/activation_parameters"]
        x, k = np.where(z > 0, z, slopes * z), k + 1


def test_other_programs_can_read_the_format(mlp, multiclass, tmp_path):
    X = multiclass[0]
    model = mlp(activation="prelu", batch_norm=True).fit(*multiclass)
    np.savez(tmp_path / "model.npz", **model.export_arrays())
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        arrays = dict(arrays)
    assert arrays["checksum"].tobytes() == documented_checksum(arrays)
    np.testing.assert_allclose(
        documented_logits(arrays, X), model.decision_function(X), rtol=1e-9, atol=1e-9
    )
    history = json.loads(bytes(arrays["history"]))
    assert [record["loss"] for record in history] == model.loss_curve_
    assert json.loads(bytes(arrays["parameters"]))["activation"] == "prelu"


def test_every_array_is_documented():
    pytest.importorskip("sklearn.callback")
    entries = set(re.findall(r"^\| (`.*?) \|", FORMAT, re.MULTILINE))
    documented = " ".join(entries)
    for good in hostile.good_files():
        for name in mutations.arrays_of(good):
            pattern = re.sub(r"layers/\d+", "layers/<k>", name.removeprefix("run/best/"))
            pattern = re.sub(r"(hidden|neurons|skips)/\d+", r"\1/<k>", pattern)
            pattern = re.sub(r"slots/\d+", "slots/<j>", pattern)
            pattern = re.sub(r"norm/(shift|mean|variance)", "norm/gain", pattern)
            assert f"`{pattern}`" in documented, name
    assert f"Version {_arrays.VERSION} of the format `{_arrays.FORMAT}`" in FORMAT


# --- what cannot be exported ----------------------------------------------------------


class OwnActivation(ReLU):
    pass


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("zeta_schedule", lambda epoch, n_epochs: 0.1),
        ("activation", OwnActivation()),
        ("activation", ["relu", OwnActivation()]),
        ("random_state", np.random.RandomState(np.random.PCG64(0))),
    ],
)
def test_other_objects_are_refused_by_name(mlp, multiclass, name, value):
    model = mlp(**{name: value}).fit(*multiclass)
    with pytest.raises(
        ValueError, match=rf"The parameter {name}=.*allowed are None, numbers"
    ):
        model.export_arrays()


def test_only_finite_fitted_networks_are_exported(mlp, multiclass):
    with pytest.raises(NotFittedError):
        mlp().export_arrays()
    model = mlp().fit(*multiclass)
    model.coefs_[1].data[3] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        model.export_arrays()


def test_strings_that_end_in_a_null_are_refused(mlp, multiclass):
    labels = np.array(["a\0", "b", "c"], dtype=object)
    model = mlp().fit(multiclass[0], labels[multiclass[1]])
    with pytest.raises(ValueError, match="classes_ holds what plain arrays cannot"):
        model.export_arrays()


# --- values in JSON -------------------------------------------------------------------


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_with_their_types(value):
    assert same(_values.loads(_values.dumps(value)), value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_floats_that_json_lacks_come_back(value):
    text = _values.dumps((value, np.float32(value)))
    assert json.loads(text, parse_constant=pytest.fail)
    np.testing.assert_array_equal(_values.loads(text), (value, np.float32(value)))


@pytest.mark.parametrize(
    "value", [2**64, 1j, b"bytes", {1}, object(), np.datetime64("now"), int]
)
def test_values_of_other_types_are_refused(value):
    with pytest.raises(ValueError, match="cannot be exported; allowed are"):
        _values.dumps([value])


def test_random_state_comes_back_in_its_state():
    state = np.random.RandomState(7)
    state.standard_normal(5)
    copy = _values.loads(_values.dumps(state))
    assert np.array_equal(copy.standard_normal(9), state.standard_normal(9))


@pytest.mark.parametrize("position", [-1, 625, 2**31, 1.5, None])
def test_random_state_outside_of_its_range_is_refused(position):
    text = _values.dumps(np.random.RandomState(0))
    assert '"pos": 624' in text
    with pytest.raises(ValueError, match="a state that RandomState does not have"):
        _values.loads(text.replace('"pos": 624', f'"pos": {json.dumps(position)}'))


# --- what is refused ------------------------------------------------------------------


@pytest.fixture(scope="module")
def arrays():
    """The arrays of an estimator of partial_fit, without their checksum."""
    X, y = hostile.data(3)
    model = SparseMLPClassifier(**hostile.SMALL, batch_norm=True, activation="prelu")
    arrays = model.partial_fit(X, y, [0, 1, 2]).export_arrays()
    del arrays[_npz.CHECKSUM]
    return arrays


def text_array(text):
    return np.frombuffer(text.encode(), np.uint8)


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


CHANGES = {
    "indptr-start": ("layers/0/indptr", lambda a: changed(a, 0, 1), "not grow from 0"),
    "indptr-fall": ("layers/0/indptr", lambda a: changed(a, 3, -7), "not grow from 0"),
    "indptr-wrap": ("layers/0/indptr", lambda a: changed(a, 3, 2**31 - 1), "not grow"),
    "indptr-end": ("layers/0/indptr", lambda a: changed(a, -1, a[-1] + 1), "has shape"),
    "index-large": ("layers/0/indices", lambda a: changed(a, 5, 24), "within 0 and 24"),
    "index-small": ("layers/0/indices", lambda a: changed(a, 0, -1), "within 0 and 24"),
    "index-twice": ("layers/0/indices", lambda a: changed(a, 1, a[0]), "do not grow"),
    "index-dtype": ("layers/0/indices", lambda a: a.astype(np.int64), "dtype <i8"),
    "weight": ("layers/1/data", lambda a: changed(a, 0, np.nan), "not finite"),
    "weight-dtype": ("layers/1/data", lambda a: a.astype(np.float64), "dtype <f8"),
    "intercept": ("layers/1/intercept", lambda a: changed(a, 0, -np.inf), "not finite"),
    "intercepts": ("layers/1/intercept", lambda a: a[1:], r"shape \(15,\)"),
    "shape": ("layers/0/shape", lambda a: a + np.arange(2), "has shape"),
    "huge": ("layers/0/shape", lambda a: np.array([2**62, 24]), "has shape"),
    "negative": ("layers/0/shape", lambda a: -a, "which does not fit"),
    "not-following": ("layers/1/shape", lambda a: a[::-1].copy(), "which does not fit"),
    "activation": ("hidden/0/activation_parameters", lambda a: a[:, 1:], "has shape"),
    "variance": ("hidden/1/batch_norm/variance", lambda a: -a, "negative values"),
    "norm": ("hidden/1/batch_norm/gain", lambda a: a[1:], "has shape"),
    "classes-order": ("classes", lambda a: a[::-1].copy(), "labels in order"),
    "classes-number": ("classes", lambda a: np.arange(4), "fit targets that need 4"),
    "one-class": ("classes", lambda a: a[:1], "at least 2"),
    "text": ("classes", lambda a: np.full(3, 2**21, np.uint32).view("U1"), "Unicode"),
    "classes-bytes": ("classes", lambda a: np.array([b"a", b"b"]), "not allowed"),
    "slots": ("training/layers/0/slots/1/weights", lambda a: a[1:], "has shape"),
    "neurons": ("training/neurons/1", lambda a: a[1:], "lack some that have"),
    "neuron": ("training/neurons/0", lambda a: changed(a, -1, 99), "not grow within"),
    "json": ("history", lambda a: a[:-1], "history cannot be read"),
    "no-list": ("history", lambda a: text_array('{"dict": []}'), "holds no list"),
    "no-records": ("history", lambda a: text_array("[1]"), "without what each has"),
    "version": ("version", lambda a: np.array(2), "version 2 .* up to 1; install a newer"),
    "format": ("format", lambda a: np.array("other"), "not in the format"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_arrays_that_do_not_fit_are_refused(arrays, change):
    name, alter, says = CHANGES[change]
    bad = _npz.sealed({**arrays, name: alter(arrays[name])})
    with pytest.raises(ValueError, match=rf"What was given does not hold a Sparse.*{says}"):
        SparseMLPClassifier.from_arrays(bad)


TEXTS = [
    ("parameters", '"alpha": 0.1', '"alpha": -1', "'alpha' parameter .* must be a float"),
    (
        "parameters",
        '"alpha": 0.1',
        '"alphA": 0.1',
        "its parameters are not those of Sparse",
    ),
    ("parameters", '"prelu"', '"prel"', "The 'activation' parameter"),
    ("parameters", '"prelu"', '"relu"', r"activation_parameters_\[0\] has shape"),
    (
        "metadata",
        "SparseMLPClassifier",
        "SparseMLPRegressor",
        "it is a 'SparseMLPRegressor'",
    ),
    ("metadata", '"n_iter": 1', '"n_iter": 2', "n_iter is 2, not within 0 and 1"),
    ("training/state", '"Adam"', '"Eve"', "there is no optimizer 'Eve'"),
    ("training/state", '"Adam"', '"SGD"', "slots/0 has shape"),
    ("training/state", '"PCG64"', '"MT19937"', "a state that no random stream has"),
    ("training/state", '"n_seen": 150', '"n_seen": -150', "n_seen is -150"),
    ("training/state", '"count": 0', '"count": true', "count is True"),
]


@pytest.mark.parametrize(("name", "old", "new", "says"), TEXTS)
def test_descriptions_that_do_not_fit_are_refused(arrays, name, old, new, says):
    text = arrays[name].tobytes().decode()
    assert text.count(old) >= 1
    data = text_array(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=says):
        SparseMLPClassifier.from_arrays(_npz.sealed({**arrays, name: data}))


def test_every_array_is_needed_and_no_other(arrays):
    optional = [name for name in arrays if name.startswith("training/layers/2/")]
    for name in arrays.keys() - set(optional):
        rest = {other: array for other, array in arrays.items() if other != name}
        with pytest.raises(
            ValueError, match=r"missing|not a part|not in the format|does not say"
        ):
            SparseMLPClassifier.from_arrays(_npz.sealed(rest))
    more = {**arrays, "layers/0/more": np.zeros(3)}
    with pytest.raises(ValueError, match="'layers/0/more' is not a part of the format"):
        SparseMLPClassifier.from_arrays(_npz.sealed(more))


def test_checksum_is_of_names_dtypes_shapes_and_bytes(arrays):
    one = {"a": np.arange(4), "b": np.zeros(0)}
    others = [
        {"c": one["a"], "b": one["b"]}, {"a": one["a"]}, {**one, "c": np.zeros(0)},
        {**one, "a": one["a"].view(np.uint64)}, {**one, "a": one["a"].reshape(2, 2)},
        {**one, "a": one["a"] + 1}, {**one, "b": np.zeros((0, 3))},
    ]  # fmt: skip
    sums = {_npz.checksum(arrays).tobytes() for arrays in [one, *others]}
    assert len(sums) == 1 + len(others)
    assert np.array_equal(_npz.checksum(dict(reversed(one.items()))), _npz.checksum(one))
    sealed = _npz.sealed(arrays)
    sealed["layers/0/data"] = changed(arrays["layers/0/data"], 0, 0.5)
    with pytest.raises(ValueError, match="not those of its checksum"):
        SparseMLPClassifier.from_arrays(sealed)
    del sealed[_npz.CHECKSUM]
    with pytest.raises(ValueError, match="has no checksum"):
        SparseMLPClassifier.from_arrays(sealed)


@pytest.mark.parametrize("bad", [[1, 2], None, np.array(None, dtype=object)])
def test_what_is_no_plain_array_is_refused(arrays, bad):
    with pytest.raises(ValueError, match="What was given does not hold"):
        SparseMLPClassifier.from_arrays({**arrays, "classes": bad})


def test_files_that_are_none(tmp_path, arrays):
    with pytest.raises(FileNotFoundError):
        SparseMLPClassifier.from_arrays(tmp_path / "missing.npz")
    path = tmp_path / "file.npz"
    path.write_text("text")
    with pytest.raises(ValueError, match=r"The file .*file\.npz does not hold"):
        SparseMLPClassifier.from_arrays(path)
    np.savez_compressed(path, **_npz.sealed(arrays))
    with pytest.raises(
        ValueError, match=r"has compressed arrays.*write it by numpy\.savez"
    ):
        SparseMLPClassifier.from_arrays(str(path))
    np.savez(path, classes=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="not allowed"):
        SparseMLPClassifier.from_arrays(path)


def test_subclasses_are_told_apart(mlp, multiclass):
    class Other(SparseMLPClassifier):
        pass

    arrays = mlp().fit(*multiclass).export_arrays()
    with pytest.raises(ValueError, match="it is a 'SparseMLPClassifier'"):
        Other.from_arrays(arrays)


# --- damaged and forged files ---------------------------------------------------------


def test_damaged_and_forged_files_are_refused_or_sound():
    """A smaller run of ``python -m benchmarks.reliability.hostile``."""
    pytest.importorskip("sklearn.callback")
    counts = Counter(hostile.trials(300, seed=5))
    assert {what for _, what in counts} <= {"refused", "accepted"}
    refused = Counter({name: n for (name, what), n in counts.items() if what == "refused"})
    assert sum(refused.values()) > 200
    # Nothing can be refused of what is appended, which belongs to no array.
    assert refused.keys() == {m.__name__ for m in mutations.MUTATIONS} - {"append"}


@pytest.mark.parametrize("header", ["(99999999999,)", "(-5,)", "(3, 99999999999)"])
def test_headers_are_compared_with_what_is_there(tmp_path, arrays, header):
    good = mutations.packed(arrays)
    members = mutations.members_of(good)
    data = members["classes.npy"]
    members["classes.npy"] = data.replace(b"(3,)", header.encode(), 1)
    path = tmp_path / "file.npz"
    path.write_bytes(mutations.zipped(members))
    with pytest.raises(ValueError, match=r"classes\.npy"):
        SparseMLPClassifier.from_arrays(path)


def test_loading_says_nothing(tmp_path, arrays):
    path = tmp_path / "file.npz"
    path.write_bytes(mutations.packed(arrays))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SparseMLPClassifier.from_arrays(path)


def test_members_with_parameters_of_their_own(mlp, multiclass, tmp_path):
    model = mlp(activation=[LeakyReLU(slope=np.float32(0.5)), "st"]).fit(*multiclass)
    copy = there_and_back(model, tmp_path)
    assert type(copy.activation[0].slope) is np.float32
    assert copy.activation[1] == "st"


# --- hostile files --------------------------------------------------------------------


def small_record():
    names = (*_arrays.COUNTED, *_arrays.MEASURED)
    return dict.fromkeys(names, 1) | {"slopes": [None, 0.5, np.ones(3)], "extra": 2.0}


RECORDS = {
    "loss": [None, "1", float("nan"), float("inf"), True, [1.0]],
    "epoch": [-1, 1.0, True, None],
    "n_grown": [-1, 0.5],
    "slopes": [None, 1.0, ["1"], [np.ones((2, 2))], [np.array(["a"])], [True]],
    "validation_score": [None, "good", True],
    "extra": ["text", None, [1], {"a": 1}, np.ones(2)],
}


def test_records_of_the_history_are_checked():
    assert _arrays._history([small_record()]) is not None
    for name, values in RECORDS.items():
        for value in values:
            with pytest.raises(ValueError, match=rf"history has [\s\S]* as '{name}'"):
                _arrays._history([small_record() | {name: value}])
    for name in (*_arrays.COUNTED, *_arrays.MEASURED, "slopes"):
        record = small_record()
        del record[name]
        with pytest.raises(ValueError, match="history has records without"):
            _arrays._history([record])
    with pytest.raises(ValueError, match="history has"):
        _arrays._history([small_record() | {3: 1.0}])


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '[{"b": {"a": 1, "a": 1}}]',
        '{"tuple": [1], "tuple": [2]}',
        '{"dict": [[1, 2], [1, 3]]}',
        '{"dict": [[1, 2], [true, 3]]}',
    ],
)
def test_names_that_come_twice_are_refused(text):
    with pytest.raises(ValueError, match=r"its JSON has .* twice"):
        _values.loads(text)


# `make nightly` asks for more.
N_CASES = int(os.environ.get("CASES", "20"))
PIECES = ["[]", "{}", '{"a":1}', "[[]]", '{"tuple":[]}', "1", "0.5", '""', '"abc"', "null"]


@settings(max_examples=2 * N_CASES, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4), st.integers(0, 3))
def test_reading_text_takes_memory_in_proportion(pieces, depth):
    text = ",".join(pieces * (200_000 // len(pieces)))
    text = "[" * (depth + 1) + text + "]" * (depth + 1)
    tracemalloc.start()
    with contextlib.suppress(ValueError):
        assert _values.loads(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= (_values.OBJECT_FACTOR + 4) * len(text) + 2 * _values.OBJECT_BYTES


def test_time_grows_with_the_number_of_layers(mlp, multiclass):
    def seconds(n_layers):
        model = mlp(hidden_layer_sizes=[3] * n_layers, max_iter=1).fit(*multiclass)
        arrays = dict(reversed(model.export_arrays().items()))
        started = time.perf_counter()
        SparseMLPClassifier.from_arrays(arrays)
        return time.perf_counter() - started

    seconds(3)
    assert seconds(800) < 10 * max(seconds(200), 0.01)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path / "pipe.npz", "/dev/zero"):
        with pytest.raises(ValueError, match="it is no regular file"):
            SparseMLPClassifier.from_arrays(path)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="there are no alarms")
def test_an_alarm_while_a_file_is_read_is_no_damage(mlp, multiclass, tmp_path, monkeypatch):
    def ring(*args):
        raise TimeoutError("alarm")

    np.savez(tmp_path / "network.npz", **mlp().fit(*multiclass).export_arrays())
    named_array = _npz._named_array
    monkeypatch.setattr(
        _npz,
        "_named_array",
        lambda *args: signal.raise_signal(signal.SIGALRM) or named_array(*args),
    )
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with pytest.raises(TimeoutError, match="alarm"):
            SparseMLPClassifier.from_arrays(tmp_path / "network.npz")
    finally:
        signal.signal(signal.SIGALRM, before)


def test_memory_mapped_networks_are_exported(mlp, multiclass, tmp_path):
    model = mlp().fit(*multiclass)
    joblib.dump(model, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    arrays = mapped.export_arrays()
    assert all(type(array) is np.ndarray for array in arrays.values())
    copy = SparseMLPClassifier.from_arrays(arrays)
    assert np.array_equal(
        copy.predict_proba(multiclass[0]), model.predict_proba(multiclass[0])
    )
