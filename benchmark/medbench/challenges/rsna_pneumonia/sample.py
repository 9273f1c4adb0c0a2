"""The synthetic sample of RSNA pneumonia: chest phantoms in DICOM, clear or with an opacity, and its box."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from medbench.challenges.families.radiographs import drawn_names, hashed_split
from medbench.challenges.rsna_pneumonia.table import FOLDER, SHARE, TABLE
from medbench.challenges.simulators.chest import Kind, draw_findings, draw_with_area
from medbench.challenges.simulators.radiograph_files import write_dicom
from medbench.core.files import write_text

SEED = 2018
SIDE = 128
QUOTA = {"train": 20, "train_10": 3, "train_1": 1, "val": 4, "test": 10}
KINDS: tuple[Kind, ...] = ("none", "consolidation")
HEADER = "patientId,x,y,width,height,Target"


def write_sample(root: Path) -> None:
    """Draw images; each depends on the seed and its number only.

    Args:
        root: folder that gets the DICOM files and the table.
    """
    rows = []
    for place, kind in enumerate(KINDS):
        numbers = (f"{place + 1}{number:07}" for number in itertools.count())
        image_names = drawn_names(numbers, QUOTA, lambda name: hashed_split(name, SHARE, SHARE))
        for count, (name, _) in enumerate(image_names):
            rng = np.random.default_rng([SEED, place, count])
            pixels, area = draw_with_area(rng, draw_findings(rng, kind), SIDE)
            write_dicom(root / FOLDER / f"{name}.dcm", pixels, f"1.2.826.0.1.3680043.8.498.{name}")
            rows.append(f"{name},{_box(area)},1" if kind != "none" else f"{name},,,,,0")
    write_text(root / TABLE, "\n".join([HEADER, *sorted(rows)]) + "\n")


def _box(area: np.ndarray) -> str:
    """Left, top, width and height of an area."""
    down, across = (np.flatnonzero(area.any(axis=axis)) for axis in (1, 0))
    sizes = (down[-1] - down[0] + 1, across[-1] - across[0] + 1)
    return ",".join(f"{float(value)}" for value in (across[0], down[0], sizes[1], sizes[0]))
