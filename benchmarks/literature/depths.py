"""Pretorius' accuracy curves by depth and width (his chapter 3)."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from benchmarks.literature import pretorius
from benchmarks.literature.comparison import with_error
from benchmarks.literature.pretorius import KINDS
from benchmarks.tables import markdown

DATA = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
WIDTHS = {200: (2, 4, 6, 8), 800: (2, 4, 8)}
SHOWN = ("relu", "logistic")
RATE = {"relu": 1e-3, "logistic": 1e-3}
N_SAMPLES, N_EPOCHS, N_SEEDS = 10_000, 8, 1


def table(found):
    rows = []
    for (data, width, depth, name), results in found.items():
        rows.append(
            {
                "data": DATA[data],
                "activation": name,
                "layers": f"{depth} x {width}",
                "test accuracy, best epoch on validation (%)": with_error(
                    [r["best"] for r in results]
                ),
                "by epoch (%)": " ".join(
                    f"{a:.1f}" for a in np.mean([r["accuracy"] for r in results], axis=0)
                ),
            }
        )
    return pd.DataFrame(rows)


def plot(found, path):
    """A panel per data set and width, a line per depth and activation."""
    figure, axes = plt.subplots(
        len(DATA), len(WIDTHS), figsize=(9, 6), layout="constrained", sharey="row"
    )
    for (data, row), (width, k) in product(
        zip(DATA, axes, strict=True), zip(WIDTHS, range(len(WIDTHS)), strict=True)
    ):
        for (d, w, depth, name), results in found.items():
            if (d, w) == (data, width):
                mean = np.mean([r["accuracy"] for r in results], axis=0)
                line = "-" if name == "relu" else "--"
                row[k].plot(
                    range(1, len(mean) + 1),
                    mean,
                    line,
                    color="black",
                    marker="os^v"[depth // 2 - 1],
                    markersize=4,
                    fillstyle="none",
                    label=f"{name}, {depth} layers",
                )
        row[k].set_title(f"{DATA[data]}, width {width}")
    axes[0, 0].legend(fontsize="x-small")
    figure.supxlabel("epoch")
    figure.supylabel("test accuracy (%)")
    figure.savefig(path, dpi=100)
    plt.close(figure)


TEXT = """\
{n} samples for training and validation, {epochs} epochs, learning rate 0.001."""


def measured(runs):
    """What the seeds give by data set, width, depth and kind."""
    n_samples, n_epochs, seeds = pretorius.protocol_deviations(
        runs, N_SAMPLES, N_EPOCHS, N_SEEDS
    )
    runs.deviates("initial learning rate", document="the best of three", here=0.001)
    runs.deviates(
        "data sets",
        document="MNIST, Fashion-MNIST, CIFAR-10",
        here=", ".join(DATA.values()),
    )
    runs.deviates("kinds of networks", document=", ".join(KINDS), here=", ".join(SHOWN))
    cells = {
        (data, width, depth, name): {
            "data": data,
            "hidden": (width,) * depth,
            "kind": KINDS[name],
            "rate": RATE[name],
            "n_samples": n_samples,
            "n_epochs": n_epochs,
        }
        for width, depths in WIDTHS.items()
        for depth, data, name in product(depths, DATA, SHOWN)
    }
    return runs.by_seed(pretorius.curves, cells, seeds)


def run(runs):
    found = measured(runs)
    plot(found, runs.path(".png"))
    runs.finish(
        "Accuracy by depth and width (Pretorius 2020, chapter 3)",
        TEXT.format(n=N_SAMPLES, epochs=runs.epochs(N_EPOCHS)),
        pretorius.PROTOCOL,
        "![Accuracy by epoch](depths.png)",
        markdown(table(found)),
    )
