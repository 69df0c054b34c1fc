"""Vectors in compiled code do what their plain twins do, and stay inside of arrays.

Also run with ``NUMBA_DISABLE_JIT=1`` and with ``NUMBA_BOUNDSCHECK=1``.
"""

import numpy as np
import pytest
from numba import config, njit
from numba.core.errors import TypingError

from sksparse_mlp.core import simd

DTYPES = [np.float32, np.float64]
compiled = pytest.mark.skipif(config.DISABLE_JIT, reason="compilation is switched off")


@njit
def copy(source, row, column, target):
    simd.store(target, 0, 0, (simd.load(source, row, column),))


@njit
def lanes(array):
    return simd.lanes(array)


@njit
def add_scaled(factor, array, row, column, start, target):
    t = simd.splat(start)
    simd.store(target, 0, 0, simd.add_scaled((t, t, t), factor, array, row, column))


@njit
def times(vectors, factor, array, row, column, target):
    two = simd.load(vectors, 0, 0), simd.load(vectors, 0, simd.lanes(array))
    simd.store(target, 0, 0, simd.times(two, factor, array, row, column))


@njit
def gather_columns(target, row, column, array, places, start, first):
    simd.gather_columns(target, row, column, array, places, start, first)


@njit
def add_products(vectors, array, rows, column, target):
    zero, step = simd.splat(array.dtype.type(0)), simd.lanes(array)
    two = simd.load(vectors, 0, 0), simd.load(vectors, 0, step)
    of_rows = simd.add_products((zero, zero), two, array, rows, column)
    simd.store(target, 0, 0, of_rows)


@njit
def put_sums_of_1(array, target, place):
    simd.put_sums(target, place, (simd.load(array, 0, 0),))


@njit
def put_sums_of_4(array, target, place):
    a, b = simd.load(array, 0, 0), simd.load(array, 1, 0)
    simd.put_sums(target, place, (a, b, simd.load(array, 2, 0), simd.load(array, 3, 0)))


@njit
def put_sums_of_8(array, target, place):
    a, b = simd.load(array, 0, 0), simd.load(array, 1, 0)
    c, d = simd.load(array, 2, 0), simd.load(array, 3, 0)
    e, f = simd.load(array, 4, 0), simd.load(array, 5, 0)
    g, h = simd.load(array, 6, 0), simd.load(array, 7, 0)
    simd.put_sums(target, place, (a, b, c, d, e, f, g, h))


@njit
def total_of(array):
    return simd.total_of(simd.load(array, 0, 0))


PUT_SUMS = {1: put_sums_of_1, 4: put_sums_of_4, 8: put_sums_of_8}


def numbers(shape, dtype, seed=0):
    """Small whole numbers, whose sums and products are exact."""
    return np.random.default_rng(seed).integers(-9, 9, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_vector_is_a_cache_line(dtype):
    assert lanes(np.zeros((1, 16), dtype)) * np.dtype(dtype).itemsize == simd.LINE


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 16), (1, 5)])
def test_vectors_are_read_and_written_anywhere(row, column, dtype):
    source, n = numbers((3, 40), dtype), simd.LINE // np.dtype(dtype).itemsize
    target = np.full((1, 20), -1, dtype)
    copy(source, row, column, target)
    np.testing.assert_array_equal(target[0, :n], source[row, column : column + n])
    assert (target[0, n:] == -1).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_scaled_vectors_are_added(dtype):
    array, n = numbers((3, 64), dtype), 3 * simd.LINE // np.dtype(dtype).itemsize
    target = np.zeros((1, n), dtype)
    add_scaled(dtype(3), array, 1, 8, dtype(2), target)
    np.testing.assert_array_equal(target[0], 2 + 3 * array[1, 8 : 8 + n])


@pytest.mark.parametrize("dtype", DTYPES)
def test_vectors_are_multiplied_in_the_order_of_the_factors(dtype):
    n = simd.LINE // np.dtype(dtype).itemsize
    array, vectors = numbers((3, 3 * n), dtype), numbers((1, 2 * n), dtype, seed=1)
    target = np.zeros((1, 2 * n), dtype)
    times(vectors, dtype(1.1), array, 2, n, target)
    expected = vectors[0] * dtype(1.1) * array[2, n:]
    np.testing.assert_array_equal(target[0], expected)


@pytest.mark.parametrize("start", [0, 3, 17])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_become_columns_and_the_last_is_repeated(dtype, start):
    n = simd.LINE // np.dtype(dtype).itemsize
    array, target = numbers((9, n + 7), dtype), np.full((n + 3, n + 9), 99, dtype)
    places = np.random.default_rng(0).integers(9, size=20)
    gather_columns(target, 2, 5, array, places, start, 4)
    chosen = places[np.minimum(np.arange(start, start + n), 19)]
    np.testing.assert_array_equal(target[2 : 2 + n, 5 : 5 + n], array[chosen, 4 : 4 + n].T)
    target[2 : 2 + n, 5 : 5 + n] = 99
    assert (target == 99).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_are_added_row_by_row(dtype):
    n = simd.LINE // np.dtype(dtype).itemsize
    array, vectors = numbers((3, 3 * n), dtype), numbers((1, 2 * n), dtype, seed=1)
    target = np.zeros((1, 2 * n), dtype)
    add_products(vectors, array, (2, 0), n, target)
    products = (vectors * array[[2, 0], n:]).reshape(2, 2, n).sum(axis=1)
    np.testing.assert_array_equal(target[0], products.ravel())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", PUT_SUMS)
def test_sums_are_put_where_they_belong_and_nowhere_else(count, dtype):
    array = numbers((8, simd.LINE // np.dtype(dtype).itemsize), dtype)
    target = np.full(12, -1, dtype)
    PUT_SUMS[count](array, target, 3)
    assert total_of(array) == array[0].sum()
    np.testing.assert_array_equal(target[3 : 3 + count], array[:count].sum(axis=1))
    assert (np.delete(target, range(3, 3 + count)) == -1).all()


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_order_of_a_sum_does_not_depend_on_how_many_there_are(dtype):
    n = simd.LINE // np.dtype(dtype).itemsize
    array = np.random.default_rng(0).standard_normal((8, n)).astype(dtype)
    alone, four, eight = (np.zeros(8, dtype) for _ in range(3))
    for k in range(8):
        put_sums_of_1(array[k : k + 1], alone, k)
    put_sums_of_4(array[:4], four, 0)
    put_sums_of_4(array[4:], four, 4)
    put_sums_of_8(array, eight, 0)
    np.testing.assert_array_equal(alone, eight)
    np.testing.assert_array_equal(four, eight)


@compiled
def test_rows_must_be_contiguous():
    array = np.zeros((4, 64))
    with pytest.raises(TypingError, match="contiguous"):
        copy(array[:, :32], 0, 0, np.zeros((1, 8)))


@pytest.mark.skipif(
    not (config.BOUNDSCHECK or config.DISABLE_JIT), reason="only where bounds are checked"
)
@pytest.mark.parametrize("place", [(3, 0), (0, 33), (-1, 0), (0, -1), (2**40, 0)])
def test_vectors_out_of_bounds_are_errors(place):
    array, room = np.zeros((3, 40)), np.zeros((1, 24))
    for call in (
        lambda: copy(array, *place, room),
        lambda: copy(room, 0, 0, array[:0]),
        lambda: add_scaled(1.0, array, place[0], max(17, place[1]), 0.0, room),
        lambda: times(room, 1.0, array, place[0], max(25, place[1]), room),
        lambda: add_products(room, array, (0, place[0] or 7), place[1], room),
        lambda: put_sums_of_8(np.zeros((8, 8)), np.zeros(9), 2),
        lambda: put_sums_of_8(np.zeros((8, 8)), np.zeros(9), -1),
    ):
        with pytest.raises(IndexError):
            call()


def test_features_are_those_that_numba_compiles_for():
    if config.CPU_FEATURES is not None:
        told = {f[1:] for f in config.CPU_FEATURES.split(",") if f.startswith("+")}
        assert simd.features() == told
    assert (8 if "avx512f" in simd.features() else 4) == simd.N_TOTALS
