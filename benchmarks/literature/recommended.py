"""What we would use: configurations found on training data, beside the documents' best."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from benchmarks.accuracy import TestAccuracy
from benchmarks.literature import selection
from benchmarks.literature.comparison import standard_error
from benchmarks.literature.runs import Runs
from benchmarks.samples import scaled, with_moved_copies
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.activations import AllReLU

SEEDS = range(3)
SEARCH_SEED, N_PARTS = 0, 6
SHARED = {
    "solver": "adam",
    "learning_rate": "cosine",
    "zeta_schedule": "cosine",
    "n_iter_no_change": np.inf,
}
CHOICES = {
    "activation": ["relu", AllReLU(slope=0.1), AllReLU(slope=0.25)],
    "batch_norm": [True],
    "zeta": [0.3, 0.5, 0.7],
    "growth": ["random", "gradient"],
    "batch_size": [64, 128],
}


@dataclass(frozen=True)
class Search:
    """Where the configuration of a kind of network is searched.

    The network is trained for ``n_tried`` epochs in the search and for ``n_epochs`` then.
    The best ``n_finalists`` are tried on ``n_splits`` held-out parts. ``samples`` says how
    the samples are prepared, see `samples`.
    """

    data: str
    hidden_layer_sizes: tuple[int, ...]
    epsilon: float
    n_configurations: int
    n_tried: int
    n_epochs: int
    choices: dict[str, list] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    n_finalists: int = 3
    n_splits: int = 3

    def network(self, n_epochs, **configuration):
        sizes = {"hidden_layer_sizes": self.hidden_layer_sizes, "epsilon": self.epsilon}
        return SHARED | sizes | {"max_iter": n_epochs} | configuration

    def configurations(self):
        """What is tried, in a seeded random order without repetition."""
        rng = np.random.default_rng(SEARCH_SEED)
        choices = CHOICES | self.choices
        drawn = []
        while len(drawn) < self.n_configurations:
            configuration = {
                name: values[rng.integers(len(values))] for name, values in choices.items()
            }
            if configuration not in drawn:
                drawn.append(configuration)
        return drawn


LARGE = {
    "dropout": [0.1, 0.2, 0.3, 0.4],
    "alpha": [0.1, 0.3, 1.0, 3.0],
    "learning_rate_init": [1e-3, 2e-3, 4e-3],
}
SEARCHES = {
    "ISOLET, first": Search(
        "isolet", (512, 256, 128), 21, 30, 60, 150,
        {
            "dropout": [0.1, 0.2, 0.3],
            "alpha": [1.0, 3.0, 10.0, 30.0],
            "learning_rate_init": [5e-4, 1e-3, 2e-3],
        },
        n_finalists=8, n_splits=N_PARTS,
    ),
    # The first had its best at the edges of its ranges.
    "ISOLET": Search(
        "isolet", (512, 256, 128), 21, 60, 150, 150,
        {
            "dropout": [0.0, 0.1, 0.2, 0.3],
            "alpha": [3.0, 10.0, 30.0, 100.0],
            "learning_rate_init": [2.5e-4, 5e-4, 1e-3, 2e-3],
        },
        n_finalists=8, n_splits=N_PARTS,
    ),
    "MNIST, small": Search(
        "mnist", (300, 100), 4.5, 14, 30, 120,
        {
            "dropout": [0.0, 0.02, 0.05],
            "alpha": [0.03, 0.1, 0.3, 1.0],
            "learning_rate_init": [2e-3, 4e-3, 8e-3],
        },
    ),
    "MNIST, large": Search("mnist", (1000,) * 3, 20, 10, 15, 80, LARGE),
    "Fashion-MNIST": Search("fashion_mnist", (1000,) * 3, 20, 8, 15, 50, LARGE),
    "Fashion-MNIST, moved copies": Search(
        "fashion_mnist", (1000,) * 3, 20, 8, 6, 30,
        {
            "dropout": [0.05, 0.1, 0.2],
            "alpha": [0.1, 0.3, 1.0],
            "learning_rate_init": [1e-3, 2e-3],
        },
        {"n_copies": 8},
    ),
}  # fmt: skip
# Networks: the search whose winner they take, epsilon, the document's best test accuracy
# with at least as many connections (and its epochs), and our aim.
NETWORKS = {
    "Madelon 500-400-100-400-1": ("Madelon", 10, 68.67, 500, 86.0),
    "ISOLET 617-512-256-128-26": ("ISOLET", 21, 85.70, 250, 96.5),
    "ISOLET 617-512-256-128-26, first search": ("ISOLET, first", 21, 85.70, 250, 96.5),
    "ISOLET 617-512-256-128-26, denser": ("ISOLET", 42, 93.39, 250, None),
    "MNIST 784-300-100-10": ("MNIST, small", 4.5, 87.14, 250, 98.0),
    "MNIST 784-300-100-10, denser": ("MNIST, small", 9, 89.87, 250, None),
    "MNIST 784-1000-1000-1000-10": ("MNIST, large", 20, None, None, 98.8),
    "Fashion-MNIST 784-1000-1000-1000-10": ("Fashion-MNIST", 20, 91.08, 500, None),
    "Fashion-MNIST 784-1000-1000-1000-10, moved copies": (
        "Fashion-MNIST, moved copies",
        20,
        91.08,
        500,
        None,
    ),
}


def samples(data, n_copies):
    """Training and test samples as the networks take them, without copies."""
    standardised = data == "fashion_mnist" and n_copies == 1
    return scaled(data, StandardScaler() if standardised else None)


def held_out(data, network, split, n_copies=1):
    """Accuracy of the last epoch on a sixth of the training part, held out from the rest.

    ISOLET's speakers, whose samples are in sequence, are held out as a whole: those of its
    test part are others too.
    """
    X, y, *_ = samples(data, n_copies)
    if data == "isolet":
        out = np.arange(len(y)) * N_PARTS // len(y) == split
    else:
        folds = StratifiedKFold(N_PARTS, shuffle=True, random_state=0).split(X, y)
        out = np.isin(np.arange(len(y)), list(folds)[split][1])
    learned = with_moved_copies(X[~out], y[~out], n_copies, split)
    model = SparseMLPClassifier(random_state=split, **network).fit(*learned)
    return {
        "accuracy": round(100 * model.score(X[out], y[out]), 3),
        "fitted": round(100 * model.score(X[~out], y[~out]), 3),
    }


def test(data, network, seed, n_copies=1):  # noqa: PT028, the name in kept results
    """Test accuracy after every epoch; connections and seconds."""
    X_train, y_train, X_test, y_test = samples(data, n_copies)
    accuracy = TestAccuracy(X_test, y_test)
    model = SparseMLPClassifier(random_state=seed, **network).set_callbacks(accuracy)
    model.fit(*with_moved_copies(X_train, y_train, n_copies, seed))
    return {
        "accuracy": [round(100 * score, 2) for score in accuracy.scores],
        "connections": int(model.n_connections_.sum()),
        "seconds": round(sum(record["seconds"] for record in model.history_), 1),
    }


def search(runs, wanted):
    """What was tried, best first; the finalists have results on more splits."""
    tried = [
        {"configuration": configuration, "results": []}
        for configuration in runs.some(wanted.configurations(), 2)
    ]
    hold_out(runs, wanted, tried, range(1))
    tried.sort(key=mean_accuracy, reverse=True)
    finalists = tried[: wanted.n_finalists]
    hold_out(runs, wanted, finalists, range(1, wanted.n_splits))
    return sorted(finalists, key=mean_accuracy, reverse=True) + tried[wanted.n_finalists :]


def hold_out(runs, wanted, entries, splits):
    """Add results on some held-out parts to those of these configurations."""
    n_epochs = runs.epochs(wanted.n_tried)
    grid = [
        {
            "data": wanted.data,
            "network": wanted.network(n_epochs, **entry["configuration"]),
            "split": split,
            **wanted.samples,
        }
        for entry in entries
        for split in splits
    ]
    results = iter(runs.map(held_out, grid))
    for entry in entries:
        entry["results"] += [next(results) for _ in splits]


def mean_accuracy(entry):
    return float(np.mean([result["accuracy"] for result in entry["results"]]))


def chosen_networks(runs, searches):
    """Data set, its preparation and parameters of each of the networks."""
    madelon = selection.search(Runs("selection", folder=runs.folder, quick=runs.quick))
    chosen = {}
    for name, (source, epsilon, *_) in NETWORKS.items():
        if source == "Madelon":
            network = selection.FIXED | madelon[0]["network"]
            network["max_iter"] = runs.epochs(network["max_iter"])
            chosen[name] = {"data": "madelon", "network": network}
        else:
            wanted = SEARCHES[source]
            n_epochs = runs.epochs(wanted.n_epochs)
            network = wanted.network(n_epochs, **searches[source][0]["configuration"])
            network["epsilon"] = epsilon
            chosen[name] = {"data": wanted.data, "network": network, **wanted.samples}
    return chosen


def targets_table(chosen, tested):
    rows = []
    for name, (_, _, document, epochs, aim) in NETWORKS.items():
        results = tested[name]
        last = [result["accuracy"][-1] for result in results]
        wanted = max(document or 0, aim or 0)
        rows.append(
            {
                "network": name,
                "epsilon": f"{chosen[name]['network']['epsilon']:g}",
                "connections": f"{results[0]['connections']:,}",
                "epochs": len(results[0]["accuracy"]) * chosen[name].get("n_copies", 1),
                "document's best (%)": document or "-",
                "its epochs": epochs or "-",
                "aim (%)": aim or "-",
                "test accuracy (%)": np.mean(last),
                "standard error": f"{standard_error(last):.2f}",
                "each": " ".join(f"{value:.2f}" for value in last),
                "best epoch": np.mean([max(result["accuracy"]) for result in results]),
                "met": "yes" if np.mean(last) >= wanted else "no",
                "seconds": f"{np.mean([result['seconds'] for result in results]):.0f}",
            }
        )
    return pd.DataFrame(rows)


def search_table(entries):
    """What was tried, best first."""
    rows = []
    for entry in entries:
        results = entry["results"]
        row = {name: shown(value) for name, value in entry["configuration"].items()}
        row["accuracy (%)"] = mean_accuracy(entry)
        row["each split"] = " ".join(f"{result['accuracy']:.2f}" for result in results)
        row["on what it learned from"] = float(np.mean([r["fitted"] for r in results]))
        rows.append(row)
    return pd.DataFrame(rows)


def shown(value):
    return f"{value:g}" if isinstance(value, float) else str(value)


TEXT = """\
Configurations found by a random search on training data, then trained on the whole training
part; test accuracy after the last epoch, means of {n} seeds, float32. *Best epoch* is the
best test accuracy of all epochs, as the documents report theirs. Seconds are those of a
training on this machine, which had other work. Connections are those of the document's
network or fewer (batch normalisation adds four numbers per hidden neuron). With *moved
copies* the network learns from {copies} of each image: itself, and others moved by up to a
pixel each way, half of them mirrored; an epoch then counts as {copies}."""

SEARCH = """\
{n} configurations drawn at random (seed {seed}) from the values in the table's columns were
trained for {tried} epochs on five sixths of the training part and scored on the sixth{how};
the best {finalists} went through {more} more of these sixths, and the one with the best
mean was taken, for {epochs} epochs. The ranges are what shorter searches on such parts had
left: on ISOLET and the small MNIST network batch normalisation led, SReLU did not."""


def searched(runs):
    """The searches by name, and the networks that they chose."""
    searches = {name: search(runs, wanted) for name, wanted in SEARCHES.items()}
    return searches, chosen_networks(runs, searches)


def tested(runs, chosen):
    """Results of the seeds by network."""
    seeds = runs.some(SEEDS)
    grid = [settings | {"seed": seed} for settings in chosen.values() for seed in seeds]
    results = iter(runs.map(test, grid))
    return {name: [next(results) for _ in seeds] for name in chosen}


def run(runs):
    searches, chosen = searched(runs)
    runs.finish(
        "What we would use",
        TEXT.format(
            n=len(runs.some(SEEDS)),
            copies=SEARCHES["Fashion-MNIST, moved copies"].samples["n_copies"],
        ),
        markdown(targets_table(chosen, tested(runs, chosen))),
        "## The configurations",
        *(f"- {name}: `{settings['network']}`" for name, settings in chosen.items()),
        "## The searches",
        "Madelon's, with input neurons that compete, is that of [selection](selection.md).",
        *(
            part
            for name, entries in searches.items()
            for part in (
                f"### {name}",
                search_text(name, entries),
                markdown(search_table(entries)),
            )
        ),
    )


def search_text(name, entries):
    wanted = SEARCHES[name]
    return SEARCH.format(
        n=len(entries), seed=SEARCH_SEED, tried=wanted.n_tried,
        how=", which is of other speakers" if wanted.data == "isolet" else ", stratified",
        finalists=wanted.n_finalists, more=wanted.n_splits - 1, epochs=wanted.n_epochs,
    )  # fmt: skip
