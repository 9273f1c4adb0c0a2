"""Slides in tiles: the result does not depend on the tiles, nor on when a call was killed."""

import threading
import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional

from medbench.core import slides as core_slides
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.sample import Sample
from medbench.core.slides import Slide, SlideSettings, StoredMask
from medbench.inference import mask_filters, slides
from medbench.inference.enlarging import enlarged_rows, parts_above_half
from medbench.inference.mask_filters import clean
from medbench.inference.predictor import InputContract, NetworkPredictor
from medbench.inference.slides import SlidePredictor
from medbench.inference.tiles import ONE, TileGrid, mirrored, tile_grid
from medbench.inference.tissue import CELL, tissue_mask
from medbench.io.pyramids import write_pyramid

RADIUS = 9


class Local(nn.Module):
    """Sees 9 pixels around each one; exact in whole numbers, so that nothing depends on the order of sums."""

    def __init__(self, divisor=1):
        super().__init__()
        self.divisor = divisor
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        summed = images.sum(dim=1, keepdim=True)
        kernel = torch.ones(1, 1, 2 * RADIUS + 1, 1)
        for weight in (kernel, kernel.transpose(2, 3)):
            padding = tuple(side // 2 for side in weight.shape[2:])
            summed = functional.conv2d(summed, weight, padding=padding)
        if self.divisor > 1:
            summed = summed[..., :: self.divisor, :: self.divisor]
            summed = functional.interpolate(summed, scale_factor=self.divisor, mode="nearest")
        foreground = (summed - 3 * 128 * (2 * RADIUS + 1) ** 2) / 2**14
        return torch.cat([torch.zeros_like(foreground), foreground], dim=1)


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((height, width, 3)), (14, 14, 0)) * 1500 + 128
    return np.clip(smooth + rng.integers(-8, 8, smooth.shape), 20, 255).astype(np.uint8)


def sample_of(path, values, factor=1):
    write_pyramid(path, [values], values.shape, tile=256)
    height, width = (max(1, round(side / factor)) for side in values.shape[:2])
    case = Case(f"DN/{path.stem}", {"image": path})
    slide = Slide(path, factor, (height, width))
    return Sample(case, np.empty((0, 0, 0, 3), np.uint8), frozenset({"mask"}), slide)


def predictor(settings, size=None, network=None, **options):
    plain = NetworkPredictor(network or Local(), InputContract(size=size, scale=1.0), batch_size=3)
    return SlidePredictor(plain, settings, **options)


def masked(sample, settings, **options):
    owner = predictor(settings, **options)
    return np.concatenate(list(owner.predict(sample)["label_map"].strips()))


def whole(values, network=None):
    """The network on the whole mirrored image at once."""
    padded = np.pad(values, ((64, 64), (64, 64), (0, 0)), mode="reflect")
    with torch.inference_mode():
        logits = (network or Local())(torch.from_numpy(padded.transpose(2, 0, 1)[None].astype(np.float32)))
    chance = np.rint(torch.sigmoid(logits[0, 1] - logits[0, 0]).numpy()[64:-64, 64:-64] * 255)
    return np.where(chance > 127.5, 255, 0)


PLAIN = SlideSettings(patch_px=512, margin_px=32, blend_px=64, tissue=0)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1500, 1333), (100, 100), (16, 700), (1024, 1024), (513, 3)])
def test_the_mask_is_that_of_the_whole_picture_for_every_tile(tmp_path, shape):
    values = picture(*shape)
    sample = sample_of(tmp_path / "a.tiff", values)
    expected = whole(np.pad(values, ((0, 0), (0, 0), (0, 0)))) if min(shape) > 64 else None
    tiles = (512, 1024, 2048)
    found = [masked(sample, replace(PLAIN, tile_px=tile), work=tmp_path / str(tile)) for tile in tiles]
    for mask in found:
        assert mask.shape == shape
        np.testing.assert_array_equal(mask, found[0])
    if expected is not None:
        np.testing.assert_array_equal(found[0], expected)
        assert 0.2 < (found[0] > 0).mean() < 0.8 or shape == (100, 100)


@pytest.mark.parametrize(("margin", "blend"), [(32, 0), (9, 1), (64, 200), (32, 32)])
def test_neither_blending_nor_wider_margins_matter_to_a_local_network(tmp_path, margin, blend):
    values = picture(700, 900, seed=2)
    sample = sample_of(tmp_path / "a.tiff", values)
    mask = masked(sample, replace(PLAIN, margin_px=margin, blend_px=blend))
    np.testing.assert_array_equal(mask, whole(values))


@pytest.mark.slow
def test_a_margin_smaller_than_what_the_network_sees_does_matter(tmp_path):
    values = picture(1500, 1333)
    sample = sample_of(tmp_path / "a.tiff", values)
    mask = masked(sample, replace(PLAIN, margin_px=0, blend_px=0, tile_px=256))
    assert (mask != whole(values)).any()


def test_networks_with_strides_keep_their_phase(tmp_path):
    values = picture(900, 1100, seed=3)
    sample = sample_of(tmp_path / "a.tiff", values)
    masks = [
        masked(sample, replace(PLAIN, tile_px=tile), network=Local(16), work=tmp_path / str(tile))
        for tile in (512, 736, 1024)
    ]
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


@pytest.mark.parametrize(("size", "tiles"), [(128, (512, 1024)), (384, (512, 1024, 1536))])
def test_smaller_pictures_for_the_network_are_independent_of_tiles_too(tmp_path, size, tiles):
    values = picture(1100, 900, seed=4)
    sample = sample_of(tmp_path / "a.tiff", values, factor=2)
    settings = replace(PLAIN, margin_px=64)
    masks = [
        masked(sample, replace(settings, tile_px=tile), size=size, work=tmp_path / str(tile))
        for tile in tiles
    ]
    assert masks[0].shape == (550, 450)
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])
    assert 0.1 < (masks[0] > 0).mean() < 0.9


@pytest.mark.parametrize("shape", [(100, 100), (1000, 7000), (4096, 333)])
@pytest.mark.parametrize("size", [None, 128, 384])
@pytest.mark.parametrize("blend", [0, 64, 300])
def test_weights_add_up_to_one_everywhere(shape, size, blend):
    grid = tile_grid(shape, replace(PLAIN, blend_px=blend), size)
    for side, count in zip(grid.map_shape, grid.counts, strict=True):
        total = np.zeros(grid.step * count + grid.span, np.int64)
        for index in range(count):
            total[index * grid.step : index * grid.step + grid.span] += grid.weights(index, count)
        assert (total[:side] == ONE).all()
        assert grid.step * (count - 1) + grid.span >= side
    assert grid.window(0, 0)[0][0] == -grid.slide_px(grid.margin)
    assert grid.slide_px(grid.step) * grid.scale == grid.step


def test_tiles_that_leave_nothing_are_refused():
    with pytest.raises(MedbenchError, match="leave nothing"):
        tile_grid((1000, 1000), replace(PLAIN, margin_px=256), None)


def test_mirrored_is_numpy_s_reflection():
    for size in (1, 2, 5):
        np.testing.assert_array_equal(
            mirrored(-7, size + 9, size), np.pad(np.arange(size), (7, 9), mode="reflect")
        )


class Killed(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 4, *(pytest.param(n, marks=pytest.mark.exhaustive) for n in (1, 3, 7))])
def test_a_killed_slide_goes_on_and_ends_with_the_same_bytes(tmp_path, after):
    values = picture(1400, 1300, seed=5)
    sample = sample_of(tmp_path / "a.tiff", values)
    settings = replace(PLAIN, min_object_px=50, max_hole_px=50)
    whole_network = Local()
    expected = masked(sample, settings, network=whole_network, work=tmp_path / "whole")

    class Mortal(Local):
        __module__ = "medbench.models"

        def forward(self, images):
            if self.calls == after:
                raise Killed
            return super().forward(images)

    work = tmp_path / "killed"
    with pytest.raises(Killed):
        masked(sample, settings, network=Mortal(), work=work)
    rows_done = after // (whole_network.calls // tile_grid(values.shape[:2], settings, None).counts[0])
    assert (work / sample.case.id / "state.npz").exists() == (rows_done > 0)
    again = Local()
    found = masked(sample, settings, network=again, work=work)
    np.testing.assert_array_equal(found, expected)
    rows = tile_grid(values.shape[:2], settings, None).counts[0]
    batches = whole_network.calls // rows
    assert again.calls == whole_network.calls - after // batches * batches
    third = Local()
    np.testing.assert_array_equal(masked(sample, settings, network=third, work=work), expected)
    assert third.calls == 0


@pytest.mark.slow
def test_another_slide_or_setting_never_goes_on_from_a_stale_state(tmp_path):
    sample = sample_of(tmp_path / "a.tiff", picture(700, 700, seed=6))
    masked(sample, PLAIN, work=tmp_path / "work")
    cleaned = replace(PLAIN, min_object_px=10**6)
    assert not masked(sample, cleaned, work=tmp_path / "work").any()
    values = picture(700, 700, seed=7)
    other = sample_of(tmp_path / "a.tiff", values)
    np.testing.assert_array_equal(masked(other, PLAIN, work=tmp_path / "work"), whole(values))


@pytest.mark.slow
def test_outside_the_tissue_nothing_is_predicted(tmp_path):
    values = np.zeros((3000, 2500, 3), np.uint8)
    values[700:1600, 800:1500] = picture(900, 700, seed=8)
    sample = sample_of(tmp_path / "a.tiff", values)
    settings = replace(PLAIN, tissue=1)
    masks, calls = [], []
    for tile in (512, 1024):
        network = Local()
        masks.append(
            masked(sample, replace(settings, tile_px=tile), network=network, work=tmp_path / str(tile))
        )
        calls.append(network.calls)
    np.testing.assert_array_equal(masks[0], masks[1])
    everywhere = Local()
    full = masked(sample, PLAIN, network=everywhere)
    np.testing.assert_array_equal(masks[0], full)
    assert calls[0] < everywhere.calls / 2
    assert masks[0].any()


def test_an_empty_slide_needs_no_network(tmp_path):
    sample = sample_of(tmp_path / "a.tiff", np.zeros((600, 400, 3), np.uint8))
    network = Local()
    assert not masked(sample, replace(PLAIN, tissue=1), network=network).any()
    assert network.calls == 0


def test_tissue_on_black_and_on_white():
    rng = np.random.default_rng(0)
    tissue = np.array([200, 120, 170]) + rng.integers(-15, 15, (60, 80, 3))
    for outside in (0, 245):
        small = np.full((60, 80, 3), outside, np.uint8)
        small[15:45, 20:60] = tissue[15:45, 20:60]
        small[25:30, 30:36] = outside
        found = tissue_mask(small)
        assert found[15:45, 20:60].all()
        assert found.sum() < 40 * 50
    assert not tissue_mask(np.zeros((9, 9, 3), np.uint8)).any()
    assert CELL == 32


@pytest.mark.parametrize("outside", [0, 240])
@pytest.mark.parametrize("seed", range(20))
def test_tissue_is_closed_filled_and_grown_as_by_scipy(outside, seed):
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal(rng.integers(1, 60, 2)), rng.choice([0.3, 1, 3]))
    tissue = noise > np.quantile(noise, rng.uniform(0.1, 0.9))
    square = np.ones((3, 3), bool)
    closing = ndimage.binary_closing(np.pad(tissue, 2), square, iterations=2)[2:-2, 2:-2]
    expected = ndimage.binary_dilation(ndimage.binary_fill_holes(closing), square, iterations=2)
    colours = np.where(tissue[..., None], [200, 100, 150], outside).astype(np.uint8)
    np.testing.assert_array_equal(tissue_mask(colours), expected)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("band", [1, 3, 200])
@pytest.mark.parametrize("largest_box_px", [0, 1 << 20], ids=["holes in bands", "holes in boxes"])
def test_cleaning_in_bands_equals_scipy(tmp_path, seed, band, largest_box_px, monkeypatch):
    rng = np.random.default_rng(seed)
    inside = ndimage.gaussian_filter(rng.standard_normal((90, 110)), 1.6) > 0.02
    stored = StoredMask(tmp_path / "m.raw", inside.shape)
    stored.allocate()
    stored.window(0, 90, "r+")[:] = inside * np.uint8(255)
    monkeypatch.setattr(core_slides, "STRIP_BYTES", 110 * band)
    monkeypatch.setattr(mask_filters, "STRIP_BYTES", largest_box_px)
    labels, _ = ndimage.label(inside, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    expected = inside & (sizes[labels] >= 60)
    assert clean(stored, min_object_px=60, max_hole_px=0) == ((sizes[1:] < 60).sum(), 0)
    np.testing.assert_array_equal(np.concatenate(list(stored.strips())) > 0, expected)
    holes, _ = ndimage.label(~expected)
    counts = np.bincount(holes.ravel())
    rim = np.unique(np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]))
    fill = [index for index in range(1, len(counts)) if counts[index] <= 40 and index not in rim]
    assert clean(stored, min_object_px=0, max_hole_px=40) == (0, len(fill))
    np.testing.assert_array_equal(np.concatenate(list(stored.strips())) > 0, expected | np.isin(holes, fill))
    assert clean(stored, min_object_px=1, max_hole_px=0) == (0, 0)


def test_networks_with_more_classes_are_refused(tmp_path):
    class Three(nn.Module):
        def forward(self, images):
            return torch.zeros(len(images), 3, *images.shape[2:])

    sample = sample_of(tmp_path / "a.tiff", picture(300, 300))
    with pytest.raises(MedbenchError, match="3 classes"):
        masked(sample, PLAIN, network=Three())


@pytest.mark.parametrize("scale", ["1", "1/8", "1/2", "3/16", "7/64", "1/3", "2"])
@pytest.mark.parametrize("sparse", [True, False])
def test_only_columns_above_one_half_are_enlarged_and_nothing_is_lost(tmp_path, scale, sparse):
    unit, below = Fraction(scale).numerator, Fraction(scale).denominator
    width = 24 * unit
    grid = TileGrid((16 * below, 24 * below), Fraction(scale), 32 * unit, 0, 32 * unit)
    assert grid.map_shape == (16 * unit, width)
    rng = np.random.default_rng(0)
    stored = StoredMask(tmp_path / "map.raw", grid.map_shape)
    stored.allocate()
    values = rng.integers(120, 136, grid.map_shape) * (rng.random(grid.map_shape) < (0.01 if sparse else 0.9))
    values[0, 0] = values[0, -1] = values[-1, 0] = 255
    values[:, width // 2] = 127
    stored.window(0, len(values), "r+")[:] = values
    for start, stop in ((0, 16 * below), (0, 5), (3 * below, 4 * below + 1)):
        whole = enlarged_rows(stored, grid, start, stop, slice(None)) > 127.5
        joined = np.zeros_like(whole)
        parts = list(parts_above_half(stored, grid, start, stop))
        for first, part in parts:
            joined[:, first : first + part.shape[1]] |= part
        assert np.array_equal(joined, whole)
        if sparse and below in (8, 16):
            assert sum(part.shape[1] for _, part in parts) < whole.shape[1]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_batches_side_by_side_give_the_same_bytes(tmp_path, threads, monkeypatch):
    values = picture(1400, 1300, seed=9)
    sample = sample_of(tmp_path / "a.tiff", values)
    settings = replace(PLAIN, patch_px=256, margin_px=16, blend_px=16)
    monkeypatch.setattr(slides, "CPU_PIXELS_AT_ONCE", 2 * 3 * 256**2)
    seen = set()

    class Noted(Local):
        __module__ = "medbench.models"

        def forward(self, images):
            seen.add((threading.current_thread() is threading.main_thread(), torch.get_num_threads()))
            return super().forward(images)

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        owner = predictor(settings, network=Noted(), work=tmp_path / "work")
        mask = np.concatenate(list(owner.predict(sample)["label_map"].strips()))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert seen == {(threads != 2, 1 if threads == 2 else threads)}
    np.testing.assert_array_equal(mask, whole(values))
    assert set(owner.time_s) == {"preprocess", "forward", "postprocess"}


def test_a_network_of_ones_own_may_keep_values_between_its_parts(tmp_path):
    values = picture(1400, 1300, seed=9)

    class Keeping(Local):
        def forward(self, images):
            self.images = images
            time.sleep(0.01)
            return super().forward(self.images)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        settings = replace(PLAIN, patch_px=256, margin_px=16, blend_px=16)
        mask = masked(sample_of(tmp_path / "a.tiff", values), settings, network=Keeping())
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(mask, whole(values))


def test_a_network_that_fails_beside_another_ends_the_slide_with_its_error(tmp_path, monkeypatch):
    sample = sample_of(tmp_path / "a.tiff", picture(1400, 1300, seed=9))

    class Mortal(Local):
        __module__ = "medbench.models"

        def forward(self, images):
            if self.calls == 4:
                raise Killed
            return super().forward(images)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    network = Mortal()
    try:
        with pytest.raises(Killed):
            masked(sample, replace(PLAIN, patch_px=256, margin_px=16, blend_px=16), network=network)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert network.calls < 8
