"""Validation samples choose how many input neurons remain."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_classification, make_regression
from sklearn.preprocessing import StandardScaler

from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPClassifierCV,
    SparseMLPRegressor,
    SparseMLPSelector,
)


@pytest.fixture
def choosing(mlp):
    """Make a small network whose number of inputs is chosen."""
    return lambda **params: mlp(**{"n_features_to_select": "auto", "max_iter": 16} | params)


def inputs_in_use(model):
    return np.diff(model.coefs_[0].indptr) > 0


def assert_selected(model):
    """As many inputs are in use as had the lowest loss on the way, and no others."""
    path = [r for r in model.history_ if "validation_loss" in r]
    path = path[: model.max_iter // 2]
    lowest = min(path, key=lambda record: record["validation_loss"])
    n_inputs = model.history_[-1]["n_inputs"]
    assert model.support_.sum() == n_inputs == lowest["n_inputs"]
    assert np.array_equal(model.support_, inputs_in_use(model))


def informative_problem(n_samples=800, seed=0):
    """Three of 60 features matter, and those only together."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 60)).astype(np.float32)
    return X, (X[:, 3] * X[:, 11] + X[:, 30] > 0).astype(int)


@pytest.mark.parametrize("seed", range(2))
def test_what_matters_is_found_and_hardly_anything_else(seed):
    X, y = informative_problem()
    network = {"max_iter": 100, "learning_rate": "cosine", "learning_rate_init": 3e-3}
    network |= {"random_state": seed}
    model = SparseMLPClassifier(**network, n_features_to_select="auto").fit(X, y)
    assert {3, 11, 30} <= set(np.flatnonzero(model.support_))
    assert model.support_.sum() <= 12
    X_new, y_new = informative_problem(seed=9)
    without = SparseMLPClassifier(**network).fit(X, y)
    assert model.score(X_new, y_new) > without.score(X_new, y_new)


def test_inputs_leave_until_one_is_left_and_those_of_the_lowest_loss_come_back(choosing):
    X, y = make_classification(200, 64, n_informative=4, random_state=0)
    model = choosing(max_iter=40, epsilon=5, hidden_layer_sizes=(60, 8)).fit(X, y)
    n_inputs = [record["n_inputs"] for record in model.history_]
    # Of ten evolutions, each leaves the same share, from 64 down to one.
    assert n_inputs[9] == 64
    expected = [round(64 ** (rest / 10)) for rest in range(9, 0, -1)]
    assert n_inputs[11:20] == expected
    assert len(set(n_inputs[20:])) == 1
    assert_selected(model)


def test_samples_that_choose_are_learned_from_afterwards(choosing, multiclass):
    model = choosing(hidden_layer_sizes=(20,)).fit(*multiclass)
    judged = ["validation_loss" in record for record in model.history_]
    assert judged == [True] * 8 + [False] * 8
    assert model._n_seen == 8 * 120 + 8 * 150
    assert_selected(model)
    assert model.validation_scores_ is None


@pytest.mark.parametrize("stops", [True, False])
def test_given_validation_samples_choose(choosing, multiclass, stops):
    X, y = multiclass
    model = choosing(early_stopping=stops)
    model.fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:])
    assert all("validation_loss" in record for record in model.history_)
    assert model._n_seen == 16 * 100
    assert np.array_equal(model.support_, inputs_in_use(model))
    if not stops:
        assert_selected(model)


def test_early_stopping_keeps_its_samples_apart(choosing, multiclass):
    model = choosing(early_stopping=True).fit(*multiclass)
    assert all("validation_loss" in record for record in model.history_)
    assert model._n_seen == 16 * 120
    assert np.array_equal(model.support_, inputs_in_use(model))


@pytest.mark.parametrize("max_iter", [0, 1, 2, 3, 5])
def test_few_epochs_still_end_in_a_selection(choosing, multiclass, max_iter):
    model = choosing(max_iter=max_iter).fit(*multiclass)
    assert 1 <= model.support_.sum() <= 12
    assert np.isfinite(model.predict_proba(multiclass[0])).all()
    assert not (inputs_in_use(model) & ~model.support_).any()


@pytest.mark.parametrize("stop_after", [1, 5, 7, 9])
def test_callback_that_ends_training_leaves_the_best_selection_so_far(
    choosing, multiclass, recorder, stop_after
):
    model = choosing().set_callbacks(recorder(stop_after=stop_after)).fit(*multiclass)
    assert model.n_iter_ == stop_after
    path = model.history_[:8]
    losses = [record["validation_loss"] for record in path]
    assert model.support_.sum() == path[int(np.argmin(losses))]["n_inputs"]
    assert not (inputs_in_use(model) & ~model.support_).any()


@pytest.mark.parametrize(
    "params",
    [
        {"batch_norm": True, "activation": "srelu"},
        {"pruning": "importance", "max_iter": 30},
        {"growth": "liset"},
        {"growth": "gradient", "evolve_every": 2},
        {"evolve_until": 0.3},
        {"zeta": 0},
        {"solver": "sgd"},
        {"batch_size": 150},
    ],
    ids=str,
)
def test_inputs_are_chosen_whatever_else_is_asked_for(choosing, multiclass, params):
    model = choosing(**params).fit(*multiclass)
    assert np.array_equal(model.support_, inputs_in_use(model))
    n_inputs = [record["n_inputs"] for record in model.history_]
    assert n_inputs[-1] == model.support_.sum()


def test_sparse_and_dense_samples_choose_the_same(choosing, multiclass, same_network):
    X, y = multiclass
    dense = choosing().fit(X, y)
    assert same_network(dense, choosing().fit(sparse.csr_array(X), y))


def test_scale_of_weights_changes_nothing(choosing, multiclass, same_network):
    X, y = multiclass
    weights = np.random.default_rng(0).integers(1, 5, size=len(y))
    models = [choosing().fit(X, y, weights * factor) for factor in (1, 2, 1024)]
    assert same_network(models[0], models[1])
    assert same_network(models[0], models[2])


def test_regressors_choose_among_their_features():
    X, y = make_regression(400, 40, n_informative=4, shuffle=False, random_state=0)
    y = (y - y.mean()) / y.std()
    network = {"max_iter": 100, "learning_rate": "cosine", "learning_rate_init": 3e-3}
    model = SparseMLPRegressor(**network, n_features_to_select="auto", random_state=0)
    model.fit(X, y)
    assert_selected(model)
    assert {0, 1, 2, 3} <= set(np.flatnonzero(model.support_))
    assert model.support_.sum() < 40


def test_multilabel_targets(choosing, multiclass):
    X, y = multiclass
    model = choosing().fit(X, np.eye(3, dtype=int)[y])
    assert_selected(model)


def test_rare_classes_need_no_part_in_the_samples_that_choose(choosing, multiclass):
    X, y = multiclass
    y = y.copy()
    y[:2] = [7, 8]
    assert_selected(choosing().fit(X, y))


def test_fits_that_continue_keep_the_inputs(choosing, multiclass):
    model = choosing(warm_start=True).fit(*multiclass)
    first = model.support_
    model.fit(*multiclass)
    assert np.array_equal(model.support_, first)
    assert {r["n_inputs"] for r in model.history_[16:]} == {int(first.sum())}
    model.partial_fit(*multiclass)
    assert np.array_equal(model.support_, first)


def test_partial_fit_has_no_samples_to_choose_by(choosing, multiclass):
    model = choosing()
    with pytest.raises(ValueError, match=r"'auto' needs validation samples.*partial_fit"):
        model.partial_fit(*multiclass, classes=[0, 1, 2])
    assert not hasattr(model, "coefs_")


def test_too_few_samples_are_refused(choosing):
    X, y = np.arange(8.0).reshape(2, 4), [0, 1]
    with pytest.raises(ValueError, match=r"'auto' needs samples.*validation_fraction=0.9"):
        choosing(validation_fraction=0.9).fit(X, y)


def test_selector_chooses(mlp, multiclass, same_network):
    X, y = multiclass
    selector = SparseMLPSelector(mlp(max_iter=16), n_features_to_select="auto").fit(X, y)
    network = mlp(max_iter=16, n_features_to_select="auto").fit(X, y)
    assert same_network(selector.estimator_, network)
    assert selector.transform(X).shape == (150, network.support_.sum())


# --- ensembles --------------------------------------------------------------------------


@pytest.mark.parametrize("max_iter", [1, 3, 24])
@pytest.mark.parametrize("wanted", ["auto", 4])
def test_members_have_as_many_inputs_as_all_predict_best_with(
    mlp, multiclass, wanted, max_iter
):
    X, y = multiclass
    network = mlp(n_features_to_select=wanted, max_iter=max_iter)
    model = SparseMLPClassifierCV(network, cv=3, refit=True, random_state=0).fit(X, y)
    members = [*model.estimators_, model.best_estimator_]
    sizes = {int(member.support_.sum()) for member in members}
    assert len(sizes) == 1
    assert wanted == "auto" or sizes == {4}
    if max_iter == 24:
        assert model.n_epochs_ > (12 if wanted == "auto" else 8)
    for member in members:
        assert not (inputs_in_use(member) & ~member.support_).any() or max_iter == 1
    assert np.isfinite(model.predict_proba(X)).all()


def test_number_of_inputs_of_an_ensemble_is_searched(mlp, multiclass):
    X, y = multiclass
    grid = {"n_features_to_select": [None, 3, "auto"]}
    model = SparseMLPClassifierCV(mlp(max_iter=24), grid, cv=3, random_state=0).fit(X, y)
    scores = model.cv_results_["mean_test_score"]
    # Those that left while their inputs still did have none.
    trained = model.cv_results_["n_epochs_trained"]
    assert np.isfinite(scores[trained == trained.max()]).all()
    assert model.best_score_ == scores.max() > -np.inf


# --- the penalty while inputs compete ---------------------------------------------------


def test_competition_does_not_take_what_carries_a_weak_signal(mlp):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 40))
    y = (X[:, 5] + 3 * rng.normal(size=600) > 0).astype(int)
    X = StandardScaler().fit_transform(X)
    model = SparseMLPClassifier(
        (40, 20), epsilon=5, n_features_to_select=10, max_iter=60, random_state=0
    ).fit(X, y)
    assert model.support_[5]
    assert abs(model.coefs_[0]).max() > 1e-2


def test_penalty_of_all_inputs_is_alpha(multiclass, mlp, same_network):
    everything = mlp(n_features_to_select=12, max_iter=6).fit(*multiclass)
    assert same_network(everything, mlp(max_iter=6).fit(*multiclass))
