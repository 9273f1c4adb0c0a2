"""Results as notebooks show them: tables in HTML, and pandas frames on request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Literal

from medbench.core.errors import MedbenchError
from medbench.core.extras import require_package
from medbench.core.result_table import CaseRow
from medbench.records.schema import RunRecord
from medbench.records.tables import RESULT_HEADINGS, result_rows, result_tables, result_title

if TYPE_CHECKING:
    import pandas as pd

Rows = Literal["metrics", "cases"]


def html_of(record: RunRecord) -> str:
    """The result tables of a run in HTML, one a protocol, with their denominators."""
    parts = []
    for protocol, metrics in result_tables(record).items():
        caption = f"{result_title(record)}, protocol {protocol}" if protocol else result_title(record)
        body = "".join(_line("td", row) for row in result_rows(metrics))
        parts.append(
            f"<table><caption>{escape(caption)}</caption><thead>{_line('th', RESULT_HEADINGS)}</thead>"
            f"<tbody>{body}</tbody></table>"
        )
    return "".join(parts)


def _line(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def frame_of(record: RunRecord, rows: Sequence[CaseRow], of: Rows = "metrics") -> pd.DataFrame:
    """A run as a pandas frame.

    Args:
        record: of the run.
        rows: its cases.
        of: ``metrics`` for a row a column of the result table with value, interval and denominators;
            ``cases`` for a row a case and column with value, status and reason.

    Raises:
        MedbenchError: ``package.missing`` without pandas, ``frame.unknown`` for another ``of``.
    """
    require_package("pandas")
    import pandas as pd

    if of == "metrics":
        own = {name: metric.model_dump(exclude={"spread"}) for name, metric in record.metrics.items()}
        return pd.DataFrame.from_dict(own, orient="index").rename_axis("metric")
    if of != "cases":
        raise MedbenchError("frame.unknown", f"There is no frame of '{of}'.", "Give 'metrics' or 'cases'.")
    cells = [
        {
            "case": row.case,
            "group": row.group,
            "metric": name,
            "reason": score.reason,
            "value": score.value,
            "status": score.status,
        }
        for row in rows
        for name, score in row.scores.items()
    ]
    return pd.DataFrame(cells, columns=["case", "group", "metric", "value", "status", "reason"])
