"""Scores of label maps on MR volumes, on the reference's grid."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medbench.challenges.card import Card
from medbench.challenges.families.mr_volumes.files import MRVolumeRelease
from medbench.challenges.scorer import Scorer
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseScores
from medbench.core.score import Score, Status
from medbench.io.gate.expected import handed_in
from medbench.io.geometry import check_geometry
from medbench.metrics.checks.suspicion import flags


class MRVolumeScorer(Scorer):
    """Scores label maps volume by volume."""

    def __init__(self, card: Card, release: MRVolumeRelease) -> None:
        super().__init__(card)
        self.release = release

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """All columns of one label map on the reference's grid.

        Raises:
            MedbenchError: also when size or geometry of the prediction is not the reference's.
        """
        reference = self.release.read_reference(case)
        prediction = self.release.read_labels(path, handed_in(reference.shape))
        check_geometry(reference, prediction, str(path))
        spacing = reference.spacing or prediction.spacing
        scores = self.score_arrays(reference.array, prediction.array, spacing)
        if spacing is None:
            no_score = Score.undefined(f"{case.reference['labels'].name} states no voxel size")
            scores |= {spec.name: no_score for spec in self.card.metrics if spec.unit == "mm"}
        return CaseScores(scores, {**self.evidence(reference), **flags(reference.array, prediction.array)})

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by the card's ``failure_rule``; a case without a readable reference has no score."""
        try:
            reference = self.release.read_reference(case)
        except MedbenchError as error:
            return CaseScores.undefined((spec.name for spec in self.card.metrics), error.message)
        return CaseScores(self.worst_scores(reference, status, reason), self.evidence(reference))

    @abc.abstractmethod
    def worst_scores(self, reference: Volume, status: Status, reason: str) -> dict[str, Score]:
        """Scores of a failed or missing prediction by the card's ``failure_rule``."""

    def evidence(self, reference: Volume) -> Mapping[str, Any]:
        """Evidence of a case for pooled columns; empty where no column is pooled."""
        return {}
