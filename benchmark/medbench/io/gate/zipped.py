"""A zip of files, unpacked into a private folder: no bomb, no link, nothing outside."""

from __future__ import annotations

import contextlib
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from medbench.core.text import first_line
from medbench.io.gate import source
from medbench.io.gate.expected import MEMORY_BYTES, check_budget
from medbench.io.gate.listing import is_metadata
from medbench.io.gate.refusal import Refusal, Reject, corrupt, refusal_of

MOST_FILES = 200_000
LONGEST_NAME = 1024
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PIECE, _UTF_8 = 1 << 20, 0x800
_ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error,
)  # fmt: skip


def is_zip(path: Path) -> bool:
    """Whether a path is a file named ``.zip``."""
    return path.suffix.lower() == ".zip" and path.is_file()


@contextlib.contextmanager
def unpacked(path: Path, most_bytes: int) -> Iterator[Path]:
    """A folder with the archive's files, removed at the end; metadata of file systems is left out.

    Args:
        path: the archive.
        most_bytes: most bytes that its files may take together, at least 2 GiB.

    Raises:
        MedbenchError: ``file.corrupt``, ``file.too_large`` for a bomb, ``file.not_regular`` for links and
            devices, ``file.outside`` for names that leave the folder, ``file.codec`` for other packing.
    """
    limit = max(most_bytes, MEMORY_BYTES)
    with tempfile.TemporaryDirectory(prefix="medbench-") as name:
        folder = Path(name)
        try:
            with source.opened(path, path.parent, "release") as stream, zipfile.ZipFile(stream) as archive:
                _unpack(archive, path.stat().st_size, folder, min(limit, shutil.disk_usage(folder).free))
        except Reject as reject:
            raise refusal_of(reject, path.name, "not a readable zip").error(path.parent) from reject
        except _ZIP_ERRORS as error:
            reason = first_line(error, type(error).__name__)[:120]
            refusal = refusal_of(corrupt(reason), path.name, "not a readable zip")
            raise refusal.error(path.parent) from error
        except OSError as error:
            facts = f"cannot be unpacked ({error.strerror or type(error).__name__})"
            refusal = Refusal("file.unreadable", path.name, facts, "Unpack it and give the folder.")
            raise refusal.error(path.parent) from error
        yield folder


def _unpack(archive: zipfile.ZipFile, size: int, folder: Path, most_bytes: int) -> None:
    members = [member for member in archive.infolist() if not _hidden(member)]
    if len(members) > MOST_FILES:
        raise Reject("file.too_large", f"holds {len(members):,} files", "Hand in the predictions alone.")
    check_budget(sum(member.file_size for member in members), most_bytes)
    if sum(member.compress_size for member in members) > size:
        raise corrupt("its files overlap")
    for member in members:
        member.filename = _spelt(member)
    names = [member.filename.rstrip("/").lower() for member in members]
    if len(set(names)) != len(names):
        raise corrupt("two of its files have one name")
    for member in members:
        target = folder / _place(member)
        if member.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, open(target, "xb") as stream:
            _copy(source, stream, member)


def _spelt(member: zipfile.ZipInfo) -> str:
    """A member's name; macOS writes UTF-8 without the flag that says so, which is read as code page 437."""
    if member.flag_bits & _UTF_8 or member.filename.isascii():
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


def _hidden(member: zipfile.ZipInfo) -> bool:
    return any(is_metadata(part) for part in PurePosixPath(member.filename).parts if part not in (".", ".."))


def _place(member: zipfile.ZipInfo) -> PurePosixPath:
    name, mode = member.filename, member.external_attr >> 16
    name_text = repr(name[:60])
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or len(name) > LONGEST_NAME:
        raise Reject("file.outside", f"holds {name_text}, which leaves its folder", "Pack the folder anew.")
    if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_IFMT(mode) == 0):
        raise Reject(
            "file.not_regular", f"holds {name_text}, a link and no file", "Pack the files themselves."
        )
    if member.flag_bits & 1:
        raise Reject("file.codec", "is encrypted", "Pack it without a password.")
    if member.compress_type not in _METHODS:
        raise Reject("file.codec", f"is packed with zip method {member.compress_type}", "Use deflate.")
    return path


def _copy(source: IO[bytes], stream: IO[bytes], member: zipfile.ZipInfo) -> None:
    """Unpack a member to its announced length; its checksum is verified at its end."""
    rest = member.file_size
    while piece := source.read(min(_PIECE, rest + 1)):
        rest -= len(piece)
        if rest < 0:
            break
        stream.write(piece)
    if rest:
        raise corrupt(f"'{member.filename[:60]}' is not as long as announced")
