"""Masks too large to label at once: bits in memory, objects met band by band."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from medbench.metrics.arrays import Mask
from medbench.metrics.components import Labels

BAND_ELEMENTS = 1 << 23


class MaskRows(Protocol):
    """A 2-D mask whose windows can be had: an array, a memory map, packed bits."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width."""
        ...

    @property
    def ndim(self) -> int:
        """Two."""
        ...

    def __getitem__(self, window: Any) -> Any:
        """Boolean rows, or rows and columns, by slices."""
        ...


class PackedMask:
    """A 2-D mask at one bit a pixel, written and read by rows.

    >>> mask = PackedMask((3, 10)); mask.put(1, np.ones((1, 10), bool))
    >>> mask[0:3, 8:10].astype(int).tolist()
    [[0, 0], [1, 1], [0, 0]]
    """

    ndim = 2

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.bits = np.zeros((shape[0], -(-shape[1] // 8)), np.uint8)

    def put(self, row: int, mask: Mask) -> None:
        """Set whole rows from ``row`` on."""
        self.bits[row : row + len(mask)] = np.packbits(mask, axis=1)

    def __getitem__(self, window: slice | tuple[slice, slice]) -> Mask:
        rows, columns = window if isinstance(window, tuple) else (window, slice(None))
        first, last, _ = columns.indices(self.shape[1])
        packed = self.bits[rows, first // 8 : -(-last // 8)]
        unpacked = np.unpackbits(packed, axis=1, count=last - first // 8 * 8)
        return unpacked[:, first % 8 :].view(bool)


def bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of rows that cover a 2-D shape, each of about eight million elements."""
    step = max(1, BAND_ELEMENTS // max(1, shape[1]))
    for begin in range(0, shape[0] if shape[1] else 0, step):
        yield slice(begin, min(begin + step, shape[0]))


def label_band(mask: Mask, connectivity: int) -> tuple[Labels, npt.NDArray[np.int32]]:
    """Label a band by itself; the same mask gives the same labels.

    Returns:
        Labels ``(rows, width)``; for each from 0 on: first column, first row, width, height, pixels.
    """
    import cv2

    part = np.ascontiguousarray(mask).view(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(part, connectivity=connectivity, ltype=cv2.CV_32S)
    return np.asarray(labels, np.int32), np.asarray(stats, np.int32)


class Joined:
    """Numbers that turn out to be the same object; 0 stands for none."""

    def __init__(self) -> None:
        self.parent: list[int] = [0]

    def more(self, count: int) -> int:
        """Add numbers; the first of them."""
        first = len(self.parent)
        self.parent.extend(range(first, first + count))
        return first

    def root(self, number: int) -> int:
        """The number that stands for the object."""
        while self.parent[number] != number:
            self.parent[number] = self.parent[self.parent[number]]
            number = self.parent[number]
        return number

    def join(self, first: int, second: int) -> None:
        """Two numbers are one object."""
        a, b = self.root(first), self.root(second)
        if a != b:
            self.parent[max(a, b)] = min(a, b)

    def roots(self) -> npt.NDArray[np.int64]:
        """The root of every number."""
        return np.array([self.root(number) for number in range(len(self.parent))], np.int64)


class BandedObjects:
    """Connected objects of a mask that is shown band by band, from the top.

    Args:
        connectivity: 8 or 4.
    """

    def __init__(self, connectivity: int = 8) -> None:
        self.connectivity = connectivity
        self.numbers = Joined()
        self.sizes: list[int] = [0]
        self.boxes: list[tuple[int, int, int, int]] = [(0, 0, 0, 0)]
        self.next_row = 0
        self._last: npt.NDArray[np.int64] | None = None

    def add(self, mask: Mask) -> tuple[Labels, int]:
        """Show the next band.

        Returns:
            Labels of the band, ``(rows, width)`` with numbers of its own, and what to add to those above 0 to
            get the numbers of the whole mask.
        """
        labels, stats = label_band(mask, self.connectivity)
        first = self.numbers.more(len(stats) - 1)
        for left, top, width, height, size in stats[1:].tolist():
            row = top + self.next_row
            self.boxes.append((row, left, row + height, left + width))
            self.sizes.append(size)
        top_row = np.where(labels[0] > 0, labels[0].astype(np.int64) + (first - 1), 0)
        if self._last is not None:
            self._sew(self._last, top_row)
        self._last = np.where(labels[-1] > 0, labels[-1].astype(np.int64) + (first - 1), 0)
        self.next_row += len(labels)
        return labels, first - 1

    def _sew(self, above: npt.NDArray[np.int64], below: npt.NDArray[np.int64]) -> None:
        padded = np.pad(above, 1)
        for shift in range(3) if self.connectivity == 8 else (1,):
            touching = padded[shift : shift + len(below)]
            both = (touching > 0) & (below > 0)
            pairs = np.unique(np.stack([touching[both], below[both]], axis=1), axis=0)
            for a, b in pairs.tolist():
                self.numbers.join(a, b)

    def whole_sizes(self) -> dict[int, int]:
        """Pixels of each whole object, by its root."""
        found: dict[int, int] = {}
        for number in range(1, len(self.sizes)):
            root = self.numbers.root(number)
            found[root] = found.get(root, 0) + self.sizes[number]
        return found

    def whole_boxes(self) -> dict[int, tuple[int, int, int, int]]:
        """First row and column, and last (exclusive) row and column of each whole object, by its root."""
        found: dict[int, tuple[int, int, int, int]] = {}
        for number in range(1, len(self.boxes)):
            root, own = self.numbers.root(number), self.boxes[number]
            other = found.get(root, own)
            found[root] = (
                min(own[0], other[0]), min(own[1], other[1]), max(own[2], other[2]), max(own[3], other[3]),
            )  # fmt: skip
        return found
