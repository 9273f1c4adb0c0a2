"""Small networks with operations counted by hand, for the self-test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import DeformConv2d

LENGTH, WIDTH, HEADS, DIM = 256, 32, 4, 64
SIDE = 16
PIXELS = SIDE * SIDE
UNET_WIDTHS = (8, 16, 32)


@dataclass(frozen=True, slots=True)
class HandCount:
    """A network, its input, and its operations counted by hand.

    Attributes:
        name: name of the network in messages.
        build: makes the network.
        shape: of the input, with the batch.
        macs: multiply-accumulates of convolutions and matrix products.
        other_flops: other arithmetic; ``None`` where fused and plain kernels differ.
    """

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    macs: int
    other_flops: int | None = None


class Of(nn.Module):
    """A function as a network, with a matrix as its parameter if one is given."""

    def __init__(self, function: Callable[..., Tensor], *matrix: int) -> None:
        super().__init__()
        self.function = function
        self.matrix = nn.Parameter(torch.randn(matrix)) if matrix else None

    def forward(self, value: Tensor) -> Tensor:
        """The function of the value, and of the matrix if there is one."""
        return self.function(value) if self.matrix is None else self.function(value, self.matrix)


class Deformed(nn.Module):
    """Deformable convolution with offsets from another convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.offsets = nn.Conv2d(8, 18, 3, padding=1, bias=False)
        self.convolution = DeformConv2d(8, 16, 3, padding=1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 8, H, W)`` to ``(N, 16, H, W)``."""
        features: Tensor = self.convolution(images, self.offsets(images))
        return features


class SelfAttention(nn.Module):
    """Torch's multi-head self-attention."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(DIM, HEADS, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(N, tokens, DIM)`` to the same."""
        context: Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return context


class Recurrent(nn.Module):
    """One LSTM layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(16, 32, batch_first=True)

    def forward(self, steps: Tensor) -> Tensor:
        """``(N, steps, 16)`` to ``(N, steps, 32)``."""
        states: Tensor = self.layer(steps)[0]
        return states


class SmallUNet(nn.Module):
    """Two convolutions a level, pooling down, transposed convolution up, skips joined, 1×1 head of two."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = UNET_WIDTHS
        self.down = nn.ModuleList([_pair(3, first), _pair(first, second), _pair(second, third)])
        self.up = nn.ModuleList(
            [nn.ConvTranspose2d(third, second, 2, 2), nn.ConvTranspose2d(second, first, 2, 2)]
        )
        self.join = nn.ModuleList([_pair(2 * second, second), _pair(2 * first, first)])
        self.head = nn.Conv2d(first, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to ``(N, 2, H, W)``."""
        top = self.down[0](images)
        middle = self.down[1](functional.max_pool2d(top, 2))
        features = self.down[2](functional.max_pool2d(middle, 2))
        for skip, up, join in zip((middle, top), self.up, self.join, strict=True):
            features = join(torch.cat([skip, up(features)], dim=1))
        logits: Tensor = self.head(features)
        return logits


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _unet_macs(side: int) -> int:
    first, second, third = UNET_WIDTHS
    pixels = [(side >> level) ** 2 for level in range(3)]

    def pair(level: int, inputs: int, outputs: int) -> int:
        return pixels[level] * 9 * (inputs * outputs + outputs * outputs)

    down = pair(0, 3, first) + pair(1, first, second) + pair(2, second, third)
    up = pixels[2] * 4 * third * second + pixels[1] * 4 * second * first
    skips = pair(1, 2 * second, second) + pair(0, 2 * first, first)
    return down + up + skips + pixels[0] * first * 2


def _by_product(tokens: Tensor) -> Tensor:
    return (tokens @ tokens.transpose(-1, -2)).softmax(-1) @ tokens


def _fused(tokens: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(tokens, tokens, tokens)


def _linear(tokens: Tensor) -> Tensor:
    return tokens.softmax(-1) @ (tokens.softmax(-2).transpose(-1, -2) @ tokens)


def _by_einsum(tokens: Tensor) -> Tensor:
    return torch.einsum("bhls,bhsd->bhld", torch.einsum("bhld,bhsd->bhls", tokens, tokens), tokens)


def _gathered(tokens: Tensor, matrix: Tensor) -> Tensor:
    rows = torch.arange(0, tokens.shape[1], 2, device=tokens.device)
    return functional.linear(tokens.index_select(1, rows), matrix)


def _enlarged(images: Tensor) -> Tensor:
    return functional.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)


def _used_twice() -> nn.Module:
    layer = nn.Linear(32, 32)
    return nn.Sequential(layer, layer)


def reference_networks() -> list[HandCount]:
    """Networks with every kind of attention, convolution and projection that counters miss or count twice."""
    return [*_attentions(), *_convolutions(), *_others()]


def _attentions() -> list[HandCount]:
    tokens, rows = (1, HEADS, LENGTH, WIDTH), (1, LENGTH, DIM)
    heads = 2 * HEADS * LENGTH * LENGTH * WIDTH
    with_projections = LENGTH * 4 * DIM * DIM + 2 * LENGTH * LENGTH * DIM
    return [
        HandCount("attention by @", lambda: Of(_by_product), tokens, heads, 5 * HEADS * LENGTH**2),
        HandCount("scaled_dot_product_attention", lambda: Of(_fused), tokens, heads),
        HandCount("attention by einsum", lambda: Of(_by_einsum), tokens, heads, 0),
        HandCount("linear attention", lambda: Of(_linear), tokens, 2 * HEADS * LENGTH * WIDTH * WIDTH),
        HandCount("nn.MultiheadAttention", SelfAttention, rows, with_projections),
        HandCount(
            "nn.TransformerEncoderLayer in evaluation",
            lambda: nn.TransformerEncoderLayer(DIM, HEADS, 4 * DIM, batch_first=True),
            rows,
            with_projections + LENGTH * 8 * DIM * DIM,
        ),
    ]


def _convolutions() -> list[HandCount]:
    images, volumes = (1, 8, SIDE, SIDE), (1, 8, 8, 8, 8)
    return [
        HandCount("Conv2d", lambda: nn.Conv2d(8, 16, 3, padding=1), images, PIXELS * 8 * 16 * 9, PIXELS * 16),
        HandCount(
            "grouped Conv2d, stride 2",
            lambda: nn.Conv2d(8, 16, 3, 2, 1, groups=4, bias=False),
            images,
            PIXELS // 4 * 2 * 16 * 9,
            0,
        ),
        HandCount(
            "depthwise Conv2d",
            lambda: nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False),
            (2, 8, SIDE, SIDE),
            2 * PIXELS * 8 * 25,
            0,
        ),
        HandCount("Conv3d", lambda: nn.Conv3d(8, 4, 3, padding=1, bias=False), volumes, 512 * 8 * 4 * 27, 0),
        HandCount(
            "ConvTranspose2d", lambda: nn.ConvTranspose2d(8, 16, 2, 2, bias=False), images, PIXELS * 512, 0
        ),
        HandCount(
            "ConvTranspose3d", lambda: nn.ConvTranspose3d(8, 4, 2, 2, bias=False), volumes, 512 * 256, 0
        ),
        HandCount("deformable convolution", Deformed, images, PIXELS * 8 * 9 * (18 + 16), 7 * PIXELS * 9 * 8),
        HandCount("U-Net", SmallUNet, (1, 3, 64, 64), _unet_macs(64)),
    ]


def _others() -> list[HandCount]:
    images, series = (1, 8, SIDE, SIDE), (1, 64, 1024)
    return [
        HandCount("gather and linear", lambda: Of(_gathered, 8, 32), (1, 64, 32), 32 * 32 * 8, 0),
        HandCount("one linear layer used twice", _used_twice, (1, 16, 32), 2 * 16 * 32 * 32, 2 * 16 * 32),
        HandCount("LSTM", Recurrent, (1, 10, 16), 10 * 4 * 32 * (16 + 32)),
        HandCount("bilinear interpolation", lambda: Of(_enlarged), images, 0, 7 * 4 * PIXELS * 8),
        HandCount(
            "Fourier transform of real values", lambda: Of(torch.fft.fft), series, 0, 64 * 1024 * 10 * 5 // 2
        ),
    ]
