"""Measurements on label maps as lines for a report: sides of angles, distances, fitted ellipses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from medbench.core.overlay import Stroke
from medbench.metrics.tasks.biometry import (
    Ellipse,
    LandmarkError,
    aop_contour,
    ellipse_landmarks,
    fitted_ellipse,
)

Labels = npt.NDArray[np.uint8]
Side = Literal["reference", "prediction"]
_STEPS = 72


def strokes_of_both(
    draw: Callable[[Labels, Side], list[Stroke]], reference: Labels, prediction: Labels
) -> list[Stroke]:
    """The lines of both label maps; none of one on which nothing can be measured."""
    strokes = []
    for labels, side in ((reference, "reference"), (prediction, "prediction")):
        try:
            strokes += draw(labels, side)  # type: ignore[arg-type]
        except (LandmarkError, ValueError):
            continue
    return strokes


def angle_of_points(points: npt.ArrayLike, side: Side, arm: float) -> list[Stroke]:
    """A cross at each point, and the sides of the angle of progression at the first of them.

    Args:
        points: PS1, PS2 and FH1, ``(3, 2)``, x and y in pixels.
        side: whose points they are.
        arm: half the width of a cross in pixels.
    """
    corner, *ends = ((float(y), float(x)) for x, y in np.asarray(points, np.float64))
    crosses = [
        Stroke(side, ((y - arm * down, x - arm), (y + arm * down, x + arm)), dashed=False)
        for y, x in (corner, *ends)
        for down in (-1, 1)
    ]
    return [Stroke(side, (ends[0], corner, ends[1])), *crosses]


def progression_by_contour(labels: Labels, side: Side) -> list[Stroke]:
    """The sides of the angle of progression and the head-symphysis distance by the contour rule.

    Raises:
        LandmarkError: where there are no landmarks.
    """
    own = aop_contour(labels)
    inferior, superior = sorted(own.ps_points, key=lambda point: point[1], reverse=True)
    return [Stroke(side, (superior, inferior, own.aop_tangency)), Stroke(side, (inferior, own.hsd_point))]


def progression_by_ellipse(labels: Labels, side: Side) -> list[Stroke]:
    """The sides of the angle of progression by the ellipse rule, and both fitted ellipses.

    Raises:
        LandmarkError: where no ellipse can be fitted.
    """
    sides = [(y, x) for x, y in ellipse_landmarks(labels)]
    ellipses = [fitted_ellipse(labels == label) for label in (1, 2)]
    return [Stroke(side, sides), *(_outline(own, side) for own in ellipses if own is not None)]


def head_ellipse(labels: Labels, side: Side) -> list[Stroke]:
    """The ellipse whose perimeter is the head's circumference, and its two axes."""
    own = fitted_ellipse(labels > 0, simplify=False)
    if own is None:
        return []
    turn, (x, y) = math.radians(own.angle), own.center
    axes = []
    for length, angle in zip(own.axes, (turn, turn + math.pi / 2), strict=True):
        across, down = length / 2 * math.cos(angle), length / 2 * math.sin(angle)
        axes.append(Stroke(side, ((y - down, x - across), (y + down, x + across))))
    return [_outline(own, side), *axes]


def _outline(ellipse: Ellipse, side: Side) -> Stroke:
    turn = math.radians(ellipse.angle)
    points = []
    for step in range(_STEPS + 1):
        angle = 2 * math.pi * step / _STEPS
        u, v = ellipse.axes[0] / 2 * math.cos(angle), ellipse.axes[1] / 2 * math.sin(angle)
        points.append(
            (
                ellipse.center[1] + u * math.sin(turn) + v * math.cos(turn),
                ellipse.center[0] + u * math.cos(turn) - v * math.sin(turn),
            )
        )
    return Stroke(side, points)
