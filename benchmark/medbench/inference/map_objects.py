"""The objects of a slide's map, enlarged and cleaned one by one, without a pass over the whole slide."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt

from medbench.core.slides import ListedMask, MaskWindow, SlideSettings, StoredMask
from medbench.inference.enlarging import Flags, squares_at
from medbench.inference.tiles import TileGrid
from medbench.metrics.masks.banded import BandedObjects, bands

LARGEST_WINDOW_PX, MOST_PX = 1 << 24, 1 << 30

Band = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]
Blank = Callable[[Band, int, int], None]


class MapObjects:
    """What of a slide's map exceeds one half, by groups of squares that touch each other.

    An object of the slide lies within one group, and so does a hole with its object. Groups that are too
    small for an object of the least size are left out; each of the others is a window of the mask.

    Args:
        stored: the map.
        grid: its tiles, on which :func:`medbench.inference.enlarging.is_in_squares` is true.
        settings: of the cleaning.
    """

    def __init__(self, foreground_map: StoredMask, grid: TileGrid, settings: SlideSettings) -> None:
        self.values = foreground_map.window(0, foreground_map.shape[0])
        self.factor = grid.scale.denominator
        self.settings = settings
        objects = BandedObjects()
        side = foreground_map.shape[0] + 1, foreground_map.shape[1] + 1
        for rows in bands(side):
            objects.see(squares_at(self.values, (rows.start, rows.stop), (0, side[1])).some)
        sizes = objects.whole_sizes()
        least = settings.min_object_px
        self.boxes = [
            box for root, box in objects.whole_boxes().items() if sizes[root] * self.factor**2 >= least
        ]

    def fit_into_memory(self) -> bool:
        """Whether the windows of all groups are small enough to be drawn and kept."""
        boxes = np.array(self.boxes, np.int64).reshape(-1, 4)
        pixels = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * self.factor**2
        return int(pixels.max(initial=0)) <= LARGEST_WINDOW_PX and int(pixels.sum()) <= MOST_PX

    def drawn(self, shape: tuple[int, int], blank: Blank, workers: Executor) -> ListedMask:
        """The mask of the slide without small objects, small holes filled.

        Args:
            shape: of the slide.
            blank: sets to 0 what of a window may not be marked, given its first row and column.
            workers: that groups are divided among.
        """

        def draw(box: Box) -> tuple[MaskWindow, bool] | None:
            return self._draw(shape, blank, box)

        windows = [window for window in workers.map(draw, self.boxes) if window is not None]
        mask = ListedMask(shape, tuple(window for window, _ in windows))
        if self.settings.max_hole_px <= 0:
            return mask
        windows_without_holes = (self._with_filled(mask, window) for window, alone in windows if not alone)
        return ListedMask(shape, (*mask.windows, *windows_without_holes))

    def _with_filled(self, mask: ListedMask, window: MaskWindow) -> MaskWindow:
        """What is in a window of the mask, small holes filled."""
        pixels = mask.region(
            window.top, window.left, window.top + len(window.bits), window.left + window.width
        )
        _fill_holes(pixels, self.settings.max_hole_px)
        return MaskWindow.of(pixels, window.top, window.left)

    def _draw(self, shape: tuple[int, int], blank: Blank, box: Box) -> tuple[MaskWindow, bool] | None:
        """A group without small objects, and whether no other shares its window: then holes are filled."""
        squares = squares_at(self.values, (box[0], box[2]), (box[1], box[3]))
        own = _spanning(squares.some)
        if own is not None:
            squares = squares.only(own)
        half = self.factor // 2
        top, left = (max(0, start * self.factor - half) for start in box[:2])
        cut = tuple(max(0, half - start * self.factor) for start in box[:2])
        pixels = squares.enlarged(self.factor)[cut[0] :, cut[1] :]
        pixels = np.ascontiguousarray(pixels[: shape[0] - top, : shape[1] - left])
        blank(pixels, top, left)
        if not _keep_large(pixels, self.settings.min_object_px):
            return None
        if own is None and self.settings.max_hole_px > 0:
            _fill_holes(pixels, self.settings.max_hole_px)
        return MaskWindow.of(pixels, top, left), own is None


def _spanning(some: Flags) -> Flags | None:
    """The group that reaches all four sides of its window; ``None`` where it is alone in there.

    Two groups that both do would cross, and so be one.
    """
    import cv2

    count, labels = cv2.connectedComponents(np.ascontiguousarray(some).view(np.uint8), connectivity=8)
    if count == 2:
        return None
    sides = [set(side.tolist()) for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1])]
    (number,) = set.intersection(*sides) - {0}
    return np.asarray(labels == number)


def _keep_large(pixels: Band, least_px: int) -> bool:
    """Remove objects with fewer pixels, 8-connected; whether anything is left."""
    import cv2

    total = cv2.countNonZero(pixels)
    if total < least_px or not total:
        return False
    count, labels = cv2.connectedComponents(pixels, connectivity=8)
    if count == 2:
        return True
    sizes = np.bincount(labels.ravel())
    small = sizes < least_px
    small[0] = False
    if small.any():
        pixels[small[labels]] = 0
    return not bool(small[1:].all())


def _fill_holes(pixels: Band, most_px: int) -> None:
    """Fill 4-connected background of at most so many pixels that does not reach the window's border."""
    import cv2

    count, labels = cv2.connectedComponents(np.bitwise_not(pixels), connectivity=4)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    if count <= len(np.union1d(border, [0])):
        return
    fill = np.bincount(labels.ravel(), minlength=count) <= most_px
    fill[0] = False
    fill[border] = False
    if fill.any():
        pixels[fill[labels]] = 255
