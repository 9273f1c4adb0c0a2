"""The report of a run: one HTML page of scores, distributions, cases, images and provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.files import write_text
from medbench.core.result_table import FLAGS, CaseRow, MetricSpec
from medbench.models import list_models, model_entry
from medbench.records.charts import draw_chart
from medbench.records.drawing import BOXES, DOTS, Drawing, Series, bars, dots_and_boxes
from medbench.records.figures import Figure, case_figures
from medbench.records.legend import definitions
from medbench.records.schema import RunRecord
from medbench.records.shell import page_environment
from medbench.records.tables import (
    RESULT_HEADINGS,
    SPREAD_HEADINGS,
    SUBGROUP_HEADINGS,
    distinct_headings,
    interval,
    number,
    result_rows,
    result_tables,
    spread_rows,
    subgroup_tables,
)

WORST, TYPICAL, UNSCORED = 12, 2, 4
"""Cases that are shown: the worst, as many of the median and of the best, and some without the metric."""
LISTED = 2 * WORST
"""Worst cases that are listed at most, where some have no prediction."""
MOST_DISTRIBUTIONS = 8
MOST_IMAGE_BYTES = 13_000_000
"""Images of a page and their outlines; cases beyond are listed without one."""
FULL = "the images of the cases above fill this page."


@dataclass(frozen=True, slots=True)
class ReportNotes:
    """Contents of a report besides the record.

    Attributes:
        sealed: whether hashes show that record and rows were not edited.
        verdicts: columns in which the run was not shown to lie above the constant baseline, in words.
        bibtex: entries of the model and the challenge.
    """

    sealed: bool = True
    verdicts: Sequence[str] = ()
    bibtex: str = ""


def write_report(
    path: Path,
    challenge: Challenge,
    cases: Sequence[Case],
    rows: Sequence[CaseRow],
    record: RunRecord,
    predictions: Path,
    notes: ReportNotes = ReportNotes(),
) -> None:
    """Write the report of a run as one HTML file without links to other files.

    Args:
        path: of the HTML file.
        challenge: reads images and references of the cases that are shown.
        cases: the cases of the rows; none where the data are not here, and the page then has no images.
        rows: scores of the cases.
        record: of the run.
        predictions: folder of prediction files.
        notes: what it says besides.
    """
    columns = [metric for metric in challenge.metrics if not metric.pooled and metric.name in record.metrics]
    ordering = columns[0] if columns else None
    titles = distinct_headings({m.name: m for m in challenge.metrics if m.name in record.metrics})
    methods = {m.ci95_method for m in record.metrics.values() if m.ci95_low is not None}
    galleries = _galleries(challenge, {case.id: case for case in cases}, rows, columns, predictions)
    figures = [figure for gallery in galleries for figure in gallery.figures]
    numbers = {row.case: place for place, row in enumerate(rows)}
    fact_headings, shared_facts = _facts(rows)
    case_flags = [f"{row.case}: {flag}" for row in rows for flag in row.evidence.get(FLAGS, ())]
    page = (
        page_environment()
        .get_template("report.html.j2")
        .render(
            record=record,
            sealed=notes.sealed,
            verdicts=notes.verdicts,
            headline=_headline(record, challenge, titles),
            headings=RESULT_HEADINGS,
            tables=[
                (protocol, list(zip(result_rows(metrics), [m.convention for m in metrics], strict=True)))
                for protocol, metrics in result_tables(record).items()
            ],
            spread_headings=SPREAD_HEADINGS,
            spread=spread_rows(record.metrics),
            subgroup_headings=SUBGROUP_HEADINGS,
            subgroups=subgroup_tables(record),
            methods="; ".join(sorted(methods)) or "too few groups",
            failures=[(numbers[row.case], row) for row in rows if row.status != "ok"],
            case_flags=case_flags,
            remarks=[note for note in record.settings.get("notes") or () if note not in case_flags],
            distributions=_distributions(rows, columns, titles, numbers),
            how_to_read=BOXES + DOTS,
            charts=[draw_chart(chart) for chart in challenge.scorer.charts(rows)],
            phases=bars(record.time_s, "seconds", "Time by phase"),
            galleries=galleries,
            pictured=bool(cases) or not rows,
            outlined=any(figure.has_outlines for figure in figures),
            marked=any(figure.has_marks for figure in figures),
            measured=any(figure.has_measures for figure in figures),
            wrong=any(figure.wrong for figure in figures),
            anchors={figure.case: place for place, figure in reversed(list(enumerate(figures)))},
            case_headings=[(metric, titles[metric.name]) for metric in columns],
            fact_headings=fact_headings,
            shared_facts=shared_facts,
            case_rows=[
                (place, row, [_cell(row, metric) for metric in columns]) for place, row in enumerate(rows)
            ],
            ordering=ordering,
            definitions=definitions(metric for metric in challenge.metrics if metric.name in record.metrics),
            bibtex=notes.bibtex or challenge.card.bibtex,
            licences=_licences(challenge, record),
        )
    )
    write_text(path, page)


@dataclass(frozen=True, slots=True)
class Gallery:
    """Figures under one heading."""

    title: str
    figures: Sequence[Figure]


def _headline(
    record: RunRecord, challenge: Challenge, titles: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """Heading, value and interval of the headline columns that have a value, or of the first column."""
    columns = [metric for metric in challenge.metrics if metric.name in record.metrics]
    with_value = [metric for metric in columns if record.metrics[metric.name].value is not None]
    short = [metric for metric in with_value if metric.headline] or (with_value or columns)[:1]
    return [
        (titles[metric.name], number(own.value, own.unit), interval(own.ci95_low, own.ci95_high, own.unit))
        for metric in short
        for own in (record.metrics[metric.name],)
    ]


def _distributions(
    rows: Sequence[CaseRow],
    columns: Sequence[MetricSpec],
    titles: Mapping[str, str],
    numbers: Mapping[str, int],
) -> list[Drawing]:
    """A plot of each column over cases, headline columns first."""
    in_order = sorted(columns, key=lambda metric: not metric.headline)[:MOST_DISTRIBUTIONS]
    drawings = []
    for metric in in_order:
        scores = {row.case: row.scores.get(metric.name) for row in rows}
        values = {
            case: own.value for case, own in scores.items() if own is not None and own.value is not None
        }
        drawings.append(dots_and_boxes([Series("", values)], titles[metric.name], numbers))
    return [replace(drawing, note="") for drawing in drawings if drawing.markup]


def _facts(rows: Sequence[CaseRow]) -> tuple[list[str], str]:
    """Facts in which cases differ, as columns, and in words those that several cases all share."""
    names = sorted({name for row in rows for name in row.facts})
    values = {name: {row.facts.get(name) for row in rows} for name in names}
    common = [name for name in names if len(rows) > 1 and len(values[name]) == 1]
    words = ", ".join(f"{name} {value}" for name in common for value in values[name])
    return [name for name in names if name not in common], words


def _licences(challenge: Challenge, record: RunRecord) -> list[tuple[str, str]]:
    licences = [(f"data of {challenge.title}", challenge.card.license)]
    if record.model.name in list_models():
        own = model_entry(record.model.name)
        licences.append((f"authors' code of {own.title}", own.code_license or "not stated"))
    return licences


def _cell(row: CaseRow, metric: MetricSpec) -> tuple[str, Any]:
    """Text and number of a case's score."""
    score = row.scores.get(metric.name)
    if score is None:
        return "", ""
    mark = "" if score.status == "ok" else f" ({score.status})"
    return number(score.value, metric.unit) + mark, "" if score.value is None else score.value


def _words(row: CaseRow, metric: MetricSpec) -> str:
    """A case's score as a caption has it: title, value, unit; nothing where the metric has no answer."""
    score = row.scores.get(metric.name)
    if score is None or (score.value is None and score.status == "undefined"):
        return ""
    text, value = _cell(row, metric)
    return f"{metric.title} {text}" + (f" {metric.unit}" if metric.unit and value != "" else "")


def _all_words(row: CaseRow, metrics: Sequence[MetricSpec]) -> str:
    """A case's scores as a caption has them, each once."""
    return ", ".join(dict.fromkeys(words for metric in metrics if (words := _words(row, metric))))


def _galleries(
    challenge: Challenge,
    cases: Mapping[str, Case],
    rows: Sequence[CaseRow],
    columns: Sequence[MetricSpec],
    predictions: Path,
) -> list[Gallery]:
    """The worst cases by the first column, some of the median and the best, and some that lack the column.

    A case that cannot be drawn keeps its place.
    """
    if not columns or not cases:
        return []
    ordering = columns[0]
    ranking = _worst_first(rows, ordering)
    worst = _worst(ranking)
    rest = ranking[len(worst) :]
    middle = max(0, len(ranking) // 2 - len(worst) - TYPICAL // 2)
    typical = rest[middle : middle + TYPICAL] if len(rest) > TYPICAL else []
    best = [row for row in rest[-TYPICAL:] if row not in typical]
    short = [ordering, *(metric for metric in columns if metric.headline)]
    texts = {row.case: _all_words(row, short) for row in rows}
    names = {row.case for row in ranking}
    without_value = [row for row in rows if row.case not in names][:UNSCORED]
    parts = (
        (f"Worst cases by {ordering.title}", worst),
        ("Median cases", typical),
        ("Best cases", best),
        (f"Cases without {ordering.title}", without_value),
    )
    galleries = [
        Gallery(title, case_figures(challenge, cases, own, predictions, texts)) for title, own in parts
    ]
    drawable = {row.case for _, own in parts for row in own if row.predictions and row.case in cases}
    if drawable and drawable.isdisjoint(figure.case for gallery in galleries for figure in gallery.figures):
        return []  # the challenge has no images
    return _within([gallery for gallery in galleries if gallery.figures])


def _within(galleries: Sequence[Gallery]) -> list[Gallery]:
    """The galleries with images as far as they fit into a page; a case beyond keeps its place."""
    total, parts = 0, []
    for gallery in galleries:
        figures: list[Figure] = []
        for figure in gallery.figures:
            total += sum(len(frame.source) + len(frame.overlay) for frame in figure.frames)
            if total <= MOST_IMAGE_BYTES or not figure.frames:
                figures.append(figure)
            elif not figures or (figures[-1].case, figures[-1].without_image) != (figure.case, FULL):
                text = figure.scores or figure.caption
                figures.append(Figure(figure.case, "case", text, "", (), without_image=FULL))
        parts.append(replace(gallery, figures=figures))
    return parts


def _worst_first(rows: Sequence[CaseRow], ordering: MetricSpec) -> list[CaseRow]:
    """Cases with a value of a column, and failed and missing ones, the worst first."""

    def badness(row: CaseRow) -> float:
        value = row.scores[ordering.name].value
        if value is None:
            return float("inf")
        return -value if ordering.better == "higher" else value

    def placed(row: CaseRow) -> bool:
        score = row.scores.get(ordering.name)
        return score is not None and (score.value is not None or score.status != "undefined")

    return sorted(filter(placed, rows), key=badness, reverse=True)


def _worst(ranking: Sequence[CaseRow]) -> list[CaseRow]:
    """So many of the worst cases that some have a prediction to draw, however many have none."""
    n_drawn = 0
    for place, row in enumerate(ranking[:LISTED]):
        n_drawn += bool(row.predictions)
        if n_drawn == WORST:
            return list(ranking[: place + 1])
    return list(ranking[:LISTED])
