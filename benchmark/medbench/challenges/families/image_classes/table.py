"""Tables of predicted classes: one row an image, in the challenge's own columns."""

from __future__ import annotations

import csv
import functools
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.io import raster
from medbench.io.caches import file_state
from medbench.io.gate.expected import Expected
from medbench.io.tables import LARGEST_TABLE_BYTES, read_lines

TOLERANCE = 1e-3
"""How far the probabilities of an image may be from 1 in sum."""


@dataclass(frozen=True, slots=True)
class TableForm:
    """Columns of a challenge's table.

    Attributes:
        key: column of the image's name.
        columns: one a class, in the order of the card's; or one alone, the probability of the second of two
            classes.
        suffix: what follows an image's id in the key column.
        independent: whether each column is a probability by itself, so that they need not have the sum 1.
    """

    key: str
    columns: tuple[str, ...]
    suffix: str = ""
    independent: bool = False

    def text(self, rows: Mapping[str, Sequence[float] | npt.NDArray[np.floating]]) -> str:
        """The table of some images.

        Args:
            rows: id -> probabilities of all classes.
        """
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([self.key, *self.columns])
        for name, probabilities in rows.items():
            alone = len(self.columns) == 1 and not self.independent
            values = probabilities[1:] if alone else probabilities
            writer.writerow([name + self.suffix, *(f"{float(value):.9g}" for value in values)])
        return stream.getvalue()


@dataclass(frozen=True, slots=True)
class ClassTable:
    """A table as it stands in a file.

    Attributes:
        path: the file.
        form: the expected columns.
        order: place of each of the form's columns, the key's first.
        width: number of cells of the header.
        rows: id -> its lines: number and cells; more than one where the id is there twice.
    """

    path: Path
    form: TableForm
    order: tuple[int, ...]
    width: int
    rows: Mapping[str, Sequence[tuple[int, Sequence[str]]]]

    def probabilities(self, name: str) -> npt.NDArray[np.float64]:
        """Probabilities of all classes for an image.

        Raises:
            MedbenchError: naming file and line: ``prediction.row_missing``, ``prediction.row_twice``,
                ``prediction.row`` for another number of cells, or ``prediction.probability`` for what is no
                probability, or whose sum is not 1 within :data:`TOLERANCE`.
        """
        lines = self.rows.get(name, ())
        if not lines:
            raise MedbenchError(
                "prediction.row_missing", f"{self.path}: has no row of {name}.", "Give each image one row."
            )
        line, cells = lines[0]
        where = f"{self.path}, line {line}"
        if len(lines) > 1:
            raise MedbenchError(
                "prediction.row_twice",
                f"{self.path}, lines {', '.join(str(number) for number, _ in lines)}: {name} is there twice.",
                "Give each image one row.",
            )
        if len(cells) != self.width:
            raise MedbenchError(
                "prediction.row",
                f"{where}: has {counted(len(cells), 'cell')}, the header {self.width}.",
                "Separate cells by commas and write decimals with a point.",
            )
        values = [_probability(cells[place], where, column) for place, column in self._places]
        if self.form.independent:
            return np.array(values)
        if len(values) == 1:
            return np.array([1 - values[0], values[0]])
        total = math.fsum(values)
        if abs(total - 1) > TOLERANCE:
            raise MedbenchError(
                "prediction.probability",
                f"{where}: the probabilities of {name} have the sum {total:.6g}, not 1.",
                "Write the softmax of the class scores.",
            )
        return np.array(values)

    @property
    def _places(self) -> Sequence[tuple[int, str]]:
        return list(zip(self.order[1:], self.form.columns, strict=True))


def read_class_table(path: Path, form: TableForm) -> ClassTable:
    """A table, read once while the file stays as it is.

    Raises:
        MedbenchError: ``file.unreadable``, ``data.table``, ``prediction.column_missing`` or
            ``prediction.column_unknown`` naming the column.
    """
    return _read(path, form, file_state(path))


@functools.lru_cache(maxsize=4)
def _read(path: Path, form: TableForm, state: tuple[int, ...]) -> ClassTable:
    lines = read_lines(path, expected=Expected("prediction", memory_bytes=LARGEST_TABLE_BYTES))
    header = lines[0][1] if lines else []
    due = (form.key, *form.columns)
    hint = f"The header line is {','.join(due)}."
    for column in due:
        if header.count(column) != 1:
            wrong = "twice" if column in header else "not there"
            raise MedbenchError(
                "prediction.column_missing", f"{path}, line 1: column '{column}' is {wrong}.", hint
            )
    for column in header:
        if column not in due:
            raise MedbenchError(
                "prediction.column_unknown", f"{path}, line 1: there is no class '{column}'.", hint
            )
    order = tuple(header.index(column) for column in due)
    rows: dict[str, list[tuple[int, Sequence[str]]]] = {}
    for line, cells in lines[1:]:
        if len(cells) > order[0]:
            rows.setdefault(raster.without_suffix(cells[order[0]]), []).append((line, cells))
    return ClassTable(path, form, order, len(header), rows)


def _probability(cell: str, where: str, column: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise MedbenchError(
            "prediction.probability",
            f"{where}, column '{column}': '{cell[:40]}' is no probability from 0 to 1.",
            "Write a number from 0 to 1, with a decimal point.",
        )
    return value
