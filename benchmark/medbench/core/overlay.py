"""What a challenge shows of a case in a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class ObjectMark:
    """An object without its counterpart.

    Attributes:
        kind: ``missed``, of the reference, or ``false positive``, of the prediction.
        row: its centre, in pixels of the image.
        column: its centre.
        radius: half its longer side.
    """

    kind: Literal["missed", "false positive"]
    row: float
    column: float
    radius: float


@dataclass(frozen=True, slots=True)
class Illustration:
    """An image with the labels of reference and prediction on it.

    Attributes:
        image: ``(height, width, 3)``, 8-bit RGB.
        reference: labels ``(height, width)``, 0 outside.
        prediction: the same shape.
        kind: ``case``, the whole of it, small; ``overview``, the whole of something large; ``detail``, a part
            of it at full resolution.
        caption: what is seen, in words.
        marks: objects that lack a counterpart.
    """

    image: npt.NDArray[Any]
    reference: npt.NDArray[Any]
    prediction: npt.NDArray[Any]
    kind: Literal["case", "overview", "detail"] = "case"
    caption: str = ""
    marks: Sequence[ObjectMark] = ()
