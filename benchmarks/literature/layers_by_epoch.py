"""Pretorius' layers as classifiers, by epoch and by width (his Figures 6.2 to 6.7)."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from benchmarks.literature import pretorius
from benchmarks.literature.comparison import with_error
from benchmarks.tables import markdown
from sksparse_mlp.analysis import layer_accuracies
from sksparse_mlp.callbacks import AnalysisRecorder

DATA, N_LAYERS, WIDTH = "fashion_mnist", 6, 100
WIDTHS = (20, 50, 100, 200, 400, 800)
ACTIVATIONS = ("relu", "logistic")
RATE = 1e-3
N_SAMPLES, N_EPOCHS, N_SEEDS, N_RECORDED = 20_000, 30, 3, 2_000
N_WIDTH_EPOCHS, N_JUDGED, WIDE = 8, 1_000, 400
MEASURES = (
    "dead_nodes",
    "sparsity",
    "layer_accuracy",
    "layer_accuracy_continuous",
    "layer_agreement",
    "layer_agreement_continuous",
)
COMBINED = ("layer_accuracy_combined", "layer_agreement_combined")
SYSTEMS = {"discrete": "", "continuous": "_continuous", "combined": "_combined"}


def by_epoch(activation, seed, n_samples, n_epochs):
    """Measures of the layers, and the network's accuracy, after every epoch."""
    X, y, X_test, y_test = pretorius.samples(DATA, n_samples)
    part = X_test[:N_RECORDED], y_test[:N_RECORDED]
    measures = MEASURES + COMBINED * (activation == "relu")
    recorder = AnalysisRecorder(*part, measures=measures)
    accuracy = pretorius.TestAccuracy(*part)
    model = pretorius.network(
        (WIDTH,) * N_LAYERS, {"activation": activation}, RATE, seed, n_epochs
    )
    pretorius.fitted(model, X, y, callbacks=[recorder, accuracy])
    return {
        "network": np.round(accuracy.scores, 4).tolist(),
        "layers": {
            name: [np.round(r[name], 4).tolist() for r in recorder.results_]
            for name in (*measures, "recovered_nodes")
        },
    }


def by_width(activation, width, seed, n_samples, n_epochs):
    """Test accuracies of layers and of the network."""
    X, y, X_test, y_test = pretorius.samples(DATA, n_samples)
    model = pretorius.network(
        (width,) * N_LAYERS, {"activation": activation}, RATE, seed, n_epochs
    )
    pretorius.fitted(model, X, y)
    few = slice(N_JUDGED)
    found = layer_accuracies(model, X[few], y[few], X_test[few], y_test[few])
    return {
        "network": round(found.network_test, 4),
        "layers": {
            system: values.round(4).tolist()
            for system, values in zip(found.systems, found.test, strict=True)
            if not np.isnan(values).any()
        },
    }


def systems_of(result):
    """Accuracies by epoch and layer of each system that the activation allows."""
    return {
        system: 100 * np.array(result["layers"]["layer_accuracy" + suffix])
        for system, suffix in SYSTEMS.items()
        if "layer_accuracy" + suffix in result["layers"]
    }


def plot_epochs(found, path):
    """A panel per activation and system, a line per layer; grey is the network."""
    figure, axes = plt.subplots(
        len(ACTIVATIONS), len(SYSTEMS), figsize=(10, 6), layout="constrained", sharey=True
    )
    for activation, row in zip(ACTIVATIONS, axes, strict=True):
        results = found.get(activation, [])
        for ax, system in zip(row, SYSTEMS, strict=True):
            if not results or system not in systems_of(results[0]):
                ax.set_axis_off()
                continue
            layers = np.mean([systems_of(result)[system] for result in results], axis=0)
            network = 100 * np.mean([result["network"] for result in results], axis=0)
            epochs = range(1, len(network) + 1)
            ax.plot(epochs, network, color="0.7", linewidth=4, label="network")
            for k, marker in enumerate("os^vDx"):
                ax.plot(
                    epochs,
                    layers[:, k],
                    f"k{marker}-",
                    markersize=3,
                    linewidth=0.7,
                    fillstyle="none",
                    label=f"layer {k + 1}",
                )
            ax.set_title(f"{activation}, {system}")
    axes[0, 0].legend(fontsize="x-small")
    figure.supxlabel("epoch")
    figure.supylabel("accuracy (%)")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def plot_widths(found, path):
    """A panel per activation and width, a line per system; grey is the network."""
    figure, axes = plt.subplots(
        len(ACTIVATIONS), len(WIDTHS), figsize=(12, 5), layout="constrained", sharey=True
    )
    for (activation, width), results in found.items():
        ax = axes[ACTIVATIONS.index(activation), WIDTHS.index(width)]
        layers = range(1, N_LAYERS + 1)
        for (system, values), style in zip(
            results[0]["layers"].items(), ("ko-", "ks--", "k^:"), strict=False
        ):
            ax.plot(layers, 100 * np.array(values), style, markersize=3, label=system)
        ax.axhline(100 * results[0]["network"], color="0.7", linewidth=4, zorder=0)
        ax.set_title(f"{activation}, {width}", fontsize="medium")
    axes[0, 0].legend(fontsize="x-small")
    figure.supxlabel("hidden layer")
    figure.supylabel("test accuracy (%)")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def epoch_table(found):
    """After the first, the middle and the last epoch: first and last layer, network."""
    rows = []
    for activation, results in found.items():
        n_epochs = len(results[0]["network"])
        for epoch in sorted({0, n_epochs // 2, n_epochs - 1}):
            row = {"activation": activation, "epoch": str(epoch + 1)}
            row["network (%)"] = with_error([100 * r["network"][epoch] for r in results])
            for system, suffix in SYSTEMS.items():
                for place, k in (("first", 0), ("last", -1)):
                    for what in ("accuracy", "agreement"):
                        name = f"layer_{what}{suffix}"
                        values = [
                            100 * r["layers"][name][epoch][k]
                            for r in results
                            if name in r["layers"]
                        ]
                        text = with_error(values, 1) if values else "-"
                        row[f"{place} layer, {system}: {what} (%)"] = text
            rows.append(row)
    return pd.DataFrame(rows)


def nodes_table(found):
    """Dead nodes, those that came back and sparsity by layer after the last epoch."""
    rows = []
    for activation, results in found.items():
        layers = results[0]["layers"]
        rows.append(
            {
                "activation": activation,
                "dead nodes by layer": " ".join(map(str, layers["dead_nodes"][-1])),
                "came back in all epochs": " ".join(
                    str(n) for n in np.sum(layers["recovered_nodes"], axis=0)
                ),
                "sparsity by layer (%)": " ".join(
                    f"{100 * s:.0f}" for s in layers["sparsity"][-1]
                ),
            }
        )
    return pd.DataFrame(rows)


def width_table(found):
    """Test accuracy of the last layer less the network's, by system."""
    rows = []
    for (activation, width), results in found.items():
        row = {"activation": activation, "width": str(width)}
        row["network (%)"] = with_error([100 * r["network"] for r in results])
        for system in SYSTEMS:
            gaps = [
                100 * (r["layers"][system][-1] - r["network"])
                for r in results
                if system in r["layers"]
            ]
            row[f"{system}, less that (points)"] = with_error(gaps, 1) if gaps else "-"
        rows.append(row)
    return pd.DataFrame(rows)


TEXT = """\
Fashion-MNIST, {layers} hidden layers, learning rate {rate:g}; {n} samples for training and
validation. By epoch: {layers} x {width}, {epochs} epochs; layers learn from {recorded} test
samples and are judged on them, as `AnalysisRecorder` does. By width: {width_epochs} epochs;
layers learn from {judged} training samples and are judged on as many test samples."""


def measured(runs):
    """What the seeds give, by activation, and by activation and width."""
    n_samples, n_epochs, seeds = pretorius.protocol_deviations(
        runs, N_SAMPLES, N_EPOCHS, N_SEEDS
    )
    n_width = runs.epochs(
        runs.reduced("epochs of the networks by width", document=300, here=N_WIDTH_EPOCHS)
    )
    runs.deviates("initial learning rate", document="the best of three", here=RATE)
    runs.deviates("samples that judge layers", document=10_000, here=N_RECORDED)
    epochs = runs.by_seed(
        by_epoch,
        {
            a: {"activation": a, "n_samples": n_samples, "n_epochs": n_epochs}
            for a in ACTIVATIONS
        },
        seeds,
    )
    runs.deviates(f"seeds, widths from {WIDE} on", document=3, here=1)
    grid = {
        (a, w): [
            {"activation": a, "width": w, "n_samples": n_samples, "n_epochs": n_width}
            | {"seed": seed}
            for seed in (seeds if w < WIDE else seeds[:1])
        ]
        for w, a in product(WIDTHS, ACTIVATIONS)
    }
    return epochs, runs.cells(by_width, grid)


def run(runs):
    epochs, widths = measured(runs)
    plot_epochs(epochs, runs.path("_epochs.png"))
    plot_widths(widths, runs.path("_widths.png"))
    runs.finish(
        "Layers as classifiers by epoch and by width (Pretorius 2020, Figures 6.2 to 6.7)",
        TEXT.format(
            layers=N_LAYERS,
            rate=RATE,
            n=N_SAMPLES,
            width=WIDTH,
            epochs=runs.epochs(N_EPOCHS),
            recorded=N_RECORDED,
            width_epochs=runs.epochs(N_WIDTH_EPOCHS),
            judged=N_JUDGED,
        ),
        pretorius.PROTOCOL,
        "## By epoch",
        "![Layer accuracies by epoch](layers_by_epoch_epochs.png)",
        markdown(epoch_table(epochs)),
        markdown(nodes_table(epochs)),
        "## By width",
        "![Layer accuracies by width](layers_by_epoch_widths.png)",
        markdown(width_table(widths)),
    )
