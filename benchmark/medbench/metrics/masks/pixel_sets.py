"""Distances between pixel sets of one 2-D frame, in pixels: the inner loop of the ultrasound challenges.

All squared distances between pixels are whole numbers. They are computed as such, either all pairs at once
by one small matrix product (exact in float32 below 2**24) or by OpenCV's exact distance transform, whichever
is cheaper for the pair; the square root is taken in float64. Larger frames go through SciPy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.metrics.masks.products import Squares, columns_of, mutual_nearest, rows_of

Mask = npt.NDArray[np.uint8]

_EXACT_SIDE = 1800
_BLOCK_PAIRS = 1 << 16
_PAIR_COST = 0.65
_PIXEL_COST = 18.0
_SAMPLE_STEPS = (32, 8)


@dataclass(frozen=True, slots=True)
class PixelSetDistances:
    """Measurements of IUGC 2024 and PSFHS 2023 on one structure of one frame.

    Attributes:
        n_reference: pixels of the reference.
        n_prediction: pixels of the prediction.
        n_both: pixels that they share.
        box: first row, last row, first column, last column of both together.
        n_edges: edge pixels of the reference plus those of the prediction.
        edge_total: sum over all edge pixels of the distance to the other's edge; None when there is none.
        hausdorff: maximum symmetric distance between the two pixel sets; None when one is empty.
        farthest: the largest of the distances behind ``edge_total`` and ``hausdorff``.
    """

    n_reference: int
    n_prediction: int
    n_both: int
    box: tuple[int, int, int, int] = (0, -1, 0, -1)
    n_edges: int = 0
    edge_total: float | None = None
    hausdorff: float | None = None
    farthest: float = math.inf

    @property
    def average_surface(self) -> float | None:
        """Mean distance, over the edge pixels of both, to the other's edge."""
        return None if self.edge_total is None else self.edge_total / self.n_edges


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


def _farthest_squared(factors: Squares, other: Squares, best: float) -> float:
    """The larger of ``best`` and the largest squared distance of a row to its nearest column.

    Distances to every 32nd and every eighth column bound the true ones from above; only rows whose bounds
    exceed ``best`` are measured against all columns.
    """
    remaining = factors
    for every in _SAMPLE_STEPS:
        bound = (np.ascontiguousarray(other[:, ::every]).T @ remaining.T).min(axis=0)
        remaining = remaining[bound > best]
    step = max(1, _BLOCK_PAIRS // other.shape[1])
    for begin in range(0, len(remaining), step):
        nearest = (other.T @ remaining[begin : begin + step].T).min(axis=0)
        best = max(best, float(nearest.max()))
    return best


def _by_pairs(masks: tuple[Mask, Mask], edges: tuple[Mask, Mask]) -> tuple[float, float, float]:
    """Sum of the edge-to-edge distances, largest of them squared, and squared Hausdorff distance."""
    flat = [np.flatnonzero(edge.view(np.bool_)) for edge in edges]
    factors = [rows_of(indices, masks[0].shape) for indices in flat]
    others = [columns_of(rows) for rows in factors]
    nearest = mutual_nearest(factors[0], others[1])
    hausdorff = 0.0
    for own, other in ((0, 1), (1, 0)):
        outside = np.greater(masks[own], masks[other])
        hausdorff = float(np.max(nearest[own], where=outside.ravel()[flat[own]], initial=hausdorff))
        inside_own = np.flatnonzero(np.greater(outside, edges[own]))
        if inside_own.size:
            hausdorff = _farthest_squared(rows_of(inside_own, masks[0].shape), others[other], hausdorff)
    squares = np.concatenate(nearest)
    return float(np.sqrt(squares, dtype=np.float64).sum()), float(squares.max()), hausdorff


def _squared_map(edge: Mask) -> npt.NDArray[Any]:
    """Exact squared distance of every pixel to the nearest edge pixel, float64."""
    if max(edge.shape) > _EXACT_SIDE:
        from scipy.ndimage import distance_transform_edt

        distance = distance_transform_edt(edge == 0)
    else:
        import cv2

        distance = cv2.distanceTransform(np.subtract(1, edge), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.rint(np.square(distance, dtype=np.float64)))


def _by_maps(masks: tuple[Mask, Mask], edges: tuple[Mask, Mask]) -> tuple[float, float, float]:
    """As :func:`_by_pairs`, for edges so long that a distance transform of the box is cheaper."""
    total = farthest = hausdorff = 0.0
    for own, other in ((0, 1), (1, 0)):
        squares = _squared_map(edges[other])
        on_edge = squares[edges[own].view(np.bool_)]
        total += float(np.sqrt(on_edge).sum())
        farthest = max(farthest, float(on_edge.max()))
        outside = np.greater(masks[own], masks[other])
        hausdorff = float(np.max(squares, where=outside, initial=hausdorff))
    return total, farthest, hausdorff


def pixel_set_distances(reference: Mask, prediction: Mask) -> PixelSetDistances:
    """Compare two 0/1 masks of one frame.

    Args:
        reference: uint8 mask of zeros and ones, 2-D.
        prediction: the same shape and type.

    >>> a, b = np.zeros((2, 9, 9), np.uint8)
    >>> a[2:5, 2:5] = 1; b[2:5, 4:7] = 1
    >>> distances = pixel_set_distances(a, b)
    >>> distances.n_both, distances.hausdorff, distances.average_surface
    (3, 2.0, 1.0)
    """
    import cv2

    x, y, width, height = cv2.boundingRect(cv2.bitwise_or(reference, prediction))
    slices = slice(max(y - 1, 0), y + height + 1), slice(max(x - 1, 0), x + width + 1)
    box = (y, y + height - 1, x, x + width - 1)
    masks = np.ascontiguousarray(reference[slices]), np.ascontiguousarray(prediction[slices])
    n_reference, n_prediction = cv2.countNonZero(masks[0]), cv2.countNonZero(masks[1])
    counts = n_reference, n_prediction, cv2.countNonZero(cv2.bitwise_and(*masks))
    if not n_reference or not n_prediction:
        return PixelSetDistances(*counts, box)
    edges = inner_edge(masks[0]), inner_edge(masks[1])
    n_edges = cv2.countNonZero(edges[0]), cv2.countNonZero(edges[1])
    if not all(n_edges):
        return PixelSetDistances(*counts, box, hausdorff=_beside_full_frame(masks, edges))
    cheap = n_edges[0] * n_edges[1] * _PAIR_COST < 2 * masks[0].size * _PIXEL_COST
    measure = _by_pairs if cheap and max(masks[0].shape) <= _EXACT_SIDE else _by_maps
    total, farthest, hausdorff = measure(masks, edges)
    return PixelSetDistances(
        *counts,
        box,
        n_edges=sum(n_edges),
        edge_total=total,
        hausdorff=math.sqrt(hausdorff),
        farthest=math.sqrt(max(farthest, hausdorff)),
    )


def _beside_full_frame(masks: tuple[Mask, Mask], edges: tuple[Mask, Mask]) -> float:
    """Hausdorff distance when one mask fills the frame and so has no edge of its own."""
    for own, other in ((0, 1), (1, 0)):
        outside = np.greater(masks[own], masks[other])
        if outside.any():
            return math.sqrt(float(np.max(_squared_map(edges[other]), where=outside, initial=0)))
    return 0.0


def join_if_apart(first: PixelSetDistances, second: PixelSetDistances) -> PixelSetDistances | None:
    """The comparison of the union of two structures, when it follows from theirs without looking again.

    It does when the gap between their boxes is at least two pixels, so that neither takes edge pixels from
    the other, and no distance within a structure exceeds that gap, so that no nearest pixel lies in the
    other one.
    """
    rows = max(first.box[0] - second.box[1], second.box[0] - first.box[1], 0)
    columns = max(first.box[2] - second.box[3], second.box[2] - first.box[3], 0)
    gap = math.hypot(rows, columns)
    if first.edge_total is None or second.edge_total is None or max(rows, columns) < 2:
        return None
    if first.hausdorff is None or second.hausdorff is None or max(first.farthest, second.farthest) > gap:
        return None
    return PixelSetDistances(
        first.n_reference + second.n_reference,
        first.n_prediction + second.n_prediction,
        first.n_both + second.n_both,
        (
            min(first.box[0], second.box[0]),
            max(first.box[1], second.box[1]),
            min(first.box[2], second.box[2]),
            max(first.box[3], second.box[3]),
        ),
        n_edges=first.n_edges + second.n_edges,
        edge_total=first.edge_total + second.edge_total,
        hausdorff=max(first.hausdorff, second.hausdorff),
        farthest=max(first.farthest, second.farthest),
    )
