"""Files of a release of images with one class each: cases, splits, reading and checks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from medbench.challenges.exchange import size_text
from medbench.challenges.families.listed_images import ListedImageRelease, unreadable
from medbench.challenges.stray import Finding
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure, guarded
from medbench.core.text import counted


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


class ImageClassRelease(ListedImageRelease[ClassedImage]):
    """Files of a release of images with one class each.

    Attributes:
        image_size: height and width of all images of the release, if they are equal.
    """

    image_size: ClassVar[tuple[int, int] | None] = None

    def case_of(self, image: ClassedImage) -> Case:
        """The case of an image, with its class or its fault among the facts."""
        facts = {"class": image.image_class} | ({"fault": image.fault} if image.fault else {})
        return Case(image.id, {"image": image.image}, {"class": image.reference}, image.group, facts)

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

    def content_of(self, images: Sequence[ClassedImage]) -> str:
        """Numbers of images by class."""
        classes = Counter(image.image_class for image in images)
        return ", ".join(f"{name} {classes[index]}" for index, name in enumerate(self.card.image_classes))

    def check_images(self, images: Sequence[ClassedImage]) -> list[Finding]:
        """Findings on every image, on sizes that differ, and on equal images of different classes."""
        with ThreadPoolExecutor(2) as pool:
            looks = list(pool.map(self._content, images))
        pairs = list(zip(images, looks, strict=True))
        findings = [unreadable(image, look) for image, look in pairs if isinstance(look, Failure)]
        contents = [(image, look) for image, look in pairs if not isinstance(look, Failure)]
        odd = [image for image, (size, _) in contents if self.image_size and size != self.image_size]
        if odd and self.image_size:
            due = size_text(self.image_size)
            count = f"{len(odd)} of {counted(len(images), 'image')}"
            message = f"{count}: not of {due}, as the release's are; the first is {odd[0].image}."
            findings.append(Finding("note", message))
        return [*findings, *_contradictions((image, digest) for image, (_, digest) in contents)]

    def _content(self, image: ClassedImage) -> tuple[tuple[int, ...], str] | Failure:
        """Height and width of an image, and the hash of what it shows."""
        pixels = guarded(image.id, lambda: self.read_image(image.image))
        if isinstance(pixels, Failure):
            return pixels
        return pixels.shape[:2], hashlib.sha256(pixels.tobytes()).hexdigest()


def _contradictions(digests: Iterable[tuple[ClassedImage, str]]) -> Iterator[Finding]:
    """Equal images with different classes."""
    firsts: dict[str, ClassedImage] = {}
    for image, digest in digests:
        first = firsts.setdefault(digest, image)
        if first.image_class != image.image_class:
            message = f"{image.image}: the same image as {first.image}, with another class."
            yield Finding("error", message, "One of the two classes is wrong.")
