"""Values of nodes as features: the right ones, in the right container."""

import re
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context, get_config
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_set_output_transform_pandas,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
    parametrize_with_checks,
)
from sklearn.utils.validation import _num_samples, check_is_fitted

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.activations import ACTIVATIONS
from sksparse_mlp.analysis._activations import LayerActivations, is_mostly_zero

STAGES = ("pre", "post")


@pytest.fixture
def by_hand():
    """Two features; three relu nodes x0, -x0 and x1 - 10, then two: their sums."""
    X = np.array([[1.0, 2], [-3, 4], [5, -6], [-7, 8]])
    clf = SparseMLPClassifier((3, 2), activation="relu", max_iter=1, random_state=0)
    clf.fit(X, [0, 1, 0, 1])
    first = np.array([[1.0, -1, 0], [0, 0, 1]])
    second = np.array([[1.0, 0], [1, 0], [0, 1]])
    clf.coefs_ = [sparse.csr_array(coef) for coef in (first, second, np.ones((2, 1)))]
    clf.intercepts_ = [np.array([0.0, 0, -10]), np.array([-3.0, 2]), np.zeros(1)]
    return clf, X


def as_array(values):
    return values.toarray() if sparse.issparse(values) else values


def values_of(clf, X, **parameters):
    return as_array(LayerActivations(clf, **parameters).fit(X).transform(X))


# --- values ---------------------------------------------------------------------------


def test_values_of_a_network_made_by_hand(by_hand):
    clf, X = by_hand
    assert_array_equal(
        values_of(clf, X, stage="pre"),
        [[1, -1, -8, -2, 2], [-3, 3, -6, 0, 2], [5, -5, -16, 2, 2], [-7, 7, -2, 4, 2]],
    )
    assert_array_equal(
        values_of(clf, X),
        [[1, 0, 0, 0, 2], [0, 3, 0, 0, 2], [5, 0, 0, 2, 2], [0, 7, 0, 4, 2]],
    )


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_stages_follow_each_other_through_the_network(
    mlp, multiclass, name, dtype, batch_norm
):
    X, y = multiclass[0].astype(dtype), multiclass[1]
    clf = mlp(activation=name, batch_norm=batch_norm).fit(X, y)
    pre = [values_of(clf, X, layers=k, stage="pre") for k in (1, 2)]
    post = [values_of(clf, X, layers=k) for k in (1, 2)]
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    inputs = [X, *post]
    for k in (0, 1):
        assert pre[k].dtype == post[k].dtype == dtype
        products = inputs[k] @ clf.coefs_[k] + clf.intercepts_[k]
        if batch_norm:
            norm = clf.batch_norms_[k]
            products = (products - norm["mean"]) / np.sqrt(norm["variance"] + 1e-5)
            products = norm["gain"] * products + norm["shift"]
        assert_allclose(pre[k], products, rtol=tolerance, atol=tolerance)
        unit = clf._fitted_network().hidden[k]
        expected = np.empty_like(pre[k].T)
        unit.activation.forward(
            np.ascontiguousarray(pre[k].T), expected, unit.parameters, 0, len(expected)
        )
        assert_array_equal(post[k], expected.T)
    logits = post[1] @ clf.coefs_[2] + clf.intercepts_[2]
    assert_allclose(clf.decision_function(X), logits, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("n_samples", [1, 255, 256, 257, 600])
def test_batches_leave_no_seam(mlp, multiclass, stage, n_samples):
    clf = mlp().fit(*multiclass)
    X = np.random.default_rng(0).standard_normal((n_samples, 12))
    together = values_of(clf, X, stage=stage)
    assert together.shape == (n_samples, 40)
    middle = n_samples // 2
    assert_allclose(values_of(clf, X[[middle]], stage=stage)[0], together[middle], 1e-12)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csr_matrix])
def test_csr_input_gives_the_same(mlp, multiclass, stage, container):
    X, y = multiclass
    X = np.where(X > 0.5, X, 0)
    clf = mlp().fit(X, y)
    assert_array_equal(
        values_of(clf, container(X), stage=stage), values_of(clf, X, stage=stage)
    )


def test_dtype_is_that_of_the_weights(mlp, multiclass):
    X, y = multiclass
    clf = mlp().fit(X.astype(np.float32), y)
    for data in (X, X.astype(np.float32), X.astype(np.float32).tolist()):
        assert values_of(clf, data).dtype == np.float32


# --- layers and their names -----------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "depths"),
    [
        (None, [1, 2, 3]),
        (1, [1]),
        (np.int64(3), [3]),
        ([2], [2]),
        ((3, 1), [3, 1]),
        (np.array([2, 3]), [2, 3]),
        (range(1, 3), [1, 2]),
    ],
)
def test_layers_are_counted_from_one(mlp, multiclass, layers, depths):
    X, y = multiclass
    clf = mlp(hidden_layer_sizes=(5, 4, 3)).fit(X, y)
    analyser = LayerActivations(clf, layers=layers).fit(X)
    expected = [values_of(clf, X, layers=depth) for depth in depths]
    assert_array_equal(as_array(analyser.transform(X)), np.hstack(expected))
    names = [f"layer{k}_node{j}" for k in depths for j in range((5, 4, 3)[k - 1])]
    assert analyser.get_feature_names_out().tolist() == names
    assert analyser.get_feature_names_out().dtype == object


@pytest.mark.parametrize(
    "bad",
    [0, -1, 3, [1, 3], [0], [-1], [], [1, 1], [1.0], ["1"], [[1]], [None], [[1], [2, 3]]],
)
@pytest.mark.parametrize(
    "call",
    [
        lambda analyser, X: analyser.fit(X),
        lambda analyser, X: analyser.transform(X),
        lambda analyser, X: analyser.get_feature_names_out(),
    ],
)
def test_layers_that_do_not_exist_are_refused(mlp, multiclass, bad, call):
    clf = mlp().fit(*multiclass)
    message = re.escape(f"layers={bad!r} must be") + ".*counted from 1; the estimator has 2"
    with pytest.raises(ValueError, match=message):
        call(LayerActivations(clf, layers=bad), multiclass[0])


@pytest.mark.parametrize(
    ("name", "bad"), [("layers", 1.5), ("layers", "1"), ("stage", "logits")]
)
def test_parameters_are_checked_with_and_without_fit(mlp, multiclass, name, bad):
    analyser = LayerActivations(mlp().fit(*multiclass), **{name: bad})
    for call in (analyser.fit, analyser.transform):
        with pytest.raises(ValueError, match=f"'{name}' parameter of LayerActivations"):
            call(multiclass[0])


# --- arrays and CSR -------------------------------------------------------------------


def with_zeros(by_hand, n_zeros, n_samples=4):
    """LayerActivations of one layer with that many values of zero in all."""
    clf, _ = by_hand
    X = np.full((n_samples, 2), 11.0)
    X[:n_zeros, 0] = 0
    clf.coefs_[0] = sparse.csr_array(np.array([[1.0], [0]]))
    clf.coefs_[1] = sparse.csr_array(np.ones((1, 2)))
    clf.intercepts_[0] = np.zeros(1)
    return LayerActivations(clf, layers=1), X


@pytest.mark.parametrize(
    ("n_zeros", "n_samples", "expected"),
    [(2, 4, False), (3, 4, True), (300, 600, False), (301, 600, True), (599, 600, True)],
)
def test_csr_where_more_than_half_of_the_values_are_zero(
    by_hand, n_zeros, n_samples, expected
):
    analyser, X = with_zeros(by_hand, n_zeros, n_samples)
    for values in (analyser.transform(X), analyser.fit(X).transform(X)):
        assert sparse.issparse(values) == expected
        assert_array_equal(as_array(values), X[:, :1])
        if expected:
            assert values.format == "csr"
            assert values.nnz == n_samples - n_zeros
            assert values.has_canonical_format
    assert analyser.sparse_output_ is expected


def test_fit_decides_for_all_data(by_hand):
    analyser, X = with_zeros(by_hand, 3)
    assert sparse.issparse(analyser.fit(X).transform(X[-1:]))
    assert not sparse.issparse(analyser.fit(X[-1:]).transform(X))


@pytest.mark.parametrize(
    ("blocks", "n_needed", "expected"),
    [
        ([0, 0, 0, 0], 3, True),
        ([1, 1, 1, 1], 3, False),
        ([0, 1, 0, 1], 4, False),
        ([1, 0, 0, 0], 4, True),
    ],
)
def test_no_more_blocks_are_taken_than_decide(blocks, n_needed, expected):
    taken = []
    stream = (taken.append(value) or np.full((2, 3), value) for value in blocks)
    assert is_mostly_zero(stream, 24) is expected
    assert len(taken) == n_needed


def test_csr_is_built_without_the_dense_array(by_hand):
    analyser, X = with_zeros(by_hand, n_zeros=7900, n_samples=8000)
    clf = analyser.estimator
    clf.coefs_[0] = sparse.csr_array(np.vstack([np.ones(512), np.zeros(512)]))
    clf.coefs_[1] = sparse.csr_array(np.ones((512, 2)))
    clf.intercepts_[0] = np.zeros(512)
    tracemalloc.start()
    values = analyser.fit(X).transform(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values.nnz == 100 * 512
    assert peak < 8 * values.shape[0] * values.shape[1] / 2


def test_csr_is_a_matrix(by_hand):
    analyser, X = with_zeros(by_hand, 4)
    assert isinstance(analyser.transform(X), sparse.csr_matrix)


@pytest.mark.skipif(
    "sparse_interface" not in get_config(),
    reason="this scikit-learn has no sparse_interface",
)
def test_kind_of_csr_follows_scikit_learn(by_hand):
    analyser, X = with_zeros(by_hand, 4)
    with config_context(sparse_interface="sparray"):
        assert isinstance(analyser.transform(X), sparse.csr_array)


@pytest.mark.parametrize("n_zeros", [0, 4])
def test_data_frames_hold_dense_values(by_hand, n_zeros):
    analyser, X = with_zeros(by_hand, n_zeros)
    analyser.set_output(transform="pandas")
    for frame in (analyser.transform(X), analyser.fit(X).transform(X)):
        assert isinstance(frame, pd.DataFrame)
        assert frame.columns.tolist() == ["layer1_node0"]
        assert_array_equal(frame, X[:, :1])
        assert frame.dtypes.tolist() == [np.float64]


def test_data_frame_output_keeps_the_index(mlp, multiclass):
    X = pd.DataFrame(multiclass[0], columns=[f"f{k}" for k in range(12)])
    X.index = X.index + 1000
    clf = mlp().fit(X, multiclass[1])
    frame = LayerActivations(clf).set_output(transform="pandas").fit(X).transform(X)
    assert frame.index.tolist() == X.index.tolist()


# --- the scikit-learn way -------------------------------------------------------------


class OnChecksData(LayerActivations):
    """Fits its network on the data that a check brings."""

    _parameter_constraints: dict = LayerActivations._parameter_constraints | {
        "estimator": [None]
    }

    def __init__(self, estimator=None, *, layers=None, stage="post", activation="relu"):
        super().__init__(estimator, layers=layers, stage=stage)
        self.activation = activation

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags

    def fit(self, X, y=None):
        labels = np.arange(_num_samples(X)) % 2
        clf = SparseMLPClassifier(
            (8, 6), activation=self.activation, zeta=0, max_iter=2, random_state=0
        )
        self.network_ = clf.fit(X, labels)
        return super().fit(X)

    def _fitted(self):
        check_is_fitted(self, "network_")
        return self.network_


ON_CHECKS_DATA = [
    OnChecksData(),
    OnChecksData(stage="pre", layers=2),
    OnChecksData(activation="crelu"),
]


@parametrize_with_checks(ON_CHECKS_DATA)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
def test_check_of_set_output():
    # The check is for transformers that return arrays by default.
    check_set_output_transform_pandas("OnChecksData", OnChecksData(stage="pre"))


@pytest.mark.parametrize(
    "check",
    [
        check_dataframe_column_names_consistency,
        check_transformer_get_feature_names_out,
        check_transformer_get_feature_names_out_pandas,
    ],
)
@pytest.mark.parametrize("estimator", ON_CHECKS_DATA, ids=range(3))
def test_check_outside_check_estimator(estimator, check):
    check(type(estimator).__name__, estimator)


def test_unfitted_estimator_is_refused(mlp, multiclass):
    for estimator in (mlp(), FrozenEstimator(mlp())):
        analyser = LayerActivations(estimator)
        for call in (analyser.fit, analyser.transform):
            with pytest.raises(NotFittedError, match="SparseMLPClassifier"):
                call(multiclass[0])
        with pytest.raises(NotFittedError):
            analyser.get_feature_names_out()


@pytest.mark.parametrize("bad", [None, "relu", LogisticRegression()])
def test_other_estimators_are_refused(multiclass, bad):
    with pytest.raises(ValueError, match="'estimator' parameter of LayerActivations"):
        LayerActivations(bad).fit(multiclass[0])


def test_other_numbers_of_features_are_refused(mlp, multiclass):
    X, y = multiclass
    analyser = LayerActivations(mlp().fit(X, y))
    for call in (analyser.fit, analyser.transform, analyser.fit(X).transform):
        with pytest.raises(ValueError, match="X has 11 features, but"):
            call(X[:, :-1])


def test_frozen_estimators_are_as_good(mlp, multiclass):
    clf = mlp().fit(*multiclass)
    frozen = FrozenEstimator(clf)
    assert_array_equal(values_of(frozen, multiclass[0]), values_of(clf, multiclass[0]))


def test_clones_keep_the_fitted_estimator(mlp, multiclass):
    clf = mlp().fit(*multiclass)
    copy = clone(LayerActivations(clf, layers=[2], stage="pre").fit(multiclass[0]))
    assert copy.estimator is clf
    assert (copy.layers, copy.stage) == ([2], "pre")
    assert not hasattr(copy, "n_features_in_")


def test_features_of_a_pipeline_and_a_search(mlp, multiclass):
    X, y = multiclass
    scaler = StandardScaler().fit(X)
    clf = mlp(max_iter=20).fit(scaler.transform(X), y)
    model = make_pipeline(StandardScaler(), LayerActivations(clf), LogisticRegression())
    search = GridSearchCV(model, {"layeractivations__layers": [1, 2, None]}, cv=3)
    assert search.fit(X, y).best_score_ > 0.6
    assert len(model.fit(X, y)[:-1].get_feature_names_out()) == 40


def test_pandas_input(mlp, multiclass):
    X, y = multiclass
    frame = pd.DataFrame(X, columns=[f"f{k}" for k in range(12)])
    clf = mlp().fit(frame, y)
    analyser = LayerActivations(clf).fit(frame)
    assert analyser.feature_names_in_.tolist() == frame.columns.tolist()
    assert_array_equal(as_array(analyser.transform(frame)), values_of(mlp().fit(X, y), X))
    assert_array_equal(
        as_array(LayerActivations(clf).transform(frame)),
        as_array(analyser.transform(frame)),
    )
    with pytest.raises(ValueError, match="feature names should match"):
        analyser.transform(frame.rename(columns={"f0": "other"}))
    with pytest.raises(ValueError, match="input_features is not equal"):
        analyser.get_feature_names_out(["g"] * 12)
    with pytest.raises(ValueError, match="input_features is not equal"):
        LayerActivations(clf).get_feature_names_out(["g"] * 12)
