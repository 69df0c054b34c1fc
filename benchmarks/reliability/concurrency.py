"""Threads, processes and interrupts: the same bits, no deadlock, nothing left behind.

``python -m benchmarks.reliability.concurrency`` lets every scenario run a few times, each
time in a process of its own that must end by itself, and takes some minutes. POSIX only.
The name of a program runs that one here.
"""

import argparse
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import wraps
from unittest import mock

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from benchmarks.reliability import results
from benchmarks.reliability.golden import CASES, digest
from sksparse_mlp.core import workers

COMMAND = [sys.executable, "-m", "benchmarks.reliability.concurrency"]
NAMES = ["adam, liset, float32", "all learned", "sparse input"]
# Seconds after which a scenario counts as stuck.
LIMIT = 180
REPEATS = 5
ENDLESS = {"max_iter": 100_000, "n_iter_no_change": np.inf, "verbose": True}


def threads_share_all(function: Callable) -> Callable:
    """Let two threads share even the least work while a function runs."""

    @wraps(function)
    def sharing(*args):
        patches = {"MIN_WORK": 0, "available_cores": lambda: 2}
        always = mock.patch.object(workers.Pace, "shares", return_value=True)
        with mock.patch.multiple(workers, **patches), always:
            return function(*args)

    return sharing


def train(name: str, n_jobs: int):
    case = CASES[name]
    return case.train(case.estimator(n_jobs=n_jobs))


@threads_share_all
def trained_digest(name: str) -> str:
    return digest(train(name, n_jobs=2))


def expected() -> list[str]:
    return [digest(train(name, n_jobs=1)) for name in NAMES]


def assert_no_thread_is_left():
    assert threading.enumerate() == [threading.main_thread()]


# --- scenarios that end by themselves -------------------------------------------------


def fits_in_threads():
    """Several threads fit different estimators, each of which has two threads."""
    names = NAMES * 3
    with ThreadPoolExecutor(len(names)) as pool:
        found = list(pool.map(trained_digest, names))
    assert found == expected() * 3
    assert_no_thread_is_left()


@threads_share_all
def predictions_in_threads():
    """Eight threads ask one estimator and one of its predictors."""
    model = train("all learned", n_jobs=2)
    X = np.tile(CASES["all learned"].data()[0], (20, 1))
    probabilities, predictor = model.predict_proba(X), model.predictor()
    with ThreadPoolExecutor(8) as pool:
        for ask in (model.predict_proba, predictor.predict_proba):
            answers = list(pool.map(ask, [X] * 40))
            assert all(np.array_equal(answer, probabilities) for answer in answers)
    assert_no_thread_is_left()


def _in_children(method):
    """Fit with threads here, then in two child processes, then here again."""
    found = [trained_digest(name) for name in NAMES]
    assert found == expected()
    assert_no_thread_is_left()
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(trained_digest, NAMES) == found
    assert [trained_digest(name) for name in NAMES] == found


def fork_after_threads():
    """A process whose fits had threads forks, and its children fit with threads."""
    _in_children("fork")


def spawn_after_threads():
    """A process whose fits had threads spawns others, which fit with threads."""
    _in_children("spawn")


def _search(**params):
    case = CASES["adam, random, float64"]
    grid = {"zeta": [0.0, 0.3], "epsilon": [2, 4]}
    search = GridSearchCV(case.estimator(**params), grid, cv=2, n_jobs=2)
    return search, case.data()[:2]


def nested_parallel_calls():
    """A search in two processes whose estimators ask for two threads each."""
    digests = []
    for n_jobs in (1, 2):
        search, data = _search(n_jobs=n_jobs)
        digests.append(digest(search.fit(*data).best_estimator_))
    assert digests[0] == digests[1]


# --- scenarios that are interrupted ---------------------------------------------------


@threads_share_all
def endless_fit():
    """A fit with two threads is interrupted, and leaves a fitted estimator."""
    case = CASES["adam, liset, float32"]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = case.train(case.estimator(n_jobs=2, **ENDLESS))
    assert [w.category for w in told] == [ConvergenceWarning]
    assert np.isfinite(model.predict_proba(case.data()[0])).all()
    assert_no_thread_is_left()


def endless_search():
    """A search in two processes is interrupted, which ends the program."""
    search, data = _search(**ENDLESS, n_jobs=2)
    search.fit(*data)


@dataclass
class Scenario:
    """A program, and how it is to end.

    Attributes
    ----------
    program : callable
    interrupted : {None, "process", "group"}
        Who gets the signal of Ctrl-C: nobody, the program, or its children too.
    fails : bool
        Whether it ends with an error.
    """

    program: Callable[[], None]
    interrupted: str | None = None
    fails: bool = False

    def run(self, delay: float = 0.0) -> None:
        """Run it in a process of its own, interrupted so long after it prints a line.

        Raises
        ------
        AssertionError
            If it hangs, ends otherwise than it should, or leaves a process behind.
        """
        process = subprocess.Popen(
            [*COMMAND, self.program.__name__],
            env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        watch = threading.Timer(LIMIT, _kill_group, [process])
        watch.start()
        try:
            if self.interrupted:
                process.stdout.readline()
                time.sleep(delay)
                send = os.kill if self.interrupted == "process" else os.killpg
                send(process.pid, signal.SIGINT)
            _, errors = process.communicate()
            assert watch.is_alive(), f"stuck for {LIMIT} seconds: {errors}"
            assert (process.returncode != 0) == self.fails, errors
            assert not self.fails or "KeyboardInterrupt" in errors, errors
            assert _ends(process.pid), "a process is left behind"
        finally:
            watch.cancel()
            _kill_group(process)


def _kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _ends(group):
    """Whether all processes of a group are gone, soon."""
    for _ in range(300):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


SCENARIOS = {
    "fits in threads": Scenario(fits_in_threads),
    "predictions in threads": Scenario(predictions_in_threads),
    "fork after threads": Scenario(fork_after_threads),
    "spawn after threads": Scenario(spawn_after_threads),
    "nested parallel calls": Scenario(nested_parallel_calls),
    "interrupted fit": Scenario(endless_fit, "process"),
    "interrupted search, program": Scenario(endless_search, "process", fails=True),
    "interrupted search, children too": Scenario(endless_search, "group", fails=True),
}


def main():
    parser = argparse.ArgumentParser(
        "python -m benchmarks.reliability.concurrency",
        description=__doc__.split("\n\n")[0],
    )
    programs = {s.program.__name__: s.program for s in SCENARIOS.values()}
    parser.add_argument("program", choices=programs, nargs="?")
    program = parser.parse_args().program
    if program:
        # Shells start what runs in their background with Ctrl-C ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        programs[program]()
        return
    rng, figures = np.random.default_rng(0), []
    for name, scenario in SCENARIOS.items():
        for _ in range(REPEATS):
            scenario.run(delay=rng.uniform(0, 0.5))
        doc = scenario.program.__doc__.splitlines()[0]
        figures.append({"scenario": name, "what happens": doc, "ended well": str(REPEATS)})
        print(figures[-1], flush=True)
    results.write("concurrency", seeds="0 for all", figures=figures)


if __name__ == "__main__":
    main()
