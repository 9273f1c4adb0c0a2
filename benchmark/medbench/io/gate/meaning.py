"""Checks of values: finite numbers, whole numbers for labels, 0 and 1 for masks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.io.gate.refusal import Reject

WHOLE, LARGEST_STEP = 0.01, 0.5
"""Largest distance of a label from a whole number, and largest step of scaled integers that hold labels."""
MOST_NAMED = 8
LARGEST_LABEL = np.iinfo(np.int32).max
SMALLEST_LABEL = np.iinfo(np.int32).min


def check_finite(values: npt.NDArray[Any]) -> None:
    """Refuse NaN and infinite values.

    Raises:
        Reject: ``data.not_finite`` with their number.
    """
    if values.dtype.kind != "f":
        return
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(values, dtype=np.float64)):
            return
    n_bad = values.size - int(np.count_nonzero(np.isfinite(values)))
    if n_bad:
        raise Reject(
            "data.not_finite", f"holds NaN or infinite values ({n_bad:,})", "Repeat its preprocessing."
        )


def whole_labels(values: npt.NDArray[Any], step: float = 0.0) -> npt.NDArray[Any]:
    """The values as labels: numbers inside int32 that are whole, or within 0.01 of it as scaling leaves them.

    Args:
        values: of any shape.
        step: between two values where the file holds scaled integers, which miss a label by up to half of it;
            steps of more than a half hold no labels.

    Returns:
        Integers and truth values of at most 32 bits as they are, everything else as int32.

    Raises:
        Reject: ``data.not_finite``, or ``data.not_a_label_map`` for fractions and for what exceeds int32.

    >>> whole_labels(np.array([0.0, 0.99608, 2.0]))
    array([0, 1, 2], dtype=int32)
    """
    if values.dtype.kind == "b" or (values.dtype.kind in "iu" and np.can_cast(values.dtype, np.int32)):
        return values
    check_finite(values)
    labels = values if values.dtype.kind in "iu" else np.rint(values)
    if labels.size and (labels.min().item() < SMALLEST_LABEL or labels.max().item() > LARGEST_LABEL):
        raise Reject(
            "data.not_a_label_map",
            f"holds values up to {labels.max():g}, which no label has",
            "Give the label map, not an image.",
        )
    tolerance = max(WHOLE, 0.5001 * step if step <= LARGEST_STEP else 0.0)
    if labels is not values and np.any(np.abs(labels - values) > tolerance):
        raise Reject(
            "data.not_a_label_map",
            f"holds fractional {values.dtype} values, not labels",
            "Threshold or argmax the probabilities before scoring.",
        )
    return labels.astype(np.int32)


def binary(labels: npt.NDArray[Any]) -> npt.NDArray[np.uint8] | None:
    """A mask of 0 and 1 from a mask of 0/1 or 0/255; ``None`` for other values.

    >>> binary(np.array([0, 255])), binary(np.array([0, 2]))
    (array([0, 1], dtype=uint8), None)
    """
    largest = labels.max(initial=0)
    if largest not in (0, 1, 255):
        return None
    if not largest:
        return None if np.any(labels) else np.zeros(labels.shape, np.uint8)
    mask = np.asarray(labels == largest)
    return mask.view(np.uint8) if np.count_nonzero(mask) == np.count_nonzero(labels) else None


def unknown_labels(labels: npt.NDArray[Any], own_labels: Collection[int]) -> str:
    """Labels that a map should not hold, the first eight, with their voxels; empty where it holds none.

    >>> unknown_labels(np.array([0, 1, 7, 7, 255]), (0, 1))
    '7, 255 (2, 1 of 5 voxels)'
    """
    foreground = labels[labels != 0]
    values, counts = (column.tolist() for column in np.unique(foreground, return_counts=True))
    if foreground.size < labels.size:
        values, counts = [0, *values], [labels.size - foreground.size, *counts]
    strange = {value: count for value, count in zip(values, counts, strict=True) if value not in own_labels}
    return listed_values(strange, labels.size) if strange else ""


def listed_values(counts: Mapping[int, int] | Mapping[float, int], size: int) -> str:
    """Values, the first eight, and the numbers of their voxels among ``size``.

    >>> listed_values({255: 1, 7: 2}, 5)
    '7, 255 (2, 1 of 5 voxels)'
    """
    pairs = [(f"{value:g}", f"{count:,}") for value, count in sorted(counts.items())]
    more = ", …" if len(pairs) > MOST_NAMED else ""
    names, numbers = (", ".join(column[:MOST_NAMED]) + more for column in zip(*pairs, strict=True))
    return f"{names} ({numbers} of {size:,} voxels)"


def check_black_is_zero(white_is_zero: bool | None) -> None:
    """Refuse a label map with 0 as white by its header.

    Some programs write such a mask as it is, others invert it, so its values are ambiguous.

    Raises:
        Reject: ``data.white_is_zero``.
    """
    if white_is_zero:
        raise Reject(
            "data.white_is_zero",
            "says that 0 is white (PhotometricInterpretation 0), so what its values mean is ambiguous",
            "Save the mask as PNG, or as TIFF with photometric='minisblack'.",
        )


def check_palette(palette_falls: bool) -> None:
    """Refuse a label map whose palette shows 0 brighter than 1.

    Some programs read the indices of a palette, others its colours, which would be the inverse of each other.

    Raises:
        Reject: ``data.white_is_zero``.
    """
    if palette_falls:
        raise Reject(
            "data.white_is_zero",
            "has a palette that shows 0 brighter than 1, so what its values mean is ambiguous",
            "Save the mask as an 8-bit grey PNG without a palette.",
        )


def check_upright(has_orientation: bool) -> None:
    """Refuse a label map that is to be turned or mirrored by its header, as some readers do and others not.

    Raises:
        Reject: ``data.turned``.
    """
    if has_orientation:
        raise Reject(
            "data.turned",
            "has an orientation tag, by which some readers turn the image and others do not",
            "Save the mask as PNG in the orientation of its image, without the tag.",
        )


def shown(values: npt.NDArray[Any], bits: int) -> npt.NDArray[Any]:
    """A white-is-zero image inverted, so that larger is brighter.

    >>> shown(np.array([0, 255], np.uint8), 8)
    array([255,   0], dtype=uint8)
    """
    if values.dtype.kind != "u":
        raise Reject("file.codec", "says that 0 is white, of values with a sign", "Save it anew.")
    return values.dtype.type((1 << max(bits, 8)) - 1) - values
