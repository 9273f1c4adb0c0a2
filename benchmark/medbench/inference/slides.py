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
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.files import sha256_json
from medbench.core.machine import return_freed_memory_of_other_shapes, usable_cores
from medbench.core.progress import Progress, SilentProgress
from medbench.core.sample import Prediction, Sample
from medbench.core.slides import ListedMask, Slide, SlideSettings, StoredMask
from medbench.inference.behind import Behind
from medbench.inference.enlarging import above_half, is_in_squares
from medbench.inference.map_objects import MapObjects
from medbench.inference.map_rows import MapRows
from medbench.inference.mask_filters import clean
from medbench.inference.predictor import NetworkPredictor, foreground_255
from medbench.inference.tile_reading import Batch, BatchReader
from medbench.inference.tiles import TileGrid, tile_grid, wanted_tiles
from medbench.inference.tissue import CELL, tissue_mask
from medbench.inference.torch_settings import single_threads
from medbench.io.slides import SlideImage, open_slide

CPU_BATCH_PIXELS = 1 << 18
"""Of tiles that a network on the CPU computes in one batch; larger batches are no faster and take memory."""
CPU_PIXELS_AT_ONCE = 1 << 20
"""Of tiles in all batches that are computed side by side on the CPU."""
READ_PIXELS = 1 << 21
"""Of prepared tiles that are read one after another before the network goes on, on the CPU."""
SHARED_PACKAGES = frozenset(
    ("medbench", "monai", "segmentation_models_pytorch", "timm", "torch", "torchvision")
)
"""Whose modules keep nothing of an input after their pass, so that threads may share a network of them."""
MOST_THREADS = 4
"""That read tiles or enlarge bands at once: each holds copies of its own, so memory grows with them."""

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
        self._lock = threading.Lock()
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
        todo = range(rows.done, grid.counts[0])
        plan = [[(row, column) for column in columns] for row in todo for columns in batches[row]]
        reader = BatchReader(image, grid, self.network.contract)
        with Behind() as behind, contextlib.closing(self._answers(reader, plan, grid, behind)) as answers:
            for row in todo:
                for columns in batches[row]:
                    behind.add(self._timed_call, rows.add, next(answers), columns)
                    self.progress.advance_part(len(columns))
                behind.add(self._timed_call, rows.end_row)
        self.progress.finish_part()

    def _answers(
        self, batches: BatchReader, plan: Sequence[Batch], grid: TileGrid, behind: Behind
    ) -> Generator[Band]:
        """Probabilities of every batch, 0 to 255, without margins, ``(tiles, span, span)``."""
        threads = self._threads(grid)
        if threads > 1:
            yield from self._side_by_side(batches, plan, grid, behind)
            return
        for tiles in self._prepared(batches, plan, grid, behind):
            yield self._predicted(tiles, grid)

    def _side_by_side(
        self, batches: BatchReader, plan: Sequence[Batch], grid: TileGrid, behind: Behind
    ) -> Iterator[Band]:
        """As :meth:`_answers`, by threads that read a batch each and compute with one thread of torch's.

        Several of torch's wait for each other at the end of every operator, and a small network's are short.
        """
        threads = self._threads(grid)

        def answer(batch: Batch) -> Band:
            with self._timed("preprocess", threads):
                tiles = batches.read(batch)
            return self._predicted(tiles, grid, threads)

        with single_threads(threads) as workers:
            tasks = (workers.submit(answer, batch) for batch in plan)
            waiting = deque(itertools.islice(tasks, threads))
            while waiting:
                waiting.extend(itertools.islice(tasks, 1))
                behind.begin()
                yield waiting.popleft().result()

    def _prepared(
        self, batches: BatchReader, plan: Sequence[Batch], grid: TileGrid, behind: Behind
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Prepared tiles of every batch.

        On an accelerator the next batch is read during the forward pass. On the CPU, whose cores are busy
        with the network then, and wait for it by spinning, some batches at a time are read in between, and
        the work on the map is done then, too.
        """
        beside = self.network.device.type != "cpu"
        at_once = 1 if beside else max(1, READ_PIXELS // (self._batch_size(grid) * grid.tile**2))
        with _workers() as readers:
            tasks = (batches.begin(batch, readers) for batch in plan)
            waiting = deque(itertools.islice(tasks, int(beside)))
            for _ in plan:
                if beside or not waiting:
                    waiting.extend(itertools.islice(tasks, at_once))
                    behind.begin()
                with self._timed("preprocess"):
                    if not beside:
                        wait(itertools.chain.from_iterable(work for _, work in waiting))
                    tiles, work = waiting.popleft()
                    for tile in work:
                        tile.result()
                yield tiles

    def _predicted(self, inputs: npt.NDArray[np.float32], grid: TileGrid, threads: int = 1) -> Band:
        """Probabilities of a batch of tiles, 0 to 255, without margins, ``(tiles, span, span)``."""
        with self._timed("forward", threads):
            inner = slice(grid.margin, grid.tile - grid.margin)
            return foreground_255(self.network.logits(inputs)[..., inner, inner])

    def _threads(self, grid: TileGrid) -> int:
        """Batches that are predicted at once: one for each thread of torch's, if they are small enough.

        One alone by a network of one's own, whose modules may keep values between the parts of a pass.
        """
        import torch

        threads = torch.get_num_threads()
        fits = threads * self._batch_size(grid) * grid.tile**2 <= CPU_PIXELS_AT_ONCE
        packages = {type(module).__module__.partition(".")[0] for module in self.network.network.modules()}
        return threads if self.network.device.type == "cpu" and fits and packages <= SHARED_PACKAGES else 1

    def _batch_size(self, grid: TileGrid) -> int:
        if self.network.device.type != "cpu":
            return self.network.batch_size
        return max(1, min(self.network.batch_size, CPU_BATCH_PIXELS // grid.tile**2))

    def _finish(self, grid: TileGrid, tissue: npt.NDArray[np.bool_], folder: Path) -> ListedMask | StoredMask:
        """The map at the working level, thresholded and cleaned."""
        foreground_map = StoredMask(folder / "map.raw", grid.map_shape)
        return_freed_memory_of_other_shapes(grid.map_shape)
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
    def _timed(self, phase: str, threads: int = 1) -> Iterator[None]:
        """Add the time of a block, which as many threads are in, to a phase."""
        begin_s = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.time_s[phase] += (time.perf_counter() - begin_s) / threads


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
