"""Tables of own data, separated by commas, by tabs, or by semicolons as many spreadsheets write them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.io.tables import plain_text, read_table


def read_own_table(path: Path, *columns: str) -> list[dict[str, str]]:
    """Rows of a table with a header line, as text.

    Args:
        path: the file, UTF-8; separated by semicolons where its header holds these and no comma.
        columns: required columns.

    Raises:
        MedbenchError: as :func:`medbench.io.tables.read_table`.
    """
    if path.suffix.lower() == ".tsv":
        return read_table(path, *columns)
    text = plain_text(path)
    first = text.partition("\n")[0]
    if ";" not in first or "," in first:
        return read_table(path, *columns)
    lines = [(number, cells) for number, cells in enumerate(_cells(path, text), 1) if any(cells)]
    header = [name.strip() for name in lines[0][1]]
    for name in columns:
        if name not in header:
            raise MedbenchError(
                "data.column_missing",
                f"{path}: has no column '{name}', only {', '.join(header)}.",
                "Correct columns of the declaration.",
            )
    for number, cells in lines[1:]:
        if len(cells) != len(header) or len({*header}) != len(header):
            raise MedbenchError(
                "data.table",
                f"{path}: line {number}: {counted(len(cells), 'value')} where the header has "
                f"{counted(len({*header}), 'column')}.",
                "Give every column a name of its own, and every row a value for each.",
            )
    return [dict(zip(header, cells, strict=True)) for _, cells in lines[1:]]


def _cells(path: Path, text: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True))
    except csv.Error as error:
        raise MedbenchError("data.table", f"{path}: {error}.", "Correct its quotes.") from error


def own_path(text: str) -> str:
    """A path in a table with slashes, also where Windows wrote backslashes."""
    return text.strip().replace("\\", "/")
