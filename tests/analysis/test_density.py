"""Kernel density estimates on grids keep their stated distance from the exact ones."""

import tracemalloc

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.neighbors import KernelDensity

from sksparse_mlp.analysis import _density
from sksparse_mlp.analysis._density import BinnedValues

BANDWIDTHS = [0.01, 0.2, 3.0]


def estimated(z, codes, bandwidth, batch=100):
    """Densities of values (n_nodes, n_samples), taken in batch by batch."""
    low, high = z.min(axis=1).astype(float), z.max(axis=1).astype(float)
    bins = BinnedValues(low, high, np.bincount(codes), bandwidth, z.dtype)
    for start in range(0, codes.size, batch):
        part = slice(start, start + batch)
        bins.add(start, np.ascontiguousarray(z[:, part]), codes[part])
    return bins.densities()


def log_densities(densities, z, taken=None):
    """Their sums over the nodes at z, (n_nodes, n_samples)."""
    totals = np.zeros((z.shape[1], densities.offsets.size))
    densities.add_to(totals, z, np.ones(z.shape, bool) if taken is None else taken)
    return totals


def exact(values, codes, bandwidth, queries):
    """Log densities of each class, all Gaussians added, (n_queries, n_classes)."""
    values, queries = values.astype(float), queries.astype(float)
    columns = []
    for c in range(codes.max() + 1):
        of_class = values[codes == c]
        distances = (queries[:, np.newaxis] - of_class) / bandwidth
        factor = of_class.size * bandwidth * np.sqrt(2 * np.pi)
        columns.append(logsumexp(-(distances**2) / 2, axis=1) - np.log(factor))
    return np.stack(columns, axis=1)


def assert_within_bounds(actual, expected, bandwidth):
    """Not off by more than the class states, and rounding to float32."""
    depth = -(expected + np.log(bandwidth * np.sqrt(2 * np.pi)))
    rounding = 1e-6 * (1 + np.abs(expected))
    error = actual - expected
    assert np.all(error >= -1 / 1024 - rounding)
    assert np.all(error <= depth / 512 + rounding)


def samples(kind):
    rng = np.random.default_rng(0)
    normal = rng.standard_normal(300)
    return {
        "normal": normal,
        "float32": normal.astype(np.float32),
        "two groups": np.where(normal < 0, normal, normal + 25),
        "an outlier": np.append(normal[:-1], 1e6),
        "heavy tails": rng.standard_cauchy(300),
        "exponents": normal * 10.0 ** rng.integers(-5, 9, size=300),
        "millions": 1e6 * normal,
        "repeated": np.round(normal),
        "constant": np.full(300, 0.3),
        "zeros": np.zeros(300),
    }[kind]


KINDS = [
    "normal", "float32", "two groups", "an outlier", "heavy tails", "exponents",
    "millions", "repeated", "constant", "zeros",
]  # fmt: skip


def queries_near(values, bandwidth):
    rng = np.random.default_rng(1)
    low, high = float(values.min()), float(values.max())
    beside = [
        values + size * bandwidth * rng.standard_normal(values.size)
        for size in (0, 0.1, 1, 5, 100)
    ]
    edges = [low, high, np.nextafter(high, np.inf), low - bandwidth, high + bandwidth]
    inside = rng.uniform(low - 30 * bandwidth, high + 30 * bandwidth, size=2000)
    queries = np.concatenate([*beside, edges, inside, [1e5, -1e5]])
    return queries.astype(values.dtype)


@pytest.mark.parametrize("bandwidth", BANDWIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_log_density_is_within_its_bounds(kind, bandwidth):
    values = samples(kind)
    codes = np.random.default_rng(2).choice(3, size=values.size, p=[0.1, 0.3, 0.6])
    queries = queries_near(values, bandwidth)
    densities = estimated(values[np.newaxis], codes, bandwidth)
    actual = log_densities(densities, queries[np.newaxis])
    assert_within_bounds(actual, exact(values, codes, bandwidth, queries), bandwidth)


@pytest.mark.parametrize("bandwidth", [0.05, 0.2, 3.0])
@pytest.mark.parametrize("table", ["table", "no table"])
def test_log_density_is_that_of_scikit_learn(bandwidth, table, monkeypatch):
    if table == "no table":
        monkeypatch.setattr(_density, "MAX_POINTS", 1)
    values = np.random.default_rng(0).standard_normal((1, 500))
    queries = np.linspace(-4, 4, 1001)
    densities = estimated(values, np.zeros(500, int), bandwidth)
    actual = log_densities(densities, queries[np.newaxis])[:, 0]
    reference = KernelDensity(bandwidth=bandwidth).fit(values.T)
    expected = reference.score_samples(queries[:, np.newaxis])
    # Further out the sums of its trees are not exact.
    counts = expected > -20
    assert counts.mean() > 0.7
    assert_within_bounds(actual[counts], expected[counts], bandwidth)


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_changes_no_density_by_more_than_its_bounds(kind, monkeypatch):
    values, bandwidth = samples(kind), 0.2
    codes = np.arange(values.size) % 2
    queries = queries_near(values, bandwidth)
    monkeypatch.setattr(_density, "MAX_POINTS", 1)
    densities = estimated(values[np.newaxis], codes, bandwidth)
    assert densities.table.size == 0
    actual = log_densities(densities, queries[np.newaxis])
    assert_within_bounds(actual, exact(values, codes, bandwidth, queries), bandwidth)


def test_error_is_of_the_stated_size():
    """The bounds are not far from what happens."""
    values, codes = np.array([0.0, 0.49 / 80]), np.zeros(2, int)
    queries = np.linspace(-1, 1, 4001)
    densities = estimated(values[np.newaxis], codes, 0.2)
    error = log_densities(densities, queries[np.newaxis]) - exact(
        values, codes, 0.2, queries
    )
    assert -1 / 1024 <= error.min() < -1 / 4096


def test_density_of_one_value_is_that_of_a_gaussian_however_far():
    densities = estimated(np.array([[2.0]]), np.array([0]), bandwidth=0.5)
    distances = np.array([0, 0.5, 1, 10, 1e3, 1e8, 1e100])
    peak = -np.log(0.5 * np.sqrt(2 * np.pi))
    for sign in (-1, 1):
        actual = log_densities(densities, 2 + sign * distances[np.newaxis])[:, 0]
        np.testing.assert_allclose(actual, peak - 2 * distances**2, rtol=1e-6)


def test_densities_are_finite_and_fall_to_the_ends_of_the_range():
    values = np.random.default_rng(0).standard_normal((1, 50))
    densities = estimated(values, np.zeros(50, int), bandwidth=0.2)
    largest = np.finfo(float).max
    queries = np.array([*np.geomspace(10, 1e147, 1000), 1e200, largest])
    for sign in (-1, 1):
        actual = log_densities(densities, sign * queries[np.newaxis])[:, 0]
        assert np.isfinite(actual).all()
        assert np.all(np.diff(actual[:-2]) < 0)
        assert np.all(np.diff(actual) <= 0)


def test_values_at_the_ends_of_the_range_are_taken():
    largest = np.finfo(float).max
    values = np.array([[-largest, -1.0, 1.0, largest]])
    densities = estimated(values, np.array([0, 0, 1, 1]), bandwidth=1e-3)
    actual = log_densities(densities, values)
    assert np.isfinite(actual).all()
    assert actual.argmax(axis=1).tolist()[::3] == [0, 1]


@pytest.mark.parametrize("table", ["table", "no table"])
def test_share_of_a_value_too_small_to_count_hides_no_other(table, monkeypatch):
    if table == "no table":
        monkeypatch.setattr(_density, "MAX_POINTS", 1)
    values, codes = np.array([0.0, 0.0, 0.0, 1e-30]), np.zeros(4, int)
    queries = np.array([13_000 / 80, 20_000 / 80])
    densities = estimated(values[np.newaxis], codes, 0.2)
    actual = log_densities(densities, queries[np.newaxis])
    assert_within_bounds(actual, exact(values, codes, 0.2, queries), 0.2)


def test_log_densities_of_the_nodes_that_are_taken_are_added():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((4, 200)) * np.array([[1], [2], [1e5], [3]])
    codes = rng.integers(3, size=200)
    taken = rng.random(z.shape) < 0.6
    densities = estimated(z, codes, 0.2)
    each = [exact(values, codes, 0.2, values) for values in z]
    expected = sum(mask[:, np.newaxis] * of for mask, of in zip(taken, each, strict=True))
    depth = np.abs(expected) + 4 * np.log(4)
    error = log_densities(densities, z, taken) - expected
    assert np.all(np.abs(error) <= depth / 512 + 4 / 1024)


def test_totals_are_added_to():
    values = np.random.default_rng(0).standard_normal((2, 60))
    densities = estimated(values, np.arange(60) % 2, 0.2)
    totals = np.full((60, 2), 7.0)
    densities.add_to(totals, values, np.ones((2, 60), bool))
    np.testing.assert_allclose(totals - 7, log_densities(densities, values), rtol=1e-12)


@pytest.mark.parametrize("batch", [1, 7, 200])
def test_batches_change_no_bit(batch):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((3, 200)) * np.array([[1], [1e7], [3]])
    codes = rng.integers(3, size=200)
    whole, parts = (estimated(z, codes, 0.2, batch=size) for size in (1000, batch))
    np.testing.assert_array_equal(whole.table, parts.table)
    np.testing.assert_array_equal(log_densities(whole, z), log_densities(parts, z))


def test_order_of_the_samples_does_not_matter():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((2, 200)) * np.array([[1], [1e7]])
    codes, order = rng.integers(3, size=200), rng.permutation(200)
    one, other = estimated(z, codes, 0.2), estimated(z[:, order], codes[order], 0.2)
    np.testing.assert_allclose(log_densities(one, z), log_densities(other, z), rtol=1e-6)


# --- memory ---------------------------------------------------------------------------


def test_tables_hold_the_range_of_the_values_and_no_more():
    z = np.array([[0.0, 1.0], [0.0, 100.0], [0.0, 104.0], [5.0, 5.0]])
    densities = estimated(z, np.array([0, 1]), bandwidth=0.2)
    assert densities.n_bins.tolist() == [82, 8002, 0, 2]
    assert densities.table.shape == (82 + 8002 + 2, 2)
    assert densities.table.dtype == np.float32


def test_tables_of_all_nodes_share_their_limit(monkeypatch):
    monkeypatch.setattr(_density, "MAX_ENTRIES", 2 * 3 * 100)
    z = np.array([[0.0, 1.2, 0.5], [0.0, 1.3, 0.5]])
    densities = estimated(z, np.arange(3), bandwidth=0.2)
    assert densities.n_bins.tolist() == [98, 0]


def test_points_without_values_are_not_kept():
    z = np.array([[0.0, 1.0, 1.0, 1.0], [0.0, 1e9, 1e9, 1e9]])
    densities = estimated(z, np.array([0, 0, 1, 1]), bandwidth=0.2)
    assert densities.indptr.tolist() == [0, 2, 3, 5, 6]
    assert densities.weights.tolist() == [1, 1, 2, 1, 1, 2]


def test_memory_is_bounded_for_values_far_apart():
    z = 1e6 * np.random.default_rng(0).standard_normal((10, 5000))
    codes = np.arange(5000) % 10
    estimated(z[:, :100], codes[:100], 0.2)
    tracemalloc.start()
    densities = estimated(z, codes, 0.2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert densities.points.size <= z.size
    assert peak < 10 * z.nbytes


def test_values_that_crowd_are_merged_without_a_table():
    rng = np.random.default_rng(0)
    z = rng.uniform(size=(1, 5000)) + 1e6 * rng.integers(2, size=(1, 5000))
    densities = estimated(z, np.zeros(5000, int), bandwidth=0.2)
    assert densities.n_bins.tolist() == [0]
    assert densities.points.size <= 2 * 83
