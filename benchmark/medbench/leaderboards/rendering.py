"""Rendering of a board as Markdown, LaTeX, CSV and HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from medbench.core.result_table import MetricSpec
from medbench.core.text import csv_text, markdown_text, printable
from medbench.leaderboards.board_page import html
from medbench.leaderboards.boards import Board, Cell, Entry, Table
from medbench.leaderboards.table_text import cells, facts, headings, notes

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
    "→": r"$\rightarrow$",
    "±": r"$\pm$",
    "τ": r"$\tau$",
    "ρ": r"$\rho$",
    "×": r"$\times$",
    "°": r"\textdegree{}",
    "Δ": r"$\Delta$",
    "–": "--",
}
CSV_COLUMNS = (
    "kind", "split", "protocol", "entry", "metric", "unit", "better", "convention", "value", "ci95_low",
    "ci95_high", "ci95_method", "scored", "failed", "missing", "undefined", "mean", "sd", "median", "q25",
    "q75", "worst", "worst_case", "rank", "cases", "present_cases", "released_cases", "manifest_sha256",
    "split_sha256", "scoring_sha256", "run", "population", "source", "sealed", "evidence",
)  # fmt: skip


def markdown(board: Board) -> str:
    """The board as a Markdown page."""
    from tabulate import tabulate

    def grid(names: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
        cells = [list(map(markdown_text, line)) for line in lines]
        names = list(map(markdown_text, names))
        return str(tabulate(cells, names, tablefmt="github", disable_numparse=True))

    about = " ".join(filter(None, (f"{board.task}.", board.homepage)))
    parts = [f"# {markdown_text(board.title)}", "", markdown_text(about), ""]
    for table in board.tables:
        parts += [f"## {markdown_text(table.title)}", ""]
        for fact in facts(table):
            parts += [markdown_text(fact), ""]
        parts += [grid(headings(table), [cells(table, entry) for entry in table.entries]), ""]
        for section in table.sections:
            parts += [f"### {markdown_text(section.title)}", "", grid(section.headings, section.lines), ""]
    for note in notes(board):
        parts += [markdown_text(note), ""]
    return "\n".join(parts)


def latex(board: Board) -> str:
    """The tables as LaTeX, one ``table`` environment each; needs ``booktabs``."""
    about = ": ".join(filter(None, (board.title, board.homepage)))
    parts = [f"% {printable(about, None)}. Needs \\usepackage{{booktabs}}."]
    for table in board.tables:
        columns = headings(table)
        parts += [
            "\\begin{table}",
            f"\\caption{{{_latex(board.title)}. {_latex(table.title)}.}}",
            f"\\begin{{tabular}}{{{_alignment(table)}}}",
            "\\toprule",
            " & ".join(map(_latex, columns)) + r" \\",
            "\\midrule",
            *(" & ".join(map(_latex, cells(table, entry))) + r" \\" for entry in table.entries),
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
            "",
        ]
    return "\n".join([*parts, *(f"% {note}" for note in notes(board)), ""])


def _alignment(table: Table) -> str:
    """Columns of a LaTeX table: numbers to the right, words to the left."""
    if table.kind == "published":
        return f"l{'r' * len(table.metrics)}l"
    return f"rl{'r' * len([*table.metrics, *table.cost_headings])}ll"


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
    present, total = table.subset or ("", "")
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
        "ci95_method": cell.method,
        **counts,
        **{name: value for name, value in (cell.spread or {}).items() if name != "cases"},
        "rank": entry.rank or "",
        "cases": table.cases or "",
        "present_cases": present,
        "released_cases": total,
        "manifest_sha256": table.manifest,
        "split_sha256": table.split_sha256,
        "scoring_sha256": table.scoring,
        "run": entry.run,
        "population": entry.population,
        "source": entry.source,
        "sealed": "" if table.kind == "published" else str(entry.sealed).lower(),
        "evidence": "" if table.kind == "published" else str(entry.evidence).lower(),
    }


FORMATS: Mapping[str, tuple[str, Callable[[Board], str]]] = MappingProxyType(
    {
        "markdown": ("README.md", markdown),
        "html": ("index.html", html),
        "latex": ("tables.tex", latex),
        "csv": ("values.csv", as_csv),
    }
)
