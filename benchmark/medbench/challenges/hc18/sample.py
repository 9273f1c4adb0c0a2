"""The synthetic sample of HC18: grey images, one-pixel outlines and both tables, as the release has them.

Heads grow from the 12th week to birth, and the pixel size follows from the circumference, as a sonographer
sets the depth to the head. Some subjects have a second image.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.hc18.files import (
    CIRCUMFERENCE_COLUMN,
    PIXEL_COLUMN,
    TABLES,
    TEST,
    TRAINING,
    subject_split,
)
from medbench.challenges.simulators.ultrasound import Frame, draw_frame
from medbench.core.files import write_text
from medbench.io import raster
from medbench.metrics.tasks.biometry import ellipse_perimeter

SEED = 18
SUBJECTS = {"train": 36, "val": 5, "test": 14}
TEST_IMAGES = 5
SIZE = (540, 800)
CIRCUMFERENCES_MM = (65.0, 335.0)
_SUBPIXEL_BITS = 6


def drawn_names() -> dict[str, list[str]]:
    """Folder -> names of the sample's images; every sixth subject has two."""
    remaining = dict(SUBJECTS)
    training: list[str] = []
    for number in range(806):
        subject = f"{number:03}"
        split = subject_split(subject)
        if remaining[split]:
            remaining[split] -= 1
            training += [f"{subject}_2HC"] * (number % 6 == 0) + [f"{subject}_HC"]
    return {TRAINING: sorted(training), TEST: [f"{number:03}_HC" for number in range(TEST_IMAGES)]}


def write_sample(
    root: Path,
    names: dict[str, list[str]] | None = None,
    size: tuple[int, int] = SIZE,
) -> None:
    """Draw the images of both sets; each depends on its own name only.

    Args:
        root: folder that gets ``training_set``, ``test_set`` and the tables.
        names: folder -> names; :func:`drawn_names` if not given.
        size: height and width in pixels.
    """
    for part, names_of_part in (drawn_names() if names is None else names).items():
        with ThreadPoolExecutor(2) as pool:
            rows = list(pool.map(lambda name, part=part: _write(root, part, name, size), names_of_part))
        columns = ["filename", PIXEL_COLUMN, CIRCUMFERENCE_COLUMN][: len(rows[0])]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *rows])
        write_text(root / TABLES[part], text.getvalue())


def _write(root: Path, part: str, name: str, size: tuple[int, int]) -> Sequence[str]:
    subject, _, repeat = name.partition("_")
    identity = [SEED, (TRAINING, TEST).index(part), int(subject)]
    circumference = np.random.default_rng(identity).uniform(*CIRCUMFERENCES_MM)
    frame = draw_frame(
        np.random.default_rng([*identity, int(repeat.removesuffix("HC") or 1)]),
        height=size[0],
        width=size[1],
        content="transthalamic_head",
    )
    assert frame.head is not None
    _, _, a, b, _ = frame.pixels(frame.head)
    pixel_size = circumference / ellipse_perimeter(a, b)
    raster.write_image(root / part / f"{name}.png", frame.image)
    row = [f"{name}.png", f"{pixel_size:.12f}"]
    if part == TEST:
        return row
    raster.write_label_map(root / part / f"{name}_Annotation.png", outline_of(frame))
    return [*row, f"{circumference:.2f}"]


def outline_of(frame: Frame) -> npt.NDArray[np.uint8]:
    """The head's ellipse as a line of one pixel, ``(height, width)``, 0 and 255."""
    import cv2

    assert frame.head is not None
    x, y, a, b, angle = frame.pixels(frame.head)
    turn = np.linspace(0, 2 * math.pi, 720, endpoint=False)
    along, across = a * np.cos(turn), b * np.sin(turn)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    points = np.stack([x + along * cosine - across * sine, y + along * sine + across * cosine], axis=1)
    subpixels = np.rint(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    canvas = np.zeros(frame.image.shape, np.uint8)
    return cv2.polylines(canvas, [subpixels], True, 255, 1, cv2.LINE_8, _SUBPIXEL_BITS)  # type: ignore[return-value]
