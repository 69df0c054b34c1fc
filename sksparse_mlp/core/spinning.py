"""Waiting without sleeping, for threads that share work of microseconds.

Falling asleep and waking up costs a thread more than many kernels take. The functions
here release the GIL while they wait, and see what other threads write at once. They
cannot run uncompiled.
"""

import os
from typing import Any

import numpy as np
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from sksparse_mlp.core.compilation import NOT_FROM_C, kept

OPTIONS: Any = {"nogil": True} | NOT_FROM_C
waiting = kept(njit(**OPTIONS))
IS_COMPILED = not config.DISABLE_JIT  # type: ignore[attr-defined]
NEVER = np.iinfo(np.int64).max
# Counters that different threads write lie in different cache lines.
LINE = 8
# The counters of a team: of tasks handed out, tasks done, arrivals at meetings between
# calls, at meetings inside of them, and errors.
STARTED, FINISHED, MEETING, INSIDE, FAILED = range(5)
# Looks at a counter before a thread lets others run.
PATIENCE = 10_000
_let_others_run = types.ExternalFunction(
    "sched_yield" if os.name == "posix" else "SwitchToThread", types.intc()
)


def new_counters(n_counters: int) -> np.ndarray:
    """Counters of zero, to be used by their indices."""
    return np.zeros(n_counters * LINE, np.int64)


def _pointer(context, builder, signature, args):
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return cgutils.get_item_pointer(
        context, builder, signature.args[0], array, [args[1]], wraparound=False
    )


@intrinsic
def _load(typing_context, array, index):
    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature, args)
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(array, types.intp), generate


@intrinsic
def _add(typing_context, array, index, value):
    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature, args)
        return builder.atomic_rmw("add", pointer, args[2], "acq_rel")

    return types.int64(array, types.intp, types.int64), generate


@waiting
def count(counters, index):
    """Add one to a counter; return what it was before."""
    return _add(counters, index * LINE, 1)


@waiting
def has_reached(counters, index, value, n_tries):
    """Look at a counter up to ``n_tries`` times; return whether it reached ``value``."""
    for _ in range(n_tries):  # noqa: SIM110, a generator is not compiled to a bare loop
        if _load(counters, index * LINE) >= value:
            return True
    return False


@waiting
def count_and_wait(counters, index, value, n_tries, n_apart):
    """Add one to a counter, then wait as :func:`has_reached` does.

    Who comes last returns at once, everybody else ``n_apart`` looks after the one that
    came next.
    """
    behind = value - 1 - count(counters, index)
    reached = has_reached(counters, index, value, n_tries)
    has_reached(counters, index, NEVER, behind * n_apart)
    return reached


@waiting
def meet(counters, n_threads):
    """Return once so many threads have come here, whatever happens once one has failed."""
    if n_threads == 1:
        return
    n_before = _add(counters, INSIDE * LINE, 1)
    all_here = (n_before // n_threads + 1) * n_threads
    while not has_reached(counters, INSIDE, all_here, PATIENCE):
        if _load(counters, FAILED * LINE) > 0:
            return
        _let_others_run()
