"""Images with several labels each for models, and tables of predicted labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.exchange import Exchange, Inputs
from medbench.challenges.families.image_classes.table import TableForm, read_class_table
from medbench.challenges.families.image_labels.files import ImageLabelRelease
from medbench.core.case import Case
from medbench.core.files import write_text
from medbench.core.overlay import Illustration
from medbench.core.sample import Prediction, Sample, TrainingImage
from medbench.io import eight_bit
from medbench.io.gate.listing import is_metadata
from medbench.io.gate.source import without_links

ROWS = "rows"


class ImageLabelExchange(Exchange):
    """Images in, a probability of each label out: one row an image in ``rows/``, and a table of all images.

    Args:
        card: the challenge's.
        release: its files.
        key: column of the image's name.
    """

    def __init__(self, card: Card, release: ImageLabelRelease, key: str) -> None:
        super().__init__(card)
        self.release = release
        self.form = TableForm(key, release.names, independent=True)
        self.inputs = {"image": Inputs(self.read_image, self.training_images)}

    def read_image(self, case: Case) -> Sample:
        """The image, 8 bit."""
        image = self.release.read_image(case.inputs["image"])
        return Sample(case, image[np.newaxis], frozenset({"image_labels"}))

    def prediction_name(self, case: Case) -> str:
        """``rows/<case>.csv``."""
        return f"{ROWS}/{case.id}.csv"

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the image's row under the challenge's header."""
        path = folder / self.prediction_name(case)
        write_text(path, self.form.text({case.id: prediction["image_labels"][0]}))
        return path

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """The image's own file, or the one table in the folder where it has the image.

        Raises:
            MedbenchError: as :func:`read_class_table` for that table.
        """
        own = super().locate(case, folder, rename)
        tables = [] if own else sorted(path for path in folder.glob("*.csv") if not is_metadata(path.name))
        if len(tables) == 1:
            table = without_links(tables[0], folder)
            return table if case.id in read_class_table(table, self.form).rows else None
        return own

    def gather(self, cases: Sequence[Case], folder: Path) -> Path | None:
        """Write the table of all images that have a prediction; ``None`` when none has.

        Raises:
            MedbenchError: when a prediction cannot be read.
        """
        paths = {case.id: folder / self.prediction_name(case) for case in cases}
        rows = {
            case.id: self.read_prediction(case, paths[case.id]) for case in cases if paths[case.id].is_file()
        }
        if not rows:
            return None
        table = folder / f"{self.card.name}.csv"
        write_text(table, self.form.text(rows))
        return table

    def read_prediction(self, case: Case, path: Path) -> npt.NDArray[np.float64]:
        """Probabilities ``(labels,)``.

        Raises:
            MedbenchError: naming file and line, as :class:`ClassTable` and :func:`read_class_table`.
        """
        return read_class_table(path, self.form).probabilities(case.id)

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
