"""Edge of chaos: printed reference values, independent integration, fixed points, words."""

from dataclasses import FrozenInstanceError
from itertools import pairwise
from math import inf, nan

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from sksparse_mlp.activations import (
    ACTIVATIONS,
    CST,
    Activation,
    CReLU,
    LeakyReLU,
    Logistic,
    ReLU,
    ReLUTau,
    SoftThreshold,
    SReLU,
)
from sksparse_mlp.initializers import edge_of_chaos

# activation, sigma_w2, sigma_b2, V', share of zeros, all fixed points below 6, as printed.
LITERATURE = [
    (ReLU(), "2.0", "0.0", "1", "0.5", ["1"]),
    (ReLUTau(1), "6.30297", "0.52514", "1", "0.8413", ["1"]),
    (CReLU(1, 1), "7.35807", "0.61304", "0.6027", "0.8413", ["1"]),
    (CReLU(1, 2), "6.35706", "0.53207", "0.9437", "0.8413", ["1", "1.292", "3.005"]),
    (CST(0.5, 1), "2.06842", "0.46975", "0.4642", "0.3829", ["1"]),
]
VARIANCES = (0.3, 1.0, 5.0, 100.0)
UNEVEN = SReLU(slope=0.3, threshold_left=-0.7, threshold_right=0.4, slope_right=0.2)
HOMOGENEOUS = ("identity", "relu", "leaky_relu", "prelu", "srelu", "all_relu", "garelu")
by_name = pytest.mark.parametrize("name", ACTIVATIONS)
by_variance = pytest.mark.parametrize("q", VARIANCES)


class Wave(Activation):
    """A smooth activation that is not registered."""

    def forward(self, z, a, parameters, start, stop):
        a[start:stop] = np.sin(z[start:stop])

    def backward(self, z, da, parameters, gradient, start, stop):
        da[start:stop] *= np.cos(z[start:stop])


class Flat(Wave):
    """An activation that learns nothing from any input."""

    def backward(self, z, da, parameters, gradient, start, stop):
        da[start:stop] = 0


def printed(value, digits):
    """``value`` with as many decimals as ``digits`` has."""
    return f"{value:.{len(digits.partition('.')[2])}f}"


def value_and_derivative(activation, x):
    """f(x) and f'(x) of one number."""
    parameters = activation.initial_parameters(1, 1, np.float64)
    z, a, da = np.full((1, 1), x), np.empty((1, 1)), np.ones((1, 1))
    activation.forward(z, a, parameters, 0, 1)
    activation.backward(z, da, parameters, np.zeros((len(parameters), 1)), 0, 1)
    return a[0, 0], da[0, 0]


def expectation(activation, q, g):
    """E[g(z, f(x), f'(x))] at x = sqrt(q) z by adaptive quadrature, kink to kink."""
    kinks = activation.kinks(activation.initial_parameters(1, 1, np.float64))
    near = np.linspace(-8, 8, 9) if kinks is None else kinks
    ends = np.unique(np.clip([-13, 0, 13, *near / np.sqrt(q)], -13, 13))

    def integrand(z):
        return norm.pdf(z) * g(z, *value_and_derivative(activation, np.sqrt(q) * z))

    pieces = pairwise(ends)
    return sum(quad(integrand, a, b, epsabs=1e-12, epsrel=1e-10)[0] for a, b in pieces)


def moments(activation, q):
    """E[f^2], E[f'^2] and dE[f^2]/dq at variance q."""
    return (
        expectation(activation, q, lambda z, f, d: f * f),
        expectation(activation, q, lambda z, f, d: d * d),
        expectation(activation, q, lambda z, f, d: f * d * z) / np.sqrt(q),
    )


def point_or_none(activation, q):
    try:
        return edge_of_chaos(activation, q)
    except ValueError as error:
        if "has no edge of chaos" not in str(error):
            raise
        return None


def assert_integrals(activation, q):
    square, chi, growth = moments(activation, q)
    point = point_or_none(activation, q)
    if point is None:
        assert q - square / chi < 0
        return
    actual = point.sigma_w2, point.sigma_b2, point.stability, point.chi_1
    expected = 1 / chi, q - square / chi, growth / chi, 1
    np.testing.assert_allclose(actual, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("activation", "w", "b", "slope", "zeros", "fixed"), LITERATURE)
def test_literature_to_all_printed_digits(activation, w, b, slope, zeros, fixed):
    point = edge_of_chaos(activation)
    assert printed(point.sigma_w2, w) == w
    assert printed(point.sigma_b2, b) == b
    assert printed(point.stability, slope) == slope
    assert printed(point.output_sparsity, zeros) == zeros
    assert [printed(q, f) for q, f in zip(point.fixed_points, fixed, strict=True)] == fixed


@by_variance
@by_name
def test_agrees_with_an_independent_integration(name, q):
    assert_integrals(ACTIVATIONS[name](), q)


@by_variance
@pytest.mark.parametrize("activation", [UNEVEN, LeakyReLU(0.7), CST(0.0, 2.0), Wave()])
def test_other_settings_agree_with_an_independent_integration(activation, q):
    assert_integrals(activation, q)


def test_every_activation_has_an_edge_of_chaos_at_some_variance():
    for cls in ACTIVATIONS.values():
        assert any(point_or_none(cls(), q) for q in VARIANCES), cls


@by_name
def test_variance_map_agrees_with_an_independent_integration(name):
    activation = ACTIVATIONS[name]()
    point = next(filter(None, (point_or_none(activation, q) for q in VARIANCES)))
    q = point.q * np.array([0.1, 1.0, 4.0])
    expected = [
        point.sigma_b2
        + point.sigma_w2 * expectation(activation, each, lambda z, f, d: f * f)
        for each in q
    ]
    np.testing.assert_allclose(point.variance_map(q), expected, rtol=1e-8)
    np.testing.assert_allclose(point.variance_map(point.q), point.q, rtol=1e-10)


def test_variance_map_takes_any_shape_down_to_zero():
    point = edge_of_chaos("cst")
    grid = np.linspace(0, 3, 6).reshape(2, 3)
    each = [[point.variance_map(q) for q in row] for row in grid]
    np.testing.assert_allclose(point.variance_map(grid), each, rtol=1e-14)
    assert np.shape(point.variance_map(1.0)) == ()
    np.testing.assert_allclose(point.variance_map(0), point.sigma_b2)


def test_variance_map_at_zero_is_that_of_a_constant():
    point = edge_of_chaos(Logistic(), q=100)
    expected = point.sigma_b2 + point.sigma_w2 / 4
    np.testing.assert_allclose(point.variance_map(0.0), expected)


@pytest.mark.parametrize("q", [-1.0, nan, inf, [1.0, -1e-9]])
def test_variance_map_refuses_what_is_no_variance(q):
    with pytest.raises(ValueError, match="must be finite and not negative"):
        edge_of_chaos("cst").variance_map(q)


@by_name
def test_stability_is_the_slope_of_the_variance_map(name):
    activation = ACTIVATIONS[name]()
    point = next(filter(None, (point_or_none(activation, q) for q in VARIANCES)))
    h = 1e-4 * point.q
    low, high = point.variance_map([point.q - h, point.q + h])
    np.testing.assert_allclose(point.stability, (high - low) / (2 * h), rtol=1e-6)


@by_name
def test_output_sparsity_is_the_share_of_zeros_in_a_sample(name):
    activation = ACTIVATIONS[name]()
    point = next(filter(None, (point_or_none(activation, q) for q in VARIANCES)))
    z = np.sqrt(point.q) * np.random.default_rng(0).standard_normal((1, 100_000))
    a = np.empty_like(z)
    activation.forward(z, a, activation.initial_parameters(1, 1, float), 0, 1)
    assert point.output_sparsity == pytest.approx(np.mean(a == 0), abs=0.007)


@pytest.mark.parametrize("q", [0.5, 2.0])
def test_scale_of_a_clipped_activation_goes_with_the_variance(q):
    one = edge_of_chaos(CReLU(1, 2))
    scaled = edge_of_chaos(CReLU(np.sqrt(q), 2 * np.sqrt(q)), q=q)
    np.testing.assert_allclose(scaled.fixed_points, q * one.fixed_points, rtol=1e-9)
    np.testing.assert_allclose(scaled.sigma_w2, one.sigma_w2)
    np.testing.assert_allclose(scaled.sigma_b2, q * one.sigma_b2)


def test_fixed_points_are_fixed():
    points = edge_of_chaos(CReLU(1, 2))
    np.testing.assert_allclose(
        points.variance_map(points.fixed_points), points.fixed_points, rtol=1e-10
    )


def test_unstable_fixed_point_has_another_below():
    # Steeper where inputs are large: the variance map is steeper than the diagonal.
    point = edge_of_chaos(SReLU(0, threshold_left=0, threshold_right=1, slope_right=2))
    assert point.stability > 1.2
    assert point.fixed_points.round(3).tolist() == [0.183, 1.0]
    assert "unstable" in point.diagnosis
    assert "below it shrinks and one above it grows" in point.diagnosis
    assert "Failure mode 1" in point.diagnosis


def test_a_clip_beyond_reach_adds_no_fixed_points_by_rounding():
    point = edge_of_chaos(CReLU(0, 10))
    assert point.fixed_points.tolist() == [1.0]


@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_homogeneous_activations_keep_every_variance(name):
    point = edge_of_chaos(name, q=2.0)
    q = np.array([0.0, 0.01, 1.0, 30.0])
    np.testing.assert_allclose(point.variance_map(q), q, rtol=1e-14)
    assert point.sigma_b2 == 0
    assert point.fixed_points.tolist() == [2.0]
    assert point.diagnosis.startswith("Fit to train: V(q) = q for every q")


@pytest.mark.parametrize("activation", [CReLU(1, 1), CST(0.5, 1), "tanh"])
def test_diagnosis_of_a_sound_network(activation):
    assert edge_of_chaos(activation).diagnosis.startswith("Fit to train: q=1 is the only")


@pytest.mark.parametrize("activation", [ReLUTau(1), SoftThreshold(1), ReLUTau(0.01)])
def test_diagnosis_of_a_half_stable_fixed_point(activation):
    point = edge_of_chaos(activation)
    assert point.stability == pytest.approx(1, abs=1e-12)
    assert "half-stable" in point.diagnosis
    assert "a variance above it grows" in point.diagnosis
    assert "explode" in point.diagnosis
    assert "Fit to train" not in point.diagnosis


def test_diagnosis_of_several_fixed_points():
    diagnosis = edge_of_chaos(CReLU(1, 2)).diagnosis
    assert diagnosis.startswith("Failure mode 1")
    assert "1.292, 3.005" in diagnosis
    assert "Failure mode 2" not in diagnosis


def test_diagnosis_of_too_sparse_a_network():
    diagnosis = edge_of_chaos(CReLU(1.5, 0.5)).diagnosis
    assert diagnosis.startswith("Failure mode 2, too sparse: 93.3%")
    assert "Failure mode 1" not in diagnosis


def test_diagnosis_names_every_threat():
    diagnosis = edge_of_chaos(CReLU(2, 1)).diagnosis
    assert "Failure mode 1" in diagnosis
    assert "Failure mode 2" in diagnosis


def test_negative_bias_variance_is_refused_with_its_value():
    square, chi, _ = moments(Logistic(), 1.0)
    with pytest.raises(ValueError, match="has no edge of chaos at q=1") as error:
        edge_of_chaos("logistic")
    message = str(error.value)
    assert "Logistic()" in message
    assert f"would be negative: {1 - square / chi:.6g}" in message
    assert "Choose another" in message


@pytest.mark.parametrize("activation", [Flat(), CReLU(60, 1)])
def test_flat_activation_is_refused(activation):
    with pytest.raises(ValueError, match="no edge of chaos at q=1: its derivative is zero"):
        edge_of_chaos(activation)


@pytest.mark.parametrize("q", [0, -1.0, nan, inf, "1", None])
def test_bad_variance_is_refused(q):
    with pytest.raises(ValueError, match="must be a positive and finite number"):
        edge_of_chaos("relu", q=q)


@pytest.mark.parametrize("activation", ["rellu", None, ReLU, ["relu"]])
def test_unknown_activation_is_refused_with_the_known_names(activation):
    with pytest.raises(ValueError, match="must be an instance of Activation") as error:
        edge_of_chaos(activation)
    assert all(name in str(error.value) for name in ACTIVATIONS)


def test_bad_parameter_of_an_activation_is_refused():
    with pytest.raises(ValueError, match="The 'clip' parameter of CReLU"):
        edge_of_chaos(CReLU(1, -1))


def test_point_is_frozen_and_shows_its_figures():
    point = edge_of_chaos(CReLU(1, 1))
    with pytest.raises(FrozenInstanceError):
        point.sigma_w2 = 1
    assert repr(point).startswith("EdgeOfChaosPoint(activation=CReLU(")
    assert "sigma_b2=0.61304" in repr(point)


# --- the correlation of two inputs ----------------------------------------------------

CORRELATIONS = np.array([-1.0, -0.9, -0.3, 0.0, 0.4, 0.9, 0.999, 1.0])


def has_edge(activation, q):
    try:
        return edge_of_chaos(activation, q)
    except ValueError:
        return None


POINTS = [
    point
    for q in VARIANCES
    for activation in (*ACTIVATIONS, CReLU(1, 2), ReLUTau(1), Wave())
    if (point := has_edge(activation, q)) is not None
]
by_point = pytest.mark.parametrize(
    "point", POINTS, ids=lambda point: f"{point.activation!r}-{point.q:g}"
)


@by_point
def test_correlation_map_is_what_random_pairs_say(point):
    """Monte Carlo, within five standard errors."""
    z = np.random.default_rng(0).standard_normal((2, 40_000))
    root = np.sqrt(point.q)
    for c in CORRELATIONS:
        pair = root * z[0], root * (c * z[0] + np.sqrt(1 - c**2) * z[1])
        values, slopes = zip(
            *(value_and_derivative_of(point, u) for u in pair), strict=True
        )
        for samples, found in (
            (
                (point.sigma_b2 + point.sigma_w2 * values[0] * values[1]) / point.q,
                point.correlation_map(c),
            ),
            (point.sigma_w2 * slopes[0] * slopes[1], point.correlation_slope(c)),
        ):
            error = samples.std() / np.sqrt(samples.size)
            assert abs(samples.mean() - found) <= 5 * error + 1e-3


def value_and_derivative_of(point, x):
    """f and f' of many numbers."""
    activation = point.activation
    parameters = activation.initial_parameters(1, 1, np.float64)
    z, a, da = x.reshape(1, -1), np.empty((1, x.size)), np.ones((1, x.size))
    activation.forward(z, a, parameters, 0, 1)
    activation.backward(z, da, parameters, np.zeros((len(parameters), 1)), 0, 1)
    return a[0], da[0]


@by_point
def test_correlation_map_keeps_what_is_alike_and_has_its_slope(point):
    assert point.correlation_map(1.0) == pytest.approx(1, abs=1e-4)
    assert point.correlation_slope(1.0) == pytest.approx(point.chi_1, abs=2e-2)
    c, h = np.linspace(-0.95, 0.95, 11), 1e-5
    difference = (point.correlation_map(c + h) - point.correlation_map(c - h)) / (2 * h)
    np.testing.assert_allclose(point.correlation_slope(c), difference, rtol=1e-5, atol=1e-8)


def test_relu_has_the_arc_cosine_kernel():
    c = CORRELATIONS
    angle = np.arccos(c)
    expected = (np.sin(angle) + (np.pi - angle) * c) / np.pi
    point = edge_of_chaos("relu", q=3.0)
    np.testing.assert_allclose(point.correlation_map(c), expected, atol=1e-14)
    np.testing.assert_allclose(point.correlation_slope(c), 1 - angle / np.pi, atol=1e-14)


def test_correlations_have_the_shape_of_what_is_asked():
    point = edge_of_chaos("cst")
    assert np.ndim(point.correlation_map(0.5)) == 0
    assert point.correlation_map(np.zeros((2, 3))).shape == (2, 3)


@pytest.mark.parametrize("c", [1.01, -2, nan, inf, [0.0, 3.0]])
def test_correlations_are_within_one(c):
    for method in (
        edge_of_chaos("relu").correlation_map,
        edge_of_chaos("relu").correlation_slope,
    ):
        with pytest.raises(ValueError, match=r"c=.*correlations, in \[-1, 1\]"):
            method(c)
