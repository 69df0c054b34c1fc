"""Chouliaras' experiments: zeta schedules and dense networks on wide data and images."""

import importlib.util
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks.literature.comparison import standard_error
from benchmarks.literature.zhang import FullFanInUniform
from benchmarks.peers.tasks import Task
from benchmarks.samples import scaled
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.analysis import memory_footprint
from sksparse_mlp.datasets import fetch

SEEDS = range(3)
TEST_SHARE = 1 / 3
VARIANTS = {
    "SET": {"zeta_schedule": "constant"},
    "LDV": {"zeta_schedule": "linear"},
    "OSV": {"zeta_schedule": "oscillating"},
    "EXD": {"zeta_schedule": "exponential"},
    "FixProb": {"zeta": 0.0},
}
SHARED = {
    "activation": "relu",
    "epsilon": 20,
    "zeta": 0.3,
    "solver": "sgd",
    "momentum": 0.9,
    "nesterovs_momentum": False,
    "learning_rate": "constant",
    "learning_rate_init": 0.01,
    "alpha": 0.0,
    "dropout": 0.3,
    "n_iter_no_change": np.inf,
}
HIDDEN = (1000, 1000, 1000)
N_EPOCHS, N_DENSE_EPOCHS, N_TIMED_EPOCHS, N_CHECKED_EPOCHS = 500, 40, 5, 60
# With batches of 2 the document's rate is too high here, see CHECKS.
LOWER_RATE = 0.001
CHECKS = {
    "learning rate 0.01": {},
    "no dropout": {"dropout": 0.0},
    "weights by all input neurons": {"init": FullFanInUniform()},
    f"learning rate {LOWER_RATE}": {"learning_rate_init": LOWER_RATE},
}
SMALL = ("orl", "prostate_ge", "glioma", "lung_discrete")
# LUNG's shape and the number of its samples of each class.
LUNG = {"n_features": 3312, "counts": (139, 21, 20, 17, 6)}
# Hidden layers of the networks for Fashion-MNIST, and their epochs here.
LARGE = {HIDDEN: 15, (4000, 1000, 4000): 6, (4000,) * 4: 4}
# Parameters in the document: dense, sparse (rounded); hidden layers as above.
PRINTED = {
    ("lung", HIDDEN): (5_320_005, 172_000),
    ("orl", HIDDEN): (3_067_040, 138_000),
    ("prostate_ge", HIDDEN): (7_971_002, 222_000),
    ("glioma", HIDDEN): (6_441_004, 193_000),
    ("fashion_mnist", HIDDEN): (2_797_010, 130_000),
    ("fashion_mnist", (4000, 1000, 4000)): (11_185_010, 350_000),
    ("fashion_mnist", (4000,) * 4): (51_192_010, 650_000),
}
# What the document says of the training time of the sparse networks.
PRINTED_TIME = {
    "lung": "at least 60 % less",
    "orl": "at least 62 % less",
    "prostate_ge": "at least 20 % less",
    "glioma": "20 to 25 % less",
    "fashion_mnist": "54 % less",
}


def samples(data, seed):
    """Standardised training and test part of one of the data sets, labels from 0."""
    if data == "fashion_mnist":
        return scaled(data, StandardScaler())
    X, y = generated_lung(seed) if data == "lung" else fetch(data, return_X_y=True)
    y = np.unique(y, return_inverse=True)[1]
    X_train, X_test, y_train, y_test = train_test_split(
        X.astype(np.float32), y, test_size=TEST_SHARE, stratify=y, random_state=seed
    )
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), y_train, scaler.transform(X_test), y_test


def generated_lung(seed):
    """Samples of LUNG's shape and imbalance, for parameters, memory and times."""
    counts = np.array(LUNG["counts"])
    return make_classification(
        counts.sum(), LUNG["n_features"], n_informative=20, n_classes=counts.size,
        weights=counts / counts.sum(), flip_y=0, random_state=seed,
    )  # fmt: skip


def train_sparse(data, seed, network):
    """Test accuracy after the last epoch; times, parameters, bytes."""
    X_train, y_train, X_test, y_test = samples(data, seed)
    model = SparseMLPClassifier(random_state=seed, **network)
    # Compiled, and with all arrays touched once.
    SparseMLPClassifier(random_state=seed, **network | {"max_iter": 1}).fit(
        X_train[:100], y_train[:100]
    )
    started = time.process_time()
    model.fit(X_train, y_train)
    seconds = (time.process_time() - started) / model.n_iter_
    footprint = memory_footprint(model)
    return {
        "accuracy": round(100 * model.score(X_test, y_test), 2),
        "fitted": round(100 * model.score(X_train, y_train), 2),
        "epochs": model.n_iter_,
        "seconds": seconds,
        "prediction": prediction_time(lambda: model.predict(X_test)),
        "parameters": footprint.n_parameters,
        "dense_parameters": footprint.n_dense_parameters,
        "training_bytes": footprint.training_bytes,
        "evolution": sum(record["evolution_seconds"] for record in model.history_),
    }


def train_dense(
    data, seed, hidden, batch_size, n_epochs, learning_rate=0.01, n_samples=None
):
    """The same of PyTorch's full layers, trained on all samples or some."""
    import torch

    from benchmarks.peers.programs.torch_dense import Program

    X_train, y_train, X_test, y_test = samples(data, seed)
    n_classes = int(y_train.max()) + 1
    part = slice(n_samples)
    sizes = (X_train.shape[1], *hidden, n_classes)
    program = Program(Task(data, sizes, 1, batch_size, len(y_train), learning_rate))
    program.train(X_train[: 2 * batch_size], y_train[: 2 * batch_size].astype(int), 1)
    started = time.process_time()
    program.train(X_train[part], y_train[part].astype(int), n_epochs)
    seconds = (time.process_time() - started) / n_epochs * len(y_train) / len(y_train[part])
    program.model.eval()

    @torch.no_grad()
    def predict():
        return program.model(torch.from_numpy(X_test)).argmax(1).numpy()

    n_parameters = sum(parameter.numel() for parameter in program.model.parameters())
    return {
        "accuracy": round(100 * float(np.mean(predict() == y_test)), 2),
        "seconds": seconds,
        "prediction": prediction_time(predict),
        "parameters": n_parameters,
        "training_bytes": 3 * 4 * n_parameters,
    }


def prediction_time(predict):
    """Seconds of one thread, the least of three."""
    taken = []
    for _ in range(3):
        started = time.process_time()
        predict()
        taken.append(time.process_time() - started)
    return min(taken)


def networks(n_epochs, variants=VARIANTS, **parameters):
    """The parameters of each variant."""
    shared = SHARED | {"hidden_layer_sizes": HIDDEN, "batch_size": 2, "max_iter": n_epochs}
    return {name: shared | parameters | variant for name, variant in variants.items()}


def checks(runs):
    """SET on the small data sets at the document's learning rate, and with one change."""
    variants = networks(runs.epochs(N_CHECKED_EPOCHS), CHECKS)
    grid = [
        {"data": data, "seed": SEEDS[0], "network": network}
        for data in SMALL
        for network in variants.values()
    ]
    rows = []
    for asked, found in zip(grid, runs.map(train_sparse, grid), strict=True):
        changed = next(name for name in variants if variants[name] is asked["network"])
        rows.append(
            {
                "data": asked["data"],
                "protocol": changed,
                "epochs until it diverged": found["epochs"]
                if found["epochs"] < asked["network"]["max_iter"]
                else "-",
                "training accuracy (%)": f"{found['fitted']:.1f}",
                "test accuracy (%)": f"{found['accuracy']:.1f}",
            }
        )
    return pd.DataFrame(rows)


def compare(runs, data, seeds, variants, dense):
    """Results of the seeds by variant, dense last, where PyTorch or its runs are."""
    seeds = runs.some(seeds)
    grid = [
        {"data": data, "seed": seed, "network": network}
        for seed in seeds
        for network in variants.values()
    ]
    found = runs.map(train_sparse, grid)
    results = {name: found[k :: len(variants)] for k, name in enumerate(variants)}
    if runs.only_finished or importlib.util.find_spec("torch"):
        grid = [{"data": data, "seed": seed} | dense for seed in seeds]
        results["dense"] = runs.map(train_dense, grid)
    return results


def table(results, *, accuracy=True):
    """One line per variant."""
    rows = []
    dense = results.get("dense")
    for name, found in results.items():
        mean = pd.DataFrame(found).mean()
        accuracies = [result["accuracy"] for result in found]
        row: dict[str, float | str] = {"network": name}
        if accuracy:
            error = standard_error(accuracies)
            row["test accuracy (%)"] = mean["accuracy"]
            row["standard error"] = "-" if np.isnan(error) else f"{error:.2f}"
            row["each"] = " ".join(f"{value:.2f}" for value in accuracies)
        row["ms per epoch"] = f"{1e3 * mean['seconds']:.1f}"
        row["ms per prediction of the test part"] = f"{1e3 * mean['prediction']:.2f}"
        if dense:
            others = pd.DataFrame(dense).mean()
            row["training time less than dense's (%)"] = f"{less(mean, others, 'seconds')}"
            row["prediction time less (%)"] = f"{less(mean, others, 'prediction')}"
        row["parameters"] = f"{mean['parameters']:,.0f}"
        row["MiB while training"] = f"{mean['training_bytes'] / 2**20:.1f}"
        rows.append(row)
    return pd.DataFrame(rows)


def less(own, others, what):
    return "-" if own is others else f"{100 * (1 - own[what] / others[what]):.0f}"


def parameters_row(key, results):
    """Parameters and compression, ours beside the document's."""
    data, hidden = key
    dense, sparse = PRINTED[key]
    own = results["SET"][0]
    row = {
        "data": data,
        "hidden layers": "-".join(map(str, hidden)),
        "dense, document": f"{dense:,}",
        "dense": f"{own['dense_parameters']:,}",
        "sparse, document": f"{sparse:,}",
        "sparse": f"{own['parameters']:,}",
        "compression, document": f"{dense / sparse:.1f}",
        "compression": f"{own['dense_parameters'] / own['parameters']:.1f}",
        "training time, document": PRINTED_TIME[data] if hidden == HIDDEN else "-",
    }
    if "dense" in results:
        own, dense = (pd.DataFrame(results[name]).mean() for name in ("SET", "dense"))
        row["training time"] = f"{less(own, dense, 'seconds')} % less"
    return row


def plot(by_data, path):
    """Accuracy of every variant on the small data sets, with standard errors."""
    figure, axes = plt.subplots(1, len(by_data), figsize=(11, 3.5), layout="constrained")
    for ax, (data, results) in zip(axes, by_data.items(), strict=True):
        accuracies = [[r["accuracy"] for r in found] for found in results.values()]
        places = range(len(accuracies))
        for place, values in zip(places, accuracies, strict=True):
            ax.plot([place] * len(values), values, "x", color="0.5")
        ax.plot(places, [np.mean(values) for values in accuracies], "ko", fillstyle="none")
        ax.set_xticks(places, list(results), rotation=60)
        ax.set_title(data)
    axes[0].set_ylabel("test accuracy (%); x: seeds, o: means")
    figure.savefig(path, dpi=110)
    plt.close(figure)


TEXT = """\
Three hidden layers of 1000 relu neurons, epsilon 20, momentum descent (0.9) with learning
rate {rate}, dropout 0.3, batches of 2, zeta 0.3 (the other schedules with the document's
parameters), {n} epochs; features standardised, float32, a third of the samples for the
test, stratified, by the seed. *Dense* is PyTorch with the same layers and training,
{dense} epochs. Times are those of one core (CPU seconds, so that other work of the machine
does not count), a test part is predicted at once; parameters are weights and biases. Bytes
are those of weights, indices and momentum."""

CHECK_TEXT = """\
The document's learning rate is 0.01. With batches of 2, momentum and this initialisation
that is too much here: SET, one seed, {n} epochs. The document does not give its initial
weights. It prints momentum with the gradient multiplied by 1 - 0.9: if its program does so,
its 0.01 is 0.001 in the usual form, at which training goes well here."""

LUNG_TEXT = """\
LUNG itself is not here. Parameters, memory and times are those of generated samples of its
shape (203 x 3312, classes of 139, 21, 20, 17 and 6); accuracies are those of its
discretised form above (73 x 325)."""

LARGE_TEXT = """\
Batches of 100, one seed; the rest as above. Epochs are far fewer than the document's 500
({epochs}), which would take days here, so that accuracies are not those of its figures
(about 90.5 %). The document's networks of four layers are stuck at 10 % for the first 10 to
30 epochs; with He's initial weights by the neurons' own number of connections they are not.
The dense networks are timed on a part of an epoch and not trained to the end."""


# Beside the epochs of Fashion-MNIST, which stand there.
DEVIATIONS = [
    ("learning rate of the small data sets", 0.01, f"{LOWER_RATE}, see below"),
    ("weights of new connections", "as at initialisation", "zero"),
    ("initial weights", "not said", "He's, by a neuron's own connections"),
    (
        "split into training and test part",
        "not said",
        "a third is the test part, stratified",
    ),
    ("momentum", "as printed, the gradient times 1 - 0.9", "the usual form, without it"),
    ("LUNG", "203 x 3312", "that is not here: its discretised form, and its shape"),
    (
        "epochs of the dense networks",
        N_EPOCHS,
        f"{N_DENSE_EPOCHS}, Fashion-MNIST: timed only",
    ),
    ("epochs on Fashion-MNIST", N_EPOCHS, ", ".join(map(str, LARGE.values()))),
    ("seeds on Fashion-MNIST", "not said", 1),
    ("augmentation of the images", "in one experiment", "none"),
]


def run(runs):
    small = {
        data: compare(
            runs, data, SEEDS,
            networks(runs.epochs(N_EPOCHS), learning_rate_init=LOWER_RATE),
            {
                "hidden": HIDDEN, "batch_size": 2, "learning_rate": LOWER_RATE,
                "n_epochs": runs.epochs(N_DENSE_EPOCHS),
            },
        )
        for data in SMALL
    }  # fmt: skip
    timed = {"hidden": HIDDEN, "batch_size": 2, "n_epochs": 1}
    lung = compare(runs, "lung", SEEDS[:1], networks(runs.epochs(N_TIMED_EPOCHS)), timed)
    large = {
        hidden: compare(
            runs, "fashion_mnist", SEEDS[:1],
            networks(runs.epochs(n_epochs), hidden_layer_sizes=hidden, batch_size=100),
            {"hidden": hidden, "batch_size": 100, "n_epochs": 1, "n_samples": 2_000},
        )
        for hidden, n_epochs in LARGE.items()
    }  # fmt: skip
    by_key = {(data, HIDDEN): small[data] for data in SMALL[:3]} | {("lung", HIDDEN): lung}
    by_key |= {("fashion_mnist", hidden): results for hidden, results in large.items()}
    plot(small, runs.path(".png"))
    epochs = ", ".join(str(runs.epochs(n)) for n in LARGE.values())
    for what, document, here in DEVIATIONS:
        runs.deviates(what, document=document, here=here)
    runs.finish(
        "Zeta schedules on wide data and on Fashion-MNIST (Chouliaras 2021)",
        "## Parameters, compression and training time of SET",
        markdown(pd.DataFrame([parameters_row(*item) for item in by_key.items()])),
        "## Small data sets",
        TEXT.format(
            n=runs.epochs(N_EPOCHS), dense=runs.epochs(N_DENSE_EPOCHS), rate=LOWER_RATE
        ),
        "![Test accuracy](chouliaras.png)",
        *(part for data in SMALL for part in (f"### {data}", markdown(table(small[data])))),
        "### The learning rate",
        CHECK_TEXT.format(n=runs.epochs(N_CHECKED_EPOCHS)),
        markdown(checks(runs)),
        "### LUNG's shape",
        LUNG_TEXT,
        markdown(table(lung, accuracy=False)),
        "## Fashion-MNIST",
        LARGE_TEXT.format(epochs=epochs),
        *(
            part
            for hidden in LARGE
            for part in (
                f"### 784-{'-'.join(map(str, hidden))}-10",
                markdown(without_untrained(table(large[hidden]))),
            )
        ),
    )


def without_untrained(rows):
    """Dense networks that are timed only have no accuracy."""
    columns = ["test accuracy (%)", "each"]
    return rows.astype(object).mask(
        (rows["network"] == "dense").to_numpy()[:, None] & rows.columns.isin(columns), "-"
    )
