"""Data sets by name: from the user's folder, the cache or the network, in this order."""

import math
import os
import warnings
from collections.abc import Sequence
from itertools import chain
from numbers import Integral, Real
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch

from sksparse_mlp._sklearn import (
    Interval,
    StrOptions,
    _convert_data_dataframe,
    check_pandas_support,
    validate_parameter_constraints,
)
from sksparse_mlp.datasets._archives import read_arrays, write_arrays
from sksparse_mlp.datasets._limits import limited
from sksparse_mlp.datasets._registry import DATA_SETS, DataSet
from sksparse_mlp.datasets._samples import as_samples, check_published, exact

FOLDER_VARIABLE = "SKSPARSE_MLP_DATA"
CONSTRAINTS: dict[str, Any] = {
    "data_home": [str, os.PathLike, None],
    "subset": [StrOptions({"train", "test", "all"})],
    "return_X_y": ["boolean"],
    "as_frame": ["boolean"],
    "download_if_missing": ["boolean"],
    "n_retries": [Interval(Integral, 1, None, closed="left")],
    "delay": [Interval(Real, 0.0, None, closed="neither")],
}

Folder = str | os.PathLike[str] | None
Subset = Literal["train", "test", "all"]
Samples = tuple[np.ndarray, np.ndarray]


def fetch(
    name: str,
    *,
    data_home: Folder = None,
    subset: Subset = "all",
    return_X_y: bool = False,
    as_frame: bool = False,
    download_if_missing: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
) -> Any:
    """Load a data set by its name, which is that of its fetcher without ``fetch_``.

    Looked for first as ``<name>.npz`` in the folder that the environment variable
    ``SKSPARSE_MLP_DATA`` names, with the arrays ``X_train``, ``y_train``, ``X_test`` and
    ``y_test``, or ``X`` and ``y`` for a data set without official split; then among
    earlier downloads in ``data_home``; then on the network. A download ends when nothing
    comes for a minute, or more than the data set can need; it is verified against what is
    known of the data set. The user's own files are not: these may hold other samples.

    Parameters
    ----------
    name : str
        One of "madelon", "isolet", "mnist", "fashion_mnist", "cifar10", "lung",
        "lung_discrete", "orl", "prostate_ge" and "glioma".
    data_home : str or path-like, default=None
        Folder of the downloads, which go to its folder ``sksparse_mlp``. Default:
        scikit-learn's, see :func:`sklearn.datasets.get_data_home`.
    subset : {"train", "test", "all"}, default="all"
        Official training part, official test part, or all samples: first those of the
        training part.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Return a pandas DataFrame and Series instead of arrays.
    download_if_missing : bool, default=True
        Whether the network may be used.
    n_retries : int, default=3
        How often to try again after a network error, at least once.
    delay : float, default=1.0
        Seconds between two attempts, more than 0.

    Returns
    -------
    :class:`~sklearn.utils.Bunch` or tuple
        The tuple ``(data, target)`` if ``return_X_y``, else a Bunch with

        - data : array or DataFrame of shape (n_samples, n_features). Its dtype is the
          smallest usual one that holds the values, such as uint8 for pixels, or that of
          the user's own file: scale it in a Pipeline.
        - target : int64 array or Series of shape (n_samples,), the labels of the
          literature.
        - feature_names, target_names : lists of str; the latter in the order of the
          labels.
        - frame : DataFrame of both with ``as_frame``, else None.
        - DESCR : str.
        - filename : str, the file it was read from.

    Raises
    ------
    ValueError
        If there is no such data set, a parameter is invalid, the data set is not split
        into the ``subset``, or the user's own file is broken.
    OSError
        If the data set is not there and cannot be downloaded, or what was downloaded is
        not what is known of it. The message says which file to put where.

    Examples
    --------
    >>> from sksparse_mlp.datasets import fetch
    >>> X, y = fetch("mnist", subset="train", return_X_y=True)
    >>> X.dtype, X.shape[1]
    (dtype('uint8'), 784)
    """
    if name not in DATA_SETS:
        raise ValueError(f"name={name!r} is no data set; there are {', '.join(DATA_SETS)}.")
    validate_parameter_constraints(CONSTRAINTS, locals(), caller_name="fetch")
    data_set = DATA_SETS[name]
    parts = data_set.parts_of(subset)
    if as_frame:
        check_pandas_support("fetch with as_frame=True")
    path = _own_file(name)
    if path:
        samples = _read_own(path, data_set, parts)
    else:
        path = Path(get_data_home(data_home)) / "sksparse_mlp" / f"{name}.npz"
        attempts = (n_retries, delay) if download_if_missing else None
        samples = _read_or_download(path, data_set, parts, attempts)
    X, y = (np.concatenate(arrays) for arrays in zip(*samples, strict=True))
    bunch = _bunch(data_set, X, y, as_frame, path)
    return (bunch.data, bunch.target) if return_X_y else bunch


def _own_file(name: str) -> Path | None:
    """The user's own file of a data set, if there is one."""
    folder = os.environ.get(FOLDER_VARIABLE)
    path = Path(folder).expanduser() / f"{name}.npz" if folder else None
    return path if path and path.is_file() else None


def _array_names(data_set: DataSet) -> str:
    return ", ".join(chain.from_iterable(map(data_set.array_names, data_set.parts)))


def _read_own(path: Path, data_set: DataSet, parts: Sequence[str]) -> list[Samples]:
    """Samples and labels of the parts from the user's own file."""
    try:
        samples = _read(path, data_set, parts)
        if len({X.shape[1] for X, _ in samples}) > 1:
            raise ValueError(f"{path} is unusable: its parts differ in their features")
    except ValueError as error:
        raise ValueError(
            f"{error}. {FOLDER_VARIABLE} names its folder; put a file with the arrays "
            f"{_array_names(data_set)} in its place, or remove it to have "
            f"{data_set.title} downloaded."
        ) from error
    return samples


def _read(
    path: Path, data_set: DataSet, parts: Sequence[str], most_bytes: float = math.inf
) -> list[Samples]:
    names = [data_set.array_names(part) for part in parts]
    try:
        arrays = read_arrays(path, list(chain.from_iterable(names)), most_bytes)
        return [as_samples(arrays[X], arrays[y]) for X, y in names]
    except ValueError as error:
        raise ValueError(f"{path} is unusable: {error}") from error


def _read_or_download(
    path: Path,
    data_set: DataSet,
    parts: Sequence[str],
    attempts: tuple[int, float] | None,
) -> list[Samples]:
    """The parts from the cache at ``path``, or from the network with some attempts."""
    try:
        return _read_cached(path, data_set, parts)
    except FileNotFoundError:
        problem = f"{path} is missing"
    except ValueError as error:
        problem = str(error)
        if attempts:
            warnings.warn(f"{problem}; it is downloaded again.", stacklevel=4)
    if attempts is None:
        raise OSError(
            f"{problem}, and download_if_missing=False. {_advice(path, data_set)}"
        )
    downloaded = _download(path, data_set, *attempts)
    return [downloaded[part] for part in parts]


def _read_cached(path: Path, data_set: DataSet, parts: Sequence[str]) -> list[Samples]:
    found = _read(path, data_set, parts, data_set.most_bytes)
    try:
        for part, samples in zip(parts, found, strict=True):
            check_published(*samples, data_set, part)
    except ValueError as error:
        raise ValueError(f"{path} is not {data_set.title}: {error}") from error
    return found


def _download(
    path: Path, data_set: DataSet, n_retries: int, delay: float
) -> dict[str, Samples]:
    """All parts from the network, verified, once they are in the cache at ``path``."""
    path.parent.mkdir(exist_ok=True)
    # Network, parsers and checks all fail in their own ways.
    try:
        with (
            TemporaryDirectory(prefix=f"{path.name}.part_", dir=path.parent) as scratch,
            limited(data_set.most_bytes),
        ):
            X, y = data_set.source.download(scratch, n_retries, delay)
        samples = _split(data_set, exact(X, data_set.dtype), exact(y, np.int64))
    except Exception as error:
        raise OSError(
            f"{data_set.title} could not be downloaded from {data_set.source.url}: "
            f"{type(error).__name__}: {error}. {_advice(path, data_set)}"
        ) from error
    names = map(data_set.array_names, samples)
    arrays = chain.from_iterable(samples.values())
    write_arrays(path, dict(zip(chain.from_iterable(names), arrays, strict=True)))
    return samples


def _split(data_set: DataSet, X: np.ndarray, y: np.ndarray) -> dict[str, Samples]:
    """The verified parts of a download."""
    X, y = as_samples(X, y)
    sizes = [part.n_samples for part in data_set.parts.values()]
    if len(X) != sum(sizes):
        raise ValueError(f"expected {sum(sizes)} samples, got {len(X)}")
    ends = np.cumsum(sizes)[:-1]
    parts = zip(np.split(X, ends), np.split(y, ends), strict=True)
    samples = dict(zip(data_set.parts, parts, strict=True))
    for part in samples:
        check_published(*samples[part], data_set, part)
    return samples


def _advice(path: Path, data_set: DataSet) -> str:
    """What to do without network."""
    folder = os.environ.get(FOLDER_VARIABLE)
    state = f"names {folder}, which has none" if folder else "is not set"
    return (
        f"You can put {path.name}, with the arrays {_array_names(data_set)}, into the "
        f"folder that the environment variable {FOLDER_VARIABLE} names (it {state}), or a "
        f"copy of that file from a computer that has downloaded it at {path}."
    )


def _bunch(
    data_set: DataSet, X: np.ndarray, y: np.ndarray, as_frame: bool, path: Path
) -> Bunch:
    data, target, frame = X, y, None
    feature_names = [f"{data_set.feature}{i}" for i in range(X.shape[1])]
    if as_frame:
        frame, data, target = _convert_data_dataframe(
            "fetch", X, y, feature_names, ["target"]
        )
    return Bunch(
        data=data,
        target=target,
        frame=frame,
        feature_names=feature_names,
        target_names=data_set.class_names(y),
        DESCR=data_set.description,
        filename=str(path),
    )
