"""Where the tiles of a slide lie, and how their overlaps are weighted.

Tiles lie on a fixed grid that begins outside the slide; what lies beyond the border is the slide mirrored. So
every pixel has its full context, none is predicted less often than its neighbours, and a slide smaller than a
tile is nothing special. (The organisers' example moves the last tile inwards and wants two votes a pixel, so
that corners can never be positive.)

A tile has three rings: the margin, which is thrown away; the zone where it is blended into its neighbours;
the rest, which it has for itself. Weights rise and fall as a Hann window does, in whole 256ths that add up to
one exactly, so that tiles which agree give the same result however they are cut.
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
    """Tiles of one slide.

    Lengths of the map are network pixels, lengths of the picture are pixels at the working level.

    Attributes:
        shape: height and width of the slide.
        scale: network pixels a picture pixel.
        tile: side of a tile in network pixels.
        margin: thrown away on each side, in network pixels.
        step: from one tile to the next, in network pixels.
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
        """Side of what a tile contributes, in network pixels."""
        return self.tile - 2 * self.margin

    @property
    def map_shape(self) -> tuple[int, int]:
        """Height and width of the map that covers the slide, so that both sides have whole pixels of it."""
        unit = self.scale.numerator
        height, width = (math.ceil(math.ceil(side * self.scale) / unit) * unit for side in self.shape)
        return height, width

    @property
    def counts(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        rows, columns = (max(1, math.ceil((side - self.blend) / self.step)) for side in self.map_shape)
        return rows, columns

    def picture(self, length: int) -> int:
        """A length of the map in picture pixels, which is whole for all the grid's own lengths."""
        return int(length / self.scale)

    def window(self, row: int, column: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """First and last (exclusive) picture row and column of a tile, which may lie beyond the slide."""
        starts = [self.picture(index * self.step - self.margin) for index in (row, column)]
        side = self.picture(self.tile)
        return (starts[0], starts[0] + side), (starts[1], starts[1] + side)

    def weights(self, index: int, count: int) -> npt.NDArray[np.uint32]:
        """``(span,)`` weights of a tile's pixels along one side, in 256ths."""
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
        settings: tile, margin and blending zone, in pixels at the working level; they grow to what the
            network's scale can divide.
        image_size: side in pixels that the network's pictures have; ``None`` takes patches as they are.

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
    """Indices from ``start`` to ``stop`` in a side of ``size`` pixels that is mirrored at its ends.

    >>> mirrored(-2, 5, 3).tolist()
    [2, 1, 0, 1, 2, 1, 0]
    """
    if size == 1:
        return np.zeros(stop - start, np.int64)
    period = 2 * (size - 1)
    places = np.arange(start, stop) % period
    return np.where(places < size, places, period - places)


def wanted_tiles(grid: TileGrid, tissue: npt.NDArray[np.bool_], cell: int) -> Iterator[list[int]]:
    """For each row of tiles, the columns of those that contribute to tissue.

    Args:
        grid: the tiles.
        tissue: where there is tissue, a value for ``cell`` × ``cell`` picture pixels.
        cell: its side.
    """
    rows, columns = grid.counts
    for row in range(rows):
        band: npt.NDArray[np.bool_] = np.any(tissue[_cells(grid, row, cell, tissue.shape[0])], axis=0)
        yield [column for column in range(columns) if band[_cells(grid, column, cell, tissue.shape[1])].any()]


def _cells(grid: TileGrid, index: int, cell: int, count: int) -> slice:
    """Cells that a tile's contribution touches along one side."""
    first = grid.picture(index * grid.step) // cell
    last = math.ceil((index * grid.step + grid.span) / grid.scale / cell)
    return slice(min(first, count - 1), max(min(last, count), min(first, count - 1) + 1))
