"""What a predictor sees, what it answers, and what a network learns from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.case import Case
from medbench.core.slides import Slide, StoredMask

Demand = Literal["labels", "image_classes", "mask"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One case's pictures in memory and what the challenge wants of them.

    Attributes:
        case: where they come from.
        images: ``(images, height, width, channels)`` with three channels (RGB) or one (grey): 8 bit as
            stored, or floating-point numbers from 0 to 1.
        demands: ``labels`` (a label map an image), ``image_classes`` (class probabilities an image), ``mask``
            (a mask of the slide).
        slide: instead of images, a picture too large for memory.
    """

    case: Case
    images: npt.NDArray[Any]
    demands: frozenset[Demand]
    slide: Slide | None = None


@dataclass(frozen=True, slots=True)
class VolumeSample:
    """One case's sequences on one grid, for networks that see volumes; they answer label maps.

    Attributes:
        case: where they come from.
        modalities: one name a channel, in the challenge's order.
        volumes: ``(modalities, depth, height, width)`` as stored; zeros where the sequence is absent.
        present: which sequences are there, one a channel; at least one is.
        spacing_mm: along depth, height and width.
    """

    case: Case
    modalities: tuple[str, ...]
    volumes: npt.NDArray[Any]
    present: tuple[bool, ...]
    spacing_mm: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predictor's answer to a sample.

    Attributes:
        labels: ``(images, height, width)`` unsigned integers at the sample's own size, if demanded; for a
            volume ``(depth, height, width)``.
        image_classes: ``(images, classes)`` probabilities, if demanded.
        mask: of the slide at its working level, if demanded.
    """

    labels: npt.NDArray[np.uint8] | None = None
    image_classes: npt.NDArray[np.float32] | None = None
    mask: StoredMask | None = None


@dataclass(frozen=True, slots=True)
class TrainingImage:
    """One picture to learn from.

    Attributes:
        id: unique within the split.
        group: patient, slide or video: never split between training and validation.
        load: reads ``(image, labels)`` at a square size in pixels: image ``(height, width, 3)``, 8 bit or
            float32 from 0 to 1, labels ``(height, width)`` 8 bit, or ``None`` where there is no reference.
        labelled: whether there is a reference label map.
        image_class: class of the whole picture, or ``None``.
    """

    id: str
    group: str
    load: Callable[[int], tuple[npt.NDArray[Any], npt.NDArray[np.uint8] | None]]
    labelled: bool
    image_class: int | None = None


@dataclass(frozen=True, slots=True)
class TrainingVolume:
    """One case to learn from, for networks that see volumes.

    Attributes:
        id: unique within the split.
        group: patient: never split between training and validation.
        load: reads the sequences and ``(depth, height, width)`` class indices, 8 bit.
        files: what ``load`` reads, for caches that must notice a change.
        seen: which sequences training may show, one a channel; empty: all that are there.
    """

    id: str
    group: str
    load: Callable[[], tuple[VolumeSample, npt.NDArray[np.uint8]]]
    files: tuple[Path, ...]
    seen: tuple[bool, ...] = ()
