"""Threads that work through a batch together."""

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self, TypeAlias

import joblib
from joblib.parallel import get_active_backend

from sksparse_mlp.core import spinning
from sksparse_mlp.core.signals import PutOff, put_off
from sksparse_mlp.core.spinning import FAILED, FINISHED, MEETING, STARTED

# Multiply-adds of a task below which other threads cost more than they save (measured by
# ``python -m benchmarks.peers --only threads``).
MIN_WORK = 3_000_000
# Looks at a counter, some 200 microseconds of them, before a thread lets others run.
N_TRIES = 400_000
NAP = 5e-5
# Looks, some 3 microseconds of them, between the departures of two threads that waited
# for each other. Both want the GIL then; who finds it taken falls asleep.
N_APART = 5_000
# Of so many equal tasks so many are tried in either way. Threads that wait for each other
# lose more than they save where something else needs the cores, unless a task is long.
ROUND, N_TRIED = 1000, 6
LONG = 0.03


def _is_nested() -> bool:
    """Whether this is one of the parallel calls of joblib."""
    return bool(get_active_backend()[0].nesting_level)


def available_cores() -> int:
    """Cores that this process may use, or its share of them inside a parallel call."""
    if not spinning.IS_COMPILED:
        return 1
    if _is_nested():
        # What joblib leaves to each of its processes; with nested levels, a list.
        n_threads = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
        return max(1, int(n_threads)) if n_threads.isdecimal() else 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    n_cores: int = joblib.cpu_count()
    return n_cores


class Member:
    """One of the threads that do a task, all in the same steps.

    Attributes
    ----------
    rank : int
        Number of the thread, from 0, which is the one that asked for the task.
    n_threads : int
    counters : ndarray
        The team's, for meetings inside of compiled code.
    """

    def __init__(self, rank: int, n_threads: int, team: "Workers | None"):
        self.rank = rank
        self.n_threads = n_threads
        self.counters = getattr(team, "counters", NO_COUNTERS)
        self._team = team
        self._n_meetings = 0

    def part(self, shares: list[int]) -> tuple[int, int]:
        """Where this thread's share begins and ends, given where all shares do."""
        return shares[self.rank], shares[self.rank + 1]

    def share(self, n_items: int, grain: int = 1) -> tuple[int, int]:
        """Where this thread's share of so many items begins and ends, in whole grains."""
        n_grains = -(-n_items // grain)
        start, stop = (n_grains * k // self.n_threads for k in (self.rank, self.rank + 1))
        return start * grain, min(stop * grain, n_items)

    def wait(self) -> None:
        """Return once all threads have come here."""
        if self._team is not None:
            self._n_meetings += 1
            self._team.meet(self._n_meetings * self.n_threads)


NO_COUNTERS = spinning.new_counters(0)
ALONE = Member(0, 1, None)

Task: TypeAlias = Callable[[Member], None]


class Pace:
    """Whether equal tasks are faster shared or done alone, tried out again and again."""

    def __init__(self) -> None:
        self._n_done = 0
        self._seconds = [0.0, 0.0]
        self._shares = True

    def shares(self) -> bool:
        """Whether to share the next task."""
        place = self._n_done % ROUND
        return place < N_TRIED or (self._shares and place >= 2 * N_TRIED)

    def record(self, seconds: float) -> None:
        """Take note of the time that this task took."""
        place = self._n_done % ROUND
        if seconds > LONG and place < N_TRIED:
            return
        self._n_done += 1
        if place < 2 * N_TRIED:
            self._seconds[place // N_TRIED] += seconds
        if place + 1 == 2 * N_TRIED:
            shared, alone = self._seconds
            self._shares, self._seconds = shared < alone, [0.0, 0.0]


class AbandonedError(Exception):
    """Another thread of the team failed."""


class Workers:
    """Run tasks in this thread, or in it and ``n_jobs - 1`` others.

    Kernels release the GIL and write each row once, so the number of threads never
    changes a result. The other threads are started when they are first needed; between
    tasks they look for the next one for a while and then sleep. After an error the
    threads are of no more use.

    Parameters
    ----------
    n_jobs : int or None
        Number of threads, as in joblib: None means 1, -1 all cores.
    """

    def __init__(self, n_jobs: int | None):
        n_threads = joblib.effective_n_jobs(n_jobs)
        n_cores = available_cores()
        if n_threads > n_cores and not _is_nested():
            warnings.warn(
                f"n_jobs={n_jobs} asks for {n_threads} threads, but only {n_cores} cores "
                f"are available; using {n_cores}.",
                stacklevel=2,
            )
        self.n_threads = min(n_threads, n_cores)
        self._paces: dict[tuple[str, int, int], Pace] = {}
        self._waiting: PutOff | None = None
        self._gather()

    def __reduce__(self) -> tuple[type[Self], tuple[int]]:
        # Where it arrives, it is a team of its own.
        return type(self), (self.n_threads,)

    def _gather(self) -> None:
        """Have a team whose threads are still to be started."""
        self._process = os.getpid()
        self.counters = spinning.new_counters(FAILED + 1)
        self._members = [Member(k, self.n_threads, self) for k in range(self.n_threads)]
        self._events = [threading.Event() for _ in self._members[1:]]
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []
        self._task: Task | None = None
        self._n_tasks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        # Threads that wait for one that an error took away would wait forever.
        self._errors.append(AbandonedError())
        if self._threads and self._process == os.getpid():
            with self.interrupts_put_off():
                self._hand_out(None)
                for thread in self._threads:
                    thread.join()

    @contextmanager
    def interrupts_put_off(self) -> Iterator[None]:
        """Let Ctrl-C and other signals wait for the next task, or for the end of the block.

        Their handlers may raise between any two steps of the main thread: with a lock in
        its hands, or while others still work on the same arrays.
        """
        if self._waiting is not None:
            yield
            return
        with put_off() as self._waiting:
            try:
                yield
            finally:
                self._waiting = None

    def run(self, task: Task, work: int, n_times: int = 1) -> None:
        """Call ``task(member)`` in every thread, or in this one alone where it is faster.

        Every member must come to the same meetings. ``work`` counts multiply-adds, which
        the task does ``n_times``; equal work of the same function is supposed to take equal
        time.
        """
        if self._waiting is not None:
            self._waiting.pass_on()
        if self.n_threads == 1 or work < MIN_WORK:
            task(ALONE)
            return
        kind = getattr(task, "__qualname__", ""), work, n_times
        pace = self._paces.setdefault(kind, Pace())
        started = time.perf_counter()
        if pace.shares():
            with self.interrupts_put_off():
                self._share(task)
        else:
            task(ALONE)
        pace.record(time.perf_counter() - started)

    def _share(self, task: Task) -> None:
        if self._process != os.getpid():
            # A fork leaves the child none of the threads.
            self._gather()
        if not self._threads:
            self._start()
        self._hand_out(task)
        self._do(task, self._members[0])
        self._wait_for(FINISHED, self._n_tasks * len(self._threads))
        if self._errors:
            raise self._errors[0]

    def meet(self, n_arrivals: int) -> None:
        """Come to a meeting and wait until there were so many arrivals in all."""
        if not spinning.count_and_wait(
            self.counters, MEETING, n_arrivals, N_TRIES, N_APART
        ):
            self._wait_for(MEETING, n_arrivals, can_fail=True)

    def _start(self) -> None:
        for member, event in zip(self._members[1:], self._events, strict=True):
            thread = threading.Thread(target=self._serve, args=(member, event), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _hand_out(self, task: Task | None) -> None:
        self._task = task
        self._n_tasks += 1
        spinning.count(self.counters, STARTED)
        for event in self._events:
            event.set()

    def _do(self, task: Task, member: Member) -> None:
        try:
            task(member)
        except AbandonedError:
            pass
        except BaseException as error:
            self._errors.append(error)
            spinning.count(self.counters, FAILED)

    def _wait_for(self, counter: int, value: int, *, can_fail: bool = False) -> None:
        while not spinning.has_reached(self.counters, counter, value, N_TRIES):
            if can_fail and self._errors:
                raise AbandonedError
            time.sleep(NAP)

    def _serve(self, member: Member, event: threading.Event) -> None:
        """Take part in every task, from the first that was handed out."""
        n_tasks = 1
        while True:
            while not spinning.has_reached(self.counters, STARTED, n_tasks, N_TRIES):
                event.clear()
                # The task may have come before the event was cleared.
                if not spinning.has_reached(self.counters, STARTED, n_tasks, 1):
                    event.wait()
            task = self._task
            if task is None:
                return
            self._do(task, member)
            n_tasks += 1
            spinning.count(self.counters, FINISHED)
