"""Samples of PSFHS 2023, and predicted label maps as ``.mha`` files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.drawn_biometry import progression_by_ellipse, strokes_of_both
from medbench.challenges.families.image_masks.exchange import ImageMaskExchange
from medbench.challenges.psfhs.files import read_label_map
from medbench.core.case import Case, Volume
from medbench.core.overlay import Stroke
from medbench.core.sample import Prediction
from medbench.io import images, nifti_mha
from medbench.io.gate.expected import handed_in


class PSFHSExchange(ImageMaskExchange):
    """Reads frames; writes ``.mha`` label maps of 0, 1 and 2."""

    def read_prediction(self, path: Path, shape: tuple[int, ...] | None = None) -> npt.NDArray[np.uint8]:
        """A predicted label map, ``.mha`` or any other image type, ``(height, width)``.

        Args:
            path: the file.
            shape: of its reference, which bounds what it may take.

        Raises:
            MedbenchError: as :func:`medbench.challenges.psfhs.files.read_label_map`.
        """
        return read_label_map(path, handed_in(shape))

    def strokes(
        self, reference: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8]
    ) -> Sequence[Stroke]:
        """The angle of progression and the fitted ellipses of both."""
        return strokes_of_both(progression_by_ellipse, reference, prediction)

    def prediction_name(self, case: Case) -> str:
        """Name of the predicted label map, ``<case>.mha`` as of its image."""
        return f"{case.id}.mha"

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write 8-bit labels with the spacing, origin and direction of the image's plane, if any."""
        path, labels = folder / self.prediction_name(case), prediction["label_map"][0]
        image = case.inputs["image"]
        has_geometry = images.suffix_of(image) in images.VOLUME_SUFFIXES
        grid = nifti_mha.read_geometry(image) if has_geometry else Volume(labels)
        nifti_mha.write_volume(path, plane_like(labels, grid))
        return path


def plane_like(labels: npt.NDArray[np.uint8], stack: Volume) -> Volume:
    """A label map with the geometry of one plane of ``stack``, an image of two or three axes."""
    if len(stack.shape) == 2:
        return Volume(labels, stack.spacing, stack.origin, stack.direction)
    turn = None if stack.direction is None else np.reshape(stack.direction, (3, 3))[:2, :2]
    flat = turn is not None and abs(np.linalg.det(turn)) > 0.5
    return Volume(
        labels,
        stack.spacing and stack.spacing[-2:],
        stack.origin and stack.origin[-2:],
        tuple(turn.ravel().tolist()) if turn is not None and flat else None,
    )
