"""Boxes in radiographs: files in DICOM or 8-bit formats, and boxes that leave their image are refused."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.image_boxes.files import ImageBoxRelease
from medbench.challenges.families.radiographs import RadiographFiles
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.sample import Boxes
from medbench.io.radiographs import SUFFIXES


class RadiographBoxRelease(RadiographFiles, ImageBoxRelease):
    """Files of a release of radiographs with boxes."""

    suffixes = SUFFIXES

    def read_reference(self, case: Case) -> Boxes:
        """The boxes of an image.

        Raises:
            MedbenchError: also ``data.box_outside`` for one that has no area within its image.
        """
        boxes = super().read_reference(case)
        if len(boxes.corners):
            height, width = self.read_image(case.inputs["image"]).shape[:2]
            check_inside(boxes.corners, (height, width), f"{case.reference['boxes']}: {case.id}")
        return boxes


def check_inside(corners: npt.ArrayLike, shape: tuple[int, int], where: str) -> None:
    """Refuse boxes that leave an image or have no area.

    Args:
        corners: left, top, right and bottom ``(boxes, 4)``, in pixels.
        shape: height and width of the image.
        where: names table and image.

    Raises:
        MedbenchError: ``data.box_outside`` naming the box.
    """
    for number, (left, top, right, bottom) in enumerate(np.asarray(corners).reshape(-1, 4).tolist(), 1):
        if not (0 <= left < right <= shape[1] and 0 <= top < bottom <= shape[0]):
            raise MedbenchError(
                "data.box_outside",
                f"{where}, box {number} ({left:g}, {top:g}, {right:g}, {bottom:g}) leaves the image of "
                f"{shape[1]} by {shape[0]} (width by height) or has no area.",
                "Correct the release's own file.",
            )
