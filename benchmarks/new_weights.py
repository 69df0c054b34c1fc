"""Which weight a new connection should start with: zero, or random at some scale.

``python -m benchmarks.new_weights`` trains the networks of ``benchmarks/accuracy.py`` on
four fifths of each training part, scores them on the rest, and writes
``docs/new_weights.md``. Test parts are not used.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from benchmarks.accuracy import NETWORKS, SHARED
from benchmarks.data import load
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.topology import RandomGrowth

REPORT = Path("docs/new_weights.md")
SCALES = (0.0, 0.1, 0.3, 1.0)
SEEDS = (0, 1, 2)
N_SAMPLES = 6000
EPOCHS = {"isolet": 30, "mnist": 15, "madelon": 100}
TEXT = f"""\
# Weights of new connections

Made by `python -m benchmarks.new_weights`: validation accuracy after {EPOCHS} epochs of
the networks in `benchmarks/accuracy.py`, on a fifth of at most {N_SAMPLES} training
samples, mean of {len(SEEDS)} seeds. *scale* is that of `RandomGrowth(scale=...)`, relative
to He's initialisation; 0 starts new connections at zero.

{{table}}
"""


def held_out(name):
    """Training and validation parts, scaled, from the training part alone."""
    X, y, _, _ = load(name)
    if len(y) > N_SAMPLES:
        X, _, y, _ = train_test_split(
            X, y, train_size=N_SAMPLES, stratify=y, random_state=0
        )
    scaler = MaxAbsScaler() if X.dtype == np.uint8 else StandardScaler()
    X = scaler.fit_transform(X.astype(np.float32))
    return train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)


def accuracy(name, scale, seed):
    """Validation accuracy, in percent, after the last epoch."""
    X_train, X_test, y_train, y_test = held_out(name)
    network = SHARED | NETWORKS[name] | {"max_iter": EPOCHS[name]}
    model = SparseMLPClassifier(
        **network, growth=RandomGrowth(scale=scale), random_state=seed
    ).fit(X_train, y_train)
    return 100 * model.score(X_test, y_test)


def main():
    rows = []
    for name in NETWORKS:
        for scale in SCALES:
            scores = [accuracy(name, scale, seed) for seed in SEEDS]
            rows.append({"data": name, "scale": scale, "accuracy (%)": np.mean(scores)})
            rows[-1]["standard error"] = np.std(scores, ddof=1) / len(SEEDS) ** 0.5
            print(rows[-1], flush=True)
    REPORT.write_text(TEXT.format(table=markdown(pd.DataFrame(rows))))


if __name__ == "__main__":
    main()
