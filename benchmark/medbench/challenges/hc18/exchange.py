"""Samples of HC18 and predicted masks, with the ellipses that are measured on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.drawn_biometry import head_ellipse, strokes_of_both
from medbench.challenges.families.image_masks.exchange import ImageMaskExchange
from medbench.core.overlay import Stroke


class HC18Exchange(ImageMaskExchange):
    """Reads images; writes masks."""

    def strokes(
        self, reference: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8]
    ) -> Sequence[Stroke]:
        """The ellipses whose perimeters are compared, with their axes."""
        return strokes_of_both(head_ellipse, reference, prediction)
