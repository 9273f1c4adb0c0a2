"""How masks of ISIC 2018 task 1 are named and read."""

from __future__ import annotations

from medbench.challenges.families.image_masks.exchange import ImageMaskExchange
from medbench.core.case import Case


class ISIC2018Exchange(ImageMaskExchange):
    """Dermoscopic images in, masks under the organisers' names out; masks are read above 128."""

    prediction_threshold = 128

    def prediction_name(self, case: Case) -> str:
        """``ISIC_<number>_segmentation.png``, the organisers' name."""
        return f"{case.id}_segmentation.png"
