"""Single official numbers by id: thin pickers over functions that compute several at once."""

from __future__ import annotations

from typing import Any

from medbench.core.score import Score
from medbench.metrics.arrays import Spacing


def biometry(reference: Any, prediction: Any, *, value: str) -> Score:
    """One entry of :func:`medbench.metrics.intrapartum.biometry_scores`."""
    from medbench.metrics.intrapartum import biometry_scores

    return biometry_scores(reference, prediction)[value]


def head_circumference(reference: Any, prediction: Any, *, value: str, spacing: Spacing) -> Score:
    """One entry of :func:`medbench.metrics.biometry.head_circumference_scores`, for square pixels."""
    from medbench.core.errors import MedbenchError
    from medbench.metrics.biometry import head_circumference_scores

    if spacing[0] != spacing[1]:
        raise MedbenchError(
            "metric.spacing",
            f"Head circumference needs square pixels, got {spacing[0]} x {spacing[1]} mm.",
            "Measure at the image's original size: resizing changes the pixels' shape.",
        )
    return head_circumference_scores(reference, prediction, pixel_size_mm=spacing[0])[value]
