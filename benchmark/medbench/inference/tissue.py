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
    from scipy import ndimage

    dark = small.max(axis=2) <= BLACK
    if dark.mean() >= 0.01:
        mask = ~dark
    else:
        saturation = cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2HSV)[..., 1]
        level, _ = cv2.threshold(saturation, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        mask = saturation > min(level, 40)
    if not mask.any():
        return np.asarray(mask)
    square = np.ones((3, 3), bool)
    closing = ndimage.binary_closing(np.pad(mask, 2), square, iterations=2)[2:-2, 2:-2]
    filling = ndimage.binary_fill_holes(closing | mask)
    return np.asarray(ndimage.binary_dilation(filling, square, iterations=GROWN))
