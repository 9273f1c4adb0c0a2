"""Samples of IUGC 2024, frames and whole videos, and files of predicted masks and classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.exchange import Exchange, Inputs
from medbench.challenges.families.drawn_biometry import progression_by_contour, strokes_of_both
from medbench.challenges.iugc2024.files import (
    IUGC2024Release,
    mask_sizes,
    read_mask,
    read_probabilities,
)
from medbench.challenges.iugc2024.illustration import score_curve
from medbench.challenges.mask_sizes import refuse_unequal
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.core.overlay import Illustration
from medbench.core.sample import Prediction, Sample, TrainingImage
from medbench.core.text import counted
from medbench.io import raster, video
from medbench.io.gate.expected import handed_in


class IUGC2024Exchange(Exchange):
    """Reads frames; writes label maps or tables of class probabilities."""

    def __init__(self, card: Card, release: IUGC2024Release) -> None:
        super().__init__(card)
        self.release = release
        self.inputs = {"image": Inputs(self.read_frames, self.training_images)}

    def read_frames(self, case: Case) -> Sample:
        """The labelled frame alone, or the whole video.

        Raises:
            MedbenchError: ``data.no_input`` in a folder of masks alone, ``data.frame_count`` where video and
                table differ, or naming the video that cannot be read.
        """
        if "video" not in case.inputs:
            raise MedbenchError(
                "data.no_input", f"{case.id}: this folder holds reference masks only.", self.release.data_hint
            )
        if case.facts["task"] == "classification":
            frames = video.read_frames(case.inputs["video"])
            if len(frames) != len(case.facts["classes"]):
                raise MedbenchError(
                    "data.frame_count",
                    f"{case.inputs['video']}: has {counted(len(frames), 'frame')}, the class table says "
                    f"{len(case.facts['classes'])}.",
                    "The video or the table is from another release.",
                )
            return Sample(case, frames, frozenset({"image_classes"}))
        frame = video.read_frame(case.inputs["video"], case.facts["frame"])
        return Sample(case, frame[np.newaxis])

    def prediction_name(self, case: Case) -> str:
        """Name of the prediction: ``segmentation/<mask>.png`` (0/1/2) or ``classification/<video>.csv``."""
        return case.id + (".png" if case.facts["task"] == "segmentation" else ".csv")

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the label map, or the table of class probabilities with a row per frame."""
        path = folder / self.prediction_name(case)
        if case.facts["task"] == "segmentation":
            raster.write_label_map(path, prediction["label_map"][0])
        else:
            lines = ["frame,non_standard_plane,standard_plane"]
            lines += [f"{i},{row[0]:.9g},{row[1]:.9g}" for i, row in enumerate(prediction["image_classes"])]
            write_text(path, "\n".join(lines) + "\n")
        return path

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """The labelled frame with masks, angle and distance, black without a video; a video's score curve."""
        if case.facts["task"] != "segmentation":
            classes = case.facts["classes"]
            return [score_curve(classes, read_probabilities(path, len(classes)))]
        reference = self.release.read_reference(case)
        prediction = read_mask(path, handed_in(reference.shape))
        video_there = case.inputs.get("video") is not None and case.inputs["video"].is_file()
        image = self.read_frames(case).images[0] if video_there else np.zeros((*reference.shape, 3), np.uint8)
        strokes = strokes_of_both(progression_by_contour, reference, prediction)
        return [Illustration(image, reference, prediction, strokes=strokes)]

    def training_images(self, root: Path, split: str, cache: Path) -> list[TrainingImage]:
        """Labelled frames with label map and class, and the other frames with their class alone.

        Raises:
            MedbenchError: ``data.size_mismatch`` for masks of another size than the frames of their video.
        """
        cases = self.release.cases(root, split)
        refuse_unequal(mask_sizes(cases))
        frames_with_mask = {
            (case.inputs["video"], case.facts["frame"]): case for case in cases if "frame" in case.facts
        }
        images: list[TrainingImage] = []
        for case in cases:
            for frame, image_class in enumerate(case.facts.get("classes", ())):
                key = (case.inputs["video"], frame)
                if image_class >= 0:
                    images.append(
                        self._training_image(
                            *key, case.group, image_class, frames_with_mask.pop(key, None), cache
                        )
                    )
        for (path, frame), case in frames_with_mask.items():
            images.append(self._training_image(path, frame, case.group, 1, case, cache))
        return images

    def _training_image(
        self, path: Path, frame: int, group: str, image_class: int, case: Case | None, cache: Path
    ) -> TrainingImage:
        def load(size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8] | None]:
            image = video.resized_frames(path, size, cache)[frame]
            if case is None:
                return image, None
            return image, raster.resize_labels(self.release.read_reference(case), size, size)

        return TrainingImage(f"{group}#{frame}", group, load, case is not None, image_class)
