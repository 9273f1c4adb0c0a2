"""A convolution behind a bilinear enlargement, computed at the small size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.blocks.channels_last import resize
from medbench.models.blocks.linear import linear

_EFFICIENCY = 4
"""How many multiplications of a matrix product take the time of one of a convolution with few outputs."""


class EnlargedConv(nn.Conv2d):
    """Bilinear enlargement with aligned corners and a 3×3 convolution, for few output channels.

    Both steps are linear and the enlargement is separable. With ``E`` the matrix that enlarges a column and
    ``E_t`` the same with its rows moved by the tap ``t``, the output is the sum over the nine taps of
    ``E_t (W_t x) E_t'ᵀ``: first the nine 1×1 products at the small size, then two matrix products. Nothing
    of the input's channel count is ever held at the large size. Very large maps, whose matrices would cost
    more, are enlarged and convolved in the plain order.

    Args:
        inputs: channels in.
        outputs: channels out.
        factor: enlargement of each side.
    """

    def __init__(self, inputs: int, outputs: int, factor: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, inputs)`` to ``(N, outputs, factor * H, factor * W)``."""
        n, height, width, inputs = features.shape
        large = self.factor * height, self.factor * width
        if height * (3 * width + large[0]) > _EFFICIENCY * 3 * inputs * large[0]:
            return super().forward(resize(features, *large, align_corners=True).permute(0, 3, 1, 2))
        taps = linear(features, self.weight.permute(0, 2, 3, 1).reshape(-1, inputs))
        with torch.autocast(features.device.type, enabled=False):
            taps = taps.to(self.weight.dtype).view(n, height, width, self.out_channels, 3, 3)
            columns = taps.permute(0, 3, 4, 1, 5, 2).reshape(n, self.out_channels, 3 * height, 3 * width)
            rows_matrix = _tap_matrix(height, large[0], taps)
            columns_matrix = _tap_matrix(width, large[1], taps)
            bias = 0 if self.bias is None else self.bias.view(-1, 1, 1)
            return rows_matrix @ (columns @ columns_matrix.T) + bias


def _tap_matrix(size: int, large: int, like: Tensor) -> Tensor:
    """``(large, 3 * size)``: enlargement of a column, seen by the taps before, at and after each place."""
    steps = max(large - 1, 1)
    places = torch.arange(large, device=like.device).unsqueeze(1) * (size - 1)
    sources = torch.arange(size, device=like.device) * steps
    distances = (places - sources).abs().to(torch.promote_types(like.dtype, torch.float32)) / steps
    matrix = (1 - distances).clamp(min=0).to(like.dtype)
    rows = functional.pad(matrix, (0, 0, 1, 1))
    return torch.cat([rows[tap : tap + large] for tap in range(3)], dim=1)
