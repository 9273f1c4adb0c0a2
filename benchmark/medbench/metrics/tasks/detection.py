"""Mean average precision of boxes, by the rules of COCO and of PASCAL VOC.

Boxes are ``(x1, y1, x2, y2)``. A detection is compared by falling score, equal scores in the order given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.sample import Boxes
from medbench.core.score import Score
from medbench.core.text import counted
from medbench.metrics.arguments import check_choice, numbers
from medbench.metrics.tasks.ranked_boxes import (
    COCO_THRESHOLDS,
    Floats,
    RankedBoxes,
    box_iou,
    image_precision,
    match_boxes,
)


def checked_boxes(reference: Any, prediction: Any) -> list[tuple[Boxes, Boxes]]:
    """Reference and prediction of every image, of one type each.

    Args:
        reference: one :class:`medbench.core.sample.Boxes` an image.
        prediction: as many.

    Raises:
        MedbenchError: ``metric.array``, ``metric.shape``, ``metric.not_finite``, or ``metric.boxes`` for
            boxes that end before they begin.
    """
    for side, name in ((reference, "reference"), (prediction, "prediction")):
        if not isinstance(side, Sequence) or not all(isinstance(boxes, Boxes) for boxes in side):
            raise MedbenchError(
                "metric.array",
                f"The {name} is no list of Boxes, one an image.",
                "medbench.core.sample.Boxes holds corners, scores and classes of an image.",
            )
    if len(reference) != len(prediction):
        raise MedbenchError(
            "metric.shape",
            f"The reference is of {counted(len(reference), 'image')}, the prediction of {len(prediction)}.",
            "Give one Boxes an image on either side, an empty one where there is no box.",
        )
    pairs = zip(reference, prediction, strict=True)
    return [
        (_plain(truth, f"reference of image {number}"), _plain(guess, f"prediction of image {number}"))
        for number, (truth, guess) in enumerate(pairs)
    ]


def _plain(boxes: Boxes, name: str) -> Boxes:
    corners, scores = (
        numbers(values, name, finite=True).astype(np.float64) for values in (boxes.corners, boxes.scores)
    )
    classes = numbers(boxes.classes, name).reshape(-1)
    scores = scores.reshape(-1)
    if corners.size != 4 * len(classes) or len(scores) != len(classes):
        raise MedbenchError(
            "metric.shape", f"The {name}: boxes, classes and scores differ in number.",
            "Every box needs a class and a score; those of a reference are made by Boxes.of_reference.",
        )  # fmt: skip
    corners = corners.reshape(-1, 4)
    if (corners[:, 2:] < corners[:, :2]).any():
        raise MedbenchError(
            "metric.boxes",
            f"The {name}: a box ends before it begins.",
            "Corners are left, top, right, bottom; add width and height to left and top.",
        )
    return Boxes(corners, scores, classes)


def _voc_hits(iou: Floats, threshold: float) -> npt.NDArray[np.bool_]:
    """Each detection looks at its best reference only; when that is taken it is a false positive."""
    hits = np.zeros(len(iou), np.bool_)
    free = np.ones(iou.shape[1], np.bool_)
    if not iou.shape[1]:
        return hits
    for number, row in enumerate(iou):
        best = int(row.argmax())
        if row[best] >= threshold and free[best]:
            free[best] = False
            hits[number] = True
    return hits


def _precision_and_recall(hits: npt.NDArray[np.bool_], n_reference: int) -> tuple[Floats, Floats]:
    right = np.cumsum(hits)
    return right / np.arange(1, len(hits) + 1), right / n_reference


def _envelope(precision: Floats) -> Floats:
    """Largest precision at this recall or beyond."""
    return np.maximum.accumulate(precision[::-1])[::-1]


def _voc_area(precision: Floats, recall: Floats) -> float:
    """Area under the precision envelope (VOC from 2010 on)."""
    return float((np.diff(recall, prepend=0.0) * _envelope(precision)).sum())


def _voc_eleven(precision: Floats, recall: Floats) -> float:
    """Mean over the recalls 0, 0.1, … 1 of the largest precision from there on (VOC until 2009)."""
    precisions = (precision[recall >= point].max(initial=0.0) for point in np.arange(0, 1.1, 0.1))
    return float(sum(precisions) / 11)


def _voc_precisions(
    images: Sequence[tuple[Boxes, Boxes]],
    threshold: float,
    average: Callable[[Floats, Floats], float],
    inclusive: bool,
) -> list[float]:
    """Average precision of each class that the reference holds."""
    precisions = []
    for label in sorted({label for truth, _ in images for label in truth.classes.tolist()}):
        hits_by_image, scores, n_reference = [], [], 0
        for truth, guess in images:
            corners, own = truth.corners[truth.classes == label], np.flatnonzero(guess.classes == label)
            own = own[np.argsort(-guess.scores[own], kind="stable")]
            n_reference += len(corners)
            scores.append(guess.scores[own])
            hits_by_image.append(
                _voc_hits(box_iou(guess.corners[own], corners, inclusive=inclusive), threshold)
            )
        order = np.argsort(-np.concatenate(scores), kind="stable")
        hits = np.concatenate(hits_by_image)[order]
        precisions.append(average(*_precision_and_recall(hits, n_reference)) if len(hits) else 0.0)
    return precisions


def _ranked(
    reference: Sequence[Boxes], prediction: Sequence[Boxes], thresholds: Sequence[float], most: int
) -> RankedBoxes:
    pairs = checked_boxes(reference, prediction)
    return RankedBoxes.of([match_boxes(*pair, thresholds, most) for pair in pairs], thresholds)


def coco_map(
    reference: Sequence[Boxes],
    prediction: Sequence[Boxes],
    *,
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    max_detections: int = 100,
    skip_empty: bool = False,
) -> float | None:
    """Mean average precision by the rules of COCO (``pycocotools`` 2.0, bounding boxes, all areas, no
    crowds).

    Average precision is taken at 101 recalls for every class that the reference holds and every IoU
    threshold, then averaged. None when the reference holds no box.

    Args:
        reference: one :class:`medbench.core.sample.Boxes` an image.
        prediction: as many, with scores.
        thresholds: IoU thresholds; 0.50, 0.55 … 0.95.
        max_detections: the best-scored detections of each class that count, per image.
        skip_empty: leave out images without a reference box or without a detection, which COCO counts.

    Raises:
        MedbenchError: as :func:`checked_boxes`.

    >>> truth = [Boxes.of_reference([[0, 0, 10, 10]], [1])]
    >>> guess = [Boxes(np.array([[0, 0, 10, 7]]), np.array([0.9]), np.array([1]))]
    >>> round(coco_map(truth, guess), 6)
    0.5
    """
    ranking = _ranked(reference, prediction, thresholds, max_detections)
    value = float(ranking.mean_precision(thresholds, np.ones(ranking.images), skip=skip_empty))
    return None if np.isnan(value) else value


def coco_recall(
    reference: Sequence[Boxes],
    prediction: Sequence[Boxes],
    *,
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    max_detections: int = 100,
) -> float | None:
    """Average recall by the rules of COCO, mean over classes and IoU thresholds.

    None when the reference holds no box.

    Args:
        reference: one :class:`medbench.core.sample.Boxes` an image.
        prediction: as many, with scores.
        thresholds: IoU thresholds; 0.50, 0.55 … 0.95.
        max_detections: the best-scored detections of each class that count, per image.

    Raises:
        MedbenchError: as :func:`checked_boxes`.
    """
    ranking = _ranked(reference, prediction, thresholds, max_detections)
    value = float(ranking.mean_recall(thresholds, np.ones(ranking.images), max_detections))
    return None if np.isnan(value) else value


def mean_image_precision(reference: Sequence[Boxes], prediction: Sequence[Boxes]) -> Score:
    """Mean over images of :func:`medbench.metrics.tasks.ranked_boxes.image_precision`.

    Raises:
        MedbenchError: as :func:`checked_boxes`.

    >>> nothing = Boxes.of_reference([], [])
    >>> mean_image_precision([nothing], [Boxes(np.array([[0, 0, 9, 9]]), np.array([0.25]), np.array([0]))])
    Score(value=0.75, status='ok', reason='')
    """
    values = [image_precision(match_boxes(*pair)) for pair in checked_boxes(reference, prediction)]
    return Score(float(np.mean(values))) if values else Score.undefined("there is no image")


def voc_map(
    reference: Sequence[Boxes],
    prediction: Sequence[Boxes],
    *,
    threshold: float = 0.5,
    interpolation: Literal["area", "eleven_points"] = "area",
    inclusive: bool = True,
) -> float | None:
    """Mean average precision by the rules of PASCAL VOC (Everingham et al. 2010, IJCV 88:303, section 4.2).

    Args:
        reference: one :class:`medbench.core.sample.Boxes` an image.
        prediction: as many, with scores.
        threshold: least IoU of a match.
        interpolation: area under the envelope (from 2010 on) or eleven recalls (until 2009).
        inclusive: corners are pixel indices, as in the VOC development kit.

    Raises:
        MedbenchError: as :func:`checked_boxes`.

    >>> truth = [Boxes.of_reference([[0, 0, 9, 9], [20, 20, 29, 29]], [1, 1])]
    >>> guess = [Boxes(np.array([[0, 0, 9, 9]]), np.array([0.9]), np.array([1]))]
    >>> voc_map(truth, guess)
    0.5
    """
    check_choice(interpolation, "interpolation", ("area", "eleven_points"))
    precisions = _voc_precisions(
        checked_boxes(reference, prediction),
        threshold,
        _voc_area if interpolation == "area" else _voc_eleven,
        inclusive,
    )
    return float(np.mean(precisions)) if precisions else None
