"""Words in a board's tables: headings, cells, sentences below titles and notes."""

from __future__ import annotations

from medbench.core.result_table import MetricSpec
from medbench.leaderboards.boards import Board, Cell, Entry, Table
from medbench.records.reading import UNSEALED
from medbench.records.tables import heading, interval, number

LOST = "failed or missing"
"""Heading of the column of cases without a usable prediction."""


def text(cell: Cell | None, metric: MetricSpec) -> str:
    """A cell as text: value and interval, or a dash."""
    if cell is None or cell.value is None:
        return "–"
    spread = interval(cell.low, cell.high, metric.unit)
    return number(cell.value, metric.unit) + (f" [{spread}]" if spread != "–" else "")


def headings(table: Table) -> list[str]:
    """Headings of a table's columns."""
    last = ["source"] if table.kind == "published" else [*table.cost_headings, LOST, "run"]
    first = ["who"] if table.kind == "published" else ["rank", "model"]
    return [*first, *map(heading, table.metrics), *last]


def cells(table: Table, entry: Entry) -> list[str]:
    """Cells of an entry's row."""
    values = [text(entry.cells.get(m.name), m) for m in table.metrics]
    if table.kind == "published":
        return [entry.name, *values, entry.source]
    rank = "–" if entry.rank is None else str(entry.rank)
    return [rank, entry.name, *values, *entry.costs, entry.lost, _run(entry)]


def _run(entry: Entry) -> str:
    """The beginning of a run's key, and what the row lacks of hashes and evidence."""
    if not entry.sealed:
        return f"{entry.run[:8]} ({UNSEALED})"
    return entry.run[:8] if entry.evidence else f"{entry.run[:8]} (no evidence)"


def facts(table: Table) -> list[str]:
    """Sentences below a table's title: rule of the split, population of published numbers, baseline."""
    rule = [f"Split: {table.rule}."] if table.rule else []
    population = [f"Measured on: {table.population}."] if table.population else []
    return [*rule, *population, *table.note.splitlines()]


def notes(board: Board) -> list[str]:
    """Notes below all tables, as far as they hold what is explained: intervals, order, costs, evidence."""
    return [*_intervals(board), *_order(board), *_costs(board), *_evidence(board)]


def _intervals(board: Board) -> list[str]:
    """How intervals came about, and what lost cases score."""
    if not board.measured:
        return []
    entries = [entry for table in board.measured for entry in table.entries]
    cells = [cell for entry in entries for cell in entry.cells.values() if cell.low is not None]
    methods = sorted({cell.method for cell in cells if cell.method})
    how = f" ({'; '.join(methods)})" if methods else ""
    brackets = (
        "Brackets beside a value: its 95 % confidence interval over groups of cases (patients, sequences, "
        f"videos), from the values with one group left out{how}. "
        if cells
        else ""
    )
    return [f"{brackets}Failed and missing cases: {board.failure_rule}"]


def _order(board: Board) -> list[str]:
    """What a rank means, and that tables stand apart."""
    has_rank = any(entry.rank is not None for table in board.measured for entry in table.entries)
    sentences = ["The rank is by the first column and is not the organisers' ranking."] if has_rank else []
    if len(board.tables) > 1:
        sentences.append(
            "Tables differ in data, split, protocol, definitions or scoring code and cannot be compared with "
            "one another."
        )
    return [" ".join(sentences)] if sentences else []


def _evidence(board: Board) -> list[str]:
    """How measured rows are verified."""
    if not board.measured:
        return []
    return [
        f"Verify: medbench leaderboard verify {board.challenge}; a run's key also names its row for medbench "
        "report, compare and rank."
    ]


def _costs(board: Board) -> list[str]:
    """How the columns of costs came about."""
    if not any(table.cost_headings for table in board.measured):
        return []
    return [
        "Costs: params are millions of parameters, training the CPU minutes that it took, of the budget that "
        "its steps were planned for (× networks), GMACs billions of multiply-adds of one sample, p50 the "
        "median latency of one sample (medbench profile; * unsteady). The time a case is what the run itself "
        "took on the named machine, by the clock and at its own input and batch size: preprocessing, forward "
        "pass and postprocessing, without reading, writing and scoring. A dash: not measured."
    ]
