"""``python -m benchmarks.tabular.disturbed``: regression in other units, with outliers.

Measures what is missing on the sets and splits of ``benchmarks.tabular``, keeps finished
cells in ``disturbed.jsonl`` beside this file, and writes the page of both. All scores are
of the undisturbed test part, but for the change that is made there.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.tables import markdown
from benchmarks.tabular.models import OURS, PEERS, measure, sparse
from benchmarks.tabular.sets import index, split

CELLS = Path(__file__).with_name("disturbed.jsonl")
TASK = "regression"
MODELS = (
    PEERS[TASK]
    | OURS[TASK]
    | {"SparseMLPRegressor, huber": sparse("SparseMLPRegressor", loss="huber")}
)
N_SPLITS = 1
FAR = 1000


def as_they_are(data, rng):
    return data


def standardised_targets(data, rng):
    mean, scale = data.y.mean(), data.y.std()
    return replace(data, y=(data.y - mean) / scale, y_test=(data.y_test - mean) / scale)


def raw_features(data, rng):
    """Numbers and codes as trees take them, what is missing filled by the mean."""
    means = np.nanmean(data.plain[0], axis=0)
    parts = (np.where(np.isnan(X), means, X).astype(np.float32) for X in data.plain)
    return replace(data, scaled=tuple(parts))


def target_far_out(data, rng):
    """One target of the training."""
    y = data.y.astype(np.float64)
    y[rng.integers(y.size)] += FAR * y.std()
    return replace(data, y=y)


def feature_far_out(data, rng):
    """One entry of the training, and features standardised after it."""
    row, column = rng.integers(data.y.size), rng.integers(data.scaled[0].shape[1])
    X, X_test = (part.astype(np.float64) for part in data.scaled)
    X[row, column] += FAR * X[:, column].std()
    mean, scale = X[:, column].mean(), X[:, column].std()
    for part in (X, X_test):
        part[:, column] = (part[:, column] - mean) / (scale or 1)
    scaled = tuple(part.astype(np.float32) for part in (X, X_test))
    plain = data.plain[0].copy()
    plain[row, column % plain.shape[1]] += FAR * np.nanstd(
        plain[:, column % plain.shape[1]]
    )
    return replace(data, scaled=scaled, plain=(plain, data.plain[1]))


def test_sample_far_out(data, rng):
    """All features of one sample of the test part."""
    row = rng.integers(data.y_test.size)
    parts = []
    for X, X_test in (data.scaled, data.plain):
        X_test = X_test.copy()
        X_test[row] += FAR * np.nanstd(X, axis=0)
        parts.append((X, X_test))
    return replace(data, scaled=parts[0], plain=parts[1])


CHANGES = {
    "as they are": as_they_are,
    "standardised targets": standardised_targets,
    "raw features": raw_features,
    "a target far out": target_far_out,
    "an entry far out": feature_far_out,
    "a test sample far out": test_sample_far_out,
}
TEXT = f"""\
## Units and outliers

Made by `python -m benchmarks.tabular.disturbed`: mean R2 on the {{n_sets}} sets of
regression, {{n_splits}} split of each. Targets are *as they are* in the set's own units.
*raw features* are numbers and codes as trees take them. *far out* is {FAR:,} standard
deviations: of one target of the training, of one entry of its features (which are
standardised after that), or of all features of one sample of the test part. In brackets the
worst set.

The units of targets do not matter. Features are to be standardised, as for all networks.
Predictions stay within the targets of the training, so that samples far out do little harm.
From a target far out no model that follows squared errors is safe; `loss="huber"` is, and
costs next to nothing.

"""


def finished():
    lines = CELLS.read_text(encoding="utf-8").splitlines() if CELLS.exists() else []
    return [json.loads(line) for line in lines]


def section():
    """The text and the table of what was measured."""
    cells = pd.DataFrame(finished())
    rows = []
    for model in MODELS:
        row = {"model": model}
        for change in CHANGES:
            part = cells[(cells["model"] == model) & (cells["change"] == change)]
            row[change] = f"{part['r2'].mean():.3f} ({part['r2'].min():.2f})"
        rows.append(row)
    text = TEXT.format(n_sets=cells["data"].nunique(), n_splits=cells["split"].nunique())
    return text + markdown(pd.DataFrame(rows)) + "\n\n"


def measure_missing(sets, seeds):
    done = {(c["data"], c["split"], c["model"], c["change"]) for c in finished()}
    for seed in seeds:
        for data, record in sets.items():
            given = split(record, seed)
            for change, changed in CHANGES.items():
                parts = changed(given, np.random.default_rng(seed))
                for name, make in MODELS.items():
                    if (data, seed, name, change) in done:
                        continue
                    cell = {"data": data, "split": seed, "model": name, "change": change}
                    cell |= measure(make, name, TASK, parts)
                    with CELLS.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(cell) + "\n")
                    print(cell, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=N_SPLITS)
    options = parser.parse_args()
    sets = {name: record for name, record in index().items() if record["task"] == TASK}
    with threadpool_limits(1):
        measure_missing(sets, range(options.splits))
    # It has this section in its page.
    from benchmarks.tabular.__main__ import write_page

    write_page()


if __name__ == "__main__":
    main()
