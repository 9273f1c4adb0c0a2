"""Ranking by significance: ranks by significant wins in every metric, and their sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow, MetricSpec
from medbench.statistics.signed_rank import signed_rank_p, without_noise

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Standing:
    """The place of an entry in a ranking.

    Attributes:
        name: of the entry.
        place: from 1; entries that nothing separates share one.
        rank_sum: sum of the ranks over the metrics; less is better.
        ranks: metric -> 1 + number of entries that are significantly better in this metric.
        tie_breaker: value that separates entries of equal sums; more is better.
    """

    name: str
    place: int
    rank_sum: int
    ranks: Mapping[str, int]
    tie_breaker: float


def paired_gains(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """How much better ``first`` is than ``second``, case by case, without the noise of the last bits.

    A value that one of them lacks counts as worse than any value; cases that both lack say nothing and are
    left out.

    Args:
        first: values of which more is better; NaN or −infinity where there is none.
        second: values of the other entry for the same cases.

    >>> paired_gains([1.0, np.nan, 2.0, np.nan], [0.5, 0.5, np.nan, np.nan]).tolist()
    [0.5, -inf, inf]
    """
    one, other = (
        np.where(np.isnan(side), -np.inf, side)
        for side in (np.asarray(first, np.float64), np.asarray(second, np.float64))
    )
    present = np.isfinite(one) | np.isfinite(other)
    finite = np.concatenate([one[np.isfinite(one)], other[np.isfinite(other)], [0.0]])
    return without_noise(one[present] - other[present], float(np.abs(finite).max()))


def significance_ranks(
    values: Mapping[str, npt.NDArray[np.float64]], higher_is_better: bool
) -> dict[str, int]:
    """1 + the number of entries that are significantly better, by one-sided Wilcoxon signed-rank tests.

    The level is 0.05 for each pair, without correction for their number. Pairs of equal values say nothing
    for either side, and so do cases that both lack. An entry that lacks a value which another has loses to
    it, unless that other lacks one too, so that losing a value never improves a rank.

    Args:
        values: entry -> value of each case, cases in the same order; NaN where an entry has none.
        higher_is_better: direction.

    >>> case = np.arange(12.0)
    >>> significance_ranks({"a": case, "b": case + 1, "c": case + 1}, higher_is_better=True)
    {'a': 3, 'b': 1, 'c': 1}
    """
    goodness = {name: own if higher_is_better else -own for name, own in values.items()}

    def beats(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> bool:
        first_lacks, second_lacks = np.isnan(first) & ~np.isnan(second), np.isnan(second) & ~np.isnan(first)
        if first_lacks.any() or second_lacks.any():
            return not first_lacks.any()
        return signed_rank_p(paired_gains(first, second), "greater") < LEVEL

    return {
        name: 1 + sum(beats(other, own) for rival, other in goodness.items() if rival != name)
        for name, own in goodness.items()
    }


def case_values(
    entries: Mapping[str, Sequence[CaseRow]], metrics: Sequence[MetricSpec]
) -> dict[str, npt.NDArray[np.float64]]:
    """Metric -> values ``(entries, cases)``, cases by name; NaN where an entry has none.

    Args:
        entries: name -> its rows, all of the same cases.
        metrics: columns that cases have.

    Raises:
        MedbenchError: ``ranking.cases`` when an entry has other cases than the first.
    """
    by_case = {name: {row.case: row.scores for row in rows} for name, rows in entries.items()}
    cases = sorted(next(iter(by_case.values()), {}))
    for name, scores in by_case.items():
        if sorted(scores) != cases:
            raise MedbenchError(
                "ranking.cases",
                f"{name}: has other cases than {next(iter(by_case))}.",
                "Rank runs of the same split and files only.",
            )

    def value(name: str, case: str, metric: MetricSpec) -> float:
        score = by_case[name][case].get(metric.name)
        return np.nan if score is None or score.value is None else score.value

    return {
        metric.name: np.array([[value(name, case, metric) for case in cases] for name in entries], np.float64)
        for metric in metrics
    }


def significance_standings(
    entries: Mapping[str, Sequence[CaseRow]],
    metrics: Sequence[MetricSpec],
    tie_breakers: Mapping[str, float],
) -> list[Standing]:
    """Entries by the sum of their ranks by significance, best first.

    Args:
        entries: name -> its rows, all of the same cases.
        metrics: columns that count.
        tie_breakers: name -> what separates equal sums; more is better.

    Raises:
        MedbenchError: ``ranking.cases`` when an entry has other cases than the first.
    """
    values = case_values(entries, metrics)
    ranks: dict[str, dict[str, int]] = {name: {} for name in entries}
    for metric in metrics:
        own = dict(zip(entries, values[metric.name], strict=True))
        for name, rank in significance_ranks(own, metric.better == "higher").items():
            ranks[name][metric.name] = rank
    keys = {name: (sum(ranks[name].values()), -tie_breakers[name]) for name in entries}
    return [
        Standing(
            name,
            1 + sum(other < keys[name] for other in keys.values()),
            keys[name][0],
            ranks[name],
            tie_breakers[name],
        )
        for name in sorted(entries, key=lambda name: keys[name])
    ]
