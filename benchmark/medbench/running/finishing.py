"""The end of a run: record and report into the run directory, the row into the leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.files import write_text
from medbench.leaderboards.results import add_result
from medbench.records.page import write_report
from medbench.records.reading import Finished
from medbench.records.writing import RECORD

REPORT = "report.html"


def store(
    finished: Finished,
    challenge: Challenge,
    cases: Sequence[Case],
    predictions: Path,
    leaderboards: Path | None,
) -> None:
    """Write record and report into the run directory and add the row to the leaderboard, if there is one."""
    record = finished.record
    write_text(finished.folder / RECORD, record.model_dump_json(indent=2) + "\n")
    write_report(finished.folder / REPORT, challenge, cases, finished.rows, record, predictions)
    if leaderboards is not None:
        add_result(leaderboards, record)
