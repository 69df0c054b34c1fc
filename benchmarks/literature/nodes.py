"""Pretorius' analysis of nodes on MNIST: activity, sparsity, layers as classifiers."""

import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.data import load
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.analysis import NodeActivity, layer_accuracies

# The document's kinds of networks, at two of its depths, and a sparse network.
KINDS = [
    {"activation": activation, "batch_norm": batch_norm}
    for activation in ("relu", "logistic")
    for batch_norm in (False, True)
]
DEPTHS = (4, 8)
NETWORKS = [{"n_layers": n_layers, **kind} for n_layers in DEPTHS for kind in KINDS]
SPARSE = {"n_layers": 4, **KINDS[0], "epsilon": 20, "zeta": 0.3}
WIDTH, N_VALIDATION = 200, 5_000
# Of all networks of the document: full layers that never change.
FULL = {
    "epsilon": 1e6,
    "zeta": 0.0,
    "alpha": 0.0,
    "dropout": 0.0,
    "batch_size": 64,
    "learning_rate": "exponential",
    "scoring": "accuracy",
}
SHARED = FULL | {
    "learning_rate_init": 1e-3,
    "early_stopping": True,
    "n_iter_no_change": 10,
    "max_iter": 25,
    "random_state": 0,
}
# Bins of the activity of a node for a class, each 5 % wide.
N_BINS = 20
N_WARM_UP = 500
WANTED_GAP, WANTED_SECONDS, WANTED_GIB = 1.5, 60, 2

# The document's figures in percent; columns in the order of the kinds.
DOCUMENT_ACCURACY = {4: (98.55, 98.71, 98.18, 98.36)}
DOCUMENT_DEAD = {4: (1.38, 2.38, 1.5, 2.87), 8: (20.12, 3.93, 10.5, 8.81)}
DOCUMENT_SPARSITY = {
    4: (
        (75.65, 75.52, 77.11, 78.91),
        (62.86, 53.38, 65.71, 65.80),
        (55.41, 60.70, 56.41, 52.17),
        (33.25, 33.23, 34.39, 33.69),
    ),
    8: (
        (61.40, 61.89, 67.98, 61.73, 65.69, 68.79, 63.30, 67.72),
        (61.40, 61.89, 67.98, 61.73, 56.23, 55.23, 55.17, 53.35),
        (36.10, 49.57, 46.59, 54.16, 56.19, 52.14, 41.82, 53.63),
        (40.34, 40.96, 40.82, 40.04, 41.48, 40.46, 40.97, 41.98),
    ),
}

PARTS = {"train": "training samples", "test": "test samples"}
SYSTEM_STYLES = {
    "discrete": {"linestyle": "-", "marker": "o"},
    "continuous": {"linestyle": "--", "marker": "s"},
    "combined": {"linestyle": ":", "marker": "^"},
}
LINE_STYLES, MARKERS = ("-", "--", "-.", ":", (0, (1, 3))), "os^vD"


def samples():
    """Training pixels and labels, and those of the test, pixels from 0 to 1 in float32."""
    X_train, y_train, X_test, y_test = load("mnist")
    scale = np.float32(1 / 255)
    return X_train * scale, y_train, X_test * scale, y_test


def trained(settings, X, y):
    """A network as at its best epoch on the validation samples; CPU seconds it took."""
    settings = settings.copy()
    n_layers = settings.pop("n_layers")
    model = SparseMLPClassifier(
        (WIDTH,) * n_layers, validation_fraction=N_VALIDATION / len(y), **settings
    )
    started = time.process_time()
    model.fit(X, y)
    return model, time.process_time() - started


def measure(settings):
    """Train a network and look inside; accuracies and sparsity are shares."""
    # A process inherits the peak of memory of its parent, which has no samples therefore.
    model, result = in_fresh_process(train_and_look, settings)
    return result | in_fresh_process(classify_by_layer, model)


@threadpool_limits.wrap(limits=1)
def train_and_look(settings):
    """A network, with how it was trained and which nodes are on."""
    X, y, *_ = samples()
    model, cpu_seconds = trained(settings, X, y)
    activity = NodeActivity(model).fit(X, y)
    return model, {
        "epochs": model.n_iter_,
        "best_epoch": 1 + best_epoch(model.validation_scores_),
        "training_cpu_seconds": round(cpu_seconds, 1),
        "connections": int(model.n_connections_.sum()),
        "validation": round(model.best_validation_score_, 5),
        "dead": [int(dead.sum()) for dead in activity.dead_nodes_],
        "sparsity": activity.sparsity_.round(5).tolist(),
        "activity": [
            np.histogram(values[~dead], N_BINS, (0, 1))[0].tolist()
            for values, dead in zip(activity.activity_, activity.dead_nodes_, strict=True)
        ],
    }


def best_epoch(scores):
    """The last of equally good epochs, which early stopping keeps."""
    return len(scores) - 1 - int(np.argmax(scores[::-1]))


def in_fresh_process(function, *arguments):
    """What the function returns."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        return fresh.submit(function, *arguments).result()


@threadpool_limits.wrap(limits=1)
def classify_by_layer(model):
    """Accuracies of all systems and layers, with the time and the memory they took."""
    X_train, y_train, X_test, y_test = samples()
    few = X_train[:N_WARM_UP], y_train[:N_WARM_UP]
    layer_accuracies(model, *few, *few)
    started, cpu_started = time.perf_counter(), time.process_time()
    found = layer_accuracies(model, X_train, y_train, X_test, y_test)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "layers": {
            part: {
                system: accuracies.round(5).tolist()
                for system, accuracies in zip(found.systems, values, strict=True)
                if not np.isnan(accuracies).any()
            }
            for part, values in (("train", found.train), ("test", found.test))
        },
        "network": {"train": found.network_train, "test": found.network_test},
        "layer_seconds": round(seconds, 2),
        "layer_cpu_seconds": round(cpu_seconds, 2),
        "layer_peak_gib": round(peak / 2**30, 3),
    }


def label(network):
    sparse = ", sparse" if "epsilon" in network else ""
    return f"{network['n_layers']} x {WIDTH} {kind_label(network)}{sparse}"


def kind_label(kind):
    return kind["activation"] + (", batch norm" if kind["batch_norm"] else "")


def in_document(table, network):
    """What the document says of the network, or a dash."""
    is_there = "epsilon" not in network and network["n_layers"] in table
    kind = {name: network[name] for name in KINDS[0]}
    return table[network["n_layers"]][KINDS.index(kind)] if is_there else "-"


def training_row(network, result):
    return {
        "network": label(network),
        "connections": f"{result['connections']:,}",
        "epochs": result["epochs"],
        "best epoch": result["best_epoch"],
        "CPU seconds": f"{result['training_cpu_seconds']:.0f}",
        "validation (%)": 100 * result["validation"],
        "training (%)": 100 * result["network"]["train"],
        "test (%)": 100 * result["network"]["test"],
        "document's test (%)": in_document(DOCUMENT_ACCURACY, network),
    }


def dead_row(network, result):
    return {
        "network": label(network),
        "dead nodes (%)": 100 * sum(result["dead"]) / (WIDTH * len(result["dead"])),
        "document (%)": in_document(DOCUMENT_DEAD, network),
        "dead nodes by layer": " ".join(str(n_dead) for n_dead in result["dead"]),
    }


def sparsity_table(measured, n_layers):
    """Layers down; for each network our sparsity and the document's."""
    columns = {"layer": range(1, n_layers + 1)}
    for network, result in measured:
        if network["n_layers"] == n_layers:
            name = label(network).removeprefix(f"{n_layers} x {WIDTH} ")
            columns[name] = 100 * np.array(result["sparsity"])
            if "epsilon" not in network:
                columns[f"{name}: document"] = in_document(DOCUMENT_SPARSITY, network)
    return pd.DataFrame(columns).astype({"layer": object})


def polarised(result):
    """Per layer, the percentage of living nodes and classes below 5 % or above 95 %."""
    counts = np.array(result["activity"])
    return 100 * (counts[:, 0] + counts[:, -1]) / counts.sum(axis=1)


def polarised_row(network, result):
    layers = enumerate(polarised(result), 1)
    return {"network": label(network)} | {f"layer {k}": value for k, value in layers}


def layer_rows(network, result):
    """A row per layer: the accuracies of the systems and of the network."""
    for k in range(network["n_layers"]):
        row = {"network": label(network), "layer": str(k + 1)}
        for part in PARTS:
            for system in SYSTEM_STYLES:
                found = result["layers"][part].get(system)
                row[f"{part}: {system} (%)"] = 100 * found[k] if found else "-"
            row[f"{part}: network (%)"] = 100 * result["network"][part]
        yield row


def last_gaps(result):
    """Points by which the last layer's test accuracy is off the network's, by system."""
    own = result["network"]["test"]
    systems = result["layers"]["test"].items()
    return {system: 100 * (accuracies[-1] - own) for system, accuracies in systems}


def gap_row(network, result):
    gaps = last_gaps(result)
    return {
        "network": label(network),
        "network's test accuracy (%)": 100 * result["network"]["test"],
    } | {f"{system}, less that (points)": gaps.get(system, "-") for system in SYSTEM_STYLES}


def cost_row(network, result):
    return {
        "network": label(network),
        "seconds": result["layer_seconds"],
        "of the core": result["layer_cpu_seconds"],
        "peak memory (GiB)": result["layer_peak_gib"],
    }


def targets(measured):
    """The aims, for the 4 x 200 relu network, and what was reached."""
    network, result = measured[0]
    gaps = last_gaps(result)
    largest = max(abs(gap) for gap in gaps.values())
    seconds, gib = result["layer_cpu_seconds"], result["layer_peak_gib"]
    reached = ", ".join(f"{system} {gap:+.2f}" for system, gap in gaps.items())
    rows = [
        (
            "last hidden layer, each system's test accuracy less the network's own",
            f"within {WANTED_GAP} points",
            f"{reached} points",
            largest <= WANTED_GAP,
        ),
        (
            "all systems and layers, fitted and scored on training and test samples",
            f"< {WANTED_SECONDS} s on 2 cores, < {WANTED_GIB} GiB",
            f"{seconds:.1f} s of 1 core, {gib:.2f} GiB",
            seconds < WANTED_SECONDS and gib < WANTED_GIB,
        ),
    ]
    return pd.DataFrame(
        [
            {
                label(network): name,
                "wanted": wanted,
                "reached": value,
                "met": "yes" if met else "no",
            }
            for name, wanted, value, met in rows
        ]
    )


def plot_accuracies(measured, path):
    """A panel per network and kind of samples; rows share their accuracy axis."""
    rows = [(n_layers, part) for n_layers in DEPTHS for part in PARTS]
    figure, axes = plt.subplots(
        len(rows), len(KINDS) + 1, figsize=(12, 10), layout="constrained", sharey=True,
        squeeze=False,
    )  # fmt: skip
    for (n_layers, part), row in zip(rows, axes, strict=True):
        shown = [(net, found) for net, found in measured if net["n_layers"] == n_layers]
        for ax, (network, result) in zip(row, shown, strict=False):
            plot_systems(ax, result, part)
            ax.set_title(f"{label(network)}\n{PARTS[part]}", fontsize="medium")
        for ax in row[len(shown) :]:
            ax.set_axis_off()
        row[0].set_ylabel("accuracy (%)")
    figure.supxlabel("hidden layer")
    axes[-1, -1].legend(*axes[0, 0].get_legend_handles_labels(), loc="center")
    figure.savefig(path, dpi=120)


def plot_systems(ax, result, part):
    for system, accuracies in result["layers"][part].items():
        layers = range(1, len(accuracies) + 1)
        shown = SYSTEM_STYLES[system] | {"markersize": 4, "color": "black"}
        ax.plot(layers, 100 * np.array(accuracies), label=system, **shown)
    own = 100 * result["network"][part]
    ax.axhline(own, color="0.6", linewidth=3, zorder=0, label="the network")
    ax.set_xticks(layers)


def plot_by_depth(measured, path, values, ylabel, document=None):
    """A panel per depth, a line per network: ours in black, the document's in grey."""
    figure, axes = plt.subplots(
        1, len(DEPTHS), figsize=(10, 4), layout="constrained", sharey=True
    )
    for n_layers, ax in zip(DEPTHS, axes, strict=True):
        shown = [(net, found) for net, found in measured if net["n_layers"] == n_layers]
        layers = range(1, n_layers + 1)
        for (network, result), linestyle, marker in zip(
            shown, LINE_STYLES, MARKERS, strict=False
        ):
            style = {"linestyle": linestyle, "marker": marker}
            ax.plot(layers, values(result), color="black", label=label(network), **style)
            if document and "epsilon" not in network:
                theirs = in_document(document, network)
                ax.plot(layers, theirs, color="0.7", zorder=0, **style)
        ax.set(xlabel="hidden layer", xticks=layers, ylim=(0, 100))
        ax.legend(fontsize="small")
    axes[0].set_ylabel(ylabel)
    figure.savefig(path, dpi=120)


TEXT = """\
MNIST, pixels from 0 to 1, float32; {width} nodes per layer, all connections (the sparse
network: epsilon {SPARSE[epsilon]}, zeta {SPARSE[zeta]}); He initialisation for relu, Xavier
for logistic; Adam, batches of {SHARED[batch_size]}, initial learning rate
{SHARED[learning_rate_init]:g}, multiplied by 0.99 after each epoch; no dropout, no penalty.
{n_validation:,} of the 60,000 training samples are for validation; the network of the best
epoch is kept. All networks together trained for {minutes:.0f} minutes of one core. What is
inside is taken over all 60,000 training samples, the validation samples among them."""

DEAD = """\
Nodes that are off for every training sample, of all nodes of the hidden layers. Relu nodes
are on above 0, logistic ones above 0.5."""

SPARSITY = """\
Share of the training samples for which a node is off, the mean over the nodes of a layer
that are not dead. In the text of the document that we have, both relu columns of the 8
layers agree in the first four layers, so that one of them is not right. In the plot the
document's figures are grey."""

ACTIVITY = """\
Activity is the share of the samples of a class for which a node is on. Below is how many
of the pairs of a living node and a class are nearly always off (below 5 %) or on (above
95 %). The document's figures 5.1 to 5.5 lead to expect more of them in deeper layers."""

LAYERS = """\
Each hidden layer as a classifier of its own, from whether its nodes are on (discrete), from
their pre-activations (continuous, bandwidth 0.2), or from both (combined, relu only), as in
chapter 6; the document has the figures without batch normalisation only, as plots. Layers
learn from all training samples."""

COST = """\
All systems of all layers, fitted on the 60,000 training samples and scored on these and the
10,000 test samples, in one thread. The peak is that of a whole fresh process, the samples
included. Seconds are those of the clock, while the machine had other work; those of the
core are what one thread took, and what the target above is compared with."""


DEVIATIONS = [
    ("seeds", 3, 1),
    ("initial learning rate", "the best of 0.01, 0.001, 0.0001", f"{1e-3:g}"),
    ("epochs without a better one that end training", "-", SHARED["n_iter_no_change"]),
    ("biases", "in the first layer", "in all layers"),
    ("data sets", "MNIST, Fashion-MNIST, CIFAR-10", "MNIST"),
    ("depths and widths", "2 to 8; 200 and 800", f"{DEPTHS[0]} and {DEPTHS[1]}; {WIDTH}"),
]


def run(runs):
    networks = [*NETWORKS[: len(KINDS)], SPARSE, *NETWORKS[len(KINDS) :]]
    most = runs.reduced("epochs at most", document=300, here=SHARED["max_iter"])
    shared = SHARED | {"max_iter": runs.epochs(most)}
    if runs.full:
        shared["n_iter_no_change"] = most
    for what, document, here in DEVIATIONS:
        runs.deviates(what, document=document, here=here)
    grid = [{"settings": shared | network} for network in networks]
    measured = list(zip(networks, runs.map(measure, grid), strict=True))
    plot_accuracies(measured, runs.path("_accuracy.png"))
    plot_by_depth(
        measured, runs.path("_sparsity.png"),
        lambda result: 100 * np.array(result["sparsity"]), "layer sparsity (%)",
        DOCUMENT_SPARSITY,
    )  # fmt: skip
    plot_by_depth(
        measured, runs.path("_activity.png"), polarised,
        "nodes and classes below 5 or above 95 % (%)",
    )  # fmt: skip
    seconds = sum(result["training_cpu_seconds"] for _, result in measured)
    runs.finish(
        "Nodes of networks on MNIST (Pretorius 2020)",
        TEXT.format(
            width=WIDTH, n_validation=N_VALIDATION, SPARSE=SPARSE, SHARED=SHARED,
            minutes=seconds / 60,
        ),
        markdown(table(training_row, measured)),
        markdown(targets(measured)),
        "## Dead nodes (Table 5.1)",
        DEAD,
        markdown(table(dead_row, measured)),
        "## Layer sparsity (Table 5.2)",
        SPARSITY,
        *(markdown(sparsity_table(measured, n_layers)) for n_layers in DEPTHS),
        "![Layer sparsity](nodes_sparsity.png)",
        "## Node activity (figures 5.1 to 5.5)",
        ACTIVITY,
        markdown(table(polarised_row, measured).fillna("-")),
        "![Polarised nodes](nodes_activity.png)",
        "## Layers as classifiers (figures 6.4 and 6.5)",
        LAYERS,
        "![Layer accuracies](nodes_accuracy.png)",
        markdown(table(gap_row, measured)),
        markdown(pd.DataFrame([row for pair in measured for row in layer_rows(*pair)])),
        "## Cost of the layer accuracies",
        COST,
        markdown(table(cost_row, measured)),
    )  # fmt: skip


def table(row, measured):
    return pd.DataFrame([row(network, result) for network, result in measured])
