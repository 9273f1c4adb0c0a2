"""Scores of volumes that networks see slice by slice, under two protocols.

Source of the first: ``utils.py`` of Beckschen/TransUNet@ee8acce.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medbench.challenges.card import Card
from medbench.challenges.families.sliced_volumes.exchange import SlicedVolumeExchange
from medbench.challenges.scorer import Scorer
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.label_values import label_values
from medbench.core.result_table import CaseScores, MetricSpec
from medbench.core.score import Score, Status
from medbench.io.geometry import check_direction, check_geometry
from medbench.metrics.checks.suspicion import flags

TRANSUNET, UNBIASED = "of TransUNet", "unbiased, in mm"
_SPACED = "hd95.pooled"
_NO_SPACING = "the file has no spacing, and there is no spacing.csv with this case"


def protocol_columns(titles: Mapping[str, str]) -> tuple[MetricSpec, ...]:
    """Columns of both protocols: means over structures, then each.

    Args:
        titles: structure -> how tables call it.
    """
    return (
        *_columns(titles, "transunet", ("dice.transunet", "hd95.transunet"), "voxel", TRANSUNET),
        *_columns(titles, "", ("dice", _SPACED), "mm", UNBIASED),
    )


def _columns(
    titles: Mapping[str, str], suffix: str, conventions: tuple[str, str], unit: str, protocol: str
) -> Iterator[MetricSpec]:
    for measure, convention, title in zip(("dice", "hd95"), conventions, ("Dice", "HD95"), strict=True):
        better, bounds = ("higher", (0.0, 1.0)) if measure == "dice" else ("lower", (0.0, None))
        for name in ("", *titles):
            yield MetricSpec(
                "_".join(part for part in (measure, suffix, name) if part),
                f"{title} {titles.get(name, '')}".strip(),
                "" if measure == "dice" else unit,
                better,  # type: ignore[arg-type]
                convention,
                bounds,
                headline=not name,
                protocol=protocol,
            )


FAILURE_RULE = (
    "Dice 0 and HD95 the volume's diagonal (in voxels and in mm) for every structure of the reference, "
    "under both protocols (ours; the authors' program stops)."
)


class SlicedVolumeScorer(Scorer):
    """Label volumes scored structure by structure under both protocols."""

    def __init__(self, card: Card, exchange: SlicedVolumeExchange) -> None:
        super().__init__(card)
        self.exchange = exchange
        self.release = exchange.release

    def score_file(self, case: Case, path: Path) -> CaseScores:
        """Scores of one volume under both protocols.

        Raises:
            MedbenchError: also when size or geometry of the prediction is not the reference's.
        """
        reference = self.release.read_reference(case)
        prediction = self.exchange.read_prediction(path, reference.shape)
        check_direction(reference, prediction, str(path))
        if reference.origin is not None and prediction.origin is not None:
            check_geometry(reference, prediction, str(path))
        scores = self.score_arrays(reference.array, prediction.array, reference.spacing)
        return CaseScores(scores, flags(reference.array, prediction.array))

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """Scores of label arrays under both protocols.

        Args:
            reference: ``(slices, height, width)`` integers, labels of the release; a single slice counts
                as an image.
            prediction: the same shape and labels.
            spacing: mm along each axis; without it HD95 in mm is undefined.
        """
        from medbench.metrics.engine import evaluate_arrays

        structures = self.release.structures
        first, second = np.asarray(reference), np.asarray(prediction)
        if first.ndim == 3 and len(first) == 1:
            first, second = first[0], second[0]
        transunet = evaluate_arrays(first, second, ["dice.transunet", "hd95.transunet"], structures, "pixel")
        ids = ["dice"] if spacing is None else ["dice", _SPACED]
        steps = None if spacing is None else spacing[-first.ndim :]
        plain = evaluate_arrays(first, second, ids, structures, steps, empty={_SPACED: "diagonal_if_one"})
        scores: dict[str, Score] = {}
        for spec in self.card.metrics:
            scores_of = transunet if spec.protocol == TRANSUNET else plain
            missing = Score.undefined(_NO_SPACING)
            by_name = {name: scores_of[name].get(spec.convention, missing) for name in structures}
            name = spec.name.rpartition("_")[2]
            scores[spec.name] = by_name[name] if name in structures else self._mean(by_name)
        return scores

    def score_failed(self, case: Case, status: Status, reason: str) -> CaseScores:
        """Scores by :data:`FAILURE_RULE`."""
        try:
            reference = self.release.read_reference(case)
        except MedbenchError as error:
            return CaseScores.undefined((spec.name for spec in self.card.metrics), error.message)
        present = set(label_values(reference.array).tolist())
        shape, spacing = np.array(reference.shape), reference.spacing
        far = {
            "voxel": float(np.linalg.norm(shape)),
            "mm": None if spacing is None else float(np.linalg.norm(shape * np.array(spacing))),
        }
        scores = {}
        for spec in self.card.metrics:
            label = self.release.structures.get(spec.name.rpartition("_")[2])
            if spec.protocol == UNBIASED and label is not None and label not in present:
                scores[spec.name] = Score.undefined(
                    f"the reference has no such {self.release.structure_word}"
                )
            else:
                scores[spec.name] = Score(0.0 if spec.better == "higher" else far[spec.unit], status, reason)
        return CaseScores(scores)

    def _mean(self, by_name: Mapping[str, Score]) -> Score:
        """Mean over the structures that have a value."""
        values = [score.value for score in by_name.values() if score.value is not None]
        if not values:
            reason = next(iter(by_name.values())).reason
            return Score.undefined(reason or f"no {self.release.structure_word} has a value")
        return Score(float(np.mean(values)))
