"""DSSAU-Net: U-shaped segmentation with dual sparse selection attention (arXiv 2506.03684).

Authors' code: XiaZunhui/DSSAU-Net@ce1d11d, no licence stated; read and run for facts, nothing copied.
The encoder is MedFormer-Base (arXiv 2507.02488) with an 8×8 region grid, the decoder a narrow pyramid of the
same blocks. Ours computes the same function, with differences that do not change it: one copy of the decoder
(theirs is registered twice), none of the 512 parameters that theirs never uses, and linear layers before the
bilinear enlargement that theirs does first (the two commute).

The paper also reports frame classification, but that branch was not released. ``num_image_classes`` adds our
own light head, on what the segmentation found (``image_head="segmentation"``) or on the mean of the deepest
encoder map (``"encoder"``). With few videos only the first generalises; the second learns to tell the videos
apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.blocks.channels_last import BatchNorm, Conv, conv_norm, resize
from medbench.models.blocks.dual_sparse_selection_attention import AUTHORS_BLOCK_PARTS
from medbench.models.blocks.enlarged_conv import EnlargedConv
from medbench.models.blocks.image_heads import make_image_head, with_image_logits
from medbench.models.blocks.input_images import zero_padded
from medbench.models.blocks.linear import linear
from medbench.models.blocks.sparse_pyramid import AUTHORS_PYRAMID_PLACES, PyramidOptions, SparsePyramid
from medbench.models.options import refuse_options
from medbench.models.renaming import as_matrices, rename_parameters


class PyramidPooling(nn.Module):
    """Largest values over grids of 1, 2, 3 and 6, projected and joined with the map itself.

    Args:
        inputs: channels in.
        outputs: channels out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.grids = (1, 2, 3, 6)
        self.projections = nn.ModuleList(Conv(inputs, outputs) for _ in self.grids)
        self.join = conv_norm(inputs + len(self.grids) * outputs, outputs, activation=nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, inputs)`` to ``(N, H, W, outputs)``."""
        height, width = features.shape[1:3]
        planes = features.permute(0, 3, 1, 2)
        grids = [
            projection(functional.adaptive_max_pool2d(planes, grid).permute(0, 2, 3, 1))
            for grid, projection in zip(self.grids, self.projections, strict=True)
        ]
        maps = [resize(part, height, width, align_corners=True) for part in grids]
        return self.join(torch.cat([*maps, features], dim=-1))


class PyramidFusion(nn.Module):
    """1×1 convolution, batch norm and ReLU over maps of several sizes, joined at the size of the last.

    The convolution commutes with the enlargement, so each map is projected at its own size.

    Args:
        dim: channels of each map and of the output.
        levels: number of maps.
    """

    def __init__(self, dim: int, levels: int) -> None:
        super().__init__()
        self.convolution = Conv(levels * dim, dim)
        self.norm = BatchNorm(dim)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Maps ``(N, H_i, W_i, dim)``, the largest last, to ``(N, H, W, dim)``."""
        weights = self.convolution.weight.flatten(1).chunk(len(pyramid), dim=1)
        total = linear(pyramid[-1], weights[-1], self.convolution.bias)
        for features, weight in zip(pyramid[:-1], weights[:-1], strict=True):
            total = total + resize(linear(features, weight), *total.shape[1:3], align_corners=True)
        return functional.relu(self.norm(total))


class DSSAUNet(SparsePyramid):
    """The network; see the module's text.

    Args:
        in_channels: input channels.
        num_classes: classes of the logits.
        num_image_classes: classes of our image-level head, or ``None`` for none.
        n_win: regions along each side.
        topk: regions that a region attends to, at 1/4, 1/8 and 1/16.
        embed_dim: encoder channels at 1/4, 1/8, 1/16 and 1/32.
        depth: blocks at those levels, in the encoder and in the decoder.
        head_dim: channels of a head, except at 1/32, where there are always eight heads.
        decoder_dim: decoder channels.
        mlp_ratio: hidden width of the perceptrons.
        side_dwconv: kernel of the attention's depthwise convolution, odd.
        drop_path: largest rate of left-out branches; in the decoder the lowest resolution has it.
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
        topk: Sequence[int] = (1, 4, 16),
        embed_dim: Sequence[int] = (96, 192, 384, 768),
        depth: Sequence[int] = (2, 2, 8, 2),
        head_dim: int = 32,
        decoder_dim: int = 64,
        mlp_ratio: float = 3,
        side_dwconv: int = 5,
        drop_path: float = 0.2,
        image_head: str = "segmentation",
    ) -> None:
        options = PyramidOptions(n_win, topk, embed_dim, depth, head_dim, mlp_ratio, side_dwconv, drop_path)
        refuse_options("dssau_net", (*options.problems(), *_decoder_problems(decoder_dim, head_dim)))
        super().__init__(in_channels, options)
        self.least_size = -(-16 * n_win // 32) * 32
        deepest = embed_dim[3]
        self.pooling = PyramidPooling(deepest, decoder_dim)
        self.decoder = nn.ModuleList(options.blocks(level, decoder_dim) for level in range(4))
        self.lift = Conv(decoder_dim, decoder_dim)
        self.skips = nn.ModuleList(conv_norm(dim, decoder_dim, activation=nn.ReLU()) for dim in embed_dim[:3])
        self.refine = nn.ModuleList(
            conv_norm(decoder_dim, decoder_dim, activation=nn.ReLU()) for _ in range(3)
        )
        self.fusion = PyramidFusion(decoder_dim, 4)
        self.segmentation_head = EnlargedConv(decoder_dim, num_classes, 4)
        self.image_head = make_image_head("dssau_net", image_head, deepest, num_classes, num_image_classes)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """``(N, in_channels, H, W)`` to ``(N, num_classes, H, W)`` logits, for any H and W.

        Sides that are multiples of 32 from ``16 * n_win`` on are computed as published; others are padded
        to that with zeros at the bottom and right, and the logits cropped.
        With an image-level head: ``(segmentation logits, image logits (N, num_image_classes))``.
        """
        height, width = images.shape[-2:]
        maps = self.encode(zero_padded(images, 32, self.least_size))
        features = self.decode(maps)
        logits = self.segmentation_head(features)[..., :height, :width]
        return with_image_logits(self.image_head, logits, maps[3])

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Normed encoder maps to ``(N, H / 4, W / 4, decoder_dim)``."""
        features = self.decoder[3](self.pooling(maps[3]))
        pyramid = [features]
        for level in (2, 1, 0):
            below = self.lift(features) if level == 2 else features
            skip = self.skips[level](maps[level])
            both = resize(below, *skip.shape[1:3], align_corners=True) + skip
            features = self.refine[level](self.decoder[level](both))
            pyramid.append(features)
        return self.fusion(pyramid)


def _decoder_problems(decoder_dim: int, head_dim: int) -> tuple[tuple[bool, str], ...]:
    return (
        (
            decoder_dim < head_dim or decoder_dim % head_dim != 0,
            f"head_dim={head_dim} does not divide decoder_dim={decoder_dim}",
        ),
        (decoder_dim % 8 != 0, f"decoder_dim={decoder_dim} is no multiple of 8 heads"),
    )


_PLACES = (
    *((rf"Encoder\.{theirs}", ours) for theirs, ours in AUTHORS_PYRAMID_PLACES),
    (r"(decoder\.)?Decoder\.stages\.", "decoder."),
    (r"decoder\.PPMHead\.psp_modules\.(\d)\.1\.", r"pooling.projections.\1."),
    (r"decoder\.PPMHead\.final\.", "pooling.join."),
    (r"decoder\.conv_x1\.", "lift."),
    (r"decoder\.Conv_fuse1\.", "skips.2."),
    (r"decoder\.Conv_fuse2\.", "skips.1."),
    (r"decoder\.Conv_fuse3\.", "skips.0."),
    (r"decoder\.Conv_fuse1_\.", "refine.2."),
    (r"decoder\.Conv_fuse2_\.", "refine.1."),
    (r"decoder\.Conv_fuse3_\.", "refine.0."),
    (r"decoder\.fuse_all\.0\.", "fusion.convolution."),
    (r"decoder\.fuse_all\.1\.", "fusion.norm."),
    (r"cls_seg\.0\.", "segmentation_head."),
)


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' 793 entries to ours.

    ``decoder.Decoder.*`` repeats ``Decoder.*`` and wins, as it does when their program loads a file.
    ``Decoder.extra_norms.*`` is never computed with and left out.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    ours = rename_parameters(
        authors_state_dict,
        "DSSAU-Net",
        _PLACES,
        AUTHORS_BLOCK_PARTS,
        skip=r"(decoder\.)?Decoder\.extra_norms\.\d\.(weight|bias)$",
    )
    return as_matrices(ours, r"\.attention\.(qkv|output)\.weight$")
