"""Surfaces of a pair of masks and the distances between them, computed once for all metrics.

Everything happens in the box around both objects; a small organ in a large scan costs what the organ costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.machine import is_held_to_one_thread
from medbench.metrics.arrays import Box, Mask, Spacing, bounding_box, first_axis_is_nearest, union_box
from medbench.metrics.masks.nearest import MARGIN, nearest_distances
from medbench.metrics.masks.products import few_pairs, mutual_distances
from medbench.metrics.masks.surface_elements import neighbour_codes, sizes

Floats = npt.NDArray[np.float64]
_PAD = MARGIN + 1
_THREADED_VOXELS = 1 << 20
_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class Directed:
    """Distances from the surface points of both masks to the other's surface.

    Attributes:
        of_both: both directions joined: first one distance per surface point of the prediction, to the
            reference, then one per surface point of the reference.
        n_prediction: how many of them are the prediction's.
        prediction_sizes: length or area that each point stands for; None when every point counts the same.
        reference_sizes: the same for the reference's points.
    """

    of_both: Floats
    n_prediction: int
    prediction_sizes: Floats | None = None
    reference_sizes: Floats | None = None

    @property
    def of_prediction(self) -> Floats:
        """Prediction to reference."""
        return self.of_both[: self.n_prediction]

    @property
    def of_reference(self) -> Floats:
        """Reference to prediction."""
        return self.of_both[self.n_prediction :]


def _surfaces_of(masks: Mask) -> Mask:
    """Elements with a false neighbour along some axis (4 or 6 neighbours).

    Args:
        masks: ``(2, …)``, C-contiguous, the outermost elements of both masks false.
    """
    flat, surfaces = masks.reshape(-1), np.zeros(masks.size, np.bool_)
    steps = [stride for stride in masks.strides[1:] if stride]
    far = max(steps)
    for begin in range(far, flat.size - far, _BLOCK):
        end = min(begin + _BLOCK, flat.size - far)
        inside = flat[begin - far : end - far] & flat[begin + far : end + far]
        for step in steps:
            if step != far:
                inside &= flat[begin - step : end - step]
                inside &= flat[begin + step : end + step]
        np.greater(flat[begin:end], inside, out=surfaces[begin:end])
    return surfaces.reshape(masks.shape)


class SurfacePair:
    """Surfaces of two binary masks on one grid.

    Args:
        reference: boolean array of any number of axes.
        prediction: the same shape.
        spacing: step along each axis; ``(1, …)`` for pixels.
        workers: threads for the two directions; large boxes take two in any case.
        boxed: whether the masks are cut to a box around both objects already.
    """

    def __init__(
        self, reference: Mask, prediction: Mask, spacing: Spacing, *, workers: int = 1, boxed: bool = False
    ) -> None:
        if first_axis_is_nearest(reference) and first_axis_is_nearest(prediction):
            reference, prediction, spacing = reference.T, prediction.T, spacing[::-1]
        self.spacing = spacing
        self.workers = workers
        self._masks: tuple[Mask, ...] = (reference, prediction)
        self._boxed = boxed

    @cached_property
    def _boxes(self) -> tuple[Box | None, Box | None]:
        return bounding_box(self._masks[0]), bounding_box(self._masks[1])

    @property
    def reference_empty(self) -> bool:
        """Whether the reference has no element."""
        return self._boxes[0] is None

    @property
    def prediction_empty(self) -> bool:
        """Whether the prediction has no element."""
        return self._boxes[1] is None

    @cached_property
    def _padded(self) -> Mask:
        """Both masks, ``(2, …)``, in the box around both with margins that no neighbour leaves."""
        masks = self._masks
        if self._boxed:
            self._masks = ()  # the padded ones take their place
        else:
            own, other = self._boxes
            if own is None or other is None:
                raise MedbenchError(
                    "metric.shape", "A surface distance needs two masks with an object.", "Leave it out."
                )
            box = union_box(own, other)
            masks = masks[0][box], masks[1][box]
        grid = np.zeros((2, *(side + 2 * _PAD for side in masks[0].shape)), np.bool_)
        inner = (slice(_PAD, -_PAD),) * masks[0].ndim
        grid[0][inner], grid[1][inner] = masks
        return grid

    def _both(self, surfaces: Mask, points: tuple[Any, Any]) -> Directed:
        """Distances of ``points[i]`` to ``surfaces[1 - i]``."""
        tasks: list[Callable[[], Floats]] = [
            lambda own=own: nearest_distances(points[own], surfaces[1 - own], self.spacing)  # type: ignore[misc]
            for own in (1, 0)
        ]
        if self.workers > 1 or (surfaces[0].size >= _THREADED_VOXELS and not is_held_to_one_thread()):
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(2) as pool:
                both = list(pool.map(lambda task: task(), tasks))
        else:
            both = [task() for task in tasks]
        return Directed(np.concatenate(both), len(both[0]))

    @cached_property
    def _surfaces(self) -> Mask:
        return _surfaces_of(self._padded)

    @cached_property
    def distances(self) -> Directed:
        """Between voxels with a background neighbour (4 or 6); the image edge is background."""
        surfaces = self._surfaces
        points = np.flatnonzero(surfaces[0]), np.flatnonzero(surfaces[1])
        if few_pairs(points, surfaces.shape[1:], self.spacing):
            of_reference, of_prediction = mutual_distances(*points, surfaces.shape[1:])
            return Directed(np.concatenate([of_prediction, of_reference]), len(of_prediction))
        return self._both(surfaces, points)

    @cached_property
    def set_distances(self) -> Directed:
        """From the voxels of one mask that lie outside the other to that other one; all the rest are at 0."""
        reference, prediction = self._padded
        points = np.flatnonzero(reference > prediction), np.flatnonzero(prediction > reference)
        return self._both(self._surfaces, points)

    @cached_property
    def elements(self) -> Directed:
        """Between surface elements on the corners of the lattice, with their sizes (2-D and 3-D)."""
        ndim = len(self.spacing)
        if ndim not in (2, 3):
            raise MedbenchError(
                "metric.shape",
                f"Surface elements are defined for 2-D and 3-D masks, not for {ndim}-D ones.",
                "Choose a definition by voxels, such as hd95.pooled.",
            )
        full = 2 ** (2**ndim) - 1
        codes = [neighbour_codes(mask) for mask in self._padded]
        corners = np.zeros((2, *(side + 1 for side in codes[0].shape)), np.bool_)
        inner = (slice(1, None),) * ndim
        for grid, own in zip(corners, codes, strict=True):
            np.logical_and(own != 0, own != full, out=grid[inner])
        distances = self._both(corners, (np.flatnonzero(corners[0]), np.flatnonzero(corners[1])))
        table = sizes(self.spacing)
        weights = [table[own[grid[inner]]] for grid, own in zip(corners, codes, strict=True)]
        return Directed(distances.of_both, distances.n_prediction, weights[1], weights[0])
