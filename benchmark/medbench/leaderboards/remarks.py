"""Sentences below a table: the constant baseline, what its marks mean, and columns without values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medbench.core.result_table import MetricSpec
from medbench.leaderboards.baseline import CONSTANT, headline

Row = Mapping[str, Any]


def on_baseline(
    challenge: str,
    row: Row,
    metrics: Sequence[MetricSpec],
    constant: Row | None,
    verdicts: Sequence[str],
) -> list[str]:
    """A sentence on the constant baseline where it is not in the table, or where rows are marked by it."""
    if constant is None:
        data = " --data DIR" if row["data"] == "real" else ""
        train = f"medbench train -m {CONSTANT} -c {challenge}{data} and then " if data else ""
        return [
            f"The constant baseline is not in this table yet: {train}medbench run -m {CONSTANT} "
            f"-c {challenge} --split {row['split']}{data}."
        ]
    marks = " or ".join(f"[{verdict}]" for verdict in dict.fromkeys(filter(None, verdicts)))
    if not marks:
        return []
    which = "" if constant.get("model") == CONSTANT else f" ({constant['title']})"
    return [
        f"Rows marked {marks} have not been shown to lie above the constant baseline{which} in "
        f"{headline(metrics).title}: the 95 % interval of the paired difference does not lie on the better "
        "side of 0 (where that difference is not on record, the row's own interval on that of the baseline's "
        "value)."
    ]


def without_values(rows: Sequence[Row], metrics: Sequence[MetricSpec]) -> list[str]:
    """A sentence on columns in which no row has a value."""

    def valued(name: str) -> bool:
        return any((row["metrics"].get(name) or {}).get("value") is not None for row in rows)

    titles = [
        metric.title + f" [{metric.unit}]" * bool(metric.unit)
        for metric in metrics
        if not valued(metric.name)
    ]
    return [f"No row has a value in: {', '.join(titles)}."] if titles else []
