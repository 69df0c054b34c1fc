"""Real data sets with an official split."""

import os
from itertools import chain

import numpy as np

from sksparse_mlp.datasets import fetch

VARIABLE = "SKSPARSE_MLP_DATA"


def has_folder() -> bool:
    """Whether the user names a folder of data sets."""
    return bool(os.environ.get(VARIABLE))


def load(name: str) -> tuple[np.ndarray, ...]:
    """X_train, y_train, X_test and y_test of a data set, see :func:`fetch`."""
    parts = [fetch(name, subset=part, return_X_y=True) for part in ("train", "test")]
    return tuple(chain.from_iterable(parts))
