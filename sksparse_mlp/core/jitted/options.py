"""How kernels are compiled."""

from typing import Any

import numpy as np
from numba import njit

from sksparse_mlp.core.compilation import kept

# Only the flags that keep NaN and infinity visible.
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
OPTIONS: Any = {"nogil": True, "fastmath": FASTMATH, "error_model": "numpy"}
# Nobody calls them from C.
OPTIONS["no_cfunc_wrapper"] = True
EXACT: Any = OPTIONS | {"fastmath": False}
# Functions that only kernels call: what Python needs to call them takes time to compile.
INNER: Any = {"no_cpython_wrapper": True}
INLINED: Any = INNER | {"forceinline": True}
kernel = kept(njit(**OPTIONS))
inner = kept(njit(**OPTIONS, **INNER))
# A call with arrays as arguments costs as much as some of these functions do.
inlined = kept(njit(**OPTIONS, **INLINED))
# Operations in the order in which they are written, to the last bit.
exact = kept(njit(**EXACT))
# Which product and sum are rounded together must not depend on what is around them.
exact_inlined = kept(njit(**EXACT, **INLINED))
# Where counting begins. What is called with a plain 0 is compiled for this value alone.
FIRST = np.int64(0)
