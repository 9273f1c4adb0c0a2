"""Detected boxes matched to a reference by the rules of COCO, and figures over all images.

Source of the rules: ``pycocotools`` 2.0 (``COCOeval``, bounding boxes, all areas, no crowds). In an image the
detections of a class take, by falling score, the reference box still free with the largest overlap. In all
images together they are ranked by score, equal ones in the order of the images.

Every figure is a function of case weights ``(..., images)``, so that all resamples of a confidence interval
are one call: an image of weight 2 counts as two equal images. NaN stands for undefined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.sample import Boxes
from medbench.metrics.arrays import ratio

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
AnyFloats = npt.NDArray[np.floating[Any]]

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""IoU 0.50, 0.55 … 0.95, with the very numbers of ``COCOeval``."""
LOW_THRESHOLDS = tuple(np.linspace(0.4, 0.75, 8).tolist())
"""IoU 0.40, 0.45 … 0.75."""
THRESHOLDS = tuple(sorted({*COCO_THRESHOLDS, *LOW_THRESHOLDS}))
MOST_DETECTIONS = 100
"""Best-scored detections of each class that count in an image."""
RECALLS = np.linspace(0.0, 1.0, 101)
"""Recalls at which precision is read."""


def box_iou(first: AnyFloats, second: AnyFloats, *, inclusive: bool = False) -> Floats:
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


@dataclass(frozen=True, slots=True)
class Matches:
    """Detections of one class in one image, the best score first.

    Attributes:
        n_reference: boxes of the class in the reference.
        scores: ``(detections,)``.
        hits: ``(detections, thresholds)``: whether the detection takes a reference box.
    """

    n_reference: int
    scores: Floats
    hits: Flags

    def as_json(self) -> list[Any]:
        """JSON values: number of references, then score and hits of each detection, hits as bits."""
        bits = self.hits @ (1 << np.arange(self.hits.shape[1]))
        pairs = zip(self.scores.tolist(), bits.tolist(), strict=True)
        return [self.n_reference, [list(pair) for pair in pairs]]

    @classmethod
    def from_json(cls, value: Sequence[Any], n_thresholds: int = len(THRESHOLDS)) -> Matches:
        """Inverse of :meth:`as_json`."""
        n_reference, detections = value
        bits = np.array([hits for _, hits in detections], np.int64).reshape(-1, 1)
        hits = (bits >> np.arange(n_thresholds)) & 1
        return cls(n_reference, np.array([score for score, _ in detections], np.float64), hits.astype(bool))


def match_boxes(
    reference: Boxes,
    prediction: Boxes,
    thresholds: Sequence[float] = THRESHOLDS,
    most: int = MOST_DETECTIONS,
) -> dict[int, Matches]:
    """Matches of an image by class, for every class that its reference or its prediction holds.

    Args:
        reference: boxes of the image.
        prediction: detections in it.
        thresholds: least IoU of a match.
        most: best-scored detections of each class that count.
    """
    corners, boxes = (np.asarray(side.corners, np.float64).reshape(-1, 4) for side in (reference, prediction))
    scores = np.asarray(prediction.scores, np.float64)
    matches = {}
    for label in sorted({*reference.classes.tolist(), *prediction.classes.tolist()}):
        truth, own = corners[reference.classes == label], np.flatnonzero(prediction.classes == label)
        own = own[np.argsort(-scores[own], kind="stable")][:most]
        iou = box_iou(boxes[own], truth)
        hits = np.stack([_hits(iou, threshold) for threshold in thresholds], axis=1)
        matches[label] = Matches(len(truth), scores[own], hits)
    return matches


def _hits(iou: Floats, threshold: float) -> Flags:
    """Detections in order of score: each takes the best reference still free, the last of equal ones."""
    hits = np.zeros(len(iou), np.bool_)
    free = np.ones(iou.shape[1], np.bool_)
    enough = iou >= min(threshold, 1 - 1e-10)
    for number in np.flatnonzero(enough.any(axis=1)):
        candidates = np.flatnonzero(free & enough[number])
        if candidates.size:
            values = iou[number, candidates]
            free[candidates[len(values) - 1 - int(values[::-1].argmax())]] = False
            hits[number] = True
    return hits


@dataclass(frozen=True, slots=True)
class Ranking:
    """Detections of one class in all images, the best score first.

    Attributes:
        n_reference: reference boxes of each image, ``(images,)``.
        image: index of each detection's image, ``(detections,)``.
        place: rank of each detection within its image, from 0 on.
        hits: ``(detections, thresholds)``.
    """

    n_reference: Floats
    image: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    hits: Flags

    @classmethod
    def of(cls, images: Sequence[Mapping[int, Matches]], label: int, n_thresholds: int) -> Ranking:
        """The ranking of a class; images without it have no matches of it."""
        nothing = Matches(0, np.zeros(0), np.zeros((0, n_thresholds), np.bool_))
        matches = [image.get(label, nothing) for image in images]
        counts = [len(match.scores) for match in matches]
        order = np.argsort(-np.concatenate([match.scores for match in matches]), kind="stable")
        return cls(
            np.array([match.n_reference for match in matches], np.float64),
            np.repeat(np.arange(len(images)), counts)[order],
            np.concatenate([np.arange(count) for count in counts])[order],
            np.concatenate([match.hits for match in matches])[order],
        )

    def precision_and_recall(self, threshold: int, weights: Floats) -> tuple[Floats, Floats]:
        """Largest precision at each right detection or later, and recall there, ``(..., right ones)``.

        Args:
            threshold: index of the IoU threshold.
            weights: ``(..., images)``.
        """
        right = np.flatnonzero(self.hits[:, threshold])
        wrong = np.flatnonzero(~self.hits[:, threshold])
        following = np.searchsorted(right, wrong)
        counts = np.zeros((len(self.n_reference), len(right) + 1))
        np.add.at(counts, (self.image[wrong], following), 1)
        false = weights @ np.cumsum(counts, axis=1)[:, :-1]
        true = np.cumsum(weights[..., self.image[right]], axis=-1)
        precision = ratio(true, true + false, 0.0)
        envelope = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
        return envelope, ratio(true, (weights @ self.n_reference)[..., None], 0.0)

    def average_precision(self, threshold: int, weights: Floats) -> Floats:
        """Mean of the largest precision from each of 101 recalls on, ``(...)``; NaN without a reference."""
        precision, recall = self.precision_and_recall(threshold, weights)
        levels = np.searchsorted(RECALLS, recall, side="right")
        steps = np.diff(levels, axis=-1, prepend=0)
        value = (precision * steps).sum(axis=-1) / len(RECALLS)
        return np.where(weights @ self.n_reference > 0, value, np.nan)

    def recall(self, threshold: int, weights: Floats, most: int) -> Floats:
        """Share of reference boxes that the best detections of each image take, ``(...)``."""
        right = self.hits[:, threshold] & (self.place < most)
        by_image = np.bincount(self.image[right], minlength=len(self.n_reference))
        return ratio(weights @ by_image.astype(np.float64), weights @ self.n_reference)


@dataclass(frozen=True, slots=True)
class RankedBoxes:
    """Detections in all images, ranked by class.

    Attributes:
        classes: class -> its ranking, for every class that a reference holds.
        thresholds: IoU thresholds of the rankings.
        images: number of images.
        both: whether an image has a reference box and a detection, ``(images,)``.
    """

    classes: Mapping[int, Ranking]
    thresholds: tuple[float, ...]
    images: int
    both: Flags

    @classmethod
    def of(
        cls, images: Sequence[Mapping[int, Matches]], thresholds: Sequence[float] = THRESHOLDS
    ) -> RankedBoxes:
        """The rankings of matched images.

        Args:
            images: :func:`match_boxes` of each image.
            thresholds: those of the matches.
        """
        labels = sorted({label for image in images for label in image if image[label].n_reference})
        rankings = {label: Ranking.of(images, label, len(thresholds)) for label in labels}
        both = [
            any(match.n_reference for match in image.values())
            and any(len(match.scores) for match in image.values())
            for image in images
        ]
        return cls(MappingProxyType(rankings), tuple(thresholds), len(images), np.array(both, np.bool_))

    def mean_precision(
        self, thresholds: Sequence[float], weights: Floats, of: int | None = None, *, skip: bool = False
    ) -> Floats:
        """Mean of the average precision over classes and thresholds, ``(...)``; NaN without a reference.

        Args:
            thresholds: among those of the rankings.
            weights: ``(..., images)``.
            of: one class alone.
            skip: leave out images without a reference box or without a detection.
        """
        effective = weights * self.both if skip else weights
        return self._mean(
            [
                ranking.average_precision(self.thresholds.index(threshold), effective)
                for ranking in self._rankings(of)
                for threshold in thresholds
            ],
            weights,
        )

    def mean_recall(
        self, thresholds: Sequence[float], weights: Floats, most: int, of: int | None = None
    ) -> Floats:
        """Mean of the recall over classes and thresholds, ``(...)``; NaN without a reference.

        Args:
            thresholds: among those of the rankings.
            weights: ``(..., images)``.
            most: best-scored detections of each class that count in an image.
            of: one class alone.
        """
        return self._mean(
            [
                ranking.recall(self.thresholds.index(threshold), weights, most)
                for ranking in self._rankings(of)
                for threshold in thresholds
            ],
            weights,
        )

    def _rankings(self, of: int | None) -> Sequence[Ranking]:
        if of is None:
            return list(self.classes.values())
        return [self.classes[of]] if of in self.classes else []

    @staticmethod
    def _mean(values: Sequence[Floats], weights: Floats) -> Floats:
        if not values:
            return np.full(weights.shape[:-1], np.nan)
        table = np.stack(values)
        present = np.isfinite(table)
        return ratio(np.where(present, table, 0.0).sum(axis=0), present.sum(axis=0).astype(np.float64))


def image_precision(matches: Mapping[int, Matches]) -> float:
    """How well one image is detected, from 0 to 1 (ours).

    The mean average precision over IoU 0.50:0.95 of the image alone; where it has no reference box, 1 less
    the largest score.
    """
    if any(match.n_reference for match in matches.values()):
        return float(RankedBoxes.of([matches]).mean_precision(COCO_THRESHOLDS, np.ones(1)))
    scores = [float(match.scores[0]) for match in matches.values() if len(match.scores)]
    return 1.0 - min(1.0, max(0.0, max(scores, default=0.0)))
