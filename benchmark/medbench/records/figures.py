"""Images of a case as they stand in a page: the image itself, and outlines and errors as shapes above it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Challenge
from medbench.challenges.exchange import size_text
from medbench.core.case import Case
from medbench.core.guard import Failure, guarded
from medbench.core.overlay import DrawnBox, Illustration, ObjectMark, Stroke
from medbench.core.result_table import CaseRow
from medbench.records.shell import words

MARK_MARGIN_PX = 8
LARGEST_SIDE_PX = {"case": 384, "slice": 384, "overview": 1280, "detail": 640}
TOLERANCE_PX = {"case": 0.0, "slice": 0.0, "overview": 0.75, "detail": 0.75}
"""How far the outlines of large images may lie off their masks; they have many corners."""
_JPEG_QUALITY = {"case": 88, "slice": 88, "overview": 80, "detail": 80}
LARGEST_PNG_BYTES = 250_000
LETTERS_OF_A_SIDE = 24
"""Heights of a letter of a box's text along the longer side of an image."""
Mask = npt.NDArray[np.bool_]
Side = Literal["reference", "prediction"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of a figure.

    Attributes:
        source: ``data:`` address.
        overlay: SVG of outlines, errors, marks and measurements.
        label: what the slider says.
        worst: whether it is shown first.
        size: width and height of the image in pixels, so that a page has its room before it is decoded.
    """

    source: str
    overlay: str
    label: str
    worst: bool
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Figure:
    """A case's image, or the slices of its volume.

    Attributes:
        case: its id.
        kind: how much room it gets.
        caption: text below it.
        scores: of the case, where the caption says something else.
        frames: one, or the slices in their order.
        has_outlines: whether there are outlines.
        has_marks: whether single objects are marked.
        has_measures: whether measurements are drawn.
        wrong: whether wrong pixels are coloured.
        without_image: why there are no frames; empty where there are some.
    """

    case: str
    kind: str
    caption: str
    scores: str
    frames: tuple[Frame, ...]
    has_outlines: bool = False
    has_marks: bool = False
    has_measures: bool = False
    wrong: bool = False
    without_image: str = ""


def case_figures(
    challenge: Challenge,
    cases: Mapping[str, Case],
    rows: Sequence[CaseRow],
    predictions: Path,
    texts: Mapping[str, str],
) -> list[Figure]:
    """Figures of cases in the page's order; a case that cannot be drawn has its place, and says why.

    Args:
        challenge: reads images, references and predictions.
        cases: by id.
        rows: of the cases, in the page's order.
        predictions: folder of the predictions.
        texts: case -> its scores in words.

    Returns:
        One figure or more a case; none where the challenge draws no images.
    """
    return [
        figure
        for row in rows
        for figure in _figures(challenge, cases.get(row.case), predictions, row, texts.get(row.case, ""))
    ]


def _figures(
    challenge: Challenge, case: Case | None, predictions: Path, row: CaseRow, text: str
) -> list[Figure]:
    if case is None:
        return [_without_image(row.case, text, "its files are not among the data.")]
    if not row.predictions:
        return [_without_image(row.case, text, row.reason or "there is no prediction.")]
    path = predictions / next(iter(row.predictions))
    outcome = guarded(row.case, lambda: _drawn(challenge, case, path, text))
    if isinstance(outcome, Failure):
        return [_without_image(row.case, text, outcome.reason.replace(f"{predictions}{os.sep}", ""))]
    return outcome


def _without_image(case: str, text: str, reason: str) -> Figure:
    return Figure(case, "case", text, "", (), without_image=reason)


def _drawn(challenge: Challenge, case: Case, path: Path, text: str) -> list[Figure]:
    images = [_fitting(image) for image in challenge.exchange.illustrations(case, path)]
    slices = [image for image in images if image.kind == "slice"]
    groups = [[image] for image in images if image.kind != "slice"] + ([slices] if slices else [])
    return [_figure(case.id, group, text) for group in groups]


def _fitting(image: Illustration) -> Illustration:
    """The image without the labels of a side that has another size, and with that size in words."""
    size = image.image.shape[:2]
    sizes = {"reference": image.reference.shape, "prediction": image.prediction.shape}
    other = {side: labels for side, labels in sizes.items() if labels != size}
    if not other:
        return image
    notes = [
        f"The {side} is {size_text(labels)} where the image is {size_text(size)}: not drawn."
        for side, labels in other.items()
    ]
    empty = np.zeros(size, np.uint8)
    return replace(
        image,
        reference=empty if "reference" in other else image.reference,
        prediction=empty if "prediction" in other else image.prediction,
        reference_boxes=() if "reference" in other else image.reference_boxes,
        prediction_boxes=() if "prediction" in other else image.prediction_boxes,
        strokes=[stroke for stroke in image.strokes if stroke.side not in other],
        marks=(),
        caption=" ".join(filter(None, [image.caption, *notes])),
    )


def _figure(case: str, images: Sequence[Illustration], text: str) -> Figure:
    first, frames = images[0], tuple(map(_frame, images))
    caption = text if first.kind == "slice" else first.caption or text
    return Figure(
        case,
        "slices" if first.kind == "slice" else first.kind,
        caption,
        "" if caption == text or first.kind == "detail" else text,
        frames,
        any(map(_outlined, images)),
        any(image.marks for image in images),
        any(image.strokes for image in images),
        any('class="errors' in frame.overlay for frame in frames),
    )


def _outlined(image: Illustration) -> bool:
    shapes = image.reference_boxes or image.prediction_boxes or image.strokes
    return bool(np.any(image.reference) or np.any(image.prediction) or shapes)


def _frame(illustration: Illustration) -> Frame:
    from medbench.io.raster import resize_image

    image = np.ascontiguousarray(illustration.image, np.uint8)
    scale = min(1.0, LARGEST_SIDE_PX[illustration.kind] / max(image.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    small = resize_image(image, height, width) if scale < 1 else image
    return Frame(
        _data_url(small, illustration.kind),
        overlay(illustration, scale),
        illustration.caption,
        illustration.worst,
        (width, height),
    )


def _data_url(image: npt.NDArray[np.uint8], kind_of_image: str) -> str:
    """The image as a ``data:`` address: PNG for a whole image that is small then, else JPEG."""
    import cv2

    bgr = np.ascontiguousarray(image[:, :, ::-1])
    _, content = cv2.imencode(".png", bgr) if kind_of_image == "case" else (True, np.zeros(0, np.uint8))
    kind = "png"
    if not 0 < len(content) <= LARGEST_PNG_BYTES:
        _, content = cv2.imencode(".jpeg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY[kind_of_image]])
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content.tobytes()).decode()}"


def overlay(illustration: Illustration, scale: float = 1.0) -> str:
    """Outlines, wrong pixels, boxes, marks and measurements as SVG; empty where there are none.

    Args:
        illustration: labels, boxes, marks and strokes, in pixels of the image.
        scale: from the image to what is shown.
    """
    from medbench.io.raster import resize_labels

    height, width = (max(1, round(side * scale)) for side in illustration.reference.shape[:2])
    reference, prediction = (
        resize_labels(np.ascontiguousarray(labels, np.uint8), height, width)
        for labels in (illustration.reference, illustration.prediction)
    )
    tolerance = TOLERANCE_PX[illustration.kind]
    parts = [*_errors(reference, prediction, tolerance)]
    for labels, side in ((reference, "reference"), (prediction, "prediction")):
        shapes = "".join(_outline(labels == label, 1, tolerance) for label in np.unique(labels[labels > 0]))
        parts += [f'<path class="{side}" d="{shapes}"/>'] if shapes else []
    letter = max(height, width) / LETTERS_OF_A_SIDE
    for box in illustration.reference_boxes:
        parts += _box(box, "reference", scale, letter)
    for box in reversed(illustration.prediction_boxes):
        parts += _box(box, "prediction", scale, letter)
    parts += [shape for mark in illustration.marks for shape in _marks(mark, scale)]
    parts += [_stroke(stroke, scale) for stroke in illustration.strokes]
    if not parts:
        return ""
    return f'<svg class="over" viewBox="0 0 {width} {height}" aria-hidden="true">{"".join(parts)}</svg>'


def _errors(
    reference: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8], tolerance: float
) -> Iterator[str]:
    """Pixels of a structure that the prediction lacks, and ones that it has too many or calls otherwise."""
    misses = (reference > 0) & (prediction == 0)
    wrong = (prediction > 0) & (prediction != reference)
    for mask, kind in ((misses, "missed"), (wrong, "wrong")):
        if mask.any():
            shapes = _outline(mask, 2, tolerance)
            yield f'<g class="errors {kind}"><path fill-rule="evenodd" d="{shapes}"/></g>'


def _outline(mask: Mask, finer: int, tolerance: float) -> str:
    """The contours of a mask as a path.

    Args:
        mask: the region.
        finer: more than 1 keeps the area of regions one pixel wide.
        tolerance: pixels that the path may lie off the contours.
    """
    import cv2

    own = np.ascontiguousarray(mask, np.uint8)
    if finer > 1:
        own = np.repeat(np.repeat(own, finer, 0), finer, 1)
    contours, _ = cv2.findContours(own, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if tolerance:
        contours = [cv2.approxPolyDP(contour, tolerance * finer, closed=True) for contour in contours]
    return "".join(_path((contour.reshape(-1, 2) + 0.5) / finer) for contour in contours)


def _path(points: npt.NDArray[np.float64]) -> str:
    """A closed path in steps of a tenth of a pixel."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in np.round(points, 1)) + "z"


def _box(box: DrawnBox, side: Side, scale: float, letter: float) -> Iterator[str]:
    """A box, with the text of a reference above and that of a prediction below it."""
    left, top, right, bottom = (corner * scale for corner in box.corners)
    yield (
        f'<rect class="{side}" x="{left:.1f}" y="{top:.1f}" '
        f'width="{right - left:.1f}" height="{bottom - top:.1f}"/>'
    )
    if box.text:
        y = max(letter, top - letter / 3) if side == "reference" else bottom - letter / 3
        yield (
            f'<text class="{side}" x="{left + letter / 3:.1f}" y="{y:.1f}" '
            f'font-size="{letter:.1f}">{words(box.text)}</text>'
        )


def _marks(mark: ObjectMark, scale: float) -> Iterator[str]:
    row, column = mark.row * scale, mark.column * scale
    radius = mark.radius * scale + MARK_MARGIN_PX
    for look in ("halo", "ring" if mark.kind == "missed" else "square"):
        if mark.kind == "missed":
            yield f'<circle class="{look}" cx="{column:.1f}" cy="{row:.1f}" r="{radius:.1f}"/>'
        else:
            yield (
                f'<rect class="{look}" x="{column - radius:.1f}" y="{row - radius:.1f}" '
                f'width="{2 * radius:.1f}" height="{2 * radius:.1f}"/>'
            )


def _stroke(stroke: Stroke, scale: float) -> str:
    points = " ".join(
        f"{(column + 0.5) * scale:.1f},{(row + 0.5) * scale:.1f}" for row, column in stroke.points
    )
    look = f"geometry {stroke.side}" if stroke.dashed else stroke.side
    return f'<polyline class="{look}" points="{points}"/>'
