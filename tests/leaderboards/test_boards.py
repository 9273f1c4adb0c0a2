"""Leaderboards: what may share a table, and every form of them."""

import csv
import dataclasses
import io
import json
import shutil
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from medbench.challenges import list_challenges, load_challenge
from medbench.challenges.families.image_masks.scoring import PAPERS
from medbench.cli.main import app
from medbench.leaderboards.boards import make_board
from medbench.leaderboards.rendering import FORMATS, as_csv, html, latex, markdown
from medbench.leaderboards.results import build_board, load_board, measured_challenges, read_results

CHALLENGE = load_challenge("cvc_clinicdb")
runner = CliRunner()


def invoke(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def row(title, value, *, key="a" * 16, data="real", split="test", manifest="m" * 64, subset=None, **more):
    names = ("dice", "iou", "dice_256")
    return {
        "key": key,
        "data": data,
        "split": split,
        "manifest_sha256": manifest,
        "title": title,
        "recipe": None,
        "subset": subset is not None,
        "present_cases": subset[0] if subset else None,
        "released_cases": subset[1] if subset else None,
        "split_rule": "by sequence",
        "split_sha256": "f" * 64,
        "counts": {"total": 10, "ok": 9, "failed": 1, "missing": 0},
        "metrics": {
            name: {
                "value": value,
                "ci95": [value - 0.1, value + 0.1],
                "convention": "x",
                "counts": [9, 1, 0, 0],
            }
            for name in names
        },
        **more,
    }


def test_only_like_with_like_shares_a_table():
    rows = [
        row("A", 0.5),
        row("B", 0.7, key="b" * 16),
        row("C", 0.9, split="leaking_test", manifest="n" * 64),
        row("D", 0.8, data="sample", manifest="s" * 64),
        row("E", 0.6, manifest="u" * 64, subset=(3, 145)),
    ]
    tables = make_board(CHALLENGE, rows).measured
    seen = {
        (table.kind, table.split, table.subset, table.protocol): [entry.name for entry in table.entries]
        for table in tables
    }
    protocols = {metric.protocol for metric in CHALLENGE.metrics}
    assert len(protocols) == 2
    for protocol in protocols:
        assert seen["real", "test", None, protocol] == ["B", "A"]
        assert seen["real", "leaking_test", None, protocol] == ["C"]
        assert seen["sample", "test", None, protocol] == ["D"]
        assert seen["real", "test", (3, 145), protocol] == ["E [subset 3 of 145]"]
    assert len(seen) == len(tables) == 8
    for table in tables:
        assert {metric.protocol for metric in table.metrics} == {table.protocol}


def test_published_numbers_stand_apart_and_by_split_and_protocol():
    board = make_board(CHALLENGE, [row("A", 0.5, split="leaking_test")])
    assert {table.kind for table in board.measured} == {"real"}
    assert {table.kind for table in board.published} == {"published"}
    assert {table.protocol for table in board.published} == {PAPERS}
    splits = [table.split for table in board.published]
    populations = [(table.split, table.population) for table in board.published]
    assert len(populations) == len(set(populations)) > len(set(splits))
    leaking = next(table for table in board.published if table.split == "leaking_test")
    assert "BRAU-Net++" in [entry.name for entry in leaking.entries]
    assert all(entry.source and entry.population for entry in leaking.entries)
    assert not any("0.7545" in line for line in markdown(board).splitlines() if "0.9303" in line)


@pytest.mark.parametrize("name", list_challenges())
def test_every_challenge_renders_in_every_form(name):
    board = make_board(load_challenge(name), [])
    for _, render in FORMATS.values():
        assert render(board).endswith("\n")


def test_lower_is_better_where_the_first_column_says_so():
    challenge = load_challenge("synapse")
    (hd95,) = [metric for metric in challenge.metrics if metric.name == "hd95_transunet"]
    rows = [row(name, value, key=name * 16) for name, value in (("A", 3.0), ("B", 1.0), ("C", 2.0))]
    for entry in rows:
        entry["metrics"] = {hd95.name: entry["metrics"]["dice"]}
    (table,) = make_board(challenge, rows).measured
    assert [entry.name for entry in table.entries] == ["B", "C", "A"]


def test_markdown_says_what_is_no_result():
    page = markdown(
        make_board(
            CHALLENGE, [row("A", 0.5, data="sample"), row("B", 0.6, subset=(3, 145), manifest="u" * 64)]
        )
    )
    assert "## Synthetic sample: no result on real data, split test" in page
    assert "## Measured on real data, subset (3 of 145 cases), split test" in page
    assert "Split: by sequence." in page
    assert "0.5000 [0.4000 – 0.6000]" in page


def test_notes_explain_only_what_the_board_holds():
    published = markdown(make_board(CHALLENGE, []))
    for part in ("Brackets", "The rank is", "medbench leaderboard verify", "Failed and missing cases"):
        assert part not in published
    assert "stroke its estimate" in html(make_board(CHALLENGE, [row("A", 0.5)]))
    measured = markdown(make_board(CHALLENGE, [row("A", 0.5)]))
    for part in ("Brackets beside a value", "The rank is", "medbench leaderboard verify", "Failed and miss"):
        assert part in measured
    bare = row("A", 0.5)
    bare["metrics"] = {name: {**cell, "ci95": [None, None]} for name, cell in bare["metrics"].items()}
    without = markdown(make_board(CHALLENGE, [bare]))
    assert "Brackets" not in without
    assert "Failed and missing cases" in without


def test_a_board_without_an_address_has_no_gap_for_it():
    board = dataclasses.replace(make_board(CHALLENGE, [row("A", 0.5)]), homepage="")
    assert latex(board).splitlines()[0] == f"% {board.title}. Needs \\usepackage{{booktabs}}."
    assert markdown(board).splitlines()[2] == f"{board.task}."
    assert f"<p>{board.task}. </p>" in html(board)


def test_titles_cannot_break_a_form():
    evil = "<script>x</script> | & 50% {\\input} a_b"
    board = make_board(CHALLENGE, [row(evil, 0.5)])
    assert "<script>" not in html(board)
    assert "&lt;script&gt;" in html(board)
    line = next(line for line in markdown(board).splitlines() if "script" in line)
    assert "\\|" in line
    tex = latex(board)
    assert r"\& 50\% \{\textbackslash{}input\} a\_b" in tex
    assert tex.count("\\begin{tabular}") == tex.count("\\end{tabular}") == len(board.tables)
    (entry,) = {
        line["entry"] for line in csv.DictReader(io.StringIO(as_csv(board))) if line["kind"] == "real"
    }
    assert entry == evil


def test_every_line_of_latex_has_the_columns_of_its_head():
    for table in latex(make_board(CHALLENGE, [row("A", 0.5)])).split("\\begin{table}")[1:]:
        head = next(line for line in table.splitlines() if line.startswith("\\begin{tabular}"))
        columns = len(head.removeprefix("\\begin{tabular}{").rstrip("}"))
        lines = [line for line in table.splitlines() if line.endswith(r"\\")]
        assert {line.replace(r"\&", "").count("&") + 1 for line in lines} == {columns}


def test_csv_keeps_whole_precision_and_one_value_a_line():
    lines = list(csv.DictReader(io.StringIO(as_csv(make_board(CHALLENGE, [row("A", 1 / 3)])))))
    measured = [line for line in lines if line["kind"] == "real"]
    assert {line["metric"] for line in measured} == {"dice", "iou", "dice_256"}
    assert {float(line["value"]) for line in measured} == {1 / 3}
    assert {line["failed"] for line in measured} == {"1"}
    assert {line["kind"] for line in lines} == {"real", "published"}


def test_a_page_needs_no_network():
    page = html(make_board(CHALLENGE, [row("A", 0.5)]))
    assert "src=" not in page
    assert "<link" not in page


@pytest.fixture
def filled(small_cvc, tmp_path, monkeypatch):
    """A leaderboard with one evaluation on the small copy."""
    from medbench.running.evaluate import evaluate

    monkeypatch.setenv("MEDBENCH_LEADERBOARDS", str(tmp_path / "boards"))
    folder = tmp_path / "answers"
    folder.mkdir()
    for case in CHALLENGE.cases(small_cvc, "test"):
        cv2.imwrite(str(folder / f"{case.id}.png"), CHALLENGE.release.read_reference(case) * 255)
    evaluate("cvc_clinicdb", folder, data=small_cvc, name="perfect")
    return tmp_path / "boards"


def test_a_run_adds_its_row_and_writes_every_page(filled):
    folder = filled / "cvc_clinicdb"
    assert {name for name, _ in FORMATS.values()} < {path.name for path in folder.iterdir()}
    (entry,) = read_results(filled, "cvc_clinicdb")
    assert (entry["subset"], entry["present_cases"], entry["released_cases"]) == (True, 10, 145)
    assert entry["split_sha256"] == CHALLENGE.release.split_facts("test").names_sha256
    assert "perfect [subset 10 of 145]" in (folder / "README.md").read_text()


def test_build_makes_the_same_pages_again(filled):
    before = {path.name: path.read_bytes() for path in (filled / "cvc_clinicdb").iterdir() if path.is_file()}
    for name, _ in FORMATS.values():
        (filled / "cvc_clinicdb" / name).unlink()
    done = invoke("leaderboard", "build", "--json")
    assert done.exit_code == 0
    assert len(json.loads(done.stdout)) == 4
    after = {path.name: path.read_bytes() for path in (filled / "cvc_clinicdb").iterdir() if path.is_file()}
    assert after == before
    assert len(build_board(filled, "cvc_clinicdb")) == 4


@pytest.mark.parametrize("form", ["table", *FORMATS])
def test_show_prints_every_form(filled, form):
    done = invoke("leaderboard", "show", "cvc_clinicdb", "--format", form)
    assert done.exit_code == 0
    assert "perfect" in done.stdout
    assert "BRAU-Net++" in done.stdout


def test_show_as_json(filled):
    board = json.loads(invoke("leaderboard", "show", "cvc_clinicdb", "--json").stdout)
    assert board["measured"][0]["kind"] == "real"
    assert board["measured"][0]["subset"] == [10, 145]


def test_wrong_requests_are_told(filled, tmp_path):
    from medbench.core.errors import MedbenchError

    with pytest.raises(MedbenchError, match="format"):
        invoke("leaderboard", "show", "cvc_clinicdb", "--format", "docx")
    with pytest.raises(MedbenchError, match="challenge"):
        invoke("leaderboard", "show", "cvc")
    with pytest.raises(MedbenchError, match="holds no results"):
        invoke("leaderboard", "build", "--leaderboards", tmp_path / "none")
    (filled / "cvc_clinicdb/results.jsonl").write_text('{"key": 1}\n{"key": 2}\n')
    with pytest.raises(MedbenchError, match=r"results\.jsonl"):
        load_board(filled, "cvc_clinicdb")


def test_a_runs_own_table_and_report_keep_protocols_apart(small_cvc, tmp_path, capsys):
    from medbench.cli.results import show_finished
    from medbench.running.evaluate import evaluate

    folder = tmp_path / "answers"
    folder.mkdir()
    for case in CHALLENGE.cases(small_cvc, "test"):
        cv2.imwrite(str(folder / f"{case.id}.png"), CHALLENGE.release.read_reference(case) * 255)
    finished = evaluate("cvc_clinicdb", folder, data=small_cvc)
    assert finished.record.metrics["dice_256"].protocol == PAPERS
    show_finished(finished, as_json=False)
    assert capsys.readouterr().out.count("mIoU ↑") == 2
    page = (finished.folder / "report.html").read_text()
    assert page.count("<h3>Protocol") == 2
    assert "subset: 10 of 145 cases" in page


COMMITTED = Path(__file__).parents[2] / "leaderboards"


@pytest.mark.parametrize("challenge", measured_challenges(COMMITTED))
def test_committed_rows_from_before_there_were_hashes_are_read_and_marked(challenge, tmp_path):
    shutil.copytree(COMMITTED / challenge, tmp_path / challenge)
    rows = read_results(tmp_path, challenge)
    before = (tmp_path / challenge / "results.jsonl").read_bytes()
    build_board(tmp_path, challenge)
    assert (tmp_path / challenge / "results.jsonl").read_bytes() == before
    page = (tmp_path / challenge / "README.md").read_text()
    for row in rows:
        lines = [line for line in page.splitlines() if row["key"][:8] in line and line.startswith("|")]
        assert lines
        assert all(("(unsealed)" in line) == (not row["sealed"]) for line in lines)
