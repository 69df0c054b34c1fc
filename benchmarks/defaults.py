"""Which defaults a tabular user keeps: one change at a time, on tables.

``python -m benchmarks.defaults`` measures what is missing with one thread and writes
``docs/defaults.md``. Finished cells are kept in ``benchmarks/defaults.jsonl``; a killed
run continues where it was.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.tables import markdown
from benchmarks.tabular.models import MEASURES, measure
from benchmarks.tabular.sets import index, split
from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPClassifierCV,
    SparseMLPRegressor,
    SparseMLPRegressorCV,
)

CELLS = Path("benchmarks/defaults.jsonl")
# What the first search measured, on other sets.
FIRST = Path("benchmarks/defaults_first.jsonl")
TABLE = Path("docs/defaults.md")
N_SPLITS = 3
# Points by which a set must differ to count.
MATTERS = 0.2

# What every row begins from, whatever the defaults are by now.
BEFORE = {
    "hidden_layer_sizes": (256, 128),
    "activation": "relu",
    "epsilon": 20,
    "zeta": 0.3,
    "alpha": 0.1,
    "dropout": 0.1,
    "batch_size": 64,
    "learning_rate": "constant",
    "learning_rate_init": 1e-3,
    "max_iter": 200,
}


def cosine(rate, n_epochs, **others):
    schedule = {"learning_rate": "cosine", "learning_rate_init": rate}
    return {**schedule, "max_iter": n_epochs, **others}


VARIANTS = {
    "classification": [
        {},
        cosine(3e-3, 100),
        cosine(3e-3, 60),
        cosine(3e-3, 60, epsilon=10),
        cosine(5e-3, 60, epsilon=10),
        cosine(1e-2, 60, epsilon=10),
        cosine(3e-3, 60, epsilon=10, batch_size=32),
        cosine(5e-3, 40, epsilon=10, batch_size=32),
        cosine(3e-3, 100, epsilon=10, batch_size=32),
    ],
    "regression": [
        {},
        {"dropout": 0.0},
        cosine(3e-3, 100, epsilon=10, dropout=0.0),
        cosine(5e-3, 60, epsilon=10, dropout=0.0),
        cosine(5e-3, 60, epsilon=10, alpha=0.01, dropout=0.0),
        cosine(1e-2, 60, alpha=0.01, dropout=0.0, epsilon=10),
        cosine(1e-2, 100, epsilon=10, alpha=0.01, dropout=0.0),
        cosine(1e-2, 100, alpha=0.01, dropout=0.0),
        cosine(1e-2, 100, epsilon=20, alpha=0.003, dropout=0.0),
        cosine(1e-2, 100, epsilon=10, alpha=0.01, dropout=0.0, batch_size=32),
        cosine(5e-3, 60, alpha=0.01, dropout=0.0, batch_size=32, epsilon=10),
        cosine(5e-3, 100, alpha=0.01, dropout=0.0, batch_size=32, epsilon=10),
        cosine(5e-3, 60, alpha=0.1, dropout=0.0, batch_size=32, epsilon=10),
    ],
}


NUMBERS = {"alpha": 0.01, "dropout": 0.0}
PLAIN = cosine(5e-3, 60, epsilon=10)
VARIANTS |= {
    # Of the members.
    "classification, cross-fitted": [
        cosine(1e-2, 60, epsilon=20),
        cosine(1e-2, 60, epsilon=10),
        PLAIN,
    ],
    "regression, cross-fitted": [
        cosine(1e-2, 100, epsilon=20, **NUMBERS),
        cosine(1e-2, 100, epsilon=10, **NUMBERS),
        cosine(1e-2, 60, epsilon=10, **NUMBERS),
    ],
    "classification, early stopping": [
        PLAIN,
        PLAIN | {"early_stopping": True},
        PLAIN | {"early_stopping": True, "trained_anew": False},
    ],
    "classification, label smoothing": [
        PLAIN | {"smoothing": smoothing} for smoothing in (0.0, 0.05, 0.1)
    ],
}


def cross_fitted(ensemble, network):
    """What makes an ensemble of networks with these parameters."""
    return lambda **parameters: ensemble(network(**parameters), random_state=0)


class TrainedOnce(SparseMLPClassifier):
    """Ends as it was at the best epoch, without the samples it was judged by."""

    def _train_anew(self, run, workers):
        pass


def stopping_early(*, trained_anew=True, **parameters):
    return (SparseMLPClassifier if trained_anew else TrainedOnce)(**parameters)


class Smoothed:
    """A loss whose gradient is that of labels of which all classes have a share."""

    # No kernel knows it.
    code = 0

    def __init__(self, loss, share, n_classes):
        self._loss, self._share, self._n_classes = loss, share, n_classes

    def __getattr__(self, name):
        return getattr(self._loss, name)

    def value_and_gradient(self, z, y, weights, rows, dz, losses, tiny, start, stop):
        self._loss.value_and_gradient(z, y, weights, rows, dz, losses, tiny, start, stop)
        chosen = rows[start:stop]
        classes = np.arange(self._n_classes)[:, np.newaxis] if len(z) > 1 else 1
        change = (y[chosen] == classes) - 1 / self._n_classes
        dz[:, start:stop] += self._share * weights[chosen] * change


class SmoothedClassifier(SparseMLPClassifier):
    def _loss(self):
        return Smoothed(super()._loss(), self.share, len(self.classes_))

    def _n_outputs(self):
        n_classes = len(self.classes_)
        return n_classes if n_classes > 2 else 1


def smoothed(*, smoothing, **parameters):
    model = SmoothedClassifier(**parameters)
    model.share = smoothing
    return model


ESTIMATORS = {
    "classification": SparseMLPClassifier,
    "regression": SparseMLPRegressor,
    "classification, cross-fitted": cross_fitted(
        SparseMLPClassifierCV, SparseMLPClassifier
    ),
    "regression, cross-fitted": cross_fitted(SparseMLPRegressorCV, SparseMLPRegressor),
    "classification, early stopping": stopping_early,
    "classification, label smoothing": smoothed,
}


REPORT = """\
# The defaults, measured

Made by `python -m benchmarks.defaults` with `SKSPARSE_MLP_DATA` set, from the tables of
[what you get out of the box](out_of_the_box.md) and with its splits; finished cells are
kept in `benchmarks/defaults.jsonl`. *before* is what the defaults were in the development
of version 0.1 (`hidden_layer_sizes=(256, 128)`, `epsilon=20`, `alpha=0.1`, `dropout=0.1`,
batches of 64, `learning_rate="constant"` of 0.001, 200 epochs); each other row changes
what it names, and is compared with it on the splits that both have; where a table has
another first row, with that one. Accuracy and R2 in percent. *gain* is the mean difference
in points, *better on* and *worse on* count sets whose mean over the splits differs by more
than {matters} points, *worst* is the largest loss of a set; *time* is the geometric mean of
the ratios of CPU seconds.

What follows from them:

- A cosine from a larger learning rate down to zero needs less than a third of the epochs,
  and half of the connections do as well: these are the defaults of both networks.
- For regression neither dropout nor a strong penalty pays: `SparseMLPRegressor` has
  defaults of its own for these, for the learning rate and for the number of epochs.
- With `early_stopping` the network is trained anew on all samples for as many epochs as
  were best: ending with what it learned from the rest alone costs {once:.2f} points.
- Members of cross-fitted ensembles have a learning rate, connections or epochs of their
  own: with the defaults of one network a classifier loses {accuracy:.2f} points of
  accuracy and {log_loss:.3f} of log-loss, for {time:.2f} of the time; a regressor loses
  {r2:.2f} points of R2, for {time_of_numbers:.2f} of it.
- Label smoothing (the share of the label that all classes get) of {smoothing} changes
  accuracy by {smoothed:+.2f} points and log-loss by {smoothed_loss:+.3f}:
  {verdict}.

{tables}

## The first search

Before, one parameter at a time was changed on twelve data sets (bundled with
scikit-learn, or from the literature of sparse training), around what is *before* above:
accuracy in percent, the mean of three stratified folds of at most 2,000 training samples.
Activations, slopes, sizes of layers, zeta and batch normalisation are as they came out of
it.

{first}
"""


def kind_of(section):
    """The task that a section's sets have."""
    return section.partition(",")[0]


def label(variant):
    return ", ".join(f"{key}={value}" for key, value in variant.items()) or "before"


def finished():
    lines = CELLS.read_text().splitlines() if CELLS.exists() else []
    return [json.loads(line) for line in lines]


def key(cell):
    return cell["task"], cell["data"], cell["split"], cell["variant"]


def compared(cells, measures):
    """One row per variant, beside the first on the same splits."""
    variants = VARIANTS[cells["task"].iloc[0]]
    first = cells["variant"] == label(variants[0])
    before, rows = cells[first].set_index(["data", "split"]), []
    for variant in variants:
        part = cells[cells["variant"] == label(variant)].set_index(["data", "split"])
        shared = part.index.intersection(before.index)
        if not len(shared):
            continue
        part, base = part.loc[shared], before.loc[shared]
        row = {"changed": label(variant), "splits": len(shared)}
        for name, more_is_better in measures.items():
            row |= change_of(part[name], base[name], name, more_is_better)
        ratio = np.exp(np.log(part["seconds"] / base["seconds"]).mean())
        rows.append(row | {"time": f"{ratio:.2f}"})
    return pd.DataFrame(rows)


def change_of(values, before, name, more_is_better):
    """What a measure became, in percent where more is better."""
    if not more_is_better:
        change = values - before
        return {name: f"{values.mean():.3f}", f"gain in {name}": f"{-change.mean():+.3f}"}
    gain = 100 * (values - before)
    of_sets = gain.groupby("data").mean()
    return {
        name: f"{100 * values.mean():.2f}",
        "gain": f"{gain.mean():+.2f}",
        "better on": int((of_sets > MATTERS).sum()),
        "worse on": int((of_sets < -MATTERS).sum()),
        "worst": f"{of_sets.min():+.1f}",
    }


def changed(cells, section, variant, before=0):
    """Mean differences of what is measured between two variants, and the ratio of times.

    In points, but for the log-loss. Variants are given by their places.
    """
    cells = cells[cells["task"] == section]
    one, other = (
        cells[cells["variant"] == label(VARIANTS[section][k])].set_index(["data", "split"])
        for k in (before, variant)
    )
    shared = one.index.intersection(other.index)
    one, other = one.loc[shared], other.loc[shared]
    found = {"time": np.exp(np.log(other["seconds"] / one["seconds"]).mean())}
    for name in MEASURES[kind_of(section)]:
        scale = 1 if name == "log_loss" else 100
        found[name] = scale * (other[name] - one[name]).mean()
    return found


def conclusions(cells):
    """The figures in the text of the page."""
    once = changed(cells, "classification, early stopping", 2, before=1)
    classes = changed(cells, "classification, cross-fitted", 2)
    numbers = changed(cells, "regression, cross-fitted", 2)
    section = "classification, label smoothing"
    least = changed(cells, section, 1)
    helps = least["accuracy"] > 0 and least["log_loss"] < 0
    return {
        "once": -once["accuracy"],
        "accuracy": -classes["accuracy"],
        "log_loss": classes["log_loss"],
        "time": classes["time"],
        "r2": -numbers["r2"],
        "time_of_numbers": numbers["time"],
        "smoothing": VARIANTS[section][1]["smoothing"],
        "smoothed": least["accuracy"],
        "smoothed_loss": least["log_loss"],
        "verdict": "it helps both"
        if helps
        else "it does not help both, so there is no parameter for it",
    }


def write_table():
    cells = pd.DataFrame(finished())
    sections = [
        f"## {task.capitalize()}\n\n"
        + markdown(compared(cells[cells["task"] == task], MEASURES[kind_of(task)]))
        for task in VARIANTS
        if task in set(cells["task"])
    ]
    TABLE.write_text(
        REPORT.format(
            matters=MATTERS,
            **conclusions(cells),
            tables="\n\n".join(sections),
            first=markdown(first_search()),
        )
    )


def first_search():
    """One row per variant of the first search."""
    cells = pd.read_json(FIRST, lines=True)
    accuracy = 100 * cells.pivot(index="variant", columns="data", values="accuracy")
    gain = accuracy - accuracy.loc["defaults"]
    table = pd.DataFrame({"mean": accuracy.mean(axis=1), "gain": gain.mean(axis=1)})
    table["better on"] = (gain > MATTERS).sum(axis=1)
    table["worse on"] = (gain < -MATTERS).sum(axis=1)
    return table.loc[cells["variant"].unique()].reset_index(names="changed")


def measure_missing(task, sets, seeds):
    warm = set()
    for seed in seeds:
        for data, record in sets.items():
            if record["task"] != kind_of(task):
                continue
            done, parts = set(map(key, finished())), None
            for variant in VARIANTS[task]:
                cell = {"task": task, "data": data, "split": seed}
                cell["variant"] = label(variant)
                if key(cell) in done:
                    continue
                parts = parts or split(record, seed)
                parameters = {**BEFORE, **variant, "random_state": 0}
                make = partial(ESTIMATORS[task], **parameters)
                if task not in warm:
                    # What is compiled or read at the first use is in nobody's time.
                    measure(make, "", kind_of(task), parts)
                    warm.add(task)
                cell |= measure(make, "", kind_of(task), parts)
                with CELLS.open("a") as file:
                    file.write(json.dumps(cell) + "\n")
                print(cell, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--splits", type=int, nargs="+", default=range(N_SPLITS))
    options = parser.parse_args()
    with threadpool_limits(1):
        for task in options.tasks:
            measure_missing(task, index(), options.splits)
    write_table()


if __name__ == "__main__":
    main()
