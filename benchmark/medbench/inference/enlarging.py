"""The map of a slide at the working level: where its interpolation exceeds one half."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from medbench.core.slides import StoredMask
from medbench.inference.tiles import TileGrid

_HALF = 127.5
_WORD_BYTES = 8

Band = npt.NDArray[np.uint8]


def above_half(stored: StoredMask, grid: TileGrid, start: int, stop: int) -> tuple[int, Band]:
    """Where rows of the map exceed one half at the working level: a first column, and a mask from there.

    The map is interpolated between the centres of its pixels. No value is above or below all four around it,
    so squares between four alike are filled. Where a map pixel is a power of two of the slide's pixels along
    each side, the values of other squares are exact in float32, in whatever order their terms are added.

    Args:
        stored: the map.
        grid: its tiles.
        start: first row of the slide.
        stop: last row of the slide, exclusive.

    Returns:
        Column of the slide, and ``(stop - start, columns)``, 0 and 255; beyond is 0.

    """
    factor = grid.scale.denominator
    width = grid.shape[1]
    if grid.scale == 1:
        return 0, np.where(stored.window(start, stop)[:, :width] > _HALF, np.uint8(255), np.uint8(0))
    if grid.scale.numerator == 1 and _interpolates_exactly(grid):
        return _by_squares(stored, factor, (start, stop), width)
    mask = np.zeros((stop - start, width), np.uint8)
    for first, part in parts_above_half(stored, grid, start, stop):
        inside = part[:, : width - first]
        np.multiply(inside, np.uint8(255), out=mask[:, first : first + inside.shape[1]])
    return 0, mask


def _by_squares(stored: StoredMask, factor: int, rows: tuple[int, int], width: int) -> tuple[int, Band]:
    """As :func:`above_half`, where a map pixel is ``factor`` pixels of the slide along each side."""
    half = factor // 2
    first, last = (rows[0] - half) // factor, (rows[1] - 1 - half) // factor
    values = stored.window(max(first, 0), min(last + 2, stored.shape[0]))
    high = np.asarray(values > _HALF)
    columns = np.flatnonzero(high.any(axis=0))
    if not columns.size:
        return 0, np.zeros((rows[1] - rows[0], 0), np.uint8)
    left, right = int(columns[0]) - 1, int(columns[-1]) + 1
    above, below = int(first < 0), int(last + 2 > stored.shape[0])
    around = (above, below), (int(left < 0), int(right == stored.shape[1]))
    part = slice(max(left, 0), right + 1)
    corners, high = (np.pad(kept[:, part], around, mode="edge") for kept in (values, high))
    full = high[:-1, :-1] & high[:-1, 1:] & high[1:, :-1] & high[1:, 1:]
    some = high[:-1, :-1] | high[:-1, 1:] | high[1:, :-1] | high[1:, 1:]
    squares = _filled(full, factor)
    _cut(squares, corners, some & ~full, factor)
    lines = squares.reshape(len(full) * factor, -1)
    top = rows[0] - (first * factor + half)
    begin = left * factor + half
    skipped = max(0, -begin)
    return begin + skipped, lines[top : top + rows[1] - rows[0], skipped : width - begin]


def _filled(full: npt.NDArray[np.bool_], factor: int) -> Band:
    """Squares of 255 where ``full``, else of 0: ``(rows, factor, columns, factor)``."""
    word = np.dtype(f"u{min(factor, _WORD_BYTES)}")
    ones = np.where(full, np.iinfo(word).max, word.type(0))
    squares = np.empty((full.shape[0], factor, full.shape[1], factor // word.itemsize), word)
    squares[:] = ones[:, None, :, None]
    return squares.view(np.uint8)


def _cut(squares: Band, corners: Band, mixed: npt.NDArray[np.bool_], factor: int) -> None:
    """Fill the squares where ``mixed`` from the four map pixels around each."""
    rows, columns = np.nonzero(mixed)
    if not rows.size:
        return
    around = [corners[rows + down, columns + across] for down in (0, 1) for across in (0, 1)]
    share = (np.arange(factor, dtype=np.float32) + np.float32(0.5)) / np.float32(factor)
    along = np.stack([1 - share, share])
    weights = np.einsum("iy,jx->ijyx", along, along).reshape(4, factor * factor)
    inside = np.stack(around, axis=1).astype(np.float32) @ weights > _HALF
    word = np.dtype(f"u{min(factor, _WORD_BYTES)}")
    cut = np.negative(inside.view(np.int8)).reshape(len(rows), factor, factor)
    squares.view(word)[rows, :, columns] = cut.view(word)


def parts_above_half(
    stored: StoredMask, grid: TileGrid, start: int, stop: int
) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """Where rows of the map exceed one half at the working level: first columns, and masks from there.

    Beyond these columns no pixel does, as interpolation exceeds no pixel that it is between. Where its sums
    are exact, columns by themselves have the values that they have among all, so only those are computed.
    """
    first, last = _rows_between(stored, grid, start, stop)
    occupied = np.asarray(stored.window(first, last).max(axis=0) > _HALF)
    unit = grid.scale.numerator
    if occupied.any() and not _interpolates_exactly(grid):
        occupied[:] = True
    near = np.convolve(occupied, np.ones(5, np.int8))[2:-2] > 0
    units = near.reshape(-1, unit).any(axis=1)
    changes = np.flatnonzero(np.diff(np.pad(units, 1).view(np.int8))) * unit
    for begin, end in zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True):
        yield grid.slide_px(begin), enlarged_rows(stored, grid, start, stop, slice(begin, end)) > _HALF


def _interpolates_exactly(grid: TileGrid) -> bool:
    """Whether places, shares and sums of 8-bit values between pixels of the map are exact in float32."""
    below = grid.scale.denominator
    return below & (below - 1) == 0 and below <= 128 and 2 * below * max(grid.map_shape) < 1 << 24


def enlarged_rows(
    stored: StoredMask, grid: TileGrid, start: int, stop: int, columns: slice
) -> npt.NDArray[np.float32]:
    """Rows of the map at the working level, interpolated between the centres of its pixels.

    Args:
        stored: the map.
        grid: its tiles.
        start: first row of the slide.
        stop: last row of the slide, exclusive.
        columns: of the map, whole pixels of the slide, and taken by themselves.

    Returns:
        ``(stop - start, width)`` from 0 to 255; the width may exceed the slide's by less than a map pixel.
    """
    import cv2

    if grid.scale == 1:
        return np.asarray(stored.window(start, stop)[:, columns], np.float32)
    low, high, share = _between_rows(stored, grid, start, stop)
    first = int(low[0])
    window = np.asarray(stored.window(first, int(high[-1]) + 1)[:, columns], np.float32)
    rows = window[low - first] * (1 - share) + window[high - first] * share
    width = grid.slide_px(rows.shape[1])
    return np.asarray(cv2.resize(rows, (width, len(rows)), interpolation=cv2.INTER_LINEAR), np.float32)


def _rows_between(stored: StoredMask, grid: TileGrid, start: int, stop: int) -> tuple[int, int]:
    """First and last (exclusive) row of the map that interpolation to rows of the slide reads."""
    if grid.scale == 1:
        return start, stop
    low, high, _ = _between_rows(stored, grid, start, stop)
    return int(low[0]), int(high[-1]) + 1


def _between_rows(
    stored: StoredMask, grid: TileGrid, start: int, stop: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """For each row of the slide, the two rows of the map around it, and the weight of the second."""
    places = np.clip((np.arange(start, stop) + 0.5) * float(grid.scale) - 0.5, 0, stored.shape[0] - 1)
    low = np.floor(places).astype(np.int64)
    return low, np.minimum(low + 1, stored.shape[0] - 1), (places - low).astype(np.float32)[:, None]
