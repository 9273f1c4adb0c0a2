"""From rows to the run record, the run directory and the leaderboard."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from medbench.challenges.base import Challenge
from medbench.core.case import Case, Data
from medbench.core.result_table import CaseRow
from medbench.metrics.checks.invariants import check_case, check_counts
from medbench.records.environment import environment
from medbench.records.phases import Timing
from medbench.records.schema import ChallengeRecord, Counts, MetricRecord, ModelRecord, RunRecord
from medbench.statistics.intervals import aggregate

RECORD = "record.json"


def make_record(
    challenge: Challenge,
    data: Data,
    split: str,
    cases: Sequence[Case],
    rows: Sequence[CaseRow],
    timing: Timing,
    manifest: str,
    key: str,
    started: str,
    *,
    model: ModelRecord,
    settings: dict[str, Any],
    seed: int,
    device: str,
    command: str,
    citations: list[str],
) -> RunRecord:
    """Aggregate the rows and describe how they came about.

    Raises:
        MedbenchError: ``record.invariant`` when scores of a case contradict one another or cases are lost.
    """
    conventions = {spec.name: spec.convention for spec in challenge.metrics}
    for row in rows:
        check_case(row.case, row.scores, conventions)
    metrics = {}
    for spec in challenge.metrics:
        figures = aggregate(challenge.scorer.statistic, spec, rows, seed)
        if figures.scored + figures.failed + figures.missing + figures.undefined == 0:
            continue
        if not spec.pooled:
            check_counts(
                spec.title,
                sum(spec.name in row.scores for row in rows),
                scored=figures.scored,
                failed=figures.failed,
                missing=figures.missing,
                undefined=figures.undefined,
            )
        metrics[spec.name] = MetricRecord(
            title=spec.title,
            unit=spec.unit,
            better=spec.better,
            convention=spec.convention,
            protocol=spec.protocol,
            pooled=spec.pooled,
            value=figures.value,
            ci95_low=figures.interval.low,
            ci95_high=figures.interval.high,
            ci95_method=figures.interval.method,
            groups=figures.groups,
            scored=figures.scored,
            failed=figures.failed,
            missing=figures.missing,
            undefined=figures.undefined,
        )
    statuses = [row.status for row in rows]
    counts = Counts(
        total=len(rows),
        ok=statuses.count("ok"),
        failed=statuses.count("failed"),
        missing=statuses.count("missing"),
    )
    share = challenge.release.completeness(data.root, split) if data.kind == "real" else None
    facts = challenge.release.split_facts(split)
    check_counts("cases", len(cases), ok=counts.ok, failed=counts.failed, missing=counts.missing)
    return RunRecord(
        key=key,
        status="complete" if counts.ok == counts.total else "complete_with_failures",
        data=data.kind,
        model=model,
        challenge=ChallengeRecord(
            name=challenge.name,
            title=challenge.title,
            split=split,
            cases=len(cases),
            groups=len({case.resampling_unit for case in cases}),
            manifest_sha256=manifest,
            split_rule=facts.rule if facts else "",
            split_sha256=(facts.names_sha256 or None) if facts else None,
            present_cases=share[0] if share else None,
            released_cases=share[1] if share else None,
            subset=share is not None and share[0] < share[1],
            failure_rule=challenge.card.failure_rule,
            sample_version=challenge.release.sample_version if data.kind == "sample" else None,
            conventions=conventions,
        ),
        settings=settings,
        seed=seed,
        metrics=metrics,
        counts=counts,
        time_s={phase: round(seconds, 4) for phase, seconds in sorted(timing.items())},
        cases_timed=timing.cases,
        environment=environment(device),
        started=started,
        finished=now(),
        command=command,
        citations=citations,
    )


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
