"""Confidence intervals over groups (patients, slides, videos), since cases of one group are alike.

Each interval is made of the values that the metric takes when one group is left out, so that none is dropped
and the method is the same for any number of groups. Two methods, chosen by simulation (``docs/evidence``):

- A metric with a range (Dice, accuracy) has a score interval: all values that Student's t, with the standard
  error that belongs to that value, does not refute. Wilson's interval of a share is the case of one frame a
  group.
- A metric without an end on one side (distances) has a bootstrap-t interval over the groups' pseudo-values.

Groups that all agree tell nothing of how groups differ. Then the interval is an exact bound: with 97.5 %
confidence at most ``1 - 0.025 ** (1 / groups)`` of all groups differ, each by no more than the range.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from medbench.core.result_table import CaseRow, MetricSpec, Statistic

LEAST_GROUPS = 6
"""With fewer, no two-sided test of differences by group can reach 0.05, and an interval says nothing."""
RESAMPLES = 1000
NOISE = 1e-12
"""Relative size, from 1 on, below which a difference is rounding."""
SCORE = "Student score interval over groups"
BOOTSTRAP_T = "bootstrap-t over groups"
AGREEMENT = "all groups agree: exact bound"
_LEAST_ERROR = 0.1
"""Resamples whose groups agree have this share of the sample's standard error instead of none."""
_BLOCK_ELEMENTS = 4_000_000
_CACHING = threading.Lock()
"""Of columns that are aggregated at the same time, one makes what the others find."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval; both ends are ``None`` where there is none, and ``method`` says why."""

    low: float | None
    high: float | None
    method: str


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A metric over a split, with its denominators.

    Attributes:
        value: the challenge's own aggregate; ``None`` when no case has a value.
        interval: 95 % confidence interval over groups.
        groups: number of groups that entered.
        scored: cases with an ordinary score.
        failed: cases that failed, with the value of the failure rule where it gives one.
        missing: cases without a prediction, with the value of the failure rule where it gives one.
        undefined: cases where the metric has no answer, not in the value unless a rule gives one.
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
    """A metric over all rows that it applies to, with its interval.

    Args:
        statistic_of: how cases combine, e.g. ``challenge.scorer.statistic``.
        metric: the column.
        rows: cases of a run.
        seed: of the resampling of metrics without a range.
    """
    entrants, counts = _used(metric, rows)
    groups = sorted({row.group or row.case for row in entrants})
    value, interval = None, Interval(None, None, "no case has a value")
    if entrants:
        statistic = statistic_of(metric, entrants)
        value = _finite(statistic, len(entrants))
        if value is not None:
            index = {group: position for position, group in enumerate(groups)}
            owner = np.array([index[row.group or row.case] for row in entrants])
            interval = group_interval(statistic, owner, value, metric.bounds, seed)
    return Aggregate(value, interval, len(groups), *counts)


def point_estimate(
    statistic_of: Callable[[MetricSpec, Sequence[CaseRow]], Statistic],
    metric: MetricSpec,
    rows: Sequence[CaseRow],
) -> tuple[float | None, tuple[int, int, int, int]]:
    """Value and numbers of scored, failed, missing and undefined cases, as :func:`aggregate` has them."""
    entrants, counts = _used(metric, rows)
    return (_finite(statistic_of(metric, entrants), len(entrants)) if entrants else None), counts


def _used(metric: MetricSpec, rows: Sequence[CaseRow]) -> tuple[list[CaseRow], tuple[int, int, int, int]]:
    """Rows that enter a metric, and how many of those that it applies to have each status."""
    if metric.pooled:
        entrants = [row for row in rows if row.evidence]
        statuses: list[str] = [row.status for row in entrants]
    else:
        relevant = [row for row in rows if metric.name in row.scores]
        statuses = [row.scores[metric.name].status for row in relevant]
        entrants = [row for row in relevant if row.scores[metric.name].value is not None]
    count = statuses.count
    return entrants, (count("ok"), count("failed"), count("missing"), count("undefined"))


def _finite(statistic: Statistic, cases: int) -> float | None:
    value = float(statistic(np.ones((1, cases)))[0])
    return value if np.isfinite(value) else None


def group_interval(
    statistic: Statistic,
    owner: npt.NDArray[np.int64],
    estimate: float,
    bounds: tuple[float | None, float | None] = (None, None),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """95 % interval over groups of a statistic of case weights.

    Args:
        statistic: ``(n, cases)`` weights to ``(n,)`` values; NaN where undefined.
        owner: ``(cases,)`` group index of each case, 0 … groups − 1.
        estimate: the statistic with equal weights.
        bounds: the metric's range, which no end leaves.
        seed: of the resampling; not used for a metric with a range.
        resamples: number of bootstrap resamples; not used for a metric with a range.
    """
    n_groups = int(owner.max()) + 1
    if n_groups < LEAST_GROUPS:
        return Interval(None, None, f"{n_groups} groups are too few for an interval")
    without = leave_one_out(statistic, owner)
    if not np.isfinite(without).all():
        return Interval(None, None, "undefined when one of the groups is left out")
    low, high = bounds
    if agree(without, estimate):
        return agreement_bound(estimate, n_groups, bounds)
    if low is not None and high is not None:
        share = min(1.0, max(0.0, (estimate - low) / (high - low)))
        ends = _score_ends(share, standard_error(without) / (high - low), n_groups)
        return Interval(low + ends[0] * (high - low), low + ends[1] * (high - low), SCORE)
    ends = _bootstrap_t_ends(without, estimate, seed, resamples)
    clip = (-np.inf if low is None else low, np.inf if high is None else high)
    return Interval(float(np.clip(ends[0], *clip)), float(np.clip(ends[1], *clip)), BOOTSTRAP_T)


def leave_one_out(statistic: Statistic, owner: npt.NDArray[np.int64]) -> Array:
    """The statistic without each of the groups in turn, ``(groups,)``; NaN where undefined.

    Args:
        statistic: ``(n, cases)`` weights to ``(n,)`` values.
        owner: ``(cases,)`` group index of each case.
    """
    return np.concatenate([statistic(weights) for weights in _without_each(owner)])


def _without_each(owner: npt.NDArray[np.int64]) -> Iterator[Array]:
    """Weights 0 and 1 that leave out each group in turn, ``(groups of a block, cases)``."""
    n_groups = int(owner.max()) + 1
    block = max(1, _BLOCK_ELEMENTS // len(owner))
    if n_groups <= block:
        with _CACHING:
            weights = _without_each_at_once(owner.tobytes(), n_groups)
        yield weights
        return
    for start in range(0, n_groups, block):
        yield (owner != np.arange(start, min(start + block, n_groups))[:, None]).astype(np.float64)


@lru_cache(maxsize=1)
def _without_each_at_once(owner: bytes, n_groups: int) -> Array:
    """The same for all groups, kept for the next column of the same cases; not to be written to."""
    weights: Array = (np.frombuffer(owner, np.int64) != np.arange(n_groups)[:, None]).astype(np.float64)
    weights.flags.writeable = False
    return weights


def standard_error(without: Array) -> float:
    """Delete-one-group (jackknife) standard error from the values without each group, ``(groups,)``."""
    n_groups = len(without)
    return float(np.sqrt((n_groups - 1) / n_groups * np.sum((without - without.mean()) ** 2)))


def agree(without: Array, estimate: float) -> bool:
    """Whether it makes no difference, but for rounding, which of the groups is left out."""
    return bool(np.ptp(without) <= 2 * NOISE * max(1.0, abs(estimate)))


def agreement_bound(
    estimate: float, n_groups: int, bounds: tuple[float | None, float | None] = (None, None)
) -> Interval:
    """Exact interval of a mean when all groups agree, as Clopper and Pearson's of 0 in ``n_groups``.

    Args:
        estimate: the value that all groups have.
        n_groups: how many there are.
        bounds: the metric's range; without one there is no interval.

    >>> bound = agreement_bound(1.0, 12, (0.0, 1.0))
    >>> round(bound.low, 3), bound.high
    (0.735, 1.0)
    """
    low, high = bounds
    if low is None or high is None:
        return Interval(None, None, "all groups agree, and a metric without a range has no exact bound then")
    differing = 1 - 0.025 ** (1 / n_groups)
    return Interval(
        estimate - differing * (estimate - low), estimate + differing * (high - estimate), AGREEMENT
    )


def _score_ends(share: float, error: float, n_groups: int) -> tuple[float, float]:
    """Ends within 0 … 1: the shares p for which |share − p| is t standard errors, which go as √(p(1 − p))."""
    from scipy.special import stdtrit

    quantile = stdtrit(n_groups - 1, 0.975) ** 2
    size = share * (1 - share) / error**2
    centre = (share * size + quantile / 2) / (size + quantile)
    half = np.sqrt(quantile * (share * (1 - share) * size + quantile / 4)) / (size + quantile)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _bootstrap_t_ends(without: Array, estimate: float, seed: int, resamples: int) -> tuple[float, float]:
    """Ends from the Studentised means of resampled pseudo-values; every resample counts."""
    n_groups = len(without)
    pseudo_values = (n_groups - 1) * (without.mean() - without)
    own_error = standard_error(without)
    small = resamples * n_groups <= _BLOCK_ELEMENTS
    draw = _resampling_weights if small else _resampling_weights.__wrapped__
    with _CACHING:
        weights = draw(n_groups, seed, resamples)
    means = weights @ pseudo_values
    spread = np.maximum(weights @ pseudo_values**2 - means**2, 0)
    errors = np.maximum(np.sqrt(spread / (n_groups - 1)), _LEAST_ERROR * own_error)
    upper, lower = np.quantile(means / errors, [0.975, 0.025])
    return float(estimate - upper * own_error), float(estimate - lower * own_error)


@lru_cache(maxsize=1)
def _resampling_weights(n_groups: int, seed: int, resamples: int) -> Array:
    """Shares of the groups in each resample ``(resamples, groups)``, kept for the next column."""
    equal = np.full(n_groups, 1 / n_groups)
    weights = np.random.default_rng(seed).multinomial(n_groups, equal, size=resamples) / n_groups
    weights.flags.writeable = False
    return weights
