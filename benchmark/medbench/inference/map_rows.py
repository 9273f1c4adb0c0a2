"""The map of a slide, written row of tiles after row, which goes on after an interruption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.core.files import atomic_path
from medbench.core.slides import StoredMask
from medbench.inference.tiles import ONE, TileGrid

_SHIFT = 16

Band = npt.NDArray[np.uint8]


class MapRows:
    """The rows of a slide's map that are finished in a folder, and the sums of the row that is not.

    Args:
        folder: of the slide, with the map and the state of the finished rows.
        grid: tiles of the slide.
        identity: of slide, settings and network; finished rows of another are not taken.
    """

    def __init__(self, folder: Path, grid: TileGrid, identity: str) -> None:
        self.grid = grid
        self.identity = identity
        self.stored = StoredMask(folder / "map.raw", grid.map_shape)
        self._state = folder / "state.npz"
        self.done, remainder = self._resumed()
        self._sums = self._next_row(remainder)

    def _resumed(self) -> tuple[int, npt.NDArray[np.uint32]]:
        if self._state.exists():
            with np.load(self._state, allow_pickle=False) as file:
                if str(file["identity"]) == self.identity:
                    return int(file["rows_done"]), file["carried"]
        self.stored.allocate()
        return 0, np.zeros((self.grid.blend, self.grid.map_shape[1]), np.uint32)

    def _next_row(self, remainder: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        sums = np.zeros((self.grid.span, self.grid.map_shape[1]), np.uint32)
        sums[: self.grid.blend] = remainder
        return sums

    def add(self, tiles: Band, columns: Sequence[int]) -> None:
        """Add tiles of the row, by their columns, to its weighted sums.

        Args:
            tiles: probabilities, 0 to 255, without margins, ``(tiles, span, span)``.
            columns: of the tiles.
        """
        grid, sums = self.grid, self._sums
        down = grid.weights(self.done, grid.counts[0])
        for column, tile in zip(columns, tiles, strict=True):
            across, left = grid.weights(column, grid.counts[1]), column * grid.step
            width = min(grid.span, sums.shape[1] - left)
            product = tile[:, :width].astype(np.uint32)
            product *= down[:, None]
            product *= across[None, :width]
            sums[:, left : left + width] += product

    def end_row(self) -> None:
        """Write the row to the map, then what the next row needs to go on from it."""
        grid, sums = self.grid, self._sums
        is_last = self.done + 1 == grid.counts[0]
        sums_of_rows = sums if is_last else sums[: grid.step]
        first = self.done * grid.step
        height = min(len(sums_of_rows), self.stored.shape[0] - first)
        if height > 0:
            window = self.stored.window(first, first + height, "r+")
            window[:] = (sums_of_rows[:height] + np.uint32(ONE * ONE // 2)) >> _SHIFT
            window.flush()
        remainder = np.zeros((grid.blend, sums.shape[1]), np.uint32)
        if not is_last:
            remainder[:] = sums[grid.step : grid.step + grid.blend]
        self.done += 1
        with atomic_path(self._state) as temporary:
            np.savez(temporary, identity=self.identity, rows_done=self.done, carried=remainder)
        self._sums = self._next_row(remainder)
