"""The synthetic sample of the brain tumours in MRI, in the folders and file formats of the public copy."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np

from medbench.challenges.brain_tumor_mri.files import CLASSES, PARTS
from medbench.challenges.simulators.brain_slice import Tumour, draw_slice

SEED = 2020
COUNTS = {"train": 16, "test": 8}


def write_sample(root: Path, counts: Mapping[str, int] | None = None) -> None:
    """Draw slices; each depends on the seed, its class and its number only.

    Args:
        root: folder that gets ``Training`` and ``Testing``.
        counts: split -> images of each class.
    """
    jobs = [
        (part, index, number)
        for part, count in (counts or COUNTS).items()
        for index in range(len(CLASSES))
        for number in range(count)
    ]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: _write(root, *job), jobs))


def _write(root: Path, part: str, index: int, number: int) -> None:
    import cv2

    name = list(CLASSES)[index]
    rng = np.random.default_rng([SEED, list(PARTS).index(part), index, number])
    folder = root / PARTS[part] / name
    folder.mkdir(parents=True, exist_ok=True)
    _, jpeg = cv2.imencode(".jpg", draw_slice(rng, cast(Tumour, name)), [cv2.IMWRITE_JPEG_QUALITY, 92])
    jpeg.tofile(folder / f"{'Tr' if part == 'train' else 'Te'}-{name[:2]}_{number + 10:04}.jpg")
