"""A pair of label maps, counted once for all that looks at their labels."""

from __future__ import annotations

from medbench.metrics.arguments import Array, Label
from medbench.metrics.arrays import Mask, Spacing, as_mask, some_element, whole_numbers
from medbench.metrics.masks.joint_histogram import joint_histogram
from medbench.metrics.masks.pair import MaskPair


class LabelMaps:
    """Two label maps, read along the axis that lies closest in memory, and where their labels are.

    Args:
        reference: whole numbers of any type.
        prediction: the same shape.

    Raises:
        MedbenchError: ``metric.labels`` for more than 4,096 different labels, and for fractions.
    """

    def __init__(self, reference: Array, prediction: Array) -> None:
        reference, prediction = whole_numbers(reference, "reference"), whole_numbers(prediction, "prediction")
        column_major = reference.ndim > 2 and reference.flags.f_contiguous and prediction.flags.f_contiguous
        self.turned = column_major and not reference.flags.c_contiguous
        self.reference, self.prediction = (a.T if self.turned else a for a in (reference, prediction))
        self.histogram = joint_histogram(self.reference, self.prediction)

    def pair(self, label: Label, spacing: Spacing | None, workers: int) -> MaskPair:
        """The masks of a region, in the order of the axes that the caller knows."""
        shape = self.reference.shape
        box = self.histogram.box(label) or some_element(shape)

        def read() -> tuple[Mask, Mask]:
            first = as_mask(self.reference[box], label, "reference")
            second = as_mask(self.prediction[box], label, "prediction")
            return (first.T, second.T) if self.turned else (first, second)

        overlap, whole = self.histogram.overlap(label), shape[::-1] if self.turned else shape
        place = box[::-1] if self.turned else box
        return MaskPair.of_box(read, place, whole, spacing, overlap, workers=workers)
