"""Multi-scale linear attention, of MSLAU-Net (arXiv 2505.18823).

Depthwise convolutions of several sizes, one a group of channels, each followed by the same linear attention.
Facts from the paper and from Monsoon49/MSLAU-Net@efdb058, whose program does three things that its formulas
do not say; each is kept, because the published weights need it, and can be switched off:

- tokens ``(N, H * W, C)`` are re-read as an image ``(N, C, H, W)`` and back without moving an axis
  (``raw_view``), so that the "channels" of the convolutions are mixtures of places and channels;
- the attention's output is re-read from ``(heads, tokens, head channels)`` as ``(tokens, channels)`` without
  moving the axis of the heads (``mixed_heads``);
- keys are normalised over the channels of a head and queries over the tokens (``exchanged_softmax``), the
  reverse of efficient attention (Shen et al., arXiv 1812.01243).

All of it works on planes, ``(N, C, H * W)``: weights are applied from the left, so that nothing is transposed
in memory, and all groups go through the attention as one batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class LinearAttention(nn.Module):
    """Attention whose cost grows with the number of tokens, not with its square.

    With ``K``, ``Q``, ``V`` ``(tokens, head channels)`` of a head the output is ``Q (Kᵀ V)``; neither a scale
    nor a normaliser.

    Args:
        dim: channels.
        heads: their number; divides ``dim``.
        mixed_heads: see the module's text.
        exchanged_softmax: see the module's text.
    """

    def __init__(
        self, dim: int, heads: int, *, mixed_heads: bool = True, exchanged_softmax: bool = True
    ) -> None:
        super().__init__()
        self.heads = heads
        self.mixed_heads = mixed_heads
        self.exchanged_softmax = exchanged_softmax
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.output = nn.Linear(dim, dim)
        nn.init.trunc_normal_(self.qkv.weight, std=0.02)
        nn.init.trunc_normal_(self.output.weight, std=0.02)
        nn.init.zeros_(self.output.bias)

    def forward(self, planes: Tensor) -> Tensor:
        """``(N, dim, tokens)`` to ``(N, dim, tokens)``."""
        n, dim, tokens = planes.shape
        projection = _from_left(self.qkv.weight, planes).view(n, 3, self.heads, dim // self.heads, tokens)
        queries, keys, values = projection.unbind(1)
        over_tokens, over_channels = -1, -2
        if self.exchanged_softmax:
            queries, keys = queries.softmax(over_tokens), keys.softmax(over_channels)
        else:
            queries, keys = queries.softmax(over_channels), keys.softmax(over_tokens)
        context = keys @ values.mT
        if self.mixed_heads:
            values_of_tokens = (queries.mT @ context).reshape(n, tokens, dim).mT
        else:
            values_of_tokens = (context.mT @ queries).reshape(n, dim, tokens)
        return _from_left(self.output.weight, values_of_tokens) + self.output.bias.unsqueeze(-1)


def _from_left(weight: Tensor, planes: Tensor) -> Tensor:
    return torch.bmm(weight.expand(len(planes), -1, -1), planes)


class MultiScaleLinearAttention(nn.Module):
    """The attention of an MSLAU-Net block.

    Args:
        dim: channels; a multiple of ``len(kernel_sizes) * heads``.
        heads: heads of the attention in every group.
        kernel_sizes: sides of the depthwise kernels, odd; one group of channels each.
        raw_view: see the module's text.
        mixed_heads: see the module's text.
        exchanged_softmax: see the module's text.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        kernel_sizes: Sequence[int] = (3, 5, 7, 9),
        *,
        raw_view: bool = True,
        mixed_heads: bool = True,
        exchanged_softmax: bool = True,
    ) -> None:
        super().__init__()
        group = dim // len(kernel_sizes)
        self.raw_view = raw_view
        self.kernel_sizes = tuple(kernel_sizes)
        self.convs = nn.ModuleList(
            nn.Conv2d(group, group, kernel, padding=kernel // 2, groups=group) for kernel in kernel_sizes
        )
        self.attention = LinearAttention(
            group, heads, mixed_heads=mixed_heads, exchanged_softmax=exchanged_softmax
        )
        self.scales = nn.Parameter(torch.ones(len(kernel_sizes)))
        self.output = nn.Conv2d(dim, dim, 1)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, dim)`` to ``(N, H, W, dim)``."""
        n, height, width, dim = features.shape
        if self.raw_view:
            images = features.reshape(n, dim, height, width)
        else:
            images = features.permute(0, 3, 1, 2).contiguous()
        groups = len(self.convs)
        mixture = functional.relu(self._mix(images), inplace=True)
        context = self.attention(mixture.reshape(n * groups, dim // groups, height * width))
        scales_of_context = context.view(n, groups, dim // groups, height * width) * self.scales.view(
            -1, 1, 1
        )
        images = self.output(scales_of_context.view(n, dim, height, width))
        if self.raw_view:
            return images.reshape(n, height, width, dim)
        return images.permute(0, 2, 3, 1)

    def _mix(self, images: Tensor) -> Tensor:
        """Each group plus its depthwise convolution, ``(N, dim, H, W)`` to ``(N, dim, H, W)``.

        Without gradient all groups are convolved at once by kernels of the largest size, whose middle holds
        the group's kernel plus one at the centre. The weight gradient of large kernels is slow on the CPU,
        so in training every group has its own.
        """
        if torch.is_grad_enabled():
            groups = images.chunk(len(self.convs), dim=1)
            return torch.cat(
                [part + conv(part) for part, conv in zip(groups, self.convs, strict=True)], dim=1
            )
        margin = max(self.kernel_sizes) // 2
        kernels: list[Tensor] = []
        biases: list[Tensor] = []
        for size, conv in zip(self.kernel_sizes, self.convs, strict=True):
            kernel, bias = conv.parameters()
            identity = functional.pad(kernel.new_ones(1, 1, 1, 1), [size // 2] * 4)
            kernels.append(functional.pad(kernel + identity, [margin - size // 2] * 4))
            biases.append(bias)
        weight = torch.cat(kernels)
        return functional.conv2d(images, weight, torch.cat(biases), padding=margin, groups=len(weight))
