"""``docs/out_of_the_box.md``: the tables of what was measured."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.tables import markdown
from benchmarks.tabular.models import DEEP, MEASURES

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
{deep}{disturbed}## When to use something else

- Where there are only some hundred samples of very many features, linear models are as
  good or better, and much faster; the cross-fitted classifier gives them most of the
  weight there by itself.
- Where targets depend on single features by thresholds, as in many tables of
  measurements, gradient boosting learns the same in less time.
- Where probabilities do not matter and time does, a random forest is a good first try.
"""
DEEP_TEXT = """\
## Beside deep networks for tables

RealMLP and TabM of pytabkit 1.8.0 with their defaults, on the CPU with one thread and the
same features as the other networks. Only the smaller sets named below were measured: what
these networks gain from more samples is not seen here.

"""
DEEP_NAMES = set().union(*DEEP.values())


def common(cells, *, with_deep=False):
    """The cells of sets and splits that all models have; deep ones only if asked for."""
    if not with_deep:
        cells = cells[~cells["model"].isin(DEEP_NAMES)]
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


def write(cells, sets, disturbed):
    """Write the page of these cells; ``sets`` describes the sets by their names.

    ``disturbed`` is its section of what units and outliers do.
    """
    cells, sections = pd.DataFrame(cells), []
    for task, measures in MEASURES.items():
        part = common(cells[(cells["task"] == task) & cells["data"].isin(sets)])
        sections.append(f"## {task.capitalize()}\n\n{markdown(compared(part, measures))}\n")
        for name in measures:
            table = part.pivot_table(index="data", columns="model", values=name)
            shown = table.map("{:.3f}".format).reset_index()
            sections.append(f"### {name} of each set\n\n{markdown(shown)}\n")
    text = TEXT.format(
        n_splits=cells["split"].nunique(),
        tables="\n".join(sections),
        deep=deep_section(cells),
        disturbed=disturbed,
    )
    PAGE.write_text(text, encoding="utf-8")


def deep_section(cells):
    """All models on the sets and splits on which deep networks for tables were measured."""
    tables = []
    for task, measures in MEASURES.items():
        part = cells[cells["task"] == task]
        if part["model"].isin(DEEP_NAMES).any():
            shared = common(part, with_deep=True)
            names = ", ".join(sorted(shared["data"].unique()))
            tables.append(f"{markdown(compared(shared, measures))}\n\nSets: {names}.\n")
    return DEEP_TEXT + "\n".join(tables) + "\n" if tables else ""
