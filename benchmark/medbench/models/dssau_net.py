"""DSSAU-Net: U-shaped segmentation with dual sparse selection attention (arXiv 2506.03684).

Authors' code: XiaZunhui/DSSAU-Net@ce1d11d, no licence stated; read and run for facts, nothing copied.
The encoder is MedFormer-Base (arXiv 2507.02488) with an 8×8 region grid, the decoder a narrow pyramid of the
same blocks. Ours computes the same function, with differences that do not change it: one copy of the decoder
(theirs is registered twice), none of the 512 parameters that theirs never uses, 1×1 convolutions before the
bilinear enlargement that theirs does first (the two commute).

The paper also reports frame classification, but that branch was not released. ``num_image_classes`` adds our
own: the mean of the deepest encoder map, layer norm, one linear layer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.core.errors import MedbenchError
from medbench.models.blocks.dual_sparse_selection_attention import (
    AttentionBlock,
    DualSparseSelectionAttention,
    FullAttention,
    channels_last_conv,
)


class ConvNorm(nn.Sequential):
    """Convolution and batch norm on ``(N, H, W, C)`` features, optionally with an activation.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: side of the kernel.
        stride: step.
        activation: appended when given.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, activation: nn.Module | None = None
    ) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
        super().__init__(convolution, nn.BatchNorm2d(outputs), *([activation] if activation else []))

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, H/stride, W/stride, outputs)``."""
        return super().forward(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def enlarge(features: Tensor, height: int, width: int) -> Tensor:
    """Bilinear with aligned corners, ``(N, H, W, C)`` to ``(N, height, width, C)``."""
    planes = features.permute(0, 3, 1, 2)
    return functional.interpolate(planes, (height, width), mode="bilinear", align_corners=True).permute(0, 2, 3, 1)


def stage(
    dim: int, depth: int, heads: int, topk: int | None, n_win: int, mlp_ratio: float, side: int, rates: Sequence[float]
) -> nn.Sequential:
    """Blocks of one resolution; ``topk=None`` is full attention."""
    return nn.Sequential(
        *(
            AttentionBlock(
                dim,
                FullAttention(dim, side_dwconv=side)
                if topk is None
                else DualSparseSelectionAttention(dim, heads, n_win, topk, side),
                mlp_ratio,
                rates[index],
            )
            for index in range(depth)
        )
    )


class PyramidPooling(nn.Module):
    """Largest values over grids of 1, 2, 3 and 6, projected and joined with the map itself.

    Args:
        inputs: channels in.
        outputs: channels out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.grids = (1, 2, 3, 6)
        self.projections = nn.ModuleList(nn.Conv2d(inputs, outputs, 1) for _ in self.grids)
        self.join = ConvNorm(inputs + len(self.grids) * outputs, outputs, activation=nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, inputs)`` to ``(N, H, W, outputs)``."""
        height, width = features.shape[1:3]
        planes = features.permute(0, 3, 1, 2)
        pooled = [
            enlarge(projection(functional.adaptive_max_pool2d(planes, grid)).permute(0, 2, 3, 1), height, width)
            for grid, projection in zip(self.grids, self.projections, strict=True)
        ]
        return self.join(torch.cat([*pooled, features], dim=-1))


class DSSAUNet(nn.Module):
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
        side_dwconv: kernel of the attention's depthwise convolution.
        drop_path: largest drop rate; in the decoder the lowest resolution has it.
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
    ) -> None:
        super().__init__()
        self.size_step = 4 * n_win
        self.least_size = 16 * n_win
        selected = (*topk, None)
        rates = torch.linspace(0, drop_path, sum(depth)).tolist()
        starts = [sum(depth[:level]) for level in range(4)]
        levels = [rates[start : start + count] for start, count in zip(starts, depth, strict=True)]
        first = embed_dim[0]
        self.stem = nn.Sequential(
            ConvNorm(in_channels, first // 2, 3, 2, nn.GELU()), ConvNorm(first // 2, first, 3, 2)
        )
        self.reduce = nn.ModuleList(ConvNorm(embed_dim[i], embed_dim[i + 1], 3, 2) for i in range(3))
        self.encoder = nn.ModuleList(
            stage(dim, depth[i], dim // head_dim, selected[i], n_win, mlp_ratio, side_dwconv, levels[i])
            for i, dim in enumerate(embed_dim)
        )
        self.encoder_norms = nn.ModuleList(nn.LayerNorm(dim, eps=1e-6) for dim in embed_dim)
        self.pooling = PyramidPooling(embed_dim[3], decoder_dim)
        self.decoder = nn.ModuleList(
            stage(
                decoder_dim, depth[i], decoder_dim // head_dim, selected[i], n_win, mlp_ratio, side_dwconv, levels[i]
            )
            for i in range(4)
        )
        self.skips = nn.ModuleList(ConvNorm(embed_dim[i], decoder_dim, activation=nn.ReLU()) for i in range(3))
        self.refine = nn.ModuleList(ConvNorm(decoder_dim, decoder_dim, activation=nn.ReLU()) for _ in range(3))
        self.lift = nn.Conv2d(decoder_dim, decoder_dim, 1)
        self.fuse = ConvNorm(4 * decoder_dim, decoder_dim, activation=nn.ReLU())
        self.segmentation_head = nn.Conv2d(decoder_dim, num_classes, 3, padding=1)
        self.image_head: nn.Module | None = None
        if num_image_classes is not None:
            self.image_head = nn.Sequential(nn.LayerNorm(embed_dim[3]), nn.Linear(embed_dim[3], num_image_classes))

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """``(N, in_channels, H, W)`` to ``(N, num_classes, H, W)`` logits.

        With an image-level head: ``(segmentation logits, image logits (N, num_image_classes))``.
        """
        height, width = images.shape[-2:]
        padded = [max(self.least_size, -(-side // self.size_step) * self.size_step) for side in (height, width)]
        if padded != [height, width]:
            images = functional.pad(images, (0, padded[1] - width, 0, padded[0] - height))
        maps = self.encode(images.permute(0, 2, 3, 1))
        features = enlarge(self.decode(maps), *padded)
        logits = channels_last_conv(self.segmentation_head, features).permute(0, 3, 1, 2)
        logits = logits[..., :height, :width]
        if self.image_head is None:
            return logits
        return logits, self.image_head(maps[3].mean(dim=(1, 2)))

    def encode(self, images: Tensor) -> list[Tensor]:
        """``(N, H, W, channels)`` to normed maps at 1/4, 1/8, 1/16 and 1/32."""
        features = self.stem(images)
        maps = []
        for level, blocks in enumerate(self.encoder):
            if level:
                features = self.reduce[level - 1](features)
            features = blocks(features)
            maps.append(self.encoder_norms[level](features))
        return maps

    def decode(self, maps: list[Tensor]) -> Tensor:
        """Normed encoder maps to ``(N, H/4, W/4, decoder_dim)``."""
        deepest = self.decoder[3](self.pooling(maps[3]))
        pyramid = [deepest]
        for level in (2, 1, 0):
            below = channels_last_conv(self.lift, pyramid[-1]) if level == 2 else pyramid[-1]
            skip = self.skips[level](maps[level])
            joined = enlarge(below, *skip.shape[1:3]) + skip
            pyramid.append(self.refine[level](self.decoder[level](joined)))
        return self._fuse(pyramid)

    def _fuse(self, pyramid: list[Tensor]) -> Tensor:
        """A 1×1 convolution over the enlarged, joined pyramid; each part is projected at its own size."""
        convolution, norm, activation = self.fuse
        height, width = pyramid[-1].shape[1:3]
        parts = convolution.weight[:, :, 0, 0].chunk(4, dim=1)
        total = functional.linear(pyramid[-1], parts[3], convolution.bias)
        for features, weight in zip(pyramid[:-1], parts[:-1], strict=True):
            total = total + enlarge(functional.linear(features, weight), height, width)
        return activation(norm(total.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)


def dssau_net(**options: object) -> DSSAUNet:
    """DSSAU-Net as published; options are those of :class:`DSSAUNet`."""
    return DSSAUNet(**options)  # type: ignore[arg-type]


_BLOCK_PARTS = (
    (r"pos_embed\.", "position."),
    (r"attn\.lepe\.", "attention.local_enhancement."),
    (r"attn\.(qkv_linear|qkv)\.", "attention.qkv."),
    (r"attn\.(output_linear|proj)\.", "attention.output."),
    (r"mlp\.3\.", "mlp.2."),
)
_PARTS = (
    (r"^Encoder\.downsample_layers\.0\.([01])\.", r"stem.0.\1."),
    (r"^Encoder\.downsample_layers\.0\.3\.", "stem.1.0."),
    (r"^Encoder\.downsample_layers\.0\.4\.", "stem.1.1."),
    (r"^Encoder\.downsample_layers\.1\.", "reduce.0."),
    (r"^Encoder\.downsample_layers\.2\.", "reduce.1."),
    (r"^Encoder\.downsample_layers\.3\.", "reduce.2."),
    (r"^Encoder\.stages\.", "encoder."),
    (r"^Encoder\.extra_norms\.", "encoder_norms."),
    (r"^(decoder\.)?Decoder\.stages\.", "decoder."),
    (r"^decoder\.PPMHead\.psp_modules\.(\d)\.1\.", r"pooling.projections.\1."),
    (r"^decoder\.PPMHead\.final\.", "pooling.join."),
    (r"^decoder\.Conv_fuse1\.", "skips.2."),
    (r"^decoder\.Conv_fuse2\.", "skips.1."),
    (r"^decoder\.Conv_fuse3\.", "skips.0."),
    (r"^decoder\.Conv_fuse1_\.", "refine.2."),
    (r"^decoder\.Conv_fuse2_\.", "refine.1."),
    (r"^decoder\.Conv_fuse3_\.", "refine.0."),
    (r"^decoder\.fuse_all\.", "fuse."),
    (r"^decoder\.conv_x1\.", "lift."),
    (r"^cls_seg\.0\.", "segmentation_head."),
)
_UNUSED = re.compile(r"^(decoder\.)?Decoder\.extra_norms\.")


def official_keys(authors_state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' 793 entries to ours.

    ``decoder.Decoder.*`` repeats ``Decoder.*`` and wins, as it does when their program loads a file. Their
    1×1 projections become matrices. ``Decoder.extra_norms.*`` is never used and left out.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    ours: dict[str, Tensor] = {}
    unknown = []
    for key, tensor in authors_state_dict.items():
        if _UNUSED.match(key):
            continue
        for pattern, replacement in _PARTS:
            renamed, found = re.subn(pattern, replacement, key)
            if found:
                break
        else:
            unknown.append(key)
            continue
        if renamed.startswith(("encoder.", "decoder.")):
            for pattern, replacement in _BLOCK_PARTS:
                renamed = re.sub(pattern, replacement, renamed)
            if renamed.endswith(("attention.qkv.weight", "attention.output.weight")):
                tensor = tensor.flatten(1)
        ours[renamed] = tensor
    if unknown:
        raise MedbenchError(
            "weights.unknown_keys",
            f"{len(unknown)} parameters are not of DSSAU-Net (first: {', '.join(unknown[:3])}).",
            "Is this checkpoint of another model?",
        )
    return ours
