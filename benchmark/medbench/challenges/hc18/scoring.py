"""Scores of HC18: overlap, distance and circumference of the fetal head.

The organisers' evaluation program is not public: definitions beyond the names of van den Heuvel et al. 2018
are ours, see :mod:`medbench.metrics.tasks.biometry`. DF is signed: its mean shows a bias, and 0 is best and
neither direction, so that it enters no ranking and no family of tests.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.families.image_masks.exchange import ImageMaskExchange
from medbench.challenges.families.image_masks.scoring import ImageMaskScorer
from medbench.challenges.hc18.files import HC18Release
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseScores, MetricSpec
from medbench.core.score import Score, Status
from medbench.metrics.checks.suspicion import flags

METRICS = (
    MetricSpec("dice", "DSC", "", "higher", "dice", (0.0, 1.0), headline=True),
    MetricSpec("adf", "ADF", "mm", "lower", "hc.adf", headline=True),
    MetricSpec("df", "DF", "mm", "lower", "hc.df", (None, None), signed=True),
    MetricSpec("hd", "HD", "mm", "lower", "hd.set", headline=True),
)
FAILURE_RULE = (
    "medbench-1 (the organisers' rule is not public): a failed, missing or empty prediction has no head: "
    "DSC 0, a circumference of 0 mm (DF is minus the reference's, ADF the reference's), HD the image's "
    "diagonal in mm. Without a reference or a pixel size the scores are undefined and enter no mean."
)


class HC18Scorer(ImageMaskScorer):
    """DSC, and ADF, DF and HD in mm."""

    def __init__(self, card: Card, exchange: ImageMaskExchange, release: HC18Release) -> None:
        super().__init__(card, exchange)
        self.pixel_size_mm = release.pixel_size_mm

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """DSC, ADF, DF and HD of one mask.

        Raises:
            MedbenchError: ``data.pixel_size`` without a row in the table, ``data.size_mismatch``.
        """
        step = self.pixel_size_mm(case)
        both = self.read_both(case, path)
        return CaseScores(self.score_arrays(*both, (step, step)), flags(*both))

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """DSC, and ADF, DF and HD in mm, of one pair of masks at the image's own size.

        Both circumferences are of ellipses fitted to the masks' outer contours, so that what filling adds to
        an outline is on both sides of the difference.

        Args:
            reference: ``(height, width)``, 0 and 1.
            prediction: the same shape.
            spacing: mm along both axes, equal.

        Raises:
            MedbenchError: ``metric.spacing_missing`` without a spacing, ``metric.spacing`` for pixels that
                are not square.
        """
        from medbench.metrics.engine import evaluate_arrays
        from medbench.metrics.official.frame_labels import head_circumference

        both = (np.asarray(reference, np.uint8), np.asarray(prediction, np.uint8))
        if spacing is None:
            raise MedbenchError(
                "metric.spacing_missing",
                "HC18 scores in millimetres.",
                "Give the pixel size: spacing=(s, s).",
            )
        if both[0].any() and not both[1].any():
            return self._without_head(both[0], spacing, "failed", "nothing is marked")
        values = evaluate_arrays(*both, ["dice", "hd.set"], {"head": 1}, spacing)["head"]
        scores = {"dice": values["dice"], "hd": values["hd.set"]}
        for name in ("adf", "df"):
            scores[name] = head_circumference(*both, value=f"{name}_mm", spacing=spacing)
        if scores["adf"].status == "failed":
            without = self._without_head(both[0], spacing, "failed", scores["adf"].reason)
            scores |= {name: without[name] for name in ("adf", "df")}
        return scores

    def _without_head(
        self, reference: npt.NDArray[np.uint8], spacing: tuple[float, ...], status: Status, reason: str
    ) -> dict[str, Score]:
        from medbench.metrics.tasks.biometry import LandmarkError, head_circumference_mm

        diagonal = math.hypot(*(side * step for side, step in zip(reference.shape, spacing, strict=True)))
        scores = {"dice": Score(0.0, status, reason), "hd": Score(diagonal, status, reason)}
        try:
            whole = head_circumference_mm(reference, pixel_size_mm=spacing[0])
        except LandmarkError as error:
            return scores | {name: Score.undefined(f"reference: {error}") for name in ("adf", "df")}
        return scores | {"adf": Score(whole, status, reason), "df": Score(-whole, status, reason)}

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :data:`FAILURE_RULE`."""
        try:
            reference, step = self.release.read_reference(case), self.pixel_size_mm(case)
        except MedbenchError as error:
            return CaseScores.undefined((spec.name for spec in self.card.metrics), error.message)
        return CaseScores(self._without_head(reference, (step, step), status, reason))
