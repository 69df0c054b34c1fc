"""Checks of samples and labels: their structure, and whether they are as published."""

import hashlib
from typing import Any

import numpy as np

from sksparse_mlp.datasets._registry import DataSet


def exact(values: Any, dtype: Any) -> np.ndarray:
    """Values as a C-contiguous array of a dtype.

    Raises
    ------
    ValueError
        If they are no numbers, or the dtype is one of integers and changes them.
    """
    values = np.asarray(values)
    with np.errstate(invalid="ignore"):
        converted = np.ascontiguousarray(values, dtype=dtype)
    if converted.dtype.kind in "iu" and not np.array_equal(converted, values):
        raise ValueError(f"values of {values.dtype} do not fit into {converted.dtype}")
    return converted


def as_samples(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples in native byte order and labels in int64, once their structure is right.

    Raises
    ------
    ValueError
        If X is not a finite matrix, or y not one whole number for each of its rows.
    """
    if X.ndim != 2 or y.shape != X.shape[:1] or not X.size:
        raise ValueError(
            f"X must have the shape (n_samples, n_features) and y (n_samples,), got "
            f"{X.shape} and {y.shape}"
        )
    if not np.isfinite(X).all():
        raise ValueError("X holds NaN or infinity")
    return exact(X, X.dtype.newbyteorder("=")), exact(y, np.int64)


def fingerprint(X: np.ndarray, y: np.ndarray) -> str:
    """SHA-256 of samples with their labels, whatever the order of the samples.

    That of the dtype and shape of X and of the sorted SHA-256 of the samples: the bytes
    of a row of X (little-endian, without negative zeros) and its label in int64.
    """
    X = np.ascontiguousarray(X + 0, dtype=X.dtype.newbyteorder("<"))
    labels = y.astype("<i8")
    rows = sorted(
        hashlib.sha256(sample.tobytes() + label.tobytes()).digest()
        for sample, label in zip(X, labels, strict=True)
    )
    head = f"{X.dtype.str} {X.shape}".encode()
    return hashlib.sha256(head + b"".join(rows)).hexdigest()


def check_published(X: np.ndarray, y: np.ndarray, data_set: DataSet, part: str) -> None:
    """Hold a part of a data set to all that is known of it.

    Raises
    ------
    ValueError
        With what was expected and what there is.
    """
    known = data_set.parts[part]
    labels, counts = np.unique(y, return_counts=True)
    facts = [
        ("dtype", data_set.dtype, X.dtype.name),
        ("shape", (known.n_samples, data_set.n_features), X.shape),
        ("labels", sorted(data_set.classes), labels.tolist()),
    ]
    if known.class_counts is not None:
        facts.append(("samples per class", known.class_counts, tuple(counts.tolist())))
    for what, expected, found in facts:
        _compare(what, part, expected, found)
    if known.sha256 is not None:
        _compare("SHA-256 of the samples", part, known.sha256, fingerprint(X, y))


def _compare(what: str, part: str, expected: object, found: object) -> None:
    if found != expected:
        raise ValueError(f"{what} in part {part!r}: expected {expected}, got {found}")
