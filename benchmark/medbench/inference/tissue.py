"""Where a slide has tissue, from a small picture of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CELL = 32
BLACK = 16
GROWN = 2


def tissue_mask(small: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Tissue in a thumbnail, generously: closed, without holes, grown by two pixels.

    A slide whose outside was blanked (at least one pixel in a hundred is black) has tissue wherever it is not
    black; else tissue is what is more colourful than the threshold of Otsu 1979 (IEEE SMC 9:62).

    Args:
        small: ``(height, width, 3)`` RGB.

    Returns:
        ``(height, width)``.
    """
    import cv2
    from scipy import ndimage

    dark = small.max(axis=2) <= BLACK
    if dark.mean() >= 0.01:
        found = ~dark
    else:
        saturation = cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2HSV)[..., 1]
        level, _ = cv2.threshold(saturation, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        found = saturation > min(level, 40)
    if not found.any():
        return np.asarray(found)
    square = np.ones((3, 3), bool)
    closed = ndimage.binary_closing(np.pad(found, 2), square, iterations=2)[2:-2, 2:-2]
    filled = ndimage.binary_fill_holes(closed | found)
    return np.asarray(ndimage.binary_dilation(filled, square, iterations=GROWN))
