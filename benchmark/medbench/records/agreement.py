"""Whether a record says what its cases say: counts, values and intervals are computed again from the rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow
from medbench.core.text import counted_are
from medbench.records.measures import metric_records, subgroup_records
from medbench.records.schema import RunRecord
from medbench.statistics.intervals import point_estimate

RELATIVE, ABSOLUTE = 1e-9, 1e-12
"""Two sums of the same numbers may differ by so much where the processor's library adds in another order."""


def disagreement(record: RunRecord, rows: Sequence[CaseRow]) -> str:
    """The first count or value that a record says otherwise than its rows, in a few words; empty without one.

    The values of a challenge that is not here (of a plug-in that is not loaded) are not computed again.
    """
    statuses = [row.status for row in rows]
    for status in ("ok", "failed", "missing"):
        count, record_count = statuses.count(status), getattr(record.counts, status)
        if count != record_count:
            return f"{counted_are(count, 'case')} {status}, the record says {record_count}"
    if len({row.case for row in rows}) != len(rows):
        return "a case stands there twice"
    try:
        challenge = load_challenge(record.challenge.name)
    except MedbenchError:
        return ""
    return _differing_metric(challenge, record, rows)


def _differing_metric(challenge: Challenge, record: RunRecord, rows: Sequence[CaseRow]) -> str:
    specs = {spec.name: spec for spec in challenge.metrics}
    for name, metric in record.metrics.items():
        if name not in specs:
            continue
        value, counts = point_estimate(challenge.scorer.statistic, specs[name], rows)
        record_counts = (metric.scored, metric.failed, metric.missing, metric.undefined)
        if counts != record_counts:
            return f"{name} has the counts {counts}, the record says {record_counts}"
        if not same(value, metric.value):
            return f"{name} is {value}, the record says {metric.value}"
    return ""


def differing_cells(record: RunRecord, rows: Sequence[CaseRow]) -> Iterator[tuple[str, Any, Any]]:
    """Every cell of a record's metrics, subgroups and counts that its rows do not give.

    Records from before they held spread and subgroups are not asked for them.

    Yields:
        Place, such as ``metrics.dice.ci95_low``, what the record says, and what the rows give.

    Raises:
        MedbenchError: ``challenge.unknown`` for a challenge that is not here.
    """
    challenge = load_challenge(record.challenge.name)
    statuses = [row.status for row in rows]
    counts = {status: statuses.count(status) for status in ("ok", "failed", "missing")}
    again: dict[str, Any] = {
        "counts": {"total": len(rows), **counts},
        "metrics": {
            name: metric.model_dump() for name, metric in metric_records(challenge, rows, record.seed).items()
        },
        "subgroups": {
            column: {
                name: {metric: own.model_dump() for metric, own in metrics.items()}
                for name, metrics in names.items()
            }
            for column, names in subgroup_records(challenge, rows, record.seed).items()
        },
    }
    record_cells = record.model_dump(include=set(again))
    if record.environment.scoring_sha256 is None:
        for part in (record_cells, again):
            part["subgroups"] = {}
            part["metrics"] = {name: {**cells, "spread": None} for name, cells in part["metrics"].items()}
    yield from differing(record_cells, again)


def differing(one: Any, other: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Cells in which two JSON values differ by more than rounding: place and both contents."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in dict.fromkeys((*one, *other)):
            yield from differing(one.get(name), other.get(name), f"{place}.{name}" if place else str(name))
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differing(left, right, f"{place}[{index}]")
    elif not _equal(one, other):
        yield place, one, other


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return same(float(one), float(other))
    return bool(one == other)


def same(value: float | None, other: float | None) -> bool:
    """Whether two values are equal but for rounding."""
    if value is None or other is None:
        return value is other
    return math.isclose(value, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
