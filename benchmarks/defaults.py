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

import sksparse_mlp
from benchmarks.tables import markdown
from benchmarks.tabular.models import MEASURES, measure
from benchmarks.tabular.sets import index, split

CELLS = Path("benchmarks/defaults.jsonl")
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
        cosine(3e-3, 60, epsilon=10, batch_size=32),
        cosine(5e-3, 40, epsilon=10, batch_size=32),
        cosine(3e-3, 100, epsilon=10, batch_size=32),
        cosine(5e-3, 100, epsilon=10),
        cosine(1e-2, 60, epsilon=10),
        cosine(5e-3, 60, epsilon=10, alpha=0.03),
        cosine(5e-3, 60, epsilon=10, dropout=0.2),
        cosine(5e-3, 60, epsilon=10, alpha=0.01, dropout=0.0),
        cosine(5e-3, 60, epsilon=10, early_stopping=True),
        cosine(5e-3, 60, epsilon=10, early_stopping=True, validation_fraction=0.1),
    ],
    "regression": [
        {},
        cosine(1e-2, 100, epsilon=10, alpha=0.01, dropout=0.0),
        cosine(5e-3, 60, epsilon=10, alpha=0.01, dropout=0.0),
        cosine(1e-2, 100, epsilon=10, alpha=0.01, dropout=0.0, batch_size=32),
        cosine(1e-2, 100, epsilon=20, alpha=0.003, dropout=0.0),
        {"dropout": 0.0},
        cosine(3e-3, 100, epsilon=10, dropout=0.0),
        cosine(5e-3, 60, epsilon=10, dropout=0.0),
        cosine(1e-2, 100, alpha=0.01, dropout=0.0),
        cosine(1e-2, 60, alpha=0.01, dropout=0.0, epsilon=10),
        cosine(5e-3, 100, alpha=0.01, dropout=0.0, batch_size=32, epsilon=10),
        cosine(5e-3, 60, alpha=0.01, dropout=0.0, batch_size=32, epsilon=10),
        cosine(5e-3, 60, alpha=0.1, dropout=0.0, batch_size=32, epsilon=10),
    ],
}
ESTIMATORS = {
    "classification": sksparse_mlp.SparseMLPClassifier,
    "regression": sksparse_mlp.SparseMLPRegressor,
}


REPORT = """\
# The defaults, measured

Made by `python -m benchmarks.defaults` with `SKSPARSE_MLP_DATA` set, from the tables of
[what you get out of the box](out_of_the_box.md) and with its splits; finished cells are
kept in `benchmarks/defaults.jsonl`. *before* is what the defaults were in the development
of version 0.1 (`hidden_layer_sizes=(256, 128)`, `epsilon=20`, `alpha=0.1`, `dropout=0.1`,
batches of 64, `learning_rate="constant"` of 0.001, 200 epochs); each other row changes
what it names, and is compared with it on the splits that both have. Accuracy and R2 in
percent. *gain* is the mean difference in points, *better on* and *worse on* count sets
whose mean over the splits differs by more than {matters} points, *worst* is the largest
loss of a set; *time* is the geometric mean of the ratios of CPU seconds.

What follows from them:

- A cosine from a larger learning rate down to zero needs less than a third of the epochs,
  and half of the connections do as well: these are the defaults of both networks.
- For regression neither dropout nor a strong penalty pays: `SparseMLPRegressor` has
  defaults of its own for these, for the learning rate and for the number of epochs.
- With `early_stopping` the network is trained anew on all samples for as many epochs as
  were best, as a fifth of the samples less costs points where there are few.

{tables}
"""


def label(variant):
    return ", ".join(f"{key}={value}" for key, value in variant.items()) or "before"


def finished():
    lines = CELLS.read_text().splitlines() if CELLS.exists() else []
    return [json.loads(line) for line in lines]


def key(cell):
    return cell["data"], cell["split"], cell["variant"]


def compared(cells, measures):
    """One row per variant, beside what was before on the same splits."""
    before = cells[cells["variant"] == "before"].set_index(["data", "split"])
    rows = []
    for variant in VARIANTS[cells["task"].iloc[0]]:
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


def write_table():
    cells = pd.DataFrame(finished()).drop_duplicates(["data", "split", "variant"])
    sections = [
        f"## {task.capitalize()}\n\n"
        + markdown(compared(cells[cells["task"] == task], measures))
        for task, measures in MEASURES.items()
    ]
    TABLE.write_text(REPORT.format(matters=MATTERS, tables="\n\n".join(sections)))


def measure_missing(sets, seeds):
    for seed in seeds:
        for data, record in sets.items():
            done, parts = set(map(key, finished())), None
            for variant in VARIANTS[record["task"]]:
                cell = {"task": record["task"], "data": data, "split": seed}
                cell["variant"] = label(variant)
                if key(cell) in done:
                    continue
                parts = parts or split(record, seed)
                make = partial(ESTIMATORS[record["task"]], **BEFORE | variant)
                cell |= measure(partial(make, random_state=0), "", record["task"], parts)
                with CELLS.open("a") as file:
                    file.write(json.dumps(cell) + "\n")
                print(cell, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=VARIANTS, help="only these sets")
    parser.add_argument("--splits", type=int, nargs="+", default=range(N_SPLITS))
    options = parser.parse_args()
    sets = {n: r for n, r in index().items() if options.task in (None, r["task"])}
    with threadpool_limits(1):
        measure_missing(sets, options.splits)
    write_table()


if __name__ == "__main__":
    main()
