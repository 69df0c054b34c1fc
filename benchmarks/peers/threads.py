"""What a second thread brings, and from which amount of work on."""

from statistics import median
from unittest import mock

import joblib
import numpy as np

from benchmarks.peers.epochs import contestants_of
from benchmarks.peers.passes import random_layer
from benchmarks.peers.programs import ours
from benchmarks.peers.report import Section
from benchmarks.peers.tasks import TASKS
from benchmarks.peers.timing import interleave, many, spread
from sksparse_mlp.core import workers

BATCH, WANTED = 128, 1.7
TASK = TASKS["mnist"]
# Multiply-adds of one forward call.
WORK = [2**k for k in range(17, 24)]
TEXT = """Forward calls of square layers (epsilon 10, batch 128, float32), with their
rows shared by two threads whatever the amount of work, and epochs of {task}. {verdict}
`Workers` shares tasks of {threshold:,} multiply-adds or more between threads. A network
trained with `n_jobs=2` is {same} one trained with `n_jobs=1`, checked on {task}."""


def measure(options) -> Section:
    section = Section("Two threads")
    if joblib.cpu_count() < 2:
        section.add_text("Not measured: there is only one core.")
        return section
    calls = {work: _forward(work, options.repeats) for work in WORK}
    X, y = TASK.samples(full=options.full)
    contestants, _ = contestants_of(TASK, X, y, ("ours", "torch"))
    epochs = interleave(contestants, options.repeats)
    gains = {work: median(result.ratios("1", "2")) for work, result in calls.items()}
    same = _same_bits(X[:2000], y[:2000])
    section.add_text(
        TEXT.format(
            task=TASK,
            verdict=_verdict(gains),
            threshold=workers.MIN_WORK,
            same="identical to the last bit to" if same else "NOT THE SAME AS",
        )
    )
    rows = [_row(f"forward, {w:,} multiply-adds", r, "1", "2") for w, r in calls.items()]
    for name, title in (("ours", "this package"), ("torch", "PyTorch dense")):
        if f"{name} 1" in epochs.seconds:
            label = f"epoch of {TASK}, {title}"
            rows.append(_row(label, epochs, f"{name} 1", f"{name} 2"))
    section.add_table(rows)
    section.measured = {str(work): result.seconds for work, result in calls.items()}
    section.measured["epochs"] = epochs.seconds
    ratios = epochs.ratios("ours 1", "ours 2")
    title = f"epoch of {TASK}, times faster with n_jobs=2"
    met = median(ratios) >= WANTED
    section.add_target(title, f"at least {WANTED}", spread(ratios), met=met)
    section.add_target("n_jobs changes no bit", "yes", "yes" if same else "no", met=same)
    return section


def _same_bits(X, y):
    """Whether the number of threads changes nothing."""
    one, two = (ours.Program(TASK, n_threads=n) for n in (1, 2))
    one.train(X, y, n_epochs=2)
    two.train(X, y, n_epochs=2)
    pairs = zip(one.model.coefs_, two.model.coefs_, strict=True)
    return all(np.array_equal(a.data, b.data) for a, b in pairs)


def _forward(work, repeats):
    """Forward calls of about so many multiply-adds, in one thread and in two."""
    n = work // (20 * BATCH)
    layer = random_layer(n, n, 10, np.float32)
    x = np.random.default_rng(1).standard_normal((n, BATCH), np.float32)
    z = np.empty_like(x)

    def task(member):
        layer.forward(x, z, *member.part(layer.shares(member.n_threads)))

    def call(team):
        return many(lambda: team.run(task, layer.n_connections * BATCH))

    always = mock.patch.object(workers, "MIN_WORK", 0)
    with always, workers.Workers(1) as one, workers.Workers(2) as two:
        return interleave({"1": call(one), "2": call(two)}, repeats)


def _verdict(gains):
    lost = [work for work, gain in gains.items() if gain <= 1]
    won = [work for work in gains if work > max(lost, default=0)]
    if not won:
        return "Two threads were slower at the largest amount of work."
    return f"Two threads were faster from {won[0]:,} multiply-adds on."


def _row(title, result, one, two):
    return {
        "what": title,
        "one thread, ms": f"{1e3 * result.median(one):.3f}",
        "two threads, ms": f"{1e3 * result.median(two):.3f}",
        "times faster": spread(result.ratios(one, two)),
    }
