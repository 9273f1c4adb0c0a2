"""Random changes of volumes keep image and labels together."""

import numpy as np
import pytest
from scipy import ndimage

from medbench.training.volume_augmentation import PLANES, mirrored, rescaled, rotated


class Chosen:
    """A generator that answers plane and angle."""

    def __init__(self, plane, angle):
        self.answers = [plane, angle]

    def integers(self, *_):
        return self.answers.pop(0)


def block():
    labels = np.zeros((20, 24, 28), np.int64)
    labels[6:12, 9:17, 5:20] = 2
    return np.stack([labels, -labels]).astype(np.float32), labels


@pytest.mark.parametrize("plane", range(3))
@pytest.mark.parametrize("angle", [-10, 0, 9])
def test_turning_is_that_of_a_nearest_neighbour_rotation(plane, angle):
    patch, labels = block()
    _, turned = rotated(patch, labels, np.zeros(2, np.float32), Chosen(plane, angle))
    expected = ndimage.rotate(labels, angle, PLANES[plane][::-1], reshape=False, order=0)
    assert turned.shape == labels.shape
    assert (turned != expected).mean() < 0.002
    assert angle == 0 or (turned != labels).any()


@pytest.mark.parametrize("seed", range(6))
def test_image_and_labels_stay_together(seed):
    patch, labels = block()
    rng = np.random.default_rng(seed)
    patch, labels = mirrored(*rotated(patch, labels, np.zeros(2, np.float32), rng), rng)
    assert (patch[0] == labels).all()
    assert (patch[1] == -labels).all()


def test_corners_are_background_in_the_image_and_in_the_labels():
    patch, labels = np.full((2, 16, 16, 16), 5, np.float32), np.ones((16, 16, 16), np.int64)
    patch, labels = rotated(patch, labels, np.array([-3, -4], np.float32), Chosen(2, 9))
    outside = labels == 0
    assert outside[:, 0, -1].all() or outside[:, 0, 0].all()
    assert (patch[0] == np.where(outside, -3, 5)).all()
    assert (patch[1] == np.where(outside, -4, 5)).all()


@pytest.mark.parametrize("by_plane", [False, True])
def test_values_are_scaled_by_channel_or_by_plane(by_plane):
    patch = np.ones((2, 6, 4, 4), np.float32)
    varied = rescaled(patch, np.random.default_rng(0), by_plane=by_plane)
    assert len(np.unique(varied)) == (12 if by_plane else 2)
    assert np.ptp(varied, axis=(2, 3)).max() == 0
    assert np.abs(varied - 1).max() < (0.2 if by_plane else 0.1)


def test_mirroring_reverses_each_axis_half_of_the_time():
    patch, labels = block()
    rng = np.random.default_rng(0)
    found = {mirrored(patch, labels, rng)[1].tobytes() for _ in range(60)}
    assert len(found) == 8
