"""Images and label maps."""

import cv2
import numpy as np
import pytest
import tifffile

from medbench.core.errors import MedbenchError
from medbench.io import raster


def test_images_come_as_rgb(tmp_path):
    colours = np.zeros((4, 5, 3), np.uint8)
    colours[..., 0] = 200
    cv2.imwrite(str(tmp_path / "red.png"), colours[:, :, ::-1])
    assert np.array_equal(raster.read_image(tmp_path / "red.png"), colours)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_label_maps_keep_their_values(tmp_path, dtype):
    labels = np.arange(20).reshape(4, 5).astype(dtype)
    cv2.imwrite(str(tmp_path / "mask.png"), labels)
    read = raster.read_label_map(tmp_path / "mask.png")
    assert np.array_equal(read, labels)
    assert read.dtype == dtype


def test_a_grey_mask_saved_in_three_channels_is_understood(tmp_path):
    labels = np.eye(6, dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "mask.png"), np.repeat(labels[:, :, None], 3, axis=2))
    assert np.array_equal(raster.read_label_map(tmp_path / "mask.png"), labels)


def test_a_varying_alpha_channel_is_refused(tmp_path):
    image = np.zeros((4, 4, 4), np.uint8)
    image[0, 0, 3] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), image)
    with pytest.raises(MedbenchError, match="alpha"):
        raster.read_label_map(tmp_path / "mask.png")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"text"])
def test_damage_is_named(tmp_path, content):
    path = tmp_path / "mask.png"
    path.write_bytes(content)
    with pytest.raises(MedbenchError, match=r"mask\.png"):
        raster.read_label_map(path)


def test_write_and_resize_round_trip(tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, (10, 14)).astype(np.uint8)
    raster.write_label_map(tmp_path / "a" / "mask.png", labels)
    assert np.array_equal(raster.read_label_map(tmp_path / "a" / "mask.png"), labels)
    doubled = raster.resize_labels(labels, 20, 28)
    assert np.array_equal(doubled[::2, ::2], labels)
    with pytest.raises(ValueError, match="0-255"):
        raster.write_label_map(tmp_path / "mask.png", np.array([[300]]))


def test_shrinking_averages():
    checks = np.indices((8, 8)).sum(axis=0) % 2 * 200
    assert np.allclose(raster.resize_image(checks.astype(np.uint8), 4, 4), 100, atol=1)


def _pages(path, *shapes, **options):
    with tifffile.TiffWriter(path) as writer:
        for shape in shapes:
            writer.write(np.zeros(shape, np.uint8), metadata=None, **options)


STACKS = {
    "three of one size": ([(20, 30), (20, 30), (20, 30)], "several images of one size"),
    "the third of the first's size": ([(20, 30), (10, 15), (20, 30)], "several images of one size"),
    "a larger one": ([(20, 30), (40, 60)], "an image of 60 by 40 after the first of 30 by 20"),
    "one of another shape": ([(20, 30), (20, 20)], "an image of 20 by 20 after the first of 30 by 20"),
}


@pytest.mark.parametrize("kind", STACKS)
def test_a_tiff_of_several_pages_is_refused_by_name(tmp_path, kind):
    shapes, told = STACKS[kind]
    _pages(tmp_path / "a.tif", *shapes)
    for read in (raster.read_image, raster.read_label_map):
        with pytest.raises(MedbenchError, match=told):
            read(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("options", "told"),
    [({"imagej": True}, "3 images"), ({"photometric": "minisblack"}, "an array of 3×20×30")],
)
def test_a_stack_that_one_directory_announces_is_refused_by_name(tmp_path, options, told):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 20, 30), np.uint8), truncate=True, **options)
    with pytest.raises(MedbenchError, match=told):
        raster.read_image(tmp_path / "a.tif")


def test_views_of_one_image_and_planes_of_colour_are_one_image(tmp_path):
    _pages(tmp_path / "views.tif", (100, 151), (50, 76), (25, 38))
    assert raster.read_image(tmp_path / "views.tif").shape == (100, 151)
    planes = np.random.default_rng(0).integers(0, 255, (3, 20, 30), np.uint8)
    tifffile.imwrite(tmp_path / "planes.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(raster.read_image(tmp_path / "planes.tif"), np.moveaxis(planes, 0, -1))
