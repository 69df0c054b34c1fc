"""Signals wait for the end of a block, and lose nothing by it."""

import os
import signal
import threading

import pytest

from sksparse_mlp.core import signals
from sksparse_mlp.core.signals import PutOff, put_off

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGUSR1"), reason="signals are those of POSIX"
)
SIGNALS = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM]


@pytest.fixture
def received():
    """The signals that handlers got, which raise at SIGALRM."""
    numbers = []

    def handler(number, frame):
        numbers.append(number)
        if number == signal.SIGALRM:
            raise TimeoutError

    before = [signal.signal(number, handler) for number in SIGNALS]
    yield numbers
    for number, old in zip(SIGNALS, before, strict=True):
        signal.signal(number, old)


def test_all_wait_and_come_once(received):
    def block():
        with put_off():
            for number in SIGNALS * 2:
                signal.raise_signal(number)
            assert received == []

    with pytest.raises(TimeoutError):
        block()
    assert sorted(received) == sorted(SIGNALS)
    signal.raise_signal(signal.SIGUSR1)
    assert received[3:] == [signal.SIGUSR1]


def test_inner_blocks_pass_on_to_outer_ones(received):
    with put_off():
        with put_off():
            signal.raise_signal(signal.SIGUSR1)
        assert received == []
    assert received == [signal.SIGUSR1]


def test_an_error_is_not_hidden(received):
    def block():
        with put_off():
            signal.raise_signal(signal.SIGALRM)
            raise ValueError("first")

    with pytest.raises(TimeoutError) as raised:
        block()
    assert isinstance(raised.value.__context__, ValueError)


def test_what_is_passed_on_halfway_does_not_come_again(received):
    with put_off() as waiting:
        signal.raise_signal(signal.SIGUSR1)
        waiting.pass_on()
        assert received == [signal.SIGUSR1]
    assert received == [signal.SIGUSR1]


def test_a_handler_that_raises_while_others_are_put_back_leaves_them_working(
    received, monkeypatch
):
    put_back = signal.signal

    def signal_comes(number, handler):
        before = put_back(number, handler)
        if number == signal.SIGUSR1 and not isinstance(handler, PutOff):
            raise TimeoutError
        return before

    waiting = PutOff()
    waiting.begin()
    monkeypatch.setattr(signals, "_set_handler", signal_comes)
    with pytest.raises(TimeoutError):
        waiting.end()
    monkeypatch.undo()
    # Not put back, and yet let through.
    signal.raise_signal(signal.SIGUSR2)
    assert received == [signal.SIGUSR2]


def test_other_threads_leave_handlers_alone(received):
    found = []

    def in_thread():
        with put_off() as waiting:
            found.extend([waiting, signal.getsignal(signal.SIGUSR1)])

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert found == [None, signal.getsignal(signal.SIGUSR1)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_that_is_forked_meanwhile_gets_its_signals(received):
    with put_off():
        child = os.fork()
        if child == 0:
            signal.raise_signal(signal.SIGUSR1)
            os._exit(0 if received == [signal.SIGUSR1] else 1)
    assert os.waitpid(child, 0)[1] == 0
