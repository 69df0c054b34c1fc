"""The estimators inside scikit-learn's tools, joblib, pandas and polars."""

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

import sksparse_mlp
from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPRegressor,
    SparseMLPSelector,
    analysis,
)
from sksparse_mlp.activations import ACTIVATIONS, AllReLU, LeakyReLU
from sksparse_mlp.analysis import (
    ExpectedGradients,
    LayerActivations,
    LayerClassifier,
    NodeActivity,
    NodeClassifier,
)
from sksparse_mlp.initializers import INITIALIZERS
from sksparse_mlp.schedules import ZETA_SCHEDULES, Constant
from sksparse_mlp.topology import GROWTHS, PRUNINGS

FAMILIES = {
    "activation": ACTIVATIONS,
    "zeta_schedule": ZETA_SCHEDULES,
    "growth": GROWTHS,
    "pruning": PRUNINGS,
    "init": INITIALIZERS,
}
MEMBERS = [(family, name) for family, names in FAMILIES.items() for name in names]


# --- pipelines and searches -----------------------------------------------------------


def test_pipeline_scales_before_training(mlp, multiclass, same_network):
    X, y = multiclass
    pipeline = make_pipeline(StandardScaler(), mlp(max_iter=20)).fit(1e3 * X + 7, y)
    direct = mlp(max_iter=20).fit(StandardScaler().fit_transform(1e3 * X + 7), y)
    assert same_network(pipeline[-1], direct)
    assert pipeline.score(1e3 * X + 7, y) > 0.9


def test_grid_search_in_parallel_equals_serial(mlp, multiclass, same_network):
    grid = {"slope": [0.1, 0.5], "epsilon": [2, 4], "zeta": [0.0, 0.3]}
    search = GridSearchCV(mlp(), grid, cv=3)
    serial = clone(search).fit(*multiclass)
    parallel = clone(search).set_params(n_jobs=2).fit(*multiclass)
    scores = serial.cv_results_["mean_test_score"]
    assert np.array_equal(scores, parallel.cv_results_["mean_test_score"])
    assert np.unique(scores).size > 1
    assert serial.best_params_ == parallel.best_params_
    assert same_network(serial.best_estimator_, parallel.best_estimator_)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_search_and_estimators_may_both_ask_for_threads(mlp, multiclass, backend):
    search = GridSearchCV(mlp(), {"zeta": [0.0, 0.3]}, cv=2)
    serial = clone(search).fit(*multiclass)
    search.set_params(n_jobs=2, estimator__n_jobs=2)
    with joblib.parallel_config(backend), warnings.catch_warnings():
        # One core is too few for the last fit, which is not one of many.
        warnings.filterwarnings("ignore", "n_jobs=2 asks for 2 threads, but only 1")
        search.fit(*multiclass)
    scores = serial.cv_results_["mean_test_score"]
    assert np.array_equal(scores, search.cv_results_["mean_test_score"])


@pytest.mark.parametrize("parameter", ["slope", "epsilon", "zeta"])
def test_every_searched_parameter_changes_the_network(
    mlp, multiclass, same_network, parameter
):
    one, other = {"slope": (0.1, 0.5), "epsilon": (2, 4), "zeta": (0.0, 0.3)}[parameter]
    networks = [mlp(**{parameter: value}).fit(*multiclass) for value in (one, other)]
    assert not same_network(*networks)


def test_cross_validation_in_parallel_equals_serial(mlp, multiclass):
    serial = cross_val_score(mlp(max_iter=15), *multiclass, cv=4)
    parallel = cross_val_score(mlp(max_iter=15), *multiclass, cv=4, n_jobs=2)
    assert np.array_equal(serial, parallel)
    assert serial.mean() > 0.7


def test_nested_parameters_of_an_instance_are_searched(mlp, multiclass):
    model = mlp(activation=AllReLU(slope=0.5))
    search = GridSearchCV(model, {"activation__slope": [0.0, 0.7]}, cv=2, refit=False)
    search.fit(*multiclass)
    by_name = GridSearchCV(mlp(), {"slope": [0.0, 0.7]}, cv=2, refit=False).fit(*multiclass)
    scores = search.cv_results_["mean_test_score"]
    assert np.array_equal(scores, by_name.cv_results_["mean_test_score"])
    assert model.activation.slope == 0.5


# --- copies ---------------------------------------------------------------------------


@pytest.mark.parametrize(("parameter", "name"), MEMBERS)
def test_clone_keeps_instances_of_the_families(mlp, parameter, name):
    instance = FAMILIES[parameter][name]()
    copy = clone(mlp(**{parameter: instance}))
    cloned = getattr(copy, parameter)
    assert cloned is not instance
    assert type(cloned) is type(instance)
    assert cloned.get_params() == instance.get_params()


@pytest.mark.parametrize(("parameter", "name"), MEMBERS)
def test_instances_train_and_are_left_as_they_are(mlp, multiclass, parameter, name):
    instance = FAMILIES[parameter][name]()
    before = vars(instance).copy()
    model = mlp(**{parameter: instance}).fit(*multiclass)
    assert getattr(model, parameter) is instance
    assert vars(instance) == before
    assert model.score(*multiclass) > 0.4


def test_parameters_of_instances_are_used(mlp, multiclass):
    model = mlp(activation=LeakyReLU(slope=0.1), zeta_schedule=Constant(zeta=0.2))
    model.fit(*multiclass)
    assert model.slopes_ == [0.1, 0.1]
    assert model.history_[0]["zeta"] == 0.2


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_pickle_predicts_the_same(mlp, multiclass, same_network, method):
    X, y = multiclass
    model = getattr(mlp(), method)(X, y, *([[0, 1, 2]] if method == "partial_fit" else []))
    copy = pickle.loads(pickle.dumps(model))
    assert same_network(copy, model)
    assert np.array_equal(copy.predict_proba(X), model.predict_proba(X))
    assert copy.history_ == model.history_


def test_joblib_dump_loads_also_memory_mapped(mlp, multiclass, tmp_path):
    X, y = multiclass
    model = mlp().fit(X, y)
    joblib.dump(model, tmp_path / "model.joblib")
    for mmap_mode in (None, "r"):
        copy = joblib.load(tmp_path / "model.joblib", mmap_mode=mmap_mode)
        assert np.array_equal(copy.predict_proba(X), model.predict_proba(X))


def test_memory_mapped_model_trains_on(mlp, multiclass, tmp_path, same_network):
    X, y = multiclass
    model = mlp().fit(X, y)
    joblib.dump(model, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert same_network(mapped.partial_fit(X, y), model.partial_fit(X, y))


# --- meta-estimators ------------------------------------------------------------------


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(mlp, multiclass, method):
    X, y = multiclass
    model = CalibratedClassifierCV(mlp(max_iter=20), method=method, cv=3).fit(X, y)
    proba = model.predict_proba(X)
    assert np.allclose(proba.sum(axis=1), 1)
    assert np.mean(model.predict(X) == y) > 0.85


def test_voting_averages_probabilities(mlp, multiclass):
    X, y = multiclass
    members = [("sparse", mlp(max_iter=20)), ("linear", LogisticRegression())]
    model = VotingClassifier(members, voting="soft").fit(X, y)
    mean = np.mean([member.predict_proba(X) for member in model.estimators_], axis=0)
    assert np.allclose(model.predict_proba(X), mean)
    assert model.score(X, y) > 0.85


def test_bagging(mlp, multiclass, same_network):
    X, y = multiclass
    model = BaggingClassifier(mlp(max_iter=20), n_estimators=3, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.85
    assert not same_network(*model.estimators_[:2])


def test_permutation_importance_finds_the_informative_features(mlp):
    X = np.random.default_rng(0).normal(size=(300, 6))
    y = (X[:, 1] - X[:, 4] > 0).astype(int)
    model = mlp(max_iter=40, epsilon=20, zeta=0).fit(X, y)
    importance = permutation_importance(model, X, y, n_repeats=3, random_state=0)
    assert set(np.argsort(importance.importances_mean)[-2:]) == {1, 4}


# --- metadata routing -----------------------------------------------------------------


@pytest.fixture
def routing():
    with config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def weights(multiclass):
    return np.random.default_rng(1).uniform(0.1, 5, multiclass[1].size)


def test_sample_weight_is_routed_through_a_pipeline(
    mlp, multiclass, weights, same_network, routing
):
    X, y = multiclass
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    pipeline = make_pipeline(scaler, mlp().set_fit_request(sample_weight=True))
    pipeline.fit(X, y, sample_weight=weights)
    scaled = StandardScaler().fit_transform(X)
    assert same_network(pipeline[-1], mlp().fit(scaled, y, weights))
    assert not same_network(pipeline[-1], mlp().fit(scaled, y))


@pytest.mark.parametrize("routed", [True, False])
def test_sample_weight_is_routed_through_a_search(
    mlp, multiclass, weights, same_network, routing, routed
):
    X, y = multiclass
    model = (
        mlp().set_fit_request(sample_weight=routed).set_score_request(sample_weight=True)
    )
    search = GridSearchCV(model, {"zeta": [0.3]}, cv=3).fit(X, y, sample_weight=weights)
    expected = mlp().fit(X, y, weights if routed else None)
    assert same_network(search.best_estimator_, expected)


# --- frames ---------------------------------------------------------------------------

FRAMES = {
    "pandas": (pd.DataFrame, pd.Series),
    "polars": (pl.DataFrame, lambda y: pl.Series(y.tolist())),
}
LABELS = np.array(["one", "other", "third"])


@pytest.fixture(params=FRAMES)
def library(request):
    return request.param


@pytest.fixture
def frame(multiclass, library):
    X, y = multiclass
    make_frame, make_series = FRAMES[library]
    columns = {f"feature_{i}": X[:, i] for i in range(X.shape[1])}
    return make_frame(columns), make_series(LABELS[y])


def test_frames_train_as_arrays(mlp, frame, multiclass, same_network):
    X, y = frame
    model = mlp().fit(X, y)
    assert model.feature_names_in_.tolist() == list(X.columns)
    plain = mlp().fit(multiclass[0], LABELS[multiclass[1]])
    assert same_network(model, plain)
    assert np.array_equal(model.predict_proba(X), plain.predict_proba(multiclass[0]))
    assert np.array_equal(model.predict(X), plain.predict(multiclass[0]))
    assert model.score(X, y) == plain.score(multiclass[0], LABELS[multiclass[1]])


def test_frames_train_by_parts_as_arrays(mlp, frame, multiclass, same_network):
    X, y = frame
    model = mlp().partial_fit(X, y, classes=LABELS)
    plain = mlp().partial_fit(multiclass[0], LABELS[multiclass[1]], classes=LABELS)
    assert same_network(model, plain)
    assert model.feature_names_in_.tolist() == list(X.columns)


def test_frames_with_other_columns_are_refused(mlp, frame):
    X, y = frame
    model = mlp().fit(X, y)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X[list(X.columns)[::-1]])
    with pytest.raises(ValueError, match="feature names should match"):
        model.partial_fit(X.rename(**renaming(X)), y)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X.to_numpy())


def renaming(frame):
    """Arguments that rename the first column."""
    argument = "columns" if isinstance(frame, pd.DataFrame) else "mapping"
    return {argument: {"feature_0": "other"}}


def test_frames_of_several_targets_train_a_regressor(frame, multiclass, same_network):
    X, _ = frame
    targets = X[["feature_0", "feature_1"]]
    model = SparseMLPRegressor(max_iter=2, random_state=0)
    on_arrays = clone(model).fit(multiclass[0], multiclass[0][:, :2])
    assert same_network(model.fit(X, targets), on_arrays)
    assert np.array_equal(model.predict(X), on_arrays.predict(multiclass[0]))


TRANSFORMERS = {
    ExpectedGradients: lambda mlp: ExpectedGradients(mlp, n_steps=4),
    SparseMLPSelector: lambda mlp: SparseMLPSelector(mlp, n_features_to_select=5),
    LayerActivations: lambda mlp: LayerActivations(mlp, layers=[2]),
    NodeActivity: NodeActivity,
    LayerClassifier: lambda mlp: LayerClassifier(mlp, layer=1, system="discrete"),
    NodeClassifier: lambda mlp: NodeClassifier(mlp, layer=1, node=2, system="continuous"),
}


def test_all_transformers_are_tested():
    found = [
        member
        for module in (sksparse_mlp, analysis)
        for name in module.__all__
        if hasattr(member := getattr(module, name), "transform")
    ]
    assert set(TRANSFORMERS) == set(found)


@pytest.mark.parametrize("cls", TRANSFORMERS)
def test_transformers_give_frames(mlp, frame, library, cls):
    X, y = frame
    transformer = TRANSFORMERS[cls](mlp().fit(X, y)).fit(X, y)
    plain = transformer.transform(X)
    transformed = transformer.set_output(transform=library).transform(X)
    assert isinstance(transformed, FRAMES[library][0])
    assert list(transformed.columns) == transformer.get_feature_names_out().tolist()
    plain = plain.toarray() if sparse.issparse(plain) else np.asarray(plain)
    assert np.array_equal(transformed.to_numpy(), plain)


def test_a_pipeline_gives_the_names_of_selected_features(mlp, frame, library):
    X, y = frame
    selector = SparseMLPSelector(mlp(), n_features_to_select=5)
    pipeline = make_pipeline(StandardScaler(), selector, mlp())
    pipeline.set_output(transform=library).fit(X, y)
    kept = [
        name for name, is_kept in zip(X.columns, selector.support_, strict=True) if is_kept
    ]
    assert pipeline[-1].feature_names_in_.tolist() == kept
    assert pipeline[:-1].get_feature_names_out().tolist() == kept


def test_frames_are_split_and_searched(mlp, frame, multiclass):
    search = GridSearchCV(mlp(), {"zeta": [0.0, 0.3]}, cv=2)
    arrays = multiclass[0], LABELS[multiclass[1]]
    expected = clone(search).fit(*arrays).cv_results_["mean_test_score"]
    assert np.array_equal(search.fit(*frame).cv_results_["mean_test_score"], expected)


# --- representations ------------------------------------------------------------------

ESTIMATORS = [
    SparseMLPClassifier,
    SparseMLPRegressor,
    SparseMLPSelector,
    *(cls for names in FAMILIES.values() for cls in names.values()),
]


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_text_makes_the_same_estimator(cls):
    estimator = cls()
    assert repr(estimator) == f"{cls.__name__}()"


def test_html_shows_steps_and_changed_parameters():
    selector = SparseMLPSelector(SparseMLPClassifier(slope=0.125))
    html = estimator_html_repr(make_pipeline(selector, SparseMLPRegressor(alpha=0.375)))
    for text in (
        "SparseMLPSelector",
        "SparseMLPClassifier",
        "SparseMLPRegressor",
        "0.125",
        "0.375",
    ):
        assert text in html


def test_html_says_whether_a_network_is_fitted(multiclass):
    model = SparseMLPClassifier(max_iter=2)
    assert "Not fitted" in estimator_html_repr(model)
    assert "Not fitted" not in estimator_html_repr(model.fit(*multiclass))
