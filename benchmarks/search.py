"""A grid of slope and epsilon, searched by halving and by GridSearchCV.

``python -m benchmarks.search`` searches on digits and ISOLET with one thread, over the
same configurations and the same folds, and writes ``docs/grid_search.md``. GridSearchCV is
run on one configuration after another; finished ones are kept in
``benchmarks/search.jsonl``, so that a killed run goes on where it was.
"""

import json
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import (
    GridSearchCV,
    ParameterGrid,
    StratifiedKFold,
    train_test_split,
)
from threadpoolctl import threadpool_limits

from benchmarks.samples import scaled
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier, SparseMLPClassifierCV

CELLS = Path(__file__).with_name("search.jsonl")
PAGE = Path("docs/grid_search.md")
GRID = {"slope": [0.05, 0.1, 0.25, 0.5, 0.75], "epsilon": [2, 5, 10, 20]}
NETWORK = {
    "activation": "all_relu",
    "learning_rate": "cosine",
    "learning_rate_init": 0.003,
    "max_iter": 50,
    "random_state": 0,
}
SCORING = ["neg_log_loss", "accuracy"]
TEXT = """\
# Searching a grid

Made by `python -m benchmarks.search`: {grid}, the other parameters {network},
by `SparseMLPClassifierCV(param_grid=..)` and by
`GridSearchCV`, over the same five folds of the training part, in float32 with one thread.
*seconds* is CPU time; the ensemble's includes the linear models, and no other fit follows
it, while GridSearchCV's is without the `refit` that follows.

{times}

How good the choices are: the means over folds that GridSearchCV found for the
configuration that each chose, with the standard deviation over the folds; *place* counts
from the best of {n} by log-loss. *test* is what comes out on the test part: of the
ensemble, and of one network fitted on the whole training part.

{choices}
"""


def digits():
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(
        X / 16, y, test_size=1 / 3, stratify=y, random_state=0
    )
    return X.astype(np.float32), y, X_test.astype(np.float32), y_test


SETS = {"digits": digits, "isolet": lambda: scaled("isolet")}


def finished():
    lines = CELLS.read_text(encoding="utf-8").splitlines() if CELLS.exists() else []
    return {(c["data"], c["search"]): c for c in map(json.loads, lines)}


def keep(cell):
    with CELLS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(cell) + "\n")
    print(cell, flush=True)


def timed(fit):
    """What a function returns, and the seconds of CPU time that it took."""
    started = time.process_time()
    return fit(), round(time.process_time() - started, 3)


def network_of(**parameters):
    return SparseMLPClassifier(**NETWORK).set_params(**parameters)


def by_grid_search(parameters, X, y, folds):
    """GridSearchCV's scores of one configuration, of shape (n_folds,)."""
    grid = {name: [value] for name, value in parameters.items()}
    search = GridSearchCV(network_of(), grid, scoring=SCORING, cv=folds, refit=False)
    results = search.fit(X, y).cv_results_
    return {
        name: [float(results[f"split{k}_test_{name}"][0]) for k in range(len(folds))]
        for name in SCORING
    }


def by_halving(X, y, folds):
    return SparseMLPClassifierCV(network_of(), GRID, cv=folds, random_state=0).fit(X, y)


def on_test(model, X, y):
    proba = np.float64(model.predict_proba(X))
    proba /= proba.sum(axis=1, keepdims=True)
    labels = model.classes_
    return {
        "accuracy": accuracy_score(y, labels[proba.argmax(axis=1)]),
        "log_loss": log_loss(y, proba, labels=labels),
    }


def measure(data):
    """Measure what is missing of a set."""
    X, y, X_test, y_test = SETS[data]()
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
    # What is compiled at the first use is in nobody's time.
    network_of(max_iter=1).fit(X, y)
    if (data, "halving") not in finished():
        ensemble, seconds = timed(lambda: by_halving(X, y, folds))
        keep(
            {
                "data": data,
                "search": "halving",
                "seconds": seconds,
                "chosen": ensemble.best_params_,
                **on_test(ensemble, X_test, y_test),
            }
        )
    for parameters in ParameterGrid(GRID):
        name = json.dumps(parameters)
        if (data, name) not in finished():
            scores, seconds = timed(partial(by_grid_search, parameters, X, y, folds))
            keep({"data": data, "search": name, "seconds": seconds, **scores})
    best = best_of(data)
    if (data, "refit") not in finished():
        network = network_of(**best)
        network, seconds = timed(lambda: network.fit(X, y))
        keep(
            {
                "data": data,
                "search": "refit",
                "seconds": seconds,
                "chosen": best,
                **on_test(network, X_test, y_test),
            }
        )


def grid_scores(data):
    """One row per configuration of GridSearchCV, the best by log-loss first."""
    cells = finished()
    rows = []
    for parameters in ParameterGrid(GRID):
        cell = cells[data, json.dumps(parameters)]
        rows.append({"parameters": parameters, **cell})
    return sorted(rows, key=lambda row: -np.mean(row["neg_log_loss"]))


def best_of(data):
    return grid_scores(data)[0]["parameters"]


def report():
    cells, times, choices = finished(), [], []
    for data in SETS:
        grid = grid_scores(data)
        halving, refit = cells[data, "halving"], cells[data, "refit"]
        seconds = sum(row["seconds"] for row in grid)
        times.append(
            {
                "data": data,
                "GridSearchCV (seconds)": seconds,
                "halving (seconds)": halving["seconds"],
                "times faster": seconds / halving["seconds"],
            }
        )
        for search, cell in (("GridSearchCV", refit), ("halving", halving)):
            place = [row["parameters"] for row in grid].index(cell["chosen"])
            loss = -np.array(grid[place]["neg_log_loss"])
            accuracy = np.array(grid[place]["accuracy"])
            choices.append(
                {
                    "data": data,
                    "search": search,
                    "chosen": ", ".join(f"{k}={v}" for k, v in cell["chosen"].items()),
                    "place": place + 1,
                    "log_loss of folds": f"{loss.mean():.4f} ± {loss.std():.4f}",
                    "accuracy of folds": f"{accuracy.mean():.4f} ± {accuracy.std():.4f}",
                    "test log_loss": f"{cell['log_loss']:.4f}",
                    "test accuracy": f"{cell['accuracy']:.4f}",
                }
            )
    text = TEXT.format(
        grid=f"`{json.dumps(GRID)}`",
        network=f"`{json.dumps(NETWORK)}`",
        n=len(ParameterGrid(GRID)),
        times=markdown(pd.DataFrame(times)),
        choices=markdown(pd.DataFrame(choices)),
    )
    PAGE.write_text(text, encoding="utf-8")


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)
    with threadpool_limits(1):
        for data in SETS:
            measure(data)
    report()


if __name__ == "__main__":
    main()
