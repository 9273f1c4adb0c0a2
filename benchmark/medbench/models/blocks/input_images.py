"""Images as a network needs them: with its channels, and with zeros up to sides that it can compute."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def with_channels(images: Tensor, in_channels: int) -> Tensor:
    """Images ``(N, in_channels, H, W)``; a single channel is repeated where three are needed."""
    if images.shape[1] == 1 and in_channels == 3:
        return images.expand(-1, 3, -1, -1)
    return images


def zero_padded(images: Tensor, divisor: int = 1, least_side: int = 1) -> Tensor:
    """Images with zeros at the bottom and right up to multiples of ``divisor`` and to ``least_side``.

    Args:
        images: ``(N, channels, H, W)``.
        divisor: of both sides.
        least_side: of both sides, a multiple of the divisor.
    """
    bottom, right = (max(-(-side // divisor) * divisor, least_side) - side for side in images.shape[-2:])
    return functional.pad(images, (0, right, 0, bottom)) if bottom or right else images
