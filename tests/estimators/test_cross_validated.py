"""Cross-fitted ensembles: what they predict, choose, refuse and keep."""

import pickle
from contextlib import nullcontext

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, make_multilabel_classification
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import GroupKFold, ShuffleSplit
from sklearn.preprocessing import scale

from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPClassifierCV,
    SparseMLPRegressor,
    SparseMLPRegressorCV,
)
from sksparse_mlp.estimators import _cross_fitting
from sksparse_mlp.estimators._search import FACTOR, rungs

FAST = {"hidden_layer_sizes": (32,), "learning_rate": "cosine", "learning_rate_init": 0.01}
FAST |= {"epsilon": 5, "max_iter": 30, "random_state": 0}


def digits(n=300):
    X, y = load_digits(return_X_y=True)
    return (X[:n] / 16).astype(np.float32), y[:n].astype(str)


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return scale(X)[:200], y[:200] / 100


def classifier(**parameters):
    network = SparseMLPClassifier(**FAST)
    return SparseMLPClassifierCV(network, random_state=0, **{"cv": 3, **parameters})


def regressor(**parameters):
    return SparseMLPRegressorCV(
        SparseMLPRegressor(**FAST), random_state=0, **{"cv": 3, **parameters}
    )


CASES = {"classifier": (classifier, digits), "regressor": (regressor, diabetes)}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request):
    make, load = request.param
    return make, *load()


def predictions(ensemble, X):
    name = "predict_proba" if hasattr(ensemble, "predict_proba") else "predict"
    return getattr(ensemble, name)(X)


# --- what is predicted ----------------------------------------------------------------


def test_the_mean_of_the_members_is_predicted(case):
    make, X, y = case
    for ensemble in (make(linear=False).fit(X, y), make().fit(X, y)):
        members = ensemble.member_predictions(X)
        assert members.shape == (3, *predictions(ensemble, X).shape)
        np.testing.assert_allclose(members.mean(axis=0), predictions(ensemble, X), 1e-5)
        if ensemble.linear_estimators_ is None:
            alone = [predictions(e, X) for e in ensemble.estimators_]
            np.testing.assert_allclose(members, alone, 1e-5)


def test_samples_far_from_all_others_are_predicted_within_the_targets():
    X, y = diabetes()
    far = X[:5].copy()
    far[:, 2] = 1e4
    predicted = regressor().fit(X, y).predict(far)
    assert y.min() <= predicted.min() <= predicted.max() <= y.max()


def test_left_out_predictions_are_of_members_that_did_not_see_the_sample(case):
    make, X, y = case
    folds = [np.arange(k, len(X), 3) for k in range(3)]
    splits = [(np.setdiff1d(np.arange(len(X)), fold), fold) for fold in folds]
    ensemble = make(cv=splits).fit(X, y)
    for fold, of_member in zip(folds, ensemble.member_predictions(X), strict=True):
        np.testing.assert_allclose(
            ensemble.oof_predictions_[fold], of_member[fold], rtol=1e-4, atol=1e-6
        )


def test_scores_are_those_of_the_left_out_predictions():
    X, y = digits()
    clf = classifier().fit(X, y)
    proba = clf.oof_predictions_
    assert clf.best_score_ == pytest.approx(-log_loss(y, proba), rel=1e-5)
    assert clf.oof_score_ == accuracy_score(y, clf.classes_[proba.argmax(axis=1)])
    X, y = diabetes()
    reg = regressor().fit(X, y)
    assert reg.oof_score_ == pytest.approx(r2_score(y, reg.oof_predictions_))
    errors = (y - reg.oof_predictions_) ** 2
    assert reg.best_score_ == pytest.approx(-0.5 * errors.mean())


def test_samples_that_are_left_out_often_or_never():
    X, y = diabetes()
    cv = ShuffleSplit(3, test_size=0.3, random_state=0)
    reg = regressor(cv=cv).fit(X, y)
    never = ~np.isin(np.arange(len(X)), np.concatenate([b for _, b in cv.split(X)]))
    assert never.any()
    np.testing.assert_array_equal(np.isnan(reg.oof_predictions_), never)
    assert np.isfinite([reg.best_score_, reg.oof_score_]).all()


def test_linear_models_take_part_as_far_as_that_is_good():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 30))
    y = X @ rng.normal(size=30)
    with_them, without = regressor().fit(X, y), regressor(linear=False).fit(X, y)
    assert with_them.network_share_ < 0.5
    assert with_them.best_score_ > without.best_score_
    assert without.network_share_ == 1
    assert without.linear_estimators_ is None


KINDS = {
    "numbers": {},
    "inputs leave": {"n_features_to_select": 20, "growth": "gradient"},
    "inputs chosen": {"n_features_to_select": "auto"},
    "shortcuts": {"growth": "liset", "gamma": 0.2, "zeta_schedule": "loss"},
    "within epochs": {"evolve_every": 2, "batch_norm": True, "solver": "sgd"},
    "pruned": {"pruning": "importance", "activation": "srelu"},
}


@pytest.mark.parametrize("parameters", KINDS.values(), ids=KINDS)
def test_members_that_move_after_every_verdict_train_as_they_would_here(
    parameters, monkeypatch, same_network
):
    X, y = (diabetes if not parameters else digits)()
    ensemble = (regressor if not parameters else classifier)(linear=False, refit=True)
    ensemble.set_params(**{f"estimator__{name}": parameters[name] for name in parameters})
    here = clone(ensemble).fit(X, y)

    class Elsewhere:
        unbroken = nullcontext

        def __init__(self, material):
            self.material = pickle.dumps(material)

        def map(self, function, calls):
            def moved(call):
                call = pickle.loads(self.material), *pickle.loads(pickle.dumps(call))
                return pickle.loads(pickle.dumps(function(*call)))

            return list(map(moved, calls))

    monkeypatch.setattr(
        _cross_fitting, "ground_for", lambda material, *_: nullcontext(Elsewhere(material))
    )
    there = clone(ensemble).fit(X, y)
    assert len(here.history_) > 2
    pairs = zip(here.estimators_, there.estimators_, strict=True)
    for one, other in (*pairs, (here.best_estimator_, there.best_estimator_)):
        assert same_network(one, other)
        np.testing.assert_equal(untimed(one.history_), untimed(other.history_))
        assert np.array_equal(getattr(one, "support_", 0), getattr(other, "support_", 0))


@pytest.mark.nightly
def test_processes_change_nothing(case):
    make, X, y = case
    # Processes have larger arrays in shared memory: of the data, and here of the weights.
    X, y = np.repeat(X, 20, axis=0), np.repeat(y, 20)
    network = {"hidden_layer_sizes": (1000, 400), "epsilon": 200, "max_iter": 2}
    ensemble = make(cv=2, linear=False)
    ensemble.estimator.set_params(**network)
    here = clone(ensemble).fit(X, y)
    with joblib.parallel_config("loky", n_jobs=2):
        there = clone(ensemble).fit(X, y)
    assert here.estimators_[0].coefs_[1].data.nbytes > 2**20
    assert here.history_ == there.history_
    np.testing.assert_array_equal(here.oof_predictions_, there.oof_predictions_)


def untimed(history):
    return [
        {name: value for name, value in record.items() if "seconds" not in name}
        for record in history
    ]


# --- what is chosen -------------------------------------------------------------------


def test_the_epoch_of_the_best_score_is_taken(case):
    make, X, y = case
    ensemble = make(n_iter_no_change=np.inf).fit(X, y)
    curve = {record["epoch"]: record["score"] for record in ensemble.history_}
    assert ensemble.best_score_ == max(curve.values()) == curve[ensemble.n_epochs_]
    assert max(curve) == 30
    for network in ensemble.estimators_:
        assert network.n_iter_ == len(network.history_) == ensemble.n_epochs_


def test_training_ends_when_the_score_no_longer_improves():
    X, y = diabetes()
    n_epochs = [
        regressor(n_iter_no_change=3, min_updates=n).fit(X, y).history_[-1]["epoch"]
        for n in (0, 10_000)
    ]
    assert n_epochs[0] < n_epochs[1] == 30


def test_members_are_networks_that_were_trained_alone():
    pytest.importorskip("sklearn.callback")
    X, y = digits()
    train = np.arange(100, len(X))
    splits = [(train, np.arange(100)), (np.arange(200), np.arange(200, 300))]
    clf = classifier(cv=splits, linear=False).fit(X, y)
    network = clone(clf.estimators_[0]).set_params(n_iter_no_change=np.inf)

    class Stop:
        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context):
            return context.task_name == "epoch" and context.task_id + 1 == clf.n_epochs_

    network.set_callbacks(Stop()).fit(X[train], y[train])
    np.testing.assert_array_equal(
        network.predict_proba(X), clf.estimators_[0].predict_proba(X)
    )


def test_a_grid_is_searched_by_halving():
    X, y = digits()
    grid = {"alpha": [0.01, 0.1, 1000], "class_weight": [None, "balanced"]}
    clf = classifier(param_grid=grid, linear=False).fit(X, y)
    results = clf.cv_results_
    assert [len(results[name]) for name in results] == [6] * len(results)
    assert clf.best_params_ == results["params"][clf.best_index_]
    assert results["rank_test_score"][clf.best_index_] == 1
    assert clf.best_params_["alpha"] < 1000
    trained = results["n_epochs_trained"]
    assert trained[results["param_alpha"] == 1000].max() < trained.max()
    assert {e.alpha for e in clf.estimators_} == {clf.best_params_["alpha"]}


def test_the_best_score_is_the_highest_even_if_others_left_before_their_inputs_did():
    X, y = digits()
    network = SparseMLPClassifier(**FAST, n_features_to_select=4)
    grid = {"alpha": [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]}
    clf = SparseMLPClassifierCV(network, grid, cv=3, linear=False, random_state=0)
    clf.fit(X, y)
    scores = clf.cv_results_["mean_test_score"]
    left = clf.cv_results_["n_epochs_trained"] == clf.cv_results_["n_epochs_trained"].min()
    assert np.isneginf(scores[left]).all()
    assert clf.best_score_ == scores.max() > -np.inf
    assert clf.cv_results_["rank_test_score"][clf.best_index_] == 1


@pytest.mark.parametrize("n_teams", [1, 2, 3, 4, 9, 12, 20, 100])
def test_one_team_is_left_after_the_last_rung(n_teams):
    epochs = rungs(n_teams, 100, 1)
    assert epochs == sorted(epochs)
    left = n_teams
    for _ in epochs:
        left = -(-left // FACTOR)
    assert left == 1
    assert rungs(n_teams, 5, 40) == [5] * len(epochs)


def test_a_scorer_may_choose():
    X, y = digits()
    for scoring in ("accuracy", lambda estimator, X, y: estimator.score(X, y)):
        clf = classifier(scoring=scoring).fit(X, y)
        assert clf.best_score_ == clf.oof_score_
    clf = classifier(scoring="roc_auc_ovr").fit(X, y)
    assert 0.9 < clf.best_score_ <= 1


def test_one_network_for_all_samples():
    X, y = digits()
    clf = classifier(refit=True).fit(X, y)
    assert clf.best_estimator_.n_iter_ == clf.n_epochs_
    assert clf.best_estimator_.score(X, y) > 0.9
    assert not hasattr(classifier().fit(X, y), "best_estimator_")
    # The state of another fit does not stay.
    assert not hasattr(clf.set_params(refit=False).fit(X, y), "best_estimator_")


# --- kinds of data --------------------------------------------------------------------


def test_any_number_of_threads_gives_the_same_bits(case):
    make, X, y = case
    grid = {"alpha": [0.01, 0.1], "dropout": [0, 0.2]}
    one, two = (make(param_grid=grid, n_jobs=n).fit(X, y) for n in (1, 2))
    np.testing.assert_array_equal(one.oof_predictions_, two.oof_predictions_)
    np.testing.assert_array_equal(predictions(one, X), predictions(two, X))


def test_sparse_input_is_the_same_as_dense(case):
    make, X, y = case
    dense, csr = (
        make(linear=False).fit(X, y),
        make(linear=False).fit(sparse.csr_array(X), y),
    )
    np.testing.assert_allclose(
        predictions(dense, X), predictions(csr, sparse.csr_array(X)), rtol=1e-4, atol=1e-6
    )


def test_groups_stay_together():
    X, y = digits()
    groups = np.arange(len(X)) % 7
    clf = classifier(cv=GroupKFold(3)).fit(X, y, groups=groups)
    again = classifier(cv=list(GroupKFold(3).split(X, y, groups))).fit(X, y)
    np.testing.assert_array_equal(clf.oof_predictions_, again.oof_predictions_)


def test_samples_without_weight_are_left_out(case):
    make, X, y = case
    weights = np.ones(len(X))
    weights[::4] = 0
    whole, part = make().fit(X, y, weights), make().fit(X[weights > 0], y[weights > 0])
    np.testing.assert_allclose(predictions(whole, X), predictions(part, X), rtol=1e-5)
    assert np.isfinite(whole.oof_predictions_).all()


def test_the_scale_of_weights_changes_nothing(case):
    make, X, y = case
    weights = np.random.default_rng(0).uniform(0.5, 2, len(X))
    one, other = make().fit(X, y, weights), make().fit(X, y, weights / 1024)
    np.testing.assert_allclose(predictions(one, X), predictions(other, X), rtol=1e-5)


def test_any_number_of_labels():
    X, y = make_multilabel_classification(150, 10, n_classes=4, random_state=0)
    clf = classifier().fit(scale(X), y)
    proba = clf.predict_proba(scale(X))
    assert proba.shape == clf.oof_predictions_.shape == y.shape
    np.testing.assert_array_equal(clf.predict(scale(X)), proba > 0.5)


def test_several_targets():
    X, y = diabetes()
    reg = regressor().fit(X, np.column_stack([y, -y]))
    assert reg.predict(X).shape == reg.oof_predictions_.shape == (200, 2)
    assert reg.member_predictions(X).shape == (3, 200, 2)


# --- estimators -----------------------------------------------------------------------


def test_pickles_and_clones(case):
    make, X, y = case
    ensemble = make(param_grid={"alpha": [0.1, 1]}).fit(X, y)
    copy = pickle.loads(pickle.dumps(ensemble))
    np.testing.assert_array_equal(predictions(copy, X), predictions(ensemble, X))
    assert clone(ensemble).get_params().keys() == ensemble.get_params().keys()


def test_callbacks_see_every_verdict_and_may_stop():
    callback = pytest.importorskip("sklearn.callback")

    class Count:
        n = 0

        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context):
            self.n += context.task_name == "verdict"
            return self.n == 3

    count = Count()
    X, y = digits()
    clf = classifier().set_callbacks(count).fit(X, y)
    assert count.n == len(clf.history_) == 3
    classifier().set_callbacks(callback.ProgressBar()).fit(X, y)


def test_an_error_leaves_the_estimator_as_it_was(case):
    make, X, y = case
    ensemble = make().fit(X, y)
    before = predictions(ensemble, X)
    state = dict(vars(ensemble))
    for parameters in ({"cv": 1}, {"param_grid": {"alpha": [-1]}}):
        with pytest.raises(ValueError, match=next(iter(parameters))[:2]):
            ensemble.set_params(**parameters).fit(X, y)
        ensemble.set_params(cv=3, param_grid=None)
    assert vars(ensemble).keys() == state.keys()
    np.testing.assert_array_equal(predictions(ensemble, X), before)


REFUSED = {
    "few samples": ({"cv": 400}, "at least as many samples"),
    "one fold": ({"cv": 1}, "'cv' parameter"),
    "unknown name": ({"param_grid": {"slop": [1]}}, "slop"),
    "no values": ({"param_grid": {"slope": []}}, "slope"),
    "bad value": ({"param_grid": {"dropout": [0.1, 2]}}, "dropout"),
    "unknown scorer": ({"scoring": "acuracy"}, "scoring"),
    "overlap": ({"cv": [(np.arange(300), np.arange(9))] * 2}, "trains on"),
    "no class": ({"cv": [(np.arange(5), np.arange(5, 300))] * 2}, "no sample of the"),
}


@pytest.mark.parametrize(("parameters", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        classifier(**parameters).fit(*digits())


def test_a_class_of_one_sample_is_refused():
    X, y = digits()
    y[0] = "alone"
    with pytest.raises(ValueError, match="alone"):
        classifier().fit(X, y)


def test_another_kind_of_network_is_refused():
    with pytest.raises(ValueError, match="SparseMLPClassifier"):
        SparseMLPClassifierCV(SparseMLPRegressor()).fit(*digits())


def test_selection_frequencies_are_shares_of_the_members():
    X, y = digits()
    clf = classifier().fit(X, y)
    assert not hasattr(clf, "selection_frequencies_")
    network = SparseMLPClassifier(**FAST, n_features_to_select=10)
    clf = SparseMLPClassifierCV(network, cv=3, random_state=0).fit(X, y)
    supports = [member.support_ for member in clf.estimators_]
    assert [support.sum() for support in supports] == [10] * 3
    np.testing.assert_array_equal(clf.selection_frequencies_, np.mean(supports, axis=0))
    copy = SparseMLPClassifierCV.from_arrays(clf.export_arrays())
    np.testing.assert_array_equal(copy.selection_frequencies_, clf.selection_frequencies_)
