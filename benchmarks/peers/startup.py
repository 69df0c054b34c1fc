"""Time until the first result in a fresh process."""

import os
import subprocess
import sys
import tempfile
from functools import partial

from benchmarks.peers.report import Section
from benchmarks.peers.timing import Comparison, interleave

IMPORT = """
import time
started = time.perf_counter()
import {module}
print(time.perf_counter() - started)
"""
FIRST_EPOCH = """
import time
from sklearn.datasets import load_digits
from sksparse_mlp import SparseMLPClassifier
X, y = load_digits(return_X_y=True)
started = time.perf_counter()
SparseMLPClassifier(max_iter=1).fit(X, y)
print(time.perf_counter() - started)
"""
SCRIPTS = {
    "import sksparse_mlp": IMPORT.format(module="sksparse_mlp"),
    "import sklearn.linear_model": IMPORT.format(module="sklearn.linear_model"),
    "fit of one epoch on digits": FIRST_EPOCH,
}
TARGETS = ("import sksparse_mlp", "fit of one epoch on digits")
TEXT = """Seconds inside a fresh process, after the start of the interpreter, reading files
that were read before. The fit has default parameters (Adam, float64) and is timed from its
call; imports and loading precede it. Numba's cache is empty in the row so named and holds
what that run compiled in the others."""


def measure(options) -> Section:
    with tempfile.TemporaryDirectory() as cache:
        contestants = {name: partial(_run, code, cache) for name, code in SCRIPTS.items()}
        first = interleave(contestants, repeats=1)
        result = interleave(contestants, options.repeats)
    empty = "fit of one epoch on digits, empty cache"
    result.seconds[empty] = first.seconds["fit of one epoch on digits"]
    table = [_row(name, result) for name in result.seconds]
    section = Section("Start-up", TEXT, table, seconds={"startup": result.seconds})
    for name in TARGETS:
        seconds = result.median(name)
        title = f"{name}, fresh process, warm cache"
        section.add_target(title, "below 1 s", f"{seconds:.2f} s", met=seconds < 1)
    return section


def _run(code, cache):
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment = os.environ | threads | {"NUMBA_CACHE_DIR": cache}
    command = [sys.executable, "-c", code]
    return float(subprocess.check_output(command, env=environment, text=True))


def _row(name, result: Comparison):
    times = result.seconds[name]
    values = {"median": result.median(name), "least": min(times), "most": max(times)}
    return {"what": name} | {key: f"{value:.2f}" for key, value in values.items()}
