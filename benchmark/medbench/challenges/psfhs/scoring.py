"""Scores of PSFHS 2023: overlap and distance of both structures, angle of progression, S, ranking.

Sources: scoring from ``evaluation.py`` and ``ellipse.py`` of maskoffs/PS-FH-MICCAI23@de5d789; ranking from
the participation rules of ps-fh-aop-2023.grand-challenge.org.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.image_masks.scoring import ImageMaskScorer
from medbench.challenges.families.intrapartum_masks import segmentation_columns, worst_segmentation
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow, CaseScores, MetricSpec, Statistic, Weights, mean_statistic
from medbench.core.score import Score, Status
from medbench.metrics.checks.suspicion import flags
from medbench.statistics.ranking import Standing, significance_standings

SEGMENTATION = segmentation_columns()
ANGLE = MetricSpec("aop_ellipse", "ΔAoP", "°", "lower", "aop.ellipse", (0.0, 180.0), headline=True)
METRICS = (
    MetricSpec("score", "S", "", "higher", "psfhs.score", (None, 1.0), pooled=True, headline=True),
    ANGLE,
    *SEGMENTATION,
)
FAILURE_RULE = (
    "medbench-1 (the organisers' program leaves missing predictions out): a failed or missing case "
    "scores as an empty mask does in the official program: Dice 0, HD and ASD 100 px, an angle of 0°, so "
    "that ΔAoP is the reference's angle. Where the reference lacks a structure that the prediction has, "
    "the official program ends with an error; here the case's scores of it are undefined and enter no "
    "mean, and the case does not count in S."
)


class PSFHSScorer(ImageMaskScorer):
    """Scores ten columns per frame, and S from their means."""

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """The nine official scores and the error of the angle for one frame.

        Args:
            reference: ``(height, width)`` integers, 0 background, 1 PS, 2 FH.
            prediction: the same shape and labels.
            spacing: not used: the official program works in pixels.
        """
        from medbench.metrics.official.intrapartum import ellipse_score, segmentation_scores

        return {
            ANGLE.name: ellipse_score(reference, prediction),
            **segmentation_scores(reference, prediction),
        }

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """Scores of one label map, and as evidence whether the case counts in S: where all have a value."""
        both = self.read_both(case, path)
        scores = _case_scores(self.score_arrays(*both))
        return CaseScores(scores.scores, {**scores.evidence, **flags(*both)})

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :data:`FAILURE_RULE`."""
        from medbench.metrics.official.intrapartum import ellipse_score

        try:
            reference = self.release.read_reference(case)
        except MedbenchError as error:
            return CaseScores.undefined((spec.name for spec in (ANGLE, *SEGMENTATION)), error.message)
        angle = ellipse_score(reference, np.zeros_like(reference))
        scores = {ANGLE.name: Score(angle.value, status, reason), **worst_segmentation(status, reason)}
        return _case_scores(scores)

    def statistic(self, metric: MetricSpec, rows: Sequence[CaseRow]) -> Statistic:
        """A column's value by weights of the cases; S is computed from the means of the other columns."""
        if metric.name != "score":
            return super().statistic(metric, rows)
        from medbench.metrics.official.intrapartum import psfhs_score

        parts = {spec.name: mean_statistic(spec, rows) for spec in (ANGLE, *SEGMENTATION)}

        def score(weights: Weights) -> npt.NDArray[np.float64]:
            means = {name: np.atleast_1d(part(weights)) for name, part in parts.items()}
            return psfhs_score(means).reshape(weights.shape[:-1])

        return score

    def rank(self, entries: Mapping[str, Sequence[CaseRow]]) -> list[Standing]:
        """The challenge's ranking: the sum of ranks by significance in each of the ten columns.

        A rank is 1 + the number of entries that a Wilcoxon signed-rank test finds better; equal sums are
        separated by S. The rules name neither the level nor the sides of the test (here 0.05, one-sided, not
        corrected), and say "the mean of all metrics" where we take S, their weighted mean.

        Args:
            entries: name -> its rows, all of the same cases.

        Raises:
            MedbenchError: ``ranking.cases`` when an entry has other cases than the first.
        """
        score = self.card.metric("score")
        means = {
            name: float(self.statistic(score, rows)(np.ones(len(rows)))) for name, rows in entries.items()
        }
        return significance_standings(entries, (ANGLE, *SEGMENTATION), means)


def _case_scores(scores: Mapping[str, Score]) -> CaseScores:
    complete = all(score.value is not None for score in scores.values())
    return CaseScores(scores, {"counts_in_s": True} if complete else {})
