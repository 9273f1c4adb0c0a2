"""Rendering of a board as Markdown, LaTeX, CSV and HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from medbench.core.result_table import MetricSpec
from medbench.core.text import CONTENT_POLICY, csv_text, markdown_text, printable
from medbench.leaderboards.boards import Board, Cell, Entry, Table
from medbench.records.page import seen
from medbench.records.reading import UNSEALED
from medbench.records.tables import heading, interval, number

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "×": r"$\times$",
    "°": r"\textdegree{}",
    "Δ": r"$\Delta$",
    "–": "--",
}
CSV_COLUMNS = (
    "kind", "split", "protocol", "entry", "metric", "unit", "better", "convention", "value", "ci95_low",
    "ci95_high", "scored", "failed", "missing", "undefined", "cases", "present_cases", "released_cases",
    "manifest_sha256", "split_sha256", "run", "population", "source", "sealed",
)  # fmt: skip


def text(cell: Cell | None, metric: MetricSpec) -> str:
    """A cell as text: value and interval, or a dash."""
    if cell is None or cell.value is None:
        return "–"
    spread = interval(cell.low, cell.high, metric.unit)
    return number(cell.value, metric.unit) + (f" [{spread}]" if spread != "–" else "")


def headings(table: Table) -> list[str]:
    """Headings of a table's columns."""
    last = ["measured on", "source"] if table.kind == "published" else ["failed or missing", "run"]
    last = [*table.cost_headings, *last]
    return ["who" if table.kind == "published" else "model", *map(heading, table.metrics), *last]


def cells(table: Table, entry: Entry) -> list[str]:
    """Cells of an entry's row."""
    last = [entry.population, entry.source] if table.kind == "published" else [entry.lost, _run(entry)]
    last = [*entry.costs, *last]
    return [entry.name, *(text(entry.cells.get(m.name), m) for m in table.metrics), *last]


def _run(entry: Entry) -> str:
    """The beginning of a run's key, and whether its row is from before rows carried their hashes."""
    return entry.run[:8] if entry.sealed else f"{entry.run[:8]} ({UNSEALED})"


def notes(board: Board) -> list[str]:
    """Notes below all tables: intervals, failure rule and order of rows."""
    return [
        f"Brackets: 95 % intervals, resampled by group. Failed and missing cases: {board.failure_rule}",
        "The order of rows is that of the first column and is not the organisers' ranking. Tables differ in "
        "data, split or protocol and cannot be compared with one another.",
    ]


def markdown(board: Board) -> str:
    """The board as a Markdown page."""
    from tabulate import tabulate

    parts = [f"# {markdown_text(board.title)}", "", markdown_text(f"{board.task}. {board.homepage}"), ""]
    for table in board.tables:
        parts += [f"## {markdown_text(table.title)}", ""]
        if table.rule:
            parts += [markdown_text(f"Split: {table.rule}."), ""]
        lines = [list(map(markdown_text, cells(table, entry))) for entry in table.entries]
        parts += [
            str(
                tabulate(
                    lines, list(map(markdown_text, headings(table))), tablefmt="github", disable_numparse=True
                )
            ),
            "",
        ]
        parts += [markdown_text(table.note), ""] if table.note else []
    for note in notes(board):
        parts += [markdown_text(note), ""]
    return "\n".join(parts)


def latex(board: Board) -> str:
    """The tables as LaTeX, one ``table`` environment each; needs ``booktabs``."""
    parts = [f"% {board.title}: {board.homepage}. Needs \\usepackage{{booktabs}}."]
    for table in board.tables:
        columns = headings(table)
        parts += [
            "\\begin{table}",
            f"\\caption{{{_latex(board.title)}. {_latex(table.title)}.}}",
            f"\\begin{{tabular}}{{l{'r' * len([*table.metrics, *table.cost_headings])}ll}}",
            "\\toprule",
            " & ".join(map(_latex, columns)) + r" \\",
            "\\midrule",
            *(" & ".join(map(_latex, cells(table, entry))) + r" \\" for entry in table.entries),
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
            *([f"% {printable(table.note, None)}"] if table.note else []),
            "",
        ]
    return "\n".join([*parts, *(f"% {note}" for note in notes(board)), ""])


def _latex(words: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in printable(words, None))


def as_csv(board: Board) -> str:
    """All values as CSV in full precision, with a row per value."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in board.tables:
        for entry in table.entries:
            for metric in table.metrics:
                cell = entry.cells.get(metric.name)
                if cell is not None:
                    line = _line(table, entry, metric, cell)
                    writer.writerow({k: csv_text(v) if isinstance(v, str) else v for k, v in line.items()})
    return stream.getvalue()


def _line(table: Table, entry: Entry, metric: MetricSpec, cell: Cell) -> Mapping[str, object]:
    counts = dict(zip(("scored", "failed", "missing", "undefined"), cell.counts, strict=False))
    present, released = table.subset or ("", "")
    return {
        "kind": table.kind,
        "split": table.split,
        "protocol": table.protocol,
        "entry": entry.name,
        "metric": metric.name,
        "unit": metric.unit,
        "better": metric.better,
        "convention": metric.convention,
        "value": cell.value,
        "ci95_low": cell.low,
        "ci95_high": cell.high,
        **counts,
        "cases": table.cases or "",
        "present_cases": present,
        "released_cases": released,
        "manifest_sha256": table.manifest,
        "split_sha256": table.split_sha256,
        "run": entry.run,
        "population": entry.population,
        "source": entry.source,
        "sealed": "" if table.kind == "published" else str(entry.sealed).lower(),
    }


def html(board: Board) -> str:
    """The board as one HTML file without links to other files."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        finalize=seen,
    )
    tables: Sequence[tuple[Table, list[str], list[list[str]]]] = [
        (table, headings(table), [cells(table, entry) for entry in table.entries]) for table in board.tables
    ]
    page = environment.get_template("board.html.j2")
    link = board.homepage if board.homepage.startswith(("https://", "http://")) else ""
    return page.render(board=board, tables=tables, notes=notes(board), link=link, policy=CONTENT_POLICY)


FORMATS: Mapping[str, tuple[str, Callable[[Board], str]]] = MappingProxyType(
    {
        "markdown": ("README.md", markdown),
        "html": ("index.html", html),
        "latex": ("tables.tex", latex),
        "csv": ("values.csv", as_csv),
    }
)
