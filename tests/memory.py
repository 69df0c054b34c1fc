"""Bytes per connection at the peak of a fit; ``python tests/memory.py`` keeps them.

Two networks of the same layers differ in their connections alone, so that the difference
of their peaks is what connections take: weights, pattern, slots, evolution.
"""

import json
import tracemalloc
import warnings
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.core.optimizers import OPTIMIZERS

BASELINE = Path(__file__).with_name("memory_baseline.json")
SIZES, N_FEATURES, EPSILONS = (600, 600), 300, (20, 80)
DTYPES = {"float32": np.float32, "float64": np.float64}


def cases():
    """Parameters and dtype of what is measured, by name."""
    for solver, dtype in product(OPTIMIZERS, DTYPES):
        yield f"{solver}, {dtype}", {"solver": solver}, DTYPES[dtype]


def peak(params, dtype, epsilon):
    """Most bytes at once while fitting, and the number of connections."""
    X = np.random.default_rng(0).normal(size=(64, N_FEATURES)).astype(dtype)
    model = SparseMLPClassifier(
        SIZES, epsilon=epsilon, batch_size=32, max_iter=2, random_state=0, **params
    )
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, np.arange(64) % 3)
        return tracemalloc.get_traced_memory()[1], int(model.n_connections_.sum())
    finally:
        tracemalloc.stop()


def bytes_per_connection(params, dtype):
    # What is imported or compiled by the way is not counted.
    peak(params, dtype, EPSILONS[0])
    (few, n_few), (many, n_many) = (peak(params, dtype, epsilon) for epsilon in EPSILONS)
    return (many - few) / (n_many - n_few)


if __name__ == "__main__":
    found = {name: round(bytes_per_connection(*case), 1) for name, *case in cases()}
    BASELINE.write_text(json.dumps(found, indent=2) + "\n")
    print(BASELINE.read_text(), end="")
