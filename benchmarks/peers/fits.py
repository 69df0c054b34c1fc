"""Whole fits with the defaults of each program, until it stops by itself."""

import time
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import scale

from benchmarks import data
from benchmarks.peers.report import Section, kept
from benchmarks.peers.timing import Comparison, interleave, spread
from sksparse_mlp import SparseMLPClassifier

PROGRAMS = {
    "this package": SparseMLPClassifier,
    "MLPClassifier": MLPClassifier,
    "HistGradientBoosting": HistGradientBoostingClassifier,
    "RandomForest": RandomForestClassifier,
}
SMALL = {"cancer": load_breast_cancer, "digits": load_digits, "wine": load_wine}
TEXT = """CPU seconds of `fit` with all defaults, until each program stops by itself, on
standardised float32 samples: medians of {repeats} seeds, one thread; of
ISOLET one, with its data. *Ratio* is this package over `MLPClassifier`, whose one hidden
layer of 100 neurons is a smaller network."""


def measure(options) -> Section:
    section = Section("Whole fits")
    section.add_text(TEXT.format(repeats=options.repeats))
    rows = []
    for name, (X, y) in _tasks().items():
        # On ISOLET boosting takes minutes.
        repeats = options.repeats if name in SMALL else 1
        result = Comparison(kept(f"fits-{name}", partial(_measure, X, y, repeats)))
        section.measured[name] = result.seconds
        ratios = [1 / r for r in result.ratios("MLPClassifier", "this package")]
        seconds = {p: f"{result.median(p):.3f}" for p in PROGRAMS}
        rows.append({"data": name} | seconds | {"ratio": spread(ratios)})
        if name in SMALL:
            met = bool(np.median(ratios) <= 1)
            title = f"CPU time of a default fit on {name}, over MLPClassifier's"
            section.add_target(title, "at most 1", spread(ratios), met=met)
    section.add_table(rows)
    return section


def _measure(X, y, repeats):
    contestants = {p: _fit(cls, X, y) for p, cls in PROGRAMS.items()}
    with warnings.catch_warnings():
        # Some reach max_iter, as their defaults have it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        contestants["this package"]()
        return interleave(contestants, repeats).seconds


def _tasks():
    tasks = {name: load(return_X_y=True) for name, load in SMALL.items()}
    if data.has_folder():
        tasks["isolet"] = data.load("isolet")[:2]
    return {
        n: (scale(X.astype(float)).astype(np.float32), y) for n, (X, y) in tasks.items()
    }


def _fit(cls, X, y) -> Callable[[], float]:
    """A contestant that takes another seed every time."""
    seeds = iter(range(10**6))

    def contestant():
        model = cls(random_state=next(seeds))
        started = time.process_time()
        model.fit(X, y)
        return time.process_time() - started

    return contestant
