"""The simulator draws what it says."""

import numpy as np
import pytest

from medbench.challenges.synthesis.ultrasound import draw_video
from medbench.metrics.biometry import aop_contour


def clip(number, **options):
    return draw_video(np.random.default_rng([7, number]), **{"n_frames": 1, "size": 256, **options})


def test_the_same_seed_draws_the_same_bytes():
    first, second = clip(0, n_frames=3), clip(0, n_frames=3)
    assert np.array_equal(first.frames, second.frames)
    assert np.array_equal(first.labels, second.labels)
    assert not np.array_equal(first.frames, clip(1, n_frames=3).frames)


def test_anatomy_is_that_of_the_challenge():
    angles = []
    for number in range(40):
        drawn = clip(number)
        share = [(drawn.labels[0] == label).mean() for label in (1, 2)]
        assert 0.010 < share[0] < 0.026
        assert 0.11 < share[1] < 0.21
        angles.append(aop_contour(drawn.labels[0]).aop)
    assert 70 < min(angles) < 100
    assert 120 < max(angles) < 155


def test_classes_of_the_three_kinds_of_video():
    assert clip(1, n_frames=6, standard_plane="all").standard_plane.all()
    assert not clip(2, n_frames=6, standard_plane="none").standard_plane.any()
    mixed = clip(3, n_frames=24, standard_plane="mixed").standard_plane
    assert not mixed[0]
    assert mixed[-1]
    assert np.count_nonzero(np.diff(mixed.astype(int))) == 1


def test_structures_show_and_brightness_alone_does_not_tell_the_class():
    positive = [clip(number) for number in range(12)]
    contrast = [drawn.frames[0][drawn.labels[0] == 2].mean() / drawn.frames[0].mean() for drawn in positive]
    assert np.median(contrast) < 0.9
    negative = [clip(number, standard_plane="none") for number in range(100, 112)]
    means = [[drawn.frames[0].mean() for drawn in kind] for kind in (positive, negative)]
    assert max(means[0]) > min(means[1])
    assert max(means[1]) > min(means[0])


@pytest.mark.parametrize("size", [96, 512])
def test_any_size(size):
    drawn = clip(5, size=size)
    assert drawn.frames.shape == drawn.labels.shape == (1, size, size)
    assert drawn.frames.dtype == np.uint8
