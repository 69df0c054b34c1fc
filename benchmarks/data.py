"""Real data sets, read from the folder that the user names."""

import os
from pathlib import Path

import numpy as np

VARIABLE = "SKSPARSE_MLP_DATA"
PARTS = ("X_train", "y_train", "X_test", "y_test")


def has_folder() -> bool:
    """Whether the user names a folder of data sets."""
    return bool(os.environ.get(VARIABLE))


def load(name: str) -> tuple[np.ndarray, ...]:
    """The arrays X_train, y_train, X_test and y_test of ``name + ".npz"``.

    Raises
    ------
    FileNotFoundError
        If there is no such file; the message says which to put where.
    """
    path = Path(os.environ.get(VARIABLE, "")) / f"{name}.npz"
    if not (has_folder() and path.is_file()):
        found = f"names {path.parent}, which has none" if has_folder() else "is not set"
        raise FileNotFoundError(
            f"The data set {name!r} needs the file {path.name}, with the arrays "
            f"{', '.join(PARTS)}, in the folder that the environment variable {VARIABLE} "
            f"names; the variable {found}."
        )
    with np.load(path) as arrays:
        return tuple(arrays[part] for part in PARTS)
