"""Pixels of plain 8-bit PNG images, grey or RGB, by a decoder that takes a third of the general one's time.

kornia-rs (the ``png`` crate of Rust) decodes the files that label maps and frames are mostly saved as.
Whatever it refuses, and every file with chunks that change what values show, is left to the general decoder.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.io.gate.image_header import PNG, ImageHeader

_MODES = {("grey", 1): "mono", ("RGB", 3): "rgb"}
_PLAIN_CHUNKS = {b"IHDR", b"IDAT", b"IEND", b"pHYs", b"tIME", b"tEXt"}
_INTERLACED_AT = 28


def png_pixels(content: bytes | bytearray, header: ImageHeader) -> npt.NDArray[Any] | None:
    """An image ``(height, width)`` or ``(height, width, 3)`` RGB; ``None`` where another decoder is needed.

    Args:
        content: a PNG file whose chunks and checksums are checked.
        header: of the file.
    """
    mode = _MODES.get((header.colour, header.channels))
    if mode is None or header.bits != 8 or content[_INTERLACED_AT] or not _is_plain(content):
        return None
    try:
        from kornia_rs import io
    except ImportError:  # pragma: no cover - images of submissions may leave it out
        return None
    try:
        image = np.asarray(io.decode_image_png_u8(bytes(content), (header.height, header.width), mode))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - also a panic in Rust, which is no Exception: the general decoder judges
        return None
    return image[:, :, 0] if mode == "mono" else image


def _is_plain(content: bytes | bytearray) -> bool:
    """Whether a file's chunks are its header, its pixels, and remarks."""
    at = len(PNG)
    while at < len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        if name not in _PLAIN_CHUNKS:
            return False
        if name == b"IEND":
            return True
        at += 12 + length
    return False
