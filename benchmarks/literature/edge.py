"""Price et al.: thresholds and clips, zeros by epoch, depth 100, both failure modes."""

import warnings
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

from benchmarks.accuracy import EpochCallback, TestAccuracy
from benchmarks.literature import depth
from benchmarks.literature.comparison import with_error
from benchmarks.tables import markdown
from sksparse_mlp.activations import CST, CReLU, ReLU, ReLUTau, SoftThreshold
from sksparse_mlp.analysis import gradient_flow
from sksparse_mlp.initializers import edge_of_chaos

# (tau, m) of both clipped families; without a clip beside them.
GRID = [
    CST(threshold=0.5, clip=0.5),
    CST(threshold=0.5, clip=1.0),
    CST(threshold=0.5, clip=1.5),
    CST(threshold=1.0, clip=0.5),
    CST(threshold=1.0, clip=1.0),
    CST(threshold=1.0, clip=2.0),
    CReLU(threshold=0.5, clip=1.0),
    CReLU(threshold=0.5, clip=2.0),
    CReLU(threshold=1.0, clip=1.0),
    CReLU(threshold=1.0, clip=2.0),
    SoftThreshold(threshold=1.0),
    ReLUTau(threshold=1.0),
]
DEPTH, RATE = 30, 1e-3
N_TRAIN, N_EPOCHS, N_SEEDS = 5_000, 6, 3
# Those that stay low there: with a lower rate, and for longer.
LOW = {
    "CST(0.5, 0.5)",
    "CST(1, 0.5)",
    "CST(1, 2)",
    "CReLU(1, 2)",
    "SoftThreshold(1)",
    "ReLUTau(1)",
}
LOWER_RATE, N_LONGER_TRAIN, N_LONGER_EPOCHS = 3e-4, 10_000, 12
# Depth 100: by layers, activations, training samples and epochs.
DEEP_PLAN = {
    "full": (
        [
            CST(threshold=0.25, clip=2.0),
            CST(threshold=0.25, clip=1.0),
            ReLUTau(threshold=1.0),
        ],
        20_000,
        4,
    ),
    "sparse": (
        [
            CST(threshold=0.25, clip=2.0),
            CST(threshold=0.25, clip=1.0),
            CST(threshold=0.5, clip=1.5),
            CST(threshold=1.0, clip=1.0),
            CReLU(threshold=0.3, clip=1.5),
            CReLU(threshold=1.0, clip=1.0),
        ],
        20_000,
        4,
    ),
}
N_DEEP_SEEDS, DEEP_RATES = 2, {"full": 1e-5, "sparse": 4e-5}
FULL_RATES, N_RATE_TRAIN, N_RATE_EPOCHS = (1e-5, 2e-5, 4e-5, 1e-4), 10_000, 3
# Of which gradients are taken before training: a stable edge and the two ways to fail.
FLOWS = {
    "stable": CST(threshold=0.5, clip=1.0),
    "relu": ReLU(),
    "half-stable, no clip": ReLUTau(threshold=1.0),
    "unstable, no clip": SoftThreshold(threshold=1.0),
    "clip too large": CReLU(threshold=1.0, clip=2.0),
    "threshold too large": CReLU(threshold=2.0, clip=0.5),
}
N_FLOW, FLOW_SEEDS = 200, range(3)


class Zeros(EpochCallback):
    """Share of hidden outputs that are exactly zero, over all layers, by epoch."""

    def __init__(self, X):
        self.X = X
        self.shares = []

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "epoch":
            layers = depth.hidden_layers(fitted_estimator, self.X)
            self.shares.append(
                round(float(np.mean([np.mean(a == 0) for _, a in layers])), 4)
            )


def train(activation, n_layers, layers, rate, n_train, n_epochs, seed):
    """Test accuracy in % and share of zeros by epoch; they end where training does."""
    X_train, y_train, X_test, y_test = depth.mnist(n_train)
    few = slice(2_000)
    accuracy = TestAccuracy(X_test[few], y_test[few])
    zeros = Zeros(X_test[: depth.N_PROBED])
    model = depth.classifier(
        activation, n_layers, layers, learning_rate_init=rate, max_iter=n_epochs
    ).set_params(random_state=seed, batch_size=32)
    with warnings.catch_warnings():
        # That training diverges is a result here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_callbacks(accuracy, zeros).fit(X_train, y_train)
    scores = [round(100 * score, 2) for score in accuracy.scores]
    return {"accuracy": scores, "zeros": zeros.shares}


def flow(activation, n_layers, seed):
    """Before training: 2-norm of the loss gradient by layer, and variances."""
    X, y, *_ = depth.mnist(N_FLOW)
    # A step so small that it changes no weight.
    model = depth.classifier(
        activation, n_layers, "sparse", learning_rate_init=1e-30, max_iter=1
    )
    model.set_params(random_state=seed).fit(X, y)
    squares = [
        float(np.median((z**2).mean(axis=0))) for z, _ in depth.hidden_layers(model, X)
    ]
    norms = gradient_flow(model, X, y, norm=2)
    return {
        "norms": [float(f"{norm:.4g}") for norm in norms],
        "q": [float(f"{square:.4g}") for square in squares],
    }


def last(results):
    return [result["accuracy"][-1] if result["accuracy"] else np.nan for result in results]


def row(activation, results):
    point = edge_of_chaos(activation)
    accuracies = np.array(last(results))
    sound = accuracies[np.isfinite(accuracies)]
    zeros = [r["zeros"] for r in results if r["zeros"]]
    return {
        "activation": depth.label(activation),
        "V'": f"{point.stability:.3f}",
        "zeros expected (%)": f"{100 * point.output_sparsity:.1f}",
        "seeds": str(len(results)),
        "not finite": str(len(accuracies) - sound.size),
        "last test accuracy (%)": with_error(sound) if sound.size else "-",
        "trains (above 50 %), seeds": str(int(np.sum(sound > 50))),
        "zeros by epoch (%)": " ".join(f"{100 * z:.0f}" for z in zeros[0])
        if zeros
        else "-",
    }


def label(activation):
    return "ReLU" if isinstance(activation, ReLU) else depth.label(activation)


def flow_table(found):
    """How the gradient changes from the last hidden layer to the first."""
    rows = []
    for name, results in found.items():
        norms = np.array([r["norms"] for r in results])
        # Layers inside all have the same shape.
        first, final = norms[:, 1], norms[:, -2]
        ratio = np.divide(first, final, out=np.full(len(first), np.nan), where=final > 0)
        rows.append(
            {
                "network": f"{name}: {label(FLOWS[name])}",
                "gradient norm, layer 2": " ".join(f"{v:.3g}" for v in first),
                f"layer {norms.shape[1] - 1}": " ".join(f"{v:.3g}" for v in final),
                "first over last": " ".join(f"{v:.3g}" for v in ratio),
                "variance in the last layer": " ".join(
                    f"{r['q'][-1]:.3g}" for r in results
                ),
            }
        )
    return pd.DataFrame(rows)


def plot_flows(found, path):
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for (name, results), marker in zip(found.items(), "o^vsDx", strict=False):
        style = {"marker": marker, "markevery": 5, "linewidth": 0.8, "fillstyle": "none"}
        for ax, what in ((left, "norms"), (right, "q")):
            values = np.median([result[what] for result in results], axis=0)
            values = values[1:-1] if what == "norms" else values
            ax.plot(range(1, len(values) + 1), values, "k", label=name, **style)
            ax.set(yscale="log", xlabel="hidden layer")
    left.set_ylabel("2-norm of the gradient, median of the seeds")
    right.set_ylabel("variance of pre-activations")
    right.legend(fontsize="x-small")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def plot_zeros(found, path):
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for k, (activation, results) in enumerate(found.items()):
        style = {"marker": "os^vDx*+1234"[k], "linewidth": 0.8, "fillstyle": "none"}
        for ax, what, scale in ((axes[0], "accuracy", 1), (axes[1], "zeros", 100)):
            whole = max((r[what] for r in results), key=len)
            curves = [r[what] for r in results if len(r[what]) == len(whole)]
            if whole:
                mean = scale * np.mean(curves, axis=0)
                ax.plot(range(1, len(mean) + 1), mean, "k", label=activation, **style)
    axes[0].set(xlabel="epoch", ylabel="test accuracy (%)")
    axes[1].set(xlabel="epoch", ylabel="hidden outputs that are zero (%)")
    axes[1].legend(fontsize="x-small")
    figure.savefig(path, dpi=100)
    plt.close(figure)


TEXT = """\
784-{width} x {n_layers}-10 on MNIST, sparse layers of epsilon 30, `init="edge_of_chaos"`,
Adam with cosine learning rate from {rate:g}, batches of 32, {n} training and 2,000 test
samples, {epochs} epochs, no evolution: connections stay as they are throughout training.
Zeros are the share of hidden outputs that are exactly zero for {probed} test samples, of
the first seed."""
LONGER_TEXT = """\
Those that stay low above, with learning rate {rate:g} in place of {first:g}, {n} training
samples and {epochs} epochs (chosen after runs of the two smallest clips with one seed)."""
DEEP_TEXT = """\
As above, depth 100. Layers of all connections: {full}, learning rate {rates[full]:g};
sparse ones: {sparse}, {rates[sparse]:g}. The latter is that of the longer run of
CST(0.25, 1) on the page of [depth](depth.md), the former the best in the table below. The
rates, and the pairs of threshold and clip, were chosen after runs scored on the same test
samples."""
RATES_TEXT = """\
Full layers of {activation}, depth 100, by learning rate: {n} training samples, one seed."""
FLOW_TEXT = """\
2-norms of the gradient of the mean loss of {n} samples before training, depth {n_layers},
sparse layers, a figure per seed. All layers shown have the same shape, so that a stable
network has about the same norm in all. *First over last* above 1: gradients explode on
their way back, below: they vanish."""


def shared(runs, n_seeds):
    """Seeds, after what is not as in the document is said."""
    runs.deviates("batches", document="not said", here=32)
    runs.deviates(
        "learning rate",
        document="not said",
        here=f"{RATE}, depth 100: {DEEP_RATES['full']} full, {DEEP_RATES['sparse']} sparse",
    )
    runs.deviates("test samples", document=10_000, here=2_000)
    return range(runs.reduced("seeds", document=5, here=n_seeds))


def measured(runs):
    """What the seeds give: gradients by kind, depth 30, longer, depth 100 by activation."""
    seeds = shared(runs, N_SEEDS)
    n_train = runs.reduced("training samples", document=60_000, here=N_TRAIN)
    runs.deviates("epochs", document="not said", here=N_EPOCHS)
    settings = partial(
        dict,
        n_layers=DEPTH,
        layers="sparse",
        rate=RATE,
        n_train=n_train // (5 if runs.quick else 1),
        n_epochs=runs.epochs(N_EPOCHS),
    )
    flows = runs.by_seed(
        flow,
        {k: {"activation": a, "n_layers": DEPTH} for k, a in FLOWS.items()},
        FLOW_SEEDS,
    )
    grid = {depth.label(a): settings(activation=a) for a in runs.some(GRID, 2)}
    found = runs.by_seed(train, grid, seeds)
    longer = runs.by_seed(
        train,
        {
            depth.label(a): settings(activation=a)
            | {
                "rate": LOWER_RATE,
                "n_train": N_LONGER_TRAIN // (10 if runs.quick else 1),
                "n_epochs": runs.epochs(N_LONGER_EPOCHS),
            }
            for a in runs.some([a for a in GRID if depth.label(a) in LOW])
        },
        seeds,
    )
    return flows, found, longer, deep_measured(runs)


def deep_measured(runs):
    """What the seeds of depth 100 give, by kind of layers and activation."""
    seeds = range(runs.reduced("seeds, depth 100", document=5, here=N_DEEP_SEEDS))
    grid = {}
    for layers, (activations, n_train, n_epochs) in DEEP_PLAN.items():
        n_train = runs.reduced(
            f"training samples, depth 100, {layers}", document=60_000, here=n_train
        )
        runs.deviates(f"epochs, depth 100, {layers}", document="not said", here=n_epochs)
        for a in runs.some(activations, 0):
            grid[layers, a] = {
                "activation": a,
                "n_layers": 100,
                "layers": layers,
                "rate": DEEP_RATES[layers],
                "n_train": n_train,
                "n_epochs": runs.epochs(n_epochs),
            }
    return runs.by_seed(train, grid, seeds)


def rates_measured(runs):
    """What a seed gives for full layers of depth 100, by learning rate."""
    grid = {
        rate: {
            "activation": DEEP_PLAN["full"][0][0],
            "n_layers": 100,
            "layers": "full",
            "rate": rate,
            "n_train": N_RATE_TRAIN,
            "n_epochs": N_RATE_EPOCHS,
        }
        for rate in runs.some(FULL_RATES, 0)
    }
    return runs.by_seed(train, grid, range(1))


def rates_table(found):
    return pd.DataFrame(
        [
            {
                "learning rate": f"{rate:g}",
                "test accuracy by epoch (%)": " ".join(map(str, results[0]["accuracy"])),
            }
            for rate, results in found.items()
        ]
    )


def deep_table(deep):
    return pd.DataFrame([{"layers": k} | row(a, r) for (k, a), r in deep.items()])


def run(runs):
    flows, found, longer, deep = measured(runs)
    plot_zeros(found, runs.path("_zeros.png"))
    plot_flows(flows, runs.path("_flows.png"))
    rates = rates_measured(runs)
    by_label = {depth.label(a): a for a in GRID}
    sizes = {
        layers: f"{n_train:,} training samples, {n_epochs} epochs"
        for layers, (_, n_train, n_epochs) in DEEP_PLAN.items()
    }
    runs.finish(
        "Thresholds, clips and both ways to fail (Price et al. 2024)",
        "## Depth 30, by threshold and clip",
        TEXT.format(
            width=depth.WIDTH,
            n_layers=DEPTH,
            rate=RATE,
            n=N_TRAIN,
            epochs=N_EPOCHS,
            probed=depth.N_PROBED,
        ),
        markdown(pd.DataFrame([row(by_label[k], r) for k, r in found.items()])),
        "![Accuracy and zeros by epoch](edge_zeros.png)",
        LONGER_TEXT.format(
            rate=LOWER_RATE, n=N_LONGER_TRAIN, epochs=N_LONGER_EPOCHS, first=RATE
        ),
        markdown(pd.DataFrame([row(by_label[k], r) for k, r in longer.items()])),
        "## Depth 100, full and sparse layers",
        DEEP_TEXT.format(rates=DEEP_RATES, **sizes),
        markdown(deep_table(deep)),
        RATES_TEXT.format(activation=depth.label(DEEP_PLAN["full"][0][0]), n=N_RATE_TRAIN),
        markdown(rates_table(rates)),
        "## Gradients by layer before training",
        FLOW_TEXT.format(n=N_FLOW, n_layers=DEPTH),
        markdown(flow_table(flows)),
        "![Gradients and variances](edge_flows.png)",
    )
