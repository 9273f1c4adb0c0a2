"""nnU-Net's process ends with the command that started it."""

import os
import subprocess
import sys
import time

import pytest

from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.nnunet.training import Nnunet

CHILD = """
import signal, sys, time
from medbench.nnunet import child
signal.signal(signal.SIGTERM, child._end)
child.end_with_parent()
print("ready", flush=True)
time.sleep(60)
"""
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_it_ends_when_the_command_is_gone(end):
    """Field case: a command that was ended by SIGTERM left nnU-Net training."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    getattr(parent, end)()
    parent.wait(10)
    until = time.monotonic() + 20
    while _lives(child) and time.monotonic() < until:
        time.sleep(0.05)
    if _lives(child):
        os.kill(child, 9)
        raise AssertionError("nnU-Net's process outlived its command")


def _lives(process):
    try:
        with open(f"/proc/{process}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends no process by a signal")
def test_the_error_of_a_killed_process_says_how_to_take_less_memory(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(MedbenchError) as caught:
        Nnunet._run({"workers": 0}, tmp_path, SilentProgress(), {})
    assert "out of memory" in caught.value.message
    assert "MEDBENCH_LOW_MEMORY=1" in caught.value.hint
