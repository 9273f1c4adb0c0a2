"""Exchange of IUGC 2025: images for models; three points an image, or a mask, as answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.exchange import Exchange, Inputs, only_file
from medbench.challenges.families.drawn_biometry import angle_of_points
from medbench.challenges.families.intrapartum_masks import decode_mask
from medbench.challenges.iugc2025.files import IUGC2025Release
from medbench.challenges.iugc2025.table import Points, point_text, read_points
from medbench.challenges.mask_sizes import RESIZE_BACK, check_size, sized
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.core.overlay import Illustration
from medbench.core.sample import Prediction, Sample, TrainingImage
from medbench.io import eight_bit, images
from medbench.io.gate.expected import handed_in
from medbench.metrics.tasks.biometry import LandmarkError, aop_contour

ROWS = "rows"
MASK_SUFFIXES = (".png", ".mha", ".bmp", ".tif", ".nii.gz")
ARM_SHARE = 1 / 60


class IUGC2025Exchange(Exchange):
    """Images in, three points out: a table with one row an image in ``rows/``, and one of all images.

    A folder from elsewhere may hold the file of an image, one table of all, or a mask an image, whose
    landmarks are those of IUGC 2024's rule of contours.
    """

    def __init__(self, card: Card, release: IUGC2025Release) -> None:
        super().__init__(card)
        self.release = release
        self.inputs = {"image": Inputs(self.read_image, self.training_images)}

    def read_image(self, case: Case) -> Sample:
        """The image, 8 bit."""
        image = self.release.read_image(case.inputs["image"])
        return Sample(case, image[np.newaxis], frozenset({"landmarks"}))

    def prediction_name(self, case: Case) -> str:
        """``rows/<case>.csv``."""
        return f"{ROWS}/{case.id}.csv"

    def other_names(self, case: Case, folder: Path) -> Sequence[str]:
        """Masks by the name of the image."""
        return [f"{case.id}{suffix}" for suffix in MASK_SUFFIXES]

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the image's row in the form of the release's tables."""
        path = folder / self.prediction_name(case)
        write_text(path, point_text({case.facts["filename"]: prediction["landmarks"][0]}))
        return path

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """The image's own file or mask, or the one table in the folder where it has the image.

        Raises:
            MedbenchError: as :func:`read_points` for that table.
        """
        own = super().locate(case, folder, rename)
        table = None if own else only_file(folder, ".csv")
        if table is None:
            return own
        return table if case.id in read_points(table, handed_in=True).rows else None

    def gather(self, cases: Sequence[Case], folder: Path) -> Path | None:
        """Write the table of all images that have a prediction; ``None`` when none has."""
        rows = {}
        for case in cases:
            path = folder / self.prediction_name(case)
            if path.is_file():
                rows[case.facts["filename"]] = self.read_prediction(case, path)
        if not rows:
            return None
        table = folder / f"{self.card.name}.csv"
        write_text(table, point_text(rows))
        return table

    def read_prediction(self, case: Case, path: Path) -> Points:
        """PS1, PS2 and FH1, ``(3, 2)``, x and y in pixels of the image, from a table or from a mask.

        Raises:
            MedbenchError: as :meth:`PointTable.points`; for a mask ``data.label_unknown``,
                ``data.size_mismatch``, or ``prediction.landmarks`` where it has no landmarks.
        """
        if images.suffix_of(path) == ".csv":
            return read_points(path, handed_in=True).points(case.id)
        shape = self.release.read_image(case.inputs["image"]).shape[:2]

        def read() -> npt.NDArray[np.integer]:
            return np.squeeze(images.read_labels(path, expected=handed_in(shape)).array)

        labels = sized(read, path, len(shape), partial(check_size, path, due=shape, hint=RESIZE_BACK))
        try:
            return mask_points(decode_mask(labels, str(path)))
        except LandmarkError as error:
            raise MedbenchError(
                "prediction.landmarks", f"{path}: {error}.", "Mark both structures in the mask."
            ) from error

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """The image with the points of reference and prediction and the sides of both angles."""
        image = self.release.read_image(case.inputs["image"])
        reference, prediction = self.release.read_reference(case), self.read_prediction(case, path)
        arm = max(3.0, max(image.shape[:2]) * ARM_SHARE)
        strokes = [
            *angle_of_points(reference, "reference", arm),
            *angle_of_points(prediction, "prediction", arm),
        ]
        nothing = np.zeros(image.shape[:2], np.uint8)
        return [Illustration(image, nothing, nothing, strokes=strokes)]

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """The split's labelled images with their landmarks."""
        return [self._training_image(case, cache) for case in self.release.cases(root, split)]

    def _training_image(self, case: Case, cache: Path) -> TrainingImage:
        def load(size: int) -> tuple[npt.NDArray[np.uint8], None]:
            return eight_bit.resized_image(case.inputs["image"], size, cache, self.release.read_image), None

        def landmarks() -> Points:
            height, width = self.release.read_image(case.inputs["image"]).shape[:2]
            return np.asarray((self.release.read_reference(case) + 0.5) / (width, height), np.float64)

        return TrainingImage(case.id, case.resampling_unit, load, labelled=False, landmarks=landmarks)


def mask_points(labels: npt.NDArray[np.uint8]) -> Points:
    """PS1, PS2 and FH1 of a mask by IUGC 2024's rule of contours, ``(3, 2)``, x and y in pixels.

    Args:
        labels: ``(height, width)``, 1 pubic symphysis, 2 fetal head.

    Raises:
        LandmarkError: for a mask that lacks a structure or has no tangent.
    """
    biometry = aop_contour(labels)
    first, second = biometry.ps_points
    inferior, other = (first, second) if first[1] > second[1] else (second, first)
    return np.array([point[::-1] for point in (inferior, other, biometry.aop_tangency)], np.float64)
