"""Zhang's protocol: what his tables on Madelon and Fashion-MNIST share."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

from benchmarks.accuracy import EpochCallback, TestAccuracy
from benchmarks.literature.comparison import beside
from benchmarks.samples import scaled
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.activations import AllReLU, GAReLU, LeakyReLU, ReLU
from sksparse_mlp.analysis import effective_gradient_flow
from sksparse_mlp.initializers import HeUniform
from sksparse_mlp.topology import RandomGrowth

SEEDS = range(3)
# Samples from which the gradient flow is taken besides a batch, and the norms.
N_OBSERVED, NORMS = 1_000, (1, 2)
# Epochs of which a mean of the flow is kept.
N_TOGETHER = 10


class FullFanInUniform(HeUniform):
    """He's uniform weights with all input neurons as fan-in, also in a sparse layer."""

    def __call__(self, layer, rng, before=None, after=None):
        super().__call__(layer, rng, before, after)
        density = (layer.fan_in / layer.n_in).astype(layer.weights.dtype)
        layer.weights *= np.repeat(np.sqrt(density), layer.fan_in)


class FullFanInGrowth(RandomGrowth):
    """Random growth of new weights as large as those of `FullFanInUniform`."""

    def evolve(self, layer, zeta, rng, signal=None, n_connections=None):
        density = layer.n_connections / (layer.n_in * layer.n_out)
        own = RandomGrowth(scale=float(np.sqrt(density)))
        return own.evolve(layer, zeta, rng, signal, n_connections)


# The published SET code subtracts 0.0002 of each weight at every update; through momentum
# that is a penalty of 0.0002 * (1 - 0.9) / 0.01, which is divided by the batch size.
DECAY = 0.0002
SHARED = {
    "zeta": 0.3,
    "init": FullFanInUniform(),
    "solver": "sgd",
    "momentum": 0.9,
    "nesterovs_momentum": False,
    "learning_rate": "constant",
    "learning_rate_init": 0.01,
    "dropout": 0.3,
    "n_iter_no_change": 500,
}


def protocol(batch_size, **network):
    """A network of the document, trained as there."""
    alpha = round(DECAY * (1 - 0.9) / 0.01 * batch_size, 6)
    return SHARED | {"batch_size": batch_size, "alpha": alpha} | network


# What the document does not say, and what is done.
CHOSEN = {
    "weight decay": f"{DECAY} of every weight at each update, unless another is named",
    "initial weights": "uniform, variance 2 / n_in of all input neurons",
    "weights of new connections": "zero",
    "samples of the gradient flow": f"a batch, and {N_OBSERVED}",
}


def deviations(runs):
    """Let the report list what is chosen where the document says nothing."""
    for what, here in CHOSEN.items():
        runs.deviates(what, document="not said", here=here)


class Flow(EpochCallback):
    """Takes the effective gradient flow after every epoch, in several ways."""

    def __init__(self, X, y, batch_size):
        order = np.random.default_rng(0).permutation(len(y))
        self.samples = {
            f"{n} samples": (X[order[:n]], y[order[:n]]) for n in (batch_size, N_OBSERVED)
        }
        self.flows: dict[str, list[float]] = {}

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name != "epoch":
            return
        for name, (X, y) in self.samples.items():
            for norm in NORMS:
                flow = effective_gradient_flow(fitted_estimator, X, y, norm=norm)
                key = f"norm {norm}, {name}"
                self.flows.setdefault(key, []).append(float(f"{flow:.4g}"))


def summarised(flow):
    """The largest and the last of all epochs, and means of `N_TOGETHER` for a curve."""
    parts = [flow[k : k + N_TOGETHER] for k in range(0, len(flow), N_TOGETHER)]
    return {
        "largest": max(flow),
        "last": flow[-1],
        "curve": [float(f"{np.mean(part):.4g}") for part in parts],
    }


def train(data, activation, seed, network, standardised=True, with_flow=True):
    """Test accuracy after every epoch, what gradients flowed, slopes after the last."""
    scaler = StandardScaler() if standardised else None
    X_train, y_train, X_test, y_test = scaled(data, scaler)
    accuracy = TestAccuracy(X_test, y_test)
    flow = Flow(X_train, y_train, network["batch_size"])
    model = SparseMLPClassifier(activation=activation, random_state=seed, **network)
    callbacks = [accuracy, flow] if with_flow else [accuracy]
    model.set_callbacks(*callbacks).fit(X_train, y_train)
    return {
        "accuracy": [round(100 * score, 2) for score in accuracy.scores],
        "flow": {way: summarised(values) for way, values in flow.flows.items()},
        "slopes": [round(slope, 3) for slope in model.slopes_],
    }


def garelu(slope, update="epoch"):
    """GAReLU as in the document's Algorithm 4, which updates slopes once per epoch."""
    return GAReLU(slope=slope, update=update)


# Best test accuracy in %, largest and last effective gradient flow (Table 7.1).
PRINTED = {
    "madelon": {
        "GAReLU": (68.33, 1.128, 0.285),
        "AllReLU": (67.50, 1.138, 0.293),
        "ReLU": (66.00, 0.933, 0.139),
        "LeakyReLU": (65.83, 0.950, 0.459),
    },
    "fashion_mnist": {
        "GAReLU": (91.08, 0.299, 0.193),
        "AllReLU": (90.91, 0.296, 0.190),
        "ReLU": (90.70, 0.222, 0.126),
        "LeakyReLU": (88.92, 0.270, 0.171),
    },
    "cifar10": {
        "GAReLU": (62.52, 1.695, 1.029),
        "AllReLU": (62.29, 1.698, 1.028),
        "ReLU": (59.75, 1.375, 0.735),
        "LeakyReLU": (53.66, 1.321, 0.824),
    },
}
# GAReLU's slopes of the three hidden layers at the end (Table 7.2).
PRINTED_SLOPES = {
    "madelon": (-0.65, -0.09, -0.51),
    "fashion_mnist": (-0.61, 0.05, -0.17),
    "cifar10": (-0.79, 0.37, -0.66),
}
LINES = ("-", "--", "-.", ":")


def results_by_activation(runs, data, slope, network, seeds=SEEDS):
    """Per activation, the results of the seeds."""
    activations = garelu(slope), AllReLU(slope=slope), ReLU(), LeakyReLU(slope=slope)
    seeds = runs.some(seeds)
    # All activations with one seed first: a run that is cut short compares them too.
    grid = [
        {"data": data, "activation": activation, "seed": seed, "network": network}
        for seed in seeds
        for activation in activations
    ]
    return runs.cells(
        train, {name: grid[k :: len(activations)] for k, name in enumerate(PRINTED[data])}
    )


WITHOUT = """\
The document does not mention weight decay. {n} epochs, seeds: {seeds}; the rest as
above."""


def networks_without_decay(runs, data, slope, network, n_epochs, n_seeds):
    """Per activation, the results of the seeds without weight decay."""
    n_epochs = runs.reduced("epochs without weight decay", document=500, here=n_epochs)
    n_seeds = runs.reduced("seeds without weight decay", document=3, here=n_seeds)
    network = network | {"alpha": 0.0, "max_iter": runs.epochs(n_epochs)}
    return results_by_activation(runs, data, slope, network, range(n_seeds))


def without_decay(runs, data, slope, results):
    """Tables 7.1 and 7.2 of networks without weight decay, and their curves."""
    if not results:
        return []
    picture = runs.path("_without.png")
    plot_curves(results, picture, slope)
    first = next(iter(results.values()))
    return [
        "## Without weight decay",
        WITHOUT.format(n=len(first[0]["accuracy"]), seeds=len(first)),
        markdown(accuracy_table(data, results)),
        markdown(flow_table(data, results)),
        *slopes_section(data, slope, results)[-1:],
        f"![Accuracy and gradient flow without weight decay]({picture.name})",
    ]


def accuracy_table(data, results):
    """Table 7.1: the best test accuracy of all epochs, and that of the last."""
    rows = []
    for name, found in results.items():
        curves = np.array([result["accuracy"] for result in found])
        best = beside(PRINTED[data][name][0], curves.max(axis=1))
        rows.append({"activation": name} | best | {"last epoch": curves[:, -1].mean()})
    return pd.DataFrame(rows)


def flow_table(data, results):
    """Largest and last gradient flow, taken in every way."""
    rows = []
    for name, found in results.items():
        _, largest, last = PRINTED[data][name]
        row = {"activation": name, "document": f"{largest:.3f} / {last:.3f}"}
        for way in found[0]["flow"]:
            means = pd.DataFrame([result["flow"][way] for result in found])
            row[way] = f"{means['largest'].mean():.3f} / {means['last'].mean():.3f}"
        rows.append(row)
    return pd.DataFrame(rows)


def slopes_table(data, slope, results):
    """Table 7.2: GAReLU's slopes at the start and at the end, signed."""
    own = [result["slopes"] for result in results["GAReLU"]]
    rows = []
    for layer, printed in enumerate(PRINTED_SLOPES[data]):
        start = slope if layer == 1 else -slope
        ending = [slopes[layer] for slopes in own]
        rows.append(
            {"hidden layer": str(layer + 1), "start": f"{start:.2f}"}
            | beside(printed, ending)
        )
    return pd.DataFrame(rows)


def slopes_section(data, slope, results):
    """Table 7.2 with its heading, once there is a run of GAReLU."""
    if "GAReLU" not in results:
        return []
    table = markdown(slopes_table(data, slope, results))
    return ["## Table 7.2: GAReLU's slopes", SLOPES, table]


SLOPES = """\
GAReLU's slopes for negative inputs after the last epoch; they are updated once after every
epoch with the mean gradient, as in the document's Algorithm 4."""


def plot_curves(results, path, slope):
    """Means over the seeds by epoch: accuracy and gradient flow."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    way = f"norm 1, {N_OBSERVED} samples"
    for (name, found), style in zip(results.items(), LINES, strict=False):
        accuracy = np.mean([result["accuracy"] for result in found], axis=0)
        left.plot(smooth(accuracy), style, label=name)
        flow = np.mean([r["flow"][way]["curve"] for r in found], axis=0)
        right.plot(N_TOGETHER * np.arange(flow.size), flow, style)
    left.set(xlabel="epoch", ylabel="test accuracy (%)")
    right.set(xlabel="epoch", ylabel=f"effective gradient flow ({way})")
    left.legend(title=f"Slope {slope}, means of the seeds and 10 epochs")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def smooth(values):
    return pd.Series(values).rolling(10, min_periods=1).mean()


PROTOCOL = """\
SET with zeta 0.3, momentum descent (0.9, not Nesterov's) with learning rate 0.01, dropout
0.3; features standardised, float32. *Ours* is the best test accuracy of all epochs, as the
document reports it: it is chosen on the test part, so that it is no estimate of the
accuracy on new data. *Last epoch* does not peek.

The document leaves the weight decay and the initial weights free and says that its program
comes from the published SET code. Both are that code's, the same for every activation: each
update takes 0.0002 of every weight (as an L2 penalty through momentum: `alpha={alpha}`),
and initial weights are uniform with variance 2 / n_in, n_in being all input neurons rather
than a neuron's connections. New connections start at zero."""

FLOW = """\
Largest and last, means over the seeds. The document does not say from which samples it
takes the gradients; here they are those of the mean loss of a batch, or of {n} samples,
always the same and without dropout, after every epoch. It says that the norm is the sum of
sizes (1); 2 is beside it. The document's figures are in its Table 7.1."""
