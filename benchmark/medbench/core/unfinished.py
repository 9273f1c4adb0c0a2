"""Names of what is being written, and the removal of what a killed process left of it.

A name tells the start of the machine, the space of process numbers and the number of the process that writes.
Where that process is gone, nobody can finish the file any more. A writer on another machine, from before a
restart, or in another container cannot be judged from here: what it left stays.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

PREFIX = ".partial-"
_LONGEST_SUFFIX = 32
_OWNER = re.compile(rf"{re.escape(PREFIX)}([0-9a-f]{{12}})-([0-9]+)-")


def unfinished_path(path: Path) -> Path:
    """A new path beside ``path``, with the same last suffixes, under which this process may write.

    The first call for a folder removes from it what dead processes left.
    """
    _sweep_once(os.path.abspath(path.parent))
    suffix = "".join(path.suffixes[-2:])
    suffix = suffix if len(suffix) <= _LONGEST_SUFFIX else path.suffix[:_LONGEST_SUFFIX]
    return path.with_name(f"{PREFIX}{_owner()}{secrets.token_hex(8)}{suffix}")


@contextlib.contextmanager
def unfinished_folder(parent: Path) -> Iterator[Path]:
    """An empty folder in ``parent`` for this user alone; removed at the end unless it was renamed."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = unfinished_path(parent / "folder")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove the unfinished files and folders in ``folder`` whose process is gone."""
    with os.scandir(folder) as entries:
        remains = [entry for entry in entries if _writer_of(entry.name) == "gone"]
    for entry in remains:
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(entry.path)


def left_behind(folder: Path) -> list[Path]:
    """Unfinished files and folders at any depth below ``folder`` that no process of this machine writes."""
    return sorted(path for path in folder.rglob(f"{PREFIX}*") if _writer_of(path.name) in ("gone", "unknown"))


@functools.lru_cache(maxsize=1024)
def _sweep_once(folder: str) -> None:
    with contextlib.suppress(OSError):
        sweep(Path(folder))


def _owner() -> str:
    space = _space()
    return f"{space}-{os.getpid()}-" if space else ""


def _space() -> str:
    """Hash of the machine's start and of the space of process numbers; empty where they are not told."""
    try:
        space = os.readlink("/proc/self/ns/pid")
        return hashlib.sha256(f"{_start()} {space}".encode()).hexdigest()[:12]
    except OSError:
        return ""


@functools.cache
def _start() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _writer_of(name: str) -> Literal["none", "unknown", "alive", "gone"]:
    """What is known of the process that a name tells; none for the name of a whole file."""
    if not name.startswith(PREFIX):
        return "none"
    owner = _OWNER.match(name)
    if owner is None or owner[1] != _space():
        return "unknown"
    number = int(owner[2])
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return "gone"
    except (OSError, OverflowError):
        return "alive"
    return "gone" if _is_zombie(number) else "alive"


def _is_zombie(number: int) -> bool:
    """Whether a process was killed and nobody has asked for its exit code yet."""
    try:
        facts = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return facts.rpartition(")")[2].split()[:1] == ["Z"]
