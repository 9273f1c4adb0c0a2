"""BRAU-Net++: a U-shaped hybrid of convolution and transformer with bi-level routing (arXiv 2401.00722).

Authors' code: Caipengzhou/BRAU-Netplusplus@b25641a, no licence stated; facts only, nothing copied.
Ours computes the same function; only the order of steps that commute differs. As in their program the
deepest map passes from the convolution straight to the decoder: the two blocks that it builds at 1/32
(11,865,600 parameters) are never computed with, and ours leaves them out. The first norm of a block is
applied twice (:class:`NormedFirstBlock`).

Where the paper and the program leave room, this is ours: any size of input (theirs takes squares of the size
it was built for), ``in_channels`` other than three, and an image-level head (``num_image_classes``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from medbench.models.blocks.bi_level_routing_attention import (
    AUTHORS_BLOCK_PARTS,
    BiLevelRoutingAttention,
    NormedFirstBlock,
)
from medbench.models.blocks.channels_last import conv_norm
from medbench.models.blocks.image_heads import make_image_head, with_image_logits
from medbench.models.blocks.linear import Linear
from medbench.models.blocks.patch_expand import ExpandedHead, PatchExpand
from medbench.models.brau_net import DECODER_PLACES, as_map, check_options, join
from medbench.models.renaming import rename_parameters


class ChannelSpatialAttention(nn.Module):
    """SCCSA: each pixel's channels weighted by a perceptron, then by two 7×7 convolutions and a sigmoid.

    The perceptron's output multiplies as it is, without pooling and without a sigmoid.

    Args:
        dim: channels C.
        reduction: C over the hidden channels of both parts.
    """

    def __init__(self, dim: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = dim // reduction
        squeeze, excite = Linear(dim, hidden), Linear(hidden, dim)
        self.channels = nn.Sequential(squeeze, nn.ReLU(), excite)
        self.spatial = nn.Sequential(
            conv_norm(dim, hidden, 7, activation=nn.ReLU()), conv_norm(hidden, dim, 7)
        )
        for linear in (squeeze, excite):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, H, W, C)``."""
        features = features * self.channels(features)
        output: Tensor = features * self.spatial(features).sigmoid()
        return output


class BRAUNetPP(nn.Module):
    """The network; see the module's text.

    Args:
        in_channels: input channels.
        num_classes: classes of the logits.
        num_image_classes: classes of our image-level head, or ``None`` for none.
        n_win: regions along each side.
        topk: regions that a region attends to, at 1/4, 1/8 and 1/16.
        embed_dim: channels at 1/4; they double at every level.
        depth: blocks at 1/4, 1/8 and 1/16, in the encoder and in the decoder.
        num_heads: heads at those levels.
        mlp_ratio: hidden width of the perceptrons.
        side_dwconv: kernel of the attention's depthwise convolution, odd.
        drop_path: largest rate of left-out branches.
        image_head: input of the image-level head, ``segmentation`` or ``encoder``.

    Raises:
        MedbenchError: ``model.option`` for values that do not go together.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 9,
        num_image_classes: int | None = None,
        *,
        n_win: int = 7,
        topk: Sequence[int] = (2, 4, 8),
        embed_dim: int = 96,
        depth: Sequence[int] = (2, 2, 8),
        num_heads: Sequence[int] = (3, 6, 12),
        mlp_ratio: float = 3,
        side_dwconv: int = 5,
        drop_path: float = 0.2,
        image_head: str = "segmentation",
    ) -> None:
        super().__init__()
        check_options("brau_net_pp", n_win, topk, embed_dim, depth, num_heads, side_dwconv)
        self.in_channels = in_channels
        dims = [embed_dim << level for level in range(4)]

        def stage(level: int, rates: Sequence[float]) -> nn.Sequential:
            dim, heads = dims[level], num_heads[level]
            return nn.Sequential(
                *(
                    NormedFirstBlock(
                        dim,
                        BiLevelRoutingAttention(dim, heads, n_win, topk[level], side_dwconv),
                        mlp_ratio,
                        rate,
                    )
                    for rate in rates
                )
            )

        def ramp(blocks: int, last: int) -> list[float]:
            return [drop_path * block / max(last, 1) for block in range(blocks)]

        encoder_rates = ramp(sum(depth), sum(depth) + _UNUSED_BLOCKS - 1)
        starts = [sum(depth[:level]) for level in range(3)]
        self.stem = nn.Sequential(
            conv_norm(in_channels, embed_dim // 2, 3, 2, nn.GELU()),
            conv_norm(embed_dim // 2, embed_dim, 3, 2),
        )
        self.encoder = nn.ModuleList(
            stage(level, encoder_rates[start : start + depth[level]]) for level, start in enumerate(starts)
        )
        self.reduce = nn.ModuleList(conv_norm(dim, 2 * dim, 3, 2) for dim in dims[:3])
        self.expands = nn.ModuleList(PatchExpand(dim) for dim in dims[1:])
        self.skips = nn.ModuleList(ChannelSpatialAttention(2 * dim) for dim in dims[:3])
        self.joins = nn.ModuleList(join(dim) for dim in dims[:3])
        self.decoder = nn.ModuleList(stage(level, ramp(depth[level], depth[level] - 1)) for level in range(3))
        self.norm = nn.LayerNorm(embed_dim)
        self.segmentation_head = ExpandedHead(embed_dim, num_classes)
        self.image_head = make_image_head("brau_net_pp", image_head, dims[3], num_classes, num_image_classes)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """``(N, in_channels, H, W)`` to ``(N, num_classes, H, W)`` logits, for any H and W.

        A network for three channels takes one as well and repeats it. Sides that are multiples of 32 are
        computed as they are, others padded to that with zeros at the bottom and right and the logits
        cropped; a level's map that the regions do not divide is padded within the attention. So multiples
        of ``16 * n_win`` and of 32 cost nothing extra. With an image-level head: ``(segmentation logits,
        image logits (N, num_image_classes))``.
        """
        height, width = images.shape[-2:]
        features = self.stem(as_map(images, self.in_channels))
        maps = []
        for blocks, reduce in zip(self.encoder, self.reduce, strict=True):
            maps.append(blocks(features))
            features = reduce(maps[-1])
        deepest = features
        for level in (2, 1, 0):
            both = torch.cat([self.expands[level](features), maps.pop()], dim=-1)
            features = self.decoder[level](self.joins[level](self.skips[level](both)))
        logits = self.segmentation_head(self.norm(features))[..., :height, :width]
        return with_image_logits(self.image_head, logits, deepest)


_UNUSED_BLOCKS = 2
"""Blocks at 1/32 that the authors' program builds, counts in its drop path, and never computes with."""

_PLACES = (
    (r"bra_unet\.sccsa1\.", "skips.0."),
    (r"bra_unet\.sccsa2\.", "skips.1."),
    (r"bra_unet\.sccsa3\.", "skips.2."),
    (r"bra_unet\.downsample_layers\.0\.([01])\.", r"stem.0.\1."),
    (r"bra_unet\.downsample_layers\.0\.3\.", "stem.1.0."),
    (r"bra_unet\.downsample_layers\.0\.4\.", "stem.1.1."),
    (r"bra_unet\.downsample_layers\.1\.", "reduce.0."),
    (r"bra_unet\.downsample_layers\.2\.", "reduce.1."),
    (r"bra_unet\.downsample_layers\.3\.", "reduce.2."),
    (r"bra_unet\.stages\.", "encoder."),
)
_SKIP_PARTS = (
    (r"\.channel_attention\.", ".channels."),
    (r"\.spatial_attention\.([01])\.", r".spatial.0.\1."),
    (r"\.spatial_attention\.3\.", ".spatial.1.0."),
    (r"\.spatial_attention\.4\.", ".spatial.1.1."),
)


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' 524 entries to ours; ``bra_unet.stages.3`` is never computed with and left out.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    return rename_parameters(
        authors_state_dict,
        "BRAU-Net++",
        (*_PLACES, *DECODER_PLACES),
        (*_SKIP_PARTS, *AUTHORS_BLOCK_PARTS),
        skip=r"bra_unet\.stages\.3\.[01]\.",
    )
