"""What a repeat and a part of a split say, and reports of data that this machine remembers."""

import re
import shutil

import pytest

from medbench.core.errors import MedbenchError
from medbench.core.folders import cache_folder, leaderboards_folder
from medbench.leaderboards.results import read_results
from medbench.running.evaluate import evaluate
from medbench.running.report import report
from medbench.running.request import Inference
from medbench.running.run import run

SETTINGS = {"weights": "none", "inference": Inference(image_size=64)}
WORDS = ("run", "-m", "mslau_net.test", "-c", "cvc_clinicdb", "--weights", "none", "--image-size", "64")


@pytest.fixture
def first(small_cvc, one_thread):
    return run("mslau_net.test", "cvc_clinicdb", data=small_cvc, **SETTINGS)


def test_a_repeat_with_nothing_to_do_says_so_and_writes_nothing(first, small_cvc, command):
    files = {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()}
    told = command(*WORDS, "--data", small_cvc)
    assert re.search(r"^10 of 10 cases are kept from \d\d:\d\d; nothing to do\.$", told.out, re.MULTILINE)
    assert "finished by an earlier call" not in told.out
    assert {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()} == files


def test_a_repeat_still_adds_a_row_that_is_gone(first, small_cvc):
    shutil.rmtree(leaderboards_folder())
    again = run("mslau_net.test", "cvc_clinicdb", data=small_cvc, **SETTINGS)
    assert again.kept
    assert [row["key"] for row in read_results(leaderboards_folder(), "cvc_clinicdb")] == [first.record.key]


def test_a_repeat_writes_a_damaged_record_anew(first, small_cvc):
    (first.folder / "record.json").write_text("{}")
    again = run("mslau_net.test", "cvc_clinicdb", data=small_cvc, **SETTINGS)
    assert not again.kept
    assert again.record.metrics == first.record.metrics
    assert (first.folder / "record.json").stat().st_size > 100


def test_a_part_of_a_split_enters_no_board_and_says_so(small_cvc, command, one_thread):
    told = command(*WORDS, "--data", small_cvc, "--cases", "10*")
    assert "Only cases like '10*', a part of the split: no row was added to the leaderboard." in told.out
    assert not leaderboards_folder().exists()
    assert "no row was added" not in command(*WORDS, "--data", small_cvc).out


def test_a_report_finds_the_data_of_its_run(first, small_cvc, tmp_path):
    page = report(first.folder, output=tmp_path / "page.html")
    assert page.stat().st_size > 1000
    shared = [path for path in first.folder.rglob("*") if path.suffix in (".json", ".jsonl", ".html", ".txt")]
    assert not [path for path in shared if str(small_cvc) in path.read_text()]
    shutil.rmtree(cache_folder() / "data-of-runs")
    with pytest.raises(MedbenchError, match="the run was on real data"):
        report(first.folder, output=tmp_path / "other.html")


def test_a_report_finds_the_predictions_of_an_evaluation(first, small_cvc, tmp_path):
    predictions = shutil.copytree(first.folder / "predictions", tmp_path / "predictions")
    scored = evaluate("cvc_clinicdb", predictions, data=small_cvc)
    assert report(scored.folder, output=tmp_path / "page.html").exists()
    shutil.rmtree(predictions)
    with pytest.raises(MedbenchError, match="there is no such folder"):
        report(scored.folder, output=tmp_path / "other.html")
