"""Dual sparse selection attention, of MedFormer (arXiv 2507.02488) and DSSAU-Net (arXiv 2506.03684).

Each query region picks the ``topk`` regions whose mean key fits its mean query best; each query pixel then
attends to the ``topk * pixels_per_region // 8`` best pixels of those regions. Facts from the papers and from
XiaZunhui/MedFormer@3ede415 and XiaZunhui/DSSAU-Net@ce1d11d, whose operator is the same.

Feature maps are ``(N, H, W, C)`` throughout: linear layers, norms and the cutting into regions then need no
transposed copies, and convolutions see the same memory as channels-last.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import StochasticDepth


def channels_last_conv(convolution: nn.Conv2d, features: Tensor) -> Tensor:
    """Apply a convolution to ``(N, H, W, C)`` features; the result has that layout too."""
    return convolution(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class DualSparseSelectionAttention(nn.Module):
    """Attention over selected pixels of selected regions, plus a depthwise convolution of the values.

    The routing logits are unscaled products of region means over all channels, without gradient; the
    attention scale is ``dim ** -0.5`` (not the head's). A map that the grid does not divide is padded with
    zeros after the projection; padded keys take part with logit 0 and value 0, as in the authors' program.

    Args:
        dim: channels C.
        num_heads: heads; they share the selected regions.
        n_win: regions along each side.
        topk: regions that a query region attends to.
        side_dwconv: kernel of the depthwise convolution of the values.
    """

    def __init__(self, dim: int, num_heads: int, n_win: int, topk: int, side_dwconv: int = 5) -> None:
        super().__init__()
        self.dim = dim
        self.num_heads = num_heads
        self.n_win = n_win
        self.topk = topk
        self.scale = dim**-0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.local_enhancement = nn.Conv2d(dim, dim, side_dwconv, padding=side_dwconv // 2, groups=dim)
        self.output = nn.Linear(dim, dim)
        for linear in (self.qkv, self.output):
            _initialise_as_convolution(linear)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, H, W, C)``; H and W at least ``n_win``."""
        n, height, width, dim = features.shape
        region_height, region_width = height // self.n_win, width // self.n_win
        rows, columns = -(-height // region_height), -(-width // region_width)
        bottom, right = rows * region_height - height, columns * region_width - width
        qkv = self.qkv(features)
        padded = functional.pad(qkv, (0, 0, 0, right, 0, bottom)) if bottom or right else qkv

        heads, head_dim = self.num_heads, dim // self.num_heads
        regions, pixels = rows * columns, region_height * region_width
        cut = padded.view(n, rows, region_height, columns, region_width, 3, heads, head_dim)
        selected = self._select_regions(cut, (height, width))
        chosen = selected.shape[-1]

        # Rows of the table are whole regions of one head, keys beside values: one gather fetches both.
        table = cut[..., 1:, :, :].permute(0, 1, 3, 6, 2, 4, 5, 7).reshape(n * regions * heads, -1)
        base = torch.arange(n, device=features.device).view(n, 1, 1, 1) * regions
        head = torch.arange(heads, device=features.device).view(1, 1, heads, 1)
        index = (base + selected.unsqueeze(2)) * heads + head
        gathered = table.index_select(0, index.flatten())
        gathered = gathered.view(n * regions * heads, chosen * pixels, 2, head_dim)

        query = cut[..., 0, :, :].permute(0, 1, 3, 5, 2, 4, 6).reshape(n * regions * heads, pixels, head_dim)
        attended = _attend_to_best(query * self.scale, gathered[:, :, 0], gathered[:, :, 1])
        attended = attended.view(n, rows, columns, heads, region_height, region_width, head_dim)
        attended = attended.permute(0, 1, 4, 2, 5, 3, 6).reshape(n, *padded.shape[1:3], dim)
        attended = attended[:, :height, :width]
        return self.output(attended + channels_last_conv(self.local_enhancement, qkv[..., 2 * dim :]))

    def _select_regions(self, cut: Tensor, size: tuple[int, int]) -> Tensor:
        """``(N, regions, topk)`` indices from the means of queries and keys over each region's real pixels."""
        n, rows, region_height, columns, region_width = cut.shape[:5]
        sums = cut.detach()[..., :2, :, :].sum(dim=(2, 4)).view(n, rows * columns, 2, self.dim)
        real_rows = _real_pixels(size[0], region_height, rows, cut)
        real_columns = _real_pixels(size[1], region_width, columns, cut)
        means = sums / (real_rows[:, None] * real_columns).view(-1, 1, 1)
        routing = means[:, :, 0] @ means[:, :, 1].transpose(1, 2)
        return routing.topk(min(self.topk, rows * columns), dim=-1).indices


def _initialise_as_convolution(linear: nn.Linear) -> None:
    """The authors' projections are 1×1 convolutions, with that layer's default initial weights."""
    nn.init.kaiming_uniform_(linear.weight, a=5**0.5)
    bound = linear.in_features**-0.5
    nn.init.uniform_(linear.bias, -bound, bound)


def _real_pixels(size: int, region: int, count: int, like: Tensor) -> Tensor:
    starts = torch.arange(count, device=like.device) * region
    return (size - starts).clamp(max=region).to(like.dtype)


def _attend_to_best(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention over exactly ``keys // 8`` best keys of each query, ties included.

    Args:
        query: ``(batch, queries, d)``, scaled.
        key: ``(batch, keys, d)``.
        value: ``(batch, keys, d)``.
    """
    logits = query @ key.transpose(1, 2)
    kept = logits.shape[-1] // 8
    best, index = logits.topk(kept, dim=-1, sorted=False)
    weights = torch.zeros_like(logits).scatter(-1, index, best.softmax(dim=-1).to(logits.dtype))
    return weights @ value


class FullAttention(nn.Module):
    """Attention among all pixels with a depthwise convolution of its input; always eight heads.

    The projection has no bias and the scale is that of a head.

    Args:
        dim: channels C.
        num_heads: heads.
        side_dwconv: kernel of the depthwise convolution.
    """

    def __init__(self, dim: int, num_heads: int = 8, side_dwconv: int = 5) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.local_enhancement = nn.Conv2d(dim, dim, side_dwconv, padding=side_dwconv // 2, groups=dim)
        self.output = nn.Linear(dim, dim)
        for linear in (self.qkv, self.output):
            nn.init.trunc_normal_(linear.weight, std=0.02)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, H, W, C)``."""
        n, height, width, dim = features.shape
        qkv = self.qkv(features).view(n, height * width, 3, self.num_heads, dim // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)
        attended = attended.transpose(1, 2).reshape(n, height, width, dim)
        return self.output(attended + channels_last_conv(self.local_enhancement, features))


class AttentionBlock(nn.Module):
    """Positional depthwise convolution, attention and a two-layer perceptron, each with a residual.

    Args:
        dim: channels C.
        attention: module on ``(N, H, W, C)``.
        mlp_ratio: hidden width of the perceptron over C.
        drop_path: probability that a residual branch is left out for a sample in training.
    """

    def __init__(self, dim: int, attention: nn.Module, mlp_ratio: float = 3, drop_path: float = 0.0) -> None:
        super().__init__()
        self.position = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attention = attention
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(dim, int(mlp_ratio * dim)), nn.GELU(), nn.Linear(int(mlp_ratio * dim), dim)
        )
        self.drop_path = StochasticDepth(drop_path, "row") if drop_path > 0 else nn.Identity()
        for linear in (self.mlp[0], self.mlp[2]):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, H, W, C)``."""
        features = features + channels_last_conv(self.position, features)
        features = features + self.drop_path(self.attention(self.norm1(features)))
        return features + self.drop_path(self.mlp(self.norm2(features)))
