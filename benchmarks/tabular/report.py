"""``docs/out_of_the_box.md``: the tables of what was measured."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.tables import markdown
from benchmarks.tabular.models import MEASURES

PAGE = Path("docs/out_of_the_box.md")
TEXT = """\
# What you get out of the box

Made by `python -m benchmarks.tabular` with `SKSPARSE_MLP_DATA` set, whose folder
`tabular` has the sets. Everything with its defaults and `random_state=0`, one thread;
two thirds of each set to train on, at most 4,000 samples, up to {n_splits} splits.
Networks and linear models get one-hot, imputed and standardised float32, trees codes and
numbers. *rank* is the mean over sets and splits, 1 the best; *best on* counts the sets
where a model is the best. *seconds* is the geometric mean of the CPU time for fit and
prediction. Only splits that all models have are compared.

{tables}
## When to use something else

- Where there are only some hundred samples of very many features, linear models are as
  good or better, and much faster; the cross-fitted classifier gives them most of the
  weight there by itself.
- Where targets depend on single features by thresholds, as in many tables of
  measurements, gradient boosting learns the same in less time.
- Where probabilities do not matter and time does, a random forest is a good first try.
"""


def common(cells):
    """The cells of sets and splits that all models have."""
    n_models = cells["model"].nunique()
    counts = cells.groupby(["data", "split"])["model"].transform("nunique")
    return cells[counts == n_models]


def compared(cells, measures):
    """One row per model: means, ranks and sets won, and time."""
    groups = cells.groupby("model")
    seconds = cells["seconds"].clip(lower=1e-3)
    table = pd.DataFrame({"sets": groups["data"].nunique(), "splits": groups.size()})
    for name, more_is_better in measures.items():
        table[name] = groups[name].mean().map("{:.4f}".format)
        rank = cells.groupby(["data", "split"])[name].rank(ascending=not more_is_better)
        table[f"rank ({name})"] = rank.groupby(cells["model"]).mean()
        means = cells.pivot_table(index="data", columns="model", values=name)
        best = means.idxmax(axis=1) if more_is_better else means.idxmin(axis=1)
        table[f"best on ({name})"] = best.value_counts()
    table["seconds"] = np.exp(np.log(seconds).groupby(cells["model"]).mean())
    counts = [c for c in table if c.startswith("best on")]
    table[counts] = table[counts].fillna(0).astype(int)
    return table.reset_index()


def write(cells, sets):
    """Write the page of these cells; ``sets`` describes the sets by their names."""
    cells = pd.DataFrame(cells)
    sections = []
    for task, measures in MEASURES.items():
        part = common(cells[(cells["task"] == task) & cells["data"].isin(sets)])
        sections.append(f"## {task.capitalize()}\n\n{markdown(compared(part, measures))}\n")
        for name in measures:
            table = part.pivot_table(index="data", columns="model", values=name)
            shown = table.map("{:.3f}".format).reset_index()
            sections.append(f"### {name} of each set\n\n{markdown(shown)}\n")
    text = TEXT.format(n_splits=cells["split"].nunique(), tables="\n".join(sections))
    PAGE.write_text(text, encoding="utf-8")
