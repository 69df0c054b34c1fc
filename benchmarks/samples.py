"""The data sets, scaled as networks want them."""

import math

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


def with_moved_copies(X, y, n_copies: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Square images and copies of them, some mirrored, moved by up to a pixel each way.

    There are ``n_copies`` of each image, the original among them; any samples may have one.
    """
    if n_copies == 1:
        return X, y
    rng = np.random.default_rng(seed)
    side = math.isqrt(X.shape[1])
    images = np.pad(X.reshape(-1, side, side), ((0, 0), (1, 1), (1, 1)))
    copies = [X]
    for _ in range(n_copies - 1):
        columns = np.arange(side) + rng.integers(3, size=(len(X), 1))
        mirrored = rng.random(len(X)) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
        rows = np.arange(side) + rng.integers(3, size=(len(X), 1))
        moved = images[np.arange(len(X))[:, None, None], rows[:, :, None], columns[:, None]]
        copies.append(moved.reshape(X.shape))
    return np.vstack(copies), np.tile(y, n_copies)
