"""Headers of PNG, JPEG and BMP images, parsed by memory-safe code before a decoder opens the file.

Sources: the PNG specification (W3C, third edition), ITU-T T.81 for JPEG, and Microsoft's description of
device-independent bitmaps.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Collection
from dataclasses import dataclass

from medbench.core.text import agreeing, counted
from medbench.io.gate.inflate import crc32
from medbench.io.gate.refusal import Reject, corrupt

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
LONGEST_SIDE = 1 << 24
MOST_SCANS = 200
_TRAILING_BYTES = 52
_PNG_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_JPEG_PROCESSES = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive"}
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
ORIENTATION, _EXIF = 274, b"Exif\0\0"
_CHANNELS = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGBA"}

Bytes = bytes | bytearray


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Size and colours of an image by its header.

    Attributes:
        format: ``PNG``, ``JPEG``, ``BMP`` or ``TIFF``.
        height: rows.
        width: columns.
        channels: values per pixel after decoding, also of a palette.
        bits: bits of a stored value.
        colour: ``grey``, ``RGB``, ``palette``, ``grey with alpha``, ``RGBA`` …
        white_is_zero: whether 0 is white by the file's header; ``None`` for formats without such a field.
        turned: whether the file says that its stored rows and columns are to be turned or mirrored.
        palette_falls: whether the first colour of the palette is brighter than the second.
    """

    format: str
    height: int
    width: int
    channels: int
    bits: int
    colour: str
    white_is_zero: bool | None = None
    turned: bool = False
    palette_falls: bool = False

    @property
    def kind(self) -> str:
        """Kind of image for messages, such as ``16-bit grey``, ``8-bit palette`` or ``8-bit RGBA``."""
        return f"{self.bits}-bit {self.colour}"

    @property
    def memory_bytes(self) -> int:
        """Peak memory of decoding in bytes, without the file."""
        return 2 * self.height * self.width * max(self.channels, 1) * max(1, -(-self.bits // 8))


def check_sides(height: int, width: int) -> None:
    """Refuse sides out of range.

    Raises:
        Reject: ``file.corrupt``.
    """
    if not (1 <= height <= LONGEST_SIDE and 1 <= width <= LONGEST_SIDE):
        raise corrupt(f"its header announces {counted(height, 'row')} and {counted(width, 'column')}")


def parse_image(content: Bytes) -> ImageHeader:
    """The header of a PNG, JPEG or BMP image; every checksum of a PNG is verified.

    Raises:
        Reject: ``file.corrupt`` or ``file.codec``.
    """
    if content.startswith(PNG):
        return parse_png(content)
    if content.startswith(JPEG):
        return parse_jpeg(content)
    if content.startswith(b"BM"):
        return parse_bmp(content)
    raise corrupt(f"it is no PNG, JPEG, BMP or TIFF ({counted(len(content), 'byte')})")


def parse_png(content: Bytes) -> ImageHeader:
    """The header of a PNG, after a check of every chunk with its checksum.

    Raises:
        Reject: ``file.corrupt``, or ``file.codec`` for an animation.
    """
    view, at = memoryview(content), len(PNG)
    names: list[bytes] = []
    has_orientation, palette = False, b""
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        end = at + 12 + length
        name = bytes(view[at + 4 : at + 8])
        if end > len(content) or crc32(view[at + 4 : end - 4]) != _checksum(content, end):
            raise corrupt("it ends too early" if end > len(content) else f"its chunk {name!r} is damaged")
        has_orientation = has_orientation or (name == b"eXIf" and exif_turned(bytes(view[at + 8 : end - 4])))
        palette = bytes(view[at + 8 : end - 4]) if name == b"PLTE" else palette
        if not names or names[-1] != name or name != b"IDAT":
            names.append(name)
        at = end
        if name == b"IEND":
            break
    _check_png_order(names, len(content) - at)
    width, height, bits, colour, *rest = struct.unpack_from(">IIBBBBB", content, 16)
    if bits not in _PNG_DEPTHS.get(colour, ()) or rest[0] or rest[1] or rest[2] > 1:
        raise corrupt("its IHDR is out of range")
    if colour == 3 and b"PLTE" not in names:
        raise corrupt("it has no palette")
    if b"acTL" in names:
        raise Reject("file.codec", "is an animation (APNG)", "Save it as a single image.")
    check_sides(height, width)
    channels = 4 if b"tRNS" in names else _PNG_CHANNELS[colour]
    return ImageHeader(
        "PNG",
        height,
        width,
        channels,
        bits,
        _PNG_COLOURS[colour],
        turned=has_orientation,
        palette_falls=colour == 3 and falls(palette[:3], palette[3:6]),
    )


def falls(first: Collection[int], second: Collection[int]) -> bool:
    """Whether the first of two colours is brighter than the second; not where there is no second.

    >>> falls((255, 255, 255), (0, 0, 0)), falls((0, 0, 0), (255, 255, 255)), falls((255, 0, 0), ())
    (True, False, False)
    """
    return len(second) == len(first) and sum(first) > sum(second)


def exif_turned(block: bytes) -> bool:
    r"""Whether an Exif block states an orientation other than the first, which leaves pixels as they are.

    >>> exif_turned(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0")
    True
    """
    order = "<" if block[:2] == b"II" else ">"
    try:
        (at,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, at)
        entries = (struct.unpack_from(f"{order}HHIH", block, at + 2 + 12 * index) for index in range(count))
        return any(tag == ORIENTATION and value in range(2, 9) for tag, _, _, value in entries)
    except struct.error:
        return False


def _checksum(content: Bytes, end: int) -> int:
    return int(struct.unpack_from(">I", content, end - 4)[0])


def _check_png_order(names: list[bytes], after: int) -> None:
    if names[:1] != [b"IHDR"] or names.count(b"IHDR") != 1:
        raise corrupt("it does not begin with its header")
    if names[-1] != b"IEND":
        raise corrupt("it ends too early")
    if names.count(b"IDAT") != 1:
        raise corrupt("its pixels do not lie in one piece")
    if after > _TRAILING_BYTES:
        raise corrupt(f"{counted(after, 'byte')} {agreeing(after, 'follows', 'follow')} its end")


def parse_jpeg(content: Bytes) -> ImageHeader:
    """The header of a JPEG, after a check of all its markers.

    Raises:
        Reject: ``file.corrupt``, or ``file.codec`` naming the process that is not read.
    """
    header, scans, at, has_orientation = None, 0, 2, False
    while True:
        match = _JPEG_MARKER.search(content, at)
        if match is None:
            raise corrupt("it ends too early")
        marker, at = content[match.end() - 1], match.end()
        if marker == 0xD9:
            break
        if marker in (0xD8, 0x01):
            continue
        length = struct.unpack_from(">H", content, at)[0] if at + 2 <= len(content) else 0
        if length < 2 or at + length > len(content):
            raise corrupt("it ends too early" if length >= 2 else "a segment has no length")
        exif = marker == 0xE1 and content[at + 2 : at + 8] == _EXIF
        has_orientation = has_orientation or (exif and exif_turned(bytes(content[at + 8 : at + length])))
        if marker == 0xDA:
            scans += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if header is not None:
                raise corrupt("it has two frames")
            header = _frame(content, at, marker, length)
        at += length
    if header is None or not 1 <= scans <= MOST_SCANS:
        raise corrupt(f"it holds {counted(scans, 'scan')}" if scans else "it holds no image")
    return dataclasses.replace(header, turned=has_orientation)


def _frame(content: Bytes, at: int, marker: int, length: int) -> ImageHeader:
    if marker not in _JPEG_PROCESSES:
        raise Reject(
            "file.codec",
            f"is a JPEG of the process SOF{marker - 0xC0}, which is not read here",
            "Save it as baseline JPEG or as PNG.",
        )
    if length < 8:
        raise corrupt("its frame header is too short")
    bits, height, width, components = struct.unpack_from(">BHHB", content, at + 2)
    if components not in (1, 3, 4) or length != 8 + 3 * components:
        raise corrupt(f"its frame header announces {counted(components, 'component')}")
    if bits != 8:
        raise Reject("file.codec", f"is a JPEG of {bits} bits", "Save it as PNG.")
    check_sides(height, width)
    return ImageHeader("JPEG", height, width, min(components, 3), 8, _CHANNELS[min(components, 3)])


def parse_bmp(content: Bytes) -> ImageHeader:
    """The header of a bitmap, after a check that its rows lie in the file.

    Raises:
        Reject: ``file.corrupt``, or ``file.codec`` for a compressed one.
    """
    if len(content) < 54:
        raise corrupt("it ends within its header")
    offset, size, width, height, planes, bits, packing = struct.unpack_from("<IIiiHHI", content, 10)
    if size not in (40, 52, 56, 108, 124) or planes != 1 or bits not in (1, 4, 8, 16, 24, 32):
        raise corrupt("its header is out of range")
    if packing not in ((0, 3) if bits in (16, 32) else (0,)):
        raise Reject("file.codec", f"is a compressed bitmap (type {packing})", "Save it as PNG.")
    height = abs(height)
    check_sides(height, width)
    row = -(-width * bits // 32) * 4
    if not 14 + size <= offset <= len(content) or offset + row * height > len(content):
        raise corrupt("its pixels do not lie in the file")
    (colours,) = struct.unpack_from("<I", content, 46)
    if bits <= 8 and (colours > 1 << bits or 14 + size + 4 * (colours or 1 << bits) > offset):
        raise corrupt("its palette does not lie in the file")
    channels = 4 if bits == 32 else 3
    palette = content[14 + size : offset] if bits <= 8 else b""
    is_falling = falls(palette[:3], palette[4:7])
    return ImageHeader("BMP", height, width, channels, 8, _CHANNELS[channels], palette_falls=is_falling)
