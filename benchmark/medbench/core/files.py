"""Atomic writing, JSON, and hashes of files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder with the same suffixes, renamed to ``path`` on success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".partial-{secrets.token_hex(8)}{''.join(path.suffixes)}")
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        replace_flushed(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_flushed(temporary: Path, path: Path) -> None:
    """Give a file its name once its bytes are on the disk; a file of that name stays until then."""
    with open(temporary, "rb") as stream:
        os.fsync(stream.fileno())
    temporary.replace(path)


@contextlib.contextmanager
def atomic_open(path: Path) -> Iterator[IO[str]]:
    """A text stream like ``open(path, "w")``; the file appears whole or not at all."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as stream:
        yield stream


def write_text(path: Path, text: str) -> None:
    """Write ``text`` atomically, UTF-8."""
    with atomic_open(path) as stream:
        stream.write(text)


def dump_json(value: Any, *, indent: int | None = None) -> str:
    """Strict JSON: NaN and infinity raise."""
    return json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False)


def write_json(path: Path, value: Any) -> None:
    """Write strict, indented JSON atomically."""
    write_text(path, dump_json(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_pieces(path: Path) -> list[bytes]:
    """What lies between a file's line breaks; the last piece is empty where the file ends with one."""
    return path.read_bytes().split(b"\n")


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write JSON lines atomically."""
    write_text(path, "".join(dump_json(row) + "\n" for row in rows))


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
