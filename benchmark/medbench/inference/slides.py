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
from medbench.inference.enlarging import above_half
from medbench.inference.mask_filters import clean
from medbench.inference.predictor import NetworkPredictor, foreground_255
from medbench.inference.tile_reading import TileReader
from medbench.inference.tiles import ONE, TileGrid, tile_grid, wanted_tiles
from medbench.inference.tissue import CELL, tissue_mask
from medbench.io.slides import SlideImage, open_slide

CPU_BATCH_PIXELS = 1 << 20
MOST_THREADS = 4
"""That read tiles or enlarge bands at once: each holds copies of its own, so memory grows with them."""
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
        reader = TileReader(image, grid, contract)
        plan = [
            [(row, column) for column in batch]
            for row in range(first, len(batches))
            for batch in batches[row]
        ]
        ahead = int(self.network.device.type != "cpu")

        def prepare(row: int, column: int) -> npt.NDArray[np.float32]:
            return contract.prepare(reader.read(row, column)[np.newaxis])

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

        def threshold(band: tuple[int, int]) -> None:
            start, stop = band
            first, inside = above_half(stored, grid, start, stop)
            if not inside.size:
                return
            window = mask.window(start, stop, "r+")
            window[:, first : first + inside.shape[1]] = inside
            _blank(window, tissue, start)
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


def _blank(window: Band, tissue: npt.NDArray[np.bool_], start: int) -> None:
    """Set pixels to 0 where there is no tissue, in rows of a mask that begin with row ``start``."""
    row = start
    while row < start + len(window):
        cells = min(row // CELL, len(tissue) - 1)
        stop = start + len(window) if cells + 1 == len(tissue) else (cells + 1) * CELL
        outside = np.flatnonzero(np.diff(np.pad(~tissue[cells], 1).view(np.int8))) * CELL
        if outside.size and outside[-1] == tissue.shape[1] * CELL:
            outside[-1] = max(window.shape[1], int(outside[-1]))
        for first, last in zip(outside[::2].tolist(), outside[1::2].tolist(), strict=True):
            window[row - start : stop - start, first:last] = 0
        row = stop


def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(usable_cores(), MOST_THREADS))
