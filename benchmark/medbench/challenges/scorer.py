"""Scorers: official scoring of a challenge."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.challenges.card import Card
from medbench.core.case import Case
from medbench.core.chart import Chart
from medbench.core.result_table import CaseRow, CaseScores, MetricSpec, Statistic, mean_statistic
from medbench.core.score import Score, Status

if TYPE_CHECKING:
    from medbench.statistics.ranking import Standing


class Scorer(abc.ABC):
    """Official scoring of a case, scores of failed cases, pooling over cases, and ranking of entries."""

    def __init__(self, card: Card) -> None:
        self.card = card

    @abc.abstractmethod
    def score_file(self, case: Case, path: Path) -> CaseScores:
        """Scores and evidence of one prediction file.

        Raises:
            MedbenchError: when the prediction or the reference cannot be read or does not fit.
        """

    @abc.abstractmethod
    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores of a failed or missing case by the card's ``failure_rule``."""

    @abc.abstractmethod
    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """Scores by column of a prediction in memory, whose values are those of the challenge's files."""

    def checked(
        self, reference: Any, prediction: Any, spacing: Any
    ) -> tuple[Any, Any, tuple[float, ...] | None]:
        """What a caller gave for :meth:`score_arrays`; of label maps, arrays without other labels.

        Raises:
            MedbenchError: ``metric.array``, ``metric.shape``, ``metric.labels`` or ``metric.spacing``.
        """
        if not self.card.labels:
            return reference, prediction, spacing
        from medbench.metrics.arrays import check_spacing, same_shape, with_labels

        first, second = same_shape(reference, prediction)
        steps = None if spacing is None else check_spacing(spacing, first.ndim)
        labels = tuple(self.card.labels)
        return with_labels(first, labels, "reference"), with_labels(second, labels, "prediction"), steps

    def statistic(self, metric: MetricSpec, rows: Sequence[CaseRow]) -> Statistic:
        """A column's value as a function of weights of the cases; the weighted mean, unless it is pooled."""
        return mean_statistic(metric, rows)

    def charts(self, rows: Sequence[CaseRow]) -> Sequence[Chart]:
        """Figures over all cases that a report shows; none where the columns say everything."""
        return ()

    def rank(self, entries: Mapping[str, Sequence[CaseRow]]) -> Sequence[Standing]:
        """Entries in the challenge's own ranking, best first; empty where it has none beyond its columns.

        Args:
            entries: name -> its rows, all of the same cases.

        Raises:
            MedbenchError: ``ranking.cases`` when an entry has other cases than the first.
        """
        return []
