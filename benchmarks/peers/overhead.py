"""What Python costs: per update of a tiny network, and per prediction of one sample."""

import time
import warnings
from collections import Counter
from contextlib import ExitStack
from unittest import mock

import numpy as np
from numba.core.dispatcher import Dispatcher
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from benchmarks.peers.programs import ours
from benchmarks.peers.report import Section
from benchmarks.peers.tasks import TASKS, Task
from benchmarks.peers.timing import interleave, many
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.core import kernels

TINY = Task("tiny", (4, 3, 3, 2), 10, 2, 1000)
MADELON = TASKS["madelon"]
MOST_LATENCY = 100
SINGLE, DENSE = "predict, one sample", "MLPClassifier().predict, one sample"
TEXT = """An update of {sizes} with batch {batch} computes next to nothing: its time is
what Python and the calls of jitted functions take, as in every larger network of as many
layers. An epoch has {n_calls:.0f} such calls ({calls}). Times are those of an epoch in
`history_` over its updates. Predictions are CPU times: `predict` with the default networks
of this package and of `MLPClassifier` on digits, `predictor()` with {network}."""


def measure(options) -> Section:
    section = Section("Overhead")
    model, X, y = _trained(TINY)
    calls = _jitted_calls(model, X, y)
    listed = ", ".join(f"{count:g} {name}" for name, count in sorted(calls.items()))
    section.add_text(
        TEXT.format(
            sizes="-".join(map(str, TINY.sizes)),
            batch=TINY.batch_size,
            n_calls=sum(calls.values()),
            calls=listed,
            network=MADELON,
        )
    )
    contestants = {f"update of {TINY}": lambda: _update(model, X, y)}
    contestants |= _predictions()
    result = interleave(contestants, options.repeats)
    section.measured["seconds"] = result.seconds
    section.add_table([_row(name, result) for name in contestants])
    fast = f"predictor().{SINGLE}"
    if fast in contestants:
        latency = 1e6 * result.median(fast)
        title, met = f"{fast}, {MADELON}", latency < MOST_LATENCY
        section.add_target(title, f"below {MOST_LATENCY} µs", f"{latency:.0f} µs", met=met)
    ratio = result.median(SINGLE) / result.median(DENSE)
    title = f"{SINGLE}, default network, over MLPClassifier's"
    section.add_target(title, "at most 1", f"{ratio:.2f}", met=ratio <= 1)
    return section


def _trained(task):
    X, y = task.samples()
    model = ours.Program(task).model
    return model.partial_fit(X, y, classes=np.arange(task.sizes[-1])), X, y


def _update(model, X, y):
    """Seconds of one update, without what `partial_fit` does around the epoch."""
    model.partial_fit(X, y)
    return model.history_[-1]["seconds"] / (len(X) / model.batch_size)


def _jitted_calls(model, X, y):
    """How often an epoch calls each jitted function."""
    counts = Counter()

    def counting(name, function):
        def call(*args):
            counts[name] += 1
            return function(*args)

        return call

    with ExitStack() as stack:
        for name, function in vars(kernels).copy().items():
            if isinstance(function, Dispatcher):
                patch = mock.patch.object(kernels, name, counting(name, function))
                stack.enter_context(patch)
        model.partial_fit(X, y)
    return dict(counts)


def _predictions():
    digits, labels = load_digits(return_X_y=True)
    digits = digits.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network = SparseMLPClassifier(max_iter=2).fit(digits, labels)
        dense = MLPClassifier(max_iter=2).fit(digits, labels)
    functions = {SINGLE: lambda: network.predict(digits[:1])}
    functions |= {DENSE: lambda: dense.predict(digits[:1])}
    model, X, _ = _trained(MADELON)
    sample = X[:1].copy()
    if hasattr(model, "predictor"):
        fast = model.predictor()
        for name in ("predict", "predict_proba", "decision_function"):
            method = getattr(fast, name)
            functions[f"predictor().{name}, one sample"] = lambda f=method: f(sample)
    return {name: many(f, time.process_time) for name, f in functions.items()}


def _row(name, result):
    times = [1e6 * seconds for seconds in result.seconds[name]]
    values = {"median": np.median(times), "least": min(times), "most": max(times)}
    return {"what": name} | {f"{k}, µs": f"{value:.1f}" for k, value in values.items()}
