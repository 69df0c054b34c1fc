"""Radu: strengths of skip matrices as images, 50,000 samples, early and deep layers."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from benchmarks.accuracy import TestAccuracy
from benchmarks.literature import liset
from benchmarks.literature.comparison import with_error
from benchmarks.literature.runs import Runs
from benchmarks.samples import scaled
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.analysis import average_ratioed_accuracy
from sksparse_mlp.topology import LiSET, RandomGrowth

GAMMAS = liset.ALL_GAMMAS
SIDE, N_STRENGTH_EPOCHS, N_STRENGTH_SAMPLES = 28, 4, 10_000
DATA = ("mnist", 4.5)
N_SAMPLES, N_EPOCHS, N_SEEDS = 50_000, 250, 3
RULES = {
    "SET": RandomGrowth(liset.SCALE),
    "LiSET, gamma -24": LiSET(gamma=-24.0, scale=liset.SCALE),
    "LiSET, gamma 3": LiSET(gamma=3.0, scale=liset.SCALE),
}
PLACES = {
    "none (SET)": (),
    "the first": (0,),
    "the first two": (0, 1),
    "the last two": (2, 3),
    "all": (0, 1, 2, 3),
}
N_PLACE_EPOCHS, SEEDS = 60, range(3)


class Watched(LiSET):
    """LiSET that remembers the strengths of the inputs of every layer that grew."""

    def free_ranks(self, layer, keep, size, rng, signal):
        if signal is not None:
            self.seen = [*getattr(self, "seen", []), signal.copy()]
        return super().free_ranks(layer, keep, size, rng, signal)


def strengths(seed, n_epochs):
    """Strengths of the pixels in the skip matrix at the last evolution."""
    X, y, *_ = scaled(DATA[0])
    rule = Watched(scale=liset.SCALE)
    # Of each layer, so that the rule is not a copy that all of them share.
    network = liset.SHARED | liset.NETWORKS[DATA[0]] | {"max_iter": n_epochs}
    growth = [rule, *[RandomGrowth(liset.SCALE)] * 2]
    model = SparseMLPClassifier(
        epsilon=DATA[1], growth=growth, random_state=seed, **network
    )
    few = slice(N_STRENGTH_SAMPLES)
    model.fit(X[few], y[few])
    return {"strengths": [float(f"{s:.4g}") for s in rule.seen[-1]]}


def train(seed, growth, n_samples, n_epochs):
    """Test accuracy in % by epoch on a part of MNIST."""
    X, y, X_test, y_test = scaled(DATA[0])
    accuracy = TestAccuracy(X_test, y_test)
    network = liset.SHARED | liset.NETWORKS[DATA[0]] | {"max_iter": n_epochs}
    model = SparseMLPClassifier(
        epsilon=DATA[1], growth=growth, random_state=seed, **network
    )
    model.set_callbacks(accuracy).fit(X[:n_samples], y[:n_samples])
    return {"accuracy": [round(100 * score, 2) for score in accuracy.scores]}


def place(layers, seed, n_epochs):
    """Test accuracy in % by epoch on ISOLET, with LiSET in some of its layers."""
    X, y, X_test, y_test = scaled("isolet")
    accuracy = TestAccuracy(X_test, y_test)
    network = liset.SHARED | liset.NETWORKS["isolet"] | {"max_iter": n_epochs}
    n_layers = len(network["hidden_layer_sizes"]) + 1
    growth = [
        LiSET(gamma=-5.0, scale=liset.SCALE) if k in layers else RandomGrowth(liset.SCALE)
        for k in range(n_layers)
    ]
    model = SparseMLPClassifier(epsilon=21, growth=growth, random_state=seed, **network)
    model.set_callbacks(accuracy).fit(X, y)
    return {"accuracy": [round(100 * score, 2) for score in accuracy.scores]}


def likelihood(gamma, values):
    """How likely each pixel is to get a connection, of these strengths."""
    return LiSET(gamma=float(gamma)).likelihood(np.array(values))


def spread_table(likelihoods):
    rows = []
    for gamma, u in likelihoods.items():
        shares = u / u.sum()
        rows.append(
            {
                "gamma": str(gamma),
                "likeliest pixel over the least likely": u.max() / u.min(),
                "deviation over mean": u.std() / u.mean(),
                "pixels that get half of the connections": str(
                    1 + int(np.searchsorted(np.cumsum(np.sort(shares)[::-1]), 0.5))
                ),
            }
        )
    return pd.DataFrame(rows)


def plot(found, likelihoods, path):
    """The strengths, and how likely each pixel is to get a connection, by gamma."""
    images = {"strength": found} | {f"gamma {g}": u for g, u in likelihoods.items()}
    figure, axes = plt.subplots(2, 6, figsize=(11, 4), layout="constrained")
    for ax, (name, values) in zip(axes.flat, images.items(), strict=True):
        top = values.max() if name == "strength" else 1
        image = values.reshape(SIDE, SIDE)
        shown = ax.imshow(image, cmap="gray_r", vmin=0, vmax=top)
        ax.set(title=name, xticks=[], yticks=[])
    figure.colorbar(shown, ax=axes, label="relative to the likeliest", shrink=0.8)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def ara(accuracy):
    """Of accuracies in %, in %."""
    return 100 * average_ratioed_accuracy(np.array(accuracy) / 100)


def summary_row(name, curves):
    aras = [ara(curve) for curve in curves]
    return {
        "seeds": str(len(curves)),
        f"{name}: ARA": with_error(aras),
        f"{name}: last (%)": with_error([c[-1] for c in curves]),
    }


def samples_table(found):
    """ARA and last accuracy with 50,000 samples, and the first epochs with all 60,000."""
    all_samples = liset.results(
        Runs("liset", only_finished=True, other_versions=True), *DATA, RULES
    )
    rows = []
    for name, results in found.items():
        curves = [r["accuracy"] for r in results]
        n_epochs = len(curves[0])
        others = all_samples[name][: len(curves), :n_epochs]
        rows.append(
            {"rule": name}
            | summary_row("50,000", curves)
            | summary_row("60,000", others.tolist())
        )
    return pd.DataFrame(rows)


def gaps(found):
    """By place, the mean accuracy of all epochs less SET's with the same seed."""
    base, *others = PLACES
    return {
        name: [
            np.mean(own["accuracy"]) - np.mean(of_set["accuracy"])
            for own, of_set in zip(found[name], found[base], strict=False)
        ]
        for name in others
        if name in found and base in found
    }


def places_table(found):
    differences = gaps(found)
    rows = []
    for name, results in found.items():
        curves = [r["accuracy"] for r in results]
        rows.append(
            {"LiSET in layers": name}
            | summary_row("ISOLET", curves)
            | {
                "mean accuracy less SET's (points, same seeds)": with_error(
                    differences[name]
                )
                if name in differences
                else "-"
            }
        )
    return pd.DataFrame(rows)


TEXT = """\
MNIST 784-300-100-10, epsilon {epsilon}, as on the page of [LiSET](liset.md). *Strength* is
the sum of the absolute weights of a pixel in the skip matrix at the last of {n} epochs on
{samples} samples; the other images are how likely each gamma makes each pixel to get a new
connection, from the same strengths. The document says that the ratio tends to e for very
negative gammas and to 1 for large ones."""
SAMPLES_TEXT = """\
The document trains on 50,000 of the 60,000 samples. The same rules with the first 50,000,
{n} epochs, beside the same epochs of the networks trained on all."""
PLACES_TEXT = """\
ISOLET 617-512-256-128-26, epsilon 21, {n} epochs, gamma -5; the other layers grow at
random. The document leaves this for later."""


def measured(runs):
    """Strengths, and by place and by rule what the seeds give."""
    image = runs.by_seed(
        strengths, {"mnist": {"n_epochs": runs.epochs(N_STRENGTH_EPOCHS)}}, SEEDS[:1]
    )
    runs.deviates("samples for the images", document=50_000, here=N_STRENGTH_SAMPLES)
    n_epochs = runs.reduced("epochs with 50,000 samples", document=250, here=N_EPOCHS)
    n_place = runs.reduced("epochs on ISOLET", document=250, here=N_PLACE_EPOCHS)
    seeds = range(runs.reduced("seeds with 50,000 samples", document=3, here=N_SEEDS))
    places = runs.by_seed(
        place,
        {k: {"layers": v, "n_epochs": runs.epochs(n_place)} for k, v in PLACES.items()},
        SEEDS,
    )
    found = runs.by_seed(
        train,
        {
            name: {
                "growth": rule,
                "n_samples": N_SAMPLES,
                "n_epochs": runs.epochs(n_epochs),
            }
            for name, rule in RULES.items()
        },
        seeds,
    )
    values = image["mnist"][0]["strengths"] if image else None
    return values, places, found


def run(runs):
    values, places, found = measured(runs)
    likelihoods = {gamma: likelihood(gamma, values) for gamma in GAMMAS}
    plot(np.array(values), likelihoods, runs.path(".png"))
    runs.finish(
        "Skip strengths, 50,000 samples, early and deep layers (Radu 2021)",
        "## Strengths of the pixels (Figures 3 and 5)",
        TEXT.format(epsilon=DATA[1], n=N_STRENGTH_EPOCHS, samples=N_STRENGTH_SAMPLES),
        "![Strengths and likelihoods](skips.png)",
        markdown(spread_table(likelihoods)),
        "## 50,000 training samples",
        SAMPLES_TEXT.format(n=runs.epochs(N_EPOCHS)),
        markdown(samples_table(found)),
        "## LiSET in early and in deep layers",
        PLACES_TEXT.format(n=runs.epochs(N_PLACE_EPOCHS)),
        markdown(places_table(places)),
    )
