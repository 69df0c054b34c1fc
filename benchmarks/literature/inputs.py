"""Inputs selected while training, with all else at its default."""

import numpy as np
import pandas as pd

from benchmarks.literature.selection import related_features, whole
from benchmarks.tables import markdown
from benchmarks.tabular.sets import index, split
from sksparse_mlp import SparseMLPClassifier

SEEDS, SPLITS = range(5), range(4)
WANTED = (None, 20, "auto")
WIDE = "wide"
TARGET, MOST_FEATURES, LEAST_INFORMATIVE, MOST_LOST = 84, 40, 15, 0.5


def madelon(wanted, seed):
    """Test accuracy and the features selected."""
    X_train, y_train, X_test, y_test = whole()
    model = SparseMLPClassifier(n_features_to_select=wanted, random_state=seed)
    model.fit(X_train, y_train)
    chosen = np.flatnonzero(getattr(model, "support_", np.ones(X_train.shape[1])))
    return {"accuracy": model.score(X_test, y_test), "selected": chosen.tolist()}


def wide(name, wanted, seed):
    """The same on a third of a wide set."""
    parts = split(index()[name], seed)
    X_train, X_test = parts.scaled
    model = SparseMLPClassifier(n_features_to_select=wanted, random_state=seed)
    model.fit(X_train, parts.y)
    n_selected = int(getattr(model, "support_", np.ones(X_train.shape[1])).sum())
    return {"accuracy": model.score(X_test, parts.y_test), "n_selected": n_selected}


def stability(sets):
    """Mean share that two selections have in common of what either has (Jaccard)."""
    pairs = [(a, b) for k, a in enumerate(sets) for b in sets[:k]]
    return float(np.mean([len(a & b) / len(a | b) for a, b in pairs]))


def madelon_table(results, related):
    rows = []
    for wanted, found in results.items():
        accuracy = [100 * result["accuracy"] for result in found]
        sets = [set(result["selected"]) for result in found]
        rows.append(
            {
                "n_features_to_select": str(wanted),
                "test accuracy (%)": np.mean(accuracy),
                "each seed": " ".join(f"{value:.1f}" for value in accuracy),
                "features": " ".join(str(len(chosen)) for chosen in sets),
                "informative": " ".join(str(len(chosen & related)) for chosen in sets),
                "in common": stability(sets),
            }
        )
    return pd.DataFrame(rows)


def wide_table(results):
    rows = []
    for name, (without, found) in results.items():
        before, after = (
            100 * np.array([result["accuracy"] for result in part])
            for part in (without, found)
        )
        rows.append(
            {
                "set": name,
                "all features (%)": before.mean(),
                '"auto" (%)': after.mean(),
                "gained": (after - before).mean(),
                "features": " ".join(str(result["n_selected"]) for result in found),
            }
        )
    return pd.DataFrame(rows)


def row(wanted, measured, met):
    return {"wanted": wanted, "measured": measured, "met": "yes" if met else "no"}


def verdict(results, related, gained):
    """What was wanted, and what came of it."""
    rows = []
    for name in WANTED[1:]:
        accuracy = 100 * np.mean([result["accuracy"] for result in results[name]])
        wanted = f"Madelon, {name}: at least {TARGET} %"
        rows.append(row(wanted, f"{accuracy:.2f} %", accuracy >= TARGET))
    for name in WANTED[1:]:
        counts = [len(set(result["selected"]) & related) for result in results[name]]
        wanted = f"Madelon, {name}: at least {LEAST_INFORMATIVE} informative features"
        measured = f"{np.mean(counts):.1f} on average, {min(counts)} at least"
        rows.append(row(wanted, measured, min(counts) >= LEAST_INFORMATIVE))
    most = max(len(result["selected"]) for result in results["auto"])
    wanted = f'"auto": at most {MOST_FEATURES} features'
    rows.append(row(wanted, str(most), most <= MOST_FEATURES))
    wanted = f'wide sets: "auto" costs at most {MOST_LOST} points on average'
    rows.append(row(wanted, f"{gained:+.2f}", gained >= -MOST_LOST))
    return pd.DataFrame(rows)


PROTOCOL = """\
`SparseMLPClassifier(n_features_to_select=..)` with nothing else set; features standardised,
float32. Madelon has 20 features that are linear combinations of five, which tell themselves
by their correlations with each other, and 480 of noise; how many of the first are selected
is *informative*. *In common* is the share that the selections of two seeds have of what
either has, in the mean of all pairs. Wide sets have few samples and thousands of features;
a third of the samples is the test part, in four splits."""


def run(runs):
    seeds, splits = runs.some(SEEDS, 2), runs.some(SPLITS)
    related, _ = related_features()
    results = {
        wanted: runs.map(madelon, [{"wanted": wanted, "seed": seed} for seed in seeds])
        for wanted in WANTED
    }
    names = [name for name, record in index().items() if record["kind"] == WIDE]
    others = {
        name: [
            runs.map(wide, [{"name": name, "wanted": w, "seed": seed} for seed in splits])
            for w in (None, "auto")
        ]
        for name in runs.some(names)
    }
    table, wide_ones = madelon_table(results, related), wide_table(others)
    runs.finish(
        "Inputs selected, with defaults",
        PROTOCOL,
        "## Targets",
        markdown(verdict(results, related, wide_ones["gained"].mean())),
        "## Madelon",
        markdown(table),
        "## Wide sets",
        markdown(wide_ones),
    )
