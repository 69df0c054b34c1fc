"""What a second thread brings, and from which amount of work on."""

from statistics import median
from unittest import mock

import joblib
import numpy as np

from benchmarks.peers.epochs import MNIST, epoch_of
from benchmarks.peers.kernels import random_layer
from benchmarks.peers.report import Section
from benchmarks.peers.timing import interleave, many, spread
from sksparse_mlp.core import workers

BATCH = 128
# Multiply-adds of one forward call.
WORK = [2**k for k in range(17, 24)]
TEXT = """Forward calls of square layers (epsilon 10, batch 128, float32), with their rows
shared by two threads whatever the amount of work, and epochs with `n_jobs` 1 and 2.
{verdict}
`Workers` shares rows between two threads from {threshold:,} multiply-adds on: twice
MIN_WORK_PER_THREAD."""


def measure(options) -> Section:
    if joblib.cpu_count() < 2:
        return Section("Two threads", "Not measured: there is only one core.")
    calls = {work: _forward(work, options.repeats) for work in WORK}
    results = {f"forward, {work:,} multiply-adds": r for work, r in calls.items()}
    results[f"epoch of {MNIST.sizes}"] = _epochs(options)
    verdict = _verdict({work: median(r.ratios("1", "2")) for work, r in calls.items()})
    threshold = 2 * workers.MIN_WORK_PER_THREAD
    section = Section("Two threads", TEXT.format(verdict=verdict, threshold=threshold))
    section.table = [_row(*item) for item in results.items()]
    section.seconds = {name: result.seconds for name, result in results.items()}
    return section


def _epochs(options):
    X, y = MNIST.samples(full=options.full)
    contestants = {str(n): epoch_of(MNIST.sparse(n_jobs=n), X, y) for n in (1, 2)}
    return interleave(contestants, options.repeats)


def _forward(work, repeats):
    """Forward calls of about so many multiply-adds, in one thread and in two."""
    n = work // (20 * BATCH)
    layer = random_layer(n, n, 10, np.float32)
    x = np.random.default_rng(1).standard_normal((n, BATCH), np.float32)
    z = np.empty_like(x)

    def call(team):
        rows, shares = (
            lambda *ends: layer.forward(x, z, *ends),
            layer.shares(team.n_threads),
        )
        return many(lambda: team.run(rows, shares, layer.n_connections * BATCH))

    always = mock.patch.object(workers, "MIN_WORK_PER_THREAD", 0)
    with always, workers.Workers(1) as one, workers.Workers(2) as two:
        return interleave({"1": call(one), "2": call(two)}, repeats)


def _verdict(gains):
    lost = [work for work, gain in gains.items() if gain <= 1]
    won = [work for work in gains if work > max(lost, default=0)]
    if not won:
        return "Two threads were slower at the largest amount of work."
    return f"Two threads were faster from {won[0]:,} multiply-adds on."


def _row(name, result):
    return {
        "what": name,
        "one thread, ms": f"{1e3 * result.median('1'):.3f}",
        "two threads, ms": f"{1e3 * result.median('2'):.3f}",
        "times faster": spread(result.ratios("1", "2")),
    }
