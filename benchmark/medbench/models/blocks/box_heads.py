"""Detectors of boxes: a backbone's pyramid with torchvision's RetinaNet or Faster R-CNN behind it."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from torch import nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

Detector = Literal["retinanet", "faster_rcnn"]
BoxNetwork: TypeAlias = RetinaNet | FasterRCNN
FIRST_LEVELS = {"retinanet": 1, "faster_rcnn": 0}
"""Detector -> the largest map that it sees: 0 is at 1/4, 1 at 1/8 (arXiv 1708.02002, 1612.03144)."""

_SIDES = (32, 64, 128, 256, 512)
"""Sides of the anchors in both papers, in pixels, finest map first."""
_RATIOS = ((0.5, 1.0, 2.0),) * len(_SIDES)


def detector_problem(detector: str) -> tuple[bool, str]:
    """Whether there is no such detector, and a clause that says so."""
    return detector not in FIRST_LEVELS, f"detector={detector!r} is neither 'retinanet' nor 'faster_rcnn'"


def coarser_levels(detector: Detector, channels: int) -> LastLevelP6P7 | LastLevelMaxPool:
    """The module that adds a pyramid's coarser maps: two for RetinaNet, one for Faster R-CNN.

    Args:
        detector: ``retinanet`` or ``faster_rcnn``.
        channels: of the pyramid.
    """
    return LastLevelP6P7(channels, channels) if detector == "retinanet" else LastLevelMaxPool()


def detector_behind(
    features: nn.Module, detector: Detector, num_classes: int, **transform: Any
) -> BoxNetwork:
    """The detector with the anchors of its paper.

    Args:
        features: backbone with its feature pyramid.
        detector: ``retinanet`` or ``faster_rcnn``.
        num_classes: classes with the background, which is 0.
        transform: keywords of torchvision's preparation of images.
    """
    if detector == "retinanet":
        sizes = tuple((side, int(side * 2 ** (1 / 3)), int(side * 2 ** (2 / 3))) for side in _SIDES)
        return RetinaNet(features, num_classes, anchor_generator=AnchorGenerator(sizes, _RATIOS), **transform)
    anchors = AnchorGenerator(tuple((side,) for side in _SIDES), _RATIOS)
    return FasterRCNN(features, num_classes, rpn_anchor_generator=anchors, **transform)
