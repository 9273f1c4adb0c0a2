"""Intrapartum and fetal biometry from label maps: angle of progression, head-symphysis distance, HC.

Two definitions of the angle of progression (AoP) are in use and differ by up to 15 degrees on the same
mask, so they have two names:

``aop_contour``
    IUGC 2024, class ``Biometry`` of ``starting_tool_kit/utils/evaluator.py`` (maskoffs/IUGC2024@bad8150):
    landmarks on the contours of the mask. The challenge's own ground truth was made by it.
``aop_ellipse``
    PSFHS 2023, ``evaluation.py`` and ``ellipse.py`` (maskoffs/PS-FH-MICCAI23@de5d789), and ``eval/`` of
    IUGC 2024: both structures are replaced by fitted ellipses.

Label maps are 2-D integer arrays of any size with 1 = pubic symphysis (PS) and 2 = fetal head (FH). Lengths
are pixels, angles degrees, points ``(row, column)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.score import Score
from medbench.metrics.arguments import numbers
from medbench.metrics.arrays import as_mask, same_shape

Point = tuple[int, int]
Points = npt.NDArray[np.int64]

PUBIC_SYMPHYSIS = 1
FETAL_HEAD = 2
_CHUNK_ELEMENTS = 1 << 20


class LandmarkError(ValueError):
    """A label map on which the official program finds no landmarks; the text says why."""


@dataclass(frozen=True, slots=True)
class Biometry:
    """Landmarks and measurements of one label map.

    Attributes:
        ps_points: the two ends of the pubic symphysis, in contour order, each ``(row, column)``.
        hsd_point: the fetal-head contour point nearest to the inferior end of the symphysis.
        aop_tangency: where the tangent from that end touches the fetal head.
        hsd: head-symphysis distance in pixels.
        aop: angle of progression in degrees.
    """

    ps_points: tuple[Point, Point]
    hsd_point: Point
    aop_tangency: Point
    hsd: float
    aop: float


@dataclass(frozen=True, slots=True)
class Ellipse:
    """An ellipse as OpenCV gives it.

    Attributes:
        center: ``(x, y)`` = (column, row), pixels.
        axes: full lengths of the two axes, pixels, shorter first.
        angle: rotation in degrees.
    """

    center: tuple[float, float]
    axes: tuple[float, float]
    angle: float


def _plane(labels: npt.ArrayLike) -> npt.NDArray[Any]:
    array = numbers(labels, "label map")
    if array.ndim != 2:
        words = f"Biometry needs a 2-D label map, got shape {array.shape}."
        raise MedbenchError("metric.shape", words, "Give one frame, (height, width).")
    return array


def _longest_contour(mask: npt.NDArray[np.bool_]) -> npt.NDArray[Any] | None:
    """Outer contour with the most points (the first one on a tie), shape ``(n, 1, 2)`` as (x, y)."""
    import cv2

    contours, _ = cv2.findContours(
        np.ascontiguousarray(mask, dtype=np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    return max(contours, key=len, default=None)


def _contour_points(plane: npt.NDArray[Any], label: int, name: str) -> Points:
    contour = _longest_contour(plane == label)
    if contour is None:
        raise LandmarkError(f"the mask has no {name}")
    return contour.reshape(-1, 2).astype(np.int64)


def _outermost(points: Points) -> npt.NDArray[np.int64]:
    """Indices, ascending, of the first occurrence of each row's leftmost and rightmost point.

    Every vertex of the convex hull is among them, and the two ends of a longest chord are hull vertices.
    """
    rows = points[:, 1]
    order = np.lexsort((points[:, 0], rows))
    edges = np.flatnonzero(np.diff(rows[order]))
    leftmost = order[np.concatenate([[0], edges + 1])]
    backward = np.lexsort((-points[:, 0], rows))
    rightmost = backward[np.concatenate([[0], edges + 1])]
    return np.unique(np.concatenate([leftmost, rightmost]))


def _longest_chord(points: Points) -> tuple[int, int]:
    """Indices of the first pair, in contour order, at the largest distance; ``(0, 0)`` for one point."""
    keep = _outermost(points)
    kept_points = points[keep]
    best, pair = 0, (0, 0)
    rows = max(1, _CHUNK_ELEMENTS // len(kept_points))
    for begin in range(0, len(kept_points), rows):
        step = kept_points[begin : begin + rows, None, :] - kept_points[None, :, :]
        squares = (step * step).sum(axis=2)
        where = int(squares.argmax())
        if squares.flat[where] > best:
            first, second = divmod(where, len(kept_points))
            best, pair = int(squares.flat[where]), (int(keep[begin + first]), int(keep[second]))
    return pair


def _clearance(end: Points, candidates: Points, others: Points) -> tuple[Any, Any, Any]:
    """Signed height of ``others`` under each line end-candidate, with its slope sign and vertical flag.

    The order of the floating-point operations is the official one, because whether a point lies exactly
    on a line decides about ties.
    """
    run = candidates[:, 0] - end[0]
    vertical = run == 0
    slope = (candidates[:, 1] - end[1]) / np.where(vertical, 1, run)
    height = slope[:, None] * (others[None, :, 0] - end[0]) + end[1] - others[None, :, 1]
    return height, slope >= 0, vertical


def _on_the_left(end: Points, candidates: Points, others: Points) -> npt.NDArray[np.bool_]:
    """For each candidate, whether no point of ``others`` lies to the right of the line end-candidate."""
    height, rising, vertical = _clearance(end, candidates, others)
    itself = (candidates[:, None, :] == others[None, :, :]).all(axis=2)
    on_right = np.where(rising[:, None], height > 0, height < 0)
    on_right = np.where(vertical[:, None], others[None, :, 0] > end[0], on_right)
    return np.asarray(~(on_right & ~itself).any(axis=1))


def _tangent_point(end: Points, contour: Points) -> Points:
    points = contour[np.argsort(-contour[:, 0], kind="stable")]
    angles = np.arange(16) * (math.pi / 8)
    support = points[np.unique((points @ np.stack([np.cos(angles), np.sin(angles)])).argmax(axis=0))]
    survivors = np.flatnonzero(_on_the_left(end, points, support))
    rows = max(1, _CHUNK_ELEMENTS // len(points))
    for begin in range(0, len(survivors), rows):
        part = survivors[begin : begin + rows]
        tangent = part[_on_the_left(end, points[part], points)]
        if tangent.size:
            first = points[tangent[0]]
            height, _, vertical = _clearance(end, first[None], points)
            collinear = points[:, 0] == first[0] if vertical[0] else height[0] == 0
            on_line = np.concatenate([first[None], points[collinear]])
            nearest: Points = on_line[((on_line - end) ** 2).sum(axis=1).argmin()]
            return nearest
    raise LandmarkError("no tangent from the pubic symphysis to the fetal head")


def _point(point: Points) -> Point:
    return (int(point[1]), int(point[0]))


def _distance(p: Any, q: Any) -> float:
    return math.sqrt((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2)


def _angle_degrees(corner: Any, first: Any, second: Any) -> float:
    a = _distance(corner, first)
    b = _distance(corner, second)
    c = _distance(first, second)
    if a == 0 or b == 0:
        raise LandmarkError("the angle's corner coincides with one of its ends")
    cosine = (a * a + b * b - c * c) / (2 * a * b)
    if not -1 <= cosine <= 1:
        raise LandmarkError("the three landmarks lie on one line")
    return math.acos(cosine) * 180 / math.pi


def aop_contour(labels: npt.ArrayLike) -> Biometry:
    """Landmarks, head-symphysis distance and angle of progression by the contour rule of IUGC 2024.

    The outer contour with the most points stands for each structure. The two farthest points of the
    symphysis are its ends, the one with the larger column is the inferior end (the second one if the columns
    are equal); the tangent point is the first contour point of the head, by falling column, that leaves no
    other contour point on the right of its line to that end.

    Args:
        labels: 2-D label map, 1 = pubic symphysis, 2 = fetal head.

    Raises:
        LandmarkError: a structure is missing or one pixel, or there is no tangent; the official program
            ends with an exception there.
        MedbenchError: ``metric.shape`` when the map is not 2-D.

    >>> frame = np.zeros((40, 60), np.uint8)
    >>> frame[5:8, 10:30] = 1
    >>> frame[20:36, 24:44] = 2
    >>> biometry = aop_contour(frame)
    >>> biometry.ps_points, biometry.aop_tangency
    (((5, 10), (7, 29)), (20, 43))
    >>> round(biometry.hsd, 3), round(biometry.aop, 3)
    (13.0, 143.13)
    """
    plane = _plane(labels)
    symphysis = _contour_points(plane, PUBIC_SYMPHYSIS, "pubic symphysis")
    head = _contour_points(plane, FETAL_HEAD, "fetal head")
    first, second = _longest_chord(symphysis)
    if first == second:
        raise LandmarkError("the pubic symphysis is a single pixel")
    ends = symphysis[first], symphysis[second]
    inferior, superior = ends if ends[0][0] > ends[1][0] else ends[::-1]
    nearest = head[((head - inferior) ** 2).sum(axis=1).argmin()]
    tangency = _tangent_point(inferior, head)
    return Biometry(
        ps_points=(_point(ends[0]), _point(ends[1])),
        hsd_point=_point(nearest),
        aop_tangency=_point(tangency),
        hsd=_distance(inferior, nearest),
        aop=_angle_degrees(inferior, superior, tangency),
    )


def fitted_ellipse(mask: npt.ArrayLike, *, simplify: bool = True) -> Ellipse | None:
    """Ellipse of a structure's longest outer contour (``cv2.fitEllipse``); None when it has too few points.

    Args:
        mask: 2-D boolean mask.
        simplify: fit to the polygon of ``approxPolyDP`` with tolerance 1 pixel, which then needs more than
            five vertices (the PSFHS and IUGC rule); otherwise to all contour points, at least five.
    """
    import cv2

    contour = _longest_contour(as_mask(_plane(mask), None, "mask"))
    if contour is None:
        return None
    points = cv2.approxPolyDP(contour, 1, True) if simplify else contour
    if len(points) < (6 if simplify else 5):
        return None
    center, axes, angle = cv2.fitEllipse(points)
    return Ellipse((float(center[0]), float(center[1])), (float(axes[0]), float(axes[1])), float(angle))


def _tangency_on_ellipse(point: tuple[float, float], ellipse: Ellipse) -> tuple[float, float]:
    """Where the official branch of the tangent from ``point`` touches the ellipse, (x, y)."""
    a, b = ellipse.axes[1] / 2, ellipse.axes[0] / 2
    turn = math.radians(ellipse.angle - 90)
    cosine, sine = math.cos(turn), math.sin(turn)
    dx, dy = point[0] - ellipse.center[0], point[1] - ellipse.center[1]
    u, v = cosine * dx + sine * dy, -sine * dx + cosine * dy
    if u * u == a * a:
        u += 1
    inside = b * b * u * u + a * a * v * v - a * a * b * b
    slope = (u * v - math.sqrt(inside)) / (u * u - a * a) if inside >= 0 else 0.0
    intercept = v - slope * u
    x = -slope * intercept * a * a / (b * b + a * a * slope * slope)
    y = slope * x + intercept
    return (cosine * x - sine * y + ellipse.center[0], sine * x + cosine * y + ellipse.center[1])


_OFFICIAL_DEGREE = 0.01745


def aop_ellipse(labels: npt.ArrayLike) -> float:
    """Angle of progression in degrees from ellipses fitted to both structures (PSFHS 2023).

    The corner is the right end of the symphysis' major axis; from it goes one fixed branch of the tangent to
    the head's ellipse. Inside that ellipse the slope is taken as 0, as the organisers do. They write 0.01745
    for a degree in radians where the ends of the major axis are placed, and so does this function.

    Args:
        labels: 2-D label map, 1 = pubic symphysis, 2 = fetal head.

    Raises:
        LandmarkError: a structure is missing or its polygon has fewer than six vertices. The organisers count
            an angle of 0 there.
        MedbenchError: ``metric.shape`` when the map is not 2-D.

    >>> rows, columns = np.mgrid[:120, :160]
    >>> frame = np.where((rows - 25) ** 2 / 64 + (columns - 50) ** 2 / 900 < 1, 1, 0)
    >>> frame[(rows - 80) ** 2 / 900 + (columns - 90) ** 2 / 1600 < 1] = 2
    >>> 100 < aop_ellipse(frame) < 180
    True
    """
    superior, inferior, tangency = ellipse_landmarks(labels)
    return _angle_degrees(inferior, superior, tangency)


def ellipse_landmarks(
    labels: npt.ArrayLike,
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """The points ``(x, y)`` of :func:`aop_ellipse`: both ends of the symphysis, and the tangent's.

    Args:
        labels: 2-D label map, 1 = pubic symphysis, 2 = fetal head.

    Raises:
        LandmarkError: as :func:`aop_ellipse`.
        MedbenchError: ``metric.shape`` when the map is not 2-D.
    """
    plane = _plane(labels)
    symphysis = fitted_ellipse(plane == PUBIC_SYMPHYSIS)
    head = fitted_ellipse(plane == FETAL_HEAD)
    if symphysis is None:
        raise LandmarkError("no ellipse can be fitted to the pubic symphysis")
    if head is None:
        raise LandmarkError("no ellipse can be fitted to the fetal head")
    turn = (symphysis.angle - 90) * _OFFICIAL_DEGREE
    reach = symphysis.axes[1] / 2
    across, down = reach * math.cos(turn), reach * math.sin(turn)
    superior = (symphysis.center[0] - across, symphysis.center[1] - down)
    inferior = (symphysis.center[0] + across, symphysis.center[1] + down)
    return superior, inferior, _tangency_on_ellipse(inferior, head)


def ellipse_perimeter(a: float, b: float) -> float:
    """Perimeter of an ellipse with semi-axes ``a`` and ``b``: Ramanujan's second approximation (1914).

    >>> round(ellipse_perimeter(1.0, 1.0) / math.pi, 12)
    2.0
    """
    if a + b == 0:
        return 0.0
    h = ((a - b) / (a + b)) ** 2
    return math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))


def head_circumference_mm(mask: npt.ArrayLike, *, pixel_size_mm: float) -> float:
    """Head circumference in mm: perimeter of the ellipse fitted to the head's outer contour (HC18).

    Args:
        mask: 2-D filled mask of the head, at the image's original size.
        pixel_size_mm: side of a pixel in mm.

    Raises:
        LandmarkError: the mask is empty or its contour has fewer than five points.

    >>> rows, columns = np.mgrid[:200, :200]
    >>> disk = (rows - 100) ** 2 + (columns - 100) ** 2 <= 80 ** 2
    >>> round(head_circumference_mm(disk, pixel_size_mm=0.1) / (2 * math.pi * 8), 1)
    1.0
    """
    ellipse = fitted_ellipse(mask, simplify=False)
    if ellipse is None:
        raise LandmarkError("no ellipse can be fitted to the head")
    return ellipse_perimeter(ellipse.axes[0] / 2, ellipse.axes[1] / 2) * pixel_size_mm


def absolute_difference(reference: float | LandmarkError, prediction: float | LandmarkError) -> Score:
    """``|prediction - reference|``; undefined without a reference value, failed without a predicted one."""
    if isinstance(reference, LandmarkError):
        return Score.undefined(f"reference: {reference}")
    if isinstance(prediction, LandmarkError):
        return Score.failed(f"prediction: {prediction}")
    return Score(abs(prediction - reference))


def head_circumference_scores(
    reference: npt.ArrayLike, prediction: npt.ArrayLike, *, pixel_size_mm: float
) -> dict[str, Score]:
    """HC18: ``df_mm`` = predicted minus reference circumference, and ``adf_mm`` its absolute value.

    Raises:
        MedbenchError: ``metric.array``, ``metric.shape`` or ``metric.labels`` for other than two masks.

    >>> rows, columns = np.mgrid[:100, :100]
    >>> disk = (rows - 50) ** 2 + (columns - 50) ** 2 <= 40 ** 2
    >>> head_circumference_scores(disk, disk, pixel_size_mm=0.2)["adf_mm"].value
    0.0
    """
    both = same_shape(reference, prediction)
    values = [
        _head(as_mask(mask, None, role), pixel_size_mm)
        for mask, role in zip(both, ("reference", "prediction"), strict=True)
    ]
    score = absolute_difference(*values)
    if score.status != "ok":
        return {"df_mm": score, "adf_mm": score}
    return {"df_mm": Score(values[1] - values[0]), "adf_mm": score}  # type: ignore[operator]


def _head(mask: npt.ArrayLike, pixel_size_mm: float) -> float | LandmarkError:
    try:
        return head_circumference_mm(mask, pixel_size_mm=pixel_size_mm)
    except LandmarkError as error:
        return error
