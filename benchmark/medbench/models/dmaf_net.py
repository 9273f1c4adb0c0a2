"""DMAF-Net (reconstruction): incomplete multi-modal segmentation of volumes (arXiv 2506.11691).

The authors (violet-42/DMAF-Net@656cf87) released two figures and no code, and the paper's equations were not
at hand. So block names, the flow of data and what each loss compares come from abstract and figures; layers,
widths and the protocol from the programs that they build on, above all Jun-Jie-Shi/PASSION@fd308b5
(Apache-2.0). No number of the paper is known to hold for this network, and none is compared with it.

From the figures: an encoder of five levels for every modality; at each level *dynamic modality-aware fusion*
(DMAF): features become tokens, four blocks of masked attention look at those of all modalities that are
there, and maps restored from them weigh the features that are added up; one decoder for what was fused, and a
second, shared by the modalities, that each also passes alone in training.

Decided here, where the sources are silent:

* DMAF averages features over a grid of 5×5×5, the size of PASSION's deepest level, has one embedding of place
  and modality, and own parameters at every level; blocks normalise first, and the width is at least 32.
* Maps are a softmax over the modalities at each cell, enlarged trilinearly: they sum to 1 at every voxel, are
  0 for missing modalities, and one modality alone passes unchanged. ``att_map="sigmoid"`` has independent
  gates instead. Maps of attention probabilities without gradient, as M2FTrans has, are not offered: the
  blocks lead to nothing else here and would never learn.
* A missing modality's encoder is not computed at all, so that nothing, not even NaN, comes through.
* Logits for deep supervision at the four coarser levels, as in mmFormer.
* Relation layers (a linear map, and attention from one modality to what was fused) belong to the network,
  because they are trained with it; the losses on them are in :mod:`medbench.training.modality_distillation`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.blocks.modality_fusion import ModalityFusion, RelationLayers
from medbench.models.blocks.padded_network import crop_ends, pad_ends
from medbench.models.options import refuse_options


@dataclass(frozen=True, slots=True)
class Paths:
    """Outputs that the losses of a training step compare.

    Attributes:
        logits: ``(N, num_classes, depth, height, width)`` of the fused features.
        deep: logits of the coarser levels at their own sizes, finest first.
        separate: logits of each modality alone, for the samples that have the modality.
        modalities: deepest features of each modality ``(N, C, *sides)``, zeros where it is missing.
        joint: the deepest fused features.
    """

    logits: Tensor
    deep: tuple[Tensor, ...]
    separate: tuple[Tensor, ...]
    modalities: tuple[Tensor, ...]
    joint: Tensor


Sides = tuple[int, int, int]


def _sides(number: int, *, planar: bool) -> Sides:
    """A number along each axis; 1 along the first where planes are seen one by one."""
    return (1 if planar else number, number, number)


def _conv_unit(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, planar: bool = False
) -> nn.Sequential:
    """Convolution with reflected edges, instance norm without parameters, leaky ReLU."""
    padding = (0 if planar else kernel // 2, kernel // 2, kernel // 2)
    kernels, strides = _sides(kernel, planar=planar), _sides(stride, planar=planar)
    conv = nn.Conv3d(inputs, outputs, kernels, strides, padding, padding_mode="reflect")
    nn.init.kaiming_normal_(conv.weight)
    return nn.Sequential(conv, nn.InstanceNorm3d(outputs), nn.LeakyReLU(0.2))


class EncoderLevel(nn.Module):
    """A level of an encoder: a convolution, and two more with a residual.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: of the first convolution.
        planar: whether kernels and strides are 1 along the first axis.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, planar: bool = False) -> None:
        super().__init__()
        self.enter = _conv_unit(inputs, outputs, stride=stride, planar=planar)
        self.refine = nn.Sequential(
            _conv_unit(outputs, outputs, planar=planar), _conv_unit(outputs, outputs, planar=planar)
        )

    def forward(self, features: Tensor) -> Tensor:
        """``(N, inputs, *sides)`` to ``(N, outputs, *(sides / stride))``, rounded up."""
        base: Tensor = self.enter(features)
        residual: Tensor = self.refine(base)
        return base + residual


class Encoder(nn.Module):
    """The encoder of one modality.

    Args:
        channels: of every level.
        planar: as for :class:`EncoderLevel`.
    """

    def __init__(self, channels: Sequence[int], *, planar: bool = False) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.strides = _sides(2, planar=planar)
        self.levels = nn.ModuleList(
            EncoderLevel(inputs, outputs, 2 if level else 1, planar=planar)
            for level, (inputs, outputs) in enumerate(itertools.pairwise((1, *channels)))
        )

    def forward(self, volume: Tensor, present: Tensor | None, samples: Tensor | None = None) -> list[Tensor]:
        """Features of every level, zeros for samples without this modality, which ``samples`` leaves out.

        In training, features of a modality that no sample has depend on its parameters with gradient zero,
        so that every process of a distributed training has the same gradients to share.
        """
        if present is None:
            return self._compute(volume)
        samples = present.nonzero().flatten() if samples is None else samples
        if len(samples) == len(volume):
            return self._compute(volume)
        if len(samples):
            return [
                level.new_zeros(len(volume), *level.shape[1:]).index_put((samples,), level)
                for level in self._compute(volume[samples])
            ]
        nothing = volume.new_zeros(())
        if torch.is_grad_enabled():
            nothing = nothing + 0.0 * sum(parameter.sum() for parameter in self.parameters())
        sides, features = tuple(volume.shape[2:]), []
        for level, channels in enumerate(self.channels):
            if level:
                sides = tuple(-(-side // stride) for side, stride in zip(sides, self.strides, strict=True))
            features.append(nothing.expand(len(volume), channels, *sides))
        return features

    def _compute(self, features: Tensor) -> list[Tensor]:
        levels = []
        for level in self.levels:
            features = level(features)
            levels.append(features)
        return levels


class DecoderStep(nn.Module):
    """A step of a decoder: upsampling, a convolution, concatenation with the skip, and two convolutions.

    Args:
        inputs: channels of the coarser level.
        outputs: channels of the skip and of the result.
        planar: as for :class:`EncoderLevel`.
    """

    def __init__(self, inputs: int, outputs: int, *, planar: bool = False) -> None:
        super().__init__()
        self.enter = _conv_unit(inputs, outputs, planar=planar)
        self.join = nn.Sequential(
            _conv_unit(2 * outputs, outputs, planar=planar), _conv_unit(outputs, outputs, kernel=1)
        )

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """``(N, inputs, *coarse)`` and ``(N, outputs, *sides)`` to ``(N, outputs, *sides)``."""
        finer = functional.interpolate(features, skip.shape[2:], mode="trilinear", align_corners=True)
        features_of_both: Tensor = self.join(torch.cat([self.enter(finer), skip], dim=1))
        return features_of_both


class Decoder(nn.Module):
    """A decoder of the features of all levels.

    Args:
        channels: of every level, the finest first.
        num_classes: classes of the logits.
        planar: as for :class:`EncoderLevel`.
    """

    def __init__(self, channels: Sequence[int], num_classes: int, *, planar: bool = False) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            DecoderStep(coarse, fine, planar=planar)
            for fine, coarse in reversed(list(itertools.pairwise(channels)))
        )
        self.head = nn.Conv3d(channels[0], num_classes, 1)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Features of the decoder's levels, coarsest first, from the encoder's levels, finest first.

        :attr:`head` makes logits of the last, those of the finest level.
        """
        levels = [features[-1]]
        for step, skip in zip(self.steps, reversed(features[:-1]), strict=True):
            levels.append(step(levels[-1], skip))
        return levels


class DMAFNet(nn.Module):
    """The network; see the module's text.

    Args:
        in_channels: modalities.
        num_classes: classes of the logits.
        channels: width of every level, each half the size of the one before.
        grid: cells an axis over which DMAF averages.
        blocks: transformer blocks of every DMAF module.
        dropout: rate in those blocks.
        att_map: ``softmax`` over the modalities, or ``sigmoid`` for independent gates.
        graph_topk: how many fused tokens a modality's token attends to in the relation layers; 0 is all.
        planar: whether planes of the first axis are seen one by one: kernels, strides and the grid are 1
            along it.

    Raises:
        MedbenchError: ``model.option`` for values that do not go together.
    """

    def __init__(
        self,
        in_channels: int = 4,
        num_classes: int = 4,
        *,
        channels: Sequence[int] = (8, 16, 32, 64, 128),
        grid: int = 5,
        blocks: int = 4,
        dropout: float = 0.1,
        att_map: str = "softmax",
        graph_topk: int = 0,
        planar: bool = False,
    ) -> None:
        super().__init__()
        _check_options(channels, grid, blocks, dropout, att_map, graph_topk)
        self.least_sides = _sides(2 ** len(channels), planar=planar)
        self.encoders = nn.ModuleList(Encoder(channels, planar=planar) for _ in range(in_channels))
        cells = _sides(grid, planar=True) if planar else grid
        self.fusions = nn.ModuleList(
            ModalityFusion(dim, in_channels, cells, blocks, dropout, att_map) for dim in channels
        )
        self.decoder = Decoder(channels, num_classes, planar=planar)
        self.deep_heads = nn.ModuleList(nn.Conv3d(dim, num_classes, 1) for dim in reversed(channels[1:]))
        self.shared_decoder = Decoder(channels, num_classes, planar=planar)
        self.relation = RelationLayers(channels[-1], graph_topk)

    def forward(self, volumes: Tensor, present: Tensor | None = None) -> Tensor:
        """``(N, in_channels, depth, height, width)`` to ``(N, num_classes, depth, height, width)`` logits.

        Sides below 32 are padded at their ends by repeating the edge, and the logits cropped.

        Args:
            volumes: input; channels of missing modalities have no influence.
            present: boolean ``(N, in_channels)``, at least one modality per sample; ``None``: all present.
        """
        _, joint = self._fuse(pad_ends(volumes, 1, self.least_sides), present)
        return crop_ends(self.decoder.head(self.decoder(joint)[-1]), volumes.shape[2:])

    def paths(self, volumes: Tensor, present: Tensor, samples: Sequence[Tensor] | None = None) -> Paths:
        """Outputs for the losses of training, at sides from 32 on.

        Args:
            volumes: as in :meth:`forward`.
            present: as in :meth:`forward`.
            samples: for each modality the samples that have it; found from ``present`` if not given, for
                which a GPU has to be waited for.
        """
        samples = [here.nonzero().flatten() for here in present.T] if samples is None else samples
        features, joint = self._fuse(volumes, present, samples)
        *coarse, finest = self.decoder(joint)
        deep = [head(level) for head, level in zip(self.deep_heads, coarse, strict=True)]
        alone = [
            torch.cat([levels[level][here] for levels, here in zip(features, samples, strict=True)])
            for level in range(len(joint))
        ]
        separate = self.shared_decoder.head(self.shared_decoder(alone)[-1])
        return Paths(
            self.decoder.head(finest),
            tuple(reversed(deep)),
            separate.split([len(here) for here in samples]),
            tuple(levels[-1] for levels in features),
            joint[-1],
        )

    def _fuse(
        self, volumes: Tensor, present: Tensor | None, samples: Sequence[Tensor] | None = None
    ) -> tuple[list[list[Tensor]], list[Tensor]]:
        """Features by modality and level, and fused features by level."""
        features = [
            encoder(
                volumes[:, number : number + 1],
                None if present is None else present[:, number],
                None if samples is None else samples[number],
            )
            for number, encoder in enumerate(self.encoders)
        ]
        joint = [
            fusion(level, present)
            for fusion, level in zip(self.fusions, zip(*features, strict=True), strict=True)
        ]
        return features, joint


def _check_options(
    channels: Sequence[int], grid: int, blocks: int, dropout: float, att_map: str, graph_topk: int
) -> None:
    wide = [dim for dim in channels if dim > 32]
    problems = (
        (
            len(channels) < 2 or min(channels, default=0) < 1,
            f"channels={list(channels)} are not two or more positive numbers",
        ),
        (
            any(dim % min(8, dim // 16) for dim in wide),
            f"channels={list(channels)}: widths above 32 must be divisible by their heads, one for every 16 "
            "channels and 8 at most",
        ),
        (grid < 1, f"grid={grid} is not positive"),
        (blocks < 1, f"blocks={blocks} is not positive"),
        (not 0 <= dropout < 1, f"dropout={dropout} is not from 0 to below 1"),
        (att_map not in ("softmax", "sigmoid"), f"att_map={att_map!r} is neither 'softmax' nor 'sigmoid'"),
        (graph_topk < 0, f"graph_topk={graph_topk} is negative"),
    )
    refuse_options("dmaf_net", problems)
