"""The index over all boards: every measured row with its first metric, and the way to its board."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import read_bytes, write_text
from medbench.core.task import titles
from medbench.core.text import printable
from medbench.leaderboards.board_page import budget, data_kind, family
from medbench.leaderboards.boards import Board, Table
from medbench.leaderboards.case_figures import BoardEvidence
from medbench.leaderboards.table_text import text
from medbench.records.reading import KEY_LENGTH
from medbench.records.shell import page_environment, whisker
from medbench.records.tables import heading

TEMPLATES = Path(__file__).parent / "templates"
INDEX = "index.html"


_ROW = re.compile(r'<tr[^>]*><td class="text"><a href="([^"]+)/[^"/]+">')
"""Beginning of a line of the index: the board's folder."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A board whose rows make no table.

    Attributes:
        challenge: its name.
        file: of its rows.
        error: what is wrong with them.
    """

    challenge: str
    file: Path
    error: MedbenchError


def index_html(boards: Iterable[Board | Damaged]) -> str:
    """The index of some boards, as one HTML file.

    Args:
        boards: in the order of the index, that of their names; damaged ones have a row with the reason.
    """
    rows = [
        row
        for board in boards
        for row in ([_damaged_row(board)] if isinstance(board, Damaged) else _rows(board))
    ]
    return page_environment(TEMPLATES).get_template("index.html.j2").render(rows=rows)


def put_into_index(path: Path, board: Board, names: Sequence[str]) -> bool:
    """Write the rows of one board into an index that stands, in place of its earlier ones.

    Args:
        path: the index.
        board: the board.
        names: all boards that the index lists.

    Returns:
        Whether the index stands, is of this program and lists all others; else it is left as it is.
    """
    if not path.is_file():
        return False
    head, own, tail = _parts(index_html([board]))
    before, lines, after = _parts(read_bytes(path).decode(errors="replace"))
    others = [line for line in lines if _challenge(line) != board.challenge]
    places = {board.challenge, *map(_challenge, others)}
    if (before, after) != (head, tail) or places != {board.challenge, *names}:
        return False
    write_text(path, head + "".join(sorted([*others, *own], key=_challenge)) + tail)
    return True


def _parts(page: str) -> tuple[str, list[str], str]:
    """What stands before the rows of an index, its rows, and what stands behind them."""
    head, begin, rest = page.partition("<tbody>")
    rows, end, tail = rest.rpartition("</tbody>")
    return head + begin, rows.splitlines(keepends=True), end + tail


def _challenge(line: str) -> str:
    """The challenge of a row of the index."""
    match = _ROW.match(line)
    return match[1] if match else ""


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


def _demands(challenge: str) -> Sequence[str]:
    """Tasks of a challenge; none where it is not known here."""
    try:
        return tuple(load_challenge(challenge).card.demands)
    except MedbenchError:
        return ()


def _damaged_row(board: Damaged) -> dict[str, Any]:
    """The one row of a damaged board: its name, and why it has no others."""
    link = f"{board.challenge}/{board.file.name}"
    reason = board.error.message.replace(f"{board.file.parents[1]}/", "")
    texts = dict.fromkeys(("split", "protocol", "metric", "value", "bar", "lost"), "")
    return {
        "challenge": board.challenge,
        "title": board.challenge,
        "board": link,
        "link": link,
        "name": f"damaged: {printable(reason, None)}",
        "text": "–",
        "rank": None,
        "filters": dict.fromkeys(("kind", "task", "hardware", "family", "budget"), ""),
        **texts,
    }


def _rows(board: Board) -> list[dict[str, Any]]:
    evidence = BoardEvidence(board.evidence)
    task = titles(_demands(board.challenge))
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
                    "board": f"{board.challenge}/index.html",
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
