"""The map of a slide at the working level: where its interpolation exceeds one half."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medbench.core.slides import StoredMask
from medbench.inference.tiles import TileGrid

_HALF = 127.5
_WORD_BYTES = 8

Band = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


def above_half(foreground_map: StoredMask, grid: TileGrid, start: int, stop: int) -> tuple[int, Band]:
    """Where rows of the map exceed one half at the working level: a first column, and a mask from there.

    The map is interpolated between the centres of its pixels. No value is above or below all four around it,
    so squares between four alike are filled. Where a map pixel is a power of two of the slide's pixels along
    each side, the values of other squares are exact in float32, in whatever order their terms are added.

    Args:
        foreground_map: the map.
        grid: its tiles.
        start: first row of the slide.
        stop: last row of the slide, exclusive.

    Returns:
        Column of the slide, and ``(stop - start, columns)``, 0 and 255; beyond is 0.
    """
    factor = grid.scale.denominator
    width = grid.shape[1]
    if grid.scale == 1:
        return 0, np.where(foreground_map.window(start, stop)[:, :width] > _HALF, np.uint8(255), np.uint8(0))
    if is_in_squares(grid):
        return _by_squares(foreground_map, factor, (start, stop), width)
    mask = np.zeros((stop - start, width), np.uint8)
    for first, part in parts_above_half(foreground_map, grid, start, stop):
        inside = part[:, : width - first]
        np.multiply(inside, np.uint8(255), out=mask[:, first : first + inside.shape[1]])
    return 0, mask


def _by_squares(
    foreground_map: StoredMask, factor: int, rows: tuple[int, int], width: int
) -> tuple[int, Band]:
    """As :func:`above_half`, where a map pixel is ``factor`` pixels of the slide along each side."""
    half = factor // 2
    first, last = (rows[0] + half) // factor, (rows[1] - 1 + half) // factor + 1
    values = foreground_map.window(0, foreground_map.shape[0])
    whole = squares_at(values, (first, last), (0, foreground_map.shape[1] + 1))
    columns = np.flatnonzero(whole.some.any(axis=0))
    if not columns.size:
        return 0, np.zeros((rows[1] - rows[0], 0), np.uint8)
    left, right = int(columns[0]), int(columns[-1]) + 1
    lines = whole.part(slice(left, right)).enlarged(factor)
    top, begin = rows[0] - (first * factor - half), left * factor - half
    n_outside = max(0, -begin)
    return begin + n_outside, lines[top : top + rows[1] - rows[0], n_outside : width - begin]


@dataclass(frozen=True, slots=True)
class Squares:
    """Squares of the slide between the centres of four map pixels each.

    Attributes:
        corners: values of the map, ``(rows + 1, columns + 1)``.
        some: whether a value of the square's corners exceeds one half, ``(rows, columns)``.
        full: whether all of them do.
    """

    corners: Band
    some: Flags
    full: Flags

    def part(self, columns: slice) -> Squares:
        """Some columns of squares."""
        corners = self.corners[:, columns.start : columns.stop + 1]
        return Squares(corners, self.some[:, columns], self.full[:, columns])

    def only(self, own: Flags) -> Squares:
        """With other squares as if the map were 0 there."""
        return Squares(self.corners, self.some & own, self.full & own)

    def enlarged(self, factor: int) -> Band:
        """Where the interpolation exceeds one half: 0 and 255, ``(rows * factor, columns * factor)``."""
        word = np.dtype(f"u{min(factor, _WORD_BYTES)}")
        plain = np.where(self.full, np.iinfo(word).max, word.type(0))
        height, width = self.full.shape
        pixels = np.empty((height, factor, width, factor // word.itemsize), word)
        pixels[:] = plain[:, None, :, None]
        rows, columns = np.nonzero(self.some & ~self.full)
        if rows.size:
            around = [self.corners[rows + down, columns + across] for down in (0, 1) for across in (0, 1)]
            inside = np.stack(around, axis=1).astype(np.float32) @ _shares(factor) > _HALF
            cut = np.negative(inside.view(np.int8)).reshape(len(rows), factor, factor)
            pixels[rows, :, columns] = cut.view(word)
        return pixels.view(np.uint8).reshape(height * factor, width * factor)


def squares_at(values: Band, rows: tuple[int, int], columns: tuple[int, int]) -> Squares:
    """Squares of a map by first and last (exclusive) row and column.

    Square ``n`` of a row or column lies between pixels ``n - 1`` and ``n`` of the map; beyond the map its
    outermost pixels repeat.
    """
    height, width = values.shape
    band = values[max(rows[0] - 1, 0) : min(rows[1], height)]
    part = np.asarray(band[:, max(columns[0] - 1, 0) : min(columns[1], width)])
    around = (
        (int(rows[0] == 0), int(rows[1] > height)),
        (int(columns[0] == 0), int(columns[1] > width)),
    )
    corners = np.pad(part, around, mode="edge")
    high = corners > _HALF
    across_all, across_any = high[:, :-1] & high[:, 1:], high[:, :-1] | high[:, 1:]
    return Squares(corners, across_any[:-1] | across_any[1:], across_all[:-1] & across_all[1:])


@functools.cache
def _shares(factor: int) -> npt.NDArray[np.float32]:
    """Shares of the four corners in every pixel of a square, ``(4, pixels)``."""
    share = (np.arange(factor, dtype=np.float32) + np.float32(0.5)) / np.float32(factor)
    along = np.stack([1 - share, share])
    return np.asarray(np.einsum("iy,jx->ijyx", along, along).reshape(4, factor * factor), np.float32)


def parts_above_half(
    foreground_map: StoredMask, grid: TileGrid, start: int, stop: int
) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """Where rows of the map exceed one half at the working level: first columns, and masks from there.

    Beyond these columns no pixel does, as interpolation exceeds no pixel that it is between. Where its sums
    are exact, columns by themselves have the values that they have among all, so only those are computed.
    """
    first, last = _rows_between(foreground_map, grid, start, stop)
    is_foreground = np.asarray(foreground_map.window(first, last).max(axis=0) > _HALF)
    unit = grid.scale.numerator
    if is_foreground.any() and not _interpolates_exactly(grid):
        is_foreground[:] = True
    near = np.convolve(is_foreground, np.ones(5, np.int8))[2:-2] > 0
    units = near.reshape(-1, unit).any(axis=1)
    changes = np.flatnonzero(np.diff(np.pad(units, 1).view(np.int8))) * unit
    for begin, end in zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True):
        yield (
            grid.slide_px(begin),
            enlarged_rows(foreground_map, grid, start, stop, slice(begin, end)) > _HALF,
        )


def is_in_squares(grid: TileGrid) -> bool:
    """Whether a map pixel is whole pixels of the slide, several, and squares by themselves are exact."""
    return grid.scale.numerator == 1 and grid.scale < 1 and _interpolates_exactly(grid)


def _interpolates_exactly(grid: TileGrid) -> bool:
    """Whether places, shares and sums of 8-bit values between pixels of the map are exact in float32."""
    below = grid.scale.denominator
    return below & (below - 1) == 0 and below <= 128 and 2 * below * max(grid.map_shape) < 1 << 24


def enlarged_rows(
    foreground_map: StoredMask, grid: TileGrid, start: int, stop: int, columns: slice
) -> npt.NDArray[np.float32]:
    """Rows of the map at the working level, interpolated between the centres of its pixels.

    Args:
        foreground_map: the map.
        grid: its tiles.
        start: first row of the slide.
        stop: last row of the slide, exclusive.
        columns: of the map, whole pixels of the slide, and taken by themselves.

    Returns:
        ``(stop - start, width)`` from 0 to 255; the width may exceed the slide's by less than a map pixel.
    """
    import cv2

    if grid.scale == 1:
        return np.asarray(foreground_map.window(start, stop)[:, columns], np.float32)
    low, high, share = _between_rows(foreground_map, grid, start, stop)
    first = int(low[0])
    window = np.asarray(foreground_map.window(first, int(high[-1]) + 1)[:, columns], np.float32)
    rows = window[low - first] * (1 - share) + window[high - first] * share
    width = grid.slide_px(rows.shape[1])
    return np.asarray(cv2.resize(rows, (width, len(rows)), interpolation=cv2.INTER_LINEAR), np.float32)


def _rows_between(foreground_map: StoredMask, grid: TileGrid, start: int, stop: int) -> tuple[int, int]:
    """First and last (exclusive) row of the map that interpolation to rows of the slide reads."""
    if grid.scale == 1:
        return start, stop
    low, high, _ = _between_rows(foreground_map, grid, start, stop)
    return int(low[0]), int(high[-1]) + 1


def _between_rows(
    foreground_map: StoredMask, grid: TileGrid, start: int, stop: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """For each row of the slide, the two rows of the map around it, and the weight of the second."""
    places = np.clip((np.arange(start, stop) + 0.5) * float(grid.scale) - 0.5, 0, foreground_map.shape[0] - 1)
    low = np.floor(places).astype(np.int64)
    return low, np.minimum(low + 1, foreground_map.shape[0] - 1), (places - low).astype(np.float32)[:, None]
