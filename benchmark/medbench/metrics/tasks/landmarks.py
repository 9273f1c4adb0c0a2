"""Distances of landmarks, and the angle of progression from three of them.

Points are ``(x, y)``; for the angle they are PS1, PS2 and FH1: the two ends of the pubic symphysis, of which
the first is the corner of the angle, and the place where the tangent from there touches the fetal head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.score import Score
from medbench.metrics.arguments import check_choice, numbers

Floats = npt.NDArray[np.float64]

DEGENERATE_DEGREES = 180.0


def _pair(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> tuple[Floats, Floats]:
    points = (
        numbers(reference, "reference", finite=True).astype(np.float64),
        numbers(prediction, "prediction", finite=True).astype(np.float64),
    )
    shapes = [each.shape for each in points]
    if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][1:] != (2,) or not shapes[0][0]:
        raise MedbenchError(
            "metric.shape",
            f"Reference and prediction have shapes {shapes[0]} and {shapes[1]}.",
            "Give the same number of points, (points, 2).",
        )
    return points


def radial_error(reference: npt.ArrayLike, prediction: npt.ArrayLike, of: int | None = None) -> Score:
    """Euclidean distance of a landmark from its reference, or the mean over all landmarks of an image.

    Args:
        reference: ``(landmarks, 2)``.
        prediction: ``(landmarks, 2)``.
        of: index of one landmark; ``None``: all.

    Raises:
        MedbenchError: ``metric.array``, ``metric.shape``, ``metric.not_finite``, or ``metric.option`` for a
            landmark that is not there.

    >>> radial_error([[0, 0], [10, 10]], [[3, 4], [10, 10]]).value
    2.5
    """
    due, points = _pair(reference, prediction)
    if of is not None:
        check_choice(of, "landmark", range(len(due)))
    distances = np.hypot(*(points - due).T)
    return Score(float(distances.mean() if of is None else distances[of]))


def angle_of_progression(points: Sequence[Sequence[float]] | Floats) -> float | None:
    """The angle at PS1 between PS2 and FH1 in degrees, 0 to 180; ``None`` where a ray has no length.

    >>> angle_of_progression([(0, 0), (-5, 0), (0, 7)])
    90.0
    """
    corner, *ends = np.asarray(points, np.float64)
    first, second = (end - corner for end in ends)
    if not first.any() or not second.any():
        return None
    cross = first[0] * second[1] - first[1] * second[0]
    return math.degrees(math.atan2(abs(cross), float(first @ second)))


def angle_error(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> Score:
    """Absolute difference in degrees of the angles of progression from three points each.

    A prediction two of whose points are equal has no angle and scores 180 degrees (medbench's rule; the
    organisers' is not public); without an angle in the reference the score is undefined.

    Args:
        reference: PS1, PS2, FH1, ``(3, 2)``.
        prediction: the same.

    Raises:
        MedbenchError: ``metric.array``, ``metric.shape`` or ``metric.not_finite``.

    >>> angle_error([(0, 0), (-5, 0), (0, 7)], [(0, 0), (-5, 0), (7, 7)]).value
    45.0
    """
    due, points = _pair(reference, prediction)
    if len(due) != 3:
        raise MedbenchError("metric.shape", f"An angle needs three points, not {len(due)}.", "PS1, PS2, FH1.")
    angles = [angle_of_progression(each) for each in (due, points)]
    if angles[0] is None:
        return Score.undefined("two of the reference's points are equal")
    return Score(DEGENERATE_DEGREES if angles[1] is None else abs(angles[1] - angles[0]))
