"""Grey images in DICOM files: the header is checked before pydicom or a decoder of it takes memory.

The file meta information is parsed here (it names the transfer syntax), a deflated data set is measured
within the memory limit, and the size of every compressed image is compared with the data set's own.
"""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.text import counted
from medbench.io.gate.admission import Admitted
from medbench.io.gate.expected import check_budget
from medbench.io.gate.lzw import decode_packbits
from medbench.io.gate.refusal import Reject

SIDE = 65535
BITS = (8, 16, 32)
GREY = ("MONOCHROME1", "MONOCHROME2")
DEFLATED, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
_PREAMBLE, _LONG_LENGTHS = 132, (b"OB", b"OW", b"UN", b"UT", b"SQ", b"OF")
_BYTES_A_VALUE = 16
_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
_FRAMES_OF_JPEG = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


def read_data_set(file: Admitted) -> tuple[Any, npt.NDArray[Any]]:
    """Data set and stored values ``(rows, columns)`` of a single grey image.

    Args:
        file: the file, of the kind ``dicom``.

    Raises:
        Reject: ``dicom.unreadable``, ``dicom.compressed`` where no decoder of its compression is installed,
            ``dicom.not_grey``, or ``file.too_large``.
    """
    import pydicom

    content = bytes(file.content)
    syntax, start = _transfer_syntax(content)
    if syntax == DEFLATED:
        _check_inflated(content[start:], file.budget_bytes)
    with damage("is no readable DICOM image"):
        data_set = pydicom.dcmread(io.BytesIO(content))
        shape = _shape(data_set)
        _check_grey(data_set)
    check_budget(shape[0] * shape[1] * _BYTES_A_VALUE, file.budget_bytes)
    with damage("its pixels cannot be decoded"):
        values = _values(data_set, shape)
    if values.shape != shape:
        raise unreadable(f"its pixels decode to the shape {values.shape}, not {shape}")
    return data_set, values


@contextlib.contextmanager
def damage(facts: str) -> Iterator[None]:
    """Whatever pydicom raises in the block becomes a refusal with these facts and the exception's name."""
    try:
        yield
    except (Reject, MemoryError):
        raise
    except Exception as error:
        raise unreadable(f"{facts} ({type(error).__name__})") from error


def unreadable(facts: str) -> Reject:
    """The exception for a damaged DICOM file."""
    return Reject("dicom.unreadable", facts, "Copy or export the file again.")


def _transfer_syntax(content: bytes) -> tuple[str, int]:
    """Transfer syntax of the data set, and the byte at which the data set begins."""
    if content[128:_PREAMBLE] != b"DICM":
        raise unreadable("is no DICOM file")
    at, syntax = _PREAMBLE, ""
    while content[at : at + 2] == b"\2\0":
        kind, long = content[at + 4 : at + 6], content[at + 4 : at + 6] in _LONG_LENGTHS
        head = at + (12 if long else 8)
        if len(content) < head:
            raise unreadable("its file meta information ends too early")
        (length,) = struct.unpack_from("<I" if long else "<H", content, at + (8 if long else 6))
        if head + length > len(content) or not kind.isalpha():
            raise unreadable("its file meta information ends too early")
        if content[at + 2 : at + 4] == b"\x10\0":
            syntax = content[head : head + length].rstrip(b"\0 ").decode("ascii", "replace")
        at = head + length
    if not syntax:
        raise unreadable("it names no transfer syntax")
    return syntax, at


def _check_inflated(rest: bytes, budget_bytes: int) -> None:
    """Refuse a deflated data set that takes more than the limit."""
    stream, n_bytes = zlib.decompressobj(-zlib.MAX_WBITS), 0
    try:
        while rest and not stream.eof:
            n_bytes += len(stream.decompress(rest, 1 << 20))
            check_budget(n_bytes, budget_bytes)
            rest = stream.unconsumed_tail
    except zlib.error as error:
        raise unreadable("its deflated data set does not decode") from error


def _shape(data_set: Any) -> tuple[int, int]:
    rows, columns, bits = int(data_set.Rows), int(data_set.Columns), int(data_set.BitsAllocated)
    bits_in_use = int(data_set.BitsStored)
    if not (0 < rows <= SIDE and 0 < columns <= SIDE):
        raise unreadable(f"states {counted(rows, 'row')} and {counted(columns, 'column')}")
    if bits not in BITS or not 0 < bits_in_use <= bits:
        raise unreadable(f"states {bits_in_use} of {bits} bits a pixel")
    if "PixelData" not in data_set:
        raise unreadable("holds no pixels")
    return rows, columns


def _check_grey(data_set: Any) -> None:
    photometric = str(data_set.get("PhotometricInterpretation", ""))
    samples, frames = str(data_set.get("SamplesPerPixel", 1)), str(data_set.get("NumberOfFrames", 1) or 1)
    if (samples, frames) != ("1", "1") or photometric not in GREY:
        raise Reject("dicom.not_grey", "is no single grey image", "Give one grey radiograph a file.")


def _values(data_set: Any, shape: tuple[int, int]) -> npt.NDArray[Any]:
    syntax = data_set.file_meta.TransferSyntaxUID
    count = shape[0] * shape[1] * int(data_set.BitsAllocated) // 8
    if not syntax.is_compressed:
        if len(data_set.PixelData) not in (count, count + count % 2):
            raise unreadable(
                f"holds {counted(len(data_set.PixelData), 'byte')} of pixels, expected {count:,}"
            )
        return np.asarray(data_set.pixel_array)
    _check_decoder(syntax)
    frame = _only_frame(data_set.PixelData)
    if syntax == RLE:
        return _run_lengths(frame, data_set, shape)
    if _frame_shape(frame) != shape:
        raise unreadable("its compressed image has another size than its header states")
    return np.asarray(data_set.pixel_array)


def _check_decoder(syntax: Any) -> None:
    """Refuse a compression that no installed decoder reads."""
    from pydicom.pixels import get_decoder

    try:
        available = syntax == RLE or get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise Reject(
            "dicom.compressed",
            f"is compressed ({syntax.name}), and no installed decoder reads that",
            "Install one (pip install pylibjpeg[all]), or decompress the files (dcmdjpeg, gdcmconv --raw).",
        )


def _only_frame(capsule: bytes) -> bytes:
    from pydicom.encaps import generate_frames

    (frame,) = generate_frames(capsule, number_of_frames=1)
    return frame


def _frame_shape(frame: bytes) -> tuple[int, int] | None:
    """Height and width by a JPEG, JPEG-LS or JPEG 2000 image's own header; ``None`` where it has none."""
    if frame[:4] == _JPEG_2000:
        right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
        return bottom - top, right - left
    if frame[:2] != _JPEG:
        return None
    at = 2
    while frame[at : at + 1] == b"\xff":
        kind, (length,) = frame[at + 1], struct.unpack_from(">H", frame, at + 2)
        if kind in _FRAMES_OF_JPEG:
            height, width = struct.unpack_from(">HH", frame, at + 5)
            return height, width
        at += 2 + length
    return None


def _run_lengths(frame: bytes, data_set: Any, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Values of a run-length image: a plane for each byte of a value, the highest first."""
    planes = int(data_set.BitsAllocated) // 8
    count, *offsets = struct.unpack_from("<16I", frame)
    if count != planes or offsets[0] != 64:
        raise unreadable(f"its run lengths are of {counted(count, 'plane')}, expected {planes}")
    ends = [*offsets[1:planes], len(frame)]
    pieces = [
        decode_packbits(frame[start:end], shape[0] * shape[1])
        for start, end in zip(offsets[:planes], ends, strict=True)
    ]
    stack = np.stack([np.frombuffer(piece, np.uint8) for piece in pieces], -1)
    sign = "i" if int(data_set.get("PixelRepresentation", 0)) else "u"
    return stack.copy().view(f">{sign}{planes}").reshape(shape).astype(f"{sign}{planes}")
