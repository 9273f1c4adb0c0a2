"""The published split of CheXpert's training table, most of whose validation images are trained on.

The paper's program (violet-42/CM-CGNS@4e75806, ``cgns/preprocess/chexpert.py``) takes out 200 frontal images
with one label alone for each of five, draws 5,000 validation rows by position among the rows that are left,
and then leaves out of training the rows whose *number in the whole table* is one of these positions: others.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from medbench.io.tables import read_table

RELEASED_ROWS = 223_414
ALONE = 200
DRAWN = 5_000
OTHERS = (
    *("Enlarged Cardiomediastinum", "Lung Lesion", "Lung Opacity", "Pneumonia", "Pneumothorax"),
    *("Pleural Other", "Fracture", "Support Devices"),
)
"""Labels besides the five that an image with one label alone does not have."""
_STATED = ("1", "1.0")
_NOT = ("", "0", "0.0")


def leaking_rows(table: Path, labels: Sequence[str]) -> Mapping[str, frozenset[int]]:
    """Numbers of the rows, from 0 on, of ``leaking_train`` and ``leaking_val``, lateral images included.

    Of a table with fewer rows than the release's the drawn numbers are smaller by the same factor, 1 at
    least. Columns that the table lacks count as not told.

    Args:
        table: ``train.csv``.
        labels: the five.

    Raises:
        MedbenchError: for a table that cannot be read.
    """
    state = table.stat()
    return _rows(table, tuple(labels), state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _rows(table: Path, labels: tuple[str, ...], size: int, mtime_ns: int) -> Mapping[str, frozenset[int]]:
    rows = read_table(table, "Frontal/Lateral", *labels)
    share = min(1.0, len(rows) / RELEASED_ROWS)
    alone = max(1, round(ALONE * share))
    lone_rows: set[int] = set()
    for label in labels:
        own = [number for number, row in enumerate(rows) if _is_alone(row, label, labels)]
        order = np.random.RandomState(0).permutation(len(own))[:alone]
        lone_rows |= {own[place] for place in order}
    rest = [number for number in range(len(rows)) if number not in lone_rows]
    positions = np.random.RandomState(0).permutation(len(rest))[: max(1, round(DRAWN * share))].tolist()
    return {
        "leaking_train": frozenset(rest) - frozenset(positions),
        "leaking_val": frozenset(rest[position] for position in positions),
    }


def _is_alone(row: Mapping[str, str], label: str, labels: Sequence[str]) -> bool:
    others = (name for name in (*labels, *OTHERS) if name != label)
    return (
        row["Frontal/Lateral"] == "Frontal"
        and row[label] in _STATED
        and all(row.get(name, "") in _NOT for name in others)
    )
