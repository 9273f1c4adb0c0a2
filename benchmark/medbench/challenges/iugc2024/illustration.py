"""The scores of a video's frames as an image, over their classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medbench.core.overlay import Illustration
from medbench.core.text import counted

WIDTH, HEIGHT, MARGIN, STRIP, GAP = 1280, 240, 16, 26, 24
_REFERENCE_RGB, _PREDICTION_RGB, _LINE_RGB = (230, 159, 0), (86, 180, 233), (190, 190, 190)
_INK_RGB, _LETTERS = (40, 40, 40), 0.45


def score_curve(classes: Sequence[int], probabilities: npt.NDArray[np.float64]) -> Illustration:
    """The probability of a standard plane, frame by frame, over the frames that are one.

    Args:
        classes: of the frames: 1 a standard plane, 0 another, below 0 not labelled.
        probabilities: ``(frames, 2)``, the standard plane's second.
    """
    import cv2

    canvas = np.full((HEIGHT + STRIP + GAP, WIDTH, 3), 255, np.uint8)
    across = MARGIN + (np.arange(len(classes)) + 0.5) * (WIDTH - 2 * MARGIN) / len(classes)
    up = HEIGHT - MARGIN - probabilities[:, 1] * (HEIGHT - 2 * MARGIN)
    for share in (0.0, 0.5, 1.0):
        row = round(HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN))
        cv2.line(canvas, (MARGIN, row), (WIDTH - MARGIN, row), _LINE_RGB, 1)
        _write(canvas, f"{share:g}", MARGIN, row - 3)
    points = np.rint(np.stack([across, up], axis=1)).astype(np.int32)
    cv2.polylines(canvas, [points], False, _PREDICTION_RGB, 2, cv2.LINE_AA)
    columns = np.arange(WIDTH - 2 * MARGIN) * len(classes) // (WIDTH - 2 * MARGIN)
    own = np.asarray(classes)[columns]
    colours = np.where(own[:, None] == 1, _REFERENCE_RGB, np.where(own[:, None] == 0, (238, 238, 238), 255))
    canvas[HEIGHT : HEIGHT + STRIP, MARGIN : WIDTH - MARGIN] = colours
    for frame in (1, len(classes)):
        _write(canvas, f"frame {frame}", MARGIN if frame == 1 else WIDTH - 100, HEIGHT + STRIP + GAP - 8)
    has_label = np.asarray(classes) >= 0
    right = np.count_nonzero((probabilities[:, 1] > 0.5)[has_label] == (np.asarray(classes)[has_label] == 1))
    caption = (
        f"Curve: probability of a standard plane in {counted(len(classes), 'frame')}, lines at 0, 0.5 and 1. "
        "Strip: frames that are one (orange), others (grey). Right: "
        f"{right} of {np.count_nonzero(has_label)}."
    )
    nothing = np.zeros(canvas.shape[:2], np.uint8)
    return Illustration(canvas, nothing, nothing, "overview", caption)


def _write(canvas: npt.NDArray[np.uint8], words: str, column: int, row: int) -> None:
    import cv2

    cv2.putText(canvas, words, (column, row), cv2.FONT_HERSHEY_SIMPLEX, _LETTERS, _INK_RGB, 1, cv2.LINE_AA)
