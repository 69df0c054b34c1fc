"""Activity, dead nodes and sparsity are those that can be counted by hand."""

import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
    parametrize_with_checks,
)
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.activations import ACTIVATIONS, CST, CReLU, ReLUTau, SoftThreshold
from sksparse_mlp.analysis._activations import LayerActivations
from sksparse_mlp.analysis._activity import NodeActivity

# Hidden layers: x, -x and always off; then |x| - 2 and always off.
X = np.array([[1.0], [2], [3], [-1], [-4], [-5]])
Y = np.array(["a", "a", "a", "a", "b", "b"])


@pytest.fixture
def by_hand():
    """A network of one feature whose activity is known."""

    def make(activation="relu", dtype=np.float64, y=Y, second_bias=(-2.0, -1)):
        clf = SparseMLPClassifier((3, 2), activation=activation, max_iter=1, zeta=0)
        clf.fit(X.astype(dtype), y)
        coefs = [[1.0, -1, 0]], [[1.0, 0], [1, 0], [0, 0]], [[1.0], [1]]
        clf.coefs_ = [sparse.csr_array(np.array(coef, dtype)) for coef in coefs]
        biases = [0, 0, -1], second_bias, [0]
        clf.intercepts_ = [np.array(bias, dtype) for bias in biases]
        return clf

    return make


def assert_activity(activity, first, second):
    assert_array_equal(activity.activity_[0], first)
    assert_array_equal(activity.activity_[1], second)


# --- networks made by hand ------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_relu_network_made_by_hand(by_hand, dtype, container):
    activity = NodeActivity(by_hand(dtype=dtype)).fit(container(X.astype(dtype)), Y)
    assert_activity(activity, [[0.75, 0], [0.25, 1], [0, 0]], [[0.25, 1], [0, 0]])
    assert [layer.dtype for layer in activity.activity_] == [np.float64] * 2
    assert_array_equal(activity.dead_nodes_[0], [False, False, True], strict=True)
    assert_array_equal(activity.dead_nodes_[1], [False, True], strict=True)
    # Nodes x and -x are each off for half of the samples, |x| - 2 for 3 of 6.
    assert_array_equal(activity.sparsity_, [0.5, 0.5], strict=True)
    assert activity.classes_.tolist() == ["a", "b"]


def test_sparsity_leaves_dead_nodes_out(by_hand):
    clf = by_hand()
    clf.coefs_[0] = sparse.csr_array(np.array([[1.0, 1, 0]]))
    clf.intercepts_[0] = np.array([0.0, 4.5, -1])
    activity = NodeActivity(clf).fit(X, Y)
    # Off for 3 and for 1 of 6 samples.
    assert activity.sparsity_[0] == pytest.approx((3 / 6 + 1 / 6) / 2, rel=1e-15)


def test_sparsity_of_a_layer_that_is_dead_is_nan(by_hand):
    activity = NodeActivity(by_hand(second_bias=(-20, -1))).fit(X, Y)
    assert activity.dead_nodes_[1].all()
    assert_array_equal(activity.sparsity_, [0.5, np.nan])


def test_node_that_is_on_for_one_sample_is_not_dead(by_hand):
    activity = NodeActivity(by_hand(second_bias=(-4.5, -1))).fit(X, Y)
    assert_array_equal(activity.activity_[1], [[0, 0.5], [0, 0]])
    assert_array_equal(activity.dead_nodes_[1], [False, True])


@pytest.mark.parametrize(
    ("activation", "on"),
    [
        # x and -x are on from here, |x| as well.
        ("identity", [[0.75, 0], [0.25, 1], [0, 0]]),
        ("tanh", [[0.75, 0], [0.25, 1], [0, 0]]),
        ("logistic", [[0.75, 0], [0.25, 1], [0, 0]]),
        ("leaky_relu", [[0.75, 0], [0.25, 1], [0, 0]]),
        ("all_relu", [[0.75, 0], [0.25, 1], [0, 0]]),
        ("srelu", [[0.75, 0], [0.25, 1], [0, 0]]),
        (ReLUTau(1.0), [[0.5, 0], [0, 1], [0, 0]]),
        (CReLU(2.5, 1.0), [[0.25, 0], [0, 1], [0, 0]]),
        (SoftThreshold(1.0), [[0.5, 1], [0.5, 1], [0, 0]]),
        (CST(2.5, 1.0), [[0.25, 1], [0.25, 1], [0, 0]]),
    ],
)
def test_what_is_on_depends_on_the_activation(by_hand, activation, on):
    activity = NodeActivity(by_hand(activation)).fit(X, Y)
    assert_array_equal(activity.activity_[0], on)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activity_follows_from_the_values(mlp, multiclass, name, dtype, batch_norm):
    data, y = multiclass[0].astype(dtype), multiclass[1]
    clf = mlp(activation=name, batch_norm=batch_norm).fit(data, y)
    activity = NodeActivity(clf).fit(data, y)
    unit = clf._fitted_network().hidden[0].activation
    on = []
    for layer in (1, 2):
        pre, post = (
            LayerActivations(clf, layers=layer, stage=stage).transform(data)
            for stage in ("pre", "post")
        )
        post = post.toarray() if sparse.issparse(post) else post
        on.append(unit.is_on(pre, post))
        expected = [on[-1][y == label].mean(axis=0) for label in clf.classes_]
        assert_allclose(activity.activity_[layer - 1], np.transpose(expected), rtol=1e-12)
        dead = ~on[-1].any(axis=0)
        assert_array_equal(activity.dead_nodes_[layer - 1], dead)
        sparsity = 1 - on[-1][:, ~dead].mean()
        assert activity.sparsity_[layer - 1] == pytest.approx(sparsity, rel=1e-12)
    matrix = activity.transform(data)
    assert_array_equal(matrix.toarray(), np.hstack(on))


@pytest.mark.parametrize("n_samples", [256, 257, 700])
def test_batches_add_up(by_hand, n_samples):
    rng = np.random.default_rng(n_samples)
    data = rng.integers(-5, 6, size=(n_samples, 1)).astype(float)
    y = np.where(rng.random(n_samples) < 0.2, "a", "b")
    activity = NodeActivity(by_hand()).fit(data, y)
    for column, label in enumerate("ab"):
        x = data[y == label, 0]
        assert_array_equal(
            [layer[0, column] for layer in activity.activity_],
            [np.mean(x > 0), np.mean(abs(x) > 2)],
        )
    assert (
        activity.transform(data).toarray()[:, 3].tolist() == (abs(data[:, 0]) > 2).tolist()
    )


def test_labels_may_be_any_part_of_the_data_in_any_order(by_hand):
    order = [5, 0, 4, 2]
    activity = NodeActivity(by_hand()).fit(X[order], Y[order])
    assert_activity(activity, [[1, 0], [0, 1], [0, 0]], [[0.5, 1], [0, 0]])


def test_two_classes_have_two_columns_although_there_is_one_output(by_hand):
    clf = by_hand(y=np.array([1, 1, 1, 1, 0, 0]))
    activity = NodeActivity(clf).fit(X, [1, 1, 1, 1, 0, 0])
    assert activity.classes_.tolist() == [0, 1]
    assert_array_equal(activity.activity_[0], [[0, 0.75], [1, 0.25], [0, 0]])


# --- transform and tables -------------------------------------------------------------


def test_transform_gives_the_on_off_matrix(by_hand):
    activity = NodeActivity(by_hand()).fit(X, Y)
    on = activity.transform(X)
    assert sparse.issparse(on)
    assert on.format == "csr"
    assert on.dtype == bool
    assert_array_equal(
        on.toarray().astype(int),
        [
            [1, 0, 0, 0, 0],
            [1, 0, 0, 0, 0],
            [1, 0, 0, 1, 0],
            [0, 1, 0, 0, 0],
            [0, 1, 0, 1, 0],
            [0, 1, 0, 1, 0],
        ],
    )
    names = ["layer1_node0", "layer1_node1", "layer1_node2", "layer2_node0", "layer2_node1"]
    assert activity.get_feature_names_out().tolist() == names


def test_data_frames_of_the_on_off_matrix(by_hand):
    activity = NodeActivity(by_hand()).set_output(transform="pandas")
    frame = activity.fit(X, Y).transform(X)
    assert frame.dtypes.tolist() == [bool] * 5
    assert frame["layer2_node0"].tolist() == [False, False, True, False, True, True]


def test_table_of_the_activity(by_hand):
    table = NodeActivity(by_hand()).fit(X, Y).to_pandas()
    assert isinstance(table, pd.DataFrame)
    assert table.index.names == ["layer", "node"]
    assert table.columns.name == "class"
    assert table.columns.tolist() == ["a", "b"]
    assert table.index.tolist() == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    assert table.loc[(1, 0)].tolist() == [0.75, 0]
    assert table.loc[(2, 0), "b"] == 1


# --- bad input ------------------------------------------------------------------------


def test_unfitted_estimator_is_refused(mlp):
    for estimator in (mlp(), FrozenEstimator(mlp())):
        with pytest.raises(NotFittedError, match="SparseMLPClassifier"):
            NodeActivity(estimator).fit(X, Y)


@pytest.mark.parametrize("name", ["transform", "get_feature_names_out", "to_pandas"])
def test_fit_comes_first(by_hand, name):
    arguments = [X] if name == "transform" else []
    with pytest.raises(NotFittedError, match="NodeActivity"):
        getattr(NodeActivity(by_hand()), name)(*arguments)


@pytest.mark.parametrize("bad", [None, "relu", LogisticRegression()])
def test_other_estimators_are_refused(bad):
    with pytest.raises(ValueError, match="'estimator' parameter of NodeActivity"):
        NodeActivity(bad).fit(X, Y)


@pytest.mark.parametrize(
    ("data", "y", "message"),
    [
        (X, ["a"] * 6, "no samples of the classes"),
        (X, ["a", "b", "c", "a", "a", "b"], r"labels \['c'\]"),
        (X, Y[:-1], "inconsistent numbers of samples"),
        (X, None, "requires y to be passed"),
        (np.hstack([X, X]), Y, "X has 2 features"),
        (X[:, 0], Y, "Reshape your data"),
        (X * np.nan, Y, "contains NaN"),
    ],
)
def test_unsuitable_data_are_refused(by_hand, data, y, message):
    with pytest.raises(ValueError, match=message):
        NodeActivity(by_hand()).fit(data, y)


def test_other_numbers_of_features_are_refused_by_transform(by_hand):
    with pytest.raises(ValueError, match="X has 2 features"):
        NodeActivity(by_hand()).fit(X, Y).transform(np.hstack([X, X]))


def test_labels_in_a_column_are_warned_about(by_hand):
    with pytest.warns(DataConversionWarning, match="column-vector"):
        activity = NodeActivity(by_hand()).fit(X, Y[:, np.newaxis])
    assert_array_equal(activity.activity_[0], [[0.75, 0], [0.25, 1], [0, 0]])


# --- the scikit-learn way -------------------------------------------------------------


class OnChecksData(NodeActivity):
    """Fits its network on the data that a check brings."""

    _parameter_constraints: dict = {"estimator": [None]}

    def __init__(self, estimator=None):
        super().__init__(estimator)

    def fit(self, X, y):
        clf = SparseMLPClassifier((8, 6), zeta=0, max_iter=2, random_state=0)
        self.network_ = clf.fit(X, y)
        return super().fit(X, y)

    def _fitted(self):
        check_is_fitted(self, "network_")
        return self.network_


@parametrize_with_checks([OnChecksData()])
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        check_dataframe_column_names_consistency,
        check_transformer_get_feature_names_out,
        check_transformer_get_feature_names_out_pandas,
    ],
)
def test_check_outside_check_estimator(check):
    check("OnChecksData", OnChecksData())


def test_clones_keep_the_fitted_estimator(by_hand):
    clf = by_hand()
    copy = clone(NodeActivity(clf).fit(X, Y))
    assert copy.estimator is clf
    assert not hasattr(copy, "activity_")


def test_frozen_estimators_are_as_good(by_hand):
    activity = NodeActivity(FrozenEstimator(by_hand())).fit(X, Y)
    assert_activity(activity, [[0.75, 0], [0.25, 1], [0, 0]], [[0.25, 1], [0, 0]])


def test_after_a_scaler_in_a_pipeline_with_pandas_input(mlp, multiclass):
    data, y = multiclass
    frame = pd.DataFrame(data, columns=[f"f{k}" for k in range(12)])
    clf = mlp().fit(StandardScaler().fit_transform(data), y)
    model = make_pipeline(StandardScaler(), NodeActivity(clf), LogisticRegression())
    model.fit(frame, y)
    assert model.score(frame, y) > 0.6
    assert model[:2].get_feature_names_out()[-1] == "layer2_node15"


def test_feature_names_are_those_of_the_estimator(mlp, multiclass):
    data, y = multiclass
    frame = pd.DataFrame(data, columns=[f"f{k}" for k in range(12)])
    activity = NodeActivity(mlp().fit(frame, y)).fit(frame, y)
    assert activity.feature_names_in_.tolist() == frame.columns.tolist()
    with pytest.raises(ValueError, match="feature names should match"):
        activity.transform(frame.rename(columns={"f0": "other"}))


def test_importing_pandas_can_fail_clearly(by_hand, monkeypatch):
    activity = NodeActivity(by_hand()).fit(X, Y)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"NodeActivity\.to_pandas requires pandas"):
        activity.to_pandas()
