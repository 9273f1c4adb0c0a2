"""What a report shows of a slide: an overview with what was missed, and its worst glomeruli at full size."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from medbench.challenges.kpis.slide_scoring import BAND_ROWS, SlideMasks
from medbench.core.overlay import Illustration, ObjectMark
from medbench.io import slides
from medbench.metrics.masks.banded import MaskRows
from medbench.metrics.masks.instances import MATCHING_IOU, MatchedObject, match_objects

OVERVIEW_PX = 1600
WORST_OBJECTS = 4
DETAIL_MARGIN_PX = 64
LARGEST_DETAIL_PX = 1024


def slide_illustrations(picture: Path, factor: int, masks: SlideMasks) -> list[Illustration]:
    """The whole slide made smaller, then windows of the working level, the worst object first.

    Args:
        picture: the slide.
        factor: of the working level, 1 or 2.
        masks: both masks at the working level.

    Raises:
        MedbenchError: ``file.corrupt`` where pixels cannot be decoded.
    """
    reference, prediction = match_objects(masks.reference, masks.prediction)
    invented = [found for found in prediction if found.iou == 0]
    worst = sorted([*reference, *invented], key=lambda found: (found.iou, -found.size))[:WORST_OBJECTS]
    with slides.open_slide(picture, factor=factor) as slide:
        return [
            _overview(slide, masks, reference, prediction),
            *(_detail(slide, masks, found, found in invented) for found in worst),
        ]


def _overview(
    slide: slides.SlidePicture,
    masks: SlideMasks,
    reference: list[MatchedObject],
    prediction: list[MatchedObject],
) -> Illustration:
    step = -(-max(slide.shape) // OVERVIEW_PX)
    missed = [found for found in reference if found.iou < MATCHING_IOU]
    wrong = [found for found in prediction if found.iou < MATCHING_IOU]
    marks = [_mark("missed", found, step) for found in missed]
    marks += [_mark("false positive", found, step) for found in wrong]
    count = f"{len(reference)} glomeruli, {len(missed)} missed, {len(wrong)} false positive"
    return Illustration(
        slide.thumbnail(step),
        _thumbnail(masks.reference, step),
        _thumbnail(masks.prediction, step),
        "overview",
        f"{count} (IoU below {MATCHING_IOU}); a pixel here is {step} × {step} of the working level",
        marks,
    )


def _mark(kind: Literal["missed", "false positive"], found: MatchedObject, step: int) -> ObjectMark:
    top, left, bottom, right = found.box
    radius = max(bottom - top, right - left) / 2 / step
    return ObjectMark(kind, (top + bottom) / 2 / step, (left + right) / 2 / step, radius)


def _thumbnail(mask: MaskRows, step: int) -> npt.NDArray[np.uint8]:
    """The mask at the middle of each ``step`` × ``step`` pixels."""
    height, width = mask.shape
    columns = np.minimum(np.arange(step // 2, width + step // 2, step), width - 1)
    rows = np.minimum(np.arange(step // 2, height + step // 2, step), height - 1)
    parts = []
    for start in range(0, height, BAND_ROWS):
        own = rows[(rows >= start) & (rows < start + BAND_ROWS)] - start
        parts.append(mask[start : min(start + BAND_ROWS, height)][own][:, columns])
    return np.concatenate(parts).astype(np.uint8)


def _detail(
    slide: slides.SlidePicture, masks: SlideMasks, found: MatchedObject, invented: bool
) -> Illustration:
    rows = _window(found.box[0], found.box[2], slide.shape[0])
    columns = _window(found.box[1], found.box[3], slide.shape[1])
    window = slice(*rows), slice(*columns)
    outcome = "false positive" if invented else f"IoU {found.iou:.2f}" if found.iou else "missed"
    return Illustration(
        slide.read(rows, columns),
        masks.reference[window].astype(np.uint8),
        masks.prediction[window].astype(np.uint8),
        "detail",
        f"{outcome}, rows {rows[0]:,} to {rows[1]:,}, columns {columns[0]:,} to {columns[1]:,}",
    )


def _window(start: int, stop: int, side: int) -> tuple[int, int]:
    """A margin around it, and the middle of what is too large to show."""
    start, stop = max(0, start - DETAIL_MARGIN_PX), min(side, stop + DETAIL_MARGIN_PX)
    if stop - start > LARGEST_DETAIL_PX:
        start = (start + stop - LARGEST_DETAIL_PX) // 2
        stop = start + LARGEST_DETAIL_PX
    return start, stop
