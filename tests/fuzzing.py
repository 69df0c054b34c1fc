"""Strategies of estimators with data for them, and what must hold whatever comes.

A `Case` says in a few words what is passed to an estimator. `check` passes it on: either
it is refused, with a clear error and before anything has changed, or the estimator is
fitted and sound.
"""

import copy
import pickle
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from unittest import mock

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning

from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor
from sksparse_mlp.activations import ACTIVATIONS, CST, GAReLU, PReLU, SReLU
from sksparse_mlp.core import workers
from sksparse_mlp.core.layer import common_epsilon, n_connections
from sksparse_mlp.core.learning_rates import LEARNING_RATES
from sksparse_mlp.core.optimizers import OPTIMIZERS
from sksparse_mlp.core.training import Training
from sksparse_mlp.initializers import INITIALIZERS, EdgeOfChaos
from sksparse_mlp.losses import LOSSES, Huber, Quantile
from sksparse_mlp.schedules import ZETA_SCHEDULES, Cosine, ExponentialDecay
from sksparse_mlp.topology import (
    GROWTHS,
    PRUNINGS,
    CannistraciHebbGrowth,
    CosineGrowth,
    GradientGrowth,
    ImportancePruning,
    LiSET,
    RandomGrowth,
)

# --- parameters -----------------------------------------------------------------------


def half_zeta(epoch, n_epochs):
    """A schedule that is a plain function."""
    return 0.5 / (epoch + 1)


def names_and(registry, *instances):
    return st.sampled_from([*registry, *instances])


activation = names_and(
    ACTIVATIONS,
    PReLU(slope=0.0, learning_rate_factor=100.0),
    GAReLU(update="epoch"),
    SReLU(threshold_left=-1.0, threshold_right=-1.0, slope_right=-2.0),
    CST(threshold=0.0, clip=1e-6),
)
sizes = st.lists(st.integers(1, 9), max_size=3)

# Strategies of every parameter, and of values that are not quite allowed.
PARAMETERS = {
    "hidden_layer_sizes": st.one_of(
        st.integers(1, 9), sizes, sizes.map(tuple), sizes.map(np.array)
    ),
    "activation": activation | st.lists(activation, max_size=3),
    "slope": st.sampled_from([0, 0.25, 1.0, 50.0]),
    "epsilon": st.sampled_from([1e-9, 0.3, 1, 2.5, 1e6]),
    "density": st.none() | st.sampled_from([0.3, 0.9, 1]),
    "zeta": st.sampled_from([0, 1e-9, 0.3, 0.999]),
    "zeta_schedule": names_and(
        ZETA_SCHEDULES, half_zeta, Cosine(end=0.01), ExponentialDecay(zeta=0.9, interest=1)
    ),
    "growth": names_and(
        GROWTHS,
        RandomGrowth(scale=1.0),
        LiSET(gamma=-300.0, skip_dropout=0.0, learning_rate_factor=1.0),
        LiSET(skip_dropout=1.0),
        GradientGrowth(n_candidates=1),
        GradientGrowth(n_candidates=100, scale=0.1),
        CosineGrowth(n_candidates=None, scale=0.1),
        CannistraciHebbGrowth(n_candidates=4),
    ),
    "gamma": st.sampled_from([-1e6, 0, 2.0]),
    "evolve_every": st.just("epoch") | st.integers(1, 5),
    "evolve_until": st.sampled_from([1e-9, 0.5, 1]),
    "n_features_to_select": st.none()
    | st.integers(1, 4)
    | st.sampled_from([0.3, 1.0, "auto"]),
    "pruning": st.none()
    | names_and(
        PRUNINGS,
        ImportancePruning(share=0.5, start=0.0, every=1),
        ImportancePruning(share=0.99, start=0.3, every=1),
    ),
    "init": names_and(["auto", *INITIALIZERS], EdgeOfChaos(q=0.01)),
    "solver": st.sampled_from(list(OPTIMIZERS)),
    "alpha": st.sampled_from([0, 1e-4, 0.1, 1e3]),
    "batch_norm": st.booleans(),
    "dropout": st.sampled_from([0, 0.1, 0.5, 0.999]),
    "batch_size": st.just("auto") | st.integers(1, 50),
    "learning_rate": st.sampled_from(list(LEARNING_RATES)),
    "learning_rate_init": st.sampled_from([1e-300, 1e-3, 0.1, 10.0, 1e300]),
    "power_t": st.sampled_from([0, 0.5, 3.0]),
    "max_iter": st.integers(0, 4),
    "shuffle": st.booleans(),
    "momentum": st.sampled_from([0, 0.9, 1]),
    "nesterovs_momentum": st.booleans(),
    "beta_1": st.sampled_from([0, 0.9, 0.999999]),
    "beta_2": st.sampled_from([0, 0.999, 0.999999999]),
    "adam_epsilon": st.sampled_from([1e-300, 1e-8, 1.0]),
    "early_stopping": st.booleans(),
    "loss": names_and(LOSSES, Huber(delta=0.1), Quantile(0.9)),
    "quantile": st.sampled_from([0.01, 0.5, 0.9]),
    "scoring": st.sampled_from(["loss", "accuracy"]),
    "validation_fraction": st.sampled_from([0.1, 0.5]),
    "n_iter_no_change": st.sampled_from([1, 3, np.inf]),
    "tol": st.sampled_from([0, 1e-4, 10.0]),
    "warm_start": st.booleans(),
    "class_weight": st.none() | st.just("balanced"),
    "record": st.sampled_from(
        [(), ["train_score"], ("effective_gradient_flow", "train_score")]
    ),
    "random_state": st.integers(0, 2**32 - 1),
    "verbose": st.just(False),
    "n_jobs": st.sampled_from([None, 1, 2]),
}
share = [-1e-9, 1.0000001, np.nan, "0.5", None]
positive = [0, -1, np.nan, np.inf, "1", None]
not_negative = positive[1:]
whole = [0, -1, 1.5, np.nan, "1"]
yes_or_no = ["yes", 0.5, None]
unknown = ["unheard_of", object(), SReLU]
BAD = {
    "hidden_layer_sizes": [0, (3, -1), (2.0,), "8", None, [[3]]],
    "activation": [*unknown, None, ["relu", "unheard_of", 3]],
    "slope": not_negative,
    "epsilon": [*positive, [1.0] * 9, [0, 0], ["1"]],
    "density": [0, -0.1, 1.1, np.nan, "0.5", 1e-9],
    "zeta": [*share, 1],
    "zeta_schedule": ["unheard_of", None, lambda epoch, n: -epoch - 1, Cosine(end=0.0)],
    "growth": [*unknown, None, LiSET(skip_dropout=2), ["random"] * 9, []],
    "gamma": [np.nan, np.inf, "1", None],
    "evolve_every": [*whole, None],
    "evolve_until": [*share, 0],
    "n_features_to_select": [0, -1, 1.5, 10**6, "all", True],
    "pruning": [*unknown, ImportancePruning(share=1.0)],
    "init": [*unknown, None, EdgeOfChaos(q=-1)],
    "solver": unknown,
    "alpha": not_negative,
    "batch_norm": yes_or_no,
    "dropout": [*share, 1],
    "batch_size": [*whole, None],
    "learning_rate": unknown,
    "learning_rate_init": positive,
    "power_t": not_negative,
    "max_iter": whole[1:],
    "shuffle": yes_or_no,
    "momentum": share,
    "nesterovs_momentum": yes_or_no,
    "beta_1": [*share, 1],
    "beta_2": [*share, 1],
    "adam_epsilon": positive,
    "early_stopping": yes_or_no,
    "loss": [*unknown, None, Huber(delta=0)],
    "quantile": [*share, 0, 1],
    "scoring": ["no scorer", 1, None],
    "validation_fraction": [*share, 0, 1],
    "n_iter_no_change": [0, -1, 2.5, "1"],
    "tol": not_negative,
    "warm_start": yes_or_no,
    "class_weight": ["even", [1, 2], {"nobody": 1.0}, {0: np.nan}],
    "record": [None, 3, ["unheard_of"]],
    "random_state": ["0", -1, 0.5],
    "verbose": ["yes", -1],
    "n_jobs": [0, 1.5, "2"],
}


@st.composite
def parameters(draw):
    """Parameters of a small estimator, the others being the defaults."""
    names = draw(st.sets(st.sampled_from(list(PARAMETERS)), max_size=12))
    always = {"hidden_layer_sizes", "max_iter", "random_state"}
    # Either of the two says how many connections there are.
    names -= {"epsilon"} if "density" in names else set()
    return {name: draw(PARAMETERS[name]) for name in sorted(names | always)}


# --- features -------------------------------------------------------------------------

# A column, from random numbers and the column before it.
COLUMNS = {
    "normal": lambda z, previous: z,
    "constant": lambda z, previous: np.full_like(z, 3.0),
    "zero": lambda z, previous: np.zeros_like(z),
    "duplicate": lambda z, previous: previous,
    "whole": lambda z, previous: np.rint(3 * z),
    "rare": lambda z, previous: np.where(z > 1.5, z, 0.0),
    "huge": lambda z, previous: 1e30 * z,
    "tiny": lambda z, previous: 1e-30 * z,
    "largest": lambda z, previous: 1e307 * z,
    "least": lambda z, previous: 1e-307 * z,
}
DTYPES = [np.float64, np.float32, np.float16, np.int64, np.int8, np.uint8, bool, object]


def strided(X):
    """A view of every other row and column of a larger array."""
    larger = np.full((2 * X.shape[0], 2 * X.shape[1]), X.flat[0], X.dtype)
    view = larger[::2, ::2]
    view[:] = X
    return view


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def memory_map(X):
    """A read-only map of a file, whose name is gone at once."""
    with tempfile.NamedTemporaryFile() as file:
        np.save(file.name, X)
        file.seek(0)
        # NumPy appends the ending to names that lack it.
        return np.load(f"{file.name}.npy", mmap_mode="r")


def messy(X):
    """CSR with explicit zeros, unsorted indices and duplicate entries."""
    plain = sparse.csr_array(X)
    indptr, indices, data = [0], [], []
    for start, stop in pairwise(plain.indptr):
        places, values = plain.indices[start:stop][::-1], plain.data[start:stop][::-1]
        indices += [*places, 0, 0, *places[:1]]
        data += [*values, 0, 0, *np.zeros_like(values[:1])]
        indptr.append(len(indices))
    arrays = np.array(data, plain.dtype), np.array(indices, np.int32), np.array(indptr)
    return sparse.csr_array(arrays, X.shape)


def wide_indices(X):
    matrix = sparse.csr_array(X)
    matrix.indices, matrix.indptr = (
        a.astype(np.int64) for a in (matrix.indices, matrix.indptr)
    )
    return matrix


def frame(X):
    return pd.DataFrame(X, columns=[f"feature {i}" for i in range(X.shape[1])])


def frame_of_categories(X):
    """A data frame whose first column holds numbers as categories."""
    # pandas has no half-precision categories.
    table = frame(X.astype(np.float32) if X.dtype == np.float16 else X)
    return table.assign(**{"feature 0": table["feature 0"].astype("category")})


CONTAINERS = {
    "array": np.asarray,
    "fortran": np.asfortranarray,
    "strided": strided,
    "reversed": lambda X: X[::-1, ::-1],
    "read_only": read_only,
    "list": lambda X: X.tolist(),
    "frame": frame,
    "frame_of_categories": frame_of_categories,
}
NUMERIC_CONTAINERS = {
    "csr_array": sparse.csr_array,
    "csr_matrix": sparse.csr_matrix,
    "csr_messy": messy,
    "csr_wide": wide_indices,
    "csc": sparse.csc_array,
    "coo": sparse.coo_array,
}
BAD_FEATURES = {
    "nan": lambda X: np.where(np.arange(X.size).reshape(X.shape) == 0, np.nan, X),
    "infinite": lambda X: np.full_like(X, np.inf),
    "sparse_nan": lambda X: sparse.csr_array(np.full_like(X, np.nan)),
    "complex": lambda X: X + 1j,
    "one_dimension": np.ravel,
    "three_dimensions": lambda X: X[np.newaxis],
    "no_samples": lambda X: X[:0],
    "no_features": lambda X: X[:, :0],
    "text": lambda X: np.full(X.shape, "text"),
    "frame_of_text": lambda X: frame(X).assign(**{"feature 0": "text"}),
    "frame_of_text_categories": lambda X: frame(X).assign(
        **{"feature 0": pd.Categorical(["text"] * len(X))}
    ),
    "missing": lambda X: frame(X).assign(**{"feature 0": pd.NA}),
    "none": lambda X: None,
    "unequal": lambda X: np.vstack([X, X]),
}

# --- targets and weights --------------------------------------------------------------

LABELS = {
    "whole": lambda codes: codes,
    "far_apart": lambda codes: codes * 2**40 - 7,
    "float": lambda codes: codes.astype(np.float64),
    "bytes": lambda codes: codes.astype(np.uint8),
    "text": lambda codes: np.array(["zero", "one", "two", "three"])[codes],
    "text_objects": lambda codes: np.array(["0", "a", "", "ß"], object)[codes],
    "list": lambda codes: codes.tolist(),
    "column": lambda codes: codes.reshape(-1, 1),
    "series": lambda codes: pd.Series(codes, index=codes[::-1]),
    "categorical": lambda codes: pd.Series(pd.Categorical(codes)),
}
TWO_LABELS = {"bool": lambda codes: codes > 0, "signs": lambda codes: 2 * (codes > 0) - 1}
BAD_LABELS = {
    "one_class": np.zeros_like,
    "nan": lambda codes: np.where(codes > 0, np.nan, 1.0),
    "continuous": lambda codes: np.linspace(0.1, 0.7, codes.size),
    "mixed": lambda codes: np.array([0, "a", *codes][: codes.size], object),
    "none": lambda codes: None,
    "too_many": lambda codes: [*codes, 0],
}
INDICATORS = {
    "whole": lambda labels: labels,
    "bool": lambda labels: labels.astype(bool),
    "float": lambda labels: labels.astype(np.float32),
    "fortran": np.asfortranarray,
    "csr": sparse.csr_array,
    "frame": pd.DataFrame,
}
BAD_INDICATORS = {
    "nan": lambda labels: np.where(labels > 0, np.nan, 0.0),
    "other_numbers": lambda labels: labels * 2 + np.arange(labels.shape[1]),
    "none": lambda labels: None,
    "too_many": lambda labels: np.vstack([labels, labels]),
    "three_dimensions": lambda labels: labels[np.newaxis],
}
NUMBERS = {
    "plain": lambda z: z,
    "float32": lambda z: z.astype(np.float32),
    "whole": lambda z: np.rint(3 * z).astype(int),
    "bool": lambda z: z > 0,
    "constant": lambda z: np.full_like(z, -2.5),
    "huge": lambda z: 1e15 * z,
    "tiny": lambda z: 1e-30 * z,
    "list": lambda z: z.tolist(),
    "read_only": read_only,
    "frame": pd.DataFrame,
}
BAD_NUMBERS = {
    "nan": lambda z: np.where(np.arange(z.size).reshape(z.shape) == 0, np.nan, z),
    "infinite": lambda z: np.full_like(z, np.inf),
    "largest": lambda z: np.full_like(z, 1e308),
    "complex": lambda z: z + 1j,
    "text": lambda z: np.full(z.shape, "text"),
    "none": lambda z: None,
    "too_many": lambda z: np.concatenate([z, z]),
    "three_dimensions": lambda z: z.reshape(1, 1, -1),
}
WEIGHTS = {
    "none": lambda rng, n: None,
    "ones": lambda rng, n: np.ones(n),
    "counts": lambda rng, n: rng.permutation(np.arange(n) % 4),
    "any": lambda rng, n: rng.random(n),
    "zeros": lambda rng, n: np.where(rng.random(n) < 0.2, 0.0, rng.random(n)),
    "far_apart": lambda rng, n: 10.0 ** rng.integers(-30, 30, n),
    "list": lambda rng, n: rng.random(n).tolist(),
}
BAD_WEIGHTS = {
    "negative": lambda rng, n: -np.ones(n),
    "nan": lambda rng, n: np.full(n, np.nan),
    "infinite": lambda rng, n: np.full(n, np.inf),
    "all_zero": lambda rng, n: np.zeros(n),
    "too_many": lambda rng, n: np.ones(n + 1),
    "two_dimensions": lambda rng, n: np.ones((n, 2)),
    "text": lambda rng, n: np.full(n, "much"),
}


def codes(rng, case):
    """Classes from 0, of as many as there can be."""
    shares = np.exp(-case.skew * np.arange(case.n_classes))
    drawn = rng.choice(case.n_classes, case.n_samples, p=shares / shares.sum())
    present = np.arange(min(case.n_classes, case.n_samples))
    drawn[: present.size] = present
    return drawn


def indicators(rng, case):
    return codes(rng, case)[:, np.newaxis] >> np.arange(case.n_classes) & 1


def number(rng, case):
    return rng.standard_normal(case.n_samples)


def numbers(rng, case):
    return rng.standard_normal((case.n_samples, case.n_classes - 1))


@dataclass(frozen=True)
class Target:
    """What there is to learn.

    Attributes
    ----------
    estimator : type
    draw : callable
        Draws it by a generator for a case.
    forms, defects : dict of str to callable
        What is made of that: as it is passed, and as it must be refused.
    """

    estimator: type
    draw: Callable
    forms: dict[str, Callable]
    defects: dict[str, Callable]


TARGETS = {
    "one label": Target(SparseMLPClassifier, codes, LABELS, BAD_LABELS),
    "one of two labels": Target(SparseMLPClassifier, codes, TWO_LABELS, BAD_LABELS),
    "labels": Target(SparseMLPClassifier, indicators, INDICATORS, BAD_INDICATORS),
    "number": Target(SparseMLPRegressor, number, NUMBERS, BAD_NUMBERS),
    "numbers": Target(SparseMLPRegressor, numbers, NUMBERS, BAD_NUMBERS),
}

# --- cases ----------------------------------------------------------------------------


@dataclass
class Case:
    """What is passed to an estimator, in words.

    Attributes
    ----------
    params : dict
    method : {"fit", "fit_twice", "partial_fit", "refit"}
        "refit" is `fit` on an estimator that was fitted to other data.
    seed : int
        Of the random numbers in the data.
    n_samples : int
    n_classes : int
        Of a label; the number of labels, and one more than that of numbers, where a
        sample has several.
    columns : list of str
    dtype : type
    container, target, form, weights : str
    skew : float
        How unequal the classes are, at least 0.
    class_weights : list of float
        By class, in place of the parameter, if there are any.
    bad : tuple of (str, object) or None
        What must be refused: the name of a parameter, "X", "y" or "sample_weight", and the
        value of that parameter or the name of a defect.
    """

    params: dict
    method: str
    seed: int
    n_samples: int
    n_classes: int
    columns: list
    dtype: type
    container: str
    target: str
    form: str
    weights: str
    skew: float
    class_weights: list = field(default_factory=list)
    bad: tuple | None = None

    def defect(self, name):
        """What is wrong with this argument, None if nothing is."""
        return self.bad[1] if self.bad and self.bad[0] == name else None

    def arguments(self):
        """X, y and the sample weights."""
        rng = np.random.default_rng(self.seed)
        X, y = self._features(rng), self._target(rng)
        make = BAD_WEIGHTS.get(self.defect("sample_weight"), WEIGHTS[self.weights])
        return X, y, make(rng, self.n_samples)

    def _features(self, rng):
        columns = []
        for kind in self.columns:
            z = rng.standard_normal(self.n_samples)
            columns.append(COLUMNS[kind](z, columns[-1] if columns else z))
        X = np.array(columns).T
        defect = self.defect("X")
        if defect is not None:
            return BAD_FEATURES[defect](X)
        if self.container in NUMERIC_CONTAINERS:
            return NUMERIC_CONTAINERS[self.container](cast(X, self._number_type()))
        if self.container == "memory_map":
            return memory_map(cast(X, self._number_type()))
        return CONTAINERS[self.container](cast(X, self.dtype))

    def _number_type(self):
        return np.float32 if self.dtype in (np.float32, np.float16) else np.float64

    def _target(self, rng):
        target, defect = TARGETS[self.target], self.defect("y")
        make = target.forms[self.form] if defect is None else target.defects[defect]
        return make(target.draw(rng, self))

    @property
    def has_one_label(self):
        return self.target in ("one label", "one of two labels")

    @property
    def has_numbers(self):
        return TARGETS[self.target].estimator is SparseMLPRegressor

    def estimator(self, y):
        """The estimator before the call under test."""
        model = TARGETS[self.target].estimator()
        if self.method == "refit":
            model.set_params(hidden_layer_sizes=3, max_iter=1)
            model.fit(np.eye(4), [0, 1, 0, 1])
        known = model.get_params()
        params = {name: value for name, value in self.params.items() if name in known}
        if self.method == "fit_twice":
            params["warm_start"] = True
        if self.class_weights and self.has_one_label and self.defect("y") is None:
            classes = np.unique(np.ravel(y)).tolist()
            params["class_weight"] = dict(zip(classes, self.class_weights, strict=False))
        if self.bad and self.bad[0] in PARAMETERS:
            params[self.bad[0]] = self.bad[1]
        return model.set_params(**params)


def cast(X, dtype):
    """Numbers of another type, the largest for those beyond its range."""
    if np.issubdtype(dtype, np.number):
        info = (np.finfo if np.issubdtype(dtype, np.floating) else np.iinfo)(dtype)
        X = np.clip(X, float(info.min), float(np.nextafter(float(info.max), 0)))
    return X.astype(dtype)


@st.composite
def cases(draw):
    """A case, one in four with something to refuse."""
    name = draw(st.sampled_from(list(TARGETS)))
    target = TARGETS[name]
    n_classes = 2 if name == "one of two labels" else draw(st.integers(2, 4))
    containers = [*CONTAINERS, *NUMERIC_CONTAINERS, "memory_map"]
    class_weights = st.lists(st.sampled_from([0.0, 0.5, 1.0, 1e6]), max_size=4)
    return Case(
        params=draw(parameters()),
        method=draw(st.sampled_from(["fit", "fit_twice", "partial_fit", "refit"])),
        seed=draw(st.integers(0, 2**16)),
        n_samples=draw(st.sampled_from([12, 40, 33, 20, 11, 5, 3, 1])),
        n_classes=n_classes,
        columns=draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=8)),
        dtype=draw(st.sampled_from(DTYPES)),
        container=draw(st.sampled_from(containers)),
        target=name,
        form=draw(st.sampled_from(list(target.forms))),
        weights=draw(st.sampled_from(list(WEIGHTS))),
        skew=draw(st.sampled_from([0.0, 0.5, 3.0])),
        class_weights=draw(st.just([]) | class_weights),
        bad=draw(st.none() | st.none() | st.none() | defects(target)),
    )


def defects(target):
    """Something to refuse."""
    of_data = {"X": BAD_FEATURES, "y": target.defects, "sample_weight": BAD_WEIGHTS}
    known = target.estimator().get_params()
    of_parameters = {name: values for name, values in BAD.items() if name in known}
    return st.one_of(
        st.sampled_from([(name, bad) for name, values in group.items() for bad in values])
        for group in (of_parameters, of_data)
    )


# --- what must hold -------------------------------------------------------------------

# What users are told while all is well; every other warning is an error.
EXPECTED_WARNINGS = [
    ("Training stopped after", ConvergenceWarning, ""),
    ("No connection can grow, because every layer is full", UserWarning, ""),
    ("(epsilon|density)=.* leaves too few connections", UserWarning, ""),
    ("The number of unique classes is greater than 50%", UserWarning, ""),
    ("A column-vector y was passed", DataConversionWarning, ""),
    ("X (has|does not have valid) feature names", UserWarning, ""),
    # From scikit-learn's search for infinite values, where their sum overflows.
    (".* encountered in reduce", RuntimeWarning, "numpy.*fromnumeric"),
]


SCORES = ("train_score", "validation_score")


def check(case):
    """Pass a case to an estimator; return "refused", "diverged" or "fitted"."""
    X, y, weights = case.arguments()
    model = case.estimator(y)
    before, arguments = dict(vars(model)), (X, y, weights)
    fingerprints = [pickle.dumps(argument) for argument in arguments]
    with expected_warnings() as told, small_tasks_are_shared():
        outcome = fit(model, case, *arguments)
    assert fingerprints == [pickle.dumps(argument) for argument in arguments]
    if outcome == "refused":
        assert vars(model).keys() == before.keys()
        assert all(vars(model)[name] is value for name, value in before.items())
        return outcome
    assert case.bad is None, "not refused"
    with expected_warnings():
        assert_sound(model, case, *arguments)
    diverged = any(issubclass(w.category, ConvergenceWarning) for w in told)
    return "diverged" if diverged else "fitted"


@contextmanager
def expected_warnings():
    """Collect the warnings that are expected; any other is an error."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("error")
        for message, category, module in EXPECTED_WARNINGS:
            warnings.filterwarnings("always", message, category, module)
        yield told


def small_tasks_are_shared():
    """Let threads share even tasks that are done faster alone."""
    return mock.patch.multiple(workers, MIN_WORK=0, available_cores=lambda: 2)


def fit(model, case, X, y, weights):
    """Call the method under test; a refusal must come before training."""
    calls = [partial(model.fit, X, y, weights)]
    if case.method == "fit_twice":
        calls *= 2
    if case.method == "partial_fit":
        again = partial(model.partial_fit, X, y, sample_weight=weights)
        first = partial(again, classes=known_classes(y)) if case.has_one_label else again
        calls = [first, again]
    run = mock.Mock(side_effect=Training.run)
    with mock.patch.object(Training, "run", lambda *args, **kwargs: run(*args, **kwargs)):
        for call in calls:
            try:
                call()
            except (ValueError, TypeError) as error:
                assert not run.called, "training has started"
                assert_deliberate(error)
                return "refused"
    return "trained"


def known_classes(y):
    try:
        return np.unique(np.ravel(y))
    except TypeError:
        return [0, 1]


def assert_deliberate(error):
    """The error was raised by a check, of this package or of one that it uses."""
    origin = traceback.extract_tb(error.__traceback__)[-1]
    assert str(error)
    if "sksparse_mlp" in origin.filename:
        assert origin.line.startswith("raise"), origin
    else:
        assert "numba" not in origin.filename, origin


def assert_sound(model, case, X, y, weights):
    assert_network(model)
    assert_counts(model)
    assert_history(model, case)
    if case.has_one_label:
        assert_classes(model, case, np.ravel(y), weights)
    assert_predictions(model, case, X, y)


def assert_classes(model, case, y, weights):
    ignores_weights = weights is None or case.method == "partial_fit"
    observed = y if ignores_weights else y[np.asarray(weights) > 0]
    assert np.array_equal(model.classes_, np.unique(observed))


def assert_network(model):
    """The pattern is valid, and every number is finite."""
    sizes = [coef.shape[0] for coef in model.coefs_] + [model.n_outputs_]
    assert sizes[0] == model.n_features_in_
    layers = zip(model.coefs_, model.intercepts_, sizes[1:], strict=True)
    for coef, intercept, n_out in layers:
        assert intercept.shape == (n_out,)
        assert coef.shape[1] == n_out
        assert coef.dtype == intercept.dtype
        assert_valid_pattern(coef)
    arrays = [coef.data for coef in model.coefs_] + model.intercepts_
    arrays += model.activation_parameters_
    arrays += [array for norm in model.batch_norms_ if norm for array in norm.values()]
    assert all(np.isfinite(array).all() for array in arrays)
    assert all((norm["variance"] >= 0).all() for norm in model.batch_norms_ if norm)
    importances = model.feature_importances_
    assert (importances >= 0).all()
    assert importances.sum() <= 1 + 1e-5


def assert_valid_pattern(coef):
    """Rows begin where others end; columns are in range, ascending and distinct."""
    assert coef.indptr[0] == 0
    assert coef.indptr[-1] == coef.indices.size == coef.data.size
    assert (np.diff(coef.indptr) >= 0).all()
    assert ((coef.indices >= 0) & (coef.indices < coef.shape[1])).all()
    rows = np.repeat(np.arange(coef.shape[0]), np.diff(coef.indptr))
    positions = rows * coef.shape[1] + coef.indices
    assert (np.diff(positions) > 0).all()


def assert_counts(model):
    """Connections move but become neither more nor, unless neurons leave, fewer."""
    pairs = [coef.shape for coef in model.coefs_]
    sizes = [pairs[0][0], *(n_out for _, n_out in pairs)]
    density = model.density
    epsilon = model.epsilon if density is None else common_epsilon(sizes, density)
    initial = np.array([n_connections(*pair, epsilon) for pair in pairs])
    counts = np.array([coef.nnz for coef in model.coefs_])
    assert np.array_equal(model.n_connections_, counts)
    totals = np.array([record["n_connections"] for record in model.history_])
    assert (counts <= initial).all()
    assert (np.diff(totals) <= 0).all()
    if model.pruning is None and model.n_features_to_select is None:
        assert np.array_equal(counts, initial)
        assert (totals == initial.sum()).all()
        assert all(record["n_grown"] == record["n_pruned"] for record in model.history_)
    if model.n_features_to_select is not None:
        wanted = model.n_features_to_select
        if wanted == "auto":
            assert 1 <= model.support_.sum() <= pairs[0][0]
            return
        n_selected = wanted if isinstance(wanted, int) else round(wanted * pairs[0][0])
        assert model.support_.sum() == n_selected


def assert_history(model, case):
    """As many records, losses and scores as epochs."""
    records = model.history_
    n_calls = 1 if case.method in ("fit", "refit") else 2
    longest = n_calls if case.method == "partial_fit" else n_calls * model.max_iter
    assert len(records) == len(model.loss_curve_) <= longest
    assert model.n_iter_ <= len(records)
    assert [record["epoch"] for record in records] == list(range(len(records)))
    assert all(np.isfinite(record["loss"]) for record in records)
    assert all(0 <= record["zeta"] < 1 for record in records)
    assert all(name in record for name in model.record for record in records)
    if "effective_gradient_flow" in model.record:
        assert all(np.isfinite(record["effective_gradient_flow"]) for record in records)
    scores = [record[name] for name in SCORES for record in records if name in record]
    # R2 of one sample is not a number, and has no lower limit.
    assert not any(score > 1 for score in scores)
    assert case.has_numbers or all(score >= 0 for score in scores)
    if model.early_stopping and records:
        scores = [r["validation_score"] for r in records if "validation_score" in r]
        assert (model.validation_scores_ or []) == scores


def assert_predictions(model, case, X, y):
    """Predictions are sound, and the same of copies and of a predictor."""
    ask = "predict" if case.has_numbers else "predict_proba"
    try:
        answers = getattr(model, ask)(X)
    except ValueError as error:
        if "overflow" not in str(error):
            raise
        return
    if case.has_numbers:
        assert answers.shape == np.shape(y)
    else:
        assert_probabilities(model, case, X, answers)
    assert np.isfinite(answers).all()
    if isinstance(X, np.ndarray) and X.dtype != object:
        dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.float64
        assert np.array_equal(getattr(model.predictor(), ask)(X.astype(dtype)), answers)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(getattr(other, ask)(X), answers)


def assert_probabilities(model, case, X, probabilities):
    """Probabilities are in [0, 1] and sum to 1; the likeliest is predicted."""
    n_samples = X.shape[0] if hasattr(X, "shape") else len(X)
    decisions, logarithms = model.decision_function(X), model.predict_log_proba(X)
    assert probabilities.shape == (n_samples, model.classes_.size) == logarithms.shape
    rounding = 100 * np.finfo(probabilities.dtype).eps
    assert np.isfinite(decisions).all()
    assert np.isfinite(logarithms).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert np.allclose(np.exp(logarithms), probabilities, 1e3 * rounding, rounding)
    predictions = model.predict(X)
    if not case.has_one_label:
        assert np.array_equal(predictions, decisions.reshape(predictions.shape) > 0)
        return
    assert np.allclose(probabilities.sum(axis=1), 1, rtol=rounding, atol=0)
    assert np.isin(predictions, model.classes_).all()
    codes = (decisions > 0).astype(int) if decisions.ndim == 1 else decisions.argmax(axis=1)
    assert np.array_equal(predictions, model.classes_[codes])
