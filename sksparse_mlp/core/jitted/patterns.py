"""Where connections are: patterns, what stays, where new ones may grow."""

import math

import numpy as np

from sksparse_mlp.core.jitted.options import exact, inlined, inner, kernel
from sksparse_mlp.core.jitted.products import _at, _dot, _row_dots

# --- topology -------------------------------------------------------------------------


@kernel
def merge_pattern(indptr, indices, keep, ranks, n_columns, new_indptr, new_indices, grown):
    """Drop the connections that are not kept, add those at the given free positions.

    ``ranks`` are sorted ranks among the positions of the layer (row-major) that no kept
    connection holds. ``grown[k]`` is where the connection at ``ranks[k]`` is then; there is
    one place more, which ends as zero.
    """
    n_rows, count, kept, n_grown, longest = indptr.size - 1, 0, 0, 0, 0
    for row in range(n_rows):
        longest = max(longest, indptr[row + 1] - indptr[row])
    columns = np.empty(longest + 1, indices.dtype)
    for row in range(n_rows):
        new_indptr[row] = count
        n_old = 0
        for k in range(indptr[row], indptr[row + 1]):
            columns[n_old] = indices[k]
            n_old += keep[k]
        # No column that is new comes behind this one.
        columns[n_old] = n_columns
        base, end = np.int64(row) * n_columns, n_grown
        while end < ranks.size and ranks[end] < base + n_columns - kept - n_old:
            end += 1
        i, j, last = 0, n_grown, end - 1
        for _ in range(n_old + end - n_grown if n_grown < end else 0):
            # Written without a branch, which the processor could not predict. A free
            # position comes behind its rank by as many as are kept before it.
            new, old = ranks[min(j, last)] + kept + i - base, columns[i]
            is_new = j <= last and new < old
            new_indices[count] = new if is_new else old
            grown[j] = count
            count += 1
            j += is_new
            i += not is_new
        for k in range(i, n_old):
            new_indices[count] = columns[k]
            count += 1
        kept, n_grown = kept + n_old, end
    new_indptr[n_rows], grown[ranks.size] = count, 0


@kernel
def move_values(values, slot, slot_2, keep, grown):
    """Move the kept values to make room for zeros at the places ``grown``, in place.

    The arrays have room for as many as before and for as many as there will be, or are
    empty but for the first.
    """
    n_kept, has_slot, has_slot_2 = 0, slot.size > 0, slot_2.size > 0
    for k in range(keep.size):
        # Written without a branch, which the processor could not predict, as below.
        values[n_kept] = values[k]
        if has_slot:
            slot[n_kept] = slot[k]
        if has_slot_2:
            slot_2[n_kept] = slot_2[k]
        n_kept += keep[k]
    # From the end, so that no value is overwritten before it has moved.
    source, j, zero = n_kept - 1, grown.size - 1, values.dtype.type(0.0)
    while j >= 0:
        k, last = source + j + 1, max(source, 0)
        is_new = grown[j] == k
        moved = values[last]
        values[k] = zero if is_new else moved
        if has_slot:
            moved = slot[last]
            slot[k] = zero if is_new else moved
        if has_slot_2:
            moved = slot_2[last]
            slot_2[k] = zero if is_new else moved
        j -= is_new
        source -= not is_new


# Bits of a digit by which numbers are sorted into bins.
DIGIT = 11


@inlined
def _bin_of_rank(counts, rank):
    """The bin with the value of this rank, and how many are in those before."""
    place, before = 0, 0
    while before + counts[place] <= rank:
        before += counts[place]
        place += 1
    return place, before


@inner
def _nth_of(sizes, rank, shift):
    """The value of a rank among integers that differ in their lowest ``shift`` bits.

    Returns it, how many are smaller, and how many are as large. ``sizes`` are reordered.
    """
    counts = np.empty(1 << DIGIT, np.int64)
    n_left, smaller = sizes.size, 0
    while shift > 0:
        width = min(shift, DIGIT)
        shift -= width
        counts[:] = 0
        for k in range(n_left):
            counts[(sizes[k] >> shift) & ((1 << width) - 1)] += 1
        place, before = _bin_of_rank(counts, rank - smaller)
        smaller += before
        count = 0
        for k in range(n_left):
            size = sizes[k]
            if (size >> shift) & ((1 << width) - 1) == place:
                sizes[count] = size
                count += 1
        n_left = count
    return sizes[0], smaller, n_left


@inlined
def _side_of(bits, size):
    """0 for zeros and positive numbers, 1 for negative ones, by their bits."""
    return np.int64(bits < 0 and size != 0)


@kernel
def keep_strongest(bits, infinity, zeta, keep):
    """Mark all numbers but the share ``zeta`` of the smallest of each sign.

    ``bits`` are theirs, as integers, and ``infinity`` are those of infinity: without the
    sign they have the order of the sizes, and larger ones are not numbers and stay. Where
    only some of several equal numbers go, these are at even distances among them. Returns
    how many go.
    """
    shift = 8 * bits.itemsize - 1 - DIGIT
    largest = (np.int64(1) << (8 * bits.itemsize - 1)) - 1
    counts = np.zeros((2, 1 << DIGIT), np.int64)
    wanted, limits = np.zeros(2, np.int64), np.zeros(2, np.int64)
    n_equal, n_of_equal = np.zeros(2, np.int64), np.zeros(2, np.int64)
    for k in range(bits.size):
        size = np.int64(bits[k] & largest)
        side = _side_of(bits[k], size)
        counts[side, size >> shift] += size <= infinity
        wanted[side] += size <= infinity
    for side in range(2):
        wanted[side], limits[side] = round(zeta * wanted[side]), -1
        if wanted[side] == 0:
            continue
        place, before = _bin_of_rank(counts[side], wanted[side] - 1)
        sizes = np.empty(counts[side, place], np.int64)
        count = 0
        for k in range(bits.size):
            size = np.int64(bits[k] & largest)
            if size >> shift == place and _side_of(bits[k], size) == side:
                sizes[count] = size
                count += 1
        rank = wanted[side] - 1 - before
        limits[side], smaller, n_equal[side] = _nth_of(sizes, rank, shift)
        n_of_equal[side] = wanted[side] - before - smaller
    of_positive, of_negative = limits[0], limits[1]
    for k in range(bits.size):
        size = np.int64(bits[k] & largest)
        limit = of_negative if _side_of(bits[k], size) else of_positive
        keep[k] = size > limit
    for side in range(2):
        if n_of_equal[side] < n_equal[side]:
            _keep_evenly(
                bits, largest, side, limits[side], n_of_equal[side], n_equal[side], keep
            )
    return wanted[0] + wanted[1]


@inner
def _keep_evenly(bits, largest, side, size, n_removed, n_equal, keep):
    """Keep the equal numbers of a sign but for so many at even distances."""
    seen = gone = 0
    for k in range(bits.size):
        if np.int64(bits[k] & largest) == size and _side_of(bits[k], size) == side:
            goes = seen == (2 * gone + 1) * n_equal // (2 * n_removed)
            keep[k] = not goes
            gone += goes
            seen += 1


@kernel
def keep_among(indptr, indices, inputs, outputs, keep):
    """Whether each connection is between neurons of the masks inputs and outputs."""
    for row in range(indptr.size - 1):
        for k in range(indptr[row], indptr[row + 1]):
            keep[k] = outputs[row] and inputs[indices[k]]


@kernel
def kept_positions(indptr, indices, keep, n_columns, positions):
    """Row-major positions of the connections that are kept."""
    count = 0
    for row in range(indptr.size - 1):
        for k in range(indptr[row], indptr[row + 1]):
            if keep[k]:
                positions[count] = np.int64(row) * n_columns + indices[k]
                count += 1


@kernel
def transpose_pattern(indptr, indices, new_indptr, new_indices, positions):
    """The pattern by columns, and where each of its connections lies by rows."""
    new_indptr[:] = 0
    for k in range(indices.size):
        new_indptr[_at(indices, k) + np.uint64(1)] += 1
    for column in range(1, new_indptr.size):
        new_indptr[column] += new_indptr[column - 1]
    for row in range(indptr.size - 1):
        for k in range(indptr[row], indptr[row + 1]):
            column = _at(indices, k)
            target = np.uint64(new_indptr[column])
            new_indices[target] = row
            positions[target] = k
            new_indptr[column] += 1
    # Each row now begins where it ended.
    for column in range(new_indptr.size - 1, 0, -1):
        new_indptr[column] = new_indptr[column - 1]
    new_indptr[0] = 0


@kernel
def take(values, places, out):
    """out = values[places]."""
    for k in range(places.size):
        out[k] = values[_at(places, k)]


@kernel
def count_each(indices, counts):
    """Add to ``counts[i]`` how often i is among the indices."""
    for k in range(indices.size):
        counts[_at(indices, k)] += 1


@kernel
def scale_rows(indptr, weights, factors):
    """Multiply the weights of each row by its factor."""
    for row in range(indptr.size - 1):
        for k in range(indptr[row], indptr[row + 1]):
            weights[k] *= factors[row]


@kernel
def all_finite(values):
    """Whether no value is NaN or infinite."""
    count = 0
    for k in range(values.size):
        count += abs(values[k]) < np.inf
    return count == values.size


@exact
def sum_sizes_by_row(indptr, weights, sums):
    """Add to ``sums`` the absolute weights of each row, in their order."""
    for row in range(indptr.size - 1):
        for k in range(indptr[row], indptr[row + 1]):
            sums[row] += abs(weights[k])


@exact
def sum_sizes_by_column(indptr, indices, weights, factors, sums):
    """Add to ``sums`` the absolute weights of each column, each times its row's factor."""
    for row in range(indptr.size - 1):
        for k in range(indptr[row], indptr[row + 1]):
            sums[_at(indices, k)] += factors[row] * abs(weights[k])


@kernel
def free_gradient_sizes(indptr, indices, keep, x, dz, sizes, start, stop):
    """Absolute gradients at all positions of rows ``[start, stop)``, -1 where taken.

    ``sizes`` is (rows, n_in); a position is taken by a connection that is kept.
    """
    inputs = np.arange(x.shape[0])
    for row in range(start, stop):
        target = row - start
        _row_dots(dz, np.uint64(row), x, inputs, 0, inputs.size, sizes[target], 0)
        for i in range(sizes.shape[1]):
            sizes[target, i] = abs(sizes[target, i])
        for k in range(indptr[row], indptr[row + 1]):
            if keep[k]:
                sizes[target, indices[k]] = -1.0


@kernel
def gradient_sizes_at(rows, columns, x, dz, sizes):
    """Absolute gradients at the positions (rows[k], columns[k])."""
    for k in range(rows.size):
        sizes[k] = abs(_dot(dz, _at(rows, k), x, _at(columns, k)))


# --- sampling -------------------------------------------------------------------------


@exact
def distinct_draws(sums, population, drawn):
    """Turn gaps into sorted distinct integers of ``range(population)``.

    The sum of all gaps, which their sums so far take the place of, is the end of the range.
    Returns how many there are in ``drawn``, which may share its memory with ``sums``:
    nothing is written before it was read.
    """
    n_draws, last, count = sums.size - 1, -1, 0
    for k in range(n_draws):
        sums[k + 1] += sums[k]
    total = sums[n_draws]
    for k in range(n_draws):
        value = min(np.int64(sums[k] / total * population), population - 1)
        if value != last:
            drawn[count] = last = value
            count += 1
    return count


@kernel
def drop_places(values, places):
    """Close the gaps that the values at the sorted places leave, in place."""
    count = dropped = 0
    for k in range(values.size):
        if dropped < places.size and places[dropped] == k:
            dropped += 1
        else:
            values[count] = values[k]
            count += 1


@kernel
def list_others(left_out, others):
    """The integers from 0 that are not among the sorted ones left out."""
    value = skipped = 0
    for k in range(others.size):
        while skipped < left_out.size and left_out[skipped] == value:
            skipped += 1
            value += 1
        others[k] = value
        value += 1


@kernel
def split_positions(positions, n_columns, indptr, indices):
    """The pattern of connections at sorted row-major positions."""
    n_rows = indptr.size - 1
    row, indptr[0] = 0, 0
    for k in range(positions.size):
        of_connection = positions[k] // n_columns
        while row < of_connection:
            row += 1
            indptr[row] = k
        indices[k] = positions[k] - of_connection * n_columns
    indptr[row + 1 : n_rows + 1] = positions.size


@kernel
def free_positions(ranks, taken, positions):
    """Positions from their ranks among all that are not taken, both sorted."""
    if ranks.size == 0:
        return
    # Positions taken[j] - j are free before taken[j].
    n_before, end = 0, taken.size
    while n_before < end:
        middle = (n_before + end) // 2
        if taken[middle] - middle <= ranks[0]:
            n_before = middle + 1
        else:
            end = middle
    for k in range(ranks.size):
        while n_before < taken.size and taken[n_before] - n_before <= ranks[k]:
            n_before += 1
        positions[k] = ranks[k] + n_before


# --- paths of length three ------------------------------------------------------------


@exact
def _sum_of_middles(indptr, indices, of_outputs, of_inputs):
    """The sum over all connections of the product of their two neurons' values."""
    total = 0.0
    for row in range(indptr.size - 1):
        for k in range(indptr[row], indptr[row + 1]):
            total += of_outputs[row] * of_inputs[_at(indices, k)]
    return total


@exact
def walk_ends(
    indptr, indices, ends, outputs, of_outputs, of_inputs, sums, picks, positions
):
    """Positions between the ends of random paths of three connections.

    The pattern is given by rows (``indptr``, ``indices``) and by columns (``ends``,
    ``outputs``). The connection in the middle is drawn with a probability proportional to
    the product of its neurons' values, where ``sums`` are ascending, the last one being
    the end of their range; the other two are even choices among the rest of these
    neurons' connections, by ``picks`` in [0, 1). Returns how many paths there are, the
    number of draws, or 0 without any. ``positions`` may share the memory of ``picks``.
    """
    n_columns = np.int64(ends.size - 1)
    total = _sum_of_middles(indptr, indices, of_outputs, of_inputs)
    n_draws = sums.size - 1
    if total == 0:
        return 0
    scale = total / sums[n_draws]
    count, weight = 0, 0.0
    for row in range(indptr.size - 1):
        first, others = indptr[row], indptr[row + 1] - indptr[row] - 1
        for k in range(first, indptr[row + 1]):
            column = _at(indices, k)
            weight += of_outputs[row] * of_inputs[column]
            while count < n_draws and sums[count] * scale < weight:
                start = ends[column]
                n_rest = ends[column + np.uint64(1)] - start - 1
                n_choices = np.int64(others) * n_rest
                choice = min(np.int64(picks[count] * n_choices), n_choices - 1)
                place = first + choice // n_rest
                if place >= k:
                    place += 1
                other = start + choice % n_rest
                if outputs[other] >= row:
                    other += 1
                positions[count] = outputs[other] * n_columns + indices[place]
                count += 1
    return count


@kernel
def ranks_of_free(positions, indptr, indices, n_columns):
    """Turn sorted positions into their ranks among the free ones, each once, in place.

    Positions of connections are left out. Returns how many ranks there are.
    """
    count, k, row, last = 0, np.int64(0), np.int64(0), np.int64(-1)
    for j in range(positions.size):
        position = positions[j]
        if position == last:
            continue
        last, taken = position, np.int64(-1)
        while k < indices.size:
            while indptr[row + 1] <= k:
                row += 1
            taken = row * n_columns + indices[k]
            if taken >= position:
                break
            k += 1
        if taken == position:
            continue
        positions[count] = position - k
        count += 1
    return count


@inlined
def _count_common(a, i, i_end, b, j, j_end):
    """How many items two sorted ranges have in common."""
    count = 0
    while i < i_end and j < j_end:
        if a[i] < b[j]:
            i += 1
        elif a[i] > b[j]:
            j += 1
        else:
            count += 1
            i += 1
            j += 1
    return count


@exact
def path_scores(indptr, indices, ends, outputs, rows, columns, scores):
    """CH3-L3 of free positions: paths of length three, each by its external degrees.

    Each neuron between the two counts ``1 / sqrt(1 + e)``, where ``e`` of its
    connections lead neither to the two nor to others between them.
    """
    of_inputs = np.empty(np.diff(indptr).max(), np.float64)
    for place in range(rows.size):
        row, column = rows[place], columns[place]
        first, end = indptr[row], indptr[row + 1]
        start, stop = ends[column], ends[column + 1]
        for k in range(first, end):
            a, b = ends[indices[k]], ends[indices[k] + 1]
            inside = _count_common(outputs, a, b, outputs, start, stop)
            of_inputs[k - first] = 0.0 if inside == 0 else 1 / math.sqrt(b - a - inside)
        scores[place] = 0.0
        for m in range(start, stop):
            i, i_end = indptr[outputs[m]], indptr[outputs[m] + 1]
            n_own, inside, total, k = i_end - i, 0, 0.0, first
            while i < i_end and k < end:
                if indices[i] < indices[k]:
                    i += 1
                elif indices[i] > indices[k]:
                    k += 1
                else:
                    inside += 1
                    total += of_inputs[k - first]
                    i += 1
                    k += 1
            if inside > 0:
                scores[place] += total / math.sqrt(n_own - inside)
