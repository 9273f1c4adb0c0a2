"""Exchange of images with boxes: samples for models, and files of detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.exchange import Exchange, Inputs, only_file
from medbench.challenges.families.image_boxes.files import ImageBoxRelease
from medbench.challenges.families.image_boxes.results import number_of, read_results, result_text
from medbench.core.case import Case
from medbench.core.files import write_text
from medbench.core.overlay import DrawnBox, Illustration
from medbench.core.sample import Boxes, Prediction, Sample, TrainingBoxes
from medbench.core.text import agreeing
from medbench.io import eight_bit

ROWS = "rows"
DRAWN = 5
"""Best detections that an image of a report shows."""


def image_name(case: Case) -> str:
    """Name of a case's image in files of detections: its id, without the fold that may stand before it."""
    return case.id.rpartition("/")[2]


class ImageBoxExchange(Exchange):
    """Images in, detections out: COCO result JSON of each image in ``rows/``, and one of all images.

    A folder from elsewhere may hold either: a file for each image, or one of all. Images without an entry in
    the one file have no detections.

    Args:
        card: the challenge's.
        release: its files.
    """

    def __init__(self, card: Card, release: ImageBoxRelease) -> None:
        super().__init__(card)
        self.release = release
        self.inputs = {"image": Inputs(self.read_image, self.training_images)}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of boxes."""
        return self.card.demands_besides["boxes"]

    @property
    def categories(self) -> Mapping[int, str]:
        """Category id in files of detections -> name, in the order of the classes."""
        return dict(enumerate(self.classes, 1))

    def image_keys(self, case: Case) -> tuple[str | int, ...]:
        """By what a file of detections may call the image; the first is what is written."""
        name = image_name(case)
        return (name, *number_of(name))

    def read_image(self, case: Case) -> Sample:
        """The image, 8 bit."""
        image = self.release.read_image(case.inputs["image"])
        return Sample(case, image[np.newaxis], frozenset({"boxes"}))

    def prediction_name(self, case: Case) -> str:
        """``rows/<case>.json``."""
        return f"{ROWS}/{case.id}.json"

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the image's detections, one a line."""
        path = folder / self.prediction_name(case)
        write_text(path, self._text([(case, prediction["boxes"][0])]))
        return path

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """The image's own file, or the one file of all images in the folder.

        Raises:
            MedbenchError: as :func:`read_results` and :meth:`ResultFile.refuse_unknown` for that one file.
        """
        own = super().locate(case, folder, rename)
        path = None if own or (folder / ROWS).is_dir() else only_file(folder, ".json")
        if path is None:
            return own
        read_results(path).refuse_unknown(self.release.image_names(case))
        return path

    def gather(self, cases: Sequence[Case], folder: Path) -> Path | None:
        """Write the file of all images that have a prediction; ``None`` when none has.

        Raises:
            MedbenchError: when a prediction cannot be read.
        """
        detections = []
        for case in cases:
            path = folder / self.prediction_name(case)
            if path.is_file():
                detections.append((case, self.read_prediction(case, path)))
        if not detections:
            return None
        target = folder / f"{self.card.name}.json"
        write_text(target, self._text(detections))
        return target

    def _text(self, detections: Sequence[tuple[Case, Boxes]]) -> str:
        entries = [(self.image_keys(case)[0], boxes) for case, boxes in detections]
        return result_text(entries, list(self.categories))

    def read_prediction(self, case: Case, path: Path) -> Boxes:
        """Detections in an image.

        Raises:
            MedbenchError: naming file and entry, as :func:`read_results` and :meth:`ResultFile.boxes`.
        """
        return read_results(path).boxes(self.image_keys(case), self.categories)

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """The image with the boxes of its reference and its best detections."""
        image = self.release.read_image(case.inputs["image"])
        reference, prediction = self.release.read_reference(case), self.read_prediction(case, path)
        nothing = np.zeros(image.shape[:2], np.uint8)
        best = np.argsort(-prediction.scores, kind="stable")[:DRAWN]
        count = len(reference.classes)
        boxes = agreeing(count, "box", "boxes")
        caption = f"{count} {boxes} in the reference, {len(prediction.classes)} detected"
        if len(prediction.classes) > DRAWN:
            caption += f", the best {DRAWN} of them drawn"
        return [
            Illustration(
                image,
                nothing,
                nothing,
                caption=caption,
                reference_boxes=[
                    DrawnBox(corners, self._label(label))
                    for corners, label in zip(reference.corners.tolist(), reference.classes, strict=True)
                ],
                prediction_boxes=[
                    DrawnBox(
                        prediction.corners[index].tolist(),
                        f"{self._label(prediction.classes[index])} {prediction.scores[index]:.2f}".strip(),
                    )
                    for index in best
                ],
            )
        ]

    def _label(self, index: int) -> str:
        return self.classes[index] if len(self.classes) > 1 else ""

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingBoxes]:
        """The split's images with their boxes; images whose boxes cannot be used are left out."""
        return [
            self._training_image(case, cache)
            for case in self.release.cases(root, split)
            if "fault" not in case.facts
        ]

    def _training_image(self, case: Case, cache: Path) -> TrainingBoxes:
        reference = self.release.read_reference(case)

        path, read = case.inputs["image"], self.release.read_image

        def boxes() -> Boxes:
            return reference.resized(eight_bit.image_size(path, cache, read), (1, 1))

        def load(size: int) -> npt.NDArray[np.uint8]:
            return eight_bit.fitted_image(path, size, cache, read)

        return TrainingBoxes(case.id, case.resampling_unit, load, boxes, tuple(reference.classes.tolist()))
