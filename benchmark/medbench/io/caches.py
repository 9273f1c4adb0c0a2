"""Cached arrays on disk, named by the content of their source file and checked on reading."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path, sha256_json
from medbench.io.gate import source
from medbench.io.gate.admission import VOLUME_SUFFIXES, suffix_of
from medbench.io.gate.expected import Role, check_budget, memory_limit_bytes
from medbench.io.gate.refusal import Reject, refusal_of

_READ_WHOLE = {*VOLUME_SUFFIXES, ".png", ".jpg", ".jpeg", ".bmp", ".npy", ".npz", ".csv", ".tsv", ".txt"}
_HASH_BYTES = 32
_PIECE = 1 << 20


def content_sha256(path: Path, role: Role = "release") -> str:
    """SHA-256 of a foreign file's bytes, as hexadecimal; of none that is too large to be read.

    Args:
        path: the file.
        role: whose it is; a prediction is never a link out of its folder.

    Raises:
        MedbenchError: where the file cannot be read.
    """
    try:
        with source.opened(path, path.parent, role) as stream:
            if role == "prediction" or suffix_of(path.name) in _READ_WHOLE:
                check_budget(os.fstat(stream.fileno()).st_size, memory_limit_bytes())
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except Reject as reject:
        raise refusal_of(reject, path.name, "not a readable file").error(path.parent) from reject


def file_state(path: Path) -> tuple[int, int, int]:
    """Inode, size and time of change of a file, of a link its own: they change with its content.

    Raises:
        MedbenchError: ``file.unreadable`` where there is none.
    """
    try:
        state = path.lstat()
    except OSError as error:
        reason = error.strerror or "not there"
        raise MedbenchError(
            "file.unreadable", f"{path}: cannot be read ({reason}).", "Check the path."
        ) from error
    return state.st_ino, state.st_size, state.st_mtime_ns


def place(cache: Path, path: Path, *settings: Any) -> Path:
    """Path of the cached array that is made from a file's content with these settings."""
    name = sha256_json([content_sha256(path), *settings])[:24]
    return cache / name[:2] / f"{path.stem}-{name}.npy"


def cached_array(
    entry: Path, make: Callable[[], npt.NDArray[Any]], *, memory_map: bool = False
) -> npt.NDArray[Any]:
    """The cached array, made and stored where it is absent or damaged.

    Args:
        entry: path of an ``.npy`` file, followed by the SHA-256 of its bytes, shape and type included.
        make: makes the array.
        memory_map: whether to return a memory map, whose content is checked once per process.
    """
    if not _intact(entry, memory_map):
        array = make()
        with atomic_path(entry) as temporary:
            np.save(temporary, array)
            with open(temporary, "rb+") as stream:
                digest = hashlib.file_digest(stream, "sha256").digest()
                stream.seek(0, os.SEEK_END)
                stream.write(digest)
        if not memory_map:
            return array
    return np.load(entry, mmap_mode="r" if memory_map else None, allow_pickle=False)


def mapped_array(entry: Path) -> npt.NDArray[Any]:
    """A memory map of the array that :func:`cached_array` stored at ``entry``.

    Raises:
        MedbenchError: ``cache.damaged``.
    """
    if not _intact(entry, remember=True):
        raise MedbenchError(
            "cache.damaged", f"{entry}: is no longer what was stored.", "Repeat the command; it is made anew."
        )
    return np.load(entry, mmap_mode="r", allow_pickle=False)


def _intact(entry: Path, remember: bool) -> bool:
    try:
        state = os.stat(entry)
    except OSError:
        return False
    check = _checked if remember else _checked.__wrapped__
    return bool(check(entry, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino))


@functools.lru_cache(maxsize=4096)
def _checked(entry: Path, size: int, *_state: int) -> bool:
    digest, rest = hashlib.sha256(), size - _HASH_BYTES
    with open(entry, "rb") as stream:
        while rest > 0 and (piece := stream.read(min(_PIECE, rest))):
            digest.update(piece)
            rest -= len(piece)
        return rest == 0 and stream.read() == digest.digest()
