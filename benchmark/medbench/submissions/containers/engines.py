"""Container engines: podman or docker."""

from __future__ import annotations

import functools
import gzip
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from medbench.core.errors import MedbenchError
from medbench.core.unfinished import unfinished_folder
from medbench.submissions.containers import archives

KNOWN = ("podman", "docker")


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine's command line.

    Attributes:
        name: ``podman`` or ``docker``.
        program: path of its executable.
    """

    name: str
    program: str

    def call(self, *arguments: str, what: str, otherwise: str = "") -> str:
        """Standard output of a command; ``otherwise`` is what its user can do without it.

        Raises:
            MedbenchError: ``engine.failed`` with its last line.
        """
        process = subprocess.run([self.program, *arguments], capture_output=True, text=True, check=False)
        if process.returncode:
            lines = [line for line in process.stderr.splitlines() if line.strip()]
            raise MedbenchError(
                "engine.failed",
                f"{self.name} could not {what}: {lines[-1].strip() if lines else 'no message'}",
                f"{otherwise}Try by hand: {self.name} {' '.join(arguments)}",
            )
        return process.stdout

    def build(self, context: Path, tag: str) -> None:
        """Build an image from a context with a Dockerfile; base images that are here are not looked up.

        podman dates every file of the image by :func:`archives.source_date_epoch`, so that the same context
        gives the same image; its own docker format would add a random host name. docker's BuildKit dates the
        image alone.

        Raises:
            MedbenchError: ``engine.failed``.
        """
        epoch = str(archives.source_date_epoch())
        own = ["--build-arg", f"SOURCE_DATE_EPOCH={epoch}"]
        if self.name == "podman":
            own = ["--pull=missing", "--format", "oci", "--timestamp", epoch]
        platform = ("--platform", "linux/amd64")
        words = [*own, *platform, "--tag", tag, str(context)]
        without = f"The context is written; --engine none goes on without {self.name}. "
        self.call("build", *words, what=f"build {tag}", otherwise=without)

    def has(self, tag: str) -> bool:
        """Whether the engine has an image of that name."""
        process = subprocess.run([self.program, "image", "inspect", tag], capture_output=True, check=False)
        return process.returncode == 0

    def save(self, tag: str, path: Path) -> None:
        """Write an image as a gzipped docker-archive, the form that platforms take, under that very name.

        Raises:
            MedbenchError: ``engine.failed``.
        """
        podman = ("--format", "docker-archive") if self.name == "podman" else ()
        with unfinished_folder(path.parent) as folder:
            plain = folder / "image.tar"
            self.call("save", *podman, "--output", str(plain), tag, what=f"save {tag}")
            archives.pack_image(plain, tag, path)

    def load(self, path: Path) -> None:
        """Load an archive; unpacked first, as some versions of podman do not read gzipped ones.

        Raises:
            MedbenchError: ``engine.failed``.
        """
        with unfinished_folder(path.parent) as folder:
            plain = folder / "image.tar"
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


def remove_image(engine: Engine, tag: str) -> None:
    """Remove an image, if the engine has it."""
    subprocess.run([engine.program, "rmi", "--force", tag], capture_output=True, check=False)
