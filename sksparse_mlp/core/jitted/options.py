"""How kernels are compiled."""

from typing import Any

import numpy as np
from numba import njit

from sksparse_mlp.core.compilation import NOT_FROM_C, NOT_FROM_PYTHON, kept

# Only the flags that keep NaN and infinity visible.
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
OPTIONS: Any = {"nogil": True, "fastmath": FASTMATH, "error_model": "numpy"} | NOT_FROM_C
EXACT: Any = OPTIONS | {"fastmath": False}
INLINED: Any = NOT_FROM_PYTHON | {"forceinline": True}
kernel = kept(njit(**OPTIONS))
# Only other kernels call them: Python cannot.
inner = kept(njit(**OPTIONS, **NOT_FROM_PYTHON))
# A call with arrays as arguments costs as much as some of these functions do.
inlined = kept(njit(**OPTIONS, **INLINED))
# Operations in the order in which they are written, to the last bit.
exact = kept(njit(**EXACT))
# Which product and sum are rounded together must not depend on what is around them.
exact_inlined = kept(njit(**EXACT, **INLINED))
# Where counting begins. What is called with a plain 0 is compiled for this value alone.
FIRST = np.int64(0)
