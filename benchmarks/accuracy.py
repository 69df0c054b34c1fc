"""Test accuracy on ISOLET, MNIST and Madelon with the networks of the literature.

``python -m benchmarks.accuracy`` trains each network with several seeds and writes
``docs/accuracy.md``. The folder ``SKSPARSE_MLP_DATA`` must hold the three data sets.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.samples import scaled
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier

REPORT = Path("docs/accuracy.md")
# Every epoch is trained: none of the networks stops by itself.
SHARED = {
    "n_iter_no_change": np.inf,
    "learning_rate": "constant",
    "learning_rate_init": 0.001,
}
NETWORKS = {
    "isolet": {
        "hidden_layer_sizes": (512, 256, 128),
        "epsilon": 21,
        "dropout": 0.3,
        "alpha": 1e-4,
        "batch_size": 100,
        "max_iter": 100,
    },
    "mnist": {
        "hidden_layer_sizes": (1000, 1000, 1000),
        "epsilon": 20,
        "alpha": 1e-4,
        "learning_rate": "cosine",
        "batch_size": 128,
        "max_iter": 25,
    },
    "madelon": {
        "hidden_layer_sizes": (400, 100, 400),
        "epsilon": 10,
        "activation": "all_relu",
        "slope": 0.5,
        "dropout": 0.0,
        "batch_size": 32,
        "max_iter": 300,
    },
}


class EpochCallback:
    """Base of scikit-learn callbacks that act at the end of an epoch only."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass


@dataclass
class TestAccuracy(EpochCallback):
    """Scores the network after every epoch."""

    __test__ = False

    X: np.ndarray
    y: np.ndarray
    scores: list[float] = field(default_factory=list)

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "epoch":
            self.scores.append(fitted_estimator.score(self.X, self.y))


def train(name, seed):
    """Train one network and return its test accuracy after every epoch, and itself."""
    X_train, y_train, X_test, y_test = scaled(name)
    accuracy = TestAccuracy(X_test, y_test)
    model = SparseMLPClassifier(**SHARED | NETWORKS[name], random_state=seed)
    model.set_callbacks(accuracy).fit(X_train, y_train)
    return accuracy.scores, model


def row(name, seed):
    """One line of the report, accuracies in percent."""
    scores, model = train(name, seed)
    dense = sum(coef.shape[0] * coef.shape[1] for coef in model.coefs_)
    return {
        "data": name,
        "seed": seed,
        "connections": int(model.n_connections_.sum()),
        "sparsity (%)": 100 * (1 - model.n_connections_.sum() / dense),
        "epochs": len(scores),
        "final accuracy (%)": 100 * scores[-1],
        "best accuracy (%)": 100 * max(scores),
    }


def report(rows, command):
    """The report as Markdown."""
    table = pd.DataFrame(rows)
    lines = [
        "# Accuracy on the literature's networks",
        f"Made by `{command}`. Test accuracy after the last epoch, and after the best one "
        "(as the documents report it, which peeks at the test set). Float32, SET evolution "
        "with zeta 0.3 after every epoch. Pixels are divided by 255, other features "
        "standardised.",
        markdown(table),
        "Mean over the seeds:",
        markdown(table.drop(columns="seed").groupby("data", as_index=False).mean()),
        "Networks (other parameters are the defaults):",
        *(f"- {name}: `{SHARED | network}`" for name, network in NETWORKS.items()),
    ]
    return "\n\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    arguments = parser.parse_args()
    rows = []
    for name in arguments.data:
        for seed in range(arguments.seeds):
            rows.append(row(name, seed))
            print(rows[-1], flush=True)
    options = f" --seeds {arguments.seeds} --data {' '.join(arguments.data)}"
    REPORT.write_text(report(rows, f"python -m benchmarks.accuracy{options}"))


if __name__ == "__main__":
    main()
