"""Whether a page is what the rows of its leaderboard give, cell by cell."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medbench.core.text import counted

MOST = 12
"""Further differing cells of one page are counted, not named."""
_CELL_END = re.compile(r"[|&<>,]")


def differing_cells_of_page(stands: str, due: str) -> Iterator[tuple[str, str]]:
    """Cells of a page that are not what they should be.

    Args:
        stands: the page as it is.
        due: the page as the rows give it.

    Yields:
        Place (line and column heading) and what is wrong there.
    """
    lines, due_lines = stands.split("\n"), due.split("\n")
    if len(lines) != len(due_lines):
        yield "the page", f"has {counted(len(lines), 'line')} where the rows give {len(due_lines)}"
    number = 0
    for line, (one, other) in enumerate(zip(lines, due_lines, strict=False)):
        for cell, (left, right) in enumerate(_pairs(one, other)):
            if left != right:
                number += 1
                if number <= MOST:
                    heading = _heading(due_lines, line, cell)
                    yield (
                        f"line {line + 1}{heading}",
                        f"says '{left.strip()}' where the rows give '{right.strip()}'",
                    )
    if number > MOST:
        yield "the page", f"has {counted(number - MOST, 'further cell')} that the rows do not give"


def _pairs(one: str, other: str) -> list[tuple[str, str]]:
    left, right = _CELL_END.split(one), _CELL_END.split(other)
    return list(zip(left, right, strict=True)) if len(left) == len(right) else [(one, other)]


def _heading(lines: list[str], line: int, cell: int) -> str:
    """The heading of a cell of a Markdown table; nothing elsewhere."""
    if not lines[line].startswith("|"):
        return ""
    above = next((row for row in range(line, 0, -1) if lines[row].startswith("|--")), 0)
    names = lines[above - 1].split("|")
    return f", column {names[cell].strip()}" if above and cell < len(names) else ""
