"""Tables of one row an image: how they are written, found and read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.exchange import Exchange, only_file
from medbench.challenges.families.image_classes.table import TableForm, read_class_table
from medbench.core.case import Case
from medbench.core.files import write_text
from medbench.core.sample import Prediction

ROWS = "rows"


class ImageTableExchange(Exchange):
    """Probabilities out: a table with one row an image in ``rows/``, and one of all images.

    Args:
        card: the challenge's.
        form: columns of its table.

    Attributes:
        task: the task whose answer a row holds.
    """

    task: ClassVar[str]

    def __init__(self, card: Card, form: TableForm) -> None:
        super().__init__(card)
        self.form = form

    def prediction_name(self, case: Case) -> str:
        """``rows/<case>.csv``."""
        return f"{ROWS}/{case.id}.csv"

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the image's row under the challenge's header."""
        path = folder / self.prediction_name(case)
        write_text(path, self.form.text({case.id: prediction[self.task][0]}))
        return path

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """The image's own file, or the one table in the folder where it has the image.

        Raises:
            MedbenchError: as :func:`read_class_table` for that table.
        """
        own = super().locate(case, folder, rename)
        table = None if own else only_file(folder, ".csv")
        if table is None:
            return own
        return table if case.id in read_class_table(table, self.form).rows else None

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
