"""The end of a run: record and report into the run directory, the row into the leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.files import sha256_file, write_text
from medbench.core.seals import seal_of, write_seal
from medbench.leaderboards.results import add_result
from medbench.records.page import write_report
from medbench.records.reading import JOURNAL, RECORD, Finished

REPORT = "report.html"


def store(
    finished: Finished,
    challenge: Challenge,
    cases: Sequence[Case],
    predictions: Path,
    leaderboards: Path | None,
) -> None:
    """Write record, seal and report into the run directory, and the row into the leaderboard, if any."""
    record = finished.record
    path, journal = finished.folder / RECORD, finished.folder / JOURNAL
    write_text(path, record.model_dump_json(indent=2) + "\n")
    write_seal(seal_of(path), (path, journal))
    write_report(finished.folder / REPORT, challenge, cases, finished.rows, record, predictions)
    if leaderboards is not None:
        add_row(finished, leaderboards)


def add_row(finished: Finished, leaderboards: Path) -> None:
    """Add a run's row to its challenge's leaderboard, in place of its own earlier one."""
    add_result(leaderboards, finished.record, sha256_file(finished.folder / JOURNAL))
