"""Counts of elements that two binary masks share or do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medbench.metrics.arrays import Mask

_CHUNK = 1 << 16


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
