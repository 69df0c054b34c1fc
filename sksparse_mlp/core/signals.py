"""Signals that wait while something must not be broken off.

Python runs signal handlers between any two steps of its main thread, and they may raise:
KeyboardInterrupt at Ctrl-C, or what a program's own handlers raise at an alarm.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], Any]

# Plain integers, and the functions behind those of the same name where Python has them:
# converting to enumerations takes ten times as long as what is asked for.
SIGNALS = sorted(map(int, signal.valid_signals()))
_quick: Any = getattr(signal, "_signal", signal)
_handler_of: Callable[[int], Any] = _quick.getsignal
_set_handler: Callable[[int, Any], Any] = _quick.signal


class PutOff:
    """What came while signals had to wait.

    It is itself the handler that takes note of them. In a process that was forked in the
    meantime, and once the wait is over, it lets them through.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Handler] = {}
        self._caught: dict[int, FrameType | None] = {}
        self._process = os.getpid()
        self._is_over = False

    def __call__(self, signum: int, frame: FrameType | None) -> Any:
        if self._is_over or os.getpid() != self._process:
            return self._handlers[signum](signum, frame)
        self._caught[signum] = frame
        return None

    def begin(self) -> None:
        """Take the place of all handlers that are written in Python."""
        for signum in SIGNALS:
            handler = _handler_of(signum)
            if callable(handler):
                self._handlers[signum] = handler
                _set_handler(signum, self)

    def end(self) -> None:
        """Put the handlers back, and let them have what came."""
        # A handler that is back may raise before the others are.
        try:
            for signum, handler in self._handlers.items():
                _set_handler(signum, handler)
        finally:
            self._is_over = True
            self.pass_on()

    def pass_on(self) -> None:
        """Let the handlers have what came so far, each once; they may raise."""
        if self._caught:
            signum, frame = self._caught.popitem()
            try:
                self._handlers[signum](signum, frame)
            finally:
                self.pass_on()


@contextmanager
def put_off() -> Iterator[PutOff | None]:
    """Let all signals wait for the end of the block, which gets what collects them.

    Only the main thread is ever interrupted by signals; others get None.
    """
    if threading.current_thread() is not threading.main_thread():
        yield None
        return
    waiting = PutOff()
    try:
        waiting.begin()
        yield waiting
    finally:
        waiting.end()
