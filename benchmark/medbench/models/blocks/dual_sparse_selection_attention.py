"""Dual sparse selection attention, of MedFormer (arXiv 2507.02488) and DSSAU-Net (arXiv 2506.03684).

Each query region picks the ``topk`` regions whose mean key fits its mean query best; each query pixel then
attends to the ``topk * pixels_per_region // 8`` best pixels of those regions. Facts from the papers and from
XiaZunhui/MedFormer@3ede415 and XiaZunhui/DSSAU-Net@ce1d11d, whose operator is the same.

Feature maps are ``(N, H, W, C)`` throughout: linear layers, norms and the cutting into regions then need no
transposed copies, and convolutions see the same memory as channels-last.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.blocks.channels_last import DepthwiseConv
from medbench.models.blocks.largest_softmax import add_to_rows, softmax_of_largest
from medbench.models.blocks.linear import Linear
from medbench.models.blocks.recomputed import of_activation
from medbench.models.blocks.stochastic_depth import StochasticDepth

AUTHORS_BLOCK_PARTS = (
    (r"\.pos_embed\.", ".position."),
    (r"\.attn\.lepe\.", ".attention.local_enhancement."),
    (r"\.attn\.(qkv_linear|qkv)\.", ".attention.qkv."),
    (r"\.attn\.(output_linear|proj)\.", ".attention.output."),
    (r"\.mlp\.3\.", ".mlp.2."),
)
"""Authors' names within a block and ours: ``qkv`` and ``output`` are 1×1 there, here matrices."""


class DualSparseSelectionAttention(nn.Module):
    """Attention over selected pixels of selected regions, plus a depthwise convolution of the values.

    The routing logits are unscaled products of region means over all channels, without gradient; the
    attention scale is ``dim ** -0.5`` (not the head's). A map that the grid does not divide is padded with
    zeros after the projection; padded keys take part with logit 0 and value 0, as in the authors' program.
    Where the selected regions have fewer than eight pixels no pixel is selected and the depthwise
    convolution alone remains, as in the authors' program.

    Args:
        dim: channels C.
        num_heads: heads; they share the selected regions.
        n_win: regions along each side.
        topk: regions that a query region attends to.
        side_dwconv: kernel of the depthwise convolution of the values, odd.
    """

    def __init__(self, dim: int, num_heads: int, n_win: int, topk: int, side_dwconv: int = 5) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.n_win = n_win
        self.topk = topk
        self.scale = dim**-0.5
        self.qkv = Linear(dim, 3 * dim)
        self.local_enhancement = DepthwiseConv(dim, side_dwconv)
        self.output = Linear(dim, dim)
        for linear in (self.qkv, self.output):
            _initialise_as_convolution(linear)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, H, W, C)``; H and W at least ``n_win``."""
        _, height, width, dim = features.shape
        grid = RegionGrid(height, width, self.n_win)
        qkv = self.qkv(features)
        query, key, value = qkv.split(dim, dim=-1)
        query_means, key_means, _ = grid.means(qkv.detach()).split(dim, dim=-1)
        context = attend_to_selected(
            grid.cut(query * self.scale, self.num_heads),
            grid.cut(key, self.num_heads),
            grid.cut(value, self.num_heads),
            select_regions(query_means, key_means, self.topk),
        )
        output: Tensor = self.output(grid.join(context) + self.local_enhancement(value))
        return output


def _initialise_as_convolution(linear: nn.Linear) -> None:
    """Initial weights as of a 1×1 convolution, which the authors' projections are."""
    nn.init.kaiming_uniform_(linear.weight, a=5**0.5)
    bound = linear.in_features**-0.5
    nn.init.uniform_(linear.bias, -bound, bound)


@dataclass(frozen=True, slots=True)
class RegionGrid:
    """The division of a map into equal regions; the last row and column may reach beyond the map.

    Attributes:
        height: of the map in pixels.
        width: of the map in pixels.
        n_win: regions along each side when it divides that side; otherwise there are more.
    """

    height: int
    width: int
    n_win: int

    @property
    def region(self) -> tuple[int, int]:
        """Height and width of a region in pixels."""
        return self.height // self.n_win, self.width // self.n_win

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of regions."""
        region_height, region_width = self.region
        return -(-self.height // region_height), -(-self.width // region_width)

    def cut(self, features: Tensor, heads: int) -> Tensor:
        """``(N, H, W, C)`` to ``(N, heads, regions, pixels, C / heads)``, zeros beyond the map."""
        n, _, _, dim = features.shape
        (rows, columns), (region_height, region_width) = self.shape, self.region
        bottom, right = rows * region_height - self.height, columns * region_width - self.width
        if bottom or right:
            features = functional.pad(features, (0, 0, 0, right, 0, bottom))
        split = features.reshape(n, rows, region_height, columns, region_width, heads, dim // heads)
        by_region = split.permute(0, 5, 1, 3, 2, 4, 6)
        return by_region.reshape(n, heads, rows * columns, region_height * region_width, dim // heads)

    def join(self, regions: Tensor) -> Tensor:
        """The inverse of :meth:`cut`."""
        n, heads, _, _, head_dim = regions.shape
        (rows, columns), (region_height, region_width) = self.shape, self.region
        split = regions.view(n, heads, rows, columns, region_height, region_width, head_dim)
        features = split.permute(0, 2, 4, 3, 5, 1, 6)
        features = features.reshape(n, rows * region_height, columns * region_width, heads * head_dim)
        return features[:, : self.height, : self.width]

    def means(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to the mean over each region's pixels on the map, ``(N, regions, C)``."""
        averages = functional.avg_pool2d(
            features.permute(0, 3, 1, 2), self.region, ceil_mode=True, count_include_pad=False
        )
        return averages.permute(0, 2, 3, 1).flatten(1, 2)


def select_regions(query_means: Tensor, key_means: Tensor, topk: int) -> Tensor:
    """``(N, regions, C)`` means to the indices of the best key regions, ``(N, regions, topk)``."""
    routing = query_means @ key_means.transpose(1, 2)
    return routing.topk(min(topk, routing.shape[-1]), dim=-1).indices


def attend_to_selected(query: Tensor, key: Tensor, value: Tensor, key_regions: Tensor) -> Tensor:
    """Attention of each query to the best eighth of the pixels of its region's selected regions.

    Args:
        query: ``(N, heads, regions, pixels, d)``, scaled.
        key: same shape.
        value: same shape.
        key_regions: ``(N, regions, topk)``.

    Returns:
        ``(N, heads, regions, pixels, d)``.
    """
    _, _, regions, pixels, head_dim = query.shape
    count = key_regions.shape[-1]
    mask_is_cheaper = regions * pixels <= head_dim * count
    attend = _attend_masked if mask_is_cheaper else _attend_gathered
    return attend(query, key, value, key_regions, count * pixels // 8)


def _attend_gathered(query: Tensor, key: Tensor, value: Tensor, key_regions: Tensor, count: int) -> Tensor:
    """Fetch the selected regions as whole rows of a table, then attend within them."""
    n, heads, regions, pixels, head_dim = query.shape
    start = torch.arange(n * heads, device=query.device).view(n, heads, 1, 1) * regions
    rows = (start + key_regions.unsqueeze(1)).flatten()
    keys, values = (
        functional.embedding(rows, table.reshape(-1, pixels * head_dim)).view(
            n * heads * regions, -1, head_dim
        )
        for table in (key, value)
    )
    logits = query.reshape(-1, pixels, head_dim) @ keys.transpose(1, 2)
    return (softmax_of_largest(logits, count) @ values).view_as(query)


def _attend_masked(query: Tensor, key: Tensor, value: Tensor, key_regions: Tensor, count: int) -> Tensor:
    """Attend to all pixels with ``-inf`` outside the selected regions.

    Cheaper than fetching on small maps, where the regions' keys and values outweigh all logits.
    """
    n, _, regions, pixels, _ = query.shape
    mask = query.new_full((n, regions, regions), -torch.inf).scatter_(-1, key_regions, 0)
    logits = query.flatten(2, 3) @ key.flatten(2, 3).transpose(2, 3)
    logits = add_to_rows(logits, mask.repeat_interleave(pixels, dim=-1))
    return (softmax_of_largest(logits, count) @ value.flatten(2, 3)).view_as(query)


class FullAttention(nn.Module):
    """Attention among all pixels with a depthwise convolution of its input; always eight heads.

    The projection has no bias and the scale is that of a head.

    Args:
        dim: channels C.
        num_heads: heads.
        side_dwconv: kernel of the depthwise convolution, odd.
    """

    def __init__(self, dim: int, num_heads: int = 8, side_dwconv: int = 5) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = Linear(dim, 3 * dim, bias=False)
        self.local_enhancement = DepthwiseConv(dim, side_dwconv)
        self.output = Linear(dim, dim)
        for linear in (self.qkv, self.output):
            nn.init.trunc_normal_(linear.weight, std=0.02)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, H, W, C)``."""
        n, height, width, dim = features.shape
        qkv = self.qkv(features).view(n, height * width, 3, self.num_heads, dim // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        context = functional.scaled_dot_product_attention(query, key, value)
        context = context.transpose(1, 2).reshape(n, height, width, dim)
        return self.output(context + self.local_enhancement(features))


class AttentionBlock(nn.Module):
    """Positional depthwise convolution, attention and a two-layer perceptron, each with a residual.

    The perceptron's activation is not kept for the backward pass.

    Args:
        dim: channels C.
        attention: module on ``(N, H, W, C)``.
        mlp_ratio: hidden width of the perceptron over C.
        drop_path: probability that a residual branch is left out for a sample in training.
    """

    def __init__(self, dim: int, attention: nn.Module, mlp_ratio: float = 3, drop_path: float = 0.0) -> None:
        super().__init__()
        hidden = int(mlp_ratio * dim)
        self.position = DepthwiseConv(dim, 3)
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attention = attention
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        expand, contract = Linear(dim, hidden), Linear(hidden, dim)
        self.mlp = nn.Sequential(expand, nn.GELU(), contract)
        self.drop_path = StochasticDepth(drop_path) if drop_path > 0 else nn.Identity()
        for linear in (expand, contract):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, H, W, C)``."""
        features = features + self.position(features)
        features = features + self.drop_path(self.attention(self.norm1(features)))
        expand, activation, contract = self.mlp
        hidden = expand(self.norm2(features))
        return features + self.drop_path(of_activation(contract, activation, hidden))
