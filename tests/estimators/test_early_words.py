"""What cannot work is said before training, and what goes on shares nothing."""

import copy
import pickle

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import AdaBoostClassifier
from sklearn.exceptions import ConvergenceWarning

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.schedules import Cosine

KINDS = [
    {"solver": "sgd"},
    {"activation": "prelu", "batch_norm": True},
    {"growth": "liset", "evolve_every": 1},
    {"growth": "gradient", "evolve_every": 1},
]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"zeta_schedule": Cosine},
            r"Cosine is a class; give an instance of it, Cosine\(\)",
        ),
        (
            {"zeta_schedule": lambda epoch: 0.1},
            r"cannot be called with \(epoch, n_epochs\)",
        ),
        ({"record": "train_score"}, "is one name and must be a list.*train_score"),
        ({"record": ["scores"]}, "'scores'; allowed are"),
    ],
)
def test_parameters_that_cannot_work(mlp, multiclass, params, words):
    with pytest.raises(ValueError, match=words):
        mlp(**params).fit(*multiclass)


@pytest.mark.parametrize("classes", [{0, 1, 2}, [[0, 1, 2]], "012"])
def test_classes_must_be_listed(mlp, multiclass, classes):
    with pytest.raises(ValueError, match="classes must be a list or an array of one dim"):
        mlp().partial_fit(*multiclass, classes=classes)


def test_epsilon_that_looks_like_adams(mlp, multiclass):
    with pytest.warns(UserWarning, match=r"epsilon=1e-08 .* none for the .*adam_epsilon"):
        mlp(epsilon=1e-8).fit(*multiclass)
    with pytest.warns(UserWarning, match="choose a larger epsilon") as told:
        mlp(epsilon=0.2).fit(*multiclass)
    assert "adam_epsilon" not in str(told[0].message)


@pytest.mark.parametrize(
    ("method", "params"),
    [("fit", {"epsilon": 4}), ("partial_fit", {"init": "he_normal"})],
)
def test_what_a_network_that_goes_on_keeps_is_said(mlp, multiclass, method, params):
    model = mlp(warm_start=True).fit(*multiclass).set_params(**params)
    with pytest.warns(UserWarning, match=f"{next(iter(params))}=.* has no effect"):
        getattr(model, method)(*multiclass)


def test_a_seed_that_partial_fit_cannot_change_is_said(mlp, multiclass):
    model = mlp().partial_fit(*multiclass, classes=[0, 1, 2]).set_params(random_state=9)
    with pytest.warns(UserWarning, match="random_state=9 has no effect"):
        model.partial_fit(*multiclass)


def test_one_sample_has_no_moments(mlp):
    with pytest.raises(ValueError, match="batch_norm=True needs batches of at least 2"):
        mlp(batch_norm=True).partial_fit([[1.0, 2.0]], [0], classes=[0, 1])
    X = np.random.default_rng(0).standard_normal((33, 4))
    model = mlp(batch_norm=True, batch_size=32, dropout=0.0)
    assert np.isfinite(model.fit(X, np.arange(33) % 2).loss_curve_).all()


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_divergence_recommends_another_solver(mlp, multiclass, solver):
    model = mlp(solver=solver, learning_rate_init=1e300)
    with pytest.warns(ConvergenceWarning, match="Lower learning_rate_init") as told:
        model.fit(*multiclass)
    assert ("solver='adam'" in str(told[0].message)) == (solver == "sgd")


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_steep_rate_becomes_nothing(mlp, multiclass, method):
    model = mlp(learning_rate="invscaling", power_t=1000.0, solver="sgd")
    options = {"classes": [0, 1, 2]} if method == "partial_fit" else {}
    for _ in range(2):
        getattr(model, method)(*multiclass, **options)
    assert np.isfinite(model.loss_)


def test_invscaling_goes_on_with_the_samples_seen(mlp, multiclass):
    schedule = {"learning_rate": "invscaling", "solver": "sgd", "max_iter": 2}
    model = mlp(**schedule, warm_start=True).fit(*multiclass).fit(*multiclass)
    rates = [record["learning_rate"] for record in model.history_]
    n = multiclass[1].size
    expected = [0.01, 0.01 / (n + 1) ** 0.5, 0.01, 0.01 / (3 * n + 1) ** 0.5]
    np.testing.assert_allclose(rates, expected)


def test_a_billion_epochs_and_samples_per_batch_begin_at_once(mlp, multiclass):
    calls = []

    def schedule(epoch, n_epochs):
        calls.append(epoch)
        return 0.1

    model = mlp(max_iter=10**9, batch_size=10**9, zeta_schedule=schedule)
    model.partial_fit(*multiclass, classes=[0, 1, 2])
    assert 0 < len(calls) < 1000
    assert max(calls) == 10**9 - 1


@pytest.mark.parametrize("params", KINDS)
def test_read_only_arrays_go_on(mlp, multiclass, params, same_network):
    model = mlp(**params).partial_fit(*multiclass, classes=[0, 1, 2])
    buffers = []
    data = pickle.dumps(model, 5, buffer_callback=buffers.append)
    frozen = pickle.loads(data, buffers=[bytes(buffer.raw()) for buffer in buffers])
    for each in (model, frozen):
        each.partial_fit(*multiclass)
    assert same_network(model, frozen)


@pytest.mark.parametrize("params", KINDS)
def test_shallow_copies_share_no_momentum(mlp, multiclass, params, same_network):
    model = mlp(**params).partial_fit(*multiclass, classes=[0, 1, 2])
    twin = copy.deepcopy(model)
    copy.copy(model).partial_fit(*multiclass)
    for each in (model, twin):
        each.partial_fit(*multiclass)
    assert same_network(model, twin)


def test_memory_maps_are_exported_and_go_on(mlp, multiclass, tmp_path, same_network):
    model = mlp().partial_fit(*multiclass, classes=[0, 1, 2])
    joblib.dump(model, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    copied = SparseMLPClassifier.from_arrays(mapped.export_arrays())
    for each in (model, mapped, copied):
        each.partial_fit(*multiclass)
    assert same_network(model, mapped)
    assert same_network(model, copied)


def test_boosted_networks_learn():
    X, y = load_digits(return_X_y=True)
    member = SparseMLPClassifier((32,), max_iter=15, random_state=0)
    model = AdaBoostClassifier(member, n_estimators=2, random_state=0)
    assert model.fit(X / 16, y).score(X / 16, y) > 0.9
