"""The detector that CM-CGNS is judged by: the heads of YOLOv3 on the last three stages of a ResNet-50."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn
from torch.nn import functional

from medbench.models.cm_cgns.detection_loss import detection_loss
from medbench.models.cm_cgns.detections import Anchors, decode_maps, suppress
from medbench.models.options import refuse_options
from medbench.models.renaming import rename_parameters

ANCHORS = (
    ((116, 90), (156, 198), (373, 326)),
    ((30, 61), (62, 45), (59, 119)),
    ((10, 13), (16, 30), (33, 23)),
)
ANCHOR_SIDE = 416
BOX_VALUES = 5


class Step(nn.Module):
    """A convolution without bias, batch normalisation and a leaky ReLU.

    Args:
        before: channels of its input.
        after: channels of its output.
        kernel: side of its kernel.
    """

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(after)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps ``(N, after, H, W)``."""
        return functional.leaky_relu(self.bn(self.conv(maps)), 0.1)


class Head(nn.Module):
    """Six steps and the answers at one stride.

    Args:
        before: channels of its input.
        width: channels of the narrow steps; the wide ones have twice as many.
        answers: channels of the answers.
    """

    def __init__(self, before: int, width: int, answers: int) -> None:
        super().__init__()
        widths = [before, width, 2 * width, width, 2 * width, width, 2 * width]
        self.steps = nn.ModuleList(
            Step(widths[k], widths[k + 1], 3 if k % 2 else 1) for k in range(len(widths) - 1)
        )
        self.conv_out = nn.Conv2d(2 * width, answers, 1)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Answers, and what the fifth step hands to the next head."""
        for step in self.steps[:-1]:
            maps = step(maps)
        return self.conv_out(self.steps[-1](maps)), maps


class Detector(nn.Module):
    """YOLOv3's heads on the last three stages of a ResNet-50.

    In training with targets it returns a dictionary of losses, without them the raw maps; in evaluation
    torchvision's detections. Images may have any side that is a multiple of 32: anchors follow it.

    Args:
        in_channels: input channels.
        num_classes: classes of objects; the authors have 1.
        image_size: published side of the images in pixels, a multiple of 32, for :attr:`anchors`.
        widths: channels of the ResNet's four stages before their expansion by 4.
        depths: blocks of its four stages.
        head_widths: channels of the heads' narrow steps.
        confidence: objects below are left out.
        overlap: of two boxes with a larger one, the less confident is left out.

    Raises:
        MedbenchError: ``model.option``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        *,
        image_size: int = 224,
        widths: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (3, 4, 6, 3),
        head_widths: Sequence[int] = (512, 256, 128),
        confidence: float = 0.5,
        overlap: float = 0.5,
    ) -> None:
        super().__init__()
        refuse_options(
            "cm_cgns.yolo",
            (
                (image_size < 32 or image_size % 32 > 0, f"image_size={image_size} is no multiple of 32"),
                (
                    len(widths) != 4 or len(depths) != 4 or len(head_widths) != 3,
                    "widths and depths are not four numbers each, or head_widths not three",
                ),
                (not 0 <= confidence <= 1, f"confidence={confidence} is not from 0 to 1"),
                (not 0 <= overlap <= 1, f"overlap={overlap} is not from 0 to 1"),
            ),
        )
        self.num_classes, self.image_size = num_classes, image_size
        self.confidence, self.overlap = confidence, overlap
        self.backbone = ResNet(
            Bottleneck,  # type: ignore[arg-type]
            tuple(depths),
            num_classes=0,
            in_chans=in_channels,
            global_pool="",
            channels=tuple(widths),
        )
        answers = len(ANCHORS[0]) * (BOX_VALUES + num_classes)
        deep, middle, shallow = head_widths
        self.heads = nn.ModuleList(
            (
                Head(4 * widths[3], deep, answers),
                Head(4 * widths[2] + deep // 2, middle, answers),
                Head(4 * widths[1] + middle // 2, shallow, answers),
            )
        )
        self.links = nn.ModuleList((Step(deep, deep // 2, 1), Step(middle, middle // 2, 1)))

    @property
    def anchors(self) -> Anchors:
        """Width and height of the anchors in pixels of the published image, by head."""
        return anchors_of(self.image_size)

    def maps(self, images: Tensor) -> tuple[Tensor, ...]:
        """Raw maps ``(N, 3 * (5 + num_classes), h, w)`` at strides 32, 16 and 8."""
        backbone: Any = self.backbone
        features = backbone.maxpool(backbone.act1(backbone.bn1(backbone.conv1(images))))
        stages = []
        for stage in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4):
            features = stage(features)
            stages.append(features)
        answers = []
        maps = stages[3]
        for number, head in enumerate(self.heads):
            answer, branch = head(maps)
            answers.append(answer)
            if number < len(self.links):
                finer = functional.interpolate(self.links[number](branch), scale_factor=2, mode="nearest")
                maps = torch.cat([finer, stages[2 - number]], dim=1)
        return tuple(answers)

    def forward(
        self, images: Tensor, targets: Sequence[Mapping[str, Tensor]] | None = None
    ) -> tuple[Tensor, ...] | dict[str, Tensor] | list[dict[str, Tensor]]:
        """In training losses or raw maps; else for each image ``boxes``, ``scores`` and ``labels`` from 1 on.

        Args:
            images: ``(N, in_channels, side, side)``.
            targets: torchvision's, of every image: ``boxes`` as corners in pixels, ``labels`` from 1 on.
        """
        maps, side = self.maps(images), images.shape[-1]
        if self.training and targets is None:
            return maps
        maps = tuple(raw.float() if raw.dtype != torch.float64 else raw for raw in maps)
        with torch.autocast(images.device.type, enabled=False):
            if self.training and targets is not None:
                return _losses(maps, targets, side)
            return suppress(decode_maps(maps, anchors_of(side), side), self.confidence, self.overlap)


def anchors_of(side: int) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Width and height of the anchors in pixels, by head, for images of a side."""
    factor = side / ANCHOR_SIDE
    return tuple(tuple((w * factor, h * factor) for w, h in anchors) for anchors in ANCHORS)


def _losses(maps: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]], side: int) -> dict[str, Tensor]:
    """Losses over all heads: of places and sizes, of confidences, of classes."""
    heads = detection_loss(maps, padded_targets(targets, side), anchors_of(side), side)
    confidence = torch.stack([head.confidence for head in heads]).sum()
    classes = torch.stack([head.classes for head in heads]).sum()
    total = torch.stack([head.total for head in heads]).sum()
    return {"boxes": total - confidence - classes, "confidence": confidence, "classes": classes}


def padded_targets(targets: Sequence[Mapping[str, Tensor]], side: int) -> Tensor:
    """torchvision's targets as the loss takes them: ``(N, objects, 5)``, zeros where an image has fewer.

    >>> box = {"boxes": torch.tensor([[8.0, 0.0, 24.0, 16.0]]), "labels": torch.tensor([1])}
    >>> padded_targets([box], 32).tolist()
    [[[0.0, 0.5, 0.25, 0.5, 0.5]]]
    """
    most = max(len(image["labels"]) for image in targets)
    table = targets[0]["boxes"].new_zeros((len(targets), most, BOX_VALUES))
    for row, image in zip(table, targets, strict=True):
        low, high = image["boxes"].split(2, dim=1)
        values = torch.cat([(low + high) / 2, high - low], dim=1) / side
        row[: len(values), 0] = image["labels"].to(row.dtype) - 1
        row[: len(values), 1:] = values
    return table


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The 444 entries of the authors' detector to ours.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    heads = [
        place
        for number in range(3)
        for place in (
            (rf"embedding{number}\.conv_out\.", f"heads.{number}.conv_out."),
            (rf"embedding{number}\.(\d)\.", rf"heads.{number}.steps.\1."),
        )
    ]
    links = [(rf"embedding{number + 1}_cbl\.", f"links.{number}.") for number in range(2)]
    places = ((r"backbone\.model\.", "backbone."), *heads, *links)
    return rename_parameters(authors_state_dict, "CM-CGNS detector", places)
