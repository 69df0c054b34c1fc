"""Activations: values, derivatives, slopes, parameters."""

import numpy as np
import pytest
from sklearn.base import clone

from sksparse_mlp.activations import (
    ACTIVATIONS,
    AllReLU,
    Identity,
    LeakyReLU,
    Logistic,
    ReLU,
    Tanh,
)
from sksparse_mlp.initializers import INITIALIZERS

FORMULAS = [
    (Identity(), lambda x, depth: x),
    (Logistic(), lambda x, depth: 1 / (1 + np.exp(-x))),
    (Tanh(), lambda x, depth: np.tanh(x)),
    (ReLU(), lambda x, depth: np.maximum(0, x)),
    (LeakyReLU(0.6), lambda x, depth: np.where(x > 0, x, 0.6 * x)),
    (AllReLU(0.6), lambda x, depth: np.where(x > 0, x, (-1) ** depth * 0.6 * x)),
]
DEPTHS = (1, 2, 3)
by_name = pytest.mark.parametrize("name", ACTIVATIONS)
by_depth = pytest.mark.parametrize("depth", DEPTHS)


def pre_activations(dtype=np.float64):
    z = np.random.default_rng(0).normal(scale=3, size=(6, 40))
    return z.astype(dtype)


def apply(activation, z, depth):
    a = np.full_like(z, np.nan)
    activation.forward(z, a, depth, 0, len(z))
    return a


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@by_depth
@pytest.mark.parametrize(("activation", "formula"), FORMULAS)
def test_value_is_the_formula(activation, formula, depth, dtype):
    z = pre_activations(dtype)
    expected = formula(z.astype(np.float64), depth)
    tolerance = 10 * np.finfo(dtype).eps
    actual = apply(activation, z, depth)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@by_depth
@by_name
def test_gradient_is_multiplied_by_the_derivative(name, depth):
    activation, z = ACTIVATIONS[name](), pre_activations()
    h = 1e-5
    derivative = (apply(activation, z + h, depth) - apply(activation, z - h, depth)) / (
        2 * h
    )
    incoming = np.random.default_rng(1).standard_normal(z.shape)
    gradient = incoming.copy()
    activation.backward(z, gradient, depth, 0, len(z))
    np.testing.assert_allclose(gradient, incoming * derivative, rtol=1e-6, atol=1e-9)


@by_depth
@by_name
def test_only_the_given_neurons_are_written(name, depth):
    activation, z = ACTIVATIONS[name](), pre_activations()
    a, da = np.full_like(z, 7.0), np.full_like(z, 7.0)
    activation.forward(z, a, depth, 2, 4)
    activation.backward(z, da, depth, 2, 4)
    others = [0, 1, 4, 5]
    np.testing.assert_array_equal(a[others], 7)
    np.testing.assert_array_equal(da[others], 7)
    np.testing.assert_array_equal(a[2:4], apply(activation, z, depth)[2:4])


@by_name
def test_values_may_overwrite_pre_activations(name):
    activation, z = ACTIVATIONS[name](), pre_activations()
    expected = apply(activation, z, 1)
    activation.forward(z, z, 1, 0, len(z))
    np.testing.assert_array_equal(z, expected)


@by_depth
@by_name
def test_signed_slope_is_the_slope_for_negative_inputs(name, depth):
    activation = ACTIVATIONS[name]()
    slope = activation.signed_slope(depth)
    if slope is not None:
        z = -np.abs(pre_activations())
        np.testing.assert_allclose(apply(activation, z, depth), slope * z)


def test_all_relu_alternates_from_minus_in_the_first_hidden_layer():
    assert [AllReLU(0.5).signed_slope(depth) for depth in DEPTHS] == [-0.5, 0.5, -0.5]
    assert [LeakyReLU(0.5).signed_slope(depth) for depth in DEPTHS] == [0.5, 0.5, 0.5]
    assert [ReLU().signed_slope(depth) for depth in DEPTHS] == [0, 0, 0]


@by_name
def test_activation_names_an_initialisation_that_exists(name):
    assert ACTIVATIONS[name].initializer in INITIALIZERS


@by_name
def test_activation_is_a_cloneable_holder_of_valid_parameters(name):
    activation = ACTIVATIONS[name]()
    activation._validate_params()
    assert clone(activation).get_params() == activation.get_params()
    assert set(activation.get_params()) == set(activation._parameter_constraints)


@pytest.mark.parametrize("slope", [-0.1, np.nan, "steep", None])
@pytest.mark.parametrize("cls", [LeakyReLU, AllReLU])
def test_bad_slope_is_refused_by_name(cls, slope):
    with pytest.raises(ValueError, match=f"The 'slope' parameter of {cls.__name__}"):
        cls(slope=slope)._validate_params()
