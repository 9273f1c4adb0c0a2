"""A board as one HTML page: tables to sort, filter and copy, records, and plots of the cases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.core.result_table import MetricSpec
from medbench.leaderboards.boards import Board, Cell, Entry, Table
from medbench.leaderboards.case_figures import BoardEvidence, Ranges, case_figures
from medbench.leaderboards.costs import GMACS, PARAMETERS, TIME, TRAINING
from medbench.leaderboards.sections import group_text
from medbench.leaderboards.table_text import cells, facts, headings, notes, text
from medbench.leaderboards.training_budget import budget_minutes, cost_text, cpu_minutes
from medbench.records.legend import definitions
from medbench.records.reading import KEY_LENGTH
from medbench.records.shell import page_environment, whisker
from medbench.records.tables import heading, interval, number

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class PageCell:
    """A cell of a page.

    Attributes:
        text: what it says.
        value: number that it is sorted by; ``None`` sorts the text, and an empty text a missing number.
        low: lower end of an interval.
        high: upper end.
        sd: standard deviation over cases, as text.
        bar: markup of the interval.
        groups: JSON of subgroup -> text, value, low, high.
        word: whether the cell holds words.
    """

    text: str
    value: float | str | None = None
    low: float | None = None
    high: float | None = None
    sd: str = ""
    bar: str = ""
    groups: str = ""
    word: bool = False


@dataclass(frozen=True, slots=True)
class PageHeading:
    """The heading of a column: text, explanation, direction, and whether it holds words."""

    text: str
    help: str = ""
    better: str = ""
    definition: str = ""
    word: bool = False


@dataclass(frozen=True, slots=True)
class PageRow:
    """A row of a page.

    Attributes:
        id: anchor.
        cells: in the order of the headings.
        filters: what the row is filtered by.
        record: heading -> facts of the run; empty for published numbers.
        commands: what it does -> command.
        links: what it is -> file beside the page.
    """

    id: str
    cells: tuple[PageCell, ...]
    filters: Mapping[str, str]
    record: Mapping[str, str]
    commands: Mapping[str, str]
    links: Mapping[str, str]


def html(board: Board) -> str:
    """The board as one HTML file that reaches no other address."""
    evidence = BoardEvidence(board.evidence)
    tables = [_page_table(place, table, evidence) for place, table in enumerate(board.tables)]
    page = page_environment(TEMPLATES).get_template("board.html.j2")
    link = board.homepage if board.homepage.startswith(("https://", "http://")) else ""
    columns = [metric for table in board.tables for metric in table.metrics]
    bars = any(cell.bar for own in tables for row in own["rows"] for cell in row.cells)
    return page.render(
        board=board, tables=tables, notes=notes(board), link=link, bars=bars, definitions=definitions(columns)
    )


def _page_table(place: int, table: Table, evidence: BoardEvidence) -> dict[str, Any]:
    figures = case_figures(table, evidence)
    spans = {metric.name: _span(table, metric) for metric in table.metrics}
    scope = _Scope(place, table, evidence, spans, figures.ranges)
    return {
        "id": f"t{place + 1}",
        "table": table,
        "facts": facts(table),
        "headings": _headings(table, figures.ranges),
        "rows": [_row(scope, number, entry) for number, entry in enumerate(table.entries)],
        "figures": figures,
    }


def _span(table: Table, metric: MetricSpec) -> tuple[float, float]:
    """The least and the greatest end of a column's intervals."""
    own = [entry.cells[metric.name] for entry in table.entries if metric.name in entry.cells]
    ends = [end for cell in own for end in (cell.value, cell.low, cell.high) if end is not None]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


_HELP = {
    "rank": "place by the first metric and its 95 % range when groups are resampled; equal values share one",
    "model": "model, with its recipe and options as far as they differ; marks in square brackets",
    "failed or missing": "cases without a usable prediction, out of all; the failure rule scores them",
    "run": "beginning of the key that names the run for report, compare, rank and verify",
    "who": "authors or model of a published number",
    "source": "where the number stands",
}


_COST_HELP = {
    PARAMETERS: "parameters in millions",
    TRAINING: "CPU minutes that the training took, of the budget that its steps were planned for",
    GMACS: "multiply-adds of one sample in billions, as medbench profile counts them",
    "p50": "median latency of one sample, as medbench profile measured it; * unsteady",
    TIME: "mean of what the run itself took to predict a case: preprocessing, forward pass, postprocessing",
}


def _help(name: str) -> str:
    """Explanation of a heading, where the heading needs one."""
    return _HELP.get(name) or next((words for cost, words in _COST_HELP.items() if name.startswith(cost)), "")


def _headings(table: Table, ranges: Ranges) -> list[PageHeading]:
    metrics = {heading(metric): metric for metric in table.metrics}
    columns = []
    for name in headings(table):
        metric = metrics.get(name)
        word = name in ("model", "who", "source", "run")
        if metric is None:
            title = "rank (95 % range)" if name == "rank" and ranges else name
            columns.append(PageHeading(title, _help(name), word=word))
        else:
            columns.append(
                PageHeading(
                    name,
                    f"definition {metric.convention}",
                    "" if metric.signed else metric.better,
                    metric.convention,
                )
            )
    return columns


@dataclass(frozen=True, slots=True)
class _Scope:
    """Context of a table's rows: its number, the evidence, ends of the columns, ranges of the ranks."""

    place: int
    table: Table
    evidence: BoardEvidence
    spans: Mapping[str, tuple[float, float]]
    ranges: Ranges


def _row(scope: _Scope, number: int, entry: Entry) -> PageRow:
    table, spans = scope.table, scope.spans
    values = [
        _metric_cell(entry.cells.get(metric.name), metric, spans[metric.name], entry)
        for metric in table.metrics
    ]
    plain = cells(table, entry)
    if table.kind == "published":
        own = [PageCell(plain[0], word=True), *values, PageCell(plain[-1], word=True)]
    else:
        rank = _rank_cell(entry, scope.ranges)
        costs = [PageCell(cost, _as_number(cost)) for cost in entry.costs]
        own = [rank, PageCell(plain[1], word=True), *values, *costs]
        own += [PageCell(entry.lost, _as_number(entry.lost.split("/")[0])), PageCell(plain[-1], word=True)]
    key = entry.run[:KEY_LENGTH] or f"published{number}"
    return PageRow(
        f"r{scope.place + 1}-{key}",
        tuple(own),
        _filters(table, entry, scope.evidence.hardware(entry.run)),
        _record(entry, table) if entry.row else {},
        _commands(entry),
        scope.evidence.links(entry.run) if entry.evidence else {},
    )


def _as_number(words: str) -> float | str:
    try:
        return float(words.partition(" ")[0].rstrip("*+"))
    except ValueError:
        return ""


def _rank_cell(entry: Entry, ranges: Ranges) -> PageCell:
    if entry.rank is None:
        return PageCell("–", "")
    low, high = ranges.get(entry.run, (None, None))
    return PageCell(f"{entry.rank}" + (f" ({low}–{high})" if low is not None else ""), float(entry.rank))


def _metric_cell(cell: Cell | None, metric: MetricSpec, span: tuple[float, float], entry: Entry) -> PageCell:
    if cell is None or cell.value is None:
        return PageCell("–", "", groups=_groups(metric, entry))
    sd = (cell.spread or {}).get("sd")
    return PageCell(
        text(cell, metric),
        cell.value,
        cell.low,
        cell.high,
        "" if sd is None else number(sd, metric.unit),
        whisker(cell.value, cell.low, cell.high, span),
        _groups(metric, entry),
    )


def _groups(metric: MetricSpec, entry: Entry) -> str:
    """The metric in every subgroup of the row, as JSON for the switch; nothing where there are none."""
    own = {
        f"{column}: {name}": _group_value(metrics[metric.name], metric)
        for column, names in (entry.row.get("subgroups") or {}).items()
        for name, metrics in names.items()
        if metric.name in metrics
    }
    return json.dumps(own, ensure_ascii=True, sort_keys=True) if own else ""


def _group_value(cell: Mapping[str, Any], metric: MetricSpec) -> list[Any]:
    low, high = cell["ci95"]
    empty = ["" if end is None else end for end in (cell["value"], low, high)]
    return [group_text(cell, metric), *empty]


def _filters(table: Table, entry: Entry, machine: str) -> dict[str, str]:
    row = entry.row
    return {
        "kind": data_kind(table),
        "hardware": machine,
        "task": table.protocol,
        "family": family(row),
        "budget": budget(row),
    }


def data_kind(table: Table) -> str:
    """Kind of the data in a word or two."""
    if table.kind == "published":
        return "published"
    if table.kind == "sample":
        return "synthetic sample"
    return "substitute" if table.substitute else "real, subset" if table.subset else "real"


def family(row: Mapping[str, Any]) -> str:
    """The model's library, or the model without its size."""
    name = str(row.get("model", ""))
    return name.split("/")[0] if "/" in name else name.split(".")[0]


def budget(row: Mapping[str, Any]) -> str:
    """Budget of CPU minutes, else the recipe; empty where nothing was trained."""
    minutes = budget_minutes(row)
    return f"{minutes:g} CPU minutes" if minutes else recipe_text(row)


def recipe_text(row: Mapping[str, Any]) -> str:
    """Recipe with its changes; empty where nothing was trained."""
    if not row.get("recipe"):
        return ""
    changes = (row.get("recipe_changes") or {}).items()
    return ", ".join([str(row["recipe"]), *(f"{name}={value}" for name, value in changes)])


def _record(entry: Entry, table: Table) -> dict[str, str]:
    row = entry.row

    def pairs(name: str) -> str:
        return ", ".join(f"{key}={_plain(value)}" for key, value in (row.get(name) or {}).items())

    weights = " ".join(str(row.get(name) or "") for name in ("weights", "weights_sha256")).strip()
    facts = {
        "run": row["key"],
        "model": " ".join(filter(None, (str(row.get("model") or ""), pairs("options")))),
        "parameters": f"{row['parameters']:,}" if row.get("parameters") else "",
        "weights, SHA-256": weights,
        "recipe": recipe_text(row),
        "training, CPU minutes": cost_text(row) if cpu_minutes(row) else "",
        "trained on": row.get("training_split"),
        "seeds": ", ".join(
            f"{words} {row[name]}"
            for name, words in (("seed", "run"), ("training_seed", "training"))
            if row.get(name) is not None
        ),
        "settings": pairs("settings"),
        "data, SHA-256": f"manifest {row['manifest_sha256']}",
        "groups": row.get("groups"),
        "counts": _counts(entry, table),
        "interval": "; ".join(sorted({cell.method for cell in entry.cells.values() if cell.method})),
        "spread": _spread(entry, table),
        "scoring code, SHA-256": row.get("scoring_sha256"),
        "medbench": " ".join(filter(None, (row.get("medbench"), row.get("git_commit")))),
        "record, SHA-256": row.get("record_sha256"),
        "cases, SHA-256": row.get("cases_sha256"),
        "finished": row.get("finished"),
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _counts(entry: Entry, table: Table) -> str:
    names = ("scored", "failed", "missing", "undefined")
    parts = []
    for metric in table.metrics:
        cell = entry.cells.get(metric.name)
        if cell is not None and cell.counts:
            own = ", ".join(f"{count} {name}" for name, count in zip(names, cell.counts, strict=False))
            parts.append(f"{metric.title}: {own}")
    return "; ".join(parts)


def _spread(entry: Entry, table: Table) -> str:
    parts = []
    for metric in table.metrics:
        own = (cell.spread if (cell := entry.cells.get(metric.name)) else None) or {}
        if own:
            unit = metric.unit
            quartiles = interval(own["q25"], own["q75"], unit)
            parts.append(
                f"{metric.title}: mean {number(own['mean'], unit)} ± {number(own['sd'], unit)}, median "
                f"{number(own['median'], unit)}, quartiles {quartiles}, worst {number(own['worst'], unit)} "
                f"({own['worst_case']})"
            )
    return "; ".join(parts)


def _commands(entry: Entry) -> dict[str, str]:
    row = entry.row
    if not row:
        return {}
    own = {"train": row.get("training_command"), "repeat": row.get("command")}
    own["verify"] = f"medbench leaderboard verify {entry.run[:8]}" if entry.evidence else ""
    return {name: str(command) for name, command in own.items() if command}
