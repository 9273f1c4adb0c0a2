"""The board of a study as tables, Markdown and JSON; without times, so that equal results are equal bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medbench.core.files import write_json, write_text
from medbench.core.result_table import MetricSpec
from medbench.core.text import counted, printable
from medbench.records.tables import chance, full_heading, heading, interval, number
from medbench.statistics.summaries import Repetitions
from medbench.studies.board import Line, Population, StudyBoard, entry_names
from medbench.studies.outcomes import Outcome

MARKDOWN, JSON = "board.md", "board.json"
NOTES = (
    "±: standard deviation over seeds. Rank: by the column's aggregate over cases and seeds, with its 95 % "
    "range when the groups of cases are resampled, each with all its seeds; of fewer than six groups the "
    "range is too narrow, and there is no interval.",
    "p: two-sided permutation test by group, p (Holm) corrected over all pairs and headline columns; the "
    "intervals are not corrected. Groups are exchanged with all their seeds: intervals and p say how a "
    "difference varies over other cases, ± how a column varies over trainings.",
    "Cost: of a forward pass of one sample at the training's size; * marks entries that no other beats in "
    "both the first column and cost.",
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its heading."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(population: Population) -> list[Table]:
    """Results, paired tests and incomplete entries of one population."""
    kind = " (synthetic sample: no result on real data)" if population.data == "sample" else ""
    source = f", learnt from {population.training}" if population.training else ""
    where = f"{population.challenge}, split {population.fold}{source}{kind}"
    parts = []
    for protocol in dict.fromkeys(spec.protocol for spec in population.columns) if population.lines else ():
        columns = [spec for spec in population.columns if spec.protocol == protocol]
        caption = f"{where}, protocol {protocol}" if protocol else where
        parts.append(Table(caption, _headings(population, columns), tuple(_rows(population, columns))))
    if population.differences:
        parts.append(Table(f"Paired tests, {where}", _PAIR_HEADINGS, tuple(_pair_rows(population))))
    if population.incomplete:
        rows = tuple((entry.title, "; ".join(reasons)) for entry, reasons in population.incomplete.items())
        parts.append(Table(f"Not ranked, {where}", ("entry", "why"), rows))
    return parts


_PAIR_HEADINGS = ("first", "second", "metric", "second − first", "95 % interval", "p", "p (Holm)", "groups")


def _headings(population: Population, columns: Sequence[MetricSpec]) -> tuple[str, ...]:
    has_ranks = population.rankings is not None
    names = [
        name
        for spec in columns
        for name in ((heading(spec), f"rank, {spec.title}") if has_ranks else (heading(spec),))
    ]
    return ("entry", *names, "lost cases", "params [M]", "GMACs")


def _rows(population: Population, columns: Sequence[MetricSpec]) -> list[tuple[str, ...]]:
    rows = []
    for place, line in sorted(enumerate(population.lines), key=lambda item: _order(columns[0], *item)):
        cells: list[str] = []
        for spec in columns:
            cells.append(_repeated(line.over_seeds.get(spec.name), spec.unit))
            if population.rankings is not None:
                cells.append(_rank(population, spec.name, place))
        cost = line.cost
        parameters = "–" if cost is None or cost.parameters is None else f"{cost.parameters / 1e6:.2f}"
        macs = (
            "–" if cost is None or cost.macs is None else f"{cost.macs / 1e9:.2f}{' *' if line.front else ''}"
        )
        rows.append((line.entry.title, *cells, str(line.lost), parameters, macs))
    return rows


def _order(spec: MetricSpec, place: int, line: Line) -> tuple[float, int]:
    """Entries by a column, best first."""
    figures = line.over_seeds.get(spec.name)
    if figures is None:
        return float("inf"), place
    return (-figures.mean if spec.better == "higher" else figures.mean), place


def _repeated(figures: Repetitions | None, unit: str) -> str:
    if figures is None:
        return "–"
    spread = f" ± {number(figures.sd, unit)}" if figures.sd is not None else ""
    return f"{number(figures.mean, unit)}{spread}"


def _rank(population: Population, column: str, place: int) -> str:
    assert population.rankings is not None
    for rankings in population.rankings.columns:
        if rankings.metric.name == column:
            ranking = rankings.rankings[0]
            stability = ranking.stability
            return f"{ranking.ranks[place]} [{stability.low[place]}–{stability.high[place]}]"
    return "–"


def _pair_rows(population: Population) -> list[tuple[str, ...]]:
    assert population.rankings is not None
    titles = dict(zip(population.rankings.entries, entry_names(population), strict=True))
    return [
        (
            titles[difference.first],
            titles[difference.second],
            full_heading(difference.metric),
            number(difference.difference, difference.metric.unit),
            interval(difference.interval.low, difference.interval.high, difference.metric.unit),
            chance(difference.p_permutation),
            chance(difference.p_permutation_holm),
            str(difference.groups),
        )
        for difference in population.differences
    ]


def write_board(folder: Path, board: StudyBoard) -> None:
    """Write ``board.md`` and ``board.json`` into the study's folder."""
    write_text(folder / MARKDOWN, _markdown(board))
    write_json(folder / JSON, as_json(board))


def _markdown(board: StudyBoard) -> str:
    seeds = ", ".join(map(str, board.seeds))
    n_ok = sum(outcome.status == "ok" for outcome in board.outcomes)
    lines = [
        f"# {printable(board.title)}",
        "",
        f"{n_ok} of {counted(board.cells, 'cell')}; {board.budget} a training; seeds {seeds}.",
        "",
    ]
    for population in board.populations:
        for table in tables(population):
            lines += [f"## {table.title}", "", _row(table.headings), _row(["---"] * len(table.headings))]
            lines += [*map(_row, table.rows), ""]
    return "\n".join([*lines, *NOTES]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(printable(cell, None).replace("|", "\\|") for cell in cells) + " |"


def as_json(board: StudyBoard) -> dict[str, Any]:
    """Plain values."""
    return {
        "title": board.title,
        "budget": board.budget,
        "seeds": list(board.seeds),
        "cells": board.cells,
        "populations": [_population_json(population) for population in board.populations],
        "outcomes": [_outcome_json(outcome) for outcome in board.outcomes],
    }


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    """A cell's outcome without the number of tries, which tells of a worker's death and not of a result."""
    return {name: value for name, value in asdict(outcome).items() if name != "tries"}


def _population_json(population: Population) -> dict[str, Any]:
    return {
        "challenge": population.challenge,
        "split": population.fold,
        **({"training": population.training} if population.training else {}),
        "data": population.data,
        "entries": [
            {
                "entry": line.entry.title,
                "over_seeds": {name: asdict(figures) for name, figures in line.over_seeds.items()},
                "lost_cases": line.lost,
                "parameters": line.cost.parameters if line.cost else None,
                "macs": line.cost.macs if line.cost else None,
                "front": line.front,
                "chosen_settings": {str(seed): dict(values) for seed, values in line.settings.items()},
            }
            for line in population.lines
        ],
        "rankings": population.rankings.as_json() if population.rankings else None,
        "differences": [difference.as_json() for difference in population.differences],
        "incomplete": {entry.title: list(reasons) for entry, reasons in population.incomplete.items()},
    }
