"""Files of the RSNA pneumonia challenge: images with a class, with boxes, and with masks of filled boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.image_boxes.files import BoxedImage
from medbench.challenges.families.image_classes.files import ClassedImage, ImageClassRelease
from medbench.challenges.families.image_masks.files import ImageMaskRelease, Pair
from medbench.challenges.families.radiograph_boxes import RadiographBoxRelease, check_inside
from medbench.challenges.families.radiographs import SPLITS, RadiographFiles
from medbench.challenges.release import Release, SplitFacts
from medbench.challenges.rsna_pneumonia.table import (
    DATA_SET,
    FOLDER,
    HINT,
    TABLE,
    Patient,
    belongs,
    checked,
    facts_of,
    patient_of,
    patients_of,
)
from medbench.challenges.stray import Role
from medbench.core.case import Case
from medbench.core.errors import MedbenchError


class RSNAFiles(Release):
    """Base of the three challenges' releases: data, splits and patients."""

    splits = SPLITS
    shared_data = DATA_SET
    data_hint = HINT
    sample_writer = "medbench.challenges.rsna_pneumonia.sample:write_sample"
    sample_version = "1"

    def split_facts(self, split: str) -> SplitFacts:
        """The rule."""
        return facts_of(split)

    def patients(self, root: Path) -> list[Patient]:
        """Every image of the table.

        Raises:
            MedbenchError: ``data.layout_unknown``.
        """
        patients = patients_of(root)
        if not patients:
            raise self.layout_error(root, (TABLE, f"{FOLDER}/"))
        return patients


class RSNAClasses(RadiographFiles, RSNAFiles, ImageClassRelease):
    """Images with or without a pneumonia."""

    colours = False

    def images(self, root: Path) -> list[ClassedImage]:
        """Every image of the table."""
        return [
            ClassedImage(
                one.id,
                one.image,
                one.table,
                None if one.fault else int(bool(one.boxes)),
                one.id,
                "",
                one.fault,
            )
            for one in self.patients(root)
        ]

    def images_of(self, images: Sequence[ClassedImage], split: str) -> list[ClassedImage]:
        """Images of the split."""
        return [image for image in images if belongs(image.id, split)]

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's images.

        Raises:
            MedbenchError: also ``split.class_empty``.
        """
        return checked(super().cases(root, split), root, split)


class RSNABoxes(RSNAFiles, RadiographBoxRelease):
    """Images with boxes of opacities."""

    def images(self, root: Path) -> list[BoxedImage]:
        """Every image of the table."""
        return [
            BoxedImage(one.id, one.image, one.table, None if one.fault else one.boxes, one.id, "", one.fault)
            for one in self.patients(root)
        ]

    def images_of(self, images: Sequence[BoxedImage], split: str) -> list[BoxedImage]:
        """Images of the split."""
        return [image for image in images if belongs(image.id, split)]

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's images.

        Raises:
            MedbenchError: also ``split.class_empty``.
        """
        return checked(super().cases(root, split), root, split)


class RSNAMasks(RadiographFiles, RSNAFiles, ImageMaskRelease):
    """Images with masks: the filled boxes of opacities."""

    may_be_empty = True

    def pairs(self, root: Path) -> list[Pair]:
        """Every image of the table, which is its mask's file."""
        return [Pair(one.id, one.image, one.table, one.id) for one in self.patients(root)]

    def pairs_of(self, pairs: Sequence[Pair], split: str) -> list[Pair]:
        """Images of the split."""
        return [pair for pair in pairs if belongs(pair.id, split)]

    def cases(self, root: Path, split: str) -> list[Case]:
        """The split's images.

        Raises:
            MedbenchError: also ``split.class_empty``.
        """
        return checked(super().cases(root, split), root, split)

    def read_reference(self, case: Case) -> npt.NDArray[np.uint8]:
        """The filled boxes, ``(height, width)``.

        Raises:
            MedbenchError: ``data.boxes_missing`` or ``data.box_outside``.
        """
        return self._mask(case.reference["labels"], case.id, case.inputs["image"])

    def check_mask(self, pair: Pair) -> tuple[npt.NDArray[np.uint8], Sequence[str]]:
        """The reference mask; boxes have no oddities."""
        return self._mask(pair.mask, pair.id, pair.image), ()

    def shown_sha256(self, path: Path, role: Role) -> str | None:
        """Of images alone: all boxes are in one table."""
        return super().shown_sha256(path, role) if role == "image" else None

    def _mask(self, table: Path, name: str, image: Path) -> npt.NDArray[np.uint8]:
        patient = patient_of(table, name)
        if patient.fault:
            raise MedbenchError("data.boxes_missing", patient.fault, "Correct the release's own file.")
        height, width = self.read_image(image).shape[:2]
        check_inside([box[:4] for box in patient.boxes], (height, width), f"{table}: {name}")
        mask = np.zeros((height, width), np.uint8)
        for left, top, right, bottom, _ in patient.boxes:
            mask[round(top) : round(bottom), round(left) : round(right)] = 1
        return mask
