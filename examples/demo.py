"""Sparse against dense on data that need no download: accuracy, log-loss, size and time.

Run with ``make demo``. Compiles the kernels where they are not yet, and says how long that
took; then trains :class:`sksparse_mlp.SparseMLPClassifier` and scikit-learn's
``MLPClassifier`` with the same layers, solver, penalty, batches and number of epochs, one
thread each; prints one table and saves ``demo.png``, the loss of the same validation
samples by epoch and by time. Madelon, ISOLET and MNIST are added where they are at hand,
see :func:`sksparse_mlp.datasets.fetch`.
"""

import pickle
import time
import warnings
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from rich.console import Console
from rich.table import Table
from sklearn.callback import ProgressBar
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from threadpoolctl import threadpool_limits

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.datasets import fetch, make_madelon
from sksparse_mlp.warmup import warm_up

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
    "MNIST": {"hidden_layer_sizes": (512, 512), "max_iter": 3, "epsilon": 20},
}
SHARED = {
    "solver": "adam",
    "learning_rate": "constant",
    "learning_rate_init": 0.001,
    "alpha": 0.01,
    "batch_size": 100,
    "n_iter_no_change": np.inf,
}
COLOURS = {"sparse": "tab:blue", "dense": "tab:orange"}
LINES = {"sparse": "-", "dense": "--"}
SAVED = ("connections", "bytes", "seconds")
NOTES = """\
Sparse is SparseMLPClassifier with its defaults beside the layers, epsilon and what it
shares with dense: dropout 0.1, and topology that evolves. Dense is scikit-learn's
MLPClassifier, which has neither. Both have the same layers, Adam, penalty, batches and
epochs, float32, and one thread. Accuracy and log-loss (nats) are of the test part. Seconds
are those of the whole `fit` by the clock, in which nothing is compiled. "Pickled" is the
size of the fitted network as a pickle; the dense one's holds the moments of Adam, too."""
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
    """Yield name and data."""
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


def networks(name):
    """A sparse and a dense network that are not fitted, of the same layers."""
    parameters = SHARED | NETWORKS[name]
    # A seed would give every call of `partial_fit` the same order of samples.
    sparse = SparseMLPClassifier(**parameters, random_state=0)
    del parameters["epsilon"]
    dense = MLPClassifier(**parameters, random_state=np.random.RandomState(0))
    return {"sparse": sparse, "dense": dense}


def prepare():
    """Compile what is missing, and run both programs once; the seconds of each."""
    compiling = warm_up()
    X, y = make_classification(random_state=0)
    models = [model.set_params(max_iter=3) for model in networks("breast cancer").values()]
    return compiling, sum(timed_fit(model, X.astype(np.float32), y) for model in models)


def timed_fit(model, X, y):
    """Fit, and return how many seconds it took."""
    started = time.perf_counter()
    # One thread each: a BLAS that shares its cores with others can be ten times slower.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    return time.perf_counter() - started


def sparse_losses(model, X, y, X_val, y_val):
    """Loss of the validation samples after each epoch."""
    model.set_callbacks(ProgressBar()).fit(X, y, X_val=X_val, y_val=y_val)
    return [record["validation_loss"] for record in model.history_]


def dense_losses(model, X, y, X_val, y_val):
    """The same of the dense network, whose epochs shuffle otherwise than in `fit`."""
    losses = []
    for _ in range(model.max_iter):
        model.partial_fit(X, y, classes=np.unique(y))
        losses.append(log_loss(y_val, model.predict_proba(X_val)))
    return losses


LOSSES = {"sparse": sparse_losses, "dense": dense_losses}


def compare(name, X_train, X_test, y_train, y_test):
    """Train both networks; by their kind, what is in the table and in the picture."""
    X_train, X_test = scaled(X_train, X_test)
    X, X_val, y, y_val = train_test_split(
        X_train, y_train, test_size=0.2, stratify=y_train, random_state=0
    )
    CONSOLE.print(
        f"[bold]{name}[/bold]: {len(X):,} training, {len(X_val):,} validation, "
        f"{len(X_test):,} test samples of {X.shape[1]} features"
    )
    results = {}
    for kind, model in networks(name).items():
        seconds = timed_fit(model, X, y)
        results[kind] = {
            "accuracy": model.score(X_test, y_test),
            "log-loss": log_loss(y_test, model.predict_proba(X_test)),
            "connections": sum(
                np.count_nonzero(c) if kind == "dense" else c.nnz for c in model.coefs_
            ),
            "bytes": len(pickle.dumps(model)),
            "seconds": seconds,
            "epochs": model.n_iter_,
            # The same training again, with a look at other samples after every epoch.
            "losses": LOSSES[kind](networks(name)[kind], X, y, X_val, y_val),
        }
    return results


def table(rows):
    """The results as one table, with what sparse saves in every third line."""
    shown = Table(title="One thread each")
    columns = ["data, layers", "network", "accuracy", "log-loss", "connections", "pickled"]
    for column in [*columns, "s/epoch", "seconds"]:
        justify = "left" if column in columns[:2] else "right"
        shown.add_column(column, no_wrap=True, justify=justify)
    for name, results in rows.items():
        layers = "-".join(map(str, NETWORKS[name]["hidden_layer_sizes"]))
        for label, (kind, r) in zip((name, layers), results.items(), strict=True):
            shown.add_row(
                label,
                kind,
                f"{r['accuracy']:.3f}",
                f"{r['log-loss']:.3f}",
                f"{r['connections']:,}",
                f"{r['bytes'] / 1e3:,.0f} kB",
                f"{r['seconds'] / r['epochs']:.4f}",
                f"{r['seconds']:.2f}",
            )
        ratios = [results["dense"][k] / results["sparse"][k] for k in SAVED]
        ratios = [f"{ratio:.1f}" for ratio in ratios]
        shown.add_row("", "dense / sparse", "", "", *ratios, style="bold", end_section=True)
    return shown


def learning_curves(rows):
    """Validation loss by epoch above, by seconds of training below, a column per set."""
    figure, axes = plt.subplots(
        2, len(rows), figsize=(2.8 * len(rows), 5.2), squeeze=False, layout="constrained"
    )
    for (by_epoch, by_time), (name, results) in zip(axes.T, rows.items(), strict=True):
        for kind, result in results.items():
            epochs = np.arange(1, len(result["losses"]) + 1)
            seconds = epochs * result["seconds"] / result["epochs"]
            style = {"color": COLOURS[kind], "label": kind, "linestyle": LINES[kind]}
            by_epoch.semilogy(epochs, result["losses"], **style)
            by_time.loglog(seconds, result["losses"], **style)
        by_epoch.set(title=name, xlabel="epochs")
        by_epoch.xaxis.set_major_locator(MaxNLocator(integer=True))
        by_time.set(xlabel="seconds, one thread")
    for ax in axes.flat:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    for ax in axes[:, 0]:
        ax.set_ylabel("validation log-loss (nats)")
    axes[0, 0].legend(frameon=False)
    figure.savefig(PICTURE, dpi=150)
    plt.close(figure)


def main():
    compiling, running = prepare()
    compiled = f"{compiling:.1f} s, once on this machine" if compiling else "done before"
    CONSOLE.print(f"Compiling the kernels: {compiled}. Warm-up fits: {running:.1f} s.")
    rows = {name: compare(name, *parts) for name, parts in data_sets()}
    CONSOLE.print(table(rows))
    CONSOLE.print(NOTES)
    learning_curves(rows)
    CONSOLE.print(f"Validation loss by epoch and by time: {PICTURE.resolve()}")


if __name__ == "__main__":
    main()
