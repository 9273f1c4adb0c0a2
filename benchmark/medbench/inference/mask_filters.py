"""Removal of small objects and filling of small holes in stored masks of any size."""

from __future__ import annotations

import numpy as np

from medbench.core.slides import STRIP_BYTES, StoredMask
from medbench.metrics.masks.banded import BandedObjects, label_band

_INSIDE = 255


def clean(mask: StoredMask, *, min_object_px: int, max_hole_px: int) -> tuple[int, int]:
    """Remove small objects, then fill small holes, in place.

    A hole lies within the bounding box of the object around it, so only boxes are read, unless one is too
    large.

    Args:
        mask: 255 in objects, which are 8-connected.
        min_object_px: objects with fewer pixels are removed.
        max_hole_px: holes (4-connected background that does not reach the border) with at most so many pixels
            are filled; 0 keeps all.

    Returns:
        Number of removed objects, and number of filled holes.
    """
    if min_object_px <= 1 and max_hole_px <= 0:
        return 0, 0
    objects, firsts = _look(mask, 0, 8)
    small = {root for root, size in objects.whole_sizes().items() if size < min_object_px}
    if small:
        _paint(mask, objects, firsts, small, 0, 8)
    if max_hole_px <= 0:
        return len(small), 0
    boxes = [box for root, box in objects.whole_boxes().items() if root not in small]
    if any((bottom - top) * (right - left) > STRIP_BYTES for top, left, bottom, right in boxes):
        return len(small), _fill_in_bands(mask, max_hole_px)
    return len(small), sum(fill_in_box(mask, box, max_hole_px) for box in boxes)


def fill_in_box(mask: StoredMask, box: tuple[int, int, int, int], max_hole_px: int) -> int:
    """Fill small holes of the objects in a box, in place; how many."""
    top, left, bottom, right = box
    window = mask.window(top, bottom, "r+")[:, left:right]
    labels, stats = label_band(np.asarray(window == 0), 4)
    first_column, first_row, width, height, size = stats.T
    hole = (first_column > 0) & (first_row > 0) & (size > 0) & (size <= max_hole_px)
    hole &= (first_column + width < right - left) & (first_row + height < bottom - top)
    if hole.any():
        window[hole[labels]] = _INSIDE
    return int(hole.sum())


def _fill_in_bands(mask: StoredMask, max_hole_px: int) -> int:
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
    """Objects of pixels that differ from ``outside``, and the first label of each band."""
    objects = BandedObjects(connectivity)
    firsts = [objects.see(np.asarray(mask.window(*rows) != outside)) for rows in mask.bands()]
    return objects, firsts


def _paint(
    mask: StoredMask,
    objects: BandedObjects,
    firsts: list[int],
    selection: set[int],
    value: int,
    connectivity: int,
) -> None:
    """Set the pixels of some objects to a value."""
    roots = objects.roots()
    hit = np.isin(roots, sorted(selection))
    bands = list(mask.bands())
    ends = [*firsts[1:], len(roots) - 1]
    for rows, first, last in zip(bands, firsts, ends, strict=True):
        table = np.concatenate([[False], hit[first + 1 : last + 1]])
        if not table.any():
            continue
        window = mask.window(*rows, "r+")
        labels, _ = label_band(np.asarray(window != value), connectivity)
        window[table[labels]] = value
