"""Running of images by podman or docker under the limits of a platform."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from medbench.submissions.containers.engines import Engine
from medbench.submissions.containers.runners import Outcome, ServerDidNotStart, usable_threads
from medbench.submissions.containers.users import IMAGES_OWN, ContainerUser
from medbench.submissions.limits import Limits
from medbench.submissions.platforms.base import Mount
from medbench.submissions.serving.server import PORT

_CALL = """
import socket, sys, time
port, path, method, timeout, patience = sys.argv[1:]
end = time.monotonic() + float(patience)
while True:
    try:
        with socket.create_connection(("127.0.0.1", int(port)), float(timeout)) as connection:
            connection.sendall(f"{method} {path} HTTP/1.0\\r\\nContent-Length: 0\\r\\n\\r\\n".encode())
            status = int(connection.makefile("rb").readline().split()[1])
    except (OSError, IndexError):
        status = 0
    if status == 200 or time.monotonic() > end:
        break
    time.sleep(0.1)
print(status)
"""


class ImageRunner:
    """An image under the limits of its platform: no network, read-only root, no capabilities.

    Args:
        engine: the engine.
        image: name of the image.
        root: folder of the host whose subfolders are mounted at the platform's paths.
        mounts: paths of the platform.
        limits: limits on memory, shared memory and processes.
        extra: further options of ``run``, e.g. a mounted folder of packages.
        user: user of the container.
    """

    def __init__(
        self,
        engine: Engine,
        image: str,
        root: Path,
        mounts: Sequence[Mount],
        limits: Limits,
        extra: Sequence[str] = (),
        user: ContainerUser = IMAGES_OWN,
    ) -> None:
        self.engine, self.image, self.root, self.mounts = engine, image, root, mounts
        self.limits, self.extra, self.user = limits, tuple(extra), user
        self.name = f"{engine.name} container"
        if user.runs_as != "image":
            self.name += f" as {user.name}"

    def options(self) -> list[str]:
        """Options of ``run`` for mounts, user and limits."""
        memory = str(self.limits.memory_bytes)
        options = [
            *("--platform", "linux/amd64"),
            *("--network", "none", "--read-only"),
            *self.user.options(),
            *("--security-opt", "no-new-privileges"),
            *("--memory", memory, "--memory-swap", memory),
            *("--shm-size", str(self.limits.shared_memory_bytes)),
            *("--pids-limit", str(self.limits.processes)),
        ]
        options += ["--pull=never", "--env", f"OMP_NUM_THREADS={usable_threads()}"]
        for mount in self.mounts:
            host = (self.root / mount.path.lstrip("/")).resolve()
            options += ["--volume", f"{host}:{mount.path}{'' if mount.writable else ':ro'}"]
        if not any(mount.path == "/tmp" for mount in self.mounts):  # noqa: S108
            options += ["--tmpfs", "/tmp"]  # noqa: S108
        return [*options, *self.extra]

    def hand_over(self, folder: Path) -> None:
        """Set owner and mode of a writable mount as the platform does."""
        self.user.hand_over(folder)

    def run(self, arguments: Sequence[str], time_s: float) -> Outcome:
        """Run the container once, and stop it after the time limit."""
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
        begin_s = time.perf_counter()
        try:
            # where memory runs out, podman's monitor leaves an empty file "oom" in its working directory
            with tempfile.TemporaryDirectory() as place:
                process = subprocess.run(command, cwd=place, capture_output=True, timeout=time_s, check=False)
            code, errors = process.returncode, process.stderr
        except subprocess.TimeoutExpired as late:
            subprocess.run([self.engine.program, "kill", name], capture_output=True, check=False)
            code, errors = -9, late.stderr or b""
        return Outcome(code == 0, code, time.perf_counter() - begin_s, errors.decode(errors="replace"))

    @contextlib.contextmanager
    def serve(self, arguments: Sequence[str], start_s: float) -> Iterator[Callable[[float], Outcome]]:
        """A running server, and a function that calls it from inside its container, which has no network.

        Raises:
            ServerDidNotStart: with its last line.
        """
        name = f"medbench-{uuid.uuid4().hex[:12]}"
        program = self.engine.program
        command = ("run", "--detach", "--name", name, *self.options(), self.image, *arguments)
        try:
            self.engine.call(*command, what="start the server")
            begin_s = time.monotonic()
            while self._request(name, "/health", "GET", 10.0, start_s) != 200:
                state = self.engine.call("inspect", "--format", "{{json .State}}", name, what="look at it")
                if not json.loads(state)["Running"] or time.monotonic() - begin_s > start_s:
                    last = Outcome(False, 1, 0.0, self._errors(name)).last_line
                    raise ServerDidNotStart(last or "no message")

            def invoke(timeout_s: float) -> Outcome:
                before, call_s = len(self._errors(name)), time.perf_counter()
                status = self._request(name, "/invoke", "POST", timeout_s)
                seconds = time.perf_counter() - call_s
                return Outcome(status == 201, status, seconds, self._errors(name)[before:])

            yield invoke
        finally:  # killed first: a server is process 1, which ends on no gentler signal within podman's 10 s
            for command in (("kill", name), ("rm", "--force", name)):
                subprocess.run([program, *command], capture_output=True, check=False)

    def _request(self, name: str, path: str, method: str, timeout_s: float, patience_s: float = 0.0) -> int:
        """Status of a call from inside the container, repeated for a while until it is 200."""
        script = ("python", "-c", _CALL, str(PORT), path, method, str(timeout_s), str(patience_s))
        command = [self.engine.program, "exec", name, *script]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        return int(process.stdout.strip() or 0)

    def _errors(self, name: str) -> str:
        process = subprocess.run(
            [self.engine.program, "logs", name], capture_output=True, text=True, check=False
        )
        return process.stderr
