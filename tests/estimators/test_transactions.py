"""Whatever ends a fit, the estimator is as it was before, to the last bit, or fitted."""

import copy
import inspect
import sys
import threading
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from recording import Recorder
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.validation import check_is_fitted

import sksparse_mlp
from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor
from sksparse_mlp.callbacks import Checkpoint

ROOT = str(Path(sksparse_mlp.__file__).parent)
ERRORS = [RuntimeError, MemoryError, TimeoutError, SystemExit, OSError, UserWarning]
TINY = {"hidden_layer_sizes": (9, 6), "epsilon": 2, "batch_size": 16, "max_iter": 3}
# Parameters and targets, between them all that keeps a state of its own.
KINDS = [
    ({"solver": "sgd"}, "labels"),
    ({"solver": "adam", "growth": "liset"}, "labels"),
    ({"solver": "adam", "activation": "prelu", "batch_norm": True}, "two labels"),
    ({"growth": "gradient", "early_stopping": True, "validation_fraction": 0.4}, "labels"),
    ({"pruning": "importance", "evolve_every": 2}, "indicators"),
    ({"solver": "sgd", "activation": "srelu"}, "number"),
    ({"n_features_to_select": 4, "learning_rate": "adaptive"}, "numbers"),
]


def data(targets, seed, n_features=8):
    """X and y of 48 samples, and the class for them."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((48, n_features))
    y = {
        "labels": np.arange(48) % 3,
        "two labels": np.arange(48) % 2,
        "indicators": (rng.random((48, 3)) < 0.5).astype(int),
        "number": X[:, 0],
        "numbers": X[:, :2],
    }[targets]
    is_regression = targets.startswith("number")
    return SparseMLPRegressor if is_regression else SparseMLPClassifier, X, y


class Injector:
    """Raises an error at the n-th call of a function of the package."""

    def __init__(self, number, error=RuntimeError):
        self.number, self.error, self.n_calls = number, error, 0

    def __call__(self, frame, event, arg):
        code = frame.f_code
        # What is raised where a generator is closed comes to nobody.
        is_function = not code.co_flags & inspect.CO_GENERATOR
        if event == "call" and is_function and code.co_filename.startswith(ROOT):
            self.n_calls += 1
            if self.n_calls == self.number:
                raise self.error("injected")

    def __enter__(self):
        sys.setprofile(self)
        return self

    def __exit__(self, *exc_info):
        sys.setprofile(None)


def bits(model):
    """A digest of all that belongs to an estimator."""
    return joblib.hash(model.__getstate__())


def trained(model):
    """What two estimators of the same training have in common; no times."""
    parts = [(c.indptr, c.indices, c.data) for c in model.coefs_]
    return joblib.hash([parts, model.intercepts_, model.loss_curve_])


def steps(params, targets, seed):
    """The estimator before, the call that is to fail, and one to go on with."""
    cls, X, y = data(targets, seed)
    model = cls(**TINY | params, random_state=np.random.RandomState(seed))
    method = ["fit", "partial_fit", "warm fit"][seed % 3]
    other = data(targets, seed + 1, n_features=11 if method == "fit" else 8)
    if method == "partial_fit":
        options = {"classes": np.unique(y)} if targets.endswith("labels") else {}
        model.partial_fit(X, y, **options)
        return model, ("partial_fit", *other[1:]), ("partial_fit", X, y)
    model.set_params(warm_start=method == "warm fit").fit(X, y)
    return model, ("fit", *other[1:]), ("partial_fit" if seed % 2 else "fit", X, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("params", "targets"), KINDS)
def test_an_error_anywhere_in_training_leaves_everything_as_it_was(params, targets):
    """43 errors per kind: 301 in all."""
    for seed in range(43):
        model, (method, X, y), (then, *again) = steps(params, targets, seed)
        with Injector(0) as counter:
            getattr(copy.deepcopy(model), method)(X, y)
        rng = np.random.default_rng(seed)
        before, twin = bits(model), copy.deepcopy(model)
        number, error = rng.integers(1, counter.n_calls + 1), ERRORS[seed % len(ERRORS)]
        with pytest.raises(error), Injector(number, error):
            getattr(model, method)(X, y)
        assert bits(model) == before, (seed, number)
        for each in (model, twin):
            getattr(each, then)(*again)
        assert trained(model) == trained(twin), (seed, number)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_first_call_that_fails_leaves_nothing(mlp, multiclass, method):
    model = mlp()
    before = bits(model)
    options = {"classes": [0, 1, 2]} if method == "partial_fit" else {}
    # The first fit of a process calls more.
    for each in (mlp(), mlp()):
        with Injector(0) as counter:
            getattr(each, method)(*multiclass, **options)
    for number in range(1, counter.n_calls, 7):
        with pytest.raises(RuntimeError), Injector(number):
            getattr(model, method)(*multiclass, **options)
        assert bits(model) == before
    for use in (model.predict, lambda X: check_is_fitted(model)):
        with pytest.raises(NotFittedError):
            use(multiclass[0])
    # Other classes than those of the call that failed.
    model.partial_fit(multiclass[0], multiclass[1] + 5, classes=[5, 6, 7])


@pytest.mark.parametrize("what", ["full layers", "divergence", "few connections"])
def test_warnings_as_errors_leave_everything_as_it_was(mlp, multiclass, what):
    X, y = multiclass
    params = {
        "full layers": {"epsilon": 1000},
        "divergence": {"learning_rate_init": 1e200, "solver": "sgd"},
        "few connections": {"epsilon": 1e-3},
    }[what]
    model = mlp().fit(X, y)
    model.set_params(**params)
    before = bits(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((UserWarning, ConvergenceWarning)):
            model.fit(np.hstack([X, X]), y)
    assert bits(model) == before


class Predicting(Recorder):
    """Callback that predicts with the estimator it is called with."""

    def __init__(self, X):
        super().__init__()
        self.X, self.seen = X, []

    def on_fit_task_end(self, estimator, context):
        self.seen.append(estimator.predict_proba(self.X))


def test_callbacks_see_what_was_published_last(mlp, multiclass):
    X, y = multiclass
    model = mlp().fit(X, y)
    published, watch = model.predict_proba(X), Predicting(X)
    model.set_params(random_state=1).set_callbacks(watch).fit(X, y[::-1])
    assert len(watch.seen) == model.n_iter_ + 1
    assert all(np.array_equal(seen, published) for seen in watch.seen)
    assert not np.array_equal(model.predict_proba(X), published)


def test_threads_see_one_network_or_the_other(mlp, multiclass):
    X, y = multiclass
    wide = np.hstack([X, X])
    model, stop, faults = mlp(max_iter=2).fit(X, y), threading.Event(), []

    def predict():
        while not stop.is_set():
            for given in (X, wide):
                try:
                    model.predict(given)
                except ValueError as error:
                    # The other network was published.
                    if "features" not in str(error):
                        faults.append(error)
                except BaseException as error:
                    faults.append(error)

    thread = threading.Thread(target=predict)
    thread.start()
    try:
        for _ in range(15):
            model.fit(wide, y + 7)
            model.fit(X, y)
    finally:
        stop.set()
        thread.join()
    assert not faults


def test_copies_within_a_fit_hold_nothing_of_it(mlp, multiclass):
    copies = []

    class Copying(Recorder):
        def on_fit_task_end(self, estimator, context):
            copies.append(copy.copy(estimator))

    model = mlp(max_iter=1)
    model.set_callbacks(Copying()).fit(*multiclass)
    assert copies
    assert not any({"_run", "_trainee"} & vars(each).keys() for each in (*copies, model))


class FullDisk(Checkpoint):
    """A checkpoint that can be written once."""

    def _write(self, *args):
        if self.every:
            super()._write(*args)
            self.every = 0
        raise OSError(28, "No space left on device")


def test_a_full_disk_leaves_everything_as_it_was(mlp, multiclass, tmp_path):
    model = mlp().fit(*multiclass)
    model.set_callbacks(FullDisk(tmp_path / "run.npz"))
    before = bits(model.set_params(epsilon=2))
    with pytest.raises(OSError, match="No space left"):
        model.fit(*multiclass)
    model._skl_callbacks[0].every = 1
    assert bits(model) == before
