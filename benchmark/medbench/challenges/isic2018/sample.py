"""The synthetic sample of ISIC 2018 task 1, in the organisers' folders and file formats.

The names are of the release's form; those of the training set are chosen so that the splits by hash are of
useful sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from medbench.challenges.isic2018.files import PARTS, hashed_split
from medbench.io import raster

SEED = 2018
TRAINING = {"train": 40, "val": 6, "test": 12}
OTHERS = {"val": 4, "test": 10}
SIZES = ((450, 600), (480, 640), (542, 718), (576, 768))


def drawn_names() -> dict[str, list[str]]:
    """Part of the release -> names of the sample's images."""
    numbers = iter(range(10**7))
    remaining = dict(TRAINING)
    training = []
    while any(remaining.values()):
        name = f"ISIC_{next(numbers):07}"
        if remaining[hashed_split(name)]:
            remaining[hashed_split(name)] -= 1
            training.append(name)
    others = {part: [f"ISIC_{next(numbers):07}" for _ in range(count)] for part, count in OTHERS.items()}
    return {"train": training, **others}


def write_sample(
    root: Path,
    names: Mapping[str, Sequence[str]] | None = None,
    sizes: Sequence[tuple[int, int]] = SIZES,
) -> None:
    """Draw the images of each part; each depends on its own name only.

    Args:
        root: folder that gets the organisers' folders.
        names: part -> names; :func:`drawn_names` if not given.
        sizes: heights and widths in pixels, in turn by number.
    """
    jobs = [
        (PARTS[part][0], name)
        for part, names_of_part in (drawn_names() if names is None else names).items()
        for name in names_of_part
    ]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: _write(root, job[0], job[1], sizes), jobs))


def _write(root: Path, part: str, name: str, sizes: Sequence[tuple[int, int]]) -> None:
    import cv2

    from medbench.challenges.simulators.dermoscopy import draw_image

    number = int(name.removeprefix("ISIC_"))
    lesion = draw_image(np.random.default_rng([SEED, number]), *sizes[number % len(sizes)])
    folder = root / f"ISIC2018_Task1-2_{part}_Input"
    folder.mkdir(parents=True, exist_ok=True)
    _, content = cv2.imencode(".jpg", lesion.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    content.tofile(folder / f"{name}.jpg")
    mask = root / f"ISIC2018_Task1_{part}_GroundTruth" / f"{name}_segmentation.png"
    raster.write_label_map(mask, lesion.mask * np.uint8(255))
