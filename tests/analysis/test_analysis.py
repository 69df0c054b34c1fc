"""What fitted networks look like inside, and figures that summarise a training."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from sksparse_mlp.analysis import average_ratioed_accuracy, connectivity

# --- connectivity ---------------------------------------------------------------------


def test_degrees_are_those_of_the_patterns(mlp, multiclass):
    model = mlp(epsilon=1).fit(*multiclass)
    layers = connectivity(model)
    assert len(layers) == 3
    for layer, coef in zip(layers, model.coefs_, strict=True):
        stored = coef.copy()
        stored.data[:] = 1
        assert_array_equal(layer.out_degrees, stored.toarray().sum(axis=1))
        assert_array_equal(layer.in_degrees, stored.toarray().sum(axis=0))
        assert layer.out_degrees.dtype == layer.in_degrees.dtype == np.int64


@pytest.mark.parametrize("side", ["in", "out"])
def test_distribution_counts_the_neurons_by_degree(mlp, multiclass, side):
    model = mlp(epsilon=1).fit(*multiclass)
    for layer in connectivity(model):
        degrees = {"in": layer.in_degrees, "out": layer.out_degrees}[side].tolist()
        expected = [degrees.count(degree) for degree in range(max(degrees) + 1)]
        assert layer.distribution(side).tolist() == expected


def test_shares_in_use(mlp, multiclass):
    first, *_ = connectivity(mlp(n_features_to_select=3, max_iter=12).fit(*multiclass))
    assert first.share_of_inputs_in_use == 0.25
    assert first.share_of_outputs_in_use == np.mean(first.in_degrees > 0)
    assert isinstance(first.share_of_inputs_in_use, float)


@pytest.mark.parametrize("layout", ["csc", "coo", "lil"])
def test_replaced_arrays_may_have_any_layout(mlp, multiclass, layout):
    model = mlp(epsilon=1).fit(*multiclass)
    expected = connectivity(model)
    model.coefs_ = [coef.asformat(layout) for coef in model.coefs_]
    for layer, twin in zip(connectivity(model), expected, strict=True):
        assert_array_equal(layer.out_degrees, twin.out_degrees)
        assert_array_equal(layer.in_degrees, twin.in_degrees)


def test_neurons_without_connections_are_counted(mlp, multiclass):
    model = mlp(epsilon=100, zeta=0).fit(*multiclass)
    dense = model.coefs_[0].toarray()
    dense[:3], dense[:, -6:] = 0, 0
    model.coefs_[0] = type(model.coefs_[0])(dense)
    first = connectivity(model)[0]
    assert first.out_degrees.tolist() == [0] * 3 + [18] * 9
    assert first.in_degrees.tolist() == [9] * 18 + [0] * 6
    assert first.distribution("in").tolist() == [6, *[0] * 8, 18]
    assert first.distribution("out").tolist() == [3, *[0] * 17, 9]
    assert (first.share_of_inputs_in_use, first.share_of_outputs_in_use) == (0.75, 0.75)


@pytest.mark.parametrize("side", ["both", "", None, 0])
def test_unknown_side_is_refused(mlp, multiclass, side):
    layer = connectivity(mlp().fit(*multiclass))[0]
    with pytest.raises(ValueError, match="side must be 'in' or 'out', got"):
        layer.distribution(side)


def test_connectivity_needs_a_fitted_network(mlp):
    with pytest.raises(NotFittedError):
        connectivity(mlp())


# --- average ratioed accuracy ---------------------------------------------------------


def formula(a, b):
    """Radu's equation 3, term by term."""
    n = len(a)
    c1 = (n - n * b) / (n - 1)
    c2 = n - n * c1
    return sum(a[i - 1] * (i * c1 + c2) for i in range(1, n + 1)) / (n**2 * (b + 1) / 2)


@pytest.mark.parametrize("b", [0, 0.25, 0.5, 1])
@pytest.mark.parametrize("n", [2, 3, 250])
def test_ratioed_accuracy_is_its_formula(n, b):
    accuracies = np.random.default_rng(n).uniform(size=n).tolist()
    expected = formula(accuracies, b)
    assert average_ratioed_accuracy(accuracies, b) == pytest.approx(expected, rel=1e-12)
    assert isinstance(average_ratioed_accuracy(np.array(accuracies), b), float)


def test_half_is_the_default():
    accuracies = [0.2, 0.4, 0.9]
    # n = 3: c1 = 0.75 and c2 = 0.75 make the weights 1.5, 2.25 and 3.
    expected = (0.2 * 1.5 + 0.4 * 2.25 + 0.9 * 3) / 6.75
    assert average_ratioed_accuracy(accuracies) == pytest.approx(expected)


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_one_is_the_mean(n):
    accuracies = np.random.default_rng(n).uniform(size=n)
    mean = average_ratioed_accuracy(accuracies, b=1)
    assert mean == pytest.approx(accuracies.mean(), rel=1e-12)


@pytest.mark.parametrize("b", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n", [1, 2, 5, 250])
def test_constant_accuracy_is_itself(n, b):
    assert average_ratioed_accuracy([0.7] * n, b) == pytest.approx(0.7, rel=1e-12)


def test_later_epochs_weigh_more():
    assert average_ratioed_accuracy([0, 0, 1]) > average_ratioed_accuracy([1, 0, 0]) > 0


def test_early_accuracy_is_higher_than_late_accuracy():
    early, late = [0.8, 0.9, 0.9, 0.9], [0.2, 0.3, 0.5, 0.9]
    assert average_ratioed_accuracy(early) > average_ratioed_accuracy(late)


@pytest.mark.parametrize("bad", [[], 0.5, [[0.5, 0.6]]])
def test_accuracies_must_be_a_sequence_of_numbers(bad):
    with pytest.raises(ValueError, match="one number per epoch"):
        average_ratioed_accuracy(bad)


@pytest.mark.parametrize("b", [-0.1, 1.1, np.nan])
def test_weight_of_the_first_epoch_must_be_a_share(b):
    with pytest.raises(ValueError, match=r"b must be in \[0, 1\]"):
        average_ratioed_accuracy([0.5, 0.6], b)
