"""Pixels of a TIFF page, with every strip and tile complete."""

from __future__ import annotations

import io
import lzma
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.text import counted, first_line
from medbench.io.gate.image_header import parse_jpeg
from medbench.io.gate.inflate import inflate
from medbench.io.gate.lzw import decode_lzw, decode_packbits
from medbench.io.gate.refusal import Reject, corrupt
from medbench.io.gate.tiff import TiffPage

OWN = (1, 5, 8, 32773, 32946, 34925)
CODED = (7, 33003, 33005, 34712)
LIBRARY = (*CODED, 50000)
LZMA_BYTES = 128 << 20
_JPEG_2000 = b"\xff\x4f\xff\x51"


def check_codec(page: TiffPage) -> None:
    """Refuse a compression that cannot be read, with its name.

    Raises:
        Reject: ``file.codec``.
    """
    if page.compression in (*OWN, 50000) and (
        page.predictor not in (1, 2) or (page.predictor == 2 and page.header.bits < 8)
    ):
        raise Reject("file.codec", f"has the TIFF predictor {page.predictor}", "Save it without one.")
    if page.compression in OWN:
        return
    if page.compression not in LIBRARY:
        raise Reject(
            "file.codec",
            f"is compressed with {page.codec}, which is not read here",
            "Save it with LZW or deflate, or as PNG.",
        )
    try:
        import imagecodecs  # noqa: F401
    except ImportError as error:
        raise Reject(
            "file.codec",
            f"is compressed with {page.codec}, which needs the package imagecodecs",
            "Install medbench[slides], or save it with LZW or deflate.",
        ) from error


def decode_page(page: TiffPage, content: bytes | bytearray) -> npt.NDArray[Any]:
    """Pixels of a page as stored, ``(height, width)`` or ``(height, width, channels)``.

    Raises:
        Reject: ``file.corrupt`` for a block that is damaged or incomplete, ``file.codec``.
    """
    check_codec(page)
    if page.compression in CODED:
        for offset, count in zip(page.offsets, page.counts, strict=True):
            check_coded_size(page.compression, content[offset : offset + count], page.block, page.samples)
        return _by_library(content)
    height, width = page.header.height, page.header.width
    dtype = _dtype(page)
    values = np.empty((height, width, page.samples), dtype.newbyteorder("="))
    for (row, column, channel), block in _blocks(page, content, dtype):
        rows, columns = block.shape[0], min(block.shape[1], width - column)
        rows = min(rows, height - row)
        target = values[row : row + rows, column : column + columns]
        if page.planar:
            target[..., channel] = block[:rows, :columns, 0]
        else:
            target[...] = block[:rows, :columns]
    if page.header.colour == "palette":
        return _coloured(values[..., 0], page)
    return values[..., 0] if page.samples == 1 else values


def _dtype(page: TiffPage) -> np.dtype[Any]:
    size = max(1, page.header.bits // 8)
    letter = {1: "u", 2: "i", 3: "f"}[page.sample_format]
    if letter == "f" and size == 1:
        raise corrupt("it announces floating-point numbers of 8 bits")
    return np.dtype(f"{page.order}{letter}{size}")


def _blocks(
    page: TiffPage, content: bytes | bytearray, dtype: np.dtype[Any]
) -> Iterator[tuple[tuple[int, int, int], npt.NDArray[Any]]]:
    view = memoryview(content)
    height, width = page.header.height, page.header.width
    down, across = -(-height // page.block[0]), -(-width // page.block[1])
    samples = 1 if page.planar else page.samples
    for index, (offset, count) in enumerate(zip(page.offsets, page.counts, strict=True)):
        channel, place = divmod(index, down * across)
        row, column = place // across * page.block[0], place % across * page.block[1]
        rows = page.block[0] if page.has_tiles else min(page.block[0], height - row)
        row_bytes = -(-page.block[1] * samples * page.header.bits // 8)
        raw = _unpacked(page, view[offset : offset + count], rows * row_bytes)
        yield (row, column, channel), _values(page, raw, (rows, page.block[1], samples), dtype)


def _unpacked(page: TiffPage, strip: memoryview, length: int) -> bytes | bytearray | memoryview:
    if page.swapped_bits:
        bits = np.unpackbits(np.frombuffer(strip, np.uint8), bitorder="little")
        strip = memoryview(np.packbits(bits).tobytes())
    if page.compression == 1:
        if len(strip) < length:
            raise corrupt(f"a strip holds {counted(len(strip), 'byte')} where {length:,} are announced")
        return strip[:length]
    if page.compression in (8, 32946):
        return inflate(strip, length)
    if page.compression == 32773:
        return decode_packbits(strip, length)
    if page.compression == 34925:
        return _lzma(strip, length)
    return _by_codec("zstd_decode" if page.compression == 50000 else "lzw_decode", strip, length)


def _lzma(strip: memoryview, length: int) -> bytes:
    try:
        stream = lzma.LZMADecompressor(memlimit=LZMA_BYTES)
        raw = stream.decompress(bytes(strip), length + 1)
        if not stream.eof and len(raw) == length:
            raw += stream.decompress(b"", 1)
    except (lzma.LZMAError, EOFError) as error:
        raise corrupt("a strip does not decode") from error
    if len(raw) != length or not stream.eof:
        raise corrupt(f"a strip does not decode to the {counted(length, 'byte')} that are announced")
    return raw


def _by_codec(name: str, strip: memoryview, length: int) -> bytes:
    """Content of a strip by imagecodecs, into a buffer of its length; LZW also without imagecodecs."""
    try:
        import imagecodecs
    except ImportError:
        return decode_lzw(strip, length)
    try:
        raw = getattr(imagecodecs, name)(bytes(strip), out=length)
    except Exception as error:  # whatever the codec raises, the strip is damaged
        raise corrupt("a strip does not decode") from error
    if len(raw) != length:
        raise corrupt(f"a strip decodes to {counted(len(raw), 'byte')} where {length:,} are announced")
    return bytes(raw)


def check_coded_size(
    compression: int, strip: bytes | bytearray, block: tuple[int, int], samples: int
) -> None:
    """Refuse a JPEG or JPEG 2000 stream that is larger than its strip or tile.

    The decoders allocate the size that the stream announces.

    Raises:
        Reject: ``file.corrupt``.
    """
    if compression == 7:
        header = parse_jpeg(strip)
        sizes = header.height, header.width, header.channels
    else:
        at = strip.find(_JPEG_2000, 0, 512)
        if at < 0 or len(strip) < at + 42:
            raise corrupt("a strip holds no JPEG 2000 stream")
        right, bottom, left, top = struct.unpack_from(">4I", strip, at + 8)
        across, down = struct.unpack_from(">2I", strip, at + 24)
        sizes = bottom - top, right - left, struct.unpack_from(">H", strip, at + 40)[0]
        if min(across, down) < 1 or left > block[1] or top > block[0]:
            raise corrupt("a strip's JPEG 2000 stream is out of range")
    limits = (*block, max(samples, 3))
    if not all(1 <= size <= limit for size, limit in zip(sizes, limits, strict=True)):
        raise corrupt(f"a strip of {block[0]} × {block[1]} holds an image of {sizes[0]} × {sizes[1]}")


def _values(
    page: TiffPage, raw: bytes | bytearray | memoryview, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    rows, columns, samples = shape
    if page.header.bits < 8:
        bits = np.unpackbits(np.frombuffer(raw, np.uint8).reshape(rows, -1), axis=1)
        each = bits[:, : columns * samples * page.header.bits].reshape(rows, columns, samples, -1)
        weights = (1 << np.arange(page.header.bits)[::-1]).astype(np.uint8)
        return np.asarray((each * weights).sum(axis=-1, dtype=np.uint8))
    values = np.frombuffer(raw, dtype).reshape(shape)
    if page.predictor == 2:
        if page.sample_format == 3:
            raise Reject("file.codec", "has an integer predictor on floating-point values", "Save it anew.")
        return np.cumsum(values, axis=1, dtype=dtype.newbyteorder("="))
    return values


def _coloured(indices: npt.NDArray[Any], page: TiffPage) -> npt.NDArray[np.uint8]:
    count = len(page.colour_map) // 3
    if page.header.bits > 8 or count != 1 << page.header.bits:
        raise corrupt("its palette is incomplete")
    colours = (np.array(page.colour_map, np.uint16).reshape(3, count) >> 8).astype(np.uint8)
    return np.ascontiguousarray(colours.T[indices])


def _by_library(content: bytes | bytearray) -> npt.NDArray[Any]:
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            page = file.pages.first
            values = page.asarray()
            return np.moveaxis(values, 0, -1) if page.planarconfig == 2 and values.ndim == 3 else values
    except Exception as error:  # whatever tifffile and its codecs raise, the file is damaged
        reason = first_line(error, type(error).__name__)
        raise corrupt(f"its pixels do not decode: {reason[:120]}") from error
