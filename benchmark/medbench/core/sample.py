"""Samples that models see, predictions, and training examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.case import Case
from medbench.core.slides import Slide

LABEL_MAP_ONLY = frozenset({"label_map"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One case's images in memory, or its slide, and the tasks that the challenge demands of the case.

    Attributes:
        case: where the images come from.
        images: ``(images, height, width, channels)`` with three channels (RGB) or one (grey): 8 bit as
            stored, or floating-point numbers from 0 to 1.
        demands: names of the tasks to answer (:mod:`medbench.core.task`).
        slide: a slide too large for memory, in place of images.
    """

    case: Case
    images: npt.NDArray[Any]
    demands: frozenset[str] = LABEL_MAP_ONLY
    slide: Slide | None = None


@dataclass(frozen=True, slots=True)
class VolumeSample:
    """One case's modalities on one grid, for three-dimensional networks.

    Attributes:
        case: where the volumes come from.
        modalities: one name a channel, in the challenge's order.
        volumes: ``(modalities, depth, height, width)`` as stored; zeros where the modality is absent.
        present: whether the case has the modality, one flag a channel; at least one is set.
        spacing_mm: along depth, height and width.
        demands: names of the tasks to answer.
    """

    case: Case
    modalities: tuple[str, ...]
    volumes: npt.NDArray[Any]
    present: tuple[bool, ...]
    spacing_mm: tuple[float, ...] | None = None
    demands: frozenset[str] = LABEL_MAP_ONLY


@dataclass(frozen=True, slots=True)
class SequenceSample:
    """One case as a sequence of feature vectors of its frames.

    Attributes:
        case: where the features come from.
        features: ``(frames, features)``, float32.
        demands: names of the tasks to answer.
        facts: other inputs of networks for sequences: shot boundaries, sampling positions …
    """

    case: Case
    features: npt.NDArray[np.float32]
    demands: frozenset[str] = frozenset({"frame_scores"})
    facts: Mapping[str, Any] = field(default_factory=dict)


AnySample = Sample | VolumeSample | SequenceSample


@dataclass(frozen=True, slots=True)
class Boxes:
    """Bounding boxes in one image: those of the reference, or those that were detected.

    Attributes:
        corners: ``(objects, 4)``: left, top, right, bottom in pixels, right and bottom exclusive.
        scores: ``(objects,)`` confidences; 1 in a reference.
        classes: ``(objects,)`` indices of the demanded names.
    """

    corners: npt.NDArray[np.floating[Any]]
    scores: npt.NDArray[np.floating[Any]]
    classes: npt.NDArray[np.integer[Any]]

    @classmethod
    def of_reference(cls, corners: npt.ArrayLike, classes: npt.ArrayLike) -> Boxes:
        """Boxes of a reference.

        >>> Boxes.of_reference([[0, 0, 4, 2]], [0]).scores
        array([1.])
        """
        indices = np.asarray(classes, np.int64).reshape(-1)
        return cls(np.asarray(corners, np.float64).reshape(-1, 4), np.ones(len(indices)), indices)

    def resized(self, size: tuple[int, int], target: tuple[int, int]) -> Boxes:
        """The boxes of an image of height and width ``size`` after its resizing to ``target``."""
        down, across = target[0] / size[0], target[1] / size[1]
        return Boxes(self.corners * np.array([across, down, across, down]), self.scores, self.classes)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predictor's answers to one sample: exactly one for each task that the sample demands.

    Attributes:
        answers: name of the task -> answer in the form that :class:`medbench.core.task.Task` states.
    """

    answers: Mapping[str, Any]

    def __getitem__(self, task: str) -> Any:
        return self.answers[task]


@dataclass(frozen=True, slots=True)
class TrainingImage:
    """A training image.

    Attributes:
        id: unique within the split.
        group: patient, slide or video, never split between training and validation.
        load: reads ``(image, labels)`` at a square size in pixels: image ``(height, width, 3)``, 8 bit or
            float32 from 0 to 1, labels ``(height, width)`` 8 bit, or ``None`` where there is no reference.
        labelled: whether there is a reference label map.
        image_class: class of the whole image, or ``None``.
        landmarks: reads the reference points ``(landmarks, 2)``, x and y as shares of the image's width and
            height: the centre of pixel ``k`` of ``n`` lies at ``(k + 0.5) / n``; ``None`` where none are
            demanded.
        image_labels: 0 or 1 for each label that the whole image may have; empty where there are none.
    """

    id: str
    group: str
    load: Callable[[int], tuple[npt.NDArray[Any], npt.NDArray[np.uint8] | None]]
    labelled: bool
    image_class: int | None = None
    landmarks: Callable[[], npt.NDArray[np.float64]] | None = None
    image_labels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingBoxes:
    """A training image with the boxes of its objects.

    Attributes:
        id: unique within the split.
        group: patient, slide or video, never split between training and validation.
        load: reads the image with its longer side at a size in pixels: ``(height, width, 3)``, 8 bit.
        boxes: reads the reference boxes, corners as shares of the image's width and height.
        classes: class of each box.
    """

    id: str
    group: str
    load: Callable[[int], npt.NDArray[Any]]
    boxes: Callable[[], Boxes]
    classes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TrainingVolume:
    """A training case for networks of volumes.

    Attributes:
        id: unique within the split.
        group: patient, never split between training and validation.
        load: reads the modalities and ``(depth, height, width)`` class indices, 8 bit.
        files: what ``load`` reads, for caches that must notice a change.
        visible: modalities that training may show, one flag a channel; empty: all that the case has.
    """

    id: str
    group: str
    load: Callable[[], tuple[VolumeSample, npt.NDArray[np.uint8]]]
    files: tuple[Path, ...]
    visible: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingSequence:
    """A training case for networks of sequences.

    Attributes:
        id: unique within the split.
        group: video, never split between training and validation.
        load: reads the sample and the targets by name, each ``(frames,)``.
        files: what ``load`` reads, for caches that must notice a change.
    """

    id: str
    group: str
    load: Callable[[], tuple[SequenceSample, Mapping[str, npt.NDArray[Any]]]]
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """An image and its report, to learn from together.

    Attributes:
        id: unique within the split.
        group: patient, never split between training and validation.
        load: reads the image, ``(side, side)`` grey, 8 bit: its long side is ``side`` pixels, the rest black.
        sentences: of the report, lower case, words apart by spaces.
        findings: name -> whether the report states it; ``None`` where it says nothing or is uncertain.
    """

    id: str
    group: str
    load: Callable[[int], npt.NDArray[np.uint8]]
    sentences: tuple[str, ...]
    findings: Mapping[str, bool | None] = field(default_factory=dict)


TrainingExample = TrainingImage | TrainingBoxes | TrainingVolume | TrainingSequence
