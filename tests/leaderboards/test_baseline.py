"""The constant baseline in boards and reports: who is marked, and by which difference."""

import json
from functools import partial

import pytest

from medbench.challenges import load_challenge
from medbench.leaderboards.baseline import AGAINST, CONSTANT, find_constant, not_above, with_differences
from medbench.leaderboards.boards import make_board
from medbench.leaderboards.rendering import FORMATS, markdown
from medbench.leaderboards.results import read_results, run_of_row
from medbench.running.report import report
from medbench.running.request import Inference
from medbench.running.run import run
from medbench.running.train import train

CHALLENGE = load_challenge("cvc_clinicdb")
DICE = CHALLENGE.card.metric("dice")
HD = next(metric for metric in load_challenge("iugc2024").metrics if metric.better == "lower")


def measured(value, low, high, **more):
    metrics = {"dice": {"value": value, "ci95": [low, high]}, HD.name: {"value": value, "ci95": [low, high]}}
    return {"key": "k", "metrics": metrics, **more}


CONSTANT_ROW = measured(0.5, 0.4, 0.6, key="c")


@pytest.mark.parametrize(
    ("metric", "own", "verdict"),
    [
        (DICE, measured(0.7, 0.6, 0.8), ""),
        (DICE, measured(0.7, 0.45, 0.8), "not above constant"),
        (DICE, measured(0.3, 0.2, 0.4), "not above constant"),
        (DICE, measured(0.7, None, None), "no interval against constant"),
        (DICE, measured(0.3, None, None), "not above constant"),
        (DICE, measured(0.5, 0.5, 0.5), "not above constant"),
        (DICE, measured(None, None, None), ""),
        (HD, measured(0.3, 0.2, 0.4), ""),
        (HD, measured(0.3, 0.2, 0.55), "not above constant"),
        (HD, measured(0.7, 0.6, 0.8), "not above constant"),
    ],
)
def test_a_row_is_marked_unless_its_interval_lies_on_the_better_side(metric, own, verdict):
    assert not_above(metric, own, CONSTANT_ROW) == verdict


def test_the_paired_difference_decides_where_it_is_on_record():
    pair = {"run": "c", "differences": {"dice": [0.2, 0.1, 0.3]}}
    wide = measured(0.7, 0.45, 0.8)
    assert not_above(DICE, {**wide, AGAINST: pair}, CONSTANT_ROW) == ""
    other = {**pair, "run": "of another baseline"}
    assert not_above(DICE, {**wide, AGAINST: other}, CONSTANT_ROW) == "not above constant"
    touching = {**pair, "differences": {"dice": [0.2, 0.0, 0.3]}}
    narrow = {**measured(0.7, 0.6, 0.8), AGAINST: touching}
    assert not_above(DICE, narrow, CONSTANT_ROW) == "not above constant"


def row(title, value, key, **more):
    cell = {"value": value, "ci95": [value - 0.1, value + 0.1], "convention": "x", "counts": [10, 0, 0, 0]}
    return {
        "key": key * 16,
        "data": "real",
        "split": "test",
        "manifest_sha256": "m" * 64,
        "title": title,
        "recipe": None,
        "subset": False,
        "split_rule": "by sequence",
        "split_sha256": "f" * 64,
        "counts": {"total": 10, "ok": 10, "failed": 0, "missing": 0},
        "metrics": dict.fromkeys(("dice", "iou", "dice_256", "iou_256"), cell),
        **more,
    }


def test_every_form_of_a_board_shows_the_mark_or_what_is_lacking():
    rows = [row("Good", 0.9, "g"), row("Poor", 0.55, "p")]
    lacking = make_board(CHALLENGE, rows)
    assert "medbench run -m baseline/constant -c cvc_clinicdb --split test --data DIR" in markdown(lacking)
    constant = row("constant answer", 0.5, "c", model=CONSTANT)
    board = make_board(CHALLENGE, [*rows, constant])
    names = [entry.name for entry in board.measured[0].entries]
    assert names == ["Good", "Poor [not above constant]", "constant answer"]
    for _, render in FORMATS.values():
        page = render(board)
        assert "Poor [not above constant]" in page
        assert "Good [" not in page
        assert "is not in this table yet" not in page


def test_the_marks_are_explained_only_where_a_row_is_marked():
    constant = row("constant answer", 0.5, "c", model=CONSTANT)
    good, poor = row("Good", 0.9, "g"), row("Poor", 0.55, "p")
    explained = "Rows marked [not above constant] have not been shown to lie above the constant baseline in"
    for rows, count in (([good, poor, constant], 1), ([good, constant], 0)):
        board = make_board(CHALLENGE, rows)
        (table,) = [table for table in board.measured if "dice" in [m.name for m in table.metrics]]
        assert table.note.count(explained) == count
        assert ("not been shown to lie" in markdown(board)) == bool(count)


def test_uniform_scores_are_the_constant_answer_of_summaries():
    uniform = row("uniform scores", 0.5, "u", model="reference", reference_row=True)
    people = row("annotators", 0.9, "a", model="reference", reference_row=True)
    board = make_board(CHALLENGE, [people, uniform, row("Good", 0.9, "g"), row("Poor", 0.55, "p")])
    names = [entry.name for entry in board.measured[0].entries]
    assert names[:2] == ["Good", "Poor [not above constant]"]
    assert not any("constant]" in name for name in names[2:])
    assert "above the constant baseline (uniform scores) in" in markdown(board)


def test_runs_before_and_after_the_baseline_get_their_paired_difference(small_cvc, tmp_path, one_thread):
    places = {"data": small_cvc, "runs": tmp_path / "runs", "leaderboards": tmp_path / "boards"}
    settings = {"weights": "none", "inference": Inference(image_size=64)}

    def untrained(seed):
        return run("medformer.test", "cvc_clinicdb", seed=seed, **settings, **places)

    before = untrained(0)
    assert "constant baseline" not in (before.folder / "report.html").read_text()
    train(CONSTANT, "cvc_clinicdb", data=small_cvc, runs=places["runs"])
    constant = run(CONSTANT, "cvc_clinicdb", **places)
    after = untrained(1)
    assert find_constant(after.record, places["runs"]).record.key == constant.record.key
    read = partial(run_of_row, places["leaderboards"], "cvc_clinicdb")
    stored = read_results(places["leaderboards"], "cvc_clinicdb")
    assert all(entry["sealed"] for entry in stored)
    rows = {entry["key"]: entry for entry in with_differences(stored, read, CHALLENGE)}
    assert AGAINST not in rows[constant.record.key]
    for finished in (before, after):
        pair = rows[finished.record.key][AGAINST]
        assert pair["run"] == constant.record.key
        own, other = (each.record.metrics["dice"].value for each in (finished, constant))
        assert pair["differences"]["dice"][0] == pytest.approx(own - other)
    page = (after.folder / "report.html").read_text()
    assert "Not shown to lie above the constant baseline" in page
    assert "paired difference" in page
    assert "constant baseline" not in (constant.folder / "report.html").read_text()
    again = report(before.folder, data=small_cvc, runs=places["runs"], output=tmp_path / "again.html")
    assert "Not shown to lie above the constant baseline" in again.read_text()
    board = (places["leaderboards"] / "cvc_clinicdb" / "README.md").read_text()
    assert board.count("constant]") >= 2
    assert json.loads((constant.folder / "record.json").read_text())["model"]["name"] == CONSTANT
