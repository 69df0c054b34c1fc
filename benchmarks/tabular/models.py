"""The models, each with its defaults, and what is measured of them."""

import time
import warnings

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor

import sksparse_mlp

# A probability of zero for what happened would otherwise cost infinitely much.
SMALLEST = 1e-7


def sparse(name, **parameters):
    """One of our estimators, with its random state."""
    return lambda: getattr(sksparse_mlp, name)(**parameters, random_state=0)


PEERS = {
    "classification": {
        "MLPClassifier": lambda: MLPClassifier(random_state=0),
        "RandomForest": lambda: RandomForestClassifier(random_state=0),
        "HistGradientBoosting": lambda: HistGradientBoostingClassifier(random_state=0),
        "LogisticRegression": lambda: LogisticRegression(max_iter=300),
    },
    "regression": {
        "MLPRegressor": lambda: MLPRegressor(random_state=0),
        "RandomForest": lambda: RandomForestRegressor(random_state=0),
        "HistGradientBoosting": lambda: HistGradientBoostingRegressor(random_state=0),
        "Ridge": lambda: Ridge(),
    },
}
CONSTANT = {"classification": DummyClassifier, "regression": DummyRegressor}
OURS = {
    "classification": {
        "SparseMLPClassifier": sparse("SparseMLPClassifier"),
        "SparseMLPClassifier, early_stopping": sparse(
            "SparseMLPClassifier", early_stopping=True
        ),
        "SparseMLPClassifierCV": sparse("SparseMLPClassifierCV"),
    },
    "regression": {
        "SparseMLPRegressor": sparse("SparseMLPRegressor"),
        "SparseMLPRegressorCV": sparse("SparseMLPRegressorCV"),
    },
}


def deep(name):
    """A network of pytabkit, which is not among what this project installs."""

    def make():
        import pytabkit

        return getattr(pytabkit, name)(device="cpu", n_threads=1, random_state=0)

    return make


# Measured only when they are asked for by their names.
DEEP = {
    "classification": {
        "RealMLP": deep("RealMLP_TD_Classifier"),
        "TabM": deep("TabM_D_Classifier"),
    },
    "regression": {
        "RealMLP": deep("RealMLP_TD_Regressor"),
        "TabM": deep("TabM_D_Regressor"),
    },
}
TREES = ("RandomForest", "HistGradientBoosting")
# What is shown of each task, and whether more of it is better.
MEASURES = {
    "classification": {"accuracy": True, "log_loss": False},
    "regression": {"r2": True},
}


def models(task, names=None):
    """What makes each model, by its name; of those with these names, if any are given."""
    usual = PEERS[task] | {"constant": CONSTANT[task]} | OURS[task]
    if not names:
        return usual
    return {name: make for name, make in (usual | DEEP[task]).items() if name in names}


def measure(make, name, task, data):
    """Scores on the test part, and seconds of CPU time for fit and prediction."""
    X, X_test = data.plain if name in TREES else data.scaled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.process_time()
        model = make().fit(X, data.y)
        predict = model.predict_proba if task == "classification" else model.predict
        predicted = predict(X_test)
        seconds = time.process_time() - started
    return {**scores(task, data.y_test, predicted), "seconds": round(seconds, 3)}


def scores(task, y, predicted):
    if task == "regression":
        return {"r2": r2_score(y, predicted)}
    predicted = np.clip(np.float64(predicted), SMALLEST, 1)
    predicted /= predicted.sum(axis=1, keepdims=True)
    classes = np.arange(predicted.shape[1])
    return {
        "accuracy": accuracy_score(y, predicted.argmax(axis=1)),
        "log_loss": log_loss(y, predicted, labels=classes),
    }
