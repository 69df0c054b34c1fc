"""Radu: SET against LiSET on MNIST and ISOLET."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from benchmarks.accuracy import TestAccuracy
from benchmarks.samples import scaled
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.analysis import average_ratioed_accuracy
from sksparse_mlp.initializers import HeUniform
from sksparse_mlp.topology import LiSET, RandomGrowth

SEEDS = (0, 1, 2)
# Those of three seeds; one seed for the others.
GAMMAS = (-24, -5, 0, 3)
OTHER_GAMMAS = (-18, -12, -8, -3, -1, 1, 5)
# Of the weights of new connections, relative to He's initialisation. The smaller one is
# about that of `SmallUniform`.
SCALE, SMALL_SCALE = 0.5, 0.1
NETWORKS = {
    "mnist": {"hidden_layer_sizes": (300, 100), "learning_rate_init": 0.001},
    "isolet": {"hidden_layer_sizes": (512, 256, 128), "learning_rate_init": 0.01},
}
SHARED = {
    "activation": "leaky_relu",
    "slope": 0.01,
    "zeta": 0.3,
    "solver": "sgd",
    "momentum": 0.0,
    "nesterovs_momentum": False,
    "learning_rate": "constant",
    "alpha": 0.0,
    "dropout": 0.3,
    "batch_size": 100,
    "max_iter": 250,
    "n_iter_no_change": 250,
}
# Data set and epsilon; the document's ARA and final accuracy by gamma, and of SET.
ALL_GAMMAS = sorted((*GAMMAS, *OTHER_GAMMAS))
PRINTED = {
    ("mnist", 4.5): (
        (71.03, 71.05, 70.77, 70.16, 71.06, 69.86, 71.35, 74.03, 74.13, 72.52, 63.92),
        (83.73, 84.06, 84.13, 84.29, 84.10, 83.87, 84.79, 85.41, 86.05, 87.14, 84.91),
    ),
    ("mnist", 9): (
        (80.0, 79.57, 79.96, 79.71, 79.73, 80.12, 80.20, 81.26, 80.89, 79.57, 77.55),
        (89.01, 88.76, 88.94, 88.64, 89.12, 88.87, 89.22, 89.60, 89.86, 89.87, 89.58),
    ),
    ("isolet", 21): (
        (62.82, 64.59, 62.92, 63.31, 63.36, 63.54, 63.83, 64.41, 63.96, 60.44, 58.54),
        (81.91, 85.70, 83.52, 82.30, 84.35, 84.16, 83.77, 84.41, 82.75, 83.58, 79.67),
    ),
    ("isolet", 42): (
        (80.94, 79.45, 81.56, 80.90, 79.89, 80.21, 81.33, 81.08, 80.43, 79.16, 78.12),
        (93.2, 91.85, 93.01, 92.69, 92.88, 92.69, 93.20, 93.39, 92.56, 92.56, 91.79),
    ),
}
PRINTED_SET = {
    ("mnist", 4.5): (65.77, 85.14),
    ("mnist", 9): (75.17, 88.28),
    ("isolet", 21): (60.21, 83.26),
    ("isolet", 42): (79.99, 92.88),
}
SPARSEST = [("mnist", 4.5), ("isolet", 21)]


def train(data, epsilon, growth, seed, network):
    """Test accuracy in percent after every epoch."""
    X_train, y_train, X_test, y_test = scaled(data)
    accuracy = TestAccuracy(X_test, y_test)
    model = SparseMLPClassifier(
        epsilon=epsilon, growth=growth, random_state=seed, **network
    )
    model.set_callbacks(accuracy).fit(X_train, y_train)
    return {"accuracy": [round(100 * score, 2) for score in accuracy.scores]}


class SmallUniform(HeUniform):
    """PyTorch's initial weights of a full layer, of which a mask leaves some."""

    def __call__(self, layer, rng, before=None, after=None):
        size = 1 / np.sqrt(layer.n_in)
        layer.weights[:] = rng.uniform(-size, size, layer.n_connections)


def rules():
    """The compared growth rules by name, each with its seeds."""
    liset = {
        f"LiSET, gamma {gamma}": LiSET(gamma=float(gamma), scale=SCALE)
        for gamma in ALL_GAMMAS
    }
    full_rate = LiSET(gamma=0.0, learning_rate_factor=1.0, scale=SCALE)
    return {"SET": RandomGrowth(SCALE), **liset, "LiSET, gamma 0, full rate": full_rate}


def rules_from_zero():
    """Rules whose new connections start at zero."""
    return {
        "SET": RandomGrowth(),
        "LiSET, gamma -24": LiSET(gamma=-24.0),
        "LiSET, gamma 0": LiSET(gamma=0.0),
    }


def seeds_of(rule):
    """Three seeds, one for the gammas that only complete the document's grid."""
    return SEEDS[:1] if rule in {f"LiSET, gamma {g}" for g in OTHER_GAMMAS} else SEEDS


def results(runs, data, epsilon, growths, **changes):
    """Accuracies by rule, of shape (n_seeds, n_epochs)."""
    network = SHARED | NETWORKS[data] | changes
    network |= {"max_iter": runs.epochs(SHARED["max_iter"])}
    asked = [(name, seed) for name in growths for seed in runs.some(seeds_of(name))]
    found = runs.map(
        train,
        [
            {"data": data, "epsilon": epsilon, "growth": growths[name], "seed": seed,
             "network": network}
            for name, seed in asked
        ],
    )  # fmt: skip
    return {
        name: np.array(
            [
                result["accuracy"]
                for (own, _), result in zip(asked, found, strict=True)
                if own == name
            ]
        )
        for name in growths
    }


def rule_rows(scores_by_rule, printed):
    """One row per rule; the document's figures where it has some."""
    rows = []
    for name, scores in scores_by_rule.items():
        aras = [average_ratioed_accuracy(score) for score in scores]
        ara, final = printed.get(name, ("-", "-"))
        rows.append(
            {
                "rule": name,
                "ARA, document": ara,
                "ARA": np.mean(aras),
                "ARA by seed": " ".join(f"{ara:.2f}" for ara in aras),
                "final, document": final,
                "final": scores[:, -1].mean(),
                "final by seed": " ".join(f"{score:.2f}" for score in scores[:, -1]),
            }
        )
    return pd.DataFrame(rows)


def printed_by_rule(data, epsilon):
    by_gamma = zip(ALL_GAMMAS, zip(*PRINTED[data, epsilon], strict=True), strict=True)
    liset = {f"LiSET, gamma {gamma}": figures for gamma, figures in by_gamma}
    return {"SET": PRINTED_SET[data, epsilon], **liset}


def summary_row(data, epsilon, table):
    """The best gamma of three seeds beside SET, and the document's best of all."""
    of_three = table["rule"].isin([f"LiSET, gamma {gamma}" for gamma in GAMMAS])
    ours = table[of_three]
    best = ours.loc[ours["ARA"].idxmax()]
    own_set = table.iloc[0]
    set_ara, set_final = PRINTED_SET[data, epsilon]
    aras, finals = PRINTED[data, epsilon]
    return {
        "data": data,
        "epsilon": str(epsilon),
        "SET ARA, document": set_ara,
        "LiSET ARA, document": max(aras),
        "SET ARA": own_set["ARA"],
        "LiSET ARA": best["ARA"],
        "at": best["rule"].removeprefix("LiSET, "),
        "higher by": best["ARA"] - own_set["ARA"],
        "SET final, document": set_final,
        "LiSET final, document": max(finals),
        "SET final": own_set["final"],
        "LiSET final": ours["final"].max(),
    }


def small_weights(runs):
    """From PyTorch's weights: ARA and final accuracy beside the document's."""
    grows_small = RandomGrowth(SMALL_SCALE)
    liset = LiSET(gamma=-24.0, scale=SMALL_SCALE)
    kinds = [
        ("initial ones", "SET", RandomGrowth(SCALE), {}),
        ("all", "SET", grows_small, {}),
        ("all", "LiSET, gamma -24", liset, {}),
        ("all, no evolution", "SET", grows_small, {"zeta": 0.0}),
    ]
    rows = []
    for data, epsilon in PRINTED:
        for small, rule, growth, changes in kinds:
            scores = results(
                runs, data, epsilon, {rule: growth}, init=SmallUniform(), **changes
            )
            row = {"data": data, "epsilon": str(epsilon), "small weights": small}
            row |= dict(rule_rows(scores, printed_by_rule(data, epsilon)).iloc[0])
            rows.append(row)
    return pd.DataFrame(rows)


def plot_grid(tables, path):
    """ARA and final accuracy by gamma: ours and the document's."""
    figure, axes = plt.subplots(2, 4, figsize=(12, 5.5), layout="constrained", sharex=True)
    for column, ((data, epsilon), table) in zip(axes.T, tables.items(), strict=True):
        rows = table[table["rule"].str.fullmatch(r"LiSET, gamma -?\d+")]
        for ax, what, printed, own_set in zip(
            column, ("ARA", "final"), PRINTED[data, epsilon], PRINTED_SET[data, epsilon],
            strict=True,
        ):  # fmt: skip
            ax.plot(ALL_GAMMAS, rows[what], "ko-", fillstyle="none", label="LiSET")
            ax.axhline(table[what].iloc[0], color="k", linestyle="--", label="SET")
            ax.plot(ALL_GAMMAS, printed, "x-", color="0.6", label="LiSET, document")
            ax.axhline(own_set, color="0.6", linestyle="--", label="SET, document")
            ax.set_ylabel(f"{what} (%)")
        column[0].set_title(f"{data}, epsilon {epsilon}")
        column[1].set_xlabel("gamma")
    axes[0, 0].legend(fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot(curves_of, path):
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    for ax, ((data, epsilon), curves) in zip(axes.flat, curves_of.items(), strict=True):
        own_set = curves["SET"].mean(axis=0)
        shown = [name for name in curves if seeds_of(name) == SEEDS]
        for name, style in zip(shown, ("k-", "-", "--", "-.", ":", "k:"), strict=True):
            difference = pd.Series(curves[name].mean(axis=0) - own_set)
            ax.plot(difference.rolling(10, min_periods=1).mean(), style, label=name)
        ax.set(title=f"{data}, epsilon {epsilon}", xlabel="epoch")
        ax.set_ylim(-4, 4)
    axes[0, 0].set_ylabel("test accuracy less SET's (points)")
    axes[1, 0].set_ylabel("test accuracy less SET's (points)")
    axes[0, 0].legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


PROTOCOL = """\
MNIST 784-300-100-10 (learning rate 0.001) and ISOLET 617-512-256-128-26 (0.01): gradient
descent without momentum, batches of 100, Leaky ReLU (0.01), dropout 0.3, zeta 0.3 after
every epoch, 250 epochs, skip dropout 0.5, float32; pixels divided by 255, ISOLET
standardised. Test accuracy after every epoch of the network alone; ARA with b = 0.5, in %;
means of 3 seeds, where three figures stand beside them.

The document leaves the momentum and the weights of new connections open. Here these are
normal, {scale} times as large as He's initialisation, for SET and LiSET alike: SET then
ends about as high as in the document. With the package's default, new connections at zero,
they stay the weakest at these small learning rates and are removed again before they
matter, so that the choice of where to grow is without effect (last tables). The document's
own program never changes its masks, so its figures are no guide to the size of the
difference.

LiSET's skip matrices learn here at 0.01 of the network's learning rate (the default of
`LiSET`), so that they find useful inputs without taking the network's work away. *Full
rate* trains them at the network's own, as the document describes.

The first table has the best of four gammas, as the document does; mind that a rule's seeds
differ by up to a point among themselves."""


SMALL_WEIGHTS = """\
The document's networks learn more slowly than ours at first: its ARA is lower by up to 27
points where the final accuracy is alike. It does not say how its weights begin. Those that
PyTorch gives to full layers, of which a mask then leaves a few, are far too small for the
connections that remain. Where only the initial weights are so small, new connections
({scale} times He's) soon bring larger ones. Where new connections are small too ({small}
times He's, about PyTorch's), training is about as slow as the document's, whose ARA lies
between the two or a little below the second; and there LiSET is ahead of SET on MNIST by
several points, as in the document, though not on ISOLET. Without evolution training is
slower still. The document's low final accuracy on ISOLET with epsilon 21 is only come near
to without evolution:"""


def plot_curves(curves_of, path):
    """Test accuracy by epoch, as the document's Figures 6 and 7 show it."""
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    lines = ("k-", "k--", "k-.", "k:", "C0-")
    for ax, ((data, epsilon), curves) in zip(axes.flat, curves_of.items(), strict=True):
        shown = ["SET", *(f"LiSET, gamma {gamma}" for gamma in GAMMAS)]
        for name, line in zip(shown, lines, strict=True):
            mean = curves[name].mean(axis=0)
            ax.plot(range(1, len(mean) + 1), mean, line, label=name, linewidth=0.9)
        ax.set(title=f"{data}, epsilon {epsilon}", xlabel="epoch")
        ax.set_ylim(bottom=curves["SET"].mean(axis=0)[-1] - 25)
        for final, line in zip(
            (PRINTED_SET[data, epsilon][1], max(PRINTED[data, epsilon][1])), ("-", "--"),
            strict=True,
        ):  # fmt: skip
            ax.axhline(final, color="0.7", linestyle=line, zorder=0)
        ax.set_ylabel("test accuracy (%)")
    axes[0, 0].legend(fontsize="small", title="grey: the document's last accuracy,\n"
                      "SET solid, best LiSET dashed")  # fmt: skip
    figure.savefig(path, dpi=100)
    plt.close(figure)


def deviations(runs):
    runs.deviates("training samples of MNIST", document="50,000",
                  here="60,000; 50,000 on the page of skip strengths")  # fmt: skip
    runs.deviates("momentum", document="not said", here=SHARED["momentum"])
    runs.deviates("initial weights", document="not said", here="He's, or as small as named")
    runs.deviates("weights of new connections", document="not said",
                  here=f"normal, {SCALE} times He's, unless named")  # fmt: skip
    runs.deviates("learning rate of the skip matrices", document="the network's",
                  here="0.01 of it, unless named")  # fmt: skip
    runs.deviates("seeds of other gammas", document="not said", here=1)


def run(runs):
    deviations(runs)
    tables, curves_of, from_zero = {}, {}, []
    for data, epsilon in PRINTED:
        curves_of[data, epsilon] = results(runs, data, epsilon, rules())
        tables[data, epsilon] = rule_rows(
            curves_of[data, epsilon], printed_by_rule(data, epsilon)
        )
    for data, epsilon in SPARSEST:
        scores = results(runs, data, epsilon, rules_from_zero())
        title = f"## {data}, epsilon {epsilon}, new connections at zero"
        from_zero += [title, markdown(rule_rows(scores, {}))]
    small = small_weights(runs)
    plot(curves_of, runs.path(".png"))
    plot_grid(tables, runs.path("_grid.png"))
    plot_curves(curves_of, runs.path("_curves.png"))
    summary = [summary_row(*key, table) for key, table in tables.items()]
    runs.finish(
        "LiSET against SET (Radu 2021, Tables 2 and 3)",
        PROTOCOL.format(scale=SCALE),
        "## ARA and final accuracy, the best of four gammas",
        markdown(pd.DataFrame(summary)),
        "![By gamma](liset_grid.png)",
        "## Accuracy by epoch (Figures 6 and 7)",
        "![Accuracy by epoch](liset_curves.png)",
        "## Why the document's ARA is lower",
        SMALL_WEIGHTS.format(scale=SCALE, small=SMALL_SCALE),
        markdown(small),
        *(
            part
            for (data, epsilon), table in tables.items()
            for part in (f"## {data}, epsilon {epsilon}", markdown(table))
        ),
        "Differences from SET, means of 3 seeds and 10 epochs:",
        "![Differences](liset.png)",
        *from_zero,
    )
