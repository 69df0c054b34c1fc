"""The sets: tables with categories and missing entries, wide ones, and their splits.

They are read from the folder ``tabular`` in ``$SKSPARSE_MLP_DATA``, whose ``index.json``
describes each: its file (CSV with a column ``__target__``, or npz of X and y), its task and
its categorical columns.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from benchmarks.data import VARIABLE

MAX_SAMPLES = 4000
CATEGORY = make_column_selector(dtype_include="category")


@dataclass
class Split:
    """One split of a set, as networks and as trees take it.

    Attributes
    ----------
    scaled, plain : tuple of ndarray
        Features of the training and the test part: one-hot, imputed, standardised and
        float32; or codes and numbers with NaN where they are missing.
    y, y_test : ndarray of shape (n_samples,)
    """

    scaled: tuple[np.ndarray, np.ndarray]
    plain: tuple[np.ndarray, np.ndarray]
    y: np.ndarray
    y_test: np.ndarray


def folder():
    return Path(os.environ[VARIABLE]) / "tabular"


def index():
    """The description of each set, by its name."""
    return json.loads((folder() / "index.json").read_text(encoding="utf-8"))


def load(record):
    """A table of numbers and categories, and its target."""
    path = folder() / record["file"]
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return pd.DataFrame(arrays["X"].astype(np.float64)), arrays["y"]
    table = pd.read_csv(path, dtype=dict.fromkeys(record["categorical"], str))
    y = table.pop("__target__").to_numpy()
    return table.astype(dict.fromkeys(record["categorical"], "category")), y


def columns(encoder, numbers):
    text = make_pipeline(SimpleImputer(strategy="most_frequent"), encoder)
    return make_column_transformer((text, CATEGORY), remainder=numbers)


def split(record, seed):
    """Two thirds to train on and the rest, at most MAX_SAMPLES of each."""
    X, y = load(record)
    stratify = y if record["task"] == "classification" else None
    parts = train_test_split(X, y, test_size=1 / 3, stratify=stratify, random_state=seed)
    X, X_test, y, y_test = (part[:MAX_SAMPLES] for part in parts)
    X = X.loc[:, X.notna().any()]
    X_test = X_test[X.columns]
    scaler = columns(
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        make_pipeline(SimpleImputer(), StandardScaler()),
    )
    coder = columns(
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), "passthrough"
    )
    pairs = [(t.fit_transform(X), t.transform(X_test)) for t in (scaler, coder)]
    scaled, plain = (tuple(np.asarray(part) for part in pair) for pair in pairs)
    return Split(tuple(part.astype(np.float32) for part in scaled), plain, y, y_test)
