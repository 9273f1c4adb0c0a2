"""Pixels of JPEG images, by a decoder that says where data were missing.

A JPEG has no checksum. libjpeg fills what is missing with grey and calls it a warning, which OpenCV passes
over; simplejpeg, the same libjpeg-turbo, makes it an error.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.io.gate.refusal import corrupt

_DAMAGE = ("corrupt", "premature", "bogus")
_LEFT_OVER = re.compile(r"(\d+) extraneous bytes before marker")
_MOST_LEFT_OVER = 8  # cameras pad the end of their pixels by a few bytes


def jpeg_pixels(content: bytes | bytearray, channels: int) -> npt.NDArray[Any] | None:
    """An image ``(height, width)`` or ``(height, width, 3)`` RGB; ``None`` where another decoder is needed.

    Args:
        content: the file.
        channels: 1 or 3, by its header.

    Raises:
        Reject: ``file.corrupt`` where data of pixels are missing or are no code of the file's tables.
    """
    try:
        import simplejpeg
    except ImportError:  # pragma: no cover - images of submissions may leave it out
        return None
    try:
        image: npt.NDArray[Any] = simplejpeg.decode_jpeg(content, "GRAY" if channels == 1 else "RGB")
    except ValueError as error:
        message = str(error).lower()
        padding = _LEFT_OVER.search(message)
        few = padding is not None and int(padding[1]) <= _MOST_LEFT_OVER
        if not few and any(word in message for word in _DAMAGE):
            raise corrupt(f"its pixels do not decode: {error}") from error
        return None
    return np.ascontiguousarray(image[:, :, 0]) if channels == 1 else image
