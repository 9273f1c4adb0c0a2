"""Images with several labels each for models, and tables of predicted labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.exchange import Inputs
from medbench.challenges.families.image_classes.table import TableForm
from medbench.challenges.families.image_classes.table_exchange import ImageTableExchange
from medbench.challenges.families.image_labels.files import ImageLabelRelease
from medbench.core.case import Case
from medbench.core.overlay import Illustration
from medbench.core.sample import Sample, TrainingImage
from medbench.io import eight_bit


class ImageLabelExchange(ImageTableExchange):
    """Images in, a probability of each label out: one row an image in ``rows/``, and a table of all images.

    Args:
        card: the challenge's.
        release: its files.
        key: column of the image's name.
    """

    task = "image_labels"

    def __init__(self, card: Card, release: ImageLabelRelease, key: str) -> None:
        super().__init__(card, TableForm(key, release.names, independent=True))
        self.release = release
        self.inputs = {"image": Inputs(self.read_image, self.training_images)}

    def read_image(self, case: Case) -> Sample:
        """The image, 8 bit."""
        image = self.release.read_image(case.inputs["image"])
        return Sample(case, image[np.newaxis], frozenset({"image_labels"}))

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """The image with its labels and their probabilities."""
        image = self.release.read_image(case.inputs["image"])
        due = self.release.read_reference(case)
        rows = zip(self.release.names, due, self.read_prediction(case, path), strict=True)
        caption = ", ".join(f"{name} {'is' if own else 'is not'} ({value:.3f})" for name, own, value in rows)
        nothing = np.zeros(image.shape[:2], np.uint8)
        return [Illustration(image, nothing, nothing, caption=caption)]

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """The split's images with their labels; images without labels are left out."""
        cases = self.release.cases(root, split)
        return [self._training_image(case, cache) for case in cases if case.facts["labels"]]

    def _training_image(self, case: Case, cache: Path) -> TrainingImage:
        def load(size: int) -> tuple[npt.NDArray[np.uint8], None]:
            return eight_bit.resized_image(case.inputs["image"], size, cache, self.release.read_image), None

        labels = tuple(case.facts["labels"])
        return TrainingImage(case.id, case.resampling_unit, load, False, image_labels=labels)
