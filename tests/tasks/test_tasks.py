"""Every task through run, evaluate, report and leaderboard, with a plug-in's tiny challenges and models."""

import json
from pathlib import Path

import pytest

import medbench
from medbench.core import plugins
from medbench.core.errors import MedbenchError
from medbench.core.task import check_answers
from medbench.inference.decoding import outputs_by_task
from medbench.running.networks import suitable_models

PLUGIN = Path(__file__).with_name("plugin.py")
TASKS = ("label_map", "image_classes", "boxes", "frame_scores", "landmarks", "depth_map")


@pytest.fixture(autouse=True, scope="module")
def _plugin():
    plugins.load_plugin(PLUGIN)
    yield
    plugins._files.pop(PLUGIN, None)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_runs_scores_reports_and_enters_the_board(task, tmp_path):
    ran = medbench.run(
        model=f"tiny/{task}", challenge=f"tiny_{task}", weights="none", runs=tmp_path / "runs",
        leaderboards=tmp_path / "boards",
    )  # fmt: skip
    assert ran.exit_code == 0
    assert ran.record.counts.ok == 6
    assert ran.record.metrics["agreement"].value > 0.8
    page = (ran.folder / "report.html").read_text()
    assert "agreement" in page
    assert (tmp_path / "boards" / f"tiny_{task}" / "results.jsonl").read_text().count("\n") == 1
    again = medbench.evaluate(
        f"tiny_{task}", ran.folder / "predictions", runs=tmp_path / "runs", leaderboards=tmp_path / "boards"
    )
    assert again.record.metrics["agreement"].value == ran.record.metrics["agreement"].value


@pytest.mark.parametrize("task", TASKS)
def test_one_bad_prediction_costs_its_case_alone(task, tmp_path):
    ran = medbench.run(
        model=f"tiny/{task}", challenge=f"tiny_{task}", weights="none", runs=tmp_path / "runs",
        leaderboards=tmp_path / "boards",
    )  # fmt: skip
    predictions = sorted((ran.folder / "predictions").glob("*.json"))
    predictions[0].write_text("{}")
    again = medbench.evaluate(
        f"tiny_{task}", ran.folder / "predictions", runs=tmp_path / "other", leaderboards=tmp_path / "boards"
    )
    assert again.exit_code == 1
    assert (again.record.counts.failed, again.record.counts.ok) == (1, 5)
    rows = {row.case: row.scores["agreement"].value for row in ran.rows}
    for row in again.rows[1:]:
        assert row.scores["agreement"].value == rows[row.case]


def test_a_model_that_does_not_offer_the_task_is_refused_with_those_that_do(tmp_path):
    with pytest.raises(MedbenchError) as caught:
        medbench.run(model="tiny/boxes", challenge="tiny_depth_map", weights="none", runs=tmp_path)
    assert caught.value.code == "model.task"
    assert "makes bounding boxes" in caught.value.message
    assert "demands depth maps" in caught.value.message
    assert "tiny/depth_map" in caught.value.hint


def test_a_model_of_another_form_is_refused_with_those_that_fit(tmp_path):
    with pytest.raises(MedbenchError) as caught:
        medbench.run(model="tiny/everything", challenge="tiny_frame_scores", weights="none", runs=tmp_path)
    assert caught.value.code == "model.form"
    assert "sees images or slides" in caught.value.message
    assert "cases of Tiny frame scores are sequences" in caught.value.message
    assert "fulltransnet" in caught.value.hint
    assert "tiny/frame_scores" in suitable_models(medbench.load_challenge("tiny_frame_scores"))


def test_a_prediction_carries_exactly_what_is_demanded():
    check_answers({"boxes"}, {"boxes": []})
    for answers in ({}, {"boxes": [], "landmarks": []}, {"landmarks": []}):
        with pytest.raises(MedbenchError) as caught:
            check_answers({"boxes"}, answers)
        assert caught.value.code == "prediction.task"


def test_outputs_are_named_by_task():
    assert outputs_by_task((1, 2), ("a", "b")) == {"a": 1, "b": 2}
    assert outputs_by_task({"b": 2, "a": 1}, ("a", "b")) == {"a": 1, "b": 2}
    assert outputs_by_task(1, ("a",)) == {"a": 1}
    with pytest.raises(MedbenchError, match="no output for b"):
        outputs_by_task(1, ("a", "b"))


def test_the_references_of_the_tiny_challenges_are_answers(tmp_path):
    for task in TASKS:
        challenge = medbench.load_challenge(f"tiny_{task}")
        challenge.release.draw_sample(tmp_path / task, {})
        answers = json.loads((tmp_path / task / "answers.json").read_text())
        assert len(answers) == 12
        assert len(challenge.cases(tmp_path / task, "test")) == 6
