"""Callbacks for `set_callbacks` of the networks, beside those of scikit-learn >= 1.9."""

import copy
import hashlib
import os
import warnings
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

import sksparse_mlp
from sksparse_mlp._names import publish
from sksparse_mlp._sklearn import check_callback_support
from sksparse_mlp.analysis._recorder import AnalysisRecorder
from sksparse_mlp.serialization import _npz
from sksparse_mlp.serialization._arrays import (
    RunState,
    encoded_parameters,
    estimator_arrays,
    network_arrays,
    plain_labels,
    run_arrays,
    with_run,
)
from sksparse_mlp.serialization._values import dumps

__all__ = ["AnalysisRecorder", "Checkpoint"]

# Parameters that change nothing in what is trained.
FREE = ("n_jobs", "verbose")


@dataclass
class _Fit:
    """A fit that is under way.

    Attributes
    ----------
    place : pathlib.Path
        Its file; in a folder that is shared by many fits known once the data are.
    is_alone : bool
        Whether no other fit may write to that file; others in a shared folder that do are
        the same fit.
    parameters : dict of str to str
        JSON texts of those that matter.
    start : str or None
        Digest of the network that training starts from with ``warm_start``.
    data : dict of str to str
        Digests of what `fit` was given.
    seen : tuple or None
        Signature of the file when it was last read or written, None if there was none.
    intact : bool
        Whether that file is a checkpoint of this fit.
    finished : bool
        Whether it is the last one.
    """

    place: Path
    is_alone: bool
    parameters: dict[str, str]
    start: str | None
    data: dict[str, str] = field(default_factory=dict)
    seen: tuple[int, ...] | None = None
    intact: bool = False
    finished: bool = False

    def take_place_in(self, folder: Path, kind: str) -> None:
        """Have the file in the folder that is named after all that makes this fit."""
        makes = dumps([kind, sorted(self.parameters.items()), self.data, self.start])
        name = hashlib.sha256(makes.encode()).hexdigest()[:32]
        self.place = _npz.place_of(folder / f"{name}.npz")


class Checkpoint:
    """Write the state of fits to files, and let the next fits go on from there.

    ``clf.set_callbacks(Checkpoint("run.npz", every=5)).fit(X, y)`` writes after every
    fifth epoch and when training has come to its end. Wherever it was killed, the same
    statement goes on after the epoch of the file, in the same process or another, and
    ends with the network, to the last bit, and the history that an uninterrupted fit
    would have; only ``seconds`` and ``evolution_seconds`` in `history_` differ. Once
    training has come to its end, that statement takes the finished network from the
    file. To start anew, delete the file and the one before it.

    Searches and ensembles fit many clones, which share their callbacks. With a folder each
    of these fits has a file of its own, so that a search that was killed goes on where it
    was: ``GridSearchCV(clf.set_callbacks(Checkpoint("runs/")), ...)``.

    Parameters
    ----------
    path : str or path-like
        The file, which belongs to one fit, or a folder for any number of them: one that
        exists, or a string that ends in a slash, which is then made. There the file is
        named after the parameters, the data, the sample weights and, with
        ``warm_start=True``, the starting network; fits that are equal in all of these
        share it. The checkpoint before is kept beside each, with ``.previous`` added to the
        name. A relative path is one from the folder that is the current one now.
    every : int, default=1
        Epochs from one checkpoint to the next.

    Raises
    ------
    ValueError
        If `every` is no positive integer. From `fit`, before it does any work: if the
        file is of a fit with other parameters (`n_jobs` and `verbose` may differ), other
        data, sample weights or, with ``warm_start=True``, another starting network; if a
        parameter cannot be kept in plain arrays; if neither the file nor the one before
        can be read.
    TypeError
        If `path` is no path. From `fit`, if the estimator is none of this package.
    OSError
        From `fit`, if the file cannot be written: before it does any work if the file's
        folder does not exist (FileNotFoundError), or if a pipe or device has its name.
    RuntimeError
        From `fit`, if another fit has written to the file in the meantime.

    Warns
    -----
    UserWarning
        From `fit`, if it goes on from a file that another version of this package wrote,
        whose fits may differ, or from the one before because the file is damaged.

    See Also
    --------
    sksparse_mlp.SparseMLPClassifier.from_arrays : Makes an estimator from a checkpoint,
        as it was after that epoch; `partial_fit` goes on from there.

    Notes
    -----
    The file has the format of ``docs/arrays.md``, without pickle. It is written under
    another name, brought to the disk and then renamed, so that an interruption while it
    is written leaves the one before. A file that is damaged all the same is noticed by
    its checksum; the one before is used then. What a killed process left half written,
    ``<name>.<8 hexadecimal digits>.partial``, is removed; no other file is touched. A
    symbolic link stays one, and what it leads to is replaced.

    What Ctrl-C interrupts goes on from the last file too. A fit that another callback
    stops has come to its end. `partial_fit` takes no notice of callbacks.

    With a RandomState instance as `random_state`, its state counts as a parameter: the
    fit that goes on must be given an instance in the state of the first.

    In a search or an ensemble with the path of a file, all fits but the first find the
    file of another one and raise. In a folder, give each member of an ensemble a
    `random_state` of its own, as scikit-learn's do: otherwise equal members are one fit.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_digits
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.callbacks import Checkpoint
    >>> X, y = load_digits(return_X_y=True)
    >>> def fit(folder):
    ...     checkpoint = Checkpoint(Path(folder) / "run.npz", every=5)
    ...     clf = SparseMLPClassifier(max_iter=20, random_state=0)
    ...     return clf.set_callbacks(checkpoint).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, second = fit(folder), fit(folder)
    >>> first.loss_curve_ == second.loss_curve_
    True
    """

    # In pickles of 0.1.0, which had no folders.
    _is_folder = False

    def __init__(self, path: str | os.PathLike[str], *, every: int = 1):
        check_callback_support("Checkpoint")
        whole = isinstance(every, int | np.integer) and not isinstance(every, bool)
        if not whole or every < 1:
            raise ValueError(f"every must be a positive number of epochs, got {every!r}.")
        # Path takes no notice of a slash at the end.
        self._is_folder = os.fspath(path)[-1:] in (os.sep, os.altsep)
        self.path = Path(path).absolute()
        self.every = every
        self._fits: dict[Any, _Fit] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Fits belong to the process in which they run.
        return {**vars(self), "_fits": {}}

    def setup(self, estimator: Any, context: Any) -> None:
        """Take note of what the estimator is before its fit; see if one can write."""
        if not hasattr(estimator, "export_arrays"):
            raise TypeError(
                "Checkpoint is a callback of the networks of this package and not of "
                f"{type(estimator).__name__}; set it on the network inside."
            )
        is_shared = self._has_folder()
        place = self.path / "any" if is_shared else checked_place(self.path)
        check_writable(place)
        parameters = encoded_parameters(estimator)
        parameters = {name: text for name, text in parameters.items() if name not in FREE}
        fit = _Fit(place, not is_shared, parameters, _start(estimator))
        self._fits[estimator] = fit

    def _has_folder(self) -> bool:
        """Whether the path is a folder, which is made if it should be one."""
        if self._is_folder:
            self.path.mkdir(parents=True, exist_ok=True)
        return self.path.is_dir()

    def teardown(self, estimator: Any, context: Any) -> None:
        """Forget the fit."""
        self._fits.pop(estimator, None)

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Before training: go on from the file, if there is one."""
        if context.task_name != "fit":
            return
        fit, trainee = self._fits[estimator], estimator._trainee
        run = trainee._run
        fit.data = _digests(trainee, run)
        if not fit.is_alone:
            fit.take_place_in(self.path, type(estimator).__name__)
            check_writable(fit.place)
        fit.seen = _signature(fit.place)
        found = _find(type(estimator), fit.place)
        if found is None:
            return
        path, loaded, state = found
        _check_same(fit, path, state)
        _check_fits(run, path, loaded, state)
        say_other_version(path, state.package)
        fit.intact, fit.finished = path == fit.place, state.finished
        _resume(trainee, loaded, state)
        if estimator.verbose:
            print(f"Going on after epoch {len(trainee.history_) - 1} from {path}.")

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """After an epoch and after training: write the file, if it is time."""
        is_epoch = context.task_name == "epoch"
        trainee = estimator._trainee
        if trainee._run.training.finished:
            # Only after the last epoch the best network is in its place.
            is_due = not is_epoch
        else:
            is_due = is_epoch and trainee.n_iter_ % self.every == 0
        if is_due:
            self._write(self._fits[estimator], trainee)

    def _write(self, fit: _Fit, trainee: Any) -> None:
        run = trainee._run
        if fit.finished:
            return
        arrays = estimator_arrays(_as_it_is(trainee)) | run_arrays(_state(run, fit))
        try:
            if fit.is_alone and _signature(fit.place) != fit.seen:
                raise FileExistsError(f"{fit.place} is not as it was left")
            keep = fit.intact and fit.place.exists()
            _npz.write(fit.place, _npz.sealed(arrays), keep=keep)
        except (FileExistsError, FileNotFoundError) as error:
            if fit.is_alone or not fit.place.parent.is_dir():
                raise RuntimeError(
                    f"Another fit has written to {fit.place} while this one was running, "
                    "or it was removed. Give each fit a path of its own."
                ) from error
            # Another process that makes the same fit has put its file there just now.
        fit.seen, fit.intact = _signature(fit.place), True
        fit.finished = run.training.finished


def checked_place(path: Path) -> Path:
    """Where the file of a path is written, if that is possible."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; add a file's name.")
    place = _npz.place_of(path)
    if not place.parent.is_dir():
        raise FileNotFoundError(
            f"Checkpoint writes to {place}, but there is no folder {place.parent}. Make "
            "it, or give another path."
        )
    return place


def check_writable(place: Path) -> None:
    """Try to write beside a file, and remove what was half written to it."""
    try:
        _npz.remove_leftovers(place)
    except OSError as error:
        raise type(error)(
            f"Checkpoint cannot write to the folder {place.parent} ({error}). Make it "
            "writable, or give another path."
        ) from error


def say_other_version(path: Path, package: str | None) -> None:
    """Warn where another version of this package has written a checkpoint."""
    if package != sksparse_mlp.__version__:
        by = f"version {package}" if package else "an early version, 0.1.0 or before,"
        warnings.warn(
            f"{path} was written by {by} of sksparse_mlp, and this is version "
            f"{sksparse_mlp.__version__}. The fit goes on, but need not end as one that "
            "was never interrupted.",
            stacklevel=2,
        )


def _find(cls: type, place: Path) -> tuple[Path, Any, RunState] | None:
    """Path, estimator and run of the newest intact checkpoint, None without any."""
    previous, faults = _npz.previous_of(place), []
    for path in (place, previous):
        try:
            loaded, state = with_run(cls, path)
        except FileNotFoundError:
            faults.append(f"{path} is missing.")
            continue
        except ValueError as error:
            faults.append(str(error))
            continue
        if state is None:
            raise ValueError(
                f"{path} holds an exported estimator and no checkpoint. Give the "
                "checkpoint another path."
            )
        if faults:
            warnings.warn(
                f"{faults[0]} The checkpoint before it, {path}, is used instead.",
                stacklevel=2,
            )
        return path, loaded, state
    if not any(path.exists() for path in (place, previous)):
        return None
    raise ValueError(
        f"There is no checkpoint that can be read. {' '.join(faults)} Delete "
        f"{place} and {previous} to start anew."
    )


def _check_same(fit: _Fit, path: Path, state: RunState) -> None:
    """Refuse to go on from the checkpoint of another fit."""
    differences = [
        f"{name} is {there!s:.80} there and {here:.80} here"
        for name, here in fit.parameters.items()
        if (there := state.parameters.get(name)) != here
    ]
    given = [name for name, digest in fit.data.items() if state.data[name] != digest]
    differences += [f"{name} is not the same" for name in given]
    if state.start != fit.start:
        differences.append("warm_start starts from another network")
    if differences:
        raise ValueError(
            f"{path} is the checkpoint of another fit: {'; '.join(differences)}. Give "
            f"this fit a path of its own, or delete {fit.place} and "
            f"{_npz.previous_of(fit.place)} to start anew."
        )


def _signature(path: Path) -> tuple[int, ...] | None:
    """What tells a file from others that were at the same path, None if there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _digest(**arrays: np.ndarray) -> str:
    return _npz.checksum(arrays).tobytes().hex()


def _start(estimator: Any) -> str | None:
    """Digest of the fitted network that the next fit starts from, None without one."""
    if not (estimator.warm_start and hasattr(estimator, "coefs_")):
        return None
    return _digest(**network_arrays(estimator._fitted_network()))


def _digests(estimator: Any, run: Any) -> dict[str, str]:
    """Digests of the data, as training sees them."""
    parts = {"": run.given}
    if run.validation is not None and not run.is_split:
        parts["_val"] = run.validation
    X = {n + end: a for end, part in parts.items() for n, a in _arrays(part.X).items()}
    targets = {f"codes{end}": part.y for end, part in parts.items()}
    if estimator._has_single_labels:
        targets["classes"] = plain_labels(estimator.classes_, "classes_")
    weights = {f"weights{end}": part.weights for end, part in parts.items()}
    return {"X": _digest(**X), "y": _digest(**targets), "sample_weight": _digest(**weights)}


def _arrays(X: Any) -> dict[str, np.ndarray]:
    """The arrays that samples consist of."""
    if not sparse.issparse(X):
        return {"X": X}
    parts = {name: getattr(X, name) for name in ("data", "indices", "indptr")}
    return parts | {"shape": np.array(X.shape)}


def _as_it_is(estimator: Any) -> Any:
    """The estimator as if training had stopped now, with what training continues from."""
    twin, training = copy.copy(estimator), estimator._run.training
    vars(twin).update(estimator._attributes(training), _training=training.state())
    return twin


def _state(run: Any, fit: _Fit) -> RunState:
    training, apart = run.training, run.is_split
    return RunState(
        parameters=fit.parameters,
        data=fit.data,
        start=fit.start,
        finished=training.finished,
        diverged=training.diverged,
        rows=run.samples.rows if apart else None,
        validation_rows=run.validation.rows if apart else None,
        best=training.best,
        anew=_anew(training) if apart else None,
        package=sksparse_mlp.__version__,
    )


def _anew(training: Any) -> np.ndarray:
    """What a training on all samples takes from this one: its best epoch, its seeds."""
    return np.array([training.best_epoch, *chain.from_iterable(training.seeds)], np.int64)


def _check_fits(run: Any, path: Path, loaded: Any, state: RunState) -> None:
    """Refuse a forged file, whose digests are right and whose content does not fit."""
    training, network = run.training, loaded._fitted_network()
    rows = [part for part in (state.rows, state.validation_rows) if part is not None]
    if (
        network.sizes != training.network.sizes
        or network.dtype != training.network.dtype
        or loaded.n_iter_ >= training.n_epochs + state.finished
        or len(rows) != (2 if run.is_split else 0)
        or (state.anew is not None and state.anew[0] > loaded.n_iter_)
        or any(part.max() >= len(run.given.y) for part in rows)
    ):
        raise ValueError(f"The content of {path} does not fit its description; delete it.")


def _resume(estimator: Any, loaded: Any, state: RunState) -> None:
    """Set a fit that has not begun to where another one was."""
    run = estimator._run
    training = run.training
    training.network = loaded._fitted_network()
    training.resume(loaded._training)
    training.best = state.best
    training.finished, training.diverged = state.finished, state.diverged
    if state.rows is not None:
        run.samples = replace(run.samples, rows=state.rows)
        run.validation = replace(run.validation, rows=state.validation_rows)
    if state.anew is not None:
        training.best_epoch = int(state.anew[0])
        training.seeds = state.anew[1:].reshape(3, 4).tolist()
    estimator.history_, estimator.n_iter_ = loaded.history_, loaded.n_iter_


publish(__name__, __all__)
