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
# Of the large sets' dense networks, and of their sparse ones at other densities than the
# main one.
DENSE_SEEDS, OTHER_SEEDS = SEEDS[:2], SEEDS[:1]
DENSITIES = (0.005, 0.01, 0.02, 0.05)
MAIN = 0.01
# Data sets that a verdict on a density needs.
FEWEST = 4
RATES = (1e-3, 4e-3)


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


LARGE = Task((1000,) * 3, 20, 128, 6_000, 3_000, 5, (0.1,))
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
# What is tried at one density, and beside which rule.
TRIED = {
    "SET, removal by relative importance": "SET",
    "SET, removal wakes dormant neurons": "SET",
    "SET, from twice the density": "SET",
    "SET, correlated start": "SET",
    "RigL, lognormal fan-in at the start": "RigL",
    "CTRE, all pairs": "CTRE",
    "CHT, 5 candidates": "CHT",
    "CHT, correlated start": "CHT",
    "SET, five times the epochs": "SET",
}
SMALL_SETS = ("madelon", "isolet", "tox_171", "yale")
LARGE_SETS = ("mnist", "fashion_mnist")
# Variants that train for so many times the epochs.
LONGER = {"SET, five times the epochs": 5}


@dataclass(frozen=True)
class Stage:
    """Runs that are compared with each other."""

    names: tuple[str, ...]
    rules: tuple[str, ...]
    densities: tuple[float, ...] = (MAIN,)
    seeds: tuple[int, ...] = SEEDS


# One after the other: whenever the program is stopped, what is finished stands beside each
# other.
STAGES = (
    Stage(SMALL_SETS, (*RULES, "dense")),
    Stage(SMALL_SETS, tuple(TRIED)),
    Stage(SMALL_SETS, tuple(RULES), (0.05, 0.005, 0.02)),
    Stage(LARGE_SETS, tuple(RULES)),
    Stage(LARGE_SETS, ("dense",), seeds=DENSE_SEEDS),
    Stage(LARGE_SETS, tuple(LONGER)),
    Stage(LARGE_SETS[:1], tuple(TRIED)),
    Stage(LARGE_SETS, tuple(RULES), (0.05, 0.005, 0.02), OTHER_SEEDS),
)
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
    if name in LONGER:
        return RULES[TRIED[name]]
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
        "seed": seed,
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


def cells(runs, chosen, stage):
    """Settings of all seeds by data set, rule and density."""
    return {
        (data, rule, density): [
            {
                "data": data,
                "rule": rule,
                "density": density,
                "recipe": chosen[data],
                "seed": seed,
                "n_epochs": runs.epochs(TASKS[data].epochs * LONGER.get(rule, 1)),
            }
            for seed in runs.some(stage.seeds)
        ]
        for density, data, rule in product(stage.densities, stage.names, stage.rules)
    }


def stage_of(runs, chosen, stage):
    """Results of a stage, a row per run; with ``--only-finished`` those there are."""
    grid = cells(runs, chosen, stage)
    rows = [
        {"data": data, "rule": rule, "density": density} | result
        for (data, rule, density), results in runs.cells(train, grid).items()
        for result in results
    ]
    return with_common_seeds(pd.DataFrame(rows), stage.rules)


def with_common_seeds(table, rules):
    """Of each data set and density, the runs of seeds that all these rules have."""
    if table.empty:
        return table
    cells = table.groupby(["data", "density", "seed"])["rule"]
    return table[cells.transform("nunique") == len(rules)]


def accuracies(table, data, rule, density):
    """By seed; a dense network has all connections, whatever the density."""
    own = (table["data"] == data) & (table["rule"] == rule)
    if rule != "dense":
        own &= table["density"] == density
    return table[own].set_index("seed")["accuracy"]


def difference(table, data, one, other, density):
    """Mean and standard error of the difference of two rules, over their common seeds."""
    one, other = (accuracies(table, data, rule, density) for rule in (one, other))
    gaps = (one - other).dropna().to_numpy()
    return np.mean(gaps), standard_error(gaps)


def signed(mean, error):
    return f"{mean:+.2f}" + ("" if np.isnan(error) else f" ± {error:.2f}")


def is_whole(table, data, density, rules=(*RULES, "dense")):
    """Whether all rules have results here."""
    return all(accuracies(table, data, rule, density).size for rule in rules)


def finished(table):
    """Densities, and of each the data sets that have all rules."""
    found = {d: [data for data in TASKS if is_whole(table, data, d)] for d in DENSITIES}
    return {density: names for density, names in found.items() if names}


def means_of(table, data, density):
    """Mean accuracy of each rule."""
    return {rule: accuracies(table, data, rule, density).mean() for rule in RULES}


def overview(table, names):
    """Mean accuracy and its standard error at one density, rules by data sets."""
    rows = []
    for rule in (*RULES, "dense"):
        row = {"rule": rule}
        for data in names:
            own = accuracies(table, data, rule, MAIN).to_numpy()
            row[data] = f"{own.mean():.2f} ± {standard_error(own):.2f}"
        rows.append(row)
    return markdown(pd.DataFrame(rows))


def details(table, data):
    """All figures of one data set, means of the seeds."""
    rules = [*RULES, "dense"]
    own = table[(table["data"] == data) & table["rule"].isin(rules)]
    rows = []
    for (density, rule), runs in own.groupby(["density", "rule"], sort=False):
        mean = runs.drop(columns=["data", "rule", "density", "seed"]).mean()
        rows.append(
            {
                "density (%)": "100" if rule == "dense" else f"{100 * density:g}",
                "rule": rule,
                "seeds": len(runs),
                "accuracy (%)": mean["accuracy"],
                "AUC (%)": mean["AUC"],
                "connections": f"{mean['connections']:,.0f}",
                "time (s)": mean["seconds"],
                "evolution's share (%)": 100 * mean["evolution"],
            }
        )
    rows.sort(key=lambda row: (float(row["density (%)"]), rules.index(row["rule"])))
    return markdown(pd.DataFrame(rows))


def best_rules(table):
    """By data set and density: the best rule beside the fixed pattern and the dense one."""
    rows = []
    for density, names in finished(table).items():
        for data in names:
            means = means_of(table, data, density)
            best = max((rule for rule in RULES if rule != "static"), key=means.get)
            row = {"data": data, "density (%)": f"{100 * density:g}", "best rule": best}
            row["accuracy (%)"] = means[best]
            for other in ("static", "SET", "dense"):
                gap = difference(table, data, best, other, density)
                row[f"less {other}"] = "" if best == other else signed(*gap)
            rows.append(row)
    return markdown(pd.DataFrame(rows))


def gains(table, rule, other, density, names):
    """By data set: mean accuracy of one rule less another's."""
    return np.array([difference(table, data, rule, other, density)[0] for data in names])


def ranks(table):
    """Accuracy less the fixed pattern's, mean over data sets; rules by density."""
    rows = []
    for rule in (*RULES, "dense"):
        row = {"rule": rule}
        for density, names in finished(table).items():
            own = gains(table, rule, "static", density, names)
            title = f"{100 * density:g} % ({len(names)} sets)"
            row[title] = signed(np.mean(own), standard_error(own))
        rows.append(row)
    return markdown(pd.DataFrame(rows))


def is_clear(mean, error):
    """Whether a difference is above twice its standard error."""
    return bool(mean > 2 * error)


def sentence(table, density, names):
    """What a density's figures say."""
    evolves = [rule for rule in RULES if rule != "static"]
    clear, level = [], []
    for data in names:
        means = means_of(table, data, density)
        best = max(evolves, key=means.get)
        gap = difference(table, data, best, "static", density)
        clear += [data] * is_clear(*gap)
        dense = accuracies(table, data, "dense", density).mean()
        level += [data] * bool(means[best] >= dense)
    own = gains(table, "SET", "static", density, names)
    over = {rule: gains(table, rule, "SET", density, names) for rule in evolves}
    first = max(evolves, key=lambda rule: over[rule].mean())
    beside = (
        "no rule is above SET in the mean"
        if first == "SET"
        else f"{first} is highest in the mean, by "
        f"{signed(over[first].mean(), standard_error(over[first]))} over SET"
    )
    return (
        f"- **{100 * density:g} %**, {len(names)} data sets: SET gains "
        f"{signed(own.mean(), standard_error(own))} points over the pattern that stays; "
        f"{beside}. The best rule is clearly above that pattern on "
        f"{listed(clear) or 'none'}, and at or above the dense network on "
        f"{listed(level) or 'none'}."
    )


def listed(names):
    return ", ".join(names)


def advice(table):
    """From which density down evolution pays, and which rule to set."""
    found = {d: names for d, names in finished(table).items() if len(names) >= FEWEST}
    pays = [
        density
        for density, names in found.items()
        if is_clear(*mean_of(gains(table, "SET", "static", density, names)))
    ]
    if pays and pays == [density for density in found if density <= max(pays)]:
        evolution = f"Evolution pays from {100 * max(pays):g} % down"
    else:
        at = listed([f"{100 * density:g} %" for density in pays])
        evolution = f"Evolution pays at {at or 'no density'}"
    rules = {}
    for density, names in found.items():
        for rule in RULES:
            own = gains(table, rule, "SET", density, names)
            if rule not in ("SET", "static") and is_clear(*mean_of(own)):
                rules.setdefault(RULES[rule]["growth"], []).append(f"{100 * density:g} %")
    choice = " and ".join(
        f'`growth="{rule}"` at {listed(at)}' for rule, at in rules.items()
    )
    set_it = (
        f"What to set: {choice}, above SET in the same sense; elsewhere `growth` and "
        "`zeta` stay at their defaults."
        if choice
        else "No rule is above SET in the same sense at any density: `growth` and `zeta` "
        "stay at their defaults."
    )
    return (
        f"{evolution}, in that SET's mean gain over the pattern that stays is above twice "
        f"its standard error over the data sets. {set_it}"
    )


def mean_of(values):
    return np.mean(values), standard_error(values)


def verdict(table):
    parts = [sentence(table, *item) for item in finished(table).items()]
    return advice(table) + "\n\n" + "\n".join(parts)


def plot(table, path):
    names = [data for data in TASKS if (table["data"] == data).any()]
    figure, axes = plt.subplots(2, 3, figsize=(11, 6.5), layout="constrained")
    styles = ("k--", "ko-", "s-", "^-", "v-", "D-")
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax, data in zip(axes.flat, names, strict=False):
        own = table[table["data"] == data]
        for rule, style in zip(RULES, styles, strict=True):
            means = own[own["rule"] == rule].groupby("density")["accuracy"].mean()
            ax.plot(
                100 * means.index.to_numpy(),
                means.to_numpy(),
                style,
                label=rule,
                markersize=4,
            )
        dense = own[own["rule"] == "dense"]["accuracy"].mean()
        ax.axhline(dense, color="0.6", label="dense")
        ax.set(title=data, xscale="log", xlabel="density (%)", ylabel="test accuracy (%)")
        ax.set(xlim=(0.45, 5.5))
        ax.set_xticks([0.5, 1, 2, 5], ["0.5", "1", "2", "5"])
        ax.minorticks_off()
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=7
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def tried(table):
    """What was tried beside its rule, at one density."""
    rows = []
    for name, rule in TRIED.items():
        row, found = {"variant": name} | dict.fromkeys(TASKS, ""), []
        for data in TASKS:
            if is_whole(table, data, MAIN, (name, rule)):
                gap = difference(table, data, name, rule, MAIN)
                row[data] = signed(*gap)
                found.append(gap[0])
        rows.append(row | {"mean": signed(*mean_of(np.array(found))) if found else ""})
    return markdown(pd.DataFrame(rows))


TRIED_TEXT = """\
Accuracy less that of the rule that it is tried beside, with the same seeds. Their code is
in `benchmarks/literature/variants.py`, and those that are not parameters of a rule are not
in the package."""

LONGER_TEXT = """\
A sparse epoch costs a fraction of a dense one. What more of them give, beside the dense
network with the epochs of its own:"""


def longer(table):
    """Sparse networks that train longer, beside dense ones."""
    rows = []
    for name, data in product(LONGER, TASKS):
        if not is_whole(table, data, MAIN, (name, "dense")):
            continue
        times = [
            table[(table["data"] == data) & (table["rule"] == rule)]["seconds"].mean()
            for rule in (name, "dense")
        ]
        rows.append(
            {
                "data": data,
                "sparse": f"{name}, at {100 * MAIN:g} %",
                "accuracy (%)": accuracies(table, data, name, MAIN).mean(),
                "less dense": signed(*difference(table, data, name, "dense", MAIN)),
                "time (s)": times[0],
                "dense's time (s)": times[1],
            }
        )
    return markdown(pd.DataFrame(rows))


PROTOCOL = """\
MNIST and Fashion-MNIST 784-1000-1000-1000-10 ({n_samples:,} training samples drawn once,
{large} epochs), Madelon 500-400-100-400-1 ({madelon} epochs), ISOLET 617-512-256-128-26
({isolet} epochs), TOX-171 5748-256-128-4 and Yale 1024-256-128-15 ({wide} epochs; a third
of the samples for the test, another split per seed). Density is the share of all possible
connections of the network, spread over the layers as Erdős-Rényi has it. Adam, ReLU,
batch normalisation, cosine learning rate, zeta from 0.3 along a cosine, evolution after
every epoch; float32; one thread. *Static* never evolves; *dense* are full layers of the
same sizes in the same engine. Rules have their defaults. Learning rate ({rates}),
dropout and penalty are tuned once per data set, on a quarter of the training part that is
left out (of {n_tuning:,} samples and {tuning} epochs for the two large sets), for the
mean of SET at 1 % and the dense network; all rows have the same. Test accuracy after the
last epoch in %; *AUC* is the mean of the test accuracies after each epoch; means of
{n_seeds} seeds, for the two large sets {n_dense} of the dense networks and {n_other} at
other densities than 1 %, with standard errors, or over the data sets where these are
counted."""

LIMITS = """\
Training is short and part of the large sets is used, so that figures lie below the best
that these networks reach; few epochs are harder on sparse networks, which gain from more.
The test parts of the two wide sets have fewer than 60 samples each: one sample is almost
two points. *Best* is the highest mean of five rules, which flatters it where they are
close; and of so many comparisons some are above twice their error by chance. *Time* is the
processor's, with a test after every epoch; the machine did other
work too."""


def protocol():
    return PROTOCOL.format(
        rates=" or ".join(f"{rate:g}" for rate in RATES),
        n_samples=LARGE.n_samples,
        large=LARGE.epochs,
        madelon=TASKS["madelon"].epochs,
        isolet=TASKS["isolet"].epochs,
        wide=TASKS["yale"].epochs,
        n_tuning=LARGE.n_tuning,
        tuning=LARGE.tuning_epochs,
        n_seeds=len(SEEDS),
        n_dense=len(DENSE_SEEDS),
        n_other=len(OTHER_SEEDS),
    )


def report(runs, table, tuned):
    """Write the page of what is finished."""
    plot(table, runs.path(".png"))
    more = [
        "## What else was tried, at 1 %",
        TRIED_TEXT,
        tried(table),
        LONGER_TEXT,
        longer(table),
    ]
    runs.report(
        "Ultra-sparse networks: where topology pays",
        verdict(table),
        "![Accuracy over density](ultra_sparse.png)",
        "## At 1 %",
        overview(table, finished(table).get(MAIN, [])),
        "## The best rule, by density",
        best_rules(table),
        "Accuracy less that of the pattern that stays, mean over the data sets:",
        ranks(table),
        *(more if table["rule"].isin(TRIED).any() else []),
        "## How it was measured",
        protocol(),
        LIMITS,
        "## The recipes",
        markdown(tuned),
        *(
            part
            for data in TASKS
            if (table["data"] == data).any()
            for part in (f"## {data}", details(table, data))
        ),
    )


def run(runs):
    chosen, tuned = recipes(runs)
    parts = []
    for stage in STAGES:
        parts.append(stage_of(runs, chosen, stage))
        report(runs, pd.concat(parts), tuned)
    runs.forget_others()
