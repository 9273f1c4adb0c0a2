"""Processes that work for another: Ctrl-C waits until they are prepared, and then ends them in silence."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from medbench.running.executors import Processes
from medbench.running.process_start import starting

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no masks of signals here")


def waits():
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def say(connection):
    connection.send(waits())


def test_ctrl_c_waits_while_a_process_starts():
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=say, args=(there,))
    with starting():
        process.start()
    assert here.recv()
    process.join()
    assert not waits()


def test_a_prepared_process_waits_no_more():
    with Processes(1) as executor:
        assert not executor.submit(waits).result()


PENDING = """
import os, signal
from medbench.running.process_start import prepare_process
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
os.kill(os.getpid(), signal.SIGINT)
prepare_process("", 1, False, False)
print("went on")
"""


def test_an_interruption_meanwhile_ends_the_process_without_a_word():
    done = subprocess.run(
        [sys.executable, "-c", PENDING], capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


IDLE = """
import os, signal
from medbench.running.process_start import make_call, prepare_process
prepare_process("", 1, False, False)
try:
    make_call(os.kill, os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("an exception in a call", flush=True)
os.kill(os.getpid(), signal.SIGINT)
print("went on")
"""


def test_between_calls_an_interruption_ends_the_process_without_a_word():
    done = subprocess.run(
        [sys.executable, "-c", IDLE], capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "an exception in a call\n", "")
