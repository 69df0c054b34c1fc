"""Bad input gets a clear error before any work, and leaves a fitted estimator usable."""

import itertools
import math
import re

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPClassifierCV,
    SparseMLPRegressor,
)
from sksparse_mlp.activations import ACTIVATIONS, LeakyReLU
from sksparse_mlp.analysis import LayerClassifier, NodeActivity
from sksparse_mlp.core import workers
from sksparse_mlp.core.layer import required_bytes
from sksparse_mlp.core.learning_rates import LEARNING_RATES
from sksparse_mlp.core.optimizers import OPTIMIZERS
from sksparse_mlp.core.training import Training
from sksparse_mlp.estimators import _assembly
from sksparse_mlp.initializers import INITIALIZERS
from sksparse_mlp.schedules import ZETA_SCHEDULES, Constant
from sksparse_mlp.topology import GROWTHS, PRUNINGS, ImportancePruning, LiSET


@pytest.fixture
def refused(monkeypatch):
    """Check that a call raises an error with this message before training starts."""

    def check(method, *args, match=None, error=ValueError, **kwargs):
        def started(*args, **kwargs):
            raise AssertionError("training has started")

        with monkeypatch.context() as patch:
            patch.setattr(Training, "run", started)
            with pytest.raises(error, match=match):
                method(*args, **kwargs)

    return check


def test_training_is_noticed(mlp, binary, monkeypatch, refused):
    refused(mlp().fit, *binary, match="training has started", error=AssertionError)


# --- labels ---------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [None, np.nan], ids=["None", "nan"])
def test_missing_labels_are_told_by_whatever_takes_labels(mlp, binary, missing, refused):
    X, y = binary
    given = y.astype(object)
    given[7] = missing
    fitted = mlp(max_iter=1).fit(X, y)
    taking = {
        "fit": mlp().fit,
        "partial_fit": lambda X, y: mlp().partial_fit(X, y, classes=[0, 1]),
        "y_val": lambda X_val, y_val: mlp(early_stopping=True).fit(
            X, y, X_val=X_val, y_val=y_val
        ),
        "ensemble": SparseMLPClassifierCV().fit,
        "activity": NodeActivity(fitted).fit,
        "layer": LayerClassifier(fitted, layer=1).fit,
    }
    for method in taking.values():
        refused(method, X, given, match="labels are missing, first in row 7")


def test_text_as_targets_is_no_table(binary):
    X, y = binary
    text = np.where(y == 0, "a", "b").astype(object)
    for given in (X, sparse.csr_array(X)):
        with pytest.raises(ValueError, match="could not convert") as told:
            SparseMLPRegressor().fit(given, text)
        assert "pipeline" not in str(told.value)


# --- parameters -----------------------------------------------------------------------


BAD_PARAMETERS = [
    ("epsilon", 0, r"\(0.0, inf\)"),
    ("epsilon", -1.5, r"\(0.0, inf\)"),
    ("epsilon", np.nan, r"\(0.0, inf\)"),
    ("epsilon", np.inf, r"\(0.0, inf\)"),
    ("density", 0, r"None or a float in the range \(0.0, 1.0\]"),
    ("density", 1.01, r"None or a float in the range \(0.0, 1.0\]"),
    ("density", [0.5], r"None or a float in the range \(0.0, 1.0\]"),
    ("zeta", -0.1, r"\[0.0, 1.0\)"),
    ("zeta", 1, r"\[0.0, 1.0\)"),
    ("zeta", np.nan, r"\[0.0, 1.0\)"),
    ("slope", -0.5, r"\[0.0, inf\)"),
    ("slope", np.inf, r"\[0.0, inf\)"),
    ("batch_size", 0, "an int in the range"),
    ("batch_size", 2.5, "an int in the range"),
    ("evolve_every", 0, "an int in the range"),
    ("evolve_every", "batch", "'epoch'"),
    ("evolve_until", 0, r"\(0.0, 1.0\]"),
    ("evolve_until", 1.5, r"\(0.0, 1.0\]"),
    ("evolve_until", np.nan, r"\(0.0, 1.0\]"),
    ("gamma", np.nan, "float"),
    ("gamma", np.inf, "float"),
    ("gamma", -np.inf, "float"),
    ("gamma", "low", "float"),
    ("gamma", None, "float"),
    ("pruning", "x", "'importance'"),
    ("pruning", 0.1, "'importance'"),
    ("pruning", ImportancePruning, "'importance'"),
    ("n_features_to_select", 0, "an int in the range"),
    ("n_features_to_select", -1, "an int in the range"),
    ("n_features_to_select", 0.0, r"\(0.0, 1.0\]"),
    ("n_features_to_select", 1.5, r"\(0.0, 1.0\]"),
    ("n_features_to_select", "all", "an int in the range"),
    ("record", 3, "array-like"),
    ("record", None, "array-like"),
    ("batch_norm", "yes", "bool"),
    ("batch_norm", 2, "bool"),
    ("dropout", 1, r"\[0.0, 1.0\)"),
    ("dropout", -0.1, r"\[0.0, 1.0\)"),
    ("alpha", -1e-4, r"\[0.0, inf\)"),
    ("learning_rate_init", 0, r"\(0.0, inf\)"),
    ("max_iter", -1, "an int in the range"),
    ("momentum", 1.1, r"\[0.0, 1.0\]"),
    ("beta_1", 1.0, r"\[0.0, 1.0\)"),
    ("beta_2", 1.0, r"\[0.0, 1.0\)"),
    ("adam_epsilon", 0, r"\(0.0, inf\)"),
    ("validation_fraction", 0, r"\(0.0, 1.0\)"),
    ("validation_fraction", 1, r"\(0.0, 1.0\)"),
    ("n_iter_no_change", 0, "an int in the range"),
    ("tol", -1, r"\[0.0, inf\)"),
    ("random_state", "seed", "an int in the range"),
    ("class_weight", "even", "'balanced'"),
    ("class_weight", [1, 2], "dict"),
    ("n_jobs", 1.5, "None"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), BAD_PARAMETERS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_parameter_is_named_with_what_is_allowed(
    mlp, binary, refused, method, name, value, allowed
):
    model = mlp(**{name: value})
    refused(getattr(model, method), *binary, match=f"'{name}' parameter.*{allowed}")


HIDDEN_LAYER_SIZES = [
    0, -3, 2.5, "16", None, (16, 0), (-1,), (16.0,), ("16",), [[16, 8]], [[16], [8, 4]],
    np.array([2.0, 3.0]), (None,), (16, np.nan), {16: 8},
]  # fmt: skip


@pytest.mark.parametrize("sizes", HIDDEN_LAYER_SIZES, ids=str)
def test_bad_hidden_layer_sizes_are_refused(mlp, binary, refused, sizes):
    refused(mlp(hidden_layer_sizes=sizes).fit, *binary, match="hidden_layer_sizes")


FAMILIES = {
    "activation": ACTIVATIONS,
    "zeta_schedule": ZETA_SCHEDULES,
    "growth": GROWTHS,
    "pruning": PRUNINGS,
    "init": INITIALIZERS,
    "solver": OPTIMIZERS,
    "learning_rate": LEARNING_RATES,
}


@pytest.mark.parametrize("parameter", FAMILIES)
def test_unknown_name_lists_the_known_ones(mlp, binary, refused, parameter):
    known = "".join(f"(?=.*'{re.escape(name)}')" for name in FAMILIES[parameter])
    model = mlp(**{parameter: "unheard_of"})
    refused(model.fit, *binary, match=rf"'{parameter}' parameter{known}.*'unheard_of'")


@pytest.mark.parametrize("parameter", ["activation", "growth", "init"])
@pytest.mark.parametrize("member", [object(), 3, None, Constant])
def test_what_is_no_member_of_a_family_is_refused(mlp, binary, refused, parameter, member):
    refused(mlp(**{parameter: member}).fit, *binary, match=f"'{parameter}' parameter")


def test_parameters_of_instances_are_validated(mlp, binary, refused):
    model = mlp(activation=LeakyReLU(slope=-1))
    refused(model.fit, *binary, match="'slope' parameter of LeakyReLU")
    model = mlp(zeta_schedule=Constant(zeta=1.0))
    refused(model.fit, *binary, match="'zeta' parameter of Constant")
    model = mlp(growth=LiSET(gamma=np.inf))
    refused(model.fit, *binary, match="'gamma' parameter of LiSET")
    model = mlp(pruning=ImportancePruning(share=1.0))
    refused(model.fit, *binary, match="'share' parameter of ImportancePruning")


@pytest.mark.parametrize("bad", [1.0, -0.1, np.nan, np.inf])
@pytest.mark.parametrize("epoch", [0, 3])
def test_schedule_that_leaves_the_range_is_refused(mlp, binary, refused, epoch, bad):
    model = mlp(zeta_schedule=lambda e, n: bad if e == epoch else 0.3, max_iter=4)
    match = rf"zeta_schedule.*at epoch {epoch} of 4; zeta must be in \[0, 1\)"
    refused(model.fit, *binary, match=match)


@pytest.mark.parametrize("record", [("nonsense",), ["train_score", "loss_"], "train_score"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_what_cannot_be_recorded_is_refused(mlp, binary, refused, record, method):
    fit = getattr(mlp(record=record), method)
    match = r"record.*(allowed are \['train_score', 'effective_gradient_flow'\]|array-like)"
    refused(fit, *binary, match=match, **classes(method))


@pytest.mark.parametrize("wanted", [13, 1000, 0.01])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_impossible_number_of_features_is_refused(mlp, binary, refused, wanted, method):
    fit = getattr(mlp(n_features_to_select=wanted), method)
    match = f"n_features_to_select={wanted}.*12"
    refused(fit, *binary, match=match, **classes(method))


def test_no_threads_are_refused(mlp, binary, refused):
    refused(mlp(n_jobs=0).fit, *binary, match="n_jobs")


def test_more_threads_than_cores_warn(mlp, binary, monkeypatch, same_network):
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda pid: {0}, raising=False)
    with pytest.warns(UserWarning, match="n_jobs=64 asks for 64 threads.* using 1"):
        model = mlp(n_jobs=64).fit(*binary)
    assert same_network(model, mlp(n_jobs=1).fit(*binary))


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_class_weights_must_be_finite_and_not_negative(mlp, multiclass, refused, weight):
    refused(mlp(class_weight={1: weight}).fit, *multiclass, match="class_weight")


@pytest.mark.parametrize("batch_size", [32, 1000])
def test_class_weights_must_not_all_be_zero(mlp, multiclass, refused, batch_size):
    model = mlp(class_weight={0: 0, 1: 0, 2: 0}, batch_size=batch_size)
    refused(model.fit, *multiclass, match="class_weight")


def test_class_weight_of_an_unknown_class_is_refused(mlp, multiclass, refused):
    refused(mlp(class_weight={7: 2.0}).fit, *multiclass, match="class_weight")


# --- full layers ----------------------------------------------------------------------


@pytest.mark.parametrize("evolve_every", ["epoch", 2])
def test_full_network_warns_once_and_keeps_its_pattern(
    mlp, multiclass, same_network, evolve_every
):
    model = mlp(epsilon=100, evolve_every=evolve_every, max_iter=6)
    with pytest.warns(UserWarning, match="every layer is full.*zeta=0") as caught:
        model.fit(*multiclass)
    assert len(caught) == 1
    assert not any(record["n_pruned"] or record["n_grown"] for record in model.history_)
    assert same_network(model, mlp(epsilon=100, zeta=0, max_iter=6).fit(*multiclass))
    # Once in a process: a search fits many.
    model.fit(*multiclass)


@pytest.mark.parametrize(
    "params",
    [{"zeta": 0}, {"max_iter": 1}, {"zeta_schedule": lambda epoch, n: 0.0}],
    ids=["no zeta", "one epoch", "schedule of zero"],
)
def test_full_network_that_shall_not_evolve_does_not_warn(mlp, multiclass, params):
    mlp(epsilon=100, **params).fit(*multiclass)


def test_one_layer_with_room_is_enough(mlp, multiclass):
    model = mlp(epsilon=9).fit(*multiclass)
    assert (model.sparsity_ > 0).tolist() == [False, True, False]
    assert model.history_[0]["n_grown"] > 0


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, ["Layers [3] are full and keep their pattern."]),
        ({"epsilon": 9}, ["Layers [1, 3] are full and keep their pattern."]),
        ({"epsilon": 1}, []),
        ({"zeta": 0}, []),
        ({"verbose": False}, []),
    ],
)
def test_verbose_says_once_which_layers_are_full(mlp, multiclass, capsys, params, expected):
    mlp(**{"verbose": True} | params).fit(*multiclass)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "full" in line] == expected


# --- data -----------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_non_finite_features_are_refused(mlp, binary, refused, container, bad, method):
    X, y = binary
    X = X.copy()
    X[7, 3] = bad
    name = "NaN" if np.isnan(bad) else "infinity"
    refused(getattr(mlp(), method), container(X), y, match=name, **classes(method))


def classes(method):
    return {"classes": [0, 1]} if method == "partial_fit" else {}


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((150,), "Expected 2D array, got 1D array"),
        ((15, 10, 12), "Found array with dim 3"),
        ((149, 12), "inconsistent numbers of samples"),
        ((0, 12), "0 sample"),
        ((150, 0), r"0 feature\(s\)"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_wrong_shapes_are_refused(mlp, binary, refused, shape, match, method):
    X, y = np.zeros(shape), binary[1]
    y = y[: shape[0]] if shape[0] == 0 else y
    refused(getattr(mlp(), method), X, y, match=match, **classes(method))


def test_complex_features_are_refused(mlp, binary, refused):
    X, y = binary
    refused(mlp().fit, X + 1j, y, match="Complex data not supported")


UNSUITABLE_LABELS = {
    "one_class": (np.zeros(150, int), "at least 2 classes.* one class, 0"),
    "one_text_class": (np.full(150, "a"), "at least 2 classes.* one class, 'a'"),
    "continuous": (np.linspace(0, 1, 150), "Unknown label type: continuous"),
    "nan": (np.where(np.arange(150) < 9, np.nan, 1.0), "Input y contains NaN"),
    "infinite": (np.where(np.arange(150) < 9, np.inf, 1.0), "Input y contains infinity"),
    "several_columns": (np.arange(300).reshape(150, 2) % 3, "1d array"),
    "none": (None, "requires y to be passed"),
}


@pytest.mark.parametrize("kind", UNSUITABLE_LABELS)
def test_unsuitable_labels_are_refused(mlp, binary, refused, kind):
    y, match = UNSUITABLE_LABELS[kind]
    refused(mlp().fit, binary[0], y, match=match)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (-np.ones(150), "Negative values.*sample_weight"),
        (np.where(np.arange(150) == 3, -1e-9, 1), "Negative values.*sample_weight"),
        (np.zeros(150), "(?i)sample.weight.* non-zero"),
        (np.full(150, np.nan), "sample_weight contains NaN"),
        (np.full(150, np.inf), "sample_weight contains infinity"),
        (np.ones(149), r"sample_weight.shape == \(149,\), expected \(150,\)"),
        (np.ones((150, 1)), "(?i)sample.weight.* 1D"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_sample_weights_are_refused(mlp, binary, refused, method, weights, match):
    fit = getattr(mlp(), method)
    refused(fit, *binary, sample_weight=weights, match=match, **classes(method))


def test_weights_that_leave_one_class_are_refused(mlp, binary, refused):
    X, y = binary
    refused(mlp().fit, X, y, sample_weight=(y == 1) * 1.0, match="at least 2 classes")


@pytest.mark.parametrize("fraction", [0.001, 0.012, 0.99])
def test_validation_part_too_small_for_every_class_is_refused(
    mlp, multiclass, refused, fraction
):
    model = mlp(early_stopping=True, validation_fraction=fraction)
    refused(model.fit, *multiclass, match="every class.*validation_fraction")


@pytest.mark.parametrize("n_rare", [1, 2])
def test_class_too_rare_for_validation_is_refused(mlp, binary, refused, n_rare):
    X, _ = binary
    y = np.r_[np.zeros(100, int), np.ones(50 - n_rare, int), np.full(n_rare, 2)]
    model = mlp(early_stopping=True, validation_fraction=0.05)
    refused(model.fit, X, y, match=f"every class.* rarest has {n_rare}")


def test_two_samples_of_a_class_are_enough_for_validation(mlp, binary):
    X, _ = binary
    y = np.r_[np.zeros(100, int), np.ones(48, int), [2, 2]]
    model = mlp(early_stopping=True, validation_fraction=0.4).fit(X, y)
    assert len(model.validation_scores_) == model.n_iter_ > 0


# --- continuing -----------------------------------------------------------------------


def test_partial_fit_needs_classes_first(mlp, multiclass, refused):
    refused(
        mlp().partial_fit, *multiclass, match="classes must be passed on the first call"
    )


def test_partial_fit_needs_two_classes(mlp, multiclass, refused):
    X, y = multiclass
    refused(mlp().partial_fit, X, 0 * y, classes=[0], match="classes .* at least 2 labels")


@pytest.mark.parametrize("first", [True, False])
def test_partial_fit_refuses_labels_outside_classes(mlp, multiclass, refused, first):
    X, y = multiclass
    model = mlp()
    if not first:
        model.partial_fit(X[y < 2], y[y < 2], classes=[0, 1])
    match = r"labels \[2\].*not among the classes \[0, 1\]"
    refused(model.partial_fit, X, y, match=match, **({"classes": [0, 1]} if first else {}))


@pytest.mark.parametrize("other", [[0, 1], [0, 1, 2, 3], [0, 1, 5], ["0", "1", "2"]])
def test_partial_fit_refuses_other_classes(mlp, multiclass, refused, other):
    X, y = multiclass
    model = mlp().partial_fit(X, y, classes=[0, 1, 2])
    refused(model.partial_fit, X, y, classes=other, match="classes=.*differ from")


def test_partial_fit_refuses_balanced_class_weight(mlp, multiclass, refused):
    model = mlp(class_weight="balanced")
    match = "class_weight='balanced'.*not available in partial_fit"
    refused(model.partial_fit, *multiclass, classes=[0, 1, 2], match=match)


def test_partial_fit_refuses_another_number_of_features(mlp, multiclass, refused):
    X, y = multiclass
    model = mlp().partial_fit(X, y, classes=[0, 1, 2])
    refused(model.partial_fit, X[:, :5], y, match="X has 5 features.*expecting 12")


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_continuing_with_other_sizes_is_refused(mlp, multiclass, refused, method):
    model = mlp(warm_start=True).fit(*multiclass).set_params(hidden_layer_sizes=(24, 15))
    match = r"\[12, 24, 16, 3\].*hidden_layer_sizes=\(24, 15\)"
    refused(getattr(model, method), *multiclass, match=match)


def test_warm_start_with_other_classes_is_refused(mlp, multiclass, refused):
    X, y = multiclass
    model = mlp(warm_start=True).fit(X, y)
    refused(model.fit, X, y + 1, match=r"warm_start.*\[0, 1, 2\]; got \[1, 2, 3\]")
    refused(model.fit, X, np.minimum(y, 1), match="warm_start.*classes")


def test_warm_start_with_other_features_is_refused(mlp, multiclass, refused):
    X, y = multiclass
    model = mlp(warm_start=True).fit(X, y)
    refused(model.fit, X[:, :5], y, match="X has 5 features.*expecting 12")


# --- prediction -----------------------------------------------------------------------


PREDICTIONS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


@pytest.mark.parametrize("method", PREDICTIONS)
def test_prediction_before_fit_is_refused(mlp, binary, method):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(mlp(), method)(binary[0])


@pytest.mark.parametrize("method", PREDICTIONS)
def test_prediction_of_unsuitable_data_is_refused(mlp, binary, method):
    X, y = binary
    predict = getattr(mlp().fit(X, y), method)
    for bad, match in [
        (X[:, :5], "X has 5 features.*expecting 12"),
        (X[0], "Expected 2D array"),
        (X * np.nan, "NaN"),
        (X[:0], "0 sample"),
    ]:
        with pytest.raises(ValueError, match=match):
            predict(bad)


# --- a failed fit ---------------------------------------------------------------------


FAILURES = {
    "nan": (lambda X, y: (X[:, :5] * np.nan, y), {}),
    "lengths": (lambda X, y: (X[:, :5], y[:-1]), {}),
    "one_class": (lambda X, y: (X[:, :5], 0 * y), {}),
    "continuous_labels": (lambda X, y: (X[:, :5], X[:, 0]), {}),
    "weights": (lambda X, y: (X[:, :5], y, -np.ones(y.size)), {}),
    "parameter": (lambda X, y: (X[:, :5], y % 2), {"epsilon": 0}),
    "hidden_layer_sizes": (lambda X, y: (X[:, :5], y % 2), {"hidden_layer_sizes": (0,)}),
    "schedule": (lambda X, y: (X[:, :5], y % 2), {"zeta_schedule": lambda e, n: 1.0}),
    "n_features": (lambda X, y: (X[:, :5], y % 2), {"n_features_to_select": 6}),
    "record": (lambda X, y: (X[:, :5], y % 2), {"record": ("seconds",)}),
    "class_weight": (lambda X, y: (X[:, :5], y % 2), {"class_weight": {9: 1}}),
    "n_jobs": (lambda X, y: (X[:, :5], y % 2), {"n_jobs": 0}),
    "validation": (
        lambda X, y: (X[:, :5], y % 2),
        {"early_stopping": True, "validation_fraction": 0.001},
    ),
}


@pytest.mark.parametrize("reason", FAILURES)
def test_failed_fit_leaves_a_fitted_estimator_usable(mlp, multiclass, refused, reason):
    X, y = multiclass
    data, params = FAILURES[reason]
    model = mlp().fit(X, y)
    proba, before = model.predict_proba(X), model.get_params()
    refused(model.set_params(**params).fit, *data(X, y))
    model.set_params(**before)
    assert np.array_equal(model.predict_proba(X), proba)
    assert set(model.predict(X)) <= {0, 1, 2}
    assert model.n_iter_ == len(model.history_) == len(model.loss_curve_) == 4


@pytest.mark.parametrize("reason", FAILURES)
def test_estimator_can_be_fitted_after_a_failed_fit(
    mlp, multiclass, refused, same_network, reason
):
    data, params = FAILURES[reason]
    model = mlp(**params)
    refused(model.fit, *data(*multiclass))
    model.set_params(**mlp().get_params())
    assert same_network(model.fit(*multiclass), clone(model).fit(*multiclass))


def test_failed_partial_fit_leaves_a_fitted_estimator_usable(
    mlp, multiclass, refused, same_network
):
    X, y = multiclass
    model = mlp().partial_fit(X, y, classes=[0, 1, 2])
    twin = clone(model).partial_fit(X, y, classes=[0, 1, 2])
    for bad in [(X[:, :5], y), (X * np.nan, y), (X, y + 1), (X, y, -np.ones(y.size))]:
        refused(model.partial_fit, *bad)
    assert same_network(model.partial_fit(X, y), twin.partial_fit(X, y))


def test_failed_first_partial_fit_does_not_bind(mlp, multiclass, refused):
    X, y = multiclass
    model = mlp()
    refused(model.partial_fit, X[:, :5], y, classes=[0, 1], match="not among the classes")
    model.partial_fit(X, y, classes=[0, 1, 2])
    assert model.n_features_in_ == 12


def test_labels_of_several_kinds_are_refused(mlp, binary, refused):
    X, y = binary
    labels = np.array([1 if label == 0 else "a" for label in y], dtype=object)
    refused(mlp().fit, X, labels, match="int and str")


def test_batch_norm_needs_more_than_one_sample(mlp, binary, refused):
    refused(mlp(batch_norm=True, batch_size=1).fit, *binary, match="at least 2 samples")


def refusal(X, y, **parameters):
    with pytest.raises(ValueError, match="Choose smaller layers") as caught:
        SparseMLPClassifier(**parameters).fit(X, y)
    return str(caught.value)


def test_networks_beyond_the_memory_are_refused_with_the_bytes_they_need(multiclass):
    X, y = multiclass
    sizes = (10**7, 10**7)
    message = refusal(X.astype(np.float32), y, hidden_layer_sizes=sizes, epsilon=1000)
    n_inputs = X.shape[1]
    n = [n_inputs * 10**7, 2 * 10**10, 3 * 10**7]
    layers = [(n_inputs, 10**7), (10**7, 10**7), (10**7, 3)]
    needed = sum(required_bytes(*pair, 1000, np.float32, 2) for pair in layers)
    assert f"makes {sum(n):,} connections" in message
    assert f"need {needed:,} bytes" in message
    # Adam's two slots, the weight, and 64-bit places for column, row and position.
    assert needed > n[1] * (3 * 4 + 3 * 8)


def test_memory_is_counted_per_batch_and_per_slot(multiclass, monkeypatch):
    X, y = multiclass
    parameters = {"hidden_layer_sizes": (30, 20), "max_iter": 2, "epsilon": 2}
    sizes = [X.shape[1], 30, 20, 3]
    needed = (
        sum(required_bytes(*pair, 2, np.float64, 1) for pair in itertools.pairwise(sizes))
        + 3 * 10 * sum(sizes) * 8
    )
    monkeypatch.setattr(_assembly, "physical_memory", lambda: needed)
    SparseMLPClassifier(**parameters, solver="sgd", batch_size=10).fit(X, y)
    for change in ({"batch_size": 11}, {"solver": "adam"}, {"epsilon": 2.1}):
        refusal(X, y, **parameters | {"solver": "sgd", "batch_size": 10} | change)
    monkeypatch.setattr(_assembly, "physical_memory", lambda: math.inf)
    SparseMLPClassifier(**parameters, batch_size=11).fit(X, y)


def test_physical_memory_is_unknown_where_the_system_does_not_tell(monkeypatch):
    assert 2**28 < _assembly.physical_memory() < 2**50
    monkeypatch.delattr(_assembly.os, "sysconf")
    assert _assembly.physical_memory() == math.inf


def test_layers_whose_positions_cannot_be_told_apart_are_refused(multiclass, monkeypatch):
    monkeypatch.setattr(_assembly, "physical_memory", lambda: math.inf)
    message = refusal(*multiclass, hidden_layer_sizes=(2**27, 2**27), epsilon=1e-6)
    assert f"from {2**27} to {2**27} neurons" in message


def test_samples_without_any_weight_are_refused(multiclass):
    X, y = multiclass
    model = SparseMLPClassifier(class_weight={0: 0.0, 1: 1.0, 2: 1.0})
    with pytest.raises(ValueError, match="No sample has any weight"):
        model.partial_fit(X[y == 0], y[y == 0], classes=[0, 1, 2])
