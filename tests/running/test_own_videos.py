"""``medbench data prepare`` and ``medbench summarize`` on small videos with sound, by their commands."""

import json
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch

import medbench
from drawn_videos import draw_video, heard, loudest_hz, tone_hz
from medbench.challenges import load_challenge
from medbench.challenges.families.video_summaries.annotations import RawVideo, rebuilt
from medbench.challenges.families.video_summaries.files import file_name
from medbench.inference.weights import save_checkpoint
from medbench.io.raster import read_image
from medbench.io.video_stream import iterate_frames

pytest.importorskip("av")
TINY = {"dim": 16, "heads": 4, "encoder_layers": 1, "decoder_layers": 1, "window": 4, "ffn_dim": 32}
FACTS = {"model": "fulltransnet", "challenge": "tvsum", "split": "fold1_train"}
SCENES = (60, 75, 90, 120)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    draw_video(folder / "birthday.mp4", SCENES)
    draw_video(folder / "train.mkv", (90, 60, 75), sound=False, rate=25)
    return folder


@pytest.fixture(scope="module")
def bad(tmp_path_factory, videos):
    """Videos that cannot be used, and one that can."""
    folder = tmp_path_factory.mktemp("bad")
    shutil.copy(videos / "birthday.mp4", folder / "whole.mp4")
    content = (videos / "birthday.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(content[: len(content) // 2])
    content = (videos / "train.mkv").read_bytes()
    (folder / "short.mkv").write_bytes(content[: len(content) * 2 // 3])
    (folder / "text.mp4").write_text("no video")
    (folder / "empty.avi").write_bytes(b"")
    (folder / "script.mp4").write_text("ffconcat version 1.0\nfile whole.mp4\n")
    draw_video(folder / "one.mp4", (1,), sound=False)
    draw_video(folder / "still.mp4", (150,))
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small network as medbench train leaves it."""
    torch.manual_seed(0)
    network = medbench.create_model("fulltransnet", num_classes=1, **TINY)
    path = tmp_path_factory.mktemp("weights") / "weights.pt"
    save_checkpoint(path, network.state_dict(), FACTS | {"options": TINY})
    return path


def prepared(command, folder, output, *options):
    return command("data", "prepare", "tvsum", "--videos", folder, "-o", output, *options)


def arrays_of(path, key):
    with h5py.File(path) as file:
        return {name: file[key][name][()] for name in file[key]}, dict(file.attrs)


def test_features_need_weights_or_a_word_for_random_ones(command, videos, tmp_path):
    refused = prepared(command, videos, tmp_path / "own.h5")
    assert refused.code == 2
    assert "[prepare.no_weights]" in refused.err
    assert "--random-weights" in refused.err
    assert not (tmp_path / "own.h5").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("sampling", "step"), [("every_15th", 15), ("two_a_second", 12.5)])
def test_videos_become_the_released_layout(command, videos, tmp_path, sampling, step):
    path = tmp_path / file_name("tvsum")
    done = prepared(command, videos, path, "--random-weights", "--sampling", sampling)
    assert done.code == 0, done.err
    arrays, told = arrays_of(path, "video_2")
    assert arrays["video_name"] == b"train"
    assert (arrays["n_frames"], arrays["features"].shape[1]) == (225, 1024)
    assert arrays["picks"].tolist() == [int(np.ceil(step * k)) for k in range(int(arrays["n_steps"]))]
    assert len(arrays["features"]) == arrays["n_steps"] == int(np.ceil(225 / step))
    shots = arrays["change_points"]
    assert (shots[0, 0], shots[-1, 1]) == (0, 224)
    assert arrays["n_frame_per_seg"].tolist() == (shots[:, 1] - shots[:, 0] + 1).tolist()
    starts = [next(pick for pick in arrays["picks"] if pick >= place) for place in (90, 150)]
    assert shots[1:, 0].tolist() == starts
    assert told["sampling"] == sampling
    assert "random weights" in told["feature_weights_sha256"]
    predicted = command(
        "predict", "-m", "baseline/random", "-c", "tvsum", "--data", tmp_path, "--split", "all",
        "-o", tmp_path / "answers",
    )  # fmt: skip
    assert predicted.code == 0, predicted.err
    scores = np.load(tmp_path / "answers" / "predictions" / "video_2.npz")["scores"]
    assert scores.shape == arrays["picks"].shape


@pytest.mark.slow
def test_raw_annotations_become_summaries_under_their_own_numbers(command, videos, tmp_path):
    rng = np.random.default_rng(3)
    ratings = rng.integers(1, 6, (20, sum(SCENES)))
    other = rng.integers(1, 6, (20, 40))
    rows = [("elsewhere", row) for row in other] + [("birthday", row) for row in ratings]
    table = "".join(f"{name}\tXX\t{','.join(map(str, row))}\n" for name, row in rows)
    (tmp_path / "ydata-tvsum50-anno.tsv").write_text(table)
    path = tmp_path / file_name("tvsum")
    done = prepared(command, videos, path, "--random-weights", "--annotations", tmp_path)
    assert done.code == 0, done.err
    with h5py.File(path) as file:
        names = {key: group["video_name"][()].decode() for key, group in file.items()}
        assert "user_summary" not in file["video_4"]
    assert names == {"video_2": "birthday", "video_4": "train"}
    release = load_challenge("tvsum").release
    case = next(case for case in release.cases(tmp_path, "all") if case.id == "video_2")
    timeline = release.timeline(case)
    stored, expected = release.annotations(case, timeline), rebuilt(RawVideo("x", ratings, True), timeline)
    assert np.array_equal(stored.summaries, expected.summaries)
    assert np.array_equal(stored.ratings, expected.ratings)
    assert stored.scores == pytest.approx(expected.scores, abs=1e-6)
    evaluated = command(
        "run", "-m", "baseline/random", "-c", "tvsum", "--data", tmp_path, "--split", "all",
        "--cases", "video_2",
    )  # fmt: skip
    assert evaluated.code == 0, evaluated.err


@pytest.mark.slow
def test_bad_videos_lose_no_other_one(command, bad, tmp_path):
    done = prepared(command, bad, tmp_path / file_name("tvsum"), "--random-weights")
    assert done.code == 1
    lines = done.err.splitlines() + done.out.splitlines()
    for name in ("cut.mp4", "short.mkv", "text.mp4", "empty.avi", "script.mp4", "one.mp4"):
        (line,) = [line for line in lines if f"/{name}:" in line]
        told = "1 frame, 1 sampled." if name == "one.mp4" else "cannot be decoded to its end"
        assert told in line
    assert "without 6 videos that failed" in done.out
    assert "Traceback" not in done.err
    with h5py.File(tmp_path / file_name("tvsum")) as file:
        names = {group["video_name"][()] for group in file.values()}
    assert names == {b"whole", b"still"}
    predicted = command(
        "predict", "-m", "baseline/uniform", "-c", "tvsum", "--data", tmp_path, "--split", "all",
        "-o", tmp_path / "answers",
    )  # fmt: skip
    assert predicted.code == 1
    assert "is a single shot of 150 frames" in predicted.err + predicted.out
    assert len(list((tmp_path / "answers" / "predictions").glob("*.npz"))) == 1


@pytest.mark.slow
def test_two_videos_of_one_name_are_told_apart_or_refused(command, videos, tmp_path):
    folder = tmp_path / "twins"
    shutil.copytree(videos, folder)
    shutil.copy(folder / "birthday.mp4", folder / "birthday.mov")
    ratings = np.random.default_rng(3).integers(1, 6, (20, sum(SCENES)))
    table = "".join(f"birthday\tXX\t{','.join(map(str, row))}\n" for row in ratings)
    (folder / "ydata-tvsum50-anno.tsv").write_text(table)
    done = prepared(command, folder, tmp_path / "own.h5", "--random-weights")
    assert done.code == 1
    assert "another video of this folder is called birthday too" in done.err + done.out


@pytest.mark.parametrize(("name", "reason"), [("none", "there is no such folder."), (".", "holds no video")])
def test_a_folder_without_videos_is_refused(command, tmp_path, name, reason):
    done = prepared(command, tmp_path / name, tmp_path / "own.h5", "--random-weights")
    assert done.code == 2
    assert "[data.empty]" in done.err
    assert f": {reason}" in done.err


@pytest.mark.slow
def test_a_summary_has_its_frames_sound_facts_and_sheet(command, videos, weights, tmp_path):
    output = tmp_path / "summary.mp4"
    done = command(
        "summarize", "-m", "fulltransnet", "--weights", weights, videos / "birthday.mp4",
        "-o", output, "--random-features", "--share", "0.45",
    )  # fmt: skip
    assert done.code == 0, done.err
    told = json.loads(output.with_suffix(".json").read_text())
    chosen = [shot for shot in told["shots"] if shot["chosen"]]
    assert 0 < len(chosen) < len(told["shots"])
    assert f"{len(chosen)} of {len(told['shots'])} shots" in done.out
    assert told["shots"][0]["first_frame"] == 0
    assert told["shots"][-1]["last_frame"] == told["frames"] - 1 == sum(SCENES) - 1
    assert len(told["scores"]) == len(told["picks"]) == sum(SCENES) // 15
    frames = sum(shot["last_frame"] - shot["first_frame"] + 1 for shot in chosen)
    assert told["summary_frames"] == frames <= 0.45 * sum(SCENES)
    assert told["share"] == pytest.approx(frames / sum(SCENES), abs=1e-6)
    assert "random weights" in told["features"]
    assert sum(1 for _ in iterate_frames(output)) == frames
    assert len(heard(output)) / 48000 == pytest.approx(frames / 30, abs=0.1)
    owners, start = np.repeat(np.arange(len(SCENES)), SCENES), 0.0
    for shot in chosen:
        length = shot["end_s"] - shot["start_s"]
        middle = owners[(shot["first_frame"] + shot["last_frame"]) // 2]
        piece = heard(output)[int((start + 0.3 * length) * 48000) : int((start + 0.7 * length) * 48000)]
        assert loudest_hz(piece) == pytest.approx(tone_hz(middle), abs=10)
        start += length
    sheet = np.asarray(read_image(output.with_suffix(".jpg")))
    assert sheet.shape == (240 * -(-len(chosen) // 4), 320 * min(len(chosen), 4), 3)
    assert {path.name for path in tmp_path.iterdir()} == {"summary.mp4", "summary.json", "summary.jpg"}


@pytest.mark.slow
def test_a_silent_video_is_summarised_without_sound(command, videos, tmp_path):
    import av

    done = command(
        "summarize", "-m", "baseline/random", videos / "train.mkv", "-o", tmp_path / "s.mp4",
        "--random-features", "--share", "0.5", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert json.loads(done.out)["frames"] == 225
    with av.open(str(tmp_path / "s.mp4")) as container:
        assert not container.streams.audio


REFUSED = {
    "no weights": (("whole.mp4", "-m", "fulltransnet"), "weights.none"),
    "sees labels": (("whole.mp4", "-m", "fulltransnet.published"), "model.needs_reference"),
    "no frames scored": (("whole.mp4", "-m", "dssau_net"), "model.task"),
    "one frame": (("one.mp4",), "video.one_frame"),
    "one shot": (("still.mp4",), "video.one_shot"),
    "cut": (("cut.mp4",), "file.corrupt"),
    "ends early": (("short.mkv",), "file.corrupt"),
    "no video": (("text.mp4",), "file.corrupt"),
    "names another file": (("script.mp4",), "file.corrupt"),
    "absent": (("absent.mp4",), "file.unreadable"),
    "nothing fits": (("whole.mp4", "--share", "0.01"), "summary.empty"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_summarised_is_one_line_and_leaves_nothing(kind, command, bad, tmp_path):
    (video, *options), code = REFUSED[kind]
    model = () if "-m" in options else ("-m", "baseline/uniform")
    output = tmp_path / "out" / "s.mp4"
    done = command("summarize", bad / video, *model, *options, "-o", output, "--random-features")
    assert done.code == 2
    error, _hint = [line for line in done.err.splitlines() if line.startswith(("error:", "hint:"))]
    assert f"[{code}]" in error
    assert "Traceback" not in done.err
    assert not output.parent.exists() or not list(output.parent.iterdir())


@pytest.mark.parametrize("name", ["whole.mp4", "summary.avi", "summary.json"])
def test_a_summary_never_overwrites_the_video_or_its_own_facts(name, command, bad, tmp_path):
    shutil.copy(bad / "whole.mp4", tmp_path / "whole.mp4")
    before = (tmp_path / "whole.mp4").read_bytes()
    done = command(
        "summarize", "-m", "baseline/uniform", tmp_path / "whole.mp4", "-o", tmp_path / name,
        "--random-features",
    )  # fmt: skip
    assert done.code == 2
    assert "[summary.output]" in done.err
    assert (tmp_path / "whole.mp4").read_bytes() == before


@pytest.mark.slow
def test_a_video_longer_than_the_network_is_refused_by_length(command, videos, tmp_path):
    options = TINY | {"length": 8}
    network = medbench.create_model("fulltransnet", num_classes=1, **options)
    save_checkpoint(tmp_path / "w.pt", network.state_dict(), FACTS | {"options": options})
    done = command(
        "summarize", "-m", "fulltransnet", "--weights", tmp_path / "w.pt", videos / "birthday.mp4",
        "-o", tmp_path / "s.mp4", "--random-features",
    )  # fmt: skip
    assert done.code == 2
    assert "[model.input]" in done.err
    assert "23 frames" in done.err


PEAK = """
import resource, sys
import numpy as np
from pathlib import Path
from medbench.inference.video_shots import sample_video
from medbench.io.video_stream import cut_video

class Extractor:
    sha256 = "x"

    def of(self, frames):
        return np.stack([np.resize(frame[:2, :2].astype(np.float32), 1024) for frame in frames])

video = sample_video(Path(sys.argv[1]), Extractor())
cut_video(Path(sys.argv[1]), Path(sys.argv[2]), lambda index: True)
print(video.n_frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path):
    """1,400 frames more, 310 MiB of values: none of them is kept."""
    peaks = {}
    for frames in (200, 1600):
        path = draw_video(tmp_path / f"{frames}.mp4", (frames // 2,) * 2, size=(240, 320), sound=False)
        output = subprocess.run(
            [sys.executable, "-c", PEAK, str(path), str(tmp_path / "cut.mp4")],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        count, peaks[frames] = map(int, output.split())
        assert count == frames
    assert peaks[1600] - peaks[200] < 60
