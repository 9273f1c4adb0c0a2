"""The measured part of a record, from the rows of its cases: metrics with their spread, and subgroups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medbench.challenges.base import Challenge
from medbench.core.result_table import CaseRow, MetricSpec
from medbench.records.schema import MetricRecord, SpreadRecord, SubgroupRecord
from medbench.statistics.intervals import Aggregate, aggregate
from medbench.statistics.summaries import by_subgroup, spread

MOST_SUBGROUPS = 12
"""A manifest column with more values than this names no subgroups."""


def metric_records(challenge: Challenge, rows: Sequence[CaseRow], seed: int) -> dict[str, MetricRecord]:
    """Every column that applies to the rows: value, interval, counts and spread.

    Args:
        challenge: whose columns.
        rows: cases of a run.
        seed: of the resampling of metrics without a range.
    """
    metrics = {}
    for spec in challenge.metrics:
        figures = aggregate(challenge.scorer.statistic, spec, rows, seed)
        if figures.scored + figures.failed + figures.missing + figures.undefined == 0:
            continue
        metrics[spec.name] = MetricRecord(
            title=spec.title,
            unit=spec.unit,
            better=spec.better,
            convention=spec.convention,
            protocol=spec.protocol,
            pooled=spec.pooled,
            spread=None if spec.pooled else _spread(spec, rows),
            **_figures(figures),
        )
    return metrics


def _figures(figures: Aggregate) -> dict[str, Any]:
    return {
        "value": figures.value,
        "ci95_low": figures.interval.low,
        "ci95_high": figures.interval.high,
        "ci95_method": figures.interval.method,
        "groups": figures.groups,
        "scored": figures.scored,
        "failed": figures.failed,
        "missing": figures.missing,
        "undefined": figures.undefined,
    }


def _spread(spec: MetricSpec, rows: Sequence[CaseRow]) -> SpreadRecord | None:
    own = spread(spec, rows)
    if own is None:
        return None
    return SpreadRecord(
        cases=own.cases,
        mean=own.mean,
        sd=own.sd,
        median=own.median,
        q25=own.quartiles[0],
        q75=own.quartiles[1],
        worst=own.worst,
        worst_case=own.worst_case,
    )


def subgroup_columns(rows: Sequence[CaseRow]) -> list[str]:
    """Manifest columns that part the cases: two values or more, fewer than cases, and not too many."""
    names = sorted({name for row in rows for name in row.facts})
    values = {name: {row.facts[name] for row in rows if name in row.facts} for name in names}
    return [name for name in names if 2 <= len(values[name]) <= min(MOST_SUBGROUPS, len(rows) - 1)]


def subgroup_records(
    challenge: Challenge, rows: Sequence[CaseRow], seed: int
) -> dict[str, dict[str, dict[str, SubgroupRecord]]]:
    """The headline columns over the cases of each subgroup: manifest column -> its value -> metric.

    Args:
        challenge: whose columns.
        rows: cases of a run, with the manifest's columns in their facts.
        seed: of the resampling of metrics without a range.
    """
    subgroups: dict[str, dict[str, dict[str, SubgroupRecord]]] = {}
    for column in subgroup_columns(rows):
        members = {row.case: row.facts[column] for row in rows if column in row.facts}
        for spec in (metric for metric in challenge.metrics if metric.headline):
            by_name = by_subgroup(challenge.scorer.statistic, spec, rows, members, seed)
            for name, figures in by_name.items():
                if figures.scored + figures.failed + figures.missing + figures.undefined:
                    own = SubgroupRecord.model_validate(_figures(figures))
                    subgroups.setdefault(column, {}).setdefault(name, {})[spec.name] = own
    return subgroups
