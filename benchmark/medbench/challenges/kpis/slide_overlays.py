"""Images of a slide for the report: an overview with missed glomeruli, and the worst ones in full size."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from medbench.challenges.kpis.slide_scoring import BAND_ROWS, SlideMasks
from medbench.core.overlay import Illustration, ObjectMark
from medbench.core.text import agreeing
from medbench.io import slides
from medbench.metrics.masks.banded import MaskRows
from medbench.metrics.masks.instances import MATCHING_IOU, MatchedObject, match_objects

OVERVIEW_PX = 1600
WORST_OBJECTS = 4
DETAIL_MARGIN_PX = 64
LARGEST_DETAIL_PX = 1024


def slide_illustrations(path: Path, factor: int, masks: SlideMasks) -> list[Illustration]:
    """An overview of the slide, then windows of the working level, the worst object first.

    Args:
        path: the slide.
        factor: of the working level, 1 or 2.
        masks: both masks at the working level.

    Raises:
        MedbenchError: ``file.corrupt`` where pixels cannot be decoded.
    """
    reference, prediction = match_objects(masks.reference, masks.prediction)
    alone = [item for item in prediction if item.iou == 0]
    worst = sorted([*reference, *alone], key=lambda item: (item.iou, -item.size))[:WORST_OBJECTS]
    with slides.open_slide(path, factor=factor) as slide:
        return [
            _overview(slide, masks, reference, prediction),
            *(_detail(slide, masks, item, item in alone) for item in worst),
        ]


def _overview(
    slide: slides.SlideImage,
    masks: SlideMasks,
    reference: list[MatchedObject],
    prediction: list[MatchedObject],
) -> Illustration:
    step = -(-max(slide.shape) // OVERVIEW_PX)
    misses = [item for item in reference if item.iou < MATCHING_IOU]
    wrong = [item for item in prediction if item.iou < MATCHING_IOU]
    marks = [_mark("missed", item, step) for item in misses]
    marks += [_mark("false positive", item, step) for item in wrong]
    glomeruli = agreeing(len(reference), "glomerulus", "glomeruli")
    count = f"{len(reference)} {glomeruli}, {len(misses)} missed, {len(wrong)} false positive"
    return Illustration(
        slide.thumbnail(step),
        thumbnail(masks.reference, step),
        thumbnail(masks.prediction, step),
        "overview",
        f"{count} (IoU below {MATCHING_IOU}); a pixel here is {step} × {step} of the working level",
        marks,
    )


def _mark(kind: Literal["missed", "false positive"], item: MatchedObject, step: int) -> ObjectMark:
    top, left, bottom, right = item.box
    radius = max(bottom - top, right - left) / 2 / step
    return ObjectMark(kind, (top + bottom) / 2 / step, (left + right) / 2 / step, radius)


def thumbnail(mask: MaskRows, step: int) -> npt.NDArray[np.uint8]:
    """Values of the mask at the middle of each ``step`` × ``step`` pixels."""
    height, width = mask.shape
    columns = np.minimum(np.arange(step // 2, width + step // 2, step), width - 1)
    rows = np.minimum(np.arange(step // 2, height + step // 2, step), height - 1)
    parts = []
    for start in range(0, height, BAND_ROWS):
        own = rows[(rows >= start) & (rows < start + BAND_ROWS)] - start
        parts.append(mask[start : min(start + BAND_ROWS, height)][own][:, columns])
    return np.concatenate(parts).astype(np.uint8)


def _detail(slide: slides.SlideImage, masks: SlideMasks, item: MatchedObject, alone: bool) -> Illustration:
    rows = _window(item.box[0], item.box[2], slide.shape[0])
    columns = _window(item.box[1], item.box[3], slide.shape[1])
    window = slice(*rows), slice(*columns)
    outcome = "false positive" if alone else f"IoU {item.iou:.2f}" if item.iou else "missed"
    return Illustration(
        slide.read(rows, columns),
        masks.reference[window].astype(np.uint8),
        masks.prediction[window].astype(np.uint8),
        "detail",
        f"{outcome}, rows {rows[0]:,} to {rows[1]:,}, columns {columns[0]:,} to {columns[1]:,}",
    )


def _window(start: int, stop: int, side: int) -> tuple[int, int]:
    """First and last row or column to show: with a margin, or the middle of what is too large."""
    start, stop = max(0, start - DETAIL_MARGIN_PX), min(side, stop + DETAIL_MARGIN_PX)
    if stop - start > LARGEST_DETAIL_PX:
        start = (start + stop - LARGEST_DETAIL_PX) // 2
        stop = start + LARGEST_DETAIL_PX
    return start, stop
