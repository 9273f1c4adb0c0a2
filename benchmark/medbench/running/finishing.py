"""The end of a run: record and report into the run directory, the row into the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.files import sha256_file, write_text
from medbench.core.seals import seal_of, write_seal
from medbench.leaderboards.baseline import CONSTANT, find_constant, sentences
from medbench.leaderboards.results import add_result
from medbench.records.page import write_report
from medbench.records.reading import JOURNAL, RECORD, Finished, Run

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
    runs = finished.folder.parents[2]
    verdicts = against_constant(finished, challenge, runs)
    report = finished.folder / REPORT
    write_report(report, challenge, cases, finished.rows, record, predictions, verdicts=verdicts)
    if leaderboards is not None:
        add_result(leaderboards, record, sha256_file(journal), runs)


def against_constant(finished: Finished | Run, challenge: Challenge, runs: Path) -> Sequence[str]:
    """What the report says of a run against the constant baseline's; nothing where that was not run.

    Args:
        finished: the run.
        challenge: the challenge.
        runs: folder of run directories.
    """
    record = finished.record
    constant = None if record.model.name == CONSTANT else find_constant(record, runs)
    if constant is None:
        return ()
    rows = finished.rows.values() if isinstance(finished.rows, Mapping) else finished.rows
    run = Run(record, {row.case: row for row in rows}, finished.folder)
    return sentences(constant, run, challenge)
