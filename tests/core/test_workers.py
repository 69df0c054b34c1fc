"""Threads: all do the task in the same steps, errors come back, small work stays here."""

import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
from numba import config

from sksparse_mlp.core import spinning
from sksparse_mlp.core import workers as module
from sksparse_mlp.core.workers import (
    LONG,
    MIN_WORK,
    N_TRIED,
    ROUND,
    Member,
    Pace,
    Workers,
    available_cores,
)

shares = Pace.shares

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="threads need compiled code")


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    """Large work is shared among up to four threads, however long that takes."""
    monkeypatch.setattr(
        module.os, "sched_getaffinity", lambda pid: set(range(4)), raising=False
    )
    monkeypatch.setattr(Pace, "shares", lambda pace: True)


def ends(function):
    """Whether a function ends, called in another thread so that this one does not hang."""
    caller = threading.Thread(target=function, daemon=True)
    caller.start()
    caller.join(timeout=20)
    return not caller.is_alive()


def ranks_and_threads(workers, work):
    calls = []
    workers.run(lambda member: calls.append((member.rank, threading.get_ident())), work)
    return sorted(calls)


def test_large_work_is_done_by_all_threads():
    with Workers(n_jobs=3) as workers:
        calls = ranks_and_threads(workers, MIN_WORK)
    assert [rank for rank, _ in calls] == [0, 1, 2]
    assert calls[0][1] == threading.get_ident()
    assert len({thread for _, thread in calls}) == 3


@pytest.mark.parametrize("n_jobs", [None, 1, 3])
def test_small_work_is_one_call_in_this_thread(n_jobs):
    before = set(threading.enumerate())
    with Workers(n_jobs) as workers:
        calls = ranks_and_threads(workers, MIN_WORK - 1)
        assert set(threading.enumerate()) <= before
    assert calls == [(0, threading.get_ident())]


def test_threads_are_the_same_for_every_task_and_end_with_the_team():
    before = set(threading.enumerate())
    with Workers(n_jobs=2) as workers:
        first = ranks_and_threads(workers, MIN_WORK)
        # Long enough for the other thread to fall asleep.
        time.sleep(0.05)
        assert ranks_and_threads(workers, MIN_WORK) == first
    assert set(threading.enumerate()) <= before


def test_nobody_leaves_a_meeting_before_all_have_come():
    n_meetings = 200
    arrived = np.zeros((3, n_meetings), bool)
    complete = []

    def task(member):
        for meeting in range(n_meetings):
            if (meeting + member.rank) % 50 == 0:
                time.sleep(0.002)
            arrived[member.rank, meeting] = True
            member.wait()
            complete.append(arrived[:, meeting].all())

    with Workers(n_jobs=3) as workers:
        workers.run(task, MIN_WORK)
        arrived[:] = False
        workers.run(task, MIN_WORK)
    assert len(complete) == 2 * 3 * n_meetings
    assert all(complete)


@pytest.mark.parametrize("failing", [0, 1])
def test_errors_of_any_thread_are_raised_while_others_wait(failing):
    def task(member):
        if member.rank == failing:
            raise RuntimeError("no more")
        member.wait()

    def run():
        with Workers(n_jobs=2) as workers, pytest.raises(RuntimeError, match="no more"):
            workers.run(task, MIN_WORK)

    before = set(threading.enumerate())
    assert ends(run)
    assert set(threading.enumerate()) <= before


def test_an_interrupt_between_the_hand_out_and_the_task_leaves_no_thread(monkeypatch):
    at_meeting, do = threading.Event(), Workers._do

    def interrupted(self, task, member):
        if member.rank == 0:
            at_meeting.wait()
            raise KeyboardInterrupt
        do(self, task, member)

    def task(member):
        at_meeting.set()
        member.wait()

    def run():
        with pytest.raises(KeyboardInterrupt), Workers(n_jobs=2) as workers:
            workers.run(task, MIN_WORK)

    monkeypatch.setattr(Workers, "_do", interrupted)
    before = set(threading.enumerate())
    assert ends(run)
    assert set(threading.enumerate()) <= before


def test_a_thread_that_is_about_to_sleep_notices_the_next_task(monkeypatch):
    class LateEvent(threading.Event):
        def clear(self):
            # Meanwhile the task comes.
            time.sleep(0.05)
            super().clear()

    ranks = []

    def run():
        with Workers(n_jobs=2) as workers:
            for _ in range(2):
                workers.run(lambda member: ranks.append(member.rank), MIN_WORK)
                time.sleep(0.01)

    monkeypatch.setattr(module.threading, "Event", LateEvent)
    monkeypatch.setattr(module, "N_TRIES", 1)
    assert ends(run)
    assert sorted(ranks) == [0, 0, 1, 1]


@pytest.mark.parametrize(("n_jobs", "expected"), [(None, 1), (1, 1), (4, 4)])
def test_number_of_threads_follows_n_jobs(n_jobs, expected):
    with Workers(n_jobs) as workers:
        assert workers.n_threads == expected


def test_more_threads_than_cores_are_not_started_and_warn():
    with (
        pytest.warns(UserWarning, match="n_jobs=9 asks for 9 threads, but only 4 cores"),
        Workers(n_jobs=9) as workers,
    ):
        assert workers.n_threads == 4


def n_threads_inside():
    with Workers(n_jobs=2) as workers:
        return workers.n_threads


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_inside_parallel_calls_threads_are_limited_without_a_word(backend, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    calls = (joblib.delayed(n_threads_inside)() for _ in range(2))
    n_jobs = joblib.cpu_count()
    with joblib.parallel_config(backend, n_jobs=n_jobs):
        assert joblib.Parallel()(calls) == [1, 1]


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_an_interrupt_while_waiting_for_others_leaves_no_thread(n_jobs, monkeypatch):
    here, done = threading.current_thread(), []
    all_at_work = threading.Barrier(n_jobs)

    def sleep(seconds):
        if threading.current_thread() is here:
            raise KeyboardInterrupt
        time.sleep(seconds)

    def task(member):
        all_at_work.wait()
        if member.rank > 0:
            time.sleep(0.05)
            done.append(member.rank)

    clock = SimpleNamespace(sleep=sleep, perf_counter=time.perf_counter)
    monkeypatch.setattr(module, "time", clock)
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt), Workers(n_jobs) as workers:
        workers.run(task, MIN_WORK)
    assert set(threading.enumerate()) <= before
    # The others end what they are at.
    assert sorted(done) == list(range(1, n_jobs))


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_waits_for_the_end_of_a_shared_task():
    done = []

    def task(member):
        if member.rank == 0:
            ctrl_c()
        member.wait()
        done.append(member.rank)

    with Workers(n_jobs=2) as workers:
        with pytest.raises(KeyboardInterrupt):
            workers.run(task, MIN_WORK)
        assert sorted(done) == [0, 1]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        # Nothing was left half done: the threads are of use still.
        assert len(ranks_and_threads(workers, MIN_WORK)) == 2


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("work", [0, MIN_WORK])
def test_ctrl_c_that_is_put_off_comes_before_the_next_task(work):
    steps = []

    def go_on(workers):
        with workers.interrupts_put_off():
            ctrl_c()
            steps.append("went on")
            workers.run(steps.append, work)

    with Workers(n_jobs=2) as workers:
        with pytest.raises(KeyboardInterrupt):
            go_on(workers)
        assert steps == ["went on"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        workers.run(steps.append, 0)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_that_is_put_off_comes_at_the_end_at_last():
    steps = []

    def go_on():
        with Workers(n_jobs=1).interrupts_put_off():
            ctrl_c()
            steps.append("went on")

    with pytest.raises(KeyboardInterrupt):
        go_on()
    assert steps == ["went on"]


@pytest.mark.usefixtures("interruptible")
def test_alarms_wait_as_ctrl_c_does():
    def ring(*args):
        raise TimeoutError

    done, before = [], signal.signal(signal.SIGALRM, ring)
    try:
        with Workers(n_jobs=2) as workers:
            with pytest.raises(TimeoutError):
                workers.run(
                    lambda member: (
                        member.rank or signal.raise_signal(signal.SIGALRM),
                        member.wait(),
                        done.append(member.rank),
                    ),
                    MIN_WORK,
                )
            assert sorted(done) == [0, 1]
            assert len(ranks_and_threads(workers, MIN_WORK)) == 2
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_that_was_forked_between_two_tasks_has_threads_of_its_own():
    with Workers(n_jobs=3) as workers:
        ranks_and_threads(workers, MIN_WORK)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            ranks = [rank for rank, _ in ranks_and_threads(workers, MIN_WORK)]
            workers.__exit__()
            os._exit(0 if ranks == [0, 1, 2] else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert len(ranks_and_threads(workers, MIN_WORK)) == 3


def test_ctrl_c_reaches_the_handler_that_was_set():
    received = []
    before = signal.signal(signal.SIGINT, lambda *args: received.append(args[0]))
    try:
        with Workers(n_jobs=2) as workers:
            workers.run(lambda member: member.rank or ctrl_c(), MIN_WORK)
    finally:
        signal.signal(signal.SIGINT, before)
    assert received == [signal.SIGINT]


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_while_threads_end_leaves_none(monkeypatch):
    before = set(threading.enumerate())
    workers = Workers(n_jobs=2)
    ranks_and_threads(workers, MIN_WORK)
    hand_out = workers._hand_out
    monkeypatch.setattr(workers, "_hand_out", lambda task: ctrl_c() or hand_out(task))
    with pytest.raises(KeyboardInterrupt):
        workers.__exit__()
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_error_is_raised_once_all_threads_have_stopped(error, failing):
    stopped = []

    def task(member):
        try:
            if member.rank == failing:
                raise error(f"thread {member.rank}")
            member.wait()
        finally:
            time.sleep(0.01 * member.rank)
            stopped.append(member.rank)

    with Workers(n_jobs=3) as workers:
        with pytest.raises(error, match=f"thread {failing}"):
            workers.run(task, MIN_WORK)
        assert sorted(stopped) == [0, 1, 2]


def test_run_returns_once_every_thread_is_done():
    done = np.zeros(3, bool)

    def task(member):
        time.sleep(0.02 * member.rank)
        done[member.rank] = True

    with Workers(n_jobs=3) as workers:
        for _ in range(3):
            done[:] = False
            workers.run(task, MIN_WORK)
            assert done.all()


def test_small_and_large_work_may_alternate():
    meetings = []

    def task(member):
        for _ in range(member.n_threads):
            member.wait()
        meetings.append(member.rank)

    with Workers(n_jobs=2) as workers:
        for _ in range(20):
            workers.run(task, 0)
            workers.run(task, MIN_WORK)
    assert sorted(meetings) == [0] * 40 + [1] * 20


def test_a_team_that_never_met_ends_too():
    with Workers(n_jobs=4):
        pass


def test_meetings_may_be_longer_than_the_wait_without_sleep(monkeypatch):
    monkeypatch.setattr(module, "N_TRIES", 1)
    seen = []

    def task(member):
        for meeting in range(20):
            if (meeting + member.rank) % 2:
                time.sleep(0.001)
            seen.append(meeting)
            member.wait()

    with Workers(n_jobs=2) as workers:
        for _ in range(3):
            workers.run(task, MIN_WORK)
            time.sleep(0.002)
    assert seen == [meeting for _ in range(3) for meeting in range(20) for _ in range(2)]


# --- whether to share -----------------------------------------------------------------


def choices(pace, n_tasks, shared, alone):
    """Whether the next tasks are shared, if they take so many seconds then or else."""
    chosen = []
    for _ in range(n_tasks):
        chosen.append(shares(pace))
        pace.record(shared if chosen[-1] else alone)
    return chosen


TRIAL = [True] * N_TRIED + [False] * N_TRIED


@pytest.mark.parametrize(
    ("shared", "alone", "expected"), [(1e-3, 2e-3, True), (2e-3, 1e-3, False)]
)
def test_the_faster_way_is_taken_and_both_are_tried_again(shared, alone, expected):
    pace = Pace()
    for _ in range(3):
        assert choices(pace, ROUND, shared, alone) == (
            TRIAL + [expected] * (ROUND - 2 * N_TRIED)
        )


def test_every_round_decides_anew():
    pace, fast, slow = Pace(), (1e-3, 1.1e-3), (9e-3, 8e-3)
    for round_, (shared, alone) in enumerate([fast, slow, fast]):
        *_, last = choices(pace, ROUND, shared, alone)
        assert last == (round_ != 1)


@pytest.mark.parametrize("seconds", [1.01 * LONG, 10.0])
def test_long_tasks_are_always_shared(seconds):
    assert choices(Pace(), 3 * N_TRIED, seconds, 0.0) == [True] * 3 * N_TRIED


def test_a_long_first_task_is_no_part_of_the_trial():
    pace = Pace()
    pace.record(100.0)
    assert choices(pace, 2 * N_TRIED + 1, 1e-3, 2e-3) == [*TRIAL, True]


def test_tasks_are_tried_apart_from_those_of_other_work(monkeypatch):
    class Alternating:
        """Shares every other task, beginning with the first."""

        def __init__(self):
            self.times = []

        def shares(self):
            return len(self.times) % 2 == 0

        def record(self, seconds):
            self.times.append(seconds)

    def task(member):
        time.sleep(0.01)
        ranks.append((member.rank, member.n_threads))

    monkeypatch.setattr(module, "Pace", Alternating)
    seen = []
    with Workers(n_jobs=2) as workers:
        for work in (MIN_WORK, MIN_WORK, MIN_WORK + 1, MIN_WORK, MIN_WORK + 1):
            ranks = []
            workers.run(task, work)
            seen.append(sorted(ranks))
        paces = workers._paces
    shared, alone = [(0, 2), (1, 2)], [(0, 1)]
    assert seen == [shared, alone, shared, shared, alone]
    assert [len(pace.times) for pace in paces.values()] == [3, 2]
    assert all(0.01 <= seconds < 10 for pace in paces.values() for seconds in pace.times)


# --- cores and shares -----------------------------------------------------------------


def test_uncompiled_code_has_one_thread(monkeypatch):
    monkeypatch.setattr(spinning, "IS_COMPILED", False)
    assert available_cores() == 1
    with pytest.warns(UserWarning, match="only 1 cores"), Workers(n_jobs=2) as workers:
        assert workers.n_threads == 1


def test_switching_compilation_off_leaves_one_thread():
    code = "from sksparse_mlp.core.workers import available_cores as n; print(n())"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "1"


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    assert available_cores() == 4
    monkeypatch.delattr(module.os, "sched_getaffinity")
    monkeypatch.setattr(module.joblib, "cpu_count", lambda: 5)
    assert available_cores() == 5


def test_inside_a_parallel_call_cores_are_what_joblib_leaves(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with joblib.parallel_config("threading", n_jobs=2):
        calls = (joblib.delayed(available_cores)() for _ in range(2))
        assert joblib.Parallel()(calls) == [3, 3]


@pytest.mark.parametrize("n_threads", [1, 2, 3, 7])
@pytest.mark.parametrize(("n_items", "grain"), [(0, 1), (5, 1), (100, 16), (128, 16)])
def test_shares_are_all_items_in_order_and_in_whole_grains(n_threads, n_items, grain):
    shares = [Member(k, n_threads, None).share(n_items, grain) for k in range(n_threads)]
    items = [item for start, stop in shares for item in range(start, stop)]
    assert items == list(range(n_items))
    sizes = [-(-(stop - start) // grain) for start, stop in shares]
    assert max(sizes) - min(sizes) <= 1
    assert all(start % grain == 0 or start == n_items for start, _ in shares)


def test_a_part_lies_between_two_ends():
    assert [Member(k, 3, None).part([0, 10, 11, 30]) for k in range(3)] == [
        (0, 10),
        (10, 11),
        (11, 30),
    ]
