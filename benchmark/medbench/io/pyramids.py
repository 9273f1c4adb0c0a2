"""Writing of slides and slide masks as tiled, compressed TIFF pyramids, from strips of rows."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.files import atomic_path

TILE = 512
SMALLEST_LEVEL = 1024
JPEG_QUALITY = 85
_BUFFER_BYTES = 32 << 20
_BIG_BYTES = 3 << 30

Pixels = npt.NDArray[np.uint8]


def level_shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Shapes of a pyramid whose levels halve until both sides are at most 1024.

    >>> level_shapes((3000, 2001))
    [(3000, 2001), (1500, 1001), (750, 501)]
    """
    shapes = [shape]
    while max(shapes[-1][:2]) > SMALLEST_LEVEL:
        last = shapes[-1]
        shapes.append((-(-last[0] // 2), -(-last[1] // 2), *last[2:]))
    return shapes


def write_pyramid(
    path: Path,
    strips: Iterable[Pixels],
    shape: tuple[int, ...],
    *,
    compression: Literal["jpeg", "deflate", "lzw"] = "deflate",
    tile: int = TILE,
) -> None:
    """Write an image or mask of any size with memory for a few rows of tiles, atomically.

    Coarser levels are averages of 2 × 2 pixels; those of a mask are set to 0 or 255, whichever is nearer.
    Equal strips give equal bytes, however the rows are divided among them.

    Args:
        path: the TIFF file; BigTIFF where it may exceed 4 GB.
        strips: rows from the top, ``(rows, width, 3)`` or, for a mask of 0 and 255, ``(rows, width)``.
        shape: ``(height, width, 3)`` or ``(height, width)``.
        compression: of the tiles; ``jpeg`` for images alone.
        tile: side of the tiles, a multiple of 16.

    Raises:
        ValueError: when the strips do not add up to ``shape``.
    """
    import tifffile

    shapes = level_shapes(shape)
    is_rgb = len(shape) == 3
    options: dict[str, Any] = {
        "dtype": np.uint8,
        "tile": (tile, tile),
        "photometric": "rgb" if is_rgb else "minisblack",
        "compression": compression,
        "compressionargs": {"level": JPEG_QUALITY} if compression == "jpeg" else None,
        "buffersize": _BUFFER_BYTES,
        "maxworkers": 2,
        "metadata": None,
    }
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(atomic_path(path))
        stores = [stack.enter_context(tempfile.TemporaryFile(dir=path.parent)) for _ in shapes[1:]]
        big = int(np.prod(shape)) > _BIG_BYTES
        with tifffile.TiffWriter(temporary, bigtiff=big) as writer:
            rows: Iterable[Pixels] = strips
            for index, level in enumerate(shapes):
                below = stores[index] if index < len(stores) else None
                writer.write(
                    _tiles(rows, level, tile, below),
                    shape=level,
                    subifds=len(stores) if index == 0 else None,
                    subfiletype=0 if index == 0 else 1,
                    **options,
                )
                if below is not None:
                    rows = _stored_rows(below, shapes[index + 1], tile)


def _tiles(
    rows: Iterable[Pixels], shape: tuple[int, ...], tile: int, below: IO[bytes] | None
) -> Iterator[Pixels]:
    """Tiles in reading order, filled up with zeros at the border; rows of the next level go to ``below``."""
    for band in rebanded(rows, shape, tile):
        if below is not None:
            below.write(_halved(band).tobytes())
        strip = np.zeros((tile, -(-shape[1] // tile) * tile, *shape[2:]), np.uint8)
        strip[: len(band), : shape[1]] = band
        for column in range(0, strip.shape[1], tile):
            yield np.ascontiguousarray(strip[:, column : column + tile])


def rebanded(rows: Iterable[Pixels], shape: tuple[int, ...], height: int) -> Iterator[Pixels]:
    """Bands of ``height`` rows from strips of any height; the last band may have fewer rows.

    Raises:
        ValueError: when there are more or fewer rows than ``shape`` says, or of another width.

    >>> [len(band) for band in rebanded([np.zeros((5, 2), np.uint8)] * 2, (10, 2), 4)]
    [4, 4, 2]
    """
    band = np.empty((height, *shape[1:]), np.uint8)
    n_rows = first = 0
    for strip in rows:
        if strip.shape[1:] != shape[1:] or first + n_rows + len(strip) > shape[0]:
            raise ValueError(f"rows of shape {strip.shape} do not add up to {shape}")
        offset = 0
        while offset < len(strip):
            more = min(height - n_rows, len(strip) - offset)
            band[n_rows : n_rows + more] = strip[offset : offset + more]
            n_rows, offset = n_rows + more, offset + more
            if n_rows == height:
                yield band
                first, n_rows = first + height, 0
    if first + n_rows != shape[0]:
        raise ValueError(f"{first + n_rows} rows where {shape[0]} were announced")
    if n_rows:
        yield band[:n_rows]


def _halved(band: Pixels) -> Pixels:
    """Averages of 2 × 2 pixels, the last row or column repeated where there is none; masks stay 0 and 255."""
    import cv2

    odd = [(0, side % 2) for side in band.shape[:2]] + [(0, 0)] * (band.ndim - 2)
    even = np.pad(band, odd, mode="edge") if band.shape[0] % 2 or band.shape[1] % 2 else band
    small: Any = cv2.resize(even, (even.shape[1] // 2, even.shape[0] // 2), interpolation=cv2.INTER_AREA)
    if band.ndim == 2:
        small = np.where(small > 127, np.uint8(255), np.uint8(0))
    return np.asarray(small)


def _stored_rows(file: IO[bytes], shape: tuple[int, ...], height: int) -> Iterator[Pixels]:
    file.seek(0)
    row = int(np.prod(shape[1:]))
    for start in range(0, shape[0], height):
        count = min(height, shape[0] - start)
        yield np.frombuffer(file.read(count * row), np.uint8).reshape(count, *shape[1:])
