"""Loads thousands of damaged and forged files.

``python -m benchmarks.reliability.hostile --files 10000`` writes
``docs/reliability/hostile.json``: how many files were refused by a ValueError, how many
were accepted and hold a network that can be used, and what else happened, which should be
nothing. A crash of the process ends the command without a result.
"""

import argparse
import contextlib
import io
import resource
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from benchmarks.reliability import results
from benchmarks.reliability.mutations import BEHIND_THE_CHECKSUM, MUTATIONS, arrays_of
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.activations import SReLU
from sksparse_mlp.callbacks import Checkpoint

N_FEATURES = 12
SMALL = {"hidden_layer_sizes": (24, 16), "epsilon": 3, "batch_size": 32, "random_state": 0}


def data(n_classes):
    X, y = make_classification(
        150, N_FEATURES, n_informative=6, n_classes=n_classes, random_state=0
    )
    return X.astype(np.float32), y


class StopAfter:
    """Callback that breaks training off after some epochs."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and context.task_id + 1 == self.n_epochs:
            raise InterruptedError


def good_files():
    """Bytes of an exported fit, of one of partial_fit, and of a checkpoint."""
    X, y = data(3)
    labels = np.array(["a", "b", "c"])[y]
    fitted = SparseMLPClassifier(
        **SMALL,
        max_iter=3,
        batch_norm=True,
        activation=[SReLU(), "prelu"],
        n_features_to_select=0.5,
        class_weight={"a": 1.0, "b": 2.0, "c": np.float32(1)},
    ).fit(X, labels.astype(object))
    partial = SparseMLPClassifier(**SMALL, growth="liset", evolve_every=2, solver="sgd")
    X, y = data(2)
    partial.partial_fit(X, y, [0, 1]).partial_fit(X, y)
    files = []
    for estimator in (fitted, partial):
        file = io.BytesIO()
        np.savez(file, **estimator.export_arrays())
        files.append(file.getvalue())
    return [*files, checkpoint_file(X, y)]


def new_run():
    """An estimator whose fit is broken off, and goes on."""
    return SparseMLPClassifier(
        **SMALL, max_iter=5, early_stopping=True, pruning="importance", growth="liset"
    )


def checkpoint_file(X, y):
    """Bytes of the checkpoint of a fit that was broken off."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.npz"
        clf = SparseMLPClassifier(
            **SMALL,
            max_iter=9,
            early_stopping=True,
            pruning="importance",
            growth="gradient",
        )
        try:
            clf.set_callbacks(Checkpoint(path), StopAfter(5)).fit(X, y)
        except InterruptedError:
            return path.read_bytes()
    raise AssertionError("training was not broken off")


@contextlib.contextmanager
def overflow_said():
    """Let an estimator with huge weights say that its outputs overflow."""
    try:
        yield
    except ValueError as error:
        if "outputs overflow" not in str(error):
            raise


def use(estimator, trains):
    """Compute with all that an accepted estimator has."""
    X, y = data(min(estimator.classes_.size, 3))
    for coef in estimator.coefs_:
        coef.check_format(full_check=True)
        assert coef.has_canonical_format
        assert np.isfinite(coef.data).all()
    estimator.set_params(n_jobs=None, verbose=False)
    with np.errstate(all="ignore"), overflow_said():
        assert estimator.predict(X).shape == y.shape
    if trains:
        estimator.partial_fit(X, estimator.classes_[y])


def is_same(estimator, good):
    """Whether an estimator is exported to the arrays that it should come from."""
    arrays = estimator.export_arrays()
    return all(
        name.startswith("run/") or np.array_equal(arrays[name], array)
        for name, array in good.items()
    )


def go_on(path):
    """Let a fit go on from an accepted checkpoint, which it may refuse."""
    with contextlib.suppress(ValueError):
        new_run().set_callbacks(Checkpoint(path, every=99)).fit(*data(2))


def outcome(path, good, *, sealed):
    """What comes of loading a file: "refused", "accepted", or what is wrong.

    Files that were changed without a new checksum must have the content of the good one.
    """
    try:
        estimator = SparseMLPClassifier.from_arrays(path)
    except ValueError as error:
        return "refused" if str(path) in str(error) else "refused without its name"
    except Exception as error:
        return f"{type(error).__name__} when loaded"
    if not (sealed or is_same(estimator, good)):
        return "accepted with other content"
    try:
        with warnings.catch_warnings():
            # Weights may be as large as floats can be.
            warnings.simplefilter("ignore", ConvergenceWarning)
            # With other parameters training may rightly fail, or take for ever.
            same = np.array_equal(_parameters_of(estimator), good["parameters"])
            use(estimator, trains=same and "training/state" in good)
            if "run/state" in good:
                go_on(path)
    except Exception as error:
        return f"{type(error).__name__} when used"
    return "accepted"


def _parameters_of(estimator):
    return estimator.export_arrays()["parameters"]


def trials(n_files, seed=0):
    """Yield the mutation and the outcome of each file."""
    rng, goods = np.random.default_rng(seed), good_files()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.npz"
        for k in range(n_files):
            mutate, good = MUTATIONS[k % len(MUTATIONS)], goods[rng.integers(len(goods))]
            path.write_bytes(mutate(rng, good))
            sealed = mutate in BEHIND_THE_CHECKSUM
            yield mutate.__name__, outcome(path, arrays_of(good), sealed=sealed)


def peak_bytes():
    """Most memory that this process ever had; Linux counts it in KiB."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def figures(counts):
    """A row per mutation, from counts of (mutation, outcome)."""
    rows = []
    for mutate in MUTATIONS:
        name = mutate.__name__
        of_it = {what: n for (of, what), n in counts.items() if of == name}
        refused, accepted = of_it.pop("refused", 0), of_it.pop("accepted", 0)
        rows.append(
            {
                "mutation": name.replace("_", " "),
                "new checksum": mutate in BEHIND_THE_CHECKSUM,
                "files": refused + accepted + sum(of_it.values()),
                "refused": refused,
                "accepted and sound": accepted,
                "anything else": sum(of_it.values()),
            }
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    n_files = parser.parse_args().files
    warnings.simplefilter("error")
    with threadpool_limits(1):
        # Whatever is compiled or imported late comes before the memory is looked at.
        list(trials(len(MUTATIONS), seed=1))
        before, counts = peak_bytes(), Counter(trials(n_files, seed=0))
    outcomes = Counter()
    for (_, what), n in counts.items():
        outcomes[what] += n
    memory = {
        "largest good file, in bytes": max(map(len, good_files())),
        "peak memory before, in bytes": before,
        "peak memory, in bytes": peak_bytes(),
    }
    results.write(
        "hostile",
        seeds="0",
        figures=figures(counts),
        outcomes=dict(outcomes),
        memory=memory,
    )
    print(dict(outcomes), memory)
    if set(outcomes) - {"refused", "accepted"}:
        raise SystemExit("Some files were neither refused nor accepted.")


if __name__ == "__main__":
    main()
