"""What comes from outside, before anything is computed with it: data and sample weights."""

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
    targets = (sound(y, "y") for y in args)
    return validate_data(estimator, sound(X, "X"), *targets, **options | DENSE_OR_CSR)


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
    """A matrix like this one, made anew of the same arrays by SciPy's own checks."""
    kind = "array" if isinstance(data, sparse.sparray) else "matrix"
    made = getattr(sparse, f"{data.format}_{kind}")
    if data.format == "coo":
        # Its constructor compares the coordinates to the shape.
        coords = tuple(_whole(part) for part in (data.row, data.col))
        return made((np.asarray(data.data), coords), shape=data.shape)
    if data.format not in ("csr", "csc", "bsr"):
        return _checked(data.tocsr())
    indices, indptr = _whole(data.indices), _whole(data.indptr)
    # Which SciPy does not look at where it seems to end before it begins.
    if (indptr[1:] < indptr[:-1]).any():
        raise ValueError("indptr does not grow from row to row")
    fresh = made((np.asarray(data.data), indices, indptr), shape=data.shape, copy=False)
    fresh.check_format(full_check=True)
    return fresh


def _whole(given: Any) -> np.ndarray:
    indices: np.ndarray = np.asarray(given)
    if indices.dtype.kind not in "iu":
        raise ValueError(f"indices of dtype {indices.dtype} are no whole numbers")
    return indices


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
