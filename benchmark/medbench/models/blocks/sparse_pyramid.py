"""The four levels of MedFormer (arXiv 2507.02488), which DSSAU-Net (arXiv 2506.03684) has as its encoder.

Facts from XiaZunhui/MedFormer@3ede415 and XiaZunhui/DSSAU-Net@ce1d11d. Feature maps are ``(N, H, W, C)``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from medbench.models.blocks.channels_last import conv_norm
from medbench.models.blocks.dual_sparse_selection_attention import (
    AttentionBlock,
    DualSparseSelectionAttention,
    FullAttention,
)

AUTHORS_PYRAMID_PLACES = (
    (r"downsample_layers\.0\.([01])\.", r"stem.0.\1."),
    (r"downsample_layers\.0\.3\.", "stem.1.0."),
    (r"downsample_layers\.0\.4\.", "stem.1.1."),
    (r"downsample_layers\.1\.", "reduce.0."),
    (r"downsample_layers\.2\.", "reduce.1."),
    (r"downsample_layers\.3\.", "reduce.2."),
    (r"stages\.", "encoder."),
    (r"extra_norms\.", "encoder_norms."),
)
"""Where the parts of the authors' pyramid are in :class:`SparsePyramid`."""


@dataclass(frozen=True, slots=True)
class PyramidOptions:
    """Options of the blocks at all levels.

    Attributes:
        n_win: regions along each side.
        topk: regions that a region attends to, at 1/4, 1/8 and 1/16.
        embed_dim: channels at 1/4, 1/8, 1/16 and 1/32.
        depth: blocks at those levels.
        head_dim: channels of a head, except at 1/32, where there are always eight heads.
        mlp_ratio: hidden width of the perceptrons.
        side_dwconv: kernel of the attention's depthwise convolution, odd.
        drop_path: largest rate of left-out branches; it grows from 0 in the first block.
    """

    n_win: int
    topk: Sequence[int]
    embed_dim: Sequence[int]
    depth: Sequence[int]
    head_dim: int
    mlp_ratio: float
    side_dwconv: int
    drop_path: float

    def problems(self) -> tuple[tuple[bool, str], ...]:
        """Conditions and texts for :func:`medbench.models.options.refuse_options`."""
        topk, embed_dim, depth = list(self.topk), list(self.embed_dim), list(self.depth)
        return (
            (len(topk) != 3 or min(topk, default=0) < 1, f"topk={topk} is not three positive numbers"),
            (len(embed_dim) != 4, f"embed_dim={embed_dim} is not four numbers"),
            (len(depth) != 4 or min(depth, default=0) < 0, f"depth={depth} is not four numbers from 0 on"),
            (self.n_win < 1, f"n_win={self.n_win} is not positive"),
            (self.side_dwconv < 1 or self.side_dwconv % 2 == 0, f"side_dwconv={self.side_dwconv} is not odd"),
            (
                any(dim < self.head_dim or dim % self.head_dim for dim in embed_dim[:3]),
                f"head_dim={self.head_dim} does not divide {embed_dim[:3]}",
            ),
            (
                any(dim % 8 for dim in embed_dim[3:]),
                f"the last of embed_dim={embed_dim} is no multiple of 8 heads",
            ),
        )

    def blocks(self, level: int, dim: int) -> nn.Sequential:
        """The blocks of a level, 0 to 3, with ``dim`` channels."""
        rates = [self.drop_path * block / max(sum(self.depth) - 1, 1) for block in range(sum(self.depth))]
        start = sum(self.depth[:level])
        return nn.Sequential(
            *(
                AttentionBlock(
                    dim,
                    FullAttention(dim, side_dwconv=self.side_dwconv)
                    if level == 3
                    else DualSparseSelectionAttention(
                        dim, dim // self.head_dim, self.n_win, self.topk[level], self.side_dwconv
                    ),
                    self.mlp_ratio,
                    rate,
                )
                for rate in rates[start : start + self.depth[level]]
            )
        )


class SparsePyramid(nn.Module):
    """Stem, three reductions and four levels of blocks; networks build their heads on it.

    Args:
        in_channels: input channels.
        options: of the blocks.
        normed: whether a layer norm follows each level, as for dense tasks.
    """

    def __init__(self, in_channels: int, options: PyramidOptions, *, norms: bool = True) -> None:
        super().__init__()
        first, dims = options.embed_dim[0], options.embed_dim
        self.stem = nn.Sequential(
            conv_norm(in_channels, first // 2, 3, 2, nn.GELU()), conv_norm(first // 2, first, 3, 2)
        )
        self.reduce = nn.ModuleList(
            conv_norm(inputs, outputs, 3, 2) for inputs, outputs in itertools.pairwise(dims)
        )
        self.encoder = nn.ModuleList(options.blocks(level, dim) for level, dim in enumerate(dims))
        self.encoder_norms = nn.ModuleList(
            nn.LayerNorm(dim, eps=1e-6) if norms else nn.Identity() for dim in dims
        )

    def encode(self, images: Tensor) -> list[Tensor]:
        """``(N, in_channels, H, W)`` to maps ``(N, H / s, W / s, embed_dim)``, s = 4, 8, 16, 32."""
        features = self.stem(images.permute(0, 2, 3, 1).contiguous())
        maps = []
        for level, (blocks, norm) in enumerate(zip(self.encoder, self.encoder_norms, strict=True)):
            if level:
                features = self.reduce[level - 1](features)
            features = blocks(features)
            maps.append(norm(features))
        return maps
