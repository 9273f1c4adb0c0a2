"""Spacings of prepared volumes, whose files have none."""

from __future__ import annotations

import math
from pathlib import Path

from medbench.core.errors import MedbenchError
from medbench.io.tables import read_table


def spacing_table(path: Path) -> dict[str, tuple[float, ...]]:
    """Case -> spacing in mm along z, y and x, from ``case,z_mm,y_mm,x_mm``; empty when there is no such file.

    Raises:
        MedbenchError: ``data.spacing_malformed`` naming the row.
    """
    if not path.is_file():
        return {}
    table = {}
    for row in read_table(path, "case", "z_mm", "y_mm", "x_mm"):
        try:
            steps = tuple(float(row[f"{axis}_mm"]) for axis in "zyx")
        except (TypeError, ValueError):
            steps = (0.0,)
        if not all(0 < step < math.inf for step in steps):
            raise MedbenchError(
                "data.spacing_malformed",
                f"{path}, {row['case']}: the spacing is not three positive numbers.",
                "Give mm along z, y and x.",
            )
        table[row["case"]] = steps
    return table
