"""The journal of a run directory: a sealed line a case, written as cases end, so that a run can go on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from medbench.core.case import Case
from medbench.core.files import sha256_file, write_text
from medbench.core.places import Places
from medbench.core.progress import Progress
from medbench.core.result_table import CaseRow
from medbench.core.seals import read_lines, sealed_line
from medbench.core.text import printable
from medbench.records.phases import Timing
from medbench.records.reading import JOURNAL

UNFINISHED = "unfinished"
LONGEST_REASON = 600


def journalled(
    cases: Sequence[Case],
    folder: Path,
    progress: Progress,
    work: Callable[[Sequence[Case]], Iterable[CaseRow]],
    timing: Timing,
    places: Places | None = None,
) -> list[CaseRow]:
    """Rows of all cases: those that the journal holds, and those that the work gives for the others.

    The journal ends with one row a case in the order of ``cases``, the same bytes whether or not a run was
    interrupted and in whatever order its cases ended.

    Args:
        cases: what to do.
        folder: run directory.
        progress: display that counts the cases.
        work: rows of the cases that the journal lacks, as they end.
        timing: told how many cases were done, and in what time.
        places: paths that rows are to name by words; as they are if not given.
    """
    rows = kept_rows(cases, folder, progress)
    write_journal(folder, [rows[case.id] for case in cases if case.id in rows])
    to_do = [case for case in cases if case.id not in rows]
    progress.start("predicting", len(cases))
    progress.advance(len(rows))
    if to_do:
        begin_s = time.perf_counter()
        with open(folder / JOURNAL, "a", encoding="utf-8", newline="\n") as stream:
            for own in work(to_do):
                row = shared_row(own, places)
                rows[row.case] = row
                stream.write(sealed_line(row.as_json()) + "\n")
                stream.flush()
                if row.predictions:
                    shutil.rmtree(folder / UNFINISHED / row.case, ignore_errors=True)
                if own.reason:
                    progress.say(f"{own.case}: {printable(own.reason, LONGEST_REASON)}")
                progress.advance(1, row.case)
        timing.wall_s = time.perf_counter() - begin_s
        timing.cases = len(to_do)
        write_journal(folder, [rows[case.id] for case in cases])
    progress.finish()
    return [rows[case.id] for case in cases]


def shared_row(row: CaseRow, places: Places | None) -> CaseRow:
    """A row whose words name no path of this machine and hide no character."""
    if places is None:
        return row

    def clean(words: str) -> str:
        return printable(places.hide(words), LONGEST_REASON)

    scores = {
        name: replace(score, reason=clean(score.reason)) if score.reason else score
        for name, score in row.scores.items()
    }
    return replace(
        row,
        reason=clean(row.reason),
        scores=scores,
        evidence=places.hide_all(row.evidence),
        facts={name: clean(value) for name, value in row.facts.items()},
    )


def write_journal(folder: Path, rows: Sequence[CaseRow]) -> None:
    """Write the rows of a run directory, sealed, in their order."""
    write_text(folder / JOURNAL, "".join(f"{sealed_line(row.as_json())}\n" for row in rows))


def kept_rows(cases: Sequence[Case], folder: Path, progress: Progress) -> dict[str, CaseRow]:
    """Rows of the journal that need not be made again: sealed, of a case that was scored, files unchanged."""
    ids = {case.id for case in cases}
    rows: dict[str, CaseRow] = {}
    for line in read_lines(folder / JOURNAL):
        if line.state != "sealed":
            progress.say(f"{folder / JOURNAL}, line {line.number}: {line.state}, so its case is done again.")
            continue
        row = CaseRow.from_json(line.row)
        files = [(folder / "predictions" / name, digest) for name, digest in row.predictions.items()]
        intact = bool(files) and all(path.is_file() and sha256_file(path) == digest for path, digest in files)
        if row.case in ids and row.status == "ok" and intact:
            rows[row.case] = row
    return rows
