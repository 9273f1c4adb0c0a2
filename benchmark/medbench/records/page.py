"""The report of a run: one HTML page of scores, failures, worst cases and provenance, readable offline."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.files import write_text
from medbench.core.guard import Failure, guarded
from medbench.core.overlay import DrawnBox, Illustration
from medbench.core.result_table import CaseRow, MetricSpec
from medbench.core.text import CONTENT_POLICY, printable
from medbench.records.charts import draw_chart
from medbench.records.schema import RunRecord
from medbench.records.tables import (
    RESULT_HEADINGS,
    SPREAD_HEADINGS,
    SUBGROUP_HEADINGS,
    heading,
    number,
    result_rows,
    result_tables,
    spread_rows,
    subgroup_tables,
)

WORST = 8
REFERENCE_RGB, PREDICTION_RGB = (230, 159, 0), (86, 180, 233)
MISSED_RGB, FALSE_POSITIVE_RGB, HALO_RGB = (213, 94, 0), (0, 0, 0), (255, 255, 255)
MARK_PX, MARK_MARGIN_PX = 3, 8
LARGEST_SIDE_PX = {"case": 384, "overview": 1600, "detail": 1024}


def write_report(
    path: Path,
    challenge: Challenge,
    cases: Sequence[Case],
    rows: Sequence[CaseRow],
    record: RunRecord,
    predictions: Path,
    *,
    sealed: bool = True,
    verdicts: Sequence[str] = (),
) -> None:
    """Write the report of a run as one HTML file without links to other files.

    Args:
        path: of the HTML file.
        challenge: reads images and references of the worst cases.
        cases: the cases of the rows; none where the data are not here, and the page then has no images.
        rows: scores of the cases.
        record: of the run.
        predictions: folder of prediction files.
        sealed: whether hashes show that record and rows were not edited.
        verdicts: columns in which the run was not shown to lie above the constant baseline, in words.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        finalize=seen,
    )
    columns = [metric for metric in challenge.metrics if not metric.pooled and metric.name in record.metrics]
    ordering = columns[0] if columns else None
    methods = {m.ci95_method for m in record.metrics.values() if m.ci95_low is not None}
    page = environment.get_template("report.html.j2").render(
        policy=CONTENT_POLICY,
        record=record,
        sealed=sealed,
        verdicts=verdicts,
        headings=RESULT_HEADINGS,
        tables=[
            (protocol, list(zip(result_rows(metrics), [m.convention for m in metrics], strict=True)))
            for protocol, metrics in result_tables(record).items()
        ],
        spread_headings=SPREAD_HEADINGS,
        spread=spread_rows(record.metrics.values()),
        subgroup_headings=SUBGROUP_HEADINGS,
        subgroups=subgroup_tables(record),
        methods="; ".join(sorted(methods)) or "too few groups",
        failures=[row for row in rows if row.status != "ok"],
        charts=[draw_chart(chart) for chart in challenge.scorer.charts(rows)],
        worst_by=ordering.title if ordering else "",
        figures=_figures(challenge, {case.id: case for case in cases}, rows, ordering, columns, predictions)
        if ordering
        else [],
        case_headings=[heading(metric) for metric in columns],
        case_rows=[
            (row.case, [_cell(row, metric) for metric in columns])
            for row in rows
            if any(metric.name in row.scores for metric in columns)
        ],
    )
    write_text(path, page)


def seen(value: Any) -> Any:
    """A value as a page shows it: characters that are not seen are written out, our own markup stays."""
    if isinstance(value, str) and not hasattr(value, "__html__") and not value.startswith("data:image/"):
        return printable(value, None)
    return value


def _cell(row: CaseRow, metric: MetricSpec) -> str:
    score = row.scores.get(metric.name)
    if score is None:
        return ""
    mark = "" if score.status == "ok" else f" ({score.status})"
    return number(score.value, metric.unit) + mark


def _figures(
    challenge: Challenge,
    cases: Mapping[str, Case],
    rows: Sequence[CaseRow],
    ordering: MetricSpec,
    columns: Sequence[MetricSpec],
    predictions: Path,
) -> list[dict[str, Any]]:
    def badness(row: CaseRow) -> float:
        value = row.scores[ordering.name].value
        if value is None:
            return float("inf")
        return -value if ordering.better == "higher" else value

    scored = sorted(
        (row for row in rows if ordering.name in row.scores and row.predictions and row.case in cases),
        key=badness,
        reverse=True,
    )
    figures = []
    for row in scored[:WORST]:
        text = ", ".join(f"{metric.title} {_cell(row, metric)}" for metric in columns if metric.headline)
        outcome = guarded(row.case, partial(_drawn, challenge, cases[row.case], predictions, row, text))
        figures += [] if isinstance(outcome, Failure) else outcome
    return figures


def _drawn(
    challenge: Challenge, case: Case, predictions: Path, row: CaseRow, text: str
) -> list[dict[str, Any]]:
    images = challenge.exchange.illustrations(case, predictions / next(iter(row.predictions)))
    return [
        {
            "case": row.case,
            "kind": image.kind,
            "caption": image.caption or text,
            "scores": text if image.kind == "overview" else "",
            "marked": bool(image.marks),
            "outlined": bool(
                np.any(image.reference)
                or np.any(image.prediction)
                or image.reference_boxes
                or image.prediction_boxes
            ),
            "source": _data_url(image),
        }
        for image in images
    ]


def outlined(illustration: Illustration) -> npt.NDArray[np.uint8]:
    """``(height, width, 3)`` with the outlines of every label of both label maps, boxes and marks."""
    import cv2

    canvas = np.ascontiguousarray(illustration.image, np.uint8).copy()
    width = 2 if illustration.kind == "overview" else max(1, round(max(canvas.shape) / 256))
    outlines = (illustration.reference, REFERENCE_RGB), (illustration.prediction, PREDICTION_RGB)
    for labels, colour in outlines:
        for label in np.unique(labels[labels > 0]):
            mask = (labels == label).astype(np.uint8)
            contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(canvas, contours, -1, colour, width)
    _draw_boxes(canvas, illustration.reference_boxes, REFERENCE_RGB, width)
    _draw_boxes(canvas, illustration.prediction_boxes, PREDICTION_RGB, width)
    for mark in illustration.marks:
        row, column, radius = round(mark.row), round(mark.column), round(mark.radius) + MARK_MARGIN_PX
        missed = mark.kind == "missed"
        for colour, line in (
            (HALO_RGB, MARK_PX + 4),
            (MISSED_RGB if missed else FALSE_POSITIVE_RGB, MARK_PX),
        ):
            if missed:
                cv2.circle(canvas, (column, row), radius, colour, line, cv2.LINE_AA)
            else:
                corners = (column - radius, row - radius), (column + radius, row + radius)
                cv2.rectangle(canvas, *corners, colour, line)
    return canvas


def _draw_boxes(
    canvas: npt.NDArray[np.uint8], boxes: Sequence[DrawnBox], colour: tuple[int, int, int], width: int
) -> None:
    """Draw boxes, the first of them last, with their texts at the upper left corner."""
    import cv2

    for box in reversed(boxes):
        left, top, right, bottom = (round(corner) for corner in box.corners)
        cv2.rectangle(canvas, (left, top), (right - 1, bottom - 1), colour, width)
        if box.text:
            size = max(0.4, max(canvas.shape) / 900)
            place = (max(0, left + 2), max(round(26 * size), top - 3))
            cv2.putText(canvas, box.text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, width, cv2.LINE_AA)


def _data_url(illustration: Illustration) -> str:
    """The image as a ``data:`` address: PNG, and JPEG where it is large."""
    import cv2

    from medbench.io.raster import resize_image

    image = outlined(illustration)
    scale = min(1.0, LARGEST_SIDE_PX[illustration.kind] / max(image.shape[:2]))
    small = resize_image(image, round(image.shape[0] * scale), round(image.shape[1] * scale))
    kind = "png" if illustration.kind == "case" else "jpeg"
    _, content = cv2.imencode(f".{kind}", small[:, :, ::-1])
    return f"data:image/{kind};base64,{base64.b64encode(content.tobytes()).decode()}"
