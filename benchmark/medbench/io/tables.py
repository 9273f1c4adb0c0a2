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
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise MedbenchError(
            "file.unreadable", f"{path}: cannot be read ({reason}).", "Check that the release is complete."
        ) from error
    reader = csv.DictReader(io.StringIO(text))
    for column in columns:
        if column not in (reader.fieldnames or ()):
            raise MedbenchError(
                "data.column_missing",
                f"{path}: has no column '{column}'.",
                "Use the file as released.",
            )
    return list(reader)
