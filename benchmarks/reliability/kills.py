"""Kills fits that write checkpoints, and lets them go on until they have finished.

``python -m benchmarks.reliability.kills --kills 50`` writes
``docs/reliability/kills.json``: in how many runs how many processes were killed at random
moments (SIGKILL), how many of them while they wrote, and whether every run ended with the
bits of one that was never interrupted.
"""

import argparse
import os
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from benchmarks.reliability import results
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.callbacks import Checkpoint
from sksparse_mlp.serialization._values import dumps, loads

# What may differ between two runs of the same fit.
TIMES = ("seconds", "evolution_seconds")
RUNS = [
    {"growth": "liset", "early_stopping": True, "dropout": 0.2},
    {"solver": "sgd", "growth": "gradient", "batch_norm": True, "activation": "prelu"},
    {"n_features_to_select": 0.5, "pruning": "importance", "evolve_every": 7},
]


def new(run):
    """The estimator of a run; its fit takes about a second."""
    return SparseMLPClassifier(
        (128, 64),
        epsilon=10,
        max_iter=40,
        n_iter_no_change=np.inf,
        random_state=0,
        **RUNS[run],
    )


def data():
    X, y = load_digits(return_X_y=True)
    return X[:600] / 16, y[:600]


def fit(run, path, output, begun):
    """Fit with a checkpoint, and export the network."""
    X, y = data()
    clf = new(run).set_callbacks(Checkpoint(path))
    begun.set()
    np.savez(output, **clf.fit(X, y).export_arrays())


def content(arrays):
    """What must be the same: the arrays, and the history without its times."""
    records = loads(bytes(arrays["history"]).decode())
    history = [{k: v for k, v in record.items() if k not in TIMES} for record in records]
    rest = {k: a for k, a in arrays.items() if k not in ("history", "checksum")}
    return dumps(history), {k: (a.dtype, a.shape, a.tobytes()) for k, a in rest.items()}


def processes():
    """What starts processes, fast, that have nothing of this one."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def start(context, run, path, output):
    """A process that has come to its fit."""
    begun = context.Event()
    process = context.Process(target=fit, args=(run, path, output, begun))
    process.start()
    begun.wait()
    return process


def run_with_kills(run, rng, n_kills, seconds):
    """Kill so many processes of one run, then let it finish; say what was seen.

    ``seconds`` is about how long the fit takes without interruption.
    """
    context, kills = processes(), []
    with tempfile.TemporaryDirectory() as folder:
        path, output = Path(folder) / "run.npz", Path(folder) / "final.npz"
        for _ in range(n_kills):
            process = start(context, run, path, output)
            time.sleep(rng.uniform(0, 1.4 * seconds / max(n_kills, 2)))
            was_running = process.is_alive()
            process.kill()
            process.join()
            while_writing = any(name.endswith(".partial") for name in os.listdir(folder))
            kills.append({"was_running": was_running, "while_writing": while_writing})
        process = start(context, run, path, output)
        process.join()
        assert process.exitcode == 0
        with np.load(output) as arrays:
            final = content(arrays)
    return kills, final


def measure(n_kills, rng, per_run=5):
    """Runs with up to ``per_run`` kills each: a row for every one."""
    rows, expected, seconds = [], {}, {}
    while n_kills > 0:
        run = len(rows) % len(RUNS)
        if run not in expected:
            started = time.perf_counter()
            expected[run] = content(new(run).fit(*data()).export_arrays())
            seconds[run] = time.perf_counter() - started
        kills, final = run_with_kills(run, rng, min(per_run, n_kills), seconds[run])
        n_kills -= len(kills)
        rows.append(
            {
                "network": ", ".join(
                    f"{name}={value!r}" for name, value in RUNS[run].items()
                ),
                "kills": len(kills),
                "while fitting": sum(kill["was_running"] for kill in kills),
                "while writing": sum(kill["while_writing"] for kill in kills),
                "same bits at the end": final == expected[run],
            }
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    rows = measure(parser.parse_args().kills, np.random.default_rng(0))
    results.write("kills", seeds="0; the moments also depend on the machine", figures=rows)
    if not all(row["same bits at the end"] for row in rows):
        raise SystemExit("Some runs did not end with the same bits.")


if __name__ == "__main__":
    main()
