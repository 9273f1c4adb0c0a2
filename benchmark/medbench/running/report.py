"""Reports of finished runs, as by ``medbench report``."""

from __future__ import annotations

from pathlib import Path

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.folders import at_home, data_folder, leaderboards_folder, runs_folder
from medbench.core.progress import Progress, SilentProgress
from medbench.records.data_places import find_data_place
from medbench.records.identity import manifest_sha256
from medbench.records.page import ReportNotes, write_report
from medbench.records.reading import EVIDENCE, Run, check_measures, find_run
from medbench.running.cite import bibtex_of
from medbench.running.data import resolve_data
from medbench.running.finishing import REPORT, against_constant


def report(
    run: str | Path,
    *,
    data: str | Path | None = None,
    predictions: str | Path | None = None,
    output: str | Path | None = None,
    runs: str | Path | None = None,
    leaderboards: str | Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the report of a finished run again, from its record, rows, predictions and data.

    A row of a leaderboard is reported from its evidence; without predictions the page then has no images.

    Args:
        run: its folder, its ``record.json`` or the beginning of its key or of a leaderboard row's.
        data: folder of the data that it was on; where the run found them on this machine, or as
            :func:`medbench.running.run.run` finds them, if not given.
        predictions: folder of the predictions, where the run does not hold them (``medbench evaluate``) and
            they have moved since.
        output: the page; ``report.html`` in the run's folder if not given, ``report-KEY.html`` in the current
            folder for a leaderboard's row.
        runs: folder of run directories, for a key.
        leaderboards: folder of leaderboards, for a row's key.
        progress: display that counts the steps.

    Returns:
        Path of the page.

    Raises:
        MedbenchError: ``run.unknown``, ``run.ambiguous``, ``run.damaged`` (also where the record disagrees
            with its cases in any value, interval or count), ``data.missing``, ``predictions.missing``, or
            ``report.other_data`` when these are not the data of the run.
    """
    boards = at_home(leaderboards) if leaderboards else leaderboards_folder()
    runs_root = at_home(runs) if runs else runs_folder()
    result = find_run(run, runs_root, boards)
    check_measures(result)
    record, of_row = result.record, result.folder.parent.name == EVIDENCE
    challenge = load_challenge(record.challenge.name)
    folder = at_home(predictions) if predictions else result.folder / "predictions"
    if predictions and not folder.is_dir():
        raise MedbenchError(
            "predictions.missing", f"{folder}: there is no such folder.", "Check --predictions."
        )
    cases: list[Case] = []
    if predictions or not of_row:
        cases = cases_of(result, challenge, at_home(data) if data else None, progress or SilentProgress())
        if not folder.is_dir():
            folder = find_data_place(record.key, "predictions") or folder
        if not folder.is_dir():
            raise MedbenchError(
                "predictions.missing", f"{folder}: there is no such folder.", "Give --predictions DIR."
            )
    default = Path(f"report-{record.key[:8]}.html") if of_row else result.folder / REPORT
    page = at_home(output) if output else default
    rows = list(result.rows.values())
    verdicts = against_constant(result, challenge, runs_root)
    notes = ReportNotes(result.sealed, verdicts, bibtex_of(record))
    write_report(page, challenge, cases, rows, record, folder, notes)
    return page


def cases_of(run: Run, challenge: Challenge, data: Path | None, progress: Progress) -> list[Case]:
    """The cases of a run, from the very files that it was on.

    Raises:
        MedbenchError: ``data.missing`` or ``report.other_data``.
    """
    record = run.record
    place = data or find_data_place(record.key)
    if record.data == "real" and place is None and data_folder(challenge.release.data_set) is None:
        raise MedbenchError(
            "data.missing",
            f"{run.folder}: the run was on real data.",
            "Give the folder of the data with --data.",
        )
    source = resolve_data(challenge, place, progress)
    cases = [case for case in challenge.cases(source.root, record.challenge.split) if case.id in run.rows]
    if manifest_sha256(source.root, cases) != record.challenge.manifest_sha256:
        raise MedbenchError(
            "report.other_data",
            f"{source.root}: holds other files than those that {run.folder} was on.",
            "Give the folder of that run with --data.",
        )
    return cases
