"""Images and masks that are not what a release holds are refused by name."""

import cv2
import numpy as np
import pytest
import tifffile

from medbench.core.errors import MedbenchError
from medbench.io import eight_bit, raster

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (24, 32, 3), np.uint8)
DISK = ((np.indices((24, 32)) - 12) ** 2).sum(axis=0) < 60


def palette_png(path, indices, colours):
    """An 8-bit palette PNG, which OpenCV cannot write."""
    from PIL import Image

    picture = Image.fromarray(indices.astype(np.uint8), mode="P")
    picture.putpalette([value for colour in colours for value in colour])
    picture.save(path)


def test_an_ordinary_picture_is_read_as_it_is(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), COLOURS[:, :, ::-1])
    assert np.array_equal(eight_bit.read_rgb(tmp_path / "a.png"), COLOURS)


def test_a_tiff_tagged_grey_keeps_its_three_colours(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, COLOURS, photometric="minisblack", planarconfig="contig")
    assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED).ndim == 2
    assert np.array_equal(eight_bit.read_rgb(path), COLOURS)


@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_other_tiffs_still_read(tmp_path, photometric):
    picture = COLOURS if photometric == "rgb" else COLOURS[:, :, 0]
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric=photometric)
    assert np.array_equal(raster.read_image(tmp_path / "a.tif"), picture)


@pytest.mark.parametrize(
    ("picture", "named"),
    [
        (COLOURS.astype(np.uint16) * 257, "16-bit RGB"),
        (COLOURS[:, :, 0], "8-bit grey"),
        (np.dstack([COLOURS, COLOURS[:, :, 0]]), "8-bit RGBA"),
        (np.dstack([COLOURS, np.full((24, 32), 255, np.uint8)]), "8-bit RGBA"),
    ],
)
def test_pictures_of_another_kind_are_refused_by_name(tmp_path, picture, named):
    path = tmp_path / "odd.png"
    cv2.imwrite(str(path), picture)
    with pytest.raises(MedbenchError, match=named) as caught:
        eight_bit.read_rgb(path)
    assert str(path) in caught.value.message


def test_a_palette_picture_is_refused(tmp_path):
    palette_png(tmp_path / "p.png", DISK, [(0, 0, 0), (200, 30, 40)])
    with pytest.raises(MedbenchError, match="palette"):
        eight_bit.read_rgb(tmp_path / "p.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_truncated_file_is_refused_without_noise(tmp_path, capfd, suffix, share):
    whole = tmp_path / f"whole{suffix}"
    cv2.imwrite(str(whole), np.kron(COLOURS, np.ones((8, 8, 1), np.uint8)))
    content = whole.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(MedbenchError, match="not a readable image"):
        raster.read_image(cut)
    assert raster.read_image(whole).shape == (192, 256, 3)
    if share > 0.1:
        assert capfd.readouterr().err == ""


@pytest.mark.parametrize("high", [1, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_both_codings_of_a_mask_are_understood(tmp_path, high, dtype):
    cv2.imwrite(str(tmp_path / "m.png"), DISK.astype(dtype) * high)
    assert np.array_equal(eight_bit.read_binary_mask(tmp_path / "m.png"), DISK)


@pytest.mark.parametrize("high", [0, 1, 255])
def test_uniform_masks_are_understood(tmp_path, high):
    cv2.imwrite(str(tmp_path / "m.png"), np.full((8, 8), high, np.uint8))
    assert np.array_equal(eight_bit.read_binary_mask(tmp_path / "m.png"), np.full((8, 8), bool(high)))


def test_a_black_and_white_palette_mask_is_understood_and_a_coloured_one_refused(tmp_path):
    palette_png(tmp_path / "bw.png", DISK, [(0, 0, 0), (255, 255, 255)])
    palette_png(tmp_path / "voc.png", DISK, [(0, 0, 0), (128, 0, 0)])
    assert np.array_equal(eight_bit.read_binary_mask(tmp_path / "bw.png"), DISK)
    with pytest.raises(MedbenchError, match="colour image"):
        eight_bit.read_binary_mask(tmp_path / "voc.png")


def test_grey_borders_are_thresholded_only_where_the_release_has_them(tmp_path):
    mask = DISK.astype(np.uint8) * 255
    mask[0, :3] = (12, 112, 130)
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    with pytest.raises(MedbenchError, match="12, 112, 130"):
        eight_bit.read_binary_mask(tmp_path / "m.png")
    assert np.array_equal(eight_bit.read_binary_mask(tmp_path / "m.png", threshold=127), mask > 127)


@pytest.mark.parametrize("high", [128, 65535])
def test_a_mask_of_another_high_value_is_refused_even_with_a_threshold(tmp_path, high):
    cv2.imwrite(str(tmp_path / "m.png"), DISK.astype(np.uint16 if high > 255 else np.uint8) * high)
    with pytest.raises(MedbenchError, match=str(high)):
        eight_bit.read_binary_mask(tmp_path / "m.png", threshold=127)


def test_a_smeared_jpeg_mask_is_refused_even_with_a_threshold(tmp_path):
    cv2.imwrite(str(tmp_path / "m.jpg"), DISK.astype(np.uint8) * 255)
    with pytest.raises(MedbenchError, match="JPEG"):
        eight_bit.read_binary_mask(tmp_path / "m.jpg", threshold=127)


def test_resized_pictures_are_kept_and_made_again_when_the_file_changes(tmp_path):
    path, cache = tmp_path / "a.png", tmp_path / "cache"
    cv2.imwrite(str(path), COLOURS)
    first = eight_bit.resized_image(path, 16, cache)
    assert first.shape == (16, 16, 3)
    assert np.array_equal(eight_bit.resized_image(path, 16, cache), first)
    assert len(list(cache.rglob("*.npy"))) == 1
    cv2.imwrite(str(path), np.zeros((30, 30, 3), np.uint8))
    assert not eight_bit.resized_image(path, 16, cache).any()
