"""That the run with checked bounds does check them."""

import numpy as np
import pytest
from numba import config

from sksparse_mlp.core import kernels


@pytest.mark.skipif(not config.BOUNDSCHECK, reason="only where bounds are checked")
@pytest.mark.parametrize("place", [3, 2**31 - 1])
def test_an_index_out_of_bounds_is_an_error(place):
    values, places = np.zeros(3), np.array([0, place], np.int32)
    with pytest.raises(IndexError):
        kernels.take(values, places, np.zeros(2))
