"""Container engines, found when they are needed: podman, docker, or none."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path
from medbench.submissions.containers.runners import Outcome, ServerDidNotStart, usable_threads
from medbench.submissions.platforms.base import Mount
from medbench.submissions.rehearse.limits import Limits
from medbench.submissions.serving.server import PORT

KNOWN = ("podman", "docker")
_CALL = """
import sys, urllib.error, urllib.request
address, method, timeout = sys.argv[1:]
try:
    request = urllib.request.Request(address, method=method)
    print(urllib.request.urlopen(request, timeout=float(timeout)).status)
except urllib.error.HTTPError as refused:
    print(refused.code)
except OSError:
    print(0)
"""


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine's command line.

    Attributes:
        name: ``podman`` or ``docker``.
        program: path of its executable.
    """

    name: str
    program: str

    def call(self, *arguments: str, what: str) -> str:
        """Standard output of a command.

        Raises:
            MedbenchError: ``engine.failed`` with its last line.
        """
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise MedbenchError(
                "engine.failed",
                f"{self.name} could not {what}: {lines[-1].strip() if lines else 'no message'}",
                f"Try by hand: {self.name} {' '.join(arguments)}",
            )
        return done.stdout

    def build(self, context: Path, tag: str) -> None:
        """Build an image from a context with a Dockerfile; base images that are here are not looked up.

        Raises:
            MedbenchError: ``engine.failed``.
        """
        podman = ("--pull=missing", "--format", "docker") if self.name == "podman" else ()
        platform = ("--platform", "linux/amd64")
        self.call("build", *podman, *platform, "--tag", tag, str(context), what=f"build {tag}")

    def has(self, tag: str) -> bool:
        """Whether there is an image of that name."""
        done = subprocess.run([self.program, "image", "inspect", tag], capture_output=True, check=False)
        return done.returncode == 0

    def save(self, tag: str, path: Path) -> None:
        """Write an image as a gzipped docker-archive, the form that platforms take.

        Raises:
            MedbenchError: ``engine.failed``.
        """
        podman = ("--format", "docker-archive") if self.name == "podman" else ()
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".saving-") as folder:
            plain = Path(folder) / "image.tar"
            self.call("save", *podman, "--output", str(plain), tag, what=f"save {tag}")
            with (
                atomic_path(path) as temporary,
                open(plain, "rb") as source,
                open(temporary, "wb") as stream,
                gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0) as packed,
            ):
                shutil.copyfileobj(source, packed, 1 << 20)

    def load(self, path: Path) -> None:
        """Load an archive; unpacked first, as some versions of podman do not read gzipped ones.

        Raises:
            MedbenchError: ``engine.failed``.
        """
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".loading-") as folder:
            plain = Path(folder) / "image.tar"
            with gzip.open(path, "rb") as source, open(plain, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            self.call("load", "--input", str(plain), what=f"load {path.name}")


def find_engine(name: str = "auto") -> Engine | None:
    """The engine of that name, or the first that answers; ``None`` where there is none.

    Raises:
        MedbenchError: ``engine.unknown``, or ``engine.missing`` when the one that was asked for does not
            answer.
    """
    if name == "none":
        return None
    if name not in (*KNOWN, "auto"):
        raise MedbenchError(
            "engine.unknown", f"There is no engine '{name}'.", "podman, docker, none or auto."
        )
    for candidate in KNOWN if name == "auto" else (name,):
        program = shutil.which(candidate)
        if program is not None and _answers(program):
            return Engine(candidate, program)
    if name == "auto":
        return None
    raise MedbenchError(
        "engine.missing",
        f"{name} is not installed or does not answer.",
        "Install it or start its service, or rehearse with --engine none.",
    )


@functools.cache
def _answers(program: str) -> bool:
    try:
        return subprocess.run([program, "info"], capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


class ImageRunner:
    """An image under the limits of its platform: no network, read-only root, no capabilities.

    Args:
        engine: that runs it.
        image: its name.
        root: host folder whose sub-folders are mounted at the platform's paths.
        mounts: those paths.
        limits: of memory, shared memory and processes.
        extra: further options of ``run``, e.g. a mounted folder of packages.
    """

    def __init__(
        self,
        engine: Engine,
        image: str,
        root: Path,
        mounts: Sequence[Mount],
        limits: Limits,
        extra: Sequence[str] = (),
    ) -> None:
        self.engine, self.image, self.root, self.mounts = engine, image, root, mounts
        self.limits, self.extra = limits, tuple(extra)
        self.name = f"{engine.name} container"

    def options(self) -> list[str]:
        """Options of ``run`` that every platform's own limits amount to."""
        memory = str(self.limits.memory_bytes)
        chosen = [
            *("--platform", "linux/amd64"),
            *("--network", "none", "--read-only", "--cap-drop", "ALL"),
            *("--security-opt", "no-new-privileges"),
            *("--memory", memory, "--memory-swap", memory),
            *("--shm-size", str(self.limits.shared_memory_bytes)),
            *("--pids-limit", str(self.limits.processes)),
        ]
        chosen += ["--pull=never", "--env", f"OMP_NUM_THREADS={usable_threads()}"]
        for mount in self.mounts:
            host = (self.root / mount.path.lstrip("/")).resolve()
            chosen += ["--volume", f"{host}:{mount.path}{'' if mount.writable else ':ro'}"]
        if not any(mount.path == "/tmp" for mount in self.mounts):  # noqa: S108
            chosen += ["--tmpfs", "/tmp"]  # noqa: S108
        return [*chosen, *self.extra]

    def run(self, arguments: Sequence[str], time_s: float) -> Outcome:
        """One pass, ended when the time is over."""
        name = f"medbench-{uuid.uuid4().hex[:12]}"
        command = [
            self.engine.program,
            "run",
            "--rm",
            "--name",
            name,
            *self.options(),
            self.image,
            *arguments,
        ]
        started = time.perf_counter()
        try:
            done = subprocess.run(command, capture_output=True, timeout=time_s, check=False)
            code, errors = done.returncode, done.stderr
        except subprocess.TimeoutExpired as late:
            subprocess.run([self.engine.program, "kill", name], capture_output=True, check=False)
            code, errors = -9, late.stderr or b""
        return Outcome(code == 0, code, time.perf_counter() - started, errors.decode(errors="replace"))

    @contextlib.contextmanager
    def serve(self, arguments: Sequence[str], start_s: float) -> Iterator[Callable[[float], Outcome]]:
        """A server, called from inside its container, which has no network.

        Raises:
            ServerDidNotStart: with its last line.
        """
        name = f"medbench-{uuid.uuid4().hex[:12]}"
        program = self.engine.program
        command = ("run", "--detach", "--name", name, *self.options(), self.image, *arguments)
        try:
            self.engine.call(*command, what="start the server")
            started = time.monotonic()
            while self._request(name, "/health", "GET", 10.0) != 200:
                state = self.engine.call("inspect", "--format", "{{json .State}}", name, what="look at it")
                if not json.loads(state)["Running"] or time.monotonic() - started > start_s:
                    last = Outcome(False, 1, 0.0, self._errors(name)).last_line
                    raise ServerDidNotStart(last or "no message")

            def invoke(timeout_s: float) -> Outcome:
                before, begun = len(self._errors(name)), time.perf_counter()
                status = self._request(name, "/invoke", "POST", timeout_s)
                spent = time.perf_counter() - begun
                return Outcome(status == 201, status, spent, self._errors(name)[before:])

            yield invoke
        finally:
            subprocess.run([program, "rm", "--force", name], capture_output=True, check=False)

    def _request(self, name: str, path: str, method: str, timeout_s: float) -> int:
        address = f"http://127.0.0.1:{PORT}{path}"
        command = [self.engine.program, "exec", name, "python", "-c", _CALL, address, method, str(timeout_s)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return int(done.stdout.strip() or 0)

    def _errors(self, name: str) -> str:
        done = subprocess.run(
            [self.engine.program, "logs", name], capture_output=True, text=True, check=False
        )
        return done.stderr


def remove_image(engine: Engine, tag: str) -> None:
    """Take an image away, if it is there."""
    subprocess.run([engine.program, "rmi", "--force", tag], capture_output=True, check=False)
