"""Rankings of runs on the same cases by every scheme, with their stability when groups are resampled."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow, MetricSpec
from medbench.core.score import Score
from medbench.leaderboards.compare import check_same
from medbench.records.reading import Run
from medbench.records.writing import MARK
from medbench.statistics import schemes
from medbench.statistics.ranking import case_values
from medbench.statistics.stability import Stability, resampled_groups, stability

RESAMPLES = 1000
OWN_RESAMPLES = 200
"""Of the challenge's own ranking, which is worked out anew from the rows of each resample."""
MISSING = (
    "A missing value counts as the worst of the metric's range, and as worse than every value where the "
    "range has no worst end; it never improves a rank. Cases that no entry has a value for are left out, "
    "save of the median, where they count as missing for all. In tests an entry that lacks a value which "
    "another has loses to it, unless that other lacks one too."
)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The entries' ranks by one scheme.

    Attributes:
        scheme: its name.
        ranks: of the entries, from 1; equal entries share the better one.
        stability: when groups are resampled.
    """

    scheme: str
    ranks: tuple[int, ...]
    stability: Stability


@dataclass(frozen=True, slots=True)
class ColumnRankings:
    """Rankings by one metric.

    Attributes:
        metric: the column.
        values: the entries' aggregates; ``None`` where there is none.
        missing: the entries' cases without a value that others have.
        rankings: one a scheme.
        significance: p that the entry of the row is better than that of the column, corrected by Holm; empty
            for pooled metrics.
    """

    metric: MetricSpec
    values: tuple[float | None, ...]
    missing: tuple[int, ...]
    rankings: tuple[Ranking, ...]
    significance: tuple[tuple[float | None, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class ProtocolRankings:
    """Rankings over all columns of one evaluation protocol.

    Attributes:
        protocol: its name, empty where the challenge has one.
        metrics: titles of the columns.
        rankings: one a scheme.
        cumulative_p: two-sided p of each pair's difference in cumulative rank.
    """

    protocol: str
    metrics: tuple[str, ...]
    rankings: tuple[Ranking, ...]
    cumulative_p: tuple[tuple[float | None, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Rankings:
    """All rankings of some runs.

    Attributes:
        challenge: title of the challenge.
        split: name of the split.
        data: ``real`` or ``sample``.
        entries: titles of the runs.
        groups: number of groups that are resampled.
        columns: rankings by one metric.
        overall: rankings over the columns of a protocol.
        official: the challenge's own ranking, where it has one.
    """

    challenge: str
    split: str
    data: str
    entries: tuple[str, ...]
    groups: int
    columns: tuple[ColumnRankings, ...]
    overall: tuple[ProtocolRankings, ...]
    official: Ranking | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = dataclasses.asdict(self)
        for column, rankings in zip(plain["columns"], self.columns, strict=True):
            column["metric"] = rankings.metric.name
            column["better"] = rankings.metric.better
            column["protocol"] = rankings.metric.protocol
        return {**plain, "missing_values": MISSING}


def rank_runs(
    runs: Sequence[Run], metrics: Sequence[str] = (), seed: int = 0, resamples: int = RESAMPLES
) -> Rankings:
    """Rank runs by every scheme.

    Args:
        runs: two or more, of the same challenge, split, files and kind of data.
        metrics: columns; the headline columns if none is named.
        seed: of resampling and permutations.
        resamples: of the groups.

    Raises:
        MedbenchError: ``rank.runs`` for fewer than two or one named twice, ``rank.marked`` for one whose
            results are never ranked, ``rank.signed`` for a column without a better direction,
            ``compare.population`` when they were not measured on the same, ``ranking.cases``,
            ``metric.unknown``.
    """
    names = [run.title for run in runs]
    if len(set(names)) < max(2, len(names)):
        raise MedbenchError(
            "rank.runs", "A ranking needs two or more runs, each once.", "Give folders or keys."
        )
    for run in runs:
        if mark := run.record.settings.get(MARK):
            raise MedbenchError("rank.marked", f"{run.title} is never ranked: {mark}.", "Leave the run out.")
    for run in runs[1:]:
        check_same(runs[0], run)
    record = runs[0].record
    challenge = load_challenge(record.challenge.name)
    candidates = [challenge.metric(name) for name in metrics] or [m for m in challenge.metrics if m.headline]
    for spec in candidates:
        if spec.signed:
            raise MedbenchError(
                "rank.signed",
                f"{spec.title}: is a signed difference, of which 0 is best and neither direction.",
                "Rank by a column of its size, such as its absolute value.",
            )
    specs = [spec for spec in candidates if all(spec.name in run.record.metrics for run in runs)]
    entries = _Entries(challenge, runs)
    weights = np.concatenate(
        [np.ones((1, entries.groups)), resampled_groups(entries.groups, resamples, seed)]
    )
    columns = {spec.name: entries.column(spec) for spec in specs}
    return Rankings(
        challenge.title,
        record.challenge.split,
        record.data,
        tuple(names),
        entries.groups,
        tuple(_by_column(entries, spec, columns[spec.name], weights) for spec in specs),
        tuple(_by_protocol(entries, specs, columns, weights, seed)),
        _official(entries, weights[: 1 + OWN_RESAMPLES]),
    )


def rank_by(
    runs: Sequence[Run], metric: MetricSpec, seed: int = 0
) -> tuple[Ranking, tuple[tuple[float | None, ...], ...]]:
    """Runs ranked by one metric's aggregate, and who is better than whom.

    Args:
        runs: two or more, of the same cases.
        metric: the column.
        seed: of resampling.

    Returns:
        The ranking, and the significance map as in :class:`ColumnRankings`.

    Raises:
        MedbenchError: as :func:`rank_runs`.
    """
    entries = _Entries(load_challenge(runs[0].record.challenge.name), runs)
    column = entries.column(metric)
    weights = np.concatenate(
        [np.ones((1, entries.groups)), resampled_groups(entries.groups, RESAMPLES, seed)]
    )
    ranking = _ranking("aggregate, then rank", partial(schemes.aggregate_then_rank, column), weights)
    return ranking, () if metric.pooled else tuple(map(tuple, schemes.significance_map(column)))


@dataclass(frozen=True, slots=True)
class _Entries:
    """Runs with their cases in one order."""

    challenge: Challenge
    runs: Sequence[Run]

    @property
    def cases(self) -> list[str]:
        return sorted(self.runs[0].rows)

    @property
    def owner(self) -> npt.NDArray[np.int64]:
        rows = self.runs[0].rows
        units = [rows[case].group or case for case in self.cases]
        index = {unit: position for position, unit in enumerate(dict.fromkeys(units))}
        return np.array([index[unit] for unit in units])

    @property
    def groups(self) -> int:
        return int(self.owner.max()) + 1

    @property
    def rows(self) -> Mapping[str, Sequence[CaseRow]]:
        return {run.title: [run.rows[case] for case in self.cases if case in run.rows] for run in self.runs}

    def values(self, spec: MetricSpec) -> Array:
        return case_values({run.title: list(run.rows.values()) for run in self.runs}, [spec])[spec.name]

    def column(self, spec: MetricSpec) -> schemes.Column:
        """The metric with the challenge's own way of aggregating it."""
        if spec.pooled:
            return self._pooled_column(spec)
        values = self.values(spec)
        present = np.asarray(~np.isnan(values).all(axis=0))
        applies = np.array(
            [any(spec.name in run.rows[case].scores for run in self.runs) for case in self.cases]
        )
        owner, silent = self.owner[present], self.owner[applies & ~present]
        goodness = schemes.fill_missing(values, spec.better, spec.bounds)[:, present]
        sign = 1.0 if spec.better == "higher" else -1.0
        finite = np.where(np.isfinite(goodness), goodness, 0.0)
        statistics = []
        for rows, own in zip(self.rows.values(), finite, strict=True):
            with_values = [row for row, there in zip(rows, present, strict=True) if there]
            score_rows = [
                dataclasses.replace(row, scores={spec.name: Score(float(sign * value))})
                for row, value in zip(with_values, own, strict=True)
            ]
            statistics.append(self.challenge.scorer.statistic(spec, score_rows))

        def aggregate(weights: Array) -> Array:
            by_case = weights[:, owner]
            means = np.stack([sign * statistic(by_case) for statistic in statistics], axis=1)
            return np.where(by_case @ np.isneginf(goodness).T > 0, -np.inf, means)

        worst = schemes.worst_goodness(spec.better, spec.bounds)
        missing = np.isnan(values[:, present])
        return schemes.Column(spec.name, goodness, owner, aggregate, missing, silent, worst)

    def _pooled_column(self, spec: MetricSpec) -> schemes.Column:
        sign = 1.0 if spec.better == "higher" else -1.0
        owner = self.owner
        parts = []
        for rows in self.rows.values():
            places = [index for index, row in enumerate(rows) if row.evidence]
            parts.append(
                (owner[places], self.challenge.scorer.statistic(spec, [rows[index] for index in places]))
            )

        def aggregate(weights: Array) -> Array:
            columns = [
                sign * statistic(weights[:, own]) if len(own) else np.full(len(weights), np.nan)
                for own, statistic in parts
            ]
            return np.stack(columns, axis=1)

        none, empty = np.empty(0, np.int64), np.empty((len(parts), 0))
        return schemes.Column(spec.name, empty, none, aggregate, np.isnan(empty), none, np.nan)


Scheme = Callable[[Array], schemes.Ranks]


def _ranking(name: str, scheme: Scheme, weights: Array) -> Ranking:
    ranks = scheme(weights)
    return Ranking(name, tuple(map(int, ranks[0])), stability(ranks[0], ranks[1:]))


def _by_column(entries: _Entries, spec: MetricSpec, column: schemes.Column, weights: Array) -> ColumnRankings:
    sign = 1.0 if spec.better == "higher" else -1.0
    aggregates = sign * column.aggregate(weights[:1])[0]
    named_schemes: dict[str, Callable[[schemes.Column, Array], schemes.Ranks]] = {
        "aggregate, then rank": schemes.aggregate_then_rank
    }
    missing = [0] * len(aggregates)
    significance: list[list[float | None]] = []
    if not spec.pooled:
        named_schemes |= {
            "median, then rank": schemes.median_then_rank,
            "rank, then aggregate": schemes.rank_then_aggregate,
            "test, then rank": schemes.significance_then_rank,
        }
        values = entries.values(spec)
        missing = np.isnan(values[:, ~np.isnan(values).all(axis=0)]).sum(axis=1).tolist()
        significance = schemes.significance_map(column)
    return ColumnRankings(
        spec,
        tuple(float(value) if np.isfinite(value) else None for value in aggregates),
        tuple(missing),
        tuple(_ranking(name, partial(scheme, column), weights) for name, scheme in named_schemes.items()),
        tuple(map(tuple, significance)),
    )


def _by_protocol(
    entries: _Entries,
    specs: Sequence[MetricSpec],
    columns: Mapping[str, schemes.Column],
    weights: Array,
    seed: int,
) -> Iterator[ProtocolRankings]:
    """The schemes that join columns; those of two protocols are never joined."""
    for protocol in dict.fromkeys(spec.protocol for spec in specs):
        inside = [spec for spec in specs if spec.protocol == protocol]
        cases = [columns[spec.name] for spec in inside if not spec.pooled]
        rankings = [
            _ranking(name, partial(_ranks_of_ranks, [columns[spec.name] for spec in inside], how), weights)
            for name, how in _RANKS_OF_RANKS.items()
        ]
        if cases:
            rankings.append(_ranking("cumulative rank", partial(schemes.cumulative_rank, cases), weights))
        p_values = schemes.cumulative_rank_p(cases, entries.groups, seed) if cases else []
        yield ProtocolRankings(
            protocol, tuple(spec.title for spec in inside), tuple(rankings), tuple(map(tuple, p_values))
        )


_RANKS_OF_RANKS: Mapping[str, Literal["absolute", "mean", "median"]] = {
    "first column": "absolute",
    "mean of ranks": "mean",
    "median of ranks": "median",
}


def _ranks_of_ranks(
    columns: Sequence[schemes.Column], how: Literal["absolute", "mean", "median"], weights: Array
) -> schemes.Ranks:
    aggregates = np.stack([column.aggregate(weights) for column in columns], axis=-1)
    return schemes.ranks_of_ranks(np.where(np.isnan(aggregates), -np.inf, aggregates), how)


def _official(entries: _Entries, weights: Array) -> Ranking | None:
    """The challenge's own ranking of all groups and of resamples of them."""
    owner = entries.owner

    def ranks(counts: Array) -> schemes.Ranks:
        resample = {
            name: [
                dataclasses.replace(row, case=f"{row.case} {copy}")
                for row, group in zip(rows, owner, strict=True)
                for copy in range(int(counts[group]))
            ]
            for name, rows in entries.rows.items()
        }
        places = {standing.name: standing.place for standing in entries.challenge.scorer.rank(resample)}
        return np.array([places[name] for name in resample], np.int64) if places else np.empty(0, np.int64)

    first = ranks(weights[0])
    if not first.size:
        return None
    resample_ranks = np.array([ranks(counts) for counts in weights[1:]])
    return Ranking("the challenge's own", tuple(map(int, first)), stability(first, resample_ranks))
