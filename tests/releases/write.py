"""Write what this version keeps in files, for tests that later versions read it.

``python tests/releases/write.py``, once per release, makes ``tests/releases/<version>/``.
"""

import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import skops.io
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPRegressor,
    SparseMLPSelector,
    __version__,
)
from sksparse_mlp.activations import ACTIVATIONS, GAReLU
from sksparse_mlp.analysis import (
    ActivationDistributions,
    LayerActivations,
    LayerClassifier,
    NodeActivity,
    connectivity,
    memory_footprint,
)
from sksparse_mlp.callbacks import Checkpoint
from sksparse_mlp.initializers import EdgeOfChaos, edge_of_chaos
from sksparse_mlp.schedules import Cosine
from sksparse_mlp.topology import GradientGrowth, ImportancePruning, LiSET

FOLDER = Path(__file__).parent
LABELS = np.array(["one", "other", "third"])
SMALL = {
    "hidden_layer_sizes": (10, 8),
    "epsilon": 3,
    "batch_size": 32,
    "max_iter": 3,
    "random_state": 0,
}


def data():
    """X of 60 samples and 6 features, and labels 0, 1, 2."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 6))
    return X, (X @ rng.standard_normal((6, 3))).argmax(axis=1)


def classifier(**params):
    return SparseMLPClassifier(**SMALL | params)


def estimators():
    """Fitted networks by name: what 0.1.0 could fit, in few bytes."""
    X, y = data()
    small = X.astype(np.float32)
    members = {
        "init": EdgeOfChaos(q=0.8),
        "zeta_schedule": Cosine(),
        "growth": GradientGrowth(),
        "pruning": ImportancePruning(),
        "activation": [GAReLU(), "tanh"],
    }
    sgd = {"solver": "sgd", "learning_rate_init": 0.01}
    learned = ["prelu", "srelu"]
    return {
        "classifier": classifier(batch_norm=True, early_stopping=True).fit(X, LABELS[y]),
        "binary": classifier(activation="all_relu", class_weight="balanced").fit(X, y > 0),
        "continued": classifier(growth=LiSET(gamma=0.5), evolve_every=1)
        .partial_fit(small, y, [0, 1, 2])
        .partial_fit(small, y),
        "multilabel": classifier(activation=learned).fit(X, y[:, np.newaxis] == [0, 1, 2]),
        "instances": classifier(**members, **sgd).fit(small, y),
        "selected": classifier(n_features_to_select=3, max_iter=6).fit(X, y),
        "regressor": SparseMLPRegressor(**SMALL).fit(X, X[:, 0]),
        "targets": SparseMLPRegressor(**SMALL | sgd).partial_fit(small, X[:, :2]),
    }


def wrapped(networks):
    """Fitted estimators that hold networks, or were made of them."""
    X, y = data()
    network = networks["instances"]
    return {
        "pipeline": make_pipeline(StandardScaler(), classifier()).fit(X, y),
        "selector": SparseMLPSelector(classifier(), n_features_to_select=3).fit(X, y),
        "layer_activations": LayerActivations(network).fit(X),
        "node_activity": NodeActivity(network).fit(X, y),
        "distributions": ActivationDistributions(network).fit(X, y),
        "layer_classifier": LayerClassifier(networks["binary"], layer=1).fit(X, y > 0),
    }


def others(networks):
    """What else a user may have pickled."""
    return {
        "classes": networks["binary"].predictor(),
        "numbers": networks["targets"].predictor(),
        "activations": [cls() for cls in ACTIVATIONS.values()],
        "point": edge_of_chaos("tanh", 1.5),
        "connectivity": connectivity(networks["binary"]),
        "memory": memory_footprint(networks["binary"]),
        "checkpoint": Checkpoint("run.npz", every=2),
    }


def results(model):
    """What a model gives for `data`, by the name of the method."""
    X, _ = data()
    methods = ("predict", "predict_proba", "transform")
    made = {m: getattr(model, m)(X) for m in methods if hasattr(model, m)}
    return {m: r.toarray() if hasattr(r, "toarray") else r for m, r in made.items()}


class StoppedError(Exception):
    """What ends a fit half way."""


class Stop:
    """Callback that ends a fit after its second epoch."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and context.task_id == 1:
            raise StoppedError


def interrupted(path):
    """Leave the checkpoint of a fit that was stopped half way."""
    model = checkpointed().set_callbacks(Checkpoint(path), Stop())
    try:
        model.fit(*data())
    except StoppedError:
        path.with_name(f"{path.name}.previous").unlink(missing_ok=True)


def checkpointed():
    """The network of that fit; what has other defaults now has those of 0.1.0."""
    rate = {"learning_rate": "constant", "learning_rate_init": 1e-3}
    return classifier(max_iter=5, growth="liset", batch_norm=True, **rate)


def write(folder):
    folder.mkdir()
    networks = estimators()
    expected = {}
    for name, model in (networks | wrapped(networks)).items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(model, protocol=5))
        path = folder / f"{name}.skops"
        skops.io.dump(model, path, compression=zipfile.ZIP_DEFLATED)
        expected |= {f"{name}/{m}": result for m, result in results(model).items()}
    for name, model in networks.items():
        np.savez(folder / f"{name}.npz", **model.export_arrays())
    for name, thing in others(networks).items():
        (folder / f"other_{name}.pkl").write_bytes(pickle.dumps(thing, protocol=5))
    interrupted(folder / "checkpoint.npz")
    model = checkpointed().fit(*data())
    expected |= {f"checkpoint/{m}": result for m, result in results(model).items()}
    np.savez(folder / "expected.npz", **expected)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    write(FOLDER / __version__)
