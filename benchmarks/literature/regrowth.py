"""Chouliaras: curves, new weights, when evolution ends, images, single predictions."""

import time
import warnings
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

from benchmarks.accuracy import EpochCallback
from benchmarks.literature import chouliaras
from benchmarks.literature.comparison import with_error
from benchmarks.literature.zhang import FullFanInGrowth, FullFanInUniform
from benchmarks.samples import with_moved_copies
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.topology import RandomGrowth

SMALL = ("lung_discrete", "glioma")
N_EPOCHS = 500
# Epochs at the end without evolution; the first is that of the document's networks.
OFF = (1, 5, 10, 50, 100)
SET = "SET, evolution off in the last epoch"
NEW = "SET, new weights as at initialisation"
SMALLER = "SET, initial weights by all input neurons"
NEW_SMALLER = "SET, initial weights by all input neurons, new ones too"
VARIANTS = {
    SET: chouliaras.VARIANTS["SET"],
    **{name: chouliaras.VARIANTS[name] for name in ("LDV", "OSV", "EXD", "FixProb")},
    NEW: {"growth": RandomGrowth(scale=1.0)},
    SMALLER: {"init": FullFanInUniform()},
    NEW_SMALLER: {"init": FullFanInUniform(), "growth": FullFanInGrowth()},
    **{f"SET, off in the last {n}": {"off": n} for n in OFF[1:]},
}
CURVES = (*list(VARIANTS)[:6],)
# Four layers of 4000: which weights and rate it begins with.
LARGE = (4000,) * 4
STARTS = {
    "own connections, rate 0.01": {},
    "all input neurons, rate 0.01": {"init": FullFanInUniform()},
    "all input neurons, rate 0.001": {
        "init": FullFanInUniform(),
        "learning_rate_init": 0.001,
    },
}
N_IMAGES, N_LARGE_EPOCHS, N_TEST, STUCK = 5_000, 30, 2_000, 15.0
COPIES = {"none": (1, 20), "4 copies, as many updates": (4, 5), "4 copies": (4, 20)}
N_PREDICTIONS = 200


class Course(EpochCallback):
    """Test accuracy in % and CPU seconds of training after every epoch."""

    def __init__(self, X, y):
        self.X, self.y = X, y
        self.accuracy, self.seconds = [], []
        self._started = None

    def on_fit_task_begin(self, estimator, context):
        if self._started is None:
            self._started = time.process_time()

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "epoch":
            self.seconds.append(round(time.process_time() - self._started, 4))
            self.accuracy.append(round(100 * fitted_estimator.score(self.X, self.y), 2))
            self._started = time.process_time()


def course(data, variant, seed, n_epochs, rate=chouliaras.LOWER_RATE):
    """Accuracy and time by epoch on one of the small data sets."""
    X, y, X_test, y_test = chouliaras.samples(data, seed)
    own = variant.copy()
    off = own.pop("off", 1)
    model = SparseMLPClassifier(
        random_state=seed,
        hidden_layer_sizes=chouliaras.HIDDEN,
        batch_size=2,
        max_iter=n_epochs,
        evolve_until=(n_epochs - off) / n_epochs,
        **chouliaras.SHARED | {"learning_rate_init": rate} | own,
    )
    seen = Course(X_test, y_test)
    with warnings.catch_warnings():
        # That training diverges is a result here: the network stays as it was.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_callbacks(seen).fit(X, y)
    missing = n_epochs - len(seen.accuracy)
    return {
        "accuracy": seen.accuracy + seen.accuracy[-1:] * missing,
        "seconds": seen.seconds + [0.0] * missing,
        "diverged_after": len(seen.accuracy) if missing else None,
    }


def images(seed, n_epochs, hidden=chouliaras.HIDDEN, n_copies=1, network=None):
    """Test accuracy by epoch on a part of Fashion-MNIST, with copies or without."""
    X, y, X_test, y_test = chouliaras.samples("fashion_mnist", 0)
    X, y = with_moved_copies(X[:N_IMAGES], y[:N_IMAGES], n_copies, seed)
    model = SparseMLPClassifier(
        random_state=seed,
        hidden_layer_sizes=tuple(hidden),
        batch_size=100,
        max_iter=n_epochs,
        **chouliaras.SHARED | (network or {}),
    )
    seen = Course(X_test[:N_TEST], y_test[:N_TEST])
    model.set_callbacks(seen).fit(X, y)
    return {"accuracy": seen.accuracy, "seconds": seen.seconds}


def predictions(hidden, seed):
    """CPU milliseconds of a prediction of one sample: ours, and PyTorch's full layers."""
    import torch

    from benchmarks.peers.programs.torch_dense import Program
    from benchmarks.peers.tasks import Task

    X, y, *_ = chouliaras.samples("fashion_mnist", 0)
    one = X[:1]
    model = SparseMLPClassifier(
        hidden_layer_sizes=tuple(hidden), epsilon=20, max_iter=0, random_state=seed
    ).fit(X[:500], y[:500])
    sizes = (X.shape[1], *hidden, 10)
    dense = Program(Task("fashion_mnist", sizes, 1, 100, 500, 0.01)).model.eval()

    @torch.no_grad()
    def full():
        return dense(torch.from_numpy(one)).argmax(1).numpy()

    return {"sparse": milliseconds(lambda: model.predict(one)), "dense": milliseconds(full)}


def milliseconds(predict):
    """The least mean of three rounds."""
    predict()
    means = []
    for _ in range(3):
        started = time.process_time()
        for _ in range(N_PREDICTIONS // 3):
            predict()
        means.append(1e3 * (time.process_time() - started) / (N_PREDICTIONS // 3))
    return round(min(means), 4)


def course_table(found):
    rows = []
    for (data, name), results in found.items():
        last = np.array([r["accuracy"][-1] for r in results])
        rows.append(
            {
                "data": data,
                "network": name,
                "last test accuracy (%)": with_error(last),
                "less SET's (points, same seeds)": with_error(gap(found, data, name)),
                "mean of all epochs (%)": with_error(
                    [np.mean(r["accuracy"]) for r in results]
                ),
                "diverged": str(sum(r["diverged_after"] is not None for r in results)),
                "CPU seconds": with_error([sum(r["seconds"]) for r in results]),
            }
        )
    return pd.DataFrame(rows)


def gap(found, data, name):
    """Last test accuracy less SET's with the same seed, in points."""
    own, base = (
        np.array([r["accuracy"][-1] for r in found.get((data, n), [])]) for n in (name, SET)
    )
    n_common = min(own.size, base.size)
    return own[:n_common] - base[:n_common]


def verdict(found):
    """Whether EXD is the best and the fastest of the evolving networks."""
    names = (SET, "LDV", "OSV", "EXD")
    said, n_best, n_fastest, gains = [], 0, 0, []
    for data in SMALL:
        own = {n: found[data, n] for n in (*names, "FixProb") if (data, n) in found}
        if len(own) <= len(names):
            continue
        best = {n: np.mean([r["accuracy"][-1] for r in own[n]]) for n in names}
        taken = {n: np.mean([sum(r["seconds"]) for r in rs]) for n, rs in own.items()}
        gains.append(100 * (1 - taken.pop("FixProb") / taken[SET]))
        fastest = min(taken, key=taken.get)
        n_best += best["EXD"] == max(best.values())
        n_fastest += fastest == "EXD"
        said.append(
            f"{data}: EXD {best['EXD']:.1f} %, the best {max(best.values()):.1f} % "
            f"({max(best, key=best.get)}), less SET's "
            f"{with_error(gap(found, data, 'EXD'))} points; it takes {taken['EXD']:.1f} s, "
            f"the fastest, {fastest}, {taken[fastest]:.1f} s"
        )
    if not said:
        return "Not finished."
    answer = "Yes" if n_best == n_fastest == len(said) else "No"
    return (
        f"{answer}: of the four networks that evolve EXD is the most accurate on {n_best} "
        f"and the fastest on {n_fastest} of {len(said)} data sets. {'; '.join(said)}. "
        f"FixProb, which never evolves, takes {min(gains):.0f} to {max(gains):.0f} % less "
        "time than SET: no schedule of zeta can gain more."
    )


def large_table(found):
    rows = []
    for name, results in found.items():
        curve = np.mean([r["accuracy"] for r in results], axis=0)
        free = np.flatnonzero(curve > STUCK)
        rows.append(
            {
                "initial weights by, and": name,
                f"updates until above {STUCK:.0f} %": str(
                    (free[0] + 1) * N_IMAGES // 100 if free.size else "not in these epochs"
                ),
                "test accuracy by epoch (%)": " ".join(f"{a:.0f}" for a in curve),
            }
        )
    return pd.DataFrame(rows)


def copies_table(found):
    return pd.DataFrame(
        [
            {
                "copies": name,
                "epochs": str(COPIES[name][1]),
                "seeds": str(len(results)),
                "last test accuracy (%)": with_error([r["accuracy"][-1] for r in results]),
                "best epoch (%)": with_error([max(r["accuracy"]) for r in results]),
            }
            for name, results in found.items()
        ]
    )


def predictions_table(found):
    return pd.DataFrame(
        [
            {
                "hidden layers": "-".join(map(str, hidden)),
                "sparse (ms)": f"{result['sparse']:.3f}",
                "dense (ms)": f"{result['dense']:.3f}",
                "less (%)": f"{100 * (1 - result['sparse'] / result['dense']):.0f}",
            }
            for hidden, [result] in found.items()
        ]
    )


def plot(found, path):
    """Accuracy by epoch and by CPU seconds."""
    figure, axes = plt.subplots(
        len(SMALL), 2, figsize=(10, 7), layout="constrained", sharey="row"
    )
    lines = ("k-", "k--", "k-.", "k:", "0.6", "C0-")
    for data, row in zip(SMALL, axes, strict=True):
        for name, line in zip(CURVES, lines, strict=True):
            results = found.get((data, name))
            if not results:
                continue
            style = {"color": line} if line == "0.6" else {}
            arguments = () if line == "0.6" else (line,)
            mean = np.mean([r["accuracy"] for r in results], axis=0)
            smooth = pd.Series(mean).rolling(10, min_periods=1).mean()
            seconds = np.cumsum(np.mean([r["seconds"] for r in results], axis=0))
            row[0].plot(range(1, len(mean) + 1), smooth, *arguments, label=name, **style)
            row[1].plot(seconds, smooth, *arguments, **style)
        row[0].set_title(data)
        row[0].set_ylabel("test accuracy (%), mean of 10 epochs")
    axes[0, 0].legend(fontsize="x-small")
    axes[1, 0].set_xlabel("epoch")
    axes[1, 1].set_xlabel("CPU seconds of training")
    figure.savefig(path, dpi=100)
    plt.close(figure)


TEXT = """\
Three hidden layers of 1000 relu neurons, epsilon 20, batches of 2, {n} epochs, learning
rate {rate}, the rest as on the page of the [wide data](chouliaras.md). New weights are zero
unless another start is named: then they are normal, with the variance of the initial
weights. That is He's by a neuron's own connections, or by *all input neurons* as in the
published SET code, which is smaller. Seconds are those of the core."""
OFF_TEXT = """\
The document finds that ending evolution 1, 5 or 10 epochs before training ends is of no
importance, and that 50 or 100 epochs of 500 do harm."""
LARGE_TEXT = """\
784-4000-4000-4000-4000-10 on {n} images of Fashion-MNIST, batches of 100, {epochs} epochs
({updates} updates; an epoch of the document has 600). The document's networks are stuck at
10 % for their first 10 to 30 epochs. It does not give its initial weights; *own
connections* is He's variance by a neuron's connections, *all input neurons* that by all
neurons of the layer before, as the published SET code has it. The rate 0.001 is what 0.01
is in the document's form of momentum."""
COPIES_TEXT = """\
784-1000-1000-1000-10, SET, {n} images, each with copies that are moved by up to a pixel and
mirrored or not (the document does not say which changes it makes in full)."""


def deviations(runs):
    runs.deviates(
        "learning rate of the small data sets", document=0.01, here=chouliaras.LOWER_RATE
    )
    runs.deviates(
        "data sets of the curves",
        document="LUNG, ORL, Prostate-GE, GLIOMA",
        here=", ".join(SMALL),
    )
    runs.deviates("images of Fashion-MNIST", document=60_000, here=N_IMAGES)
    runs.deviates("test images", document=10_000, here=N_TEST)
    runs.deviates(
        "epochs, images",
        document=N_EPOCHS,
        here=f"{N_LARGE_EPOCHS} and {COPIES['none'][1]}",
    )


def measured(runs):
    """What the seeds give: courses, images with copies, large networks, predictions."""
    deviations(runs)
    seeds = range(3)
    n_epochs = 110 if runs.quick else N_EPOCHS
    single = runs.by_seed(
        predictions, {hidden: {"hidden": hidden} for hidden in chouliaras.LARGE}, seeds[:1]
    )
    found = runs.by_seed(
        course,
        {
            (data, name): {"data": data, "variant": variant, "n_epochs": n_epochs}
            for (name, variant), data in product(VARIANTS.items(), SMALL)
        },
        seeds,
    )
    copies = runs.by_seed(
        images,
        {
            name: {"n_copies": n_copies, "n_epochs": runs.epochs(epochs)}
            for name, (n_copies, epochs) in COPIES.items()
        },
        seeds[:2],
    )
    large = runs.by_seed(
        images,
        {
            name: {
                "hidden": LARGE,
                "network": start,
                "n_epochs": runs.epochs(N_LARGE_EPOCHS),
            }
            for name, start in STARTS.items()
        },
        seeds[:1],
    )
    return found, copies, large, single


def run(runs):
    found, copies, large, single = measured(runs)
    plot(found, runs.path(".png"))
    runs.finish(
        "Curves, new weights and the end of evolution (Chouliaras 2021)",
        "## Accuracy and time",
        TEXT.format(n=N_EPOCHS, rate=chouliaras.LOWER_RATE),
        "![Accuracy by epoch and by time](regrowth.png)",
        OFF_TEXT,
        markdown(course_table(found)),
        "### Is EXD the fastest and the best?",
        verdict(found),
        "## Four layers of 4000",
        LARGE_TEXT.format(
            n=N_IMAGES, epochs=N_LARGE_EPOCHS, updates=N_LARGE_EPOCHS * N_IMAGES // 100
        ),
        markdown(large_table(large)),
        "## Augmentation",
        COPIES_TEXT.format(n=N_IMAGES),
        markdown(copies_table(copies)),
        "## Time of a single prediction",
        "One sample, one thread, the least mean of three rounds.",
        markdown(predictions_table(single)),
    )
