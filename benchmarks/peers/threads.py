"""What a second thread brings, and from which amount of work on."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from statistics import median
from unittest import mock

import joblib
import numpy as np

from benchmarks.peers.epochs import contestants_of
from benchmarks.peers.passes import random_layer
from benchmarks.peers.programs import ours
from benchmarks.peers.report import Section
from benchmarks.peers.tasks import TASKS
from benchmarks.peers.timing import interleave, many, once, spread
from sksparse_mlp.core import workers

BATCH, WANTED, WANTED_FITS = 128, 1.7, 1.9
TASK = TASKS["mnist"]
# Multiply-adds of one forward call.
WORK = [2**k for k in range(17, 24)]
TEXT = """Forward calls of square layers (epsilon 10, batch 128, float32), with their
rows shared by two threads whatever the amount of work, and epochs of {task}. {verdict}
`Workers` shares tasks of {threshold:,} multiply-adds or more between threads. A network
trained with `n_jobs=2` is {same} one trained with `n_jobs=1`, checked on {task}.
*Two processes* are the machine's limit: they share nothing but its caches and memory, and
times faster means twice the time of one fit over that of both."""
# A process that fits whenever it is told to.
FITTING = """
import sys
from benchmarks.peers.programs import ours
from benchmarks.peers.tasks import TASKS

task = TASKS[sys.argv[1]]
X, y = task.samples()
program = ours.Program(task)
program.train(X[:300], y[:300], 1)
print("ready", flush=True)
for line in sys.stdin:
    program.train(X, y, task.n_epochs)
    print("done", flush=True)
"""
ONE, TWO = "one process", "two processes"
FITS = "two fits in threads"


def measure(options) -> Section:
    section = Section("Two threads")
    if joblib.cpu_count() < 2:
        section.add_text("Not measured: there is only one core.")
        return section
    calls = {work: _forward(work, options.repeats) for work in WORK}
    X, y = TASK.samples(full=options.full)
    contestants, _ = contestants_of(TASK, X, y, ("ours", "torch"))
    with ExitStack() as stack:
        contestants |= _fits(X, y, [stack.enter_context(_process()) for _ in range(2)])
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
    for title, one, both in ((FITS, "ours 1", FITS), (TWO, ONE, TWO)):
        row = _row(f"epoch of {TASK}, {title}", epochs, one, both)
        rows.append(row | {"times faster": spread(_gains(epochs, one, both))})
    section.add_table(rows)
    section.measured = {str(work): result.seconds for work, result in calls.items()}
    section.measured["epochs"] = epochs.seconds
    ratios = epochs.ratios("ours 1", "ours 2")
    title = f"epoch of {TASK}, times faster with n_jobs=2"
    limit = f"; the machine's limit {spread(_gains(epochs, ONE, TWO))}"
    met = median(ratios) >= WANTED
    section.add_target(title, f"at least {WANTED}", spread(ratios) + limit, met=met)
    gains = _gains(epochs, "ours 1", FITS)
    title = f"two fits of {TASK} in threads, times faster than one after the other"
    met = median(gains) >= WANTED_FITS
    section.add_target(title, f"at least {WANTED_FITS}", spread(gains) + limit, met=met)
    section.add_target("n_jobs changes no bit", "yes", "yes" if same else "no", met=same)
    return section


def _gains(result, one, both):
    """How many times faster two fits at a time are than one after the other."""
    return [2 * ratio for ratio in result.ratios(one, both)]


@contextmanager
def _process():
    """A function that lets another process begin to fit, and one that waits for its end."""
    command = [sys.executable, "-c", FITTING, TASK.name]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        process.stdout.readline()

        def begin():
            process.stdin.write("fit\n")
            process.stdin.flush()

        yield begin, process.stdout.readline
        process.stdin.close()


def _fits(X, y, processes):
    """Contestants: seconds per epoch of fits in processes and in threads of one."""

    def fit_in(chosen):
        for begin, _ in chosen:
            begin()
        for _, wait in chosen:
            wait()

    def fit_in_threads():
        with ThreadPoolExecutor(2) as executor:
            list(executor.map(lambda p: p.train(X, y, TASK.n_epochs), programs))

    programs = [ours.Program(TASK) for _ in range(2)]
    functions = {
        ONE: lambda: fit_in(processes[:1]),
        TWO: lambda: fit_in(processes),
        FITS: fit_in_threads,
    }
    return {
        name: lambda f=function: once(f)() / TASK.n_epochs
        for name, function in functions.items()
    }


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
