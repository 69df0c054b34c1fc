"""Input neurons compete until as many remain as were asked for."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_param_validation,
    parametrize_with_checks,
)

from sksparse_mlp import SparseMLPClassifier, SparseMLPSelector
from sksparse_mlp.topology import GROWTHS, ImportancePruning

N_WANTED = [(1, 1), (5, 5), (12, 12), (0.25, 3), (0.5, 6), (1.0, 12), (np.int64(4), 4)]


@pytest.fixture
def selecting(mlp):
    """Make a small network that selects 5 of its inputs."""
    return lambda **params: mlp(**{"n_features_to_select": 5, "max_iter": 12} | params)


@pytest.fixture
def selector(mlp):
    """Make a selector of 5 features with a small network."""
    return lambda n=5, **params: SparseMLPSelector(
        mlp(max_iter=12, **params), n_features_to_select=n
    )


def inputs_in_use(model):
    return np.diff(model.coefs_[0].indptr) > 0


def selected_before(model):
    """Numbers of inputs in use at the ends of the epochs."""
    return [record["n_inputs"] for record in model.history_]


# --- the network ----------------------------------------------------------------------


@pytest.mark.parametrize("evolve_every", ["epoch", 3])
@pytest.mark.parametrize(("wanted", "expected"), N_WANTED)
def test_as_many_inputs_remain_as_asked_for(
    selecting, multiclass, wanted, expected, evolve_every
):
    model = selecting(n_features_to_select=wanted, evolve_every=evolve_every, epsilon=2)
    support = model.fit(*multiclass).support_
    assert support.dtype == bool
    assert support.sum() == expected == selected_before(model)[-1]
    assert np.array_equal(support, inputs_in_use(model))


@pytest.mark.parametrize(
    "params",
    [
        *({"growth": growth} for growth in GROWTHS),
        {"zeta": 0},
        {"evolve_until": 0.1},
        {"pruning": ImportancePruning(start=0, every=2)},
        {"max_iter": 2},
        {"max_iter": 3, "evolve_until": 0.01},
        {"early_stopping": True, "n_iter_no_change": 1, "tol": 1.0},
        {"n_iter_no_change": 1, "tol": 1e9},
        {"batch_norm": True, "activation": "srelu"},
    ],
    ids=str,
)
def test_inputs_remain_whatever_else_is_asked_for(selecting, multiclass, params):
    model = selecting(epsilon=2, **params).fit(*multiclass)
    assert model.support_.sum() == 5
    assert np.array_equal(model.support_, inputs_in_use(model))


def test_inputs_leave_in_the_planned_epochs(selecting):
    X, y = make_classification(150, 100, random_state=0)
    model = selecting(max_iter=40, epsilon=2, hidden_layer_sizes=(60, 8), zeta=0)
    n_inputs = selected_before(model.fit(X, y))
    assert n_inputs[9] == n_inputs[0] > 90
    # After six epochs 5 + 95 * (rest / 6) ** 3 are left, with rest from 5 to 0.
    expected = [60, 33, 17, 9, 5, 5]
    assert n_inputs[11:17] == expected[: len(n_inputs[11:17])]
    assert n_inputs[17:] == [5] * 23


def test_connections_move_to_the_inputs_that_remain(selecting, multiclass):
    model = selecting(epsilon=2, n_features_to_select=6).fit(*multiclass)
    assert model.n_connections_[0] == 2 * (12 + 24)
    assert all(r["n_connections"] == model.n_connections_.sum() for r in model.history_)


def test_connections_without_room_are_gone(selecting, multiclass):
    model = selecting(epsilon=6, n_features_to_select=2).fit(*multiclass)
    assert model.n_connections_[0] == 2 * 24


@pytest.mark.parametrize("seed", range(4))
def test_inputs_in_use_are_selected_where_connections_are_few(selecting, seed):
    X = np.random.default_rng(0).normal(size=(150, 100))
    y = (X[:, 0] > 0).astype(int)
    params = {"epsilon": 0.6, "n_features_to_select": 50, "hidden_layer_sizes": (20,)}
    model = selecting(random_state=seed, activation="relu", **params).fit(X, y)
    assert model.support_.sum() == 50
    assert not np.any(inputs_in_use(model) & ~model.support_)


def test_strongest_input_remains(selecting):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 30))
    y = (X[:, 17] > 0).astype(int)
    model = selecting(n_features_to_select=1, max_iter=30).fit(X, y)
    assert np.flatnonzero(model.support_).tolist() == [17]
    assert model.score(X, y) > 0.97


@pytest.mark.parametrize("seed", range(3))
def test_informative_features_are_found(seed):
    X, y = make_classification(
        600, 40, n_informative=5, n_redundant=0, n_clusters_per_class=1, class_sep=2.0,
        flip_y=0, shuffle=False, random_state=0,
    )  # fmt: skip
    X = StandardScaler().fit_transform(X)
    telling = np.flatnonzero(np.abs(X.T @ (y - y.mean())) / y.size > 0.3)
    assert telling.tolist() == [0, 1, 2, 4]
    network = SparseMLPClassifier(
        (60, 30), epsilon=5, max_iter=60, learning_rate_init=0.01, random_state=seed
    )
    selector = SparseMLPSelector(network, n_features_to_select=5).fit(X, y)
    assert set(telling) < set(selector.get_support(indices=True))


def test_importances_are_shares_and_zero_off_the_support(selecting, multiclass):
    model = selecting().fit(*multiclass)
    importances = model.feature_importances_
    assert importances.shape == (12,)
    assert importances.sum() == pytest.approx(1)
    assert np.array_equal(importances > 0, model.support_)
    strengths = np.abs(model.coefs_[0].toarray()).sum(axis=1)
    np.testing.assert_allclose(importances, strengths / strengths.sum())


def test_importances_need_no_selection(mlp, multiclass):
    importances = mlp().fit(*multiclass).feature_importances_
    assert importances.sum() == pytest.approx(1)
    assert importances.min() >= 0


@pytest.mark.parametrize("kind", [sparse.csc_array, sparse.csr_matrix, sparse.coo_matrix])
def test_importances_of_replaced_arrays(selecting, multiclass, kind):
    model = selecting().fit(*multiclass)
    importances, support = model.feature_importances_, model.support_
    model.coefs_[0] = kind(model.coefs_[0])
    np.testing.assert_allclose(model.feature_importances_, importances)
    assert np.array_equal(model.support_, support)


def test_importances_of_no_weights_are_zero(mlp, multiclass):
    model = mlp().fit(*multiclass)
    model.coefs_[0] = 0 * model.coefs_[0]
    assert model.feature_importances_.tolist() == [0] * 12


def test_support_exists_only_with_selection_and_after_fit(mlp, selecting, multiclass):
    assert not hasattr(selecting(), "support_")
    assert not hasattr(selecting(), "feature_importances_")
    assert not hasattr(mlp().fit(*multiclass), "support_")
    assert hasattr(selecting().fit(*multiclass), "support_")
    refitted = selecting().fit(*multiclass).set_params(n_features_to_select=None)
    assert not hasattr(refitted.fit(*multiclass), "support_")


@pytest.mark.parametrize("wanted", [5, 0.4])
@pytest.mark.parametrize("stop_after", [1, 2, 5])
def test_callback_that_ends_training_early_leaves_a_selection(
    selecting, multiclass, recorder, stop_after, wanted
):
    model = selecting(max_iter=50, n_features_to_select=wanted)
    model.set_callbacks(recorder(stop_after=stop_after)).fit(*multiclass)
    assert model.n_iter_ == stop_after
    assert model.support_.sum() == 5
    importances = model.feature_importances_
    assert importances[model.support_].min() >= importances[~model.support_].max()


def test_no_plateau_ends_training_before_the_inputs_are_settled(selecting, multiclass):
    impatient = {"n_iter_no_change": 1, "tol": 1e9, "max_iter": 60}
    model = selecting(**impatient).fit(*multiclass)
    assert 20 < model.n_iter_ < 30
    assert selecting(n_features_to_select=None, **impatient).fit(*multiclass).n_iter_ == 3


def test_early_stopping_keeps_a_network_of_the_selected_inputs(
    selecting, recorder, same_network
):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(150, 12)), rng.integers(3, size=150)
    record = recorder()
    model = selecting(early_stopping=True, max_iter=30).set_callbacks(record)
    model.fit(X[:120], y[:120], X_val=X[120:], y_val=y[120:])
    losses = np.array([record["validation_loss"] for record in model.history_])
    # Inputs leave after the epochs 7 to 9.
    best = 10 + np.flatnonzero(losses[10:] == losses[10:].min())[-1]
    assert same_network(model, record.epochs[best])
    assert inputs_in_use(model).sum() == 5


@pytest.mark.parametrize("selects", [True, False])
def test_warm_start_keeps_the_selected_inputs(selecting, multiclass, selects):
    model = selecting(warm_start=True).fit(*multiclass)
    first = inputs_in_use(model)
    model.set_params(n_features_to_select=5 if selects else None).fit(*multiclass)
    assert np.array_equal(inputs_in_use(model), first) == selects
    assert (set(selected_before(model)[12:]) == {5}) == selects


def test_partial_fits_select_by_updates(selecting, multiclass):
    model = selecting(evolve_every=2)
    for _ in range(12):
        model.partial_fit(*multiclass, classes=[0, 1, 2])
    assert np.array_equal(model.support_, inputs_in_use(model))
    assert selected_before(model)[-1] == 5


def test_float32_and_sparse_input(selecting, multiclass, same_network):
    X, y = multiclass
    model = selecting().fit(sparse.csr_array(X.astype(np.float32)), y)
    assert model.feature_importances_.dtype == np.float32
    assert same_network(model, selecting().fit(X.astype(np.float32), y))


BAD_NUMBERS = [0, -1, 0.0, -0.5, 1.5, np.nan, np.inf, "half", "all", "Auto", [5]]


@pytest.mark.parametrize("bad", BAD_NUMBERS, ids=str)
def test_what_is_no_number_of_features_is_refused(mlp, selector, binary, bad):
    with pytest.raises(ValueError, match="'n_features_to_select' parameter of SparseMLPC"):
        mlp(n_features_to_select=bad).fit(*binary)
    with pytest.raises(ValueError, match="'n_features_to_select' parameter of SparseMLPS"):
        selector(bad).fit(*binary)


def test_truth_value_is_no_number_of_features(mlp, binary):
    with pytest.raises(ValueError, match="n_features_to_select"):
        mlp(n_features_to_select=True).fit(*binary)


@pytest.mark.parametrize(
    ("bad", "n_selected"), [(13, 13), (10**6, 10**6), (0.01, 0), (1e-300, 0)]
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_number_that_does_not_suit_the_features_is_refused(
    mlp, selector, binary, bad, n_selected, method
):
    match = f"n_features_to_select={bad!r} selects {n_selected} of .*12"
    classes = {"classes": [0, 1]} if method == "partial_fit" else {}
    with pytest.raises(ValueError, match=match):
        getattr(mlp(n_features_to_select=bad), method)(*binary, **classes)
    with pytest.raises(ValueError, match=match):
        selector(bad).fit(*binary)


# --- scikit-learn's own selection -----------------------------------------------------


def test_select_from_model(selecting, multiclass):
    X, y = multiclass
    selection = SelectFromModel(selecting(), threshold=1e-12).fit(X, y)
    assert np.array_equal(selection.get_support(), selection.estimator_.support_)
    largest = SelectFromModel(selecting(n_features_to_select=None), max_features=3)
    assert largest.fit_transform(X, y).shape == (150, 3)


def test_pipeline_and_cross_validation(selecting, multiclass):
    model = make_pipeline(StandardScaler(), selecting(max_iter=30, n_features_to_select=8))
    assert cross_val_score(model, *multiclass, cv=3).mean() > 0.7


# --- the selector ---------------------------------------------------------------------

CHECKED = [
    SparseMLPSelector(),
    SparseMLPSelector(SparseMLPClassifier(random_state=0)),
    SparseMLPSelector(
        SparseMLPClassifier((20, 10), epsilon=2, max_iter=10, random_state=0),
        n_features_to_select=1,
    ),
]


@parametrize_with_checks(CHECKED)
def test_scikit_learn_check_of_the_selector(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check", [check_param_validation, check_dataframe_column_names_consistency]
)
@pytest.mark.parametrize("estimator", CHECKED, ids=["default", "share", "number"])
def test_check_of_the_selector_outside_check_estimator(estimator, check):
    check("SparseMLPSelector", estimator)


def test_selector_keeps_the_columns_of_the_support(selector, multiclass, same_network):
    X, y = multiclass
    model = selector().fit(X, y)
    assert np.array_equal(model.transform(X), X[:, model.support_])
    assert (
        model.get_support(indices=True).tolist() == np.flatnonzero(model.support_).tolist()
    )
    assert model.n_features_ == 5
    assert np.array_equal(model.support_, inputs_in_use(model.estimator_))
    assert np.array_equal(model.feature_importances_, model.estimator_.feature_importances_)
    direct = clone(model.estimator).set_params(n_features_to_select=5).fit(X, y)
    assert same_network(model.estimator_, direct)


def test_inverse_transform_fills_up_with_zeros(selector, multiclass):
    X, y = multiclass
    model = selector().fit(X, y)
    restored = model.inverse_transform(model.transform(X))
    assert np.array_equal(restored, X * model.support_)


def test_frames_keep_their_names(selector, multiclass):
    X, y = multiclass
    frame = pd.DataFrame(X, columns=[f"feature_{i}" for i in range(12)])
    model = selector().set_output(transform="pandas").fit(frame, y)
    names = frame.columns[model.support_].tolist()
    assert model.get_feature_names_out().tolist() == names
    assert model.feature_names_in_.tolist() == frame.columns.tolist()
    selected = model.transform(frame)
    pd.testing.assert_frame_equal(selected, frame[names])


def test_names_of_arrays_are_made_up(selector, multiclass):
    model = selector().fit(*multiclass)
    names = [f"x{i}" for i in np.flatnonzero(model.support_)]
    assert model.get_feature_names_out().tolist() == names


def test_sparse_input_stays_sparse(selector, multiclass):
    X, y = multiclass
    model = selector().fit(sparse.csr_array(X), y)
    assert np.array_equal(model.support_, selector().fit(X, y).support_)
    selected = model.transform(sparse.csr_array(X))
    assert sparse.issparse(selected)
    assert np.array_equal(selected.toarray(), X[:, model.support_])


def test_selector_before_fit_has_no_support(selector, multiclass):
    assert not hasattr(selector(), "support_")
    assert not hasattr(selector(), "feature_importances_")
    with pytest.raises(NotFittedError):
        selector().transform(multiclass[0])
    with pytest.raises(NotFittedError):
        selector().get_support()


def test_estimator_is_left_alone(selector, multiclass):
    model = selector()
    network = model.estimator
    before = network.get_params()
    model.fit(*multiclass)
    assert model.estimator is network is not model.estimator_
    assert network.get_params() == before
    assert not hasattr(network, "coefs_")


def test_default_estimator_is_made_anew(multiclass):
    model = SparseMLPSelector(n_features_to_select=0.25)
    with config_context(enable_metadata_routing=True):
        assert model.get_metadata_routing()
    assert model.estimator is None


@pytest.mark.parametrize("bad", ["network", 3, object()])
def test_what_is_no_estimator_is_refused(binary, bad):
    with pytest.raises(ValueError, match="'estimator' parameter of SparseMLPSelector"):
        SparseMLPSelector(bad).fit(*binary)


def test_selector_is_cloned_and_pickled(selector, multiclass):
    model = selector().fit(*multiclass)
    copy = pickle.loads(pickle.dumps(model))
    assert np.array_equal(copy.transform(multiclass[0]), model.transform(multiclass[0]))
    again = clone(model)
    assert not hasattr(again, "support_")
    assert np.array_equal(again.fit(*multiclass).support_, model.support_)


def test_second_fit_selects_anew(selector, multiclass):
    X, y = multiclass
    frame = pd.DataFrame(X, columns=[f"feature_{i}" for i in range(12)])
    model = selector().fit(frame, y)
    model.fit(X[:, ::-1], y)
    assert np.array_equal(model.support_, selector().fit(X[:, ::-1], y).support_)
    assert not hasattr(model, "feature_names_in_")


def test_search_over_the_selector_and_its_network(selector, multiclass):
    model = make_pipeline(StandardScaler(), selector(), LogisticRegression())
    grid = {
        "sparsemlpselector__n_features_to_select": [1, 0.5],
        "sparsemlpselector__estimator__epsilon": [2, 4],
    }
    search = GridSearchCV(model, grid, cv=3).fit(*multiclass)
    scores = search.cv_results_["mean_test_score"].reshape(2, 2)
    assert scores.max() > 0.7
    best = search.best_estimator_[1]
    assert best.support_.sum() == {1: 1, 0.5: 6}[best.n_features_to_select]
    assert best.estimator_.epsilon == best.estimator.epsilon


# --- sample weights -------------------------------------------------------------------


@pytest.fixture
def weights(multiclass):
    return np.random.default_rng(1).uniform(0.1, 5, multiclass[1].size)


def expected_network(selector, multiclass, weights):
    network = selector().estimator.set_params(n_features_to_select=5)
    return network.fit(*multiclass, weights)


def test_weights_reach_the_network(selector, multiclass, weights, same_network):
    model = selector().fit(*multiclass, sample_weight=weights)
    assert same_network(model.estimator_, expected_network(selector, multiclass, weights))
    assert not same_network(model.estimator_, selector().fit(*multiclass).estimator_)


def test_weights_are_routed_where_requested(selector, multiclass, weights, same_network):
    with config_context(enable_metadata_routing=True):
        model = selector()
        model.estimator.set_fit_request(sample_weight=True)
        pipeline = make_pipeline(
            model, LogisticRegression().set_fit_request(sample_weight=False)
        )
        pipeline.fit(*multiclass, sample_weight=weights)
    expected = expected_network(selector, multiclass, weights)
    assert same_network(pipeline[0].estimator_, expected)


def test_weights_are_not_routed_where_not_requested(selector, multiclass, weights):
    with config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError):
            selector().fit(*multiclass, sample_weight=weights)
        model = selector()
        model.estimator.set_fit_request(sample_weight=False)
        with pytest.raises(TypeError, match="sample_weight"):
            model.fit(*multiclass, sample_weight=weights)
