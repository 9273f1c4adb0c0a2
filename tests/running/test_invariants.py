"""A record whose numbers contradict one another is not published."""

import importlib
import re

import numpy as np
import pytest

from medbench.challenges.iugc2024.scoring import IUGC2024Scorer
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.folders import leaderboards_folder, runs_folder
from medbench.core.score import Score
from medbench.io.nifti_mha import write_volume
from medbench.running import folders, pair_scores
from medbench.running.request import Inference
from medbench.running.run import run

FAST = Inference(image_size=128)


def predict(data):
    return run("dssau_net.test", "iugc2024", data=data, weights="none", inference=FAST)


def test_impossible_scores_refuse_the_record_and_name_the_case(small_iugc, monkeypatch):
    original = IUGC2024Scorer.score_file

    def too_good(self, case, path):
        scores = original(self, case, path)
        if "dice_ps" in scores.scores:
            return type(scores)({**scores.scores, "dice_ps": Score(1.5)}, scores.evidence)
        return scores

    monkeypatch.setattr(IUGC2024Scorer, "score_file", too_good)
    with pytest.raises(
        MedbenchError, match=r"Case \S+: ps: dice.plus_one 1.5 is outside its range"
    ) as caught:
        predict(small_iugc)
    assert caught.value.code == "record.invariant"
    (journal,) = runs_folder().rglob("cases.jsonl")
    assert not (journal.parent / "record.json").exists()
    assert not list(leaderboards_folder().rglob("results.jsonl"))


def test_a_lost_case_refuses_the_record(small_iugc, monkeypatch):
    running = importlib.import_module("medbench.running.run")
    original = running.predict_cases

    def forgetful(*arguments, **options):
        rows, timing = original(*arguments, **options)
        return rows[:-1], timing

    monkeypatch.setattr(running, "predict_cases", forgetful)
    with pytest.raises(MedbenchError, match="do not add up"):
        predict(small_iugc)


def test_a_folder_evaluation_is_refused_too(tmp_path, monkeypatch):
    labels = np.zeros((4, 8, 8), np.uint8)
    labels[1:3, 2:6, 2:6] = 1
    for side in ("ref", "pred"):
        write_volume(tmp_path / side / "p7.nii.gz", Volume(labels, (1.0, 1.0, 1.0)))
    monkeypatch.setattr(
        pair_scores, "evaluate_maps", lambda *_, **__: {"1": {"dice": Score(0.5), "iou": Score(0.5)}}
    )
    with pytest.raises(MedbenchError, match=r"Case p7: 1: iou 0.5 is not dice/\(2 - dice\)"):
        folders.evaluate_folders(tmp_path / "ref", tmp_path / "pred", ["dice", "iou"])


def test_the_command_ends_with_two_and_one_line(small_iugc, monkeypatch, capsys):
    from medbench.cli.main import main

    original = IUGC2024Scorer.score_file

    def too_far(self, case, path):
        scores = original(self, case, path)
        distances = {name: Score(-1.0) for name in scores.scores if name == "hd_ps"}
        return type(scores)({**scores.scores, **distances}, scores.evidence)

    monkeypatch.setattr(IUGC2024Scorer, "score_file", too_far)
    arguments = ["run", "-m", "dssau_net.test", "-c", "iugc2024", "--data", str(small_iugc)]
    monkeypatch.setattr("sys.argv", ["medbench", *arguments, "--weights", "none", "--image-size", "128"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert re.search(r"Case \S+: ps: hd\S* -1 is outside its range .*\[record\.invariant\]$", line)
    assert list(runs_folder().rglob("cases.jsonl"))
    assert not list(runs_folder().rglob("record.json"))
    assert not list(leaderboards_folder().rglob("results.jsonl"))
