"""Precision–recall curves of detected boxes, with intervals by group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medbench.challenges.families.resampled_bands import FEW, NOTE, Floats, band, resampled_weights
from medbench.core.chart import Curve, CurveChart
from medbench.core.result_table import CaseRow
from medbench.metrics.tasks.ranked_boxes import RECALLS, RankedBoxes, Ranking

SHOWN = (0.4, 0.5, 0.75)
"""IoU of the curves of one class."""


def box_charts(rows: Sequence[CaseRow], boxes: RankedBoxes, names: Sequence[str]) -> list[CurveChart]:
    """Curves of rows that have matches: by IoU for one class, by class at IoU 0.50 for several.

    Args:
        rows: one an image, for the groups.
        boxes: detections in the same images.
        names: of the classes.
    """
    weights = resampled_weights(rows)
    ones = np.ones((1, boxes.images))
    nearest = {iou: int(np.argmin(np.abs(np.array(boxes.thresholds) - iou))) for iou in SHOWN}
    if len(names) == 1:
        lines = [(f"IoU {iou:.2f}", 0, nearest[iou]) for iou in SHOWN]
    else:
        lines = [(name, index, nearest[0.5]) for index, name in enumerate(names)]
    curves = []
    for title, label, threshold in lines:
        if label not in boxes.classes:
            continue
        ranking = boxes.classes[label]
        line = precision_at_recalls(ranking, threshold, ones)[0]
        ends = band(None if weights is None else precision_at_recalls(ranking, threshold, weights))
        curves.append(Curve(title, RECALLS.tolist(), line.tolist(), *ends))
    return [
        CurveChart(
            "Precision and recall" + (" at IoU 0.50" if len(names) > 1 else ""),
            "recall",
            "precision (largest at this recall or more)",
            curves,
            note=FEW if weights is None else NOTE,
        )
    ]


def precision_at_recalls(ranking: Ranking, threshold: int, weights: Floats) -> Floats:
    """Largest precision from each of COCO's 101 recalls on, ``(resamples, 101)``; 0 where not reached."""
    precision, recall = ranking.precision_and_recall(threshold, weights)
    curve = np.concatenate([precision, np.zeros((len(weights), 1))], axis=1)
    places = np.stack([np.searchsorted(row, RECALLS, side="left") for row in recall])
    return np.take_along_axis(curve, places, axis=1)
