"""Batch norm beside a convolution, part of the convolution's weights in evaluation.

In training the norm needs the statistics of its input and is computed by itself. In evaluation it is a
factor and a summand a channel: scaling the weights instead saves a pass over the map and its memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.blocks.channels_last import BatchNorm, Conv, resize
from medbench.models.blocks.linear import linear


def _factor_and_summand(norm: BatchNorm) -> tuple[Tensor, Tensor] | None:
    """Scale and shift of each channel by the norm; ``None`` where they depend on the batch."""
    if norm.training or norm.running_mean is None or norm.running_var is None:
        return None
    factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return factor, norm.bias - norm.running_mean * factor


def conv_of_norm(norm: BatchNorm, conv: Conv, features: Tensor) -> Tensor:
    """``conv(norm(features))`` for a 1×1 convolution, ``(N, H, W, C)`` to ``(N, H, W, outputs)``."""
    affine = _factor_and_summand(norm)
    if affine is None:
        output: Tensor = conv(norm(features))
        return output
    factor, summand = affine
    weight = conv.weight.flatten(1)
    bias = weight @ summand if conv.bias is None else weight @ summand + conv.bias
    return linear(features, weight * factor, bias)


class ConvNormReLU(nn.Module):
    """Convolution without bias, batch norm and ReLU of ``(N, H, W, C)`` features.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: side of the kernel, odd.
        enlarge: double the size by bilinear interpolation with aligned corners before the convolution; for
            1×1 kernels, which commute with it, so that the smaller map is convolved.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, *, enlarge: bool = False) -> None:
        super().__init__()
        self.enlarge = enlarge
        self.conv = Conv(inputs, outputs, kernel)
        self.conv.register_parameter("bias", None)
        self.norm = BatchNorm(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, inputs)`` to ``(N, H, W, outputs)``, or twice the height and width."""
        affine = _factor_and_summand(self.norm)
        features = self.conv(features) if affine is None else self._scaled_conv(features, *affine)
        if self.enlarge:
            features = resize(features, 2 * features.shape[1], 2 * features.shape[2], align_corners=True)
        return functional.relu(self.norm(features) if affine is None else features, inplace=True)

    def _scaled_conv(self, features: Tensor, factor: Tensor, summand: Tensor) -> Tensor:
        weight = self.conv.weight * factor.view(-1, 1, 1, 1)
        if weight.shape[2:] == (1, 1):
            return linear(features, weight.flatten(1), summand)
        margin = weight.shape[-1] // 2
        images = functional.conv2d(features.permute(0, 3, 1, 2), weight, summand, padding=margin)
        return images.permute(0, 2, 3, 1)
