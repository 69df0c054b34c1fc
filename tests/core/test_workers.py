"""Threads: every share is run, errors come back, small work stays in one thread."""

import threading

import pytest

from sksparse_mlp.core import workers as module
from sksparse_mlp.core.workers import MIN_WORK_PER_THREAD, Workers


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(
        module.os, "sched_getaffinity", lambda pid: set(range(4)), raising=False
    )


def calls_of(workers, work, shares):
    calls = []
    workers.run(
        lambda start, stop: calls.append((start, stop, threading.get_ident())), shares, work
    )
    return sorted(calls)


@pytest.mark.usefixtures("four_cores")
def test_large_work_is_shared_among_threads():
    with Workers(n_jobs=3) as workers:
        calls = calls_of(workers, 3 * MIN_WORK_PER_THREAD, [0, 10, 11, 30])
    assert [call[:2] for call in calls] == [(0, 10), (10, 11), (11, 30)]
    assert calls[0][2] == threading.get_ident()
    assert calls[1][2] != threading.get_ident()


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize("n_jobs", [None, 1, 3])
def test_small_work_is_one_call_in_this_thread(n_jobs):
    with Workers(n_jobs) as workers:
        shares = list(range(0, 10 * workers.n_threads + 1, 10))
        calls = calls_of(workers, MIN_WORK_PER_THREAD - 1, shares)
    assert calls == [(0, shares[-1], threading.get_ident())]


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize("failing", [0, 10])
def test_errors_of_any_share_are_raised(failing):
    def task(start, stop):
        if start == failing:
            raise RuntimeError("share failed")

    with Workers(n_jobs=2) as workers, pytest.raises(RuntimeError, match="share failed"):
        workers.run(task, [0, 10, 20], 2 * MIN_WORK_PER_THREAD)


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize(("n_jobs", "expected"), [(None, 1), (1, 1), (4, 4)])
def test_number_of_threads_follows_n_jobs(n_jobs, expected):
    with Workers(n_jobs) as workers:
        assert workers.n_threads == expected


@pytest.mark.usefixtures("four_cores")
def test_more_threads_than_cores_are_not_started_and_warn():
    with (
        pytest.warns(UserWarning, match="n_jobs=9 asks for 9 threads, but only 4 cores"),
        Workers(n_jobs=9) as workers,
    ):
        assert workers.n_threads == 4
