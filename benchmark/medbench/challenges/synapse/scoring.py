"""Scores of Synapse multi-organ CT under two protocols.

Source of the first: ``utils.py`` of Beckschen/TransUNet@ee8acce.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medbench.challenges.card import Card
from medbench.challenges.exchange import size_text
from medbench.challenges.scorer import Scorer
from medbench.challenges.synapse.exchange import SynapseExchange
from medbench.challenges.synapse.files import ORGANS
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseScores, MetricSpec
from medbench.core.score import Score, Status
from medbench.io.geometry import check_geometry

TITLES = {"rightkidney": "right kidney", "leftkidney": "left kidney"}
TRANSUNET, UNBIASED = "of TransUNet", "unbiased, in mm"
_SPACED = "hd95.pooled"
_NO_SPACING = "the file has no spacing, and there is no spacing.csv with this case"


def _columns(suffix: str, dice: str, hd95: str, unit: str, protocol: str) -> Iterator[MetricSpec]:
    for measure, convention, title in (("dice", dice, "Dice"), ("hd95", hd95, "HD95")):
        better, bounds = ("higher", (0.0, 1.0)) if measure == "dice" else ("lower", (0.0, None))
        for organ in ("", *ORGANS):
            yield MetricSpec(
                "_".join(part for part in (measure, suffix, organ) if part),
                f"{title} {TITLES.get(organ, organ)}".strip(),
                "" if measure == "dice" else unit,
                better,  # type: ignore[arg-type]
                convention,
                bounds,
                headline=not organ,
                protocol=protocol,
            )


METRICS = (
    *_columns("transunet", "dice.transunet", "hd95.transunet", "voxel", TRANSUNET),
    *_columns("", "dice", _SPACED, "mm", UNBIASED),
)
FAILURE_RULE = (
    "Dice 0 and HD95 the volume's diagonal (in voxels and in mm) for every organ of the reference, "
    "under both protocols (ours; the authors' program stops)."
)


class SynapseScorer(Scorer):
    """Label volumes scored organ by organ under both protocols."""

    def __init__(self, card: Card, exchange: SynapseExchange) -> None:
        super().__init__(card)
        self.exchange = exchange
        self.release = exchange.release

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """Scores of one volume under both protocols.

        Raises:
            MedbenchError: also when size or geometry of the prediction is not the reference's.
        """
        reference, prediction = self.release.read_reference(case), self.exchange.read_prediction(path)
        if prediction.shape != reference.shape:
            size, due = size_text(prediction.shape), size_text(reference.shape)
            raise MedbenchError(
                "data.size_mismatch",
                f"{path}: is {size} where its reference is {due}.",
                "Bring predictions back to the volume's own grid, in the same order of axes.",
            )
        if reference.origin is not None and prediction.origin is not None:
            check_geometry(reference, prediction, str(path))
        return CaseScores(self.score_arrays(reference.array, prediction.array, reference.spacing))

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """Scores of label arrays under both protocols.

        Args:
            reference: ``(slices, height, width)`` integers 0 to 8; a single slice counts as an image.
            prediction: the same shape and labels.
            spacing: mm along each axis; without it HD95 in mm is undefined.
        """
        from medbench.metrics.engine import evaluate_arrays

        first, second = np.asarray(reference), np.asarray(prediction)
        if first.ndim == 3 and len(first) == 1:
            first, second = first[0], second[0]
        biased = evaluate_arrays(first, second, ["dice.transunet", "hd95.transunet"], ORGANS, "pixel")
        ids = ["dice"] if spacing is None else ["dice", _SPACED]
        steps = None if spacing is None else spacing[-first.ndim :]
        plain = evaluate_arrays(first, second, ids, ORGANS, steps, empty={_SPACED: "diagonal_if_one"})
        scores: dict[str, Score] = {}
        for spec in self.card.metrics:
            scores_of = biased if spec.protocol == TRANSUNET else plain
            missing = Score.undefined(_NO_SPACING)
            by_organ = {organ: scores_of[organ].get(spec.convention, missing) for organ in ORGANS}
            organ = spec.name.rpartition("_")[2]
            scores[spec.name] = by_organ[organ] if organ in ORGANS else _mean(by_organ)
        return scores

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :data:`FAILURE_RULE`."""
        try:
            reference = self.release.read_reference(case)
        except MedbenchError as error:
            return CaseScores({spec.name: Score.undefined(error.message) for spec in self.card.metrics})
        present = set(np.unique(reference.array).tolist())
        shape, spacing = np.array(reference.shape), reference.spacing
        far = {
            "voxel": float(np.linalg.norm(shape)),
            "mm": None if spacing is None else float(np.linalg.norm(shape * np.array(spacing))),
        }
        scores = {}
        for spec in self.card.metrics:
            organ = spec.name.rpartition("_")[2]
            if spec.protocol == UNBIASED and organ in ORGANS and ORGANS[organ] not in present:
                scores[spec.name] = Score.undefined("the reference has no such organ")
            else:
                scores[spec.name] = Score(0.0 if spec.better == "higher" else far[spec.unit], status, reason)
        return CaseScores(scores)


def _mean(by_organ: Mapping[str, Score]) -> Score:
    """Mean over the organs that have a value."""
    values = [score.value for score in by_organ.values() if score.value is not None]
    if not values:
        return Score.undefined(next(iter(by_organ.values())).reason or "no organ has a value")
    return Score(float(np.mean(values)))
