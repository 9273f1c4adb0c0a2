"""What freed arrays leave to those that come after them, by the pages that a process must fetch anew."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import subprocess
import sys

import numpy as np
import pytest

from medbench.core import machine
from medbench.core.machine import return_freed_memory_of_other_shapes
from medbench.running.executors import Processes

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other systems keep freed memory by their own rules"
)
SIZE = 64 << 20
ARRAY_PAGES = SIZE // os.sysconf("SC_PAGE_SIZE")
PROGRAM = f"""
import runpy, sys
fetched_pages = runpy.run_path({__file__!r})["fetched_pages"]
if sys.argv[1] == "command":
    from medbench.cli.main import main
    try:
        sys.argv[1:] = ["--help"]
        main()
    except SystemExit:
        pass
print(fetched_pages())
"""


def fetched_pages_after(*shapes: tuple[int, ...]) -> int:
    """As :func:`fetched_pages`, where network inputs of these shapes come in between."""
    np.ones(SIZE, np.uint8)
    for shape in shapes:
        return_freed_memory_of_other_shapes(shape)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(SIZE, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def fetched_pages() -> int:
    """Pages that the system hands out for an array after one of the same size was freed."""
    return fetched_pages_after()


def pages_of_a_program(what: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, what], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    """No settings of the machine's owner, and no large pages."""
    monkeypatch.setenv("NUMPY_MADVISE_HUGEPAGE", "0")
    own = ("MALLOC_", "GLIBC_TUNABLES", machine.LOW_MEMORY)
    for name in [name for name in os.environ if name.startswith(own)]:
        monkeypatch.delenv(name)


def test_the_command_keeps_freed_memory():
    assert pages_of_a_program("library") > ARRAY_PAGES / 2
    assert pages_of_a_program("command") < ARRAY_PAGES / 100


def test_a_process_of_workers_keeps_freed_memory():
    with Processes(1) as pool:
        assert pool.submit(fetched_pages).result() < ARRAY_PAGES / 100


def test_an_input_of_another_shape_finds_no_gaps_of_the_last_one():
    with Processes(1) as pool:
        pool.submit(fetched_pages_after, (4, 3, 8, 8)).result()
        assert pool.submit(fetched_pages_after, (4, 3, 8, 8)).result() < ARRAY_PAGES / 100
        assert pool.submit(fetched_pages_after, (1, 3, 8, 8)).result() > ARRAY_PAGES / 2


@pytest.mark.parametrize(
    ("most", "calls"),
    [
        (1 << 30, [(-3, 1 << 30), (-1, 1 << 30)]),
        (32 << 20, [(-3, 1 << 30), (-3, 32 << 20), (-1, 1 << 30)]),
        (512 << 10, [(-3, 1 << 30), (-3, 32 << 20)]),
    ],
)
def test_as_much_is_kept_as_the_version_of_glibc_takes(monkeypatch, most, calls):
    made = []

    class Libc:
        def mallopt(self, setting, value):
            made.append((setting, value))
            return int(setting == -1 or value <= most)

    monkeypatch.setattr(machine, "_shape_of_kept", None)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Libc())
    machine.keep_freed_memory()
    assert made == calls
    assert (machine._shape_of_kept == ()) == (len({setting for setting, _ in calls}) == 2)


def test_a_user_short_of_memory_says_so(monkeypatch):
    monkeypatch.setenv(machine.LOW_MEMORY, "1")
    assert pages_of_a_program("command") > ARRAY_PAGES / 2
    monkeypatch.setenv(machine.LOW_MEMORY, "0")
    assert pages_of_a_program("command") < ARRAY_PAGES / 100


def test_the_users_own_setting_goes_before(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "131072")
    assert pages_of_a_program("command") > ARRAY_PAGES / 2


@pytest.mark.parametrize(
    ("load", "own", "spins"),
    [
        ("3.00 2.00 1.00 3/345 99", {}, "0"),
        ("0.20 2.00 1.00 3/345 99", {}, None),
        ("3.00 2.00 1.00 1/345 99", {}, None),
        ("3.00 2.00 1.00 3/345 99", {"GOMP_SPINCOUNT": "7"}, "7"),
        ("3.00 2.00 1.00 3/345 99", {"OMP_WAIT_POLICY": "ACTIVE"}, None),
        ("", {}, None),
    ],
)
def test_waiting_threads_sleep_on_busy_machines_unless_the_user_says_otherwise(
    tmp_path, monkeypatch, load, own, spins
):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "loadavg").write_text(load)
    monkeypatch.setattr(machine, "_LOAD", tmp_path / "loadavg")
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    machine.sleep_while_waiting_on_busy_machines()
    assert os.environ.get("GOMP_SPINCOUNT") == spins
