"""Evaluations in shards, by several workers and on a cluster have the rows of one call."""

import shutil

import pytest

from clusters import two_threads
from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.folders import leaderboards_folder, runs_folder
from medbench.leaderboards.results import read_results
from medbench.running.evaluate import evaluate
from medbench.running.evaluation_shards import merge_evaluation
from medbench.running.request import Inference
from medbench.running.run import run

NAME = "mine"


@pytest.fixture
def predictions(small_cvc, one_thread, tmp_path):
    finished = run(
        "mslau_net.test", "cvc_clinicdb", data=small_cvc, weights="none", inference=Inference(image_size=64)
    )
    folder = shutil.copytree(finished.folder / "predictions", tmp_path / "predictions")
    next(path for path in sorted(folder.rglob("*")) if path.is_file()).unlink()
    shutil.rmtree(runs_folder())
    shutil.rmtree(leaderboards_folder())
    return folder


def one_call(predictions, data, tmp_path, workers=2):
    folders = {"runs": tmp_path / "whole", "leaderboards": tmp_path / "boards"}
    return evaluate("cvc_clinicdb", predictions, name=NAME, data=data, workers=workers, **folders)


def test_shards_merge_into_the_rows_of_one_call(predictions, small_cvc, tmp_path, command):
    whole = one_call(predictions, small_cvc, tmp_path)
    words = ("evaluate", "-c", "cvc_clinicdb", "-p", predictions, "--data", small_cvc, "--name", NAME)
    for number in (1, 2, 3):
        told = command(*words, "--shard", f"{number}/3", "--runs", tmp_path / f"part-{number}")
        assert told.code == int("0 missing" in told.out or number == 1), told.err
    parts = [next((tmp_path / f"part-{number}").glob("*/shards/*")) for number in (1, 2, 3)]
    assert not leaderboards_folder().exists()
    told = command("merge", *parts)
    assert told.code == 1, told.err
    merged = next(runs_folder().glob("cvc_clinicdb/predictions/*"))
    assert merged.name == whole.folder.name
    assert (merged / "cases.jsonl").read_bytes() == (whole.folder / "cases.jsonl").read_bytes()
    assert [row["key"] for row in read_results(leaderboards_folder(), "cvc_clinicdb")] == [whole.record.key]
    assert "Shard 2/3 of 3 not there" in command("merge", parts[0], parts[2]).err
    copy = shutil.copytree(parts[0], tmp_path / "copy")
    assert "Shard 1/3 is there 2 times" in command("merge", *parts, copy).err
    rows = parts[1] / "2-of-3.jsonl"
    rows.write_text(rows.read_text().replace('"ok"', '"failed"', 1))
    assert "2-of-3.jsonl, line" in command("merge", *parts).err


def test_the_board_that_took_the_row_is_named(predictions, small_cvc, command):
    words = ("evaluate", "-c", "cvc_clinicdb", "-p", predictions, "--data", small_cvc)
    board = leaderboards_folder() / "cvc_clinicdb/index.html"
    assert f"Board: {board}\n" in command(*words).out
    assert board.is_file()
    first = load_challenge("cvc_clinicdb").cases(small_cvc, "test")[0].id
    assert "Board: " not in command(*words, "--cases", first).out


def test_a_cluster_gives_the_same_rows(predictions, small_cvc, tmp_path):
    whole = one_call(predictions, small_cvc, tmp_path)
    journal = (whole.folder / "cases.jsonl").read_bytes()
    with two_threads() as executor:
        again = one_call(predictions, small_cvc, tmp_path, executor)
    assert (again.folder / "cases.jsonl").read_bytes() == journal


def test_a_shard_of_other_predictions_is_refused(predictions, small_cvc, tmp_path, command):
    words = ("evaluate", "-c", "cvc_clinicdb", "-p", predictions, "--data", small_cvc)
    command(*words, "--shard", "1/1")
    folder = next(runs_folder().glob("*/shards/*"))
    changed = next(path for path in sorted(predictions.rglob("*"))[::-1] if path.is_file())
    changed.write_bytes(changed.read_bytes() + b"\0")
    assert "is not the file that its shard scored" in command("merge", folder).err
    with pytest.raises(MedbenchError, match="holds no finished shard"):
        merge_evaluation([tmp_path], {}, None)
