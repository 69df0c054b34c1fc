"""How values are distributed: histograms and kernel density estimates."""

import math

import numpy as np

from sksparse_mlp.core.jitted.options import exact, inlined, kernel
from sksparse_mlp.core.jitted.products import _at

# --- distributions of values ----------------------------------------------------------


# Values in smaller ranges are all in the first bin; greater factors could overflow.
SMALLEST_RANGE = 1e-300


@exact
def count_bins(values, classes, low, high, counts):
    """Count each row's values by class in equal bins between its low and high ends.

    ``counts`` is (rows, classes, bins); the last bin holds its right edge.
    """
    n_bins = counts.shape[2]
    for row in range(values.shape[0]):
        start = low[row]
        factor = n_bins / max(high[row] - start, SMALLEST_RANGE)
        for s in range(values.shape[1]):
            place = np.int64((values[row, s] - start) * factor)
            counts[row, _at(classes, s), min(place, n_bins - 1)] += 1


@exact
def count_cells(values, classes, low, middle, high, n_below, counts):
    """Count each row's values by class in fine cells.

    The cells are the low end itself, ``n_below[row]`` equal bins up to the middle, the
    middle itself, equal bins from there, and the high end itself. ``counts`` is (rows,
    classes, cells).
    """
    last = counts.shape[2] - 1
    cells = np.empty(values.shape[1], np.int32)
    for row in range(values.shape[0]):
        first, center, end = low[row], middle[row], high[row]
        below = np.int32(n_below[row])
        above = np.int32(last - 2 - below)
        factor_below = below / max(center - first, SMALLEST_RANGE)
        factor_above = above / max(end - center, SMALLEST_RANGE)
        # Without branches, and apart from the counting, it is done for many at once.
        for s in range(values.shape[1]):
            value = np.float64(values[row, s])
            down = np.int32((min(value, center) - first) * factor_below)
            up = np.int32((max(value, center) - center) * factor_above)
            cell = 1 + min(down, below - 1)
            cell = below + 2 + min(up, above - 1) if value > center else cell
            cell = last if value == end else cell
            cell = 0 if value == first else cell
            cells[s] = below + 1 if value == center else cell
        for s in range(values.shape[1]):
            counts[row, _at(classes, s), _at(cells, s)] += 1


# --- kernel density estimates: sums of Gaussians around weighted points of a grid -----

# Positions that are further away count as this far: their squares are finite.
_FAR = 1e150
# Up to this exponent a sum of Gaussians is taken from a table of one of them.
_NEAR = 32.0


@exact
def add_to_bins(z, codes, low, scale, n_bins, starts, counts):
    """Share each value between the two points of its node's grid beside it.

    ``counts``, (n_classes, places), has ``n_bins[node]`` places for each node, from
    ``starts[node]``; a node without any is left out. ``codes`` are the samples' classes.
    """
    for node in range(z.shape[0]):
        if n_bins[node] == 0:
            continue
        for s in range(z.shape[1]):
            position = (z[node, s] - low[node]) * scale
            below = np.int64(position)
            part, k = position - below, starts[node] + below
            counts[codes[s], k] += 1.0 - part
            counts[codes[s], k + 1] += part


@inlined
def _side_sum(points, weights, first, last, step, position, nearest, precision, reach):
    total = 0.0
    for k in range(first, last, step):
        distance = abs(position - points[k])
        exponent = precision * (distance - nearest) * (distance + nearest)
        if exponent > reach:
            break
        total += weights[k] * math.exp(-exponent)
    return total


@inlined
def _log_sum_of_gaussians(points, weights, first, last, position, precision, reach):
    """Log of the sum of w * exp(-precision * distance^2) over sorted points.

    Exponents are relative to that of the nearest point, so that none underflows.
    """
    right = first + np.searchsorted(points[first:last], position)
    nearest = position - points[right - 1] if right > first else np.inf
    if right < last:
        nearest = min(nearest, points[right] - position)
    total = _side_sum(
        points, weights, right - 1, first - 1, -1, position, nearest, precision, reach
    ) + _side_sum(
        points, weights, right, last, 1, position, nearest, precision, reach
    )  # fmt: skip
    return math.log(total) - precision * nearest * nearest


@kernel
def tabulate_log_densities(
    points, weights, indptr, n_bins, starts, precision, reach, offsets, table
):
    """Log of the sum of Gaussians, plus the class's offset, at the points of the grids.

    Row ``starts[node] + k`` of ``table``, (rows, n_classes), is for point k of a node;
    the weighted points of class c of the node begin at ``indptr[node * n_classes + c]``.
    Terms that are exp(-reach) times the largest and less are left out.
    """
    n_classes = offsets.size
    n_taps = 1 + int(math.sqrt((_NEAR + reach) / precision))
    taps = np.exp(-precision * np.arange(1 - n_taps, n_taps) ** 2)
    n_near = int(math.sqrt(_NEAR / precision))
    for row in range(n_bins.size * n_classes):
        node, c = row // n_classes, row % n_classes
        size, first, last = n_bins[node], indptr[row], indptr[row + 1]
        if size == 0:
            continue
        totals, k = np.zeros(size), first
        for j in range(first, last):
            center = np.int64(points[j])
            start, stop = max(center - n_taps + 1, 0), min(center + n_taps, size)
            shift = n_taps - 1 - center
            for m in range(start, stop):
                totals[m] += weights[j] * taps[m + shift]
        for m in range(size):
            while k < last - 1 and abs(points[k + 1] - m) <= abs(points[k] - m):
                k += 1
            if abs(points[k] - m) <= n_near:
                value = math.log(totals[m])
            else:
                value = _log_sum_of_gaussians(
                    points, weights, first, last, float(m), precision, reach
                )
            table[starts[node] + m, c] = value + offsets[c]


@kernel
def add_log_densities(
    z, taken, low, scale, n_bins, starts, table,
    points, weights, indptr, precision, reach, offsets, totals,
):  # fmt: skip
    """Add the nodes' log densities to ``totals``, (n_samples, n_classes).

    Only the nodes and samples in ``taken`` count. Between the points of a node's grid the
    table is interpolated; beyond it, and where there is none, the sum is computed. The
    other arguments are those of `tabulate_log_densities`.
    """
    n_classes = offsets.size
    for node in range(z.shape[0]):
        end = n_bins[node] - 1.0
        for s in range(z.shape[1]):
            if not taken[node, s]:
                continue
            position = (z[node, s] - low[node]) * scale
            if 0.0 <= position < end:
                below = np.int64(position)
                row, part = starts[node] + below, position - below
                for c in range(n_classes):
                    value = table[row, c]
                    totals[s, c] += value + part * (table[row + 1, c] - value)
            else:
                position = min(max(position, -_FAR), _FAR)
                for c in range(n_classes):
                    row = node * n_classes + c
                    totals[s, c] += offsets[c] + _log_sum_of_gaussians(
                        points, weights, indptr[row], indptr[row + 1],
                        position, precision, reach,
                    )  # fmt: skip
