"""Pipelines that take tables as they are: missing entries, categories, outliers."""

from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)

from sksparse_mlp._sklearn import HasMethods, StrOptions, validate_params
from sksparse_mlp.estimators._classifier_cv import SparseMLPClassifierCV
from sksparse_mlp.estimators._regressor_cv import SparseMLPRegressorCV
from sksparse_mlp.estimators._tables import TableColumns

DEFAULTS: dict[str, type] = {
    "classifier": SparseMLPClassifierCV,
    "regressor": SparseMLPRegressorCV,
}
# Percentiles between which a column has its range, and the farthest that a value may lie
# from the median, as the inverse hyperbolic sine of its distance in ranges.
PERCENTILES, FARTHEST = (5.0, 95.0), 8.0
# Samples that a category needs for a column of its own.
MIN_FREQUENCY = 2
N_KNOTS = 16


# Positions and not names, by which scikit-learn finds columns of polars from 1.9 on only.


def number_columns(X: Any) -> list[int]:
    """The columns of numbers of what `TableColumns` gives, for a ColumnTransformer."""
    return [k for k, dtype in enumerate(_dtypes(X)) if dtype == "float64"]


def category_columns(X: Any) -> list[int]:
    """The other columns."""
    return [k for k, dtype in enumerate(_dtypes(X)) if dtype != "float64"]


def missing_columns(X: Any) -> list[int]:
    """The columns of numbers in which entries are missing."""
    columns = X.T if isinstance(X, np.ndarray) else [X[name] for name in X.columns]
    return [k for k in number_columns(X) if np.isnan(np.asarray(columns[k])).any()]


def as_float32(X: Any) -> Any:
    """The same array, matrix or frame of dtype float32."""
    if hasattr(X, "astype"):
        return X.astype(np.float32)
    from polars import Float32

    return X.cast(Float32)


def _dtypes(X: Any) -> list[str]:
    if isinstance(X, np.ndarray):
        return [str(X.dtype)] * X.shape[1]
    return [str(dtype).lower() for dtype in X.dtypes]


def scaler() -> Pipeline:
    """Standardises values after bringing outliers near, by their logarithm."""
    clip = {"a_min": -FARTHEST, "a_max": FARTHEST}
    return make_pipeline(
        SimpleImputer(strategy="median"),
        RobustScaler(quantile_range=PERCENTILES),
        FunctionTransformer(np.arcsinh, feature_names_out="one-to-one"),
        FunctionTransformer(np.clip, kw_args=clip, feature_names_out="one-to-one"),
        StandardScaler(),
    )


def codes() -> Pipeline:
    """Piecewise-linear codes between quantiles, after moving outliers near."""
    spline = SplineTransformer(
        N_KNOTS, degree=1, knots="quantile", extrapolation="constant", sparse_output=True
    )
    return make_pipeline(*(step for _, step in scaler().steps), spline)


# What becomes of columns of numbers, by the name of the choice.
NUMERIC: dict[str, dict[str, Any]] = {
    "scale": {"number": scaler},
    "spline": {"number": scaler, "spline": codes},
}


@validate_params(
    {
        "estimator": [None, StrOptions(set(DEFAULTS)), HasMethods(["fit", "predict"])],
        "numeric": [StrOptions(set(NUMERIC))],
    },
    prefer_skip_nested_validation=True,
)
def make_tabular_pipeline(estimator: Any = None, *, numeric: str = "scale") -> Pipeline:
    """Make a pipeline that takes tables as they are.

    It takes pandas and polars DataFrames, and arrays of numbers. Columns of numbers and
    booleans are imputed by their median and scaled; others are categories and become one
    column of zeros and ones for each. Text, categorical columns and objects all do;
    whole categories written as numbers are the same with and without ".0". Missing
    entries are a category of their own, and for numbers a column of zeros and ones.
    Categories seen once in `fit` are one together, which also takes those that are new
    later. Columns that are all missing in `fit` are left out.

    The median and the range of the middle 90 % of a column decide its scale; of what lies
    farther, only the logarithm counts (by the inverse hyperbolic sine), before the mean
    is subtracted and the standard deviation divided by. So an outlier cannot ruin it.

    Parameters
    ----------
    estimator : estimator, "classifier", "regressor" or None, default=None
        What learns: :class:`SparseMLPClassifierCV` for None and "classifier",
        :class:`SparseMLPRegressorCV` for "regressor", or any estimator of scikit-learn's
        kind. It gets float32, as a CSR matrix where less than 30 % are not zero.
    numeric : {"scale", "spline"}, default="scale"
        What becomes of columns of numbers. "spline" adds piecewise-linear codes to the
        scaled values: of 16 knots at quantiles, two next to each other are on. They help
        where single columns matter by thresholds, and cost time (see
        ``docs/tables.md``).

    Returns
    -------
    sklearn.pipeline.Pipeline
        Of the steps "table", "columns" (a ColumnTransformer), "float32" and "estimator".

    Raises
    ------
    ValueError
        While fitting and predicting, if a column holds dates, lists or infinite numbers,
        two have the same name, or X has other columns than in `fit`. The message names
        the column and what to do.

    Warns
    -----
    UserWarning
        While fitting, if a column holds 20 texts or more, of which no two are the same.

    See Also
    --------
    SparseMLPClassifierCV, SparseMLPRegressorCV

    Examples
    --------
    >>> import pandas as pd
    >>> from sksparse_mlp import SparseMLPClassifier, make_tabular_pipeline
    >>> X = pd.DataFrame(
    ...     {"age": [31, None, 55, 40] * 10, "town": ["Ghent", "Lund", None, "Lund"] * 10}
    ... )
    >>> y = ["no", "yes", "no", "yes"] * 10
    >>> model = make_tabular_pipeline(SparseMLPClassifier(max_iter=50, random_state=0))
    >>> model.fit(X, y).score(X, y)
    1.0
    >>> model[:-1].get_feature_names_out().tolist()
    ['number__age', 'missing__missingindicator_age', 'category__town_Ghent', \
'category__town_Lund', 'category__town_None']
    """
    categories = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=MIN_FREQUENCY, dtype=np.float32
    )
    # scikit-learn's global setting of frames as output knows no sparse ones.
    columns = ColumnTransformer(
        [
            *((name, make(), number_columns) for name, make in NUMERIC[numeric].items()),
            ("missing", MissingIndicator(features="all"), missing_columns),
            ("category", categories, category_columns),
        ]
    ).set_output(transform="default")
    narrow = FunctionTransformer(
        as_float32, accept_sparse=True, feature_names_out="one-to-one"
    ).set_output(transform="default")
    if estimator is None or isinstance(estimator, str):
        estimator = DEFAULTS[estimator or "classifier"]()
    return Pipeline(
        [
            ("table", TableColumns()),
            ("columns", columns),
            ("float32", narrow),
            ("estimator", estimator),
        ]
    )
