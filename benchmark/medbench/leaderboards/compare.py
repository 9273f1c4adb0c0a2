"""Paired comparison of runs on the same cases: differences, intervals, p-values, equivalence.

Everything is by group (patient, sequence, video), since cases of one group are alike. The difference is
second run minus first, of the metric as the challenge aggregates it; its interval and its permutation test
exchange the two runs' results group by group. What stands by group (wins, ties, losses, rank-biserial
correlation, Wilcoxon's test) is of the groups' mean differences instead, where each group counts once.
p-values are corrected by Holm's step-down method over one family of hypotheses: all pairs of runs in the
headline columns, or in the columns that were asked for.
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
from medbench.core.result_table import MetricSpec
from medbench.leaderboards.paired_parts import Pair, interval_of, parts_of, usable
from medbench.records.reading import Run
from medbench.statistics import paired
from medbench.statistics.intervals import Array, Interval, standard_error
from medbench.statistics.signed_rank import signed_rank_p, signed_ranks, without_noise


@dataclass(frozen=True, slots=True)
class ByGroup:
    """The groups' mean differences, each group once.

    Attributes:
        wins: groups in which the second run is better.
        ties: groups in which both are equal.
        losses: groups in which the second run is worse.
        rank_biserial: matched-pairs rank-biserial correlation, 1 when the second run is better in all that
            differ; ``None`` when none does.
        p_wilcoxon: two-sided signed-rank test.
        p_wilcoxon_holm: the same, corrected; ``None`` outside the family.
    """

    wins: int
    ties: int
    losses: int
    rank_biserial: float | None
    p_wilcoxon: float
    p_wilcoxon_holm: float | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of two runs.

    Attributes:
        metric: the column.
        first: title of the first run.
        second: title of the second run.
        values: the metric of both, over the cases that both have a value for.
        difference: second minus first.
        interval: 95 %, by group.
        cases: cases that both have a value for.
        left_out: cases that only one of them, or neither, has a value for.
        groups: groups of those cases.
        p_permutation: two-sided, runs exchanged group by group.
        p_permutation_holm: the same, corrected; ``None`` outside the family.
        least_p: the smallest ``p_permutation`` that these groups can give, corrected like the smallest.
        hypotheses: size of the family; 0 when this row is not of it.
        margin: the largest difference that was said not to matter.
        p_equivalence: of two one-sided t tests that the difference lies within ± ``margin``.
        by_group: the groups' mean differences; ``None`` for metrics that a single group has no value of, and
            for signed ones, of which neither direction is better.
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
    p_permutation_holm: float | None = None
    least_p: float | None = None
    hypotheses: int = 0
    margin: float | None = None
    p_equivalence: float | None = None
    by_group: ByGroup | None = None

    @property
    def p_wilcoxon(self) -> float | None:
        """Two-sided p by group, where there is one."""
        return self.by_group.p_wilcoxon if self.by_group else None

    @property
    def p_wilcoxon_holm(self) -> float | None:
        """The same, corrected."""
        return self.by_group.p_wilcoxon_holm if self.by_group else None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        by_group = self.by_group
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
            "least_p": self.least_p,
            "hypotheses": self.hypotheses,
            "margin": self.margin,
            "p_equivalence": self.p_equivalence,
            "wins": by_group.wins if by_group else None,
            "ties": by_group.ties if by_group else None,
            "losses": by_group.losses if by_group else None,
            "rank_biserial": by_group.rank_biserial if by_group else None,
            "p_wilcoxon": self.p_wilcoxon,
            "p_wilcoxon_holm": self.p_wilcoxon_holm,
        }


def compare_runs(
    runs: Sequence[Run], metrics: Sequence[str] = (), seed: int = 0, margin: float | None = None
) -> list[Difference]:
    """Every pair of runs in every metric.

    Args:
        runs: two or more, of the same challenge, split, files and kind of data.
        metrics: columns, which are then the family of hypotheses; if none is named, all that both runs have,
            of which the headline columns are the family.
        seed: of permutations.
        margin: the largest difference that does not matter, in the unit of the named metrics.

    Raises:
        MedbenchError: ``compare.runs`` for fewer than two, ``compare.population`` when they were not measured
            on the same, ``compare.margin``, ``metric.unknown``.
    """
    if len(runs) < 2:
        raise MedbenchError("compare.runs", "A comparison needs two runs.", "Give their folders or keys.")
    for run in runs[1:]:
        check_same(runs[0], run)
    challenge = load_challenge(runs[0].record.challenge.name)
    specs = [challenge.metric(name) for name in metrics]
    _check_margin(margin, specs)
    family = {
        spec.name for spec in specs or [m for m in challenge.metrics if m.headline] or challenge.metrics
    }
    differences = [
        _difference(challenge, spec, first, second, seed, margin)
        for first, second in itertools.combinations(runs, 2)
        for spec in specs or challenge.metrics
        if all(spec.name in run.record.metrics for run in (first, second))
    ]
    return _corrected(differences, family)


def interval_of_difference(
    first: Run, second: Run, name: str, seed: int = 0
) -> tuple[float | None, Interval]:
    """Second minus first in a column with its 95 % interval, as :func:`compare_runs` gives them, and no test.

    Args:
        first: a run.
        second: a run on the same cases.
        name: of the column.
        seed: of permutations.

    Raises:
        MedbenchError: ``compare.population`` or ``metric.unknown``.
    """
    check_same(first, second)
    challenge = load_challenge(first.record.challenge.name)
    bare, pair = _shared(challenge, challenge.metric(name), first, second)
    if pair is None:
        return bare.difference, bare.interval
    parts = parts_of(pair, *_known(bare), seed)
    return bare.difference, interval_of(parts, pair.metric)


def _check_margin(margin: float | None, columns: Sequence[MetricSpec]) -> None:
    if margin is None:
        return
    if margin <= 0:
        raise MedbenchError(
            "compare.margin",
            f"A margin of {margin} is not above 0.",
            "Give the largest difference that counts as equivalent.",
        )
    if len({spec.unit for spec in columns}) != 1:
        raise MedbenchError(
            "compare.margin",
            "A margin of equivalence has the unit of its metric.",
            "Name the metrics that it is meant for, all of one unit, with --metric.",
        )


def check_same(first: Run, second: Run) -> None:
    """Check that two runs were measured on the same cases by the same definitions.

    Raises:
        MedbenchError: ``compare.population`` naming what differs.
    """
    one, other = first.record, second.record
    for what, a, b in (
        ("challenge", one.challenge.name, other.challenge.name),
        ("kind of data", one.data, other.data),
        ("split", one.challenge.split, other.challenge.split),
        ("files", one.challenge.manifest_sha256[:12], other.challenge.manifest_sha256[:12]),
        ("definitions", one.challenge.conventions, other.challenge.conventions),
    ):
        if a != b:
            both = "" if isinstance(a, dict) else f": {a} and {b}"
            raise MedbenchError(
                "compare.population",
                f"{first.title} and {second.title} differ in their {what}{both}.",
                "Paired statistics need runs on the same cases by the same definitions.",
            )


def _shared(
    challenge: Challenge, metric: MetricSpec, first: Run, second: Run
) -> tuple[Difference, Pair | None]:
    """The difference without interval and tests, and the values that both runs have; none if it has none."""
    names = [
        name
        for name, row in first.rows.items()
        if (bool(row.evidence) if metric.pooled else metric.name in row.scores)
    ]
    both = usable(metric, first.rows) & usable(metric, second.rows)
    common = [name for name in names if name in both]
    units = [first.rows[name].group or name for name in common]
    groups = {unit: index for index, unit in enumerate(dict.fromkeys(units))}
    counts = (len(common), len(names) - len(common), len(groups))

    def nothing(why: str) -> tuple[Difference, None]:
        none = Interval(None, None, why)
        return Difference(metric, first.title, second.title, (None, None), None, none, *counts), None

    if not common:
        return nothing("no case has a value in both")
    rows = [run.rows[name] for run in (first, second) for name in common]
    pair = Pair(
        metric, rows, np.array([groups[unit] for unit in units]), challenge.scorer.statistic(metric, rows)
    )
    ones = np.ones((1, len(common)))
    one, other = float(pair.first(ones)[0]), float(pair.second(ones)[0])
    if not (np.isfinite(one) and np.isfinite(other)):
        return nothing("the metric has no value on these cases")
    none = Interval(None, None, "")
    return Difference(metric, first.title, second.title, (one, other), other - one, none, *counts), pair


def _known(bare: Difference) -> tuple[float, float]:
    return float(bare.values[0] or 0), float(bare.values[1] or 0)


def _difference(
    challenge: Challenge, metric: MetricSpec, first: Run, second: Run, seed: int, margin: float | None
) -> Difference:
    """The difference with its interval and tests."""
    bare, pair = _shared(challenge, metric, first, second)
    if pair is None:
        return bare
    parts = parts_of(pair, *_known(bare), seed)
    difference = float(bare.difference or 0)
    if parts.plain and parts.contributions is not None:
        p = paired.exchange_p(parts.contributions, parts.signs)
    else:
        p = paired.pooled_exchange_p(pair.exchanged, parts.signs, difference, parts.noise)
    least = paired.least_p(parts.differing, pair.groups)
    if pair.groups > paired.EXACT_GROUPS:
        p = max(p, least)  # which drawn exchanges may miss by chance
    return dataclasses.replace(
        bare,
        interval=interval_of(parts, pair.metric),
        p_permutation=p if pair.groups > 1 else None,
        least_p=least,
        margin=margin,
        p_equivalence=_equivalence(difference, parts.without, margin),
        by_group=None if pair.metric.pooled or pair.metric.signed else _by_group(pair),
    )


def _equivalence(difference: float, without: Array, margin: float | None) -> float | None:
    if margin is None or len(without) < 2 or not np.isfinite(without).all():
        return None
    return paired.equivalence_p(difference, standard_error(without), len(without), margin)


def _by_group(pair: Pair) -> ByGroup | None:
    if pair.groups < 2:
        return None
    values = np.array([row.scores[pair.metric.name].value for row in pair.rows], np.float64)
    cases = len(pair.owner)
    means = np.bincount(pair.owner, values[cases:] - values[:cases]) / np.bincount(pair.owner)
    gains = without_noise(means if pair.metric.better == "higher" else -means, float(np.abs(values).max()))
    return ByGroup(
        int(np.count_nonzero(gains > 0)),
        int(np.count_nonzero(gains == 0)),
        int(np.count_nonzero(gains < 0)),
        signed_ranks(gains).biserial,
        signed_rank_p(gains),
    )


def _corrected(differences: Sequence[Difference], family: set[str]) -> list[Difference]:
    of_family = [difference.metric.name in family for difference in differences]
    hypotheses = sum(of_family)
    rows = list(zip(differences, of_family, strict=True))
    permutation = paired.holm([d.p_permutation if inside else None for d, inside in rows])
    wilcoxon = paired.holm([d.p_wilcoxon if inside else None for d, inside in rows])
    return [
        dataclasses.replace(
            d,
            p_permutation_holm=p,
            hypotheses=hypotheses if inside else 0,
            least_p=None if d.least_p is None else min(1.0, d.least_p * (hypotheses if inside else 1)),
            by_group=d.by_group and dataclasses.replace(d.by_group, p_wilcoxon_holm=w),
        )
        for (d, inside), p, w in zip(rows, permutation, wilcoxon, strict=True)
    ]
