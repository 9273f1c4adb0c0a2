"""Grids of tiles on slides, and the weights of their overlaps.

Tiles lie on a fixed grid that begins outside the slide; beyond its borders the slide is mirrored. So every
pixel has its full context, no pixel is predicted less often than its neighbours, and slides smaller than a
tile need no case of their own. (The organisers' example moves the last tile inwards and needs two votes for
each pixel, so that corners can never be positive.)

A tile has three rings: the margin, which is cut off; the zone that is blended with its neighbours; and the
rest. Weights rise and fall as a Hann window, in whole 256ths with a sum of exactly 1, so that tiles with
equal probabilities give these probabilities for every grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.slides import SlideSettings

ONE = 256
STRIDE = 32


@dataclass(frozen=True, slots=True)
class TileGrid:
    """The grid of tiles on a slide.

    Lengths in the map are in network pixels, lengths in the slide in pixels at the working level.

    Attributes:
        shape: height and width of the slide.
        scale: network pixels per pixel of the slide.
        tile: side of a tile in network pixels.
        margin: width that is cut off on each side, in network pixels.
        step: distance of neighbouring tiles in network pixels.
    """

    shape: tuple[int, int]
    scale: Fraction
    tile: int
    margin: int
    step: int

    @property
    def blend(self) -> int:
        """Width of the zone between two tiles in network pixels."""
        return self.tile - 2 * self.margin - self.step

    @property
    def span(self) -> int:
        """Side of a tile without its margins, in network pixels."""
        return self.tile - 2 * self.margin

    @property
    def map_shape(self) -> tuple[int, int]:
        """Height and width of the map, whole network pixels that cover the slide."""
        unit = self.scale.numerator
        height, width = (math.ceil(math.ceil(side * self.scale) / unit) * unit for side in self.shape)
        return height, width

    @property
    def counts(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        rows, columns = (max(1, math.ceil((side - self.blend) / self.step)) for side in self.map_shape)
        return rows, columns

    def slide_px(self, length: int) -> int:
        """A length of the grid in pixels of the slide."""
        return int(length / self.scale)

    def window(self, row: int, column: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """First and last (exclusive) row and column of a tile in the slide, perhaps beyond its borders."""
        starts = [self.slide_px(index * self.step - self.margin) for index in (row, column)]
        side = self.slide_px(self.tile)
        return (starts[0], starts[0] + side), (starts[1], starts[1] + side)

    def weights(self, index: int, count: int) -> npt.NDArray[np.uint32]:
        """Weights of a tile's pixels along one side, in 256ths, ``(span,)``."""
        along = np.full(self.span, ONE, np.uint32)
        places = (np.arange(self.blend) + 0.5) / max(1, self.blend)
        rising = np.rint(ONE * np.sin(places * np.pi / 2) ** 2).astype(np.uint32)
        if index > 0 and self.blend:
            along[: self.blend] = rising
        if index < count - 1 and self.blend:
            along[-self.blend :] = ONE - rising
        return along


def tile_grid(shape: tuple[int, int], settings: SlideSettings, image_size: int | None) -> TileGrid:
    """The grid for a slide and a network.

    Args:
        shape: height and width of the slide at the working level.
        settings: tile, margin and blending zone in pixels at the working level, which are rounded up to
            multiples that the network's scale divides.
        image_size: side of the network's images in pixels; ``None`` keeps the size of patches.

    Raises:
        MedbenchError: ``slide.tile`` when margin and blending leave nothing of a tile.
    """
    scale = Fraction(image_size or settings.patch_px, settings.patch_px)
    unit = scale.numerator
    tile = _up(math.ceil((settings.tile_px or settings.patch_px) * scale), math.lcm(unit, STRIDE))
    if not settings.tile_px:
        tile = image_size or settings.patch_px
    margin = _up(math.ceil(settings.margin_px * scale), unit)
    stride = math.lcm(unit, STRIDE)
    span = tile - 2 * margin
    step = max((span - math.ceil(settings.blend_px * scale)) // stride * stride, _up(-(-span // 2), stride))
    if span <= 0 or step > span:
        raise MedbenchError(
            "slide.tile",
            f"Tiles of {tile} network pixels leave nothing between margins of {margin} and the blending zone "
            f"(steps are multiples of {stride}).",
            "Set a larger tile_px, or a smaller margin_px or blend_px.",
        )
    return TileGrid(shape, scale, tile, margin, step)


def _up(length: int, unit: int) -> int:
    return -(-length // unit) * unit


def mirrored(start: int, stop: int, size: int) -> npt.NDArray[np.int64]:
    """Indices from ``start`` to ``stop`` into a side of ``size`` pixels that is mirrored at its ends.

    >>> mirrored(-2, 5, 3).tolist()
    [2, 1, 0, 1, 2, 1, 0]
    """
    if size == 1:
        return np.zeros(stop - start, np.int64)
    period = 2 * (size - 1)
    places = np.arange(start, stop) % period
    return np.where(places < size, places, period - places)


def wanted_tiles(grid: TileGrid, tissue: npt.NDArray[np.bool_], cell: int) -> Iterator[list[int]]:
    """For each row of tiles, the columns of tiles that cover tissue.

    Args:
        grid: the tiles.
        tissue: mask of the tissue, with a value for ``cell`` × ``cell`` pixels of the slide.
        cell: side of a cell in pixels of the slide.
    """
    rows, columns = grid.counts
    for row in range(rows):
        band: npt.NDArray[np.bool_] = np.any(tissue[_cells(grid, row, cell, tissue.shape[0])], axis=0)
        yield [column for column in range(columns) if band[_cells(grid, column, cell, tissue.shape[1])].any()]


def _cells(grid: TileGrid, index: int, cell: int, count: int) -> slice:
    """Cells that a tile without its margins touches along one side."""
    first = grid.slide_px(index * grid.step) // cell
    last = math.ceil((index * grid.step + grid.span) / grid.scale / cell)
    return slice(min(first, count - 1), max(min(last, count), min(first, count - 1) + 1))
