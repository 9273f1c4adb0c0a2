"""The synthetic sample of CheXpert: chest phantoms with one finding, two or none.

A round shadow stands for an atelectasis, opacities of both lungs for an oedema.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.chexpert.files import LABELS, UNCERTAIN, VAL
from medbench.challenges.families.radiographs import drawn_names, hashed_split
from medbench.challenges.simulators.chest import SIDES, Kind, draw_chest, draw_findings
from medbench.core.files import write_text
from medbench.io import raster

SEED = 2019
SIDE = 128
FOLDER = "CheXpert-v1.0-small"
QUOTA = {"train": 16, "train_10": 3, "train_1": 1, "val": 4}
TEST = 8
SECOND = 0.25
UNSURE = 0.1
KINDS: tuple[Kind, ...] = ("nodule", "cardiomegaly", "consolidation", "consolidation", "effusion", "none")


def write_sample(root: Path) -> None:
    """Draw images; each depends on the seed and its number only.

    Args:
        root: folder that gets ``CheXpert-v1.0-small``.
    """
    header = ",".join(("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS))
    rows: dict[str, list[str]] = {"train": [], "valid": []}
    for index in range(len(KINDS)):
        training_names = drawn_names(_names(index), QUOTA, lambda name: hashed_split(name, 0.0, VAL))
        names = [("train", name) for name, _ in training_names]
        names += [("valid", f"patient{64500 + index * TEST + number}") for number in range(TEST)]
        for part, name in names:
            rows[part].append(_write(root, part, name, index))
    for part, lines in rows.items():
        write_text(root / FOLDER / f"{part}.csv", "\n".join([header, *sorted(lines)]) + "\n")


def _names(index: int) -> Iterator[str]:
    return (f"patient{10000 * index + number:05}" for number in itertools.count())


def _write(root: Path, part: str, name: str, index: int) -> str:
    """Write an image; its row of the table."""
    rng = np.random.default_rng([SEED, int(name.removeprefix("patient"))])
    seed = int(rng.integers(2**31))
    findings = [int(k == index) for k in range(len(LABELS))]
    if index < len(LABELS) and rng.random() < SECOND:
        findings[int(rng.integers(len(LABELS)))] = 1
    path = Path(FOLDER) / part / name / "study1" / "view1_frontal.jpg"
    raster.write_image(root / path, _drawn(findings, seed))
    unsure = [part == "train" and value == UNCERTAIN[label] and rng.random() < UNSURE
              for label, value in zip(LABELS, findings, strict=True)]  # fmt: skip
    cells = ["-1.0" if doubt else f"{value}.0" for value, doubt in zip(findings, unsure, strict=True)]
    return ",".join((path.as_posix(), "Female", "60", "Frontal", "AP", *cells))


def _drawn(findings: list[int], seed: int) -> npt.NDArray[np.uint8]:
    """The brightest of one drawing a finding."""
    kinds: list[tuple[Kind, tuple[str, ...]]] = [
        (KINDS[k], SIDES if LABELS[k] == "Edema" else ()) for k, value in enumerate(findings) if value
    ]
    drawings = []
    for kind, sides in kinds or [("none", ())]:
        chest = draw_findings(np.random.default_rng([seed, 1]), kind)
        for side in sides or (chest.side,):
            drawing = dataclasses.replace(chest, side=side)
            drawings.append(draw_chest(np.random.default_rng([seed, 2]), drawing, SIDE))
    return np.asarray(np.maximum.reduce(drawings), np.uint8)
