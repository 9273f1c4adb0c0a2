"""MedFormer: a pyramid of dual sparse selection attention with heads for three tasks (arXiv 2507.02488).

Authors' code: XiaZunhui/MedFormer@3ede415, no licence stated; read and run for facts, nothing copied. The
pyramid is :mod:`medbench.models.blocks.sparse_pyramid`; here are its three heads.

* :class:`MedFormerClassifier`: batch norm, mean over all pixels, a linear layer, as in the authors' program.
* :class:`MedFormerUPerNet`: the UPerNet of their segmentation programs (arXiv 1807.10221 without batch norm).
* :func:`detection_network`: lesion detection is in the paper's abstract alone; no program of it was released.
  Ours puts the pyramid behind torchvision's RetinaNet or Faster R-CNN with their feature pyramids.

Ours computes the same function; only the order of steps that commute differs. Where the paper and the
program leave room, this is ours: images smaller than the regions need are padded with zeros at the bottom
and right (theirs fail), logits have the size of the input (theirs that of the option ``image_size``),
``in_channels`` other than three (one channel is repeated to three, as in their program for Synapse), and an
image-level head beside the segmentation (``num_image_classes``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from medbench.models.blocks.box_heads import (
    FIRST_LEVELS,
    BoxNetwork,
    Detector,
    coarser_levels,
    detector_behind,
    detector_problem,
)
from medbench.models.blocks.channels_last import BatchNorm, Conv, resize
from medbench.models.blocks.dual_sparse_selection_attention import AUTHORS_BLOCK_PARTS
from medbench.models.blocks.image_heads import make_image_head, with_image_logits
from medbench.models.blocks.input_images import with_channels, zero_padded
from medbench.models.blocks.sparse_pyramid import (
    AUTHORS_PYRAMID_PLACES,
    PyramidOptions,
    SparsePyramid,
)
from medbench.models.options import refuse_options
from medbench.models.renaming import as_matrices, rename_parameters

_GRIDS = (1, 2, 3, 6)


class MedFormerClassifier(SparsePyramid):
    """The published classifier.

    Args:
        in_channels: input channels.
        num_classes: classes of an image.
        n_win: regions along each side.
        topk: regions that a region attends to, at 1/4, 1/8 and 1/16.
        embed_dim: channels at 1/4, 1/8, 1/16 and 1/32.
        depth: blocks at those levels.
        head_dim: channels of a head, except at 1/32, where there are always eight heads.
        mlp_ratio: hidden width of the perceptrons.
        side_dwconv: kernel of the attention's depthwise convolution, odd.
        drop_path: largest rate of left-out branches.

    Raises:
        MedbenchError: ``model.option`` for values that do not go together.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 7,
        *,
        n_win: int = 7,
        topk: Sequence[int] = (1, 4, 16),
        embed_dim: Sequence[int] = (32, 64, 128, 256),
        depth: Sequence[int] = (2, 2, 8, 2),
        head_dim: int = 32,
        mlp_ratio: float = 3,
        side_dwconv: int = 5,
        drop_path: float = 0.1,
    ) -> None:
        options = PyramidOptions(n_win, topk, embed_dim, depth, head_dim, mlp_ratio, side_dwconv, drop_path)
        refuse_options("medformer", options.problems())
        super().__init__(in_channels, options, norms=False)
        self.in_channels = in_channels
        self.least_size = 16 * n_win
        self.norm = BatchNorm(embed_dim[3])
        self.classification_head = nn.Linear(embed_dim[3], num_classes)
        nn.init.trunc_normal_(self.classification_head.weight, std=0.02)
        nn.init.zeros_(self.classification_head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, num_classes)`` logits, for any H and W."""
        deepest = self.encode(
            zero_padded(with_channels(images, self.in_channels), least_side=self.least_size)
        )[3]
        logits: Tensor = self.classification_head(self.norm(deepest).mean(dim=(1, 2)))
        return logits


class ConvReLU(nn.Module):
    """Convolution and ReLU of ``(N, H, W, C)`` features, initialised for it.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: side of the kernel, odd.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 1) -> None:
        super().__init__()
        self.conv = Conv(inputs, outputs, kernel)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, H, W, inputs)`` to ``(N, H, W, outputs)``."""
        return functional.relu(self.conv(features))


class MedFormerUPerNet(SparsePyramid):
    """MedFormer's segmentation network: UPerNet on the pyramid.

    Args:
        in_channels: input channels.
        num_classes: classes of the logits.
        num_image_classes: classes of our image-level head, or ``None`` for none.
        n_win: regions along each side.
        topk: regions that a region attends to, at 1/4, 1/8 and 1/16.
        embed_dim: channels at 1/4, 1/8, 1/16 and 1/32.
        depth: blocks at those levels.
        head_dim: channels of a head, except at 1/32, where there are always eight heads.
        mlp_ratio: hidden width of the perceptrons.
        side_dwconv: kernel of the attention's depthwise convolution, odd.
        drop_path: largest rate of left-out branches.
        decoder_dim: channels of UPerNet.
        dropout: rate of left-out channels before the last layer.
        image_head: input of the image-level head, ``segmentation`` or ``encoder``.

    Raises:
        MedbenchError: ``model.option`` for values that do not go together.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        num_image_classes: int | None = None,
        *,
        n_win: int = 8,
        topk: Sequence[int] = (1, 4, 16),
        embed_dim: Sequence[int] = (64, 128, 256, 512),
        depth: Sequence[int] = (2, 2, 8, 2),
        head_dim: int = 32,
        mlp_ratio: float = 3,
        side_dwconv: int = 5,
        drop_path: float = 0.2,
        decoder_dim: int = 64,
        dropout: float = 0.1,
        image_head: str = "segmentation",
    ) -> None:
        options = PyramidOptions(n_win, topk, embed_dim, depth, head_dim, mlp_ratio, side_dwconv, drop_path)
        refuse_options(
            "medformer",
            (*options.problems(), (decoder_dim < 1, f"decoder_dim={decoder_dim} is not positive")),
        )
        super().__init__(in_channels, options)
        self.in_channels = in_channels
        self.least_size = 16 * n_win
        deepest = embed_dim[3]
        self.pooling = nn.ModuleList(ConvReLU(deepest, decoder_dim) for _ in _GRIDS)
        self.bottleneck = ConvReLU(deepest + len(_GRIDS) * decoder_dim, decoder_dim, 3)
        self.laterals = nn.ModuleList(ConvReLU(dim, decoder_dim) for dim in embed_dim[:3])
        self.smooth = nn.ModuleList(ConvReLU(decoder_dim, decoder_dim, 3) for _ in range(3))
        self.fusion = ConvReLU(4 * decoder_dim, decoder_dim, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.segmentation_head = Conv(decoder_dim, num_classes)
        self.image_head = make_image_head("medformer", image_head, deepest, num_classes, num_image_classes)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """``(N, in_channels, H, W)`` to ``(N, num_classes, H, W)`` logits, for any H and W.

        Sides below ``16 * n_win`` are padded to that with zeros at the bottom and right, and the logits
        cropped. With an image-level head: ``(segmentation logits, image logits (N, num_image_classes))``.
        """
        height, width = images.shape[-2:]
        images = zero_padded(with_channels(images, self.in_channels), least_side=self.least_size)
        maps = self.encode(images)
        features = self.dropout(self.decode(maps).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        logits = functional.interpolate(
            self.segmentation_head(features).permute(0, 3, 1, 2), images.shape[-2:], mode="bilinear"
        )[..., :height, :width]
        return with_image_logits(self.image_head, logits, maps[3])

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Normed maps of the four levels to ``(N, H / 4, W / 4, decoder_dim)``."""
        total = self.bottleneck(self._pooled(maps[3]))
        outputs = [total]
        for level in (2, 1, 0):
            lateral = self.laterals[level](maps[level])
            total = lateral + resize(total, *lateral.shape[1:3], align_corners=False)
            outputs.insert(0, self.smooth[level](total))
        size = outputs[0].shape[1:3]
        pyramid = torch.cat([resize(output, *size, align_corners=False) for output in outputs], dim=-1)
        return self.fusion(pyramid)

    def _pooled(self, deepest: Tensor) -> Tensor:
        """The deepest map joined with its means over grids of 1, 2, 3 and 6, projected."""
        height, width = deepest.shape[1:3]
        planes = deepest.permute(0, 3, 1, 2)
        means = [
            projection(functional.adaptive_avg_pool2d(planes, grid).permute(0, 2, 3, 1))
            for grid, projection in zip(_GRIDS, self.pooling, strict=True)
        ]
        return torch.cat([deepest, *(resize(m, height, width, align_corners=False) for m in means)], dim=-1)


class DetectionFeatures(SparsePyramid):
    """The backbone of torchvision's detectors: a feature pyramid network on the pyramid.

    Args:
        in_channels: input channels.
        options: of the blocks.
        out_channels: channels of every map.
        first_level: the largest map that is used, 0 to 3.
        extra: module that adds coarser maps.
    """

    def __init__(
        self,
        in_channels: int,
        options: PyramidOptions,
        out_channels: int,
        first_level: int,
        extra: LastLevelMaxPool | LastLevelP6P7,
    ) -> None:
        super().__init__(in_channels, options)
        self.out_channels = out_channels
        self.first_level = first_level
        self.least_size = 16 * options.n_win
        widths = list(options.embed_dim[first_level:])
        for level in range(first_level):
            self.encoder_norms[level] = nn.Identity()
        self.feature_pyramid = FeaturePyramidNetwork(widths, out_channels, extra)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """``(N, in_channels, H, W)`` to maps ``(N, out_channels, H / s, W / s)`` by name, finest first.

        Where images are padded for the regions, the maps are cropped again: torchvision takes a map's
        stride from its size.
        """
        height, width = images.shape[-2:]
        maps = self.encode(zero_padded(images, least_side=self.least_size))
        pyramid = OrderedDict()
        for level in range(self.first_level, len(maps)):
            stride = 4 << level
            crop = maps[level][:, : -(-height // stride), : -(-width // stride)]
            pyramid[str(level - self.first_level)] = crop.permute(0, 3, 1, 2)
        features: dict[str, Tensor] = self.feature_pyramid(pyramid)
        return features


def detection_network(
    in_channels: int = 3,
    num_classes: int = 2,
    *,
    detector: Detector = "retinanet",
    n_win: int = 8,
    topk: Sequence[int] = (1, 4, 16),
    embed_dim: Sequence[int] = (32, 64, 128, 256),
    depth: Sequence[int] = (2, 2, 8, 2),
    head_dim: int = 32,
    mlp_ratio: float = 3,
    side_dwconv: int = 5,
    drop_path: float = 0.1,
    decoder_dim: int = 256,
    image_size: int = 512,
) -> BoxNetwork:
    """A detector of torchvision on the pyramid, with torchvision's inputs and outputs.

    In training ``detector(images, targets)`` gives a dictionary of losses, in evaluation ``detector(images)``
    one of ``boxes`` (``(x1, y1, x2, y2)`` in pixels of the image), ``labels`` and ``scores`` for each image.
    RetinaNet sees the maps from 1/8 on and two coarser ones (arXiv 1708.02002), Faster R-CNN those from 1/4
    on and one coarser (arXiv 1612.03144).

    Args:
        in_channels: input channels.
        num_classes: classes with the background, which is 0.
        detector: ``retinanet`` or ``faster_rcnn``.
        n_win: regions along each side.
        topk: regions that a region attends to, at 1/4, 1/8 and 1/16.
        embed_dim: channels at 1/4, 1/8, 1/16 and 1/32.
        depth: blocks at those levels.
        head_dim: channels of a head, except at 1/32, where there are always eight heads.
        mlp_ratio: hidden width of the perceptrons.
        side_dwconv: kernel of the attention's depthwise convolution, odd.
        drop_path: largest rate of left-out branches.
        decoder_dim: channels of the feature pyramid.
        image_size: side that images are resized to, the longer at most twice that.

    Raises:
        MedbenchError: ``model.option``.
    """
    options = PyramidOptions(n_win, topk, embed_dim, depth, head_dim, mlp_ratio, side_dwconv, drop_path)
    refuse_options(
        "medformer",
        (
            *options.problems(),
            (decoder_dim < 1, f"decoder_dim={decoder_dim} is not positive"),
            detector_problem(detector),
        ),
    )
    transform = {
        "min_size": image_size,
        "max_size": 2 * image_size,
        "image_mean": [0.0] * in_channels,
        "image_std": [1.0] * in_channels,
    }
    extra = coarser_levels(detector, decoder_dim)
    features = DetectionFeatures(in_channels, options, decoder_dim, FIRST_LEVELS[detector], extra)
    return detector_behind(features, detector, num_classes, **transform)


_MATRICES = r"\.attention\.(qkv|output)\.weight$"
_UPERNET_PLACES = (
    *((rf"MedFormer_mm\.{theirs}", ours) for theirs, ours in AUTHORS_PYRAMID_PLACES),
    (r"psp_modules\.(\d)\.1\.", r"pooling.\1."),
    (r"bottleneck\.", "bottleneck."),
    (r"lateral_convs\.", "laterals."),
    (r"fpn_convs\.", "smooth."),
    (r"fpn_bottleneck\.", "fusion."),
    (r"conv_seg\.", "segmentation_head."),
)
_CLASSIFIER_PLACES = (*AUTHORS_PYRAMID_PLACES, (r"norm\.", "norm."), (r"head\.", "classification_head."))


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The 291 entries of the authors' UPerNets to ours.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    ours = rename_parameters(
        authors_state_dict, "MedFormer with UPerNet", _UPERNET_PLACES, AUTHORS_BLOCK_PARTS
    )
    return as_matrices(ours, _MATRICES)


def classifier_official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The 264 entries of the authors' classifiers to ours.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    ours = rename_parameters(
        authors_state_dict, "MedFormer classifier", _CLASSIFIER_PLACES, AUTHORS_BLOCK_PARTS
    )
    return as_matrices(ours, _MATRICES)
