"""The tables of the RSNA pneumonia challenge: an image of a patient has a row for each of its boxes."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench.challenges.families.image_boxes.files import Box
from medbench.challenges.families.radiographs import (
    FRACTION_RULE,
    FRACTIONS,
    check_fraction,
    hashed_split,
    in_fraction,
    listed_facts,
    whole_split,
)
from medbench.challenges.release import SplitFacts
from medbench.core.case import Case
from medbench.io.tables import read_table

TABLE = "stage_2_train_labels.csv"
FOLDER = "stage_2_train_images"
DATA_SET = "rsna_pneumonia"
CLASSES = ("no pneumonia", "pneumonia")
SHARE = 0.15
LISTS = Path(__file__).parent / "splits.toml"
HINT = f"Expected {TABLE} and {FOLDER}/<patient>.dcm from the competition's page."
_RULE = (
    "by patient, who has one image: the first 32 bits of the SHA-256 of '42/<patient>' as a share of their "
    "range, below 0.15 test, below 0.30 val, else train"
)


@dataclass(frozen=True, slots=True)
class Patient:
    """An image and its boxes.

    Attributes:
        id: of patient and image.
        image: path of the image.
        table: path of the table.
        boxes: of opacities; none where there is no pneumonia.
        fault: which row cannot be used, and why.
    """

    id: str
    image: Path
    table: Path
    boxes: tuple[Box, ...]
    fault: str = ""


def patients_of(root: Path) -> list[Patient]:
    """Images of the table in the order of their names; none where there is no table."""
    table = root / TABLE
    if not table.is_file():
        return []
    state = table.stat()
    return list(_patients(root, table, state.st_size, state.st_mtime_ns))


@functools.lru_cache(maxsize=4)
def _patients(root: Path, table: Path, size: int, mtime_ns: int) -> tuple[Patient, ...]:
    rows = _rows(table, size, mtime_ns)
    return tuple(_patient(root, table, name, rows[name]) for name in sorted(rows))


def patient_of(table: Path, name: str) -> Patient:
    """One image of a table that lists it."""
    return _patient(table.parent, table, name, _rows_of(table)[name])


def _rows_of(table: Path) -> Mapping[str, Sequence[tuple[int, Mapping[str, str]]]]:
    state = table.stat()
    return _rows(table, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _rows(table: Path, size: int, mtime_ns: int) -> Mapping[str, Sequence[tuple[int, Mapping[str, str]]]]:
    rows: dict[str, list[tuple[int, Mapping[str, str]]]] = {}
    for line, row in enumerate(read_table(table, "patientId", "x", "y", "width", "height", "Target"), 2):
        rows.setdefault(row["patientId"], []).append((line, row))
    return rows


def _patient(root: Path, table: Path, name: str, rows: Sequence[tuple[int, Mapping[str, str]]]) -> Patient:
    boxes, fault = [], ""
    for line, row in rows:
        if row["Target"] == "0" and len(rows) == 1:
            continue
        box = _box(row)
        if row["Target"] != "1" or box is None:
            fault = f"{table}, line {line}: {name} has a row that is neither a box nor the only one without."
        else:
            boxes.append(box)
    return Patient(name, root / FOLDER / f"{name}.dcm", table, tuple(boxes), fault)


def _box(row: Mapping[str, str]) -> Box | None:
    try:
        x, y, width, height = (float(row[name]) for name in ("x", "y", "width", "height"))
    except ValueError:
        return None
    return (x, y, x + width, y + height, 0) if math.isfinite(x + y + width + height) else None


def belongs(patient: str, split: str) -> bool:
    """Whether a patient belongs to a split."""
    return hashed_split(patient, SHARE, SHARE) == whole_split(split) and in_fraction(patient, split)


def facts_of(split: str) -> SplitFacts:
    """Rule of a split, with number and hash of its cases."""
    rule = FRACTION_RULE.format(share=FRACTIONS[split]) if split in FRACTIONS else _RULE
    return listed_facts(LISTS, split, rule)


def checked(cases: list[Case], root: Path, split: str) -> list[Case]:
    """The cases, of a fraction only with images of both kinds.

    Raises:
        MedbenchError: ``split.class_empty``.
    """
    boxes = {patient.id: bool(patient.boxes) for patient in patients_of(root)} if split in FRACTIONS else {}
    check_fraction(split, CLASSES, Counter(CLASSES[boxes.get(case.id, False)] for case in cases))
    return cases
