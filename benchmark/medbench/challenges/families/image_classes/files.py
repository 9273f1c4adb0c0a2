"""Files of a release of images with one class each: cases, splits, reading and checks."""

from __future__ import annotations

import abc
import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from medbench.challenges.exchange import size_text
from medbench.challenges.families.leaks import leaks
from medbench.challenges.release import Release
from medbench.challenges.stray import Finding, Role
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure, guarded
from medbench.io import eight_bit, raster
from medbench.io.gate.listing import check_alone


@dataclass(frozen=True, slots=True)
class ClassedImage:
    """An image of a release and its class.

    Attributes:
        id: its name in the release, unique.
        image: path of the image.
        reference: path of what says the class: a table, or the image itself in the folder of its class.
        image_class: index of the class; ``None`` where the release says none that is usable.
        group: patient, lesion or slide; empty when it stands alone.
        part: part of the release that it comes from, where a release has several.
        fault: why there is no class.
    """

    id: str
    image: Path
    reference: Path
    image_class: int | None
    group: str = ""
    part: str = ""
    fault: str = ""


class ImageClassRelease(Release):
    """Files of a release of images with one class each.

    Attributes:
        image_size: height and width of all images of the release, if they are equal.
        colours: whether the release holds colour images alone; else grey ones are read as three equal planes.
    """

    image_size: ClassVar[tuple[int, int] | None] = None
    colours: ClassVar[bool] = True

    @abc.abstractmethod
    def images(self, root: Path) -> list[ClassedImage]:
        """Every image of the folder in a fixed order.

        Raises:
            MedbenchError: ``data.layout_unknown``.
        """

    @abc.abstractmethod
    def images_of(self, images: Sequence[ClassedImage], split: str) -> list[ClassedImage]:
        """The images that belong to a split."""

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's images; those without a class have no score."""
        self.check_split(split)
        images = self.images_of(self.images(root), split)
        if not images:
            raise MedbenchError("data.empty", f"{root}: holds no image of split {split}.", self.data_hint)
        return [_case(image) for image in images]

    def read_image(self, path: Path) -> npt.NDArray[np.uint8]:
        """An image of the release, ``(height, width, 3)``, 8 bit.

        Raises:
            MedbenchError: when the file is missing, damaged or of another kind than the release's.
        """
        check_alone(path, raster.SUFFIXES)
        if self.colours:
            return eight_bit.read_rgb(path)
        return eight_bit.read_as_rgb(path)

    def shown_sha256(self, path: Path, role: Role) -> str | None:
        """Of images alone: what says the class is a table, or the image itself."""
        return super().shown_sha256(path, role) if role == "image" else None

    @staticmethod
    def read_reference(case: Case) -> int:
        """Index of the image's class.

        Raises:
            MedbenchError: ``data.class_missing`` where the release says none that is usable.
        """
        image_class = case.facts.get("class")
        if image_class is None:
            raise MedbenchError(
                "data.class_missing", str(case.facts.get("fault")), "Correct the release's own file."
            )
        return int(image_class)

    def check_files(self, root: Path) -> list[Finding]:
        """Counts by class, every image, classes that are missing, images and groups in two splits."""
        images = self.images(root)
        with ThreadPoolExecutor(2) as pool:
            looks = list(pool.map(self._guarded_image, images))
        findings = [Finding("error", image.fault) for image in images if image.fault]
        findings += [finding for finding, _ in looks if finding is not None and finding.severity == "error"]
        odd = [finding for finding, _ in looks if finding is not None and finding.severity == "note"]
        if odd:
            findings.append(Finding("note", f"{len(odd)} of {len(images)} images: {odd[0].message}"))
        digests = {image.image: digest for image, (_, digest) in zip(images, looks, strict=True) if digest}
        findings += _contradictions(images, digests)
        counts: list[Finding] = []
        for splits in self.disjoint_splits():
            owners = {split: self.images_of(images, split) for split in splits}
            counts += [self._count(split, owners[split]) for split in splits]
            findings += leaks(owners)
        return [*counts, *findings]

    def _count(self, split: str, images: Sequence[ClassedImage]) -> Finding:
        classes = Counter(image.image_class for image in images)
        parts = ", ".join(f"{name} {classes[index]}" for index, name in enumerate(self.card.image_classes))
        facts = self.split_facts(split)
        whole = facts.cases if facts else None
        if whole and images and len(images) != whole:
            return Finding(
                "warning",
                f"{split}: {len(images)} of the release's {whole} images ({parts}).",
                "A subset: its scores are marked so and never stand beside those of the whole split.",
            )
        return Finding("note", f"{split}: {len(images)} images ({parts}).")

    def _guarded_image(self, image: ClassedImage) -> tuple[Finding | None, str]:
        look = guarded(image.id, lambda: self._check_image(image))
        if isinstance(look, Failure):
            return Finding("error", f"{image.image}: {look.reason}", look.hint), ""
        return look

    def _check_image(self, image: ClassedImage) -> tuple[Finding | None, str]:
        """What is wrong or odd with an image, and the hash of what it shows."""
        try:
            pixels = self.read_image(image.image)
        except MedbenchError as error:
            return Finding("error", error.message, error.hint), ""
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        size = pixels.shape[:2]
        if self.image_size and size != self.image_size:
            due = size_text(self.image_size)
            return Finding("note", f"not of {due}, as the release's are; the first is {image.image}."), digest
        return None, digest


def _case(image: ClassedImage) -> Case:
    facts = {"class": image.image_class} | ({"fault": image.fault} if image.fault else {})
    return Case(image.id, {"image": image.image}, {"class": image.reference}, image.group, facts)


def _contradictions(images: Sequence[ClassedImage], digests: dict[Path, str]) -> list[Finding]:
    """Equal images with different classes."""
    findings, seen = [], dict[str, ClassedImage]()
    for image in images:
        digest = digests.get(image.image)
        first = seen.setdefault(digest, image) if digest else image
        if first.image_class != image.image_class:
            message = f"{image.image}: the same image as {first.image}, with another class."
            findings.append(Finding("error", message, "One of the two classes is wrong."))
    return findings
