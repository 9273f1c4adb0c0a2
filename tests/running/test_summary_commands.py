"""Commands on SumMe and TVSum: bad input is one line by name, nothing else is lost, labels never leak."""

import json
import shutil

import h5py
import numpy as np
import pytest

from golden_files import golden
from medbench.challenges import load_challenge
from medbench.challenges.families.video_summaries.answers import write_answer
from medbench.challenges.families.video_summaries.files import file_name
from medbench.core.folders import leaderboards_folder, runs_folder
from medbench.leaderboards.boards import make_board
from medbench.leaderboards.results import read_results
from medbench.running.predict import predict
from medbench.running.train import train

TINY = {"dim": 16, "heads": 4, "encoder_layers": 1, "decoder_layers": 1, "window": 4, "ffn_dim": 32}
SET = [part for name, value in TINY.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture
def tvsum(unmarked, tmp_path):
    return shutil.copytree(unmarked("tvsum"), tmp_path / "tvsum")


def put(group, name, values):
    del group[name]
    group[name] = values


def one_frame(group):
    for name, values in (("n_frames", 1), ("picks", [0]), ("change_points", [[0, 0]])):
        put(group, name, values)


def one_shot(group):
    del group["n_frame_per_seg"]
    put(group, "change_points", [[0, int(group["n_frames"][()]) - 1]])


def changed(name, change):
    def damage(group):
        put(group, name, change(group[name][:]))

    return damage


def with_nan(values):
    values = values.astype(np.float32)
    values[6, 5] = np.nan
    return values


def ragged(group):
    del group["user_summary"]
    rows = group.create_dataset("user_summary", (3,), h5py.vlen_dtype(np.float32))
    for place, length in enumerate((5, 6, 7)):
        rows[place] = np.ones(length)


DAMAGES = {
    "video_1": (lambda group: group.pop("change_points"), "data.array_missing"),
    "video_15": (changed("picks", lambda picks: picks + 100_000), "summary.picks"),
    "video_16": (changed("features", lambda values: values[:, :512]), "features.width"),
    "video_21": (changed("features", with_nan), "features.not_finite"),
    "video_31": (one_frame, "video.one_frame"),
    "video_33": (one_shot, "video.one_shot"),
    "video_34": (
        lambda group: put(group, "features", h5py.ExternalLink("other.h5", "/x")),
        "file.refers_elsewhere",
    ),
}
ANNOTATION_DAMAGES = {
    "video_35": (changed("user_summary", with_nan), "annotation.not_finite"),
    "video_38": (ragged, "data.not_real"),
    "video_43": (changed("user_summary", lambda values: values[:, :-9]), "annotation.length"),
}


def rows_of(challenge):
    files = runs_folder().glob(f"{challenge}/*/*/cases.jsonl")
    (path,) = [path for path in files if path.parts[-3] != "references"]
    return {row["case"]: row for row in map(json.loads, path.read_text().splitlines())}


@pytest.mark.slow
def test_every_bad_video_is_one_line_and_the_others_are_scored(command, tvsum):
    with h5py.File(tvsum / file_name("tvsum"), "a") as file:
        for key, (damage, _) in (DAMAGES | ANNOTATION_DAMAGES).items():
            if key != "video_43":
                damage(file[key])
    done = command("run", "-m", "baseline/uniform", "-c", "tvsum", "--data", tvsum, "--split", "fold1")
    assert done.code == 1
    assert "Traceback" not in done.err + done.out
    rows = rows_of("tvsum")
    assert len(rows) == 10
    assert [key for key, row in rows.items() if row["status"] == "ok"] == ["video_43"]
    for key, (_, code) in DAMAGES.items():
        assert rows[key]["evidence"]["refusal"] == code, rows[key]
        assert [line for line in done.err.splitlines() if f"{key}:" in line]
    checked = command("data", "check", "tvsum", tvsum, "--json")
    assert checked.code == 1
    errors = [f["message"] for f in json.loads(checked.out) if f["severity"] == "error"]
    for key in (DAMAGES | ANNOTATION_DAMAGES).keys() - {"video_43"}:
        assert [message for message in errors if key in message]


@pytest.mark.slow
@pytest.mark.parametrize("key", ANNOTATION_DAMAGES)
def test_bad_annotations_are_told_by_name_and_drop_no_annotator(key, command, tvsum):
    damage, code = ANNOTATION_DAMAGES[key]
    with h5py.File(tvsum / file_name("tvsum"), "a") as file:
        damage(file[key])
    done = command("run", "-m", "baseline/uniform", "-c", "tvsum", "--data", tvsum, "--split", "fold1")
    assert done.code == 1
    rows = rows_of("tvsum")
    assert sum(row["status"] == "ok" for row in rows.values()) == 9
    assert rows[key]["evidence"]["refusal"] == code
    assert all(score["status"] == "undefined" for score in rows[key]["scores"].values())
    line = next(line for line in done.err.splitlines() if f"{key}:" in line)
    assert ("annotator 7 of 20" in line) == (code == "annotation.not_finite")


def test_a_fold_that_names_an_absent_video_is_refused(command, tvsum):
    with h5py.File(tvsum / file_name("tvsum"), "a") as file:
        del file["video_16"]
    done = command("run", "-m", "baseline/uniform", "-c", "tvsum", "--data", tvsum, "--split", "fold1")
    assert done.code == 2
    assert "has no video_16, which split fold1 names" in done.err
    assert "[split.absent_video]" in done.err


@pytest.mark.slow
def test_a_video_longer_than_the_network_fails_alone(command, unmarked):
    with h5py.File(unmarked("summe") / file_name("summe")) as file:
        steps = {f"video_{number}": int(file[f"video_{number}/n_steps"][()]) for number in (1, 7, 8, 13, 22)}
    length = sorted(steps.values())[2]
    longer = {key for key, count in steps.items() if count > length}
    done = command(
        "run", "-m", "fulltransnet", "-c", "summe", "--data", unmarked("summe"), "--split", "fold1",
        "--weights", "none", *SET, "--set", f"length={length}",
    )  # fmt: skip
    rows = rows_of("summe")
    assert done.code == 1
    assert 0 < len(longer) < len(rows)
    assert {key for key, row in rows.items() if row["status"] == "failed"} == longer
    assert all(rows[key]["evidence"]["refusal"] == "model.input" for key in longer)


@pytest.mark.slow
def test_what_is_no_summary_is_refused_by_name(command, unmarked, tmp_path):
    """Importance scores, NaN, a summary of sampled frames, transposed annotators, nothing at all."""
    challenge = load_challenge("tvsum")
    cases = challenge.cases(unmarked("tvsum"), "fold1")
    bad = {
        "video_1": (lambda t: {"summary": np.linspace(0, 1, t.n_frames)}, "summary.not_binary"),
        "video_15": (lambda t: {"summary": np.full(t.n_frames, np.nan)}, "summary.not_binary"),
        "video_16": (lambda t: {"summary": np.ones(len(t.picks), np.uint8)}, "summary.length"),
        "video_21": (lambda t: {"summary": np.zeros((t.n_frames, 3), np.uint8)}, "summary.length"),
        "video_31": (lambda t: {"scores": np.zeros(len(t.picks) + 1)}, "scores.length"),
        "video_33": (lambda t: {"scores": np.full(len(t.picks), np.inf)}, "scores.not_finite"),
        "video_34": (lambda t: {"nothing": np.zeros(3)}, "prediction.empty"),
    }
    for case in cases:
        timeline = challenge.release.timeline(case)
        good = lambda t: {"scores": np.arange(len(t.picks), dtype=float)}  # noqa: E731
        make, _ = bad.get(case.id, (good, ""))
        write_answer(tmp_path / "p" / f"{case.id}.npz", make(timeline))
    (tmp_path / "p" / "video_43.npz").unlink()
    done = command(
        "evaluate", "-c", "tvsum", "--data", unmarked("tvsum"), "--split", "fold1", "-p", tmp_path / "p"
    )
    assert done.code == 1
    rows = rows_of("tvsum")
    for key, (_, code) in bad.items():
        assert (rows[key]["status"], rows[key]["evidence"]["refusal"]) == ("failed", code)
        assert [line for line in done.err.splitlines() if f"{key}.npz:" in line or f"{key}:" in line]
    assert rows["video_43"]["status"] == "missing"
    assert [key for key, row in rows.items() if row["status"] == "ok"] == ["video_35", "video_38"]


def annotators_answers(name, root, folder):
    challenge = load_challenge(name)
    for case in challenge.cases(root, "annotations"):
        challenge.exchange.annotators_answer(case, folder)


@pytest.mark.slow
@pytest.mark.exhaustive  # values: tests/challenges/test_video_summaries.py
@pytest.mark.parametrize("name", ["summe", "tvsum"])
def test_real_annotators_reach_the_published_values(name, command, shared_data, tmp_path):
    """Every annotator's summary as a prediction, that annotator left out of the reference."""
    root = shared_data / "tvsum_summe"
    annotators_answers(name, root, tmp_path / "p")
    done = command("evaluate", "-c", name, "--data", root, "--split", "annotations", "-p", tmp_path / "p")
    assert done.code == 0, done.err
    (path,) = runs_folder().glob(f"{name}/predictions/*/record.json")
    metrics = json.loads(path.read_text())["metrics"]
    anchors = golden("vsumm_real_anchors.json")
    if name == "summe":
        expected = anchors["summe_human_leave_one_out"]
        assert metrics["f_max"]["value"] == pytest.approx(expected["max"], abs=1e-9)
        assert metrics["f_mean"]["value"] == pytest.approx(expected["mean"], abs=1e-9)
        assert (round(expected["mean"], 4), round(expected["max"], 4)) == (0.3107, 0.5433)
    else:
        expected = anchors["tvsum_human_rank_every15"]
        for rank, published in (("kendall", 0.177), ("spearman", 0.204)):
            assert metrics[rank]["value"] == pytest.approx(expected[rank], abs=1e-9)
            assert metrics[rank]["value"] == pytest.approx(published, abs=6e-4)
    assert metrics["f_over_random"]["value"] > 1.5
    assert "F over random" in done.out


def test_labels_of_a_test_video_reach_no_weight_and_no_prediction(unmarked, tmp_path):
    """The default form, trained: another ground truth of a test video changes no byte of a prediction."""
    predicted = []
    for place in ("one", "other"):
        root = shutil.copytree(unmarked("summe"), tmp_path / place)
        if place == "other":
            shutil.rmtree(root / "GT")
            with h5py.File(root / file_name("summe"), "a") as file:
                for name in ("user_summary", "gtscore", "gtsummary"):
                    file[f"video_7/{name}"][...] = np.flip(file[f"video_7/{name}"][:], axis=-1)
        weights = train(
            "fulltransnet", "summe", recipe="quick", recipe_changes={"epochs": 1, "least_steps": 0},
            data=root, options=TINY, runs=tmp_path / f"runs_{place}", split="fold1_train",
        )  # fmt: skip
        predict("fulltransnet", "summe", tmp_path / f"p_{place}", data=root, split="fold1", weights=weights)
        files = (tmp_path / f"p_{place}" / "predictions").glob("*.npz")
        predicted.append({path.name: path.read_bytes() for path in files})
    assert len(predicted[0]) == 5
    assert predicted[0] == predicted[1]


@pytest.mark.slow
@pytest.mark.exhaustive  # five folds in one record and rows set apart: test_video_summaries.py
@pytest.mark.parametrize("name", ["tvsum", "summe"])
def test_the_published_form_runs_whole_and_is_never_ranked(name, command):
    """On the sample, five folds in one record; its rows stand apart from those of what saw no labels."""
    options = [*SET, "--set", "length=200", "--recipe-set", "epochs=1", "--recipe-set", "least_steps=0"]
    for split in (f"fold{number}_train" for number in range(1, 6)):
        trained = command(
            "train", "-m", "fulltransnet.published", "-c", name, "--recipe", "quick", "--split", split,
            *options,
        )  # fmt: skip
        assert trained.code == 0, trained.err
    done = command("run", "-m", "fulltransnet.published", "-c", name, *options[:-4])
    assert done.code == 0, done.err
    assert command("run", "-m", "baseline/random", "-c", name).code == 0
    rows = read_results(leaderboards_folder(), name)
    tables = make_board(load_challenge(name), rows).measured
    apart = [table for table in tables if table.mark]
    ranked = [table for table in tables if not table.mark]
    assert len(apart) == len(ranked) == 2
    for table in apart:
        assert table.mark == "saw the test labels"
        assert "not ranked: saw the test labels" in table.title
        assert "FullTransNet" in table.entries[0].name
    for table in ranked:
        assert not [entry for entry in table.entries if "FullTransNet" in entry.name]
