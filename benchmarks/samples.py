"""The data sets, scaled as networks want them."""

import numpy as np
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from benchmarks.data import load


def scaled(name: str, scaler=None) -> tuple[np.ndarray, ...]:
    """X_train, y_train, X_test and y_test, with X in float32.

    The scaler, fitted on the training part, divides pixels by the largest and
    standardises other features, unless another one is given.
    """
    X_train, y_train, X_test, y_test = load(name)
    if scaler is None:
        scaler = MaxAbsScaler() if X_train.dtype == np.uint8 else StandardScaler()
    X_train = scaler.fit_transform(X_train.astype(np.float32))
    return X_train, y_train, scaler.transform(X_test.astype(np.float32)), y_test
