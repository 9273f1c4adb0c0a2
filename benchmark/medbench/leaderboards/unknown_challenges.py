"""Boards of challenges that are not known here, such as those of a plug-in that is not loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.result_table import MetricSpec
from medbench.leaderboards.boards import Board, measured_tables
from medbench.records.reading import EVIDENCE, KEY_LENGTH, read_run
from medbench.records.schema import MetricRecord, RunRecord


def board_of_records(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Board:
    """The board of a challenge as far as the records of its rows tell; without records it has no tables.

    Args:
        folder: of the challenge's leaderboard.
        rows: of its ``results.jsonl``.

    Raises:
        MedbenchError: ``leaderboard.damaged`` for rows that no table can be made of.
    """
    evidence, records = folder / EVIDENCE, list[RunRecord]()
    for row in rows:
        with contextlib.suppress(MedbenchError):
            records.append(read_run(evidence / str(row["key"])[:KEY_LENGTH]).record)
    columns = {name: _column(name, own) for record in records for name, own in record.metrics.items()}
    titles = [record.challenge.title for record in records]
    rules = [record.challenge.failure_rule for record in records]
    try:
        tables = tuple(measured_tables(folder.name, tuple(columns.values()), rows))
    except (ValueError, KeyError, TypeError) as error:
        raise MedbenchError(
            "leaderboard.damaged", f"{folder}: its rows make no table.", "Restore them from version control."
        ) from error
    return Board(
        challenge=folder.name,
        title=titles[-1] if titles else folder.name,
        task="",
        homepage="",
        failure_rule=rules[-1] if rules else "",
        measured=tables,
        evidence=evidence,
    )


def _column(name: str, metric: MetricRecord) -> MetricSpec:
    return MetricSpec(
        name,
        metric.title,
        metric.unit,
        metric.better,
        metric.convention,
        bounds=(None, None),
        pooled=metric.pooled,
        protocol=metric.protocol,
    )
