"""The map of a grid's scores, and the curve by which an epoch is chosen."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from sksparse_mlp import SparseMLPClassifier, SparseMLPClassifierCV
from sksparse_mlp.analysis import GridDisplay, OutOfFoldDisplay


def searched(grid):
    network = SparseMLPClassifier((20, 10), epsilon=2, max_iter=5, random_state=0)
    clf = SparseMLPClassifierCV(network, grid, cv=2, linear=False, random_state=0)
    return clf.fit(*load_iris(return_X_y=True))


def test_scores_stand_at_their_parameters():
    clf = searched({"alpha": [0.01, 1], "epsilon": [1.5, 2, 3]})
    display = GridDisplay.from_estimator(clf, rows="epsilon", columns="alpha")
    assert display.rows == ("epsilon", [1.5, 2, 3])
    for params, score in zip(
        clf.cv_results_["params"], clf.cv_results_["mean_test_score"], strict=True
    ):
        row, column = [1.5, 2, 3].index(params["epsilon"]), [0.01, 1].index(params["alpha"])
        assert display.scores[row, column] == score
    best = display.best_.get_xydata()[0].astype(int)
    assert display.scores[best[1], best[0]] == clf.best_score_


def test_the_best_over_other_parameters_is_shown():
    clf = searched({"alpha": [0.01, 1], "epsilon": [1, 2], "dropout": [0, 0.5]})
    display = GridDisplay.from_estimator(clf)
    assert display.scores.shape == (2, 2)
    assert display.scores.max() == clf.best_score_


def test_one_parameter_has_one_column():
    display = GridDisplay.from_estimator(searched({"alpha": [0.01, 0.1, 1]}))
    assert display.scores.shape == (3, 1)
    assert np.isfinite(display.scores).all()


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(ValueError, match="param_grid"):
        GridDisplay.from_estimator(searched(None))
    with pytest.raises(ValueError, match="slope"):
        GridDisplay.from_estimator(searched({"alpha": [1]}), rows="slope")


@pytest.mark.parametrize("linear", [False, True])
def test_the_curve_has_every_verdict_and_the_epoch_chosen(linear):
    X, y = load_iris(return_X_y=True)
    network = SparseMLPClassifier((20, 10), epsilon=2, max_iter=8, random_state=0)
    clf = SparseMLPClassifierCV(network, cv=2, linear=linear, random_state=0).fit(X, y)
    display = OutOfFoldDisplay.from_estimator(clf)
    epochs, scores = display.lines_["score"].get_data()
    assert list(epochs) == [record["epoch"] for record in clf.history_]
    assert list(scores) == [record["score"] for record in clf.history_]
    np.testing.assert_array_equal(
        display.best_.get_xydata(), [[clf.n_epochs_, clf.best_score_]]
    )
    blended = any(record["share"] < 1 for record in clf.history_)
    assert len(display.axes_) == 1 + blended
    assert blended <= linear
