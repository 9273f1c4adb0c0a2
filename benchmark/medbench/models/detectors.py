"""Detectors of boxes with torchvision's heads: on MedFormer's pyramid, and torchvision's own as baselines.

Library: pytorch/vision (BSD-3-Clause). Nothing is ever downloaded. Networks see images of the size that they
are given, and answer in pixels of it: in training ``network(images, targets)`` is a dictionary of losses, in
evaluation ``network(images)`` one of ``boxes``, ``labels`` from 1 on and ``scores`` for each image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FrozenBatchNorm2d

from medbench.core.finite import refuse_not_finite
from medbench.models.blocks.box_heads import (
    FIRST_LEVELS,
    BoxNetwork,
    Detector,
    coarser_levels,
    detector_behind,
    detector_problem,
)
from medbench.models.medformer import detection_network
from medbench.models.options import refuse_options
from medbench.models.starting_weights import load_parameters, read_parameters

HEADS = {
    "retinanet": ("head.classification_head.cls_logits.",),
    "faster_rcnn": ("roi_heads.box_predictor.",),
}
"""Parameters that depend on the number of classes."""
WIDTHS = {"resnet18": (64, 128, 256, 512), "resnet50": (256, 512, 1024, 2048)}


class KeptSize(GeneralizedRCNNTransform):
    """torchvision's preparation of images without resizing and normalisation, which come before the network.

    Args:
        channels: of the images.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(1, 1, [0.0] * channels, [1.0] * channels)

    def resize(
        self, image: Tensor, target: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        """The image and its target as they are."""
        return image, target


def medformer_detector(
    in_channels: int = 3, num_classes: int = 1, *, score_threshold: float = 0.05, **options: Any
) -> BoxNetwork:
    """RetinaNet or Faster R-CNN on MedFormer's pyramid.

    Args:
        in_channels: input channels.
        num_classes: classes of boxes, the background not counted.
        score_threshold: least score of a detection.
        options: of :func:`medbench.models.medformer.detection_network`.

    Raises:
        MedbenchError: ``model.option``.
    """
    return _finished(detection_network(in_channels, num_classes + 1, **options), in_channels, score_threshold)


def torchvision_detector(
    in_channels: int = 3,
    num_classes: int = 90,
    *,
    detector: Detector = "retinanet",
    backbone: str = "resnet50",
    decoder_dim: int = 256,
    score_threshold: float = 0.05,
    pretrained_weights: str | Path | None = None,
) -> BoxNetwork:
    """torchvision's RetinaNet (arXiv 1708.02002) or Faster R-CNN (1506.01497) with a feature pyramid.

    With the defaults, parameters have the names and shapes of ``retinanet_resnet50_fpn`` and
    ``fasterrcnn_resnet50_fpn``. As there, batch norm learns in a fresh network and is frozen in one with
    weights from elsewhere.

    Args:
        in_channels: input channels.
        num_classes: classes of boxes, the background not counted.
        detector: ``retinanet`` or ``faster_rcnn``.
        backbone: ``resnet50`` or ``resnet18``.
        decoder_dim: channels of the feature pyramid.
        score_threshold: least score of a detection.
        pretrained_weights: path of a local checkpoint, of the detector or of its ResNet; the layers that
            depend on the number of classes are left out where they do not fit.

    Raises:
        MedbenchError: ``model.option``; ``weights.missing``, ``weights.unsafe`` or ``weights.mismatch`` for
            the checkpoint.
    """
    refuse_options(
        "torchvision",
        (
            detector_problem(detector),
            (backbone not in WIDTHS, f"backbone={backbone!r} is none of {', '.join(WIDTHS)}"),
            (decoder_dim < 1, f"decoder_dim={decoder_dim} is not positive"),
        ),
    )
    norm = nn.BatchNorm2d if pretrained_weights is None else FrozenBatchNorm2d
    body = getattr(resnet, backbone)(weights=None, norm_layer=norm)
    if in_channels != 3:
        body.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
    network = detector_behind(_pyramid(body, backbone, decoder_dim, detector), detector, num_classes + 1)
    if pretrained_weights is not None:
        _load_pretrained(network, Path(pretrained_weights), HEADS[detector])
    return _finished(network, in_channels, score_threshold)


def further_inputs(images: Tensor) -> tuple[list[dict[str, Tensor]]]:
    """Targets for images ``(N, channels, H, W)``, one box of the first class in the middle of each."""
    height, width = images.shape[-2:]
    box = torch.tensor([[width / 4, height / 4, 3 * width / 4, 3 * height / 4]], device=images.device)
    label = torch.ones(1, dtype=torch.int64, device=images.device)
    return ([{"boxes": box, "labels": label} for _ in images],)


def _pyramid(body: nn.Module, backbone: str, channels: int, detector: Detector) -> BackboneWithFPN:
    """A feature pyramid on those of the ResNet's stages that the detector sees."""
    stages = range(1 + FIRST_LEVELS[detector], 5)
    layers = {f"layer{stage}": str(place) for place, stage in enumerate(stages)}
    widths = [WIDTHS[backbone][stage - 1] for stage in stages]
    return BackboneWithFPN(body, layers, widths, channels, coarser_levels(detector, channels))


def _finished(network: BoxNetwork, channels: int, score_threshold: float) -> BoxNetwork:
    network.transform = KeptSize(channels)
    heads = (
        [network.head]
        if isinstance(network, RetinaNet)
        else [network.rpn.head, network.roi_heads.box_predictor]
    )
    for head in heads:
        head.register_forward_hook(_refuse_not_finite)
    if isinstance(network, RetinaNet):
        network.score_thresh = score_threshold
    else:
        network.roi_heads.score_thresh = score_threshold
    return network


def _refuse_not_finite(head: nn.Module, inputs: Any, output: Any) -> None:
    """Refuse answers of a head that are no numbers, which a detector would leave out like unlikely boxes.

    Raises:
        MedbenchError: ``network.not_finite``, in evaluation alone.
    """
    answers = output.values() if isinstance(output, dict) else output
    for answer in answers if not head.training else ():
        for tensor in answer if isinstance(answer, list) else [answer]:
            refuse_not_finite(tensor)


def _load_pretrained(network: nn.Module, path: Path, heads: tuple[str, ...]) -> None:
    """Load a detector's parameters, or those of its ResNet, without executing anything in the file."""
    parameters = read_parameters(path, "pretrained_weights")
    names = list(network.state_dict())
    if "conv1.weight" in parameters:
        parameters = {f"backbone.body.{name}": tensor for name, tensor in parameters.items()}
        names = [name for name in names if name.startswith("backbone.body.")]
    load_parameters(
        network,
        parameters,
        path,
        "Give a checkpoint of the same detector or of its ResNet.",
        names=names,
        optional=[name for name in names if name.startswith(heads)],
    )
