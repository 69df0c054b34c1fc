"""Our networks beside scikit-learn's classifiers, on every data set here."""

import time

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.data import load
from benchmarks.literature import recommended
from benchmarks.literature.comparison import standard_error
from benchmarks.literature.runs import Runs
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.datasets import fetch

# Hidden layers of both kinds of networks.
SIZES = {
    "madelon": (400, 100, 400),
    "isolet": (512, 256, 128),
    "mnist": (1000, 1000, 1000),
    "fashion_mnist": (1000, 1000, 1000),
    "orl": (256, 128),
    "prostate_ge": (256, 128),
    "glioma": (256, 128),
    "lung_discrete": (256, 128),
}
# Names in `recommended` of the networks for the sets that have a test part.
RECOMMENDED = {
    "madelon": "Madelon 500-400-100-400-1",
    "isolet": "ISOLET 617-512-256-128-26",
    "mnist": "MNIST 784-1000-1000-1000-10",
    "fashion_mnist": "Fashion-MNIST 784-1000-1000-1000-10",
}
N_SEEDS = {"mnist": 1, "fashion_mnist": 1}
SMALL_SEEDS, TEST_SHARE, N_FOLDS = range(5), 1 / 3, 3
# What is searched on the training part of each split of a small set.
SMALL = {"max_iter": 100, "learning_rate": "cosine", "n_iter_no_change": np.inf}
SMALL_GRID = [
    {"batch_norm": [False], "dropout": [0.1, 0.3], "batch_size": [16]},
    {"batch_norm": [True], "dropout": [0.1, 0.3], "batch_size": [16]},
]
RIVALS = ("MLPClassifier", "RandomForestClassifier", "HistGradientBoostingClassifier")


def samples(data, seed):
    """The official parts, or a stratified split by the seed where there are none."""
    if data in RECOMMENDED:
        return load(data)
    X, y = fetch(data, return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=TEST_SHARE, stratify=y, random_state=seed
    )
    return X_train, y_train, X_test, y_test


def rival(name, data, seed):
    """One of scikit-learn's classifiers, with its defaults but for the layers' sizes."""
    if name == "MLPClassifier":
        # On the large sets early stopping spares epochs without end.
        network = MLPClassifier(
            SIZES[data], early_stopping=data in N_SEEDS, random_state=seed
        )
        return make_pipeline(StandardScaler(), network)
    if name == "RandomForestClassifier":
        return RandomForestClassifier(random_state=seed)
    return HistGradientBoostingClassifier(random_state=seed)


def default_network(data, seed):
    """Ours, with its defaults but for the layers' sizes."""
    network = SparseMLPClassifier(SIZES[data], random_state=seed)
    return make_pipeline(StandardScaler(), network)


def searched_network(data, seed):
    """Ours, with a small search on the training part."""
    network = SparseMLPClassifier(SIZES[data], random_state=seed, **SMALL)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    grid = [
        {f"sparsemlpclassifier__{name}": values for name, values in part.items()}
        for part in SMALL_GRID
    ]
    return GridSearchCV(make_pipeline(StandardScaler(), network), grid, cv=folds)


def measure(name, data, seed):
    """Test accuracy in percent, and CPU seconds of fit."""
    X_train, y_train, X_test, y_test = samples(data, seed)
    X_train, X_test = X_train.astype(np.float32), X_test.astype(np.float32)
    makers = {"default": default_network, "searched": searched_network}
    maker = makers.get(name)
    model = maker(data, seed) if maker else rival(name, data, seed)
    started = time.process_time()
    model.fit(X_train, y_train)
    seconds = time.process_time() - started
    accuracy = round(100 * model.score(X_test, y_test), 2)
    return {"accuracy": accuracy, "seconds": round(seconds, 1)}


def results(runs):
    """Results of the seeds by data set and model."""
    found = {}
    for data in SIZES:
        small = data not in RECOMMENDED
        seeds = SMALL_SEEDS if small else range(N_SEEDS.get(data, 3))
        names = ("searched",) * small + ("default", *RIVALS)
        grid = [
            {"name": name, "data": data, "seed": seed}
            for name in names
            for seed in runs.some(seeds)
        ]
        measured = runs.map(measure, grid)
        found[data] = {
            name: [
                m for m, asked in zip(measured, grid, strict=True) if asked["name"] == name
            ]
            for name in names
        }
    return found


def recommended_results(runs):
    """Those of the recommended networks, from the files of their own table."""
    theirs = Runs("recommended", folder=runs.folder, quick=runs.quick)
    _, chosen = recommended.searched(theirs)
    tested = recommended.tested(theirs, chosen)
    return {
        data: [
            {"accuracy": result["accuracy"][-1], "seconds": result["seconds"]}
            for result in tested[name]
        ]
        for data, name in RECOMMENDED.items()
    }


def row(data, by_model, own):
    """Accuracies of every model; the best is bold."""
    models = {"ours": own} | by_model
    means = {
        name: np.mean([result["accuracy"] for result in found])
        for name, found in models.items()
    }
    cells = {"data": data}
    for name, found in models.items():
        accuracies = [result["accuracy"] for result in found]
        error = standard_error(accuracies)
        text = f"{means[name]:.2f}" + ("" if np.isnan(error) else f" ± {error:.2f}")
        is_best = means[name] == max(means.values())
        cells[name] = f"**{text}**" if is_best else text
    return cells


def seconds_row(data, by_model, own):
    models = {"ours": own} | by_model
    return {"data": data} | {
        name: f"{np.mean([result['seconds'] for result in found]):.1f}"
        for name, found in models.items()
    }


TEXT = """\
Test accuracy in %, means with standard errors over the seeds; the best of each line is
bold. *Ours* are the [recommended networks](recommended.md) on the sets with an official
test part; on the small ones a network 256-128 whose batch normalisation and dropout are
searched by cross-validation on the training part of each of {small} stratified splits (a
third for the test). *Default* is our network with its defaults. scikit-learn's models have
their defaults, `MLPClassifier` the same layers as ours and standardised features. MNIST and
Fashion-MNIST have one seed for all but ours, and `MLPClassifier` stops early there."""


def run(runs):
    own = recommended_results(runs)
    found = results(runs)
    for data in SIZES.keys() - RECOMMENDED.keys():
        own[data] = found[data].pop("searched")
    rows = [row(data, found[data], own[data]) for data in SIZES]
    seconds = [seconds_row(data, found[data], own[data]) for data in SIZES]
    runs.finish(
        "Beside scikit-learn's classifiers",
        TEXT.format(small=len(SMALL_SEEDS)),
        markdown(pd.DataFrame(rows)),
        "## CPU seconds of fit",
        "*Ours* on the sets with a test part: seconds of the clock, while the machine had "
        "other work; on the small sets with the whole search.",
        markdown(pd.DataFrame(seconds)),
    )
