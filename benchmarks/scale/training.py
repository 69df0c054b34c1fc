"""Time and memory of whole fits, each network in a process of its own."""

import math
import time
import tracemalloc
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from benchmarks.accuracy import EpochCallback
from benchmarks.scale import ZETA
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.core.network import Batch

DENSITY = 0.01


@dataclass(frozen=True)
class Fit:
    """A network to train, and how long."""

    sizes: tuple[int, ...]
    epsilon: float
    batch: int
    updates: int
    epochs: int = 3
    repeats: int = 3

    def data(self, updates):
        """Random CSR data for so many updates per epoch, more if a class had no sample."""
        n_samples = self.batch * max(updates, math.ceil(self.sizes[-1] / self.batch))
        rng = np.random.default_rng(0)
        X = sparse.random_array(
            (n_samples, self.sizes[0]), density=DENSITY, format="csr", dtype=np.float32,
            rng=rng,
        )  # fmt: skip
        return X, np.arange(n_samples) % self.sizes[-1]

    def model(self, n_jobs=1, **changed):
        parameters = {
            "epsilon": self.epsilon, "zeta": ZETA, "solver": "sgd", "alpha": 0.0,
            "dropout": 0.0, "batch_size": self.batch, "max_iter": self.epochs,
            "n_iter_no_change": np.inf, "random_state": 0, "n_jobs": n_jobs,
        }  # fmt: skip
        return SparseMLPClassifier(self.sizes[1:-1], **parameters | changed)

    def activation_bytes(self):
        """What the buffers of a batch hold: part of the batch, not of the connections."""
        normed = [False] * (len(self.sizes) - 1)
        buffers = Batch.allocate(
            list(self.sizes), self.batch, np.float32, training=True, normed=normed
        )
        matrices = [buffers.x, *buffers.u, *buffers.z, *buffers.a, *buffers.dz]
        return sum({id(matrix): matrix.nbytes for matrix in matrices}.values())


class Watch(EpochCallback):
    """Notes time and traced memory: network made, every epoch done, buffers given back."""

    def __init__(self):
        self.times, self.held, self.peaks = [], [], []

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "fit":
            self.note()

    def on_fit_task_end(self, estimator, context):
        self.note()

    def note(self):
        held, peak = tracemalloc.get_traced_memory()
        self.times.append(time.perf_counter())
        self.held.append(held)
        self.peaks.append(peak)
        tracemalloc.reset_peak()


def measure(fit: Fit) -> dict:
    """Seconds and bytes of a fit, and what the network was like."""
    warnings.simplefilter("error", ConvergenceWarning)
    _compile(fit)
    X, y = fit.data(fit.updates)
    runs = {"1": [], "2": []}
    for repeat in range(fit.repeats):
        for n_jobs in list(runs)[:: -1 if repeat % 2 else 1]:
            runs[n_jobs].append(_seconds(fit, X, y, int(n_jobs)))
    peak_rss = _peak_rss()
    return {
        "fit": asdict(fit),
        "neurons": sum(fit.sizes[1:]),
        "seconds": runs,
        "peak_rss": peak_rss,
        "activations": fit.activation_bytes(),
        **_bytes(fit, *fit.data(2)),
    }


def _compile(fit):
    """Load the kernels, with threads and without."""
    small = Fit((20, 2000, 2000, 2000, 10), 20, 64, 1, epochs=2)
    for n_jobs in (1, 2):
        small.model(n_jobs).fit(*small.data(1))


def _seconds(fit, X, y, n_jobs):
    """Seconds of the parts of a fit."""
    watch = Watch()
    model = fit.model(n_jobs).set_callbacks(watch)
    started = time.perf_counter()
    model.fit(X, y)
    ended = time.perf_counter()
    history = model.history_
    # Buffers are touched for the first time in the first epoch.
    epochs = [record["seconds"] for record in history[1:]]
    return {
        "start": watch.times[1] - started - history[0]["seconds"],
        "epoch": median(epochs),
        "update": median(epochs) / fit.updates,
        "evolution": median(record["evolution_seconds"] for record in history[:-1]),
        "end": ended - watch.times[-1],
    }


def _bytes(fit, X, y):
    """Most traced bytes in each part of a fit, and what is held between epochs."""
    watch = Watch()
    model = fit.model().set_callbacks(watch)
    tracemalloc.start()
    model.fit(X, y)
    watch.note()
    tracemalloc.stop()
    connections = int(model.n_connections_.sum())
    possible = sum(coef.shape[0] * coef.shape[1] for coef in model.coefs_)
    return {
        "connections": connections,
        "sparsity": 1 - connections / possible,
        "bytes": {
            "initialisation": watch.peaks[0],
            "first epoch": watch.peaks[1],
            "evolution and epoch": max(watch.peaks[2:-2]),
            "between epochs": watch.held[-3],
            "end of fit": watch.peaks[-1],
            "fitted": watch.held[-1],
        },
    }


def _peak_rss():
    """The most memory that this process has had, from its own start on (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (size,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return 1024 * int(size)
