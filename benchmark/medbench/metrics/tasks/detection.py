"""Mean average precision of boxes, by the rules of COCO and of PASCAL VOC.

Boxes are ``(x1, y1, x2, y2)``. A detection is compared by falling score, equal scores in the order given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError

Floats = npt.NDArray[np.float64]
COCO_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of one image.

    Attributes:
        corners: shape ``(n, 4)``, ``(x1, y1, x2, y2)`` in pixels.
        labels: class of each box, shape ``(n,)``.
        scores: confidence of each predicted box, shape ``(n,)``; ignored in a reference.
    """

    corners: npt.NDArray[Any]
    labels: npt.NDArray[Any]
    scores: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0))


def _checked(
    reference: Sequence[Boxes], prediction: Sequence[Boxes]
) -> list[tuple[Floats, npt.NDArray[Any], Floats, npt.NDArray[Any], Floats]]:
    if len(reference) != len(prediction):
        raise MedbenchError(
            "metric.shape", f"{len(reference)} reference images, but {len(prediction)} predicted ones."
        )
    images = []
    for number, (truth, guess) in enumerate(zip(reference, prediction, strict=True)):
        corners = np.asarray(truth.corners, np.float64).reshape(-1, 4)
        boxes = np.asarray(guess.corners, np.float64).reshape(-1, 4)
        labels, classes = np.asarray(truth.labels).reshape(-1), np.asarray(guess.labels).reshape(-1)
        scores = np.asarray(guess.scores, np.float64).reshape(-1)
        if len(labels) != len(corners) or len(classes) != len(boxes) or len(scores) != len(boxes):
            raise MedbenchError(
                "metric.shape", f"Image {number}: boxes, labels and scores differ in number.",
                "Every predicted box needs a label and a score, every reference box a label.",
            )  # fmt: skip
        if not np.isfinite(scores).all():
            raise MedbenchError("metric.not_finite", f"Image {number}: a score is NaN or infinite.")
        images.append((corners, labels, boxes, classes, scores))
    return images


def box_iou(first: Floats, second: Floats, *, inclusive: bool = False) -> Floats:
    """Intersection over union of every pair, shape ``(len(first), len(second))``.

    Args:
        first: boxes, shape ``(n, 4)``.
        second: boxes, shape ``(m, 4)``.
        inclusive: corners are pixel indices, so a box from 3 to 3 is one pixel wide (VOC).

    >>> box_iou(np.array([[0, 0, 2, 2.0]]), np.array([[1, 0, 3, 2.0]]))
    array([[0.33333333]])
    """
    extra = 1.0 if inclusive else 0.0
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = np.prod(np.maximum(high - low + extra, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2] + extra, axis=1) for boxes in (first, second)]
    either = areas[0][:, None] + areas[1] - both
    iou = np.zeros(both.shape)
    np.divide(both, either, out=iou, where=either > 0)
    return iou


def _coco_hits(iou: Floats, threshold: float) -> npt.NDArray[np.bool_]:
    """Detections in order of score: each takes the best reference still free (the last on a tie)."""
    hits = np.zeros(len(iou), np.bool_)
    free = np.ones(iou.shape[1], np.bool_)
    least = min(threshold, 1 - 1e-10)
    for number, row in enumerate(iou):
        candidates = np.flatnonzero(free & (row >= least))
        if candidates.size:
            values = row[candidates]
            free[candidates[len(values) - 1 - int(values[::-1].argmax())]] = False
            hits[number] = True
    return hits


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


def _coco_average(precision: Floats, recall: Floats) -> float:
    """Mean of the precision envelope at the recalls 0, 0.01, … 1."""
    points = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    envelope = np.append(_envelope(precision), 0.0)
    return float(envelope[np.minimum(points, len(precision))].mean())


def _voc_area(precision: Floats, recall: Floats) -> float:
    """Area under the precision envelope (VOC from 2010 on)."""
    return float((np.diff(recall, prepend=0.0) * _envelope(precision)).sum())


def _voc_eleven(precision: Floats, recall: Floats) -> float:
    """Mean over the recalls 0, 0.1, … 1 of the largest precision from there on (VOC until 2009)."""
    reached = (precision[recall >= point].max(initial=0.0) for point in np.arange(0, 1.1, 0.1))
    return float(sum(reached) / 11)


def _average_precisions(
    images: list[Any],
    thresholds: Sequence[float],
    *,
    hits_of: Callable[[Floats, float], npt.NDArray[np.bool_]],
    average: Callable[[Floats, Floats], float],
    limit: int | None,
    inclusive: bool,
) -> Floats:
    """Average precision per class that the reference holds and per threshold."""
    classes = sorted({label for _, labels, *_ in images for label in labels.tolist()})
    table = np.zeros((len(classes), len(thresholds)))
    for row, label in enumerate(classes):
        ranked = []
        n_reference = 0
        for corners, labels, boxes, guesses, scores in images:
            truth, own = corners[labels == label], np.flatnonzero(guesses == label)
            own = own[np.argsort(-scores[own], kind="stable")][:limit]
            n_reference += len(truth)
            ranked.append((scores[own], box_iou(boxes[own], truth, inclusive=inclusive)))
        all_scores = np.concatenate([scores for scores, _ in ranked])
        order = np.argsort(-all_scores, kind="stable")
        for column, threshold in enumerate(thresholds):
            hits = np.concatenate([hits_of(iou, threshold) for _, iou in ranked])[order]
            table[row, column] = average(*_precision_and_recall(hits, n_reference)) if len(hits) else 0.0
    return table


def coco_map(
    reference: Sequence[Boxes],
    prediction: Sequence[Boxes],
    *,
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    max_detections: int = 100,
) -> float | None:
    """Mean average precision by the rules of COCO (``pycocotools`` 2.0, bounding boxes, all areas, no
    crowds).

    Average precision is taken at 101 recalls for every class that the reference holds and every IoU
    threshold, then averaged. None when the reference holds no box.

    Args:
        reference: one :class:`Boxes` an image.
        prediction: as many, with scores.
        thresholds: IoU thresholds; 0.50, 0.55 … 0.95.
        max_detections: the best-scored detections of each class that count, per image.

    Raises:
        MedbenchError: ``metric.shape`` or ``metric.not_finite``.

    >>> truth = [Boxes(np.array([[0, 0, 10, 10]]), np.array([1]))]
    >>> guess = [Boxes(np.array([[0, 0, 10, 7]]), np.array([1]), np.array([0.9]))]
    >>> round(coco_map(truth, guess), 6)
    0.5
    """
    table = _average_precisions(
        _checked(reference, prediction),
        thresholds,
        hits_of=_coco_hits,
        average=_coco_average,
        limit=max_detections,
        inclusive=False,
    )
    return float(table.mean()) if table.size else None


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
        reference: one :class:`Boxes` an image.
        prediction: as many, with scores.
        threshold: least IoU of a match.
        interpolation: area under the envelope (from 2010 on) or eleven recalls (until 2009).
        inclusive: corners are pixel indices, as in the VOC development kit.

    Raises:
        MedbenchError: ``metric.shape`` or ``metric.not_finite``.

    >>> truth = [Boxes(np.array([[0, 0, 9, 9], [20, 20, 29, 29]]), np.array([1, 1]))]
    >>> guess = [Boxes(np.array([[0, 0, 9, 9]]), np.array([1]), np.array([0.9]))]
    >>> voc_map(truth, guess)
    0.5
    """
    table = _average_precisions(
        _checked(reference, prediction),
        (threshold,),
        hits_of=_voc_hits,
        average=_voc_area if interpolation == "area" else _voc_eleven,
        limit=None,
        inclusive=inclusive,
    )
    return float(table.mean()) if table.size else None
