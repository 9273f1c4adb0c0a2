"""Paired comparison of runs on the same cases: differences, intervals, p-values.

Everything is by group (patient, sequence, video), since cases of one group are alike. The difference is
second run minus first; its interval resamples groups. Two tests: a permutation test that exchanges the two
runs' results group by group (it works for pooled metrics too), and Wilcoxon's signed-rank test on the groups'
mean differences. p-values are corrected by Holm's step-down method over all metrics and pairs of one
comparison.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow, MetricSpec, Statistic
from medbench.records.reading import Run
from medbench.statistics.intervals import Interval, group_interval
from medbench.statistics.paired import Array, holm, permutation_p, wilcoxon_p


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of two runs.

    Attributes:
        metric: the column.
        first: title of the first run.
        second: title of the second run.
        values: the metric of both, over the cases that both have a value for.
        difference: second minus first.
        interval: 95 %, groups resampled.
        cases: cases that both have a value for.
        left_out: cases that only one of them, or neither, has a value for.
        groups: groups of those cases.
        p_permutation: two-sided, runs exchanged group by group.
        p_wilcoxon: two-sided, on mean differences by group; ``None`` for pooled metrics.
        p_permutation_holm: the same, corrected.
        p_wilcoxon_holm: the same, corrected.
    """

    metric: MetricSpec
    first: str
    second: str
    values: tuple[float | None, float | None]
    difference: float | None
    interval: Interval
    cases: int
    left_out: int
    groups: int
    p_permutation: float | None = None
    p_wilcoxon: float | None = None
    p_permutation_holm: float | None = None
    p_wilcoxon_holm: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "metric": self.metric.name,
            "title": self.metric.title,
            "unit": self.metric.unit,
            "better": self.metric.better,
            "protocol": self.metric.protocol,
            "convention": self.metric.convention,
            "first": {"run": self.first, "value": self.values[0]},
            "second": {"run": self.second, "value": self.values[1]},
            "difference": self.difference,
            "ci95": [self.interval.low, self.interval.high],
            "ci95_method": self.interval.method,
            "cases": self.cases,
            "left_out": self.left_out,
            "groups": self.groups,
            "p_permutation": self.p_permutation,
            "p_permutation_holm": self.p_permutation_holm,
            "p_wilcoxon": self.p_wilcoxon,
            "p_wilcoxon_holm": self.p_wilcoxon_holm,
        }


def compare_runs(runs: Sequence[Run], metrics: Sequence[str] = (), seed: int = 0) -> list[Difference]:
    """Every pair of runs in every metric.

    Args:
        runs: two or more, of the same challenge, split, files and kind of data.
        metrics: columns; all that both runs have if none is named.
        seed: of resampling and permutations.

    Raises:
        MedbenchError: ``compare.runs`` for fewer than two, ``compare.population`` when they were not measured
            on the same, ``metric.unknown``.
    """
    if len(runs) < 2:
        raise MedbenchError("compare.runs", "A comparison needs two runs.", "Give their folders or keys.")
    for run in runs[1:]:
        _check_same(runs[0], run)
    challenge = load_challenge(runs[0].record.challenge.name)
    wanted = [challenge.metric(name) for name in metrics] or list(challenge.metrics)
    found = [
        _difference(challenge, spec, first, second, seed)
        for first, second in itertools.combinations(runs, 2)
        for spec in wanted
        if all(spec.name in run.record.metrics for run in (first, second))
    ]
    return _corrected(found)


def _check_same(first: Run, second: Run) -> None:
    one, other = first.record, second.record
    for what, a, b in (
        ("challenge", one.challenge.name, other.challenge.name),
        ("kind of data", one.data, other.data),
        ("split", one.challenge.split, other.challenge.split),
        ("files", one.challenge.manifest_sha256[:12], other.challenge.manifest_sha256[:12]),
        ("definitions", one.challenge.conventions, other.challenge.conventions),
    ):
        if a != b:
            shown = "" if isinstance(a, dict) else f": {a} and {b}"
            raise MedbenchError(
                "compare.population",
                f"{first.title} and {second.title} differ in their {what}{shown}.",
                "Paired statistics need runs on the same cases by the same definitions.",
            )


def _usable(metric: MetricSpec, row: CaseRow) -> bool:
    if metric.pooled:
        return bool(row.evidence)
    score = row.scores.get(metric.name)
    return score is not None and score.value is not None


def _difference(challenge: Challenge, metric: MetricSpec, first: Run, second: Run, seed: int) -> Difference:
    concerned = [
        name
        for name, row in first.rows.items()
        if (bool(row.evidence) if metric.pooled else metric.name in row.scores)
    ]
    shared = [
        name for name in concerned if _usable(metric, first.rows[name]) and _usable(metric, second.rows[name])
    ]
    units = [first.rows[name].group or name for name in shared]
    groups = {unit: index for index, unit in enumerate(dict.fromkeys(units))}
    counts = (len(shared), len(concerned) - len(shared), len(groups))
    if not shared:
        nothing = Interval(None, None, "no case has a value in both")
        return Difference(metric, first.title, second.title, (None, None), None, nothing, *counts)
    owner = np.array([groups[unit] for unit in units])
    both = [run.rows[name] for run in (first, second) for name in shared]
    of_both = challenge.scorer.statistic(metric, both)
    ones = np.ones((1, len(shared)))
    one, other = float(_of_first(of_both, ones)[0]), float(_of_second(of_both, ones)[0])
    if not (np.isfinite(one) and np.isfinite(other)):
        nothing = Interval(None, None, "the metric has no value on these cases")
        return Difference(metric, first.title, second.title, (None, None), None, nothing, *counts)

    def change(weights: Array) -> Array:
        return np.asarray(_of_second(of_both, weights) - _of_first(of_both, weights))

    interval = group_interval(change, owner, other - one, seed=seed)
    return Difference(
        metric,
        first.title,
        second.title,
        (one, other),
        other - one,
        interval,
        *counts,
        permutation_p(of_both, owner, seed),
        None if metric.pooled else wilcoxon_p(metric, both, owner),
    )


def _of_first(of_both: Statistic, weights: Array) -> Array:
    return of_both(np.concatenate([weights, np.zeros_like(weights)], axis=-1))


def _of_second(of_both: Statistic, weights: Array) -> Array:
    return of_both(np.concatenate([np.zeros_like(weights), weights], axis=-1))


def _corrected(differences: Sequence[Difference]) -> list[Difference]:
    permutation = holm([d.p_permutation for d in differences])
    wilcoxon = holm([d.p_wilcoxon for d in differences])
    return [
        dataclasses.replace(d, p_permutation_holm=p, p_wilcoxon_holm=w)
        for d, p, w in zip(differences, permutation, wilcoxon, strict=True)
    ]
