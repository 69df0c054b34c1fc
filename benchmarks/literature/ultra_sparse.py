"""Growth rules at densities of 0.5 to 5 %, beside dense networks of the same sizes."""

import time
from dataclasses import dataclass
from itertools import pairwise, product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.optimize import brentq
from sklearn.model_selection import train_test_split

from benchmarks.literature import variants
from benchmarks.literature.comparison import standard_error
from benchmarks.samples import scaled
from benchmarks.tables import markdown
from benchmarks.tabular import sets
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.topology import CannistraciHebbGrowth, CosineGrowth

SEEDS = (0, 1, 2)
DENSITIES = (0.01, 0.005, 0.02, 0.05)
MAIN = 0.01
RATES = (1e-3, 4e-3, 1.6e-2)


@dataclass(frozen=True)
class Task:
    """A data set, the hidden layers, and how long they train.

    Of large sets ``n_samples`` are used; for tuning, ``n_tuning`` and fewer epochs.
    """

    hidden_layer_sizes: tuple[int, ...]
    epochs: int
    batch_size: int
    n_samples: int | None = None
    n_tuning: int | None = None
    tuning_epochs: int | None = None
    alphas: tuple[float, ...] = (0.1, 1.0, 10.0)
    has_parts: bool = True

    def recipes(self):
        """What is tried in tuning."""
        return [
            {"learning_rate_init": rate, "dropout": dropout, "alpha": alpha}
            for rate, dropout, alpha in product(RATES, (0.0, 0.2), self.alphas)
        ]


LARGE = Task((1000,) * 3, 10, 128, 6_000, 3_000, 5, (0.1,))
TASKS = {
    "madelon": Task((400, 100, 400), 100, 32, tuning_epochs=30),
    "isolet": Task((512, 256, 128), 30, 64, tuning_epochs=10),
    "mnist": LARGE,
    "fashion_mnist": LARGE,
    "tox_171": Task((256, 128), 60, 16, tuning_epochs=20, has_parts=False),
    "yale": Task((256, 128), 60, 16, has_parts=False),
}
FULL = {"zeta": 0.0, "epsilon": 1e9}
RULES = {
    "static": {"zeta": 0.0},
    "SET": {},
    "LiSET": {"growth": "liset"},
    "RigL": {"growth": "gradient"},
    "CTRE": {"growth": "ctre"},
    "CHT": {"growth": "cht"},
}
# What is tried at one density, on the sets that are not small, and beside which rule.
TRIED = {
    "SET, removal by relative importance": "SET",
    "SET, removal wakes dormant neurons": "SET",
    "SET, from twice the density": "SET",
    "SET, correlated start": "SET",
    "RigL, lognormal fan-in at the start": "RigL",
    "CTRE, all pairs": "CTRE",
    "CHT, 5 candidates": "CHT",
    "CHT, correlated start": "CHT",
}
TRIED_ON = ("madelon", "isolet", "mnist", "fashion_mnist")
SHARED = {
    "batch_norm": True,
    "learning_rate": "cosine",
    "zeta_schedule": "cosine",
    "n_iter_no_change": np.inf,
}


def sizes_of(data, X, y):
    n_classes = np.unique(y).size
    n_outputs = n_classes if n_classes > 2 else 1
    return (X.shape[1], *TASKS[data].hidden_layer_sizes, n_outputs)


def epsilon_of(sizes, density):
    """Erdős-Rényi's epsilon with which a network has this share of all connections."""
    pairs = list(pairwise(sizes))
    total = sum(a * b for a, b in pairs)

    def surplus(epsilon):
        return sum(min(epsilon * (a + b), a * b) for a, b in pairs) - density * total

    return brentq(surplus, 0, max(sizes))


def samples(data, seed):
    """X_train, y_train, X_test and y_test; sets without official parts are split."""
    task = TASKS[data]
    if not task.has_parts:
        part = sets.split(sets.index()[data], seed)
        return part.scaled[0], part.y, part.scaled[1], part.y_test
    X, y, X_test, y_test = scaled(data)
    if task.n_samples is not None:
        some = np.random.default_rng(0).permutation(len(y))[: task.n_samples]
        X, y = X[some], y[some]
    return X, y, X_test, y_test


def variant(name, epsilon, n_evolutions, X):
    """Parameters of what is tried."""
    if name.endswith("correlated start"):
        start = {"init": variants.CorrelatedStart(X[:5000])}
        return RULES[TRIED[name]] | start
    if name == "SET, from twice the density":
        # All connections too many have left after three quarters of the evolutions.
        ratio = 0.5 ** (1 / (0.75 * n_evolutions))
        growth = variants.FallingDensity(epsilon, ratio)
        return {"growth": growth, "epsilon": 2 * epsilon}
    return {
        "SET, removal by relative importance": {"growth": variants.RelativeImportance()},
        "SET, removal wakes dormant neurons": {"growth": variants.Revitalisation()},
        "RigL, lognormal fan-in at the start": {
            "growth": "gradient",
            "init": variants.LognormalFanIn(),
        },
        "CTRE, all pairs": {"growth": CosineGrowth(n_candidates=None)},
        "CHT, 5 candidates": {"growth": CannistraciHebbGrowth(n_candidates=5)},
    }[name]


def parameters(rule, epsilon, n_epochs, X):
    if rule == "dense":
        return FULL
    own = RULES[rule] if rule in RULES else variant(rule, epsilon, n_epochs - 1, X)
    return {"epsilon": epsilon} | own


def fitted(data, rule, density, recipe, seed, n_epochs, parts):
    """A trained network, seconds of the processor, and test accuracies of the epochs."""
    X, y, X_test, y_test = parts
    epsilon = epsilon_of(sizes_of(data, X, y), density)
    own = parameters(rule, epsilon, n_epochs, X)
    network = SparseMLPClassifier(
        TASKS[data].hidden_layer_sizes,
        **SHARED | recipe | own,
        batch_size=TASKS[data].batch_size,
        max_iter=n_epochs,
        random_state=seed,
    )
    started = time.process_time()
    network.fit(X, y, X_val=X_test, y_val=y_test)
    seconds = time.process_time() - started
    return (
        network,
        seconds,
        [100 * record["validation_score"] for record in network.history_],
    )


def train(data, rule, density, recipe, seed, n_epochs):
    """Test accuracy in percent, the mean over epochs, connections, seconds."""
    network, seconds, scores = fitted(
        data, rule, density, recipe, seed, n_epochs, samples(data, seed)
    )
    history = network.history_
    evolution = sum(record["evolution_seconds"] for record in history)
    training = sum(record["seconds"] for record in history)
    return {
        "accuracy": round(scores[-1], 3),
        "AUC": round(float(np.mean(scores)), 3),
        "connections": int(network.n_connections_.sum()),
        "most connections": max(record["n_connections"] for record in history),
        "seconds": round(seconds, 2),
        "evolution": round(evolution / (training + evolution), 5),
    }


def tune(data, rule, recipe):
    """Accuracy on a quarter of the training part, which is not trained on."""
    task = TASKS[data]
    X, y = samples(data, 0)[:2]
    if task.n_tuning is not None:
        X, y = X[: task.n_tuning], y[: task.n_tuning]
    X, X_held, y, y_held = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=0
    )
    n_epochs = task.tuning_epochs or task.epochs
    parts = X, y, X_held, y_held
    *_, scores = fitted(data, rule, MAIN, recipe, 0, n_epochs, parts)
    return {"accuracy": round(scores[-1], 3)}


def recipes(runs):
    """Of each data set, what is best for the mean of a sparse and a dense network."""
    chosen, rows = {}, []
    for data in TASKS:
        tried = runs.some(TASKS[data].recipes())
        grid = [
            {"data": data, "rule": rule, "recipe": recipe}
            for recipe in tried
            for rule in ("SET", "dense")
        ]
        found = [result["accuracy"] for result in runs.map(tune, grid)]
        pairs = np.reshape(found, (-1, 2))
        best = int(np.argmax(pairs.mean(axis=1)))
        chosen[data] = tried[best]
        rows.append(
            {
                "data": data,
                **{name: f"{value:g}" for name, value in tried[best].items()},
                "SET, held out (%)": pairs[best, 0],
                "its best recipe": pairs[:, 0].max(),
                "dense, held out (%)": pairs[best, 1],
                "dense's best recipe": pairs[:, 1].max(),
            }
        )
    return chosen, pd.DataFrame(rows)


def cells(runs, chosen, rules, densities, names):
    """Settings of all seeds, one data set after the other."""
    return [
        {
            "data": data,
            "rule": rule,
            "density": density,
            "recipe": chosen[data],
            "seed": seed,
            "n_epochs": runs.epochs(TASKS[data].epochs),
        }
        for density in densities
        for data in names
        for rule in rules
        for seed in runs.some(SEEDS)
    ]


def table_of(runs, grid):
    results = runs.map(train, grid)
    return pd.DataFrame(
        [
            {name: settings[name] for name in ("data", "rule", "density", "seed")} | result
            for settings, result in zip(grid, results, strict=True)
        ]
    )


def overview(table, rules, names):
    """Mean accuracy and its standard error, rules by data sets."""
    rows = []
    for rule in rules:
        row = {"rule": rule}
        for data in names:
            own = table[(table["rule"] == rule) & (table["data"] == data)]["accuracy"]
            row[data] = f"{own.mean():.2f} ± {standard_error(own.to_numpy()):.2f}"
        rows.append(row)
    return markdown(pd.DataFrame(rows))


def details(table, rules):
    """All figures of one data set, means of the seeds."""
    rows = []
    for (density, rule), own in table.groupby(["density", "rule"], sort=False):
        mean = own.drop(columns=["data", "rule", "density"]).mean()
        rows.append(
            {
                "density (%)": "100" if rule == "dense" else f"{100 * density:g}",
                "rule": rule,
                "accuracy (%)": mean["accuracy"],
                "AUC (%)": mean["AUC"],
                "connections": f"{mean['connections']:,.0f}",
                "time (s)": mean["seconds"],
                "evolution's share (%)": 100 * mean["evolution"],
            }
        )
    order = {rule: k for k, rule in enumerate(rules)}
    rows.sort(key=lambda row: (float(row["density (%)"]), order[row["rule"]]))
    return markdown(pd.DataFrame(rows))


def difference(table, data, one, other):
    """Mean and standard error of the difference of two (rule, density), by seeds."""
    one, other = (
        table[(table["data"] == data) & (table["rule"] == rule) & near(table, density)]
        .sort_values("seed")["accuracy"]
        .to_numpy()
        for rule, density in (one, other)
    )
    return np.mean(one - other), standard_error(one - other)


def near(table, density):
    return True if density is None else table["density"] == density


def verdict(table, densities):
    """By data set and density: the best rule beside the fixed pattern and the dense one."""
    rows = []
    for data, density in product(TASKS, densities):
        own = table[(table["data"] == data) & (table["density"] == density)]
        own = own[own["rule"].isin(RULES)]
        means = own.groupby("rule")["accuracy"].mean()
        best = means.drop("static").idxmax()
        row = {"data": data, "density (%)": f"{100 * density:g}", "best rule": best}
        row["accuracy (%)"] = means[best]
        for name, other in {
            "less static": ("static", density),
            "less SET": ("SET", density),
            "less dense": ("dense", None),
        }.items():
            mean, error = difference(table, data, (best, density), other)
            row[name] = f"{mean:+.2f} ± {error:.2f}"
        rows.append(row)
    return markdown(pd.DataFrame(rows))


def ranks(table, densities):
    """Mean accuracy over all data sets less the fixed pattern's, rules by density."""
    rows = []
    for rule in [*RULES, "dense"]:
        row = {"rule": rule}
        for density in densities:
            gaps = [
                difference(
                    table, data,
                    (rule, None if rule == "dense" else density), ("static", density),
                )[0]
                for data in TASKS
            ]  # fmt: skip
            row[f"{100 * density:g} %"] = f"{np.mean(gaps):+.2f}"
        rows.append(row)
    return markdown(pd.DataFrame(rows))


def plot(table, densities, path):
    figure, axes = plt.subplots(2, 3, figsize=(11, 6.5), layout="constrained")
    styles = ("k--", "ko-", "s-", "^-", "v-", "D-")
    for ax, data in zip(axes.flat, TASKS, strict=True):
        own = table[table["data"] == data]
        for rule, style in zip(RULES, styles, strict=True):
            means = own[own["rule"] == rule].groupby("density")["accuracy"].mean()
            means = means[sorted(densities)]
            ax.plot(100 * means.index, means, style, label=rule, markersize=4)
        dense = own[own["rule"] == "dense"]["accuracy"].mean()
        ax.axhline(dense, color="0.6", label="dense")
        ax.set(title=data, xscale="log", xlabel="density (%)", ylabel="test accuracy (%)")
        ax.set_xticks([0.5, 1, 2, 5], ["0.5", "1", "2", "5"])
    axes[0, 0].legend(fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def tried(table):
    """What was tried beside its rule, at one density."""
    rows = []
    for name, rule in TRIED.items():
        row = {"variant": name}
        gaps = []
        for data in TRIED_ON:
            mean, error = difference(table, data, (name, MAIN), (rule, MAIN))
            row[data] = f"{mean:+.2f} ± {error:.2f}"
            gaps.append(mean)
        rows.append(row | {"mean": f"{np.mean(gaps):+.2f}"})
    return markdown(pd.DataFrame(rows))


PROTOCOL = """\
MNIST and Fashion-MNIST 784-1000-1000-1000-10 ({n_samples:,} training samples drawn once,
{large} epochs), Madelon 500-400-100-400-1 ({madelon} epochs), ISOLET 617-512-256-128-26
({isolet} epochs), TOX-171 5748-256-128-4 and Yale 1024-256-128-15 ({wide} epochs; a third
of the samples for the test, another split per seed). Density is the share of all possible
connections of the network, spread over the layers as Erdős-Rényi has it. Adam, ReLU,
batch normalisation, cosine learning rate, zeta from 0.3 along a cosine, evolution after
every epoch; float32; one thread. *Static* never evolves; *dense* are full layers of the
same sizes in the same engine. Rules have their defaults. Learning rate, dropout and
penalty are tuned once per data set, on a quarter of the training part that is left out
(of {n_tuning:,} samples and {tuning} epochs for the two large sets), for the mean of SET
at 1 % and the dense network; all rows have the same. Test accuracy after the last epoch
in %; *AUC* is the mean of the test accuracies after each epoch; means of {n_seeds} seeds
with standard errors."""

LIMITS = """\
Training is short and part of the large sets is used, so that figures lie below the best
that these networks reach. The test parts of the two small sets have fewer than 60 samples
each: one sample is almost two points. *Time* is the processor's, with a test after every
epoch; the machine did other work too."""


def protocol():
    return PROTOCOL.format(
        n_samples=LARGE.n_samples,
        large=LARGE.epochs,
        madelon=TASKS["madelon"].epochs,
        isolet=TASKS["isolet"].epochs,
        wide=TASKS["yale"].epochs,
        n_tuning=LARGE.n_tuning,
        tuning=LARGE.tuning_epochs,
        n_seeds=len(SEEDS),
    )


def report(runs, table, densities, tuned, more):
    """Write the page of the densities that are finished."""
    plot(table, densities, runs.path(".png"))
    rules = [*RULES, "dense"]
    main = table[(table["density"] == MAIN) & table["rule"].isin(rules)]
    runs.report(
        "Ultra-sparse networks: where topology pays",
        protocol(),
        LIMITS,
        "## The best rule, by density",
        verdict(table, densities),
        "Mean over the six data sets of the accuracy less the static pattern's:",
        ranks(table, densities),
        "![Accuracy over density](ultra_sparse.png)",
        "## At 1 %",
        overview(main, rules, TASKS),
        *more,
        "## The recipes",
        markdown(tuned),
        *(
            part
            for data in TASKS
            for part in (
                f"## {data}",
                details(table[(table["data"] == data) & table["rule"].isin(rules)], rules),
            )
        ),
    )


def run(runs):
    chosen, tuned = recipes(runs)
    done, more, grid = [], [], []
    for density in DENSITIES:
        grid += cells(runs, chosen, RULES, [density], TASKS)
        if density == MAIN:
            grid += cells(runs, chosen, ["dense"], [MAIN], TASKS)
        done.append(density)
        report(runs, table_of(runs, grid), done, tuned, more)
        if density == MAIN:
            grid += cells(runs, chosen, TRIED, [MAIN], TRIED_ON)
            more = ["## What else was tried", tried(table_of(runs, grid))]
    report(runs, table_of(runs, grid), done, tuned, more)
    runs.forget_others()
