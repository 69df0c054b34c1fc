"""Price et al.: deep networks at the edge of chaos, which train and which do not."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from benchmarks.accuracy import EpochCallback, TestAccuracy
from benchmarks.data import load
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.activations import CST, CReLU, ReLUTau, SoftThreshold
from sksparse_mlp.initializers import edge_of_chaos

WIDTH = 300
EPSILON = {"full": 1e9, "sparse": 30}
RATES = {30: (3e-4, 1e-3), 100: (4e-5,)}
# One attracting fixed point each, 62 and 68 % zeros before training.
CLIPPED = [CReLU(threshold=0.3, clip=1.5), CST(threshold=1.0, clip=1.0)]
# Tried before the CST above; see the report.
TRIED = [
    CST(threshold=0.85, clip=1.5),
    CST(threshold=1.05, clip=1.25),
    CST(threshold=1.0, clip=1.5),
]
OTHERS = [
    CReLU(threshold=1.0, clip=1.0),
    CST(threshold=1.0, clip=1.0),
    CST(threshold=0.5, clip=1.0),
    ReLUTau(threshold=1.0),
    SoftThreshold(threshold=1.0),
    CReLU(threshold=1.0, clip=2.0),
    CReLU(threshold=2.0, clip=0.5),
]
DEEP = [CST(threshold=0.25, clip=1.0), ReLUTau(threshold=1.0)]
# depth, layers, activations, training samples, epochs
PLAN = [
    (100, "sparse", DEEP, 60_000, 14),
    (30, "sparse", [*CLIPPED, *TRIED], 60_000, 14),
    (30, "full", [*CLIPPED, TRIED[-1]], 60_000, 4),
    (30, "sparse", OTHERS, 20_000, 5),
    (30, "full", [CLIPPED[0], ReLUTau(threshold=1.0)], 5_000, 5),
]
# Cross-entropy of guessing among ten digits is 2.303; above this one, nothing is learned.
HOPELESS_LOSS = 2.25
N_PROBED = 500


class StopIfHopeless(EpochCallback):
    """Ends training that is still at chance after 3 epochs."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        losses = fitted_estimator.loss_curve_
        return len(losses) >= 3 and min(losses) > HOPELESS_LOSS


def mnist(n_train):
    """Some training and all test samples, pixels standardised together."""
    X_train, y_train, X_test, y_test = load("mnist")
    mean, deviation = X_train.mean(dtype=float), X_train.std(dtype=float)
    if n_train < len(y_train):
        X_train, _, y_train, _ = train_test_split(
            X_train, y_train, train_size=n_train, stratify=y_train, random_state=0
        )
    scaled = [((X - mean) / deviation).astype(np.float32) for X in (X_train, X_test)]
    return scaled[0], y_train, scaled[1], y_test


def classifier(activation, depth, layers, **parameters):
    return SparseMLPClassifier(
        (WIDTH,) * depth, activation, epsilon=EPSILON[layers], init="edge_of_chaos",
        zeta=0.0, dropout=0.0, alpha=0.0, batch_size=128, learning_rate="cosine",
        n_iter_no_change=1000, random_state=0, **parameters,
    )  # fmt: skip


def hidden_layers(model, X):
    """Pre-activations and outputs of each hidden layer, (n_neurons, n_samples) each."""
    a = X.T
    for coef, intercept, parameters in zip(
        model.coefs_, model.intercepts_, model.activation_parameters_, strict=False
    ):
        z = coef.T @ a + intercept[:, np.newaxis]
        a = np.empty_like(z)
        model.activation.forward(z, a, parameters, 0, z.shape[0])
        yield z, a


def initial_variance(activation, depth, layers):
    """Mean square of a sample's pre-activations by layer: 5, 50 and 95 % of samples."""
    X, y, *_ = mnist(N_PROBED)
    # A step so small that it changes no weight.
    model = classifier(activation, depth, layers, learning_rate_init=1e-30, max_iter=1)
    model.fit(X, y)
    squares = [(z**2).mean(axis=0) for z, _ in hidden_layers(model, X.astype(float))]
    return {"q": np.quantile(squares, [0.05, 0.5, 0.95], axis=1).tolist()}


def choose_rate(activation, depth, layers):
    """Accuracy of two epochs of 5,000 training samples on 2,000 others, by rate."""
    X, y, *_ = mnist(7_000)
    scores = {}
    for rate in RATES[depth]:
        model = classifier(activation, depth, layers, learning_rate_init=rate, max_iter=2)
        scores[rate] = model.fit(X[:5_000], y[:5_000]).score(X[5_000:], y[5_000:])
    return {"scores": list(scores.values()), "rate": max(scores, key=scores.get)}


def train(activation, depth, layers, n_train, n_epochs, rate):
    """Accuracies and losses by epoch, and shares of zero outputs by layer at the end."""
    X_train, y_train, X_test, y_test = mnist(n_train)
    model = classifier(
        activation, depth, layers, learning_rate_init=rate, max_iter=n_epochs
    )
    accuracy = TestAccuracy(X_test, y_test)
    model.set_callbacks(accuracy, StopIfHopeless()).fit(X_train, y_train)
    zeros = [float(np.mean(a == 0)) for _, a in hidden_layers(model, X_test[:N_PROBED])]
    return {"accuracy": accuracy.scores, "loss": model.loss_curve_, "zeros": zeros}


def measure(runs, plan):
    """Everything about the networks, from finished or new runs."""
    settings = [
        {"activation": activation, "depth": depth, "layers": layers}
        for depth, layers, activations, *_ in plan
        for activation in activations
    ]
    sizes = [
        {"n_train": n_train, "n_epochs": runs.epochs(n_epochs)}
        for _, _, activations, n_train, n_epochs in plan
        for _ in activations
    ]
    variances = runs.map(initial_variance, settings)
    rates = runs.map(choose_rate, settings)
    results = runs.map(
        train,
        [
            setting | size | {"rate": found["rate"]}
            for setting, size, found in zip(settings, sizes, rates, strict=True)
        ],
    )
    return [
        setting | size | variance | found | result
        for setting, size, variance, found, result in zip(
            settings, sizes, variances, rates, results, strict=True
        )
    ]


def has_trained(result):
    """Whether the network is far from the 10 % of guessing."""
    return max(result["accuracy"], default=0) > 0.5


def outcome(result):
    """What happened, in figures."""
    low, middle, high = (by_layer[-1] for by_layer in result["q"])
    text = f"q {middle:.3g} ({low:.3g}-{high:.3g})"
    if len(result["loss"]) < result["n_epochs"]:
        at_chance = min(result["loss"], default=0) > HOPELESS_LOSS
        text += "; at chance, stopped" if at_chance else "; not finite, stopped"
    return text


def row(result):
    point = edge_of_chaos(result["activation"])
    return {
        "activation": label(result["activation"]),
        "layers": result["layers"],
        "depth": str(result["depth"]),
        "zeros expected (%)": 100 * point.output_sparsity,
        "zeros after training (%)": 100 * float(np.mean(result["zeros"])),
        "samples x epochs": f"{result['n_train']} x {len(result['loss'])}",
        "learning rate": f"{result['rate']:g}",
        "test accuracy by epoch (%)": " ".join(
            f"{100 * a:.1f}" for a in result["accuracy"]
        ),
        "trained": "yes" if has_trained(result) else "no",
        "variance in the last layer before training": outcome(result),
    }


def label(activation):
    name = type(activation).__name__
    clip = "" if np.isinf(activation.clip) else f", {activation.clip:g}"
    return f"{name}({activation.threshold:g}{clip})"


def predictions(activations):
    """What the theory says of each activation."""
    rows = []
    for activation in activations:
        point = edge_of_chaos(activation)
        rows.append(
            {
                "activation": label(activation),
                "sigma_w2": f"{point.sigma_w2:.5f}",
                "sigma_b2": f"{point.sigma_b2:.5f}",
                "V'": f"{point.stability:.4f}",
                "diagnosis": point.diagnosis,
            }
        )
    return pd.DataFrame(rows)


def targets(results):
    """The aims for the networks meant to train, and what was reached."""
    rows = []
    for result in results:
        is_meant = result["activation"] in CLIPPED and result["n_train"] == 60_000
        if is_meant or (result["depth"] == 100 and result["activation"].clip < np.inf):
            best, zeros = 100 * result["accuracy"][-1], 100 * np.mean(result["zeros"])
            is_deep = result["depth"] == 100
            met = has_trained(result) if is_deep else best >= 95 and zeros >= 60
            rows.append(
                {
                    "network": f"{label(result['activation'])}, {result['layers']}, "
                    f"depth {result['depth']}",
                    "wanted": "trains (above 50 %)" if is_deep else "95 %, 60 % zeros",
                    "reached": f"{best:.2f} %, {zeros:.1f} % zeros",
                    "met": "yes" if met else "no",
                }
            )
    return pd.DataFrame(rows)


def panels(results):
    """One panel per depth and kind of layers, with the networks that go there."""
    groups = list(dict.fromkeys((r["depth"], r["layers"]) for r in results))
    _, axes = plt.subplots(
        1, len(groups), figsize=(4 * len(groups), 4), layout="constrained", sharey=True
    )
    for (depth, layers), ax in zip(groups, axes, strict=True):
        ax.set_title(f"{depth} {layers} layers")
        chosen = [r for r in results if (r["depth"], r["layers"]) == (depth, layers)]
        yield ax, chosen


def style(activation):
    """Solid black for networks meant to train, markers on grey for the others."""
    index = [label(a) for a in [*CLIPPED, *OTHERS, *TRIED, *DEEP]].index(label(activation))
    if index < len(CLIPPED):
        return {"color": "black", "linestyle": ("-", "--")[index], "marker": "."}
    return {"color": "0.5", "marker": "ox^sdv*+1.P"[index - len(CLIPPED)], "markevery": 0.2}


def plot(results, path, values, ylabel, xlabel, **axes):
    """A line per network: ``values(result)`` from 1 on."""
    for ax, chosen in panels(results):
        for result in chosen:
            ys = values(result)
            shown = style(result["activation"]) | {
                "label": f"{label(result['activation'])}, {result['n_train']} samples"
            }
            ax.plot(range(1, len(ys) + 1), ys, **shown)
        ax.set(xlabel=xlabel, **axes)
        ax.legend(fontsize="x-small")
        if ax.get_subplotspec().is_first_col():
            ax.set_ylabel(ylabel)
    ax.figure.savefig(path, dpi=110)


TEXT = """\
Networks of width 300 on MNIST, `init="edge_of_chaos"`, Adam with cosine learning rate,
batches of 128, no dropout, no penalty, no evolution; sparse layers have epsilon 30 (20 %
of the connections). Pixels are standardised together, so that the mean square of a sample
is about 1. Training samples are a stratified part where fewer than 60,000 are named; all
10,000 test samples are scored after every epoch. The learning rate is the one with the
better accuracy on 2,000 training samples after two epochs of 5,000 others, by depth of
{rates}; a few short runs, looked at on 2,000 test samples, narrowed these down before.
Training that is at chance after three epochs is stopped. The document repeats runs five
times and shows its accuracies in a figure that is not in the text we have; here is one
seed."""

VARIANCE = """\
*q* is the mean square of a sample's pre-activations in the last hidden layer before
training, median and 5 to 95 % of the samples; the theory keeps it at 1. *Zeros* are the
share of hidden outputs that are exactly zero, over all layers. Training changes it: that
of CST(0.85, 1.5) falls below 60 %. CST(1.05, 1.25) ends just below 95 %, CST(1, 1.5) is
unstable. CST(1, 1) was chosen knowing all this, test accuracies included. At depth 100
CReLU(0.3, 1.5) was tried too, with rate 3e-4 and 20,000 samples; it was stopped at chance
after three epochs. CST(0.5, 1) reached 38 % with rate 1e-4, 20,000 samples and 10 epochs;
with 60,000 samples, rate 3e-4 stayed at chance, 1e-4 stood at 64 % after six epochs (on
2,000 test samples) and 4e-5 at 78 % after eleven of fourteen, where it was stopped. None of
these is in the table."""


def deviations(runs):
    sizes = dict.fromkeys(f"{n_train:,} x {n_epochs}" for *_, n_train, n_epochs in PLAN)
    rates = "; ".join(
        f"depth {n_layers}: {' or '.join(f'{rate:g}' for rate in rates)}"
        for n_layers, rates in RATES.items()
    )
    runs.deviates("seeds", document=5, here=1)
    runs.deviates(
        "training samples x epochs",
        document="60,000, epochs not said",
        here=", ".join(sizes),
    )
    runs.deviates("optimizer, batches", document="not said", here="Adam, 128")
    runs.deviates("learning rates", document="not said", here=rates)
    runs.deviates("share of the connections", document="not said", here="20 %, or all")
    runs.deviates(
        "depth 100",
        document="as depth 30",
        here="one clipped activation, one without a clip, sparse; more elsewhere",
    )


def run(runs):
    deviations(runs)
    with warnings.catch_warnings():
        # That training diverges is a result here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        results = measure(runs, PLAN)
    plot(
        results, runs.path("_accuracy.png"), lambda r: 100 * np.array(r["accuracy"]),
        "test accuracy (%)", "epoch",
    )  # fmt: skip
    plot(
        results, runs.path("_variance.png"), lambda r: r["q"][2],
        "variance of pre-activations, 95 % of samples below", "hidden layer",
        yscale="log",
    )  # fmt: skip
    runs.finish(
        "Depth at the edge of chaos (Price et al. 2024)",
        TEXT.format(rates=RATES),
        "## Networks meant to train",
        markdown(targets(results)),
        "## All networks",
        VARIANCE,
        markdown(pd.DataFrame([row(result) for result in results])),
        "![Accuracy](depth_accuracy.png)",
        "![Variance](depth_variance.png)",
        "## What the theory says",
        markdown(predictions([*CLIPPED, *TRIED, *OTHERS])),
    )
