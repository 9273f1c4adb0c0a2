"""The synthetic sample of IUGC 2025 in the release's folders and tables; its images have 256 × 256 pixels."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from medbench.challenges.iugc2025.exchange import mask_points
from medbench.challenges.iugc2025.files import ANGLE, ANGLES, PLACES
from medbench.challenges.iugc2025.table import NAME, Points, point_text
from medbench.challenges.simulators.ultrasound import draw_frame
from medbench.core.files import write_text
from medbench.io import raster
from medbench.metrics.tasks.landmarks import angle_of_progression

SEED, SIDE = 2025, 256
COUNTS = {"train": 48, "val": 6, "test": 12}


def write_sample(root: Path, counts: Mapping[str, int] = COUNTS, side: int = SIDE) -> None:
    """Draw images; each depends on the seed, its split and its own number only.

    Args:
        root: folder that gets ``Dataset``.
        counts: images of each split.
        side: of the images in pixels.
    """
    for split, count in counts.items():
        folder, table, _ = PLACES[split]
        place = root / "Dataset" / folder

        def draw(number: int, split: str = split, place: Path = place) -> tuple[str, Points]:
            return _write(place, split, number, side)

        with ThreadPoolExecutor(2) as pool:
            rows = dict(pool.map(draw, range(count)))
        write_text(place / table, point_text(rows))
        if split != "train":
            write_text(place / ANGLES, _angles(rows))


def _write(place: Path, split: str, number: int, side: int) -> tuple[str, Points]:
    generator = np.random.default_rng([SEED, list(PLACES).index(split), number])
    frame = draw_frame(generator, height=side, width=side)
    name = f"{number:05}.png"
    place.mkdir(parents=True, exist_ok=True)
    raster.write_image(place / name, np.repeat(frame.image[..., np.newaxis], 3, axis=-1))
    return name, mask_points(frame.labels)


def _angles(rows: Mapping[str, Points]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([NAME, ANGLE])
    for name, points in rows.items():
        writer.writerow([name, f"{angle_of_progression(points):.6f}"])
    return stream.getvalue()
