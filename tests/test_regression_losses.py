"""Losses of regression: what they are best predicted by, and how targets are scaled."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from sklearn.metrics import (
    mean_absolute_error,
    mean_pinball_loss,
    mean_poisson_deviance,
    mean_squared_error,
    r2_score,
)

from sksparse_mlp import SparseMLPRegressor, SparseMLPRegressorCV
from sksparse_mlp.losses import LOSSES, AbsoluteError, Huber, Poisson, Quantile

by_loss = pytest.mark.parametrize("loss", LOSSES)
METRICS = {
    "squared_error": lambda y, p: mean_squared_error(y, p) / 2,
    "absolute_error": mean_absolute_error,
    "quantile": lambda y, p: mean_pinball_loss(y, p, alpha=0.5),
    "poisson": lambda y, p: mean_poisson_deviance(y, p) / 2,
    "huber": lambda y, p: np.mean(
        np.where(abs(y - p) < 1.35, (y - p) ** 2 / 2, 1.35 * (abs(y - p) - 1.35 / 2))
    ),
}


@pytest.fixture
def reg(mlp):
    """Make a small regressor."""
    return lambda **params: mlp(SparseMLPRegressor, **params)


@pytest.fixture
def counts(regression):
    """Samples whose targets are not negative, some of them zero."""
    X, y = regression
    return X, np.random.default_rng(0).poisson(np.exp(y)).astype(float)


# --- members --------------------------------------------------------------------------


@by_loss
def test_losses_are_those_of_scikit_learn(loss):
    rng = np.random.default_rng(0)
    y, predicted = rng.exponential(size=(2, 50, 1))
    assert_allclose(
        LOSSES[loss]().losses_of(y, predicted).mean(), METRICS[loss](y, predicted)
    )


@by_loss
def test_gradient_is_the_derivative_of_the_loss(loss):
    member, rng = LOSSES[loss](), np.random.default_rng(0)
    z, y = rng.standard_normal((1, 40)), rng.exponential(size=(40, 1))
    h, dz, losses = 1e-5, np.empty_like(z), np.empty(40)
    member.value_and_gradient(z, y, np.ones(40), np.arange(40), dz, losses, 0.0, 0, 40)
    up, down = (member.losses_of(y, member.predictions(z.T + s * h)) for s in (1, -1))
    assert_allclose(dz.T, (up - down) / (2 * h), rtol=1e-6, atol=1e-8)
    expected = member.losses_of(y, member.predictions(z.T))[:, 0]
    assert_allclose(losses, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("member", "best"),
    [
        (LOSSES["squared_error"](), np.mean),
        (Poisson(), np.mean),
        (AbsoluteError(), np.median),
        (Quantile(0.8), lambda y: np.quantile(y, 0.8)),
    ],
)
def test_best_constant_is_what_the_loss_is_for(member, best):
    y = np.random.default_rng(1).exponential(size=(1001, 1))
    total = lambda c: member.losses_of(y, np.full_like(y, c)).sum()  # noqa: E731
    found = minimize_scalar(total, bounds=(1e-3, 5), method="bounded")
    assert found.x == pytest.approx(best(y), rel=1e-2)


@by_loss
def test_scale_follows_the_targets(loss):
    y, weights = np.random.default_rng(0).exponential(size=200), np.ones(200)
    centre, scale = LOSSES[loss]().centre_and_scale(y, weights)
    larger = LOSSES[loss]().centre_and_scale(1000 * y, weights)
    assert_allclose(larger, (1000 * centre, 1000 * scale))
    assert 0.3 < scale < 2


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "quantile"])
def test_one_target_far_away_does_not_change_a_robust_scale(loss):
    y, weights = np.random.default_rng(0).standard_normal(200), np.ones(200)
    member = LOSSES[loss]()
    before = member.centre_and_scale(y, weights)
    y[7] = 1e9
    assert_allclose(member.centre_and_scale(y, weights), before, atol=0.05)


def test_huber_is_between_squared_and_absolute():
    y, predicted = np.zeros((3, 1)), np.array([[0.5], [2.0], [100.0]])
    assert_allclose(Huber(1.0).losses_of(y, predicted).ravel(), [0.125, 1.5, 99.5])
    assert_allclose(Huber(1e9).losses_of(y, predicted), predicted**2 / 2)


# --- networks -------------------------------------------------------------------------


@by_loss
def test_history_has_the_loss_in_units_of_the_targets(reg, counts, loss):
    X, y = counts
    params = {"alpha": 0.5, "learning_rate_init": 1e-12, "max_iter": 1, "zeta": 0}
    model = reg(loss=loss, **params).fit(X, y)
    # Nothing limits what is predicted while the network trains.
    model.target_range_ = np.array([[-np.inf], [np.inf]])
    lowest = 1e-9 if loss == "poisson" else -np.inf
    scaled = [(v - model.target_mean_) / model.target_scale_ for v in (y, model.predict(X))]
    unit = model.target_scale_[0] ** LOSSES[loss].degree
    expected = unit * METRICS[loss](scaled[0], np.maximum(scaled[1], lowest))
    if loss != "huber":
        assert expected == pytest.approx(
            METRICS[loss](y, np.maximum(model.predict(X), lowest * model.target_scale_[0]))
        )
    record = model.history_[0]
    assert record["data_loss"] == pytest.approx(expected, rel=1e-6)
    squares = sum((coef.data**2).sum() for coef in model.coefs_)
    n_batches = math.ceil(len(y) / model._batch_size())
    sizes = [
        min(model._batch_size(), len(y) - k * model._batch_size()) for k in range(n_batches)
    ]
    penalty = unit * np.average([0.25 * squares / size for size in sizes], weights=sizes)
    assert record["loss"] - record["data_loss"] == pytest.approx(penalty, rel=1e-6)


@by_loss
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_scale_of_the_targets_changes_nothing_but_that_of_predictions(
    reg, counts, loss, factor
):
    X, y = counts
    # A power of two, so that nothing is rounded.
    factor = 2.0 ** round(math.log2(factor))
    plain, scaled = (reg(loss=loss).fit(X, f * y) for f in (1, factor))
    assert_array_equal(scaled.predict(X), factor * plain.predict(X))
    unit = factor ** LOSSES[loss].degree
    assert_array_equal(scaled.loss_curve_, unit * np.array(plain.loss_curve_))
    assert len(scaled.history_) == len(plain.history_)


@by_loss
def test_every_loss_learns(reg, counts, loss):
    X, y = counts
    model = reg(loss=loss, max_iter=40, learning_rate_init=0.01).fit(X, y)
    constant = {"squared_error": np.mean, "poisson": np.mean}.get(loss, np.median)(y)
    floor = 1e-9 if loss == "poisson" else -np.inf
    assert METRICS[loss](y, np.maximum(model.predict(X), floor)) < 0.8 * METRICS[loss](
        y, np.full_like(y, constant)
    )


def test_quantile_has_its_share_below(reg, regression):
    X, y = regression
    for quantile in (0.2, 0.8):
        model = reg(loss="quantile", quantile=quantile, max_iter=60, alpha=0.0).fit(X, y)
        assert np.mean(y < model.predict(X)) == pytest.approx(quantile, abs=0.1)


@by_loss
def test_predictions_stay_within_the_targets(reg, counts, loss):
    X, y = counts
    model = reg(loss=loss).fit(X, y)
    far = 1e6 * X
    rounding = 1e-6 * np.ptp(y)
    assert y.min() - rounding <= model.predict(far).min()
    assert model.predict(far).max() <= y.max() + rounding
    assert_array_equal(model.predictor().predict(far), model.predict(far))
    model.target_range_ = np.array([[-np.inf], [np.inf]])
    assert model.predict(far).max() > 2 * y.max()


def test_range_grows_with_what_is_learned(reg, regression):
    X, y = regression
    model = reg().partial_fit(X, y).partial_fit(X, 3 * y)
    assert_allclose(model.target_range_.ravel(), [3 * y.min(), 3 * y.max()])


# --- what is missing ------------------------------------------------------------------


@by_loss
def test_samples_without_target_are_left_out(reg, counts, loss, same_network):
    X, y = counts
    missing = np.arange(len(y)) % 4 == 1
    holes = np.where(missing, np.nan, y)
    expected = reg(loss=loss, shuffle=False).fit(X[~missing], y[~missing])
    model = reg(loss=loss, shuffle=False).fit(X, holes)
    assert same_network(model, expected)
    assert model.score(X, holes) == pytest.approx(expected.score(X[~missing], y[~missing]))


@by_loss
def test_missing_target_teaches_nothing(reg, counts, loss):
    X, y = counts
    holes = np.where(np.arange(len(y)) % 3 == 0, np.nan, y)
    # One output, and another that is known everywhere.
    model = reg(loss=loss, max_iter=30).fit(X, np.column_stack([holes, y]))
    assert np.isfinite(model.predict(X)).all()
    assert np.isfinite([record["loss"] for record in model.history_]).all()
    assert model.score(X, np.column_stack([holes, y])) > 0.2


def test_loss_is_the_mean_over_targets_that_are_there(reg, regression):
    X, y = regression
    both = np.column_stack([y, np.where(np.arange(len(y)) < 75, np.nan, -y)])
    params = {"alpha": 0.0, "learning_rate_init": 1e-12, "max_iter": 1, "zeta": 0}
    model = reg(**params).fit(X, both)
    model.target_range_ = np.array([[-np.inf], [np.inf]])
    errors = ((both - model.predict(X)) / model.target_scale_) ** 2 / 2
    expected = np.nanmean(errors, axis=1).mean() * (model.target_scale_**2).mean()
    assert model.loss_ == pytest.approx(expected, rel=1e-6)


@by_loss
def test_validation_samples_may_lack_targets(reg, counts, loss):
    X, y = counts
    holes = np.where(np.arange(len(y)) % 3 == 0, np.nan, y)
    model = reg(loss=loss, early_stopping=True).fit(
        X[:100], holes[:100], X_val=X[100:], y_val=holes[100:]
    )
    assert np.isfinite([record["validation_loss"] for record in model.history_]).all()
    known = ~np.isnan(holes[100:])
    best = max(record["validation_score"] for record in model.history_)
    assert model.score(X[100:][known], y[100:][known]) <= best + 1e-6


def test_partial_fit_takes_targets_that_are_missing(reg, regression):
    X, y = regression
    holes = np.where(np.arange(len(y)) % 3 == 0, np.nan, y)
    both = np.column_stack([holes, y])
    model = reg().partial_fit(X, both)
    assert np.isfinite(model.partial_fit(X[:2], both[:2]).predict(X)).all()


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_unsuitable_targets_are_refused(reg, regression, method):
    X, y = regression
    call = lambda model, *data: getattr(model, method)(*data)  # noqa: E731
    with pytest.raises(ValueError, match="'poisson' is for targets that are not negative"):
        call(reg(loss="poisson"), X, y)
    with pytest.raises(ValueError, match="no target that is a number in column 1"):
        call(reg(), X, np.column_stack([y, np.full_like(y, np.nan)]))
    with pytest.raises(ValueError, match="contains NaN for every sample"):
        call(reg(), X, np.full_like(y, np.nan))


def test_validation_targets_are_checked_first(reg, counts):
    X, y = counts
    with pytest.raises(ValueError, match="not negative, and y has -1"):
        reg(loss="poisson").fit(X, y, X_val=X, y_val=np.full_like(y, -1))


@pytest.mark.parametrize("quantile", [0, 1, -0.5, 1.5, np.nan, "0.5"])
def test_quantile_is_within_zero_and_one(reg, regression, quantile):
    with pytest.raises(ValueError, match="quantile"):
        reg(loss="quantile", quantile=quantile).fit(*regression)
    with pytest.raises(ValueError, match="quantile"):
        reg(loss=Quantile(quantile)).fit(*regression)


def test_scorers_need_every_target(reg, regression):
    X, y = regression
    both = np.column_stack([np.where(np.arange(len(y)) % 3 == 0, np.nan, y), y])
    model = reg(early_stopping=True, scoring="r2")
    with pytest.raises(ValueError, match="scoring='r2' cannot judge"):
        model.fit(X, both)


# --- ensembles ------------------------------------------------------------------------


@by_loss
def test_ensemble_leaves_out_what_is_missing(mlp, counts, loss):
    X, y = counts
    rng = np.random.default_rng(0)
    both = np.where(rng.random((len(y), 2)) < 0.2, np.nan, np.column_stack([y, 1000 * y]))
    network = mlp(SparseMLPRegressor, loss=loss, max_iter=20, learning_rate_init=0.01)
    model = SparseMLPRegressorCV(network, cv=3, random_state=0).fit(X, both)
    assert np.isfinite(model.predict(X)).all()
    known = ~np.isnan(both).all(axis=1)
    assert model.oof_score_ == pytest.approx(
        np.mean(
            [
                r2_score(t[~np.isnan(t)], p[~np.isnan(t)])
                for t, p in zip(both[known].T, model.oof_predictions_[known].T, strict=True)
            ]
        )
    )
    with pytest.raises(ValueError, match="scoring='r2' cannot judge"):
        SparseMLPRegressorCV(network, cv=3, scoring="r2").fit(X, both)
