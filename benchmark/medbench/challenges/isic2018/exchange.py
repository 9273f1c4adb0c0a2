"""Samples of ISIC 2018 task 1, and files of predicted masks."""

from __future__ import annotations

from medbench.challenges.families.image_masks.exchange import ImageMaskExchange
from medbench.core.case import Case


class ISIC2018Exchange(ImageMaskExchange):
    """Reads dermoscopic images; writes masks with the organisers' names and reads masks above 128."""

    prediction_threshold = 128

    def prediction_name(self, case: Case) -> str:
        """Name of the predicted mask, ``ISIC_<number>_segmentation.png`` as the organisers'."""
        return f"{case.id}_segmentation.png"
