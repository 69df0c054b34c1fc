"""The state after a round, in one file that is written whole or not at all."""

import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import sksparse_mlp
from sksparse_mlp.callbacks import FREE, say_other_version
from sksparse_mlp.distributed._outer import trained
from sksparse_mlp.distributed._rounds import Rounds
from sksparse_mlp.estimators._mlp import BaseSparseMLP
from sksparse_mlp.serialization import _npz
from sksparse_mlp.serialization._arrays import encoded_parameters, estimator_arrays
from sksparse_mlp.serialization._values import dumps, loads

STATE, VELOCITY, ESTIMATOR = "rounds/state", "rounds/velocity/", "estimator/"
FIELDS = {"fit": dict, "history": list, "finished": bool, "diverged": bool}
# Added since.
PACKAGE = "package"


class Content(NamedTuple):
    """Of a file: the estimator, the state, and the velocities of the outer optimizer."""

    estimator: BaseSparseMLP
    state: dict[str, Any]
    velocities: list[np.ndarray]


class RoundsFile:
    """The checkpoint of one fit.

    Parameters
    ----------
    path : str or path-like
    estimator : BaseSparseMLP
        Not fitted; its parameters are those of the fit.
    described : dict
        What else makes the fit what it is, of plain values.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        estimator: BaseSparseMLP,
        described: dict[str, Any],
    ) -> None:
        self._path = _npz.place_of(Path(path).absolute())
        self._class = type(estimator)
        texts = encoded_parameters(estimator)
        self._fit = {name: text for name, text in texts.items() if name not in FREE}
        self._fit |= {name: dumps(value) for name, value in described.items()}

    def write(self, rounds: Rounds) -> None:
        """Keep the state after a round, and the one before under another name."""
        state = {
            "fit": self._fit,
            "history": rounds.history,
            "finished": rounds.training.finished,
            "diverged": rounds.training.diverged,
            PACKAGE: sksparse_mlp.__version__,
        }
        estimator = rounds.as_it_is()
        estimator._training = rounds.training.state()
        arrays = {f"{ESTIMATOR}{k}": v for k, v in estimator_arrays(estimator).items()}
        velocities = enumerate(rounds.outer.velocities)
        arrays |= {f"{VELOCITY}{k}": velocity for k, velocity in velocities}
        arrays[STATE] = np.frombuffer(dumps(state).encode(), np.uint8)
        _npz.write(self._path, _npz.sealed(arrays), keep=self._path.exists())

    def resume(self, rounds: Rounds) -> None:
        """Set rounds that have not begun to where the file is, if there is one."""
        found = self._find()
        if found is None:
            return
        path, (estimator, state, velocities) = found
        self._check_same(path, state["fit"])
        say_other_version(path, state.get(PACKAGE))
        training = rounds.training
        training.network = estimator._fitted_network()
        training.resume(estimator._training)
        rounds.outer.resume(velocities, training.network)
        training.finished, training.diverged = state["finished"], state["diverged"]
        rounds.history, rounds.epochs = state["history"], estimator.history_

    def _find(self) -> "tuple[Path, Content] | None":
        """Path of the newest intact file and what it holds, None without any."""
        paths, faults = (self._path, _npz.previous_of(self._path)), []
        for path in paths:
            try:
                content = _read(self._class, path)
            except FileNotFoundError:
                faults.append(f"{path} is missing.")
                continue
            except ValueError as error:
                faults.append(f"{path} cannot be used: {error}.")
                continue
            if faults:
                warnings.warn(f"{faults[0]} {path} is used instead.", stacklevel=2)
            return path, content
        if not any(path.exists() for path in paths):
            return None
        raise ValueError(
            f"There is no checkpoint that can be read. {' '.join(faults)} Delete "
            f"{paths[0]} and {paths[1]} to start anew."
        )

    def _check_same(self, path: Path, there: dict[str, str]) -> None:
        """Refuse to go on from the checkpoint of another fit."""
        here = self._fit
        names = sorted(name for name in here | there if here.get(name) != there.get(name))
        if names:
            differences = [
                f"{name} is {there.get(name)!s:.80} there and {here.get(name)!s:.80} here"
                for name in names
            ]
            raise ValueError(
                f"{path} is the checkpoint of another fit: {'; '.join(differences)}. Give "
                f"this fit a path of its own, or delete {self._path} and "
                f"{_npz.previous_of(self._path)} to start anew."
            )


def _read(cls: type[BaseSparseMLP], path: Path) -> Content:
    """What a file holds."""
    arrays = _npz.read(path)
    _npz.check_sealed(arrays)
    text = arrays.pop(STATE, np.empty(0, np.uint8))
    state = loads(text.tobytes().decode()) if text.size else {}
    fits = isinstance(state, dict) and set(state) - {PACKAGE} == set(FIELDS)
    fits = fits and isinstance(state.get(PACKAGE, ""), str)
    if not fits or not all(type(state[k]) is kind for k, kind in FIELDS.items()):
        raise ValueError("it is no checkpoint of rounds")
    parts = {
        name.removeprefix(ESTIMATOR): array
        for name, array in arrays.items()
        if name.startswith(ESTIMATOR)
    }
    estimator = cls.from_arrays(_npz.sealed(parts))
    if not hasattr(estimator, "_training"):
        raise ValueError("it has no state of a training")
    return Content(estimator, state, _velocities(arrays, estimator))


def _velocities(
    arrays: dict[str, np.ndarray], estimator: BaseSparseMLP
) -> list[np.ndarray]:
    """Those of a file; none in files that are older than they."""
    found = {name: array for name, array in arrays.items() if name.startswith(VELOCITY)}
    wanted = list(trained(estimator._fitted_network())) if found else []
    kinds = [(f"{VELOCITY}{k}", v.shape, v.dtype) for k, v in enumerate(wanted)]
    if {(name, v.shape, v.dtype) for name, v in found.items()} != set(kinds):
        raise ValueError("its velocities are not those of its network")
    return [found[name] for name, *_ in kinds]
