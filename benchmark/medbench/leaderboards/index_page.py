"""The index over all boards: every measured row with its first metric, and the way to its board."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.core.task import titles
from medbench.leaderboards.board_page import budget, data_kind, family
from medbench.leaderboards.boards import Board, Table
from medbench.leaderboards.case_figures import BoardEvidence
from medbench.leaderboards.results import RESULTS, board_of_lines, read_lines_of_rows
from medbench.leaderboards.table_text import text
from medbench.records.reading import EVIDENCE, KEY_LENGTH
from medbench.records.shell import page_environment, whisker
from medbench.records.tables import heading

TEMPLATES = Path(__file__).parent / "templates"
INDEX = "index.html"


def index_html(leaderboards: Path) -> str:
    """The index of the boards in a folder, as one HTML file; boards that cannot be read are left out.

    Args:
        leaderboards: folder of the leaderboards.
    """
    rows: list[dict[str, Any]] = []
    for name in sorted(path.parent.name for path in leaderboards.glob("*/results.jsonl")):
        rows += _rows(leaderboards, name)
    return page_environment(TEMPLATES).get_template("index.html.j2").render(rows=rows)


def write_index(leaderboards: Path) -> Path:
    """Write the index of the boards in a folder; its path."""
    path = leaderboards / INDEX
    write_text(path, index_html(leaderboards))
    return path


def _rows(leaderboards: Path, name: str) -> list[dict[str, Any]]:
    try:
        challenge = load_challenge(name)
        board = board_of_lines(leaderboards, name, read_lines_of_rows(leaderboards / name / RESULTS))
    except MedbenchError:
        return []
    evidence = BoardEvidence(leaderboards / name / EVIDENCE)
    return _board_rows(board, evidence, titles(challenge.card.demands))


def _listed(tables: Sequence[Table]) -> Iterator[tuple[int, Table, str]]:
    """Tables that the index lists, with their number and protocols.

    A further protocol that gives the very same runs the very same values in its first column is named beside
    the one that is listed.
    """
    alike: dict[tuple[object, ...], list[int]] = {}
    for number, table in enumerate(tables):
        metric = table.metrics[0]
        values = tuple((entry.run, entry.cells.get(metric.name)) for entry in table.entries)
        content = tuple((run, cell and (cell.value, cell.low, cell.high)) for run, cell in values)
        alike.setdefault((heading(metric), content), []).append(number)
    for numbers in alike.values():
        protocols = [tables[number].protocol for number in numbers]
        others = f"; the same values by protocol {', '.join(protocols[1:])}" if len(protocols) > 1 else ""
        yield numbers[0], tables[numbers[0]], protocols[0] + others


def _board_rows(board: Board, evidence: BoardEvidence, task: str) -> list[dict[str, Any]]:
    rows = []
    for place, table, protocols in _listed(board.measured):
        metric = table.metrics[0]
        for entry in table.entries:
            cell = entry.cells.get(metric.name)
            value = None if cell is None else cell.value
            low, high = (None, None) if cell is None else (cell.low, cell.high)
            top = metric.bounds[1] or 0.0
            rows.append(
                {
                    "challenge": board.challenge,
                    "title": board.title,
                    "link": f"{board.challenge}/index.html#r{place + 1}-{entry.run[:KEY_LENGTH]}",
                    "name": entry.name,
                    "split": table.split,
                    "protocol": protocols,
                    "metric": heading(metric),
                    "text": text(cell, metric),
                    "value": "" if value is None else value,
                    "bar": "" if value is None or not top else whisker(value, low, high, (0.0, top)),
                    "rank": entry.rank,
                    "lost": entry.lost,
                    "filters": {
                        "kind": data_kind(table),
                        "task": task,
                        "hardware": evidence.hardware(entry.run),
                        "family": family(entry.row),
                        "budget": budget(entry.row),
                    },
                }
            )
    return rows
