"""What activations and batch normalisation learn, as a user of the estimator sees it."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
from scipy import special
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from sksparse_mlp.activations import (
    ACTIVATIONS,
    CReLU,
    GAReLU,
    LeakyReLU,
    PReLU,
    SReLU,
)

LEARNABLE = [name for name, cls in ACTIVATIONS.items() if cls.learnable]
by_learnable = pytest.mark.parametrize("activation", LEARNABLE)
by_norm = pytest.mark.parametrize("batch_norm", [False, True])
by_solver = pytest.mark.parametrize("solver", ["sgd", "adam"])


def hidden_arrays(model):
    """All that hidden layers hold, in order."""
    for parameters, norm in zip(
        model.activation_parameters_, model.batch_norms_, strict=True
    ):
        yield parameters
        yield from (norm or {}).values()


def assert_same_hidden(one, other):
    for values, twin in zip(hidden_arrays(one), hidden_arrays(other), strict=True):
        np.testing.assert_array_equal(values, twin, strict=True)


def assert_same(one, other, same_network):
    assert same_network(one, other)
    assert_same_hidden(one, other)


def initial_parameters(model):
    """Activation parameters before training, for hidden layers of 24 and 16 neurons."""
    activations = model._activations(2)
    sizes = enumerate((24, 16))
    return [activations[n].initial_parameters(n + 1, size, float) for n, size in sizes]


# --- learning and reporting -----------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@by_norm
@by_solver
@by_learnable
def test_parameters_are_learned(mlp, multiclass, activation, solver, batch_norm, dtype):
    X, y = multiclass
    model = mlp(activation=activation, solver=solver, batch_norm=batch_norm)
    model.fit(X.astype(dtype), y)
    for before, after in zip(
        initial_parameters(model), model.activation_parameters_, strict=True
    ):
        assert after.shape == before.shape
        assert after.dtype == dtype
        assert np.all(np.any(after != before, axis=1))
    for norm in model.batch_norms_:
        assert (norm is not None) == batch_norm
        if batch_norm:
            assert all(values.dtype == dtype for values in norm.values())
            assert np.all(norm["gain"] != 1)
            assert np.all(norm["shift"] != 0)
            assert np.all(norm["mean"] != 0)


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - set(LEARNABLE)))
def test_other_parameters_stay(mlp, multiclass, activation):
    model = mlp(activation=activation, init="he_normal").fit(*multiclass)
    for before, after in zip(
        initial_parameters(model), model.activation_parameters_, strict=True
    ):
        np.testing.assert_array_equal(before, after)


def test_slopes_are_reported_with_their_sign(mlp, multiclass):
    model = mlp(activation="garelu", slope=0.4, hidden_layer_sizes=(24, 16, 8))
    model.fit(*multiclass)
    assert np.sign(model.slopes_).tolist() == [-1, 1, -1]
    assert [type(slope) for slope in model.slopes_] == [float] * 3
    assert model.slopes_ == [p[0, 0] for p in model.activation_parameters_]


@pytest.mark.parametrize(("activation", "row"), [("prelu", 0), ("srelu", 1)])
def test_slopes_of_neurons_are_reported_one_by_one(mlp, multiclass, activation, row):
    model = mlp(activation=activation).fit(*multiclass)
    assert [slope.shape for slope in model.slopes_] == [(24,), (16,)]
    for slope, parameters in zip(model.slopes_, model.activation_parameters_, strict=True):
        np.testing.assert_array_equal(slope, parameters[row])


@by_learnable
def test_history_keeps_the_slopes_of_every_epoch(mlp, multiclass, activation):
    X, y = multiclass
    whole = mlp(activation=activation, max_iter=3, zeta=0).fit(X, y)
    for n_epochs in (1, 2, 3):
        part = mlp(activation=activation, max_iter=n_epochs, zeta=0).fit(X, y)
        recorded = whole.history_[n_epochs - 1]["slopes"]
        for slope, expected in zip(recorded, part.slopes_, strict=True):
            np.testing.assert_array_equal(slope, expected)


@by_learnable
def test_earlier_records_do_not_change(mlp, multiclass, activation):
    model = mlp(activation=activation, warm_start=True).fit(*multiclass)
    before = deepcopy([record["slopes"] for record in model.history_])
    model.fit(*multiclass)
    model.partial_fit(*multiclass)
    for record, slopes in zip(model.history_[:4], before, strict=True):
        for slope, expected in zip(record["slopes"], slopes, strict=True):
            np.testing.assert_array_equal(slope, expected)
    values = [np.ravel(record["slopes"][0])[0] for record in model.history_]
    assert len(set(values)) == 9


def test_slope_follows_the_gradient_of_the_loss(mlp, multiclass):
    """One step of descent along the numerical derivative of the mean loss."""
    X, y = multiclass
    still = mlp(
        activation="garelu", solver="sgd", momentum=0.0, alpha=0.0, batch_size=len(X),
        learning_rate_init=1e-12, max_iter=1, zeta=0,
    ).fit(X, y)  # fmt: skip
    trained = clone(still).set_params(learning_rate_init=0.1).fit(X, y)

    def loss(shift):
        still.activation_parameters_[0][:] += shift
        value = -np.mean(still.predict_log_proba(X)[np.arange(len(y)), y])
        still.activation_parameters_[0][:] -= shift
        return value

    derivative = (loss(1e-5) - loss(-1e-5)) / 2e-5
    step = trained.slopes_[0] - still.slopes_[0]
    assert step == pytest.approx(-0.1 * derivative, rel=1e-5)


@pytest.mark.parametrize("update", ["batch", "epoch"])
def test_both_updates_of_garelu_learn(mlp, multiclass, update):
    model = mlp(activation=GAReLU(slope=0.4, update=update)).fit(*multiclass)
    slopes = [record["slopes"][0] for record in model.history_]
    assert -0.4 not in slopes
    assert len(set(slopes)) == 4
    other = GAReLU(slope=0.4, update={"batch": "epoch", "epoch": "batch"}[update])
    assert mlp(activation=other).fit(*multiclass).slopes_ != model.slopes_


@pytest.mark.parametrize("cls", [GAReLU, PReLU, SReLU])
def test_learning_rate_factor_of_zero_freezes_the_parameters(mlp, multiclass, cls):
    model = mlp(activation=cls(learning_rate_factor=0.0)).fit(*multiclass)
    for before, after in zip(
        initial_parameters(model), model.activation_parameters_, strict=True
    ):
        np.testing.assert_array_equal(before, after)


def test_frozen_garelu_is_all_relu(mlp, multiclass, same_network):
    frozen = mlp(activation=GAReLU(slope=0.3, learning_rate_factor=0.0)).fit(*multiclass)
    all_relu = mlp(activation="all_relu", slope=0.3).fit(*multiclass)
    assert same_network(frozen, all_relu)


@by_norm
@by_learnable
def test_penalty_does_not_decay_them(mlp, activation, batch_norm):
    """All pre-activations are zero and classes even: the data have no gradient."""
    X, y = np.zeros((32, 12)), np.arange(32) % 2
    model = mlp(
        activation=activation, batch_norm=batch_norm, alpha=320.0, solver="sgd",
        momentum=0.0, max_iter=30,
    )  # fmt: skip
    untrained = clone(model).set_params(learning_rate_init=1e-300, zeta=0, max_iter=1)
    first = untrained.fit(X, y).coefs_[-1].data
    model.fit(X, y)
    assert np.abs(model.coefs_[-1].data).max() < 0.1 * np.abs(first).max()
    for before, after in zip(
        initial_parameters(model), model.activation_parameters_, strict=True
    ):
        np.testing.assert_allclose(before, after, rtol=1e-12, atol=1e-12)
    for norm in model.batch_norms_ if batch_norm else ():
        np.testing.assert_allclose(norm["gain"], 1, rtol=1e-12)


# --- topology, copies, continuing -----------------------------------------------------


@by_learnable
def test_evolution_leaves_them_alone(mlp, multiclass, activation):
    X, y = multiclass
    model = mlp(activation=activation, batch_norm=True, warm_start=True).fit(X, y)
    before = deepcopy(model)
    # Weights and parameters stay, connections are replaced.
    model.set_params(max_iter=2, learning_rate_init=1e-300, zeta=0.5).fit(X, y)
    assert np.any(model.coefs_[0].indices != before.coefs_[0].indices)
    for depth in (0, 1):
        np.testing.assert_array_equal(
            model.activation_parameters_[depth], before.activation_parameters_[depth]
        )
        for name in ("gain", "shift"):
            one, other = (m.batch_norms_[depth][name] for m in (model, before))
            np.testing.assert_array_equal(one, other)


@by_norm
@by_learnable
def test_pickle_keeps_them(mlp, multiclass, activation, batch_norm, same_network):
    X, y = multiclass
    model = mlp(activation=activation, batch_norm=batch_norm).fit(X, y)
    restored = pickle.loads(pickle.dumps(model))
    assert_same(model, restored, same_network)
    np.testing.assert_array_equal(model.predict_proba(X), restored.predict_proba(X))


@by_learnable
def test_clone_learns_its_own(mlp, multiclass, activation):
    X, y = multiclass
    member = ACTIVATIONS[activation]()
    model = mlp(activation=member, batch_norm=True).fit(X, y)
    before = [values.copy() for values in hidden_arrays(model)]
    twin = clone(model)
    assert not hasattr(twin, "activation_parameters_")
    assert twin.activation is not member
    twin.fit(X[:, ::-1], y)
    for values, expected in zip(hidden_arrays(model), before, strict=True):
        np.testing.assert_array_equal(values, expected)
    assert member.get_params() == ACTIVATIONS[activation]().get_params()


@by_learnable
def test_one_instance_may_serve_several_estimators(mlp, multiclass, activation):
    X, y = multiclass
    member = ACTIVATIONS[activation]()
    alone = mlp(activation=ACTIVATIONS[activation]()).fit(X, y)
    mlp(activation=member).fit(X * 2, y)
    assert_same_hidden(mlp(activation=member).fit(X, y), alone)


@by_norm
@by_learnable
def test_warm_start_continues_from_them(mlp, multiclass, activation, batch_norm):
    X, y = multiclass
    model = mlp(activation=activation, batch_norm=batch_norm, warm_start=True).fit(X, y)
    before = deepcopy(model)
    # One epoch that moves next to nothing.
    model.set_params(max_iter=1, learning_rate_init=1e-300).fit(X, y)
    fresh = clone(model).fit(X, y)
    for one, other, new in zip(
        *(m.activation_parameters_ for m in (model, before, fresh)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
        assert np.any(one != new)
    for one, other in zip(model.batch_norms_, before.batch_norms_, strict=True):
        if batch_norm:
            np.testing.assert_array_equal(one["gain"], other["gain"])
            assert np.any(one["mean"] != other["mean"])


@by_norm
@by_solver
@pytest.mark.parametrize("member", [*LEARNABLE, GAReLU(update="epoch")], ids=str)
def test_partial_fit_continues_after_pickling(
    mlp, multiclass, member, solver, batch_norm, same_network
):
    X, y = multiclass
    model = mlp(
        activation=member, solver=solver, batch_norm=batch_norm, dropout=0.2, evolve_every=3
    )
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1, 2])
    restored = pickle.loads(pickle.dumps(model))
    for _ in range(3):
        model.partial_fit(X, y)
        restored.partial_fit(X, y)
    assert_same(model, restored, same_network)
    assert model.loss_curve_ == restored.loss_curve_


@by_learnable
def test_momentum_of_parameters_continues(mlp, multiclass, activation):
    X, y = multiclass
    still = {"evolve_every": 10**6, "batch_norm": True, "solver": "sgd", "shuffle": False}
    model = mlp(activation=activation, max_iter=3, **still).fit(X, y)
    passes = mlp(activation=activation, max_iter=3, **still)
    for _ in range(3):
        passes.partial_fit(X, y, classes=[0, 1, 2])
    assert_same_hidden(model, passes)


@by_norm
@by_learnable
def test_early_stopping_restores_those_of_the_best_epoch(
    mlp, multiclass, activation, batch_norm, recorder, same_network
):
    X, y = multiclass
    y = np.random.default_rng(0).permutation(y)  # losses go up and down
    record = recorder()
    model = mlp(
        activation=activation, batch_norm=batch_norm, early_stopping=True, max_iter=12,
        learning_rate_init=0.05,
    )  # fmt: skip
    apart = np.arange(len(y)) % 3 == 1
    model.set_callbacks(record)
    model.fit(X[~apart], y[~apart], X_val=X[apart], y_val=y[apart])
    losses = [r["validation_loss"] for r in model.history_]
    best = min(range(12), key=lambda epoch: (losses[epoch], -epoch))
    assert best < 11, "the last epoch is the best, so that nothing is restored"
    assert_same(model, record.epochs[best], same_network)
    with pytest.raises(AssertionError):
        assert_same_hidden(model, record.epochs[-1])


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@by_learnable
def test_continued_training_leaves_arrays_taken_before_alone(
    mlp, multiclass, activation, method
):
    model = mlp(activation=activation, batch_norm=True, warm_start=True).fit(*multiclass)
    taken, before = list(hidden_arrays(model)), deepcopy(list(hidden_arrays(model)))
    getattr(model, method)(*multiclass)
    for values, expected in zip(taken, before, strict=True):
        np.testing.assert_array_equal(values, expected)


# --- edited by hand -------------------------------------------------------------------


@pytest.mark.parametrize("cls", [LeakyReLU, PReLU])
def test_edited_parameters_are_honoured(mlp, multiclass, cls, same_network):
    X, y = multiclass
    model = mlp(activation=cls(0.25)).fit(X, y)
    model.activation_parameters_ = [np.ones_like(p) for p in model.activation_parameters_]
    linear = X
    for coef, intercept in zip(model.coefs_, model.intercepts_, strict=True):
        linear = linear @ coef + intercept
    np.testing.assert_allclose(model.decision_function(X), linear, rtol=1e-9)
    twin = deepcopy(model)
    model.partial_fit(X, y)
    twin.activation_parameters_[0][:] = 0.5
    assert not same_network(model, twin.partial_fit(X, y))


def test_edited_batch_norms_are_honoured(mlp, multiclass):
    X, y = multiclass
    model = mlp(batch_norm=True).fit(X, y)
    plain = deepcopy(model)
    for depth, norm in enumerate(model.batch_norms_):
        # The same affine map, within the weights and biases.
        factor = norm["gain"] / np.sqrt(norm["variance"] + 1e-5)
        offset = factor * (plain.intercepts_[depth] - norm["mean"]) + norm["shift"]
        plain.coefs_[depth] = (plain.coefs_[depth] * factor[np.newaxis]).tocsr()
        plain.intercepts_[depth] = offset
        plain.batch_norms_[depth] = None
    expected = model.decision_function(X)
    np.testing.assert_allclose(plain.decision_function(X), expected, rtol=1e-8, atol=1e-9)
    model.batch_norms_[0]["shift"] += 1
    assert np.abs(model.decision_function(X) - expected).max() > 0.01


@pytest.mark.parametrize("name", ["gain", "shift", "mean", "variance"])
@pytest.mark.parametrize("method", ["predict", "partial_fit"])
def test_batch_norm_of_the_wrong_shape_is_refused(mlp, multiclass, name, method):
    X, y = multiclass
    model = mlp(batch_norm=True).fit(X, y)
    model.batch_norms_[1][name] = np.ones(3)
    with pytest.raises(ValueError, match=rf"batch_norms_\[1\].*{name}"):
        getattr(model, method)(*((X,) if method == "predict" else (X, y)))


def test_training_continues_where_a_batch_normalisation_was_removed(mlp, multiclass):
    X, y = multiclass
    model = mlp(batch_norm=True, activation="tanh", alpha=0.0, batch_size=len(X)).fit(X, y)
    model.batch_norms_[0] = None
    u = np.tanh(X @ model.coefs_[0] + model.intercepts_[0]) @ model.coefs_[1]
    norm = model.batch_norms_[1]
    z = norm["gain"] * (u - u.mean(axis=0)) / np.sqrt(u.var(axis=0) + 1e-5) + norm["shift"]
    logits = np.tanh(z) @ model.coefs_[2] + model.intercepts_[2]
    log_proba = special.log_softmax(logits, axis=1)
    model.partial_fit(X, y)
    expected = -np.mean(log_proba[np.arange(len(y)), y])
    assert model.loss_ == pytest.approx(expected, rel=1e-9)
    assert [norm is None for norm in model.batch_norms_] == [True, False]


@pytest.mark.parametrize("fitted", [False, True])
def test_batch_norm_may_be_changed_between_fits(mlp, multiclass, fitted):
    X, y = multiclass
    model = mlp(batch_norm=fitted, warm_start=True).fit(X, y)
    model.set_params(batch_norm=not fitted)
    assert model.score(X, y) > 0.5
    for method in (model.fit, model.partial_fit):
        with pytest.warns(UserWarning, match=r"batch_norm=.* has no effect"):
            method(X, y)
    assert [norm is not None for norm in model.batch_norms_] == [fitted] * 2
    assert np.isfinite(model.loss_curve_).all()


@pytest.mark.parametrize("method", ["predict", "partial_fit"])
@pytest.mark.parametrize(
    "change", [("relu", "srelu"), ("srelu", "relu"), ("tanh", "prelu")]
)
def test_changed_activation_that_does_not_fit_is_refused(mlp, multiclass, change, method):
    X, y = multiclass
    model = mlp(activation=change[0]).fit(X, y).set_params(activation=change[1])
    args = (X,) if method == "predict" else (X, y)
    with pytest.raises(
        ValueError, match=r"activation_parameters_\[0\] has shape .* fit ag"
    ):
        getattr(model, method)(*args)


# --- the guard ------------------------------------------------------------------------


@by_solver
@pytest.mark.parametrize(
    "member",
    [
        GAReLU(learning_rate_factor=1e300),
        GAReLU(learning_rate_factor=1e308, update="epoch"),
        PReLU(learning_rate_factor=1e300),
        SReLU(learning_rate_factor=1e300),
    ],
    ids=str,
)
def test_parameters_that_explode_stop_training(mlp, multiclass, member, solver):
    X, y = multiclass
    model = mlp(activation=member, solver=solver, learning_rate_init=100.0, batch_norm=True)
    with (
        np.errstate(all="ignore"),
        pytest.warns(ConvergenceWarning, match="no longer finite"),
    ):
        model.fit(X, y)
    assert all(np.isfinite(values).all() for values in hidden_arrays(model))
    assert np.isfinite(model.predict_proba(X)).all()
    assert model.n_iter_ < 4


# --- one activation per hidden layer --------------------------------------------------


def test_each_hidden_layer_may_have_its_own_activation(mlp, multiclass):
    X, y = multiclass
    members = ["tanh", PReLU(0.1), "garelu", CReLU()]
    model = mlp(
        activation=members, hidden_layer_sizes=(24, 16, 12, 8), slope=0.4, max_iter=1,
        learning_rate_init=1e-300,
    ).fit(X, y)  # fmt: skip
    shapes = [parameters.shape for parameters in model.activation_parameters_]
    assert shapes == [(0, 1), (1, 16), (1, 1), (0, 1)]
    assert model.slopes_[0] is None
    assert np.all(model.slopes_[1] == 0.1)
    # The third hidden layer is odd; instances have their own slope.
    assert model.slopes_[2:] == [-0.4, None]
    a = X
    functions = [
        np.tanh,
        lambda z: np.where(z > 0, z, 0.1 * z),
        lambda z: np.where(z > 0, z, -0.4 * z),
        lambda z: np.clip(z - 1, 0, 1),
        lambda z: z,
    ]
    for f, coef, bias in zip(functions, model.coefs_, model.intercepts_, strict=True):
        a = f(a @ coef + bias)
    np.testing.assert_allclose(model.decision_function(X), a, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [list, tuple])
def test_sequence_of_the_same_activation_is_that_activation(
    mlp, multiclass, kind, same_network
):
    model = mlp(activation=kind(["prelu", "prelu"])).fit(*multiclass)
    assert_same(model, mlp(activation="prelu").fit(*multiclass), same_network)
    assert_same(model, clone(model).fit(*multiclass), same_network)


BAD_SEQUENCES = {
    "short": (["relu"], "has 1 entries for 2 hidden layers"),
    "long": (["relu"] * 3, "has 3 entries for 2 hidden layers"),
    "empty": ([], "has 0 entries for 2 hidden layers"),
    "unknown": (["relu", "unheard_of"], "has 'unheard_of'; allowed .*'garelu'.*'relu'"),
    "nested": (["relu", ["relu"]], r"has \['relu'\]; allowed .*'garelu'.*'relu'"),
    "number": (["relu", 3], "has 3; allowed .*'garelu'.*'relu'"),
    "none": ([None, "relu"], "has None; allowed .*'garelu'.*'relu'"),
    "class": ([PReLU, "relu"], "has .*PReLU.*; allowed .*'garelu'.*'relu'"),
    "dict": (["relu", {}], "has {}; allowed .*'garelu'.*'relu'"),
    "parameter": (["relu", LeakyReLU(-1)], "'slope' parameter of LeakyReLU"),
}


@pytest.mark.parametrize("kind", BAD_SEQUENCES)
def test_bad_sequence_is_refused_with_what_is_allowed(mlp, multiclass, kind):
    members, match = BAD_SEQUENCES[kind]
    model = mlp(activation=members)
    with pytest.raises(ValueError, match=match):
        model.fit(*multiclass)
    assert not hasattr(model, "coefs_")


# --- searching and threads ------------------------------------------------------------


def search(model, n_jobs, X, y):
    grid = {"slope": [0.1, 0.6], "epsilon": [2, 4]}
    return GridSearchCV(model, grid, cv=3, n_jobs=n_jobs).fit(X, y)


def test_parallel_search_finds_the_same_best_model(mlp, multiclass, same_network):
    X, y = multiclass
    model = mlp(activation="garelu")
    serial, parallel = (search(model, n_jobs, X, y) for n_jobs in (1, 2))
    assert serial.best_params_ == parallel.best_params_
    scores = [s.cv_results_["mean_test_score"] for s in (serial, parallel)]
    np.testing.assert_array_equal(*scores)
    assert len(set(scores[0])) > 1
    assert_same(serial.best_estimator_, parallel.best_estimator_, same_network)


def test_members_of_instances_can_be_searched(mlp, multiclass):
    model = mlp(activation=GAReLU())
    grid = {"activation__slope": [0.1, 0.6], "activation__update": ["batch", "epoch"]}
    found = GridSearchCV(model, grid, cv=2).fit(*multiclass)
    assert found.best_estimator_.activation.slope in (0.1, 0.6)
    assert model.activation.slope == 0.25
