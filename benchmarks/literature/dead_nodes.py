"""Pretorius' Tables 5.1 and 5.2: dead nodes and sparsity, trained and untrained."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from benchmarks.literature import nodes, pretorius
from benchmarks.literature.comparison import beside, with_error
from benchmarks.literature.pretorius import KINDS
from benchmarks.tables import markdown
from sksparse_mlp.analysis import ActivationDistributions, NodeActivity

WIDTH, DEPTHS = 200, (4, 8)
N_SAMPLES, N_EPOCHS, N_SEEDS, N_RATE_EPOCHS = 60_000, 60, 1, 2
# Shorter trainings with more seeds, to tell what the length does.
N_SHORT_SAMPLES, N_SHORT_EPOCHS, N_SHORT_SEEDS = 20_000, 20, 3
# Nodes of the heat maps, and the network that they show.
N_SHOWN, SHOWN = 40, 4
STATES = ("untrained", "trained")
PARTS = ("train", "test")


def look(depth, kind, rate, seed, n_samples, n_epochs, first_biases=True):
    """Accuracies, and what is inside before and after training, on either part."""
    X, y, X_test, y_test = pretorius.samples("mnist", n_samples)
    hidden = (WIDTH,) * depth
    models = {
        state: pretorius.fitted(
            pretorius.network(hidden, kind, rate, seed, epochs), X, y, first_biases
        )
        for state, epochs in zip(STATES, (0, n_epochs), strict=True)
    }
    trained = models["trained"]
    found = {
        "accuracy": [round(100 * trained.score(*p), 2) for p in ((X, y), (X_test, y_test))],
        "best_epoch": 1 + nodes.best_epoch(trained.validation_scores_),
    }
    for state, model in models.items():
        for part, data in zip(PARTS, ((X, y), (X_test, y_test)), strict=True):
            found[f"{state}, {part}"] = inside(model, *data)
    if depth == SHOWN and seed == 0:
        found["maps"] = {state: maps(model, X, y) for state, model in models.items()}
    return found


def inside(model, X, y):
    """Dead nodes, sparsity and polarised pairs of nodes and classes by layer."""
    activity = NodeActivity(model).fit(X, y)
    alive = [a[~d] for a, d in zip(activity.activity_, activity.dead_nodes_, strict=True)]
    return {
        "dead": [int(dead.sum()) for dead in activity.dead_nodes_],
        "sparsity": activity.sparsity_.round(4).tolist(),
        "polarised": [
            round(float(np.mean((a < 0.05) | (a > 0.95))), 4) if a.size else None
            for a in alive
        ],
    }


def maps(model, X, y):
    """Per layer, activity and median of some nodes for each class, (n_nodes, n_classes)."""
    activity = NodeActivity(model).fit(X, y).activity_
    medians = ActivationDistributions(model).fit(X, y).medians_["post"]
    return {
        "activity": [layer[:N_SHOWN].round(2).tolist() for layer in activity],
        "medians": [layer[:N_SHOWN].round(2).tolist() for layer in medians],
    }


def dead(result, depth, where="trained, train"):
    """Dead nodes in percent of all."""
    return 100 * sum(result[where]["dead"]) / (WIDTH * depth)


def printed(table, depth, name):
    """What the document has for a network, or nothing."""
    return table[depth][list(KINDS).index(name)] if depth in table else None


def dead_table(found, short):
    rows = []
    for (depth, name), results in found.items():
        row = {"network": f"{depth} x {WIDTH} {name}"}
        figure = printed(nodes.DOCUMENT_DEAD, depth, name)
        row |= beside(figure, [dead(result, depth) for result in results])
        row["test samples"] = with_error([dead(r, depth, "trained, test") for r in results])
        row["untrained"] = with_error([dead(r, depth, "untrained, train") for r in results])
        if (depth, name) in short:
            others = [dead(result, depth) for result in short[depth, name]]
            row["short training"] = with_error(others)
        rows.append(row)
    return pd.DataFrame(rows)


def sparsity_table(found):
    """Table 5.2: a row per layer, in percent."""
    rows = []
    for (depth, name), results in found.items():
        document = printed(nodes.DOCUMENT_SPARSITY, depth, name)
        for layer in range(depth):
            row = {"network": f"{depth} x {WIDTH} {name}", "layer": str(layer + 1)}
            row |= beside(document[layer], shares(results, "trained, train", layer))
            for where in ("trained, test", "untrained, train", "untrained, test"):
                row[where] = with_error(shares(results, where, layer), 1)
            rows.append(row)
    return pd.DataFrame(rows).drop(columns="each")


def shares(results, where, layer, what="sparsity"):
    values = (result[where][what][layer] for result in results)
    return [100 * value for value in values if value is not None]


def accuracy_table(found, rates):
    rows = []
    for (depth, name), results in found.items():
        train, test = zip(*(result["accuracy"] for result in results), strict=True)
        document = printed(nodes.DOCUMENT_ACCURACY, depth, name)
        rows.append(
            {
                "network": f"{depth} x {WIDTH} {name}",
                "seeds": str(len(results)),
                "rate": f"{rates[depth, name]:g}",
                "best epochs": " ".join(str(r["best_epoch"]) for r in results),
                "training (%)": with_error(train),
                "test (%)": with_error(test),
                "document's test (%)": document or "-",
            }
        )
    return pd.DataFrame(rows)


def plot_layers(found, path):
    """Polarised pairs by layer: trained and untrained, training and test samples."""
    figure, axes = plt.subplots(
        len(DEPTHS),
        len(KINDS),
        figsize=(12, 6),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for (depth, name), results in found.items():
        ax = axes[DEPTHS.index(depth), list(KINDS).index(name)]
        for (state, part), style in zip(
            product(STATES, PARTS), ("0.6 -", "0.6 :", "k -", "k :"), strict=True
        ):
            colour, line = style.split()
            means = [
                np.mean(shares(results, f"{state}, {part}", layer, "polarised"))
                for layer in range(depth)
            ]
            label = f"{state}, {part}"
            ax.plot(range(1, depth + 1), means, color=colour, linestyle=line, label=label)
        ax.set_title(f"{depth} x {WIDTH} {name}", fontsize="medium")
    axes[0, 0].legend(fontsize="x-small")
    figure.supxlabel("hidden layer")
    figure.supylabel("nodes and classes below 5 or above 95 % (%)")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_maps(found, path):
    """Heat maps of nodes by classes: rows are kinds and states, columns layers."""
    shown = {
        name: found[SHOWN, name][0]["maps"] for name in KINDS if (SHOWN, name) in found
    }
    rows = [
        (n, state, what)
        for n in shown
        for what in ("activity", "medians")
        for state in STATES
    ]
    figure, axes = plt.subplots(
        len(rows), SHOWN, figsize=(9, 1.1 * len(rows)), layout="constrained", squeeze=False
    )
    for (name, state, what), row in zip(rows, axes, strict=True):
        for layer, ax in enumerate(row):
            image = np.array(shown[name][state][what][layer]).T
            ax.imshow(
                image,
                aspect="auto",
                cmap="gray_r",
                vmin=0,
                vmax=1 if what == "activity" else None,
            )
            ax.set(xticks=[], yticks=[])
        label = f"{name}\n{what}\n{state}"
        row[0].set_ylabel(label, fontsize="x-small", rotation=0, ha="right", va="center")
    for layer, ax in enumerate(axes[0], 1):
        ax.set_title(f"layer {layer}", fontsize="small")
    figure.savefig(path, dpi=80)
    plt.close(figure)


TEXT = """\
MNIST, {n} samples for training and validation, {epochs} epochs. Means and standard errors
of the seeds, where there are several. Rates are the best of 0.01, 0.001 and 0.0001 after
{rate_epochs} epochs. *Short training* is {short_epochs} epochs of {short} samples, with
{short_seeds} seeds."""
BIASES = """\
The document has biases in the first layer only. With biases in all layers, after the short
training:"""
MAPS = """\
The first {n} nodes of each layer, across, by the ten digits, down: the share of a digit's
samples for which a node is on, and the median of its output, dark where large. One seed."""


def looks(runs, n_samples, n_epochs, seeds):
    """By depth and kind: what the seeds give, settings of the runs, and rates."""
    networks = list(product(DEPTHS, KINDS))
    cells = {
        (d, n): {"data": "mnist", "hidden": (WIDTH,) * d, "kind": KINDS[n]}
        for d, n in networks
    }
    rates = pretorius.rates(runs, cells, n_samples, runs.epochs(N_RATE_EPOCHS))
    size = {"n_samples": n_samples, "n_epochs": n_epochs}
    grid = {
        (d, n): {"depth": d, "kind": KINDS[n], "rate": rates[d, n]} | size
        for d, n in networks
    }
    return runs.by_seed(look, grid, seeds), grid, rates


def measured(runs):
    """What the seeds give, after short training too, with biases in all layers; rates."""
    n_samples, n_epochs, seeds = pretorius.protocol_deviations(
        runs, N_SAMPLES, N_EPOCHS, N_SEEDS
    )
    runs.deviates(
        "epochs before learning rates are compared", document=300, here=N_RATE_EPOCHS
    )
    runs.deviates("depths, widths", document="2 to 8; 200, 800", here=f"{DEPTHS}; {WIDTH}")
    found, _, rates = looks(runs, n_samples, n_epochs, seeds)
    n_short = N_SHORT_SAMPLES // (20 if runs.quick else 1)
    short, grid, _ = looks(runs, n_short, runs.epochs(N_SHORT_EPOCHS), range(N_SHORT_SEEDS))
    everywhere = {
        key: own | {"first_biases": False} for key, own in grid.items() if key[1] == "relu"
    }
    all_biases = runs.by_seed(look, everywhere, seeds[:1])
    return found, short, all_biases, rates


def run(runs):
    found, short, all_biases, rates = measured(runs)
    if found:
        plot_layers(found, runs.path("_layers.png"))
        plot_maps(found, runs.path("_maps.png"))
    runs.finish(
        "Dead nodes and sparsity of layers (Pretorius 2020, Tables 5.1 and 5.2)",
        TEXT.format(
            n=N_SAMPLES,
            epochs=runs.epochs(N_EPOCHS),
            rate_epochs=N_RATE_EPOCHS,
            short=N_SHORT_SAMPLES,
            short_epochs=runs.epochs(N_SHORT_EPOCHS),
            short_seeds=N_SHORT_SEEDS,
        ),
        pretorius.PROTOCOL,
        markdown(accuracy_table(found, rates)),
        "## Table 5.1: dead nodes (%)",
        markdown(dead_table(found, short)),
        BIASES,
        markdown(dead_table(all_biases, {})),
        "## Table 5.2: sparsity of layers (%)",
        markdown(sparsity_table(found)),
        "## Nodes by class, trained and untrained, training and test samples",
        "![Polarised nodes](dead_nodes_layers.png)",
        MAPS.format(n=N_SHOWN),
        "![Nodes by class](dead_nodes_maps.png)",
    )
