"""Blocks of an image that are made once for all threads, of which the last stay in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


class KeptBlocks:
    """The image of a lattice of blocks, which may go on beyond its first row and column.

    Args:
        make: gives a block ``(rows, columns[, channels])`` by its row and column in the lattice; called
            without a lock, for a block that is not in memory.
        side: rows and columns of a block; those at the end of the image may have fewer.
        most_bytes: of the blocks in memory.
    """

    def __init__(self, make: Callable[[int, int], Pixels], side: tuple[int, int], most_bytes: int) -> None:
        self.make = make
        self.side = side
        self.most_bytes = most_bytes
        self._blocks: OrderedDict[tuple[int, int], Future[Pixels]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def block(self, row: int, column: int) -> Pixels:
        """A block, made once for all threads; not to be written to."""
        key = row, column
        with self._lock:
            future = self._blocks.get(key)
            mine = future is None
            if future is None:
                future = self._blocks[key] = Future()
            self._blocks.move_to_end(key)
        if mine:
            self._fill(key, future)
        return future.result()

    def _fill(self, key: tuple[int, int], future: Future[Pixels]) -> None:
        try:
            values = self.make(*key)
        except BaseException as error:  # noqa: BLE001 - threads that wait for this block must hear of it
            with self._lock:
                self._blocks.pop(key, None)
            future.set_exception(error)
            return
        future.set_result(values)
        with self._lock:
            self._bytes += values.nbytes
            while self._bytes > self.most_bytes:
                ready = (other for other, block in self._blocks.items() if other != key and block.done())
                oldest = next(ready, None)
                if oldest is None:
                    break
                self._bytes -= self._blocks.pop(oldest).result().nbytes

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> Pixels:
        """A region by first and last (exclusive) row and column; not to be written to."""
        height, width = self.side
        first, last = rows[0] // height, -(-rows[1] // height)
        left, right = columns[0] // width, -(-columns[1] // width)
        if (last - first, right - left) == (1, 1):
            block = self.block(first, left)
            return block[
                rows[0] - first * height : rows[1] - first * height,
                columns[0] - left * width : columns[1] - left * width,
            ]
        region: Pixels | None = None
        for row in range(first, last):
            for column in range(left, right):
                block = self.block(row, column)
                if region is None:
                    size = rows[1] - rows[0], columns[1] - columns[0]
                    region = np.empty((*size, *block.shape[2:]), np.uint8)
                _copy(block, (row * height - rows[0], column * width - columns[0]), region)
        assert region is not None
        return region


def _copy(block: Pixels, corner: tuple[int, int], region: Pixels) -> None:
    """Copy what of a block lies in a region, whose first element the block's corner is given from."""
    own, target = [], []
    for start, length, end in zip(corner, block.shape, region.shape, strict=False):
        first, last = max(start, 0), min(start + length, end)
        own.append(slice(first - start, last - start))
        target.append(slice(first, last))
    region[target[0], target[1]] = block[own[0], own[1]]
