"""How kernels are compiled."""

from typing import Any

from numba import njit

from sksparse_mlp.core.compilation import kept

# Only the flags that keep NaN and infinity visible.
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
OPTIONS: Any = {"nogil": True, "fastmath": FASTMATH, "error_model": "numpy"}
kernel = kept(njit(**OPTIONS))
# A call with arrays as arguments costs as much as some of these functions do.
inlined = kept(njit(forceinline=True, **OPTIONS))
# Operations in the order in which they are written, to the last bit.
exact = kept(njit(**(OPTIONS | {"fastmath": False})))
# Which product and sum are rounded together must not depend on what is around them.
exact_inlined = kept(njit(forceinline=True, **(OPTIONS | {"fastmath": False})))
