"""MSLAU-Net: convolution and multi-scale linear attention, joined top down (arXiv 2505.18823).

Authors' code: Monsoon49/MSLAU-Net@efdb058, no licence stated; facts only, nothing copied.
The encoder follows UniFormer (arXiv 2201.09450): two stages of local blocks, two of attention blocks. The
decoder projects the three deeper maps to 1/4 of the input's size and adds them up from the shallowest to the
deepest; every partial sum is smoothed and all are joined.

Ours computes the same function, with differences that do not change it: none of the 1,537 parameters that
theirs never uses (a norm and a classifier behind the encoder), 1×1 convolutions before the enlargements that
theirs does first (they commute), and the last 3×3 convolution computed without holding its enlarged input.
As in theirs, the last bias of the deepest block has no gradient in training: a batch norm alone sees it.

Where the paper and their program leave room, this is ours: other sizes than multiples of 32 are padded with
zeros at the bottom and right and cropped back, sides may differ (theirs takes squares of the size it was
built for), and ``in_channels`` is free (theirs always has three; as there, a grey image given to three
channels is repeated). ``num_image_classes`` adds our own image-level head, on what the segmentation found
(``image_head="segmentation"``) or on the mean of the deepest encoder map (``"encoder"``).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.blocks.channels_last import BatchNorm, Conv, DepthwiseConv, resize
from medbench.models.blocks.dual_sparse_selection_attention import AttentionBlock
from medbench.models.blocks.enlarged_conv import EnlargedConv
from medbench.models.blocks.folded_norm import ConvNormReLU, conv_of_norm
from medbench.models.blocks.image_heads import make_image_head, with_image_logits
from medbench.models.blocks.input_images import with_channels, zero_padded
from medbench.models.blocks.multi_scale_linear_attention import MultiScaleLinearAttention
from medbench.models.blocks.recomputed import of_activation
from medbench.models.blocks.stochastic_depth import StochasticDepth
from medbench.models.options import refuse_options
from medbench.models.renaming import rename_parameters

_LEVELS = 4


class PatchEmbedding(nn.Module):
    """Convolution of adjoining patches and layer norm, to ``(N, H / patch, W / patch, outputs)``.

    Args:
        inputs: channels in.
        outputs: channels out.
        patch: side of a patch.
    """

    def __init__(self, inputs: int, outputs: int, patch: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(inputs, outputs, patch, stride=patch)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, inputs)`` to ``(N, H / patch, W / patch, outputs)``."""
        output: Tensor = self.norm(self.projection(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        return output


class LocalBlock(nn.Module):
    """Positional convolution, 5×5 depthwise convolution between 1×1 ones, perceptron; each with a residual.

    Args:
        dim: channels C.
        mlp_ratio: hidden width of the perceptron over C.
        drop_path: probability that a residual branch is left out for a sample in training.
    """

    def __init__(self, dim: int, mlp_ratio: float = 4, drop_path: float = 0.0) -> None:
        super().__init__()
        hidden = int(mlp_ratio * dim)
        self.position = DepthwiseConv(dim, 3)
        self.norm1 = BatchNorm(dim)
        self.enter = Conv(dim, dim)
        self.depthwise = DepthwiseConv(dim, 5)
        self.leave = Conv(dim, dim)
        self.norm2 = BatchNorm(dim)
        self.expand = Conv(dim, hidden)
        self.contract = Conv(hidden, dim)
        self.drop_path = StochasticDepth(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, C)`` to ``(N, H, W, C)``."""
        features = features + self.position(features)
        mixture = self.leave(self.depthwise(conv_of_norm(self.norm1, self.enter, features)))
        features = features + self.drop_path(mixture)
        hidden = conv_of_norm(self.norm2, self.expand, features)
        return features + self.drop_path(of_activation(self.contract, functional.gelu, hidden))


class Lift(nn.Module):
    """Repeated 1×1 convolution, batch norm, ReLU and doubling of the size by interpolation.

    Args:
        channels: of the input and after every step.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.steps = nn.Sequential(
            *(
                ConvNormReLU(inputs, outputs, enlarge=number > 0)
                for number, (inputs, outputs) in enumerate(itertools.pairwise(channels))
            )
        )

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, channels[0])`` to ``(N, f * H, f * W, channels[-1])``, f = 2 to the number of steps."""
        features = self.steps(features)
        return resize(features, 2 * features.shape[1], 2 * features.shape[2], align_corners=True)


class MSLAUNet(nn.Module):
    """The network; see the module's text.

    Args:
        in_channels: input channels.
        num_classes: classes of the logits.
        num_image_classes: classes of our image-level head, or ``None`` for none.
        embed_dim: encoder channels at 1/4, 1/8, 1/16 and 1/32.
        depth: blocks at those levels.
        local_stages: how many of the stages, from the largest map on, have local blocks; the others attend.
        head_dim: encoder channels to a head of the attention.
        kernel_sizes: of the attention's depthwise convolutions.
        decoder_dim: decoder channels.
        mlp_ratio: hidden width of the perceptrons.
        drop_path: largest rate of left-out branches, reached at the deepest block.
        image_head: input of the image-level head, ``segmentation`` or ``encoder``.
        raw_view: tokens are re-read as images without moving an axis, as in the authors' program.
        mixed_heads: so are the heads' outputs.
        exchanged_softmax: queries are normalised over tokens and keys over channels, as there.

    Raises:
        MedbenchError: ``model.option`` for values that do not go together.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 9,
        num_image_classes: int | None = None,
        *,
        embed_dim: Sequence[int] = (64, 128, 256, 512),
        depth: Sequence[int] = (4, 8, 11, 5),
        local_stages: int = 2,
        head_dim: int = 64,
        kernel_sizes: Sequence[int] = (3, 5, 7, 9),
        decoder_dim: int = 64,
        mlp_ratio: float = 4,
        drop_path: float = 0.0,
        image_head: str = "segmentation",
        raw_view: bool = True,
        mixed_heads: bool = True,
        exchanged_softmax: bool = True,
    ) -> None:
        super().__init__()
        _check_options(embed_dim, depth, local_stages, head_dim, kernel_sizes, decoder_dim)
        self.in_channels = in_channels
        rates = [drop_path * block / max(sum(depth) - 1, 1) for block in range(sum(depth))]

        def block(level: int, rate: float) -> nn.Module:
            dim = embed_dim[level]
            if level < local_stages:
                return LocalBlock(dim, mlp_ratio, rate)
            attention = MultiScaleLinearAttention(
                dim,
                dim // head_dim,
                kernel_sizes,
                raw_view=raw_view,
                mixed_heads=mixed_heads,
                exchanged_softmax=exchanged_softmax,
            )
            return AttentionBlock(dim, attention, mlp_ratio, rate)

        self.embeddings = nn.ModuleList(
            PatchEmbedding(inputs, outputs, 2 if level else 4)
            for level, (inputs, outputs) in enumerate(itertools.pairwise((in_channels, *embed_dim)))
        )
        self.encoder = nn.ModuleList()
        for level in range(_LEVELS):
            start = sum(depth[:level])
            stage = [block(level, rate) for rate in rates[start : start + depth[level]]]
            self.encoder.append(nn.Sequential(*stage))
        self.lifts = nn.ModuleList(
            Lift((*reversed(embed_dim[1 : level + 1]), decoder_dim)) for level in range(1, _LEVELS)
        )
        self.smooth = nn.ModuleList(ConvNormReLU(decoder_dim, decoder_dim, 3) for _ in range(_LEVELS))
        self.heads = nn.ModuleList(ConvNormReLU(decoder_dim, decoder_dim, 3) for _ in range(_LEVELS))
        self.segmentation_head = EnlargedConv(_LEVELS * decoder_dim, num_classes, 2)
        self.image_head = make_image_head(
            "mslau_net", image_head, embed_dim[-1], num_classes, num_image_classes
        )

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """``(N, in_channels, H, W)`` to ``(N, num_classes, H, W)`` logits, for any H and W.

        A network for three channels takes one as well and repeats it. Sides that are multiples of 32 are
        computed as published; others are padded to that with zeros at the bottom and right, and the logits
        cropped. With an image-level head: ``(segmentation logits, image logits (N, num_image_classes))``.
        """
        height, width = images.shape[-2:]
        images = zero_padded(with_channels(images, self.in_channels), 32)
        maps = self.encode(images)
        logits = functional.interpolate(
            self.segmentation_head(self.decode(maps)), images.shape[-2:], mode="bilinear", align_corners=True
        )[..., :height, :width]
        return with_image_logits(self.image_head, logits, maps[3])

    def encode(self, images: Tensor) -> list[Tensor]:
        """``(N, in_channels, H, W)`` to maps ``(N, H / s, W / s, embed_dim)``, s = 4, 8, 16, 32."""
        features = images.permute(0, 2, 3, 1)
        maps = []
        for embedding, blocks in zip(self.embeddings, self.encoder, strict=True):
            features = blocks(embedding(features))
            maps.append(features)
        return maps

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Encoder maps to ``(N, H / 4, W / 4, 4 * decoder_dim)``.

        The first map enters the sums as it is, so its channels are the decoder's.
        """
        total = maps[0]
        parts = [self.heads[0](self.smooth[0](total))]
        for level in range(1, _LEVELS):
            total = total + self.lifts[level - 1](maps[level])
            parts.append(self.heads[level](self.smooth[level](total)))
        return torch.cat(parts, dim=-1)


def _check_options(
    embed_dim: Sequence[int],
    depth: Sequence[int],
    local_stages: int,
    head_dim: int,
    kernel_sizes: Sequence[int],
    decoder_dim: int,
) -> None:
    groups = max(len(kernel_sizes), 1)
    attending = embed_dim[max(local_stages, 0) :]
    problems = (
        (
            len(embed_dim) != _LEVELS or min(embed_dim, default=0) < 1,
            f"embed_dim={list(embed_dim)} is not four numbers",
        ),
        (
            decoder_dim != embed_dim[0],
            f"decoder_dim={decoder_dim} is not the first of embed_dim={list(embed_dim)}",
        ),
        (
            len(depth) != _LEVELS or min(depth, default=-1) < 0,
            f"depth={list(depth)} is not four numbers from 0 on",
        ),
        (not 0 <= local_stages <= _LEVELS, f"local_stages={local_stages} is not from 0 to 4"),
        (
            not kernel_sizes or any(size < 1 or size % 2 == 0 for size in kernel_sizes),
            f"kernel_sizes={list(kernel_sizes)} are not odd",
        ),
        (
            head_dim < 1 or head_dim % groups != 0 or any(dim % head_dim for dim in attending),
            f"head_dim={head_dim} is no multiple of {groups} kernels or does not divide {list(attending)}",
        ),
    )
    refuse_options("mslau_net", problems)


_PLACES = (
    *((rf"encoder\.patch_embed{level + 1}\.proj\.", f"embeddings.{level}.projection.") for level in range(4)),
    *((rf"encoder\.patch_embed{level + 1}\.norm\.", f"embeddings.{level}.norm.") for level in range(4)),
    *((rf"encoder\.blocks{level + 1}\.", f"encoder.{level}.") for level in range(4)),
    *(
        (rf"conv_mla\.mla_p{4 - lift}\.{4 * step + index}\.", f"lifts.{lift}.steps.{step}.{part}.")
        for lift in range(3)
        for step in range(lift + 1)
        for index, part in enumerate(("conv", "norm"))
    ),
    *(
        (rf"{theirs}\.{index}\.", f"{ours}.{level}.{part}.")
        for level in range(4)
        for theirs, ours in (
            (rf"conv_mla\.mla_p{5 - level}_3x3", "smooth"),
            (rf"mlahead\.head{2 + level}", "heads"),
        )
        for index, part in enumerate(("conv", "norm"))
    ),
    (r"seg\.", "segmentation_head."),
)

_PARTS = (
    (r"\.pos_embed\.", ".position."),
    (r"\.conv1\.", ".enter."),
    (r"\.conv2\.", ".leave."),
    (r"\.attn\.(weight|bias)$", r".depthwise.\1"),
    (r"^(encoder\.[01]\.\d+)\.mlp\.fc1\.", r"\1.expand."),
    (r"^(encoder\.[01]\.\d+)\.mlp\.fc2\.", r"\1.contract."),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.2."),
    *(
        (rf"\.dw_conv_{size}x{size}\.depthwise\.", f".convs.{group}.")
        for group, size in enumerate((3, 5, 7, 9))
    ),
    (r"\.attn\.linear_attention\.qkv\.", ".attention.attention.qkv."),
    (r"\.attn\.linear_attention\.proj\.", ".attention.attention.output."),
    (r"\.attn\.final_conv\.", ".attention.output."),
    (r"\.attn\.scale_weights$", ".attention.scales"),
    (r"\.attn\.", ".attention."),
)


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' 757 entries to ours; ``encoder.norm`` and ``encoder.head`` are never computed with.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    return rename_parameters(
        authors_state_dict, "MSLAU-Net", _PLACES, _PARTS, skip=r"encoder\.(norm|head)\.[a-z_]+$"
    )
