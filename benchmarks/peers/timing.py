"""Interleaved, repeated measurements and their ratios."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

# Shorter measurements are repeated until they take this many seconds.
SHORTEST = 0.02


@dataclass
class Comparison:
    """Seconds of some contestants, one entry per repeat."""

    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        return median(self.seconds[name])

    def ratios(self, slow: str, *fast: str) -> list[float]:
        """In each repeat, the time of ``slow`` over the summed times of ``fast``."""
        totals = map(sum, zip(*(self.seconds[name] for name in fast), strict=True))
        return [s / total for s, total in zip(self.seconds[slow], totals, strict=True)]


def interleave(contestants: Mapping[str, Callable[[], float]], repeats: int) -> Comparison:
    """Let all contestants measure themselves in turn, in the other order every time.

    A contestant is a function that returns the seconds it took.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(repeats):
        for name in list(contestants)[:: -1 if repeat % 2 else 1]:
            seconds[name].append(contestants[name]())
    return Comparison(seconds)


def once(function: Callable[[], object], clock=time.perf_counter) -> Callable[[], float]:
    """A contestant that calls the function once."""

    def contestant():
        started = clock()
        function()
        return clock() - started

    return contestant


def many(function: Callable[[], object], clock=time.perf_counter) -> Callable[[], float]:
    """A contestant that calls a short function often and returns its mean time."""
    function()
    n_calls = 1 + int(SHORTEST / max(once(function, clock)(), 1e-6))

    def calls():
        for _ in range(n_calls):
            function()

    return lambda: once(calls, clock)() / n_calls


def spread(ratios: list[float]) -> str:
    """Median, smallest and largest ratio."""
    return f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
