"""Buffers begin at cache lines, whatever their size, dtype and use."""

import numpy as np
import pytest
from networks import new_network

from sksparse_mlp.core.network import aligned, padded
from sksparse_mlp.core.simd import LINE


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (1000, 128)])
def test_arrays_are_whole_contiguous_and_begin_at_a_cache_line(shape, dtype):
    arrays = [aligned(shape, dtype) for _ in range(20)]
    for value, array in enumerate(arrays):
        array[:] = value
    for value, array in enumerate(arrays):
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert address(array) % LINE == 0
        assert (array == value).all()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_buffers_of_a_network_are_aligned(training, norm):
    batch = new_network("relu", norm=norm).buffers(7, training=training)
    for part in (batch, batch.first(3)):
        assert {matrix.shape[1] for matrix in (part.x, *part.dz)} == {padded(3, float)}
        matrices = [part.x, *part.u, *part.z, *part.a, *part.dz]
        assert all(address(matrix) % LINE == 0 for matrix in matrices)
