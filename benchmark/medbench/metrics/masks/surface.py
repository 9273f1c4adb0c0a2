"""Surfaces of a pair of masks and the distances between them, taken once for every metric that needs them.

Everything happens in the box around both objects; a small organ in a large scan costs what the organ costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.metrics.arrays import Mask, Spacing, bounding_box, union_box
from medbench.metrics.masks.nearest import MARGIN, nearest_distances
from medbench.metrics.masks.surface_elements import neighbour_codes, sizes

Floats = npt.NDArray[np.float64]
_PAD = MARGIN + 1
_THREADED_VOXELS = 1 << 20


@dataclass(frozen=True, slots=True)
class Directed:
    """Distances from the surface points of both masks to the other's surface.

    Attributes:
        of_prediction: prediction to reference, one per surface point of the prediction.
        of_reference: reference to prediction.
        prediction_sizes: length or area that each point stands for; None when every point counts the same.
        reference_sizes: the same for the reference's points.
    """

    of_prediction: Floats
    of_reference: Floats
    prediction_sizes: Floats | None = None
    reference_sizes: Floats | None = None

    @property
    def pooled(self) -> Floats:
        """Both directions joined."""
        return np.concatenate([self.of_prediction, self.of_reference])


def _eroded_is_gone(padded: Mask) -> Mask:
    """Elements with a false neighbour along some axis (4 or 6 neighbours)."""
    inner = (slice(1, -1),) * padded.ndim
    inside = padded[inner].copy()
    for axis in range(padded.ndim):
        for step in (slice(0, -2), slice(2, None)):
            window = (*inner[:axis], step, *inner[axis + 1 :])
            np.logical_and(inside, padded[window], out=inside)
    surface = padded.copy()
    np.logical_xor(surface[inner], inside, out=surface[inner])
    return surface


class SurfacePair:
    """Two binary masks on one grid, seen as surfaces.

    Args:
        reference: boolean array of any number of axes.
        prediction: the same shape.
        spacing: step along each axis; ``(1, …)`` for pixels.
        workers: threads for the two directions; large boxes take two in any case.

    Attributes:
        n_reference, n_prediction: whether the masks hold anything (false elements count as empty).
    """

    def __init__(self, reference: Mask, prediction: Mask, spacing: Spacing, *, workers: int = 1) -> None:
        if reference.ndim > 1 and reference.flags.f_contiguous and prediction.flags.f_contiguous:
            reference, prediction, spacing = reference.T, prediction.T, spacing[::-1]
        self.spacing = spacing
        self.workers = workers
        self.shape = reference.shape
        boxes = bounding_box(reference), bounding_box(prediction)
        self.reference_empty, self.prediction_empty = boxes[0] is None, boxes[1] is None
        self._masks = reference, prediction
        self._box = union_box(boxes[0], boxes[1]) if boxes[0] and boxes[1] else None

    @property
    def either_empty(self) -> bool:
        """Whether one mask has no element, so that no distance is defined."""
        return self._box is None

    @cached_property
    def _padded(self) -> tuple[Mask, Mask]:
        if self._box is None:
            raise ValueError("a surface distance needs two non-empty masks")
        shape = [part.stop - part.start + 2 * _PAD for part in self._box]
        inner = tuple(slice(_PAD, -_PAD) for _ in shape)
        padded = []
        for mask in self._masks:
            grid = np.zeros(shape, np.bool_)
            grid[inner] = mask[self._box]
            padded.append(grid)
        return padded[0], padded[1]

    def _both(self, surfaces: tuple[Mask, Mask], points: tuple[Any, Any]) -> tuple[Floats, Floats]:
        """Distances of ``points[i]`` to ``surfaces[1 - i]``."""
        tasks: list[Callable[[], Floats]] = [
            lambda own=own: nearest_distances(points[own], surfaces[1 - own], self.spacing)  # type: ignore[misc]
            for own in (0, 1)
        ]
        if self.workers > 1 or surfaces[0].size >= _THREADED_VOXELS:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(2) as pool:
                first, second = pool.map(lambda task: task(), tasks)
            return first, second
        return tasks[0](), tasks[1]()

    def _between(self, surfaces: tuple[Mask, Mask]) -> Directed:
        points = tuple(np.flatnonzero(surface) for surface in surfaces)
        of_reference, of_prediction = self._both(surfaces, points)  # type: ignore[arg-type]
        return Directed(of_prediction, of_reference)

    @cached_property
    def _surfaces(self) -> tuple[Mask, Mask]:
        first, second = map(_eroded_is_gone, self._padded)
        return first, second

    @cached_property
    def distances(self) -> Directed:
        """Between voxels with a background neighbour (4 or 6); the image edge is background."""
        return self._between(self._surfaces)

    @cached_property
    def set_distances(self) -> Directed:
        """From the voxels of one mask that lie outside the other to that other one; all the rest are at 0."""
        reference, prediction = self._padded
        points = np.flatnonzero(reference & ~prediction), np.flatnonzero(prediction & ~reference)
        of_reference, of_prediction = self._both(self._surfaces, points)
        return Directed(of_prediction, of_reference)

    @cached_property
    def elements(self) -> Directed:
        """Between surface elements on the corners of the lattice, with their sizes (2-D and 3-D)."""
        ndim = len(self.spacing)
        if ndim not in (2, 3):
            raise ValueError("surface elements are defined for 2-D and 3-D masks")
        full = 2 ** (2**ndim) - 1
        codes, grids, points = [], [], []
        for mask in self._padded:
            own = neighbour_codes(mask)
            grid = np.zeros([side + 1 for side in own.shape], np.bool_)
            inner = tuple(slice(1, None) for _ in own.shape)
            np.logical_and(own != 0, own != full, out=grid[inner])
            codes.append(own)
            grids.append(grid)
            points.append(np.flatnonzero(grid))
        of_reference, of_prediction = self._both((grids[0], grids[1]), (points[0], points[1]))
        table = sizes(self.spacing)
        weights = [
            table[own[grid[tuple(slice(1, None) for _ in own.shape)]]]
            for own, grid in zip(codes, grids, strict=True)
        ]
        return Directed(of_prediction, of_reference, weights[1], weights[0])
