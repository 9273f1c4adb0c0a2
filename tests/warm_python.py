"""Python programs that are forked from the process of :mod:`warm_process` instead of being started.

For tests of what surrounds such a program. It finds what a start would give it: its own environment, folder,
streams and path of imports, and with ``-S`` of all modules that are not Python's own those of torch alone.
"""

import contextlib
import ctypes
import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from pathlib import Path

from warm_process import CONTEXT, wait_for_no_disk

WARM = {"torch", "torchgen", "functorch", "numpy", "sympy", "mpmath", "typing_extensions"}
"""Torch and what it imports."""
_NETWORK_NAMESPACE = 0x40000000
_IMPORTERS = ("BuiltinImporter", "FrozenImporter", "PathFinder")


class Popen:
    """``subprocess.Popen`` of a Python program, with streams in files or none."""

    def __init__(self, command, *, env=None, cwd=None, stdin=None, stdout=None, stderr=None):
        self._process = CONTEXT.Process(
            target=_python, args=_program(command, env, cwd, stdin, stdout, stderr)
        )
        self._process.start()
        self.terminate, self.kill = self._process.terminate, self._process.kill

    @property
    def returncode(self):
        """Exit code, ``None`` while the program runs."""
        return self.poll()

    def poll(self):
        """Exit code, ``None`` while the program runs."""
        return self._process.exitcode

    def wait(self, timeout=None):
        """Exit code of the program, which must end in time."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("python", timeout)
        return self._process.exitcode


def run(command, *, input="", capture_output=True, text=True, check=False):
    """``subprocess.run`` of a Python program with text as its standard input."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("in", "out", "err")]
        for path in paths:
            path.write_text(input if path.name == "in" else "")
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(path.open()) for path in paths]
            code = Popen(command, stdin=streams[0], stdout=streams[1], stderr=streams[2]).wait()
        return subprocess.CompletedProcess(command, code, paths[1].read_text(), paths[2].read_text())


if not sys.platform.startswith("linux"):  # where no process opens another's streams
    Popen, run = subprocess.Popen, subprocess.run


class Nursery:
    """A process of its own that has imported further modules, from which programs are forked one by one."""

    def __init__(self, *modules):
        self._ours, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=_raise, args=(theirs, modules))
        self._process.start()

    def close(self):
        """End the process."""
        self._ours.send(None)
        self._process.join()

    def Popen(self, command, *, env=None, stdout=None, text=True):
        """``subprocess.Popen`` of a program that writes lines to a pipe."""
        return _Raised(self._ours, command, env)


class _Raised:
    """A program whose standard output is a named pipe."""

    def __init__(self, nursery, command, env):
        self._nursery, self._code = nursery, None
        with tempfile.TemporaryDirectory() as folder:
            pipe = Path(folder) / "out"
            os.mkfifo(pipe)
            words, streams, *rest = _program(command, env, None, None, None, None)
            nursery.send((words, [streams[0], str(pipe), None], *rest))
            self.pid = nursery.recv()
            self.stdout = pipe.open()

    def terminate(self):
        """Ask the program to end."""
        os.kill(self.pid, signal.SIGTERM)

    def poll(self):
        """Exit code, ``None`` while the program runs."""
        return self.wait() if self._code is not None or self._nursery.poll() else None

    def wait(self):
        """Exit code of the program once it has ended."""
        if self._code is None:
            self._code = self._nursery.recv()
            self.stdout.close()
        return self._code


def _raise(jobs, modules):
    """Fork a program for every job that comes in, and answer with its id and its exit code."""
    for name in modules:
        importlib.import_module(name)
    while (job := jobs.recv()) is not None:
        process = multiprocessing.get_context("fork").Process(target=_python, args=job)
        process.start()
        jobs.send(process.pid)
        process.join()
        jobs.send(process.exitcode)


def _program(command, env, cwd, *streams):
    """Arguments of :func:`_python`."""
    place = command.index(sys.executable)
    words, paths = [str(word) for word in command[place + 1 :]], [_path(stream) for stream in streams]
    environment = dict(os.environ if env is None else env)
    return words, paths, str(cwd or Path.cwd()), environment, "--net" in command[:place]


def _path(stream):
    """A path of a stream for another process."""
    if stream in (None, subprocess.DEVNULL):
        return os.devnull
    return f"/proc/{os.getpid()}/fd/{stream.fileno()}"


def _python(words, streams, folder, environment, alone):
    wait_for_no_disk()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    tempfile.tempdir = None
    for number, path in enumerate(streams):
        if path is not None:
            os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_APPEND), number)
    sys.stdin = os.fdopen(0)
    if alone:
        ctypes.CDLL(None).unshare(_NETWORK_NAMESPACE)
    if "-S" in words:
        _forget_packages()
    sys.argv = [word for word in words if word not in ("-S", "-E", "-W", "ignore", "-m")]
    if "-W" in words:
        warnings.simplefilter("ignore")
    if "-m" in words:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(sys.argv[0]).parent))
        runpy.run_path(sys.argv[0], run_name="__main__")


def _forget_packages():
    """Leave of all packages torch alone, which is found again wherever the program looks for it."""
    for name in list(sys.modules):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, *WARM, "__main__", "__mp_main__"}:
            del sys.modules[name]
    stdlib = sysconfig.get_path("stdlib")
    sys.path[:] = [stdlib, f"{stdlib}/lib-dynload"]
    sys.meta_path[:] = [one for one in sys.meta_path if getattr(one, "__name__", "") in _IMPORTERS]
