"""The predictor of the same answer for every case."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.sample import AnySample, Boxes, Prediction, Sample, SequenceSample, VolumeSample
from medbench.core.slides import Slide, StoredMask
from medbench.inference.predictor import TimedPredictor
from medbench.models.constant_answers import FREQUENCIES, THRESHOLDS, ConstantAnswers

CLASS_SHARES, FRAME_SCORE, POINTS = "class_shares", "frame_score", "points"
BOX_CORNERS, BOX_SCORES, BOX_CLASSES = "box_corners", "box_scores", "box_classes"
NUMBERS: Mapping[str, tuple[str, ...]] = {
    "label_map": (FREQUENCIES, THRESHOLDS),
    "image_classes": (CLASS_SHARES,),
    "boxes": (BOX_CORNERS, BOX_SCORES, BOX_CLASSES),
    "frame_scores": (FRAME_SCORE,),
    "landmarks": (POINTS,),
}
"""Task -> numbers that its answer is made of."""


class ConstantPredictor(TimedPredictor):
    """A predictor that looks at nothing of a case but its size.

    Args:
        network: the fitted numbers.
        patch_px: side of the training patches of slides at their working level.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
    """

    def __init__(self, network: ConstantAnswers, *, patch_px: int = 0, device: str = "cpu") -> None:
        super().__init__(network, device, "fp32")
        self.answers = network
        self.patch_px = patch_px
        self._folder = tempfile.TemporaryDirectory(prefix="medbench-slides-")
        self._stored: deque[StoredMask] = deque()
        self._count = 0
        self._masks: dict[tuple[int, ...], npt.NDArray[np.uint8]] = {}

    def predict(self, sample: AnySample) -> Prediction:
        """The constant answers to what the sample demands.

        Raises:
            MedbenchError: ``weights.no_answer`` where the numbers of a demanded task were not fitted.
        """
        with self.timed("forward"):
            return Prediction({task: self._answer(task, sample) for task in sorted(sample.demands)})

    def _answer(self, task: str, sample: AnySample) -> Any:
        lacking = [name for name in NUMBERS[task] if name not in self._numbers]
        if lacking:
            raise MedbenchError(
                "weights.no_answer",
                f"These weights of baseline/constant hold no {' and no '.join(lacking)}.",
                "Train baseline/constant on this challenge.",
            )
        return _ANSWERS[task](self, sample)

    @property
    def _numbers(self) -> Mapping[str, Any]:
        return dict(self.answers.numbers.items())

    def _array(self, name: str) -> npt.NDArray[np.float32]:
        array: npt.NDArray[np.float32] = self._numbers[name].detach().cpu().numpy()
        return array

    def _label_map(self, sample: AnySample) -> Any:
        if isinstance(sample, VolumeSample):
            return self._mask(sample.volumes.shape[1:])
        assert isinstance(sample, Sample)
        if sample.slide is not None:
            return self._slide(sample.slide)
        mask = self._mask(sample.images.shape[1:3])
        return np.repeat(mask[np.newaxis], len(sample.images), axis=0)

    def _mask(self, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """Class indices of a case of this size; the one of the last size is kept."""
        import torch

        if shape not in self._masks:
            with torch.inference_mode():
                indices = self.answers.logits(shape).argmax(dim=0)
            self._masks = {shape: indices.to(torch.uint8).cpu().numpy()}
        return self._masks[shape]

    def _slide(self, slide: Slide) -> StoredMask:
        side = self.patch_px or min(slide.shape)
        patch = (self._mask((side, side)) > 0).astype(np.uint8) * 255
        mask = self._new_mask(slide.shape)
        columns = np.arange(slide.shape[1]) % side
        for start, stop in mask.bands():
            window = mask.window(start, stop, "r+")
            window[:] = patch[np.arange(start, stop) % side][:, columns]
            window.flush()
        return mask

    def _new_mask(self, shape: tuple[int, int]) -> StoredMask:
        """An empty mask on disk; the one before it may still be read, older ones are removed."""
        while len(self._stored) > 1:
            self._stored.popleft().path.unlink(missing_ok=True)
        name = f"{self._count}.raw"
        self._count += 1
        mask = StoredMask(Path(self._folder.name) / name, shape)
        mask.allocate()
        self._stored.append(mask)
        return mask

    def _image_classes(self, sample: AnySample) -> npt.NDArray[np.float32]:
        assert isinstance(sample, Sample)
        return np.repeat(self._array(CLASS_SHARES)[np.newaxis], len(sample.images), axis=0)

    def _boxes(self, sample: AnySample) -> list[Boxes]:
        assert isinstance(sample, Sample)
        height, width = sample.images.shape[1:3]
        corners = self._array(BOX_CORNERS).reshape(-1, 4) * np.array(
            [width, height, width, height], np.float32
        )
        classes = self._array(BOX_CLASSES).astype(np.int64)
        return [Boxes(corners, self._array(BOX_SCORES), classes) for _ in sample.images]

    def _frame_scores(self, sample: AnySample) -> npt.NDArray[np.float32]:
        assert isinstance(sample, SequenceSample)
        return np.full(len(sample.features), self._array(FRAME_SCORE).item(), np.float32)

    def _landmarks(self, sample: AnySample) -> npt.NDArray[np.float32]:
        assert isinstance(sample, Sample)
        height, width = sample.images.shape[1:3]
        points = self._array(POINTS) * np.array([width, height], np.float32) - np.float32(0.5)
        return np.repeat(points[np.newaxis], len(sample.images), axis=0)


_ANSWERS: Mapping[str, Callable[[ConstantPredictor, AnySample], Any]] = {
    "label_map": ConstantPredictor._label_map,
    "image_classes": ConstantPredictor._image_classes,
    "boxes": ConstantPredictor._boxes,
    "frame_scores": ConstantPredictor._frame_scores,
    "landmarks": ConstantPredictor._landmarks,
}
