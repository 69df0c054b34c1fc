"""What it costs to record the effective gradient flow.

``python -m benchmarks.gradient_flow`` writes ``docs/gradient_flow.md``.
"""

from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from sklearn.preprocessing import MaxAbsScaler

from benchmarks.data import load
from benchmarks.peers.report import machine
from benchmarks.peers.timing import interleave, once, spread
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier

REPEATS, N_EPOCHS, N_SAMPLES = 5, 2, 20_000
PATH = Path(__file__).parent.parent / "docs" / "gradient_flow.md"
TEXT = """# The cost of recording the effective gradient flow

Made by `python -m benchmarks.gradient_flow` with `SKSPARSE_MLP_DATA` set ({cpu};
{versions}; load {load} before).

Whole fits of {n_epochs} epochs with `record=["effective_gradient_flow"]` over those
without, in one thread, in turns, {repeats} times: MNIST 784-1000-1000-1000-10, epsilon 20,
batch 128, dropout 0.3, float32, {n_samples:,} samples, evolution after every epoch but the
last. Median with the smallest and the largest. At most 1.1 is wanted.

{table}
"""


def fit_of(X, y, solver, record):
    """A contestant: one fit."""
    model = SparseMLPClassifier(
        (1000, 1000, 1000), epsilon=20, batch_size=128, dropout=0.3, solver=solver,
        max_iter=N_EPOCHS, record=record, random_state=0,
    )  # fmt: skip
    return once(lambda: model.fit(X, y))


def row(X, y, solver):
    contestants = {
        "with": fit_of(X, y, solver, ("effective_gradient_flow",)),
        "without": fit_of(X, y, solver, ()),
    }
    interleave(contestants, 1)
    result = interleave(contestants, REPEATS)
    ratios = result.ratios("with", "without")
    met = "yes" if median(ratios) <= 1.1 else "no"
    return {"solver": solver, "with over without": spread(ratios), "met": met}


def main():
    context = machine()
    X, y, *_ = load("mnist")
    X = MaxAbsScaler().fit_transform(X[:N_SAMPLES].astype(np.float32))
    rows = [row(X, y[:N_SAMPLES], solver) for solver in ("sgd", "adam")]
    text = TEXT.format(
        cpu=context["CPU"],
        versions=context["versions"],
        load=context["load before the run"],
        n_epochs=N_EPOCHS,
        repeats=REPEATS,
        n_samples=N_SAMPLES,
        table=markdown(pd.DataFrame(rows)),
    )
    PATH.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
