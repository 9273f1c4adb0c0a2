"""Ranking schemes of challenges, as functions of how often each group counts.

Every scheme takes weights ``(n, groups)``, one row of ones for the ranking itself and one row a resample for
its stability, and gives ranks ``(n, entries)`` from 1; entries that nothing separates share the better rank.

A missing value counts as the worst value of the metric's range, and as worse than every value where the
range has no worst end, so that losing a value never improves a rank. Cases that no entry has a value for say
nothing and are left out, save of the median, where leaving them out could improve a rank; there they count as
missing for all. In tests an entry that lacks a value which another has does not beat it, and loses to it
unless that other lacks one too. Values that differ by rounding are equal.

Sources: aggregate-then-rank, rank-then-aggregate and test-then-rank as defined by Wiesenfarth et al., Sci.
Rep. 2021 (challengeR); absolute, mean and median of ranks as grand-challenge.org's boards; the cumulative
rank over cases, regions and metrics with its permutation test as BraTS until 2022 described it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from medbench.core.score import Better
from medbench.statistics.paired import exchange_p, exchanges, holm, mean_contributions
from medbench.statistics.ranking import LEVEL, paired_gains
from medbench.statistics.signed_rank import signed_rank_p, without_noise

Array = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of several entries on the same cases.

    Attributes:
        name: of the metric.
        goodness: ``(entries, cases)`` of which more is better, of cases that an entry has a value for;
            −infinity where a value is missing and the range has no worst end. Empty for pooled metrics.
        owner: ``(cases,)`` group of each case.
        aggregate: weights ``(n, groups)`` to the entries' aggregates ``(n, entries)``, more is better.
        missing: ``(entries, cases)`` whether an entry has no value.
        silent: ``(silent cases,)`` group of each case that no entry has a value for.
        worst: the goodness of a missing value.
    """

    name: str
    goodness: Array
    owner: npt.NDArray[np.int64]
    aggregate: Callable[[Array], Array]
    missing: npt.NDArray[np.bool_]
    silent: npt.NDArray[np.int64]
    worst: float


def case_column(
    name: str,
    values: Array,
    owner: npt.NDArray[np.int64],
    better: Better,
    bounds: tuple[float | None, float | None] = (None, None),
) -> Column:
    """A column whose aggregate is the mean over cases.

    Args:
        name: of the metric.
        values: ``(entries, cases)``; NaN where missing.
        owner: ``(cases,)`` group of each case.
        better: direction.
        bounds: the metric's range.
    """
    present = np.asarray(~np.isnan(values).all(axis=0))
    goodness, present_owner = fill_missing(values, better, bounds)[:, present], owner[present]

    def mean(weights: Array) -> Array:
        return weighted_mean(goodness, weights[:, present_owner])

    missing = np.isnan(values[:, present])
    return Column(
        name, goodness, present_owner, mean, missing, owner[~present], worst_goodness(better, bounds)
    )


def worst_goodness(better: Better, bounds: tuple[float | None, float | None]) -> float:
    """The worst end of a range as goodness, −infinity where there is none.

    >>> worst_goodness("higher", (0.0, 1.0)), worst_goodness("lower", (0.0, None))
    (0.0, -inf)
    """
    end = bounds[0] if better == "higher" else bounds[1]
    return -np.inf if end is None else end if better == "higher" else -end


def fill_missing(values: Array, better: Better, bounds: tuple[float | None, float | None]) -> Array:
    """Values of which more is better, missing ones as the worst of the range or −infinity.

    >>> fill_missing(np.array([2.0, np.nan]), "lower", (0.0, None)).tolist()
    [-2.0, -inf]
    """
    sign = 1.0 if better == "higher" else -1.0
    return np.where(np.isnan(values), worst_goodness(better, bounds), sign * values)


def weighted_mean(goodness: Array, weights: Array) -> Array:
    """Means ``(n, entries)`` for case weights ``(n, cases)``; −infinity where a missing value counts."""
    missing = np.isneginf(goodness)
    total = weights.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = weights @ np.where(missing, 0.0, goodness).T / total
    return np.where((weights @ missing.T > 0) | (total == 0), -np.inf, means)


def weighted_median(goodness: Array, weights: Array) -> Array:
    """Medians ``(n, entries)`` for whole case weights ``(n, cases)``, mid-way between two middles."""
    half = weights.sum(axis=1, keepdims=True) / 2
    medians = []
    for own in goodness:
        order = np.argsort(own, kind="stable")
        cumulative = np.cumsum(weights[:, order], axis=1)
        lower = own[order][np.argmax(cumulative >= half, axis=1)]
        upper = own[order][np.argmax(cumulative > half, axis=1)]
        medians.append(np.where(np.isneginf(lower), -np.inf, (lower + upper) / 2))
    return np.array(medians).T


def competition_ranks(goodness: Array) -> Ranks:
    """1 + the number of entries that are better, along the last axis.

    >>> competition_ranks(np.array([0.3, 0.1 + 0.2, 0.5, -np.inf])).tolist()
    [2, 2, 1, 4]
    """
    own = _comparable(goodness)
    return np.asarray(1 + (own[..., None, :] > own[..., :, None]).sum(axis=-1), np.int64)


def average_ranks(goodness: Array) -> Array:
    """The same, but equal entries share the average of their ranks.

    >>> average_ranks(np.array([0.3, 0.1 + 0.2, 0.5, -np.inf])).tolist()
    [2.5, 2.5, 1.0, 4.0]
    """
    own = _comparable(goodness)
    equal = (own[..., None, :] == own[..., :, None]).sum(axis=-1)
    return np.asarray(competition_ranks(own) + (equal - 1) / 2, np.float64)


def _comparable(goodness: Array) -> Array:
    own = np.where(np.isnan(goodness), -np.inf, goodness)
    return without_noise(own, float(np.abs(own[np.isfinite(own)]).max(initial=1.0)))


def aggregate_then_rank(column: Column, weights: Array) -> Ranks:
    """Entries by the metric's aggregate."""
    return competition_ranks(column.aggregate(weights))


def median_then_rank(column: Column, weights: Array) -> Ranks:
    """Entries by the median over cases."""
    silent = np.full((len(column.goodness), len(column.silent)), column.worst)
    owner = np.concatenate([column.owner, column.silent])
    return competition_ranks(weighted_median(np.append(column.goodness, silent, axis=1), weights[:, owner]))


def rank_then_aggregate(column: Column, weights: Array) -> Ranks:
    """Entries by the mean over cases of their rank on a case."""
    ranks = competition_ranks(column.goodness.T).T.astype(np.float64)
    return competition_ranks(-weighted_mean(ranks, weights[:, column.owner]))


def significance_then_rank(column: Column, weights: Array) -> Ranks:
    """Entries by the number of others that they beat, by one-sided Wilcoxon tests of the groups' means.

    The level is 0.05 for each pair, without correction for their number; the normal approximation with
    correction for continuity, since resamples have ties.
    """
    means = group_means(column)
    wins = np.zeros((len(weights), len(means)))
    for first, second in itertools.combinations(range(len(means)), 2):
        p_first, p_second = _weighted_signed_rank_ps(means[first], means[second], weights)
        first_lacks, second_lacks = (
            _lacks(column, *pair, weights) for pair in ((first, second), (second, first))
        )
        wins[:, first] += np.where(first_lacks | second_lacks, second_lacks & ~first_lacks, p_first <= LEVEL)
        wins[:, second] += np.where(
            first_lacks | second_lacks, first_lacks & ~second_lacks, p_second <= LEVEL
        )
    return competition_ranks(wins)


def _lacks(column: Column, own: int, other: int, weights: Array) -> npt.NDArray[np.bool_]:
    """Whether one entry lacks a value that another has, ``(n,)``."""
    lacking = column.missing[own] & ~column.missing[other]
    return np.asarray(weights[:, column.owner[lacking]].sum(axis=1) > 0)


def group_means(column: Column) -> Array:
    """Mean goodness of each group ``(entries, groups)``; −infinity where a missing value counts, or none."""
    n_groups = int(column.owner.max(initial=-1)) + 1
    members = (column.owner == np.arange(n_groups)[:, None]).astype(np.float64)
    return weighted_mean(column.goodness, members).T


def _weighted_signed_rank_ps(first: Array, second: Array, weights: Array) -> tuple[Array, Array]:
    """One-sided p ``(n,)`` that either is better, for groups that count ``weights`` ``(n, groups)`` times."""
    from scipy.special import ndtr

    gains = paired_gains(first, second)
    if not gains.size:
        return np.ones(len(weights)), np.ones(len(weights))
    order = np.argsort(np.abs(gains), kind="stable")
    counts = weights[:, np.flatnonzero(np.isfinite(first) | np.isfinite(second))[order]]
    sizes = np.abs(gains[order])
    starts = np.flatnonzero(np.append(True, sizes[1:] != sizes[:-1]))
    total = np.add.reduceat(counts, starts, axis=1)
    ranks = np.cumsum(total, axis=1) - (total - 1) / 2
    ranks[:, sizes[starts] == 0] = 0
    better = np.add.reduceat(counts * (gains[order] > 0), starts, axis=1)
    centre, variance = np.sum(total * ranks, axis=1) / 2, np.sum(total * ranks**2, axis=1) / 4
    excess = np.sum(better * ranks, axis=1) - centre
    with np.errstate(invalid="ignore", divide="ignore"):
        p_values = [ndtr(-(sign * excess - 0.5) / np.sqrt(variance)) for sign in (1, -1)]
    p_first, p_second = (np.where(variance > 0, p, 1.0) for p in p_values)
    return p_first, p_second


def significance_map(column: Column) -> list[list[float | None]]:
    """p that the entry of the row is better than that of the column, by one-sided Wilcoxon tests of the
    groups' means, corrected by Holm over all ordered pairs; ``None`` on the diagonal."""
    means = group_means(column)
    p_values = [
        None if first == second else signed_rank_p(paired_gains(own, other), "greater")
        for first, own in enumerate(means)
        for second, other in enumerate(means)
    ]
    p_holm = holm(p_values)
    return [p_holm[start : start + len(means)] for start in range(0, len(p_holm), len(means))]


def cumulative_rank_scores(columns: Sequence[Column], weights: Array) -> Array:
    """Mean ``(n, entries)`` over metrics and cases of an entry's rank on a case; ties share the average."""
    scores = [
        weighted_mean(average_ranks(column.goodness.T).T, weights[:, column.owner]) for column in columns
    ]
    return np.asarray(np.mean(scores, axis=0), np.float64)


def cumulative_rank(columns: Sequence[Column], weights: Array) -> Ranks:
    """Entries by their mean rank over metrics and cases, as BraTS ranked until 2022."""
    return competition_ranks(-cumulative_rank_scores(columns, weights))


def cumulative_rank_p(columns: Sequence[Column], n_groups: int, seed: int = 0) -> list[list[float | None]]:
    """Two-sided p of each pair's difference in mean rank, the two entries' ranks exchanged by group.

    Args:
        columns: as for :func:`cumulative_rank`.
        n_groups: number of groups.
        seed: of the exchanges.
    """
    signs = exchanges(n_groups, seed)
    entries = len(columns[0].goodness)
    shares = np.zeros((entries, n_groups))
    for column in columns:
        ranks = average_ranks(column.goodness.T).T
        for entry in range(entries):
            shares[entry] += np.bincount(column.owner, ranks[entry], n_groups) / (
                len(column.owner) * len(columns)
            )

    def p(first: int, second: int) -> float:
        parts = mean_contributions(shares[first], shares[second], np.arange(n_groups))
        return exchange_p(parts, signs)

    return [[None if a == b else p(a, b) for b in range(entries)] for a in range(entries)]


def ranks_of_ranks(goodness: Array, how: Literal["absolute", "mean", "median"]) -> Ranks:
    """Ranks ``(n, entries)`` of grand-challenge.org's boards from aggregates ``(n, entries, metrics)``.

    Args:
        goodness: more is better; NaN where an entry has no such value.
        how: by the first metric alone, or by the mean or median of an entry's ranks in all metrics. An entry
            that lacks one of the metrics that count is not ranked; its rank is 0.
    """
    counting = goodness[..., :1] if how == "absolute" else goodness
    has_rank = np.asarray(~np.isnan(counting).any(axis=-1))
    ranks = competition_ranks(np.where(has_rank[..., None], counting, -np.inf).swapaxes(-1, -2)).swapaxes(
        -1, -2
    )
    scores = np.median(ranks, axis=-1) if how == "median" else ranks.mean(axis=-1)
    return np.where(has_rank, competition_ranks(np.where(has_rank, -scores, -np.inf)), 0)
