"""The predictor of whole slides, with bounded memory, which resumes after every row of tiles.

The probability of the foreground, 0 to 255, is written to a map on disk at the network's resolution; only one
row of tiles is in memory. The complete map is resized to the working level, thresholded at one half, limited
to tissue and cleaned, band by band.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.core.files import atomic_path, read_json, sha256_json, write_json
from medbench.core.machine import usable_cores
from medbench.core.progress import Progress, SilentProgress
from medbench.core.sample import Prediction, Sample
from medbench.core.slides import Slide, SlideSettings, StoredMask
from medbench.inference.mask_filters import clean
from medbench.inference.predictor import NetworkPredictor, foreground_255
from medbench.inference.tiles import ONE, TileGrid, mirrored, tile_grid, wanted_tiles
from medbench.inference.tissue import CELL, tissue_mask
from medbench.io.slides import SlideImage, open_slide

CPU_BATCH_PIXELS = 1 << 20
MOST_THREADS = 4
"""That read tiles or enlarge bands at once: each holds copies of its own, so memory grows with them."""
_HALF = 127.5
_SHIFT = 16

Band = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _State:
    """State of an unfinished slide: finished rows of tiles, and sums that the next row continues."""

    rows_done: int
    carried: npt.NDArray[np.uint32]


class SlidePredictor:
    """A predictor that runs a 2-D network on slides tile by tile, and on other samples as the network's own.

    The same network, settings and slide give the same bytes, also after an interruption: finished rows of
    tiles are kept in ``work``, batches never cross rows, and overlaps are added in whole numbers. A network
    whose receptive field is within the margin gives the same mask for every size of tile.

    Args:
        network: has two classes, or a single channel of foreground logits.
        settings: tiles and cleaning.
        work: folder for unfinished slides, kept between calls; a temporary one if not given.
        progress: advanced by every tile.
    """

    def __init__(
        self,
        network: NetworkPredictor,
        settings: SlideSettings,
        *,
        work: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.network = network
        self.settings = settings
        self.progress = progress or SilentProgress()
        self.time_s: dict[str, float] = defaultdict(float)
        self._temporary = None if work else tempfile.TemporaryDirectory(prefix="medbench-slides-")
        self.work = work or Path(self._temporary.name if self._temporary else "")

    def predict(self, sample: Sample) -> Prediction:
        """The mask of a slide at its working level.

        Raises:
            MedbenchError: ``file.corrupt`` where pixels cannot be decoded, ``slide.tile`` or
                ``network.classes``.
        """
        if sample.slide is None:
            return self.network.predict(sample)
        folder = self.work / sample.case.id
        mask = StoredMask(folder / "mask.raw", sample.slide.shape)
        if not (folder / "done.json").exists() or not self._same(folder, sample.slide):
            grid = tile_grid(sample.slide.shape, self.settings, self.network.contract.size)
            with open_slide(sample.slide.path, factor=sample.slide.factor) as image:
                tissue = self._tissue(image)
                self._fill_map(image, grid, tissue, folder, sample)
            with self._timed("postprocess"):
                self._finish(grid, tissue, folder, mask)
            write_json(folder / "done.json", {"slide": self._identity(sample.slide)})
        return Prediction({"label_map": mask})

    def _tissue(self, image: SlideImage) -> npt.NDArray[np.bool_]:
        with self._timed("preprocess"):
            if self.settings.tissue:
                return tissue_mask(image.thumbnail(CELL))
            return np.ones((-(-image.shape[0] // CELL), -(-image.shape[1] // CELL)), bool)

    def _identity(self, slide: Slide) -> str:
        state = slide.path.stat()
        return sha256_json(
            [
                str(slide.path.resolve()), state.st_size, state.st_mtime_ns, slide.factor,
                dataclasses.asdict(self.settings), dataclasses.asdict(self.network.contract),
            ]
        )  # fmt: skip

    def _same(self, folder: Path, slide: Slide) -> bool:
        return bool(read_json(folder / "done.json")["slide"] == self._identity(slide))

    def _fill_map(
        self,
        image: SlideImage,
        grid: TileGrid,
        tissue: npt.NDArray[np.bool_],
        folder: Path,
        sample: Sample,
    ) -> None:
        """Predict the rows of tiles that the folder does not hold."""
        assert sample.slide is not None
        identity = self._identity(sample.slide)
        state = self._resumed(folder, grid, identity)
        tile_columns = list(wanted_tiles(grid, tissue, CELL))
        counts = [len(columns) for columns in tile_columns]
        self.progress.start_part(f"{sample.case.id} tiles", sum(counts), sum(counts[: state.rows_done]))
        rows, stored = grid.counts[0], StoredMask(folder / "map.raw", grid.map_shape)
        size = self._batch_size(grid)
        batches = [
            [columns[first : first + size] for first in range(0, len(columns), size)]
            for columns in tile_columns
        ]
        prepared = self._prepared(image, grid, batches, state.rows_done)
        for row in range(state.rows_done, rows):
            sums = np.zeros((grid.span, grid.map_shape[1]), np.uint32)
            sums[: grid.blend] = state.carried
            with ThreadPoolExecutor(1) as behind:
                added: Future[None] | None = None
                for columns in batches[row]:
                    tiles = self._predicted(next(prepared), grid)
                    if added is not None:
                        added.result()
                    added = behind.submit(self._add, sums, tiles, grid, row, columns)
                    self.progress.advance_part(len(columns))
                if added is not None:
                    added.result()
            last = row + 1 == rows
            rows_to_store = sums if last else sums[: grid.step]
            self._store(stored, rows_to_store, row * grid.step)
            carried = np.zeros_like(state.carried) if last else sums[grid.step : grid.step + grid.blend]
            state = _State(row + 1, np.ascontiguousarray(carried))
            self._keep(folder, state, identity)
        self.progress.finish_part()

    def _resumed(self, folder: Path, grid: TileGrid, identity: str) -> _State:
        path = folder / "state.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as file:
                if str(file["identity"]) == identity:
                    return _State(int(file["rows_done"]), file["carried"])
        StoredMask(folder / "map.raw", grid.map_shape).allocate()
        return _State(0, np.zeros((grid.blend, grid.map_shape[1]), np.uint32))

    @staticmethod
    def _keep(folder: Path, state: _State, identity: str) -> None:
        with atomic_path(folder / "state.npz") as temporary:
            np.savez(temporary, identity=identity, rows_done=state.rows_done, carried=state.carried)

    def _prepared(
        self, image: SlideImage, grid: TileGrid, batches: Sequence[Sequence[Sequence[int]]], first: int
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Prepared tiles of every batch from row ``first`` on.

        On an accelerator the next batch is read during the forward pass; on the CPU, whose cores are busy
        with the network then, batches are read in between.
        """
        contract = dataclasses.replace(self.network.contract, size=grid.tile)
        plan = [
            [(row, column) for column in batch]
            for row in range(first, len(batches))
            for batch in batches[row]
        ]
        ahead = int(self.network.device.type != "cpu")

        def prepare(row: int, column: int) -> npt.NDArray[np.float32]:
            return contract.prepare(read_mirrored(image, *grid.window(row, column))[np.newaxis])

        with _workers() as readers:
            submitted = ([readers.submit(prepare, *place) for place in batch] for batch in plan)
            waiting = deque(itertools.islice(submitted, ahead))
            for _ in plan:
                waiting.extend(itertools.islice(submitted, 1))
                with self._timed("preprocess"):
                    tiles = np.concatenate([tile.result() for tile in waiting.popleft()])
                yield tiles

    def _predicted(self, prepared: npt.NDArray[np.float32], grid: TileGrid) -> Band:
        """Probabilities of a batch of tiles, 0 to 255, without margins, ``(tiles, span, span)``."""
        with self._timed("forward"):
            inner = slice(grid.margin, grid.tile - grid.margin)
            return foreground_255(self.network.logits(prepared)[..., inner, inner])

    def _batch_size(self, grid: TileGrid) -> int:
        if self.network.device.type != "cpu":
            return self.network.batch_size
        return max(1, min(self.network.batch_size, CPU_BATCH_PIXELS // grid.tile**2))

    def _add(
        self, sums: npt.NDArray[np.uint32], tiles: Band, grid: TileGrid, row: int, columns: Sequence[int]
    ) -> None:
        """Add a batch of tiles to the sums of their row, while the network answers the next batch."""
        with self._timed("postprocess"):
            down = grid.weights(row, grid.counts[0])
            for column, tile in zip(columns, tiles, strict=True):
                across, left = grid.weights(column, grid.counts[1]), column * grid.step
                width = min(grid.span, sums.shape[1] - left)
                weighted = tile[:, :width].astype(np.uint32)
                weighted *= down[:, None]
                weighted *= across[None, :width]
                sums[:, left : left + width] += weighted

    def _store(self, stored: StoredMask, sums: npt.NDArray[np.uint32], first: int) -> None:
        with self._timed("postprocess"):
            height = min(len(sums), stored.shape[0] - first)
            if height > 0:
                window = stored.window(first, first + height, "r+")
                window[:] = (sums[:height] + np.uint32(ONE * ONE // 2)) >> _SHIFT
                window.flush()

    def _finish(self, grid: TileGrid, tissue: npt.NDArray[np.bool_], folder: Path, mask: StoredMask) -> None:
        """Resize the map to the working level, threshold and clean it."""
        stored = StoredMask(folder / "map.raw", grid.map_shape)
        mask.allocate()
        columns = np.minimum(np.arange(mask.shape[1]) // CELL, tissue.shape[1] - 1)

        def threshold(band: tuple[int, int]) -> None:
            start, stop = band
            rows = np.minimum(np.arange(start, stop) // CELL, tissue.shape[0] - 1)
            if not tissue[rows].any():
                return
            window = mask.window(start, stop, "r+")
            for first, part in parts_above_half(stored, grid, start, stop):
                inside = part[:, : mask.shape[1] - first]
                place = slice(first, first + inside.shape[1])
                inside &= tissue[rows][:, columns[place]]
                np.multiply(inside, np.uint8(255), out=window[:, place])
            window.flush()

        with _workers() as workers:
            deque(workers.map(threshold, mask.bands()), maxlen=0)
        clean(mask, min_object_px=self.settings.min_object_px, max_hole_px=self.settings.max_hole_px)

    @contextlib.contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.time_s[phase] += time.perf_counter() - started


def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(usable_cores(), MOST_THREADS))


def read_mirrored(image: SlideImage, rows: tuple[int, int], columns: tuple[int, int]) -> Band:
    """A region of a slide, mirrored beyond the slide's borders, ``(rows, columns, 3)``.

    Raises:
        MedbenchError: as :meth:`medbench.io.slides.SlideImage.read`.
    """
    import cv2

    down, across = mirrored(*rows, image.shape[0]), mirrored(*columns, image.shape[1])
    top, left = int(down.min()), int(across.min())
    region = image.read((top, int(down.max()) + 1), (left, int(across.max()) + 1))
    if region.shape[:2] == (len(down), len(across)) and down[0] == top and across[0] == left:
        return region
    before = max(0, top - rows[0]), max(0, left - columns[0])
    after = max(0, rows[1] - top - len(region)), max(0, columns[1] - left - region.shape[1])
    wide = cv2.copyMakeBorder(
        region, before[0], after[0], before[1], after[1], borderType=cv2.BORDER_REFLECT_101
    )
    first_row, first_column = rows[0] - top + before[0], columns[0] - left + before[1]
    return np.asarray(
        wide[first_row : first_row + len(down), first_column : first_column + len(across)], np.uint8
    )


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
