"""The end of a run: record and report into the run directory, the row into the leaderboard."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.core.seals import seal_of, write_seal
from medbench.leaderboards.results import add_result
from medbench.records.page import write_report
from medbench.records.reading import JOURNAL, RECORD, Finished, read_run
from medbench.records.schema import RunRecord
from medbench.running.cite import bibtex_of

REPORT = "report.html"
_OF_THE_CALL = {"started", "finished", "time_s", "cases_timed", "environment"}


def store(
    finished: Finished,
    challenge: Challenge,
    cases: Sequence[Case],
    predictions: Path,
    leaderboards: Path | None,
) -> Finished:
    """Write record, seal and report into the run directory, and the row into the leaderboard, if any.

    Returns:
        The run with the record on disk, which stays as an earlier call wrote it where nothing is new.
    """
    earlier = _earlier(finished)
    path, journal = finished.folder / RECORD, finished.folder / JOURNAL
    if earlier is None:
        write_text(path, finished.record.model_dump_json(indent=2) + "\n")
        write_seal(seal_of(path), (path, journal))
    record = earlier or finished.record
    page = finished.folder / REPORT
    write_report(page, challenge, cases, finished.rows, record, predictions, True, bibtex_of(record))
    if leaderboards is not None:
        add_result(leaderboards, record, finished.folder)
    return dataclasses.replace(finished, record=record)


def _earlier(finished: Finished) -> RunRecord | None:
    """The record of an earlier call of the same run, if it is whole and says the same of the same cases."""
    try:
        earlier = read_run(finished.folder)
    except MedbenchError:
        return None
    now = finished.record.model_dump(exclude=_OF_THE_CALL)
    return (
        earlier.record if earlier.sealed and earlier.record.model_dump(exclude=_OF_THE_CALL) == now else None
    )
