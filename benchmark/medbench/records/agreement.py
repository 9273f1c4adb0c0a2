"""Whether a record says what its cases say: counts and values are computed again from the rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow
from medbench.records.schema import RunRecord
from medbench.statistics.intervals import point_estimate

RELATIVE, ABSOLUTE = 1e-9, 1e-12
"""Two sums of the same numbers may differ by so much where the processor's library adds in another order."""


def disagreement(record: RunRecord, rows: Sequence[CaseRow]) -> str:
    """The first thing that a record says otherwise than its rows, in a few words; empty where they agree.

    The values of a challenge that is not here (of a plug-in that is not loaded) are not computed again.
    """
    statuses = [row.status for row in rows]
    for status in ("ok", "failed", "missing"):
        count, stated = statuses.count(status), getattr(record.counts, status)
        if count != stated:
            return f"{count} cases are {status}, the record says {stated}"
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
        stated = (metric.scored, metric.failed, metric.missing, metric.undefined)
        if counts != stated:
            return f"{name} has the counts {counts}, the record says {stated}"
        if not _same(value, metric.value):
            return f"{name} is {value}, the record says {metric.value}"
    return ""


def _same(value: float | None, stated: float | None) -> bool:
    if value is None or stated is None:
        return value is stated
    return math.isclose(value, stated, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
