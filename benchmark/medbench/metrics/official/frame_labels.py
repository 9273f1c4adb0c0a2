"""Single official numbers by id: thin pickers over functions that compute several at once."""

from __future__ import annotations

from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.score import Score
from medbench.metrics.arguments import check_choice
from medbench.metrics.arrays import Spacing


def biometry(reference: Any, prediction: Any, *, value: str) -> Score:
    """One entry of :func:`medbench.metrics.official.intrapartum.biometry_scores`."""
    from medbench.metrics.official.intrapartum import biometry_scores

    scores = biometry_scores(reference, prediction)
    check_choice(value, "value", scores)
    return scores[value]


def psfhs(reference: Any, prediction: Any) -> Score:
    """:func:`medbench.metrics.official.intrapartum.psfhs_score` of one frame; undefined where a part is."""
    from medbench.metrics.official.intrapartum import ellipse_score, psfhs_score, segmentation_scores

    scores = segmentation_scores(reference, prediction)
    scores["aop_ellipse"] = ellipse_score(reference, prediction)
    means = {name: score.value for name, score in scores.items() if score.value is not None}
    lacking = next((score for score in scores.values() if score.value is None), None)
    return Score.undefined(lacking.reason) if lacking else Score(psfhs_score(means))


def head_circumference(reference: Any, prediction: Any, *, value: str, spacing: Spacing) -> Score:
    """One entry of :func:`medbench.metrics.tasks.biometry.head_circumference_scores`, for square pixels."""
    from medbench.metrics.tasks.biometry import head_circumference_scores

    if len(spacing) != 2:
        raise MedbenchError(
            "metric.shape", f"Head circumference needs 2-D masks, not {len(spacing)}-D.", "Give one image."
        )
    if spacing[0] != spacing[1]:
        raise MedbenchError(
            "metric.spacing",
            f"Head circumference needs square pixels, got {spacing[0]} x {spacing[1]} mm.",
            "Measure at the image's original size: resizing changes the pixels' shape.",
        )
    scores = head_circumference_scores(reference, prediction, pixel_size_mm=spacing[0])
    check_choice(value, "value", scores)
    return scores[value]
