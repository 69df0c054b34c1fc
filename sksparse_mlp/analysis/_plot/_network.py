"""A network itself: its nodes in columns, its strongest connections as lines."""

import math
from itertools import pairwise
from numbers import Integral
from typing import Any, Self

import numpy as np
from scipy import sparse

from sksparse_mlp._sklearn import Interval, validate_params
from sksparse_mlp.analysis._layers import fitted, input_names, output_names
from sksparse_mlp.analysis._plot._display import Display, shown, spread

# Unless others are asked for.
MAX_NODES, MAX_CONNECTIONS = 20, 40
# Names along a column, and columns that say how many nodes they have.
MOST_NAMES, MOST_COLUMNS = 30, 7
# Of positive and of negative weights; apart in grey too.
POSITIVE, NEGATIVE = "#0b3c8c", "#e8820c"
# Of the weakest and of the strongest line: width in points, and opacity.
WIDTHS, OPACITIES = (0.3, 1.7), (0.2, 0.95)

_CONSTRAINTS: dict[str, Any] = {
    name: [Interval(Integral, 1, None, closed="left")]
    for name in ("max_nodes", "max_connections")
}


class NetworkDisplay(Display):
    """The network itself: nodes in a column per layer, connections as lines.

    Lines are blue for positive and orange for negative weights; they are the wider and the
    more opaque, the larger the weight is beside the largest one drawn of its layer. The
    picture says how many of the nodes and of the connections it shows.

    Parameters
    ----------
    coefs : list of {sparse array, array-like} of shape (n_in, n_out)
        Weights of each layer of connections, from the inputs to the outputs.
    input_names, output_names : sequence, default=None
        Names of the first and of the last column's nodes. None takes their indices.
    max_nodes : int, default=20
        So many nodes of a layer at most are drawn. The outputs are chosen by the sum of
        their absolute weights, the nodes of a layer before by that of their weights to
        the nodes that are drawn after it. They keep their order.
    max_connections : int, default=40
        So many connections between two columns at most are drawn, those of the largest
        absolute weights.

    Attributes
    ----------
    nodes_ : list of ndarray of shape (n_drawn,), dtype intp
        Indices of the drawn nodes, for each column, ascending.
    lines_ : list of matplotlib LineCollection
        The drawn connections, for each pair of columns, weakest first.
    weights_ : list of ndarray of shape (n_lines,)
        Their weights.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    ConnectivityDisplay : How many connections input neurons have.
    WeightDistributionDisplay : All weights.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import NetworkDisplay
    >>> clf = SparseMLPClassifier((6, 4), epsilon=1, max_iter=20, random_state=0)
    >>> clf = clf.fit(*load_iris(return_X_y=True))
    >>> display = NetworkDisplay.from_estimator(clf)
    >>> [len(nodes) for nodes in display.nodes_]
    [4, 6, 4, 3]
    >>> [len(weights) for weights in display.weights_]
    [10, 10, 7]
    """

    def __init__(
        self,
        *,
        coefs: Any,
        input_names: Any = None,
        output_names: Any = None,
        max_nodes: int = MAX_NODES,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.coefs = coefs
        self.input_names = input_names
        self.output_names = output_names
        self.max_nodes = max_nodes
        self.max_connections = max_connections

    @classmethod
    @validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
    def from_estimator(
        cls,
        estimator: Any,
        *,
        max_nodes: int = MAX_NODES,
        max_connections: int = MAX_CONNECTIONS,
        ax: Any = None,
    ) -> Self:
        """Draw a fitted network.

        Parameters
        ----------
        estimator : SparseMLPClassifier or SparseMLPRegressor
            Fitted; a `FrozenEstimator` around it is allowed. Of a cross-fitted ensemble
            give one of its `estimators_`.
        max_nodes : int, default=20
            So many nodes of a layer at most are drawn.
        max_connections : int, default=40
            So many connections between two layers at most are drawn.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        NetworkDisplay

        Raises
        ------
        ValueError
            If ``max_nodes`` or ``max_connections`` is not a positive integer.
        TypeError
            If the estimator is not a single network.
        ImportError, sklearn.exceptions.NotFittedError
            If matplotlib is not installed, or the estimator not fitted.
        """
        estimator = fitted(estimator)
        display = cls(
            coefs=estimator.coefs_,
            input_names=input_names(estimator),
            output_names=output_names(estimator),
            max_nodes=max_nodes,
            max_connections=max_connections,
        )
        return display.plot(ax)

    def _sizes(self) -> list[int]:
        return [len(self._layers()[0].indptr) - 1, *(c.shape[1] for c in self._layers())]

    def _layers(self) -> list[sparse.csr_array]:
        return [sparse.csr_array(coef) for coef in self.coefs]

    def _height(self) -> float:
        longest = min(max(self._sizes()), self.max_nodes)
        return 0.95 + min(max(0.11 * longest, 1.6), 4.8)

    def _draw(self, ax: Any) -> None:
        layers, sizes = self._layers(), self._sizes()
        self.nodes_ = strongest_nodes(layers, self.max_nodes)
        places = [(np.arange(nodes.size) + 0.5) / nodes.size for nodes in self.nodes_]
        parts = [
            strongest_connections(layer[ins][:, outs], self.max_connections)
            for layer, (ins, outs) in zip(layers, pairwise(self.nodes_), strict=True)
        ]
        self.weights_ = [part.data for part in parts]
        self.lines_ = [
            _draw_lines(ax, column, places[column], places[column + 1], part)
            for column, part in enumerate(parts)
        ]
        _draw_nodes(ax, places)
        _name_columns(ax, [nodes.size for nodes in self.nodes_], sizes)
        self._name_ends(ax, places)
        n_lines, n_connections = sum(map(len, self.weights_)), sum(c.nnz for c in layers)
        n_nodes = sum(nodes.size for nodes in self.nodes_)
        _name_signs(
            ax,
            f"{n_nodes:,} of {sum(sizes):,} nodes, "
            f"{n_lines:,} of {n_connections:,} connections",
        )

    def _name_ends(self, ax: Any, places: list[np.ndarray]) -> None:
        """Names of the inputs at the left, of the outputs at the right."""
        ax.set_ylim(1, 0)
        right = ax.twinx()
        right.set_ylim(1, 0)
        for axes, end, names in ((ax, 0, self.input_names), (right, -1, self.output_names)):
            nodes = self.nodes_[end]
            labels = nodes if names is None else [names[node] for node in nodes]
            some = spread(nodes.size, MOST_NAMES)
            axes.set_yticks(places[end][some], [shown(labels[k]) for k in some])
            axes.tick_params(axis="y", length=0)
            for side in axes.spines.values():
                side.set_visible(False)
        ax.set_ylabel("input")
        right.set_ylabel("output")


def strongest_nodes(layers: list[sparse.csr_array], at_most: int) -> list[np.ndarray]:
    """Indices of the nodes to draw of each column, as `NetworkDisplay` chooses them."""
    layer = abs(layers[-1])
    chosen = [_largest(layer.sum(axis=0), at_most)]
    for each in reversed(layers):
        chosen.append(_largest(abs(each[:, chosen[-1]]).sum(axis=1), at_most))
    return chosen[::-1]


def strongest_connections(layer: sparse.csr_array, at_most: int) -> sparse.coo_array:
    """The connections of the largest absolute weights, weakest first."""
    layer = layer.tocoo()
    kept = np.argsort(np.abs(layer.data), kind="stable")[-at_most:]
    coords = tuple(indices[kept] for indices in layer.coords)
    return sparse.coo_array((layer.data[kept], coords), layer.shape)


def _largest(values: np.ndarray, at_most: int) -> np.ndarray:
    """Indices of the largest values, ascending; of equal ones the first."""
    return np.sort(np.argsort(-values, kind="stable")[:at_most])


def _draw_lines(
    ax: Any, column: int, ins: np.ndarray, outs: np.ndarray, part: sparse.coo_array
) -> Any:
    """Draw connections from one column to the next."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba_array

    rows, columns = part.coords
    ends = np.empty((part.data.size, 2, 2))
    ends[:, 0, 0], ends[:, 1, 0] = column, column + 1
    ends[:, 0, 1], ends[:, 1, 1] = ins[rows], outs[columns]
    sizes = np.abs(part.data)
    sizes = sizes / (sizes.max(initial=0) or 1)
    colors = to_rgba_array(np.where(part.data < 0, NEGATIVE, POSITIVE).tolist())
    colors[:, 3] = np.interp(sizes, (0, 1), OPACITIES)
    widths = np.interp(sizes, (0, 1), WIDTHS)
    return ax.add_collection(LineCollection(list(ends), colors=colors, linewidths=widths))


def _draw_nodes(ax: Any, places: list[np.ndarray]) -> None:
    """Draw the nodes, small where they are many."""
    size = 60 / max(max(map(len, places)), len(places))
    for column, heights in enumerate(places):
        ax.plot(
            np.full(heights.size, column), heights, "o", color="0.15", clip_on=False,
            markersize=min(max(size, 1.4), 4.5), zorder=3,
        )  # fmt: skip


def _name_columns(ax: Any, n_drawn: list[int], sizes: list[int]) -> None:
    """Say below each column which layer it is, and how many of its nodes are drawn."""
    last = len(sizes) - 1
    names = ["input", *map(str, range(1, last)), "output"]
    step = math.ceil(len(sizes) / MOST_COLUMNS)
    some = range(0, len(sizes), step)
    labels = [
        f"{names[k]}\n{n_drawn[k]:,}"
        + (f" of\n{sizes[k]:,}" if n_drawn[k] < sizes[k] else "")
        for k in some
    ]
    ax.set_xlim(-0.08, last + 0.08)
    ax.set_xticks(some, labels)
    ax.tick_params(axis="x", length=0)
    ax.set_xlabel("layer, and how many of its nodes are drawn")


def _name_signs(ax: Any, title: str) -> None:
    """Tell which colour is which sign, and above it how much is drawn."""
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=color, label=f"{sign} weight", linewidth=WIDTHS[1])
        for color, sign in ((POSITIVE, "positive"), (NEGATIVE, "negative"))
    ]
    ax.legend(
        handles=lines, title=title, title_fontsize="medium", ncols=2, frameon=False,
        loc="lower center", bbox_to_anchor=(0.5, 1), borderaxespad=0.2,
    )  # fmt: skip
