"""Medians, quantiles and histograms are those of the values, within their bound."""

import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    parametrize_with_checks,
)
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.activations import ACTIVATIONS, CST, CReLU
from sksparse_mlp.analysis._activations import LayerActivations
from sksparse_mlp.analysis._distributions import ActivationDistributions, Cells, Ends

STAGES = ("pre", "post")
SHARES = (0, 0.05, 0.25, 0.5, 0.6, 0.99, 1)
# Quantiles are off by no more than this part of the range of a node, and rounding.
RESOLUTION = 1024
SLACK = 1 + 1e-9


@pytest.fixture
def by_hand():
    """A network of one feature x: nodes x, -x, x - 100 and 1, then one node."""

    def make(activation="relu", y=(0, 1), dtype=np.float64):
        clf = SparseMLPClassifier((4, 1), activation=activation, max_iter=1, zeta=0)
        clf.fit(np.arange(len(y), dtype=dtype)[:, np.newaxis], y)
        coefs = [[1.0, -1, 1, 0]], np.ones((4, 1)), [[1.0]]
        clf.coefs_ = [sparse.csr_array(np.array(coef, dtype)) for coef in coefs]
        clf.intercepts_ = [np.array(b, dtype) for b in ([0, 0, -100, 1], [0], [0])]
        return clf

    return make


def distributions_of(clf, x, y, **parameters):
    X = np.asarray(x, clf.coefs_[0].dtype)[:, np.newaxis]
    return ActivationDistributions(clf, **parameters).fit(X, y)


def values_of(clf, X, layer, stage):
    values = LayerActivations(clf, layers=layer, stage=stage).transform(X)
    return (values.toarray() if sparse.issparse(values) else values).astype(float)


def assert_near_quantiles(found, values, y, classes, shares=SHARES):
    """Quantiles of (n_samples, n_nodes) values are within the documented bound."""
    bound = SLACK * np.ptp(values, axis=0) / RESOLUTION
    for column, label in enumerate(classes):
        exact = np.quantile(values[y == label], shares, axis=0)
        distance = abs(found[:, :, column] - exact)
        assert np.all(distance <= bound + 1e-300), distance.max()


# --- networks made by hand ------------------------------------------------------------


def test_medians_of_a_network_made_by_hand(by_hand):
    found = distributions_of(by_hand(), [1, 2, 3, -2, -4, -9], [0, 0, 0, 1, 1, 1])
    assert_allclose(
        found.medians_["pre"][0], [[2, -4], [-2, 4], [-98, -104], [1, 1]], atol=13 / 1024
    )
    assert_allclose(
        found.medians_["post"][0], [[2, 0], [0, 4], [0, 0], [1, 1]], atol=13 / 1024
    )
    assert_allclose(found.medians_["pre"][1], [[3, 5]], atol=13 / 1024)
    # Exact where most samples are at zero, or all are at one value.
    off = [0, 1, 2, 2], [1, 0, 0, 1]
    assert found.medians_["post"][0][off].tolist() == [0] * 4
    for stage in STAGES:
        assert found.medians_[stage][0][3].tolist() == [1, 1]
    assert found.classes_.tolist() == [0, 1]


def test_stages_and_layers_have_their_shapes(mlp, multiclass):
    clf = mlp().fit(*multiclass)
    found = ActivationDistributions(clf, n_bins=7, quantiles=[0.1, 0.9]).fit(*multiclass)
    for stage in STAGES:
        for k, n_nodes in enumerate((24, 16)):
            assert found.medians_[stage][k].shape == (n_nodes, 3)
            assert found.quantiles_[stage][k].shape == (2, n_nodes, 3)
            assert found.histograms_[stage][k].shape == (n_nodes, 3, 7)
            assert found.bin_edges_[stage][k].shape == (n_nodes, 8)
            assert found.medians_[stage][k].dtype == np.float64
            assert found.quantiles_[stage][k].dtype == np.float64
            assert found.histograms_[stage][k].dtype == np.int64
    for attribute in (found.medians_, found.histograms_, found.bin_edges_):
        assert list(attribute) == ["pre", "post"]
        assert all(len(layers) == 2 for layers in attribute.values())


def test_default_parameters(mlp, multiclass):
    found = ActivationDistributions(mlp().fit(*multiclass)).fit(*multiclass)
    assert found.histograms_["pre"][0].shape == (24, 3, 32)
    assert found.quantiles_["pre"][0].shape == (5, 24, 3)
    assert_array_equal(found.quantiles_["post"][1][2], found.medians_["post"][1])
    no_quantiles = ActivationDistributions(found.estimator, quantiles=()).fit(*multiclass)
    assert no_quantiles.quantiles_["pre"][0].shape == (0, 24, 3)
    assert_array_equal(no_quantiles.medians_["pre"][0], found.medians_["pre"][0])


# --- against NumPy --------------------------------------------------------------------


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_quantiles_and_histograms_are_those_of_the_values(
    mlp, multiclass, name, dtype, batch_norm
):
    X, y = multiclass[0].astype(dtype), multiclass[1]
    clf = mlp(activation=name, batch_norm=batch_norm).fit(X, y)
    found = ActivationDistributions(clf, n_bins=9, quantiles=SHARES).fit(X, y)
    for stage in STAGES:
        for k in (0, 1):
            values = values_of(clf, X, k + 1, stage)
            quantiles = found.quantiles_[stage][k]
            assert_near_quantiles(quantiles, values, y, clf.classes_)
            assert_array_equal(found.medians_[stage][k], quantiles[3])
            edges = found.bin_edges_[stage][k]
            expected = np.linspace(values.min(axis=0), values.max(axis=0), 10, axis=-1)
            assert_allclose(edges, expected, rtol=1e-14)
            assert_histograms(found.histograms_[stage][k], edges, values, y)


def assert_histograms(found, edges, values, y):
    for node in np.flatnonzero(edges[:, 0] < edges[:, -1]):
        for label in np.unique(y):
            expected, _ = np.histogram(values[y == label, node], edges[node])
            assert_array_equal(found[node, label], expected)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shift", [0.0, 3.0, -3.0, 1e-9, 0.99])
def test_bound_holds_for_any_place_of_zero(by_hand, shift, seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, size=400) + shift
    y = rng.integers(2, size=400)
    found = distributions_of(by_hand("identity"), x, y, quantiles=SHARES)
    values = np.stack([x, -x], axis=1)
    assert_near_quantiles(found.quantiles_["pre"][0][:, :2], values, y, [0, 1])
    half = 0.6 * np.ptp(x) / RESOLUTION
    medians = [np.median(x[y == label]) for label in (0, 1)]
    # Values are taken from the middle of what their cell can hold: mostly much nearer.
    assert np.median(abs(found.medians_["pre"][0][0] - medians)) <= half


@pytest.mark.parametrize("n_samples", [2, 3, 5, 256, 257, 1000])
def test_quantiles_of_few_and_of_many_samples(by_hand, n_samples):
    rng = np.random.default_rng(n_samples)
    x, y = rng.standard_normal(n_samples), np.arange(n_samples) % 2
    found = distributions_of(by_hand("tanh"), x, y, quantiles=SHARES)
    for stage, values in (("pre", x), ("post", np.tanh(x))):
        assert_near_quantiles(
            found.quantiles_[stage][0][:, :1], values[:, np.newaxis], y, [0, 1]
        )
        assert found.histograms_[stage][0][0].sum(axis=1).tolist() == [
            np.sum(y == 0),
            np.sum(y == 1),
        ]


@pytest.mark.parametrize("seed", range(3))
def test_quantiles_rise(mlp, multiclass, seed):
    clf = mlp(random_state=seed).fit(*multiclass)
    shares = np.linspace(0, 1, 41)
    found = ActivationDistributions(clf, quantiles=shares).fit(*multiclass)
    for stage in STAGES:
        for quantiles in found.quantiles_[stage]:
            assert np.all(np.diff(quantiles, axis=0) >= 0)


@pytest.mark.parametrize("seed", range(3))
def test_cells_are_narrow_and_have_the_exact_ends(seed):
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.standard_normal((300, 2)), axis=1)
    ends[200:, 0] *= 10.0 ** rng.uniform(-6, 0, 100)
    low, high = np.sort(ends, axis=1).T
    cells = Cells(Ends(low, high), n_classes=2, n_samples=5)
    bounds = cells._bounds()
    assert bounds.shape == (300, cells.counts.shape[2] + 1)
    widths = np.diff(bounds, axis=1)
    assert np.all(widths >= 0)
    assert np.all(widths.max(axis=1) <= SLACK * (high - low) / RESOLUTION)
    middle = np.where(low > 0, low, np.where(high < 0, high, 0))
    assert_array_equal(bounds[:, :2].T, [low, low])
    for k in (1, 2):
        assert_array_equal(bounds[range(300), cells.n_below + k], middle)
    assert_array_equal(bounds[:, -2:].T, [high, high])


# --- frequent values are exact --------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_median_of_relu_is_zero_where_most_are_off(by_hand, dtype):
    # Many small values beside the zeros.
    x = np.concatenate([np.full(6, -1.0), np.linspace(1e-6, 1e-3, 4), [50.0]])
    found = distributions_of(by_hand(dtype=dtype), np.tile(x, 2), [0] * 11 + [1] * 11)
    assert found.medians_["post"][0][0].tolist() == [0, 0]
    assert np.all(found.medians_["pre"][0][0] == found.medians_["pre"][0][0, 0])
    assert found.medians_["pre"][0][0, 0] == -1


def test_half_of_the_samples_off_is_not_most(by_hand):
    found = distributions_of(by_hand(), [-1, -1, 2, 2, 0, 0, 0, 2], [0] * 4 + [1] * 4)
    # As NumPy: between 0 and 2 in the first class.
    assert found.medians_["post"][0][0].tolist() == [1, 0]


@pytest.mark.parametrize("offset", [0.1, -0.3, 1e5])
def test_constant_values_are_exact(by_hand, offset):
    clf = by_hand("identity", dtype=np.float32)
    clf.coefs_[0] = sparse.csr_array((1, 4), dtype=np.float32)
    clf.intercepts_[0][:] = offset
    found = distributions_of(clf, np.arange(8), [0, 1] * 4, n_bins=3, quantiles=SHARES)
    exact = float(np.float32(offset))
    for stage in STAGES:
        assert np.all(found.quantiles_[stage][0] == exact)
        assert np.all(found.bin_edges_[stage][0] == exact)
        assert_array_equal(found.histograms_[stage][0], np.full((4, 2, 3), [4, 0, 0]))


@pytest.mark.parametrize("sign", [1, -1])
def test_repeated_ends_are_exact_although_others_are_near(by_hand, sign):
    # The nodes that see x + 0.1 have no zero between their ends.
    clf = by_hand("identity")
    clf.intercepts_[0][0] = 0.1
    x = sign * np.array([0.7, 0.7, 0.7, 0.7001, 0.9, 0.3, 1.1, 1.1, 1.1, 1.0999])
    found = distributions_of(clf, x, [0] * 5 + [1] * 5)
    expected = (x + 0.1)[[0, 6]]
    # Neither end for 0.7, which is only near the lowest value of its class.
    assert found.medians_["pre"][0][0, 1] == expected[1]
    assert found.medians_["pre"][0][0, 0] == pytest.approx(expected[0], abs=0.8 / 1024)


def test_clipped_values_are_exact(by_hand):
    y = [0] * 5 + [1] * 5
    x = [5, 6, 7, 1.2, 0, -5, -6, -7, -8, 1.3]
    found = distributions_of(by_hand(CReLU(0.3, 0.7)), x, y)
    assert found.medians_["post"][0][0].tolist() == [0.7, 0]
    found = distributions_of(by_hand(CST(0.3, 0.7)), x, y)
    assert found.medians_["post"][0][0].tolist() == [0.7, -0.7]
    x = [-0.1, 0.2, 0.1, -5, 5, -5, -0.31, 0.1, -0.2, 0.3]
    found = distributions_of(by_hand(CST(0.3, 0.7)), x, y, quantiles=[0.25, 0.75])
    assert found.medians_["post"][0][0].tolist() == [0, 0]
    assert found.quantiles_["post"][0][1, 0].tolist() == [0, 0]


# --- streaming ------------------------------------------------------------------------


@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csr_matrix])
def test_csr_input_gives_the_same(mlp, multiclass, container):
    X, y = np.where(multiclass[0] > 0.5, multiclass[0], 0), multiclass[1]
    clf = mlp().fit(X, y)
    dense, from_csr = (
        ActivationDistributions(clf).fit(data, y) for data in (X, container(X))
    )
    for stage in STAGES:
        for k in (0, 1):
            assert_array_equal(from_csr.medians_[stage][k], dense.medians_[stage][k])
            assert_array_equal(from_csr.histograms_[stage][k], dense.histograms_[stage][k])


def test_order_of_the_samples_does_not_matter(mlp, multiclass):
    X, y = multiclass
    X, y = np.tile(X, (5, 1)), np.tile(y, 5)
    clf = mlp().fit(X, y)
    order = np.random.default_rng(0).permutation(len(y))
    one = ActivationDistributions(clf).fit(X, y)
    other = ActivationDistributions(clf).fit(X[order], y[order])
    for stage in STAGES:
        for k in (0, 1):
            assert_allclose(other.medians_[stage][k], one.medians_[stage][k], rtol=1e-12)


def test_memory_does_not_grow_with_the_samples(mlp, multiclass):
    clf = mlp(hidden_layer_sizes=(40, 20)).fit(*multiclass)

    def peak(n_repeats):
        X, y = np.tile(multiclass[0], (n_repeats, 1)), np.tile(multiclass[1], n_repeats)
        X = np.ascontiguousarray(X)
        tracemalloc.start()
        ActivationDistributions(clf).fit(X, y)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    # Labels and the like only: values of the nodes would be 120 numbers a sample.
    assert peak(100) - peak(4) < 96 * 150 * 40 * 8


# --- tables and bad input -------------------------------------------------------------


def test_table_of_the_medians(by_hand):
    clf = by_hand(y=("b", "a"))
    found = distributions_of(clf, [1, 2, 3, -2, -4, -9], ["b"] * 3 + ["a"] * 3)
    table = found.to_pandas()
    assert isinstance(table, pd.DataFrame)
    assert table.index.names == ["layer", "node"]
    assert table.columns.names == ["stage", "class"]
    assert table.shape == (5, 4)
    assert table.loc[(1, 1), ("post", "b")] == 0
    for stage in STAGES:
        for k in (0, 1):
            assert_array_equal(table.loc[k + 1, stage], found.medians_[stage][k])


def test_importing_pandas_can_fail_clearly(by_hand, monkeypatch):
    found = distributions_of(by_hand(), [1, 2], [0, 1])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"Distributions\.to_pandas requires pandas"):
        found.to_pandas()


def test_fit_comes_before_the_table(by_hand):
    with pytest.raises(NotFittedError, match="ActivationDistributions"):
        ActivationDistributions(by_hand()).to_pandas()


def test_unfitted_estimator_is_refused(mlp):
    for estimator in (mlp(), FrozenEstimator(mlp())):
        with pytest.raises(NotFittedError, match="SparseMLPClassifier"):
            ActivationDistributions(estimator).fit([[1]], [0])


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("estimator", LogisticRegression()),
        ("estimator", None),
        ("n_bins", 0),
        ("n_bins", 1.5),
        ("quantiles", 0.5),
        ("quantiles", None),
    ],
)
def test_parameters_are_checked(by_hand, name, bad):
    parameters = {"estimator": by_hand()} | {name: bad}
    with pytest.raises(ValueError, match=f"'{name}' parameter of ActivationDistr"):
        ActivationDistributions(**parameters).fit([[1], [2]], [0, 1])


@pytest.mark.parametrize("bad", [[0.5, 1.1], [-0.1], [np.nan], ["0.5"], [[0.5]]])
def test_quantiles_are_shares(by_hand, bad):
    with pytest.raises(ValueError, match=r"every quantile must be a number in \[0, 1\]"):
        distributions_of(by_hand(), [1, 2], [0, 1], quantiles=bad)


@pytest.mark.parametrize(
    ("data", "y", "message"),
    [
        ([[1], [2]], [0, 0], r"no samples of the classes \[1\]"),
        ([[1], [2], [3]], [0, 1, 2], r"labels \[2\]"),
        ([[1], [2]], [0, 1, 1], "inconsistent numbers of samples"),
        ([[1], [2]], None, "requires y to be passed"),
        ([[1, 1], [2, 1]], [0, 1], "X has 2 features"),
        ([[1], [np.inf]], [0, 1], "contains infinity"),
        ([[1e308], [-1e308]], [0, 1], r"hidden layer 1 \('pre'\) are not finite or too"),
    ],
)
def test_unsuitable_data_are_refused(by_hand, data, y, message):
    with pytest.raises(ValueError, match=message):
        ActivationDistributions(by_hand("identity")).fit(data, y)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(by_hand, bad):
    clf = by_hand()
    clf.intercepts_[1][0] = bad
    with pytest.raises(ValueError, match=r"hidden layer 2 .*Scale the data"):
        distributions_of(clf, [1, 2], [0, 1])


# --- the scikit-learn way -------------------------------------------------------------


class OnChecksData(ActivationDistributions):
    """Fits its network on the data that a check brings."""

    _parameter_constraints: dict = ActivationDistributions._parameter_constraints | {
        "estimator": [None]
    }

    def __init__(self, estimator=None, *, n_bins=8, quantiles=(0.1, 0.9)):
        super().__init__(estimator, n_bins=n_bins, quantiles=quantiles)

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


def test_check_outside_check_estimator():
    check_dataframe_column_names_consistency("OnChecksData", OnChecksData())


def test_clones_keep_the_fitted_estimator(by_hand):
    clf = by_hand()
    copy = clone(ActivationDistributions(clf, n_bins=5))
    assert copy.estimator is clf
    assert copy.n_bins == 5


def test_frozen_estimators_are_as_good(by_hand):
    frozen = FrozenEstimator(by_hand())
    found = ActivationDistributions(frozen).fit([[1.0], [2]], [0, 1])
    assert found.medians_["post"][0][3].tolist() == [1, 1]


def test_after_a_scaler_in_a_pipeline_with_pandas_input(mlp, multiclass):
    X, y = multiclass
    scaled = StandardScaler().fit_transform(X)
    clf = mlp().fit(scaled, y)
    model = make_pipeline(StandardScaler(), ActivationDistributions(clf))
    model.fit(pd.DataFrame(X, columns=[f"f{k}" for k in range(12)]), y)
    expected = ActivationDistributions(clf).fit(scaled, y).medians_["pre"][1]
    assert_allclose(model[-1].medians_["pre"][1], expected, rtol=1e-12)


def test_feature_names_are_remembered(mlp, multiclass):
    X, y = multiclass
    frame = pd.DataFrame(X, columns=[f"f{k}" for k in range(12)])
    found = ActivationDistributions(mlp().fit(frame, y)).fit(frame, y)
    assert found.feature_names_in_.tolist() == frame.columns.tolist()
    assert found.n_features_in_ == 12
