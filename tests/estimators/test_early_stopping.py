"""Validation samples: given or set apart, what judges them, and what they decide."""

from copy import deepcopy

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor
from sksparse_mlp.core.training import Training

FAST = {"hidden_layer_sizes": (32,), "epsilon": 5, "max_iter": 40, "random_state": 0}
FAST |= {"learning_rate_init": 0.01, "tol": 0}


def digits():
    X, y = load_digits(return_X_y=True)
    X, y = (X / 16).astype(np.float32), y.astype(str)
    return X[:400], y[:400], {"X_val": X[400:600], "y_val": y[400:600]}


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X), y / 100
    return X[:200], y[:200], {"X_val": X[200:300], "y_val": y[200:300]}


def classifier(**parameters):
    return SparseMLPClassifier(**{**FAST, "early_stopping": True, **parameters})


def test_the_loss_of_given_samples_is_recorded_and_the_best_epoch_restored():
    X, y, validation = digits()
    clf = classifier().fit(X, y, **validation)
    losses = [record["validation_loss"] for record in clf.history_]
    proba = clf.predict_proba(validation["X_val"])
    assert log_loss(validation["y_val"], proba) == pytest.approx(min(losses), rel=1e-5)
    scores = [record["validation_score"] for record in clf.history_]
    best = len(losses) - 1 - int(np.argmin(losses[::-1]))
    assert clf.score(validation["X_val"], validation["y_val"]) == scores[best]


def test_targets_are_judged_by_their_loss():
    X, y, validation = diabetes()
    reg = SparseMLPRegressor(**FAST, early_stopping=True).fit(X, y, **validation)
    errors = (validation["y_val"] - reg.predict(validation["X_val"])) ** 2
    losses = [record["validation_loss"] for record in reg.history_]
    assert 0.5 * errors.mean() == pytest.approx(min(losses), rel=1e-6)


def best_epoch(model):
    """Epochs trained when the validation samples were predicted best."""
    values = [-record["validation_loss"] for record in model.history_]
    if model.scoring != "loss":
        values = model.validation_scores_
    return len(values) - int(np.argmax(values[::-1]))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"scoring": "accuracy", "learning_rate": "constant", "batch_norm": True},
        {"learning_rate": "exponential", "growth": "liset", "evolve_every": 3},
        {"random_state": np.random.RandomState(1), "max_iter": 5},
    ],
    ids=["default", "accuracy", "liset", "random_state"],
)
def test_all_samples_are_learned_for_as_many_epochs_as_were_best(parameters):
    X, y, validation = digits()
    clf = classifier(**{"learning_rate_init": 0.02, **deepcopy(parameters)}).fit(X, y)
    best = best_epoch(clf)
    # A whole training that a callback ends then, so that schedules are the same.
    plain = classifier(**{"learning_rate_init": 0.02, **deepcopy(parameters)})
    plain.set_params(early_stopping=False, n_iter_no_change=np.inf)
    with pytest.MonkeyPatch.context() as patch:
        ended_after(patch, best)
        plain.fit(X, y)
    assert plain.n_iter_ == best <= clf.n_iter_ == len(clf.history_)
    np.testing.assert_array_equal(clf.predict_proba(X), plain.predict_proba(X))
    assert not np.array_equal(
        clf.predict_proba(X),
        classifier(**deepcopy(parameters)).fit(X, y, **validation).predict_proba(X),
    )


def ended_after(patch, n_epochs):
    """Let trainings end after so many epochs."""
    record = SparseMLPClassifier._record

    def recorded(self, entry):
        record(self, entry)
        self._run.training.finished |= self.n_iter_ == n_epochs

    patch.setattr(SparseMLPClassifier, "_record", recorded)


def test_the_second_training_has_the_rates_of_the_first(monkeypatch):
    X, y, _ = digits()
    rates, second = [], {"learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 0.1}
    train = Training._train_epoch

    def watched(self, *arguments):
        entry = train(self, *arguments)
        rates.append(entry["learning_rate"])
        return entry

    monkeypatch.setattr(Training, "_train_epoch", watched)
    clf = classifier(**second, batch_size=16).fit(X, y)
    n = clf.n_iter_
    assert len(set(rates[:n])) > 1
    assert rates[n:] == rates[: best_epoch(clf)]


@pytest.fixture
def best_of_a_part():
    """The fit without its second training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SparseMLPClassifier, "_train_anew", lambda *_: None)
        return classifier().fit(*digits()[:2])


@pytest.mark.parametrize("epoch", [1, 7])
def test_ctrl_c_in_the_second_training_restores_the_best_epoch(
    monkeypatch, best_of_a_part, epoch
):
    X, y, _ = digits()
    train, called = Training._train_epoch, []

    def interrupted(self, *arguments):
        called.append(self)
        if sum(training is not called[0] for training in called) == epoch:
            raise KeyboardInterrupt
        return train(self, *arguments)

    monkeypatch.setattr(Training, "_train_epoch", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted after"):
        clf = classifier().fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), best_of_a_part.predict_proba(X))
    assert clf.n_iter_ == best_of_a_part.n_iter_


def test_a_second_training_that_diverges_restores_the_best_epoch(
    monkeypatch, best_of_a_part
):
    X, y, _ = digits()
    begun = SparseMLPClassifier._repeated_training

    def ruinous(self, first, samples, rates):
        return begun(self, first, samples, [1e300] * len(rates))

    monkeypatch.setattr(SparseMLPClassifier, "_repeated_training", ruinous)
    clf = classifier().fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), best_of_a_part.predict_proba(X))


def test_training_that_goes_on_has_no_second_training(monkeypatch):
    X, y, _ = digits()
    clf = classifier(warm_start=True).fit(X, y)
    monkeypatch.setattr(SparseMLPClassifier, "_repeated_training", None)
    assert len(clf.fit(X, y).history_) > clf.n_iter_


def test_patience_is_at_least_a_hundred_updates():
    X, y, validation = digits()
    # Validation labels that cannot be learned: no epoch is better than the first ones.
    validation["y_val"] = np.roll(validation["y_val"], 7)
    few, many = (
        classifier(n_iter_no_change=1, max_iter=300, batch_size=size).fit(
            X, y, **validation
        )
        for size in (400, 20)
    )
    assert 100 < few.n_iter_ < 300
    assert 6 <= many.n_iter_ < 40


def test_validation_samples_do_not_train_and_only_decide_with_early_stopping():
    X, y, validation = digits()
    plain = classifier(early_stopping=False).fit(X, y)
    watched = classifier(early_stopping=False).fit(X, y, **validation)
    np.testing.assert_array_equal(plain.predict_proba(X), watched.predict_proba(X))
    assert "validation_loss" in watched.history_[-1]
    assert "validation_loss" not in plain.history_[-1]


@pytest.mark.parametrize("scoring", ["accuracy", lambda e, X, y: e.score(X, y)])
def test_a_scorer_may_decide(scoring):
    X, y, validation = digits()
    clf = classifier(scoring=scoring).fit(X, y, **validation)
    score = clf.score(validation["X_val"], validation["y_val"])
    assert score == clf.best_validation_score_ == max(clf.validation_scores_)


def test_scorers_judge_targets_and_samples_set_apart():
    X, y, validation = diabetes()
    reg = SparseMLPRegressor(**FAST, early_stopping=True, scoring="r2")
    reg.fit(X, y, **validation)
    assert reg.best_validation_score_ == pytest.approx(
        reg.score(validation["X_val"], validation["y_val"])
    )
    assert reg.fit(X, y).best_validation_score_ > 0


def test_weights_of_validation_samples_count():
    X, y, validation = digits()
    half = {name: part[:100] for name, part in validation.items()}
    weights = np.repeat([1.0, 0.0], 100)
    weighted = classifier().fit(X, y, **validation, sample_weight_val=weights)
    part = classifier().fit(X, y, **half)
    np.testing.assert_array_equal(weighted.predict_proba(X), part.predict_proba(X))


def test_sparse_and_other_dtypes_of_validation_samples():
    X, y, validation = digits()
    dense = classifier().fit(X, y, **validation)
    validation["X_val"] = sparse.csr_array(validation["X_val"].astype(np.float64))
    other = classifier().fit(X, y, **validation)
    np.testing.assert_array_equal(dense.predict_proba(X), other.predict_proba(X))


def test_pipelines_transform_validation_samples():
    X, y, validation = digits()
    with config_context(enable_metadata_routing=True):
        clf = classifier().set_fit_request(X_val=True, y_val=True)
        model = make_pipeline(StandardScaler(), clf, transform_input=["X_val"])
        model.fit(X, y, **validation)
        scaler = StandardScaler().fit(X)
        by_hand = classifier().fit(
            scaler.transform(X), y, X_val=scaler.transform(validation["X_val"]),
            y_val=validation["y_val"],
        )  # fmt: skip
    assert (
        model[-1].history_[-1]["validation_loss"] == by_hand.history_[-1]["validation_loss"]
    )


REFUSED = {
    "columns": ({"X_val": np.zeros((5, 3)), "y_val": list("01234")}, "features"),
    "classes": ({"X_val": np.zeros((2, 64)), "y_val": ["0", "other"]}, "other"),
    "no targets": ({"X_val": np.zeros((2, 64))}, "y_val"),
    "no samples": ({"y_val": ["0"]}, "X_val"),
    "no weight": (
        {"X_val": np.zeros((1, 64)), "y_val": ["0"], "sample_weight_val": [0]},
        "non-zero",
    ),
}


@pytest.mark.parametrize(("validation", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_validation_samples_are_refused(validation, message):
    X, y, _ = digits()
    clf = classifier()
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y, **validation)
    assert not hasattr(clf, "coefs_")
