"""Output of the command line: tables, JSON, errors, and progress as bars or plain lines."""

from __future__ import annotations

import codecs
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import typer

from medbench.core.errors import MedbenchError
from medbench.core.extras import missing_package
from medbench.core.text import printable
from medbench.core.writable import of_system

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
    text or break words.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(soft_wrap=False, stderr=error)
    if not console.is_terminal:
        console = Console(width=_piped_width(), stderr=error)
    texts = [[_lines(cell) if lines else printable(cell, None) for cell in row] for row in rows]
    widths = _widths(headings, texts, wrap, console.width)
    console.width = max(console.width, sum(widths) + 3 * len(widths) + 1)
    table = Table(title=Text(title) if title else None, title_justify="left", show_header=any(headings))
    for position, name in enumerate(headings):
        figures = [row[position] for row in texts]
        numeric = position not in wrap and any(figures) and all(map(_is_figure, figures))
        table.add_column(
            Text(name),
            justify="right" if numeric else "left",
            no_wrap=position not in wrap,
            overflow="fold",
            width=widths[position],
        )
    for row in texts:
        table.add_row(*map(Text, row))
    console.print(table)


def _piped_width() -> int:
    """Width of a table in a pipe: ``COLUMNS`` where that is a number above 0, as terminals take it."""
    columns = os.environ.get("COLUMNS", "")
    return (int(columns) if columns.isdecimal() else 0) or PIPED_WIDTH


def _lines(cell: str) -> str:
    return "\n".join(printable(line, None) for line in cell.split("\n"))


def _is_figure(cell: str) -> bool:
    return cell[:1].isdigit() or cell[:1] in "-–−"


def _widths(
    headings: Sequence[str], rows: Sequence[Sequence[str]], wrap: Sequence[int], room: int
) -> list[int]:
    """Widths of the columns: no cell loses a letter, and those in ``wrap`` share what is left of ``room``.

    The first column is never folded, and the others only where that breaks no usual word.
    """
    from rich.cells import cell_len

    least, most = [], []
    for position, cells in enumerate(zip(headings, *rows, strict=True)):
        longest = max(cell_len(line) for cell in cells for line in cell.split("\n"))
        word = max((cell_len(word) for cell in cells for word in cell.split()), default=0)
        narrow = max(_LEAST_FOLDED, min(word, _LONGEST_WORD))
        most.append(max(longest, _LEAST if position else 0))
        least.append(min(most[-1], narrow) if position and position in wrap else most[-1])
    spare = max(0, room - sum(least) - 3 * len(least) - 1)
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
        first = (str(error).strip().splitlines() or ["no message"])[0]
        print_error(
            MedbenchError(
                "internal", f"{type(error).__name__}: {first}", "Repeat with --debug for the traceback."
            )
        )
    sys.stderr.flush()
    return 2
