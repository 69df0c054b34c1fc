"""Counters that threads wait for without sleeping."""

import threading

import numpy as np
import pytest
from numba import config

from sksparse_mlp.core import spinning

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="cannot run uncompiled")


def test_counters_begin_at_zero_and_count_apart():
    counters = spinning.new_counters(3)
    assert [spinning.count(counters, 1) for _ in range(5)] == [0, 1, 2, 3, 4]
    spinning.count(counters, 2)
    values = counters[:: spinning.LINE]
    np.testing.assert_array_equal(values, [0, 5, 1])
    assert counters.sum() == 6


def test_counters_of_different_threads_lie_in_different_cache_lines():
    counters = spinning.new_counters(2)
    assert spinning.LINE * counters.itemsize >= 64


@pytest.mark.parametrize("n_tries", [1, 2, 1000])
def test_a_value_is_reached_from_it_on(n_tries):
    counters = spinning.new_counters(1)
    for _ in range(3):
        spinning.count(counters, 0)
    reached = [spinning.has_reached(counters, 0, value, n_tries) for value in range(6)]
    assert reached == [True, True, True, True, False, False]


def test_nothing_is_reached_without_looking():
    assert not spinning.has_reached(spinning.new_counters(1), 0, 0, 0)


def test_who_comes_last_has_reached_the_value_and_who_comes_before_has_not():
    counters = spinning.new_counters(2)
    arrivals = [spinning.count_and_wait(counters, 1, 3, 10, 10) for _ in range(3)]
    assert arrivals == [False, False, True]
    np.testing.assert_array_equal(counters[:: spinning.LINE], [0, 3])


def test_no_count_of_many_threads_is_lost():
    counters, befores = spinning.new_counters(2), []

    def count_often():
        befores.extend([spinning.count(counters, 1) for _ in range(2000)])

    threads = [threading.Thread(target=count_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(befores) == list(range(8000))


def test_a_thread_that_waits_sees_what_another_counts():
    counters, seen = spinning.new_counters(1), []

    def wait():
        while not spinning.has_reached(counters, 0, 1, 1_000_000):
            pass
        seen.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    # The waiting thread holds no lock that this one needs.
    spinning.count(counters, 0)
    thread.join()
    assert seen == [True]
