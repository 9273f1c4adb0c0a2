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

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.metrics.arrays import Mask
from medbench.metrics.components import Labels, components, overlap_table
from medbench.metrics.masks import MaskPair

Rule = Literal["clean", "contour", "official"]
_BAND_ELEMENTS = 1 << 23
_CONTOUR_MARGIN = 10


@dataclass(frozen=True, slots=True)
class Detection:
    """Objects found and missed.

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


def detect(reference: Mask, prediction: Mask, *, threshold: float = 0.5, rule: Rule = "clean") -> Detection:
    """Compare the objects of two masks.

    Args:
        reference: boolean mask; 2-D, or any number of axes for the clean rule.
        prediction: the same shape.
        threshold: least IoU of a match.
        rule: ``"clean"``, ``"contour"`` or ``"official"``.

    Raises:
        MedbenchError: ``metric.shape`` for a contour rule on an array that is not 2-D.

    >>> a = np.zeros((30, 30), bool); a[3:9, 3:9] = True; a[15:21, 15:21] = True
    >>> b = np.zeros((30, 30), bool); b[3:9, 4:10] = True
    >>> found = detect(a, b)
    >>> found.n_true_positive, found.n_false_negative, round(found.f1, 4)
    (1, 1, 0.6667)
    """
    if rule == "clean":
        return _by_components(reference, prediction, threshold)
    if reference.ndim != 2:
        raise MedbenchError("metric.shape", f"The {rule} rule of KPIs is defined on 2-D masks only.")
    return _by_contours(reference, prediction, threshold, moving=rule == "official")


def _by_components(reference: Mask, prediction: Mask, threshold: float) -> Detection:
    if reference.ndim == 2:
        sizes, other_sizes, table = _overlaps_in_bands(reference, prediction)
    else:
        own, n_own = components(reference)
        other, n_other = components(prediction)
        table = overlap_table(own, other, n_other)
        sizes = dict(enumerate(np.bincount(own.ravel(), minlength=n_own + 1)[1:].tolist(), 1))
        other_sizes = dict(enumerate(np.bincount(other.ravel(), minlength=n_other + 1)[1:].tolist(), 1))
    right: set[int] = set()
    found: set[int] = set()
    for (first, second), both in table.items():
        if both >= threshold * (sizes[first] + other_sizes[second] - both):
            found.add(first)
            right.add(second)
    n_reference, n_prediction = len(sizes), len(other_sizes)
    return Detection(
        len(right), n_prediction - len(right), n_reference - len(found), n_reference, n_prediction
    )


class _Joined:
    """Numbers that turn out to be the same object."""

    def __init__(self) -> None:
        self.parent: list[int] = [0]

    def more(self, count: int) -> int:
        first = len(self.parent)
        self.parent.extend(range(first, first + count))
        return first

    def root(self, number: int) -> int:
        while self.parent[number] != number:
            self.parent[number] = self.parent[self.parent[number]]
            number = self.parent[number]
        return number

    def join(self, first: int, second: int) -> None:
        a, b = self.root(first), self.root(second)
        if a != b:
            self.parent[max(a, b)] = min(a, b)


class _Side:
    """Objects of one mask, met band by band."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        self.numbers = _Joined()
        self.sizes: list[int] = [0]
        self.last_row: npt.NDArray[np.int64] | None = None

    def band(self, rows: slice) -> tuple[Labels, int]:
        """Labels of the band (its own numbers) and what to add to them."""
        import cv2

        part = np.ascontiguousarray(self.mask[rows])
        count, labels = cv2.connectedComponents(part.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
        first = self.numbers.more(count - 1)
        sizes = np.zeros(count, np.int64)
        for begin in range(0, len(labels), 256):
            piece = labels[begin : begin + 256]
            sizes += np.bincount(piece[part[begin : begin + 256]], minlength=count)
        self.sizes.extend(sizes[1:].tolist())
        top = np.where(labels[0] > 0, labels[0].astype(np.int64) + (first - 1), 0)
        if self.last_row is not None:
            self._sew(self.last_row, top)
        self.last_row = np.where(labels[-1] > 0, labels[-1].astype(np.int64) + (first - 1), 0)
        return np.asarray(labels, np.int32), first - 1

    def _sew(self, above: npt.NDArray[np.int64], below: npt.NDArray[np.int64]) -> None:
        padded = np.pad(above, 1)
        for shift in range(3):
            touching = padded[shift : shift + len(below)]
            both = (touching > 0) & (below > 0)
            for a, b in set(zip(touching[both].tolist(), below[both].tolist(), strict=True)):
                self.numbers.join(a, b)

    def totals(self) -> dict[int, int]:
        """Size of each whole object."""
        found: dict[int, int] = {}
        for number in range(1, len(self.sizes)):
            root = self.numbers.root(number)
            found[root] = found.get(root, 0) + self.sizes[number]
        return found


def _overlaps_in_bands(
    reference: Mask, prediction: Mask
) -> tuple[dict[int, int], dict[int, int], dict[tuple[int, int], int]]:
    """Sizes of the objects of both masks and of their overlaps, with memory for one band of rows."""
    sides = _Side(reference), _Side(prediction)
    parts: dict[tuple[int, int], int] = {}
    for rows in _bands(reference.shape):
        bands = [side.band(rows) for side in sides]
        (own, add_own), (other, add_other) = bands
        for (first, second), both in _band_overlaps(own, other).items():
            key = first + add_own, second + add_other
            parts[key] = parts.get(key, 0) + both
    table: dict[tuple[int, int], int] = {}
    for (first, second), both in parts.items():
        key = sides[0].numbers.root(first), sides[1].numbers.root(second)
        table[key] = table.get(key, 0) + both
    return sides[0].totals(), sides[1].totals(), table


def _bands(shape: tuple[int, ...]) -> Iterator[slice]:
    step = max(1, _BAND_ELEMENTS // max(1, shape[1]))
    for begin in range(0, shape[0] if shape[1] else 0, step):
        yield slice(begin, min(begin + step, shape[0]))


def _band_overlaps(own: Labels, other: Labels) -> dict[tuple[int, int], int]:
    found: dict[tuple[int, int], int] = {}
    width = int(other.max(initial=0)) + 1
    for begin in range(0, len(own), 256):
        a, b = own[begin : begin + 256], other[begin : begin + 256]
        both = (a > 0) & (b > 0)
        values, counts = np.unique(a[both].astype(np.int64) * width + b[both], return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            key = value // width, value % width
            found[key] = found.get(key, 0) + count
    return found


def _hole_contours(mask: Mask) -> list[npt.NDArray[np.int32]]:
    """The organisers' objects: all contours of the inverted mask but the first, each ``(n, 2)`` as (x, y)."""
    import cv2

    inverted = np.where(mask, 0, 255).astype(np.uint8)
    contours, _ = cv2.findContours(inverted, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    return [contour.reshape(-1, 2).astype(np.int32) for contour in contours[1:]]


class _Contours:
    """Contours with their boxes, which move along when the official rule shifts a contour."""

    def __init__(self, mask: Mask) -> None:
        self.points = _hole_contours(mask)
        self.low = np.array([p.min(axis=0) for p in self.points]).reshape(-1, 2)
        self.high = np.array([p.max(axis=0) for p in self.points]).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.points)

    def shift(self, number: int, by: npt.NDArray[Any]) -> None:
        self.points[number] -= by
        self.low[number] -= by
        self.high[number] -= by

    def next_near(self, low: Any, high: Any, start: int) -> int | None:
        """The first contour from ``start`` on whose box meets the given one."""
        near = (self.low[start:] <= high).all(axis=1) & (self.high[start:] >= low).all(axis=1)
        hits = np.flatnonzero(near)
        return start + int(hits[0]) if hits.size else None


def _contour_iou(first: _Contours, i: int, second: _Contours, j: int, *, moving: bool) -> float:
    """IoU of two filled contours in their common frame, to which the moving rule shifts both for good."""
    import cv2

    origin = np.minimum(first.low[i], second.low[j]) - _CONTOUR_MARGIN
    end = np.maximum(first.high[i], second.high[j]) + _CONTOUR_MARGIN
    width, height = (end - origin).tolist()
    drawn = []
    for side, number in ((first, i), (second, j)):
        canvas = np.zeros((height, width), np.uint8)
        cv2.drawContours(canvas, [side.points[number] - origin.astype(np.int32)], -1, 1, -1)
        drawn.append(canvas)
    if moving:
        first.shift(i, origin)
        second.shift(j, origin)
    both = cv2.countNonZero(cv2.bitwise_and(*drawn))
    either = cv2.countNonZero(cv2.bitwise_or(*drawn))
    return both / either if either else 0.0


def _any_match(own: _Contours, number: int, others: _Contours, threshold: float, *, moving: bool) -> bool:
    """Whether the contour matches one of the others, compared in their order up to the first match."""
    j = others.next_near(own.low[number], own.high[number], 0)
    while j is not None:
        if _contour_iou(own, number, others, j, moving=moving) >= threshold:
            return True
        j = others.next_near(own.low[number], own.high[number], j + 1)
    return False


def _by_contours(reference: Mask, prediction: Mask, threshold: float, *, moving: bool) -> Detection:
    truth, guess = _Contours(reference), _Contours(prediction)
    right = sum(_any_match(guess, i, truth, threshold, moving=moving) for i in range(len(guess)))
    missed = sum(not _any_match(truth, j, guess, threshold, moving=moving) for j in range(len(truth)))
    return Detection(right, len(guess) - right, missed, len(truth), len(guess))


def instance_f1(pair: MaskPair, *, threshold: float, rule: Rule) -> float | None:
    """F1 of objects under a rule; None when neither mask has an object."""
    found: Detection = pair.once(
        ("detect", threshold, rule),
        lambda: detect(pair.reference, pair.prediction, threshold=threshold, rule=rule),
    )
    return found.f1
