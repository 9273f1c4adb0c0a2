"""Tables of comma- or tab-separated values, with checks of columns, types and bounds."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.io.gate.admission import entrance
from medbench.io.gate.expected import Expected
from medbench.io.gate.refusal import Reject, refusal_of

LARGEST_TABLE_BYTES = 256 << 20
BYTES_A_CELL = 256
"""Of memory, at most; tables that were handed in are judged by it while they are read."""
_WHOLE = re.compile(r"[+-]?\d{1,18}")
_REAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_NOT_FINITE = re.compile(r"nan|[+-]?inf", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_AS_RELEASED = "Use the file as released."

Value = str | int | float


@dataclass(frozen=True, slots=True)
class Column:
    """Type and bounds of a table's column.

    Attributes:
        name: name in the header line.
        kind: ``text``, ``int`` or ``float``.
        least: smallest number.
        most: largest number.
        choices: the only texts that are allowed; empty for any.
        unique: whether no value may stand there twice.
        finite: whether NaN and infinity are refused; where they are not, they have no bounds.
    """

    name: str
    kind: Literal["text", "int", "float"] = "text"
    least: float = -math.inf
    most: float = math.inf
    choices: tuple[str, ...] = ()
    unique: bool = False
    finite: bool = True


def read_table(path: Path, *columns: str) -> list[dict[str, str]]:
    """Rows of a table with a header line, as text.

    Args:
        path: the file, UTF-8; separated by tabs where its name ends in ``.tsv``, else by commas.
        columns: required columns.

    Raises:
        MedbenchError: what the gate refuses, ``data.column_missing`` naming the column, or ``data.table``
            with line and column.
    """
    with entrance(path, "table", expected=Expected(memory_bytes=LARGEST_TABLE_BYTES)) as file:
        header, rows = _rows(path, file.content, columns)
        return [dict(zip(header, cells, strict=True)) for _, cells in rows]


def read_lines(path: Path, *, expected: Expected | None = None) -> list[tuple[int, list[str]]]:
    """Lines of a table, the header first: each with its number, from 1 on, and its cells as text.

    Rows may have more or fewer cells than the header, so that each can be complained of by itself.

    Args:
        path: the file, as in :func:`read_table`.
        expected: whose file it is, and what it may take.

    Raises:
        MedbenchError: what the gate refuses, or ``data.table`` naming the line.
    """
    expected = expected or Expected(memory_bytes=LARGEST_TABLE_BYTES)
    with entrance(path, "table", expected=expected) as file:
        most = expected.budget_bytes // BYTES_A_CELL if expected.role == "prediction" else None
        lines = _lines(path, file.content, most)
        return [(line, [cell.strip() for cell in cells]) for line, cells in lines]


def plain_text(path: Path) -> str:
    """Text of a file in UTF-8, without a byte-order mark.

    Raises:
        MedbenchError: what the gate refuses.
    """
    with entrance(path, "table", expected=Expected(memory_bytes=LARGEST_TABLE_BYTES)) as file:
        return _text(file.content)


def read_typed_table(
    path: Path, *columns: Column, root: Path | None = None, expected: Expected | None = None
) -> list[dict[str, Value]]:
    """Rows of a table with the values of the given columns; further columns are left out.

    Args:
        path: the file, as in :func:`read_table`.
        columns: required columns.
        root: the folder that it may not leave; its own if not given.
        expected: whose file it is, and what it may take.

    Raises:
        MedbenchError: what the gate refuses, ``data.column_missing``, or ``data.table`` with line and column
            for a value of another type, out of bounds, or twice where it must be unique.
    """
    expected = expected or Expected(memory_bytes=LARGEST_TABLE_BYTES)
    with entrance(path, "table", root=root, expected=expected) as file:
        header, rows = _rows(path, file.content, [column.name for column in columns])
        places = [(column, header.index(column.name)) for column in columns]
        firsts: dict[tuple[str, Value], int] = {}
        table = []
        for line, cells in rows:
            row: dict[str, Value] = {}
            for column, place in places:
                value = row[column.name] = _value(column, cells[place], line)
                if column.unique and firsts.setdefault((column.name, value), line) != line:
                    first = firsts[column.name, value]
                    raise _wrong(line, column.name, f"'{value}' stands in line {first} already")
            table.append(row)
        return table


def read_rows_by_key(path: Path, key: str, *columns: Column) -> dict[str, dict[str, Value] | MedbenchError]:
    """Rows of a table by the value of one column; a row with a wrong value is its error, the others stand.

    Args:
        path: the file, as in :func:`read_table`.
        key: the column that names a row.
        columns: what must be there besides, and what it must hold.

    Raises:
        MedbenchError: what the gate refuses, ``data.column_missing``, or ``data.table`` for a table that
            cannot be split into rows.
    """
    with entrance(path, "table", expected=Expected(memory_bytes=LARGEST_TABLE_BYTES)) as file:
        header, rows = _rows(path, file.content, [key, *(column.name for column in columns)])
        table: dict[str, dict[str, Value] | MedbenchError] = {}
        for line, cells in rows:
            name = cells[header.index(key)].strip()
            try:
                if name in table:
                    raise _wrong(line, key, f"'{name[:40]}' stands there twice")
                places = {column.name: cells[header.index(column.name)] for column in columns}
                table[name] = {column.name: _value(column, places[column.name], line) for column in columns}
            except Reject as reject:
                table[name] = refusal_of(reject, path.name, "").error(path.parent)
        return table


def _rows(
    path: Path, content: bytearray, columns: Sequence[str]
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and for each row its line number and its cells, as many as the header has."""
    lines = _lines(path, content)
    header, rows = ([name.strip() for name in lines[0][1]], lines[1:]) if lines else ([], [])
    for name in columns:
        if name not in header:
            apart = "; it is separated by semicolons" if ";" in "".join(header) else ""
            raise Reject("data.column_missing", f"has no column '{name}'{apart}", _AS_RELEASED)
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise Reject("data.table", f"line 1: the column '{twice}' stands there twice", _AS_RELEASED)
    for line, cells in rows:
        if len(cells) != len(header):
            due = counted(len(header), "column")
            facts = f"line {line}: {counted(len(cells), 'value')} where the header has {due}"
            raise Reject(
                "data.table", facts, "Quote texts that hold a comma, and write decimals with a point."
            )
    return header, rows


def _lines(path: Path, content: bytearray, most_cells: int | None = None) -> list[tuple[int, list[str]]]:
    """Lines that are not empty, each with its number and its cells; no more than so many cells."""
    reader = csv.reader(
        io.StringIO(_text(content), newline=""),
        delimiter="\t" if path.suffix.lower() == ".tsv" else ",",
        strict=True,
    )
    lines, count = [], 0
    try:
        for cells in reader:
            count += len(cells)
            if most_cells is not None and count > most_cells:
                facts = f"holds more than {most_cells:,} values"
                raise Reject("file.too_large", facts, "Hand in the rows of the cases alone.")
            if cells:
                lines.append((reader.line_num, cells))
    except csv.Error as error:
        raise Reject("data.table", f"line {reader.line_num}: {error}", _AS_RELEASED) from error
    return lines


def _text(content: bytearray) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Reject("file.unreadable", "is UTF-16 text", "Save it as CSV in UTF-8.")
    if 0 in content:
        raise Reject("file.unreadable", "holds NUL bytes, so it is no text", "Save it as CSV in UTF-8.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Reject(
            "file.unreadable", f"cannot be read (line {line} is not UTF-8 text)", "Save it as CSV in UTF-8."
        ) from error


def _value(column: Column, cell: str, line: int) -> Value:
    text = cell.strip()
    if column.kind == "text":
        if column.choices and text not in column.choices:
            raise _wrong(line, column.name, f"'{text[:40]}' is none of {', '.join(column.choices)}")
        return text
    if _DECIMAL_COMMA.fullmatch(text):
        raise _wrong(line, column.name, f"'{text[:40]}' has a decimal comma")
    if not column.finite and _NOT_FINITE.fullmatch(text):
        return float(text)
    pattern = _WHOLE if column.kind == "int" else _REAL
    if not pattern.fullmatch(text):
        word = "whole number" if column.kind == "int" else "number"
        raise _wrong(line, column.name, f"'{text[:40]}' is no {word}")
    number = int(text) if column.kind == "int" else float(text)
    if not (math.isfinite(number) and column.least <= number <= column.most):
        raise _wrong(line, column.name, f"{text[:40]} is not between {column.least:g} and {column.most:g}")
    return number


def _wrong(line: int, column: str, facts: str) -> Reject:
    return Reject("data.table", f"line {line}, column '{column}': {facts}", "Correct that value.")
