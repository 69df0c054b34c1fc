"""scikit-learn's own checks, none of which is expected to fail."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_param_validation,
    parametrize_with_checks,
)

from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPClassifierCV,
    SparseMLPRegressor,
    SparseMLPRegressorCV,
)


def as_float32(X):
    """X in float32; complex data and text are left for validation to refuse."""
    if not (sparse.issparse(X) or isinstance(X, pd.DataFrame)):
        X = np.asarray(X)
    dtypes = X.dtypes if isinstance(X, pd.DataFrame) else [X.dtype]
    kinds = {np.dtype(dtype).kind for dtype in dtypes}
    return X.astype(np.float32) if kinds <= set("fiuO") else X


class Float32Classifier(SparseMLPClassifier):
    """Trains and predicts in float32, whatever the input."""

    def fit(self, X, y, sample_weight=None):
        super().fit(as_float32(X), y, sample_weight)
        assert {coef.dtype for coef in self.coefs_} == {np.dtype(np.float32)}
        return self

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        return super().partial_fit(as_float32(X), y, classes, sample_weight)

    def predict(self, X):
        return super().predict(as_float32(X))

    def predict_proba(self, X):
        return super().predict_proba(as_float32(X))

    def predict_log_proba(self, X):
        return super().predict_log_proba(as_float32(X))

    def decision_function(self, X):
        return super().decision_function(as_float32(X))


class Float32Regressor(SparseMLPRegressor):
    """Trains in float32, whatever the input, for which checks want float64 back."""

    def fit(self, X, y, sample_weight=None):
        super().fit(as_float32(X), y, sample_weight)
        assert {coef.dtype for coef in self.coefs_} == {np.dtype(np.float32)}
        return self

    def partial_fit(self, X, y, sample_weight=None):
        return super().partial_fit(as_float32(X), y, sample_weight)

    def predict(self, X):
        return super().predict(as_float32(X)).astype(np.float64)


# Few features make every layer full.
SMALL = {"hidden_layer_sizes": (12, 8), "zeta": 0, "learning_rate_init": 0.01}
SMALL |= {"max_iter": 30}
CONFIGS = {
    "default": SparseMLPClassifier(),
    "adam": SparseMLPClassifier(solver="adam", max_iter=50, learning_rate_init=0.01),
    "sgd": SparseMLPClassifier(solver="sgd", max_iter=100, learning_rate_init=0.002),
    "dropout": SparseMLPClassifier(dropout=0.3, max_iter=50, learning_rate_init=0.01),
    "early_stopping": SparseMLPClassifier(
        early_stopping=True, validation_fraction=0.3, max_iter=50, learning_rate_init=0.01
    ),
    "three_layers": SparseMLPClassifier(
        (64, 32, 64), activation="all_relu", max_iter=50, learning_rate_init=0.01
    ),
    "garelu": SparseMLPClassifier(
        (64, 32, 64), activation="garelu", max_iter=50, learning_rate_init=0.01
    ),
    "prelu_batch_norm": SparseMLPClassifier(
        activation="prelu", batch_norm=True, max_iter=50, learning_rate_init=0.01
    ),
    "crelu": SparseMLPClassifier(activation="crelu", max_iter=50, learning_rate_init=0.01),
    "float32": Float32Classifier(max_iter=50, learning_rate_init=0.01),
    "regressor": SparseMLPRegressor(),
    "regressor_early_stopping": SparseMLPRegressor(
        early_stopping=True, validation_fraction=0.3, learning_rate_init=0.01
    ),
    "regressor_float32": Float32Regressor(learning_rate_init=0.01),
    "cross_fitted": SparseMLPClassifierCV(SparseMLPClassifier(**SMALL), cv=3),
    "regressor_cross_fitted": SparseMLPRegressorCV(SparseMLPRegressor(**SMALL), cv=3),
}


@parametrize_with_checks(list(CONFIGS.values()))
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(
    "check", [check_param_validation, check_dataframe_column_names_consistency]
)
def test_check_outside_check_estimator(config, check):
    estimator = CONFIGS[config]
    check(type(estimator).__name__, estimator)


def test_float32_configuration_computes_in_float32():
    X = np.eye(4)
    y = [0, 0, 1, 1]
    for data in (X, X.tolist(), sparse.csr_array(X)):
        model = Float32Classifier(max_iter=1).fit(data, y)
        assert model.predict_proba(data).dtype == np.float32
