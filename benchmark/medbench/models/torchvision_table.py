"""Cards of torchvision's detectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from medbench.models.entry import ModelEntry, ModelOption

OPTIONS = {
    "detector": ModelOption("retinanet", "retinanet or faster_rcnn, which the model's name gives"),
    "backbone": ModelOption("resnet50", "resnet50 or resnet18"),
    "decoder_dim": ModelOption(256, "channels of the feature pyramid"),
    "score_threshold": ModelOption(0.05, "least score of a detection"),
    "pretrained_weights": ModelOption(
        None,
        "path of a local checkpoint of the detector or of its ResNet, other classes left out; nothing is "
        "ever downloaded",
    ),
}


@dataclass(frozen=True, slots=True)
class ListedDetector:
    """A detector that listings show.

    Attributes:
        title: its usual name.
        detector: value of the option.
        paper_title: of the paper.
        arxiv: number of the paper.
        published_parameters: parameters in torchvision's table, where those of batch norm are frozen;
            ``None`` for a detector that torchvision does not list.
        parameters: counted with 3 channels and 90 classes, batch norm included.
        tiny_parameters: of the variant for tests; 0 without one.
        changes: options that differ from torchvision's.
    """

    title: str
    detector: str
    paper_title: str
    arxiv: str
    published_parameters: int | None
    parameters: int
    tiny_parameters: int = 0
    changes: dict[str, Any] = field(default_factory=dict)


LISTED = {
    "retinanet_resnet50_fpn": ListedDetector(
        "RetinaNet R50",
        "retinanet",
        "Focal Loss for Dense Object Detection",
        "1708.02002",
        34_014_999,
        34_068_119,
        11_572_599,
    ),
    "fasterrcnn_resnet50_fpn": ListedDetector(
        "Faster R-CNN R50",
        "faster_rcnn",
        "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks",
        "1506.01497",
        41_755_286,
        41_808_406,
        14_376_726,
    ),
    "retinanet_resnet18_fpn": ListedDetector(
        "RetinaNet R18",
        "retinanet",
        "Focal Loss for Dense Object Detection",
        "1708.02002",
        None,
        12_207_447,
        changes={"backbone": "resnet18", "decoder_dim": 64},
    ),
}


def torchvision_entries() -> Iterator[ModelEntry]:
    """Cards of the detectors; those of torchvision's own table have a tiny variant for tests."""
    for name, facts in LISTED.items():
        yield _entry(f"torchvision/{name}", facts.title, facts, facts.parameters, facts.changes)
        if not facts.tiny_parameters:
            continue
        tiny = {"backbone": "resnet18", "decoder_dim": 32}
        yield _entry(
            f"torchvision/{name}.test",
            f"{facts.detector} R18, tiny for tests",
            facts,
            facts.tiny_parameters,
            tiny,
        )


def _entry(
    name: str, title: str, facts: ListedDetector, parameters: int, changes: dict[str, Any]
) -> ModelEntry:
    return ModelEntry(
        name=name,
        title=f"{title} (torchvision)",
        factory="medbench.models.detectors:torchvision_detector",
        offers={"boxes": "num_classes"},
        further_inputs="medbench.models.detectors:further_inputs",
        family="torchvision",
        recipe_family="boxes",
        paper_title=facts.paper_title,
        arxiv=facts.arxiv,
        code="pytorch/vision",
        code_license="BSD-3-Clause",
        image_size=800,
        min_size=32,
        num_classes=90,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        published_parameters=None if changes else facts.published_parameters,
        cost_note=""
        if changes
        else "torchvision's table does not count the frozen parameters of batch norm.",
        counted_parameters=parameters,
        size_rule="any; the longer side is resized and the rest of the square padded with zeros",
        options=OPTIONS,
        fixed_options={"detector": facts.detector, **changes},
        notes="Classes are without the background; 90 are those of torchvision's checkpoints for COCO. "
        "Images are padded to a square, where torchvision's own program resizes the shorter side to 800.",
    )
