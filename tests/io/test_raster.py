"""Images and label maps."""

import cv2
import numpy as np
import pytest

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
