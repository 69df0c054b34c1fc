"""What comes from outside, before anything is computed with it: data and sample weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import validate_data

# What networks compute with.
DENSE_OR_CSR: dict[str, Any] = {
    "accept_sparse": "csr",
    "dtype": (np.float64, np.float32),
    "order": "C",
}

# How scikit-learn's errors begin where a table is given as it is, and what helps.
OF_TABLES = ("Input X contains NaN", "could not convert string")
FOR_TABLES = (
    "sksparse_mlp.make_tabular_pipeline takes tables with missing entries, text and "
    "categories, and gives this estimator numbers."
)


def validated(estimator: Any, X: Any, *args: Any, **options: Any) -> Any:
    """As scikit-learn's `validate_data`, with the indices of sparse data checked too.

    Parameters
    ----------
    estimator : estimator
        Has, or gets, `n_features_in_` and `feature_names_in_`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    *args : array-like or sparse matrix
        The targets, if there are any.
    **options : dict
        Passed on; `DENSE_OR_CSR` are set.

    Raises
    ------
    ValueError
        As `validate_data` and `sound`.
    """
    if not args and options == {"reset": False} and _is_sound(estimator, X):
        return X
    targets = (sound(y, "y") for y in args)
    try:
        return validate_data(estimator, sound(X, "X"), *targets, **options | DENSE_OR_CSR)
    except ValueError as error:
        if str(error).startswith(OF_TABLES) and not _is_numeric(X):
            first = str(error).splitlines()[0]
            raise ValueError(f"{first.rstrip('.')}. {FOR_TABLES}") from error
        raise


def _is_numeric(X: Any) -> bool:
    """Whether all of X are finite or infinite numbers: then an error is about y."""
    values = X.data if sparse.issparse(X) else X
    try:
        return not np.isnan(np.asarray(values, dtype=np.float64)).any()
    except (TypeError, ValueError):
        return False


@contextmanager
def missing_labels_told(y: Any) -> Iterator[None]:
    """Let an error over labels say which are missing, where that is its cause."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if told := missing_labels(y):
            raise ValueError(told) from error
        raise


def missing_labels(y: Any) -> str:
    """Which labels are missing, in a sentence with what to do; empty if none is.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Missing are None, NaN and what pandas calls NA.
    """
    labels = np.asarray(y, dtype=object)
    if labels.ndim != 1:
        return ""
    rows = [row for row, label in enumerate(labels) if _is_missing(label)]
    if not rows:
        return ""
    return (
        f"Input y contains NaN: {len(rows)} of {labels.size} labels are missing, first in "
        f"row {rows[0]}. Leave these samples out, or give them a class of their own."
    )


def _is_missing(label: Any) -> bool:
    # pandas' NA equals nothing, and says neither yes nor no to that.
    is_number = isinstance(label, (float, np.floating))
    return (
        label is None or type(label).__name__ == "NAType" or (is_number and label != label)
    )


# Values of which a copy takes no time beside scikit-learn's checks.
FEW = 2**14


def _is_sound(estimator: Any, X: Any) -> bool:
    """Whether a few samples are just what scikit-learn's checks would make of them."""
    return (
        type(X) is np.ndarray
        and X.ndim == 2
        and X.dtype in (np.float32, np.float64)
        and X.flags.c_contiguous
        and X.dtype.isnative
        and 0 < X.size <= FEW
        and X.shape[1] == getattr(estimator, "n_features_in_", None)
        and not hasattr(estimator, "feature_names_in_")
        and bool(np.isfinite(X).all())
    )


def sound(data: Any, name: str = "X") -> Any:
    """The data; of a sparse matrix a view whose indices are sure to lie within it.

    SciPy converts and slices sparse matrices without looking at their indices, which may
    have been edited or have come from a file, and so does compiled code.

    Parameters
    ----------
    data : object
        Anything but a sparse matrix is returned as it is.
    name : str
        What errors call it.

    Raises
    ------
    ValueError
        If indices are out of range or not whole numbers, or the arrays of the matrix do
        not fit each other.
    """
    if not sparse.issparse(data) or data.ndim != 2:
        return data
    try:
        return _checked(data)
    except (ValueError, IndexError, TypeError) as error:
        raise ValueError(
            f"{name} is a {data.format.upper()} matrix whose parts do not fit each other: "
            f"{error}. Make it anew, for instance from its rows, columns and values."
        ) from error


def _checked(data: Any) -> Any:
    """This matrix, or one of the same arrays, if its indices lie within it."""
    if data.format not in ("csr", "csc", "bsr", "coo"):
        return _checked(data.tocsr())
    kind = "array" if isinstance(data, sparse.sparray) else "matrix"
    made = getattr(sparse, f"{data.format}_{kind}")
    if data.format == "coo":
        # Its constructor compares the coordinates to the shape.
        coords = tuple(_whole(part) for part in (data.row, data.col))
        return made((np.asarray(data.data), coords), shape=data.shape)
    indices, indptr = _whole(data.indices), _whole(data.indptr)
    _check_compressed(data, indices, indptr)
    if data.format != "bsr" and indices.size == indptr[-1] and _are_plain(data):
        return data
    values = np.asarray(data.data)
    return made((values, indices, indptr), shape=data.shape, copy=False)


def _whole(given: Any) -> np.ndarray:
    indices: np.ndarray = np.asarray(given)
    if indices.dtype.kind not in "iu":
        raise ValueError(f"indices of dtype {indices.dtype} are no whole numbers")
    return indices


def _are_plain(data: Any) -> bool:
    """Whether the arrays of a matrix are as SciPy makes them."""
    arrays = (data.data, data.indices, data.indptr)
    same = data.indices.dtype == data.indptr.dtype and data.indices.dtype in ("i4", "i8")
    return same and all(type(array) is np.ndarray for array in arrays)


def _check_compressed(data: Any, indices: np.ndarray, indptr: np.ndarray) -> None:
    """Raise a ValueError unless the indices are those of such a matrix.

    SciPy's own check does not look further where `indptr` ends below zero, and takes
    longer than a small network.
    """
    blocks = data.blocksize if data.format == "bsr" else (1, 1)
    sizes = [n // b for n, b in zip(data.shape, blocks, strict=True)]
    n_rows, n_columns = sizes[::-1] if data.format == "csc" else sizes
    if indptr.size != n_rows + 1 or indptr[0] != 0:
        raise ValueError(f"indptr must have {n_rows + 1} numbers from 0 on")
    if (indptr[1:] < indptr[:-1]).any():
        raise ValueError("indptr does not grow from row to row")
    if not indptr[-1] <= indices.size == len(data.data):
        raise ValueError(
            f"indptr ends at {indptr[-1]}, and there are {indices.size} indices and "
            f"{len(data.data)} values"
        )
    used = indices[: indptr[-1]]
    if used.size and not (used.min() >= 0 and used.max() < n_columns):
        raise ValueError(f"indices must be from 0 to {n_columns - 1}")


def in_reach(weights: np.ndarray) -> np.ndarray:
    """Weights times the power of two that brings the largest between 1/2 and 1.

    Exact, and no product of such weights leaves the range of float64.
    """
    _, exponent = np.frexp(weights.max(initial=0.0))
    scaled: np.ndarray = np.ldexp(weights, -exponent)
    return scaled


def relative(weights: np.ndarray) -> np.ndarray:
    """Weights whose mean over those that are positive is 1.

    No common factor changes them but by rounding; equal weights become 1 exactly.

    Parameters
    ----------
    weights : ndarray of shape (n,), dtype float64
        Finite and not negative.
    """
    largest = weights.max(initial=0.0)
    if largest == 0:
        return weights
    scaled = in_reach(weights) / in_reach(largest)
    normalised: np.ndarray = scaled / scaled[scaled > 0].mean()
    return normalised
