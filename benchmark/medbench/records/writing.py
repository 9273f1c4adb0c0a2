"""From rows to the run record, the run directory and the leaderboard."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medbench.challenges.base import Challenge
from medbench.core.case import Case, Data
from medbench.core.result_table import FLAGS, CaseRow
from medbench.core.text import printable
from medbench.io.tables import plain_text
from medbench.metrics.checks.invariants import check_case, check_counts
from medbench.records.environment import environment
from medbench.records.measures import metric_records, subgroup_records
from medbench.records.phases import Timing
from medbench.records.schema import (
    ChallengeRecord,
    Counts,
    Environment,
    MetricRecord,
    ModelRecord,
    RunRecord,
)

SUBSTITUTE = "substitute"
"""Entry of a record's settings, and a file of a data folder: what data are that are not the release."""
NOTES = "notes"
"""Entry of a record's settings: what whoever reads the scores should know, in words."""
MARK = "mark"
"""Entry of a record's settings: what sets its results apart from those that are ranked."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The cases of a run, with their challenge, data and split.

    Attributes:
        challenge: the challenge.
        data: folder of the data.
        split: split of the cases.
        cases: the cases.
        manifest_sha256: hash over the files of the split.
    """

    challenge: Challenge
    data: Data
    split: str
    cases: Sequence[Case]
    manifest_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The origin of predictions, for the record of a run.

    Attributes:
        key: hash of everything that decides the result.
        model: facts of the model.
        settings: inference settings that decide the result.
        seed: of fresh weights and of the resampling.
        device: device of the network.
        command: the command that repeats the run.
        citations: citations of model and challenge.
        started: time of the start, as :func:`now` writes it.
        environment: machine and software that predicted; those of this process if not given.
    """

    key: str
    model: ModelRecord
    settings: Mapping[str, Any]
    seed: int
    device: str
    command: str
    citations: Sequence[str]
    started: str
    environment: Environment | None = None


def make_record(
    subject: Subject, rows: Sequence[CaseRow], timing: Timing, provenance: Provenance
) -> RunRecord:
    """The record of a run: metrics aggregated over its rows, and all facts to repeat it.

    Raises:
        MedbenchError: ``record.invariant`` when scores of a case contradict one another or cases are lost.
    """
    challenge, data, cases = subject.challenge, subject.data, subject.cases
    metrics = metric_records(challenge, rows, provenance.seed)
    _check(challenge, rows, metrics)
    statuses = [row.status for row in rows]
    counts = Counts(
        total=len(rows),
        ok=statuses.count("ok"),
        failed=statuses.count("failed"),
        missing=statuses.count("missing"),
    )
    check_counts("cases", len(cases), ok=counts.ok, failed=counts.failed, missing=counts.missing)
    return RunRecord(
        key=provenance.key,
        status="complete" if counts.ok == counts.total else "complete_with_failures",
        data=data.kind,
        model=provenance.model,
        challenge=_challenge_record(subject),
        settings=_settings(subject, provenance.settings, rows),
        seed=provenance.seed,
        metrics=metrics,
        subgroups=subgroup_records(challenge, rows, provenance.seed),
        counts=counts,
        time_s={phase: round(seconds, 4) for phase, seconds in sorted(timing.items())},
        cases_timed=timing.cases,
        environment=provenance.environment or environment(provenance.device, challenge),
        started=provenance.started,
        finished=now(),
        command=provenance.command,
        citations=list(provenance.citations),
    )


def _settings(subject: Subject, settings: Mapping[str, Any], rows: Sequence[CaseRow]) -> dict[str, Any]:
    """The settings with notes on suspicious cases, the split's mark, and what data stand for a release."""
    facts = subject.challenge.release.split_facts(subject.split)
    marks = [mark for mark in (settings.get(MARK), facts.mark if facts else "") if mark]
    notes = [*settings.get(NOTES, ()), *(f"{row.case}: {flag}" for row in rows for flag in _flags(row))]
    substitute = substitute_of(subject.data)
    other = {SUBSTITUTE: substitute} if substitute else {}
    other |= {MARK: "; ".join(marks)} if marks else {}
    return {**settings, **other, **({NOTES: notes} if notes else {})}


def substitute_of(data: Data) -> str:
    """Name of the real data that stand in for a release, from their file ``substitute.txt``; else empty.

    Raises:
        MedbenchError: for a file that is no text.
    """
    path = data.root / f"{SUBSTITUTE}.txt"
    if data.kind != "real" or not path.is_file():
        return ""
    return printable(" ".join(plain_text(path).split()))


def _flags(row: CaseRow) -> Sequence[str]:
    flags: Sequence[str] = row.evidence.get(FLAGS, ())
    return flags


def _check(challenge: Challenge, rows: Sequence[CaseRow], metrics: Mapping[str, MetricRecord]) -> None:
    """Refuse scores of a case that contradict one another, and counts that lose a case.

    Raises:
        MedbenchError: ``record.invariant``.
    """
    conventions = _conventions(challenge)
    for row in rows:
        check_case(row.case, row.scores, conventions)
    for name, metric in metrics.items():
        if not metric.pooled:
            check_counts(
                metric.title,
                sum(name in row.scores for row in rows),
                scored=metric.scored,
                failed=metric.failed,
                missing=metric.missing,
                undefined=metric.undefined,
            )


def _challenge_record(subject: Subject) -> ChallengeRecord:
    challenge, data, split = subject.challenge, subject.data, subject.split
    whole = data.kind != "real" or substitute_of(data)
    present = None if whole else challenge.release.completeness(data.root, split)
    facts = challenge.release.split_facts(split)
    return ChallengeRecord(
        name=challenge.name,
        title=challenge.title,
        split=split,
        cases=len(subject.cases),
        groups=len({case.resampling_unit for case in subject.cases}),
        manifest_sha256=subject.manifest_sha256,
        split_rule=facts.rule if facts else "",
        split_sha256=(facts.names_sha256 or None) if facts else None,
        present_cases=present[0] if present else None,
        released_cases=present[1] if present else None,
        subset=present is not None and present[0] < present[1],
        failure_rule=challenge.card.failure_rule,
        sample_version=challenge.release.sample_version if data.kind == "sample" else None,
        conventions=_conventions(challenge),
    )


def _conventions(challenge: Challenge) -> dict[str, str]:
    return {spec.name: spec.convention for spec in challenge.metrics}


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
