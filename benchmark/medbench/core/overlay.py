"""Images of a case for reports, with reference, prediction and marks of single objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.text import counted


@dataclass(frozen=True, slots=True)
class ObjectMark:
    """The mark of an object that only the reference or only the prediction has.

    Attributes:
        kind: ``missed`` for an object of the reference, ``false positive`` for one of the prediction.
        row: of the object's centre, in pixels of the image.
        column: of the object's centre, in pixels of the image.
        radius: half the object's longer side, in pixels of the image.
    """

    kind: Literal["missed", "false positive"]
    row: float
    column: float
    radius: float


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line of a measurement: a distance, a side of an angle, a fitted ellipse.

    Attributes:
        side: whose measurement it is.
        points: ``(row, column)`` in pixels of the image, two or more.
        dashed: whether the line is dashed, as measured distances and sides of angles are.
    """

    side: Literal["reference", "prediction"]
    points: Sequence[tuple[float, float]]
    dashed: bool = True


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A bounding box on an image.

    Attributes:
        corners: left, top, right and bottom in pixels of the image, right and bottom exclusive.
        text: beside the box: class, score.
    """

    corners: Sequence[float]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Illustration:
    """An image with the labels of reference and prediction on it.

    Attributes:
        image: ``(height, width, 3)``, 8-bit RGB.
        reference: labels ``(height, width)``, 0 outside.
        prediction: the same shape.
        kind: ``case`` for a whole image; ``overview`` for a whole slide, reduced; ``detail`` for a window of
            a slide at full resolution; ``slice`` for one of a volume's slices, in their order.
        caption: text below the image.
        marks: objects that only one side has.
        strokes: lines of measurements.
        worst: of a volume's slices, the one that is shown first.
        reference_boxes: bounding boxes of the reference.
        prediction_boxes: bounding boxes of the prediction.
    """

    image: npt.NDArray[Any]
    reference: npt.NDArray[Any]
    prediction: npt.NDArray[Any]
    kind: Literal["case", "overview", "detail", "slice"] = "case"
    caption: str = ""
    marks: Sequence[ObjectMark] = ()
    strokes: Sequence[Stroke] = ()
    worst: bool = False
    reference_boxes: Sequence[DrawnBox] = ()
    prediction_boxes: Sequence[DrawnBox] = ()


SLICES = 9
"""Slices of a volume that are shown."""


def worst_slices(
    slices: npt.NDArray[Any], reference: npt.NDArray[Any], prediction: npt.NDArray[Any]
) -> list[Illustration]:
    """Slices of a volume around the one with most wrong voxels, that one marked.

    Where nothing is wrong, the slice with most voxels of structures stands in; so it does for a prediction of
    another size, which is not drawn.

    Args:
        slices: ``(z, height, width, 3)``, 8 bit.
        reference: label map ``(z, height, width)``.
        prediction: label map; its size is said in words where it is not the reference's.
    """
    other = ""
    if prediction.shape != reference.shape:
        sizes = ["×".join(map(str, labels.shape)) for labels in (prediction, reference)]
        other = f"the prediction is {sizes[0]} where the reference is {sizes[1]}: not drawn"
    same_size = np.zeros_like(reference) if other else prediction
    wrong = np.count_nonzero(reference != same_size, axis=(1, 2))
    worst = int((wrong if wrong.any() else np.count_nonzero(reference, axis=(1, 2))).argmax())
    first = max(0, min(worst - SLICES // 2, len(slices) - SLICES))
    return [
        Illustration(
            slices[z],
            reference[z],
            same_size[z],
            "slice",
            f"slice {z + 1} of {len(slices)}, {other or counted(int(wrong[z]), 'wrong pixel')}",
            worst=z == worst,
        )
        for z in range(first, min(len(slices), first + SLICES))
    ]
