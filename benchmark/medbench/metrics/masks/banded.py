"""Masks too large to label at once: bits in memory, objects met band by band."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from medbench.metrics.arrays import Mask
from medbench.metrics.masks.components import Labels

BAND_ELEMENTS = 1 << 22
MOST_PARTS = 512


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
        """A window of the mask as booleans, by slices of rows, or of rows and columns."""
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
        octets = self.bits[rows, first // 8 : -(-last // 8)]
        pixels = np.unpackbits(octets, axis=1, count=last - first // 8 * 8)
        return pixels[:, first % 8 :].view(bool)


def bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of rows that cover a 2-D shape, each of about four million elements."""
    step = max(1, BAND_ELEMENTS // max(1, shape[1]))
    for begin in range(0, shape[0] if shape[1] else 0, step):
        yield slice(begin, min(begin + step, shape[0]))


def label_band(mask: Mask, connectivity: int) -> tuple[Labels, npt.NDArray[np.int32]]:
    """Label a band by itself; the same mask gives the same labels.

    Columns without a pixel of the mask separate its parts, and rows those of a part, which are labelled by
    themselves; where there are so many of them that this costs more, all columns are taken together.

    Returns:
        Labels ``(rows, width)``; for each from 0 on: first column, first row, width, height, pixels. The row
        of 0, the background, is all zeros.
    """
    labels = np.zeros(mask.shape, np.int32)
    boxes = [np.zeros((1, 5), np.int32)]
    count = 1
    for place, own, stats in _parts(mask, connectivity):
        labels[place] = own if count == 1 else np.where(own, own + (count - 1), 0)
        boxes.append(stats)
        count += len(stats)
    return labels, np.concatenate(boxes)


def _parts(
    mask: Mask, connectivity: int
) -> Iterator[tuple[tuple[slice, slice], npt.NDArray[np.int32], npt.NDArray[np.int32]]]:
    """Place, labels from 1 on, and what :func:`label_band` tells of each, between empty columns and rows."""
    import cv2

    band = np.ascontiguousarray(mask).view(np.uint8)
    parts = _runs(np.asarray(band.any(axis=0)))
    for columns in parts if len(parts) <= MOST_PARTS else [slice(0, band.shape[1])]:
        strip = np.ascontiguousarray(band[:, columns])
        for rows in _runs(np.asarray(strip.any(axis=1))):
            part = strip[rows]
            count, own = cv2.connectedComponents(part, connectivity=connectivity, ltype=cv2.CV_32S)
            stats = _of_one(part) if count == 2 else _of_several(part, connectivity)
            stats[:, :2] += (columns.start, rows.start)
            yield (rows, columns), np.asarray(own, np.int32), stats


def _of_one(part: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """What :func:`label_band` tells of the only object of a part, which reaches its first and last row."""
    columns = np.flatnonzero(part.any(axis=0))
    first, last = int(columns[0]), int(columns[-1])
    return np.array([[first, 0, last + 1 - first, len(part), np.count_nonzero(part)]], np.int32)


def _of_several(part: npt.NDArray[np.uint8], connectivity: int) -> npt.NDArray[np.int32]:
    """As :func:`_of_one` of all objects of a part, which OpenCV counts pixel by pixel."""
    import cv2

    stats = cv2.connectedComponentsWithStats(part, connectivity=connectivity, ltype=cv2.CV_32S)[2]
    return np.asarray(stats[1:], np.int32)


def _runs(line: Mask) -> list[slice]:
    """Where the runs of true elements lie."""
    changes = np.flatnonzero(np.diff(np.pad(line, 1).view(np.int8)))
    return list(map(slice, changes[::2].tolist(), changes[1::2].tolist()))


class BandedObjects:
    """Connected components of a mask that is added band by band, from the top.

    Args:
        connectivity: 8 or 4.
    """

    def __init__(self, connectivity: int = 8) -> None:
        self.connectivity = connectivity
        self.sizes: list[int] = [0]
        self.boxes: list[tuple[int, int, int, int]] = [(0, 0, 0, 0)]
        self.next_row = 0
        self._touching: list[npt.NDArray[np.int64]] = []
        self._last: npt.NDArray[np.int64] | None = None

    def add(self, mask: Mask) -> tuple[Labels, int]:
        """Show the next band.

        Returns:
            Labels of the band, ``(rows, width)`` with numbers of its own, and what to add to those above 0 to
            get the numbers of the whole mask.
        """
        labels, stats = label_band(mask, self.connectivity)
        return labels, self._join(stats[1:], labels[0], labels[-1], len(labels))

    def see(self, mask: Mask) -> int:
        """Show the next band where its labels are not wanted; what :meth:`add` says of their numbers."""
        top, bottom = (np.zeros(mask.shape[1], np.int32) for _ in range(2))
        boxes = [np.zeros((0, 5), np.int32)]
        count = 0
        for (rows, columns), own, stats in _parts(mask, self.connectivity):
            for row, edge, meets in (
                (own[0], top, not rows.start),
                (own[-1], bottom, rows.stop == len(mask)),
            ):
                if meets:
                    edge[columns] = np.where(row, row + count, 0)
            boxes.append(stats)
            count += len(stats)
        return self._join(np.concatenate(boxes), top, bottom, len(mask))

    def _join(
        self,
        stats: npt.NDArray[np.int32],
        top: npt.NDArray[np.int32],
        bottom: npt.NDArray[np.int32],
        rows: int,
    ) -> int:
        """Take the objects of a band, whose first and last rows of labels meet its neighbours'."""
        first = len(self.sizes)
        for left, above, width, height, size in stats.tolist():
            row = above + self.next_row
            self.boxes.append((row, left, row + height, left + width))
            self.sizes.append(size)
        numbers = [np.where(edge > 0, edge.astype(np.int64) + (first - 1), 0) for edge in (top, bottom)]
        if self._last is not None:
            self._sew(self._last, numbers[0])
        self._last = numbers[1]
        self.next_row += rows
        return first - 1

    def _sew(self, above: npt.NDArray[np.int64], below: npt.NDArray[np.int64]) -> None:
        border = np.pad(above, 1)
        for shift in range(3) if self.connectivity == 8 else (1,):
            touching = border[shift : shift + len(below)]
            both = (touching > 0) & (below > 0)
            pairs = np.unique((touching[both] << 32) | below[both])
            self._touching.append(np.stack([pairs >> 32, pairs & 0xFFFFFFFF], axis=1))

    def roots(self) -> npt.NDArray[np.int64]:
        """For each number so far the smallest number of the same object; 0 stands for none."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        count = len(self.sizes)
        pairs = np.concatenate([np.empty((0, 2), np.int64), *self._touching])
        graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
        _, component = connected_components(graph, directed=False)
        _, smallest = np.unique(component, return_index=True)
        return np.asarray(smallest[component], np.int64)

    def whole_sizes(self) -> dict[int, int]:
        """Pixels of each whole object, by its root."""
        roots = self.roots()
        total = np.zeros(len(roots), np.int64)
        np.add.at(total, roots, self.sizes)
        return {int(root): int(total[root]) for root in np.unique(roots[1:])}

    def whole_boxes(self) -> dict[int, tuple[int, int, int, int]]:
        """First row and column, and last (exclusive) row and column of each whole object, by its root."""
        roots, boxes = self.roots(), np.array(self.boxes, np.int64)
        low, high = boxes[:, :2].copy(), boxes[:, 2:].copy()
        np.minimum.at(low, roots, boxes[:, :2])
        np.maximum.at(high, roots, boxes[:, 2:])
        corners = np.concatenate([low, high], axis=1)
        return {int(root): tuple(corners[root].tolist()) for root in np.unique(roots[1:])}
