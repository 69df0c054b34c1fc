"""Every member of every family at work, in small: a program and a list of estimators.

``python tests/everything.py`` fits them all, and says what Numba had to compile.
"""

import warnings
from itertools import product
from unittest import mock

import numpy as np
from numba.extending import is_jitted
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor
from sksparse_mlp.activations import ACTIVATIONS
from sksparse_mlp.analysis import effective_gradient_flow, layer_accuracies
from sksparse_mlp.core import kernels, spinning, workers
from sksparse_mlp.core.learning_rates import LEARNING_RATES
from sksparse_mlp.core.optimizers import OPTIMIZERS
from sksparse_mlp.initializers import INITIALIZERS
from sksparse_mlp.losses import LOSSES
from sksparse_mlp.schedules import ZETA_SCHEDULES
from sksparse_mlp.topology import GROWTHS, PRUNINGS

# The families, by the parameter that takes their members.
REGISTRIES = {
    "activation": ACTIVATIONS,
    "zeta_schedule": ZETA_SCHEDULES,
    "growth": GROWTHS,
    "pruning": PRUNINGS,
    "init": INITIALIZERS,
    "learning_rate": LEARNING_RATES,
    "solver": OPTIMIZERS,
}
# Those of regressors alone.
OF_REGRESSORS = {"loss": LOSSES}
# What else leads to other kernels.
OTHERS = [
    {"batch_norm": True},
    {"dropout": 0.3, "evolve_every": 2},
    {"n_features_to_select": 3},
    {"n_features_to_select": "auto"},
    {"early_stopping": True, "validation_fraction": 0.3},
    {"solver": "sgd", "nesterovs_momentum": False},
]
DTYPES = (np.float32, np.float64)
CONTAINERS = (np.asarray, sparse.csr_array)


def settings():
    """Parameters that give each member of each family its turn."""
    for parameter, registry in REGISTRIES.items():
        yield from ({parameter: name} for name in registry)
    yield from ({"init": "edge_of_chaos", "activation": name} for name in ("tanh", "crelu"))
    yield from OTHERS


def targets():
    """A network for each kind of targets, with targets of 40 samples."""
    labels, rng = np.arange(40) % 3, np.random.default_rng(1)
    yield SparseMLPClassifier, labels
    yield SparseMLPClassifier, labels > 0
    yield SparseMLPClassifier, np.eye(3, dtype=int)[labels]
    yield SparseMLPRegressor, rng.normal(size=40)
    missing = np.where(rng.random((40, 2)) < 0.3, np.nan, rng.normal(size=(40, 2)))
    yield SparseMLPRegressor, missing
    yield SparseMLPRegressor, rng.normal(size=(40, 2))


def small(cls, **params):
    """A network that trains in milliseconds."""
    sizes = {"hidden_layer_sizes": (8, 6), "epsilon": 2, "batch_size": 16, "max_iter": 4}
    if params.get("init") == "edge_of_chaos":
        params.setdefault("activation", "tanh")
    return cls(**{**sizes, "random_state": 0, **params})


def samples(dtype, container=np.asarray):
    return container(np.random.default_rng(0).normal(size=(40, 6)).astype(dtype))


def use(model, X, y):
    """Train and call whatever computes."""
    model.fit(X, y)
    model.predict(X)
    model.compress().predict(X)
    dense = X.toarray() if sparse.issparse(X) else X
    model.predictor().predict(dense[:3])
    effective_gradient_flow(model, X, y)
    if y.ndim == 1 and hasattr(model, "classes_"):
        layer_accuracies(model, X, y, X, y)
    model.partial_fit(X, y)


def shared():
    """Let threads share even the least work."""
    always = mock.patch.object(workers.Pace, "shares", return_value=True)
    few = mock.patch.multiple(workers, MIN_WORK=0, available_cores=lambda: 2)
    return always, few


def use_everything():
    for dtype, container, n_jobs in product(DTYPES, CONTAINERS, (1, 2)):
        X = samples(dtype, container)
        for cls, y in targets():
            use(small(cls, n_jobs=n_jobs), X, y)
        for params in settings():
            use(small(SparseMLPClassifier, n_jobs=n_jobs, **params), X, np.arange(40) % 3)
        for loss in LOSSES:
            counts = np.arange(40) % 7
            use(small(SparseMLPRegressor, n_jobs=n_jobs, loss=loss), X, counts)


def compiled():
    """Names of the functions that were compiled, as the cache did not have them."""
    functions = [*vars(kernels).values(), *vars(spinning).values()]
    jitted = {f.__name__: f for f in functions if is_jitted(f)}
    return sorted(name for name, f in jitted.items() if f.stats.cache_misses)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    always, few = shared()
    with always, few:
        use_everything()
    print(*compiled())
