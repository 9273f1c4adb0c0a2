"""Enlargement of feature maps by trading channels for pixels.

``PatchExpand`` and ``ExpandedHead`` are those of Swin-Unet (arXiv 2105.05537), which BRAU-Net and BRAU-Net++
use. Feature maps are ``(N, H, W, C)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medbench.models.blocks.linear import Linear, linear
from medbench.models.blocks.recomputed import recomputed


def channels_to_pixels(features: Tensor, factor: int) -> Tensor:
    """``(N, H, W, factor² · C)`` to ``(N, factor · H, factor · W, C)``.

    The channels are ordered by row in the patch, column in the patch, channel.
    """
    n, height, width, dim = features.shape
    patches = features.view(n, height, width, factor, factor, dim // factor**2)
    return patches.transpose(2, 3).reshape(n, factor * height, factor * width, dim // factor**2)


class PatchExpand(nn.Module):
    """Linear layer, doubled sides and layer norm: ``(N, H, W, C)`` to ``(N, 2H, 2W, C / 2)``.

    Args:
        dim: channels C.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.expand = Linear(dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(dim // 2)
        nn.init.trunc_normal_(self.expand.weight, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, 2H, 2W, C / 2)``."""
        output: Tensor = self.norm(channels_to_pixels(self.expand(features), 2))
        return output


class InvertedBottleneckPatchExpand(nn.Module):
    """Our design after the description of "inverted bottleneck patch expanding" in arXiv 2410.10352.

    Known of the paper's: 1×1 convolutions first widen the features, a rearrangement then trades channels
    for pixels, convolutions along several dilated paths follow. Its widths, kernels, dilations, norms and
    activations were not found and no code was released. Ours widens fourfold, so that the rearrangement
    keeps C channels, adds the sum of 3×3 depthwise convolutions of several dilations, and contracts to C / 2.

    Args:
        dim: channels C.
        dilations: of the paths.
    """

    def __init__(self, dim: int, dilations: Sequence[int] = (1, 2, 3)) -> None:
        super().__init__()
        self.expand = Linear(dim, 4 * dim)
        self.activation = nn.GELU()
        self.paths = nn.ModuleList(
            nn.Conv2d(dim, dim, 3, padding=dilation, dilation=dilation, groups=dim) for dilation in dilations
        )
        self.contract = Linear(dim, dim // 2)
        self.norm = nn.LayerNorm(dim // 2)
        for layer in (self.expand, self.contract):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, 2H, 2W, C / 2)``."""
        pixels = channels_to_pixels(self.activation(self.expand(features)), 2).permute(0, 3, 1, 2)
        mixture = torch.stack([pixels, *(path(pixels) for path in self.paths)]).sum(dim=0)
        output: Tensor = self.norm(self.contract(mixture.permute(0, 2, 3, 1)))
        return output


class ExpandedHead(nn.Module):
    """Enlargement by linear layer and layer norm, then a 1×1 convolution to the classes.

    The norm and the convolution act on each pixel alone, so both come before the rearrangement, which then
    moves ``num_classes`` channels instead of ``dim``. What has ``dim`` channels at the large size exists for
    one row of every patch at a time, and is not kept for the backward pass.

    Args:
        dim: channels C.
        num_classes: channels out.
        factor: enlargement of each side.
    """

    def __init__(self, dim: int, num_classes: int, factor: int = 4) -> None:
        super().__init__()
        self.factor = factor
        self.expand = Linear(dim, factor**2 * dim, bias=False)
        self.norm = nn.LayerNorm(dim)
        self.output = nn.Conv2d(dim, num_classes, 1, bias=False)
        nn.init.trunc_normal_(self.expand.weight, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, num_classes, factor · H, factor · W)``."""
        n, height, width, _ = features.shape
        rows = [
            recomputed(self._row_of_patches, features, weight)
            for weight in self.expand.weight.chunk(self.factor)
        ]
        logits = torch.stack(rows, dim=2).permute(0, 5, 1, 2, 3, 4)
        return logits.reshape(n, -1, self.factor * height, self.factor * width)

    def _row_of_patches(self, features: Tensor, weight: Tensor) -> Tensor:
        """Logits ``(N, H, W, factor, num_classes)`` for one row of pixels in every patch."""
        pixels = linear(features, weight).unflatten(-1, (self.factor, -1))
        return linear(self.norm(pixels), self.output.weight.flatten(1))
