"""Files of a release of images with boxes: cases, splits, reading and checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from medbench.challenges.families.image_boxes.results import keys_of
from medbench.challenges.families.listed_images import ListedImageRelease
from medbench.challenges.stray import Finding
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.sample import Boxes
from medbench.core.text import counted
from medbench.io import raster

Box = tuple[float, float, float, float, int]
"""Left, top, right and bottom in pixels, right and bottom exclusive, and the index of the class."""


@dataclass(frozen=True, slots=True)
class BoxedImage:
    """An image of a release and its boxes.

    Attributes:
        id: its name in the release, unique.
        image: path of the image.
        reference: path of what says the boxes: a table of all images, or a mask of this one.
        boxes: as that table has them, none for an image without objects; ``None`` where there is a fault, or
            where :meth:`ImageBoxRelease.read_reference` finds them in the file.
        group: patient or video; empty when the image stands alone.
        part: part of the release that it comes from, where a release has several.
        fault: why there are no boxes that can be used.
    """

    id: str
    image: Path
    reference: Path
    boxes: tuple[Box, ...] | None = None
    group: str = ""
    part: str = ""
    fault: str = ""


class ImageBoxRelease(ListedImageRelease[BoxedImage]):
    """Files of a release of images with boxes.

    Attributes:
        suffixes: endings of its images.
    """

    suffixes: ClassVar[Collection[str]] = raster.SUFFIXES

    def case_of(self, image: BoxedImage) -> Case:
        """The case of an image, with its boxes or its fault among the facts."""
        facts: Mapping[str, Any] = {"fault": image.fault} if image.fault else {}
        if image.boxes is not None:
            facts = {"boxes": [list(box) for box in image.boxes]}
        return Case(image.id, {"image": image.image}, {"boxes": image.reference}, image.group, facts)

    def image_names(self, case: Case) -> frozenset[str | int]:
        """By what files of detections may call images: the names in the case's folder, without suffix."""
        folder = case.inputs["image"].parent
        return keys_of(path.stem for path in folder.iterdir() if path.suffix.lower() in self.suffixes)

    def read_reference(self, case: Case) -> Boxes:
        """The boxes of an image.

        Raises:
            MedbenchError: ``data.boxes_missing`` where the release says none that can be used.
        """
        if "boxes" not in case.facts:
            raise MedbenchError(
                "data.boxes_missing", str(case.facts.get("fault")), "Correct the release's own file."
            )
        return boxes_of(case.facts["boxes"])

    def content_of(self, images: Sequence[BoxedImage]) -> str:
        """Numbers of boxes by class, and of images without; empty where the boxes are read later."""
        names = self.card.demands_besides["boxes"]
        boxes = Counter(box[4] for image in images for box in image.boxes or ())
        with_boxes = [image for image in images if image.boxes is not None]
        parts = ", ".join(f"{name} {boxes[index]}" for index, name in enumerate(names))
        without = counted(sum(not image.boxes for image in with_boxes), "image")
        return f"boxes: {parts}; {without} without" if with_boxes else ""

    def check_image(self, image: BoxedImage) -> list[Finding]:
        """Findings on an image and its boxes.

        Raises:
            MedbenchError: when one of them cannot be read.
        """
        if image.fault:
            return []
        pixels, boxes = self.read_image(image.image), self.read_reference(self.case_of(image))
        height, width = pixels.shape[:2]
        findings = []
        for number, (left, top, right, bottom) in enumerate(boxes.corners.tolist(), 1):
            place = f"{image.reference}: {image.id}, box {number} ({left:g}, {top:g}, {right:g}, {bottom:g})"
            if right <= left or bottom <= top:
                findings.append(Finding("error", f"{place}: has no area."))
            elif left < 0 or top < 0 or right > width or bottom > height:
                findings.append(
                    Finding("error", f"{place}: leaves the image of {width} by {height} (width by height).")
                )
        return findings


def boxes_of(rows: Sequence[Sequence[float]]) -> Boxes:
    """Boxes from rows of left, top, right, bottom and class."""
    table = np.array(rows, np.float64).reshape(-1, 5)
    return Boxes.of_reference(table[:, :4], table[:, 4].astype(np.int64))
