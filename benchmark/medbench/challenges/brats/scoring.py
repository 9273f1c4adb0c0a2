"""Scores of BraTS from two label maps, by the protocol of an edition. Sources as in :mod:`.brats`."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.challenges.brats.editions import Edition
from medbench.core.score import Score

_NSD_MM = 1.0


def score_tissues(
    edition: Edition, reference: Any, prediction: Any, spacing: tuple[float, ...]
) -> dict[str, Score]:
    """BraTS 2024 glioma: lesions of one tissue join through others, so whole label maps are needed.

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
    """All other protocols: every measure of every region.

    A distance that two variants of a protocol report is computed once; they differ for empty masks alone.

    Args:
        edition: the regions and measures.
        reference: 3-D label map.
        prediction: the same shape.
        spacing: mm along each axis.
    """
    from medbench.metrics import evaluate_arrays
    from medbench.metrics.convention import EmptyPolicy, empty_policy

    columns = edition.columns()
    diagonal = math.sqrt(sum(side * side for side in np.shape(reference)))
    own = {
        "brats_sensitivity": EmptyPolicy("brats_sensitivity", both=1.0, reference=0.0),
        "diagonal": EmptyPolicy("diagonal", both=0.0, prediction=diagonal, reference=diagonal),
    }
    rules = {
        measure.empty: own.get(measure.empty) or empty_policy(measure.empty) for _, measure, _ in columns
    }
    applied: dict[str, str] = {}
    for spec, measure, _ in columns:
        applied.setdefault(spec.convention, measure.empty)
    found = evaluate_arrays(
        reference,
        prediction,
        list(applied),
        dict(edition.regions),
        spacing,
        empty={convention: rules[empty] for convention, empty in applied.items()},
    )
    scores = {}
    for spec, measure, region in columns:
        score = found[region][spec.convention]
        if score.status == "undefined" and measure.empty != applied[spec.convention]:
            rule = rules[measure.empty]
            state = _empty_side(np.asarray(reference), np.asarray(prediction), edition.regions[region])
            value = float(getattr(rule, state))
            score = Score.undefined(f"{_WORDS[state]}: {value:g} by rule '{rule.name}'", value)
        scores[spec.name] = score
    return scores


_WORDS = {
    "both": "both masks are empty",
    "prediction": "the prediction is empty",
    "reference": "the reference is empty",
}


def _empty_side(
    reference: npt.NDArray[Any], prediction: npt.NDArray[Any], labels: tuple[int, ...]
) -> Literal["both", "reference", "prediction"]:
    """Which mask of a region is empty, where one is known to be."""
    if np.isin(reference, labels).any():
        return "prediction"
    return "reference" if np.isin(prediction, labels).any() else "both"
