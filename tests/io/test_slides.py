"""Slides in regions: levels, compressions, layouts, and what is wrong with a file."""

import numpy as np
import pytest
import tifffile
import tiffslide

from medbench.core.errors import MedbenchError
from medbench.io import slides
from medbench.io.pyramids import level_shapes, rebanded, write_pyramid
from medbench.metrics.official.kpis import halved_size


def image(height, width, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
    return np.ascontiguousarray(np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:height, :width])


def halved(values):
    padded = np.pad(values, [(0, values.shape[0] % 2), (0, values.shape[1] % 2), (0, 0)], mode="edge").astype(
        int
    )
    blocks = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2, 3)
    return blocks.sum((1, 3)) / 4


def written(path, values, **options):
    tifffile.imwrite(path, values, photometric="rgb" if values.ndim == 3 else "minisblack", **options)
    return path


LAYOUTS = {
    "tiles": {"tile": (64, 48)},
    "tiles across the width": {"tile": (64, 320)},
    "one tile": {"tile": (256, 512)},
    "strips": {"rowsperstrip": 5},
    "one strip": {"rowsperstrip": 1000},
    "planes": {"planarconfig": "separate", "tile": (32, 32)},
}


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "zstd"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_region_of_any_layout(tmp_path, layout, compression, monkeypatch):
    monkeypatch.setattr(slides, "CACHE_BYTES", 40_000)
    values = image(203, 317)
    stored = np.moveaxis(values, -1, 0) if layout == "planes" else values
    path = written(tmp_path / "a.tiff", stored, compression=compression, **LAYOUTS[layout])
    rng = np.random.default_rng(1)
    with slides.open_slide(path) as slide, slides.open_slide(path, factor=2) as half:
        assert slide.shape == (203, 317)
        np.testing.assert_array_equal(slide.read((0, 203), (0, 317)), values)
        assert half.shape == (halved_size(203), halved_size(317))
        expected = halved(values)[: half.shape[0], : half.shape[1]]
        assert np.abs(half.read((0, half.shape[0]), (0, half.shape[1])) - expected).max() <= 0.5
        for _ in range(20):
            top, left = rng.integers(0, 90), rng.integers(0, 150)
            rows, columns = (
                (int(top), int(top + rng.integers(1, 12))),
                (int(left), int(left + rng.integers(1, 8))),
            )
            window = slice(*rows), slice(*columns)
            np.testing.assert_array_equal(slide.read(rows, columns), values[window])
            assert np.abs(half.read(rows, columns) - expected[window]).max() <= 0.5


def test_threads_share_blocks(tmp_path, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.setattr(slides, "CACHE_BYTES", 20_000)
    values = image(203, 317)
    path = written(tmp_path / "a.tiff", values, compression="deflate", tile=(64, 48))
    with slides.open_slide(path) as slide, ThreadPoolExecutor(4) as pool:
        starts = [(top, left) for top in range(0, 160, 9) for left in range(0, 250, 7)]
        windows = [((top, top + 40), (left, left + 60)) for top, left in starts]
        read = pool.map(lambda one: slide.read(*one), windows)
        for (rows, columns), found in zip(windows, read, strict=True):
            np.testing.assert_array_equal(found, values[slice(*rows), slice(*columns)])


@pytest.mark.slow
def test_pyramids_are_what_other_readers_see(tmp_path):
    values = image(2345, 3001)
    path = tmp_path / "deep" / "a.tiff"
    write_pyramid(path, [values[:1000], values[1000:]], values.shape, compression="deflate")
    facts = slides.slide_facts(path, channels=3)
    assert (
        facts.levels
        == tuple(shape[:2] for shape in level_shapes(values.shape))
        == ((2345, 3001), (1173, 1501), (587, 751))
    )
    with tiffslide.TiffSlide(path) as other:
        assert [size[::-1] for size in other.level_dimensions] == list(facts.levels)
        region = np.asarray(other.read_region((1000, 700), 0, (321, 123)))[..., :3]
        np.testing.assert_array_equal(region, values[700:823, 1000:1321])
        small = np.asarray(other.read_region((0, 0), 1, (1500, 1172)))[..., :3]
    with slides.open_slide(path, factor=2) as half:
        assert half.shape == (1172, 1500)
        found = half.read((0, 1172), (0, 1500))
        np.testing.assert_array_equal(found, small)
        assert np.abs(found - halved(values)[:1172, :1500]).max() <= 0.5
        thumbnail = half.thumbnail(32)
    assert thumbnail.shape == (37, 47, 3)
    blocks = found[: 36 * 32, : 46 * 32].reshape(36, 32, 46, 32, 3).mean((1, 3))
    assert np.abs(thumbnail[:36, :46] - blocks).mean() < 6


@pytest.mark.parametrize("compression", ["deflate", "lzw"])
def test_mask_pyramids_stay_binary_and_do_not_depend_on_the_strips(tmp_path, compression):
    mask = np.where(image(1500, 1100)[..., 0] > 128, 255, 0).astype(np.uint8)
    contents = []
    for index, step in enumerate((7, 512, 1500)):
        path = tmp_path / f"{index}.tiff"
        strips = (mask[start : start + step] for start in range(0, 1500, step))
        write_pyramid(path, strips, mask.shape, compression=compression)
        contents.append(path.read_bytes())
        with tifffile.TiffFile(path) as file:
            levels = [level.asarray() for level in file.series[0].levels]
        np.testing.assert_array_equal(levels[0], mask)
        assert all(set(np.unique(level)) <= {0, 255} for level in levels)
    assert contents[0] == contents[1] == contents[2]
    with slides.open_slide(tmp_path / "0.tiff", channels=1) as slide:
        np.testing.assert_array_equal(slide.read((100, 900), (3, 1000)), mask[100:900, 3:1000])


@pytest.mark.parametrize("rows", [[4, 4], [4, 7], [11]])
def test_rows_that_do_not_add_up_leave_no_file(tmp_path, rows):
    strips = [np.zeros((count, 20), np.uint8) for count in rows]
    with pytest.raises(ValueError, match=r"add up|announced"):
        write_pyramid(tmp_path / "a.tiff", strips, (10, 20))
    assert not list(tmp_path.iterdir())
    assert [len(band) for band in rebanded(strips[:1], (rows[0], 20), 3)] == {4: [3, 1], 11: [3, 3, 3, 2]}[
        rows[0]
    ]


def sixteen_bit(path):
    return written(path, image(40, 40).astype(np.uint16)), "3 channels of uint16"


def grey(path):
    return written(path, image(40, 40)[..., 0]), "1 channel of uint8"


def truncated(path):
    written(path, np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8), tile=(64, 64))
    path.write_bytes(path.read_bytes()[:-9000])
    return path, "ends early|no readable TIFF"


def header_only(path):
    written(path, image(300, 300), compression="deflate")
    path.write_bytes(path.read_bytes()[:60])
    return path, "no readable TIFF|damaged|ends early"


def text(path):
    path.write_text("no TIFF at all")
    return path, "no readable TIFF"


def missing(path):
    return path, "cannot be read"


@pytest.mark.parametrize("make", [sixteen_bit, grey, truncated, header_only, text, missing])
def test_bad_files_are_named(tmp_path, make):
    path, message = make(tmp_path / "bad.tiff")
    with pytest.raises(MedbenchError, match=message) as caught:
        slides.slide_facts(path, channels=3)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message


def test_pixels_that_do_not_decode_are_named_with_their_rows(tmp_path):
    path = written(tmp_path / "a.tiff", image(300, 300), tile=(64, 64), compression="deflate")
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[12]
    content = bytearray(path.read_bytes())
    content[offset : offset + 30] = b"\xff" * 30
    path.write_bytes(content)
    with slides.open_slide(path) as slide:
        slide.read((0, 64), (0, 300))
        with pytest.raises(MedbenchError, match="rows 128 to 192 do not decode"):
            slide.read((0, 300), (0, 300))


def test_a_slide_in_one_huge_compressed_block_is_refused(tmp_path, monkeypatch):
    path = written(tmp_path / "a.tiff", image(300, 300), rowsperstrip=300, compression="deflate")
    monkeypatch.setattr(slides, "LARGEST_BLOCK_BYTES", 1000)
    with pytest.raises(MedbenchError, match="one compressed block"):
        slides.slide_facts(path, channels=3)


def test_the_resolution_is_found_where_it_is_stored(tmp_path):
    path = written(
        tmp_path / "a.tiff",
        image(64, 64),
        tile=(32, 32),
        resolution=(40000, 40000),
        resolutionunit="CENTIMETER",
    )
    assert slides.microns_per_pixel(path) == pytest.approx(0.25)
    assert slides.microns_per_pixel(written(tmp_path / "b.tiff", image(64, 64))) is None
