"""What the table of ultra-sparse networks is made of: densities, and what was tried."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from benchmarks.literature import ultra_sparse, variants
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.layer import n_connections as erdos_renyi
from sksparse_mlp.initializers import HeNormal


def new_layer(n_in=60, n_out=40, epsilon=4):
    rng = np.random.default_rng(0)
    layer = SparseLayer.random(n_in, n_out, epsilon, rng, np.float64)
    HeNormal()(layer, rng)
    return layer


def assert_valid(layer):
    rows = np.repeat(np.arange(layer.n_out), layer.fan_in)
    assert np.all(np.diff(rows * layer.n_in + layer.indices) > 0)
    assert layer.indices.min() >= 0
    assert layer.indices.max() < layer.n_in


@pytest.mark.parametrize("density", [0.005, 0.05, 0.5])
@pytest.mark.parametrize("sizes", [(784, 1000, 1000, 1000, 10), (500, 400, 100, 400, 1)])
def test_epsilon_gives_the_density_of_the_whole_network(sizes, density):
    epsilon = ultra_sparse.epsilon_of(sizes, density)
    pairs = list(pairwise(sizes))
    found = sum(erdos_renyi(*pair, epsilon) for pair in pairs)
    assert found == pytest.approx(density * sum(a * b for a, b in pairs), abs=len(pairs))


def test_removal_by_relative_importance_spares_weak_neurons():
    layer = new_layer()
    layer.weights[layer.indptr[7] : layer.indptr[8]] *= 1e-3
    keep = variants.RelativeImportance().kept(layer, 0.3, None)
    assert abs(np.count_nonzero(~keep) - 0.3 * keep.size) <= 1
    plain = variants.RandomGrowth().kept(layer, 0.3, None)
    own = slice(layer.indptr[7], layer.indptr[8])
    assert not plain[own].any()
    assert keep[own].any()


def test_dormant_neurons_lose_negative_weights_first():
    layer = new_layer()
    x, a = np.ones((60, 5)), np.ones((40, 5))
    a[[3, 9]] = 0
    keep = variants.Revitalisation().kept(layer, 0.3, (x, a))
    assert abs(np.count_nonzero(~keep) - 0.3 * keep.size) <= 2
    for row in (3, 9):
        own = slice(layer.indptr[row], layer.indptr[row + 1])
        assert not keep[own][layer.weights[own] < 0].any()


def test_density_falls_to_that_of_epsilon():
    layer = new_layer(epsilon=8)
    rule, rng = variants.FallingDensity(epsilon=4, ratio=0.9), np.random.default_rng(0)
    sizes = [layer.n_connections]
    for _ in range(10):
        layer.weights[:] = rng.standard_normal(layer.n_connections)
        rule.evolve(layer, 0.1, rng, None, sizes[0])
        assert_valid(layer)
        sizes.append(layer.n_connections)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] == round(0.9 * sizes[0])
    assert sizes[-1] == sizes[-2] == erdos_renyi(60, 40, 4)


def test_starts_keep_the_number_of_connections():
    rng = np.random.default_rng(1)
    layer = new_layer()
    size, fan_in = layer.n_connections, layer.fan_in
    variants.CorrelatedStart(rng.normal(size=(50, 60)))(layer, rng)
    assert_valid(layer)
    np.testing.assert_array_equal(layer.fan_in, fan_in)
    variants.LognormalFanIn()(layer, rng)
    assert_valid(layer)
    assert layer.n_connections == size
    assert layer.fan_in.max() > 3 * fan_in.mean()


def test_a_correlated_neuron_reads_what_goes_together():
    rng = np.random.default_rng(1)
    sources = rng.normal(size=(200, 6))
    X = np.repeat(sources, 10, axis=1) + 0.1 * rng.normal(size=(200, 60))
    layer = new_layer()
    variants.CorrelatedStart(X)(layer, rng)
    for row in range(layer.n_out):
        inputs = layer.indices[layer.indptr[row] : layer.indptr[row + 1]][:10]
        groups = np.bincount(inputs // 10, minlength=6)
        assert groups.max() >= min(inputs.size, 10) - 1 or layer.fan_in[row] > 10


@pytest.mark.parametrize("name", ultra_sparse.TRIED)
def test_what_is_tried_trains(name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 20)).astype(np.float32)
    own = ultra_sparse.parameters(name, 2.0, 5, X)
    network = SparseMLPClassifier((15, 10), max_iter=5, random_state=0, **own)
    network.fit(X, np.arange(60) % 3)
    assert network.history_[0]["n_grown"] > 0
    assert network.n_connections_[0] <= erdos_renyi(20, 15, 2.0)


# --- what is said of the figures ------------------------------------------------------


def figures(gains, *, dense=0.0, n_sets=4):
    """A table where rules gain so much by density, with a little noise over seeds."""
    names = list(ultra_sparse.TASKS)[:n_sets]
    rows = [
        {"data": data, "rule": rule, "density": density, "seed": seed}
        | {"accuracy": 80 + k + gains.get((rule, density), 0) + 0.01 * seed * (k + 1)}
        for k, data in enumerate(names)
        for density in ultra_sparse.DENSITIES
        for rule in ultra_sparse.RULES
        for seed in range(3)
    ]
    rows += [
        {"data": data, "rule": "dense", "density": 0.01, "seed": seed}
        | {"accuracy": 80 + k + dense}
        for k, data in enumerate(names)
        for seed in range(3)
    ]
    return pd.DataFrame(rows)


def test_advice_names_the_density_and_the_rules_that_are_clearly_better():
    gains = {("SET", density): 2.0 for density in (0.005, 0.01)}
    said = ultra_sparse.advice(figures(gains | {("CHT", 0.005): 3.0}))
    assert "Evolution pays from 1 % down" in said
    assert 'What to set: `growth="cht"` at 0.5 %' in said
    said = ultra_sparse.advice(figures({("SET", 0.02): 2.0}))
    assert "Evolution pays at 2 %" in said
    assert "No rule is above SET" in said
    assert "Evolution pays at no density" in ultra_sparse.advice(figures({}))


def test_verdict_counts_the_sets_where_evolution_or_a_dense_network_is_better():
    gains = {("LiSET", 0.01): 5.0, ("SET", 0.01): 1.0}
    lines = ultra_sparse.verdict(figures(gains, dense=2.0)).splitlines()
    [at_one] = [line for line in lines if line.startswith("- **1 %**")]
    assert "SET gains +1.00 ± 0.00" in at_one
    assert "LiSET is highest in the mean, by +4.00 ± 0.00 over SET" in at_one
    assert at_one.count("madelon, isolet, mnist, fashion_mnist") == 2
    [at_five] = [line for line in lines if line.startswith("- **5 %**")]
    assert "no rule is above SET" in at_five
    assert at_five.endswith("dense network on none.")


def test_only_what_is_whole_is_compared():
    table = figures({})
    lacking = (table["rule"] == "CHT") & (table["density"] == 0.02)
    lacking |= (table["rule"] == "dense") & (table["data"] == "isolet")
    found = ultra_sparse.finished(table[~lacking])
    assert sorted(found) == [0.005, 0.01, 0.05]
    assert found[0.01] == ["madelon", "mnist", "fashion_mnist"]


def test_a_seed_that_a_rule_lacks_is_left_out_for_all():
    table = figures({}, n_sets=2)
    table = table[table["rule"] != "dense"]
    lacking = (table["rule"] == "CHT") & (table["density"] == 0.02) & (table["seed"] == 2)
    kept = ultra_sparse.with_common_seeds(table[~lacking], ultra_sparse.RULES)
    sizes = kept.groupby(["density", "data"])["rule"].size()
    assert sizes[0.02].tolist() == [2 * len(ultra_sparse.RULES)] * 2
    assert set(kept["seed"][kept["density"] == 0.02]) == {0, 1}
    assert set(kept["seed"][kept["density"] != 0.02]) == {0, 1, 2}
