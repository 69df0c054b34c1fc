"""Relu nodes that die as layers get sparser under SET, and from where relu harms."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from benchmarks.literature import pretorius
from benchmarks.literature.comparison import with_error
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.callbacks import AnalysisRecorder

HIDDEN = (200,) * 4
EPSILONS = (1, 2, 4, 8, 16, 32)
ACTIVATIONS = {
    "relu": {"activation": "relu"},
    "leaky_relu": {"activation": "leaky_relu", "slope": 0.1},
    "all_relu": {"activation": "all_relu", "slope": 0.5},
}
N_SAMPLES, N_EPOCHS, SEEDS, N_RECORDED = 5_000, 12, range(3), 1_000


def train(epsilon, network, seed, n_samples, n_epochs):
    """Test accuracy, and dead and revived nodes by epoch, of all nodes of the layers."""
    X, y, X_test, y_test = pretorius.samples("mnist", n_samples)
    measures = ("dead_nodes", "sparsity")
    recorder = AnalysisRecorder(X[:N_RECORDED], y[:N_RECORDED], measures=measures)
    model = SparseMLPClassifier(
        HIDDEN,
        epsilon=epsilon,
        zeta=0.3,
        alpha=0.0,
        dropout=0.0,
        batch_size=64,
        learning_rate="exponential",
        learning_rate_init=1e-3,
        max_iter=n_epochs,
        n_iter_no_change=n_epochs,
        random_state=seed,
        **network,
    )
    model.set_callbacks(recorder).fit(X, y)
    n_hidden = len(HIDDEN)
    return {
        "accuracy": round(100 * model.score(X_test, y_test), 2),
        "sparsity": float(100 * (1 - np.mean([1 - s for s in model.sparsity_[:n_hidden]]))),
        "dead": [sum(record["dead_nodes"]) for record in recorder.results_],
        "revived": [sum(record["recovered_nodes"]) for record in recorder.results_],
        "by_layer": recorder.results_[-1]["dead_nodes"],
    }


def table(found):
    rows = []
    n_nodes = sum(HIDDEN)
    for epsilon in EPSILONS:
        own = {n: found[epsilon, n] for n in ACTIVATIONS if (epsilon, n) in found}
        if "relu" not in own:
            continue
        relu = own["relu"]
        layers = np.mean([r["by_layer"] for r in relu], axis=0)
        row = {
            "epsilon": str(epsilon),
            "layers' sparsity (%)": relu[0]["sparsity"],
            "relu: dead at the end (%)": with_error(
                [100 * r["dead"][-1] / n_nodes for r in relu]
            ),
            "by layer": " ".join(f"{n:.0f}" for n in layers),
            "dead after the first epoch (%)": with_error(
                [100 * r["dead"][0] / n_nodes for r in relu]
            ),
            "revived per epoch (nodes)": with_error([np.mean(r["revived"]) for r in relu]),
        }
        for name, results in own.items():
            accuracies = [result["accuracy"] for result in results]
            row[f"{name}: test accuracy (%)"] = with_error(accuracies)
        rows.append(row)
    return pd.DataFrame(rows)


def behind(found):
    """By epsilon, how far relu is behind the best of the others, in its standard errors."""
    gaps = {}
    for epsilon in EPSILONS:
        own = {
            name: np.array([r["accuracy"] for r in found[epsilon, name]])
            for name in ACTIVATIONS
            if (epsilon, name) in found
        }
        if len(own) == len(ACTIVATIONS):
            best = max((n for n in own if n != "relu"), key=lambda n: own[n].mean())
            n_common = min(own[best].size, own["relu"].size)
            gaps[epsilon] = own[best][:n_common] - own["relu"][:n_common]
    return gaps


def verdict(found):
    """From which sparsity relu is behind in every seed."""
    harmed = [e for e, gap in behind(found).items() if gap.size > 1 and np.all(gap > 0)]
    text = "; ".join(f"epsilon {e} {with_error(gap)}" for e, gap in behind(found).items())
    ahead = f"Points by which the best other activation is ahead of relu: {text}."
    where = ", ".join(map(str, harmed)) if harmed else "none"
    return f"{ahead} Ahead with every seed at epsilon: {where}."


def plot(found, path):
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for epsilon, marker in zip(EPSILONS, "os^vDx", strict=True):
        if (epsilon, "relu") in found:
            results = found[epsilon, "relu"]
            for ax, what in ((left, "dead"), (right, "revived")):
                mean = np.mean([r[what] for r in results], axis=0) / sum(HIDDEN)
                ax.plot(
                    range(1, len(mean) + 1),
                    100 * mean,
                    f"k{marker}-",
                    markersize=4,
                    linewidth=0.7,
                    fillstyle="none",
                    label=f"epsilon {epsilon}",
                )
    left.set(xlabel="epoch", ylabel="dead relu nodes (%)")
    right.set(xlabel="epoch", ylabel="revived since the epoch before (%)")
    left.legend(fontsize="x-small")
    figure.savefig(path, dpi=100)
    plt.close(figure)


TEXT = """\
The document leaves open what sparse layers do to relu, and from which sparsity it harms.
784-{hidden}-10 on MNIST, {n} training samples, {epochs} epochs, SET (zeta 0.3), Adam with
rate 0.001 multiplied by 0.99 after each epoch, batches of 64, no dropout, no penalty.
A node is dead if it is off for all of {recorded} training samples after an epoch, and
revived if it was dead an epoch before and is not now. All figures are ours."""


def measured(runs):
    """By epsilon and activation, what the seeds give."""
    size = {"n_samples": N_SAMPLES // (20 if runs.quick else 1)}
    size["n_epochs"] = runs.epochs(N_EPOCHS)
    cells = {
        (epsilon, name): {"epsilon": epsilon, "network": network} | size
        for epsilon in EPSILONS
        for name, network in ACTIVATIONS.items()
    }
    return runs.by_seed(train, cells, SEEDS)


def run(runs):
    found = measured(runs)
    plot(found, runs.path(".png"))
    runs.finish(
        "Relu nodes that die, by sparsity (Pretorius 2020, future work)",
        TEXT.format(
            hidden="-".join(map(str, HIDDEN)),
            n=N_SAMPLES,
            epochs=runs.epochs(N_EPOCHS),
            recorded=N_RECORDED,
        ),
        "![Dead and revived nodes](dying.png)",
        markdown(table(found)),
        verdict(found),
    )
