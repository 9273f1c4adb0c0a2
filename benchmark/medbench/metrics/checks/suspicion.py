"""Label maps that would score much higher mirrored, transposed, inverted or with exchanged labels.

A wrong order of axes, an inverted mask or a swapped pair of labels is a mistake of whoever saved the file,
not of the model. It is scored as it is, and said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.label_values import label_values
from medbench.core.result_table import FLAGS
from medbench.metrics.masks.joint_histogram import JointHistogram, compact, joint_histogram

MARGIN = 0.3
MOST_LABELS = 64

Labels = npt.NDArray[Any]


def flags(
    reference: Labels, prediction: Labels, histogram: JointHistogram | None = None
) -> Mapping[str, list[str]]:
    """The entry ``flags`` of a row's evidence; nothing where nothing is suspicious.

    Args:
        reference: label map of two or three axes.
        prediction: the same shape.
        histogram: their joint histogram, where it is known.
    """
    flags = suspicions(reference, prediction, histogram)
    return {FLAGS: flags} if flags else {}


def suspicions(reference: Labels, prediction: Labels, histogram: JointHistogram | None = None) -> list[str]:
    """Likely mistakes: changes that raise the mean Dice by more than 0.3, the largest gain first.

    >>> mask = np.zeros((8, 8), int)
    >>> mask[:, :3] = 1
    >>> suspicions(mask, mask[:, ::-1])[0]
    'mirrored along axis 1: mean Dice 0.00 would be 1.00'
    """
    one, other = (
        a.view(np.uint8) if a.dtype == np.bool_ else a for a in map(np.asarray, (reference, prediction))
    )
    if histogram is None and one.dtype == other.dtype == np.uint8 and one.shape == other.shape and one.ndim:
        histogram = joint_histogram(one, other)
    if _plainly_alike(one, other) if histogram is None else _counted_alike(histogram):
        return []
    pair = _Pair.of(one, other, histogram)
    if pair is None:
        return []
    overlap = pair.overlap(pair.places) if histogram is None else histogram.table
    own = pair.mean_dice(overlap)
    if own > 1 - MARGIN:
        return []
    gains = [(pair.mean_dice(pair.overlap(places)), what) for what, places in pair.moved()]
    gains += [(pair.inverted_dice(overlap), "inverted")] if len(pair.values) == 2 else []
    gains.append(pair.exchanged(overlap))
    large = sorted((gain for gain in gains if gain[0] - own > MARGIN), key=lambda gain: -gain[0])
    return [f"{what}: mean Dice {own:.2f} would be {dice:.2f}" for dice, what in large[:3]]


def _plainly_alike(one: Labels, other: Labels) -> bool:
    """Whether no more need be known: equal label maps, or masks of one label with a Dice above 0.7."""
    foreground = one != 0
    total = np.count_nonzero(foreground) + np.count_nonzero(other)
    share = 2 * np.count_nonzero(foreground & (one == other)) / total if total else 1.0
    if share in (0, 1):
        return share == 1
    top = one.max()
    masks = bool(top == other.max() and np.count_nonzero(one == top) == np.count_nonzero(foreground))
    return share > 1 - MARGIN and masks and np.count_nonzero(other == top) == np.count_nonzero(other)


def _counted_alike(histogram: JointHistogram) -> bool:
    """Whether the mean Dice of the reference's labels is above 0.7, or there are none."""
    own = histogram.labels != 0
    sizes, other_sizes = histogram.table.sum(axis=1)[own], histogram.table.sum(axis=0)[own]
    is_structure = sizes > 0
    dice = 2 * histogram.table.diagonal()[own] / np.maximum(sizes + other_sizes, 1)
    return not is_structure.any() or float(dice[is_structure].mean()) > 1 - MARGIN


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two label maps with indices for labels; only what the prediction marks is looked at.

    Attributes:
        values: the labels, 0 first.
        structures: indices of the reference's labels but 0.
        reference: indices, flat.
        shape: of both.
        places: flat positions that the prediction marks.
        labels: its indices there.
        sizes: how often each label occurs in the reference.
    """

    values: npt.NDArray[np.int64]
    structures: npt.NDArray[np.int64]
    reference: Labels
    shape: tuple[int, ...]
    places: npt.NDArray[np.int64]
    labels: Labels
    sizes: npt.NDArray[np.int64]

    @classmethod
    def of(cls, one: Labels, other: Labels, histogram: JointHistogram | None) -> _Pair | None:
        """The pair, or ``None`` where one of them is empty or no label map of two or three axes."""
        flat, flat_other = one.reshape(-1), other.reshape(-1)
        places = np.flatnonzero(flat_other != 0)
        if histogram is None:
            foreground = flat[flat != 0]
            values = np.union1d([0], np.union1d(label_values(foreground), label_values(flat_other[places])))
        else:
            values = histogram.labels
        if one.ndim not in (2, 3) or len(values) > MOST_LABELS or values[0] < 0:
            return None
        values = values.astype(np.int64)
        if histogram is None:
            sizes = np.bincount(compact(foreground, values), minlength=len(values))
        else:
            sizes = histogram.table.sum(axis=1)
        structures = np.flatnonzero(sizes[1:]) + 1
        if not len(structures) or not len(places):
            return None
        labels = compact(flat_other[places], values)
        return cls(values, structures, compact(flat, values), one.shape, places, labels, sizes)

    def overlap(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """How often each label of the reference meets each of the prediction, moved to these places."""
        count = len(self.values)
        joint = np.multiply(self.reference[places], count, dtype=np.uint16)
        joint += self.labels
        return np.bincount(joint, minlength=count**2).reshape(count, count)

    def dice(self, overlap: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Dice of every label of the reference with every label of the prediction but 0."""
        total = self.sizes[:, np.newaxis] + overlap.sum(axis=0)[np.newaxis]
        return np.asarray(2 * overlap / np.maximum(total, 1))

    def mean_dice(self, overlap: npt.NDArray[np.int64]) -> float:
        """Mean over the reference's labels."""
        return float(np.diag(self.dice(overlap))[self.structures].mean())

    def inverted_dice(self, overlap: npt.NDArray[np.int64]) -> float:
        """Dice of a mask whose inside and outside are exchanged."""
        own, both = int(self.sizes[1]), int(overlap[1, 1])
        return 2 * (own - both) / (own + self.reference.size - len(self.places))

    def moved(self) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
        """Flat positions of the prediction's marks mirrored or transposed."""
        axes = range(len(self.shape))
        steps = [math.prod(self.shape[axis + 1 :]) for axis in axes]
        rest, own = self.places, []
        for step in steps:
            own.append(rest // step)
            rest = rest - own[-1] * step
        ways = [steps[axis] * (self.shape[axis] - 1 - 2 * own[axis]) for axis in axes]
        for count in axes:
            for mirror_axes in combinations(axes, count + 1):
                what = f"mirrored along axis {' and '.join(map(str, mirror_axes))}"
                yield what, self.places + sum(ways[axis] for axis in mirror_axes)
        for one, other in combinations(axes, 2):
            if self.shape[one] == self.shape[other]:
                way = (own[other] - own[one]) * (steps[one] - steps[other])
                yield f"with axes {one} and {other} transposed", self.places + way

    def exchanged(self, overlap: npt.NDArray[np.int64]) -> tuple[float, str]:
        """The best assignment of the prediction's labels to those of the reference."""
        from scipy.optimize import linear_sum_assignment

        dice = self.dice(overlap)[self.structures, 1:]
        rows, columns = linear_sum_assignment(-dice)
        pairs = [
            (self.values[self.structures[row]], self.values[column + 1])
            for row, column in zip(rows, columns, strict=True)
        ]
        names = ", ".join(f"{theirs} for {ours}" for ours, theirs in pairs if ours != theirs)
        return float(dice[rows, columns].sum() / len(self.structures)), f"with labels exchanged ({names})"
