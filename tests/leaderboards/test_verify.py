"""Boards are verified from their evidence: one changed digit anywhere is found and its cell named."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from medbench.challenges import load_challenge
from medbench.cli.main import app
from medbench.core.edits import find_edit
from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_file
from medbench.core.seals import read_lines, seal_of, sealed_line, write_seal, write_table
from medbench.leaderboards.merge import merge
from medbench.leaderboards.results import build_board, read_results
from medbench.leaderboards.verification import verify_board
from medbench.records.reading import find_run
from medbench.running.evaluate import evaluate
from medbench.running.report import report
from medbench.running.verify import Again, verify

CHALLENGE = load_challenge("cvc_clinicdb")
SHIPPED = Path(__file__).parents[2] / "leaderboards"
runner = CliRunner()


def invoke(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def original(small_cvc, tmp_path_factory):
    """A board of two evaluations, of references moved by two and by eight pixels."""
    base = tmp_path_factory.mktemp("verify")
    for shift in (2, 8):
        folder = base / f"moved-{shift}"
        folder.mkdir()
        for case in CHALLENGE.cases(small_cvc, "test"):
            moved = np.roll(CHALLENGE.release.read_reference(case), shift, axis=1)
            cv2.imwrite(str(folder / f"{case.id}.png"), moved * 255)
        evaluate("cvc_clinicdb", folder, data=small_cvc, runs=base / "runs", leaderboards=base / "boards")
    return base


@pytest.fixture
def boards(original, tmp_path):
    """A copy of the board, to be edited."""
    shutil.copytree(original / "boards", tmp_path / "boards")
    return tmp_path / "boards"


def keys(boards):
    return [row["key"] for row in read_results(boards, "cvc_clinicdb")]


def evidence(boards, number=0):
    return boards / "cvc_clinicdb" / "evidence" / keys(boards)[number][:16]


def found(boards):
    return [str(finding) for finding in verify_board(boards, "cvc_clinicdb").findings]


def change_digit(path, after, skip=0):
    """Change the first digit behind a text, and give the old and the new one."""
    text = path.read_text()
    place = text.index(after) + len(after) + skip
    while not text[place].isdigit():
        place += 1
    new = str((int(text[place]) + 1) % 10)
    path.write_text(text[:place] + new + text[place + 1 :])


def test_an_untouched_board_is_verified_whole(boards):
    done = verify_board(boards, "cvc_clinicdb")
    assert done.findings == []
    assert (done.rows, done.pages) == (2, 4)
    assert done.cells == 2 * (3 + 7 * 10)
    told = invoke("leaderboard", "verify", "--leaderboards", boards)
    assert told.exit_code == 0
    assert "2 rows, 146 cells computed again, 4 pages compared: all as the evidence gives them" in told.stdout


@pytest.mark.parametrize(
    ("file", "after", "skip", "named"),
    [
        ("results.jsonl", '"dice": {"value": ', 5, "results.jsonl, line 1, metrics.dice.value: says 0."),
        ("results.jsonl", '"ci95_method"', 30, "results.jsonl, line 1, metrics."),
        ("results.jsonl", '"seed": ', 0, "results.jsonl, line 1, seed: says 1; its hash is of 0"),
        ("results.jsonl", '"record_sha256": "', 3, "results.jsonl, line 1, record_sha256"),
        ("record.json", '"iou": {', 200, "record.json, metrics.iou."),
        ("record.json", '"memory_bytes": ', 2, "record.json, environment.memory_bytes: says"),
        ("record.json", '"seed": ', 0, "record.json, seed: says 1; the hash in its row is of 0"),
        ("cases.jsonl", '"dice": {"value": ', 9, "cases.jsonl, line 1, case "),
        ("cases.jsonl", '.png": "', 0, "cases.jsonl, line 1, case "),
        ("README.md", "| 1      | moved-2", 40, "README.md, line "),
        ("values.csv", "moved-2", 60, "values.csv, line "),
        ("index.html", "moved-2", 40, "index.html, line "),
        ("tables.tex", "moved-2", 30, "tables.tex, line "),
        ("record.sha256", "", 0, "record.sha256, record.json: is not what the seal is of"),
        ("results.sha256", "", 0, "results.sha256, results.jsonl: lines were added, changed or removed"),
    ],
)
def test_one_changed_digit_is_found_and_its_cell_named(boards, file, after, skip, named):
    folder = boards / "cvc_clinicdb" if (boards / "cvc_clinicdb" / file).exists() else evidence(boards)
    change_digit(folder / file, after, skip)
    lines = found(boards)
    assert any(named in line for line in lines), lines
    told = invoke("leaderboard", "verify", "cvc_clinicdb", "--leaderboards", boards)
    assert told.exit_code == 1
    assert named in told.stdout


def test_the_cell_of_a_case_is_named_with_what_it_was(boards):
    path = evidence(boards) / "cases.jsonl"
    row = json.loads(path.read_text().splitlines()[1])
    change_digit(path, f'"case": "{row["case"]}"')
    before = row["scores"]["iou"]["value"]
    path.write_text(path.read_text().replace(f'"value": {before}', f'"value": {before + 0.1:.3f}', 1))
    assert any(f"line 2, case {row['case']}" in line for line in found(boards))


def test_a_forged_value_under_new_hashes_is_found_by_computing_it_again(boards):
    folder, table = evidence(boards), boards / "cvc_clinicdb" / "results.jsonl"
    path = folder / "record.json"
    record = json.loads(path.read_text())
    stated = record["metrics"]["dice"]
    record["metrics"]["dice"] = {**stated, "ci95_low": 0.123, "spread": {**stated["spread"], "sd": 0.5}}
    path.write_text(json.dumps(record))
    write_seal(seal_of(path), (path, folder / "cases.jsonl"))
    rows = [dict(line.row) for line in read_lines(table)]
    rows[0]["metrics"]["dice"] = {**rows[0]["metrics"]["dice"], "ci95": [0.123, stated["ci95_high"]]}
    rows[0]["record_sha256"] = sha256_file(path)
    write_table(table, [sealed_line(row) for row in rows])
    lines = found(boards)
    assert any(
        "record.json, metrics.dice.ci95_low: says 0.123 where the cases give" in line for line in lines
    )
    assert any("record.json, metrics.dice.spread.sd: says 0.5" in line for line in lines)
    with pytest.raises(MedbenchError, match=r"metrics\.dice\.ci95_low"):
        report(keys(boards)[0][:8], leaderboards=boards, runs=boards / "none", output=boards / "page.html")


def test_a_row_that_says_otherwise_than_its_record_is_found_under_a_new_hash(boards):
    table = boards / "cvc_clinicdb" / "results.jsonl"
    rows = [dict(line.row) for line in read_lines(table)]
    rows[1] |= {"seed": 7, "options": {"depth": 3}}
    write_table(table, [sealed_line(row) for row in rows])
    lines = found(boards)
    assert any("line 2, seed: says 7 where the record gives 0" in line for line in lines)
    assert any("line 2, options.depth: says 3 where the record gives None" in line for line in lines)
    with pytest.raises(MedbenchError, match="differs in options"):
        build_board(boards, "cvc_clinicdb")


def test_missing_stray_and_unsealed_parts_are_found(boards):
    shutil.copytree(evidence(boards), evidence(boards).with_name("f" * 16))
    shutil.rmtree(evidence(boards))
    (boards / "cvc_clinicdb" / "tables.tex").unlink()
    seal_of(boards / "cvc_clinicdb" / "results.jsonl").unlink()
    lines = "\n".join(found(boards))
    for words in ("has no evidence in", "is evidence of no row", "tables.tex, the page: is not there",
                  "results.sha256, the file: is gone"):  # fmt: skip
        assert words in lines


@pytest.mark.parametrize("file", ["cases.jsonl", "record.json", "record.sha256"])
def test_evidence_that_is_not_whole_is_told_once_and_not_by_every_page_that_shows_it(boards, file):
    (evidence(boards) / file).unlink()
    (boards / "cvc_clinicdb" / "tables.tex").unlink()
    done = verify_board(boards, "cvc_clinicdb")
    broken, page = map(str, done.findings)
    assert str(evidence(boards)) in broken
    assert "tables.tex, the page: is not there" in page
    assert (done.pages, done.whole) == (0, False)
    told = invoke("leaderboard", "verify", "--leaderboards", boards)
    assert "were not compared, as they show evidence that is not whole" in told.stdout
    assert "2 findings" in told.stdout


def test_swapped_and_dropped_cases_are_found(boards):
    path = evidence(boards) / "cases.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[1], lines[0], *lines[2:]]))
    assert any("has other lines than those whose hash" in line for line in found(boards))
    path.write_text("".join(lines[1:]))
    assert any("counts.total: says 10 where the cases give 9" in line for line in found(boards))


def test_predictions_are_scored_again(original, boards, small_cvc, tmp_path):
    done = invoke("leaderboard", "verify", "cvc_clinicdb", "--leaderboards", boards, "--data", small_cvc,
                  "--predictions", original / "runs")  # fmt: skip
    assert done.exit_code == 0
    assert "not scored again, no predictions in" in done.stdout
    key = next(row["key"] for row in read_results(boards, "cvc_clinicdb") if row["title"] == "moved-2")
    folder = tmp_path / "moved-2"
    shutil.copytree(original / "moved-2", folder)
    again = Again(data=small_cvc, predictions=folder)
    (whole,) = verify([key[:8]], boards, again)
    assert (whole.findings, whole.scored_again) == ([], 10)
    case = CHALLENGE.cases(small_cvc, "test")[0]
    cv2.imwrite(str(folder / f"{case.id}.png"), CHALLENGE.release.read_reference(case) * 255)
    (changed,) = verify([key[:8]], boards, again)
    words = "\n".join(map(str, changed.findings))
    assert "is not the prediction that was scored" in words
    assert f"case {case.id}, scores.dice.value: says" in words
    assert "where the prediction gives 1.0" in words


def test_other_data_are_found_and_wrong_requests_refused(boards, small_cvc, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(small_cvc, other)
    image = sorted(other.rglob("*.tif"))[0] if list(other.rglob("*.tif")) else sorted(other.rglob("*.png"))[0]
    pixels = cv2.imread(str(image), cv2.IMREAD_UNCHANGED)
    for path in sorted(other.rglob(f"*{image.suffix}")):
        cv2.imwrite(str(path), 255 - cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    assert pixels is not None
    (done,) = verify(["cvc_clinicdb"], boards, Again(data=other, predictions=tmp_path))
    assert any("holds other files" in str(finding) for finding in done.findings)
    for names, again, code in (
        (["zzzz"], Again(), "run.unknown"),
        ([], Again(data=tmp_path / "none"), "data.missing"),
        ([], Again(predictions=tmp_path / "none"), "predictions.missing"),
        (["cvc_clinicdb", "hc18"], Again(data=small_cvc), "verify.one"),
    ):
        with pytest.raises(MedbenchError) as caught:
            verify(names, boards, again)
        assert caught.value.code == code
    with pytest.raises(MedbenchError, match="holds no results"):
        verify([], tmp_path / "none")


def test_a_name_that_is_no_row_says_why(boards, monkeypatch):
    first, _ = keys(boards)

    def refused(name):
        with pytest.raises(MedbenchError) as caught:
            verify([name], boards)
        return caught.value

    assert "is no challenge, and a key is named by 4 letters at least" in refused(first[:1]).message
    assert refused("zzzz").message.endswith(f"no row in {boards} has a key that begins so.")
    assert refused("cvc_clinicbd").hint.startswith("Did you mean cvc_clinicdb")
    absent = refused("hc18")
    assert (absent.code, absent.hint) == ("leaderboard.empty", "Measured there: cvc_clinicdb.")
    monkeypatch.setattr("medbench.running.verify.LEAST_LETTERS", 0)
    several = refused("")
    assert several.code == "run.ambiguous"
    assert f"{first[:16]} of cvc_clinicdb" in several.message


def test_a_key_that_a_board_shows_resolves(boards, tmp_path):
    first, second = (key[:8] for key in keys(boards))
    nowhere = tmp_path / "runs"
    assert find_run(first, nowhere, boards).record.key.startswith(first)
    shared = ("--leaderboards", boards, "--runs", nowhere)
    assert invoke("compare", first, second, *shared).exit_code == 0
    assert invoke("rank", first, second, *shared, "--resamples", "20").exit_code == 0
    assert invoke("report", first, *shared, "-o", tmp_path / "page.html").exit_code == 0
    page = (tmp_path / "page.html").read_text()
    assert "Spread over cases" in page
    assert "data:image" not in page
    assert invoke("leaderboard", "verify", first, "--leaderboards", boards).exit_code == 0


def test_a_repeated_evaluation_changes_no_byte(original, small_cvc):
    before = {path: path.read_bytes() for path in (original / "runs").rglob("*.json*")}
    rows = (original / "boards/cvc_clinicdb/results.jsonl").read_bytes()
    again = evaluate("cvc_clinicdb", original / "moved-2", data=small_cvc, runs=original / "runs",
                     leaderboards=original / "boards")  # fmt: skip
    assert {path: path.read_bytes() for path in (original / "runs").rglob("*.json*")} == before
    assert (original / "boards/cvc_clinicdb/results.jsonl").read_bytes() == rows
    assert again.record.model_dump_json(indent=2) + "\n" == (again.folder / "record.json").read_text()


def test_boards_of_two_machines_are_joined(original, boards, small_cvc, tmp_path):
    other = tmp_path / "other"
    evaluate("cvc_clinicdb", original / "moved-8", data=small_cvc, name="third", runs=tmp_path / "runs",
             leaderboards=other)  # fmt: skip
    evaluate("cvc_clinicdb", original / "moved-2", data=small_cvc, runs=tmp_path / "runs", leaderboards=other)
    done = invoke("leaderboard", "merge", other, "--leaderboards", boards)
    assert "1 row added, 1 was here already" in done.stdout
    assert sorted(row["title"] for row in read_results(boards, "cvc_clinicdb")) == [
        "moved-2", "moved-8", "third",
    ]  # fmt: skip
    assert found(boards) == []
    (again,) = merge(boards, [other])
    assert (again.new, again.old) == (0, 2)
    fresh = tmp_path / "fresh"
    merge(fresh, [other, boards])
    assert found(fresh) == []
    assert len(keys(fresh)) == 3


def test_one_key_with_two_results_is_no_merge(boards, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(boards, other)
    table = other / "cvc_clinicdb" / "results.jsonl"
    rows = [dict(line.row) for line in read_lines(table)]
    rows[0]["metrics"]["dice"]["value"] = 0.999
    write_table(table, [sealed_line(row) for row in rows])
    before = (boards / "cvc_clinicdb" / "results.jsonl").read_bytes()
    with pytest.raises(MedbenchError, match=r"differs in metrics\.dice\.value"):
        merge(boards, [other])
    assert (boards / "cvc_clinicdb" / "results.jsonl").read_bytes() == before
    with pytest.raises(MedbenchError, match="none: there is no such folder"):
        merge(boards, [tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(MedbenchError, match="empty: holds no results"):
        merge(boards, [tmp_path / "empty"])


def test_the_evidence_is_small_and_names_no_path(boards, original):
    files = [path for path in (boards / "cvc_clinicdb" / "evidence").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"record.json", "cases.jsonl", "record.sha256"}
    for path in files:
        assert path.stat().st_size < 50_000
        assert str(original) not in path.read_text()


def test_the_digit_that_was_changed_is_found():
    import hashlib

    text = '{"a": {"b": [1.25, 2.5]}, "c": "x"}'
    digest = hashlib.sha256(text.encode()).hexdigest()
    edit = find_edit(text.replace("2.5", "2.7"), digest)
    assert (edit.place, edit.stands, edit.original) == ("a.b[1]", 2.7, 2.5)
    assert find_edit(text.replace("1.25, 2.5", "1.26, 2.7"), digest) is None


@pytest.mark.parametrize("challenge", sorted(path.parent.name for path in SHIPPED.glob("*/results.jsonl")))
def test_every_shipped_row_is_what_its_evidence_gives(challenge):
    done = verify_board(SHIPPED, challenge)
    assert [str(finding).replace(f"{SHIPPED}/", "") for finding in done.findings] == []
    assert done.rows > 0
