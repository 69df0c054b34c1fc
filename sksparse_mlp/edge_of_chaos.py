"""Where a random network neither forgets nor amplifies: the mathematics of its variance.

In a wide random network with weights N(0, sigma_w2 / fan_in) and biases N(0, sigma_b2)
the variance q of the pre-activations goes from one layer to the next by the variance map

    V(q) = sigma_b2 + sigma_w2 * E[phi(sqrt(q) z)^2],  z standard normal,

and the distance between two nearby inputs grows by the factor

    chi_1 = sigma_w2 * E[phi'(sqrt(q) z)^2].

The edge of chaos at q is the pair (sigma_w2, sigma_b2) with V(q) = q and chi_1 = 1.

Source: Price et al., *Deep Neural Network Initialization with Sparsity Inducing
Activations*, 2024.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from numbers import Real
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtr

from sksparse_mlp.activations import ACTIVATIONS, Activation

# Fixed points are looked for up to this multiple of q.
REACH = 6
# Fixed points that are closer to q than this share of it count as q itself.
NEARNESS = 1e-3
# Relative size of differences that are taken for rounding.
ROUNDING = 1e-12
# Above this share of zero outputs a network is called too sparse.
TOO_SPARSE = 0.9
# The normal density is zero, in float64, beyond so many standard deviations.
END = 40.0
# Of the series of pairs where there are no kinks.
N_TERMS = 1000


@cache
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the integral over correlations of pairs."""
    return np.polynomial.legendre.leggauss(200)


class Moments(NamedTuple):
    """Expectations over pre-activations sqrt(q) z, one entry per q."""

    square: np.ndarray  # E[phi^2]
    chi: np.ndarray  # E[phi'^2]
    growth: np.ndarray  # d E[phi^2] / dq = E[phi phi' z] / sqrt(q)
    zeros: np.ndarray  # P(phi = 0)


class PairMoments(NamedTuple):
    """Expectations over two pre-activations of variance q, one entry per correlation."""

    product: np.ndarray  # E[phi(u1) phi(u2)]
    chi: np.ndarray  # E[phi'(u1) phi'(u2)]


class _Function:
    """An activation, as it is before training, as a function of numbers."""

    def __init__(self, activation: Activation):
        self.activation = activation
        self.parameters = activation.initial_parameters(1, 1, np.float64)

    @property
    def kinks(self) -> np.ndarray | None:
        return self.activation.kinks(self.parameters)

    def value(self, x: np.ndarray) -> np.ndarray:
        a = np.empty((1, x.size))
        self.activation.forward(x.reshape(1, -1), a, self.parameters, 0, 1)
        return a.reshape(x.shape)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        da, scratch = np.ones((1, x.size)), np.zeros((len(self.parameters), 1))
        self.activation.backward(x.reshape(1, -1), da, self.parameters, scratch, 0, 1)
        return da.reshape(x.shape)


def _truncated_moments(
    a: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Integrals of 1, z and z^2 over (a, b), in the standard normal measure."""
    density_a, density_b = (np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) for z in (a, b))
    # Differences of the smaller tails keep their digits.
    mass = np.where(a > 0, ndtr(-a) - ndtr(-b), ndtr(b) - ndtr(a))
    return mass, density_a - density_b, mass + a * density_a - b * density_b


class _PiecewiseLinear:
    """Moments of slope * x + intercept between edges, in closed form."""

    def __init__(self, function: _Function, kinks: np.ndarray):
        # Zero as one more kink changes nothing and spares the case of no kinks.
        kinks = np.unique(np.append(kinks, 0.0))
        self.edges = np.array([-np.inf, *kinks, np.inf])
        ends = np.array([kinks[0] - 2, *kinks, kinks[-1] + 2])
        inside = (ends[1:] + ends[:-1]) / 2
        self.slopes = function.derivative(inside)
        self.intercepts = function.value(inside) - self.slopes * inside

    def __call__(self, q: np.ndarray) -> Moments:
        root = np.sqrt(np.maximum(q, np.finfo(float).tiny))
        # (n_edges, n_q); pieces are the rows below
        bounds = np.clip(self.edges[:, np.newaxis] / root, -END, END)
        m0, m1, m2 = _truncated_moments(bounds[:-1], bounds[1:])
        s, c = self.slopes, self.intercepts
        return Moments(
            square=s**2 @ m2 * q + 2 * (s * c) @ m1 * root + c**2 @ m0,
            chi=s**2 @ m0,
            growth=s**2 @ m2 + (s * c) @ m1 / root,
            zeros=m0[(s == 0) & (c == 0)].sum(axis=0),
        )

    def pairs(self, q: float, c: np.ndarray) -> PairMoments:
        """Moments of pairs with correlations c, from those without and one integral.

        By Price's theorem the second derivative of E[phi phi] by c is that of the kinks,
        q**2 times the sum of jump_i jump_j times the density of (u1, u2) at the kinks i
        and j. With c = sin(t) it is smooth up to the ends.
        """
        root = np.sqrt(q)
        kinks, jumps = self.edges[1:-1] / root, np.diff(self.slopes)
        bounds = np.clip(self.edges[:, np.newaxis] / root, -END, END)
        m0, m1, _ = _truncated_moments(bounds[:-1], bounds[1:])
        mean = float((self.slopes * root) @ m1[:, 0] + self.intercepts @ m0[:, 0])
        slope = float(self.slopes @ m0[:, 0])
        end = np.arcsin(c)[:, np.newaxis]  # (n_c, n_nodes) below
        nodes, weights = _nodes()
        angles, weights = end * (1 + nodes) / 2, end * weights / 2
        density = np.zeros_like(angles)
        for a, jump_a in zip(kinks, jumps, strict=True):
            for b, jump_b in zip(kinks, jumps, strict=True):
                square = (a - b * np.sin(angles)) ** 2 / np.cos(angles) ** 2 + b**2
                density += jump_a * jump_b * np.exp(-square / 2) / (2 * np.pi)
        # The integral of the second derivative, and the integral of that.
        chi = slope**2 + (density * weights).sum(axis=1)
        lever = (c[:, np.newaxis] - np.sin(angles)) * weights
        product = mean**2 + q * (slope**2 * c + (density * lever).sum(axis=1))
        return PairMoments(product, chi)


def _normal_quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for expectations of functions that are smooth but for zero.

    Gauss-Legendre in panels that halve towards zero, so that a function of sqrt(q) z is
    resolved whatever q is.
    """
    edges = np.concatenate([[0.0], 2.0 ** np.arange(-30, 0), np.arange(1, 15)])
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half = np.diff(edges)[:, np.newaxis] / 2
    z = (edges[:-1, np.newaxis] + half * (1 + nodes)).ravel()
    w = (half * weights).ravel() * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return np.concatenate([-z[::-1], z]), np.concatenate([w[::-1], w])


class _Smooth:
    """Moments of any other function, by quadrature."""

    nodes, weights = _normal_quadrature()

    def __init__(self, function: _Function):
        self.function = function

    def __call__(self, q: np.ndarray) -> Moments:
        root = np.sqrt(np.maximum(q, np.finfo(float).tiny))
        x = root[:, np.newaxis] * self.nodes  # (n_q, n_nodes)
        phi, slope = self.function.value(x), self.function.derivative(x)
        return Moments(
            square=phi**2 @ self.weights,
            chi=slope**2 @ self.weights,
            growth=(phi * slope * self.nodes) @ self.weights / root,
            zeros=(phi == 0) @ self.weights,
        )

    def pairs(self, q: float, c: np.ndarray) -> PairMoments:
        """Moments of pairs with correlations c, as power series in c (Mehler).

        The coefficients are the squares of those of the function in normalised Hermite
        polynomials.
        """
        x = np.sqrt(q) * self.nodes
        values = np.array([self.function.value(x), self.function.derivative(x)])
        values *= self.weights
        before, polynomial = np.zeros_like(x), np.ones_like(x)
        sums, power = np.zeros((2, c.size)), np.ones_like(c)
        for k in range(N_TERMS):
            sums += (values @ polynomial)[:, np.newaxis] ** 2 * power
            following = self.nodes * polynomial - np.sqrt(k) * before
            before, polynomial = polynomial, following / np.sqrt(k + 1)
            power = power * c
        return PairMoments(*sums)


def _moments_of(activation: Activation) -> _PiecewiseLinear | _Smooth:
    function = _Function(activation)
    kinks = function.kinks
    return _Smooth(function) if kinks is None else _PiecewiseLinear(function, kinks)


def _search_grid() -> np.ndarray:
    """Shares of q between which fixed points are looked for, without q itself."""
    shares = np.union1d(np.geomspace(1e-6, REACH, 200), np.linspace(0, REACH, 601)[1:])
    shares = shares[abs(shares - 1) > NEARNESS]
    return np.union1d(shares, [1 - NEARNESS, 1 + NEARNESS])


@dataclass(frozen=True, eq=False)
class EdgeOfChaosPoint:
    """Edge of chaos of an activation at a target variance; see :func:`edge_of_chaos`.

    Attributes
    ----------
    activation : Activation
    q : float
        Target variance q* of the pre-activations, a fixed point of the variance map.
    sigma_w2 : float
        Variance of the weights, multiplied by the number of connections of a neuron.
    sigma_b2 : float
        Variance of the biases.
    chi_1 : float
        Growth of the distance of two nearby inputs, per layer; 1 up to rounding.
    stability : float
        V'(q*), the slope of the variance map there. Below 1 the fixed point attracts.
    output_sparsity : float
        Expected share of outputs that are exactly zero.
    fixed_points : ndarray of shape (n_fixed_points,)
        All fixed points of the variance map in (0, 6 q*], ascending; q* alone where every
        q is one, which `diagnosis` says. Those within 0.1 % of q* count as q*.
    diagnosis : str
        In plain words, what threatens training from there.
    """

    activation: Activation
    q: float
    sigma_w2: float
    sigma_b2: float
    chi_1: float
    stability: float
    output_sparsity: float
    _moments: _PiecewiseLinear | _Smooth = field(repr=False)

    def variance_map(self, q: ArrayLike) -> np.ndarray:
        """V(q), the variance in the next layer where that of this one is q.

        Parameters
        ----------
        q : float or array-like
            Variances, at least 0 and finite.

        Returns
        -------
        float or ndarray of the shape of ``q``

        Examples
        --------
        >>> from sksparse_mlp.initializers import edge_of_chaos
        >>> edge_of_chaos("cst").variance_map([0.5, 1.0, 2.0]).round(4).tolist()
        [0.7152, 1.0, 1.3297]
        """
        q = np.asarray(q, float)
        if not (np.isfinite(q).all() and (q >= 0).all()):
            raise ValueError(f"q={q!r} must be finite and not negative.")
        square = self._moments(q.reshape(-1)).square
        return (self.sigma_b2 + self.sigma_w2 * square).reshape(q.shape)[()]

    def correlation_map(self, c: ArrayLike) -> np.ndarray:
        """Correlation in the next layer of two inputs whose correlation here is c.

        Both have the variance q*, so that this is

        ``(sigma_b2 + sigma_w2 * E[phi(u1) phi(u2)]) / q*``

        with u1 and u2 normal of variance q* and correlation c. It is 1 at 1, where its
        slope is `chi_1`: at the edge of chaos inputs that are alike neither meet nor part.

        Parameters
        ----------
        c : float or array-like
            Correlations, in [-1, 1].

        Returns
        -------
        float or ndarray of the shape of ``c``

        Raises
        ------
        ValueError
            If a correlation is not in [-1, 1].

        References
        ----------
        Price et al., *Deep Neural Network Initialization with Sparsity Inducing
        Activations*, 2024.

        Examples
        --------
        >>> from sksparse_mlp.initializers import edge_of_chaos
        >>> edge_of_chaos("relu").correlation_map([0.0, 0.5, 1.0]).round(4).tolist()
        [0.3183, 0.609, 1.0]
        """
        product, _ = self._pairs(c)
        return (self.sigma_b2 + self.sigma_w2 * product) / self.q

    def correlation_slope(self, c: ArrayLike) -> np.ndarray:
        """Slope of `correlation_map` at c, ``sigma_w2 * E[phi'(u1) phi'(u2)]``.

        Parameters
        ----------
        c : float or array-like
            Correlations, in [-1, 1].

        Returns
        -------
        float or ndarray of the shape of ``c``

        Raises
        ------
        ValueError
            If a correlation is not in [-1, 1].

        Examples
        --------
        >>> from sksparse_mlp.initializers import edge_of_chaos
        >>> edge_of_chaos("relu").correlation_slope([-1.0, 0.0, 1.0]).round(4).tolist()
        [0.0, 0.5, 1.0]
        """
        _, chi = self._pairs(c)
        return self.sigma_w2 * chi

    def _pairs(self, c: ArrayLike) -> list[np.ndarray]:
        c = np.asarray(c, float)
        if not (abs(c) <= 1).all():
            raise ValueError(f"c={c!r} must be correlations, in [-1, 1].")
        moments = self._moments.pairs(self.q, c.reshape(-1))
        return [moment.reshape(c.shape)[()] for moment in moments]

    @cached_property
    def fixed_points(self) -> np.ndarray:
        grid, signs = self._search
        sides = grid < self.q, grid > self.q
        below, above = (self._roots(grid[side], signs[side]) for side in sides)
        return np.array([*below, self.q, *above])

    @cached_property
    def diagnosis(self) -> str:
        threats = [*self._instability(), *self._failure_modes()]
        if threats:
            return " ".join(threats)
        return (
            f"Fit to train: {self._keeping()}, and {self.output_sparsity:.0%} of the "
            "outputs are zero."
        )

    @cached_property
    def _search(self) -> tuple[np.ndarray, np.ndarray]:
        """Variances up to 6 q*, and the sign of V(q) - q at each."""
        grid = self.q * _search_grid()
        excess = self._excess(grid)
        return grid, np.where(abs(excess) <= ROUNDING * grid, 0, np.sign(excess))

    def _excess(self, q: np.ndarray | float) -> np.ndarray:
        return self.variance_map(q) - q

    def _roots(self, grid: np.ndarray, signs: np.ndarray) -> Iterator[float]:
        # What is zero up to rounding has a sign that means nothing.
        grid, signs = grid[signs != 0], signs[signs != 0]
        for k in np.flatnonzero(np.diff(signs)):
            yield brentq(self._excess, grid[k], grid[k + 1], xtol=1e-14 * grid[k])

    def _keeping(self) -> str:
        if not self._search[1].any():
            return "V(q) = q for every q, so that each layer keeps the variance it is given"
        return (
            f"q={self.q:g} is the only fixed point of the variance up to {REACH} q and "
            f"holds what is near it (V'={self.stability:.4g})"
        )

    def _instability(self) -> Iterator[str]:
        grid, signs = self._search
        above = np.searchsorted(grid, self.q)
        departs = {
            "below it shrinks": signs[above - 1] < 0,
            "above it grows": signs[above] > 0,
        }
        moves = [move for move, happens in departs.items() if happens]
        if moves:
            yield (
                f"q={self.q:g} is {'an unstable' if len(moves) == 2 else 'a half-stable'} "
                f"fixed point (V'={self.stability:.4g}): a variance "
                f"{' and one '.join(moves)} from layer to layer, and outputs and "
                "gradients of a deep network vanish or explode with it. An activation "
                "with a clip, or a smaller clip, helps."
            )

    def _failure_modes(self) -> Iterator[str]:
        others = self.fixed_points[self.fixed_points != self.q]
        if others.size:
            shown = ", ".join(f"{q:.4g}" for q in others)
            yield (
                f"Failure mode 1, several fixed points: besides q={self.q:g} the variance "
                f"may settle at, or be driven from, {shown}, away from the edge of chaos. "
                "A smaller clip helps."
            )
        if self.output_sparsity > TOO_SPARSE:
            yield (
                f"Failure mode 2, too sparse: {self.output_sparsity:.1%} of the outputs "
                "are zero, and the few others make the variance fluctuate from layer to "
                "layer. A smaller threshold helps."
            )


def edge_of_chaos(activation: str | Activation, q: float = 1.0) -> EdgeOfChaosPoint:
    r"""Weight and bias variances that put a deep network on the edge of chaos.

    With z standard normal,

    .. math::
        \sigma_w^2 = 1 / E[\phi'(\sqrt{q} z)^2], \quad
        \sigma_b^2 = q - \sigma_w^2 E[\phi(\sqrt{q} z)^2]

    so that :math:`\chi_1 = 1` and q is a fixed point of the variance map
    :math:`V(q) = \sigma_b^2 + \sigma_w^2 E[\phi(\sqrt{q} z)^2]`. Expectations are closed
    forms for piecewise linear activations, quadrature for the others, which must be
    smooth except at 0. Learnable activations count as they are before training.

    Parameters
    ----------
    activation : str or Activation
        A registered name or an instance.
    q : float, default=1.0
        Target variance of the pre-activations, greater than 0.

    Returns
    -------
    EdgeOfChaosPoint
        With ``sigma_w2``, ``sigma_b2``, ``chi_1``, ``stability`` (V'(q)),
        ``fixed_points``, ``output_sparsity``, ``variance_map(q)``, ``correlation_map(c)``
        and its ``correlation_slope(c)``, and ``diagnosis``.

    Raises
    ------
    ValueError
        If the activation is unknown, q is not positive and finite, or there is no edge
        of chaos: the bias variance would be negative, or the activation is flat for
        all inputs of variance q.

    References
    ----------
    Price et al., *Deep Neural Network Initialization with Sparsity Inducing
    Activations*, 2024. That more than 90 % of zeros are too many is a choice made here.

    Examples
    --------
    >>> from sksparse_mlp.activations import CReLU
    >>> from sksparse_mlp.initializers import edge_of_chaos
    >>> point = edge_of_chaos(CReLU(threshold=1.0, clip=2.0))
    >>> round(point.sigma_w2, 5), round(point.sigma_b2, 5), round(point.stability, 4)
    (6.35706, 0.53207, 0.9437)
    >>> point.fixed_points.round(3).tolist()
    [1.0, 1.292, 3.005]
    >>> point.diagnosis.split(":")[0]
    'Failure mode 1, several fixed points'
    """
    activation = _checked_activation(activation)
    if not (isinstance(q, Real) and 0 < q < np.inf):
        raise ValueError(f"q={q!r} must be a positive and finite number.")
    q, moments = float(q), _moments_of(activation)
    square, chi, growth, zeros = (float(m[0]) for m in moments(np.array([q])))
    if chi < np.finfo(float).tiny:
        raise _no_edge(activation, q, "its derivative is zero wherever inputs fall")
    sigma_w2 = 1 / chi
    sigma_b2 = q - sigma_w2 * square
    if sigma_b2 < -ROUNDING * q:
        raise _no_edge(
            activation, q, f"the needed bias variance would be negative: {sigma_b2:.6g}"
        )
    return EdgeOfChaosPoint(
        activation=activation,
        q=q,
        sigma_w2=sigma_w2,
        sigma_b2=sigma_b2 if sigma_b2 > ROUNDING * q else 0.0,
        chi_1=sigma_w2 * chi,
        stability=sigma_w2 * growth,
        output_sparsity=zeros,
        _moments=moments,
    )


def _checked_activation(activation: str | Activation) -> Activation:
    if isinstance(activation, str) and activation in ACTIVATIONS:
        return ACTIVATIONS[activation]()
    if not isinstance(activation, Activation):
        raise ValueError(
            f"activation={activation!r} must be an instance of Activation or one of the "
            f"names {sorted(ACTIVATIONS)}."
        )
    activation._validate_params()
    return activation


def _no_edge(activation: Activation, q: float, why: str) -> ValueError:
    return ValueError(
        f"activation={activation!r} has no edge of chaos at q={q:g}: {why}. Choose "
        "another q, another activation, or another initialisation such as "
        '"he_uniform" or "xavier_uniform".'
    )
