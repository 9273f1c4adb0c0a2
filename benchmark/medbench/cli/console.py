"""Output of the command line: tables, JSON, errors, and progress as bars or plain lines."""

from __future__ import annotations

import codecs
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from medbench.core.errors import MedbenchError
from medbench.core.extras import missing_package
from medbench.core.text import first_line, printable
from medbench.core.writable import of_system

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_EVERY_S = 10.0
PIPED_WIDTH = 160
_LEAST, _LEAST_FOLDED, _LONGEST_WORD = 8, 12, 20
_PLAIN = {
    "–": "-", "−": "-", "—": "-", "↑": "^", "↓": "v", "→": "->", "×": "x", "°": " deg", "…": "...",
    "Δ": "d", "‘": "'", "’": "'", "“": '"', "”": '"', "±": "+-", "\xa0": " ",
}  # fmt: skip


def speak_in_any_encoding() -> None:
    """Let standard output and error write a plain letter for one that their encoding does not have."""
    codecs.register_error("medbench.plain", _in_plain_letters)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="medbench.plain")


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter, "?") for letter in letters), error.end


def print_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False))


def print_table(
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    wrap: Sequence[int] = (),
    lines: bool = False,
    error: bool = False,
) -> None:
    """Print a table on standard output or error, numbers to the right, the columns in ``wrap`` folded.

    Without headings the table has no line of headings. With ``lines`` the cells keep their line breaks. The
    table is as wide as the terminal, in a pipe as ``COLUMNS`` or 160; wider where a narrower one would lose
    text or break words even with headings folded, no spaces beside the lines, intervals below their values,
    and the two ends of an interval one below the other.
    """
    from rich.table import Table
    from rich.text import Text

    console = _console(error)
    texts = [[_lines(cell) if lines else printable(cell, None) for cell in row] for row in rows]
    layout = _layout(headings, texts, wrap, console.width)
    console.width = max(console.width, layout.width)
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        show_header=any(headings),
        padding=(0, layout.padding),
    )
    for position, name in enumerate(headings):
        figures = [row[position] for row in texts]
        numeric = position not in wrap and any(figures) and all(map(_is_figure, figures))
        table.add_column(
            Text(name),
            justify="right" if numeric else "left",
            no_wrap=position not in wrap and not layout.folds_all,
            overflow="fold",
            width=layout.widths[position],
        )
    for row in layout.rows:
        table.add_row(*map(Text, row))
    console.print(table)


def fits(headings: Sequence[str], rows: Sequence[Sequence[str]], wrap: Sequence[int]) -> bool:
    """Whether a table of :func:`print_table` has room on standard output in its plain form."""
    room = _console(error=False).width
    widths = _widths(headings, rows, wrap, room - 3 * len(headings) - 1)
    return _Layout(rows, widths).width <= room


def _console(error: bool) -> Console:
    from rich.console import Console

    console = Console(soft_wrap=False, stderr=error)
    return console if console.is_terminal else Console(width=_piped_width(), stderr=error)


def _piped_width() -> int:
    """Width of a table in a pipe: ``COLUMNS`` where that is a number above 0, as terminals take it."""
    columns = os.environ.get("COLUMNS", "")
    return (int(columns) if columns.isdecimal() else 0) or PIPED_WIDTH


def _lines(cell: str) -> str:
    return "\n".join(printable(line, None) for line in cell.split("\n"))


def _is_figure(cell: str) -> bool:
    return cell[:1].isdigit() or cell[:1] in "+-–−<"


@dataclass(frozen=True, slots=True)
class _Layout:
    """The form of a table: cells, widths of the columns, spaces beside the lines, whether all may fold."""

    rows: Sequence[Sequence[str]]
    widths: Sequence[int]
    padding: int = 1
    folds_all: bool = False

    @property
    def width(self) -> int:
        return sum(self.widths) + (1 + 2 * self.padding) * len(self.widths) + 1


def _layout(
    headings: Sequence[str], rows: Sequence[Sequence[str]], wrap: Sequence[int], room: int
) -> _Layout:
    """The first form that fits into ``room``, from the plain one to the narrowest; the plain one if none."""
    below = [[cell.replace(" [", "\n[") for cell in row] for row in rows]
    apart = [[cell.replace(" – ", " –\n") for cell in row] for row in below]
    plain = _Layout(rows, _widths(headings, rows, wrap, room - 3 * len(headings) - 1))
    narrower = (
        _Layout(cells, _widths(headings, cells, wrap, room - (1 + 2 * padding) * len(headings) - 1, True),
                padding, True)
        for cells, padding in ((rows, 1), (rows, 0), (below, 0), (apart, 0))
    )  # fmt: skip
    return next((one for one in (plain, *narrower) if one.width <= room), plain)


def _widths(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    wrap: Sequence[int],
    room: int,
    folds_all: bool = False,
) -> list[int]:
    """Widths of the columns: no cell loses a letter, and those in ``wrap`` share what is left of ``room``.

    They are folded only where that breaks no usual word; the first column and headings only on request.
    """
    from rich.cells import cell_len

    def longest(texts: Sequence[str]) -> int:
        return max((cell_len(text) for text in texts), default=0)

    least, most = [], []
    for position, cells in enumerate(zip(headings, *rows, strict=True)):
        own = longest([line for cell in cells for line in cell.split("\n")])
        word = longest([word for cell in cells for word in cell.split()])
        most.append(max(own, _LEAST if position else 0))
        if position in wrap and (position or folds_all):
            least.append(min(most[-1], max(_LEAST_FOLDED, min(word, _LONGEST_WORD))))
        elif folds_all:
            lines = [line for cell in cells[1:] for line in cell.split("\n")]
            least.append(longest([*lines, *headings[position].split()]))
        else:
            least.append(most[-1])
    spare = max(0, room - sum(least))
    order = sorted(range(len(least)), key=lambda position: most[position] - least[position])
    for place, position in enumerate(order):
        share = min(most[position] - least[position], spare // (len(order) - place))
        least[position] += share
        spare -= share
    return least


def print_error(error: MedbenchError) -> None:
    """Print an error on standard error: a line that says what is wrong, and a line with the hint."""
    typer.echo(f"error: {printable(error.message, None)} [{error.code}]", err=True)
    if error.hint:
        typer.echo(f"hint:  {printable(error.hint, None)}", err=True)


class ConsoleProgress:
    """Progress on standard error: a bar on a terminal, else a line now and then."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)
        self.bar: Any = None
        self.task: Any = None
        self.title, self.total, self.done, self.last = "", 0, 0, 0.0
        self.part: Any = None
        self.part_title, self.part_total, self.part_done, self.part_before = "", 0, 0, 0
        self.part_started = 0.0

    def start(self, title: str, total: int) -> None:
        """Show a new bar."""
        self.title, self.total, self.done, self.last = title, total, 0, time.monotonic()
        if self.console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=self.console,
                transient=True,
            )
            self.bar.start()
            self.task = self.bar.add_task(title, total=total, note="")

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Move the bar on."""
        self.done += steps
        if self.bar is not None:
            self.bar.update(self.task, advance=steps, note=note)
        elif time.monotonic() - self.last > PLAIN_EVERY_S:
            self.last = time.monotonic()
            self.say(f"{self.title} {self.done}/{self.total} {note}".rstrip())

    def finish(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def start_part(self, title: str, total: int, position: int = 0) -> None:
        """Show the bar of a part below the main bar."""
        self.part_title, self.part_total, self.part_done, self.part_before = title, total, position, position
        self.part_started = time.monotonic()
        if self.bar is not None:
            self.part = self.bar.add_task(title, total=total, completed=position, note="")

    def advance_part(self, steps: int = 1) -> None:
        """Move the bar of the part on, with the time left."""
        self.part_done += steps
        if self.bar is not None and self.part is not None:
            self.bar.update(self.part, advance=steps)
        elif time.monotonic() - self.last > PLAIN_EVERY_S:
            self.last = time.monotonic()
            self.say(f"{self.part_title} {self.part_done}/{self.part_total}, {self._part_left()} left")

    def _part_left(self) -> str:
        elapsed_s, steps = time.monotonic() - self.part_started, self.part_done - self.part_before
        seconds = round(elapsed_s / max(1, steps) * (self.part_total - self.part_done))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"

    def finish_part(self) -> None:
        """Remove the bar of the part."""
        if self.bar is not None and self.part is not None:
            self.bar.remove_task(self.part)
        self.part = None

    def say(self, line: str) -> None:
        """Print one line."""
        self.console.print(printable(line, None), markup=False, soft_wrap=True)


def fail(error: BaseException, debug: bool) -> int:
    """Print an error; the exit code. With ``debug`` the error is raised with its traceback."""
    if debug:
        raise error
    if isinstance(error, MedbenchError):
        print_error(error)
    elif isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("medbench"):
        print_error(missing_package(error.name))
    elif isinstance(error, OSError) and error.strerror:
        print_error(of_system(error))
    else:
        first = first_line(error)
        print_error(
            MedbenchError(
                "internal", f"{type(error).__name__}: {first}", "Repeat with --debug for the traceback."
            )
        )
    sys.stderr.flush()
    return 2
