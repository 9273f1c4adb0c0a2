"""A pair of binary masks with all that metrics share: counts, surfaces and distances of surfaces."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from medbench.core.errors import MedbenchError
from medbench.metrics.arrays import Box, Mask, Spacing, bounding_box, check_spacing, some_element, union_box
from medbench.metrics.masks.overlap import Overlap, overlap_of_masks
from medbench.metrics.masks.surface import SurfacePair

MARGIN = 8
"""Rows of the image that a pair cut to its objects keeps around them, as far as the image goes."""


class MaskPair:
    """Two binary masks of one image: the argument of every mask metric's function.

    ``reference`` and ``prediction`` are boolean arrays of one shape with the axes of the image, ``spacing``
    is the step along each of them. Unless the metric's convention says ``needs_frame=True``, they may be a
    part of the image: the box around both objects, widened by :data:`MARGIN` elements where the image goes
    on. The formula then must give what it gives on the whole image. Counts and sizes of the whole image are
    here: :attr:`overlap`, :attr:`shape` and :attr:`diagonal`.

    Args:
        reference: boolean array.
        prediction: the same shape.
        spacing: step along each axis, or None when no distance will be asked for.
        overlap: counts, if the caller has them already.
        shape: shape of the image when the masks are a part of it.
        workers: threads for the two directions of a distance.

    Raises:
        MedbenchError: ``metric.array``, ``metric.shape`` or ``metric.spacing``.
    """

    def __init__(
        self,
        reference: Mask,
        prediction: Mask,
        spacing: Spacing | None = None,
        *,
        overlap: Overlap | None = None,
        shape: tuple[int, ...] | None = None,
        workers: int = 1,
    ) -> None:
        for role, mask in (("reference", reference), ("prediction", prediction)):
            if not isinstance(mask, np.ndarray) or mask.dtype.kind != "b":
                raise MedbenchError(
                    "metric.array",
                    f"The {role} of a MaskPair is no boolean array.",
                    "Give array > 0; medbench.score takes other arrays as they are.",
                )
        if reference.shape != prediction.shape:
            raise MedbenchError(
                "metric.shape",
                f"The reference has shape {reference.shape}, the prediction {prediction.shape}.",
                "Resample the prediction to the reference's grid, or check the order of the axes.",
            )
        steps = None if spacing is None else check_spacing(spacing, reference.ndim)
        self._begin(lambda: (reference, prediction), None, shape or reference.shape, steps, workers)
        if overlap is not None:
            self.__dict__["overlap"] = overlap

    def _begin(
        self,
        read: Callable[[], tuple[Mask, Mask]],
        box: Box | None,
        shape: tuple[int, ...],
        spacing: Spacing | None,
        workers: int,
    ) -> None:
        self._read, self._box, self.shape = read, box, shape
        self.spacing, self.workers = spacing, workers
        self._kept: dict[Hashable, Any] = {}

    @classmethod
    def of_box(
        cls,
        read: Callable[[], tuple[Mask, Mask]],
        box: Box,
        shape: tuple[int, ...],
        spacing: Spacing | None,
        overlap: Overlap,
        *,
        workers: int = 1,
    ) -> MaskPair:
        """A pair that holds only a box of the image; outside the box both masks are false.

        Args:
            read: gives reference and prediction within the box, called when the first metric needs them.
            box: slices of the image around both objects.
            shape: shape of the image.
            spacing: step along each axis.
            overlap: counts in the whole image.
            workers: threads for the two directions of a distance.
        """
        pair = cls.__new__(cls)
        pair._begin(read, box, shape, spacing, workers)
        pair.__dict__["overlap"] = overlap
        return pair

    @classmethod
    def cut(cls, reference: Mask, prediction: Mask, spacing: Spacing | None, *, workers: int = 1) -> MaskPair:
        """A pair that keeps the box around both objects, as the masks of label maps are kept.

        Args:
            reference: boolean array of the whole image.
            prediction: the same shape.
            spacing: step along each axis.
            workers: threads for the two directions of a distance.
        """
        boxes = [box for box in map(bounding_box, (reference, prediction)) if box is not None]
        box = union_box(boxes[0], boxes[-1]) if boxes else some_element(reference.shape)
        masks = reference[box], prediction[box]
        inside = overlap_of_masks(*masks)
        overlap = replace(inside, tn=inside.tn + reference.size - masks[0].size)
        return cls.of_box(lambda: masks, box, reference.shape, spacing, overlap, workers=workers)

    @property
    def reference(self) -> Mask:
        """The reference mask."""
        return self._with_margin[0]

    @property
    def prediction(self) -> Mask:
        """The predicted mask."""
        return self._with_margin[1]

    @cached_property
    def _with_margin(self) -> tuple[Mask, Mask]:
        return self._read() if self._box is None else self._placed(MARGIN)

    @cached_property
    def whole(self) -> MaskPair:
        """The same pair with masks of the whole image, for a metric that needs the frame."""
        if self._box is None:
            return self
        masks = self._placed(max(self.shape))
        return MaskPair(*masks, self.spacing, overlap=self.overlap, workers=self.workers)

    def _placed(self, margin: int) -> tuple[Mask, Mask]:
        assert self._box is not None
        sides = zip(self._box, self.shape, strict=True)
        bounds = [(max(part.start - margin, 0), min(part.stop + margin, side)) for part, side in sides]
        inner = tuple(
            slice(part.start - low, part.stop - low) for part, (low, _) in zip(self._box, bounds, strict=True)
        )
        grids = []
        for mask in self._read():
            grid = np.zeros([high - low for low, high in bounds], np.bool_)
            grid[inner] = mask
            grid.flags.writeable = False
            grids.append(grid)
        return grids[0], grids[1]

    def once(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """``compute()``, kept for later metrics that ask for the same ``key``."""
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]

    @cached_property
    def overlap(self) -> Overlap:
        """Counts in the whole image."""
        return overlap_of_masks(*self._read())

    @cached_property
    def surfaces(self) -> SurfacePair:
        """Surfaces and their distances.

        Raises:
            MedbenchError: ``metric.spacing``.
        """
        steps = self.spacing or check_spacing(None, len(self.shape))
        return SurfacePair(*self._read(), steps, workers=self.workers, boxed=self._box is not None)

    @property
    def diagonal(self) -> float:
        """Length of the image diagonal."""
        steps = self.spacing or (1.0,) * len(self.shape)
        sides = zip(self.shape, steps, strict=True)
        return math.sqrt(sum((side * step) ** 2 for side, step in sides))

    @cached_property
    def emptiness(self) -> str | None:
        """``both``, ``prediction`` or ``reference`` when those are empty, else None."""
        if "overlap" in self.__dict__:
            empty = self.overlap.n_reference == 0, self.overlap.n_prediction == 0
        elif self.spacing is not None:
            empty = self.surfaces.reference_empty, self.surfaces.prediction_empty
        else:
            reference, prediction = self._read()
            empty = not reference.any(), not prediction.any()
        return {(True, True): "both", (True, False): "reference", (False, True): "prediction"}.get(empty)
