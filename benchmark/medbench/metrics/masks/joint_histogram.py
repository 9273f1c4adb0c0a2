"""Joint histogram of a pair of label maps: counts of every pair of labels, and each label's bounding box.

One pass over a pair of label maps gives the counts and the boxes of every label and of every region (union
of labels), so ten labels and three regions cost no more than one. Label maps are long runs of one value: the
pass looks for the places where either map changes along the last axis, and counts runs, not elements.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medbench.metrics.arguments import Array, Label
from medbench.metrics.arrays import Box, bounding_box, labels_of, union_box
from medbench.metrics.masks.overlap import Overlap

Counts = npt.NDArray[np.int64]

_CHUNK = 1 << 18
_SMALL = 1 << 17
_FEW = 16
_ELEMENTS_PER_RUN = 6


@dataclass(frozen=True, slots=True)
class JointHistogram:
    """Counts and bounding boxes of the labels of two maps of one shape.

    Attributes:
        labels: the labels that occur in either map, sorted; 0 is always among them.
        table: counts, rows are reference labels, columns predicted ones.
        low: per label and axis, an index that no element of either map lies before.
        high: per label and axis, an index that all elements lie before; of 0, the shape.
        size: elements of each map.
    """

    labels: Counts
    table: Counts
    low: Counts
    high: Counts
    size: int

    def box(self, label: Label) -> Box | None:
        """Slices around all elements with one of the labels, in either map; None when there are none."""
        rows = self._rows(label)
        if not len(rows):
            return None
        low, high = self.low[rows].min(axis=0), self.high[rows].max(axis=0)
        return tuple(map(slice, low.tolist(), high.tolist()))

    def overlap(self, label: Label) -> Overlap:
        """Counts of one label, or of a region given as several labels."""
        rows = self._rows(label)
        own = self.table[rows]
        tp, n_reference = int(own[:, rows].sum()), int(own.sum())
        n_prediction = int(self.table[:, rows].sum())
        return Overlap(tp, n_prediction - tp, n_reference - tp, self.size - n_reference - n_prediction + tp)

    def _rows(self, label: Label) -> npt.NDArray[np.intp]:
        if isinstance(label, Collection):
            return np.flatnonzero(np.isin(self.labels, sorted(label)))
        return np.flatnonzero(self.labels == label)


def joint_histogram(reference: Array, prediction: Array) -> JointHistogram:
    """Counts of every pair of labels, in chunks: no copy of the volumes is made.

    Args:
        reference: whole numbers (see :func:`medbench.metrics.arrays.whole_numbers`).
        prediction: the same shape.

    Raises:
        MedbenchError: ``metric.labels`` for more than 4,096 different labels.

    >>> reference, prediction = np.repeat([0, 1, 2, 2], 10), np.repeat([0, 1, 1, 2], 10)
    >>> histogram = joint_histogram(reference, prediction)
    >>> histogram.table
    array([[10,  0,  0],
           [ 0, 10,  0],
           [ 0, 10, 10]])
    >>> histogram.box(2), histogram.overlap(2)
    ((slice(20, 40, None),), Overlap(tp=10, fp=0, fn=10, tn=20))
    """
    crop = _foreground_box(reference, prediction)
    labels = np.zeros(1, np.int64) if crop is None else _candidates(reference[crop], prediction[crop])
    zero, n = int(np.searchsorted(labels, 0)), len(labels)
    table = np.zeros((n, n), np.int64)
    low = np.tile(np.array(reference.shape, np.int64), (n, 1))
    high = np.zeros((n, reference.ndim), np.int64)
    result = JointHistogram(labels, table, low, high, reference.size)
    for place, first, second in () if crop is None else _chunks(reference, prediction, crop):
        _count(place, first, second, labels, result)
    table[zero, zero] += reference.size - table.sum()
    low[zero], high[zero] = 0, reference.shape
    present = (table.sum(axis=0) + table.sum(axis=1)) > 0
    present[zero] = True
    if present.all():
        return result
    table = table[np.ix_(present, present)]
    return JointHistogram(labels[present], table, low[present], high[present], reference.size)


def _foreground_box(reference: Array, prediction: Array) -> Box | None:
    """Slices around all that is not 0 in either map, or around small maps; None when everything is 0."""
    if 0 < reference.size <= _SMALL:
        return tuple(slice(0, side) for side in reference.shape)
    boxes = [
        bounding_box(array.view(np.bool_) if array.dtype == np.uint8 else array != 0)
        for array in (reference, prediction)
    ]
    if boxes[0] is None or boxes[1] is None:
        return boxes[0] or boxes[1]
    return union_box(boxes[0], boxes[1])


def _candidates(first: Array, second: Array) -> Counts:
    """Labels that may occur, sorted: 0 … the largest where looking for those that do would cost more."""
    largest = max(int(first.max()), int(second.max()))
    positive = all(array.dtype.kind == "u" or array.min() >= 0 for array in (first, second))
    if positive and (largest < _FEW or (largest < 256 and first.size > _CHUNK)):
        return np.arange(largest + 1)
    return labels_of(first, second)


def _chunks(reference: Array, prediction: Array, crop: Box) -> Iterator[tuple[Box, Array, Array]]:
    """Pieces of the crop along the first axis: where they lie, and both maps there."""
    begin, end = crop[0].start, crop[0].stop
    step = max(1, _CHUNK // max(1, reference[crop][0].size))
    for row in range(begin, end, step):
        place = (slice(row, min(row + step, end)), *crop[1:])
        yield place, reference[place], prediction[place]


def _count(place: Box, first: Array, second: Array, labels: Counts, result: JointHistogram) -> None:
    """Add one chunk's counts to the result, and widen the boxes of the labels that occur in it."""
    shape, n = first.shape, len(labels)
    a, b = first.ravel(), second.ravel()
    changes = a[1:] != a[:-1]
    changes |= b[1:] != b[:-1]
    starts = np.flatnonzero(changes)
    if len(starts) * _ELEMENTS_PER_RUN > a.size:
        code = np.multiply(
            compact(a, labels), n, dtype=np.uint16 if n <= 256 else np.uint32, casting="unsafe"
        )
        np.add(code, compact(b, labels), out=code, casting="unsafe")
        counts = np.bincount(code, minlength=n * n).reshape(n, n)
        result.table[...] += counts
        here = counts.any(axis=0) | counts.any(axis=1)
        corners = np.array([(part.start, part.stop) for part in place])
        result.low[here] = np.minimum(result.low[here], corners[:, 0])
        result.high[here] = np.maximum(result.high[here], corners[:, 1])
        return
    starts = np.concatenate(([0], starts + 1))
    ends = np.append(starts[1:], a.size)
    rows, columns = (compact(array[starts], labels).astype(np.intp) for array in (a, b))
    counts = np.bincount(rows * n + columns, weights=ends - starts, minlength=n * n)
    result.table[...] += counts.astype(np.int64).reshape(n, n)
    zero = int(np.searchsorted(labels, 0))
    inside = (rows != zero) | (columns != zero)
    _widen(place, shape, starts[inside], ends[inside] - 1, (rows[inside], columns[inside]), result)


def _widen(
    place: Box,
    shape: tuple[int, ...],
    starts: npt.NDArray[np.intp],
    ends: npt.NDArray[np.intp],
    labels: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    result: JointHistogram,
) -> None:
    """Widen the boxes by runs of elements, from ``starts`` to ``ends``, that have the labels."""
    for axis in range(len(shape) - 1, -1, -1):
        lines, last_lines = starts // shape[axis], ends // shape[axis]
        first, last = starts - lines * shape[axis], ends - last_lines * shape[axis]
        spans_lines = lines != last_lines
        first[spans_lines], last[spans_lines] = 0, shape[axis] - 1
        for own in labels:
            np.minimum.at(result.low[:, axis], own, first + place[axis].start)
            np.maximum.at(result.high[:, axis], own, last + (place[axis].start + 1))
        starts, ends = lines, last_lines


def compact(array: Array, labels: Counts) -> Array:
    """The position of each element's label in ``labels``, as small integers."""
    small = np.uint8 if len(labels) <= 256 else np.uint16
    low, high = int(labels[0]), int(labels[-1])
    if low == 0 and high == len(labels) - 1:
        return array.astype(small, copy=False)
    if high - low < 1 << 20:
        table = np.zeros(high - low + 1, small)
        table[labels - low] = np.arange(len(labels))
        codes = array.astype(np.int64) - low if low else array
        return np.asarray(table[codes])
    return np.asarray(np.searchsorted(labels, array).astype(small))
