"""The end of a run: record and report into the run directory, the row into the leaderboard."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.core.seals import seal_of, write_seal
from medbench.leaderboards.baseline import CONSTANT, find_constant, sentences
from medbench.leaderboards.results import add_result
from medbench.records.page import ReportNotes, write_report
from medbench.records.reading import JOURNAL, RECORD, Finished, Run, read_run
from medbench.records.schema import RunRecord
from medbench.running.cite import bibtex_of

REPORT = "report.html"
_OF_THE_CALL = {"started", "finished", "time_s", "cases_timed", "environment"}


def store(
    result: Finished,
    challenge: Challenge,
    cases: Sequence[Case],
    predictions: Path,
    leaderboards: Path | None,
) -> Finished:
    """Write record, seal and report into the run directory, and the row into the leaderboard, if any.

    Returns:
        The run with the record on disk, which stays as an earlier call wrote it where nothing is new.
    """
    earlier = _earlier(result)
    path, journal = result.folder / RECORD, result.folder / JOURNAL
    if earlier is None:
        write_text(path, result.record.model_dump_json(indent=2) + "\n")
        write_seal(seal_of(path), (path, journal))
    record = earlier or result.record
    verdicts = against_constant(result, challenge, result.folder.parents[2])
    notes = ReportNotes(verdicts=verdicts, bibtex=bibtex_of(record))
    write_report(result.folder / REPORT, challenge, cases, result.rows, record, predictions, notes)
    if leaderboards is not None:
        add_row(result, record, leaderboards)
    return dataclasses.replace(result, record=record)


def add_row(result: Finished, record: RunRecord, leaderboards: Path) -> None:
    """Add a run's row to its challenge's leaderboard, in place of its own earlier one."""
    add_result(leaderboards, record, result.folder)


def against_constant(result: Finished | Run, challenge: Challenge, runs: Path) -> Sequence[str]:
    """Sentences on a run against the constant baseline's; none where the baseline was not run.

    Args:
        result: the run.
        challenge: the challenge.
        runs: folder of run directories.
    """
    record = result.record
    constant = None if record.model.name == CONSTANT else find_constant(record, runs)
    if constant is None:
        return ()
    rows = result.rows.values() if isinstance(result.rows, Mapping) else result.rows
    run = Run(record, {row.case: row for row in rows}, result.folder)
    return sentences(constant, run, challenge)


def _earlier(result: Finished) -> RunRecord | None:
    """The record of an earlier call of the same run, if it is whole and says the same of the same cases."""
    try:
        earlier = read_run(result.folder)
    except MedbenchError:
        return None
    now = result.record.model_dump(exclude=_OF_THE_CALL)
    return (
        earlier.record if earlier.sealed and earlier.record.model_dump(exclude=_OF_THE_CALL) == now else None
    )
