"""PNG, JPEG, BMP and TIFF pictures and label maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path
from medbench.io.gate.admission import entrance
from medbench.io.gate.decode import decode_picture
from medbench.io.gate.expected import Expected
from medbench.io.gate.image_header import ImageHeader
from medbench.io.gate.meaning import check_black_is_zero, shown, whole_labels
from medbench.io.gate.refusal import Reject

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


def read_picture(
    path: Path, *, root: Path | None = None, expected: Expected | None = None
) -> npt.NDArray[Any]:
    """Read a picture as ``(height, width)`` grey or ``(height, width, 3)`` RGB; alpha is dropped.

    Larger is brighter, also where a TIFF file says that 0 is white.

    Args:
        path: the file.
        root: the folder that it may not leave; its own if not given.
        expected: whose file it is, and what it may take.

    Raises:
        MedbenchError: what the gate refuses.
    """
    return described_picture(path, root=root, expected=expected)[0]


def described_picture(
    path: Path, *, root: Path | None = None, expected: Expected | None = None
) -> tuple[npt.NDArray[Any], ImageHeader]:
    """As :func:`read_picture`, with what the header says.

    Raises:
        MedbenchError: what the gate refuses.
    """
    with entrance(path, "picture", root=root, expected=expected) as admitted:
        picture, header = decode_picture(admitted)
        if header.white_is_zero:
            picture = shown(picture, header.bits)
        if picture.ndim == 3 and picture.shape[2] > 3:
            picture = np.ascontiguousarray(picture[:, :, :3])
        return picture, header


def read_label_map(
    path: Path, *, root: Path | None = None, expected: Expected | None = None
) -> npt.NDArray[Any]:
    """Read a single-channel integer label map, ``(height, width)``, values as stored.

    A colour file whose three channels are equal counts as single-channel.

    Raises:
        MedbenchError: what the gate refuses, ``data.white_is_zero`` for a TIFF file that says that 0 is
            white, or ``data.not_a_label_map`` for a colour picture, a semi-transparent one, or one with
            fractional values.
    """
    with entrance(path, "picture", root=root, expected=expected) as admitted:
        picture, header = decode_picture(admitted)
        check_black_is_zero(header.white_is_zero)
        if picture.ndim == 3:
            picture = _one_channel(picture)
        if picture.dtype.kind == "f":
            raise Reject(
                "data.not_a_label_map",
                f"holds {picture.dtype} values, not integer labels",
                "Save the mask with an integer type.",
            )
        return np.ascontiguousarray(whole_labels(picture))


def _one_channel(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    colours = picture[:, :, :3]
    if picture.shape[2] == 4 and np.any(picture[:, :, 3] != picture[0, 0, 3]):
        raise Reject(
            "data.not_a_label_map",
            "has a varying alpha channel, so its labels are ambiguous",
            "Export the mask as an 8-bit single-channel PNG.",
        )
    if np.any(colours != colours[:, :, :1]):
        raise Reject(
            "data.not_a_label_map",
            "is a colour picture, not a map of label values",
            "Give the label map itself (single channel), not a colour view or a palette image of it.",
        )
    return colours[:, :, 0]


def write_label_map(path: Path, labels: npt.NDArray[np.integer[Any]]) -> None:
    """Write an 8-bit single-channel label map ``(height, width)`` atomically, compressed by its suffix."""
    if labels.ndim != 2 or labels.min(initial=0) < 0 or labels.max(initial=0) > 255:
        raise ValueError(f"an 8-bit label map is two-dimensional with values 0-255, got {labels.shape}")
    _write(path, labels.astype(np.uint8))


def write_picture(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Write an 8-bit ``(height, width)`` grey or ``(height, width, 3)`` RGB picture atomically."""
    import cv2

    _write(path, picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def _write(path: Path, picture: npt.NDArray[Any]) -> None:
    import cv2

    done, encoded = cv2.imencode(path.suffix, picture)
    if not done:
        raise MedbenchError("file.unwritable", f"{path}: this file type cannot be encoded.", "Use .png.")
    with atomic_path(path) as temporary:
        encoded.tofile(temporary)


def resize_picture(picture: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """Resize ``(height, width[, channels])``: area averaging when shrinking, bilinear when enlarging."""
    import cv2

    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height < picture.shape[0] or width < picture.shape[1]
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def resize_labels(labels: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """Resize a label map ``(height, width)`` by nearest neighbour, pixel centres aligned."""
    import cv2

    if labels.shape == (height, width):
        return labels
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def spline_zoom(plane: npt.NDArray[Any], height: int, width: int, order: int = 3) -> npt.NDArray[Any]:
    """Resize ``(height, width)`` as ``scipy.ndimage.zoom`` does: corner pixels stay in the corners.

    Args:
        plane: picture or label map.
        height: rows wanted.
        width: columns wanted.
        order: of the spline; 3 for pictures, 0 (nearest neighbour) for labels.
    """
    from scipy.ndimage import zoom

    if plane.shape == (height, width):
        return plane
    return np.asarray(zoom(plane, (height / plane.shape[0], width / plane.shape[1]), order=order))
