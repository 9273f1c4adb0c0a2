"""The synthetic sample of ACDC, as the TransUNet lineage prepares the set: no file has a spacing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from medbench.challenges.acdc.files import FOLDERS
from medbench.challenges.simulators.cine_heart import draw_heart
from medbench.core.files import write_text
from medbench.io import hdf5

SEED = 2017
DRAWN = {"train": (1, 3, 4, 5, 6, 7), "val": (19,), "test": (2, 8, 9, 10)}
SLICES, SIDE = 8, 160


def write_sample(root: Path, patients: Mapping[str, Sequence[int]] = DRAWN) -> None:
    """Draw both phases of the patients into ``train``, ``valid``, ``test`` and ``lists_ACDC``.

    Args:
        root: folder that gets them.
        patients: split -> numbers.
    """
    jobs = [
        (split, number, phase)
        for split, numbers in patients.items()
        for number in numbers
        for phase in ("ED", "ES")
    ]
    with ThreadPoolExecutor(2) as pool:
        lists = list(pool.map(lambda job: _write(root, *job), jobs))
    for split, folder in FOLDERS.items():
        names = [
            name for (part, *_), lines in zip(jobs, lists, strict=True) if part == split for name in lines
        ]
        write_text(root / "lists_ACDC" / f"{folder}.txt", "".join(f"{name}\n" for name in names))


def _write(root: Path, split: str, number: int, phase: str) -> list[str]:
    heart = draw_heart(np.random.default_rng([SEED, number, phase == "ES"]), SLICES, SIDE, phase == "ES")
    folder = root / FOLDERS[split]
    if split == "test":
        name = f"case_{number:03}_volume_{phase}.npz"
        hdf5.write_arrays(folder / name, {"img": heart.image, "label": heart.labels})
        return [name]
    names = [f"case_{number:03}_slice{phase}_{index}.npz" for index in range(SLICES)]
    for name, image, labels in zip(names, heart.image, heart.labels, strict=True):
        hdf5.write_arrays(folder / name, {"img": image, "label": labels})
    return names
