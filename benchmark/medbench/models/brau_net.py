"""BRAU-Net: a pure transformer with bi-level routing for fetal head and pubic symphysis (arXiv 2310.00289).

Authors' code: Caipengzhou/BRAU-Net@7a35eb4, no licence stated; read and run for facts, nothing copied.
Ours computes the same function; only the order of steps that commute differs.

Faithful to that program, though the paper does not say so: the first norm of a block is applied twice
(:class:`NormedFirstBlock`), and between the levels tokens are re-read as an image without moving the channel
axis (``merge="official"``), so that space and channels mix; ``merge="spatial"`` moves it, as a convolution of
the map needs. Networks trained with one do not work with the other.

The later paper, arXiv 2410.10352, replaces the doubling of the sides by "inverted bottleneck patch
expanding" (IBPE), which was never released. ``expansion="inverted_bottleneck"`` is our own design after what
is known of it (:class:`InvertedBottleneckPatchExpand`), for the three doublings; the last enlargement stays.

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
from medbench.models.blocks.dual_sparse_selection_attention import FullAttention
from medbench.models.blocks.image_heads import make_image_head, with_image_logits
from medbench.models.blocks.input_images import with_channels, zero_padded
from medbench.models.blocks.linear import Linear
from medbench.models.blocks.patch_expand import ExpandedHead, InvertedBottleneckPatchExpand, PatchExpand
from medbench.models.options import refuse_options
from medbench.models.renaming import rename_parameters

_DIVISOR = 32
_EXPANSIONS = {"patch": PatchExpand, "inverted_bottleneck": InvertedBottleneckPatchExpand}


class PatchMerging(nn.Module):
    """3×3 convolution of step 2 and batch norm: ``(N, H, W, C)`` to ``(N, H / 2, W / 2, 2C)``.

    Args:
        dim: channels C.
        raw: re-read the memory of ``(N, H, W, C)`` as ``(N, C, H, W)`` before and the other way after, as the
            authors' program does.
    """

    def __init__(self, dim: int, *, raw: bool = True) -> None:
        super().__init__()
        self.raw = raw
        self.conv = nn.Conv2d(dim, 2 * dim, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(2 * dim)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, H / 2, W / 2, 2C)``, for even H and W."""
        n, height, width, dim = features.shape
        if self.raw:
            patches = self.norm(self.conv(features.reshape(n, dim, height, width))).contiguous()
            return patches.view(n, height // 2, width // 2, 2 * dim)
        spatial: Tensor = self.norm(self.conv(features.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        return spatial


class BRAUNet(nn.Module):
    """The network; see the module's text.

    Args:
        in_channels: input channels.
        num_classes: classes of the logits.
        num_image_classes: classes of our image-level head, or ``None`` for none.
        n_win: regions along each side.
        topk: regions that a region attends to, at 1/4, 1/8 and 1/16.
        embed_dim: channels at 1/4; they double at every level.
        depth: blocks at 1/4, 1/8, 1/16 and 1/32; the decoder repeats the first three.
        num_heads: heads at those levels.
        mlp_ratio: hidden width of the perceptrons.
        side_dwconv: kernel of the attention's depthwise convolution, odd.
        drop_path: rate of left-out branches in the last block of each stage; it grows from 0 in the first.
        merge: ``official`` or ``spatial``.
        expansion: ``patch`` or ``inverted_bottleneck``.
        image_head: input of the image-level head, ``segmentation`` or ``encoder``.

    Raises:
        MedbenchError: ``model.option`` for values that do not go together.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 3,
        num_image_classes: int | None = None,
        *,
        n_win: int = 8,
        topk: Sequence[int] = (4, 8, 16),
        embed_dim: int = 96,
        depth: Sequence[int] = (4, 4, 8, 4),
        num_heads: Sequence[int] = (2, 4, 8, 8),
        mlp_ratio: float = 4,
        side_dwconv: int = 5,
        drop_path: float = 0.2,
        merge: str = "official",
        expansion: str = "patch",
        image_head: str = "segmentation",
    ) -> None:
        super().__init__()
        _check_choices(merge, expansion)
        check_options("brau_net", n_win, topk, embed_dim, depth, num_heads, side_dwconv)
        self.in_channels = in_channels
        dims = [embed_dim << level for level in range(4)]

        def stage(level: int) -> nn.Sequential:
            dim, heads, blocks = dims[level], num_heads[level], depth[level]
            return nn.Sequential(
                *(
                    NormedFirstBlock(
                        dim,
                        FullAttention(dim, heads, side_dwconv)
                        if level == 3
                        else BiLevelRoutingAttention(dim, heads, n_win, topk[level], side_dwconv),
                        mlp_ratio,
                        drop_path * block / max(blocks - 1, 1),
                    )
                    for block in range(blocks)
                )
            )

        self.stem = nn.Sequential(
            conv_norm(in_channels, embed_dim // 2, 3, 2, nn.GELU()),
            conv_norm(embed_dim // 2, embed_dim, 3, 2),
        )
        self.encoder = nn.ModuleList(stage(level) for level in range(4))
        self.merges = nn.ModuleList(PatchMerging(dim, raw=merge == "official") for dim in dims[:3])
        self.expands = nn.ModuleList(_EXPANSIONS[expansion](dim) for dim in dims[1:])
        self.joins = nn.ModuleList(join(dim) for dim in dims[:3])
        self.decoder = nn.ModuleList(stage(level) for level in range(3))
        self.norm = nn.LayerNorm(embed_dim)
        self.segmentation_head = ExpandedHead(embed_dim, num_classes)
        self.image_head = make_image_head("brau_net", image_head, dims[3], num_classes, num_image_classes)

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
        skips = []
        for level in range(3):
            skips.append(features)
            features = self.merges[level](self.encoder[level](features))
        deepest = self.encoder[3](features)
        features = deepest
        for level in (2, 1, 0):
            both = torch.cat([self.expands[level](features), skips.pop()], dim=-1)
            features = self.decoder[level](self.joins[level](both))
        logits = self.segmentation_head(self.norm(features))[..., :height, :width]
        return with_image_logits(self.image_head, logits, deepest)


def join(dim: int) -> Linear:
    """The layer that contracts a map joined with its skip, ``2 * dim`` to ``dim``."""
    linear = Linear(2 * dim, dim)
    nn.init.trunc_normal_(linear.weight, std=0.02)
    nn.init.zeros_(linear.bias)
    return linear


def as_map(images: Tensor, in_channels: int) -> Tensor:
    """Images ``(N, in_channels, H, W)`` as ``(N, H', W', in_channels)``, zero-padded to multiples of 32.

    One channel is repeated where three are needed.
    """
    images = zero_padded(with_channels(images, in_channels), _DIVISOR)
    return images.permute(0, 2, 3, 1).contiguous()


def _check_choices(merge: str, expansion: str) -> None:
    choices = (("merge", merge, ("official", "spatial")), ("expansion", expansion, tuple(_EXPANSIONS)))
    refuse_options(
        "brau_net",
        (
            (value not in names, f"{option}={value!r} is neither '{names[0]}' nor '{names[1]}'")
            for option, value, names in choices
        ),
    )


def check_options(
    model: str,
    n_win: int,
    topk: Sequence[int],
    embed_dim: int,
    depth: Sequence[int],
    num_heads: Sequence[int],
    side_dwconv: int,
) -> None:
    """Refuse options of BRAU-Net and BRAU-Net++ that do not go together.

    There is a depth and a number of heads for each level with blocks.

    Raises:
        MedbenchError: ``model.option``.
    """
    levels = len(num_heads)
    problems = (
        (len(topk) != 3 or min(topk, default=0) < 1, f"topk={list(topk)} is not three positive numbers"),
        (
            len(depth) != levels or min(depth, default=0) < 0,
            f"depth={list(depth)} is not {levels} numbers from 0 on",
        ),
        (n_win < 1, f"n_win={n_win} is not positive"),
        (side_dwconv < 1 or side_dwconv % 2 == 0, f"side_dwconv={side_dwconv} is not odd"),
        (embed_dim < 2 or embed_dim % 2 == 1, f"embed_dim={embed_dim} is not positive and even"),
        (
            any(heads < 1 or (embed_dim << level) % heads for level, heads in enumerate(num_heads)),
            f"num_heads={list(num_heads)} do not divide the channels of embed_dim={embed_dim}",
        ),
    )
    refuse_options(model, problems)


_PLACES = (
    (r"bra_unet\.patch_embed\.downsample_layers_conv1\.", "stem.0.0."),
    (r"bra_unet\.patch_embed\.downsample_layers_bn1\.", "stem.0.1."),
    (r"bra_unet\.patch_embed\.downsample_layers_conv2\.", "stem.1.0."),
    (r"bra_unet\.patch_embed\.downsample_layers_bn2\.", "stem.1.1."),
    (r"bra_unet\.stages\.(\d)\.blocks\.", r"encoder.\1."),
    (r"bra_unet\.stages\.(\d)\.downsample_layer\.conv\.", r"merges.\1.conv."),
    (r"bra_unet\.stages\.(\d)\.downsample_layer\.bn\.", r"merges.\1.norm."),
)
DECODER_PLACES = (
    (r"bra_unet\.layers_up\.0\.(?=expand|norm)", "expands.2."),
    *((rf"bra_unet\.layers_up\.{3 - level}\.blocks\.", f"decoder.{level}.") for level in range(3)),
    *((rf"bra_unet\.layers_up\.{2 - level}\.upsample\.", f"expands.{level}.") for level in range(2)),
    *((rf"bra_unet\.concat_back_dim\.{3 - level}\.", f"joins.{level}.") for level in range(3)),
    (r"bra_unet\.norm_up\.", "norm."),
    (r"bra_unet\.(up4|up)\.(?=expand|norm)", "segmentation_head."),
    (r"bra_unet\.output\.", "segmentation_head.output."),
)
"""Where the parts of both authors' decoders are in ours."""


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' 628 entries to ours.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    return rename_parameters(authors_state_dict, "BRAU-Net", (*_PLACES, *DECODER_PLACES), AUTHORS_BLOCK_PARTS)
