"""Tables from outside: which columns hold numbers and which categories, checked."""

import warnings
from collections.abc import Iterable
from numbers import Number
from typing import Any, NoReturn, Self

import numpy as np
from scipy import sparse
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from sksparse_mlp._sklearn import BaseEstimator

# Entries from which on a column of texts that are all different is no coincidence.
MANY = 20
NUMBER, CATEGORY, EMPTY = "number", "category", "empty"
# What pandas finds in columns of objects that are numbers.
NUMERIC_OBJECTS = {
    *("integer", "floating", "mixed-integer-float", "decimal", "boolean"),
}
# Differences of such numbers and their means are finite.
LARGEST = np.finfo(np.float64).max / 4
TIME = "hold dates or times; turn them into numbers (year, month, weekday, seconds)"
NO_TYPES = (
    ", which does not say which columns are numbers; make it a DataFrame whose columns "
    "have types of their own."
)
NOT_PLAIN = "are no plain numbers or texts; turn them into these"
NESTED = "hold lists or other objects; give each of their entries a column"


class TableColumns(  # type: ignore[call-arg]
    TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Reads a table by its columns: numbers become float64, categories become text.

    Numbers are columns of numbers and booleans, whole or not, also of objects; all else
    is categories: text, pandas' and polars' categorical columns, objects of several
    types. Missing entries become NaN and None. Columns that are all missing in `fit` are
    left out. Columns are found by their names, in whatever order they come later.

    Attributes
    ----------
    kinds_ : dict of str to str
        "number", "category" or "empty" for each column.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features_in_,), dtype object
        Their names; not for arrays, which are columns of numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from sksparse_mlp.estimators._tables import TableColumns
    >>> table = pd.DataFrame({"age": [31, None], "town": ["Ghent", "Lund"]})
    >>> TableColumns().fit(table).kinds_
    {'age': 'number', 'town': 'category'}
    """

    kinds_: dict[str, str]
    n_features_in_: int
    feature_names_in_: np.ndarray

    def set_output(self, *, transform: Any = None) -> Self:
        """Change nothing: the library of the frame is that of what comes in.

        Parameters
        ----------
        transform : str or None
            Not looked at.

        Returns
        -------
        self : TableColumns
        """
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Take note of the columns and of what they hold.

        Parameters
        ----------
        X : pandas or polars DataFrame, or array of numbers, of shape (n_samples, n_columns)
        y : None
            Not looked at.

        Returns
        -------
        self : TableColumns

        Raises
        ------
        ValueError
            If a name stands for two columns, or a column holds dates, lists or infinite
            numbers; the message names the column.

        Warns
        -----
        UserWarning
            If a column holds 20 texts or more, of which no two are the same.
        """
        columns = _columns_of(X)
        kinds = {name: column.kind() for name, column in columns.items()}
        for name, column in columns.items():
            values = column.values(kinds[name])
            if kinds[name] == CATEGORY:
                _warn_if_all_different(name, values)
        if EMPTY in kinds.values() and set(kinds.values()) == {EMPTY}:
            raise ValueError(
                f"All entries of the columns {list(kinds)} are missing; give a column with "
                "values."
            )
        self.kinds_, self.n_features_in_ = kinds, len(kinds)
        self.__dict__.pop("feature_names_in_", None)
        if _has_names(X):
            self.feature_names_in_ = np.array(list(kinds), dtype=object)
        return self

    def transform(self, X: Any) -> Any:
        """Give the columns of `fit` in their order, as numbers and text.

        Parameters
        ----------
        X : pandas or polars DataFrame, or array of numbers, of shape (n_samples, n_columns)

        Returns
        -------
        DataFrame of the same library, or ndarray of dtype float64

        Raises
        ------
        ValueError
            If X has other columns than in `fit`, or a column does not hold what it held
            there; the message names the columns.
        """
        check_is_fitted(self)
        columns = _columns_of(X)
        self._check_names(columns, named=_has_names(X))
        kept = {k: columns[k].checked().values(kind) for k, kind in self._kept().items()}
        if not _has_names(X):
            return np.column_stack(list(kept.values()))
        return _library(X).frame(kept, X)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that are not left out.

        Parameters
        ----------
        input_features : None
            Not looked at.

        Returns
        -------
        ndarray of str objects
        """
        check_is_fitted(self)
        return np.array(list(self._kept()), dtype=object)

    def _kept(self) -> dict[str, str]:
        return {name: kind for name, kind in self.kinds_.items() if kind != EMPTY}

    def _check_names(self, columns: Iterable[str], *, named: bool) -> None:
        before, now = list(self.kinds_), list(columns)
        if named != hasattr(self, "feature_names_in_"):
            given = "a table with names" if named else "an array without names"
            raise ValueError(
                f"X is {given}, and in fit it was the other; give the same kind."
            )
        missing = [name for name in before if name not in now]
        new = [name for name in now if name not in self.kinds_]
        if missing or new:
            lacks = f"lacks the columns {missing}" if missing else ""
            has = f"has the columns {new}, which were not there in fit" if new else ""
            raise ValueError(
                f"X {' and '.join(filter(None, (lacks, has)))}. Give the columns of fit: "
                f"{before}."
            )


# --- columns of one library each ------------------------------------------------------


class _Column:
    """A column of a table, with its name for messages."""

    def __init__(self, name: str, data: Any):
        self.name = name
        self.data = data

    def refuse(self, why: str) -> NoReturn:
        raise ValueError(f"The entries of column {self.name!r} {why}, or fit without it.")

    def checked(self) -> Self:
        """The column itself, if it holds what some column may hold."""
        self.kind()
        return self

    def values(self, kind: str) -> np.ndarray:
        """Float64 with NaN, or text with None, of shape (n_samples,)."""
        return self._texts() if kind == CATEGORY else self._finite(self._numbers())

    def _finite(self, numbers: np.ndarray) -> np.ndarray:
        wrong = np.abs(numbers) > LARGEST
        if wrong.any():
            found = "infinite" if np.isinf(numbers).any() else f"beyond {LARGEST:.0e}"
            self.refuse(
                f"are {found} in {int(wrong.sum())} rows, first in row "
                f"{int(wrong.argmax())}; make these missing, or smaller"
            )
        return numbers

    def kind(self) -> str:
        """What the column holds."""
        raise NotImplementedError

    def _numbers(self) -> np.ndarray:
        try:
            return self._as_numbers()
        except OverflowError:
            self.refuse("are integers beyond the range of float64; give smaller ones")
        except (ValueError, TypeError) as error:
            self.refuse(f"were numbers in fit and are none now ({error}); give numbers")

    def _as_numbers(self) -> np.ndarray:
        raise NotImplementedError

    def _texts(self) -> np.ndarray:
        raise NotImplementedError


class _ArrayColumn(_Column):
    """A column of an array of numbers."""

    def kind(self) -> str:
        return EMPTY if np.isnan(self.data).all() else NUMBER

    def _as_numbers(self) -> np.ndarray:
        numbers: np.ndarray = self.data
        return numbers


class _PandasColumn(_Column):
    """A column of a pandas DataFrame."""

    def kind(self) -> str:
        from pandas.api import types

        data, dtype = self.data, self.data.dtype
        if dtype.kind in "mM" or type(dtype).__name__ in ("PeriodDtype", "DatetimeTZDtype"):
            self.refuse(TIME)
        if dtype.kind == "c" or type(dtype).__name__ == "IntervalDtype":
            self.refuse(NOT_PLAIN)
        if data.isna().all():
            return EMPTY
        if types.is_numeric_dtype(dtype) or types.is_bool_dtype(dtype):
            return CATEGORY if isinstance(dtype, _categorical()) else NUMBER
        if isinstance(dtype, _categorical()) or types.is_string_dtype(dtype.type):
            return CATEGORY
        return self._kind_of_objects(types.infer_dtype(data, skipna=True))

    def _kind_of_objects(self, found: str) -> str:
        if found in NUMERIC_OBJECTS:
            return NUMBER
        if found in ("datetime", "datetime64", "date", "timedelta", "time", "period"):
            self.refuse(TIME)
        simple = (str, bytes, Number, np.generic)
        for entry in self.data.dropna():
            if not isinstance(entry, simple):
                self.refuse(NESTED)
            if isinstance(entry, (complex, np.complexfloating)):
                self.refuse(NOT_PLAIN)
        return CATEGORY

    def _as_numbers(self) -> np.ndarray:
        import pandas as pd

        data = self.data
        if isinstance(data.dtype, _categorical()):
            data = data.astype(object)
        numbers: np.ndarray = pd.to_numeric(data).to_numpy(np.float64, na_value=np.nan)
        return numbers

    def _texts(self) -> np.ndarray:
        return _texts(self.data.astype(object), self.data.isna().to_numpy())


class _PolarsColumn(_Column):
    """A column of a polars DataFrame."""

    def kind(self) -> str:
        import polars as pl

        dtype = self.data.dtype
        if dtype.is_temporal():
            self.refuse(TIME)
        if self.data.null_count() == len(self.data) or dtype == pl.Null:
            return EMPTY
        if dtype.is_numeric() or dtype == pl.Boolean:
            return EMPTY if np.isnan(self._as_numbers()).all() else NUMBER
        if dtype in (pl.String, pl.Categorical, pl.Enum):
            return CATEGORY
        self.refuse(NESTED)

    def _as_numbers(self) -> np.ndarray:
        import polars as pl

        try:
            numbers = self.data.cast(pl.Float64)
        except pl.exceptions.PolarsError as error:
            raise ValueError(str(error).splitlines()[0]) from error
        filled: np.ndarray = numbers.fill_null(np.nan).to_numpy()
        return filled

    def _texts(self) -> np.ndarray:
        return _texts(self.data.to_list(), self.data.is_null().to_numpy())


def _texts(entries: Iterable[Any], missing: np.ndarray) -> np.ndarray:
    """Texts of the entries, the same for 1 and 1.0, and None where they are missing."""
    texts = np.empty(missing.size, dtype=object)
    for row, entry in enumerate(entries):
        if missing[row]:
            continue
        is_whole = isinstance(entry, (float, np.floating)) and float(entry).is_integer()
        texts[row] = str(int(entry) if is_whole else entry)
    return texts


def _warn_if_all_different(name: str, texts: np.ndarray) -> None:
    known = [text for text in texts if text is not None]
    if len(known) >= MANY and len(set(known)) == len(known):
        warnings.warn(
            f"The {len(known)} texts of column {name!r} are all different, so that nothing "
            "is learned from them. Fit without the column, or encode its texts before.",
            UserWarning,
            stacklevel=3,
        )


# --- libraries ------------------------------------------------------------------------


class _Pandas:
    column = _PandasColumn

    @staticmethod
    def items(X: Any) -> Iterable[tuple[str, Any]]:
        return ((str(name), X.iloc[:, k]) for k, name in enumerate(X.columns))

    @staticmethod
    def frame(columns: dict[str, np.ndarray], X: Any) -> Any:
        import pandas as pd

        series = {
            name: pd.Series(values, index=X.index, dtype=values.dtype)
            for name, values in columns.items()
        }
        return pd.DataFrame(series, index=X.index)


class _Polars:
    column = _PolarsColumn

    @staticmethod
    def items(X: Any) -> Iterable[tuple[str, Any]]:
        return ((name, X[name]) for name in X.columns)

    @staticmethod
    def frame(columns: dict[str, np.ndarray], X: Any) -> Any:
        import polars as pl

        return pl.DataFrame(
            {
                name: pl.Series(values.tolist(), dtype=pl.String)
                if values.dtype == object
                else pl.Series(values)
                for name, values in columns.items()
            }
        )


LIBRARIES: dict[str, Any] = {"pandas": _Pandas, "polars": _Polars}


def _categorical() -> Any:
    from pandas import CategoricalDtype

    return CategoricalDtype


def _library(X: Any) -> Any:
    """The library of a DataFrame, None of anything else."""
    root = type(X).__module__.split(".")[0]
    is_frame = type(X).__name__ == "DataFrame"
    return LIBRARIES.get(root) if is_frame else None


def _has_names(X: Any) -> bool:
    return _library(X) is not None


def _columns_of(X: Any) -> dict[str, _Column]:
    """The columns of a table by their names."""
    library = _library(X)
    if library is None:
        array = _array_of(X)
        names = [f"x{k}" for k in range(array.shape[1])]
        return {k: _ArrayColumn(k, c) for k, c in zip(names, array.T, strict=True)}
    columns: dict[str, _Column] = {}
    for name, data in library.items(X):
        if name in columns:
            raise ValueError(
                f"X has more than one column {name!r}; rename or remove all but one."
            )
        columns[name] = library.column(name, data)
    if not columns or len(X) == 0:
        raise ValueError(
            f"X has {len(X)} rows (n_samples) and {len(columns)} columns; give at least "
            "one of each."
        )
    return columns


def _array_of(X: Any) -> np.ndarray:
    if sparse.issparse(X) or hasattr(X, "collect"):
        raise TypeError(
            f"X is a {type(X).__name__}, and must be a pandas or polars DataFrame or an "
            "array of numbers. Collect it, or give it to the estimator itself."
        )
    if not isinstance(X, np.ndarray):
        X = _as_array(X)
    if X.dtype.kind in "OUSmM":
        raise ValueError(f"X is an array of dtype {X.dtype}{NO_TYPES}")
    if X.dtype.kind == "c":
        raise ValueError(
            f"X is an array of dtype {X.dtype}; give real numbers, for instance X.real and "
            "X.imag side by side."
        )
    if np.ma.isMaskedArray(X):
        X = np.ma.filled(X.astype(np.float64), np.nan)
    array: np.ndarray = check_array(X, dtype=np.float64, ensure_all_finite=False)
    return array


def _as_array(X: Any) -> np.ndarray:
    """An array of numbers of lists and of what other libraries have."""
    try:
        return np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"X is a {type(X).__name__}{NO_TYPES}") from error
