"""Videos are decoded in order, and truncation is noticed."""

import numpy as np
import pytest

from medbench.core.errors import MedbenchError
from medbench.io import video


@pytest.fixture
def counted(tmp_path):
    """Twenty frames whose brightness is their number."""
    frames = np.repeat(np.arange(20, dtype=np.uint8) * 12, 48 * 64).reshape(20, 48, 64)
    video.write_video(tmp_path / "counted.avi", frames)
    return tmp_path / "counted.avi"


def test_frames_by_their_true_index(counted):
    frames = video.read_frames(counted)
    assert frames.shape == (20, 48, 64, 3)
    assert video.count_frames(counted) == 20
    for index in (0, 1, 7, 19):
        assert np.array_equal(video.read_frame(counted, index), frames[index])
        assert abs(float(frames[index].mean()) - 12 * index) < 2


def test_a_frame_beyond_the_end_is_an_error(counted):
    with pytest.raises(MedbenchError, match="no frame 20"):
        video.read_frame(counted, 20)


@pytest.mark.parametrize("keep", [0, 10, 3000, 0.6])
def test_a_truncated_video_is_an_error(counted, keep):
    content = counted.read_bytes()
    counted.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(MedbenchError, match=r"counted\.avi"):
        video.read_frames(counted)


def test_resized_frames_are_decoded_once_and_again_after_a_change(counted, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = video.resized_frames(counted, 32, cache)
    assert first.shape == (20, 32, 32, 3)
    with monkeypatch.context() as patch:
        patch.setattr(video, "read_frames", lambda path: pytest.fail("decoded again"))
        assert np.array_equal(video.resized_frames(counted, 32, cache), first)
    video.write_video(counted, np.zeros((3, 48, 64), np.uint8))
    assert video.resized_frames(counted, 32, cache).shape[0] == 3
