"""Running of submissions without an engine, and the interface of all ways to run one."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from medbench.core.machine import usable_cores
from medbench.submissions.containers import launcher
from medbench.submissions.serving.server import PORT_VARIABLE
from medbench.submissions.serving.session import CASE_LINE, ROOT

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a call of a container.

    Attributes:
        ok: whether the call succeeded for the platform: exit code 0, or status 201.
        code: exit code or HTTP status.
        time_s: wall time of the call.
        errors: standard error of the call.
    """

    ok: bool
    code: int
    time_s: float
    errors: str

    @property
    def last_line(self) -> str:
        """The last line of standard error for users, which platforms show."""
        lines = [
            line for line in self.errors.splitlines() if line.strip() and not line.startswith("medbench-")
        ]
        return lines[-1].strip() if lines else ""

    @property
    def cases(self) -> list[dict[str, Any]]:
        """Time and memory by case, as the container logs them."""
        return self._told(CASE_LINE)

    @property
    def denied(self) -> list[dict[str, Any]]:
        """Accesses that a container would not have been allowed."""
        return self._told(launcher.LINE)

    def _told(self, start: str) -> list[dict[str, Any]]:
        lines = (line for line in self.errors.splitlines() if line.startswith(start))
        return [json.loads(line.removeprefix(start)) for line in lines]


class Runner(Protocol):
    """The interface of ways to run a container; folders are below its root."""

    name: str

    def hand_over(self, folder: Path) -> None:
        """Set owner and mode of a writable mount as the platform does."""
        ...

    def run(self, arguments: Sequence[str], time_s: float) -> Outcome:
        """Run the container once."""
        ...

    def serve(
        self, arguments: Sequence[str], start_s: float
    ) -> contextlib.AbstractContextManager[Callable[[float], Outcome]]:
        """Start a server, wait until it is healthy, and give a function that calls ``/invoke``."""
        ...


class ServerDidNotStart(Exception):
    """The server ended or did not answer in time; the text is its last line."""


class RelocatedRunner:
    """Runs the entry script in a subprocess, with a folder in place of ``/`` and the locked packages alone.

    The network is denied by an empty network namespace where the kernel allows one, and inside Python in any
    case; writing is allowed in the output and in ``/tmp`` alone.
    """

    def __init__(
        self, root: Path, packages: Path, script: Path, writable: Sequence[str], threads: int
    ) -> None:
        self.root, self.packages, self.script, self.threads = root, packages, script, threads
        folders = (*writable, "/tmp")  # noqa: S108 - a container's own
        self.writable = os.pathsep.join(str(root / path.lstrip("/")) for path in folders)
        self.name = "folder that stands for /" + (", without network" if _unshare() else "")

    def hand_over(self, folder: Path) -> None:
        """Set the mode of a writable mount to 0755; its owner stays."""
        folder.chmod(0o755)

    def run(self, arguments: Sequence[str], time_s: float) -> Outcome:
        """Run the script once, and stop it after the time limit."""
        begin_s = time.perf_counter()
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                [*_unshare(), *self._command(arguments)],
                env=self._environment(),
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            try:
                code = process.wait(timeout=time_s)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            errors.seek(0)
            text = errors.read().decode(errors="replace")
        return Outcome(code == 0, code, time.perf_counter() - begin_s, text)

    @contextlib.contextmanager
    def serve(self, arguments: Sequence[str], start_s: float) -> Iterator[Callable[[float], Outcome]]:
        """A server on a free port of this machine.

        Raises:
            ServerDidNotStart: with its last line.
        """
        port = _free_port()
        address = f"http://127.0.0.1:{port}"
        with tempfile.NamedTemporaryFile() as errors:
            process = subprocess.Popen(
                self._command(arguments),
                env={**self._environment(), PORT_VARIABLE: str(port)},
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            try:
                _wait_healthy(
                    lambda: _request(f"{address}/health", 10), process.poll, start_s, Path(errors.name)
                )
                yield functools.partial(_invoke, f"{address}/invoke", Path(errors.name))
            finally:
                process.terminate()
                process.wait(timeout=30)

    def _command(self, arguments: Sequence[str]) -> list[str]:
        start = [sys.executable, "-S", "-E", launcher.__file__, str(self.packages), self.writable]
        return [*start, str(self.script), *arguments]

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.root / "home"),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.root / "tmp"),
            "MEDBENCH_CACHE": str(self.root / "tmp" / "medbench"),
            "MPLCONFIGDIR": str(self.root / "tmp" / "matplotlib"),
            "OMP_NUM_THREADS": str(self.threads),
            "PYTHONUNBUFFERED": "1",
            ROOT: str(self.root),
        }


@functools.cache
def _unshare() -> tuple[str, ...]:
    """The command for an empty network namespace; empty where the kernel allows none."""
    program = shutil.which("unshare")
    for options in (("--net",), ("--net", "--map-root-user")):
        command = (program or "unshare", *options)
        try:
            subprocess.run([*command, "true"], check=True, capture_output=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            continue
        return command
    return ()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _request(address: str, timeout_s: float, method: str = "GET") -> int:
    request = urllib.request.Request(address, method=method)  # noqa: S310 - an address of this machine
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # nosec B310  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def _wait_healthy(
    health: Callable[[], int], exit_code: Callable[[], int | None], start_s: float, errors: Path
) -> None:
    begin_s = time.monotonic()
    while health() != 200:
        if exit_code() is not None or time.monotonic() - begin_s > start_s:
            what = "it ended" if exit_code() is not None else f"no answer within {start_s:g} s"
            text = errors.read_text(errors="replace")
            raise ServerDidNotStart(f"{what}: {Outcome(False, 1, 0.0, text).last_line or 'no message'}")
        time.sleep(_POLL_S)


def _invoke(address: str, errors: Path, timeout_s: float) -> Outcome:
    before = errors.stat().st_size
    begin_s = time.perf_counter()
    status = _request(address, timeout_s, "POST")
    seconds = time.perf_counter() - begin_s
    return Outcome(status == 201, status, seconds, errors.read_bytes()[before:].decode(errors="replace"))


def clear(folder: Path) -> None:
    """Remove the content of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def usable_threads() -> int:
    """Number of torch's threads, for the same rounding in a subprocess."""
    if "torch" in sys.modules:
        return int(sys.modules["torch"].get_num_threads())
    outermost = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return (int(outermost) if outermost.isdecimal() else 0) or usable_cores()
