"""The objects of KPIs 2024: hole contours of the inverted mask, without the whole mask in memory.

The organisers' program (hrlblab/KPIs2024@7d56473) calls OpenCV's ``findContours`` on the inverted mask with
the whole tree and drops the first contour. The result depends on the order of the contours, which is that of
the tree: siblings from the last found to the first in reading order, children after their parent.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medbench.metrics.arrays import Mask
from medbench.metrics.masks.banded import BandedObjects, MaskRows, bands

Contour = npt.NDArray[np.int32]
Box = tuple[int, int, int, int]
WHOLE_ELEMENTS = 1 << 26


def hole_contours(mask: MaskRows, boxes: list[Box] | None = None) -> list[Contour]:
    """All contours of the inverted mask but the first, in the program's order.

    A large mask is taken apart into boxes that hold objects and what is inside them. That fails where objects
    cut a piece of background off at the mask's border; such a mask is followed as a whole.

    Args:
        mask: ``(height, width)``.
        boxes: of its 8-connected objects, where they are known.

    Returns:
        Contours ``(n, 2)`` as (x, y).
    """
    if mask.shape[0] * mask.shape[1] > WHOLE_ELEMENTS:
        contours = _contours_by_box(mask, boxes)
        if contours is not None:
            return contours
    return [points for points, _ in _followed(mask[0 : mask.shape[0]], (0, 0))[1:]]


def _followed(mask: Mask, corner: tuple[int, int]) -> list[tuple[Contour, int]]:
    """Contours of the inverted mask with the index of each one's parent, −1 at the top."""
    import cv2

    background = np.logical_not(mask).view(np.uint8)
    contours, tree = cv2.findContours(background, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE, offset=corner[::-1])
    if not contours:
        return []
    parents = np.asarray(tree).reshape(-1, 4)[:, 3].tolist()
    points = [contour.reshape(-1, 2).astype(np.int32) for contour in contours]
    return list(zip(points, parents, strict=True))


def _origin(points: Contour) -> tuple[int, int]:
    """Row and column at which an object's contour was found: left of the first pixel of its first row."""
    top = points[:, 1].min()
    return int(top) + 1, int(points[points[:, 1] == top, 0].min()) - 1


def _contours_by_box(mask: MaskRows, boxes: list[Box] | None = None) -> list[Contour] | None:
    """The same list, box by box; ``None`` where background is cut off."""
    families: list[tuple[tuple[int, int], list[Contour]]] = []
    height, width = mask.shape[:2]
    for top, left, bottom, right in _apart(_boxes(mask) if boxes is None else boxes):
        window = (
            slice(max(0, top - 1), min(height, bottom + 1)),
            slice(max(0, left - 1), min(width, right + 1)),
        )
        contours = _followed(mask[window], (window[0].start, window[1].start))
        if not contours or [parent for _, parent in contours].count(-1) != 1:
            return None
        for points, parent in contours[1:]:
            if parent == 0:
                families.append((_origin(points), []))
            families[-1][1].append(points)
    families.sort(key=lambda family: family[0], reverse=True)
    return [points for _, members in families for points in members]


def _boxes(mask: MaskRows) -> list[Box]:
    """Of the 8-connected objects, in no order."""
    objects = BandedObjects()
    for rows in bands(mask.shape):
        objects.see(mask[rows])
    return list(objects.whole_boxes().values())


def _apart(boxes: list[Box]) -> list[Box]:
    """Boxes joined until there are two free rows or columns between any two."""
    repeat = True
    while repeat:
        repeat = False
        above: list[Box] = []
        result: list[Box] = []
        for box in sorted(boxes):
            beside = []
            for other in above:
                if other[2] + 2 <= box[0]:
                    result.append(other)
                elif other[1] < box[3] + 2 and other[3] + 2 > box[1]:
                    top, left = min(other[0], box[0]), min(other[1], box[1])
                    box = top, left, max(other[2], box[2]), max(other[3], box[3])
                    repeat = True
                else:
                    beside.append(other)
            above = [*beside, box]
        boxes = result + above
    return boxes
