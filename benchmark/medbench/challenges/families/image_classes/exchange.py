"""What models see of images with one class each, and how their tables are written and read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.exchange import Exchange, Inputs
from medbench.challenges.families.image_classes.files import ImageClassRelease
from medbench.challenges.families.image_classes.table import TableForm, read_class_table
from medbench.core.case import Case
from medbench.core.files import write_text
from medbench.core.overlay import Illustration
from medbench.core.sample import Prediction, Sample, TrainingImage
from medbench.io import eight_bit

ROWS = "rows"


class ImageClassExchange(Exchange):
    """Images in, probabilities out: a table with one row an image in ``rows/``, and one of all images.

    A folder from elsewhere may hold either: the file of an image, or one table of all.

    Args:
        card: the challenge's.
        release: its files.
        form: columns of its table.
    """

    def __init__(self, card: Card, release: ImageClassRelease, form: TableForm) -> None:
        super().__init__(card)
        self.release = release
        self.form = form
        self.inputs = {"image": Inputs(self.read_image, self.training_images)}

    def read_image(self, case: Case) -> Sample:
        """The image, 8 bit."""
        image = self.release.read_image(case.inputs["image"])
        return Sample(case, image[np.newaxis], frozenset({"image_classes"}))

    def prediction_name(self, case: Case) -> str:
        """``rows/<case>.csv``."""
        return f"{ROWS}/{case.id}.csv"

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the image's row under the challenge's header."""
        path = folder / self.prediction_name(case)
        write_text(path, self.form.text({case.id: prediction["image_classes"][0]}))
        return path

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """The image's own file, or the one table in the folder where it has the image.

        Raises:
            MedbenchError: as :func:`read_class_table` for that table.
        """
        own = super().locate(case, folder, rename)
        tables = [] if own else sorted(folder.glob("*.csv"))
        if len(tables) == 1 and case.id in read_class_table(tables[0], self.form).rows:
            return tables[0]
        return own

    def gather(self, cases: Sequence[Case], folder: Path) -> Path | None:
        """Write the table of all images that have a prediction; ``None`` when none has.

        Raises:
            MedbenchError: when a prediction cannot be read.
        """
        rows = {}
        for case in cases:
            path = folder / self.prediction_name(case)
            if path.is_file():
                rows[case.id] = self.read_prediction(case, path)
        if not rows:
            return None
        table = folder / f"{self.card.name}.csv"
        write_text(table, self.form.text(rows))
        return table

    def read_prediction(self, case: Case, path: Path) -> npt.NDArray[np.float64]:
        """Probabilities of the classes, ``(classes,)``.

        Raises:
            MedbenchError: naming file and line, as :class:`ClassTable` and :func:`read_class_table`.
        """
        return read_class_table(path, self.form).probabilities(case.id)

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
