"""Boxes of the connected components of masks."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt


def component_boxes(mask: npt.NDArray[np.uint8], least_pixels: int = 1) -> npt.NDArray[np.float64]:
    """Corners of every component, ``(components, 4)``: left, top, right, bottom, the latter two exclusive.

    Args:
        mask: ``(height, width)``, 0 outside; pixels that touch by a corner are of one component.
        least_pixels: components of fewer pixels are left out.

    >>> component_boxes(np.array([[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]], np.uint8), 2)
    array([[1., 0., 3., 1.]])
    """
    _, _, facts, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8), connectivity=8)
    left, top, width, height, pixels = np.asarray(facts, np.float64)[1:].T
    corners = np.stack([left, top, left + width, top + height], axis=1)[pixels >= least_pixels]
    return np.asarray(corners, np.float64)
