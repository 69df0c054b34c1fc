"""CPU time until the first result in a fresh process."""

import os
import subprocess
import sys
import tempfile
from functools import partial

from benchmarks.peers.report import Section
from benchmarks.peers.timing import Comparison, interleave

IMPORT = """
import time
started = time.process_time()
import {module}
print(time.process_time() - started)
"""
FIRST_FIT = """
import time
from sklearn.datasets import load_digits
X, y = load_digits(return_X_y=True)
started = time.process_time()
from sksparse_mlp import SparseMLPClassifier
imported = time.process_time()
SparseMLPClassifier(max_iter=2, {parameters}).fit(X.astype("{dtype}"), y).predict(X)
print(time.process_time() - {since})
"""
WORKER_FIT = """
from joblib import Parallel, delayed
from sklearn.datasets import load_digits
def fit(X, y):
    import time
    from sksparse_mlp import SparseMLPClassifier
    started = time.process_time()
    SparseMLPClassifier(max_iter=2).fit(X, y).predict(X)
    return time.process_time() - started
X, y = load_digits(return_X_y=True)
print(max(Parallel(n_jobs=2)(delayed(fit)(X, y) for _ in range(2))))
"""
DEFAULTS = {"parameters": "", "dtype": "float64"}
OTHERS = {"parameters": "solver='sgd', dropout=0.3, activation='srelu'", "dtype": "float32"}
FIT, WORKER = "first fit, defaults", "first fit in a loky worker, defaults"
EMPTY = "import and first fit, defaults, empty cache"
# Those that compile come once, before the others: they fill the cache.
COMPILING = {
    EMPTY: FIRST_FIT.format(since="started", **DEFAULTS),
    "import and first fit, float32, SGD, SReLU, dropout": (
        FIRST_FIT.format(since="started", **OTHERS)
    ),
}
WARM = {
    "import sksparse_mlp": IMPORT.format(module="sksparse_mlp"),
    "import sklearn.linear_model": IMPORT.format(module="sklearn.linear_model"),
    FIT: FIRST_FIT.format(since="imported", **DEFAULTS),
    WORKER: WORKER_FIT,
}
MOST_WARM, MOST_COMPILING = 1, 20
TEXT = """CPU seconds of a fresh process, after the start of the interpreter, reading files
that were read before. A fit is two epochs on scikit-learn's digits and the predictions;
the defaults are Adam in float64. Numba's cache is empty in the first row; the others find
there what the rows before compiled. In the last row two worker processes of joblib fit at
a time, and the slower counts."""


def measure(options) -> Section:
    with tempfile.TemporaryDirectory() as cache:
        compiling = interleave(_contestants(COMPILING, cache), repeats=1)
        warm = interleave(_contestants(WARM, cache), options.repeats)
    result = Comparison(compiling.seconds | warm.seconds)
    section = Section("Start-up", [TEXT], measured={"startup": result.seconds})
    section.add_table([_row(name, result) for name in result.seconds])
    for name in ("import sksparse_mlp", FIT, WORKER):
        _add_target(section, f"{name}, warm cache", result.median(name), MOST_WARM)
    _add_target(section, EMPTY, result.median(EMPTY), MOST_COMPILING)
    return section


def _add_target(section, title, seconds, most):
    wanted, measured = f"at most {most} s", f"{seconds:.2f} s"
    section.add_target(title, wanted, measured, met=seconds <= most)


def _contestants(scripts, cache):
    return {name: partial(_run, code, cache) for name, code in scripts.items()}


def _run(code, cache):
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment = os.environ | threads | {"NUMBA_CACHE_DIR": cache}
    # Installed packages have their bytecode: this one, where it lies, is to have it too.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", code]
    return float(subprocess.check_output(command, env=environment, text=True))


def _row(name, result: Comparison):
    times = result.seconds[name]
    values = {"median": result.median(name), "least": min(times), "most": max(times)}
    return {"what": name} | {key: f"{value:.2f}" for key, value in values.items()}
