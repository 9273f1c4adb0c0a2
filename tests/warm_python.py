"""Python programs that are forked from the process of :mod:`warm_process` instead of being started.

For tests of what surrounds such a program. It finds what a start would give it: its own environment, folder,
streams and path of imports, and of all modules that are not Python's own those of torch alone.
"""

import contextlib
import ctypes
import os
import runpy
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from pathlib import Path

from warm_process import CONTEXT

WARM = {"torch", "torchgen", "functorch", "numpy", "sympy", "mpmath", "typing_extensions"}
"""Torch and what it imports."""
_NETWORK_NAMESPACE = 0x40000000
_IMPORTERS = ("BuiltinImporter", "FrozenImporter", "PathFinder")


class Popen:
    """``subprocess.Popen`` of a Python program, with streams in files or none."""

    def __init__(self, command, *, env=None, cwd=None, stdin=None, stdout=None, stderr=None):
        place = command.index(sys.executable)
        streams = [_path(stream) for stream in (stdin, stdout, stderr)]
        own = ([str(word) for word in command[place + 1 :]], streams, str(cwd or Path.cwd()))
        environment, alone = dict(os.environ if env is None else env), "--net" in command[:place]
        self._process = CONTEXT.Process(target=_python, args=(*own, environment, alone))
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


def _path(stream):
    """A path of a stream for another process."""
    if stream in (None, subprocess.DEVNULL):
        return os.devnull
    return f"/proc/{os.getpid()}/fd/{stream.fileno()}"


def _python(words, streams, folder, environment, alone):
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    tempfile.tempdir = None
    for number, path in enumerate(streams):
        opened = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, number)
    sys.stdin = os.fdopen(0)
    if alone:
        ctypes.CDLL(None).unshare(_NETWORK_NAMESPACE)
    for name in list(sys.modules):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, *WARM, "__main__", "__mp_main__"}:
            del sys.modules[name]
    if "-S" in words:
        stdlib = sysconfig.get_path("stdlib")
        sys.path[:] = [stdlib, f"{stdlib}/lib-dynload"]
        sys.meta_path[:] = [one for one in sys.meta_path if getattr(one, "__name__", "") in _IMPORTERS]
    sys.argv = [word for word in words if word not in ("-S", "-E", "-W", "ignore", "-m")]
    if "-W" in words:
        warnings.simplefilter("ignore")
    if "-m" in words:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(sys.argv[0]).parent))
        runpy.run_path(sys.argv[0], run_name="__main__")
