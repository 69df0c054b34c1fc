"""Zhang's Experiment 2 (Figure 7.2): Madelon by the density of its layers."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from benchmarks.literature import madelon, zhang
from benchmarks.literature.comparison import standard_error
from benchmarks.tables import markdown
from sksparse_mlp.activations import AllReLU, LeakyReLU, ReLU

EPSILONS = (10, 20, 30, 40)
SLOPE = 0.5
ACTIVATIONS = {
    "GAReLU": zhang.garelu(SLOPE),
    "AllReLU": AllReLU(slope=SLOPE),
    "ReLU": ReLU(),
    "LeakyReLU": LeakyReLU(slope=SLOPE),
}
# A test accuracy in % that falls by so much, to near chance, is called an explosion.
FALL = 5.0
NEAR_CHANCE = 52


def settings(epsilon, name, seed, network):
    return {
        "data": "madelon",
        "activation": ACTIVATIONS[name],
        "seed": seed,
        "network": network | {"epsilon": epsilon},
        "with_flow": False,
    }


def grid_of(network, seeds):
    """Per epsilon and activation, the settings of the seeds."""
    return {
        (epsilon, name): [settings(epsilon, name, seed, network) for seed in seeds]
        for epsilon, name in product(EPSILONS, ACTIVATIONS)
    }


def curves_of(results, n_epochs):
    """Test accuracies in %, (n_seeds, n_epochs); NaN after a run has diverged."""
    curves = np.full((len(results), n_epochs), np.nan)
    for curve, result in zip(curves, results, strict=True):
        curve[: len(result["accuracy"])] = result["accuracy"]
    return curves


def last(curves):
    """The accuracy after the last epoch that there was, of each seed."""
    return [curve[np.isfinite(curve)][-1] for curve in curves]


def row(cell, results, n_epochs):
    epsilon, name = cell
    curves = curves_of(results, n_epochs)
    best = np.nanmax(curves, axis=1)
    error = standard_error(best)
    n_cut = sum(len(r["accuracy"]) < n_epochs for r in results)
    return {
        "epsilon": str(epsilon),
        "activation": name,
        "seeds": str(len(results)),
        "best accuracy (%)": best.mean(),
        "standard error": "-" if np.isnan(error) else f"{error:.2f}",
        "last accuracy (%)": float(np.mean(last(curves))),
        "falls from its best by (points)": float(np.mean(best - last(curves))),
        "not finite after some epoch": str(n_cut),
    }


def verdicts(found, n_epochs):
    """The document's statements, and what is measured."""
    best = {
        cell: np.nanmax(curves_of(results, n_epochs), axis=1).mean()
        for cell, results in found.items()
    }
    rows = []
    for epsilon in EPSILONS:
        own = {name: best[epsilon, name] for name in ACTIVATIONS if (epsilon, name) in best}
        if not own:
            continue
        order = sorted(own, key=own.get, reverse=True)
        rows.append(
            {
                "epsilon": str(epsilon),
                "from best to worst": ", ".join(
                    f"{name} {own[name]:.1f}" for name in order
                ),
                "GAReLU is first": "yes" if order[0] == "GAReLU" else "no",
                "both alternating ahead of the other two": "yes"
                if {*order[:2]} == {"GAReLU", "AllReLU"}
                else "no",
                "LeakyReLU is last": "yes" if order[-1] == "LeakyReLU" else "no",
                "LeakyReLU explodes": explodes(found.get((epsilon, "LeakyReLU")), n_epochs),
            }
        )
    return pd.DataFrame(rows)


def explodes(results, n_epochs):
    """In how many of the runs the accuracy falls away, or weights are no longer finite."""
    if results is None:
        return "-"
    curves = curves_of(results, n_epochs)
    fallen = np.nanmax(curves, axis=1) - last(curves) >= FALL
    cut = ~np.isfinite(curves[:, -1])
    near_chance = np.array(last(curves)) < NEAR_CHANCE
    return f"{np.sum(cut | (fallen & near_chance))} of {len(results)}"


def plot(found, path, n_epochs):
    """A panel per epsilon, means of the seeds and of 10 epochs."""
    figure, axes = plt.subplots(
        2, 2, figsize=(8, 6), layout="constrained", sharey=True, sharex=True
    )
    for epsilon, ax in zip(EPSILONS, axes.flat, strict=True):
        for name, style in zip(ACTIVATIONS, zhang.LINES, strict=True):
            if (epsilon, name) in found:
                mean = np.nanmean(curves_of(found[epsilon, name], n_epochs), axis=0)
                ax.plot(zhang.smooth(mean), style, label=name)
        ax.set_title(f"epsilon {epsilon}")
    axes[0, 0].legend()
    figure.supxlabel("epoch")
    figure.supylabel("test accuracy (%), mean of 10 epochs")
    figure.savefig(path, dpi=110)
    plt.close(figure)


CHANGES = {
    "as above": {},
    "no weight decay": {"alpha": 0.0},
    "no weight decay, no dropout": {"alpha": 0.0, "dropout": 0.0},
}
CHANGED = """\
What the document leaves free, changed for Leaky ReLU at epsilon 40, one seed."""


def changed(runs, network):
    """What of the protocol may make Leaky ReLU explode."""
    grid = {
        name: [settings(EPSILONS[-1], "LeakyReLU", 0, network | change)]
        for name, change in CHANGES.items()
    }
    rows = []
    for name, results in runs.cells(zhang.train, grid).items():
        curves = curves_of(results, network["max_iter"])
        rows.append(
            {
                "protocol": name,
                "best accuracy (%)": np.nanmax(curves),
                "last accuracy (%)": float(last(curves)[0]),
                "epochs until not finite": str(len(results[0]["accuracy"]))
                if len(results[0]["accuracy"]) < network["max_iter"]
                else "-",
                "explodes": explodes(results, network["max_iter"]),
            }
        )
    return pd.DataFrame(rows)


TEXT = """\
500-400-100-400-1 as on the page of [Madelon](madelon.md), slope {slope}, {n} epochs, by
epsilon. The accuracies of the document's figure are not in the text that we have; what it
says of the figure is: GAReLU is slightly ahead of All-ReLU, both are ahead of the other
two, Leaky ReLU is the worst, and at epsilon 40 its gradients explode after about 100
epochs. A run counts as exploded if a weight or the loss is no longer finite, or if the
accuracy has fallen by {fall:g} points or more from its best to below {chance} %."""


def run(runs):
    zhang.deviations(runs)
    n_epochs = runs.epochs(runs.reduced("epochs", document=500, here=500))
    seeds = range(runs.reduced("seeds", document=3, here=3))
    network = madelon.NETWORK | {"max_iter": n_epochs}
    found = runs.cells(zhang.train, grid_of(network, runs.some(seeds)))
    rows_changed = changed(runs, network)
    if found:
        plot(found, runs.path(".png"), n_epochs)
    runs.finish(
        "Madelon by density (Zhang 2023, Experiment 2, Figure 7.2)",
        TEXT.format(slope=SLOPE, n=n_epochs, fall=FALL, chance=NEAR_CHANCE),
        zhang.PROTOCOL.format(alpha=network["alpha"]),
        "## What the document says of it",
        markdown(verdicts(found, n_epochs)),
        CHANGED,
        markdown(rows_changed),
        "## Accuracies",
        markdown(pd.DataFrame([row(*item, n_epochs) for item in found.items()])),
        "![Accuracy by epoch](densities.png)",
    )
