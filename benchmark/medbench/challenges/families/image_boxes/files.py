"""Files of a release of images with boxes: cases, splits, reading and checks."""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.image_boxes.results import keys_of
from medbench.challenges.families.leaks import leaks
from medbench.challenges.release import Release
from medbench.challenges.stray import Finding, Role
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure, guarded
from medbench.core.sample import Boxes
from medbench.io import eight_bit, raster
from medbench.io.gate.listing import check_alone

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


class ImageBoxRelease(Release):
    """Files of a release of images with boxes.

    Attributes:
        colours: whether the release holds colour images alone; else grey ones are read as three equal planes.
        suffixes: endings of its images.
    """

    colours: ClassVar[bool] = True
    suffixes: ClassVar[Collection[str]] = raster.SUFFIXES

    @abc.abstractmethod
    def images(self, root: Path) -> list[BoxedImage]:
        """Every image of the folder in a fixed order.

        Raises:
            MedbenchError: ``data.layout_unknown``, or when a table of boxes cannot be read.
        """

    @abc.abstractmethod
    def images_of(self, images: Sequence[BoxedImage], split: str) -> list[BoxedImage]:
        """The images that belong to a split."""

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's images; those whose boxes cannot be used have no score."""
        self.check_split(split)
        images = self.images_of(self.images(root), split)
        if not images:
            raise MedbenchError("data.empty", f"{root}: holds no image of split {split}.", self.data_hint)
        return [case_of_image(image) for image in images]

    def image_names(self, case: Case) -> frozenset[str | int]:
        """By what files of detections may call images: the names in the case's folder, without suffix."""
        folder = case.inputs["image"].parent
        return keys_of(path.stem for path in folder.iterdir() if path.suffix.lower() in self.suffixes)

    def read_image(self, path: Path) -> npt.NDArray[np.uint8]:
        """An image of the release, ``(height, width, 3)``, 8 bit.

        Raises:
            MedbenchError: when the file is missing, damaged or of another kind than the release's.
        """
        check_alone(path, raster.SUFFIXES)
        if self.colours:
            return eight_bit.read_rgb(path)
        return eight_bit.read_as_rgb(path)

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

    def shown_sha256(self, path: Path, role: Role) -> str | None:
        """Of images alone: what says the boxes is a table, or a mask that several frames may share."""
        return super().shown_sha256(path, role) if role == "image" else None

    def check_files(self, root: Path) -> list[Finding]:
        """Counts, every image with its boxes, and groups in two splits."""
        images = self.images(root)
        with ThreadPoolExecutor(2) as pool:
            looks = list(pool.map(self._guarded_image, images))
        findings = [Finding("error", image.fault) for image in images if image.fault]
        findings += [finding for look in looks for finding in look]
        findings += self.notes(root, images)
        counts: list[Finding] = []
        for splits in self.disjoint_splits():
            owners = {split: self.images_of(images, split) for split in splits}
            counts += [self._count(split, owners[split]) for split in splits]
            findings += leaks(owners)
        return [*counts, *findings]

    def notes(self, root: Path, images: Sequence[BoxedImage]) -> Sequence[Finding]:
        """Findings on the release as a whole."""
        return ()

    def _count(self, split: str, images: Sequence[BoxedImage]) -> Finding:
        names = self.card.demands_besides["boxes"]
        boxes = Counter(box[4] for image in images for box in image.boxes or ())
        known = [image for image in images if image.boxes is not None]
        parts = ", ".join(f"{name} {boxes[index]}" for index, name in enumerate(names))
        told = f" (boxes: {parts}; {sum(not image.boxes for image in known)} images without)" if known else ""
        facts = self.split_facts(split)
        whole = facts.cases if facts else None
        if whole and images and len(images) != whole:
            return Finding(
                "warning",
                f"{split}: {len(images)} of the release's {whole} images{told}.",
                "A subset: its scores are marked so and never stand beside those of the whole split.",
            )
        return Finding("note", f"{split}: {len(images)} images{told}.")

    def _guarded_image(self, image: BoxedImage) -> list[Finding]:
        look = guarded(image.id, lambda: self.check_image(image))
        if isinstance(look, Failure):
            return [Finding("error", f"{image.image}: {look.reason}", look.hint)]
        return look

    def check_image(self, image: BoxedImage) -> list[Finding]:
        """What is wrong with an image or its boxes."""
        if image.fault:
            return []
        try:
            pixels = self.read_image(image.image)
            boxes = self.read_reference(case_of_image(image))
        except MedbenchError as error:
            return [Finding("error", error.message, error.hint)]
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


def case_of_image(image: BoxedImage) -> Case:
    """The case of an image, with its boxes or its fault among the facts."""
    facts: Mapping[str, Any] = {"fault": image.fault} if image.fault else {}
    if image.boxes is not None:
        facts = {"boxes": [list(box) for box in image.boxes]}
    return Case(image.id, {"image": image.image}, {"boxes": image.reference}, image.group, facts)


def boxes_of(rows: Sequence[Sequence[float]]) -> Boxes:
    """Boxes from rows of left, top, right, bottom and class."""
    table = np.array(rows, np.float64).reshape(-1, 5)
    return Boxes.of_reference(table[:, :4], table[:, 4].astype(np.int64))
