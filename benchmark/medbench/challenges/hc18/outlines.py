"""Filled heads from the outlines of HC18."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.text import named
from medbench.io import raster

MIN_ENCLOSED_SHARE = 0.5


def read_head(path: Path) -> npt.NDArray[np.uint8]:
    """The head of an ``_Annotation.png`` (outline) or ``_Mask.png`` (filled), ``(height, width)``, 0 and 1.

    Raises:
        MedbenchError: as :func:`medbench.io.raster.read_label_map`; ``data.mask_not_binary``; and as
            :func:`filled_outline`.
    """
    lines = raster.read_label_map(path)
    values = np.unique(lines)
    if len(values) > 2 or (values.any() and values.max() not in (1, 255)) or (values.size == 2 and values[0]):
        raise MedbenchError(
            "data.mask_not_binary",
            f"{path}: is no outline or mask, it holds the values {named(values.tolist())}; "
            "0 and 255 are expected.",
            "Copy the original PNG again; a resized or JPEG-compressed outline cannot be filled exactly.",
        )
    return filled_outline((lines > 0).astype(np.uint8), path)


def filled_outline(outline: npt.NDArray[np.uint8], path: Path) -> npt.NDArray[np.uint8]:
    """An outline with its inside; a filled mask stays as it is.

    Where the head reaches beyond the image its outline ends at the border; the head is then filled up to the
    ellipse fitted to the visible part.

    Args:
        outline: ``(height, width)``, 0 and 1.
        path: file of the outline, for messages.

    Raises:
        MedbenchError: ``data.outline_empty``, or ``data.outline_open`` for one with a gap inside the image.
    """
    import cv2

    if not outline.any():
        raise MedbenchError(
            "data.outline_empty", f"{path}: holds no outline.", "Copy the file again from its source."
        )
    contours, _ = cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    longest = max(contours, key=len)
    head = cv2.drawContours(outline.copy(), contours, -1, 1, cv2.FILLED)
    hull = np.zeros_like(outline)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.concatenate(contours)), 1)
    if head.sum() >= MIN_ENCLOSED_SHARE * hull.sum():
        return head  # type: ignore[return-value]
    frame = outline.copy()
    frame[1:-1, 1:-1] = 0
    if not frame.any() or len(longest) < 5:
        raise MedbenchError(
            "data.outline_open",
            f"{path}: its outline is not closed: of about {int(hull.sum()):,} pixels it encloses "
            f"{int(head.sum()):,}.",
            "Close the gap, or copy the file again from its source.",
        )
    rows, columns = np.nonzero(outline)
    points = np.stack([columns, rows], axis=1).astype(np.float32)
    return np.maximum(cv2.ellipse(np.zeros_like(outline), cv2.fitEllipse(points), 1, cv2.FILLED), outline)
