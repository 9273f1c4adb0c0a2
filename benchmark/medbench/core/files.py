"""Atomic writing, JSON, and hashes of files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from medbench.core.errors import MedbenchError
from medbench.core.unfinished import unfinished_path
from medbench.core.writable import refuse_device

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""First bytes of what Git leaves in place of a large file."""
MOST_BYTES = 1 << 30
"""Of a file of our own that is read at once."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder with the same suffixes, renamed to ``path`` on success."""
    with _renamed(path) as temporary:
        temporary.touch(exist_ok=False)
        yield temporary
        _reach_disk(temporary)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` atomically, through one handle."""
    with _renamed(path) as temporary, open(temporary, "xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def replace_flushed(temporary: Path, path: Path) -> None:
    """Give a file its name once its bytes are on the disk; a file of that name stays until then."""
    _reach_disk(temporary)
    temporary.replace(path)


def _reach_disk(path: Path) -> None:
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


@contextlib.contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    """A name beside ``path`` for a block, which becomes ``path``; removed where the block fails.

    Raises:
        MedbenchError: ``output.unwritable`` for a device.
    """
    refuse_device(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = unfinished_path(path)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
    """Strict JSON: NaN and infinity raise; what UTF-8 cannot hold, as in names of files, is escaped."""
    text = json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False)
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        return json.dumps(value, indent=indent, allow_nan=False)
    return text


def write_json(path: Path, value: Any) -> None:
    """Write strict, indented JSON atomically."""
    write_text(path, dump_json(value, indent=2) + "\n")


def parse_json(text: str | bytes, *, strict: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        text: JSON; bytes are UTF-8.
        strict: whether NaN and infinity are errors, also a number too large for a double.

    Raises:
        ValueError: for whatever is no JSON, lists nested too deep included.
    """
    try:
        if not strict:
            return json.loads(text)
        words = text if isinstance(text, str) else text.decode(json.detect_encoding(text), "surrogatepass")
        return _STRICT.decode(words)
    except RecursionError:
        raise ValueError("its lists are nested too deep") from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no number")
    return number


_STRICT = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: for whatever is no JSON.
        MedbenchError: ``file.not_regular``.
    """
    return parse_json(read_bytes(path))


def parse_toml(text: bytes) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ValueError: for whatever is no TOML in UTF-8, lists nested too deep and endless numbers included.
    """
    try:
        return tomllib.loads(text.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise
    except (RecursionError, ValueError) as error:
        deep = isinstance(error, RecursionError)
        raise ValueError("its lists are nested too deep" if deep else "a number has no end") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        OSError: where it cannot be opened.
        ValueError: for whatever is no TOML in UTF-8.
        MedbenchError: as :func:`read_bytes`.
    """
    return parse_toml(read_bytes(path))


def read_bytes(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Content of a regular file, which is opened without waiting.

    Raises:
        OSError: where it cannot be opened.
        MedbenchError: ``file.not_regular`` for a folder, a named pipe, a device; ``file.too_large`` for one
            of more than ``most_bytes``.
    """
    with open(path, "rb", opener=_regular) as stream:
        if os.fstat(stream.fileno()).st_size > most_bytes:
            facts = f"{path}: is larger than the {most_bytes / (1 << 30):,.0f} GiB that may be read at once."
            raise MedbenchError("file.too_large", facts, "Give the right file.")
        return stream.read()


def _regular(path: str, flags: int) -> int:
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise MedbenchError("file.not_regular", f"{path}: is no regular file.", "Give the file itself.")


def read_pieces(path: Path) -> list[bytes]:
    """Pieces between a file's line breaks; the last piece is empty where the file ends with a break."""
    return read_bytes(path).split(b"\n")


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write JSON lines atomically."""
    write_text(path, "".join(dump_json(row) + "\n" for row in rows))


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal."""
    with open(path, "rb", opener=_regular) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
