"""Which circumstances change a bit of what a seed gives.

``python -m benchmarks.reliability.determinism`` trains every case of
:mod:`benchmarks.reliability.golden` once in each of some ways, in some minutes, and
compares the networks to the last bit. Machine code for other processors may change bits;
of these runs it reports how far the results are from the kept ones.
"""

import copy
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from unittest import mock

import joblib
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from benchmarks.reliability import golden, results
from benchmarks.reliability.golden import CASES, digest
from sksparse_mlp.core import workers

# Code for x86-64 processors with fewer extensions than most have.
PROCESSORS = {
    "any x86-64": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
    "Haswell (AVX2)": {"NUMBA_CPU_NAME": "haswell"},
}
Digests = dict[str, str]


def here(names: Iterable[str], **params) -> Digests:
    """Train in this process."""
    cases = {name: CASES[name] for name in names}
    return {n: digest(case.train(case.estimator(**params))) for n, case in cases.items()}


def shared(names: Iterable[str], n_jobs: int) -> Digests:
    """Train in this process with threads, which share even the least work."""
    patches = {"MIN_WORK": 0, "available_cores": lambda: n_jobs}
    always = mock.patch.object(workers.Pace, "shares", return_value=True)
    with mock.patch.multiple(workers, **patches), always:
        return here(names, n_jobs=n_jobs)


def through_joblib(names: Iterable[str], backend: str) -> Digests:
    """Train in two parallel calls of joblib, with two threads each."""
    names = list(names)
    parts = [names[::2], names[1::2]]
    with joblib.parallel_config(backend, n_jobs=2):
        calls = (joblib.delayed(here)(part, n_jobs=2) for part in parts)
        found = joblib.Parallel()(calls)
    return {name: value for part in found for name, value in part.items()}


def in_process(names: Iterable[str], wanted: str = "digests", **variables) -> dict:
    """What a fresh process prints, with changed environment variables."""
    command = [sys.executable, "-m", "benchmarks.reliability.golden", f"--{wanted}"]
    run = subprocess.run(
        [*command, *names],
        env={**os.environ, "PYTHONHASHSEED": "4711", **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=900,
    )
    return json.loads(run.stdout)


def compiled_anew(names: Iterable[str]) -> Digests:
    """Train in a fresh process that finds no compiled code."""
    with tempfile.TemporaryDirectory() as folder:
        return in_process(names, NUMBA_CACHE_DIR=folder)


def copied(names: Iterable[str], copy_of: Callable) -> Digests:
    """Train copies of new estimators, and look at copies of the trained ones."""
    models = {name: CASES[name].train(copy_of(CASES[name].estimator())) for name in names}
    return {name: digest(copy_of(model)) for name, model in models.items()}


def cloned(names: Iterable[str]) -> Digests:
    """Train clones of trained estimators."""
    found = {}
    for name in names:
        case = CASES[name]
        found[name] = digest(case.train(clone(case.train(case.estimator()))))
    return found


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


WAYS: dict[str, Callable[[Iterable[str]], Digests]] = {
    "again": here,
    "two threads": partial(shared, n_jobs=2),
    "four threads": partial(shared, n_jobs=4),
    "clone": cloned,
    "pickle": partial(copied, copy_of=pickled),
    "deepcopy": partial(copied, copy_of=copy.deepcopy),
    "joblib, sequential": partial(through_joblib, backend="sequential"),
    "joblib, threading": partial(through_joblib, backend="threading"),
    "joblib, loky": partial(through_joblib, backend="loky"),
    "fresh process": in_process,
    "fresh process, nothing compiled": compiled_anew,
}


def processors() -> list[dict]:
    """How far machine code for other processors is from the kept results."""
    kept, rows = golden.read(), []
    for processor, variables in PROCESSORS.items():
        with tempfile.TemporaryDirectory() as folder:
            found = in_process(CASES, "summaries", NUMBA_CACHE_DIR=folder, **variables)
        for dtype, tolerance in golden.TOLERANCES.items():
            names = [name for name, case in CASES.items() if case.dtype == dtype]
            worst = max(
                max(golden.deviations(kept[name], found[name]).values()) for name in names
            )
            same = sum(kept[n]["integers"] == found[n]["integers"] for n in names)
            rows.append(
                {
                    "code for": processor,
                    "dtype": dtype,
                    "fits with the same integers": f"{same} of {len(names)}",
                    "largest relative difference": f"{worst:.1e}",
                    "allowed": f"{tolerance:.0e}",
                }
            )
    return rows


def main():
    figures, matrix = [], {}
    with threadpool_limits(1):
        expected = here(CASES)
        for way, train in WAYS.items():
            found = train(CASES)
            matrix[way] = {name: found[name] == expected[name] for name in CASES}
            same = f"{sum(matrix[way].values())} of {len(CASES)}"
            figures.append({"way": way, "fits with the same bits": same})
            print(way, same, flush=True)
        results.write(
            "determinism",
            seeds="0 for the estimators, 7 for the data",
            figures=figures,
            processors=processors(),
            matrix=matrix,
        )


if __name__ == "__main__":
    main()
