"""The synthetic sample of Kvasir-SEG, in the folders and file formats of the release.

Every image is a scene of its own by the simulator of colonoscopy, with one or two polyps that are redder than
mucosa; every tenth image has none. Corners ``xmax`` and ``ymax`` are one past the last pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.image_boxes.components import component_boxes
from medbench.challenges.kvasir_polyp.files import FOLDER, LABEL, LEAST_PIXELS, TABLE, hashed_split
from medbench.challenges.simulators.colonoscopy import Sequence
from medbench.core.files import dump_json, write_text

SEED = 2020
COUNTS = {"train": 60, "val": 8, "test": 24}
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
REDDER = np.array([1.12, 0.72, 0.74], np.float32)
QUALITY = 92


def drawn_names(counts: Mapping[str, int] | None = None) -> list[str]:
    """Names of the sample's images, so many of each split by hash.

    Args:
        counts: split -> images; :data:`COUNTS` if not given.
    """
    generator, remaining, names = np.random.default_rng(SEED), dict(counts or COUNTS), []
    while any(remaining.values()):
        name = "cju" + "".join(generator.choice(list(LETTERS), 22))
        if remaining.get(hashed_split(name)):
            remaining[hashed_split(name)] -= 1
            names.append(name)
    return names


def write_sample(root: Path, counts: Mapping[str, int] | None = None) -> None:
    """Draw the images; each depends on the seed and its place in the list only.

    Args:
        root: folder that gets ``Kvasir-SEG``.
        counts: split -> images.
    """
    home = root / FOLDER
    for folder in ("images", "masks"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    names = drawn_names(counts)
    with ThreadPoolExecutor(2) as pool:
        entries = list(pool.map(lambda job: _write(home, *job), enumerate(names)))
    write_text(home / TABLE, dump_json(dict(zip(names, entries, strict=True)), indent=2) + "\n")


def _write(home: Path, number: int, name: str) -> dict[str, Any]:
    """Write image and mask; the image's entry in the table."""
    rng = np.random.default_rng([SEED, number])
    height, width = int(rng.integers(210, 270)), int(rng.integers(250, 340))
    scene = Sequence(rng, height, width, polyps=0 if number % 10 == 9 else 1 + number % 3 // 2)
    frame = scene.frame(rng, 0.5)
    image = frame.image.astype(np.float32)
    image = np.where(frame.mask[..., None] > 0, image * REDDER, image)
    _encode(home / "images" / f"{name}.jpg", np.clip(image, 0, 255).astype(np.uint8))
    _encode(home / "masks" / f"{name}.jpg", np.repeat(frame.mask[..., None] * np.uint8(255), 3, axis=2))
    boxes = [
        {"label": LABEL, **dict(zip(("xmin", "ymin", "xmax", "ymax"), map(int, corners), strict=True))}
        for corners in component_boxes(frame.mask, LEAST_PIXELS)
    ]
    return {"height": height, "width": width, "bbox": boxes}


def _encode(path: Path, image: npt.NDArray[np.uint8]) -> None:
    import cv2

    _, jpeg = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    jpeg.tofile(path)
