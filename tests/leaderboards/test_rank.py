"""Rankings of runs: every scheme side by side, missing values, evidence of rows, the command."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from medbench.challenges import load_challenge
from medbench.cli.main import app
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseRow
from medbench.core.score import Score
from medbench.leaderboards.rank import rank_runs
from medbench.records.reading import Run, find_run

CHALLENGE = load_challenge("cvc_clinicdb")
runner = CliRunner()
SCHEMES = ["aggregate, then rank", "median, then rank", "rank, then aggregate", "test, then rank"]


def invoke(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def evaluated(moved):
    """Three folders of predictions, the references moved by 8, 0 and 2 pixels, scored."""
    return moved(8, 0, 2)


def made_up(template, key, values, groups=None):
    """A run of that key with these values of Dice; ``None`` for none."""
    rows = {
        f"c{index}": CaseRow(
            f"c{index}", str(index if groups is None else groups[index]), "ok",
            {"dice": Score.undefined("empty") if value is None else Score(float(value))}, {},
        )
        for index, value in enumerate(values)
    }  # fmt: skip
    return Run(template.record.model_copy(update={"key": key * 8}), rows, template.folder)


def test_all_schemes_and_their_stability_agree_on_clear_runs(evaluated):
    runs, folders = evaluated
    rankings = rank_runs([find_run(folder, runs) for folder in folders], resamples=50)
    assert rankings.groups == 3
    assert [c.metric.name for c in rankings.columns] == [m.name for m in CHALLENGE.metrics if m.headline]
    for column in rankings.columns:
        assert [r.scheme for r in column.rankings] == SCHEMES
        assert [r.ranks for r in column.rankings][:3] == [(3, 1, 2)] * 3
        assert column.missing == (0, 0, 0)
        assert column.values[1] == pytest.approx(
            find_run(folders[1], runs).record.metrics[column.metric.name].value
        )
        stability = column.rankings[0].stability
        assert (stability.resamples, stability.tau, stability.high) == (50, 1.0, (3, 1, 2))
        assert stability.frequencies[1] == (1.0, 0.0, 0.0)
        assert column.rankings[3].ranks == (1, 1, 1), "three groups cannot be significant"
    protocols = {column.metric.protocol for column in rankings.columns}
    assert {overall.protocol for overall in rankings.overall} == protocols
    for overall in rankings.overall:
        assert [r.scheme for r in overall.rankings] == [
            "first column", "mean of ranks", "median of ranks", "cumulative rank",
        ]  # fmt: skip
        assert [r.ranks for r in overall.rankings] == [(3, 1, 2)] * 4
    assert rankings.official is None


def test_schemes_differ_where_their_definitions_do(evaluated):
    """One failure costs the mean what two better places elsewhere do not make good."""
    runs, folders = evaluated
    template = find_run(folders[0], runs)
    steady, risky = np.full(9, 0.80), np.full(9, 0.85)
    risky[4] = 0.0
    entries = [made_up(template, key, values) for key, values in (("a", steady), ("b", risky))]
    (column,) = rank_runs(entries, ["dice"], resamples=400).columns
    ranks = {ranking.scheme: ranking.ranks for ranking in column.rankings}
    assert ranks["aggregate, then rank"] == (1, 2)
    assert ranks["median, then rank"] == ranks["rank, then aggregate"] == (2, 1)
    by_mean = column.rankings[0].stability
    assert by_mean.frequencies[1][0] == pytest.approx((8 / 9) ** 9, abs=0.08)
    assert (by_mean.low, by_mean.high) == ((1, 1), (2, 2))


def test_a_missing_value_counts_as_the_worst_and_is_counted(evaluated):
    runs, folders = evaluated
    template = find_run(folders[0], runs)
    whole, holed = (
        made_up(template, "a", [0.5] * 6),
        made_up(template, "b", [None, 0.55, 0.55, 0.55, 0.55, 0.55]),
    )
    (column,) = rank_runs([whole, holed], ["dice"], resamples=20).columns
    assert column.missing == (0, 1)
    assert column.values == (pytest.approx(0.5), pytest.approx(5 * 0.55 / 6))
    assert column.rankings[0].ranks == (1, 2)
    both = made_up(template, "c", [None, *[0.5] * 5])
    (column,) = rank_runs([both, holed], ["dice"], resamples=20).columns
    assert column.missing == (0, 0)
    assert column.values[1] == pytest.approx(0.55)


def test_runs_that_cannot_be_ranked_are_refused(evaluated):
    runs, folders = evaluated
    run = find_run(folders[0], runs)
    for entries in ([run], [run, run], []):
        with pytest.raises(MedbenchError, match="two or more runs"):
            rank_runs(entries)
    record = run.record.model_copy(update={"data": "sample", "key": "z" * 64})
    with pytest.raises(MedbenchError, match="kind of data"):
        rank_runs([run, dataclasses.replace(run, record=record)])
    fewer = Run(run.record.model_copy(update={"key": "f" * 64}), dict(list(run.rows.items())[1:]), run.folder)
    with pytest.raises(MedbenchError, match="other cases"):
        rank_runs([run, fewer])


def test_a_leaderboard_row_s_evidence_is_an_entry(evaluated, tmp_path):
    runs, folders = evaluated
    run = find_run(folders[0], runs)
    evidence = tmp_path / "boards" / "cvc_clinicdb" / "evidence" / run.record.key[:16]
    shutil.copytree(run.folder, evidence)
    assert find_run(run.record.key[:10], tmp_path / "none", tmp_path / "boards").record == run.record
    assert find_run(run.record.key[:10], runs, tmp_path / "boards").folder == run.folder
    with pytest.raises(MedbenchError, match="no run in"):
        find_run("zzzz", tmp_path / "none", tmp_path / "boards")


def test_the_command_prints_tables_and_json(evaluated):
    folders = evaluated[1]
    told = invoke("rank", *folders, "--metric", "dice", "--resamples", "30")
    assert told.exit_code == 0, told.output
    for words in (
        *SCHEMES,
        "cumulative rank",
        "mean of ranks",
        "Kendall's τ",
        "never improves a rank",
        "3 [3–3]",
    ):
        assert words in told.stdout
    listing = json.loads(invoke("rank", *folders, "--resamples", "30", "--json").stdout)
    assert listing["entries"] == [find_run(folder, folder).title for folder in folders]
    assert [column["metric"] for column in listing["columns"]] == [
        metric.name for metric in CHALLENGE.metrics if metric.headline
    ]
    assert listing["columns"][0]["rankings"][0]["stability"]["frequencies"][1] == [1.0, 0.0, 0.0]
    assert invoke("rank", *folders, "--json").stdout == invoke("rank", *folders, "--json").stdout
