"""Comparison of one pair of masks by every definition, to explain why two numbers disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.metrics.arrays import (
    Mask,
    Spacing,
    SpacingLike,
    as_mask,
    check_spacing,
    labels_of,
    same_shape,
    whole_numbers,
)
from medbench.metrics.convention import Convention
from medbench.metrics.engine import list_metrics, metric, score_pair
from medbench.metrics.masks.pair import MaskPair

_AGREES = 1e-5


def common_spacing(
    reference: Volume, prediction: Volume, names: tuple[str, str], spacing: SpacingLike | None
) -> tuple[Spacing, str]:
    """The spacing and its unit: the caller's spacing, else that of both files, else pixels.

    Raises:
        MedbenchError: ``geometry.spacing`` when the two files disagree; ``metric.spacing`` for an
            unusable one.
    """
    ndim = reference.array.ndim
    if spacing is not None:
        return check_spacing(spacing, ndim), "px" if isinstance(spacing, str) else "mm"
    spacings = [volume.spacing for volume in (reference, prediction) if volume.spacing is not None]
    if not spacings:
        return (1.0,) * ndim, "px"
    if len(spacings) == 2 and any(abs(a - b) > 1e-4 * max(a, b) for a, b in zip(*spacings, strict=True)):
        raise MedbenchError(
            "geometry.spacing",
            f"Spacing differs: {spacings[0]} in {names[0]}, {spacings[1]} in {names[1]}.",
            "Resample the prediction to the reference's grid, or pass --spacing.",
        )
    return check_spacing(spacings[0], ndim), "mm"


def foreground(array: Any, label: Sequence[int] | None, name: str) -> Mask:
    """Boolean mask of one label, of a union of labels, or of all labels except 0.

    Raises:
        MedbenchError: ``metric.labels`` when no label is given and the map holds several.
    """
    labels = whole_numbers(array, name)
    if label is None:
        values = labels_of(labels)
        if len(values) > 2:
            raise MedbenchError(
                "metric.labels",
                f"{name} holds the labels {', '.join(str(value) for value in values[:8])}.",
                "Choose with --label N; repeat it for a union of labels.",
            )
        return as_mask(labels != 0, None, name)
    return as_mask(labels, label, name)


def compare_pair(
    reference: Volume,
    prediction: Volume,
    *,
    names: tuple[str, str] = ("reference", "prediction"),
    label: Sequence[int] | None = None,
    spacing: SpacingLike | None = None,
    tolerance: float = 1.0,
    pattern: str = "*",
    libraries: Sequence[str] = (),
) -> dict[str, Any]:
    """Scores of the pair by every mask metric that applies, and values of other libraries, as plain values.

    Args:
        reference: label map or mask with its geometry.
        prediction: the same grid.
        names: names of reference and prediction in messages.
        label: labels that make up the foreground.
        spacing: overrides the files' own.
        tolerance: of surface Dice, in the unit of the spacing.
        pattern: shell-style pattern of metric ids; lesions and instances only when it asks for them.
        libraries: see :data:`medbench.metrics.checks.peers.PEERS`.

    Raises:
        MedbenchError: ``metric.shape``, ``metric.labels``, ``metric.spacing``, ``geometry.spacing``.
    """
    arrays = same_shape(reference.array, prediction.array)
    steps, unit = common_spacing(reference, prediction, names, spacing)
    masks = [foreground(array, label, name) for array, name in zip(arrays, names, strict=True)]
    pair = MaskPair.cut(masks[0], masks[1], steps)
    rows = [_row(convention, pair, unit, tolerance) for convention in _fitting(pattern, arrays[0].ndim)]
    ours = {row["id"]: row["value"] for row in rows}
    peers = []
    if libraries:
        from medbench.metrics.checks.peers import peer_values

        for peer in peer_values(libraries, masks[0], masks[1], steps, tolerance=tolerance):
            verdict = peer.problem or _verdict(peer.value, ours.get(peer.metric))
            peers.append(
                {
                    "library": peer.library,
                    "function": peer.function,
                    "value": peer.value,
                    "id": peer.metric,
                    "verdict": verdict,
                }
            )
    return {
        "reference": names[0],
        "prediction": names[1],
        "n_reference": pair.overlap.n_reference,
        "n_prediction": pair.overlap.n_prediction,
        "spacing": list(steps),
        "unit": unit,
        "tolerance": tolerance,
        "metrics": rows,
        "libraries": peers,
    }


def _fitting(pattern: str, ndim: int) -> list[Convention]:
    families = ("overlap", "surface") if pattern == "*" else ("overlap", "surface", "lesions", "instances")
    conventions = [metric(id) for id in list_metrics(pattern)]
    fitting = [c for c in conventions if c.family in families]
    if not fitting:
        raise MedbenchError(
            "metric.unknown", f"No metric of masks matches '{pattern}'.", "See 'medbench metrics list'."
        )
    if ndim != 2:
        fitting = [c for c in fitting if c.id != "asd.edge8" and not c.id.startswith("f1.kpis")]
    if ndim not in (2, 3):
        fitting = [c for c in fitting if not c.id.endswith(".area")]
    return fitting


def _row(convention: Convention, pair: MaskPair, unit: str, tolerance: float) -> dict[str, Any]:
    options = {
        name: tolerance if name == "tolerance" and value is None else value
        for name, value in convention.options.items()
    }
    score = score_pair(convention, pair, convention.empty, options)
    label = f" at {tolerance:g} {unit}" if "tolerance" in options else ""
    return {
        "id": convention.id,
        "value": score.value,
        "status": score.status,
        "reason": score.reason,
        "unit": convention.unit.replace("mm", unit) if unit == "px" else convention.unit,
        "differs": f"{convention.differs}{label}",
        "like": ", ".join(convention.equals),
    }


def _verdict(theirs: float | None, ours: float | None) -> str:
    if theirs is None or ours is None:
        return "not compared"
    difference = abs(theirs - ours)
    if difference <= _AGREES * max(1.0, abs(ours)):
        return "equal" if difference <= 1e-9 else f"equal to {difference:.1g}"
    return f"differs by {difference:.4g}"
