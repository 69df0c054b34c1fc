"""``python -m benchmarks.tabular.pipelines``: tables as they are, through the pipeline.

Measures what is missing, keeps finished cells in ``pipelines.jsonl`` beside this file, and
writes ``pipelines.md``.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from textwrap import fill

import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.tables import markdown
from benchmarks.tabular.models import scores
from benchmarks.tabular.sets import MAX_SAMPLES, index, load, split
from sksparse_mlp import (
    SparseMLPClassifierCV,
    SparseMLPRegressorCV,
    make_tabular_pipeline,
)

CELLS, PAGE = (Path(__file__).with_name(f"pipelines.{end}") for end in ("jsonl", "md"))
N_SPLITS = 3
# Splits of the tables that are as people have them, with gaps and categories: their samples
# are few, so that it takes many to see what the pipeline gains or loses. In three splits it
# was behind on colic alone, which has the most.
AS_THEY_ARE = {"anneal": 12, "autos": 12, "colic": 30, "hypothyroid": 12, "titanic": 12}
# Codes of wide tables, which are numbers alone, would take very long.
MAX_COLUMNS = 300
ESTIMATORS = {
    "classification": SparseMLPClassifierCV,
    "regression": SparseMLPRegressorCV,
}
MEASURES = {"classification": ("accuracy", "log_loss"), "regression": ("r2",)}


def with_numbers(*steps):
    """The pipeline with other steps for the columns of numbers."""

    def make(estimator):
        numbers = make_pipeline(SimpleImputer(strategy="median"), *steps)
        return make_tabular_pipeline(estimator).set_params(columns__number=numbers)

    return make


MADE = {
    "scale": make_tabular_pipeline,
    "spline": lambda estimator: make_tabular_pipeline(estimator, numeric="spline"),
    "StandardScaler": with_numbers(StandardScaler()),
    "QuantileTransformer": with_numbers(
        QuantileTransformer(output_distribution="normal", random_state=0)
    ),
}
BY_HAND = "by hand"
VARIANTS = (BY_HAND, *MADE)


def most_frequent(estimator):
    """The pipeline, but missing categories are filled and leave no trace."""
    model = make_tabular_pipeline(estimator)
    encoder = model.get_params()["columns__category"]
    filled = make_pipeline(
        SimpleImputer(missing_values=None, strategy="most_frequent"), encoder
    )
    return model.set_params(columns__category=filled)


# What the pipeline could do otherwise with what is missing, and with rare categories.
OTHERWISE = {
    "most frequent": most_frequent,
    "no indicators": lambda estimator: make_tabular_pipeline(estimator).set_params(
        columns__missing="drop"
    ),
    "min_frequency=10": lambda estimator: make_tabular_pipeline(estimator).set_params(
        columns__category__min_frequency=10
    ),
}
PAIRED = ("scale", *OTHERWISE)


def parts_of(record, seed):
    """The frames of the same split as in ``benchmarks.tabular``."""
    X, y = load(record)
    X.columns = X.columns.astype(str)
    stratify = y if record["task"] == "classification" else None
    parts = train_test_split(X, y, test_size=1 / 3, stratify=stratify, random_state=seed)
    return [part[:MAX_SAMPLES] for part in parts]


def measure(variant, task, record, seed):
    estimator = ESTIMATORS[task](random_state=0)
    X, X_test, y, y_test = parts_of(record, seed)
    model = estimator if variant == BY_HAND else (MADE | OTHERWISE)[variant](estimator)
    if variant == BY_HAND:
        X, X_test = split(record, seed).scaled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.process_time()
        model.fit(X, y)
        predict = model.predict_proba if task == "classification" else model.predict
        predicted = predict(X_test)
        seconds = time.process_time() - started
    return {**scores(task, y_test, predicted), "seconds": round(seconds, 3)}


def finished():
    lines = CELLS.read_text(encoding="utf-8").splitlines() if CELLS.exists() else []
    return [json.loads(line) for line in lines]


def measure_missing(sets, seeds, variants):
    done = {(c["data"], c["split"], c["model"]) for c in finished()}
    for seed in seeds:
        for data, record in sets.items():
            for variant in variants:
                if (data, seed, variant) in done:
                    continue
                cell = {"task": record["task"], "data": data, "split": seed}
                cell |= {"model": variant}
                cell |= measure(variant, record["task"], record, seed)
                with CELLS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(cell) + "\n")
                print(cell, flush=True)


TEXT = """\
Made by `python -m benchmarks.tabular.pipelines` with `SKSPARSE_MLP_DATA` set: the sets of
"what you get out of the box" with up to {most} columns, two thirds to train on and at
most 4,000 samples, {n} splits, the cross-fitted estimators with their defaults.
*by hand* fills missing categories by the most frequent one and numbers by their
mean, and standardises; *scale* and *spline* are the pipeline; the others are it with
another scaler. {verdict}

"""


PAIRS = """\
### tables as they are

So few samples say little in three splits. Over more, paired: the accuracy by hand in
percent, and what others gain over it, in points with standard errors. These are the
pipeline (*scale*), it with missing categories filled by the most frequent one, without the
columns that say which numbers are missing, and with categories below ten samples as one.

{table}

"""


def verdict(cells):
    """What the tables come to, in sentences made of their figures."""
    told = []
    for task, measures in MEASURES.items():
        part = cells[cells["task"] == task]
        for name in measures:
            table = part.pivot_table(index="data", columns="model", values=name).dropna()
            hand, scale, spline = (
                f"{table[v].mean():.3f}" for v in (BY_HAND, "scale", "spline")
            )
            told.append(f"{name} {hand} by hand, {scale} with scale, {spline} with spline")
    return f"Means over the sets: {'; '.join(told)}."


def pairs(cells):
    """What the pipeline gains over by hand on the same splits, with standard errors."""
    rows = []
    for name, n_splits in AS_THEY_ARE.items():
        part = cells[(cells["data"] == name) & (cells["split"] < n_splits)]
        table = part.pivot_table(index="split", columns="model", values="accuracy")
        gains = 100 * table.sub(table[BY_HAND], axis=0)
        told = {v: f"{gains[v].mean():+.1f} ± {gains[v].sem():.1f}" for v in PAIRED}
        hand = f"{100 * table[BY_HAND].mean():.1f}"
        rows.append({"data": name, "splits": len(table), BY_HAND: hand} | told)
    return markdown(pd.DataFrame(rows))


def page(cells):
    """A table of each measure, sets by variants, with the means below."""
    compared = PAIRS.format(table=pairs(cells))
    cells = cells[(cells["split"] < N_SPLITS) & cells["model"].isin(VARIANTS)]
    text = {"most": MAX_COLUMNS, "n": N_SPLITS, "verdict": verdict(cells)}
    sections = [fill(TEXT.format(**text), 98) + "\n\n", compared]
    for task, measures in MEASURES.items():
        part = cells[cells["task"] == task]
        for name in measures:
            table = part.pivot_table(index="data", columns="model", values=name)
            table = table[[v for v in VARIANTS if v in table]].dropna()
            table = pd.concat([table, table.agg(["mean", "median"])])
            table = table.rename_axis(index="data")
            shown = table.map("{:.3f}".format).reset_index()
            sections.append(f"### {name}, {task}\n\n{markdown(shown)}\n\n")
    return "".join(sections).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", help="only these")
    parser.add_argument("--variants", nargs="+", default=VARIANTS, help="only these")
    parser.add_argument("--splits", type=int, default=N_SPLITS, help="of all sets")
    options = parser.parse_args()
    sets = {
        name: record
        for name, record in index().items()
        if record["n_features"] <= MAX_COLUMNS
        and (options.sets is None or name in options.sets)
    }
    with threadpool_limits(1):
        measure_missing(sets, range(options.splits), options.variants)
        for name in AS_THEY_ARE.keys() & sets:
            named = {name: sets[name]}
            measure_missing(named, range(AS_THEY_ARE[name]), (BY_HAND, *PAIRED))
    PAGE.write_text(page(pd.DataFrame(finished())), encoding="utf-8")


if __name__ == "__main__":
    main()
