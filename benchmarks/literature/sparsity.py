"""Zhang's Table 6.2: sparsity of the layers of 500-400-100-400 by epsilon."""

from itertools import pairwise

import numpy as np
import pandas as pd

from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier

SIZES = (500, 400, 100, 400)
PRINTED = {
    10: (95.50, 87.50, 87.50),
    20: (91.00, 75.50, 75.50),
    30: (86.50, 62.50, 62.50),
    40: (82.00, 50.00, 50.00),
}
TEXT = """\
Sparsity in % of the layers of a fitted network of these sizes. The document prints 75.50 %
for the second and third layer at epsilon 20; its own equation 6.1 gives 75.00 %, as all its
other entries follow it."""


def measure(epsilon):
    """Sparsity of a fitted network, and what equation 6.1 gives."""
    X = np.zeros((4, SIZES[0]), np.float32)
    model = SparseMLPClassifier(SIZES[1:], epsilon=epsilon, max_iter=1, random_state=0)
    model.fit(X, [0, 1, 0, 1])
    formula = [1 - epsilon * (a + b) / (a * b) for a, b in pairwise(SIZES)]
    return {"sparsity": model.sparsity_[:-1].tolist(), "formula": formula}


def row(epsilon, result):
    cells = {"epsilon": epsilon}
    for k, printed in enumerate(PRINTED[epsilon]):
        cells[f"layer {k + 1}, document"] = printed
        cells[f"layer {k + 1}"] = 100 * result["sparsity"][k]
        cells[f"layer {k + 1}, equation 6.1"] = 100 * result["formula"][k]
    return cells


def run(runs):
    results = runs.map(measure, [{"epsilon": epsilon} for epsilon in PRINTED])
    rows = [row(*pair) for pair in zip(PRINTED, results, strict=True)]
    runs.finish(
        "Sparsity of layers (Zhang 2023, Table 6.2)", TEXT, markdown(pd.DataFrame(rows))
    )
