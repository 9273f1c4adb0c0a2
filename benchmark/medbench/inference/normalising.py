"""Images with their values scaled and normalised, as planes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def normalised(images: npt.NDArray[Any], scale: float, mean: Floats, std: Floats) -> Floats:
    """Values less the mean, over the deviation, ``(images, channels, height, width)``.

    Each of the 256 values of 8-bit images is normalised once, and looked up.

    Args:
        images: ``(images, height, width, channels)``; whole numbers, or floating-point numbers from 0 to 1.
        scale: whole numbers are divided by this.
        mean: one number per channel.
        std: one number per channel.
    """
    if images.dtype == np.uint8 and len(mean) == len(std) == images.shape[-1]:
        values = np.arange(256, dtype=np.float32)[:, np.newaxis] / np.float32(scale)
        return _looked_up(images, np.ascontiguousarray(((values - mean) / std).T))
    scaled = images.astype(np.float32)
    if np.issubdtype(images.dtype, np.integer):
        scaled /= np.float32(scale)
    return np.asarray(((scaled - mean) / std).transpose(0, 3, 1, 2), np.float32)


def _looked_up(images: npt.NDArray[np.uint8], table: Floats) -> Floats:
    """Planes of the images, every value replaced by that of its channel's row in the table."""
    import cv2

    planes = np.empty((len(images), len(table), *images.shape[1:3]), np.float32)
    for image, targets in zip(images, planes, strict=True):
        for values, row, target in zip(cv2.split(np.ascontiguousarray(image)), table, targets, strict=True):
            target[:] = cv2.LUT(values, row)
    return planes
