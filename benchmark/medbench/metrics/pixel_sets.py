"""Distances between pixel sets of one 2-D frame, in pixels: the inner loop of the ultrasound challenges.

All squared distances between pixels are whole numbers. They are computed as such, either all pairs at once by
one small matrix product (exact in float32 below 2**24) or by OpenCV's exact distance transform, whichever is
cheaper for the pair; the square root is taken in float64. Larger frames go through SciPy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.uint8]

_EXACT_SIDE = 1800
_BLOCK_PAIRS = 1 << 16
_PAIR_COST = 0.45
_PIXEL_COST = 18.0


@dataclass(frozen=True, slots=True)
class PixelSetDistances:
    """What IUGC 2024 and PSFHS 2023 measure on one structure of one frame.

    Attributes:
        n_reference: pixels of the reference.
        n_prediction: pixels of the prediction.
        n_both: pixels that they share.
        hausdorff: maximum symmetric distance between the two pixel sets; None when one is empty.
        average_surface: mean distance, over the edge pixels of both, to the other's edge; None when one has no
            edge (it is empty or fills the frame).
    """

    n_reference: int
    n_prediction: int
    n_both: int
    hausdorff: float | None
    average_surface: float | None


def bounding_slices(mask: Mask) -> tuple[slice, slice]:
    """Rows and columns of the non-zero pixels, widened by one pixel where the frame allows it."""
    import cv2

    x, y, width, height = cv2.boundingRect(mask)
    return slice(max(y - 1, 0), y + height + 1), slice(max(x - 1, 0), x + width + 1)


def inner_edge(mask: Mask) -> Mask:
    """Pixels of a 0/1 mask with a zero among their eight neighbours; outside the frame is not zero.

    This is the zero level of ITK's signed Maurer distance map of the mask.
    """
    import cv2

    return np.subtract(mask, cv2.erode(mask, np.ones((3, 3), np.uint8)))


def _coordinates(mask: Mask, middle: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    import cv2

    found = cv2.findNonZero(mask)
    if found is None:
        return np.empty((0, 2), np.float32)
    return found.reshape(-1, 2).astype(np.float32) - middle


def _rows_by_columns(rows: npt.NDArray[np.float32], columns: npt.NDArray[np.float32]) -> tuple[Any, Any]:
    """Factors whose product holds all squared distances."""
    left = np.empty((len(rows), 4), np.float32)
    left[:, :2] = rows
    np.einsum("ij,ij->i", rows, rows, out=left[:, 2])
    left[:, 3] = 1
    right = np.empty((4, len(columns)), np.float32)
    np.multiply(columns.T, -2, out=right[:2])
    right[2] = 1
    np.einsum("ij,ij->i", columns, columns, out=right[3])
    return left, right


def _nearest_by_pairs(
    rows: npt.NDArray[np.float32], columns: npt.NDArray[np.float32], n_mutual: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Squared distance of each row to the columns, and of each column to the first ``n_mutual`` rows."""
    left, right = _rows_by_columns(rows, columns)
    of_rows = np.empty(len(rows), np.float32)
    of_columns = np.full(len(columns), np.inf, np.float32)
    step = max(1, _BLOCK_PAIRS // max(1, len(columns)))
    begin = 0
    while begin < len(rows):
        end = min(begin + step, n_mutual if begin < n_mutual else len(rows))
        squared = left[begin:end] @ right
        squared.min(axis=1, out=of_rows[begin:end])
        if begin < n_mutual:
            np.minimum(of_columns, squared.min(axis=0), out=of_columns)
        begin = end
    return of_rows, of_columns


def _squared_map(edge: Mask) -> npt.NDArray[np.float32]:
    import cv2

    return cv2.distanceTransform(np.subtract(1, edge), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _distances(edges: tuple[Mask, Mask], excess: tuple[Mask, Mask]) -> tuple[float, float, float]:
    """Sum of edge-to-edge distances, and the squared directed Hausdorff distances of the excess pixels."""
    rows, columns = edges[0].shape
    counts = [int(np.count_nonzero(mask)) for mask in (*edges, *excess)]
    pairs = counts[0] * counts[1] + counts[2] * counts[1] + counts[3] * counts[0]
    if pairs * _PAIR_COST > 2 * edges[0].size * _PIXEL_COST:
        return _distances_by_maps(edges, excess)
    middle = np.array([columns // 2, rows // 2], np.float32)
    points = [_coordinates(mask, middle) for mask in (*edges, *excess)]
    of_rows, of_columns = _nearest_by_pairs(np.concatenate([points[0], points[2]]), points[1], counts[0])
    total = np.sqrt(of_rows[: counts[0]], dtype=np.float64).sum() + np.sqrt(of_columns, dtype=np.float64).sum()
    forward = of_rows[counts[0] :].max(initial=0)
    backward = _nearest_by_pairs(points[3], points[0], 0)[0].max(initial=0) if counts[3] else 0
    return float(total), float(forward), float(backward)


def _distances_by_maps(edges: tuple[Mask, Mask], excess: tuple[Mask, Mask]) -> tuple[float, float, float]:
    total = 0.0
    directed = []
    for own, own_excess, other in ((edges[0], excess[0], edges[1]), (edges[1], excess[1], edges[0])):
        if max(own.shape) <= _EXACT_SIDE:
            distance = _squared_map(other)
            squared = np.rint(np.square(distance[own.view(np.bool_)], dtype=np.float64))
            farthest = float(np.max(distance, where=own_excess.view(np.bool_), initial=0))
            directed.append(float(round(farthest * farthest)))
        else:
            from scipy.ndimage import distance_transform_edt

            distance = distance_transform_edt(other == 0)
            squared = np.square(distance[own.view(np.bool_)])
            directed.append(float(np.max(distance, where=own_excess.view(np.bool_), initial=0)) ** 2)
        total += float(np.sqrt(squared).sum())
    return total, directed[0], directed[1]


def pixel_set_distances(reference: Mask, prediction: Mask) -> PixelSetDistances:
    """Compare two 0/1 masks of one frame.

    Args:
        reference: uint8 mask of zeros and ones, 2-D.
        prediction: the same shape and type.

    >>> a, b = np.zeros((2, 9, 9), np.uint8)
    >>> a[2:5, 2:5] = 1; b[2:5, 4:7] = 1
    >>> pixel_set_distances(a, b)
    PixelSetDistances(n_reference=9, n_prediction=9, n_both=3, hausdorff=2.0, average_surface=1.125)
    """
    import cv2

    box = bounding_slices(cv2.bitwise_or(reference, prediction))
    reference, prediction = reference[box], prediction[box]
    both = cv2.bitwise_and(reference, prediction)
    n_reference, n_prediction, n_both = map(cv2.countNonZero, (reference, prediction, both))
    if not n_reference or not n_prediction:
        return PixelSetDistances(n_reference, n_prediction, n_both, None, None)
    edges = inner_edge(reference), inner_edge(prediction)
    n_edges = cv2.countNonZero(edges[0]), cv2.countNonZero(edges[1])
    excess = np.subtract(reference, both), np.subtract(prediction, both)
    if not all(n_edges):
        hausdorff = _hausdorff_with_full_frame(n_edges, excess, edges)
        return PixelSetDistances(n_reference, n_prediction, n_both, hausdorff, None)
    total, forward, backward = _distances(edges, excess)
    return PixelSetDistances(
        n_reference, n_prediction, n_both, math.sqrt(max(forward, backward)), total / sum(n_edges)
    )


def _hausdorff_with_full_frame(
    n_edges: tuple[int, int], excess: tuple[Mask, Mask], edges: tuple[Mask, Mask]
) -> float:
    """A mask without an edge fills the frame: only its pixels outside the other one are at a distance."""
    if not any(n_edges):
        return 0.0
    full = 0 if n_edges[0] == 0 else 1
    other = edges[1 - full]
    _, forward, _ = _distances((other, other), (excess[full], np.zeros_like(other)))
    return math.sqrt(forward)
