"""Scores of IUGC 2024: segmentation and biometry of labelled frames, classes pooled over all frames.

Source: maskoffs/IUGC2024@bad8150 (``starting_tool_kit/utils/evaluator.py``). How the organisers weighted the
tasks, and what their program did after an error, is not public.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.families.intrapartum_masks import (
    PENALTY_PX,
    segmentation_columns,
    worst_segmentation,
)
from medbench.challenges.iugc2024.files import IUGC2024Release, read_mask, read_probabilities
from medbench.challenges.mask_sizes import RESIZE_BACK, check_size, sized
from medbench.challenges.scorer import Scorer
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow, CaseScores, MetricSpec, Statistic, Weights
from medbench.core.score import Score, Status
from medbench.io.gate.expected import handed_in
from medbench.metrics.checks.suspicion import flags

_SEGMENTATION = segmentation_columns(headline=("all",))
_BIOMETRY = (
    MetricSpec("aop_contour", "ΔAoP", "°", "lower", "aop.contour", (0.0, 180.0), headline=True),
    MetricSpec("hsd", "ΔHSD", "px", "lower", "hsd", headline=True),
    MetricSpec("aop_ellipse", "ΔAoP (ellipse)", "°", "lower", "aop.ellipse", (0.0, 180.0)),
)
_CLASSIFICATION = (
    MetricSpec("accuracy", "ACC", "", "higher", "accuracy", (0.0, 1.0), True, True),
    MetricSpec("f1", "F1", "", "higher", "f1", (0.0, 1.0), True, True),
    MetricSpec("auc", "AUC", "", "higher", "auc", (0.0, 1.0), True, True),
    MetricSpec("mcc", "MCC", "", "higher", "mcc", (-1.0, 1.0), True, True),
)
METRICS = (*_SEGMENTATION, *_BIOMETRY, *_CLASSIFICATION)
FAILURE_RULE = (
    "medbench-1 (the organisers' rule is not public): a failed or missing mask scores as the official "
    "evaluator scores an empty one (Dice 0, HD and ASD 100 px); a failed angle counts as 0°, so ΔAoP is "
    "the reference angle, and ΔHSD is the reference HSD but at least 100 px; every frame of a failed or "
    "missing video counts as misclassified with full confidence. A case whose reference cannot be read "
    "has no score."
)


class IUGC2024Scorer(Scorer):
    """Scores masks frame by frame, and classes over the frames of all videos."""

    def __init__(self, card: Card, release: IUGC2024Release) -> None:
        super().__init__(card)
        self.release = release

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """Official scores of one mask, or the frame classes of one video as evidence.

        Raises:
            MedbenchError: also ``data.size_mismatch`` for a mask of another size than its reference.
        """
        if case.facts["task"] == "classification":
            probabilities = read_probabilities(path, len(case.facts["classes"]))
            return self._classified(case, probabilities)
        reference = self.release.read_reference(case)
        prediction = sized(
            partial(read_mask, path, handed_in(reference.shape)),
            path,
            reference.ndim,
            partial(check_size, path, due=reference.shape, hint=RESIZE_BACK, of="reference"),
        )
        return CaseScores(self.score_arrays(reference, prediction), flags(reference, prediction))

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """The nine official segmentation scores and the biometry errors of one mask.

        Args:
            reference: ``(height, width)`` integers, 0 background, 1 PS, 2 FH.
            prediction: the same shape and labels.
            spacing: not used: the official program works in pixels.
        """
        from medbench.metrics.official.intrapartum import biometry_scores, segmentation_scores

        biometry = biometry_scores(reference, prediction)
        return {**segmentation_scores(reference, prediction), **_penalised(biometry, reference)}

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :data:`FAILURE_RULE`."""
        if case.facts["task"] == "classification":
            wrong = [[float(label == 1), float(label == 0)] for label in case.facts["classes"]]
            return self._classified(case, np.array(wrong))
        try:
            reference = self.release.read_reference(case)
        except MedbenchError as error:
            columns = (spec.name for spec in (*_SEGMENTATION, *_BIOMETRY))
            return CaseScores.undefined(columns, error.message)
        biometry = {spec.name: Score(None, status, reason) for spec in _BIOMETRY}
        return CaseScores({**worst_segmentation(status, reason), **_penalised(biometry, reference)})

    @staticmethod
    def _classified(case: Case, probabilities: npt.NDArray[np.float64]) -> CaseScores:
        classes = np.array(case.facts["classes"])
        has_class = classes >= 0
        return CaseScores(
            {},
            {
                "reference": classes[has_class].tolist(),
                "prediction": probabilities[has_class].argmax(axis=1).tolist(),
                "score": probabilities[has_class, 1].tolist(),
            },
        )

    def statistic(self, metric: MetricSpec, rows: Sequence[CaseRow]) -> Statistic:
        """A column's value by weights of the cases; classification is pooled over frames of all videos."""
        if not metric.pooled:
            return super().statistic(metric, rows)
        from medbench.metrics.tasks import classification

        videos = [(index, row.evidence) for index, row in enumerate(rows) if "reference" in row.evidence]
        if not videos:
            return lambda weights: np.full(weights.shape[:-1], np.nan)
        owner = np.concatenate([np.full(len(evidence["reference"]), index) for index, evidence in videos])
        reference, prediction, score = (
            np.concatenate([np.asarray(evidence[key]) for _, evidence in videos])
            for key in ("reference", "prediction", "score")
        )

        def pooled(weights: Weights) -> npt.NDArray[np.float64]:
            by_frame = weights[..., owner]
            if metric.name == "auc":
                return classification.auc(reference, score, weights=by_frame)
            function = {
                "accuracy": classification.accuracy,
                "f1": classification.f1,
                "mcc": classification.mcc,
            }
            return function[metric.name](reference, prediction, weights=by_frame)

        return pooled


def _penalised(scores: Mapping[str, Score], reference: npt.NDArray[Any]) -> dict[str, Score]:
    """Biometry scores with failures by :data:`FAILURE_RULE`; undefined where the reference has no measure."""
    from medbench.metrics.tasks import biometry

    scores_by_rule = dict(scores)
    for name, score in scores.items():
        if score.status not in ("failed", "missing") or score.value is not None:
            continue
        try:
            if name == "aop_ellipse":
                penalty = biometry.aop_ellipse(reference)
            else:
                truth = biometry.aop_contour(reference)
                penalty = truth.aop if name == "aop_contour" else max(truth.hsd, PENALTY_PX)
            scores_by_rule[name] = Score(penalty, score.status, score.reason)
        except biometry.LandmarkError as error:
            scores_by_rule[name] = Score.undefined(f"the reference has no such measure: {error}")
    return scores_by_rule
