"""Fits that were broken off go on from their checkpoints as if they never had been."""

import contextlib
import os
import pickle
import runpy
import signal
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.reliability import kills
from sksparse_mlp import SparseMLPClassifier, SparseMLPSelector
from sksparse_mlp.activations import GAReLU
from sksparse_mlp.callbacks import Checkpoint
from sksparse_mlp.core.training import Training
from sksparse_mlp.serialization import _npz

callback = pytest.importorskip("sklearn.callback")

EPOCHS = 8


class BrokenOffError(Exception):
    pass


class BreakOff:
    """Callback that raises at the end of an epoch, counted from 1."""

    def __init__(self, epoch, error=BrokenOffError):
        self.epoch, self.error = epoch, error

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and context.task_id + 1 == self.epoch:
            raise self.error


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.npz"


@pytest.fixture
def broken_off(path):
    """Fit an estimator with checkpoints until an epoch has passed."""

    def fit(model, *data, epoch=4, every=1, **fit_params):
        model.set_callbacks(Checkpoint(path, every=every), BreakOff(epoch))
        with pytest.raises(BrokenOffError):
            model.fit(*data, **fit_params)
        return model

    return fit


def content(model):
    return kills.content(model.export_arrays())


@contextmanager
def global_seed(seed):
    """What an estimator without random_state then takes its seeds from."""
    before = np.random.mtrand._rand.get_state()
    np.random.mtrand._rand.seed(seed)
    yield
    np.random.mtrand._rand.set_state(before)


def damage(path, array="layers/0/data", bit=0):
    """Flip a bit of one of the arrays."""
    data = bytearray(path.read_bytes())
    data[data.find(f"{array}.npy".encode()) + 250] ^= 1 << bit
    path.write_bytes(data)


# --- resumed is the same as never interrupted -----------------------------------------

WAYS = {
    "adam": {},
    "sgd": {"solver": "sgd"},
    "liset": {"growth": "liset"},
    "liset by updates": {"growth": "liset", "evolve_every": 3, "solver": "sgd"},
    "liset by many updates": {"growth": "liset", "evolve_every": 7},
    "gradient": {"growth": "gradient"},
    "early stopping": {"early_stopping": True, "learning_rate_init": 0.3, "max_iter": 12},
    "plateau": {"n_iter_no_change": 4, "tol": 10.0},
    "plateaus": {"learning_rate": "adaptive", "n_iter_no_change": 2, "tol": 10.0},
    "invscaling": {"learning_rate": "invscaling", "learning_rate_init": 0.05},
    "cosine": {"learning_rate": "cosine", "zeta_schedule": "cosine"},
    "loss": {"zeta_schedule": "loss", "growth": "ctre"},
    "paths": {"zeta_schedule": "loss", "growth": "cht", "evolve_every": 5},
    "batch norm": {"batch_norm": True, "solver": "sgd"},
    "dropout": {"dropout": 0.3},
    "prelu": {"activation": "prelu", "batch_norm": True},
    "by epoch": {"activation": GAReLU(update="epoch")},
    "srelu": {"activation": ["srelu", "relu"], "solver": "sgd"},
    "selection": {"n_features_to_select": 5, "max_iter": 12},
    "chosen selection": {"n_features_to_select": "auto", "max_iter": 12},
    "chosen by updates": {
        "n_features_to_select": "auto", "evolve_every": 2, "early_stopping": True,
        "pruning": "importance", "batch_norm": True,
    },
    "selection by updates": {"n_features_to_select": 5, "evolve_every": 2},
    "pruning": {"pruning": "importance", "epsilon": 2},
    "pruning and selection": {
        "pruning": "importance", "n_features_to_select": 5, "early_stopping": True,
        "growth": "liset", "batch_norm": True, "max_iter": 12,
    },
    "full layers": {"epsilon": 1000, "zeta": 0.0},
    "one batch": {"batch_size": 150},
    "class weight": {"class_weight": {0: 1.0, 1: 2.0, 2: np.float32(0.5)}},
    "records": {"record": ("train_score", "effective_gradient_flow")},
    "unshuffled": {"shuffle": False, "evolve_until": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("way", WAYS)
def test_resumed_fit_is_the_uninterrupted_one(
    mlp, multiclass, broken_off, path, way, dtype
):
    X, y = multiclass[0].astype(dtype), multiclass[1]
    X = sparse.csr_array(X) if len(way) % 2 else X
    params = {"max_iter": EPOCHS, "validation_fraction": 0.3, **WAYS[way]}
    expected = mlp(**params).fit(X, y)
    epoch = 2 + 5 * list(WAYS).index(way) % (expected.n_iter_ - 2)
    broken_off(mlp(**params), X, y, epoch=epoch)
    resumed = mlp(**params).set_callbacks(Checkpoint(path)).fit(X, y)
    assert content(resumed) == content(expected)
    assert resumed.loss_curve_ == expected.loss_curve_
    assert resumed.n_iter_ == expected.n_iter_
    assert not hasattr(resumed, "_run")


@pytest.mark.parametrize("early_stopping", [False, True])
def test_resumed_fit_to_other_targets_is_the_uninterrupted_one(
    mlp, other, broken_off, path, early_stopping
):
    cls, X, y = other
    params = {"max_iter": EPOCHS, "early_stopping": early_stopping, "growth": "liset"}
    expected = mlp(cls, **params).fit(X, y)
    broken_off(mlp(cls, **params), X, y)
    resumed = mlp(cls, **params).set_callbacks(Checkpoint(path)).fit(X, y)
    assert content(resumed) == content(expected)
    assert resumed.loss_curve_ == expected.loss_curve_
    with pytest.raises(ValueError, match="y is not the same"):
        mlp(cls, **params).set_callbacks(Checkpoint(path)).fit(X, y[::-1])


@pytest.mark.parametrize("early_stopping", [False, True])
def test_every_epoch_can_be_the_last_before_an_interruption(
    mlp, multiclass, broken_off, path, early_stopping
):
    params = {
        "max_iter": 6, "early_stopping": early_stopping, "validation_fraction": 0.3,
        "growth": "liset", "dropout": 0.2, "pruning": "importance",
    }  # fmt: skip
    expected = mlp(**params).fit(*multiclass)
    for epoch in range(1, 6):
        broken_off(mlp(**params), *multiclass, epoch=epoch)
    resumed = mlp(**params).set_callbacks(Checkpoint(path)).fit(*multiclass)
    assert content(resumed) == content(expected)


def test_resumed_fit_goes_on_after_the_last_checkpoint(mlp, multiclass, broken_off, path):
    broken_off(mlp(max_iter=20), *multiclass, epoch=9, every=4)
    assert SparseMLPClassifier.from_arrays(path).n_iter_ == 8
    assert SparseMLPClassifier.from_arrays(_npz.previous_of(path)).n_iter_ == 4
    epochs = []

    class Watch(BreakOff):
        def on_fit_task_begin(self, estimator, context):
            epochs.append((context.task_name, context.task_id))

    resumed = mlp(max_iter=20, n_jobs=1, verbose=0)
    resumed.set_callbacks(Checkpoint(path, every=4), Watch(None)).fit(*multiclass)
    assert epochs == [("fit", 0), *(("epoch", k) for k in range(8, 20))]
    assert content(resumed.set_params(n_jobs=None, verbose=False)) == content(
        mlp(max_iter=20).fit(*multiclass)
    )


def test_sample_weights_and_random_split_are_kept(mlp, multiclass, broken_off, path):
    weights = np.linspace(0, 2, multiclass[1].size)
    params = {"random_state": None, "early_stopping": True, "validation_fraction": 0.3}
    with global_seed(0):
        expected = mlp(**params).fit(*multiclass, sample_weight=weights)
    with global_seed(0):
        broken_off(mlp(**params), *multiclass, epoch=2, sample_weight=weights)
    resumed = mlp(**params).set_callbacks(Checkpoint(path))
    assert content(resumed.fit(*multiclass, sample_weight=weights)) == content(expected)


def test_interrupted_training_on_all_samples_is_made_up_for(
    mlp, multiclass, path, monkeypatch
):
    params = {"random_state": None, "early_stopping": True, "validation_fraction": 0.3}
    with global_seed(0):
        expected = mlp(**params).fit(*multiclass)
    train, trainings = Training._train_epoch, []

    def interrupted(self, *arguments):
        trainings.append(self)
        if self is not trainings[0]:
            raise KeyboardInterrupt
        return train(self, *arguments)

    with monkeypatch.context() as patch, global_seed(0):
        patch.setattr(Training, "_train_epoch", interrupted)
        with pytest.warns(ConvergenceWarning, match="interrupted"):
            mlp(**params).set_callbacks(Checkpoint(path)).fit(*multiclass)
    resumed = mlp(**params).set_callbacks(Checkpoint(path)).fit(*multiclass)
    assert content(resumed) == content(expected)


def test_random_state_instance_in_its_first_state(mlp, multiclass, broken_off, path):
    def new():
        return mlp(max_iter=EPOCHS, random_state=np.random.RandomState(3))

    expected = new().fit(*multiclass)
    used = broken_off(new(), *multiclass)
    resumed = new().set_callbacks(Checkpoint(path)).fit(*multiclass)
    assert content(resumed) == content(expected)
    # What broke it off has also set its random state back; a fit uses it up.
    assert content(used.fit(*multiclass)) == content(expected)
    with pytest.raises(ValueError, match="checkpoint of another fit: random_state is"):
        used.fit(*multiclass)


def test_checkpoints_change_nothing(mlp, multiclass, path):
    params = {"growth": "liset", "early_stopping": True, "validation_fraction": 0.3}
    expected = mlp(**params).fit(*multiclass)
    assert content(
        mlp(**params).set_callbacks(Checkpoint(path)).fit(*multiclass)
    ) == content(expected)


def test_estimators_of_epochs_hold_nothing_of_the_run(mlp, multiclass, recorder):
    record = recorder()
    model = mlp().set_callbacks(record).fit(*multiclass)
    assert [vars(epoch)["_run"] for epoch in record.epochs] == [None] * 4
    assert "_run" not in vars(model)


def test_finished_fit_is_taken_from_the_file(mlp, multiclass, path, monkeypatch):
    first = mlp(n_features_to_select=5).set_callbacks(Checkpoint(path)).fit(*multiclass)
    written = path.stat().st_mtime_ns
    monkeypatch.setattr("sksparse_mlp.core.training.Training._train_epoch", None)
    second = mlp(n_features_to_select=5).set_callbacks(Checkpoint(path)).fit(*multiclass)
    assert content(second) == content(first)
    assert second.history_ == first.history_
    assert path.stat().st_mtime_ns == written


def test_fit_that_a_callback_stopped_has_finished(mlp, multiclass, path, recorder):
    params = {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 20}
    model = mlp(**params).set_callbacks(Checkpoint(path, every=50), recorder(stop_after=6))
    model.fit(*multiclass)
    again = mlp(**params).set_callbacks(Checkpoint(path)).fit(*multiclass)
    assert content(again) == content(model)
    assert again.n_iter_ == 6


def test_diverged_fit_warns_again(mlp, multiclass, path):
    for _ in range(2):
        model = mlp(solver="sgd", learning_rate_init=1e30).set_callbacks(Checkpoint(path))
        with np.errstate(all="ignore"), pytest.warns(ConvergenceWarning, match="stopped"):
            model.fit(*multiclass)


def test_ctrl_c_leaves_the_last_epoch_in_the_file(mlp, multiclass, path):
    model = mlp(max_iter=EPOCHS)
    model.set_callbacks(Checkpoint(path, every=2), BreakOff(5, KeyboardInterrupt))
    with pytest.warns(ConvergenceWarning, match="interrupted after 5 epochs"):
        model.fit(*multiclass)
    assert SparseMLPClassifier.from_arrays(path).n_iter_ == 4
    model.set_callbacks(Checkpoint(path)).fit(*multiclass)
    assert content(model) == content(mlp(max_iter=EPOCHS).fit(*multiclass))


def test_warm_start_counts_where_it_starts(mlp, multiclass, broken_off, path):
    def started():
        return mlp(max_iter=3, warm_start=True).fit(*multiclass)

    expected = started().set_params(max_iter=EPOCHS).fit(*multiclass)
    broken_off(started().set_params(max_iter=EPOCHS), *multiclass)
    resumed = started().set_params(max_iter=EPOCHS).set_callbacks(Checkpoint(path))
    assert content(resumed.fit(*multiclass)) == content(expected)
    assert len(resumed.history_) == 3 + EPOCHS
    with pytest.raises(ValueError, match="warm_start starts from another network"):
        resumed.fit(*multiclass)


def test_checkpoint_is_the_estimator_as_the_epoch_ended(
    mlp, multiclass, broken_off, path, recorder, same_network
):
    record = recorder()
    mlp(max_iter=4).set_callbacks(record).fit(*multiclass)
    broken_off(mlp(max_iter=4), *multiclass, epoch=2)
    loaded = SparseMLPClassifier.from_arrays(path)
    assert same_network(loaded, record.epochs[1])
    assert loaded.loss_curve_ == record.epochs[1].loss_curve_
    loaded.partial_fit(*multiclass)


# --- killed processes -----------------------------------------------------------------


def test_killed_processes_end_with_the_same_bits():
    (row,) = kills.measure(5, np.random.default_rng(0), per_run=5)
    assert row["kills"] == 5
    assert row["while fitting"] > 0
    assert row["same bits at the end"]


@pytest.mark.parametrize("failing", ["replace", "fsync"])
@pytest.mark.parametrize("call", range(1, 8))
def test_interrupted_writing_leaves_an_intact_file(
    mlp, multiclass, path, monkeypatch, failing, call
):
    calls, original = [], getattr(os, failing)

    def fail(*args):
        calls.append(args)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(os, failing, fail)
    model = mlp(max_iter=EPOCHS).set_callbacks(Checkpoint(path))
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model.fit(*multiclass)
    monkeypatch.undo()
    assert {other.name for other in path.parent.iterdir()} <= {
        "run.npz",
        "run.npz.previous",
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*run.npz is missing.* is used instead")
        model.fit(*multiclass)
    assert content(model) == content(mlp(max_iter=EPOCHS).fit(*multiclass))


def test_file_is_on_the_disk_before_it_takes_the_place(mlp, multiclass, path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noting(calls, getattr(os, name)))
    mlp(max_iter=1).set_callbacks(Checkpoint(path)).fit(*multiclass)
    assert calls == ["fsync", "replace", "fsync"]
    calls.clear()
    mlp(max_iter=2).set_callbacks(Checkpoint(path.with_name("other.npz"))).fit(*multiclass)
    assert calls == ["fsync", "replace", "fsync", "fsync", "replace", "replace", "fsync"]


def noting(calls, function):
    def call(*args):
        calls.append(function.__name__)
        return function(*args)

    return call


def test_leftovers_of_killed_processes_are_removed(mlp, multiclass, path):
    leftover = path.with_name("run.npz.0123abcd.partial")
    names = [f"run.npz.{part}" for part in ("important", "0123ABCD", "0123abcd.partial")]
    names += ["other.npz.0123abcd", "run.npz", "run"]
    others = [path.with_name(f"{name}.partial") for name in names]
    for file in (leftover, *others):
        file.write_bytes(b"PK")
    mlp().set_callbacks(Checkpoint(path)).fit(*multiclass)
    assert not leftover.exists()
    assert all(other.exists() for other in others)


def test_the_path_stays_where_the_current_folder_was(
    mlp, multiclass, path, tmp_path_factory, monkeypatch
):
    monkeypatch.chdir(path.parent)
    model = mlp().set_callbacks(Checkpoint("run.npz"))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    model.fit(*multiclass)
    assert path.exists()
    assert os.listdir() == []


def test_symbolic_links_stay(mlp, multiclass, broken_off, path, tmp_path_factory):
    target = tmp_path_factory.mktemp("large_disk") / "checkpoint.npz"
    path.symlink_to(target)
    broken_off(mlp(), *multiclass)
    assert path.is_symlink()
    assert set(target.parent.iterdir()) == {target, _npz.previous_of(target)}
    model = mlp().set_callbacks(Checkpoint(path)).fit(*multiclass)
    assert content(model) == content(mlp().fit(*multiclass))
    assert path.is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_what_is_no_file_stays(mlp, multiclass, path, monkeypatch):
    monkeypatch.setattr(SparseMLPClassifier, "_validate", refuse)
    os.mkfifo(path)
    circle = path.with_name("circle.npz")
    circle.symlink_to(circle)
    for there in (path, circle, "/dev/null"):
        with pytest.raises(OSError, match="is no regular file"):
            mlp().set_callbacks(Checkpoint(there)).fit(*multiclass)
    assert path.is_fifo()


def test_going_on_in_another_version_is_said(
    mlp, multiclass, broken_off, path, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr("sksparse_mlp.__version__", "0.0.9")
        broken_off(mlp(), *multiclass)
    with pytest.warns(UserWarning, match=r"run\.npz was written by version 0\.0\.9"):
        model = mlp().set_callbacks(Checkpoint(path)).fit(*multiclass)
    assert content(model) == content(mlp().fit(*multiclass))


# --- damaged files --------------------------------------------------------------------


ARRAYS = ("layers/0/data", "layers/1/indices", "training/state", "history", "parameters")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("how", ["flip", "truncate", "remove"])
def test_damaged_file_is_replaced_by_the_one_before(
    mlp, multiclass, broken_off, path, how, seed
):
    broken_off(mlp(max_iter=EPOCHS), *multiclass)
    data, rng = path.read_bytes(), np.random.default_rng(seed)
    if how == "flip":
        damage(path, ARRAYS[seed], bit=seed)
    elif how == "truncate":
        path.write_bytes(data[: rng.integers(len(data))])
    else:
        path.unlink()
    model = mlp(max_iter=EPOCHS).set_callbacks(Checkpoint(path, every=100))
    with pytest.warns(UserWarning, match=r"run\.npz .*run\.npz\.previous, is used instead"):
        model.fit(*multiclass)
    assert content(model) == content(mlp(max_iter=EPOCHS).fit(*multiclass))
    # The good one was not replaced by the damaged one.
    assert SparseMLPClassifier.from_arrays(_npz.previous_of(path)).n_iter_ == 3


def test_nothing_is_lost_when_both_files_are_damaged(mlp, multiclass, broken_off, path):
    model = broken_off(mlp(max_iter=EPOCHS), *multiclass)
    files = [path, _npz.previous_of(path)]
    for file in files:
        damage(file)
    before = [file.read_bytes() for file in files]
    with pytest.raises(ValueError, match=r"no checkpoint that can be read.*to start anew"):
        model.fit(*multiclass)
    assert [file.read_bytes() for file in files] == before
    for file in files:
        file.unlink()
    model.set_callbacks(Checkpoint(path)).fit(*multiclass)


def test_other_files_are_not_overwritten(mlp, multiclass, path):
    path.write_text("important")
    with pytest.raises(ValueError, match="no checkpoint that can be read"):
        mlp().set_callbacks(Checkpoint(path)).fit(*multiclass)
    assert path.read_text() == "important"
    np.savez(path, **mlp().fit(*multiclass).export_arrays())
    with pytest.raises(ValueError, match="an exported estimator and no checkpoint"):
        mlp().set_callbacks(Checkpoint(path)).fit(*multiclass)


def forged(path, **changes):
    """Change arrays of a file, and its checksum."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file if name != _npz.CHECKSUM}
    for name, change in changes.items():
        arrays[name] = change(arrays[name])
    np.savez(path, **_npz.sealed(arrays))


@pytest.mark.parametrize("name", ["run/rows", "run/validation_rows", "run/anew"])
def test_rows_and_epochs_that_are_not_there_are_refused(
    mlp, multiclass, broken_off, path, name
):
    params = {"early_stopping": True, "validation_fraction": 0.3}
    broken_off(mlp(**params), *multiclass, epoch=2)
    forged(path, **{name: lambda rows: rows + 150})
    with pytest.raises(ValueError, match=r"content of .*run\.npz does not fit its descr"):
        mlp(**params).set_callbacks(Checkpoint(path)).fit(*multiclass)


@pytest.mark.parametrize(
    "other", [{"hidden_layer_sizes": (24, 17)}, {"max_iter": 20}], ids=["sizes", "epochs"]
)
def test_network_of_another_fit_is_refused(mlp, multiclass, broken_off, path, other):
    broken_off(mlp(), *multiclass, epoch=2)
    with np.load(path) as file:
        description = file["run/state"]
    path.unlink()
    _npz.previous_of(path).unlink(missing_ok=True)
    broken_off(mlp(**{"max_iter": 9} | other), *multiclass, epoch=8)
    forged(path, **{"run/state": lambda _: description})
    with pytest.raises(ValueError, match=r"content of .*run\.npz does not fit its descr"):
        mlp().set_callbacks(Checkpoint(path)).fit(*multiclass)


# --- other fits -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"max_iter": 9}, "max_iter is 8 there and 9 here"),
        ({"growth": "liset", "zeta": 0.2}, "growth is .*; zeta is 0.3 there and 0.2 here"),
        ({"random_state": 1}, "random_state is 0 there and 1 here"),
        ({"hidden_layer_sizes": (9,)}, "hidden_layer_sizes is"),
    ],
)
def test_other_parameters_are_refused(mlp, multiclass, broken_off, path, change, says):
    broken_off(mlp(max_iter=EPOCHS), *multiclass)
    before = path.read_bytes()
    model = mlp(**{"max_iter": EPOCHS} | change).set_callbacks(Checkpoint(path))
    with pytest.raises(
        ValueError, match=f"run.npz is .* another fit: {says}.*a path of its own"
    ):
        model.fit(*multiclass)
    assert path.read_bytes() == before
    assert not hasattr(model, "coefs_")
    assert not hasattr(model, "classes_")


def other_data(X, y, weights):
    yield "X", (X + 1e-12, y, weights)
    yield "X", (X[:, ::-1], y, weights)
    yield "X", (sparse.csr_array(X), y, weights)
    yield "X", (X.astype(np.float32), y, weights)
    yield "y", (X, y[::-1], weights)
    yield "y", (X, y + 1, weights)
    yield "sample_weight", (X, y, weights[::-1])
    yield "sample_weight", (X, y, None)


def test_other_data_are_refused(mlp, multiclass, broken_off, path):
    weights = np.linspace(1, 2, multiclass[1].size)
    broken_off(mlp(max_iter=EPOCHS), *multiclass, sample_weight=weights)
    before = path.read_bytes()
    model = mlp(max_iter=EPOCHS).set_callbacks(Checkpoint(path))
    for name, (X, y, w) in other_data(*multiclass, weights):
        with pytest.raises(ValueError, match=f"another fit: .*{name} is not the same"):
            model.fit(X, y, sample_weight=w)
        assert path.read_bytes() == before


def test_refused_fit_leaves_the_estimator_as_it_was(mlp, multiclass, broken_off, path):
    broken_off(mlp(max_iter=EPOCHS), *multiclass)
    model = mlp().fit(*multiclass)
    before = content(model)
    model.set_callbacks(Checkpoint(path))
    with pytest.raises(ValueError, match="max_iter is 8 there and 4 here"):
        model.fit(*multiclass)
    assert content(model) == before


def test_file_that_another_fit_writes_is_noticed(mlp, multiclass, path):
    class Intruder(BreakOff):
        def on_fit_task_end(self, estimator, context):
            if context.task_id == 2:
                path.unlink(missing_ok=True)
                path.with_name("run.npz.previous").unlink()
                mlp(max_iter=2).set_callbacks(Checkpoint(path)).fit(*multiclass)

    model = mlp(max_iter=6).set_callbacks(Checkpoint(path), Intruder(None))
    with pytest.raises(RuntimeError, match=r"Another fit has written to .*run\.npz"):
        model.fit(*multiclass)
    assert SparseMLPClassifier.from_arrays(path).max_iter == 2


def test_clones_in_a_search_do_not_share_a_file(mlp, multiclass, path):
    model, grid = mlp().set_callbacks(Checkpoint(path)), {"zeta": [0.0, 0.3]}
    with pytest.raises(
        ValueError, match="is the checkpoint of another fit: X is not the same"
    ):
        GridSearchCV(model, grid, cv=2, error_score="raise").fit(*multiclass)


def test_clones_in_a_cross_validation_do_not_share_a_file(mlp, multiclass, path):
    model = mlp().set_callbacks(Checkpoint(path))
    with pytest.warns(FitFailedWarning, match="is the checkpoint of another fit"):
        scores = cross_val_score(model, *multiclass, cv=3)
    assert np.isnan(scores).tolist() == [False, True, True]


# --- a folder for many fits -----------------------------------------------------------

SEARCH = """
import sys, time
import numpy as np
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.callbacks import Checkpoint
from sksparse_mlp.core.training import Training


class Slow:
    def setup(self, estimator, context): pass
    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            time.sleep(0.05)


def search(n_jobs, *callbacks):
    network = SparseMLPClassifier((20, 10), epsilon=2, max_iter=10, random_state=0)
    network.set_callbacks(*callbacks)
    return GridSearchCV(network, {"zeta": [0.0, 0.3]}, cv=2, n_jobs=n_jobs)


if __name__ == "__main__":
    found = search(2, Checkpoint(sys.argv[1]), Slow()).fit(*load_iris(return_X_y=True))
    np.savez(
        sys.argv[2],
        *found.cv_results_["mean_test_score"],
        *[coef.data for coef in found.best_estimator_.coefs_],
    )
"""


@pytest.mark.nightly
@pytest.mark.skipif(os.name != "posix", reason="processes are killed as POSIX does it")
def test_a_search_in_two_processes_that_is_killed_goes_on(tmp_path):
    program, folder = tmp_path / "search.py", tmp_path / "runs"
    program.write_text(SEARCH)
    command = [sys.executable, str(program), f"{folder}/", str(tmp_path / "result.npz")]
    process = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    # Its children, which train, live on for a while, and write.
    process.kill()
    process.wait()
    assert len(list(folder.glob("*.npz"))) >= 3
    assert not (tmp_path / "result.npz").exists()
    subprocess.run(command, timeout=120, check=True)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # Of two folds with two parameters, and of the last fit.
    assert len(list(folder.glob("*.npz"))) == 5
    expected = runpy.run_path(str(program))["search"](1).fit(*load_iris(return_X_y=True))
    arrays = [*expected.cv_results_["mean_test_score"]]
    arrays += [coef.data for coef in expected.best_estimator_.coefs_]
    with np.load(tmp_path / "result.npz") as found:
        for one, other in zip(found.values(), arrays, strict=True):
            assert np.array_equal(one, other)


def test_a_search_that_is_broken_off_goes_on(mlp, multiclass, tmp_path):
    class Counted(BreakOff):
        n_epochs = 0

        def on_fit_task_end(self, estimator, context):
            if context.task_name == "epoch":
                type(self).n_epochs += 1
                if self.n_epochs == self.epoch:
                    raise SystemExit

    def search(*callbacks):
        grid = {"zeta": [0.0, 0.3], "alpha": [1e-4, 1.0]}
        return GridSearchCV(mlp(max_iter=5).set_callbacks(*callbacks), grid, cv=2)

    with pytest.raises(SystemExit):
        search(Checkpoint(tmp_path), Counted(23)).fit(*multiclass)
    found = search(Checkpoint(tmp_path), Counted(None)).fit(*multiclass)
    # Of eight fits with five epochs, and the last; one epoch at most came twice.
    assert Counted.n_epochs <= 45 + 1
    expected = search().fit(*multiclass)
    assert content(found.best_estimator_) == content(expected.best_estimator_)
    scores = [s.cv_results_["mean_test_score"].tolist() for s in (found, expected)]
    assert scores[0] == scores[1]


def test_fits_of_a_folder_have_a_file_each(mlp, multiclass, tmp_path):
    X, y = multiclass
    model = mlp(max_iter=2).set_callbacks(Checkpoint(tmp_path))
    variants = [
        lambda: model.fit(X, y),
        lambda: model.fit(X, y),
        lambda: model.set_params(verbose=True).fit(X, y),
        lambda: model.fit(X[::-1], y[::-1]),
        lambda: model.fit(X, y, np.arange(len(y)) + 1.0),
        lambda: model.set_params(zeta=0.1).fit(X, y),
        lambda: model.set_params(warm_start=True).fit(X, y),
    ]
    numbers = [len(list(tmp_path.glob("*.npz"))) for fit in variants if fit()]
    assert numbers == [1, 1, 1, 2, 3, 4, 5]


def test_members_of_an_ensemble_have_a_file_each(mlp, multiclass, tmp_path):
    def ensemble():
        member = mlp(max_iter=3).set_callbacks(Checkpoint(f"{tmp_path}/new/folder/"))
        return BaggingClassifier(member, n_estimators=3, random_state=0).fit(*multiclass)

    first = ensemble()
    assert len(list((tmp_path / "new/folder").iterdir())) == 6
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    again = ensemble().predict_proba(multiclass[0])
    assert np.array_equal(first.predict_proba(multiclass[0]), again)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}


def test_two_processes_may_make_the_same_fit_in_a_folder(mlp, multiclass, tmp_path):
    class Twin(BreakOff):
        def on_fit_task_end(self, estimator, context):
            if context.task_name == "epoch" and context.task_id == 2:
                mlp(max_iter=6).set_callbacks(Checkpoint(tmp_path)).fit(*multiclass)
            elif context.task_name == "epoch" and context.task_id == 4:
                for file in tmp_path.iterdir():
                    file.unlink()

    model = mlp(max_iter=6).set_callbacks(Checkpoint(tmp_path), Twin(None))
    assert content(model.fit(*multiclass)) == content(mlp(max_iter=6).fit(*multiclass))
    (file,) = tmp_path.glob("*.npz")
    assert content(SparseMLPClassifier.from_arrays(file)) != {}


def test_pipelines_and_selectors_fit_one_clone(mlp, multiclass, path):
    def new():
        selector = SparseMLPSelector(mlp().set_callbacks(Checkpoint(path)))
        return make_pipeline(StandardScaler(), selector)

    first = new().fit(*multiclass)
    assert np.array_equal(new().fit(*multiclass)[-1].support_, first[-1].support_)
    assert SparseMLPClassifier.from_arrays(path).n_features_to_select == 0.5


def test_callback_belongs_to_the_network(multiclass, mlp, path):
    pipeline = make_pipeline(StandardScaler(), mlp())
    pipeline.set_callbacks(Checkpoint(path))
    with pytest.raises(TypeError, match="not of Pipeline; set it on the network"):
        pipeline.fit(*multiclass)


# --- arguments ------------------------------------------------------------------------


@pytest.mark.parametrize("every", [0, -1, 1.5, True, None, "epoch"])
def test_every_is_a_positive_number(path, every):
    with pytest.raises(ValueError, match="every must be a positive number of epochs, got"):
        Checkpoint(path, every=every)


def test_path_is_a_path():
    with pytest.raises(TypeError):
        Checkpoint(3)


def refuse(*args, **kwargs):
    raise AssertionError("work was done")


def test_unusable_paths_are_refused_before_any_work(mlp, multiclass, tmp_path, monkeypatch):
    monkeypatch.setattr(SparseMLPClassifier, "_validate", refuse)
    with pytest.raises(FileNotFoundError, match=r"no folder .*missing\. Make it"):
        mlp().set_callbacks(Checkpoint(tmp_path / "missing" / "run.npz")).fit(*multiclass)

    def denied(self, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", denied)
    with pytest.raises(PermissionError, match="cannot write to the folder"):
        mlp().set_callbacks(Checkpoint(tmp_path / "run.npz")).fit(*multiclass)


def test_parameters_that_cannot_be_kept_are_refused_before_any_work(
    mlp, multiclass, path, monkeypatch
):
    monkeypatch.setattr(SparseMLPClassifier, "_validate", refuse)
    model = mlp(zeta_schedule=lambda epoch, n_epochs: 0.1).set_callbacks(Checkpoint(path))
    with pytest.raises(ValueError, match=r"The parameter zeta_schedule=.* Set it to one"):
        model.fit(*multiclass)


def test_callback_is_shared_by_clones_and_pickled(mlp, multiclass, path):
    checkpoint = Checkpoint(path, every=3)
    model = mlp().set_callbacks(checkpoint, callback.ScoringMonitor(scoring="accuracy"))
    assert clone(model)._skl_callbacks[0] is checkpoint
    copy = pickle.loads(pickle.dumps(model.fit(*multiclass)))._skl_callbacks[0]
    assert (copy.path, copy.every) == (path, 3)


def test_verbose_tells_where_it_goes_on(mlp, multiclass, broken_off, path, capsys):
    broken_off(mlp(), *multiclass, epoch=2)
    mlp(verbose=True).set_callbacks(Checkpoint(path)).fit(*multiclass)
    assert f"Going on after epoch 1 from {path}." in capsys.readouterr().out
