"""Directories of TIFF and BigTIFF files, parsed by memory-safe code. Sources: TIFF 6.0, BigTIFF's design."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from medbench.core.text import agreeing, counted
from medbench.io.gate.image_header import ImageHeader, check_sides, falls
from medbench.io.gate.refusal import Reject, corrupt

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MOST_ENTRIES, MOST_VALUES, MOST_VIEWS, MOST_DESCRIPTION = 4096, 1 << 25, 64, 4096
MOST_PAGES = 512
_WIDTHS = {False: (2, 12, "I"), True: (8, 20, "Q")}
"""By whether it is a BigTIFF: bytes of a directory's count and of an entry, and the type of an offset."""
ONE_IMAGE = "Save one image a file."
_STACK = re.compile(rb"\AImageJ=[^\n]*\n(?:[^\n]*\n)*?images=(\d{1,9})(?:\s|\0|\Z)")
_SHAPED = re.compile(rb'"shape": \[(\d{1,9}(?:, ?\d{1,9})*)\]')
_TEXT = 2
_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_TAGS = {
    254: "subfile", 256: "width", 257: "height", 258: "bits", 259: "compression", 262: "photometric",
    266: "fill_order", 270: "description", 273: "strip_offsets", 274: "orientation", 277: "samples",
    278: "rows_per_strip", 279: "strip_counts", 284: "planar",
    317: "predictor", 322: "tile_width", 323: "tile_height", 324: "tile_offsets", 325: "tile_counts",
    320: "colour_map", 338: "extra_samples", 339: "sample_format",
}  # fmt: skip
CODECS = {
    1: "none", 2: "CCITT Huffman", 3: "CCITT fax 3", 4: "CCITT fax 4", 5: "LZW", 6: "old-style JPEG",
    7: "JPEG", 8: "deflate", 32773: "PackBits", 32946: "deflate", 33003: "JPEG 2000", 33005: "JPEG 2000",
    34712: "JPEG 2000", 34887: "LERC", 34892: "JPEG", 34925: "LZMA", 34933: "PNG", 34934: "JPEG XR",
    22610: "JPEG XR", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
_COLOURS = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 6: "RGB"}
_ALPHA = {"grey": "grey with alpha", "RGB": "RGBA"}

Read = Callable[[int, int], bytes | memoryview]


@dataclass(frozen=True, slots=True)
class TiffPage:
    """A page of a TIFF file.

    Attributes:
        header: sizes and colours.
        order: ``<`` or ``>``.
        codec: name of the compression.
        compression: number of the compression.
        predictor: 1 for none, 2 for differences along a row, 3 for those of floating-point numbers.
        planar: whether the channels lie one after the other.
        sample_format: 1 for unsigned, 2 for signed integers, 3 for floating-point numbers.
        block: height and width of a strip or tile.
        has_tiles: whether blocks are tiles, which are whole at the border too.
        offsets: first byte of each block.
        counts: bytes of each block.
        samples: stored values per pixel.
        swapped_bits: whether the bits of a byte run from the lowest.
        colour_map: of a palette, all red values first, 16 bits each.
    """

    header: ImageHeader
    order: str
    codec: str
    compression: int
    predictor: int
    planar: bool
    sample_format: int
    block: tuple[int, int]
    has_tiles: bool
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    samples: int
    swapped_bits: bool
    colour_map: tuple[int, ...] = ()


def parse_tiff(read: Read, size: int, *, alone: bool = False) -> TiffPage:
    """The first page of a TIFF file.

    Args:
        read: returns bytes from an offset, of a length.
        size: of the file in bytes.
        alone: whether further pages are refused, save smaller views of the first; else only many are.

    Raises:
        Reject: ``file.corrupt``, ``file.codec`` or ``data.axes``.
    """
    order, big, at = _start(read, size)
    tags, following = _directory(read, size, order, big, at)
    if alone:
        _refuse_stack(tags)
        places = {at}
        while 8 <= following < size and following not in places:
            places.add(following)
            if len(places) > MOST_VIEWS:
                raise Reject("data.axes", f"holds more than {MOST_VIEWS} images", ONE_IMAGE)
            other, following = _directory(read, size, order, big, following)
            _refuse_other(tags, other)
    else:
        _refuse_many(read, size, order, big, following)
    return _page(tags, order, size)


def _refuse_many(read: Read, size: int, order: str, big: bool, following: int) -> None:
    """Refuse more pages than slides have: readers compare each with all others."""
    width, entry, pointer = _WIDTHS[big]
    for _ in range(MOST_PAGES):
        if not 8 <= following <= size - width:
            return
        (count,) = struct.unpack(f"{order}{'Q' if big else 'H'}", read(following, width))
        end, inline = following + width + count * entry, struct.calcsize(pointer)
        if end + inline > size:
            return
        (following,) = struct.unpack(order + pointer, read(end, inline))
    raise Reject("data.axes", f"holds more than {MOST_PAGES} images", ONE_IMAGE)


def _refuse_other(first: dict[str, tuple[Any, ...]], other: dict[str, tuple[Any, ...]]) -> None:
    """Refuse a further page that is no smaller view of the first: of its shape, or marked as one."""
    sides = [one.get(name, (0,))[0] for one in (first, other) for name in ("width", "height")]
    width, height, other_width, other_height = sides
    if (other_width, other_height) == (width, height):
        raise Reject("data.axes", "holds several images of one size", ONE_IMAGE)
    alike = abs(other_width * height - other_height * width) <= max(width, height)
    is_view = bool(other.get("subfile", (0,))[0] & 0b101)
    if other_width > width or other_height > height or not (alike or is_view):
        facts = f"holds an image of {other_width} by {other_height} after the first of {width} by {height}"
        raise Reject("data.axes", facts, ONE_IMAGE)


def _refuse_stack(tags: dict[str, tuple[Any, ...]]) -> None:
    """Refuse a page whose description says that more pages follow without directories of their own."""
    text = tags.get("description", (b"",))[0]
    stack = _STACK.search(text[:MOST_DESCRIPTION])
    if stack is not None and int(stack[1]) > 1:
        raise Reject("data.axes", f"holds {int(stack[1])} images (ImageJ's stack)", ONE_IMAGE)
    shape = _SHAPED.search(text[:MOST_DESCRIPTION])
    values = [int(side) for side in shape[1].split(b",")] if shape is not None else []
    pixels = tags.get("width", (0,))[0] * tags.get("height", (0,))[0] * tags.get("samples", (1,))[0]
    if pixels and math.prod(values) > pixels and b'"truncated": true' in text[:MOST_DESCRIPTION]:
        raise Reject("data.axes", f"holds an array of {'×'.join(map(str, values))}", ONE_IMAGE)


def _start(read: Read, size: int) -> tuple[str, bool, int]:
    head = bytes(read(0, min(16, size)))
    if len(head) < 8 or head[:4] not in SIGNATURES:
        raise corrupt("it is no TIFF file")
    order, big = ("<" if head[:2] == b"II" else ">"), head[:4] in SIGNATURES[2:]
    if not big:
        return order, False, struct.unpack_from(f"{order}I", head, 4)[0]
    if len(head) < 16 or struct.unpack_from(f"{order}HH", head, 4) != (8, 0):
        raise corrupt("it is no BigTIFF file")
    return order, True, struct.unpack_from(f"{order}Q", head, 8)[0]


def _directory(
    read: Read, size: int, order: str, big: bool, at: int
) -> tuple[dict[str, tuple[int, ...]], int]:
    width, entry, pointer = _WIDTHS[big]
    if not 8 <= at <= size - width:
        raise corrupt("its directory lies outside the file")
    (count,) = struct.unpack(f"{order}{'Q' if big else 'H'}", read(at, width))
    end = at + width + count * entry
    if not 1 <= count <= MOST_ENTRIES or end > size:
        raise corrupt(f"its directory announces {count} {agreeing(count, 'entry', 'entries')}")
    block, tags = bytes(read(at + width, count * entry)), {}
    inline = struct.calcsize(pointer)
    for start in range(0, count * entry, entry):
        tag, kind = struct.unpack_from(f"{order}HH", block, start)
        (n_values,) = struct.unpack_from(order + pointer, block, start + 4)
        name = _TAGS.get(tag)
        if name is None or kind not in _TYPES or (kind == _TEXT) != (name == "description") or not n_values:
            continue
        length = n_values * struct.calcsize(_TYPES[kind])
        if n_values > MOST_VALUES or length > size:
            raise corrupt(f"its tag {tag} announces {counted(n_values, 'value')}")
        place = start + 4 + inline
        raw = block[place : place + length]
        if length > inline:
            (where,) = struct.unpack_from(order + pointer, block, place)
            if where + length > size:
                raise corrupt(f"its tag {tag} lies outside the file")
            raw = bytes(read(where, length))
        if name in tags:
            raise corrupt(f"its tag {tag} stands there twice")
        tags[name] = struct.unpack(f"{order}{n_values}{_TYPES[kind]}", raw)
    following = read(end, inline) if end + inline <= size else bytes(inline)
    return tags, struct.unpack(order + pointer, following)[0]


def _page(tags: dict[str, tuple[int, ...]], order: str, size: int) -> TiffPage:
    def one(name: str, default: int) -> int:
        values = tags.get(name, (default,))
        if len(values) != 1:
            raise corrupt(f"its {name.replace('_', ' ')} is no single number")
        return values[0]

    width, height, samples = one("width", 0), one("height", 0), one("samples", 1)
    check_sides(height, width)
    if not 1 <= samples <= 16:
        raise corrupt(f"its header announces {counted(samples, 'sample')} a pixel")
    bits, kind = _same(tags, "bits", 1, samples), _same(tags, "sample_format", 1, samples)
    compression, photometric = one("compression", 1), one("photometric", -1)
    if bits not in (1, 2, 4, 8, 16, 32, 64) or kind not in (1, 2, 3):
        raise Reject(
            "file.codec", f"holds values of {counted(bits, 'bit')}, type {kind}", "Save it with 8 bits."
        )
    if one("planar", 1) not in (1, 2) or one("fill_order", 1) not in (1, 2):
        raise corrupt("its planar configuration is out of range")
    has_tiles = "tile_offsets" in tags
    block = (
        (one("tile_height", 0), one("tile_width", 0))
        if has_tiles
        else (min(one("rows_per_strip", height), height), width)
    )
    check_sides(*block)
    planar = one("planar", 1) == 2 and samples > 1
    n_blocks = math.prod(-(-side // length) for side, length in zip((height, width), block, strict=True))
    n_blocks *= samples if planar else 1
    kind_of_block = "tile" if has_tiles else "strip"
    offsets, counts = tags.get(f"{kind_of_block}_offsets", ()), tags.get(f"{kind_of_block}_counts", ())
    if len(offsets) != n_blocks or len(counts) != n_blocks:
        raise corrupt(f"it has {counted(len(offsets), kind_of_block)} where its sizes need {n_blocks}")
    if any(offset + count > size for offset, count in zip(offsets, counts, strict=True)):
        raise corrupt("it ends too early")
    return TiffPage(
        _header(tags, (height, width), samples, bits, photometric),
        order,
        CODECS.get(compression, f"number {compression}"),
        compression,
        one("predictor", 1),
        planar,
        kind,
        block,
        has_tiles,
        offsets,
        counts,
        samples,
        one("fill_order", 1) == 2,
        tags.get("colour_map", ()),
    )


def _same(tags: dict[str, Any], name: str, default: int, samples: int) -> int:
    values = set(tags.get(name, (default,)))
    if len(values) != 1 or len(tags.get(name, (0,))) not in (1, samples):
        raise corrupt(f"its {name.replace('_', ' ')} differ between channels")
    return int(values.pop())


def _header(
    tags: dict[str, tuple[int, ...]], sides: tuple[int, int], samples: int, bits: int, photometric: int
) -> ImageHeader:
    if photometric not in _COLOURS:
        raise Reject(
            "file.codec",
            f"has the photometric interpretation {photometric}"
            if photometric >= 0
            else "does not say what its values mean (photometric interpretation)",
            "Save it as grey or RGB.",
        )
    colour, extra = _COLOURS[photometric], len(tags.get("extra_samples", ()))
    if colour == "grey" and samples == 3:
        colour = "RGB"
    elif samples > {"grey": 1, "RGB": 3, "palette": 1}.get(colour, 4):
        colour = _ALPHA[colour] if extra == 1 and colour in _ALPHA else f"{samples}-channel"
    has_orientation = tags.get("orientation", (1,))[0] in range(2, 9)
    colours, count = tags.get("colour_map", ()), 1 << bits
    first, second = (colours[index::count][:3] for index in (0, 1)) if photometric == 3 else ((), ())
    return ImageHeader(
        "TIFF", *sides, samples, bits, colour, photometric == 0, has_orientation, falls(first, second)
    )
