"""Runs in shards have the bytes of one run; a missing, doubled or changed shard is named."""

import json
import shutil

import pytest

from medbench.challenges import load_challenge
from medbench.core.folders import leaderboards_folder, runs_folder
from medbench.leaderboards.results import read_results
from medbench.running.request import Inference
from medbench.running.run import run
from medbench.running.shard import write_shard

WORDS = ("run", "-m", "mslau_net.test", "-c", "cvc_clinicdb", "--weights", "none", "--image-size", "64")


@pytest.fixture(scope="module")
def whole(small_cvc, one_thread, tmp_path_factory):
    place = tmp_path_factory.mktemp("whole")
    return run(
        "mslau_net.test",
        "cvc_clinicdb",
        data=small_cvc,
        weights="none",
        inference=Inference(image_size=64),
        runs=place / "runs",
        leaderboards=place / "boards",
    )


@pytest.fixture
def parts(whole, small_cvc, tmp_path, command):
    """Three shards, each in a folder of its own, as three machines leave them."""
    for number in (1, 2, 3):
        told = command(
            *WORDS, "--data", small_cvc, "--shard", f"{number}/3", "--runs", tmp_path / f"part-{number}"
        )
        assert told.code == 0, told.err
        assert f"Shard {number}/3: " in told.out
    return [next((tmp_path / f"part-{number}").glob("*/shards/*")) for number in (1, 2, 3)]


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_shards_merge_into_the_bytes_of_one_run(whole, parts, command, monkeypatch):
    assert not leaderboards_folder().exists()
    monkeypatch.setattr("medbench.running.job.resolve", lambda *_: pytest.fail("a network was asked for"))
    told = command("merge", *parts)
    assert told.code == 0, told.err
    merged = next(runs_folder().glob("cvc_clinicdb/mslau_net.test/*"))
    assert merged.name == whole.folder.name
    assert (merged / "cases.jsonl").read_bytes() == (whole.folder / "cases.jsonl").read_bytes()
    assert contents(merged / "predictions") == contents(whole.folder / "predictions")
    rows = read_results(leaderboards_folder(), "cvc_clinicdb")
    assert [row["key"] for row in rows] == [whole.record.key]
    of_time = {"started", "finished", "time_s", "environment"}
    ours, theirs = (json.loads((folder / "record.json").read_text()) for folder in (merged, whole.folder))
    assert {k: v for k, v in ours.items() if k not in of_time} == {
        k: v for k, v in theirs.items() if k not in of_time
    }
    assert ours["time_s"].keys() == theirs["time_s"].keys()


def test_a_missing_doubled_or_changed_shard_is_named(parts, tmp_path, command):
    assert "Shard 2/3 of 3 not there" in command("merge", parts[0], parts[2]).err
    copy = shutil.copytree(parts[0], tmp_path / "copy")
    assert "Shard 1/3 is there 2 times" in command("merge", *parts, copy).err
    mask = next(path for path in (parts[2] / "3-of-3/predictions").rglob("*.*") if path.is_file())
    mask.write_bytes(mask.read_bytes() + b"\0")
    told = command("merge", *parts)
    assert told.code == 2
    assert f"{mask}: is not the file that its shard wrote" in told.err
    rows = parts[1] / "2-of-3/cases.jsonl"
    rows.write_text(rows.read_text().replace('"ok"', '"failed"', 1))
    assert "2-of-3/cases.jsonl, line" in command("merge", *parts).err
    assert not list(runs_folder().glob("*/*/*/record.json"))


@pytest.mark.parametrize("fault", ["edited", "no hash", "cut off", "two lines"])
def test_what_a_shard_says_of_the_record_carries_its_hash(parts, command, fault):
    path = parts[1] / "2-of-3.json"
    text = path.read_text()
    entry = json.loads(text)
    assert '"seed": 0' in text
    del entry["sha256"]
    path.write_text(
        {
            "edited": text.replace('"seed": 0', '"seed": 1'),
            "no hash": json.dumps(entry),
            "cut off": text[:-20],
            "two lines": text * 2,
        }[fault]
    )
    told = command("merge", *parts)
    assert told.code == 2
    assert f"{path}: was edited or cut off" in told.err
    assert not list(runs_folder().glob("*/*/*/record.json"))


def test_a_damaged_shard_is_mended_by_its_command(parts, small_cvc, command):
    path = parts[1] / "2-of-3.json"
    path.write_text(path.read_text()[:-20])
    assert "Repeat the command of its shard" in command("merge", *parts).err
    told = command(*WORDS, "--data", small_cvc, "--shard", "2/3", "--runs", parts[1].parents[2])
    assert told.code == 0, told.err
    assert command("merge", *parts).code == 0


def test_a_repeated_shard_predicts_nothing_anew(parts, small_cvc, command, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in parts[0].rglob("*.png")}
    entry = (parts[0] / "1-of-3.json").read_bytes()
    told = command(*WORDS, "--data", small_cvc, "--shard", "1/3", "--runs", parts[0].parents[2])
    assert told.code == 0, told.err
    assert {path: path.stat().st_mtime_ns for path in parts[0].rglob("*.png")} == before
    assert (parts[0] / "1-of-3.json").read_bytes() == entry


def test_other_data_and_options_without_effect_are_refused(parts, small_cvc, tmp_path, command):
    other = shutil.copytree(small_cvc, tmp_path / "other")
    image = load_challenge("cvc_clinicdb").cases(other, "test")[0].inputs["image"]
    image.write_bytes(image.read_bytes() + b"\0")
    told = command("merge", *parts, "--data", other)
    assert "holds other files than those that the shards predicted" in told.err
    assert "--output has no effect on shards of a run" in command("merge", *parts, "-o", tmp_path / "x").err
    told = command(*WORDS, "--data", small_cvc, "--shard", "1/2", "--profile")
    assert "--profile has no effect with --shard" in told.err
    assert "is no shard" in command(*WORDS, "--shard", "3/2").err


@pytest.mark.parametrize("entry", ["folder", "whole", "run"])
def test_a_shard_from_elsewhere_names_no_folder_of_its_own(parts, command, entry):
    path = parts[0] / "1-of-3.json"
    for part, number in zip(parts, (1, 2, 3), strict=True):
        file = part / f"{number}-of-3.json"
        shard = json.loads(file.read_text())
        if entry == "folder":
            shard["run"]["folder"] = "../../elsewhere"
        else:
            shard[entry] = "../../elsewhere"
        del shard["sha256"]
        write_shard(file, shard)
    told = command("merge", *parts)
    assert told.code == 2
    assert f"{path}: is no file of a run's shard" in told.err
    assert not list(runs_folder().rglob("record.json"))


def test_a_prediction_behind_a_link_out_of_its_shard_is_not_taken(parts, tmp_path, command):
    mask = next(path for path in (parts[0] / "1-of-3/predictions").rglob("*.*") if path.is_file())
    mask.rename(tmp_path / "outside.png")
    mask.symlink_to(tmp_path / "outside.png")
    told = command("merge", *parts)
    assert told.code == 2
    assert f"{mask}: is not the file that its shard wrote" in told.err
