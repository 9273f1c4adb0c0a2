"""The synthetic sample of object-CXR: chest phantoms with bright pieces of metal, or without."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from medbench.challenges.families.radiographs import drawn_names, hashed_split
from medbench.challenges.object_cxr.files import PARTS, VAL
from medbench.challenges.simulators.chest import draw_chest, draw_findings
from medbench.core.files import write_text
from medbench.io import raster

SEED = 2020
SIDE = 128
QUOTA = {"train": 20, "train_10": 3, "train_1": 1, "val": 4}
TEST = 10


def write_sample(root: Path) -> None:
    """Draw images with objects and without; each depends on the seed and its number only.

    Args:
        root: folder that gets ``train``, ``dev`` and the tables.
    """
    rows: dict[str, list[str]] = {part: [] for part in PARTS.values()}
    for kind in (0, 1):
        numbers = (f"{kind}{number:04}" for number in itertools.count())
        training_names = drawn_names(numbers, QUOTA, lambda name: hashed_split(name, 0.0, VAL))
        names = [("train", name) for name, _ in training_names]
        names += [("dev", f"8{kind}{number:03}") for number in range(TEST)]
        for part, name in names:
            image, annotation = _drawn(int(name), bool(kind))
            raster.write_image(root / part / f"{name}.jpg", image)
            rows[part].append(f"{name}.jpg,{annotation}")
    for part, lines in rows.items():
        write_text(root / f"{part}.csv", "\n".join(["image_name,annotation", *sorted(lines)]) + "\n")


def _drawn(number: int, has_objects: bool) -> tuple[npt.NDArray[np.uint8], str]:
    rng = np.random.default_rng([SEED, number])
    image = draw_chest(rng, draw_findings(rng, "none"), SIDE)
    pieces = []
    for _ in range(int(rng.integers(1, 4)) if has_objects else 0):
        left, top = (int(value) for value in rng.integers(SIDE // 8, SIDE * 3 // 4, 2))
        width, height = (int(value) for value in rng.integers(SIDE // 12, SIDE // 6, 2))
        right, bottom, grey = left + width, top + height, int(rng.integers(225, 256))
        shape = int(rng.integers(3))
        if shape == 0:
            cv2.rectangle(image, (left, top), (right - 1, bottom - 1), grey, -1)
            pieces.append(f"0 {left} {top} {right} {bottom}")
        elif shape == 1:
            centre, axes = ((left + right) // 2, (top + bottom) // 2), (width // 2, height // 2)
            cv2.ellipse(image, centre, axes, 0, 0, 360, grey, -1)
            pieces.append(f"1 {left} {top} {right} {bottom}")
        else:
            corners = [(left, top), (right, top), (left, bottom)]
            cv2.fillPoly(image, [np.array(corners, np.int32)], grey)
            pieces.append("2 " + " ".join(f"{x} {y}" for x, y in corners))
    return image, ";".join(pieces)
