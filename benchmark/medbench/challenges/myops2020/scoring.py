"""Scores of MyoPS 2020 by volume and by slice.

Sources: what the challenge scored, scar and scar with oedema, from the abstract of arXiv 2409.12792; the
rules of papers on missing modalities from HGA/2D/predict.py (Jun-Jie-Shi/HGA@f20ef65). The organisers' own
program could not be retrieved.

Two protocols never share a table:

* ``by volume``: Dice and HD95 (mm) of the whole volume for scar and for scar with oedema, which the challenge
  ranked, and for both ventricles, the whole myocardium and oedema alone. How the organisers averaged and what
  an empty mask scored is not public; ours: mean over patients, Dice 1 when both masks are empty.
* ``as papers on missing modalities``: Dice and HD95 (pixels) of every slice for the ventricles and the
  myocardium alone, an empty mask against another scoring HD95 1, mean over all slices. Such papers say
  nothing of pathology, although they name this challenge.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medbench.challenges.families.mr_volumes.scoring import MRVolumeScorer
from medbench.challenges.myops2020.files import REGIONS
from medbench.core.case import Volume
from medbench.core.result_table import CaseRow, MetricSpec, Statistic, Weights, mean_statistic
from medbench.core.score import Score, Status

BY_VOLUME, BY_SLICE = "by volume", "as papers on missing modalities"
TITLES = {"scar_edema": "scar+oedema", "edema": "oedema", "lv": "LV", "rv": "RV", "myo": "Myo"}
RANKED = ("scar", "scar_edema")
SLICE_REGIONS = ("lv", "rv", "myo")
FAILURE_RULE = (
    "a failed or missing case scores Dice 0 and HD95 the diagonal, of the volume in mm and of a slice in "
    "pixels (ours; the organisers' rule is not public)."
)


def _columns() -> Iterator[MetricSpec]:
    for region in REGIONS:
        title, headline = TITLES.get(region, region), region in RANKED
        yield MetricSpec(
            f"dice_{region}", f"Dice {title}", "", "higher", "dice", (0.0, 1.0),
            headline=headline, protocol=BY_VOLUME,
        )  # fmt: skip
        yield MetricSpec(
            f"hd95_{region}", f"HD95 {title}", "mm", "lower", "hd95.pooled", headline=headline,
            protocol=BY_VOLUME,
        )  # fmt: skip
    for region in SLICE_REGIONS:
        title = TITLES[region]
        yield MetricSpec(
            f"slice_dice_{region}", f"Dice {title} by slice", "", "higher", "dice.epsilon", (0.0, 1.0),
            headline=True, protocol=BY_SLICE,
        )  # fmt: skip
        yield MetricSpec(
            f"slice_hd95_{region}", f"HD95 {title} by slice", "px", "lower", "hd95.pooled", headline=True,
            protocol=BY_SLICE,
        )  # fmt: skip


METRICS = tuple(_columns())


class MyoPSScorer(MRVolumeScorer):
    """Scores label maps by volume and by slice."""

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """Scores of a label map in memory by both protocols.

        Args:
            reference: ``(slices, height, width)`` with the challenge's values.
            prediction: the same shape and values.
            spacing: mm along each axis; without it HD95 in mm is undefined.
        """
        both = np.asarray(reference), np.asarray(prediction)
        return {**_by_volume(*both, spacing), **_by_slice(*both)}

    def worst_scores(self, reference: Volume, status: Status, reason: str) -> dict[str, Score]:
        """Scores by :data:`FAILURE_RULE`."""
        far: dict[str, float | None] = {"": 0.0, "mm": None, "px": math.hypot(*reference.shape[1:])}
        if reference.spacing is not None:
            sides = zip(reference.shape, reference.spacing, strict=True)
            far["mm"] = math.hypot(*(side * step for side, step in sides))
        return {spec.name: Score(far[spec.unit], status, reason) for spec in self.card.metrics}

    def evidence(self, reference: Volume) -> Mapping[str, Any]:
        """The number of slices: the weight of the case in the protocol by slice."""
        return {"slices": reference.shape[0]}

    def statistic(self, metric: MetricSpec, rows: Sequence[CaseRow]) -> Statistic:
        """Mean over patients, or over all slices in the protocol by slice."""
        by_patient = mean_statistic(metric, rows)
        if metric.protocol != BY_SLICE:
            return by_patient
        counts = np.array([float(row.evidence.get("slices", 0)) for row in rows])

        def by_slice(weights: Weights) -> Weights:
            return by_patient(weights * counts)

        return by_slice


def _by_volume(reference: Any, prediction: Any, spacing: tuple[float, ...] | None) -> dict[str, Score]:
    from medbench.metrics import evaluate_arrays

    ids = ["dice"] if spacing is None else ["dice", "hd95.pooled"]
    rules = {"dice": "agree", "hd95.pooled": "diagonal_if_one"}
    values = evaluate_arrays(reference, prediction, ids, dict(REGIONS), spacing, empty=rules)
    missing = Score.undefined("no spacing is known")
    scores = {f"dice_{region}": values[region]["dice"] for region in REGIONS}
    return scores | {f"hd95_{region}": values[region].get("hd95.pooled", missing) for region in REGIONS}


def _by_slice(reference: Any, prediction: Any) -> dict[str, Score]:
    """Means over the slices, each a volume one voxel thick, as the papers' programs take them."""
    from medbench.metrics import evaluate_arrays

    regions = {region: REGIONS[region] for region in SLICE_REGIONS}
    rules = {"hd95.pooled": "incomplete_modality"}
    slices = [
        evaluate_arrays(
            reference[z : z + 1], prediction[z : z + 1], ["dice.epsilon", "hd95.pooled"], regions, "pixel",
            empty=rules,
        )
        for z in range(len(reference))
    ]  # fmt: skip
    scores = {}
    for measure, convention in (("dice", "dice.epsilon"), ("hd95", "hd95.pooled")):
        for region in SLICE_REGIONS:
            values = [one[region][convention].value for one in slices]
            numbers = [value for value in values if value is not None]
            scores[f"slice_{measure}_{region}"] = Score(sum(numbers) / len(slices))
    return scores
