"""Paired statistics against figures worked out otherwise."""

import dataclasses
import itertools
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.stats
from typer.testing import CliRunner

from medbench.challenges import load_challenge
from medbench.cli.compare import _legend
from medbench.cli.main import app
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow
from medbench.core.score import Score
from medbench.leaderboards.compare import compare_runs
from medbench.leaderboards.compare_page import write_comparison
from medbench.leaderboards.rank import rank_runs
from medbench.records.figures import Figure
from medbench.records.reading import Run, find_run
from medbench.records.tables import heading, spread_rows
from medbench.running.comparison import comparison
from medbench.running.evaluate import evaluate
from medbench.running.report import report
from medbench.statistics.paired import FIRST_ORDER, INVERSION, holm

SHIPPED = Path(__file__).parents[2] / "leaderboards"

CHALLENGE = load_challenge("cvc_clinicdb")
runner = CliRunner()


def invoke(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def evaluated(moved):
    """Three folders of predictions, the references moved by 0, 2 and 8 pixels, scored."""
    return moved(0, 2, 8)


def made_up(template, values, groups, metric="dice"):
    """A run with these values of one metric."""
    rows = {
        f"c{index}": CaseRow(f"c{index}", str(group), "ok", {metric: Score(float(value))}, {})
        for index, (value, group) in enumerate(zip(values, groups, strict=True))
    }
    return Run(template.record, rows, template.folder)


def test_holm_agrees_with_its_definition():
    p = [0.001, 0.2, 0.03, 0.03, 0.9]
    assert holm(p) == pytest.approx([0.005, 0.4, 0.12, 0.12, 0.9])
    assert holm([0.5, 0.6]) == [1.0, 1.0]


def test_difference_and_tests_of_ungrouped_cases_are_scipys(evaluated):
    runs, folders = evaluated
    template = find_run(folders[0], runs)
    rng = np.random.default_rng(3)
    one = rng.uniform(0.4, 0.9, 9)
    other = one + rng.normal(0.03, 0.05, 9)
    first, second = (made_up(template, values, range(9)) for values in (one, other))
    (found,) = [d for d in compare_runs([first, second], ["dice"])]
    assert found.difference == pytest.approx((other - one).mean())
    assert found.values == pytest.approx((one.mean(), other.mean()))
    assert (found.cases, found.groups, found.left_out) == (9, 9, 0)
    assert found.p_wilcoxon == pytest.approx(scipy.stats.wilcoxon(other - one).pvalue)
    changes = other - one
    signs = np.array(list(itertools.product((-1, 1), repeat=9)))
    exact = (np.abs(signs @ changes) >= abs(changes.sum()) - 1e-12).mean()
    assert found.p_permutation == pytest.approx(exact)


def test_groups_are_exchanged_as_a_whole(evaluated):
    runs, folders = evaluated
    template = find_run(folders[0], runs)
    groups = np.repeat(np.arange(6), (2, 3, 1, 4, 2, 3))
    rng = np.random.default_rng(5)
    one = rng.uniform(0.4, 0.9, len(groups))
    other = one + rng.normal(0.02, 0.01, 6)[groups]
    (found,) = compare_runs([made_up(template, v, groups) for v in (one, other)], ["dice"])
    sums = np.bincount(groups, other - one)
    signs = np.array(list(itertools.product((-1, 1), repeat=6)))
    exact = (np.abs(signs @ sums) >= abs(sums.sum()) - 1e-12).mean()
    assert found.p_permutation == pytest.approx(exact)
    means = sums / np.bincount(groups)
    assert found.p_wilcoxon == pytest.approx(scipy.stats.wilcoxon(means).pvalue)
    assert found.groups == 6
    assert found.interval.low < found.difference < found.interval.high


def test_an_interval_of_many_cases_is_that_of_the_mean_difference(evaluated):
    runs, folders = evaluated
    template = find_run(folders[0], runs)
    rng = np.random.default_rng(11)
    one = rng.uniform(0.3, 0.6, 400)
    changes = rng.normal(0.02, 0.1, 400)
    (found,) = compare_runs([made_up(template, v, range(400)) for v in (one, one + changes)], ["dice"])
    assert found.interval.method == INVERSION
    half = 1.96 * changes.std(ddof=1) / 20
    assert found.interval.low == pytest.approx(changes.mean() - half, abs=0.002)
    assert found.interval.high == pytest.approx(changes.mean() + half, abs=0.002)


def test_false_alarms_are_as_rare_as_they_should_be(evaluated):
    runs, folders = evaluated
    template = find_run(folders[0], runs)
    rng = np.random.default_rng(17)
    alarms = 0
    for _ in range(60):
        one, other = rng.normal(0.5, 0.1, (2, 10))
        (found,) = compare_runs([made_up(template, v, range(10)) for v in (one, other)], ["dice"])
        alarms += found.p_permutation < 0.05
    assert alarms <= 9


def test_three_runs_are_compared_in_pairs_and_corrected_together(evaluated):
    runs, folders = evaluated
    differences = compare_runs([find_run(folder, runs) for folder in folders])
    assert len(differences) == 3 * len(CHALLENGE.metrics)
    headline = [d for d in differences if d.metric.headline]
    assert 0 < len(headline) < len(differences)
    assert [d.p_permutation_holm for d in headline] == holm([d.p_permutation for d in headline])
    assert [d.p_wilcoxon_holm for d in headline] == holm([d.p_wilcoxon for d in headline])
    assert {d.hypotheses for d in headline} == {len(headline)}
    others = [d for d in differences if not d.metric.headline]
    assert {(d.p_permutation_holm, d.p_wilcoxon_holm, d.hypotheses) for d in others} == {(None, None, 0)}
    first_to_last = next(d for d in differences if (d.metric.name, "moved-8" in d.second) == ("dice", True))
    assert first_to_last.difference < 0
    assert all(d.groups == 3 for d in differences)


def test_equal_runs_differ_by_nothing(evaluated):
    runs, folders = evaluated
    run = find_run(folders[1], runs)
    differences = compare_runs([run, run], ["dice", "precision_256"])
    assert not any("cannot reach" in line for line in _legend(differences))
    for difference in differences:
        assert difference.difference == 0
        assert difference.p_permutation == 1
        assert difference.p_wilcoxon == 1


@pytest.mark.parametrize("noise", [0.0, 1e-16])
def test_five_hundred_identical_pairs_differ_by_nothing(evaluated, noise):
    runs, folders = evaluated
    template = find_run(folders[0], runs)
    values = np.random.default_rng(0).beta(9, 2, 500)
    (row,) = compare_runs([made_up(template, v, range(500)) for v in (values, values + noise)], ["dice"])
    assert row.p_permutation == row.p_wilcoxon == row.least_p == 1.0
    assert (row.interval.low, row.interval.high) == (0.0, 0.0)
    assert (row.by_group.wins, row.by_group.ties, row.by_group.losses) == (0, 500, 0)
    assert row.by_group.rank_biserial is None


def test_drawn_exchanges_give_no_p_below_the_least_that_there_is(evaluated):
    """Seven of 57 groups differ, so that p is 2/128; of 10,000 drawn exchanges some samples hold fewer."""
    runs, folders = evaluated
    template = find_run(folders[0], runs)
    one = np.full(57, 0.5)
    pair = [made_up(template, v, range(57)) for v in (one, one + 0.1 * (np.arange(57) < 7))]
    drawn = [compare_runs(pair, ["dice"], seed=seed)[0] for seed in range(8)]
    assert {row.least_p for row in drawn} == {2 / 128}
    assert min(row.p_permutation for row in drawn) == 2 / 128
    assert max(row.p_permutation for row in drawn) < 0.02


def test_a_named_family_is_corrected_alone(evaluated):
    runs, folders = evaluated
    pair = [find_run(folder, runs) for folder in folders[:2]]
    rows = compare_runs(pair, ["precision_256", "dice"])
    assert {row.hypotheses for row in rows} == {2}
    assert [row.p_permutation_holm for row in rows] == holm([row.p_permutation for row in rows])


def test_wins_losses_and_rank_biserial_are_the_second_run_s(evaluated):
    runs, folders = evaluated
    template = find_run(folders[0], runs)
    one = np.full(8, 0.5)
    change = np.array([0.1, 0.2, 0.3, 0.0, -0.05, 0.4, 0.25, 0.15])
    (row,) = compare_runs([made_up(template, v, range(8)) for v in (one, one + change)], ["dice"])
    assert (row.by_group.wins, row.by_group.ties, row.by_group.losses) == (6, 1, 1)
    assert row.by_group.rank_biserial == pytest.approx((33 - 2) / 35)
    assert row.p_wilcoxon == pytest.approx(
        scipy.stats.wilcoxon(np.round(change, 9), zero_method="pratt").pvalue
    )
    assert row.least_p == 2 / 2**7


def test_fewer_is_better_turns_wins_around(evaluated, monkeypatch):
    runs, folders = evaluated
    template = find_run(folders[0], runs)
    lower = dataclasses.replace(CHALLENGE.metric("dice"), better="lower")
    monkeypatch.setattr(type(CHALLENGE), "metrics", (lower,))
    monkeypatch.setattr(type(CHALLENGE), "metric", lambda self, name: lower)
    one, other = np.linspace(0.2, 0.5, 7), np.linspace(0.3, 0.7, 7)
    (row,) = compare_runs([made_up(template, v, range(7)) for v in (one, other)], ["dice"])
    assert row.difference > 0
    assert (row.by_group.wins, row.by_group.losses, row.by_group.rank_biserial) == (0, 7, -1.0)


def test_intervals_of_differences_stay_in_their_range(evaluated):
    runs, folders = evaluated
    template = find_run(folders[0], runs)
    worst, best = np.zeros(8), np.append(np.ones(7), 0.2)
    (row,) = compare_runs([made_up(template, v, range(8)) for v in (worst, best)], ["dice"])
    assert 0 < row.interval.low < row.difference < row.interval.high <= 1
    (same,) = compare_runs([made_up(template, v, range(8)) for v in (worst, np.full(8, 0.9))], ["dice"])
    assert -1 <= same.interval.low < 0.9 < same.interval.high <= 1
    assert "exact bound" in same.interval.method


def test_equivalence_within_a_margin(evaluated):
    runs, folders = evaluated
    template = find_run(folders[0], runs)
    rng = np.random.default_rng(1)
    one = rng.uniform(0.5, 0.9, 20)
    change = rng.normal(0.001, 0.01, 20)
    pair = [made_up(template, v, range(20)) for v in (one, one + change)]
    (row,) = compare_runs(pair, ["dice"], margin=0.02)
    both = [
        scipy.stats.ttest_1samp(change, s * 0.02, alternative=a).pvalue
        for s, a in ((-1, "greater"), (1, "less"))
    ]
    assert row.p_equivalence == pytest.approx(max(both), rel=1e-9)
    assert row.p_equivalence < 0.001
    assert compare_runs(pair, ["dice"])[0].p_equivalence is None
    for arguments in (((), 0.02), (("dice",), 0.0), (("dice",), -1.0)):
        with pytest.raises(MedbenchError, match="margin"):
            compare_runs(pair, arguments[0], margin=arguments[1])


def test_groups_weighted_by_the_challenge_are_exchanged_as_it_aggregates(evaluated, monkeypatch):
    """A mean that weighs cases is no plain mean; its exchange test is that of the whole statistic."""
    runs, folders = evaluated
    template = find_run(folders[0], runs)
    rng = np.random.default_rng(4)
    one = rng.uniform(0.4, 0.9, 8)
    other = one + rng.normal(0.04, 0.05, 8)
    weight = np.arange(1.0, 9)

    def weighted(self, metric, rows):
        values = np.array([row.scores[metric.name].value for row in rows])
        shares = np.array([weight[int(row.case[1:])] for row in rows])
        return lambda w: (w * shares) @ values / np.maximum((w * shares).sum(-1), 1e-9)

    monkeypatch.setattr(type(CHALLENGE.scorer), "statistic", weighted)
    (row,) = compare_runs([made_up(template, v, range(8)) for v in (one, other)], ["dice"])
    parts = weight * (other - one) / weight.sum()
    signs = np.array(list(itertools.product((-1, 1), repeat=8)))
    assert row.difference == pytest.approx(parts.sum())
    assert row.p_permutation == pytest.approx((np.abs(signs @ parts) >= abs(parts.sum()) - 1e-12).mean())
    assert row.interval.low < row.difference < row.interval.high
    assert row.interval.method == FIRST_ORDER
    assert any("the interval a first-order one" in line for line in _legend([row]))


def test_groups_without_a_case_of_a_class_leave_its_interval_alone(evaluated, monkeypatch):
    """The share of a class's cases that are right, of which only the first eight groups have any."""
    runs, folders = evaluated
    template = find_run(folders[0], runs)
    rng = np.random.default_rng(2)
    one, other = rng.uniform(0.4, 0.9, 30), rng.uniform(0.5, 0.95, 30)

    def of_class(self, metric, rows):
        values = np.array([row.scores[metric.name].value for row in rows])
        counts = np.array([int(row.case[1:]) < 8 for row in rows], float)
        return lambda w: (w * counts) @ values / np.maximum((w * counts).sum(-1), 1e-9)

    monkeypatch.setattr(type(CHALLENGE.scorer), "statistic", of_class)
    (all_groups,) = compare_runs([made_up(template, v, range(30)) for v in (one, other)], ["dice"])
    (its_own,) = compare_runs([made_up(template, v[:8], range(8)) for v in (one, other)], ["dice"])
    assert (all_groups.groups, its_own.groups) == (30, 8)
    assert all_groups.difference == pytest.approx(its_own.difference)
    assert all_groups.interval.low == pytest.approx(its_own.interval.low)
    assert all_groups.interval.high == pytest.approx(its_own.interval.high)
    assert all_groups.p_permutation == pytest.approx(its_own.p_permutation, abs=0.02)


def test_cases_without_a_value_in_one_run_are_counted_out(evaluated):
    runs, folders = evaluated
    template = find_run(folders[0], runs)
    one, other = (made_up(template, values, range(5)) for values in (np.full(5, 0.5), np.full(5, 0.6)))
    rows = dict(other.rows)
    rows["c2"] = dataclasses.replace(rows["c2"], scores={"dice": Score.undefined("empty")})
    (found,) = compare_runs([one, dataclasses.replace(other, rows=rows)], ["dice"])
    assert (found.cases, found.left_out) == (4, 1)
    assert found.difference == pytest.approx(0.1)


def test_pooled_metrics_are_compared_too(small_iugc, tmp_path):
    from medbench.running.request import Inference
    from medbench.running.run import run

    found = [
        run(
            "dssau_net.test", "iugc2024", data=small_iugc, weights="none", seed=seed,
            inference=Inference(image_size=128), runs=tmp_path,
        ).folder
        for seed in (0, 1)
    ]  # fmt: skip
    by_name = {d.metric.name: d for d in compare_runs([find_run(folder, tmp_path) for folder in found])}
    accuracy = by_name["accuracy"]
    assert accuracy.metric.pooled
    assert accuracy.groups == accuracy.cases == 4
    assert accuracy.p_wilcoxon is None
    assert 0 < accuracy.p_permutation <= 1
    assert accuracy.difference == pytest.approx(accuracy.values[1] - accuracy.values[0])
    assert by_name["dice_all"].p_wilcoxon is not None


def test_runs_on_other_cases_are_refused(evaluated, small_cvc, tmp_path):
    runs, folders = evaluated
    folder = tmp_path / "p"
    folder.mkdir()
    for case in CHALLENGE.cases(small_cvc, "val"):
        cv2.imwrite(str(folder / f"{case.id}.png"), CHALLENGE.release.read_reference(case) * 255)
    other = evaluate("cvc_clinicdb", folder, data=small_cvc, split="val", runs=tmp_path)
    with pytest.raises(MedbenchError, match="split: test and val"):
        compare_runs([find_run(folders[0], runs), find_run(other.folder, tmp_path)])
    sample = find_run(folders[0], runs)
    record = sample.record.model_copy(update={"data": "sample"})
    with pytest.raises(MedbenchError, match="kind of data: real and sample"):
        compare_runs([sample, dataclasses.replace(sample, record=record)])
    with pytest.raises(MedbenchError, match="two runs"):
        compare_runs([sample])


def test_runs_are_found_by_folder_record_and_key(evaluated, tmp_path):
    runs, folders = evaluated
    by_folder = find_run(folders[0], runs)
    assert find_run(folders[0] / "record.json", runs).record == by_folder.record
    assert find_run(by_folder.record.key[:10], runs).record == by_folder.record
    assert find_run(by_folder.record.key, runs).record == by_folder.record
    (tmp_path / "mk.py").touch()
    for wrong, reason in (
        ("zzzz", f"zzzz: there is no such folder, and no run in {runs} has a key that begins so."),
        (by_folder.record.key[:2], "a key is named by 4 letters at least."),
        (tmp_path / "none", f"{tmp_path / 'none'}: there is no such folder or file."),
        (tmp_path, f"{tmp_path}: is no run folder: it holds no record.json."),
        (tmp_path / "mk.py", "mk.py: is no record.json and lies in no run folder."),
    ):
        with pytest.raises(MedbenchError, match=re.escape(reason)) as caught:
            find_run(wrong, runs)
        assert caught.value.code == "run.unknown"
        assert "RUNS/CHALLENGE/MODEL/KEY" in caught.value.hint
    with pytest.raises(MedbenchError, match="is no run folder") as caught:
        find_run(folders[0].parents[1], runs)
    assert caught.value.hint.startswith(f"A run in it is {folders[0].parents[1]}")
    torn = shutil.copytree(folders[0], tmp_path / "torn")
    lines = (torn / "cases.jsonl").read_text().splitlines(keepends=True)
    (torn / "cases.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(MedbenchError, match=r"cases\.jsonl: was edited or cut off"):
        find_run(torn, runs)
    (torn / "record.json").write_text("{}")
    with pytest.raises(MedbenchError, match="cannot be read"):
        find_run(torn, runs)


def test_the_command_prints_a_table_and_json(evaluated):
    folders = evaluated[1]
    table = invoke("compare", *folders[:2], "--metric", "dice", "--metric", "iou_256")
    assert table.exit_code == 0
    assert "moved-0" in table.stdout
    assert "Holm over 2 comparisons" in table.stdout
    assert "2 of 2 comparisons cannot reach p ≤ 0.05" in table.stdout
    assert "rank-biserial" in table.stdout
    words = " ".join(table.stdout.split())
    assert "not over other trainings of the same models" in words
    assert "the interval a first-order one" not in words
    margin = invoke("compare", *folders[:2], "--metric", "dice", "--margin", "0.05")
    assert "equivalence" in margin.stdout
    assert "two one-sided t tests" in margin.stdout
    listing = json.loads(invoke("compare", *folders[:2], "--json").stdout)
    assert {entry["metric"] for entry in listing} == {metric.name for metric in CHALLENGE.metrics}
    with pytest.raises(MedbenchError, match="no run in"):
        invoke("compare", folders[0], "nothing-here")


def test_a_signed_difference_has_no_winner_and_no_rank():
    """A run that misses every head has the least DF, minus the whole circumference, and is not the best."""
    challenge = load_challenge("hc18")
    signed = challenge.metric("df")
    assert signed.signed
    assert not signed.headline
    assert heading(signed) == "DF [mm] → 0"
    keys = [path.name for path in sorted((SHIPPED / "hc18/evidence").iterdir())]
    runs = [find_run(key, SHIPPED / "none", SHIPPED) for key in keys]
    assert heading(runs[0].record.metrics["df"]) == "DF [mm] → 0"
    differences = {d.metric.name: d for d in compare_runs(runs[:2])}
    assert differences["df"].by_group is None
    assert differences["df"].hypotheses == 0
    assert differences["adf"].by_group is not None
    rankings = rank_runs(runs, resamples=10)
    assert [column.metric.name for column in rankings.columns] == ["dice", "adf", "hd"]
    with pytest.raises(MedbenchError, match="DF: is a signed difference"):
        rank_runs(runs, ["df"], resamples=10)
    for run in runs:
        (row,) = [row for row in spread_rows(run.record.metrics) if row[0] == "DF [mm] → 0"]
        own = {case: cells.scores["df"].value for case, cells in run.rows.items()}
        farthest = max(own, key=lambda case: abs(own[case]))
        assert row[4:6] == (f"{own[farthest]:.2f}", farthest)


@pytest.mark.parametrize("outlined", [True, False])
def test_the_key_of_outlines_and_their_layers_stand_where_outlines_are(evaluated, tmp_path, outlined):
    runs, folders = evaluated
    pair = [find_run(folder, runs) for folder in folders[:2]]

    def illustrate(run, cases):
        common = {"has_outlines": outlined, "wrong": outlined, "without_image": "none"}
        return [Figure(case, "image", "", "", (), **common) for case in cases]

    write_comparison(tmp_path / "page.html", pair, compare_runs(pair, ["dice"]), [], illustrate)
    text = (tmp_path / "page.html").read_text()
    assert "Cases that moved most" in text
    assert ('<div class="tools top" data-layers' in text) == outlined
    assert ("too much or another label" in text) == outlined


def test_folders_of_predictions_that_are_not_there_are_refused(evaluated, tmp_path):
    runs, folders = evaluated
    page, absent = tmp_path / "page.html", tmp_path / "none"
    entries = [find_run(folder, runs) for folder in folders[:2]]
    differences = compare_runs(entries)
    with pytest.raises(MedbenchError, match="1 folder of predictions for 2 runs") as refusal:
        comparison(page, entries, differences, [], None, [absent])
    assert "--prediction-folder" in refusal.value.hint
    with pytest.raises(MedbenchError, match=re.escape(f"{absent}: there is no such folder")):
        comparison(page, entries, differences, [], None, [absent, absent])
    with pytest.raises(MedbenchError, match=re.escape(f"{absent}: there is no such folder")) as refusal:
        report(folders[0], predictions=absent, output=page, runs=runs)
    assert refusal.value.hint == "Check --predictions."
    assert not page.exists()
