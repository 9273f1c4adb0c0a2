"""The synthetic sample of Synapse multi-organ CT, as TransUNet prepares the set, and as BTCV releases it.

Case numbers are of TransUNet's lists. ``spacing.csv`` is an addition: the prepared files have no spacing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from medbench.challenges.simulators.abdomen import CT, draw_ct
from medbench.challenges.synapse.volumes import LABEL_OF_BTCV, WINDOW_HU
from medbench.core.case import Volume
from medbench.core.files import write_text
from medbench.io import hdf5, nifti_mha

SEED = 2021
DRAWN = {"train": (5, 6, 7, 9), "test": (1, 8, 22, 36)}


def draw_case(number: int, n_slices: int, size: int) -> CT:
    """The volume of a case, which depends on its number and size alone."""
    return draw_ct(np.random.default_rng([SEED, number]), n_slices, size)


def write_sample(
    root: Path, numbers: Mapping[str, Sequence[int]] = DRAWN, n_slices: int = 18, size: int = 256
) -> None:
    """Draw the volumes into ``train_npz``, ``test_vol_h5``, ``lists/lists_Synapse`` and ``spacing.csv``.

    Args:
        root: folder that gets them.
        numbers: split -> case numbers.
        n_slices: slices of every volume.
        size: side of the slices in pixels.
    """
    jobs = [(split, number) for split, of_split in numbers.items() for number in of_split]

    def draw(job: tuple[str, int]) -> tuple[list[str], str]:
        split, number = job
        ct = draw_case(number, n_slices, size)
        steps = ",".join(f"{step:g}" for step in ct.spacing_mm)
        return _write_prepared(root, split, f"case{number:04}", ct), f"case{number:04},{steps}"

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(draw, jobs))
    for split, name in (("train", "train.txt"), ("test", "test_vol.txt")):
        names = [
            line
            for (part, _), (lines, _) in zip(jobs, results, strict=True)
            if part == split
            for line in lines
        ]
        write_text(root / "lists/lists_Synapse" / name, "".join(f"{line}\n" for line in names))
    table = ["case,z_mm,y_mm,x_mm", *(row for _, row in results)]
    write_text(root / "spacing.csv", "".join(f"{row}\n" for row in table))


def _write_prepared(root: Path, split: str, case: str, ct: CT) -> list[str]:
    low, high = WINDOW_HU
    image = ((np.clip(ct.hounsfield, low, high) - low) / (high - low)).astype(np.float32)
    if split == "test":
        hdf5.write_arrays(root / "test_vol_h5" / f"{case}.npy.h5", {"image": image, "label": ct.labels})
        return [case]
    names = [f"{case}_slice{index:03}" for index in range(len(image))]
    for name, plane, labels in zip(names, image, ct.labels, strict=True):
        hdf5.write_arrays(root / "train_npz" / f"{name}.npz", {"image": plane, "label": labels})
    return names


def write_nifti(
    root: Path, numbers: Mapping[str, Sequence[int]] = DRAWN, n_slices: int = 18, size: int = 256
) -> None:
    """The same volumes as BTCV releases them: ``img/img0001.nii.gz`` in HU, ``label/label0001.nii.gz``."""
    btcv = np.zeros(9, np.uint8)
    for theirs, ours in LABEL_OF_BTCV.items():
        if ours:
            btcv[ours] = theirs
    for number in (number for of_split in numbers.values() for number in of_split):
        ct = draw_case(number, n_slices, size)
        geometry = {
            "spacing": ct.spacing_mm,
            "origin": (-100.0, 20.0, -30.0),
            "direction": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
        }
        nifti_mha.write_volume(root / f"img/img{number:04}.nii.gz", Volume(ct.hounsfield, **geometry))
        nifti_mha.write_volume(root / f"label/label{number:04}.nii.gz", Volume(btcv[ct.labels], **geometry))
