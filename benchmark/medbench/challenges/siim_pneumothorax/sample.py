"""The synthetic sample of SIIM-ACR pneumothorax: chest phantoms in DICOM, with run lengths of the air."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from medbench.challenges.families.radiographs import drawn_names, hashed_split
from medbench.challenges.siim_pneumothorax.files import FOLDERS, SHARE, TABLES
from medbench.challenges.siim_pneumothorax.run_lengths import EMPTY, encode_runs
from medbench.challenges.simulators.chest import Kind, draw_findings, draw_with_area
from medbench.challenges.simulators.radiograph_files import write_dicom
from medbench.core.files import write_text

SEED = 2019
SIDE = 128
QUOTA = {"train": 20, "train_10": 3, "train_1": 1, "val": 4, "test": 10}
KINDS: tuple[Kind, ...] = ("pneumothorax", "none")


def write_sample(root: Path) -> None:
    """Draw images with and without a pneumothorax; each depends on the seed and its number only.

    Every third file has inverted values and says so. One pneumothorax in two is cut into two rows.

    Args:
        root: folder that gets the DICOM files and the table.
    """
    rows = []
    for place, kind in enumerate(KINDS):
        numbers = (f"1.2.826.0.1.3680043.8.498.{place + 1}{number:05}" for number in itertools.count())
        for count, (name, _) in enumerate(
            drawn_names(numbers, QUOTA, lambda name: hashed_split(name, SHARE, SHARE))
        ):
            rng = np.random.default_rng([SEED, place, count])
            pixels, area = draw_with_area(rng, draw_findings(rng, kind), SIDE)
            path = root / FOLDERS[0] / f"{name}.1" / f"{name}.2" / f"{name}.dcm"
            write_dicom(path, pixels, name, monochrome1=count % 3 == 0)
            pieces = _pieces(area) if kind != "none" and count % 2 else [area]
            rows += [(name, encode_runs(piece) if kind != "none" else EMPTY) for piece in pieces]
    lines = [",".join(row) for row in sorted(rows)]
    write_text(root / TABLES[0], "\n".join(["ImageId, EncodedPixels", *lines]) + "\n")


def _pieces(area: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.bool_]]:
    """The area in an upper and a lower piece."""
    rows = np.flatnonzero(area.any(axis=1))
    middle = int(np.median(rows))
    upper = np.arange(len(area))[:, None] < middle
    return [piece for piece in (area & upper, area & ~upper) if cv2.countNonZero(piece.astype(np.uint8))]
