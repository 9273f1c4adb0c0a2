"""Files of a release of images with several labels each: cases, reading and checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medbench.challenges.families.listed_images import ListedImageRelease
from medbench.core.case import Case
from medbench.core.errors import MedbenchError


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


class ImageLabelRelease(ListedImageRelease[LabelledImage]):
    """Files of a release of images with several labels each."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the labels."""
        return self.card.demands_besides["image_labels"]

    def case_of(self, image: LabelledImage) -> Case:
        """The case of an image, with its labels or its fault among the facts."""
        facts = {"labels": list(image.labels)} | ({"fault": image.fault} if image.fault else {})
        return Case(image.id, {"image": image.image}, {"labels": image.reference}, image.group, facts)

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

    def content_of(self, images: Sequence[LabelledImage]) -> str:
        """Numbers of images by label."""
        sums = np.sum([image.labels for image in images if image.labels] or [(0,) * len(self.names)], axis=0)
        return ", ".join(f"{name} {count}" for name, count in zip(self.names, sums, strict=True))
