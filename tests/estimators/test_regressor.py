"""SparseMLPRegressor: what it learns, the shape of its targets, and what it refuses."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectFromModel
from sklearn.metrics import mean_squared_error, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from sksparse_mlp import SparseMLPRegressor, SparseMLPSelector
from sksparse_mlp.activations import ACTIVATIONS
from sksparse_mlp.topology import GROWTHS


@pytest.fixture
def reg(mlp):
    """Make a small regressor."""
    return lambda **params: mlp(SparseMLPRegressor, **params)


def targets(y, n_targets):
    """That many different targets from one, of shape (n_samples, n_targets)."""
    return y[:, np.newaxis] * np.arange(1, n_targets + 1) + np.arange(n_targets)


# --- what it learns -------------------------------------------------------------------


def test_diabetes_is_predicted_as_well_as_by_dense_layers():
    X, y = load_diabetes(return_X_y=True)
    params = {"hidden_layer_sizes": (32,), "max_iter": 60, "random_state": 0}
    params |= {"learning_rate_init": 0.003, "alpha": 1.0}
    ours = SparseMLPRegressor(epsilon=5, **params)
    dense = MLPRegressor(**params | {"max_iter": 1000, "early_stopping": True})
    scores = [
        cross_val_score(
            TransformedTargetRegressor(
                make_pipeline(StandardScaler(), model), transformer=StandardScaler()
            ),
            X,
            y,
        ).mean()
        for model in (ours, dense)
    ]
    assert scores[0] > max(0.45, scores[1] - 0.02)


def test_function_that_is_not_linear_is_learned():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (1500, 3))
    y = np.sin(2 * X[:, 0]) * X[:, 1]
    model = SparseMLPRegressor(
        (60, 60), epsilon=15, alpha=1e-4, dropout=0, max_iter=60, learning_rate_init=0.01,
        random_state=0,
    ).fit(X[:1000], y[:1000])  # fmt: skip
    assert model.score(X[1000:], y[1000:]) > 0.95


@pytest.mark.parametrize("growth", GROWTHS)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_every_growth_and_solver_learns(reg, regression, growth, solver):
    model = reg(growth=growth, solver=solver, max_iter=30, batch_norm=True)
    model.fit(*regression)
    assert model.score(*regression) > 0.8
    assert model.loss_curve_[-1] < 0.3 * model.loss_curve_[0]
    assert sum(record["n_grown"] for record in model.history_) > 0


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_learns(reg, regression, activation):
    model = reg(activation=activation, batch_norm=True, max_iter=30).fit(*regression)
    assert model.score(*regression) > 0.6


def test_pruning_and_selection_leave_a_network_that_predicts(reg, regression):
    X, y = regression
    model = reg(pruning="importance", n_features_to_select=6, max_iter=40).fit(X, y)
    assert model.support_.sum() == 6
    assert model.score(X, y) > 0.8
    assert_allclose(model.compress().predict(X), model.predict(X), atol=1e-6)


@pytest.mark.parametrize("n_targets", [1, 3])
def test_loss_is_half_of_the_mean_squared_error(reg, regression, n_targets):
    X, y = regression[0], targets(regression[1], n_targets)
    params = {"alpha": 0.0, "learning_rate_init": 1e-12, "max_iter": 1, "zeta": 0}
    model = reg(**params).fit(X, y)
    # Nothing limits what is predicted while the network trains.
    model.target_range_ = np.full((2, n_targets), [[-np.inf], [np.inf]])
    scaled = (model.predict(X) - model.target_mean_) / model.target_scale_
    expected = (
        mean_squared_error((y - model.target_mean_) / model.target_scale_, scaled) / 2
    )
    expected *= np.mean(model.target_scale_**2)
    assert model.loss_ == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n_targets", [1, 3])
def test_recorded_scores_are_those_of_score(reg, regression, n_targets):
    X, y = regression[0], targets(regression[1], n_targets)
    weights = np.random.default_rng(0).uniform(size=len(y))
    model = reg(record=["train_score", "effective_gradient_flow"]).fit(X, y, weights)
    expected = r2_score(y, model.predict(X), sample_weight=weights)
    assert model.history_[-1]["train_score"] == pytest.approx(expected)
    assert model.score(X, y, weights) == pytest.approx(expected)
    assert model.history_[-1]["effective_gradient_flow"] > 0


def test_early_stopping_restores_the_best_network(reg, regression):
    params = {"max_iter": 300, "learning_rate_init": 0.1, "n_iter_no_change": 5}
    model = reg(early_stopping=True, **params).fit(*regression)
    best = model.best_validation_score_
    assert best == max(model.validation_scores_) > model.validation_scores_[-1]
    assert model.n_iter_ < 300
    # All that is left out is the validation part, which the seed decides.
    until = int(np.argmax(model.validation_scores_)) + 1
    same = reg(early_stopping=True, **params).set_params(max_iter=until).fit(*regression)
    assert_array_equal(same.predict(regression[0]), model.predict(regression[0]))


def test_without_sparsity_and_evolution_a_small_problem_is_solved(reg):
    X, y = make_regression(120, 5, n_informative=5, random_state=0)
    y = scale(y)
    model = reg(activation="identity", epsilon=100, zeta=0, alpha=0, max_iter=200)
    assert model.fit(X, y).score(X, y) > 0.999


# --- shapes and dtypes ----------------------------------------------------------------


@pytest.mark.parametrize("shape", [(150,), (150, 1), (150, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_have_the_rank_of_the_targets(reg, regression, shape, dtype):
    X = regression[0].astype(dtype)
    y = regression[1] if len(shape) == 1 else targets(regression[1], shape[1])
    model = reg().fit(X, y)
    predicted = model.predict(X)
    assert predicted.shape == shape
    assert predicted.dtype == dtype
    assert model.n_outputs_ == model.coefs_[-1].shape[1] == np.prod(shape[1:])
    assert model.out_activation_ == "identity"
    assert not hasattr(model, "classes_")
    assert_array_equal(model.predictor().predict(X), predicted)
    assert model.predictor().predict(X[:1]).shape == (1, *shape[1:])


def test_column_and_one_target_train_the_same_network(reg, regression, same_network):
    X, y = regression
    assert same_network(reg().fit(X, y), reg().fit(X, y[:, np.newaxis]))


@pytest.mark.parametrize(
    "convert",
    [list, np.asfortranarray, sparse.csr_array, lambda y: y.astype(np.float32)],
)
def test_targets_may_come_in_any_form(reg, regression, convert):
    X, y = regression[0], np.round(targets(regression[1], 2))
    expected = reg().fit(X, y).predict(X)
    assert_array_equal(reg().fit(X, convert(y)).predict(X), expected)


def test_integers_and_booleans_are_targets(reg, regression):
    X, y = regression[0], regression[1] > 0
    expected = reg().fit(X, y.astype(float)).predict(X)
    for given in (y, y.astype(np.int8), y.astype(object)):
        assert_array_equal(reg().fit(X, given).predict(X), expected)


# --- continuing -----------------------------------------------------------------------


def test_partial_fit_is_an_epoch_of_fit(reg, regression, same_network):
    params = {"shuffle": False, "zeta": 0, "max_iter": 3}
    whole, parts = reg(**params).fit(*regression), reg(**params)
    for _ in range(3):
        parts.partial_fit(*regression)
    assert same_network(whole, parts)


def test_warm_start_continues(reg, regression):
    model = reg(warm_start=True, max_iter=10).fit(*regression)
    first = model.loss_
    assert model.fit(*regression).loss_curve_[10] < 1.2 * first
    assert len(model.history_) == 20


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("n_targets", [0, 1, 3])
def test_continuing_with_another_shape_is_refused(reg, regression, method, n_targets):
    X, y = regression
    model = reg(warm_start=True).fit(X, targets(y, 2))
    before = model.predict(X)
    other = targets(y, n_targets) if n_targets else y
    match = r"network is for y of shape \('n_samples', 2\), got"
    with pytest.raises(ValueError, match=match):
        getattr(model, method)(X, other)
    assert_array_equal(model.predict(X), before)


# --- weights --------------------------------------------------------------------------


def test_weights_are_repetitions(reg, regression, same_network):
    X, y = regression[0][:20], regression[1][:20]
    counts = np.random.default_rng(0).integers(4, size=20)
    params = {"batch_size": 100, "max_iter": 8}
    repeated = reg(**params).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    assert same_network(reg(**params).fit(X, y, counts), repeated)


def test_samples_of_weight_zero_may_have_any_target(reg, regression, same_network):
    X, y = regression
    weights = np.ones(150)
    weights[:50] = 0
    strange = y.copy()
    strange[:50] = 1e300
    assert same_network(reg().fit(X, y, weights), reg().fit(X, strange, weights))


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e39), (np.float64, 1e160)])
def test_targets_that_are_too_large_are_refused(reg, regression, dtype, size):
    X, y = regression[0].astype(dtype), regression[1] * size
    with pytest.raises(ValueError, match=r"y goes up to .*; scale\s+the targets"):
        reg().fit(X, y)


def test_training_that_diverges_says_what_to_change(reg, regression):
    X, y = regression
    with pytest.warns(ConvergenceWarning, match="Lower learning_rate_init"):
        model = reg(solver="sgd", learning_rate_init=1e30).fit(X, y)
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (np.full(150, "1.5"), "y must be numbers, got an array of dtype <U3"),
        (np.full(150, np.nan), "Input y contains NaN for every sample"),
        (np.full(150, np.inf), "Input y contains infinity"),
        (np.full(150, 1j), "Complex data not supported"),
        (np.zeros((150, 2, 2)), "dim 3"),
        (np.zeros((150, 0)), "0 feature"),
        (np.zeros(149), "inconsistent numbers of samples"),
        (None, "requires y to be passed"),
    ],
)
def test_targets_that_are_none_are_refused(reg, regression, y, match):
    with pytest.raises(ValueError, match=match):
        reg().fit(regression[0], y)


def test_validation_part_must_have_two_samples(reg, regression):
    X, y = regression[0][:10], regression[1][:10]
    model = reg(early_stopping=True, validation_fraction=0.1)
    with pytest.raises(ValueError, match="needs two samples or more"):
        model.fit(X, y)
    model.set_params(validation_fraction=0.2).fit(X, y)


def test_what_is_for_classifiers_is_missing(reg):
    for name in ("class_weight", "predict_proba", "decision_function", "classes_"):
        assert not hasattr(reg(), name)


# --- in scikit-learn ------------------------------------------------------------------


def test_grid_search_over_a_pipeline(reg, regression):
    X, y = regression
    grid = {"sparsemlpregressor__epsilon": [2, 6], "sparsemlpregressor__slope": [0.1, 0.3]}
    model = make_pipeline(StandardScaler(), reg(max_iter=30))
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    assert search.best_score_ > 0.3


@pytest.mark.parametrize("selector", [SelectFromModel, SparseMLPSelector])
def test_features_are_selected_by_a_regressor(reg, selector):
    X, y = make_regression(300, 20, n_informative=4, shuffle=False, random_state=0)
    network = reg(alpha=0.1, max_iter=40)
    limit = {"max_features": 4, "threshold": -np.inf}
    if selector is SparseMLPSelector:
        limit = {"n_features_to_select": 4}
    chosen = selector(network, **limit).fit(X, scale(y)).get_support()
    assert chosen.sum() == 4
    assert chosen[:4].sum() >= 3
