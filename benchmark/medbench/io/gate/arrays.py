"""NumPy files, read without NumPy's own parser of Python literals. Source: the NumPy format description."""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from medbench.core.text import counted, first_line
from medbench.io.gate.expected import check_budget
from medbench.io.gate.refusal import Reject, corrupt

MAGIC = b"\x93NUMPY"
MOST_AXES, LARGEST_HEADER, MOST_MEMBERS = 4, 1 << 16, 4096
_HEADER = re.compile(
    r"\{'descr': '([<>|=][A-Za-z]\d{1,4})', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\), ?\} *\n?"
)
_ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, struct.error,
)  # fmt: skip
_REAL = re.compile(r"[<>|=](b1|[iu][1248]|f[248])")


def parse_npy(content: bytes | bytearray) -> tuple[tuple[int, ...], np.dtype[Any], bool, int]:
    """Shape, type, whether columns run first, and first byte of the values of an ``.npy`` file.

    Raises:
        Reject: ``file.corrupt``, ``data.axes``, or ``data.not_real`` for objects, text and complex numbers.
    """
    if content[:6] != MAGIC or len(content) < 12 or content[6] not in (1, 2, 3):
        raise corrupt("it is no NumPy array")
    wide = content[6] > 1
    (length,) = struct.unpack_from("<I" if wide else "<H", content, 8)
    start = 12 if wide else 10
    if length > LARGEST_HEADER or start + length > len(content):
        raise corrupt("it ends within its header")
    text = bytes(content[start : start + length]).decode("latin-1")
    match = _HEADER.fullmatch(text)
    if match is None:
        if "'|O" in text:
            raise corrupt("it holds pickled objects, which are never loaded")
        raise corrupt("its header is damaged")
    if not _REAL.fullmatch(match[1]):
        if "O" in match[1]:
            raise corrupt("it holds pickled objects, which are never loaded")
        raise Reject("data.not_real", f"holds values of the type {match[1]}", "Save real numbers.")
    words = [word.strip() for word in match[3].split(",") if word.strip()]
    if len(words) > MOST_AXES or any(len(word) > 12 or " " in word for word in words):
        raise Reject("data.axes", f"has the sizes {match[3][:60]}", "Give at most 4 axes.")
    return tuple(int(word) for word in words), np.dtype(match[1]), match[2] == "True", start + length


def decode_npy(content: bytes | bytearray) -> npt.NDArray[Any]:
    """The array of an ``.npy`` file; bytes after the values are refused.

    Raises:
        Reject: as :func:`parse_npy`.
    """
    shape, dtype, columns_first, start = parse_npy(content)
    length = math.prod(shape) * dtype.itemsize
    if len(content) - start != length:
        raise corrupt(
            f"{counted(len(content) - start, 'byte')} of values where its header announces {length:,}"
        )
    values = np.frombuffer(content, dtype, offset=start)
    if dtype == np.bool_ and length and values.view(np.uint8).max() > 1:
        raise corrupt("its truth values are neither 0 nor 1")
    return values.reshape(shape, order="F" if columns_first else "C")


def read_npz(
    content: bytes | bytearray, names: tuple[str, ...], budget_bytes: int
) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """The named arrays of an ``.npz`` file, and the names of all its arrays.

    Every array is decompressed to its announced length and its checksum is verified.

    Raises:
        Reject: ``file.corrupt`` or ``file.too_large``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            there = [member.filename.removesuffix(".npy") for member in members]
            _check_number(members)
            if len(set(there)) != len(there):
                raise corrupt("two of its arrays have one name")
            selection = {name: members[there.index(name)] for name in names if name in there}
            values_bytes = sum(member.file_size for member in selection.values())
            check_budget(len(content) + 2 * values_bytes, budget_bytes)
            arrays = {name: decode_npy(_member(archive, member)) for name, member in selection.items()}
            return arrays, there
    except _ZIP_ERRORS as error:
        raise corrupt(_reason(error)) from error


def npz_shapes(stream: BinaryIO) -> dict[str, tuple[int, ...]]:
    """Name of each array of an ``.npz`` file -> its shape; no values are read.

    Raises:
        Reject: as :func:`read_npz`.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            _check_number(members)
            return {
                member.filename.removesuffix(".npy"): parse_npy(_npy_head(archive, member))[0]
                for member in members
            }
    except _ZIP_ERRORS as error:
        raise corrupt(_reason(error)) from error


def _check_number(members: Sequence[zipfile.ZipInfo]) -> None:
    if len(members) > MOST_MEMBERS:
        raise corrupt(f"it holds more than {MOST_MEMBERS:,} arrays")


def _npy_head(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    _check_member(member)
    with archive.open(member) as stream:
        start = stream.read(12)
        length = int.from_bytes(start[8 : 12 if start[6:7] > b"\1" else 10], "little")
        return start + stream.read(min(length, LARGEST_HEADER))


def _check_member(member: zipfile.ZipInfo) -> None:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Reject(
            "file.codec", f"is packed with zip method {member.compress_type}", "Use savez_compressed."
        )
    if member.flag_bits & 1:
        raise corrupt("it is encrypted")


def _reason(error: Exception) -> str:
    return first_line(error, type(error).__name__)[:120]


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytearray:
    _check_member(member)
    with archive.open(member) as stream:
        values = bytearray(stream.read(member.file_size + 1))
        if len(values) != member.file_size or stream.read(1):
            raise corrupt(f"'{member.filename[:60]}' is not as long as announced")
    return values
