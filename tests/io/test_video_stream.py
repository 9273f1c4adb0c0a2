"""Videos through PyAV: decoded to the end, sampled, cut with their sound."""

import os
import shutil
import struct
from fractions import Fraction

import numpy as np
import pytest

from medbench.core.errors import MedbenchError
from medbench.inference.video_shots import find_shots, sample_video
from medbench.io.video import write_video
from medbench.io.video_stream import cut_video, frames_at, iterate_frames, video_facts

av = pytest.importorskip("av")
RATE, SECONDS, SCENES = 25, 6, (40, 45, 65)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Three scenes with a tone each."""
    path = tmp_path_factory.mktemp("video") / "scenes.mp4"
    with av.open(str(path), "w") as output:
        picture = output.add_stream("mpeg4", rate=RATE)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = output.add_stream("aac", rate=48000, layout="stereo")
        for index, scene in enumerate(np.repeat(np.arange(3), SCENES)):
            frame = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), 60 + 70 * scene, np.uint8), format="rgb24"
            )
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            output.mux(picture.encode(frame))
        output.mux(picture.encode())
        for block in range(SECONDS * 10):
            time = (block * 4800 + np.arange(4800)) / 48000
            wave = (0.2 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
            frame.rate, frame.pts, frame.time_base = 48000, block * 4800, Fraction(1, 48000)
            output.mux(sound.encode(frame))
        output.mux(sound.encode())
    return path


def test_every_frame_comes_in_order(video):
    facts = video_facts(video)
    assert (facts.frames_per_second, facts.width, facts.height, facts.sound) == (25, 64, 48, True)
    times = [(index, time_s) for index, time_s, _ in iterate_frames(video)]
    assert [index for index, _ in times] == list(range(150))
    assert times[-1][1] == pytest.approx(149 / 25, abs=1e-3)
    bright = [frame.mean() for frame in frames_at(video, [0, 50, 149])]
    assert bright == pytest.approx([60, 130, 200], abs=6)


def test_a_summary_keeps_its_frames_and_their_sound(video, tmp_path):
    cut_video(video, tmp_path / "cut.mp4", lambda index: 40 <= index < 85)
    frames = [frame.to_ndarray(format="rgb24").mean() for _, _, frame in iterate_frames(tmp_path / "cut.mp4")]
    assert len(frames) == 45
    assert frames == pytest.approx([130] * 45, abs=8)
    with av.open(str(tmp_path / "cut.mp4")) as container:
        length = container.streams.audio[0].duration * container.streams.audio[0].time_base
    assert float(length) == pytest.approx(45 / 25, abs=0.1)
    with pytest.raises(MedbenchError) as caught:
        cut_video(video, tmp_path / "none.mp4", lambda index: False)
    assert caught.value.code == "summary.empty"
    assert not (tmp_path / "none.mp4").exists()


def test_a_video_that_ends_early_is_refused(video, tmp_path):
    content = video.read_bytes()
    for place, part in enumerate((content[: len(content) // 2], b"no video", b"")):
        path = tmp_path / f"{place}.mp4"
        path.write_bytes(part)
        with pytest.raises(MedbenchError, match=f"{place}.mp4") as caught:
            list(iterate_frames(path))
        assert caught.value.code == "file.corrupt"
    with pytest.raises(MedbenchError) as caught:
        video_facts(tmp_path / "absent.mp4")
    assert caught.value.code == "file.unreadable"


def test_a_pause_in_the_time_stamps_is_no_fault(shared_data):
    path = shared_data.parent / "field_cases" / "video-frame-count" / "paused.avi"
    assert sum(1 for _ in iterate_frames(path)) == 40


def read_all(path):
    return [frame.to_ndarray(format="rgb24").mean() for _, _, frame in iterate_frames(path)]


@pytest.mark.timeout(20)
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "nowhere.mp4").symlink_to(tmp_path / "gone.mp4")
    (tmp_path / "itself.mp4").symlink_to(tmp_path / "itself.mp4")
    (tmp_path / "device.mp4").symlink_to("/dev/zero")
    codes = {
        "pipe": "file.not_regular", "folder": "file.not_regular", "device": "file.not_regular",
        "nowhere": "file.link_dangling", "itself": "file.link_dangling",
    }  # fmt: skip
    for name, code in codes.items():
        for read in (video_facts, read_all):
            with pytest.raises(MedbenchError, match=f"{name}.mp4") as caught:
                read(tmp_path / f"{name}.mp4")
            assert caught.value.code == code


def test_a_list_of_other_videos_is_no_video(video, tmp_path):
    """FFmpeg would open the files and addresses that these name."""
    lists = (
        f"ffconcat version 1.0\nfile {video}\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:6,\n{video}\n#EXT-X-ENDLIST\n",
    )
    for content in lists:
        path = tmp_path / "list.mp4"
        path.write_text(content)
        with pytest.raises(MedbenchError) as caught:
            read_all(path)
        assert caught.value.code == "file.corrupt"


def test_what_was_checked_is_what_is_decoded(video, tmp_path):
    """A file that is exchanged while it is read does not change what is read."""
    path = tmp_path / "a.mp4"
    shutil.copy(video, path)
    frames = iterate_frames(path)
    bright = [next(frames)[2].to_ndarray(format="rgb24").mean()]
    path.unlink()
    path.write_bytes(b"something else")
    bright += [frame.to_ndarray(format="rgb24").mean() for _, _, frame in frames]
    assert bright == read_all(video)


def test_every_stored_image_of_motion_jpeg_decodes(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (8, 48, 64, 3), np.uint8)
    path = tmp_path / "a.avi"
    write_video(path, frames)
    assert len(read_all(path)) == 8
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\xff\xd8\xff", b"\0\0\0", 3))
    with pytest.raises(MedbenchError, match="frame 0 is damaged"):
        read_all(path)


def test_a_frame_of_vast_size_is_refused(tmp_path):
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("rawvideo", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr24"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="bgr24")))
    assert video_facts(path).width == 64
    content = bytearray(path.read_bytes())
    at = content.index(b"strf") + 12
    content[at : at + 8] = struct.pack("<ii", 16_000, 16_000)
    path.write_bytes(content)
    with pytest.raises(MedbenchError) as caught:
        video_facts(path)
    assert caught.value.code == "file.too_large"
    content[at : at + 8] = struct.pack("<ii", 1 << 30, 1 << 30)
    path.write_bytes(content)
    with pytest.raises(MedbenchError) as caught:
        video_facts(path)
    assert caught.value.code == "file.corrupt"


class Brightness:
    """Stands for the network: features that tell the scenes apart."""

    sha256 = "x"

    def of(self, frames):
        levels = [round(float(frame.mean()) / 70) for frame in frames]
        return np.eye(4, dtype=np.float32)[levels].repeat(256, axis=1)


@pytest.mark.parametrize(("sampling", "step"), [("every_15th", 15), ("two_a_second", 12.5)])
def test_sampling_by_count_or_by_time(video, sampling, step):
    sampled = sample_video(video, Brightness(), sampling)
    assert sampled.n_frames == 150
    assert sampled.picks.tolist() == [int(np.ceil(step * k)) for k in range(len(sampled.picks))]
    assert sampled.features.shape == (len(sampled.picks), 1024)
    assert (sampled.change_points[0, 0], sampled.change_points[-1, 1]) == (0, 149)


def test_shots_change_where_features_do():
    features = np.repeat(np.eye(3, 1024), [20, 10, 30], axis=0).astype(np.float32)
    shots = find_shots(features, np.arange(60) * 15, 899)
    assert shots.tolist() == [[0, 299], [300, 449], [450, 898]]
