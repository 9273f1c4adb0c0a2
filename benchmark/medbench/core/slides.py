"""Whole slides: the input of a predictor, its settings, and the mask that it leaves on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

STRIP_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Slide:
    """A slide at its working level.

    Attributes:
        path: the file.
        factor: pixels of the finest level per pixel of the working level, along each side.
        shape: height and width at the working level in pixels.
    """

    path: Path
    factor: int
    shape: tuple[int, int]


@dataclass(frozen=True, slots=True)
class SlideSettings:
    """Settings of prediction on slides; lengths are in pixels at the working level.

    Attributes:
        patch_px: side of the training patches, which are resized to the network's own image size.
        tile_px: side of a tile that the network predicts; 0 takes the side of the patches.
        margin_px: context on each side of a tile, predicted and cut off; from the radius of the network's
            receptive field on, the result does not depend on the tiles.
        blend_px: least width of the zone where neighbouring tiles are blended, limited to half a tile.
        tissue: 1 predicts only where there is tissue, 0 everywhere.
        min_object_px: objects with fewer pixels are removed; 0 keeps all.
        max_hole_px: holes with at most so many pixels are filled; 0 keeps all.
    """

    patch_px: int
    tile_px: int = 0
    margin_px: int = 128
    blend_px: int = 128
    tissue: int = 1
    min_object_px: int = 0
    max_hole_px: int = 0


@dataclass(frozen=True, slots=True)
class StoredMask:
    """A mask of 0 and 255 in a file of plain bytes, row after row.

    Attributes:
        path: the file.
        shape: height and width in pixels.
    """

    path: Path
    shape: tuple[int, int]

    def window(self, start: int, stop: int, mode: str = "r") -> np.memmap:
        """Rows ``start`` to ``stop`` as a memory map."""
        size = (stop - start, self.shape[1])
        offset = start * self.shape[1]
        rows: np.memmap = np.memmap(self.path, np.uint8, mode, offset, size)  # type: ignore[call-overload]
        return rows

    def bands(self) -> Iterator[tuple[int, int]]:
        """First and last (exclusive) row of each band of about eight megabytes, from the top."""
        return bands(self.shape)

    def strips(self) -> Iterator[npt.NDArray[np.uint8]]:
        """All rows from the top, copied band by band."""
        for start, stop in self.bands():
            yield np.array(self.window(start, stop))

    def allocate(self) -> None:
        """Create the file, filled with zeros."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "wb") as stream:
            stream.truncate(self.shape[0] * self.shape[1])


@dataclass(frozen=True, slots=True)
class MaskWindow:
    """A window of a mask, with one bit per pixel.

    Attributes:
        top: first row.
        left: first column.
        width: number of columns.
        bits: pixels of every row, ``(height, -(-width // 8))``.
    """

    top: int
    left: int
    width: int
    bits: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, pixels: npt.NDArray[np.uint8], top: int, left: int) -> MaskWindow:
        """The window of pixels ``(height, width)``, where anything but 0 is inside."""
        return cls(top, left, pixels.shape[1], np.packbits(pixels, axis=1))

    def paint(self, region: npt.NDArray[np.uint8], top: int, left: int) -> None:
        """Set pixels of a region of the mask to 255 where they are inside the window.

        Args:
            region: of the mask.
            top: its first row.
            left: its first column.
        """
        first, last = max(self.top, top), min(self.top + len(self.bits), top + len(region))
        begin, end = max(self.left, left), min(self.left + self.width, left + region.shape[1])
        if first >= last or begin >= end:
            return
        pixels = np.unpackbits(self.bits[first - self.top : last - self.top], axis=1, count=self.width)
        target = region[first - top : last - top, begin - left : end - left]
        inside = pixels[:, begin - self.left : end - self.left]
        np.bitwise_or(target, np.negative(inside.view(np.int8)).view(np.uint8), out=target)


@dataclass(frozen=True, slots=True)
class ListedMask:
    """A mask of 0 and 255 as windows in memory; 0 elsewhere.

    Attributes:
        shape: height and width in pixels.
        windows: in any order; a pixel is inside where it is in one of them.
    """

    shape: tuple[int, int]
    windows: tuple[MaskWindow, ...]

    def region(self, top: int, left: int, bottom: int, right: int) -> npt.NDArray[np.uint8]:
        """Pixels from a first row and column to a last (exclusive) row and column."""
        region = np.zeros((bottom - top, right - left), np.uint8)
        for window in self.windows:
            window.paint(region, top, left)
        return region

    def strips(self) -> Iterator[npt.NDArray[np.uint8]]:
        """All rows from the top, band by band."""
        for start, stop in bands(self.shape):
            yield self.region(start, 0, stop, self.shape[1])


def bands(shape: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) row of each band of about eight million pixels, from the top."""
    step = max(1, STRIP_BYTES // shape[1])
    for start in range(0, shape[0], step):
        yield start, min(start + step, shape[0])
