"""Scores of detected boxes: COCO's figures over all images, and how well each image is detected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.families.image_boxes.charts import box_charts
from medbench.challenges.families.image_boxes.exchange import ImageBoxExchange
from medbench.challenges.scorer import Scorer
from medbench.core.case import Case
from medbench.core.chart import Chart
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow, CaseScores, MetricSpec, Statistic, Weights, mean_statistic
from medbench.core.sample import Boxes
from medbench.core.score import Score, Status
from medbench.metrics.tasks.ranked_boxes import (
    COCO_THRESHOLDS,
    LOW_THRESHOLDS,
    MOST_DETECTIONS,
    Matches,
    RankedBoxes,
    image_precision,
    match_boxes,
)

FAILURE_RULE = (
    "An image without a usable prediction counts as one without detections: all its objects are missed, as "
    "in pycocotools. Images whose boxes in the release cannot be used have no score."
)
IMAGE_PRECISION = MetricSpec("image_ap", "AP of an image", "", "higher", "map.image", (0.0, 1.0))
"""Column of each image; the lowest are detected worst."""
_NOTHING = Boxes.of_reference([], [])


@dataclass(frozen=True, slots=True)
class BoxColumn:
    """How a column is computed over all images.

    Attributes:
        spec: the column.
        thresholds: of IoU.
        most: detections of each class that count in an image.
        recall: whether it is the average recall, else the average precision.
        of: index of one class; ``None``: all.
    """

    spec: MetricSpec
    thresholds: tuple[float, ...] = COCO_THRESHOLDS
    most: int = MOST_DETECTIONS
    recall: bool = False
    of: int | None = None

    def value(self, boxes: RankedBoxes, weights: Weights) -> npt.NDArray[np.float64]:
        """The column as a function of weights ``(..., images)``."""
        if self.recall:
            return boxes.mean_recall(self.thresholds, weights, self.most, self.of)
        return boxes.mean_precision(self.thresholds, weights, self.of)


def _spec(name: str, title: str, convention: str, *, headline: bool = False) -> MetricSpec:
    return MetricSpec(name, title, "", "higher", convention, (0.0, 1.0), pooled=True, headline=headline)


COLUMNS = (
    BoxColumn(_spec("map", "mAP 0.50:0.95", "map.coco", headline=True)),
    BoxColumn(_spec("ap_50", "AP50", "map.coco_50", headline=True), COCO_THRESHOLDS[:1]),
    BoxColumn(_spec("map_40_75", "mAP 0.40:0.75", "map.coco_40_75"), LOW_THRESHOLDS),
    *(
        BoxColumn(
            _spec(f"ar_{most}", f"AR@{most}", f"ar.coco_{most}", headline=most == 100),
            most=most,
            recall=True,
        )
        for most in (1, 10, 100)
    ),
)
"""Columns of every challenge of boxes."""


def class_box_columns(names: Sequence[str]) -> tuple[BoxColumn, ...]:
    """AP50 and mAP of each class, for challenges with several.

    Args:
        names: of the classes.
    """
    return tuple(
        BoxColumn(_spec(f"{key}_{name.lower().replace(' ', '_')}", f"{title} {name}", convention),
                  thresholds, of=of)
        for key, title, convention, thresholds in (
            ("ap_50", "AP50", "map.coco_50", COCO_THRESHOLDS[:1]),
            ("map", "mAP", "map.coco", COCO_THRESHOLDS),
        )
        for of, name in enumerate(names)
    )  # fmt: skip


class ImageBoxScorer(Scorer):
    """Detected boxes; the rule for failed images is :data:`FAILURE_RULE`.

    Args:
        card: the challenge's; its columns are those of ``columns`` and :data:`IMAGE_PRECISION`.
        exchange: reads predictions.
        columns: columns over all images.
    """

    def __init__(
        self, card: Card, exchange: ImageBoxExchange, columns: Sequence[BoxColumn] = COLUMNS
    ) -> None:
        super().__init__(card)
        self.exchange = exchange
        self.release = exchange.release
        self.columns: Mapping[str, BoxColumn] = {column.spec.name: column for column in columns}

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """How well one image is detected, and its matches for the columns over all.

        Raises:
            MedbenchError: ``data.boxes_missing``, or naming file and entry of a detection that is refused.
        """
        reference = self.release.read_reference(case)
        matches = match_boxes(reference, self.exchange.read_prediction(case, path))
        return CaseScores({IMAGE_PRECISION.name: Score(image_precision(matches))}, _evidence(matches))

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :data:`FAILURE_RULE`."""
        try:
            matches = match_boxes(self.release.read_reference(case), _NOTHING)
        except MedbenchError as error:
            return CaseScores.undefined([IMAGE_PRECISION.name], error.message)
        return CaseScores({IMAGE_PRECISION.name: Score(0.0, status, reason)}, _evidence(matches))

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """All columns of several images.

        Args:
            reference: one :class:`Boxes` an image.
            prediction: as many.
            spacing: not used.

        Raises:
            MedbenchError: as :func:`medbench.metrics.tasks.detection.checked_boxes`.
        """
        from medbench.metrics.tasks.detection import checked_boxes, mean_image_precision

        mean = mean_image_precision(reference, prediction)
        boxes = RankedBoxes.of([match_boxes(*pair) for pair in checked_boxes(reference, prediction)])
        scores = {}
        for name, column in self.columns.items():
            value = float(column.value(boxes, np.ones(boxes.images)))
            has_value = not np.isnan(value)
            scores[name] = Score(value) if has_value else Score.undefined("the reference holds no box")
        return {**scores, IMAGE_PRECISION.name: mean}

    def statistic(self, metric: MetricSpec, rows: Sequence[CaseRow]) -> Statistic:
        """The column over all images as a function of their weights."""
        if metric.name not in self.columns:
            return mean_statistic(metric, rows)
        has_matches = np.array(["matches" in row.evidence for row in rows])
        boxes, column = _ranked(rows), self.columns[metric.name]

        def value(weights: Weights) -> npt.NDArray[np.float64]:
            return column.value(boxes, weights[..., has_matches])

        return value

    def charts(self, rows: Sequence[CaseRow]) -> Sequence[Chart]:
        """Precision–recall curves."""
        with_matches = [row for row in rows if "matches" in row.evidence]
        if not with_matches:
            return ()
        return box_charts(with_matches, _ranked(with_matches), self.exchange.classes)


def _evidence(matches: Mapping[int, Matches]) -> dict[str, Any]:
    return {"matches": {str(label): match.as_json() for label, match in matches.items()}}


def _ranked(rows: Sequence[CaseRow]) -> RankedBoxes:
    """Ranked detections of the rows that have matches."""
    return RankedBoxes.of(
        [
            {int(label): Matches.from_json(value) for label, value in row.evidence["matches"].items()}
            for row in rows
            if "matches" in row.evidence
        ]
    )
