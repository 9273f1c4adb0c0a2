"""Scores of BraTS from two label maps, by the protocol of an edition. Sources as in :mod:`.challenge`."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.challenges.brats.editions import Edition
from medbench.challenges.brats.files import BraTSRelease
from medbench.challenges.card import Card
from medbench.challenges.families.mr_volumes.scoring import MRVolumeScorer
from medbench.core.case import Volume
from medbench.core.score import Score, Status

FAILURE_RULE = (
    "a failed or missing case scores as the organisers score a missing file: 0, and the penalty distance "
    "of the edition (374 voxels until 2024, but 337 for glioma after treatment and the image's diagonal "
    "for metastases and radiotherapy in 2024; 373 in 2025; CaPTk's failures: Dice 0, HD95 374, "
    "sensitivity and specificity 0; 1 in papers on missing modalities)."
)
_NSD_MM = 1.0


class BraTSScorer(MRVolumeScorer):
    """The columns of one edition's protocol."""

    def __init__(self, card: Card, release: BraTSRelease) -> None:
        super().__init__(card, release)
        self.edition = release.edition

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """All columns of the edition's protocol.

        Args:
            reference: 3-D label map with the edition's labels.
            prediction: the same shape and labels.
            spacing: mm along each axis, 1 if not given.
        """
        score = score_tissues if self.edition.tissue_rules else score_regions
        return score(self.edition, reference, prediction, spacing or (1.0, 1.0, 1.0))

    def worst_scores(self, reference: Volume, status: Status, reason: str) -> dict[str, Score]:
        """Scores by :data:`FAILURE_RULE`."""
        diagonal = math.sqrt(sum(side * side for side in reference.shape))
        far = diagonal if self.edition.penalty_mm is None else self.edition.penalty_mm
        return {
            spec.name: Score(far if math.isnan(measure.penalty) else measure.penalty, status, reason)
            for spec, measure, _ in self.edition.columns()
        }


def score_tissues(
    edition: Edition, reference: Any, prediction: Any, spacing: tuple[float, ...]
) -> dict[str, Score]:
    """Scores of BraTS 2024 glioma, where lesions of one tissue join through others in the whole label map.

    Args:
        edition: whose regions are WT, TC and the tissues.
        reference: 3-D label map.
        prediction: the same shape.
        spacing: mm along each axis.
    """
    from medbench.metrics.official.lesion_tissues import gli_2024_reports

    reports = gli_2024_reports(reference, prediction, spacing, tolerances=(_NSD_MM,))
    scores = {}
    for spec, measure, region in edition.columns():
        report = reports[region]
        values = {"dice": report.dice, "hd95": report.hd95, "nsd": report.nsd(_NSD_MM)}
        scores[spec.name] = Score(values[measure.name.removeprefix("lesion_")])
    return scores


def score_regions(
    edition: Edition, reference: Any, prediction: Any, spacing: tuple[float, ...]
) -> dict[str, Score]:
    """Scores of all other protocols: every measure of every region.

    A distance that two variants of a protocol report is computed once; they differ for empty masks alone.

    Args:
        edition: the regions and measures.
        reference: 3-D label map.
        prediction: the same shape.
        spacing: mm along each axis.
    """
    from medbench.metrics import evaluate_arrays
    from medbench.metrics.convention import EMPTY_WORDS, EmptyPolicy, empty_policy

    columns = edition.columns()
    diagonal = math.sqrt(sum(side * side for side in np.shape(reference)))
    own = {
        "brats_sensitivity": EmptyPolicy("brats_sensitivity", both=1.0, reference=0.0),
        "diagonal": EmptyPolicy("diagonal", both=0.0, prediction=diagonal, reference=diagonal),
    }
    rules = {
        measure.empty: own.get(measure.empty) or empty_policy(measure.empty) for _, measure, _ in columns
    }
    rule_of: dict[str, str] = {}
    for spec, measure, _ in columns:
        rule_of.setdefault(spec.convention, measure.empty)
    values = evaluate_arrays(
        reference,
        prediction,
        list(rule_of),
        dict(edition.regions),
        spacing,
        empty={convention: rules[empty] for convention, empty in rule_of.items()},
    )
    scores = {}
    for spec, measure, region in columns:
        score = values[region][spec.convention]
        if score.status == "undefined" and measure.empty != rule_of[spec.convention]:
            rule = rules[measure.empty]
            state = _empty_side(np.asarray(reference), np.asarray(prediction), edition.regions[region])
            value = float(getattr(rule, state))
            score = Score.undefined(f"{EMPTY_WORDS[state]}: {value:g} by rule '{rule.name}'", value)
        scores[spec.name] = score
    return scores


def _empty_side(
    reference: npt.NDArray[Any], prediction: npt.NDArray[Any], labels: tuple[int, ...]
) -> Literal["both", "reference", "prediction"]:
    """Which mask of a region with an undefined score is empty."""
    if np.isin(reference, labels).any():
        return "prediction"
    return "reference" if np.isin(prediction, labels).any() else "both"
