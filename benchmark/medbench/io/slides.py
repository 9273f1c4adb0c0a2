"""Reading of regions of whole slides, pyramidal or flat TIFF files, at a working level.

Every compression of tifffile is read (JPEG, LZW, deflate …). Tiles of a tiled page are decoded by the thread
that reads them, other layouts by tifffile's zarr view; the blocks read last stay in memory up to a limit, so
that neighbouring regions do not decode them again.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.io.gate.admission import entrance
from medbench.io.gate.expected import Expected
from medbench.io.gate.image_header import falls
from medbench.io.gate.refusal import corrupt
from medbench.io.gate.tiff_pixels import CODED, check_coded_size
from medbench.io.kept_blocks import KeptBlocks

CACHE_BYTES = 96 << 20
LARGEST_BLOCK_BYTES = 1 << 30
BLOCK_SIDE = 512
FEW_BYTES, MOST_PLAIN = 2048, 8
_LOSSLESS = (1, 5, 8, 32773, 32946, 34925, 50000)  # none, LZW, deflate, PackBits, LZMA, Zstandard

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SlideFacts:
    """Sizes of a slide by its header.

    Attributes:
        path: the file.
        shape: height and width of the finest level in pixels.
        levels: height and width of every level, the finest first.
        channels: 3 for an image, 1 for a mask.
        lossless: whether its pixels are those that were written.
    """

    path: Path
    shape: tuple[int, int]
    levels: tuple[tuple[int, int], ...]
    channels: int
    lossless: bool = True

    def working_shape(self, factor: int) -> tuple[int, int]:
        """Height and width at a level that is ``factor`` times coarser, rounded, halves to even."""
        return max(1, round(self.shape[0] / factor)), max(1, round(self.shape[1] / factor))


def slide_facts(path: Path, *, channels: int, expected: Expected | None = None) -> SlideFacts:
    """Read a slide's header and see that its pixels can be read.

    Args:
        path: a TIFF file.
        channels: 3 for an image, 1 for a mask.
        expected: whose file it is, and what it may take.

    Raises:
        MedbenchError: ``file.unreadable``, ``file.corrupt`` for what is no TIFF file or ends early, or
            ``data.slide_format`` for other bit depths, channels, or one compressed block that is too large.
    """
    with _opened(path, expected) as file:
        return _facts(path, file, channels)


@contextlib.contextmanager
def _opened(path: Path, expected: Expected | None) -> Iterator[Any]:
    import tifffile

    with entrance(path, "slide", expected=expected) as source:
        assert source.stream is not None
        try:
            file = tifffile.TiffFile(source.stream)
        except (
            tifffile.TiffFileError, OSError, ValueError, IndexError, KeyError, TypeError, struct.error,
        ) as error:  # fmt: skip
            raise corrupt("its header is damaged") from error
        with file:
            file.filehandle.set_lock(True)
            yield file


def _facts(path: Path, file: Any, channels: int) -> SlideFacts:
    try:
        levels = file.series[0].levels
        sizes, n_channels, dtype = _sizes(levels)
        ends = [
            (offset + count)
            for level in levels
            for page in level.pages
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise MedbenchError(
            "file.corrupt", f"{path}: its header is damaged.", "Copy the file again from its source."
        ) from error
    size = path.stat().st_size
    if not sizes or max(ends, default=0) > size:
        raise MedbenchError(
            "file.corrupt",
            f"{path}: ends early ({size:,} of at least {max(ends, default=0):,} bytes).",
            "Copy the file again from its source.",
        )
    due = {3: "8-bit RGB slide", 1: "8-bit single-channel mask"}[channels]
    if dtype != np.uint8 or n_channels != channels:
        raise MedbenchError(
            "data.slide_format",
            f"{path}: has {counted(n_channels, 'channel')} of {dtype}, expected an {due}.",
            "Convert it, or copy the original again.",
        )
    page = file.series[0].levels[0].pages[0]
    if channels == 1 and int(page.photometric) == 0:
        raise MedbenchError(
            "data.white_is_zero",
            f"{path}: says that 0 is white, so what its values mean is ambiguous.",
            "Save the mask with photometric='minisblack'.",
        )
    if channels == 1 and int(page.photometric) == 3 and falls(*np.asarray(page.colormap).T[:2].tolist()):
        raise MedbenchError(
            "data.white_is_zero",
            f"{path}: has a palette that shows 0 brighter than 1, so what its values mean is ambiguous.",
            "Save the mask as 8-bit grey without a palette.",
        )
    if channels == 1 and page.tags.valueof(274, 1) in range(2, 9):
        raise MedbenchError(
            "data.turned",
            f"{path}: has an orientation tag, by which some readers turn the image and others do not.",
            "Save the mask in the orientation of its slide, without the tag.",
        )
    block = int(np.prod(page.chunks)) * dtype.itemsize
    if block > LARGEST_BLOCK_BYTES and page.compression != 1:
        raise MedbenchError(
            "data.slide_format",
            f"{path}: is one compressed block of {block >> 20:,} MiB, which can only be read as a whole.",
            "Write it in tiles, e.g. with medbench.io.pyramids.write_pyramid or vips tiffsave --tile.",
        )
    return SlideFacts(path, sizes[0], tuple(sizes), channels, int(page.compression) in _LOSSLESS)


def _sizes(levels: Any) -> tuple[list[tuple[int, int]], int, np.dtype[Any]]:
    """Height and width of each level, number of channels, and type."""
    sizes, channels = [], 1
    for level in levels:
        size = dict(zip(level.axes, level.shape, strict=True))
        sizes.append((size.pop("Y"), size.pop("X")))
        channels = size.pop("S", 1)
        if any(length != 1 for length in size.values()):
            raise ValueError("more than one image")
    return sizes, channels, np.dtype(levels[0].dtype)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The blocks of one level: tiles of ``page``, or parts of ``array`` where ``page`` is ``None``.

    Tiles of few bytes, such as those of one value, occur many times: the last are decoded once.
    """

    array: Any
    page: Any
    axes: str
    path: Path
    side: tuple[int, int]
    shape: tuple[int, int]
    plain: dict[bytes, Pixels] = field(default_factory=dict)

    def block(self, row: int, column: int) -> Pixels:
        """A block, ``(rows, columns[, 3])``."""
        window = {
            "Y": slice(row * self.side[0], min((row + 1) * self.side[0], self.shape[0])),
            "X": slice(column * self.side[1], min((column + 1) * self.side[1], self.shape[1])),
        }
        try:
            if self.page is not None:
                tile = self._tile(row * -(-self.shape[1] // self.side[1]) + column)
                return np.ascontiguousarray(tile[: _length(window["Y"]), : _length(window["X"])])
            values = np.asarray(self.array[tuple(window.get(axis, slice(None)) for axis in self.axes)])
        except Exception as error:
            where = window["Y"]
            raise MedbenchError(
                "file.corrupt",
                f"{self.path}: rows {where.start} to {where.stop} do not decode ({type(error).__name__}).",
                "Copy the file again from its source.",
            ) from error
        kept_axes = [axis for axis in "YXS" if axis in self.axes]
        others = tuple(index for index, axis in enumerate(self.axes) if axis not in "YXS")
        values = np.squeeze(values, axis=others)
        order = [axis for axis in self.axes if axis in "YXS"]
        return np.ascontiguousarray(values.transpose([order.index(axis) for axis in kept_axes]))

    def _tile(self, index: int) -> Pixels:
        """A tile of the page, ``(rows, columns[, 3])``; a tile without bytes is background."""
        page, file = self.page, self.page.parent.filehandle
        channels = page.samplesperpixel
        if not page.databytecounts[index]:
            return np.full((*self.side, *([channels] if channels > 1 else [])), page.nodata, np.uint8)
        with file.lock:
            file.seek(page.dataoffsets[index])
            content = file.read(page.databytecounts[index])
        plain_tile = self.plain.get(content)
        if plain_tile is not None:
            return plain_tile
        if page.compression in CODED:
            check_coded_size(int(page.compression), content, self.side, channels)
        values = page.decode(content, index, jpegtables=page.jpegtables)[0][0]
        tile = np.asarray(values if channels > 1 else values[..., 0], np.uint8)
        if len(content) <= FEW_BYTES and len(self.plain) < MOST_PLAIN:
            self.plain[content] = tile
        return tile


class SlideImage:
    """An open slide or mask at its working level; made by :func:`open_slide`."""

    def __init__(self, facts: SlideFacts, file: Any, factor: int) -> None:
        self.facts = facts
        self.factor = factor
        self.shape = facts.working_shape(factor)
        self._file = file
        self._levels: dict[int, KeptBlocks] = {}
        coarser = [
            index
            for index, size in enumerate(facts.levels)
            if factor > 1 and index > 0 and facts.channels == 3 and _fits(size, self.shape)
        ]
        self._level = coarser[0] if coarser else 0
        self._shrink = 1 if coarser else factor

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> Pixels:
        """A region at the working level: first and last (exclusive) row and column, within the slide.

        Returns:
            ``(rows, columns, 3)`` for an image, ``(rows, columns)`` for a mask; 2 × 2 pixels averaged where
            the file has no level of the working size.

        Raises:
            MedbenchError: ``file.corrupt`` where pixels cannot be decoded.
        """
        return self._averaged(self._level, self._shrink, rows, columns)

    def thumbnail(self, step: int) -> Pixels:
        """The whole slide, one pixel for ``step`` × ``step`` at the working level, read strip by strip."""
        import cv2

        step_full = step * self.factor
        level = max(
            index
            for index, size in enumerate(self.facts.levels)
            if self.facts.shape[0] / size[0] <= step_full + 1
        )
        size = self.facts.levels[level]
        small = -(-self.shape[0] // step), -(-self.shape[1] // step)
        strips = []
        for row in range(0, small[0], max(1, 256 * small[0] // max(256, size[0]))):
            stop = min(small[0], row + max(1, 256 * small[0] // max(256, size[0])))
            rows = row * size[0] // small[0], max(row * size[0] // small[0] + 1, stop * size[0] // small[0])
            strip = self._blocks(level).read(rows, (0, size[1]))
            strips.append(cv2.resize(strip, (small[1], stop - row), interpolation=cv2.INTER_AREA))
        return np.concatenate(strips)

    def _averaged(self, level: int, shrink: int, rows: tuple[int, int], columns: tuple[int, int]) -> Pixels:
        import cv2

        size = self.facts.levels[level]
        spans = [
            (min(start * shrink, end - 1), min(stop * shrink, end))
            for (start, stop), end in zip((rows, columns), size, strict=True)
        ]
        image = self._blocks(level).read(spans[0], spans[1])
        height, width = (rows[1] - rows[0]) * shrink, (columns[1] - columns[0]) * shrink
        if image.shape[:2] != (height, width):
            lacking = [(0, height - image.shape[0]), (0, width - image.shape[1])]
            image = np.pad(image, lacking + [(0, 0)] * (image.ndim - 2), mode="edge")
        if shrink == 1:
            return image
        return np.asarray(cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA))

    @property
    def block_shape(self) -> tuple[int, int]:
        """Rows and columns of the file's blocks at the working level, which are decoded as a whole."""
        height, width = self._blocks(self._level).side
        return max(1, height // self._shrink), max(1, width // self._shrink)

    def _blocks(self, level: int) -> KeptBlocks:
        if level not in self._levels:
            series, path = self._file.series[0].levels[level], self.facts.path
            page, shape = series.pages[0], self.facts.levels[level]
            if len(series.pages) == 1 and page.is_tiled and page.axes in ("YX", "YXS"):
                blocks = _Blocks(None, page, series.axes, path, (page.tilelength, page.tilewidth), shape)
            else:
                import zarr

                array: Any = zarr.open(self._file.series[0].aszarr(level=level), mode="r")
                chunk = dict(zip(series.axes, array.chunks, strict=True))
                side = (
                    min(shape[0], _multiple(chunk["Y"], 1 if chunk["X"] < shape[1] else BLOCK_SIDE // 4)),
                    min(shape[1], chunk["X"]),
                )
                blocks = _Blocks(array, None, series.axes, path, side, shape)
            self._levels.setdefault(level, KeptBlocks(blocks.block, blocks.side, CACHE_BYTES))
        return self._levels[level]


def _length(part: slice) -> int:
    return int(part.stop - part.start)


def _fits(size: tuple[int, int], target: tuple[int, int]) -> bool:
    """Whether a level has the size ``target``, up to one pixel of rounding."""
    return all(abs(own - other) <= 1 for own, other in zip(size, target, strict=True))


def _multiple(unit: int, least: int) -> int:
    """The smallest multiple of ``unit`` from ``least`` on."""
    return unit * max(1, -(-least // unit))


@contextlib.contextmanager
def open_slide(
    path: Path, *, factor: int = 1, channels: int = 3, expected: Expected | None = None
) -> Iterator[SlideImage]:
    """Open a slide (or, with one channel, a mask) at the level that is ``factor`` (1 or 2) times coarser.

    Raises:
        MedbenchError: as :func:`slide_facts`.
    """
    with _opened(path, expected) as file:
        yield SlideImage(_facts(path, file, channels), file, factor)


def microns_per_pixel(path: Path) -> float | None:
    """Size of a pixel of the finest level in micrometres by TiffSlide; ``None`` where the file has none."""
    from tiffslide import PROPERTY_NAME_MPP_X, TiffSlide

    try:
        with entrance(path, "slide") as file:
            assert file.stream is not None
            with TiffSlide(file.stream) as slide:
                value = slide.properties.get(PROPERTY_NAME_MPP_X)
    except Exception:  # noqa: BLE001 - vendors' private tags fail in many ways; the size is extra knowledge
        return None
    return float(value) if value else None
