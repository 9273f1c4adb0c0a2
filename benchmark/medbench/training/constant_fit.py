"""Fitting of constant answers: mean masks and their thresholds, shares of classes, mean boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from medbench.core.sample import Boxes

STEPS = 100
NEVER = 2.0
"""Threshold of a structure that no training mask shows; frequencies end at 1."""

Floats = npt.NDArray[np.float64]


def spaced(count: int, most: int) -> list[int]:
    """Indices of at most ``most`` of ``count`` examples, evenly spaced.

    >>> spaced(10, 4), spaced(3, 4)
    ([0, 2, 5, 7], [0, 1, 2])
    """
    if count <= most:
        return list(range(count))
    return [place * count // most for place in range(most)]


def fit_masks(masks: Sequence[npt.NDArray[np.uint8]], num_classes: int) -> tuple[Floats, Floats, Floats]:
    """Frequencies of the structures, and the threshold of each with the best mean Dice.

    The mean is over the training masks that show the structure; of equal thresholds the highest is taken.

    Args:
        masks: class indices on one grid.
        num_classes: with the background.

    Returns:
        Frequencies ``(classes - 1, *grid)``, thresholds ``(classes - 1,)`` and their mean Dice, which is 0
        for a structure that no mask shows.
    """
    frequencies = np.zeros((num_classes - 1, *masks[0].shape))
    thresholds, dice = np.full(num_classes - 1, NEVER), np.zeros(num_classes - 1)
    for structure in range(1, num_classes):
        frequency = sum((mask == structure for mask in masks), np.zeros(masks[0].shape)) / len(masks)
        frequencies[structure - 1] = frequency
        if frequency.any():
            best = _threshold(frequency, (mask == structure for mask in masks))
            thresholds[structure - 1], dice[structure - 1] = best
    return frequencies, thresholds, dice


def _threshold(frequency: Floats, masks: Iterable[npt.NDArray[np.bool_]]) -> tuple[float, float]:
    """The threshold with the best mean Dice over the masks that are not empty, and that Dice."""
    steps = np.arange(1, STEPS + 1) / STEPS * float(frequency.max())
    n_steps = np.searchsorted(steps, frequency.ravel(), side="right")
    sizes = _at_least(np.bincount(n_steps, minlength=STEPS + 1))
    total, count = np.zeros(STEPS), 0
    for mask in masks:
        if mask.any():
            common = _at_least(np.bincount(n_steps[mask.ravel()], minlength=STEPS + 1))
            total += 2 * common / (sizes + int(mask.sum()))
            count += 1
    best = STEPS - 1 - int(np.argmax(total[::-1]))
    return float(steps[best]), float(total[best] / count)


def _at_least(counts: npt.NDArray[np.int64]) -> Floats:
    """From how many pixels pass exactly so many thresholds, how many pass each threshold."""
    return np.asarray(np.cumsum(counts[::-1])[::-1][1:], np.float64)


def fit_classes(classes: Iterable[int], num_classes: int) -> Floats:
    """Shares of the classes, ``(classes,)``; equal ones where no image has a class."""
    counts = np.bincount(np.fromiter(classes, np.int64), minlength=num_classes).astype(np.float64)
    return counts / counts.sum() if counts.sum() else np.full(num_classes, 1 / num_classes)


def fit_boxes(images: Sequence[Boxes]) -> tuple[Floats, Floats, Floats]:
    """The mean box of each class that occurs.

    Returns:
        Corners ``(boxes, 4)``, scores ``(boxes,)``, the share of the images that have the class, and classes
        ``(boxes,)``.
    """
    corners, scores, classes = [], [], []
    for index in sorted({int(name) for boxes in images for name in boxes.classes}):
        own = [boxes.corners[boxes.classes == index] for boxes in images]
        corners.append(np.concatenate(own).mean(axis=0, dtype=np.float64))
        scores.append(sum(len(part) > 0 for part in own) / len(images))
        classes.append(index)
    return np.array(corners).reshape(-1, 4), np.array(scores), np.array(classes, np.float64)
