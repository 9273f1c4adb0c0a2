"""Reading of a slide's tiles at the network's size, each block of the file decoded and shrunk once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from medbench.inference.predictor import InputContract
from medbench.inference.tiles import TileGrid, mirrored
from medbench.io.kept_blocks import KeptBlocks
from medbench.io.raster import resize_image
from medbench.io.slides import SlideImage

KEPT_BYTES = 48 << 20
USUAL_SIDE, LARGEST_SIDE = 512, 2048
BLOCKS_AT_ONCE = 4
"""Of the file, that are one piece of work."""

Band = npt.NDArray[np.uint8]
Tiles = npt.NDArray[np.float32]
Batch = Sequence[tuple[int, int]]


class PassingBlocks(KeptBlocks):
    """Blocks of which none stays in memory: the next one is decoded into what the last one took."""

    def block(self, row: int, column: int) -> Band:
        """A block, made anew by every call."""
        return self.make(row, column)


class PassingSlide(SlideImage):
    """A slide of which no block is kept for a second reading."""

    @classmethod
    def of(cls, image: SlideImage) -> PassingSlide:
        """The same slide."""
        return cls(image.facts, image._file, image.factor)

    def _blocks(self, level: int) -> KeptBlocks:
        blocks = super()._blocks(level)
        return PassingBlocks(blocks.make, blocks.side, 0)


@dataclass(frozen=True, slots=True)
class Axis:
    """Blocks along one axis of a slide, in pixels of the slide.

    Attributes:
        length: of the slide.
        block: of a block.
        before: how far tiles reach beyond the first pixel.
        after: how far tiles reach beyond the last one.
    """

    length: int
    block: int
    before: int
    after: int

    def span(self, index: int) -> tuple[int, int]:
        """First and last (exclusive) pixel of a block that tiles show, perhaps beyond the border."""
        first, last = index * self.block, (index + 1) * self.block
        return max(first, -self.before), min(last, self.length + self.after)

    def shows_once(self, span: tuple[int, int]) -> bool:
        """Whether pixels lie on the slide and are no part of what tiles show mirrored beyond its borders."""
        low = self.before + 1 if self.before else 0
        high = self.length - self.after - 1 if self.after else self.length
        return low <= span[0] and span[1] <= high


class TileReader:
    """The tiles of a slide, for several threads.

    Where an image is shrunk by a whole factor, each of its pixels is the mean of a square of the slide's, in
    a tile as in a block of the file. So blocks are shrunk as they are decoded, once, and tiles are put
    together from small blocks; elsewhere a tile is read as a whole. Blocks that tiles show mirrored beyond
    the border, too, are kept for that second reading.

    Args:
        image: the slide.
        grid: its tiles.
        contract: of the network, whose image is a tile.
    """

    def __init__(self, image: SlideImage, grid: TileGrid, contract: InputContract) -> None:
        self.image = image
        self.grid = grid
        shrinks = grid.scale.numerator == 1 and grid.scale.denominator > 1
        by_blocks = shrinks and contract.resampling == "image" and not contract.padded
        sides = self._block_sides()
        self._axes = self._reach(sides)
        whole = all(
            side * grid.scale.denominator % own == 0
            for side, own in zip(sides, image.block_shape, strict=True)
        )
        self._once = PassingSlide.of(image) if whole else image
        self._small = KeptBlocks(self._shrunk, sides, KEPT_BYTES) if by_blocks else None

    def read(self, row: int, column: int) -> Band:
        """A tile, mirrored beyond the slide's borders, ``(height, width, 3)``.

        Its sides are the grid's ``tile``, or as long on the slide where the contract must shrink it.

        Raises:
            MedbenchError: as :meth:`medbench.io.slides.SlideImage.read`.
        """
        if self._small is None:
            return read_mirrored(self.image, *self.grid.window(row, column))
        spans = [(first, first + self.grid.tile) for first in self._corner(row, column)]
        return self._small.read(spans[0], spans[1])

    def blocks(self, places: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Rows and columns of the blocks that tiles are put together from, each once; to :meth:`fetch`."""
        if self._small is None:
            return []
        blocks: dict[tuple[int, int], None] = {}
        for place in places:
            lattice = [
                range(first // side, -(-(first + self.grid.tile) // side))
                for first, side in zip(self._corner(*place), self._small.side, strict=True)
            ]
            blocks.update(dict.fromkeys(itertools.product(lattice[0], lattice[1])))
        return list(blocks)

    def fetch(self, blocks: Iterable[tuple[int, int]]) -> None:
        """Decode and shrink blocks by row and column, unless they are in memory."""
        assert self._small is not None
        for block in blocks:
            self._small.block(*block)

    def _corner(self, row: int, column: int) -> tuple[int, int]:
        step, margin = self.grid.step, self.grid.margin
        return row * step - margin, column * step - margin

    def _shrunk(self, row: int, column: int) -> Band:
        assert self._small is not None
        factor, shape = self.grid.scale.denominator, self._small.side
        spans = [axis.span(index) for axis, index in zip(self._axes, (row, column), strict=True)]
        once = all(axis.shows_once(span) for axis, span in zip(self._axes, spans, strict=True))
        region = read_mirrored(self._once if once else self.image, spans[0], spans[1])
        small = resize_image(region, *(side // factor for side in region.shape[:2]))
        if small.shape[:2] == shape:
            return small
        block = np.zeros((*shape, small.shape[2]), np.uint8)
        top, left = (
            span[0] // factor - index * side
            for span, index, side in zip(spans, (row, column), shape, strict=True)
        )
        block[top : top + small.shape[0], left : left + small.shape[1]] = small
        return block

    def _reach(self, sides: tuple[int, int]) -> list[Axis]:
        grid, factor = self.grid, self.grid.scale.denominator
        axes = []
        for length, side, count in zip(self.image.shape, sides, grid.counts, strict=True):
            last = grid.slide_px((count - 1) * grid.step - grid.margin + grid.tile)
            axes.append(Axis(length, side * factor, grid.slide_px(grid.margin), max(0, last - length)))
        return axes

    def _block_sides(self) -> tuple[int, int]:
        """Rows and columns of a block in network pixels: blocks of the file where their sides allow it."""
        factor = self.grid.scale.denominator
        sides = []
        for own, length in zip(self.image.block_shape, self.image.shape, strict=True):
            side = math.lcm(min(own, length), factor)
            if own >= length:
                side = -(-length // factor) * factor
            elif side > LARGEST_SIDE:
                side = -(-USUAL_SIDE // factor) * factor
            sides.append(side // factor)
        return sides[0], sides[1]


class BatchReader:
    """Batches of a slide's tiles, prepared for a network; for several threads.

    Args:
        image: the slide.
        grid: its tiles.
        contract: of the network, whose image is a tile.
    """

    def __init__(self, image: SlideImage, grid: TileGrid, contract: InputContract) -> None:
        self.contract = replace(contract, size=grid.tile)
        self.reader = TileReader(image, grid, self.contract)
        self._shape = (contract.channels, grid.tile, grid.tile)

    def read(self, batch: Batch) -> Tiles:
        """Prepared tiles ``(tiles, channels, size, size)`` by their rows and columns.

        Raises:
            MedbenchError: as :meth:`medbench.io.slides.SlideImage.read`.
        """
        tiles = np.empty((len(batch), *self._shape), np.float32)
        for tile, place in zip(tiles, batch, strict=True):
            self._prepare(tile, *place)
        return tiles

    def begin(self, batch: Batch, workers: Executor) -> tuple[Tiles, list[Future[None]]]:
        """As :meth:`read`, by workers: tiles, and the work that fills them."""
        blocks = self.reader.blocks(batch)
        for first in range(0, len(blocks), BLOCKS_AT_ONCE):
            workers.submit(self.reader.fetch, blocks[first : first + BLOCKS_AT_ONCE])
        tiles = np.empty((len(batch), *self._shape), np.float32)
        work = [workers.submit(self._prepare, tile, *place) for tile, place in zip(tiles, batch, strict=True)]
        return tiles, work

    def _prepare(self, tile: Tiles, row: int, column: int) -> None:
        tile[:] = self.contract.prepare(self.reader.read(row, column)[np.newaxis])[0]


def is_inside(image: SlideImage, rows: tuple[int, int], columns: tuple[int, int]) -> bool:
    """Whether a region lies on the slide as a whole."""
    return min(rows[0], columns[0]) >= 0 and rows[1] <= image.shape[0] and columns[1] <= image.shape[1]


def read_mirrored(image: SlideImage, rows: tuple[int, int], columns: tuple[int, int]) -> Band:
    """A region of a slide, mirrored beyond the slide's borders, ``(rows, columns, 3)``.

    Raises:
        MedbenchError: as :meth:`medbench.io.slides.SlideImage.read`.
    """
    if is_inside(image, rows, columns):
        return image.read(rows, columns)
    down, across = mirrored(*rows, image.shape[0]), mirrored(*columns, image.shape[1])
    top, left = int(down.min()), int(across.min())
    region = image.read((top, int(down.max()) + 1), (left, int(across.max()) + 1))
    return region[down - top].take(across - left, axis=1)
