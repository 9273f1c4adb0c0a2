"""Tables of three landmarks an image, as the release writes them: ``Filename, PS1, PS2, FH1``."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.io.caches import file_state
from medbench.io.gate.expected import Expected
from medbench.io.tables import LARGEST_TABLE_BYTES, read_lines

NAME, POINTS = "Filename", ("PS1", "PS2", "FH1")
GREATEST = 1e6
"""Largest size of a coordinate in pixels."""
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"
_TUPLE = re.compile(rf"\(?\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)?")

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PointTable:
    """A table as it stands in a file.

    Attributes:
        path: the file.
        rows: name of the image without suffix -> its lines: number and the three cells; more than one where
            the image is there twice.
        names: name of the image without suffix -> as the file spells it.
    """

    path: Path
    rows: Mapping[str, Sequence[tuple[int, Sequence[str]]]]
    names: Mapping[str, str]

    def points(self, name: str) -> Points:
        """PS1, PS2 and FH1 of an image, ``(3, 2)``, x and y in pixels.

        Raises:
            MedbenchError: naming file and line: ``landmarks.row_missing``, ``landmarks.row_twice`` or
                ``landmarks.point``.
        """
        lines = self.rows.get(name, ())
        if len(lines) != 1:
            numbers = ", ".join(str(number) for number, _ in lines)
            raise MedbenchError(
                "landmarks.row_twice" if lines else "landmarks.row_missing",
                f"{self.path}, lines {numbers}: {name} is there twice."
                if lines
                else f"{self.path}: has no row of {name}.",
                "Give one row an image.",
            )
        line, cells = lines[0]
        return np.array(
            [_point(cell, self.path, line, column) for cell, column in zip(cells, POINTS, strict=True)]
        )


def _point(cell: str, path: Path, line: int, column: str) -> tuple[float, float]:
    match = _TUPLE.fullmatch(cell)
    point = (float(match[1]), float(match[2])) if match else None
    if point is None or max(map(abs, point)) > GREATEST:
        raise MedbenchError(
            "landmarks.point",
            f"{path}, line {line}, column '{column}': '{cell[:40]}' is no point.",
            'Write "(x, y)" in pixels of the image, with decimal points.',
        )
    return point


def point_text(rows: Mapping[str, Points]) -> str:
    """The table of some images.

    Args:
        rows: file name of the image -> its three points.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([NAME, *POINTS])
    for name, points in rows.items():
        writer.writerow([name, *(f"({x:.9g}, {y:.9g})" for x, y in np.asarray(points, np.float64))])
    return stream.getvalue()


def read_points(path: Path, *, handed_in: bool = False) -> PointTable:
    """A table, read once while the file stays as it is.

    Args:
        path: the file.
        handed_in: whether it is a prediction rather than the release's.

    Raises:
        MedbenchError: ``file.unreadable``, ``data.table``, or ``data.column_missing`` naming the column.
    """
    return _read(path, handed_in, file_state(path))


@functools.lru_cache(maxsize=8)
def _read(path: Path, handed_in: bool, state: tuple[int, ...]) -> PointTable:
    role = Expected("prediction" if handed_in else "release", memory_bytes=LARGEST_TABLE_BYTES)
    lines = read_lines(path, expected=role)
    header = lines[0][1] if lines else []
    for column in (NAME, *POINTS):
        if header.count(column) != 1:
            wrong = "twice" if column in header else "not there"
            raise MedbenchError(
                "data.column_missing",
                f"{path}, line 1: column '{column}' is {wrong}.",
                f"The columns are {', '.join((NAME, *POINTS))}.",
            )
    places = [header.index(column) for column in POINTS]
    rows: dict[str, list[tuple[int, list[str]]]] = {}
    names: dict[str, str] = {}
    for line, cells in lines[1:]:
        name = cells[header.index(NAME)] if len(cells) == len(header) else ""
        if name:
            stem = Path(name).stem
            names[stem] = name
            rows.setdefault(stem, []).append((line, [cells[place] for place in places]))
    return PointTable(path, rows, names)
