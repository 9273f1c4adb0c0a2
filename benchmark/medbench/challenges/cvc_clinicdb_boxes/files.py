"""Files of CVC-ClinicDB as images with boxes: those of the connected components of the masks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medbench.challenges.families.cvc_frames.files import MASK_THRESHOLD, CVCFrames, parts_of, split_frames
from medbench.challenges.families.image_boxes.components import component_boxes
from medbench.challenges.families.image_boxes.files import BoxedImage, ImageBoxRelease
from medbench.challenges.stray import Finding
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.sample import Boxes
from medbench.core.text import agreeing, counted, named
from medbench.io import eight_bit, raster
from medbench.io.gate.listing import check_alone

HELD_OUT = "held_out"
FOLDS = ("fold1", "fold2", "fold3")
CROSS_VALIDATION = "folds"
LEAST_PIXELS = 16
"""Smaller components are specks: those of the release have 1 to 3 pixels, the least polyp some hundred."""


class CVCBoxesRelease(CVCFrames, ImageBoxRelease):
    """Files of CVC-ClinicDB, read as boxes.

    ``held_out`` is ``val`` and ``test`` together. ``folds`` tests every sequence once, each by a network that
    has not learnt from it, so that a copy of few frames has as many groups as it has sequences.
    """

    splits = (
        *CVCFrames.splits,
        HELD_OUT,
        CROSS_VALIDATION,
        *FOLDS,
        *(f"{fold}_train" for fold in FOLDS),
    )
    shared_data = "cvc_clinicdb"

    def parts(self, split: str) -> Sequence[str]:
        """The folds of the cross-validation."""
        return parts_of(split)

    def training_split_of(self, split: str) -> str:
        """The other sequences of a fold; else the training split of the same scheme."""
        return f"{split}_train" if split in FOLDS else super().training_split_of(split)

    def overlap(self, training_split: str, split: str) -> bool:
        """As for all frames, and where splits by sequence share frames."""
        if training_split == split or super().overlap(training_split, split):
            return training_split != split
        own = {training_split, split} - {*CVCFrames.splits}
        return bool(own) and not {*split_frames(training_split)}.isdisjoint(split_frames(split))

    def images(self, root: Path) -> list[BoxedImage]:
        """Frames in the first layout that the folder has; boxes are read from the masks."""
        return [
            BoxedImage(frame.id, frame.image, frame.mask, group=frame.group) for frame in self.frames(root)
        ]

    def images_of(self, images: Sequence[BoxedImage], split: str) -> list[BoxedImage]:
        """Frames of the split; of a cross-validation, each with its fold before its name."""
        if self.parts(split):
            return [
                dataclasses.replace(image, id=f"{part}/{image.id}")
                for part in self.parts(split)
                for image in self.images_of(images, part)
            ]
        names = {str(frame) for frame in split_frames(split)}
        return [image for image in images if image.id in names]

    def read_reference(self, case: Case) -> Boxes:
        """Boxes of the mask's components.

        Raises:
            MedbenchError: when the mask is missing, damaged, no binary mask, or not of its image's size.
        """
        path = case.reference["boxes"]
        check_alone(path, raster.SUFFIXES)
        corners = component_boxes(eight_bit.read_binary_mask(path, MASK_THRESHOLD), LEAST_PIXELS)
        return Boxes.of_reference(corners, np.zeros(len(corners), np.int64))

    def notes(self, root: Path, images: Sequence[BoxedImage]) -> Sequence[Finding]:
        """How many specks of masks are left out."""
        specks, names = 0, []
        for image in images:
            try:
                mask = eight_bit.read_binary_mask(image.reference, MASK_THRESHOLD)
            except MedbenchError:
                continue
            count = len(component_boxes(mask)) - len(component_boxes(mask, LEAST_PIXELS))
            specks += count
            names += [image.reference.name] if count else []
        if not specks:
            return ()
        are = agreeing(specks, "is no box", "are no boxes")
        message = (
            f"{counted(specks, 'speck')} of fewer than {LEAST_PIXELS} pixels in "
            f"{counted(len(names), 'mask')} ({named(names)}) {are}."
        )
        return [Finding("note", message)]
