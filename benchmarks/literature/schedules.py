"""Chouliaras' zeta schedules, and gradient growth, on ISOLET and MNIST."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from benchmarks.accuracy import NETWORKS, SHARED
from benchmarks.samples import scaled
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.schedules import ZETA_SCHEDULES

SEEDS = (0, 1, 2)
VARIANTS = {
    "SET (constant)": {"zeta_schedule": "constant"},
    "LDV (linear)": {"zeta_schedule": "linear"},
    "OSV (oscillating)": {"zeta_schedule": "oscillating"},
    "EXD (exponential)": {"zeta_schedule": "exponential"},
    "cosine": {"zeta_schedule": "cosine"},
    "loss": {"zeta_schedule": "loss"},
    "gradient growth": {"growth": "gradient"},
    "gradient growth, cosine": {"growth": "gradient", "zeta_schedule": "cosine"},
    "FixProb (no evolution)": {"zeta": 0.0},
}


def train(data, seed, variant):
    """Test accuracy in percent, connections grown, seconds of evolution and of the rest."""
    X_train, y_train, X_test, y_test = scaled(data)
    model = SparseMLPClassifier(**SHARED | NETWORKS[data] | variant, random_state=seed)
    model.fit(X_train, y_train)
    return {
        "accuracy": round(100 * model.score(X_test, y_test), 3),
        "grown": sum(record["n_grown"] for record in model.history_),
        "evolution": sum(record["evolution_seconds"] for record in model.history_),
        "training": sum(record["seconds"] for record in model.history_),
    }


def compare(runs, data):
    """One row per variant; seeds take turns, so that the machine is the same for all."""
    size = {"max_iter": runs.epochs(NETWORKS[data]["max_iter"])} if runs.quick else {}
    grid = [
        {"data": data, "seed": seed, "variant": variant | size}
        for seed in runs.some(SEEDS)
        for variant in VARIANTS.values()
    ]
    results = runs.map(train, grid)
    first = None
    rows = []
    for k, name in enumerate(VARIANTS):
        own = results[k :: len(VARIANTS)]
        mean = pd.DataFrame(own).mean()
        first = mean if first is None else first
        rows.append(
            {
                "variant": name,
                "accuracy (%)": mean["accuracy"],
                "by seed": " ".join(f"{result['accuracy']:.2f}" for result in own),
                "less SET's": mean["accuracy"] - first["accuracy"],
                "connections grown": f"{mean['grown']:,.0f}",
                "evolution (s)": f"{mean['evolution']:.3f}",
                "of SET's": mean["evolution"] / first["evolution"],
                "share of training time (%)": 100 * mean["evolution"] / mean["training"],
            }
        )
    return pd.DataFrame(rows)


def plot(path):
    figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
    epochs = np.arange(100)
    of_epochs = {n: c for n, c in ZETA_SCHEDULES.items() if not hasattr(c, "metric")}
    for (name, cls), style in zip(
        of_epochs.items(), ("-", "--", "-.", ":", (0, (1, 3))), strict=True
    ):
        zetas = [cls()(epoch, epochs.size) for epoch in epochs]
        ax.plot(epochs, zetas, linestyle=style, color="black", label=name)
    ax.set(xlabel="epoch of 100", ylabel="zeta", ylim=(0, None))
    ax.legend()
    figure.savefig(path, dpi=120)


TEXT = """\
Test accuracy after the last epoch of the networks of `benchmarks/accuracy.py`: ISOLET
617-512-256-128-26 with epsilon 21 and 100 epochs, MNIST 784-1000-1000-1000-10 with epsilon
20 and 25 epochs; Adam, float32, evolution after every epoch but the last. Schedules start
at zeta 0.3 with the parameters of the document (zeta_min 0.01, interest 0.01, k = 1).
*Evolution* is the time for removing and growing connections in a whole training, in one
thread; the document measures the same. Means of 3 seeds."""


def run(runs):
    parts = []
    for data in ("isolet", "mnist"):
        parts += [f"## {data}", markdown(compare(runs, data))]
    plot(runs.path(".png"))
    runs.finish(
        "Zeta schedules (Chouliaras 2021) and gradient growth (Evci et al. 2020)",
        TEXT,
        *parts,
        "## The schedules",
        "![Schedules](schedules.png)",
    )
