"""Voxel counts and everything that follows from them.

One pass over a pair of label maps gives the joint histogram; from it come the counts of every label and of
every region (union of labels), so ten labels and three regions cost no more than one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.metrics.arrays import Array, Label, Mask, bounding_box, union_box

_CHUNK = 1 << 16
_MAX_LABELS = 1 << 12


@dataclass(frozen=True, slots=True)
class Overlap:
    """Counts of one binary comparison.

    Attributes:
        tp: elements in both masks.
        fp: in the prediction only.
        fn: in the reference only.
        tn: in neither.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def n_reference(self) -> int:
        """Elements of the reference."""
        return self.tp + self.fn

    @property
    def n_prediction(self) -> int:
        """Elements of the prediction."""
        return self.tp + self.fp

    @property
    def size(self) -> int:
        """All elements."""
        return self.tp + self.fp + self.fn + self.tn


def overlap_of_masks(reference: Mask, prediction: Mask) -> Overlap:
    """Counts of two boolean arrays of one shape.

    >>> overlap_of_masks(np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool))
    Overlap(tp=1, fp=1, fn=1, tn=1)
    """
    size = reference.size
    if reference.ndim and reference.shape[0] and size > _CHUNK:
        rows = max(1, _CHUNK * 8 // (size // reference.shape[0] or 1))
        both = sum(
            int(np.count_nonzero(reference[begin : begin + rows] & prediction[begin : begin + rows]))
            for begin in range(0, reference.shape[0], rows)
        )
    else:
        both = int(np.count_nonzero(reference & prediction))
    n_reference, n_prediction = int(np.count_nonzero(reference)), int(np.count_nonzero(prediction))
    return Overlap(both, n_prediction - both, n_reference - both, size - n_reference - n_prediction + both)


@dataclass(frozen=True, slots=True)
class JointHistogram:
    """How often each label of the reference meets each label of the prediction.

    Attributes:
        labels: the labels that occur in either map, sorted; 0 is always among them.
        table: counts, rows are reference labels, columns predicted ones.
        spans: per label, first and last-plus-one index along the first axis where it occurs in either map.
    """

    labels: npt.NDArray[np.int64]
    table: npt.NDArray[np.int64]
    spans: npt.NDArray[np.int64]

    def span(self, label: Label) -> slice:
        """Along the first axis, where any of the labels occurs; an empty slice when none does."""
        wanted = sorted(label) if isinstance(label, Collection) else [label]
        rows = self.spans[np.isin(self.labels, wanted)]
        return slice(int(rows[:, 0].min()), int(rows[:, 1].max())) if len(rows) else slice(0, 0)

    def overlap(self, label: Label) -> Overlap:
        """Counts of one label, or of a region given as several labels."""
        wanted = sorted(label) if isinstance(label, Collection) else [label]
        inside = np.isin(self.labels, wanted)
        tp = int(self.table[np.ix_(inside, inside)].sum())
        n_reference, n_prediction = int(self.table[inside].sum()), int(self.table[:, inside].sum())
        size = int(self.table.sum())
        return Overlap(tp, n_prediction - tp, n_reference - tp, size - n_reference - n_prediction + tp)


def whole_numbers(array: Array, role: str) -> Array:
    """A label map as integers in native byte order; booleans as bytes.

    Raises:
        MedbenchError: ``metric.labels`` when it holds fractions, NaN or infinity.
    """
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if array.dtype.kind in "ui":
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind != "f":
        raise MedbenchError("metric.labels", f"The {role} has the type {array.dtype}, not a number.")
    with np.errstate(invalid="ignore"):
        rounded = array.astype(np.int32)
    if not np.array_equal(rounded, array):
        raise MedbenchError(
            "metric.labels",
            f"The {role} holds fractions, NaN or infinity: it is not a label map.",
            "Threshold probabilities or take their argmax first.",
        )
    return rounded


def foreground_box(reference: Array, prediction: Array) -> tuple[slice, ...] | None:
    """Slices around all that is not 0 in either label map; None when everything is."""
    boxes = [
        bounding_box(array.view(np.bool_) if array.dtype == np.uint8 else array != 0)
        for array in (reference, prediction)
    ]
    if boxes[0] is None or boxes[1] is None:
        return boxes[0] or boxes[1]
    return union_box(boxes[0], boxes[1])


def compact(array: Array, labels: npt.NDArray[np.int64]) -> Array:
    """The position of each element's label in ``labels``, as small integers."""
    small = np.uint8 if len(labels) <= 256 else np.uint16
    if array.dtype == np.uint8 and labels[-1] == len(labels) - 1:
        return array
    low, high = int(labels[0]), int(labels[-1])
    if high - low < 1 << 20:
        table = np.zeros(high - low + 1, small)
        table[labels - low] = np.arange(len(labels))
        codes = array.astype(np.int64) - low if low else array
        return np.asarray(table[codes])
    return np.asarray(np.searchsorted(labels, array).astype(small))


def labels_of(*arrays: Array) -> npt.NDArray[np.int64]:
    """Labels that occur in any of the arrays, sorted, with 0.

    Raises:
        MedbenchError: ``metric.labels`` for more than 4,096 different ones.
    """
    found: set[int] = {0}
    for array in arrays:
        if array.size == 0:
            continue
        if array.dtype == np.uint8:
            present = np.zeros(256, np.bool_)
            flat = array.reshape(-1) if array.flags.c_contiguous else array.ravel()
            for begin in range(0, flat.size, 1 << 20):
                present[flat[begin : begin + (1 << 20)]] = True
            found.update(np.flatnonzero(present).tolist())
        else:
            found.update(np.unique(array).tolist())
    if len(found) > _MAX_LABELS:
        raise MedbenchError(
            "metric.labels",
            f"The label maps hold {len(found)} different values.",
            "This looks like an image or like instance numbers; a label map has a few classes.",
        )
    return np.array(sorted(found), np.int64)


def joint_histogram(reference: Array, prediction: Array) -> JointHistogram:
    """Counts of every pair of labels, in chunks: no copy of the volumes is made.

    Args:
        reference: whole numbers (see :func:`whole_numbers`).
        prediction: the same shape.

    >>> joint_histogram(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])).table
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 1, 1]])
    """
    box = foreground_box(reference, prediction)
    if box is None:
        everywhere = np.array([[0, len(reference)]])
        return JointHistogram(np.zeros(1, np.int64), np.array([[reference.size]], np.int64), everywhere)
    first, second = reference[box], prediction[box]
    labels = _few_labels(first, second)
    if labels is None:
        labels = labels_of(first, second)
    n = len(labels)
    counts = np.zeros(n * n, np.int64)
    code_type = np.uint8 if n * n <= 256 else np.uint32
    spans = np.tile([len(reference), 0], (n, 1))
    for rows, a, b in _chunks(first, second):
        code = np.multiply(compact(a, labels), n, dtype=code_type, casting="unsafe")
        np.add(code, compact(b, labels), out=code, casting="unsafe")
        found = np.bincount(code, minlength=n * n)
        counts += found
        here = found.reshape(n, n).any(axis=0) | found.reshape(n, n).any(axis=1)
        spans[here, 0] = np.minimum(spans[here, 0], box[0].start + rows.start)
        spans[here, 1] = np.maximum(spans[here, 1], box[0].start + rows.stop)
    table = counts.reshape(n, n)
    zero = int(np.searchsorted(labels, 0))
    table[zero, zero] += reference.size - first.size
    present = (table.sum(axis=0) + table.sum(axis=1)) > 0
    present[zero] = True
    return JointHistogram(labels[present], table[np.ix_(present, present)], spans[present])


def _few_labels(first: Array, second: Array) -> npt.NDArray[np.int64] | None:
    """0 … the largest label, when that is below 16: looking for the ones that occur would cost more."""
    if first.dtype != np.uint8 or second.dtype != np.uint8:
        return None
    largest = max(int(first.max()), int(second.max()))
    return np.arange(largest + 1) if largest < 16 else None


def _chunks(first: Array, second: Array) -> Iterator[tuple[slice, Array, Array]]:
    """Rows along the first axis, and the flat pieces of both arrays there."""
    step = max(1, _CHUNK // max(1, first[0].size))
    for begin in range(0, len(first), step):
        rows = slice(begin, min(begin + step, len(first)))
        yield rows, first[rows].ravel(), second[rows].ravel()
