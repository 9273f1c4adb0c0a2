"""A pair of binary masks with what several metrics share: counts, surfaces and their distances."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.metrics.arrays import Mask, Spacing
from medbench.metrics.masks.overlap import Overlap, overlap_of_masks
from medbench.metrics.masks.surface import SurfacePair


class MaskPair:
    """Two binary masks with what several metrics share, computed on first use.

    Args:
        reference: boolean array.
        prediction: the same shape.
        spacing: step along each axis, or None when no distance will be asked for.
        overlap: counts, if the caller has them already.
        shape: shape of the image when the masks are a part of it.
        workers: threads for the two directions of a distance.
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
        self.reference = reference
        self.prediction = prediction
        self.spacing = spacing
        self.workers = workers
        self.shape = shape or reference.shape
        self._kept: dict[Hashable, Any] = {}
        if overlap is not None:
            self.__dict__["overlap"] = overlap

    def once(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """``compute()``, kept for later metrics that ask for the same ``key``."""
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]

    @cached_property
    def overlap(self) -> Overlap:
        """Counts."""
        return overlap_of_masks(self.reference, self.prediction)

    @cached_property
    def surfaces(self) -> SurfacePair:
        """Surfaces and their distances."""
        if self.spacing is None:
            raise MedbenchError(
                "metric.spacing",
                "A distance needs the spacing of the array.",
                'Pass spacing=(…) in mm, one number per array axis, or spacing="pixel".',
            )
        return SurfacePair(self.reference, self.prediction, self.spacing, workers=self.workers)

    @property
    def diagonal(self) -> float:
        """Length of the image diagonal."""
        steps = self.spacing or (1.0,) * self.reference.ndim
        sides = zip(self.shape, steps, strict=True)
        return math.sqrt(sum((side * step) ** 2 for side, step in sides))

    @property
    def emptiness(self) -> str | None:
        """``both``, ``prediction`` or ``reference`` when those are empty, else None."""
        if "overlap" in self.__dict__:
            empty = self.overlap.n_reference == 0, self.overlap.n_prediction == 0
        elif self.spacing is not None:
            empty = self.surfaces.reference_empty, self.surfaces.prediction_empty
        else:
            empty = not self.reference.any(), not self.prediction.any()
        return {(True, True): "both", (True, False): "reference", (False, True): "prediction"}.get(empty)
