"""Calls in a forked process: whatever they raise or give reaches who waits for it, and none waits in vain."""

import multiprocessing
import os
import sys
import threading
from concurrent.futures.process import BrokenProcessPool

import pytest

from medbench.running import executors
from medbench.running.call_engine import Lost, spread
from medbench.running.forked import Forked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")


class Odd(Exception):
    """Cannot be made anew from its arguments, as some of numpy's."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")

    def __reduce__(self):
        return Odd, self.args


class Unreadable:
    """Can be sent, and not be read."""

    def __reduce__(self):
        return int, ("no number",)


def odd(number):
    if number == 1:
        raise Odd("one", "another")
    return Unreadable() if number == 3 else number


def unsendable(_):
    return lambda: 1


def large(content):
    return bytes(len(content))


@pytest.fixture
def process():
    forked = Forked(int, ())
    yield forked
    forked.close(wait=True)


def test_errors_and_results_that_cannot_travel_belong_to_their_call(process):
    calls = [
        process.submit(odd, 1),
        process.submit(unsendable, 0),
        process.submit(odd, 3),
        process.submit(abs, Unreadable()),
        process.submit(abs, lambda: 1),
        process.submit(odd, 2),
    ]
    with pytest.raises(RuntimeError, match="Odd: one and another"):
        calls[0].result()
    with pytest.raises(TypeError, match="its result cannot be sent"):
        calls[1].result()
    with pytest.raises(ValueError, match="no number"):
        calls[2].result()
    with pytest.raises(ValueError, match="no number"):
        calls[3].result()
    with pytest.raises(AttributeError, match="lambda"):
        calls[4].result()
    assert calls[5].result() == 2


def test_what_cannot_be_read_holds_no_worker_up(monkeypatch):
    monkeypatch.setattr(executors.threading, "active_count", lambda: 1)
    monkeypatch.setattr(executors, "_has_openmp_threads", lambda: False)
    results = {}

    def work():
        with executors.joining_processes(1) as pool:
            results.update((done.order, done.result) for done in spread(odd, range(5), pool))

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(30)
    unreadable = Lost("ValueError: invalid literal for int() with base 10: 'no number'")
    assert results == {0: 0, 1: Lost("RuntimeError: Odd: one and another"), 2: 2, 3: unreadable, 4: 4}


def test_large_calls_and_large_results_do_not_wait_for_each_other(process):
    content = bytes(1 << 20)
    results = [process.submit(large, content) for _ in range(4)]
    assert [len(result.result()) for result in results] == [len(content)] * 4


@pytest.mark.parametrize("size", [5 << 10, 9 << 10, 15 << 10])
def test_small_pipes_hold_nobody_up(monkeypatch, size):
    """The pipes of a user who has many hold 8 KiB: a call and the last result waited for each other."""
    fcntl = pytest.importorskip("fcntl")
    pipe = multiprocessing.Pipe

    def small_pipe(duplex):
        ends = pipe(duplex=duplex)
        fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, 8 << 10)
        return ends

    monkeypatch.setattr(multiprocessing, "Pipe", small_pipe)
    process, lengths = Forked(int, ()), []

    def work():
        calls = [process.submit(large, bytes(1 << 20))]
        for _ in range(4):
            calls.append(process.submit(large, bytes(size)))
            lengths.append(len(calls.pop(0).result()))
        lengths.append(len(calls.pop().result()))

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(20)
    assert lengths == [1 << 20, *[size] * 4]
    process.close(wait=True)


def test_a_dead_process_is_told_by_every_call(process):
    for function, argument in ((os._exit, 1), (abs, -1), (abs, -1)):
        with pytest.raises(BrokenProcessPool):
            process.submit(function, argument).result()
