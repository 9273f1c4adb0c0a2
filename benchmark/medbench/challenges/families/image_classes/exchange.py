"""Exchange of images with one class each: samples for models, and tables of probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.exchange import Inputs
from medbench.challenges.families.image_classes.files import ImageClassRelease
from medbench.challenges.families.image_classes.table import TableForm
from medbench.challenges.families.image_classes.table_exchange import ImageTableExchange
from medbench.core.case import Case
from medbench.core.overlay import Illustration
from medbench.core.sample import Sample, TrainingImage
from medbench.io import eight_bit


class ImageClassExchange(ImageTableExchange):
    """Images in, probabilities out: a table with one row an image in ``rows/``, and one of all images.

    A folder from elsewhere may hold either: the file of an image, or one table of all.

    Args:
        card: the challenge's.
        release: its files.
        form: columns of its table.
    """

    task = "image_classes"

    def __init__(self, card: Card, release: ImageClassRelease, form: TableForm) -> None:
        super().__init__(card, form)
        self.release = release
        self.inputs = {"image": Inputs(self.read_image, self.training_images)}

    def read_image(self, case: Case) -> Sample:
        """The image, 8 bit."""
        image = self.release.read_image(case.inputs["image"])
        return Sample(case, image[np.newaxis], frozenset({"image_classes"}))

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """The image, its class, and the class that was predicted with its probability."""
        image = self.release.read_image(case.inputs["image"])
        probabilities = self.read_prediction(case, path)
        names = self.card.image_classes
        own, best = self.release.read_reference(case), int(probabilities.argmax())
        nothing = np.zeros(image.shape[:2], np.uint8)
        caption = f"is {names[own]}, predicted {names[best]} with {probabilities[best]:.3f}"
        if own != best:
            caption += f" ({names[own]} with {probabilities[own]:.3f})"
        return [Illustration(image, nothing, nothing, caption=caption)]

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """The split's images with their classes; images without a class are left out."""
        return [
            self._training_image(case, cache)
            for case in self.release.cases(root, split)
            if case.facts["class"] is not None
        ]

    def _training_image(self, case: Case, cache: Path) -> TrainingImage:
        def load(size: int) -> tuple[npt.NDArray[np.uint8], None]:
            return eight_bit.resized_image(case.inputs["image"], size, cache, self.release.read_image), None

        return TrainingImage(case.id, case.resampling_unit, load, False, case.facts["class"])
