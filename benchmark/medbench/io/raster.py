"""Reading, writing and resizing of images and label maps in PNG, JPEG, BMP and TIFF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.files import write_bytes
from medbench.io.gate.admission import entrance
from medbench.io.gate.decode import decode_image
from medbench.io.gate.expected import Expected
from medbench.io.gate.image_header import ImageHeader
from medbench.io.gate.meaning import check_black_is_zero, check_palette, check_upright, shown, whole_labels
from medbench.io.gate.refusal import Reject
from medbench.io.gate.tiff import TiffPage

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


def read_image(path: Path, *, root: Path | None = None, expected: Expected | None = None) -> npt.NDArray[Any]:
    """An image, ``(height, width)`` grey or ``(height, width, 3)`` RGB; alpha is dropped.

    Larger is brighter, also for a TIFF file with 0 as white. Rows and columns are those that are stored,
    whatever orientation a camera wrote beside them.

    Args:
        path: the file.
        root: the folder that it may not leave; its own if not given.
        expected: whose file it is, and what it may take.

    Raises:
        MedbenchError: what the gate refuses.
    """
    return read_image_and_header(path, root=root, expected=expected)[0]


def read_image_and_header(
    path: Path, *, root: Path | None = None, expected: Expected | None = None
) -> tuple[npt.NDArray[Any], ImageHeader]:
    """An image as by :func:`read_image`, and its header.

    Raises:
        MedbenchError: what the gate refuses.
    """
    with entrance(path, "image", root=root, expected=expected) as file:
        image, header = decode_image(file)
        if header.white_is_zero:
            image = shown(image, header.bits)
        if image.ndim == 3 and image.shape[2] > 3:
            image = np.ascontiguousarray(image[:, :, :3])
        return image, header


def read_size(path: Path, *, root: Path | None = None, expected: Expected | None = None) -> tuple[int, int]:
    """Height and width of an image or a label map by its header.

    Raises:
        MedbenchError: what the gate refuses of a header.
    """
    with entrance(path, "image", root=root, expected=expected) as file:
        header = file.header.header if isinstance(file.header, TiffPage) else file.header
        assert isinstance(header, ImageHeader)
        return header.height, header.width


def read_label_map(
    path: Path, *, root: Path | None = None, expected: Expected | None = None
) -> npt.NDArray[Any]:
    """A label map of one channel, ``(height, width)``, with values as stored.

    A colour file whose three channels are equal counts as single-channel.

    Raises:
        MedbenchError: what the gate refuses, ``data.white_is_zero`` for a TIFF file that says that 0 is
            white and for a palette that shows 0 brighter than 1, ``data.turned`` for a file with an
            orientation, or ``data.not_a_label_map`` for a colour image, a semi-transparent one, or one with
            fractional values.
    """
    with entrance(path, "image", root=root, expected=expected) as file:
        image, header = decode_image(file)
        check_black_is_zero(header.white_is_zero)
        check_palette(header.palette_falls)
        check_upright(header.turned)
        if image.ndim == 3:
            image = _one_channel(image)
        return np.ascontiguousarray(whole_labels(image))


def _one_channel(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    colours = image[:, :, :3]
    if image.shape[2] == 4 and np.any(image[:, :, 3] != image[0, 0, 3]):
        raise Reject(
            "data.not_a_label_map",
            "has a varying alpha channel, so its labels are ambiguous",
            "Export the mask as an 8-bit single-channel PNG.",
        )
    if np.any(colours != colours[:, :, :1]):
        raise Reject(
            "data.not_a_label_map",
            "is a colour image, not a map of label values",
            "Give the label map itself (single channel), not a colour view or a palette image of it.",
        )
    return colours[:, :, 0]


def write_label_map(path: Path, labels: npt.NDArray[np.integer[Any]]) -> None:
    """Write an 8-bit single-channel label map ``(height, width)`` atomically, compressed by its suffix."""
    if labels.ndim != 2 or labels.min(initial=0) < 0 or labels.max(initial=0) > 255:
        raise ValueError(f"an 8-bit label map is two-dimensional with values 0-255, got {labels.shape}")
    _write(path, labels.astype(np.uint8))


def write_image(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write an 8-bit ``(height, width)`` grey or ``(height, width, 3)`` RGB image atomically."""
    import cv2

    _write(path, image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def _write(path: Path, image: npt.NDArray[Any]) -> None:
    import cv2

    ok, content = cv2.imencode(path.suffix, image)
    if not ok:
        raise MedbenchError("file.unwritable", f"{path}: this file type cannot be encoded.", "Use .png.")
    write_bytes(path, content.tobytes())


def resize_image(image: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """The image ``(height, width[, channels])`` resized, by area averages if smaller, else bilinear."""
    import cv2

    if image.shape[:2] == (height, width):
        return image
    shrinks = height < image.shape[0] or width < image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def looked_up(images: npt.NDArray[np.uint8], tables: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Planes ``(images, channels, height, width)`` with the entry of its channel's table for every value.

    Args:
        images: ``(images, height, width, channels)``.
        tables: ``(channels, 256)``.

    >>> looked_up(np.full((1, 1, 2, 1), 3, np.uint8), np.arange(256, dtype=np.float32)[None] / 2)
    array([[[[1.5, 1.5]]]], dtype=float32)
    """
    import cv2

    planes: npt.NDArray[Any] = np.empty((len(images), len(tables), *images.shape[1:3]), tables.dtype)
    for image, plane in zip(images, planes, strict=True):
        for channel, table in enumerate(tables):
            plane[channel] = cv2.LUT(np.ascontiguousarray(image[..., channel]), np.ascontiguousarray(table))
    return planes


def as_rgb(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A grey image ``(height, width)`` as three equal channels, ``(height, width, 3)``."""
    import cv2

    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)


def fitted_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Height and width of an image whose longer side becomes ``side``.

    >>> fitted_size((288, 384), 256)
    (192, 256)
    """
    longer = max(size)
    return max(1, round(size[0] * side / longer)), max(1, round(size[1] * side / longer))


def resize_labels(labels: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """The label map ``(height, width)`` resized by nearest neighbour, with aligned pixel centres."""
    import cv2

    if labels.shape == (height, width):
        return labels
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def spline_zoom(plane: npt.NDArray[Any], height: int, width: int, order: int = 3) -> npt.NDArray[Any]:
    """A plane ``(height, width)`` resized as by ``scipy.ndimage.zoom``, with aligned corner pixels.

    Args:
        plane: image or label map.
        height: rows of the result.
        width: columns of the result.
        order: of the spline; 3 for images, 0 (nearest neighbour) for labels.
    """
    from scipy.ndimage import zoom

    if plane.shape == (height, width):
        return plane
    return np.asarray(zoom(plane, (height / plane.shape[0], width / plane.shape[1]), order=order))


def without_suffix(name: str) -> str:
    """An image's name without the suffix of its file.

    >>> without_suffix("a.1.PNG"), without_suffix("a.1")
    ('a.1', 'a.1')
    """
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else name
