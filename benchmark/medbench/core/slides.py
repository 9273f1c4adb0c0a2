"""Pictures that do not fit in memory: what a predictor gets of one, and what it answers."""

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
        factor: pixels of the finest level a pixel at the working level, along each side.
        shape: height and width at the working level in pixels.
    """

    path: Path
    factor: int
    shape: tuple[int, int]


@dataclass(frozen=True, slots=True)
class SlideSettings:
    """How slides are predicted; lengths are pixels at the working level.

    Attributes:
        patch_px: side of the patches that networks learn from; resized to the network's own picture size.
        tile_px: side of a tile as the network sees it; 0 is that of the patches.
        margin_px: context on each side of a tile that is predicted and thrown away; at least the radius of
            what the network sees around a pixel makes the result independent of the tiles.
        blend_px: at least so wide is the zone where neighbouring tiles are weighted into one another, as far
            as half of a tile allows.
        tissue: predict where there is tissue alone, 1 or 0.
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
        """Rows ``start`` to ``stop``, mapped; drop it to give the memory back."""
        size = (stop - start, self.shape[1])
        mapped: np.memmap = np.memmap(self.path, np.uint8, mode, start * self.shape[1], size)  # type: ignore[call-overload]
        return mapped

    def bands(self) -> Iterator[tuple[int, int]]:
        """First and last (exclusive) rows of bands of about eight megabytes, the same at every call."""
        step = max(1, STRIP_BYTES // self.shape[1])
        for start in range(0, self.shape[0], step):
            yield start, min(start + step, self.shape[0])

    def strips(self) -> Iterator[npt.NDArray[np.uint8]]:
        """All rows from the top, copied band by band."""
        for start, stop in self.bands():
            yield np.array(self.window(start, stop))

    def allocate(self) -> None:
        """Make the file, all zeros."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "wb") as stream:
            stream.truncate(self.shape[0] * self.shape[1])
