"""Cleaning a stored mask of any size: small objects removed, small holes filled."""

from __future__ import annotations

import numpy as np

from medbench.core.slides import StoredMask
from medbench.metrics.banded import BandedObjects, label_band

_INSIDE = 255


def remove_small_objects(mask: StoredMask, min_object_px: int) -> int:
    """Remove objects (8-connected) with fewer pixels than ``min_object_px``, in place.

    Returns:
        How many were removed.
    """
    if min_object_px <= 1:
        return 0
    objects, firsts = _look(mask, 0, 8)
    sizes = objects.whole_sizes()
    small = {root for root, size in sizes.items() if size < min_object_px}
    if small:
        _paint(mask, objects, firsts, small, 0, 8)
    return len(small)


def fill_small_holes(mask: StoredMask, max_hole_px: int) -> int:
    """Fill holes (4-connected background that does not reach the border) of at most ``max_hole_px`` pixels.

    Returns:
        How many were filled.
    """
    if max_hole_px <= 0:
        return 0
    background, firsts = _look(mask, _INSIDE, 4)
    boxes, sizes = background.whole_boxes(), background.whole_sizes()
    height, width = mask.shape
    small = {
        root
        for root, size in sizes.items()
        if size <= max_hole_px
        and min(boxes[root][:2]) > 0
        and boxes[root][2] < height
        and boxes[root][3] < width
    }
    if small:
        _paint(mask, background, firsts, small, _INSIDE, 4)
    return len(small)


def _look(mask: StoredMask, outside: int, connectivity: int) -> tuple[BandedObjects, list[int]]:
    """Objects of the pixels that differ from ``outside``, and what to add to the labels of each band."""
    objects = BandedObjects(connectivity)
    firsts = [objects.add(np.asarray(mask.window(*rows) != outside))[1] for rows in mask.bands()]
    return objects, firsts


def _paint(
    mask: StoredMask,
    objects: BandedObjects,
    firsts: list[int],
    chosen: set[int],
    value: int,
    connectivity: int,
) -> None:
    """Give the pixels of the chosen objects a value."""
    roots = objects.roots()
    hit = np.isin(roots, sorted(chosen))
    bands = list(mask.bands())
    ends = [*firsts[1:], len(roots) - 1]
    for rows, first, last in zip(bands, firsts, ends, strict=True):
        table = np.concatenate([[False], hit[first + 1 : last + 1]])
        if not table.any():
            continue
        window = mask.window(*rows, "r+")
        labels, _ = label_band(np.asarray(window != value), connectivity)
        window[table[labels]] = value
        window.flush()
