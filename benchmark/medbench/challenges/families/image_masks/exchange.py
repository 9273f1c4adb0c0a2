"""Samples of images with one mask each, and files of predicted masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.exchange import Exchange, Inputs
from medbench.challenges.families.image_masks.files import ImageMaskRelease
from medbench.challenges.mask_sizes import refuse_other_sizes
from medbench.core.case import Case
from medbench.core.overlay import Illustration, Stroke
from medbench.core.sample import Prediction, Sample, TrainingImage
from medbench.io import eight_bit, raster
from medbench.io.gate.expected import handed_in


class ImageMaskExchange(Exchange):
    """Reads images; writes one 8-bit PNG of 0 and 255 each.

    Attributes:
        prediction_threshold: grey values above it are the structure, where the organisers' program
            thresholds predictions; else ``None``.
    """

    prediction_threshold: ClassVar[int | None] = None

    def __init__(self, card: Card, release: ImageMaskRelease) -> None:
        super().__init__(card)
        self.release = release
        self.inputs = {"image": Inputs(self.read_image, self.training_images)}

    def read_image(self, case: Case) -> Sample:
        """The sample of a case: its image, 8 bit."""
        return Sample(case, self.release.read_image(case.inputs["image"])[np.newaxis])

    def read_prediction(self, path: Path, shape: tuple[int, ...] | None = None) -> npt.NDArray[np.uint8]:
        """A predicted mask, ``(height, width)``, values of the card's labels.

        Args:
            path: the file.
            shape: of its reference, which bounds what it may take.

        Raises:
            MedbenchError: when the file is missing, damaged or no such mask.
        """
        return eight_bit.read_binary_mask(path, self.prediction_threshold, expected=handed_in(shape))

    def prediction_name(self, case: Case) -> str:
        """Name of the predicted mask, ``<case>.png``."""
        return f"{case.id}.png"

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the mask as an 8-bit PNG of 0 and 255."""
        path = folder / self.prediction_name(case)
        raster.write_label_map(path, (prediction["label_map"][0] > 0).astype(np.uint8) * 255)
        return path

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """The image with reference and predicted mask, and what is measured on them."""
        image = self.release.read_image(case.inputs["image"])
        reference = self.release.read_reference(case)
        prediction = self.read_prediction(path, reference.shape)
        return [Illustration(image, reference, prediction, strokes=self.strokes(reference, prediction))]

    def strokes(
        self, reference: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8]
    ) -> Sequence[Stroke]:
        """Lines of what the challenge measures on label maps; none where it compares areas alone."""
        return ()

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """The split's images with their masks.

        Raises:
            MedbenchError: ``data.size_mismatch`` for masks of another size than their image.
        """
        cases = self.release.cases(root, split)
        refuse_other_sizes((case.inputs["image"], case.reference["labels"]) for case in cases)
        return [self._training_image(case, cache) for case in cases]

    def _training_image(self, case: Case, cache: Path) -> TrainingImage:
        def load(size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
            image = eight_bit.resized_image(case.inputs["image"], size, cache, self.release.read_image)
            return image, raster.resize_labels(self.release.read_reference(case), size, size)

        return TrainingImage(case.id, case.resampling_unit, load, labelled=True)
