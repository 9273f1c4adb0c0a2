"""Files of a release of images with several labels each: cases, reading and checks."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.leaks import leaks
from medbench.challenges.release import Release
from medbench.challenges.stray import Finding, Role
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure, guarded


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image of a release and its labels.

    Attributes:
        id: its name in the release, unique.
        image: path of the image.
        reference: path of the table of labels.
        labels: 0 or 1 for each label; empty where the table says what is none.
        group: patient.
        part: part of the release that it comes from.
        fault: why there are no labels.
    """

    id: str
    image: Path
    reference: Path
    labels: tuple[int, ...]
    group: str = ""
    part: str = ""
    fault: str = ""


class ImageLabelRelease(Release):
    """Files of a release of images with several labels each."""

    @abc.abstractmethod
    def images(self, root: Path) -> list[LabelledImage]:
        """Every image of the folder in a fixed order.

        Raises:
            MedbenchError: ``data.layout_unknown``.
        """

    @abc.abstractmethod
    def images_of(self, images: Sequence[LabelledImage], split: str) -> list[LabelledImage]:
        """The images that belong to a split."""

    @abc.abstractmethod
    def read_image(self, path: Path) -> npt.NDArray[np.uint8]:
        """An image of the release, ``(height, width, 3)``, 8 bit."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the labels."""
        return self.card.demands_besides["image_labels"]

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's images; those without labels have no score."""
        self.check_split(split)
        images = self.images_of(self.images(root), split)
        if not images:
            raise MedbenchError("data.empty", f"{root}: holds no image of split {split}.", self.data_hint)
        return [_case(image) for image in images]

    def shown_sha256(self, path: Path, role: Role) -> str | None:
        """Of images alone: the labels are in a table."""
        return super().shown_sha256(path, role) if role == "image" else None

    @staticmethod
    def read_reference(case: Case) -> tuple[int, ...]:
        """Labels of the image, 0 and 1.

        Raises:
            MedbenchError: ``data.class_missing`` where the release says none that are usable.
        """
        labels = case.facts.get("labels")
        if not labels:
            raise MedbenchError(
                "data.class_missing", str(case.facts.get("fault")), "Correct the release's own file."
            )
        return tuple(labels)

    def check_files(self, root: Path) -> list[Finding]:
        """Counts by label, every image, labels that are missing, and patients in two splits."""
        images = self.images(root)
        with ThreadPoolExecutor(2) as pool:
            looks = list(pool.map(self._fault_of, images))
        findings = [Finding("error", image.fault) for image in images if image.fault]
        findings += [look for look in looks if look is not None]
        counts = []
        for splits in self.disjoint_splits():
            owners = {split: self.images_of(images, split) for split in splits}
            counts += [self._count(split, owners[split]) for split in splits]
            findings += leaks(owners)
        return [*counts, *findings]

    def _fault_of(self, image: LabelledImage) -> Finding | None:
        look = guarded(image.id, lambda: self.read_image(image.image))
        return (
            Finding("error", f"{image.image}: {look.reason}", look.hint)
            if isinstance(look, Failure)
            else None
        )

    def _count(self, split: str, images: Sequence[LabelledImage]) -> Finding:
        sums = np.sum([image.labels for image in images if image.labels] or [(0,) * len(self.names)], axis=0)
        parts = ", ".join(f"{name} {count}" for name, count in zip(self.names, sums, strict=True))
        facts = self.split_facts(split)
        whole = facts.cases if facts else None
        if whole and images and len(images) != whole:
            return Finding(
                "warning",
                f"{split}: {len(images)} of the release's {whole} images ({parts}).",
                "A subset: its scores are marked so and never stand beside those of the whole split.",
            )
        return Finding("note", f"{split}: {len(images)} images ({parts}).")


def _case(image: LabelledImage) -> Case:
    facts = {"labels": list(image.labels)} | ({"fault": image.fault} if image.fault else {})
    return Case(image.id, {"image": image.image}, {"labels": image.reference}, image.group, facts)
