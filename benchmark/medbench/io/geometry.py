"""Check that two volumes lie on the same grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError

TOLERANCE = 1e-3
ONE_GRID = "All files of a case lie on one grid: copy it again, or resample it."


def check_geometry(
    reference: Volume,
    prediction: Volume,
    name: str,
    what: str = "the prediction",
    advice: str = "Write predictions in the reference's geometry.",
) -> None:
    """Refuse a pair whose size, spacing, origin or direction differ.

    Geometry that one of the files lacks (a PNG) is not compared; but a prediction with turned or mirrored
    axes is refused where the reference has no direction to compare with.

    Args:
        reference: volume with the grid.
        prediction: volume to check.
        name: case or file, for the message.
        what: name of ``prediction`` in the message.
        advice: hint of the error.

    Raises:
        MedbenchError: ``data.geometry`` with the field and both values, or ``data.direction``.
    """
    check_direction(reference, prediction, name, what)
    fields = [("size", reference.shape, prediction.shape)]
    fields += [
        (field, getattr(reference, field), getattr(prediction, field))
        for field in ("spacing", "origin", "direction")
    ]
    for field, due, actual in fields:
        if due is None or actual is None:
            continue
        same = len(due) == len(actual) and all(
            abs(a - b) <= TOLERANCE * max(1.0, abs(a)) for a, b in zip(due, actual, strict=True)
        )
        if not same:
            raise MedbenchError(
                "data.geometry",
                f"{name}: the {field} of {what} is {_text(actual)}, not {_text(due)}.",
                advice,
            )


def check_direction(reference: Volume, prediction: Volume, name: str, what: str = "the prediction") -> None:
    """Refuse axes that are turned or mirrored where the reference has no direction that could confirm it.

    Raises:
        MedbenchError: ``data.direction``.
    """
    if reference.direction is None and prediction.direction is not None and _turned(prediction.direction):
        raise MedbenchError(
            "data.direction",
            f"{name}: {what} has the direction {_text(prediction.direction)}, "
            "and its reference has none that could confirm it.",
            "Write it in the order of the reference's array, with the identity as direction (in LPS).",
        )


def _turned(direction: Sequence[float]) -> bool:
    """Whether a direction is not the identity."""
    side = math.isqrt(len(direction))
    identity = [float(row == column) for row in range(side) for column in range(side)]
    return any(abs(a - b) > TOLERANCE for a, b in zip(direction, identity, strict=True))


def _text(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
