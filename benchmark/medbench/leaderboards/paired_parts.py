"""Parts of a paired difference: the values that both runs have, and what each group contributes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medbench.core.result_table import CaseRow, MetricSpec, Statistic
from medbench.statistics import paired
from medbench.statistics.intervals import NOISE, Array, Interval, leave_one_out

_PROBES = 4


def usable(metric: MetricSpec, rows: Mapping[str, CaseRow]) -> set[str]:
    """Cases with a value in a column, or with what a pooled value is made of."""
    if metric.pooled:
        return {case for case, row in rows.items() if row.evidence}
    column = metric.name
    return {
        case
        for case, row in rows.items()
        if (score := row.scores.get(column)) is not None and score.value is not None
    }


@dataclass(frozen=True, slots=True)
class Pair:
    """A metric of two runs over the cases that both have a value for.

    Attributes:
        metric: the column.
        rows: the first run's rows, then the second's.
        owner: ``(cases,)`` group of each case.
        of_both: the statistic of ``rows``.
    """

    metric: MetricSpec
    rows: Sequence[CaseRow]
    owner: npt.NDArray[np.int64]
    of_both: Statistic

    @property
    def groups(self) -> int:
        """Number of groups."""
        return int(self.owner.max()) + 1

    def first(self, weights: Array) -> Array:
        """Values ``(n,)`` of the first run under ``(n, cases)`` weights."""
        return self.of_both(np.concatenate([weights, np.zeros_like(weights)], axis=-1))

    def second(self, weights: Array) -> Array:
        """Values ``(n,)`` of the second run under ``(n, cases)`` weights."""
        return self.of_both(np.concatenate([np.zeros_like(weights), weights], axis=-1))

    def change(self, weights: Array) -> Array:
        """Second minus first, ``(n,)``, under ``(n, cases)`` weights."""
        return np.asarray(self.second(weights) - self.first(weights))

    def exchanged(self, signs: Array) -> Array:
        """Second minus first, ``(n,)``, the runs exchanged where ``(n, groups)`` signs are −1."""
        own = (signs > 0).astype(np.float64)[:, self.owner]
        first = self.of_both(np.concatenate([own, 1 - own], axis=-1))
        second = self.of_both(np.concatenate([1 - own, own], axis=-1))
        return np.asarray(second - first)

    def mean_contributions(self, difference: float, noise: float) -> paired.Contributions | None:
        """Contributions of the groups where the metric is a plain mean over cases, else nothing."""
        if self.metric.pooled:
            return None
        values = np.array([row.scores[self.metric.name].value for row in self.rows], np.float64)
        parts = paired.mean_contributions(values[: len(self.owner)], values[len(self.owner) :], self.owner)
        probes = np.random.default_rng(0).choice(np.array([-1.0, 1.0]), (_PROBES, self.groups))
        due = [parts.difference, *(probes @ parts.values)]
        actual = [difference, *self.exchanged(probes)]
        return parts if np.allclose(due, actual, rtol=0, atol=1e3 * noise) else None


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts from which interval and tests of a difference are computed.

    Attributes:
        contributions: of the groups that bear on the value; ``None`` where no group differs.
        plain: whether they add up to the difference, as those of a mean over cases do.
        without: the difference with one group left out.
        differing: groups that differ.
        signs: exchanges.
        signs_of_contributions: exchanges of the groups that contribute.
        noise: size of what is rounding.
    """

    contributions: paired.Contributions | None
    plain: bool
    without: Array
    differing: int
    signs: Array
    signs_of_contributions: Array
    noise: float


def parts_of(pair: Pair, one: float, other: float, seed: int) -> Parts:
    """The parts of ``other − one``, the values of a pair's second and first run."""
    difference, noise = other - one, NOISE * max(1.0, abs(one), abs(other))
    signs = paired.exchanges(pair.groups, seed)
    parts = pair.mean_contributions(difference, noise)
    if parts is not None:
        several = pair.groups > 1
        without = (parts.difference - parts.values) / (1 - parts.weights) if several else np.array([np.nan])
        return Parts(parts, True, without, int(np.count_nonzero(parts.values)), signs, signs, noise)
    without = leave_one_out(pair.change, pair.owner)
    alone = pair.exchanged(1 - 2 * np.eye(pair.groups, dtype=np.float64))
    differs = ~(np.abs(alone - difference) <= noise)
    if not differs.any():
        return Parts(None, False, without, 0, signs, signs, noise)
    own = leave_one_out(pair.first, pair.owner)
    bears = differs | ~(np.abs(without - difference) <= noise) | ~(np.abs(own - one) <= noise)
    parts = paired.exchange_contributions(difference, alone, bears, noise)
    own_signs = paired.exchanges(len(parts.values), seed)
    return Parts(parts, False, without, int(np.count_nonzero(differs)), signs, own_signs, noise)


def interval_of(parts: Parts, metric: MetricSpec) -> Interval:
    """The interval of the difference, within the range that differences have."""
    if parts.contributions is None:
        return Interval(0.0, 0.0, paired.IDENTICAL)
    if not np.isfinite([*parts.contributions.values, *([] if parts.plain else parts.without)]).all():
        return Interval(None, None, "undefined when one of the groups is left out")
    low, high = metric.bounds
    size = None if low is None or high is None else high - low
    interval = paired.exchange_interval(parts.contributions, parts.signs_of_contributions, size)
    if not parts.plain and interval.method == paired.INVERSION:
        interval = dataclasses.replace(interval, method=paired.FIRST_ORDER)
    if size is None or interval.low is None or interval.high is None:
        return interval
    return dataclasses.replace(interval, low=max(-size, interval.low), high=min(size, interval.high))
