"""scikit-learn's callbacks see every epoch, and can stop training."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

callback = pytest.importorskip("sklearn.callback")

EPOCHS = 4


# --- a recording callback -------------------------------------------------------------


def test_one_task_per_epoch_within_the_fit(mlp, multiclass, recorder):
    record = recorder()
    mlp(max_iter=EPOCHS).set_callbacks(record).fit(*multiclass)
    epochs = [(hook, "epoch", i) for i in range(EPOCHS) for hook in ("begin", "end")]
    fit = [("begin", "fit", 0), *epochs, ("end", "fit", 0), ("teardown", "fit", 0)]
    assert record.events == fit
    assert record.max_subtasks == EPOCHS


def test_each_epoch_comes_with_an_estimator_as_if_fit_had_stopped(
    mlp, multiclass, recorder, same_network
):
    X, _ = multiclass
    record = recorder()
    model = mlp(max_iter=EPOCHS).set_callbacks(record).fit(*multiclass)
    for n_epochs, epoch in enumerate(record.epochs, start=1):
        stopped = mlp(max_iter=n_epochs).fit(*multiclass)
        assert same_network(epoch, stopped)
        assert np.array_equal(epoch.predict_proba(X), stopped.predict_proba(X))
        assert epoch.loss_curve_ == stopped.loss_curve_ == model.loss_curve_[:n_epochs]
        assert epoch.n_iter_ == n_epochs
        assert epoch is not model
        pickle.dumps(epoch)


def test_estimator_of_an_epoch_keeps_its_own_history(mlp, multiclass, recorder):
    record = recorder()
    mlp(max_iter=EPOCHS).set_callbacks(record).fit(*multiclass)
    lengths = [len(epoch.history_) for epoch in record.epochs]
    assert lengths == list(range(1, EPOCHS + 1))


def test_callbacks_get_the_training_data_and_weights(mlp, multiclass, recorder):
    X, codes = multiclass
    y = np.array(["a", "b", "c"])[codes]
    weights = np.linspace(1, 2, y.size)
    record = recorder()
    mlp().set_callbacks(record).fit(X, y, sample_weight=weights)
    for told in record.told:
        assert np.array_equal(told["X"], X)
        assert np.array_equal(told["y"], y)
        assert np.array_equal(told["metadata"]["sample_weight"], weights)


def test_no_weights_are_no_metadata(mlp, multiclass, recorder):
    record = recorder()
    mlp().set_callbacks(record).fit(*multiclass)
    assert all(not told["metadata"] for told in record.told)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_callback_stops_training(mlp, multiclass, recorder, same_network, early_stopping):
    params = {"early_stopping": early_stopping, "validation_fraction": 0.3}
    record = recorder(stop_after=2)
    model = mlp(max_iter=50, **params).set_callbacks(record).fit(*multiclass)
    assert model.n_iter_ == len(model.history_) == len(record.epochs) == 2
    assert same_network(model, mlp(max_iter=2, **params).fit(*multiclass))
    assert record.events[-2:] == [("end", "fit", 0), ("teardown", "fit", 0)]


def test_any_of_several_callbacks_stops_training(mlp, multiclass, recorder):
    model = mlp(max_iter=9).set_callbacks(recorder(stop_after=3), recorder())
    assert model.fit(*multiclass).n_iter_ == 3


def test_training_that_stops_by_itself_ends_the_tasks(mlp, multiclass, recorder):
    record = recorder()
    model = mlp(max_iter=50, tol=1e9, n_iter_no_change=1).set_callbacks(record)
    assert model.fit(*multiclass).n_iter_ == 3 == len(record.epochs)
    assert record.events[-2:] == [("end", "fit", 0), ("teardown", "fit", 0)]


def test_callbacks_change_nothing(mlp, multiclass, recorder, same_network):
    watched = mlp(dropout=0.2).set_callbacks(
        recorder(), callback.ScoringMonitor(scoring="accuracy")
    )
    assert same_network(watched.fit(*multiclass), mlp(dropout=0.2).fit(*multiclass))


def test_callbacks_are_cloned_and_can_be_removed(mlp, multiclass, recorder):
    record = recorder()
    model = mlp().set_callbacks(record)
    model.set_callbacks().fit(*multiclass)
    assert record.events == []
    watched = mlp().set_callbacks(callback.ScoringMonitor(scoring="accuracy"))
    assert pickle.loads(pickle.dumps(clone(watched).fit(*multiclass))).n_iter_ == EPOCHS


@pytest.mark.parametrize("bad", ["a name", callback.ProgressBar, print])
def test_what_is_not_a_callback_is_refused(mlp, bad):
    with pytest.raises(TypeError, match="callbacks must be instances"):
        mlp().set_callbacks(bad)


# --- scikit-learn's own callbacks -----------------------------------------------------


@pytest.fixture
def progress(monkeypatch, capsys):
    """A progress bar, how far its bars went, and what it showed."""
    rich_progress = pytest.importorskip("rich.progress")
    monkeypatch.setenv("COLUMNS", "250")
    done = []
    update = rich_progress.Progress.update

    def watched(self, task_id, **changes):
        update(self, task_id, **changes)
        task = self.tasks[task_id]
        done.append((task.description, task.completed, task.total))

    monkeypatch.setattr(rich_progress.Progress, "update", watched)
    return lambda: (done, capsys.readouterr().out)


def test_progress_bar_shows_epochs(mlp, multiclass, progress):
    mlp(max_iter=EPOCHS).set_callbacks(callback.ProgressBar()).fit(*multiclass)
    done, shown = progress()
    fit = "SparseMLPClassifier - fit"
    assert [d[1:] for d in done if d[1:] != (1, 1)] == [(i + 1, EPOCHS) for i in range(4)]
    assert done[-1] == (fit, 1, 1)
    assert fit in shown
    assert "100%" in shown


def test_progress_bar_is_complete_when_training_stops_early(mlp, multiclass, progress):
    model = mlp(max_iter=500, tol=1e9, n_iter_no_change=1)
    model.set_callbacks(callback.ProgressBar()).fit(*multiclass)
    done, shown = progress()
    assert (done[-2][1:], done[-1][1:]) == ((3, 500), (1, 1))
    assert "100%" in shown


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_progress_bar_shows_epochs_inside_a_search(mlp, multiclass, progress, n_jobs):
    search = GridSearchCV(
        mlp(max_iter=EPOCHS), {"zeta": [0.0, 0.3]}, cv=2, n_jobs=n_jobs, refit=False
    )
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(*multiclass)
    done, shown = progress()
    of_epochs = [d[1:] for d in done if "SparseMLPClassifier" in d[0] and d[2] == EPOCHS]
    assert sorted(of_epochs) == sorted([(i + 1, EPOCHS) for i in range(EPOCHS)] * 4)
    assert shown.count("SparseMLPClassifier - fit") == 4


LABELS = {
    "codes": np.array([0, 1, 2]),
    "other_numbers": np.array([5, -1, 7]),
    "text": np.array(["one", "two", "three"]),
}


@pytest.mark.parametrize("labels", LABELS)
def test_scoring_monitor_logs_the_score_of_every_epoch(mlp, multiclass, recorder, labels):
    X, codes = multiclass
    y = LABELS[labels][codes]
    monitor, record = callback.ScoringMonitor(scoring="accuracy"), recorder()
    model = mlp(max_iter=EPOCHS).set_callbacks(monitor, record).fit(X, y)
    rows = monitor.get_logs().data
    scores = [row["accuracy"] for row in rows if row["task_name"] == "epoch"]
    assert scores == [np.mean(epoch.predict(X) == y) for epoch in record.epochs]
    assert len(scores) == EPOCHS
    assert len(set(scores)) > 1
    (final,) = [row["accuracy"] for row in rows if row["task_name"] == "fit"]
    assert final == model.score(X, y)


def test_scoring_monitor_takes_sample_weights(mlp, multiclass):
    X, y = multiclass
    weights = np.where(y == 0, 1.0, 0.01)
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = mlp(max_iter=EPOCHS).set_callbacks(monitor).fit(X, y, sample_weight=weights)
    final = monitor.get_logs().data[0]["accuracy"]
    assert final == pytest.approx(model.score(X, y, sample_weight=weights))
    assert final != pytest.approx(model.score(X, y))


def test_scoring_monitor_takes_csr_input(mlp, multiclass):
    X, y = multiclass
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = mlp().set_callbacks(monitor).fit(sparse.csr_array(X), y)
    assert monitor.get_logs().data[0]["accuracy"] == model.score(X, y)
