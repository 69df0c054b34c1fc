"""Activations: values, derivatives, slopes, kinks, on and off, parameters."""

import numpy as np
import pytest
from sklearn.base import clone

from sksparse_mlp.activations import (
    ACTIVATIONS,
    CST,
    AllReLU,
    CReLU,
    GAReLU,
    Identity,
    LeakyReLU,
    Logistic,
    PReLU,
    ReLU,
    ReLUTau,
    SoftThreshold,
    SReLU,
    Tanh,
)
from sksparse_mlp.initializers import INITIALIZERS

N_NEURONS = 6


def leaky(slope):
    return lambda x: np.where(x > 0, x, slope * x)


def s_shaped(left, left_slope, right, right_slope):
    def value(x):
        below = left + left_slope * (x - left)
        above = right + right_slope * (x - right)
        return np.where(x <= left, below, np.where(x >= right, above, x))

    return value


def soft(tau):
    return lambda x: np.sign(x) * np.maximum(0, np.abs(x) - tau)


# For each registered name: instance, and its function in odd and in even hidden layers.
FORMULAS = {
    "identity": (Identity(), lambda x: x),
    "logistic": (Logistic(), lambda x: 1 / (1 + np.exp(-x))),
    "tanh": (Tanh(), np.tanh),
    "relu": (ReLU(), lambda x: np.maximum(0, x)),
    "leaky_relu": (LeakyReLU(0.6), leaky(0.6)),
    "prelu": (PReLU(0.6), leaky(0.6)),
    "srelu": (SReLU(0.6, -1.0, 2.0, 0.3), s_shaped(-1.0, 0.6, 2.0, 0.3)),
    "all_relu": (AllReLU(0.6), leaky(-0.6), leaky(0.6)),
    "garelu": (GAReLU(0.6), leaky(-0.6), leaky(0.6)),
    "relu_tau": (ReLUTau(0.7), lambda x: np.maximum(0, x - 0.7)),
    "st": (SoftThreshold(0.7), soft(0.7)),
    "crelu": (CReLU(0.7, 1.5), lambda x: np.minimum(np.maximum(0, x - 0.7), 1.5)),
    "cst": (CST(0.7, 1.5), lambda x: np.clip(soft(0.7)(x), -1.5, 1.5)),
}
DEPTHS = (1, 2, 3)
by_name = pytest.mark.parametrize("name", ACTIVATIONS)
by_depth = pytest.mark.parametrize("depth", DEPTHS)


def formula(name, depth):
    functions = FORMULAS[name][1:]
    return functions[(depth - 1) % len(functions)]


def pre_activations(dtype=np.float64):
    z = np.random.default_rng(0).normal(scale=3, size=(N_NEURONS, 40))
    return z.astype(dtype)


def parameters_of(activation, depth=1, dtype=np.float64):
    return activation.initial_parameters(depth, N_NEURONS, dtype)


def apply(activation, z, parameters):
    a = np.full_like(z, np.nan)
    activation.forward(z, a, parameters, 0, len(z))
    return a


def differentiate(activation, z, da, parameters):
    """The gradient for the pre-activations, and that of each neuron's parameters."""
    da, gradient = da.copy(), np.zeros((len(parameters), len(z)), z.dtype)
    activation.backward(z, da, parameters, gradient, 0, len(z))
    return da, gradient


# --- values and derivatives -----------------------------------------------------------


def test_every_activation_has_its_formula_here():
    assert set(FORMULAS) == set(ACTIVATIONS)
    assert all(type(FORMULAS[name][0]) is cls for name, cls in ACTIVATIONS.items())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@by_depth
@by_name
def test_value_is_the_formula(name, depth, dtype):
    activation, z = FORMULAS[name][0], pre_activations(dtype)
    expected = formula(name, depth)(z.astype(np.float64))
    tolerance = 10 * np.finfo(dtype).eps
    actual = apply(activation, z, parameters_of(activation, depth, dtype))
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@by_depth
@by_name
def test_value_at_a_kink_is_the_formula(name, depth):
    activation = FORMULAS[name][0]
    parameters = parameters_of(activation, depth)
    kinks = activation.kinks(parameters)
    z = np.tile([0.0] if kinks is None else [*kinks, 0.0], (N_NEURONS, 1))
    expected = formula(name, depth)(z)
    np.testing.assert_allclose(apply(activation, z, parameters), expected, atol=1e-15)


def random_parameters(activation, depth):
    """Parameters that differ from neuron to neuron, where each has its own."""
    parameters = parameters_of(activation, depth)
    return parameters + np.random.default_rng(2).uniform(-0.2, 0.2, parameters.shape)


@by_depth
@by_name
def test_gradient_is_multiplied_by_the_derivative(name, depth):
    activation, z, h = FORMULAS[name][0], pre_activations(), 1e-5
    parameters = random_parameters(activation, depth)
    above, below = (apply(activation, z + d, parameters) for d in (h, -h))
    incoming = np.random.default_rng(1).standard_normal(z.shape)
    gradient, _ = differentiate(activation, z, incoming, parameters)
    derivative = (above - below) / (2 * h)
    np.testing.assert_allclose(gradient, incoming * derivative, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [n for n, cls in ACTIVATIONS.items() if cls.learnable])
def test_gradient_of_the_parameters_is_that_of_central_differences(name):
    activation, z, h = FORMULAS[name][0], pre_activations(), 1e-5
    parameters = random_parameters(activation, 1)
    parameters = np.broadcast_to(parameters, (len(parameters), N_NEURONS)).copy()
    incoming = np.random.default_rng(1).standard_normal(z.shape)
    _, gradient = differentiate(activation, z, incoming, parameters)
    for k, values in enumerate(parameters):
        values += h
        above = apply(activation, z, parameters)
        values -= 2 * h
        below = apply(activation, z, parameters)
        values += h
        numeric = np.sum(incoming * (above - below), axis=1) / (2 * h)
        np.testing.assert_allclose(gradient[k], numeric, rtol=1e-6, atol=1e-8)


def test_derivative_of_srelu_is_right_when_training_has_crossed_its_thresholds():
    activation, z, h = SReLU(0.5, -1.0, 2.0, 0.3), pre_activations(), 1e-5
    parameters = random_parameters(activation, 1)
    parameters[[0, 2]] = parameters[[2, 0]]
    above, below = (apply(activation, z + d, parameters) for d in (h, -h))
    gradient, _ = differentiate(activation, z, np.ones_like(z), parameters)
    np.testing.assert_allclose(gradient, (above - below) / (2 * h), rtol=1e-6, atol=1e-9)


@by_depth
@by_name
def test_only_the_given_neurons_are_written(name, depth):
    activation, z = FORMULAS[name][0], pre_activations()
    parameters = random_parameters(activation, depth)
    a, da = np.full_like(z, 7.0), np.full_like(z, 7.0)
    gradient = np.full((len(parameters), N_NEURONS), 7.0)
    activation.forward(z, a, parameters, 2, 4)
    activation.backward(z, da, parameters, gradient, 2, 4)
    others = [0, 1, 4, 5]
    for values in (a, da, gradient.T):
        np.testing.assert_array_equal(values[others], 7)
    np.testing.assert_array_equal(a[2:4], apply(activation, z, parameters)[2:4])
    assert np.all(gradient[:, 2:4] != 7) or not activation.learnable


@by_name
def test_values_may_overwrite_pre_activations(name):
    activation, z = ACTIVATIONS[name](), pre_activations()
    parameters = parameters_of(activation)
    expected = apply(activation, z, parameters)
    activation.forward(z, z, parameters, 0, len(z))
    np.testing.assert_array_equal(z, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@by_name
def test_nan_stays_visible(name, dtype):
    activation, z = ACTIVATIONS[name](), pre_activations(dtype)
    bad = np.random.default_rng(4).random(z.shape) < 0.3
    z[bad] = np.nan
    a = apply(activation, z, parameters_of(activation, dtype=dtype))
    np.testing.assert_array_equal(np.isnan(a), bad)


# --- slopes and parameters ------------------------------------------------------------


@by_depth
@by_name
def test_slope_is_that_of_very_negative_inputs(name, depth):
    activation = FORMULAS[name][0]
    parameters = parameters_of(activation, depth)
    slope = activation.slopes(parameters)
    z = np.tile([-100.0, -101.0], (N_NEURONS, 1))
    a = apply(activation, z, parameters)
    if slope is not None:
        np.testing.assert_allclose(a[:, 0] - a[:, 1], slope, rtol=1e-10)
    assert (slope is not None) == hasattr(activation, "slope")


@pytest.mark.parametrize("cls", [AllReLU, GAReLU])
def test_slopes_alternate_from_minus_in_the_first_hidden_layer(cls):
    activation = cls(slope=0.5)
    parameters = [parameters_of(activation, depth) for depth in DEPTHS]
    assert [activation.slopes(p) for p in parameters] == [-0.5, 0.5, -0.5]


@pytest.mark.parametrize(("cls", "slope"), [(ReLU, 0), (LeakyReLU, 0.25), (PReLU, 0.25)])
@by_depth
def test_other_slopes_do_not_alternate(cls, slope, depth):
    assert np.all(cls().slopes(parameters_of(cls(), depth)) == slope)


PARAMETER_SHAPES = {
    "relu": (1, 1),
    "leaky_relu": (1, 1),
    "all_relu": (1, 1),
    "garelu": (1, 1),
    "prelu": (1, N_NEURONS),
    "srelu": (4, N_NEURONS),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@by_name
def test_parameters_are_one_per_layer_or_per_neuron(name, dtype):
    parameters = parameters_of(ACTIVATIONS[name](), dtype=dtype)
    assert parameters.shape == PARAMETER_SHAPES.get(name, (0, 1))
    assert parameters.dtype == dtype


@pytest.mark.parametrize("cls", [PReLU, SReLU])
def test_reported_slopes_are_a_copy(cls):
    parameters = parameters_of(cls())
    assert not np.shares_memory(cls().slopes(parameters), parameters)


def test_what_learns():
    learnable = {name for name, cls in ACTIVATIONS.items() if cls.learnable}
    assert learnable == {"prelu", "srelu", "garelu"}


# --- kinks, on and off ----------------------------------------------------------------


KINKS = {
    "identity": [],
    "logistic": None,
    "tanh": None,
    "srelu": [-1.0, 2.0],
    "relu_tau": [0.7],
    "st": [-0.7, 0.7],
    "crelu": [0.7, 2.2],
    "cst": [-2.2, -0.7, 0.7, 2.2],
}


@by_name
def test_kinks_are_where_the_derivative_jumps(name):
    activation = FORMULAS[name][0]
    parameters = parameters_of(activation)
    kinks, expected = activation.kinks(parameters), KINKS.get(name, [0.0])
    if expected is None:
        assert kinks is None
        return
    np.testing.assert_allclose(kinks, expected)
    inner = np.concatenate([kinks - 1e-6, kinks + 1e-6])
    z = np.tile(inner, (N_NEURONS, 1))
    slopes, _ = differentiate(activation, z, np.ones_like(z), parameters)
    left, right = np.split(slopes[0], 2)
    assert np.all(left != right)


@by_name
def test_between_kinks_the_function_is_a_line(name):
    activation = FORMULAS[name][0]
    parameters = parameters_of(activation)
    kinks = activation.kinks(parameters)
    if kinks is None:
        return
    z = np.tile(np.linspace(-5.0005, 5, 2001), (N_NEURONS, 1))
    slopes, _ = differentiate(activation, z, np.ones_like(z), parameters)
    jumps = np.sum(np.diff(slopes[0]) != 0)
    assert jumps == len(kinks)


# Of the pre-activations -9, -2, -0.5, 0, 0.5, 2 and 9; others are on where it is positive.
ON = {
    "relu_tau": {2.0, 9.0},
    "crelu": {2.0, 9.0},
    "st": {-9.0, -2.0, 2.0, 9.0},
    "cst": {-9.0, -2.0, 2.0, 9.0},
}


@by_name
def test_neuron_is_on_by_its_own_rule(name):
    activation = FORMULAS[name][0]
    z = np.tile([-9.0, -2.0, -0.5, 0.0, 0.5, 2.0, 9.0], (N_NEURONS, 1))
    a = apply(activation, z, parameters_of(activation))
    on = activation.is_on(z, a)
    assert on.shape == z.shape
    assert set(z[0][on[0]]) == ON.get(name, {0.5, 2.0, 9.0})


# --- holders of parameters ------------------------------------------------------------


@by_name
def test_activation_names_an_initialisation_that_exists(name):
    assert ACTIVATIONS[name].initializer in INITIALIZERS


@by_name
def test_activation_is_a_cloneable_holder_of_valid_parameters(name):
    for activation in (ACTIVATIONS[name](), FORMULAS[name][0]):
        activation._validate_params()
        assert clone(activation).get_params() == activation.get_params()
        assert set(activation.get_params()) == set(activation._parameter_constraints)


BAD = {
    "slope": ([-0.1, np.nan, np.inf, "steep", None], r"\[0.0, inf\)"),
    "threshold": ([-0.1, np.nan, np.inf, "low"], r"\[0.0, inf\)"),
    "clip": ([0, -1.0, np.nan, np.inf, None], r"\(0.0, inf\)"),
    "learning_rate_factor": ([-1, np.nan, np.inf], r"\[0.0, inf\)"),
    "update": (["never", None, 1], "'batch', 'epoch'|'epoch', 'batch'"),
    "threshold_left": ([np.nan, np.inf, None], r"\(-inf, inf\)"),
    "threshold_right": ([np.nan, -np.inf, "high"], r"\(-inf, inf\)"),
    "slope_right": ([np.nan, np.inf, None], r"\(-inf, inf\)"),
}
BAD_PARAMETERS = [
    (cls, parameter, value)
    for cls in ACTIVATIONS.values()
    for parameter in cls._get_param_names()
    for value in BAD[parameter][0]
]


@pytest.mark.parametrize(("cls", "parameter", "value"), BAD_PARAMETERS)
def test_bad_parameter_is_refused_with_what_is_allowed(mlp, binary, cls, parameter, value):
    model = mlp(activation=cls(**{parameter: value}))
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of {cls.__name__}") as e:
        model.fit(*binary)
    assert e.match(BAD[parameter][1])
    assert e.match(f"Got {value!r} instead".replace("(", r"\(").replace(")", r"\)"))
    assert not hasattr(model, "coefs_")


def test_crossed_thresholds_are_refused(mlp, binary):
    model = mlp(activation=SReLU(threshold_left=1.0, threshold_right=0.5))
    match = "threshold_left=1.0 of SReLU must not exceed threshold_right=0.5"
    with pytest.raises(ValueError, match=match):
        model.fit(*binary)
    model.set_params(activation=SReLU(threshold_left=0.5, threshold_right=0.5))
    assert np.isfinite(model.fit(*binary).loss_)
