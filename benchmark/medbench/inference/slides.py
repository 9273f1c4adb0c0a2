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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.files import sha256_json
from medbench.core.machine import usable_cores
from medbench.core.progress import Progress, SilentProgress
from medbench.core.sample import Prediction, Sample
from medbench.core.slides import ListedMask, Slide, SlideSettings, StoredMask
from medbench.inference.enlarging import above_half, is_in_squares
from medbench.inference.map_objects import MapObjects
from medbench.inference.map_rows import MapRows
from medbench.inference.mask_filters import clean
from medbench.inference.predictor import NetworkPredictor, foreground_255
from medbench.inference.tile_reading import TileReader
from medbench.inference.tiles import TileGrid, tile_grid, wanted_tiles
from medbench.inference.tissue import CELL, tissue_mask
from medbench.io.slides import SlideImage, open_slide

CPU_BATCH_PIXELS = 1 << 20
READ_PIXELS = 1 << 21
"""Of prepared tiles that are read one after another before the network goes on, on the CPU."""
MOST_THREADS = 4
"""That read tiles or enlarge bands at once: each holds copies of its own, so memory grows with them."""
MOST_BEHIND = 16
"""Batches and rows that are not in the map yet, as where the disk is slow."""

Band = npt.NDArray[np.uint8]


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
        slide, folder = sample.slide, self.work / sample.case.id
        grid = tile_grid(slide.shape, self.settings, self.network.contract.size)
        with open_slide(slide.path, factor=slide.factor) as image:
            tissue = self._tissue(image)
            self._fill_map(image, grid, tissue, folder, sample)
        with self._timed("postprocess"):
            return Prediction({"label_map": self._finish(grid, tissue, folder)})

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
        rows = MapRows(folder, grid, self._identity(sample.slide))
        tile_columns = list(wanted_tiles(grid, tissue, CELL))
        counts = [len(columns) for columns in tile_columns]
        self.progress.start_part(f"{sample.case.id} tiles", sum(counts), sum(counts[: rows.done]))
        size = self._batch_size(grid)
        batches = [
            [columns[first : first + size] for first in range(0, len(columns), size)]
            for columns in tile_columns
        ]
        first = rows.done
        inputs = self._prepared(image, grid, batches, first)
        with ThreadPoolExecutor(1) as behind:
            waiting: deque[Future[None]] = deque()
            for row in range(first, grid.counts[0]):
                for columns in batches[row]:
                    tiles = self._predicted(next(inputs), grid)
                    waiting.append(behind.submit(self._timed_call, rows.add, tiles, columns))
                    self.progress.advance_part(len(columns))
                waiting.append(behind.submit(self._timed_call, rows.end_row))
                while len(waiting) > MOST_BEHIND:
                    waiting.popleft().result()
            for work in waiting:
                work.result()
        self.progress.finish_part()

    def _prepared(
        self, image: SlideImage, grid: TileGrid, batches: Sequence[Sequence[Sequence[int]]], first: int
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Prepared tiles of every batch from row ``first`` on.

        On an accelerator the next batch is read during the forward pass. On the CPU, whose cores are busy
        with the network then, and wait for it by spinning, some batches at a time are read in between.
        """
        contract = dataclasses.replace(self.network.contract, size=grid.tile)
        reader = TileReader(image, grid, contract)
        plan = [
            [(row, column) for column in batch]
            for row in range(first, len(batches))
            for batch in batches[row]
        ]
        beside = self.network.device.type != "cpu"
        at_once = 1 if beside else max(1, READ_PIXELS // (self._batch_size(grid) * grid.tile**2))

        def prepare(row: int, column: int) -> npt.NDArray[np.float32]:
            return contract.prepare(reader.read(row, column)[np.newaxis])

        with _workers() as readers:

            def submit(batch: list[tuple[int, int]]) -> list[Future[npt.NDArray[np.float32]]]:
                for block in reader.blocks(batch):
                    readers.submit(reader.fetch, *block)
                return [readers.submit(prepare, *place) for place in batch]

            tasks = map(submit, plan)
            waiting = deque(itertools.islice(tasks, int(beside)))
            for _ in plan:
                if beside or not waiting:
                    waiting.extend(itertools.islice(tasks, at_once))
                with self._timed("preprocess"):
                    if not beside:
                        wait(itertools.chain.from_iterable(waiting))
                    tiles = np.concatenate([tile.result() for tile in waiting.popleft()])
                yield tiles

    def _predicted(self, inputs: npt.NDArray[np.float32], grid: TileGrid) -> Band:
        """Probabilities of a batch of tiles, 0 to 255, without margins, ``(tiles, span, span)``."""
        with self._timed("forward"):
            inner = slice(grid.margin, grid.tile - grid.margin)
            return foreground_255(self.network.logits(inputs)[..., inner, inner])

    def _batch_size(self, grid: TileGrid) -> int:
        if self.network.device.type != "cpu":
            return self.network.batch_size
        return max(1, min(self.network.batch_size, CPU_BATCH_PIXELS // grid.tile**2))

    def _finish(self, grid: TileGrid, tissue: npt.NDArray[np.bool_], folder: Path) -> ListedMask | StoredMask:
        """The map at the working level, thresholded and cleaned."""
        foreground_map = StoredMask(folder / "map.raw", grid.map_shape)
        with _workers() as workers:
            if is_in_squares(grid):
                objects = MapObjects(foreground_map, grid, self.settings)
                if objects.fit_into_memory():
                    return objects.drawn(grid.shape, partial(blank, tissue), workers)
            mask = StoredMask(folder / "mask.raw", grid.shape)
            mask.allocate()
            threshold = partial(_threshold, foreground_map, grid, tissue, mask)
            deque(workers.map(threshold, mask.bands()), maxlen=0)
        clean(mask, min_object_px=self.settings.min_object_px, max_hole_px=self.settings.max_hole_px)
        return mask

    def _timed_call(self, work: Callable[..., None], *arguments: Any) -> None:
        """Do some work beside the network's next batch."""
        with self._timed("postprocess"):
            work(*arguments)

    @contextlib.contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        begin_s = time.perf_counter()
        try:
            yield
        finally:
            self.time_s[phase] += time.perf_counter() - begin_s


def _threshold(
    foreground_map: StoredMask,
    grid: TileGrid,
    tissue: npt.NDArray[np.bool_],
    mask: StoredMask,
    band: tuple[int, int],
) -> None:
    """Write a band of rows of the mask: where the map exceeds one half on tissue."""
    first, inside = above_half(foreground_map, grid, *band)
    if inside.size:
        blank(tissue, inside, band[0], first)
        mask.window(*band, "r+")[:, first : first + inside.shape[1]] = inside


def blank(tissue: npt.NDArray[np.bool_], window: Band, top: int, left: int) -> None:
    """Set pixels of a window of the mask to 0 where there is no tissue.

    Args:
        tissue: with a value for every cell of the slide; those at the end reach as far as the slide.
        window: of the mask, changed in place.
        top: its first row.
        left: its first column.
    """
    rows = np.minimum(np.arange(top, top + len(window)) // CELL, len(tissue) - 1)
    columns = np.minimum(np.arange(left, left + window.shape[1]) // CELL, tissue.shape[1] - 1)
    cells = tissue[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if not cells.all():
        window[~cells[rows - rows[0]][:, columns - columns[0]]] = 0


def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(usable_cores(), MOST_THREADS))
