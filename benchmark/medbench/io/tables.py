"""Comma-separated tables."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from medbench.core.errors import MedbenchError


def read_table(path: Path, *columns: str) -> list[dict[str, str]]:
    """Rows of a table with a header line, as text.

    Args:
        path: the file, UTF-8.
        columns: columns that must be there.

    Raises:
        MedbenchError: ``file.unreadable``, or ``data.column_missing`` naming the column.
    """
    reader = csv.DictReader(io.StringIO(_text(path)))
    for column in columns:
        if column not in (reader.fieldnames or ()):
            raise MedbenchError(
                "data.column_missing",
                f"{path}: has no column '{column}'.",
                "Use the file as released.",
            )
    return list(reader)


def read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Lines of a table, the header first: each with its number, from 1 on, and its cells as text.

    Rows may have more or fewer cells than the header, so that each can be complained of by itself.

    Args:
        path: the file, UTF-8, separated by commas.

    Raises:
        MedbenchError: ``file.unreadable``, or ``data.table`` naming the line.
    """
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    lines: list[tuple[int, list[str]]] = []
    try:
        lines.extend((reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells)
    except csv.Error as error:
        raise MedbenchError(
            "data.table",
            f"{path}, line {reader.line_num}: {error}.",
            "Write one row a line, separated by commas.",
        ) from error
    return lines


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise MedbenchError(
            "file.unreadable", f"{path}: cannot be read ({reason}).", "Check that the file is complete."
        ) from error
