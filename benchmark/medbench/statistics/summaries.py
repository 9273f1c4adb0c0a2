"""Summaries of a column beside its aggregate: spread over cases, subgroups, repetitions with other seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medbench.core.result_table import CaseRow, MetricSpec, Statistic
from medbench.core.score import Better
from medbench.statistics.intervals import Aggregate, aggregate


@dataclass(frozen=True, slots=True)
class Spread:
    """How a metric is spread over cases.

    Attributes:
        cases: number of cases with a value.
        mean: arithmetic mean.
        sd: standard deviation with ``cases − 1``; ``None`` for one case.
        median: 50 % quantile.
        quartiles: 25 % and 75 % quantiles, interpolated linearly.
        worst: the worst value; of a signed column the one farthest from 0.
        worst_case: id of the first case that has it.
    """

    cases: int
    mean: float
    sd: float | None
    median: float
    quartiles: tuple[float, float]
    worst: float
    worst_case: str


def _badness(metric: MetricSpec, value: float) -> float:
    if metric.signed:
        return abs(value)
    return -value if metric.better == "higher" else value


def spread(metric: MetricSpec, rows: Sequence[CaseRow]) -> Spread | None:
    """Mean, sd, median, quartiles and worst case of a column; ``None`` when no case has a value.

    Args:
        metric: a column that cases have (not a pooled one).
        rows: cases of a run; those without a value are left out.
    """
    values = _values(metric, rows)
    if not values:
        return None
    numbers = np.array(list(values.values()), np.float64)
    case = max(values, key=lambda name: _badness(metric, values[name]))
    low, median, high = np.quantile(numbers, [0.25, 0.5, 0.75])
    return Spread(
        len(numbers),
        float(numbers.mean()),
        float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
        float(median),
        (float(low), float(high)),
        values[case],
        case,
    )


def _values(metric: MetricSpec, rows: Sequence[CaseRow]) -> dict[str, float]:
    scores = {row.case: row.scores.get(metric.name) for row in rows}
    return {case: float(score.value) for case, score in scores.items() if score and score.value is not None}


def by_subgroup(
    statistic_of: Callable[[MetricSpec, Sequence[CaseRow]], Statistic],
    metric: MetricSpec,
    rows: Sequence[CaseRow],
    subgroup_of: Mapping[str, str],
    seed: int = 0,
) -> dict[str, Aggregate]:
    """A metric with its interval over each subgroup of cases (centre, scanner, disease model), by name.

    Args:
        statistic_of: how cases combine, e.g. ``challenge.scorer.statistic``.
        metric: the column.
        rows: cases of a run.
        subgroup_of: case id -> its subgroup, as the manifest has it; cases that it lacks are in none.
        seed: of the resampling of metrics without a range.
    """
    members: dict[str, list[CaseRow]] = {}
    for row in rows:
        if row.case in subgroup_of:
            members.setdefault(subgroup_of[row.case], []).append(row)
    return {name: aggregate(statistic_of, metric, members[name], seed) for name in sorted(members)}


@dataclass(frozen=True, slots=True)
class Repetitions:
    """A metric over runs that differ in nothing but the seed.

    Attributes:
        mean: over the runs.
        sd: standard deviation between runs with ``runs − 1``; ``None`` for one run.
        worst: the worst run's value.
        runs: number of runs.
    """

    mean: float
    sd: float | None
    worst: float
    runs: int


def over_seeds(values: Sequence[float], better: Better) -> Repetitions:
    """Mean ± sd of a metric over seeds.

    Args:
        values: the metric's aggregate in each run, one or more.
        better: direction.

    >>> over_seeds([0.5, 1.0, 0.75], "higher")
    Repetitions(mean=0.75, sd=0.25, worst=0.5, runs=3)
    """
    numbers = np.array(values, np.float64)
    return Repetitions(
        float(numbers.mean()),
        float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
        float(numbers.min() if better == "higher" else numbers.max()),
        len(numbers),
    )
