"""Decoding of admitted files to values: complete, counted and checksummed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.case import Volume
from medbench.core.text import counted
from medbench.io.gate.admission import Admitted
from medbench.io.gate.image_header import ImageHeader
from medbench.io.gate.inflate import gunzip, inflate
from medbench.io.gate.jpeg_pixels import jpeg_pixels
from medbench.io.gate.meaning import check_finite
from medbench.io.gate.png_pixels import png_pixels
from medbench.io.gate.refusal import Reject, corrupt
from medbench.io.gate.tiff import TiffPage
from medbench.io.gate.tiff_pixels import decode_page
from medbench.io.gate.volume_header import VolumeHeader

PADDING_BYTES = 1 << 20


def decode_volume(file: Admitted) -> Volume:
    """A volume with the geometry of its file.

    Raises:
        Reject: ``file.corrupt`` or ``data.not_finite``.
    """
    header = file.header
    assert isinstance(header, VolumeHeader)
    array = _stored(header, file.content if file.companion is None else file.companion)
    if header.scaled:
        small = header.dtype.itemsize <= 4
        with np.errstate(over="ignore", invalid="ignore"):
            array = array * np.float64(header.slope)
            array += header.intercept
            array = array.astype(np.float32) if small else array
    check_finite(array)
    return Volume(array, header.spacing, header.origin, header.direction)


def label_step(file: Admitted) -> float:
    """Step between two values of a volume of scaled integers; 0 for all others."""
    header = file.header
    assert isinstance(header, VolumeHeader)
    return abs(header.slope) if header.scaled and header.dtype.kind in "iu" else 0.0


def geometry(file: Admitted) -> Volume:
    """A volume's shape and geometry; its array takes no memory."""
    header = file.header
    assert isinstance(header, VolumeHeader)
    nothing = np.broadcast_to(np.uint8(0), header.shape)
    return Volume(nothing, header.spacing, header.origin, header.direction)


def _stored(header: VolumeHeader, content: bytearray) -> npt.NDArray[Any]:
    length, start = header.value_bytes, header.offset
    raw = content
    if header.packing == "gzip":
        raw = gunzip(content, start + length)
    elif header.packing != "none":
        raw, start = _unpacked_values(header, content), 0
    else:
        _check_length(header, len(content) - start)
    values = np.frombuffer(raw, header.dtype, header.n_values, start).reshape(header.shape)
    native = header.dtype.newbyteorder("=")
    return values.astype(native, copy=native != header.dtype or not values.flags.aligned)


def _unpacked_values(header: VolumeHeader, content: bytearray) -> bytearray:
    values = memoryview(content)[header.offset :]
    if header.stored_bytes not in (None, len(values)):
        raise corrupt(f"{len(values):,} compressed bytes where its header announces {header.stored_bytes:,}")
    if header.packing == "zlib":
        return inflate(values, header.value_bytes, or_gzip=True)
    return gunzip(values, header.value_bytes, trailing=0)


def _check_length(header: VolumeHeader, there: int) -> None:
    least, most = header.value_bytes, header.value_bytes + (0 if header.exact else PADDING_BYTES)
    if not least <= there <= most:
        raise corrupt(f"{counted(max(0, there), 'byte')} of values where its header announces {least:,}")


def decode_image(file: Admitted) -> tuple[npt.NDArray[Any], ImageHeader]:
    """An image, ``(height, width)`` or ``(height, width, channels)`` with red first, and its header.

    Values of fewer than 8 bits are scaled to 0-255, as in every PNG decoder; white-is-zero is not inverted.

    Raises:
        Reject: ``file.corrupt`` or ``file.codec``.
    """
    page = file.header
    if isinstance(page, TiffPage):
        return _tiff(page, file.content)
    assert isinstance(page, ImageHeader)
    image: npt.NDArray[Any] | None = None
    if page.format == "JPEG":
        image = jpeg_pixels(file.content, page.channels)
    elif page.format == "PNG":
        image = png_pixels(file.content, page)
    if image is None:
        image = _by_opencv(file.content)
    if image.shape[:2] != (page.height, page.width):
        raise corrupt(
            f"it decodes to {counted(image.shape[0], 'row')} and {counted(image.shape[1], 'column')}"
        )
    return image, page


def _by_opencv(content: bytearray) -> npt.NDArray[Any]:
    import cv2

    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise corrupt("its pixels do not decode") from error
    if image is None:
        raise corrupt("its pixels do not decode")
    if image.ndim == 3 and image.shape[2] in (3, 4):
        turn = cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        cv2.cvtColor(image, turn, dst=image)
    return image


def _tiff(page: TiffPage, content: bytearray) -> tuple[npt.NDArray[Any], ImageHeader]:
    values, header = decode_page(page, content), page.header
    if values.ndim not in (2, 3) or values.shape[:2] != (header.height, header.width):
        raise corrupt(f"it decodes to the sizes {values.shape}")
    channels = 1 if values.ndim == 2 else values.shape[2]
    if channels == 2 and header.colour == "grey with alpha":
        values = np.ascontiguousarray(values[..., [0, 0, 0, 1]])
    elif channels not in (1, 3, 4):
        raise Reject(
            "data.picture_format",
            f"is a {header.kind} image",
            "Save it with one channel, or with three.",
        )
    if header.bits < 8 and header.colour == "grey":
        values = values * np.uint8(255 // ((1 << header.bits) - 1))
    return values, header
