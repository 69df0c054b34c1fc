"""How an activation changes the variance from layer to layer."""

from typing import Any, Self

import numpy as np

from sksparse_mlp.activations import Activation
from sksparse_mlp.analysis._plot._display import Display
from sksparse_mlp.edge_of_chaos import EdgeOfChaosPoint, edge_of_chaos

N_POINTS = 300
# Shown at least, in target variances, and beyond the last fixed point.
SMALLEST_REACH, ROOM = 3, 1.2


class VarianceMapDisplay(Display):
    """The variance map of an activation, and where it leaves the variance as it is.

    At the edge of chaos the map touches the diagonal at the target variance; other fixed
    points are where the variance of deep networks may settle instead.

    Parameters
    ----------
    q : ndarray of shape (n_points,)
        Variances of the pre-activations of a layer, ascending.
    variances : ndarray of shape (n_points,)
        Those of the next layer.
    target : float
        The target variance.
    fixed_points : ndarray of shape (n_fixed_points,)
        All variances that stay as they are, the target among them.

    Attributes
    ----------
    ax_ : matplotlib Axes
    line_ : matplotlib Line2D
        The map.
    target_, others_ : matplotlib Line2D
        Markers of the target, and of the other fixed points.
    figure_ : matplotlib Figure

    See Also
    --------
    sksparse_mlp.initializers.edge_of_chaos : The numbers, and a diagnosis.

    Examples
    --------
    >>> from sksparse_mlp.activations import CReLU
    >>> from sksparse_mlp.analysis import VarianceMapDisplay
    >>> display = VarianceMapDisplay.from_activation(CReLU(threshold=1.0, clip=2.0))
    >>> display.fixed_points.round(2)
    array([1.  , 1.29, 3.  ])
    """

    def __init__(
        self,
        *,
        q: np.ndarray,
        variances: np.ndarray,
        target: float,
        fixed_points: np.ndarray,
    ) -> None:
        self.q = q
        self.variances = variances
        self.target = target
        self.fixed_points = fixed_points

    @classmethod
    def from_activation(
        cls, activation: str | Activation, q: float = 1.0, *, ax: Any = None
    ) -> Self:
        """Draw the map of an activation at its edge of chaos.

        Parameters
        ----------
        activation : str or Activation
            A name or an instance, as `edge_of_chaos` takes it.
        q : float, default=1.0
            Target variance, greater than 0.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        VarianceMapDisplay

        Raises
        ------
        ValueError
            If there is no edge of chaos, or an argument is unsuitable.
        ImportError
            If matplotlib is not installed.
        """
        return cls.from_point(edge_of_chaos(activation, q), ax=ax)

    @classmethod
    def from_point(cls, point: EdgeOfChaosPoint, *, ax: Any = None) -> Self:
        """Draw the map of an edge of chaos.

        Parameters
        ----------
        point : EdgeOfChaosPoint
            From `edge_of_chaos`.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        VarianceMapDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        reach = max(SMALLEST_REACH * point.q, ROOM * point.fixed_points[-1])
        q = np.linspace(0, reach, N_POINTS)
        display = cls(
            q=q,
            variances=point.variance_map(q),
            target=point.q,
            fixed_points=point.fixed_points,
        )
        return display.plot(ax)

    def _draw(self, ax: Any) -> None:
        fixed = np.asarray(self.fixed_points)
        others = fixed[fixed != self.target]
        ax.plot(self.q, self.q, color="0.75", linewidth=0.8, label="V(q) = q")
        (self.line_,) = ax.plot(self.q, self.variances, color="0", label="V(q)")
        (self.target_,) = ax.plot(
            [self.target], [self.target], "o", color="0", label="target"
        )
        (self.others_,) = ax.plot(
            others, others, "o", color="0", mfc="white",
            label="other fixed points" if others.size else None,
        )  # fmt: skip
        ax.set(xlabel="variance q of a layer", ylabel="V(q), of the next layer")
        ax.set_xlim(0, self.q[-1])
        ax.set_ylim(bottom=0)
        ax.legend()
