"""Masks drawn object by object and tiles put together from blocks equal what whole passes give."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from medbench.core.slides import ListedMask, MaskWindow, SlideSettings, StoredMask
from medbench.inference import map_objects
from medbench.inference.enlarging import above_half, enlarged_rows
from medbench.inference.map_objects import MapObjects
from medbench.inference.mask_filters import clean
from medbench.inference.predictor import InputContract
from medbench.inference.slides import blank
from medbench.inference.tile_reading import TileReader, read_mirrored
from medbench.inference.tiles import TileGrid, mirrored, tile_grid
from medbench.io import slides
from medbench.io.pyramids import write_pyramid
from medbench.io.raster import resize_image
from medbench.io.slides import open_slide


def stored_map(path, values):
    stored = StoredMask(path, values.shape)
    stored.allocate()
    stored.window(0, len(values), "r+")[:] = values
    return stored


def rough_map(seed, shape):
    rng = np.random.default_rng(seed)
    high = ndimage.gaussian_filter(rng.standard_normal(shape), (0.6, 1.0, 1.6)[seed % 3]) > 0.1
    values = np.where(high, rng.integers(128, 256, shape), rng.integers(0, 128, shape)).astype(np.uint8)
    if seed % 2:
        y, x = np.mgrid[: shape[0], : shape[1]]
        for radius in (14, 9, 3):
            values[np.hypot(y - 20, x - 22) < radius] = 250 if radius != 9 else 10
    return values


@pytest.mark.parametrize("factor", [2, 8, 16])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("least", "hole"), [(0, 0), (200, 0), (150, 900), (0, 40_000)])
def test_objects_one_by_one_equal_a_mask_cleaned_as_a_whole(tmp_path, factor, seed, least, hole):
    values = rough_map(seed, (45, 52))
    shape = 45 * factor - seed % factor, 52 * factor - 1
    grid = TileGrid(shape, Fraction(1, factor), 32, 0, 32)
    stored = stored_map(tmp_path / "map.raw", values)
    tissue = np.random.default_rng(seed).random((-(-shape[0] // 32), -(-shape[1] // 32))) < 0.9
    whole = np.where(enlarged_rows(stored, grid, 0, shape[0], slice(None)) > 127.5, 255, 0)
    mask = stored_map(tmp_path / "mask.raw", whole[:, : shape[1]].astype(np.uint8))
    window = np.array(mask.window(0, shape[0]))
    blank(tissue, window, 0, 0)
    mask.window(0, shape[0], "r+")[:] = window
    clean(mask, min_object_px=least, max_hole_px=hole)
    settings = SlideSettings(patch_px=512, min_object_px=least, max_hole_px=hole)
    objects = MapObjects(stored, grid, settings)
    assert objects.fit_into_memory()
    with ThreadPoolExecutor(2) as workers:
        drawn = objects.drawn(shape, partial(blank, tissue), workers)
    np.testing.assert_array_equal(np.concatenate(list(drawn.strips())), mask.window(0, shape[0]))
    if least or (hole and seed % 2):
        assert not np.array_equal(window, mask.window(0, shape[0]))


def test_windows_that_do_not_fit_are_refused(tmp_path, monkeypatch):
    stored = stored_map(tmp_path / "map.raw", np.full((40, 40), 200, np.uint8))
    grid = TileGrid((320, 320), Fraction(1, 8), 32, 0, 32)
    for limit in ("LARGEST_WINDOW_PX", "MOST_PX"):
        monkeypatch.setattr(map_objects, limit, 320 * 320)
        assert not MapObjects(stored, grid, SlideSettings(patch_px=256)).fit_into_memory()
        monkeypatch.setattr(map_objects, limit, 328 * 328)
        assert MapObjects(stored, grid, SlideSettings(patch_px=256)).fit_into_memory()


@pytest.mark.parametrize("scale", ["1/2", "1/8", "1/32", "3/16", "1/3", "1", "2"])
@pytest.mark.parametrize("seed", range(2))
def test_rows_above_half_are_those_of_the_interpolation(tmp_path, scale, seed):
    scale = Fraction(scale)
    shape = 151, 203
    grid = TileGrid(shape, scale, 32 * scale.numerator, 0, 32 * scale.numerator)
    stored = stored_map(tmp_path / "map.raw", rough_map(seed, grid.map_shape))
    for start, stop in ((0, shape[0]), (3, shape[0] - 2), (shape[0] - 1, shape[0]), (0, 1)):
        expected = enlarged_rows(stored, grid, start, stop, slice(None))[:, : shape[1]] > 127.5
        first, part = above_half(stored, grid, start, stop)
        whole = np.zeros(expected.shape, np.uint8)
        whole[:, first : first + part.shape[1]] = part
        np.testing.assert_array_equal(whole, expected * np.uint8(255))


def test_windows_of_a_mask_add_up():
    rng = np.random.default_rng(0)
    expected = np.zeros((70, 90), np.uint8)
    windows = []
    for top, left, height, width in ((0, 0, 9, 13), (5, 7, 20, 8), (60, 81, 10, 9), (30, 0, 1, 90)):
        pixels = np.where(rng.random((height, width)) < 0.5, 255, 0).astype(np.uint8)
        expected[top : top + height, left : left + width] |= pixels
        windows.append(MaskWindow.of(pixels, top, left))
    mask = ListedMask(expected.shape, tuple(windows))
    np.testing.assert_array_equal(np.concatenate(list(mask.strips())), expected)
    np.testing.assert_array_equal(mask.region(3, 5, 66, 85), expected[3:66, 5:85])


@pytest.mark.parametrize(("tile", "factor"), [(128, 1), (128, 2), (240, 1)])
@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("shape", [(700, 900), (513, 333), (130, 1200)])
def test_tiles_of_blocks_are_the_tiles_shrunk_as_a_whole(tmp_path, tile, factor, size, shape):
    values = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    write_pyramid(tmp_path / "a.tiff", [values], values.shape, tile=tile)
    settings = SlideSettings(patch_px=512, margin_px=32, blend_px=16)
    with open_slide(tmp_path / "a.tiff", factor=factor) as image:
        grid = tile_grid(image.shape, settings, size)
        reader = TileReader(image, grid, InputContract(size=grid.tile))
        places = [(row, column) for row in range(grid.counts[0]) for column in range(grid.counts[1])]
        reader.fetch(reader.blocks(places))
        for place in places:
            whole = resize_image(read_mirrored(image, *grid.window(*place)), grid.tile, grid.tile)
            np.testing.assert_array_equal(reader.read(*place), whole)
        other = TileReader(image, grid, replace(InputContract(size=grid.tile), resampling="spline"))
        assert other.blocks(places) == []
        assert other.read(0, 0).shape == (512, 512, 3)


@pytest.mark.parametrize(("margin", "shape"), [(0, (1024, 1536)), (64, (1024, 1536)), (64, (1000, 1411))])
def test_every_block_of_a_slide_is_decoded_once(tmp_path, monkeypatch, margin, shape):
    values = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    write_pyramid(tmp_path / "a.tiff", [values], values.shape, tile=128)
    decoded, tile = [], slides._Blocks._tile

    def counted(self, index):
        decoded.append(index)
        return tile(self, index)

    monkeypatch.setattr(slides._Blocks, "_tile", counted)
    with open_slide(tmp_path / "a.tiff") as image:
        grid = tile_grid(image.shape, SlideSettings(patch_px=512, margin_px=margin, blend_px=0), 128)
        reader = TileReader(image, grid, InputContract(size=grid.tile))
        places = list(np.ndindex(grid.counts))
        for place in places:
            reader.read(*place)
        assert sorted(decoded) == list(range(8 * 12))
        inner = {(row, column) for row in range(1, 6) for column in range(1, 9)}
        assert inner.isdisjoint(image._levels[0]._blocks)
        assert bool(image._levels[0]._blocks) == bool(margin)


@pytest.mark.parametrize("rows", [(-7, 5), (-30, -2), (40, 70), (3, 9), (-90, 120)])
def test_regions_beyond_the_slide_are_mirrored(tmp_path, rows):
    values = np.random.default_rng(2).integers(0, 256, (41, 33, 3), np.uint8)
    write_pyramid(tmp_path / "a.tiff", [values], values.shape, tile=16)
    with open_slide(tmp_path / "a.tiff") as image:
        for columns in ((0, 33), (-5, 40), (33, 60)):
            expected = values[mirrored(*rows, 41)][:, mirrored(*columns, 33)]
            np.testing.assert_array_equal(read_mirrored(image, rows, columns), expected)
