"""Confidence intervals by resampling whole groups (patients, slides, videos).

Cases of one group are alike, so an interval over cases is far too narrow. Groups are resampled, and
below fifty of them a bootstrap-t is used, whose coverage holds where the percentile interval's does not;
for metrics bounded on both sides on the arcsine scale, where their errors are even up to the ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medbench.core.result_table import CaseRow, MetricSpec, Statistic

FEW_GROUPS = 50
LEAST_GROUPS = 6
"""With fewer, a resample often holds one group alone, and ends of bootstrap-t intervals run off."""
RESAMPLES = 1000
_BLOCK_ELEMENTS = 4_000_000

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval; ``None`` bounds where it cannot be had, and why in ``method``."""

    low: float | None
    high: float | None
    method: str


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A metric over a split, with its denominators.

    Attributes:
        value: the challenge's own aggregate; ``None`` when no case has a value.
        interval: 95 % confidence interval, resampled by group.
        groups: number of groups that entered.
        scored: cases with an ordinary score.
        failed: cases that failed; they take the declared rule's value where there is one.
        missing: cases without a prediction; likewise.
        undefined: cases where the metric has no answer; not in the value unless a rule gives one.
    """

    value: float | None
    interval: Interval
    groups: int
    scored: int
    failed: int
    missing: int
    undefined: int


def aggregate(
    statistic_of: Callable[[MetricSpec, Sequence[CaseRow]], Statistic],
    metric: MetricSpec,
    rows: Sequence[CaseRow],
    seed: int = 0,
) -> Aggregate:
    """The metric over all rows that it applies to.

    Args:
        statistic_of: how cases combine, e.g. ``challenge.scorer.statistic``.
        metric: the column.
        rows: cases of a run.
        seed: of the resampling; equal for all models, so that differences are paired.
    """
    if metric.pooled:
        relevant = used = [row for row in rows if row.evidence]
        statuses: list[str] = [row.status for row in relevant]
    else:
        relevant = [row for row in rows if metric.name in row.scores]
        statuses = [row.scores[metric.name].status for row in relevant]
        used = [row for row in relevant if row.scores[metric.name].value is not None]
    groups = sorted({row.group or row.case for row in used})
    value, interval = None, Interval(None, None, "no case has a value")
    if used:
        statistic = statistic_of(metric, used)
        estimate = float(statistic(np.ones((1, len(used))))[0])
        if np.isfinite(estimate):
            value = estimate
            index = {group: position for position, group in enumerate(groups)}
            owner = np.array([index[row.group or row.case] for row in used])
            interval = group_interval(statistic, owner, estimate, metric.bounds, seed)
    counts = [statuses.count(status) for status in ("ok", "failed", "missing", "undefined")]
    return Aggregate(value, interval, len(groups), *counts)


def group_interval(
    statistic: Statistic,
    owner: npt.NDArray[np.int64],
    estimate: float,
    bounds: tuple[float | None, float | None] = (None, None),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """95 % interval of a statistic of case weights, by resampling groups.

    Args:
        statistic: ``(resamples, cases)`` weights to ``(resamples,)`` values; NaN where undefined.
        owner: ``(cases,)`` group index of each case, 0 … groups − 1.
        estimate: the statistic with equal weights.
        bounds: the metric's range, which the interval is clipped to.
        seed: of the generator.
        resamples: number of bootstrap resamples.
    """
    n_groups = int(owner.max()) + 1
    if n_groups < LEAST_GROUPS:
        return Interval(None, None, f"{n_groups} groups are too few to resample")
    scale = _Scale(bounds)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=resamples).astype(float)
    values = scale.to(_evaluate(statistic, drawn, owner))
    finite = np.isfinite(values)
    if finite.sum() < resamples / 2:
        return Interval(None, None, "undefined in most resamples")
    if n_groups >= FEW_GROUPS:
        low, high = np.quantile(values[finite], [0.025, 0.975])
        return scale.back(low, high, "percentile bootstrap over groups")

    def scaled(weights: Array) -> Array:
        return scale.to(statistic(weights))

    centre = float(scale.to(np.array([estimate]))[0])
    own_error = _jackknife_errors(scaled, np.ones((1, n_groups)), owner)[0]
    errors = _jackknife_errors(scaled, drawn, owner)
    usable = finite & np.isfinite(errors) & (errors > 1e-12)
    if own_error <= 1e-12:
        return scale.back(centre, centre, "all groups agree")
    if not np.isfinite(own_error) or usable.sum() < resamples / 2:
        low, high = np.quantile(values[finite], [0.025, 0.975])
        return scale.back(low, high, "percentile bootstrap over groups (bootstrap-t undefined)")
    upper, lower = np.quantile((values[usable] - centre) / errors[usable], [0.975, 0.025])
    return scale.back(centre - upper * own_error, centre - lower * own_error, "bootstrap-t over groups")


@dataclass(frozen=True, slots=True)
class _Scale:
    """The scale on which errors are even: arcsine of the square root for metrics bounded on both sides."""

    bounds: tuple[float | None, float | None]

    def to(self, values: Array) -> Array:
        low, high = self.bounds
        if low is None or high is None:
            return values
        share = np.clip((values - low) / (high - low), 0, 1)
        angles: Array = np.arcsin(np.sqrt(share))
        return angles

    def back(self, low: float, high: float, method: str) -> Interval:
        least, most = self.bounds
        if least is not None and most is not None:
            ends = np.sin(np.clip([low, high], 0, np.pi / 2)) ** 2 * (most - least) + least
            return Interval(float(ends[0]), float(ends[1]), method)
        clip = (-np.inf if least is None else least, np.inf if most is None else most)
        return Interval(float(np.clip(low, *clip)), float(np.clip(high, *clip)), method)


def _evaluate(statistic: Statistic, group_weights: Array, owner: npt.NDArray[np.int64]) -> Array:
    """The statistic for ``(n, groups)`` multiplicities, in blocks of bounded memory."""
    block = max(1, _BLOCK_ELEMENTS // len(owner))
    parts = [
        statistic(group_weights[start : start + block][:, owner])
        for start in range(0, len(group_weights), block)
    ]
    return np.concatenate(parts)


def _jackknife_errors(statistic: Statistic, drawn: Array, owner: npt.NDArray[np.int64]) -> Array:
    """Delete-one-group standard error of each resample ``(n,)``."""
    n, n_groups = drawn.shape
    resample, group = np.nonzero(drawn)
    reduced = drawn[resample]
    reduced[np.arange(len(group)), group] -= 1
    values = _evaluate(statistic, reduced, owner)
    copies = drawn[resample, group]
    count = np.zeros(n)
    total = np.zeros(n)
    np.add.at(count, resample, np.where(np.isfinite(values), copies, 0))
    np.add.at(total, resample, np.where(np.isfinite(values), values * copies, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        deviation = np.where(np.isfinite(values), copies * (values - mean[resample]) ** 2, 0)
    squares = np.zeros(n)
    np.add.at(squares, resample, deviation)
    with np.errstate(invalid="ignore", divide="ignore"):
        error: npt.NDArray[np.float64] = np.sqrt(
            (count - 1) / count * squares * (n_groups / np.maximum(count, 1))
        )
    return error
