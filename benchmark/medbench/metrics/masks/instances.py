"""Detection F1 of objects in a mask, and the rules of KPIs 2024.

Three rules for whole slides (hrlblab/KPIs2024@7d56473, ``unet_validation_slide.py``):

clean
    objects are 8-connected components; a predicted object is right when its IoU with some reference object
    reaches the threshold.
contour
    the organisers' objects: hole contours of the inverted mask, filled. Foreground is 4-connected,
    objects at the slide's border do not exist, a hole is one more object, and each object is a pixel
    larger all round.
official
    the same contours, shifted in place whenever two boxes overlap, as the organisers' program leaves
    them: later comparisons use wrong places, and the number depends on the order of the contours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.metrics.arguments import check_choice
from medbench.metrics.masks.banded import BandedObjects, MaskRows, bands
from medbench.metrics.masks.components import Labels, components, overlap_table
from medbench.metrics.masks.hole_contours import Box, Contour, hole_contours
from medbench.metrics.masks.pair import MaskPair

Rule = Literal["clean", "contour", "official"]
MATCHING_IOU = 0.5
"""Least IoU of objects that count as the same, in KPIs 2024."""
_CONTOUR_MARGIN = 10
_FEW_PAIRS = 1 << 18


@dataclass(frozen=True, slots=True)
class Detection:
    """Counts of detected and missed objects.

    Attributes:
        n_true_positive: predicted objects that match some reference object.
        n_false_positive: predicted objects that match none.
        n_false_negative: reference objects that no predicted object matches.
        n_reference: reference objects.
        n_prediction: predicted objects.
    """

    n_true_positive: int
    n_false_positive: int
    n_false_negative: int
    n_reference: int
    n_prediction: int

    @property
    def precision(self) -> float | None:
        """TP / (TP + FP)."""
        return self.n_true_positive / self.n_prediction if self.n_prediction else None

    @property
    def recall(self) -> float | None:
        """TP / (TP + FN); the rules are not one-to-one, so TP + FN need not be the reference's count."""
        total = self.n_true_positive + self.n_false_negative
        return self.n_true_positive / total if total else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean, 0 when either is 0 or undefined; None without any object."""
        if not (self.n_reference or self.n_prediction):
            return None
        precision, recall = self.precision or 0.0, self.recall or 0.0
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


class Traced:
    """A mask whose objects are looked for once, for all the rules that it is compared by.

    Args:
        mask: boolean mask, as :func:`detect` takes it.
    """

    def __init__(self, mask: MaskRows) -> None:
        self.mask = mask
        self.boxes: list[Box] | None = None

    @cached_property
    def contours(self) -> list[Contour]:
        """As the rules of contours have them; not to be written to."""
        return hole_contours(self.mask, self.boxes)


def detect(
    reference: MaskRows | Traced,
    prediction: MaskRows | Traced,
    *,
    threshold: float = MATCHING_IOU,
    rule: Rule = "clean",
) -> Detection:
    """Compare the objects of two masks.

    Args:
        reference: boolean mask; 2-D, or any number of axes for the clean rule. A large 2-D mask may be one
            that gives windows of itself, as :class:`medbench.metrics.masks.banded.PackedMask`; one that is
            compared by several rules is given as :class:`Traced`.
        prediction: the same shape.
        threshold: least IoU of a match.
        rule: ``"clean"``, ``"contour"`` or ``"official"``.

    Raises:
        MedbenchError: ``metric.option`` for another rule, ``metric.shape`` for a contour rule on an array
            that is not 2-D.

    >>> a = np.zeros((30, 30), bool); a[3:9, 3:9] = True; a[15:21, 15:21] = True
    >>> b = np.zeros((30, 30), bool); b[3:9, 4:10] = True
    >>> detection = detect(a, b)
    >>> detection.n_true_positive, detection.n_false_negative, round(detection.f1, 4)
    (1, 1, 0.6667)
    """
    check_choice(rule, "rule", get_args(Rule))
    own, other = _traced(reference), _traced(prediction)
    if rule == "clean":
        return _by_components(own, other, threshold)
    if own.mask.ndim != 2:
        raise MedbenchError("metric.shape", f"The {rule} rule of KPIs is defined on 2-D masks only.")
    return _by_contours(own, other, threshold, moving=rule == "official")


def _traced(mask: MaskRows | Traced) -> Traced:
    return mask if isinstance(mask, Traced) else Traced(mask)


@dataclass(frozen=True, slots=True)
class MatchedObject:
    """An 8-connected object of one mask, and how well some object of the other mask fits it.

    Attributes:
        box: first row and column, last (exclusive) row and column.
        size: pixels.
        iou: the largest IoU with an object of the other mask; 0 where there is none.
    """

    box: tuple[int, int, int, int]
    size: int
    iou: float


def match_objects(
    reference: MaskRows, prediction: MaskRows
) -> tuple[list[MatchedObject], list[MatchedObject]]:
    """The objects of two 2-D masks by the clean rule, from top to bottom.

    Args:
        reference: boolean mask, or one that gives windows of itself.
        prediction: the same shape.

    >>> a = np.zeros((30, 30), bool); a[3:9, 3:9] = True; a[15:21, 15:21] = True
    >>> b = np.zeros((30, 30), bool); b[3:9, 6:12] = True
    >>> [(matched.box, round(matched.iou, 4)) for matched in match_objects(a, b)[0]]
    [((3, 3, 9, 9), 0.3333), ((15, 15, 21, 21), 0.0)]
    """
    own, other, table = _overlaps_in_bands(reference, prediction)
    sizes = own.whole_sizes(), other.whole_sizes()
    best: tuple[dict[int, float], dict[int, float]] = {}, {}
    for (first, second), both in table.items():
        iou = both / (sizes[0][first] + sizes[1][second] - both)
        best[0][first] = max(iou, best[0].get(first, 0.0))
        best[1][second] = max(iou, best[1].get(second, 0.0))
    first_objects, second_objects = (
        sorted(
            (MatchedObject(box, sizes[of][root], best[of].get(root, 0.0)) for root, box in boxes.items()),
            key=lambda match: match.box,
        )
        for of, boxes in enumerate((own.whole_boxes(), other.whole_boxes()))
    )
    return first_objects, second_objects


def _by_components(reference: Traced, prediction: Traced, threshold: float) -> Detection:
    if reference.mask.ndim == 2:
        sides = _overlaps_in_bands(reference.mask, prediction.mask)
        sizes, other_sizes, table = sides[0].whole_sizes(), sides[1].whole_sizes(), sides[2]
        for side, objects in zip((reference, prediction), sides[:2], strict=True):
            side.boxes = list(objects.whole_boxes().values())
    else:
        own, n_own = components(reference.mask[:])
        other, n_other = components(prediction.mask[:])
        table = overlap_table(own, other, n_other)
        sizes = dict(enumerate(np.bincount(own.ravel(), minlength=n_own + 1)[1:].tolist(), 1))
        other_sizes = dict(enumerate(np.bincount(other.ravel(), minlength=n_other + 1)[1:].tolist(), 1))
    right: set[int] = set()
    hits: set[int] = set()
    for (first, second), both in table.items():
        if both >= threshold * (sizes[first] + other_sizes[second] - both):
            hits.add(first)
            right.add(second)
    n_reference, n_prediction = len(sizes), len(other_sizes)
    return Detection(
        len(right), n_prediction - len(right), n_reference - len(hits), n_reference, n_prediction
    )


def _overlaps_in_bands(
    reference: MaskRows, prediction: MaskRows
) -> tuple[BandedObjects, BandedObjects, dict[tuple[int, int], int]]:
    """The objects of both masks and the pixels they share by root, with memory for one band of rows."""
    sides = BandedObjects(), BandedObjects()
    parts: dict[tuple[int, int], int] = {}
    for rows in bands(reference.shape):
        masks = reference[rows], prediction[rows]
        (own, add_own), (other, add_other) = (side.add(mask) for side, mask in zip(sides, masks, strict=True))
        for (first, second), both in _band_overlaps(own, other, np.flatnonzero(masks[0] & masks[1])).items():
            key = first + add_own, second + add_other
            parts[key] = parts.get(key, 0) + both
    table: dict[tuple[int, int], int] = {}
    roots, other_roots = (side.roots().tolist() for side in sides)
    for (first, second), both in parts.items():
        key = roots[first], other_roots[second]
        table[key] = table.get(key, 0) + both
    return *sides, table


def _band_overlaps(own: Labels, other: Labels, both: npt.NDArray[np.intp]) -> dict[tuple[int, int], int]:
    """Pixels that each pair of labels shares, given the flat places that both masks mark."""
    first, second = own.reshape(-1)[both].astype(np.int64), other.reshape(-1)[both]
    width = int(second.max(initial=0)) + 1
    values, counts = _counted(first * width + second)
    return {divmod(value, width): count for value, count in zip(values, counts, strict=True)}


def _counted(values: npt.NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """The different values and how often each occurs; few enough of them are counted without sorting."""
    if values.max(initial=0) > max(_FEW_PAIRS, len(values)):
        present, counts = np.unique(values, return_counts=True)
        return present.tolist(), counts.tolist()
    table = np.bincount(values)
    there = np.flatnonzero(table)
    return there.tolist(), table[there].tolist()


class _Contours:
    """Contours with their boxes, which move along when the official rule shifts a contour."""

    def __init__(self, mask: MaskRows | Traced) -> None:
        import cv2

        self.points = [points.copy() for points in _traced(mask).contours]
        self.low = np.array([p.min(axis=0) for p in self.points]).reshape(-1, 2).T.copy()
        self.high = np.array([p.max(axis=0) for p in self.points]).reshape(-1, 2).T.copy()
        self.most_px = (self.high - self.low + 1).prod(axis=0)
        self.least_px = np.array([cv2.contourArea(p) for p in self.points])

    def __len__(self) -> int:
        return len(self.points)

    def shift(self, number: int, by: npt.NDArray[Any]) -> None:
        self.points[number] -= by
        self.low[:, number] -= by
        self.high[:, number] -= by

    def next_near(self, low: Any, high: Any, start: int) -> int | None:
        """The first contour from ``start`` on whose box meets the given one."""
        near = (self.low[0, start:] <= high[0]) & (self.high[0, start:] >= low[0])
        near &= self.low[1, start:] <= high[1]
        near &= self.high[1, start:] >= low[1]
        first = int(near.argmax()) if near.size else 0
        return start + first if near.size and near[first] else None


def _contours_match(
    first: _Contours, i: int, second: _Contours, j: int, threshold: float, *, moving: bool
) -> bool:
    """Whether the IoU of two filled contours reaches the threshold.

    They are drawn in their common frame, to which the moving rule shifts both for good; not where the box of
    one is too small a part of the other, as beside a contour around half of a slide.
    """
    import cv2

    origin = np.minimum(first.low[:, i], second.low[:, j]) - _CONTOUR_MARGIN
    end = np.maximum(first.high[:, i], second.high[:, j]) + _CONTOUR_MARGIN
    most = min(first.most_px[i], second.most_px[j])
    is_match = False
    if most >= threshold * max(first.least_px[i], second.least_px[j]):
        width, height = (end - origin).tolist()
        canvases = []
        for side, number in ((first, i), (second, j)):
            canvas = np.zeros((height, width), np.uint8)
            cv2.drawContours(canvas, [side.points[number] - origin.astype(np.int32)], -1, 1, -1)
            canvases.append(canvas)
        both, either = (cv2.countNonZero(join(*canvases)) for join in (cv2.bitwise_and, cv2.bitwise_or))
        is_match = (both / either if either else 0.0) >= threshold
    if moving:
        first.shift(i, origin)
        second.shift(j, origin)
    return is_match


def _any_match(own: _Contours, number: int, others: _Contours, threshold: float, *, moving: bool) -> bool:
    """Whether the contour matches one of the others, compared in their order up to the first match."""
    j = others.next_near(own.low[:, number], own.high[:, number], 0)
    while j is not None:
        if _contours_match(own, number, others, j, threshold, moving=moving):
            return True
        j = others.next_near(own.low[:, number], own.high[:, number], j + 1)
    return False


def _by_contours(reference: Traced, prediction: Traced, threshold: float, *, moving: bool) -> Detection:
    truth, guess = _Contours(reference), _Contours(prediction)
    right = sum(_any_match(guess, i, truth, threshold, moving=moving) for i in range(len(guess)))
    misses = sum(not _any_match(truth, j, guess, threshold, moving=moving) for j in range(len(truth)))
    return Detection(right, len(guess) - right, misses, len(truth), len(guess))


def instance_f1(pair: MaskPair, *, threshold: float, rule: Rule) -> float | None:
    """F1 of objects under a rule; None when neither mask has an object."""
    detection: Detection = pair.once(
        ("detect", threshold, rule),
        lambda: detect(pair.reference, pair.prediction, threshold=threshold, rule=rule),
    )
    return detection.f1
