"""Spacings of prepared volumes, whose files have none."""

from __future__ import annotations

from pathlib import Path

from medbench.io.tables import Column, read_typed_table

SMALLEST_MM = 1e-6


def spacing_table(path: Path) -> dict[str, tuple[float, ...]]:
    """Case -> spacing in mm along z, y and x, from ``case,z_mm,y_mm,x_mm``; empty when there is no such file.

    Raises:
        MedbenchError: ``data.table`` with line and column.
    """
    if not path.is_file():
        return {}
    axes = [Column(f"{axis}_mm", "float", least=SMALLEST_MM) for axis in "zyx"]
    rows = read_typed_table(path, Column("case", unique=True), *axes)
    return {str(row["case"]): tuple(float(row[axis.name]) for axis in axes) for row in rows}
