"""Sparse against dense: accuracy, connections and time on data that need no download.

Run with ``make demo``. Trains :class:`sksparse_mlp.SparseMLPClassifier` and
scikit-learn's ``MLPClassifier`` with the same layers, solver, batches and number of
epochs; prints one table and saves the learning curves as ``demo.png``. Madelon, ISOLET and
MNIST are added where they are at hand, see :func:`sksparse_mlp.datasets.fetch`.
"""

import time
import warnings
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.callback import ProgressBar
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from threadpoolctl import threadpool_limits

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.datasets import fetch, make_madelon

PICTURE = Path("demo.png")
NETWORKS = {
    "breast cancer": {"hidden_layer_sizes": (256, 128), "epsilon": 5, "max_iter": 50},
    "digits": {"hidden_layer_sizes": (256, 128), "epsilon": 10, "max_iter": 50},
    "generated Madelon": {
        "hidden_layer_sizes": (400, 100, 400),
        "max_iter": 30,
        "epsilon": 10,
    },
    "Madelon": {"hidden_layer_sizes": (400, 100, 400), "max_iter": 30, "epsilon": 10},
    "ISOLET": {"hidden_layer_sizes": (512, 256, 128), "max_iter": 20, "epsilon": 21},
    "MNIST": {"hidden_layer_sizes": (512, 512), "max_iter": 5, "epsilon": 20},
}
SHARED = {"solver": "adam", "alpha": 0.01, "batch_size": 100, "random_state": 0}
# The table is 110 columns wide, also where the output is not a terminal.
CONSOLE = Console(width=110)


def bundled(X, y):
    """Training and test parts of a data set in memory."""
    return train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)


def official(name):
    """Training and test part of a data set that needs no download."""
    (X_train, y_train), (X_test, y_test) = (
        fetch(name, subset=part, return_X_y=True, download_if_missing=False)
        for part in ("train", "test")
    )
    return X_train, X_test, y_train, y_test


def data_sets():
    """Yield name and data, scaled, as float32."""
    yield "breast cancer", bundled(*load_breast_cancer(return_X_y=True))
    yield "digits", bundled(*load_digits(return_X_y=True))
    yield "generated Madelon", bundled(*make_madelon(random_state=0))
    for name in ("Madelon", "ISOLET", "MNIST"):
        with suppress(OSError):
            yield name, official(name.lower())


def scaled(X_train, X_test):
    """Pixels are divided by the largest value, other features standardised."""
    scaler = MaxAbsScaler() if X_train.dtype == np.uint8 else StandardScaler()
    X_train = scaler.fit_transform(X_train.astype(np.float32))
    return X_train, scaler.transform(X_test.astype(np.float32))


def timed_fit(model, X, y):
    """Fit, and return the seconds each epoch took."""
    started = time.perf_counter()
    # One thread each: a BLAS that shares its cores with others can be ten times slower.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    return (time.perf_counter() - started) / model.n_iter_


def compare(name, X_train, X_test, y_train, y_test):
    """Train both networks and return a row of results."""
    X_train, X_test = scaled(X_train, X_test)
    network = NETWORKS[name] | SHARED | {"n_iter_no_change": np.inf}
    CONSOLE.print(f"[bold]{name}[/bold], {X_train.shape[0]:,} samples")
    sparse = SparseMLPClassifier(**network).set_callbacks(ProgressBar())
    seconds = timed_fit(sparse, X_train, y_train)
    del network["epsilon"]
    dense = MLPClassifier(**network, activation="relu")
    dense_seconds = timed_fit(dense, X_train, y_train)
    return {
        "name": name,
        "sizes": "-".join(map(str, [X_train.shape[1], *network["hidden_layer_sizes"]])),
        "accuracy": (sparse.score(X_test, y_test), dense.score(X_test, y_test)),
        "connections": (sparse.n_connections_.sum(), sum(c.size for c in dense.coefs_)),
        "seconds": (seconds, dense_seconds),
        "loss": sparse.loss_curve_,
        "dense_loss": dense.loss_curve_,
    }


def table(rows):
    """The results as one table."""
    shown = Table(
        title="SparseMLPClassifier / MLPClassifier of the same layers, one thread each"
    )
    for column in ("data", "layers", "test accuracy", "connections", "sparsity", "s/epoch"):
        shown.add_column(
            column, no_wrap=True, justify="left" if column == "data" else "right"
        )
    for row in rows:
        sparse, dense = row["connections"]
        shown.add_row(
            row["name"],
            row["sizes"],
            "{:.3f} / {:.3f}".format(*row["accuracy"]),
            f"{sparse:,} / {dense:,}",
            f"{1 - sparse / dense:.1%}",
            "{:.3f} / {:.3f}".format(*row["seconds"]),
        )
    return shown


def learning_curves(rows):
    """Training loss by epoch, one panel for each data set."""
    figure, axes = plt.subplots(
        1, len(rows), figsize=(2.6 * len(rows), 2.8), squeeze=False, layout="constrained"
    )
    for ax, row in zip(axes[0], rows, strict=True):
        for key, label, line in (("loss", "sparse", "-"), ("dense_loss", "dense", "--")):
            ax.semilogy(
                np.arange(1, len(row[key]) + 1), row[key], line, color="k", label=label
            )
        ax.set(title=row["name"], xlabel="epoch")
    axes[0, 0].set_ylabel("training loss (nats)")
    axes[0, 0].legend(frameon=False)
    figure.savefig(PICTURE, dpi=150)


def main():
    rows = [compare(name, *parts) for name, parts in data_sets()]
    CONSOLE.print(table(rows))
    learning_curves(rows)
    CONSOLE.print(f"Learning curves: {PICTURE.resolve()}")


if __name__ == "__main__":
    main()
