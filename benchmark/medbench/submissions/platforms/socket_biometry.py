"""Measurements of intrapartum and fetal ultrasound in output sockets: numbers of one mask or of landmarks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

LANDMARKS = ("PS1", "PS2", "FH1")
INTRAPARTUM = ("background", "pubic symphysis", "fetal head")
ANGLE: Mapping[str, tuple[str, ...]] = MappingProxyType({"landmarks": LANDMARKS, "label_map": INTRAPARTUM})
DISTANCE: Mapping[str, tuple[str, ...]] = MappingProxyType({"label_map": INTRAPARTUM})
CIRCUMFERENCE: Mapping[str, tuple[str, ...]] = MappingProxyType({"label_map": ("background", "fetal head")})
"""Task -> names of landmarks or labels that a measurement takes, in their order."""


def angle_of_progression(answers: Mapping[str, Any]) -> float | None:
    """Degrees, of three landmarks, or of a mask by the contour rule; ``None`` without an angle."""
    from medbench.metrics.tasks import landmarks
    from medbench.metrics.tasks.biometry import LandmarkError, aop_contour

    if "landmarks" in answers:
        return landmarks.angle_of_progression(np.asarray(answers["landmarks"]))
    try:
        return float(aop_contour(np.asarray(answers["label_map"])).aop)
    except LandmarkError:
        return None


def head_symphysis_distance(labels: npt.NDArray[Any]) -> float | None:
    """Pixels, by the contour rule of IUGC 2024; ``None`` where a structure is missing."""
    from medbench.metrics.tasks.biometry import LandmarkError, aop_contour

    try:
        return float(aop_contour(labels).hsd)
    except LandmarkError:
        return None


def head_circumference(labels: npt.NDArray[Any], spacing: tuple[float, ...]) -> float | None:
    """Millimetres, of the ellipse fitted to the head as for HC18; ``None`` without an ellipse.

    Args:
        labels: ``(height, width)``, 1 = head.
        spacing: of the image in mm, rows before columns; the ellipse is fitted in pixels, then scaled.
    """
    from medbench.metrics.tasks.biometry import ellipse_perimeter, fitted_ellipse

    ellipse = fitted_ellipse(labels == 1, simplify=False)
    if ellipse is None:
        return None
    turn, (rows, columns) = math.radians(ellipse.angle), spacing[-2:]
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    semi_axes = np.diag([columns, rows]) @ rotation @ np.diag(ellipse.axes) / 2
    long, short = np.linalg.svd(semi_axes, compute_uv=False)
    return ellipse_perimeter(float(short), float(long))
