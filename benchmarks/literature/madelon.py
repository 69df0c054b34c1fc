"""Zhang's Tables 7.1 to 7.4 on Madelon: what learned and alternating slopes gain."""

from unittest import mock

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from benchmarks.literature import zhang
from benchmarks.literature.comparison import beside
from benchmarks.literature.zhang import SEEDS, garelu, train
from benchmarks.tables import markdown
from sksparse_mlp.activations import AllReLU, GAReLU, LeakyReLU
from sksparse_mlp.core.hidden import Hidden
from sksparse_mlp.initializers import HeUniform

SLOPES = [round(0.1 * k, 1) for k in range(1, 10)]
# Best test accuracy in % at each of SLOPES (Table 7.3).
PRINTED_BY_SLOPE = {
    "GAReLU": [67.33, 67.50, 67.33, 66.83, 68.67, 67.83, 68.17, 67.33, 67.50],
    "AllReLU": [66.00, 65.83, 67.33, 67.50, 67.50, 68.17, 66.17, 67.33, 66.17],
    "LeakyReLU": [65.67, 65.33, 66.67, 66.17, 65.50, 66.50, 65.00, 63.00, 63.00],
}
# Table 7.4: slopes of the three hidden layers at the end, for each of SLOPES.
PRINTED_ENDING = [
    (-0.54, -0.46, -0.65), (-0.60, -0.60, -0.79), (-0.65, -0.51, -0.81),
    (-0.66, -0.49, -0.79), (-0.68, -0.47, -0.82), (-0.67, -0.43, -0.83),
    (-0.73, -0.34, -0.80), (-0.79, -0.09, -0.56), (-0.86, 0.01, -0.72),
]  # fmt: skip
MAKERS = {"GAReLU": garelu, "AllReLU": AllReLU, "LeakyReLU": LeakyReLU}
NETWORK = zhang.protocol(
    batch_size=32, hidden_layer_sizes=(400, 100, 400), epsilon=10, max_iter=500
)

NO_DROPOUT = {"dropout": 0.0}
CHANGES = {
    "as above": {},
    "no weight decay": {"alpha": 0.0},
    "initial weights by a neuron's own connections": {"init": HeUniform()},
    "no dropout": NO_DROPOUT,
}


def to_the_letter(unit, optimizer, gradient, rate, n_updates, scale):
    """The update of slopes that equation 1.4 prints, for `Hidden._step_activation`."""
    unit.parameters *= optimizer.momentum
    unit.parameters += rate * scale * gradient


def train_to_the_letter(**settings):
    """As `train`, with slopes that follow equation 1.4."""
    with mock.patch.object(Hidden, "_step_activation", to_the_letter):
        return train(**settings)


class AscendingGAReLU(GAReLU):
    """GAReLU whose slopes go up the gradient, as equation 1.4 is printed."""

    def backward(self, z, da, parameters, gradient, start, stop):
        super().backward(z, da, parameters, gradient, start, stop)
        gradient[:, start:stop] *= -1


def results_by_slope(runs, network, maker, function=train, seeds=SEEDS, slopes=SLOPES):
    """Per slope, the results of the seeds."""
    seeds = runs.some(seeds)
    grid = [
        {"data": "madelon", "activation": maker(slope=k), "seed": s, "network": network}
        for k in slopes
        for s in seeds
    ]
    results = iter(runs.map(function, grid))
    return {slope: [next(results) for _ in seeds] for slope in slopes}


def compare_slopes(runs, network, makers, slopes=SLOPES, seeds=SEEDS):
    """Table 7.3, or a part of it: one line per slope and activation."""
    rows = []
    for name, maker in makers.items():
        printed = dict(zip(SLOPES, PRINTED_BY_SLOPE[name], strict=True))
        found = results_by_slope(runs, network, maker, seeds=seeds, slopes=slopes)
        for slope, results in found.items():
            best = [max(result["accuracy"]) for result in results]
            row = {"activation": name, "slope": f"{slope}"}
            rows.append(row | beside(printed[slope], best))
    return pd.DataFrame(rows)


def ending_slopes(runs, network):
    """Table 7.4, one seed: slopes of the layers by where they come from."""
    ways = {
        "per epoch": (garelu, train),
        "per batch": (lambda slope: garelu(slope, "batch"), train),
        "up": (lambda slope: AscendingGAReLU(slope=slope, update="epoch"), train),
        "to the letter": (garelu, train_to_the_letter),
    }
    slopes = {"document": np.array(PRINTED_ENDING)}
    for source, way in ways.items():
        found = results_by_slope(runs, network, *way, seeds=SEEDS[:1])
        slopes[source] = np.array([result["slopes"] for [result] in found.values()])
    return slopes


def slopes_table(slopes):
    rows = []
    for k, size in enumerate(SLOPES):
        row = {"start": f"-{size} {size} -{size}"}
        for source, values in slopes.items():
            row[source] = " ".join(f"{value:.2f}" for value in values[k])
        rows.append(row)
    return pd.DataFrame(rows)


def plot_slopes(slopes, path):
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.5), layout="constrained")
    for layer, ax in enumerate(axes):
        sign = 1 if layer == 1 else -1
        ax.plot(SLOPES, sign * np.array(SLOPES), color="0.6", label="start")
        for (source, values), style in zip(slopes.items(), "x^osv", strict=True):
            ax.plot(SLOPES, values[:, layer], style, fillstyle="none", label=source)
        ax.set_yscale("symlog", linthresh=1)
        ax.set(title=f"hidden layer {layer + 1}", xlabel="size of the starting slope")
    axes[0].set_ylabel("slope for negative inputs, signed")
    axes[0].legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


CHECKED = """\
Where Leaky ReLU is below the document, at large slopes, what the document leaves free was
changed: one change each, one seed, the largest slope."""
DROPOUT = """\
Without dropout, at all large slopes:"""

SIZES = """\
One seed. Signed slopes for negative inputs of the three hidden layers after the
last epoch. *Per epoch* updates them once after every epoch with the mean gradient, as the
document's Algorithm 4; *per batch* at every update, as the weights; both go down the
gradient. *Up* goes up it, once per epoch. *To the letter* does what equation 1.4 says: the
slope itself is multiplied by the momentum, and the gradient added. The package offers
neither of the last two."""


def deviations(runs):
    zhang.deviations(runs)
    runs.deviates("output layer", document="two classes", here="one logistic output")
    runs.deviates("seeds of Table 7.4 and of changed protocols", document=3, here=1)
    runs.deviates("last epoch", document="connections are removed", here="no evolution")


def run(runs):
    deviations(runs)
    network = NETWORK | {"max_iter": runs.epochs(NETWORK["max_iter"])}
    results = zhang.results_by_activation(runs, "madelon", 0.5, network)
    by_slope, slopes = compare_slopes(runs, network, MAKERS), ending_slopes(runs, network)
    leaky = {"LeakyReLU": LeakyReLU}
    changed = pd.concat(
        {
            name: compare_slopes(runs, network | change, leaky, SLOPES[-1:], SEEDS[:1])
            for name, change in CHANGES.items()
        },
        names=["protocol"],
    ).reset_index("protocol")
    without_dropout = compare_slopes(runs, network | NO_DROPOUT, leaky, SLOPES[4:])
    zhang.plot_curves(results, runs.path("_accuracy.png"), 0.5)
    plot_slopes(slopes, runs.path("_slopes.png"))
    runs.finish(
        "Madelon (Zhang 2023, Tables 7.1 to 7.4)",
        f"500-400-100-400-1 (one logistic output for the two classes), epsilon 10, batches "
        f"of 32, {network['max_iter']} epochs.",
        zhang.PROTOCOL.format(alpha=NETWORK["alpha"]),
        "## Table 7.1: best test accuracy in %, slope 0.5",
        markdown(zhang.accuracy_table("madelon", results)),
        "![Accuracy and gradient flow](madelon_accuracy.png)",
        "## Table 7.1: effective gradient flow",
        zhang.FLOW.format(n=zhang.N_OBSERVED),
        markdown(zhang.flow_table("madelon", results)),
        *zhang.slopes_section("madelon", 0.5, results),
        "## Table 7.3: best test accuracy in % by starting slope",
        "GAReLU's slopes are updated per epoch.",
        markdown(by_slope),
        CHECKED,
        markdown(changed),
        DROPOUT,
        markdown(without_dropout),
        "## Table 7.4: GAReLU's slopes at the end",
        SIZES,
        markdown(slopes_table(slopes)),
        "![Slopes](madelon_slopes.png)",
    )
