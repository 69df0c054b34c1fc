"""What Displays share: figures for a paper's column, looks that hold in grey, labels."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

from sksparse_mlp._sklearn import check_matplotlib_support

# Of a column of a paper, in inches.
WIDTH = 3.3
TICK_SIZE = 7
PAPER: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": TICK_SIZE,
    "ytick.labelsize": TICK_SIZE,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
}
LINE_STYLES = ["-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3))]
MARKERS = "os^vDPX*<>"
# More lines than this have a colour bar in place of a legend.
MOST_IN_LEGEND = 6
LONGEST_LABEL = 18
# On a line.
MOST_MARKERS = 15
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Display:
    """Base of the Displays.

    Subclasses hold data, know the `_height` of their figure and `_draw` on given axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the picture.
    figure_ : matplotlib Figure
        Their figure.
    """

    def plot(self, ax: Any = None) -> Self:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure as wide as a column of a paper. A picture
            of several panels takes the place of these axes.

        Returns
        -------
        self : Display
            With the attributes `ax_` and `figure_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        if ax is not None:
            return self._plot_on(ax)
        with paper_style():
            figure = plt.figure(figsize=self._size(), layout="constrained")
            self._plot_on(figure.subplots())
        for each in figure.axes:
            # Ticks that are made later would take the sizes of then.
            each.tick_params(labelsize=TICK_SIZE)
        return self

    def _size(self) -> tuple[float, float]:
        """Width and height of a figure, in inches."""
        return WIDTH, self._height()

    def _plot_on(self, ax: Any) -> Self:
        self.ax_, self.figure_ = ax, ax.figure
        self._draw(ax)
        return self

    def _height(self) -> float:
        return 2.2

    def _draw(self, ax: Any) -> None:
        raise NotImplementedError


@contextmanager
def paper_style() -> Iterator[None]:
    """Fonts and lines that suit a figure in a column of a paper."""
    import matplotlib as mpl

    with mpl.rc_context(PAPER):
        yield


def panels(ax: Any, n_panels: int, *, share_x: bool = False) -> np.ndarray:
    """Panels below each other in the place of the axes, (n_panels,)."""
    from matplotlib.gridspec import GridSpec

    ax.set_axis_off()
    place = ax.get_subplotspec()
    if place is None:
        box = ax.get_position()
        grid = GridSpec(
            n_panels, 1, ax.figure, left=box.x0, bottom=box.y0, right=box.x1, top=box.y1
        )
    else:
        grid = place.subgridspec(n_panels, 1)
    return grid.subplots(squeeze=False, sharex=share_x)[:, 0]


def shades(n_shades: int) -> Any:
    """Colours from dark to light that also differ in grey, (n_shades, 4)."""
    import matplotlib as mpl

    return mpl.colormaps["cividis"](np.linspace(0, 0.8, n_shades))


def mark_every(n_points: int, n_lines: int = 1, line: int = 0) -> tuple[int, int]:
    """First and step of the points with markers, apart for different lines."""
    step = max(1, math.ceil(n_points / MOST_MARKERS))
    return line * step // n_lines, step


def name_layers(ax: Any, numbers: Sequence[int], colors: Any) -> None:
    """Tell which line is which layer: in a legend, or for many layers by a colour bar."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap
    from matplotlib.ticker import MaxNLocator

    if len(numbers) <= MOST_IN_LEGEND:
        ax.legend(title="hidden layer", title_fontsize="small", ncols=2)
        return
    scale = ScalarMappable(cmap=ListedColormap(colors))
    scale.set_clim(0.5, len(numbers) + 0.5)
    bar = ax.figure.colorbar(scale, ax=ax, label="hidden layer")
    bar.ax.yaxis.set_major_locator(MaxNLocator(8, integer=True))


def shown(label: Any) -> str:
    """A label as matplotlib can show it: short, on one line, without mathematics."""
    text = printable(label)
    if len(text) > LONGEST_LABEL:
        text = text[: LONGEST_LABEL - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return text.replace("$", r"\$")


def printable(label: Any) -> str:
    """The text of a label on one line, without characters that no document can hold."""
    text = " ".join(str(label).split())
    return "".join(c if c.isprintable() else REPLACEMENT for c in text)


def name_ticks(axis: Any, labels: Sequence[Any], at_most: int) -> None:
    """Label places 0, 1, .. of an axis, evenly fewer of them where they are many."""
    step = math.ceil(len(labels) / at_most)
    places = range(0, len(labels), step)
    axis.set_ticks(places, [shown(labels[place]) for place in places])


def spread(n_items: int, at_most: int) -> list[int]:
    """Indices of items, evenly spread with the first and the last where they are many."""
    if n_items <= at_most:
        return list(range(n_items))
    places: list[int] = np.linspace(0, n_items - 1, at_most).round().astype(int).tolist()
    return places


def ridges_height(n_rows: int) -> float:
    """Height in inches of a figure with `draw_ridges`."""
    return 0.65 + min(max(0.22 * n_rows, 1.2), 7)


def draw_ridges(
    ax: Any, edges: Any, heights: Any, labels: Sequence[Any], tops: Any = None
) -> np.ndarray:
    """Draw histograms below each other, each filling its row; return their scales.

    Parameters
    ----------
    ax : matplotlib Axes
    edges : ndarray of shape (n_bins + 1,)
    heights : ndarray of shape (n_rows, n_bins)
    labels : sequence of shape (n_rows,)
    tops : ndarray of shape (n_rows,), default=None
        What fills a row; None takes its highest bin.

    Returns
    -------
    ndarray of shape (n_rows,)
        Rows per unit of height. The base of row k is at y = k, upwards is negative.
    """
    tops = np.max(heights, axis=1) if tops is None else tops
    scales = 0.9 / np.where(tops > 0, tops, 1)
    for row, bins in enumerate(heights):
        ax.stairs(
            row - scales[row] * bins, edges, baseline=row, fill=True,
            facecolor="0.78", edgecolor="0.35", linewidth=0.5,
        )  # fmt: skip
    ax.set_ylim(len(labels) - 0.7, -1.05)
    name_ticks(ax.yaxis, labels, at_most=30)
    ax.tick_params(axis="y", length=0)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
    return scales
