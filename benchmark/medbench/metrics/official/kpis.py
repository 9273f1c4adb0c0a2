"""Dice of KPIs 2024 as the organisers' example programs compute it, on grey reference masks.

Source: hrlblab/KPIs2024@7d56473 (patch and slide dockers) with MONAI 1.3.0. Masks of the challenge are grey:
those of patches are JPEG files, those of slides blur when they are halved. The programs never binarise them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.metrics.arguments import Array, numbers
from medbench.metrics.arrays import Mask, as_mask, same_shape

FULL = 255


def grey_values(reference: npt.ArrayLike) -> Array:
    """A grey mask, 0 to 255, of any type of number.

    Raises:
        MedbenchError: ``metric.array``, ``metric.not_finite``, or ``metric.labels`` for other values.

    >>> grey_values([[0, 255]]).tolist()
    [[0, 255]]
    """
    grey = numbers(reference, "reference", finite=True)
    if grey.dtype != np.uint8 and grey.size and not (grey.min() >= 0 and grey.max() <= FULL):
        raise MedbenchError(
            "metric.labels",
            f"The reference holds {float(grey.min()):g} to {float(grey.max()):g}, a grey mask 0 to 255.",
            "Give the mask as its file stores it.",
        )
    return grey


def grey_pair(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> tuple[Array, Mask]:
    """A grey reference and a binary prediction of one image, whose sizes may differ.

    Raises:
        MedbenchError: as :func:`grey_values`, ``metric.shape`` for what is no image, or ``metric.labels`` for
            a prediction that is no binary mask.
    """
    grey, answer = grey_values(reference), numbers(prediction, "prediction")
    if grey.ndim != 2 or answer.ndim != 2 or not grey.size or not answer.size:
        raise MedbenchError(
            "metric.shape",
            f"The reference has shape {grey.shape}, the prediction {answer.shape}.",
            "Give masks of one image, (height, width).",
        )
    return grey, as_mask(answer, None, "prediction")


def dice_of_largest_value(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> float | None:
    """Task 1, as its docker scores a patch: only pixels at the maximum of the grey mask count.

    The organisers scale a JPEG mask to 0..1 without binarising it, and MONAI 1.3 then compares with 1, so a
    perfect prediction scores about 0.9. None for an empty reference, which is left out of the mean.

    Args:
        reference: grey mask as decoded from the JPEG file, 0 to 255.
        prediction: binary mask of the same shape.

    Raises:
        MedbenchError: as :func:`grey_values`, ``metric.shape``, or ``metric.labels`` for a prediction that is
            no binary mask.

    >>> dice_of_largest_value([[0, 250, 255, 255]], [[0, 1, 1, 1]])
    0.8
    """
    grey, answer = same_shape(grey_values(reference), prediction)
    mask = as_mask(answer, None, "prediction")
    if grey.max() == grey.min():
        return None
    inside = grey == grey.max()
    return float(2 * (inside & mask).sum() / (inside.sum() + mask.sum()))


def halved_size(size: int) -> int:
    """Pixels along a side after ``scipy.ndimage.zoom(…, 0.5)``: half of it, a tie to the even number.

    >>> [halved_size(n) for n in (1, 2, 5, 7, 10)]
    [1, 1, 2, 4, 5]
    """
    return max(1, round(size * 0.5))


def halving_rows(start: int, stop: int, size: int) -> tuple[int, int]:
    """Rows of the full mask that :func:`full_after_halving` needs for rows ``start`` to ``stop`` of the half.

    >>> halving_rows(0, 2, 10)
    (0, 4)
    """
    places = _places(np.arange(start, stop), size)
    return int(places[0]), min(size, int(places[-1]) + 2)


def _places(rows: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.float64]:
    """Where rows of the halved mask lie in the full one: the outermost pixel centres coincide."""
    half = halved_size(size)
    step = (size - 1) / (half - 1) if half > 1 else 0.0
    return np.asarray(rows * step, np.float64)


def full_after_halving(
    grey: npt.NDArray[np.uint8], *, first_row: int, rows: tuple[int, int], shape: tuple[int, int]
) -> Mask:
    """Rows of the organisers' halved reference: the pixels that ``ndimage.zoom(order=1)`` leaves at 255.

    Their program turns every grey value below 255 into background, so the blended rim of an object is lost.
    Where rounding puts the last row or column a hair beyond the full mask's, it is lost too, as in SciPy.

    Args:
        grey: some rows of the full mask, all its columns.
        first_row: which row of the full mask ``grey`` begins with.
        rows: first and last (exclusive) row of the half that are wanted; ``grey`` covers
            :func:`halving_rows` of them.
        shape: of the full mask.

    Returns:
        ``(rows[1] - rows[0], halved width)``.

    >>> disk = np.zeros((6, 6), np.uint8); disk[2:, 2:] = 255
    >>> full_after_halving(disk, first_row=0, rows=(0, 3), shape=(6, 6)).astype(int).tolist()
    [[0, 0, 0], [0, 1, 1], [0, 1, 1]]
    """
    down = _places(np.arange(*rows), shape[0])
    across = _places(np.arange(halved_size(shape[1])), shape[1])
    levels = _blend(grey.astype(np.float64), down - first_row, axis=0)
    levels = _blend(levels, across, axis=1)
    inside = np.ix_(down <= shape[0] - 1, across <= shape[1] - 1)
    full = np.zeros(levels.shape, bool)
    full[inside] = levels[inside] >= FULL - 0.5
    return full


def _blend(values: npt.NDArray[np.float64], places: npt.NDArray[np.float64], axis: int) -> Any:
    low = np.minimum(np.floor(places).astype(np.int64), values.shape[axis] - 1)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    share = places - low
    share = share[:, None] if axis == 0 else share[None]
    return np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share


def slide_dice_official(reference: npt.ArrayLike, prediction: npt.ArrayLike) -> float:
    """Task 2, as its docker scores a slide: pixels of the reference below 255 are background.

    Args:
        reference: grey mask of the slide, 0 to 255, ``(height, width)``.
        prediction: binary mask of the same size, or of half of it: the reference is then halved first, as for
            all groups but NEP25.

    Returns:
        The Dice coefficient; 1 when nothing is left in either mask.

    Raises:
        MedbenchError: as :func:`dice_of_largest_value`.

    >>> slide_dice_official([[0, 254, 255, 255]], [[0, 1, 1, 1]])
    0.8
    """
    grey, mask = grey_pair(reference, prediction)
    height, width = grey.shape
    if mask.shape == grey.shape:
        inside = grey == FULL
    elif mask.shape == (halved_size(height), halved_size(width)):
        inside = full_after_halving(grey, first_row=0, rows=(0, mask.shape[0]), shape=(height, width))
    else:
        raise MedbenchError(
            "metric.shape",
            f"The reference has shape {grey.shape}, the prediction {mask.shape}.",
            "Give the prediction at the size of the reference, or at half of it.",
        )
    total = int(inside.sum()) + int(mask.sum())
    return 2 * int((inside & mask).sum()) / total if total else 1.0
