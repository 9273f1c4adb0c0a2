"""The simulator draws what it says."""

import cv2
import numpy as np
import pytest

from medbench.challenges.simulators.anatomy import Oval, progression_angle
from medbench.challenges.simulators.ultrasound import draw_frame, draw_video
from medbench.core.errors import MedbenchError
from medbench.metrics.tasks.biometry import aop_contour


def clip(number, **options):
    return draw_video(np.random.default_rng([7, number]), **{"n_frames": 1, "size": 256, **options})


def frame(number, **options):
    return draw_frame(np.random.default_rng([11, number]), **options)


@pytest.fixture(scope="module")
def positives():
    return [clip(number, n_frames=2) for number in range(50)]


@pytest.fixture(scope="module")
def negatives():
    return [clip(number, n_frames=2, standard_plane="none") for number in range(100, 150)]


@pytest.mark.parametrize("standard_plane", ["all", "none", "mixed"])
def test_the_same_seed_draws_the_same_bytes(standard_plane):
    options = {"n_frames": 3, "standard_plane": standard_plane}
    first, other, again = clip(0, **options), clip(1, **options), clip(0, **options)
    for name in ("frames", "labels", "standard_plane"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert not np.array_equal(first.frames, other.frames)


@pytest.mark.slow
def test_anatomy_is_that_of_the_challenge(positives):
    angles = [aop_contour(drawn.labels[-1]).aop for drawn in positives]
    assert 70 < min(angles) < 90
    assert 135 < max(angles) < 155
    assert np.histogram(angles, [70, 90, 110, 130, 155])[0].min() >= 5
    for drawn in positives:
        share = [(drawn.labels == label).mean() for label in (1, 2)]
        assert 0.013 < share[0] < 0.024
        assert 0.11 < share[1] < 0.24


def test_the_angle_drawn_is_the_angle_measured():
    for number in range(12):
        drawn = frame(number, height=512, width=512)
        measured = aop_contour(drawn.labels).aop
        assert measured == pytest.approx(progression_angle(drawn.symphysis, drawn.head), abs=4)


def test_the_angle_of_circle_and_level_axis_is_known():
    symphysis = Oval(0.4, 0.2, 0.1, 0.05, 0.0)
    head = Oval(0.3, 0.7, 0.2, 0.2, 0.0)
    expected = 90.0
    assert progression_angle(symphysis, head) == pytest.approx(expected, abs=0.05)
    assert progression_angle(symphysis, Oval(0.5, 0.2, 0.2, 0.2, 0.0)) is None


def test_structures_are_whole_and_do_not_touch(positives):
    for drawn in positives:
        for labels in drawn.labels:
            symphysis, head = ((labels == label).astype(np.uint8) for label in (1, 2))
            assert cv2.connectedComponents(symphysis)[0] == 2
            assert cv2.connectedComponents(head)[0] == 2
            assert not (cv2.dilate(symphysis, np.ones((3, 3), np.uint8)) & head).any()


def test_the_skull_is_drawn_on_the_outline_of_its_label():
    brighter = []
    for number in range(20):
        drawn = frame(number, height=540, width=800, content="transthalamic_head")
        head = (drawn.labels == 2).astype(np.uint8)
        inner = cv2.erode(head, np.ones((9, 9), np.uint8))
        deep = cv2.erode(head, np.ones((61, 61), np.uint8))
        band, inside = (head > 0) & (inner == 0), deep > 0
        brighter.append(drawn.image[band].mean() / drawn.image[inside].mean())
    assert np.median(brighter) > 1.5


def test_heads_are_darker_than_what_surrounds_them(positives):
    contrast = []
    for drawn in positives:
        head = (drawn.labels[0] == 2).astype(np.uint8)
        ring = cv2.dilate(head, np.ones((41, 41), np.uint8)) - cv2.dilate(head, np.ones((7, 7), np.uint8))
        inner = cv2.erode(head, np.ones((13, 13), np.uint8))
        contrast.append(drawn.frames[0][inner > 0].mean() / drawn.frames[0][ring > 0].mean())
    assert np.median(contrast) < 0.85


@pytest.mark.slow
def test_classes_of_the_three_kinds_of_video():
    assert clip(1, n_frames=6, standard_plane="all").standard_plane.all()
    assert not clip(2, n_frames=6, standard_plane="none").standard_plane.any()
    for number in range(3, 8):
        mixed = clip(number, n_frames=24, size=96, standard_plane="mixed").standard_plane
        assert not mixed[0]
        assert mixed[-1]
        assert np.count_nonzero(np.diff(mixed.astype(int))) == 1


@pytest.mark.slow
def test_brightness_does_not_tell_the_class(positives, negatives):
    for statistic in (np.mean, np.std, lambda grey: np.percentile(grey, 95), lambda grey: grey[100:].mean()):
        positive, negative = (
            np.array([statistic(drawn.frames[0]) for drawn in kind]) for kind in (positives, negatives)
        )
        area = (positive[:, None] > negative).mean()
        assert 0.25 < area < 0.75


def test_speckle_partly_stays_from_frame_to_frame():
    drawn = clip(3, n_frames=2).frames.astype(float)
    fine = [grey - cv2.GaussianBlur(grey, (0, 0), 4) for grey in drawn]
    inside = drawn.min(axis=0) > 10
    alike = np.corrcoef(fine[0][inside], fine[1][inside])[0, 1]
    assert 0.3 < alike < 0.97


def test_nothing_is_drawn_outside_the_sector(positives):
    for drawn in positives:
        corners = drawn.frames[:, :20, [0, 1, -2, -1]]
        assert not corners.any()
        assert not drawn.labels[:, :20, [0, 1, -2, -1]].any()


@pytest.mark.parametrize("size", [96, 512])
def test_any_size(size):
    drawn = clip(5, size=size)
    assert drawn.frames.shape == drawn.labels.shape == (1, size, size)
    assert drawn.frames.dtype == drawn.labels.dtype == np.uint8


@pytest.mark.parametrize(
    ("content", "expected"),
    [("symphysis_and_head", {0, 1, 2}), ("symphysis", {0, 1}), ("head", {0, 2})],
)
def test_single_images_hold_what_is_asked_for(content, expected):
    drawn = frame(2, content=content)
    assert drawn.image.shape == (256, 256)
    assert set(np.unique(drawn.labels)) == expected
    assert (drawn.symphysis is None) == (1 not in expected)
    assert (drawn.head is None) == (2 not in expected)


def test_a_transthalamic_head_is_the_ellipse_it_reports():
    for number in range(10):
        drawn = frame(number, height=540, width=800, content="transthalamic_head")
        assert drawn.image.shape == (540, 800)
        x, y, a, b, degrees = drawn.pixels(drawn.head)
        expected = np.zeros((540, 800), np.uint8)
        cv2.ellipse(expected, ((x, y), (2 * a, 2 * b), degrees), 1, -1)
        head = drawn.labels == 2
        assert (head & (expected > 0)).sum() * 2 / (head.sum() + expected.sum()) > 0.985


def test_requests_that_cannot_be_met():
    with pytest.raises(MedbenchError) as caught:
        clip(0, n_frames=0)
    assert caught.value.code == "synthesis.frames"
    with pytest.raises(MedbenchError) as caught:
        frame(0, height=200, width=300)
    assert caught.value.code == "synthesis.shape"
