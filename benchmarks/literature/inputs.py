"""Inputs selected while training, with all else at its default."""

from unittest import mock

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification

from benchmarks.literature.comparison import standard_error
from benchmarks.literature.selection import (
    related_features,
    standardised,
    training_split,
    whole,
)
from benchmarks.tables import markdown
from benchmarks.tabular.sets import index, split
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.core import evolution
from sksparse_mlp.core.network import Network

SEEDS, SPLITS = range(5), range(4)
WANTED = (None, 20, "auto")
WIDE = "wide"
# What rules are chosen by: seeds of each problem, and the share of the epochs after which
# all is settled. The first is how the package began.
N_CHOOSING = 8
RULES = (("own weights", 0.35), ("paths", 0.35), ("paths", 0.42), ("paths", 0.5))
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


def planted(seed):
    """Like Madelon: five features, 15 combinations of them, 480 of noise, in this order."""
    X, y = make_classification(
        2600, 500, n_informative=5, n_redundant=15, n_clusters_per_class=16,
        shuffle=False, random_state=seed,
    )  # fmt: skip
    order = np.random.default_rng(seed).permutation(len(y))
    fit, out = order[:2000], order[2000:]
    X_fit, X_out = standardised(X[fit], X[out])
    return X_fit, y[fit], X_out, y[out]


def own_weights(network):
    """What an input is told by: the sum of its own absolute weights."""
    layer = network.layers[0]
    return layer.input_strengths(np.ones(layer.n_out))


def choosing(problem, seed, strengths, end):
    """Accuracy on samples held out, and how many of 20 features selected matter."""
    if problem == "planted":
        (X, y, X_out, y_out), related = planted(seed), set(range(20))
    else:
        (X, y, X_out, y_out), (related, _) = training_split(seed), related_features()
    of = {"paths": Network.input_strengths, "own weights": own_weights}[strengths]
    with (
        mock.patch.object(Network, "input_strengths", of),
        mock.patch.object(evolution, "SELECTION_END", end),
    ):
        model = SparseMLPClassifier(n_features_to_select=20, random_state=seed).fit(X, y)
    found = set(np.flatnonzero(model.support_).tolist())
    return {"accuracy": model.score(X_out, y_out), "informative": len(found & related)}


def choosing_table(runs):
    """Rules by what they keep of features that matter."""
    rows = []
    for strengths, end in RULES:
        row = {"strength": strengths, "settled after": end}
        for problem in ("planted", "Madelon"):
            shared = {"problem": problem, "strengths": strengths, "end": end}
            grid = [shared | {"seed": seed} for seed in runs.some(range(N_CHOOSING), 2)]
            found = runs.map(choosing, grid)
            for name, factor in (("informative", 1), ("accuracy", 100)):
                values = [factor * result[name] for result in found]
                title = f"{problem}: {name}{' (%)' * (name == 'accuracy')}"
                row[title] = f"{np.mean(values):.2f} ± {standard_error(values):.2f}"
        rows.append(row)
    return pd.DataFrame(rows)


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


CHOOSING = f"""\
By what inputs are told apart (the sum of their own absolute weights, or those of all paths
to the outputs), and the share of the epochs after which all is settled. Without Madelon's
test part: on fifths of its training part that are held out, and on planted data of
`make_classification`, five informative features of 500 and 15 combinations of them. Means
of {N_CHOOSING} seeds with standard errors; 20 features are selected."""


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
        "## How the rule was chosen",
        CHOOSING,
        markdown(choosing_table(runs)),
    )
