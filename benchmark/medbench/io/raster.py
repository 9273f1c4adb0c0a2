"""PNG, JPEG, BMP and TIFF pictures and label maps, through OpenCV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


def _decode(path: Path) -> npt.NDArray[Any]:
    import cv2

    from medbench.io.pictures import ends_early, grey_tagged_colours

    try:
        encoded = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise MedbenchError(
            "file.unreadable",
            f"{path}: cannot be read ({error.strerror}).",
            "Check the path and its permissions.",
        ) from error
    colours = grey_tagged_colours(path)
    if colours is not None:
        return np.ascontiguousarray(colours[:, :, ::-1])
    whole = encoded.size and not ends_early(encoded.tobytes())
    picture = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if whole else None
    if picture is None:
        raise MedbenchError(
            "file.corrupt",
            f"{path}: not a readable picture ({encoded.size:,} bytes).",
            "Copy the file again from its source.",
        )
    return picture


def read_picture(path: Path) -> npt.NDArray[Any]:
    """Read a picture as ``(height, width)`` grey or ``(height, width, 3)`` RGB; alpha is dropped.

    Raises:
        MedbenchError: ``file.unreadable`` or ``file.corrupt``.
    """
    picture = _decode(path)
    if picture.ndim == 3:
        picture = picture[:, :, 2::-1]
    return np.ascontiguousarray(picture)


def read_label_map(path: Path) -> npt.NDArray[Any]:
    """Read a single-channel integer label map, ``(height, width)``, values as stored.

    A colour file whose three channels are equal counts as single-channel.

    Raises:
        MedbenchError: ``file.unreadable``, ``file.corrupt``, or ``data.not_a_label_map`` for a colour
            picture, a semi-transparent one, or one with fractional values.
    """
    picture = _decode(path)
    if picture.ndim == 3:
        colours = picture[:, :, :3]
        if picture.shape[2] == 4 and np.any(picture[:, :, 3] != picture[0, 0, 3]):
            raise MedbenchError(
                "data.not_a_label_map",
                f"{path}: has a varying alpha channel, so its labels are ambiguous.",
                "Export the mask as an 8-bit single-channel PNG.",
            )
        if np.any(colours != colours[:, :, :1]):
            raise MedbenchError(
                "data.not_a_label_map",
                f"{path}: is a colour picture, not a map of label values.",
                "Give the label map itself (single channel), not a colour view or a palette image of it.",
            )
        picture = colours[:, :, 0]
    if not np.issubdtype(picture.dtype, np.integer):
        raise MedbenchError(
            "data.not_a_label_map",
            f"{path}: holds {picture.dtype} values, not integer labels.",
            "Save the mask with an integer type.",
        )
    return np.ascontiguousarray(picture)


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
