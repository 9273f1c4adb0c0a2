"""The synthetic sample of COVIDx: chest phantoms, clear, with one opacity, or with one in each lung."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.covidx.files import CLASSES, VAL
from medbench.challenges.families.radiographs import drawn_names, hashed_split
from medbench.challenges.simulators.chest import SIDES, Chest, draw_chest, draw_findings
from medbench.core.files import write_text
from medbench.io import raster

SEED = 2020
SIDE = 128
SOURCE = "phantom"
QUOTA = {"train": 20, "train_10": 3, "train_1": 1, "val": 4}
TEST = 10


def write_sample(root: Path) -> None:
    """Draw images of every class; each depends on the seed and its number only.

    Args:
        root: folder that gets ``train``, ``test`` and the text files.
    """
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for index, label in enumerate(CLASSES):
        numbers = (f"{index}{number:04}" for number in itertools.count())
        training_names = drawn_names(
            numbers, QUOTA, lambda name: hashed_split(f"{SOURCE}/{name}", 0.0, VAL), _group
        )
        names = [("train", name) for name, _ in training_names]
        names += [("test", f"9{index}{number:03}") for number in range(TEST)]
        for part, name in names:
            raster.write_label_map(root / part / f"{name}.png", _image(label, int(name)))
            lines[part].append(f"{name} {name}.png {label} {SOURCE}")
    for part, rows in lines.items():
        write_text(root / f"{part}_COVIDx9A.txt", "\n".join(sorted(rows)) + "\n")


def _group(name: str) -> str:
    return f"{SOURCE}/{name}"


def _image(label: str, number: int) -> npt.NDArray[np.uint8]:
    """One phantom; an infection of both lungs is two drawings that differ in the side alone."""
    rng = np.random.default_rng([SEED, number])
    chest = draw_findings(rng, "none" if label == "normal" else "consolidation")
    if label != "COVID-19":
        return _drawn(chest, number)
    return np.maximum(*(_drawn(dataclasses.replace(chest, side=side), number) for side in SIDES))


def _drawn(chest: Chest, number: int) -> npt.NDArray[np.uint8]:
    return draw_chest(np.random.default_rng([SEED, number, 1]), chest, SIDE)
