"""Convolutions of feature maps that are stored ``(N, H, W, C)``.

The permutations only relabel axes: torch sees a channels-last image and computes on the same memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.blocks.linear import linear


def resize(features: Tensor, height: int, width: int, *, align_corners: bool) -> Tensor:
    """Bilinear, ``(N, H, W, C)`` to ``(N, height, width, C)``."""
    if features.shape[1:3] == (height, width):
        return features
    images = functional.interpolate(
        features.permute(0, 3, 1, 2), (height, width), mode="bilinear", align_corners=align_corners
    )
    return images.permute(0, 2, 3, 1)


class Conv(nn.Conv2d):
    """Convolution of ``(N, H, W, C)`` features, padded by ``kernel // 2``; 1×1 is a matrix product.

    Larger kernels are kept in channels-last memory, which saves rearranging them in every call.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: side of the kernel, odd.
        stride: step.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2)
        if kernel > 1:
            self.weight = nn.Parameter(self.weight.detach().contiguous(memory_format=torch.channels_last))

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, inputs)`` to ``(N, ceil(H / stride), ceil(W / stride), outputs)``."""
        if self.kernel_size == (1, 1) and self.stride == (1, 1):
            return linear(features, self.weight.flatten(1), self.bias)
        return super().forward(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm of ``(N, H, W, C)`` features."""

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, H, W, C)``."""
        return super().forward(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def conv_norm(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, activation: nn.Module | None = None
) -> nn.Sequential:
    """:class:`Conv`, :class:`BatchNorm` and an activation if one is given."""
    layers = [Conv(inputs, outputs, kernel, stride), BatchNorm(outputs)]
    return nn.Sequential(*layers, *([activation] if activation else []))


class DepthwiseConv(nn.Conv2d):
    """Depthwise convolution of ``(N, H, W, C)`` features that keeps their size.

    Args:
        dim: channels C.
        kernel: side of the kernel, odd.
    """

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__(dim, dim, kernel, padding=kernel // 2, groups=dim)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, H, W, C)``."""
        images = features.permute(0, 3, 1, 2)
        if self._needs_tiled_gradient(images):
            outputs: Tensor = _TiledGradientConv.apply(images, self.weight, self.bias)
        else:
            outputs = super().forward(images)
        return outputs.permute(0, 2, 3, 1)

    def _needs_tiled_gradient(self, images: Tensor) -> bool:
        return (
            self.kernel_size[0] > 3
            and torch.is_grad_enabled()
            and self.weight.requires_grad
            and images.device.type == "cpu"
            and images.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
        )


class _TiledGradientConv(torch.autograd.Function):
    """Depthwise convolution whose weight gradient is assembled from 3×3 windows of the kernel.

    oneDNN has a fast depthwise weight gradient for 3×3 kernels alone; larger ones take about seven times as
    long a tap. A k×k weight gradient consists of 3×3 ones of the input shifted by the window's place.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(images, weight)
        return functional.conv2d(images, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        images, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        margin = weight.shape[-1] // 2
        images_gradient = None
        if ctx.needs_input_grad[0]:
            images_gradient = functional.conv2d(
                gradient, weight.flip(2, 3), padding=margin, groups=len(weight)
            )
        return (
            images_gradient,
            _weight_gradient(images, gradient, weight.shape[-1]),
            gradient.sum(dim=(0, 2, 3)),
        )


def _weight_gradient(images: Tensor, gradient: Tensor, kernel: int) -> Tensor:
    channels, height, width = images.shape[1:]
    margin = kernel // 2
    canvas = functional.pad(images, (margin, margin, margin, margin))
    result = images.new_empty(channels, 1, kernel, kernel)
    window = images.new_empty(channels, 1, 3, 3)
    for row in range(0, kernel - 2, 2):
        for column in range(0, kernel - 2, 2):
            view = canvas[..., row : row + height + 2, column : column + width + 2]
            result[..., row : row + 3, column : column + 3] = torch.ops.aten.convolution_backward(
                gradient,
                view.contiguous(memory_format=torch.channels_last),
                window,
                None,
                [1, 1],
                [0, 0],
                [1, 1],
                False,
                [0, 0],
                channels,
                [False, True, False],
            )[1]
    return result
