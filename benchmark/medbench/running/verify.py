"""Verification of leaderboards, as by ``medbench leaderboard verify``."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench.challenges import list_challenges, load_challenge
from medbench.challenges.base import Challenge
from medbench.core.case import Case, Data
from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_file
from medbench.core.folders import data_folder
from medbench.core.guard import Failure, guarded
from medbench.core.progress import Progress, SilentProgress
from medbench.core.registry import nearest_names
from medbench.core.result_table import REFUSAL, CaseRow, CaseScores
from medbench.core.seals import read_lines
from medbench.core.text import counted
from medbench.leaderboards.index_page import INDEX
from medbench.leaderboards.page_check import differing_cells_of_page
from medbench.leaderboards.results import (
    RESULTS,
    evidence_folder,
    index_of,
    is_known,
    measured_challenges,
    read_results,
    require_measured,
)
from medbench.leaderboards.verification import Evidence, Finding, Verification, read_evidence, verify_board
from medbench.records.agreement import differing
from medbench.records.identity import manifest_sha256
from medbench.records.reading import JOURNAL, KEY_LENGTH, LEAST_LETTERS, RECORD, read_run
from medbench.running.data import resolve_data

PREDICTIONS = "predictions"
_SHOWN_KEY = "Give a challenge, or a key as medbench leaderboard show prints it under 'run'."


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Options of a verification beyond computing from the evidence.

    Attributes:
        data: folder of the data; else ``MEDBENCH_DATA/<challenge>``.
        predictions: folder of run directories, or of the predictions of the one row that is named.
        retrain: whether networks are trained again, by the command that the row names.
    """

    data: Path | None = None
    predictions: Path | None = None
    retrain: bool = False


def verify(
    names: Sequence[str], leaderboards: Path, again: Again | None = None, progress: Progress | None = None
) -> list[Verification]:
    """Verify leaderboards or single rows.

    Args:
        names: challenges, or beginnings of keys of rows; all challenges with rows if empty.
        leaderboards: folder of the leaderboards.
        again: data and predictions to score again, and whether to train again.
        progress: told of every step.

    Raises:
        MedbenchError: ``leaderboard.empty`` without any rows, ``run.unknown`` for a key of no row,
            ``data.missing``, ``predictions.missing``, ``verify.one`` where ``again.data`` is of one challenge
            and several are verified.
    """
    again = again or Again()
    progress = progress or SilentProgress()
    targets = [_target(name, leaderboards) for name in names]
    targets = targets or [(name, "") for name in require_measured(leaderboards)]
    _check(again, [challenge for challenge, _ in targets])
    for challenge, _ in targets:
        if not (leaderboards / challenge).is_dir():
            raise MedbenchError(
                "leaderboard.empty",
                f"{leaderboards}: has no board of {challenge}.",
                f"Measured there: {', '.join(measured_challenges(leaderboards)) or 'none'}.",
            )
    reports = []
    for challenge, key in targets:
        report = verify_board(leaderboards, challenge, key)
        for row in read_results(leaderboards, challenge) if not report.findings else ():
            if row["key"].startswith(key):
                evidence = read_evidence(evidence_folder(leaderboards, challenge, row["key"]))
                _again(report, evidence, again, progress, alone=bool(key))
        reports.append(report)
    if not names and all(report.whole and is_known(report.challenge) for report in reports):
        reports[-1].findings += _index_findings(leaderboards)
    return reports


def _index_findings(leaderboards: Path) -> list[Finding]:
    """Cells of the index over all boards that the rows do not give; none where there is no index."""
    path = leaderboards / INDEX
    if not path.is_file():
        return []
    stands = path.read_bytes().decode(errors="replace")
    wrong = differing_cells_of_page(stands, index_of(leaderboards))
    return [Finding(path, place, message) for place, message in wrong]


def _target(name: str, leaderboards: Path) -> tuple[str, str]:
    """Challenge and key of a row by the beginning of its key; of a challenge no key."""
    if name in list_challenges():
        return name, ""
    rows = [
        (challenge, str(line.row["key"]))
        for challenge in measured_challenges(leaderboards)
        for line in read_lines(leaderboards / challenge / RESULTS)
        if str(line.row.get("key", "")).startswith(name)
    ]
    if len(name) < LEAST_LETTERS or not rows:
        reason = (
            f"a key is named by {LEAST_LETTERS} letters at least"
            if len(name) < LEAST_LETTERS
            else f"no row in {leaderboards} has a key that begins so"
        )
        near = nearest_names(name, list_challenges())[:3]
        raise MedbenchError(
            "run.unknown",
            f"{name}: is no challenge, and {reason}.",
            f"Did you mean {' or '.join(near)}?" if near and not rows else _SHOWN_KEY,
        )
    if len(rows) > 1:
        names = ", ".join(f"{key[:KEY_LENGTH]} of {challenge}" for challenge, key in rows[:4])
        raise MedbenchError(
            "run.ambiguous", f"{name}: several keys begin so: {names}.", "Give more letters of the key."
        )
    return rows[0]


def _check(again: Again, challenges: Sequence[str]) -> None:
    """Refuse folders that are not there, and data of one challenge for several."""
    if again.data is not None and len(set(challenges)) > 1:
        raise MedbenchError(
            "verify.one",
            f"{again.data} is of one challenge; {len(set(challenges))} would be verified.",
            "Name a challenge, or set MEDBENCH_DATA to the folder above the data of all.",
        )
    for path, code in ((again.data, "data.missing"), (again.predictions, "predictions.missing")):
        if path is not None and not path.is_dir():
            raise MedbenchError(code, f"{path}: there is no such folder.", "Check the path.")


def _again(report: Verification, evidence: Evidence, again: Again, progress: Progress, alone: bool) -> None:
    """Score and train a row again, as far as that is asked for."""
    record = evidence.record
    challenge = load_challenge(record.challenge.name)
    title = f"{record.model.title} {record.key[:8]}"
    if not (again.data or again.predictions or again.retrain):
        return
    if record.data == "real" and not again.data and data_folder(challenge.release.data_set) is None:
        report.notes.append(f"{title}: not scored again without --data")
        return
    data = resolve_data(challenge, again.data if record.data == "real" else None, progress)
    cases = challenge.cases(data.root, record.challenge.split)
    if manifest_sha256(data.root, cases) != record.challenge.manifest_sha256:
        message = f"holds other files than those that {title} was measured on"
        report.findings.append(Finding(data.root, "the data", message))
        return
    folder = _predictions(again.predictions, record.challenge.name, record.key, alone)
    if folder is None:
        report.notes.append(
            f"{title}: not scored again, no predictions in {again.predictions or '--predictions'}"
        )
    else:
        progress.say(f"{title}: scoring {counted(len(evidence.rows), 'case')} again.")
        report.findings += _scored_again(challenge, cases, evidence, folder)
        report.scored_again += len(evidence.rows)
    if again.retrain and (record.model.training or {}).get("command"):
        progress.say(f"{title}: training again.")
        report.findings += _trained_again(evidence, data)
        report.trained_again += 1


def _predictions(folder: Path | None, challenge: str, key: str, alone: bool) -> Path | None:
    """Where a row's predictions lie: in its run directory below ``folder``, or in ``folder`` itself."""
    if folder is None:
        return None
    runs = sorted(folder.glob(f"{challenge}/*/{key[:KEY_LENGTH]}/{PREDICTIONS}"))
    below = folder / key[:KEY_LENGTH]
    places = [*runs, below / PREDICTIONS, below, *([folder] if alone else [])]
    return next((place for place in places if place.is_dir()), None)


def _scored_again(
    challenge: Challenge, cases: Sequence[Case], evidence: Evidence, predictions: Path
) -> list[Finding]:
    """Cells of the cases that their predictions do not give."""
    by_id = {case.id: case for case in cases}
    path = evidence.folder / JOURNAL
    findings = []
    for number, row in enumerate(evidence.rows, 1):
        place = f"line {number}, case {row.case}"
        for name, digest in row.predictions.items():
            file = predictions / name
            if not file.is_file():
                findings.append(Finding(file, f"case {row.case}", "is not there"))
            elif sha256_file(file) != digest:
                findings.append(Finding(file, f"case {row.case}", "is not the prediction that was scored"))
        scores = _scores(challenge, by_id[row.case], row, predictions)
        record_scores = {name: score.as_json() for name, score in row.scores.items()}
        again = {name: score.as_json() for name, score in scores.scores.items()}
        own = {name: value for name, value in row.evidence.items() if name in scores.evidence}
        for part, one, other in (("scores", record_scores, again), ("evidence", own, dict(scores.evidence))):
            findings += [
                Finding(path, f"{place}, {part}.{cell}", f"says {left} where the prediction gives {right}")
                for cell, left, right in differing(one, other)
                if not cell.endswith(".reason")
            ]
    return findings


def _scores(challenge: Challenge, case: Case, row: CaseRow, predictions: Path) -> CaseScores:
    """The scores of a case from its prediction, or by the rule for failed and missing ones."""
    if row.predictions:
        file = predictions / next(iter(row.predictions))
        scores = guarded(case.id, lambda: challenge.scorer.score_file(case, file))
        if not isinstance(scores, Failure):
            return scores
        return challenge.scorer.score_failed(case, "failed", scores.reason)
    if row.status == "ok" or REFUSAL in row.evidence:
        return CaseScores(row.scores)
    return challenge.scorer.score_failed(case, row.status, row.reason)


def _trained_again(evidence: Evidence, data: Data) -> list[Finding]:
    """Metrics that lie outside the row's interval after both of its commands were run again."""
    record, path = evidence.record, evidence.folder / RECORD
    training = record.model.training or {}
    with tempfile.TemporaryDirectory() as temporary:
        runs = Path(temporary)
        failure = _command(training["command"], data.root, runs)
        if failure:
            return [Finding(path, "model.training.command", f"does not train: {failure}")]
        failure = _command(record.command, data.root, runs)
        records = [read_run(file.parent).record for file in sorted(runs.glob(f"*/*/*/{RECORD}"))]
        again = next((other for other in records if other.model.name == record.model.name), None)
        if failure or again is None:
            return [Finding(path, "command", f"does not run: {failure or 'no record'}")]
    findings = []
    for name, metric in record.metrics.items():
        value, low, high = again.metrics[name].value, metric.ci95_low, metric.ci95_high
        if value is not None and low is not None and high is not None and not low <= value <= high:
            message = f"is {metric.value} [{low}, {high}]; trained again it is {value}"
            findings.append(Finding(path, f"metrics.{name}.value", message))
    return findings


def _command(command: str, data: Path, runs: Path) -> str:
    """Run one of a row's commands, its placeholders filled, in folders apart; why it failed, or nothing."""
    weights = next(iter(sorted(runs.rglob("weights.pt"))), None)
    places = {"{data}": str(data), "{runs}": str(runs), "{weights}": str(weights)}
    words = [places.get(word, word) for word in shlex.split(command)[1:]]
    folders = {**os.environ, "MEDBENCH_RUNS": str(runs), "MEDBENCH_LEADERBOARDS": str(runs / "boards")}
    process = subprocess.run(
        [sys.executable, "-m", "medbench", *words], capture_output=True, text=True, check=False, env=folders
    )
    last = (process.stderr.strip().splitlines() or ["no message"])[-1]
    return last if process.returncode not in (0, 1) else ""
