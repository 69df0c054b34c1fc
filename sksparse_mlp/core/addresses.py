"""Arrays that compiled code finds by where they begin in memory.

Functions that take arrays as arguments are compiled for so many of them; a table of
addresses is one argument, however many arrays there are. Whoever makes a table keeps the
arrays alive while it is used.
"""

from typing import Any

import numpy as np
from numba import carray, types  # type: ignore[attr-defined]
from numba.extending import intrinsic, overload

from sksparse_mlp.core.compilation import NOT_FROM_C


def address_of(array: np.ndarray) -> int:
    """Where a C-contiguous array begins in memory."""
    address: int = array.__array_interface__["data"][0]
    return address


def array_at(address, size, like):
    """An array of so many values of the type of ``like``; only in compiled code."""
    raise NotImplementedError("addresses are for compiled code")


def rows_at(address, n_rows, width, like):
    """An array of shape (n_rows, width); only in compiled code."""
    raise NotImplementedError("addresses are for compiled code")


@intrinsic
def _pointer(typing_context, address, like):
    pointer = types.CPointer(like)

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64, like), generate


_INLINED: Any = {"forceinline": True} | NOT_FROM_C


@overload(array_at, jit_options=_INLINED)
def _array_at(address, size, like):
    return lambda address, size, like: carray(_pointer(address, like), (size,))


@overload(rows_at, jit_options=_INLINED)
def _rows_at(address, n_rows, width, like):
    return lambda address, n_rows, width, like: carray(
        _pointer(address, like), (n_rows, width)
    )
