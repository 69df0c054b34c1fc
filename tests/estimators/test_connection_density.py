"""How many connections there are, layer by layer, and which rule each layer grows by."""

from functools import reduce
from itertools import pairwise
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris

from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPClassifierCV,
    SparseMLPRegressor,
    SparseMLPRegressorCV,
    SparseMLPSelector,
)
from sksparse_mlp.core.layer import common_epsilon
from sksparse_mlp.topology import RandomGrowth

sizes_of_networks = st.lists(st.integers(1, 300), min_size=2, max_size=6)
densities = st.floats(1e-4, 1)


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def network(cls=SparseMLPClassifier, sizes=(30, 20), **parameters):
    return cls(sizes, **{"max_iter": 2, "random_state": 0} | parameters)


def connections(sizes, epsilon):
    """Of all layers, without rounding."""
    return sum(min(epsilon * sum(pair), prod(pair)) for pair in pairwise(sizes))


def naive_epsilon(sizes, density):
    """By bisection."""
    wanted = density * sum(map(prod, pairwise(sizes)))
    low, high = 0.0, float(max(sizes))
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if connections(sizes, middle) < wanted else (low, middle)
    return high


@given(sizes_of_networks, densities)
def test_layers_have_one_epsilon_in_common(sizes, density):
    epsilon = common_epsilon(sizes, density)
    wanted = density * sum(map(prod, pairwise(sizes)))
    assert connections(sizes, epsilon) == pytest.approx(wanted, rel=1e-9)
    assert epsilon == pytest.approx(naive_epsilon(sizes, density), rel=1e-9)


@given(sizes_of_networks)
def test_density_of_one_fills_all_layers(sizes):
    epsilon = common_epsilon(sizes, 1)
    for pair in pairwise(sizes):
        assert round(epsilon * sum(pair)) >= prod(pair)


def cross_fitted(cls, member):
    return lambda density: cls(
        network(member, (40, 30), density=density), cv=2, linear=False, random_state=0
    )


MODELS = {
    "classifier": lambda density: network(sizes=(40, 30), density=density),
    "regressor": lambda density: network(SparseMLPRegressor, (40, 30), density=density),
    "classifier_cv": cross_fitted(SparseMLPClassifierCV, SparseMLPClassifier),
    "regressor_cv": cross_fitted(SparseMLPRegressorCV, SparseMLPRegressor),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("density", [0.2, 0.5, 0.99])
def test_density_is_the_overall_share_of_connections(iris, model, density):
    fitted = model(density).fit(*iris)
    first = getattr(fitted, "estimators_", [fitted])[0]
    possible = sum(prod(coef.shape) for coef in first.coefs_)
    # Each layer rounds to a whole connection.
    assert fitted.density_ == pytest.approx(density, abs=0.5 * 3 / possible)
    assert first.density_ == sum(coef.nnz for coef in first.coefs_) / possible


def test_density_of_partial_fit_and_of_files(iris):
    X, y = iris
    model = network(density=0.2).partial_fit(X, y, classes=[0, 1, 2])
    copy = SparseMLPClassifier.from_arrays(model.export_arrays())
    assert copy.density == 0.2
    assert copy.density_ == model.density_ == pytest.approx(0.2, abs=0.002)


def test_density_of_the_selectors_network(iris):
    selector = SparseMLPSelector(network(density=0.3), n_features_to_select=2)
    assert selector.fit(*iris).estimator_.density_ <= 0.3 + 0.002


def test_density_on_a_cluster(iris):
    distributed = pytest.importorskip("distributed")
    from sksparse_mlp.distributed import DaskSparseMLPClassifier

    X, y = iris
    with distributed.Client(processes=False, n_workers=1, dashboard_address=None) as client:
        model = DaskSparseMLPClassifier(
            network(density=0.3), n_rounds=2, n_partitions=2, client=client, random_state=0
        )
        assert model.fit(X, y).estimator_.density_ == pytest.approx(0.3, abs=0.002)


def test_full_network(iris):
    model = network(density=1, zeta=0).fit(*iris)
    assert model.density_ == 1.0
    assert model.n_connections_.tolist() == [120, 600, 60]


def test_density_may_be_searched(iris):
    grid = {"density": [0.2, 0.5]}
    model = SparseMLPClassifierCV(network(max_iter=8), grid, cv=2, random_state=0)
    chosen = model.fit(*iris).best_params_["density"]
    assert model.density_ == pytest.approx(chosen, abs=0.01)


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_epsilon_of_each_layer(iris, kind):
    model = network(epsilon=kind([1, 2, 0.5]), sizes=(30, 20)).fit(*iris)
    assert model.n_connections_.tolist() == [34, 100, round(0.5 * 23)]


def test_one_epsilon_for_each_layer_is_one_for_all(iris):
    one, each = network(epsilon=2).fit(*iris), network(epsilon=[2, 2, 2]).fit(*iris)
    for coef, other in zip(one.coefs_, each.coefs_, strict=True):
        assert (coef != other).nnz == 0


REFUSED = {
    "both": ({"density": 0.1, "epsilon": 3}, "density=0.1 and epsilon=3 both"),
    "both, by layer": ({"density": 0.1, "epsilon": [20] * 3}, "density=0.1 and epsilon"),
    "too few": ({"density": 1e-4}, r"density=0.0001 leaves layer 0 \(from 4 to 30 .*Give"),
    "short": ({"epsilon": [1, 2]}, r"epsilon=\[1, 2\] has 2 entries for 3 layers of con"),
    "long": ({"epsilon": [1] * 4}, "has 4 entries for 3 layers of connections"),
    "negative": ({"epsilon": [1, 2, -1]}, r"has -1; allowed are positive finite numbers"),
    "infinite": ({"epsilon": [np.inf, 2, 1]}, "has inf; allowed are positive finite"),
    "text": ({"epsilon": ["1", 2, 1]}, "has '1'; allowed are positive finite numbers"),
    "boolean": ({"epsilon": [True, 2, 1]}, "has True; allowed are positive finite numbers"),
    "rules": ({"growth": ["random"]}, r"growth=\['random'\] has 1 entries for 3 layers"),
    "unknown": ({"growth": ["random", "x", "random"]}, "has 'x'; allowed are .*'gradient'"),
    "class": ({"growth": [RandomGrowth] * 3}, "RandomGrowth'>; allowed are instances"),
}


@pytest.mark.parametrize(("parameters", "message"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_contradictions_are_refused(iris, parameters, message, method):
    with pytest.raises(ValueError, match=message):
        getattr(network(SparseMLPRegressor, **parameters), method)(*iris)


def test_the_density_that_is_advised_suffices(iris):
    with pytest.raises(ValueError, match="Give") as error:
        network(density=1e-4).fit(*iris)
    advised = float(str(error.value).split("Give ")[1].split(" or more")[0])
    with pytest.warns(UserWarning, match="too few connections"):
        model = network(density=advised).fit(*iris)
    assert (model.n_connections_ > 0).all()


# --- growth of each layer -------------------------------------------------------------


class Spy(RandomGrowth):
    """Grows at random and keeps what it is told of which layer."""

    def __init__(self, signal=None):
        super().__init__()
        self.signal = signal
        self.seen = []
        self.skip_dropout, self.learning_rate_factor = 0.0, 1.0

    def free_ranks(self, layer, keep, size, rng, signal):
        self.seen.append((layer.n_in, layer.n_out, signal))
        return super().free_ranks(layer, keep, size, rng, None)


@pytest.mark.parametrize("rule", ["random", "liset", "gradient"])
@pytest.mark.parametrize("every", ["epoch", 2])
def test_the_same_rule_for_each_layer_is_one_for_all(iris, rule, every):
    settings = {"epsilon": 1, "max_iter": 3, "evolve_every": every}
    one = network(growth=rule, **settings).fit(*iris)
    each = network(growth=[rule] * 3, **settings).fit(*iris)
    for coef, other in zip(one.coefs_, each.coefs_, strict=True):
        assert (coef != other).nnz == 0


def test_each_layer_grows_by_its_own_rule_and_gets_its_signal(iris):
    rules = [Spy("skips"), Spy(), Spy("gradient")]
    network(growth=rules, epsilon=1).fit(*iris)
    (first,), (second,), (third,) = (rule.seen for rule in rules)
    assert first[:2] == (4, 30)
    assert first[2].shape == (4,)
    assert (first[2] > 0).any()
    assert second == (30, 20, None)
    assert third[:2] == (20, 3)
    x, dz = third[2]
    assert len(x) == 20
    assert len(dz) == 3
    assert dz.any()


# --- without training -----------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
def test_no_epoch_gives_the_untrained_network(iris, early_stopping):
    settings = {"max_iter": 0, "epsilon": 1, "early_stopping": early_stopping}
    model, twin = (network(**settings).fit(*iris) for _ in "ab")
    assert model.history_ == []
    assert model.n_iter_ == 0
    assert np.isnan(model.loss_)
    assert (model.coefs_[0] != twin.coefs_[0]).nnz == 0
    assert (model.intercepts_[0] == 0).all()
    assert model.predict_proba(iris[0]).shape == (150, 3)
    model.set_params(max_iter=1, warm_start=True).fit(*iris)
    assert len(model.history_) == 1


def test_strongest_features_of_the_untrained_network_are_selected(iris):
    model = network(max_iter=0, n_features_to_select=2).fit(*iris)
    strengths = reduce(np.matmul, [abs(coefs).toarray() for coefs in model.coefs_])
    strongest = np.argsort(strengths.sum(axis=1))[-2:]
    assert set(np.flatnonzero(model.support_)) == set(strongest)


def test_no_epoch_is_where_training_begins(iris):
    settings = {"epsilon": 1, "learning_rate_init": 1e-300}
    untrained = network(max_iter=0, **settings).fit(*iris)
    trained = network(max_iter=1, **settings).fit(*iris)
    for coef, other in zip(untrained.coefs_, trained.coefs_, strict=True):
        assert (coef != other).nnz == 0


@pytest.mark.parametrize("schedule", ["cosine", "linear", lambda epoch, n: epoch / n])
def test_partial_fit_trains_whatever_the_planned_epochs(iris, schedule):
    model = network(
        SparseMLPRegressor, max_iter=0, learning_rate="cosine", zeta_schedule=schedule
    )
    model.partial_fit(*iris).partial_fit(*iris)
    assert len(model.history_) == 2


def test_ensembles_need_an_epoch(iris):
    with pytest.raises(ValueError, match="max_iter=0 leaves no epoch to choose"):
        SparseMLPClassifierCV(network(max_iter=0)).fit(*iris)
