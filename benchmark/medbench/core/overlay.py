"""Images of a case for reports, with reference, prediction and marks of single objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt


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
            a slide at full resolution.
        caption: text below the image.
        marks: objects that only one side has.
        reference_boxes: bounding boxes of the reference.
        prediction_boxes: bounding boxes of the prediction.
    """

    image: npt.NDArray[Any]
    reference: npt.NDArray[Any]
    prediction: npt.NDArray[Any]
    kind: Literal["case", "overview", "detail"] = "case"
    caption: str = ""
    marks: Sequence[ObjectMark] = ()
    reference_boxes: Sequence[DrawnBox] = ()
    prediction_boxes: Sequence[DrawnBox] = ()
