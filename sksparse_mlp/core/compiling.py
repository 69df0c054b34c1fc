"""How long Numba compiles: what makes the first fit on a machine slow, and no other."""

from typing import Any, Self

from numba.core import event


class CompileTimer:
    """A context in which `seconds` grows by the time that compilation takes.

    Code that is found in the cache takes none.
    """

    def __init__(self) -> None:
        self._listener = event.TimingListener()

    @property
    def seconds(self) -> float:
        return float(self._listener.duration) if self._listener.done else 0.0

    def __enter__(self) -> Self:
        event.register("numba:compile", self._listener)
        return self

    def __exit__(self, *exc_info: Any) -> None:
        event.unregister("numba:compile", self._listener)
