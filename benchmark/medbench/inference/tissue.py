"""Detection of tissue on a slide, from its thumbnail."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CELL = 32
BLACK = 16
GROWN = 2


def tissue_mask(small: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Mask of the tissue in a thumbnail, closed, without holes, and dilated by two pixels.

    On a slide with blanked background (at least one pixel in a hundred is black) tissue is all that is not
    black; else tissue has a saturation above the threshold of Otsu 1979 (IEEE SMC 9:62).

    Args:
        small: ``(height, width, 3)`` RGB.

    Returns:
        ``(height, width)``.
    """
    import cv2

    dark = small.max(axis=2) <= BLACK
    if dark.mean() >= 0.01:
        mask = ~dark
    else:
        saturation = cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2HSV)[..., 1]
        level, _ = cv2.threshold(saturation, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        mask = saturation > min(level, 40)
    if not mask.any():
        return np.asarray(mask)
    square = np.ones((2 * GROWN + 1, 2 * GROWN + 1), np.uint8)
    frame = np.pad(mask, GROWN).view(np.uint8)
    closing = cv2.erode(cv2.dilate(frame, square), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    growth = cv2.dilate(_without_holes(np.asarray(closing, np.uint8)), square)
    return np.asarray(growth[GROWN:-GROWN, GROWN:-GROWN], bool)


def _without_holes(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A mask of 0 and 1, 0 at its border, filled where no path over sides of pixels leads to the border."""
    import cv2

    outside = mask.copy()
    cv2.floodFill(outside, None, (0, 0), 1, flags=4)
    return np.asarray(mask | (outside ^ 1), np.uint8)
