"""Own files carry their hashes: an edit is found, named by file and line, and nothing is lost over it."""

import json
import random
import shutil
import subprocess
from typing import ClassVar

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from medbench.challenges import load_challenge
from medbench.cli.main import app
from medbench.core import files, seals
from medbench.core.errors import MedbenchError
from medbench.core.files import dump_json
from medbench.core.seals import broken_seals, read_lines, read_table, seal_of, sealed_line, write_table
from medbench.io.caches import cached_array
from medbench.leaderboards.results import build_board, load_board, read_results
from medbench.records.reading import find_run, read_run
from medbench.running.evaluate import evaluate
from medbench.running.report import report
from refusals import refused

CHALLENGE = load_challenge("cvc_clinicdb")


@pytest.fixture(scope="module")
def answers(small_cvc, tmp_path_factory):
    """Predictions that are the references moved by two pixels."""
    folder = tmp_path_factory.mktemp("answers")
    for case in CHALLENGE.cases(small_cvc, "test"):
        moved = np.roll(CHALLENGE.release.read_reference(case), 2, axis=1)
        cv2.imwrite(str(folder / f"{case.id}.png"), moved * 255)
    return folder


@pytest.fixture
def finished(small_cvc, answers, tmp_path):
    """An evaluation with its leaderboard beside it."""
    return evaluate(
        "cvc_clinicdb", answers, data=small_cvc, name="first", runs=tmp_path / "runs",
        leaderboards=tmp_path / "boards",
    )  # fmt: skip


@pytest.fixture
def board(finished, small_cvc, answers, tmp_path):
    """A leaderboard of two rows."""
    evaluate(
        "cvc_clinicdb", answers, data=small_cvc, name="second", runs=tmp_path / "runs",
        leaderboards=tmp_path / "boards",
    )  # fmt: skip
    return tmp_path / "boards" / "cvc_clinicdb" / "results.jsonl"


def change_digit(path, after):
    """Change the first digit behind a text, and give the number of the line."""
    text = path.read_text()
    place = text.index(after) + len(after)
    while not text[place].isdigit():
        place += 1
    path.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])
    return text[:place].count("\n") + 1


def test_a_line_ends_with_its_own_hash():
    line = sealed_line({"case": "ä", "value": 0.5})
    assert json.loads(line)["case"] == "ä"
    assert line.startswith(dump_json({"case": "ä", "value": 0.5})[:-1] + ', "sha256": "')


@pytest.mark.parametrize("reader", ["report", "compare", "rank", "find_run"])
def test_an_edited_case_is_found_by_whatever_reads_it(finished, small_cvc, answers, reader):
    line = change_digit(finished.folder / "cases.jsonl", '"value": ')
    readers = {
        "report": lambda: report(finished.folder, data=small_cvc, predictions=answers),
        "find_run": lambda: find_run(finished.folder, finished.folder),
        "compare": lambda: run_cli("compare", finished.folder, finished.folder),
        "rank": lambda: run_cli("rank", finished.folder, finished.folder),
    }
    assert f"cases.jsonl, line {line}:" in refused("run.damaged", readers[reader])


def run_cli(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_a_record_that_disagrees_with_its_cases_is_refused_even_under_a_new_seal(
    finished, small_cvc, answers, tmp_path
):
    path = finished.folder / "record.json"
    record = json.loads(path.read_text())
    name = next(iter(record["metrics"]))
    record["metrics"][name]["value"] += 0.001
    path.write_text(json.dumps(record))
    message = refused("run.damaged", lambda: read_run(finished.folder))
    assert "record.json" in message
    seals.write_seal(seal_of(path), (path, finished.folder / "cases.jsonl"))
    for action in (
        lambda: report(finished.folder, data=small_cvc, predictions=answers),
        lambda: build_board(tmp_path / "boards", "cvc_clinicdb", tmp_path / "runs"),
    ):
        assert f"disagrees with cases.jsonl: {name}" in refused("run.damaged", action)


def test_counts_that_disagree_with_the_cases_are_refused_even_under_a_new_seal(finished):
    path = finished.folder / "record.json"
    record = json.loads(path.read_text())
    record["counts"]["ok"] -= 1
    record["counts"]["failed"] += 1
    path.write_text(json.dumps(record))
    seals.write_seal(seal_of(path), (path, finished.folder / "cases.jsonl"))
    counted = record["counts"]["ok"] + 1
    told = f"{counted} cases are ok, the record says {counted - 1}"
    assert told in refused("run.damaged", lambda: read_run(finished.folder))


def test_a_row_that_disagrees_with_its_run_is_refused_even_under_a_new_hash(board, tmp_path):
    lines = read_lines(board)
    row = json.loads(json.dumps(dict(lines[0].row)))
    next(iter(row["metrics"].values()))["value"] = 0.999
    write_table(board, [sealed_line(row), *(line.text for line in lines[1:])])
    for runs in (None, tmp_path / "runs"):
        message = refused(
            "leaderboard.disagrees", lambda runs=runs: load_board(tmp_path / "boards", "cvc_clinicdb", runs)
        )
        assert "results.jsonl, line 1: differs in metrics" in message
    shutil.rmtree(board.parent / "evidence")
    load_board(tmp_path / "boards", "cvc_clinicdb")
    message = refused(
        "leaderboard.disagrees", lambda: load_board(tmp_path / "boards", "cvc_clinicdb", tmp_path / "runs")
    )
    assert "results.jsonl, line 1: differs in metrics" in message


def test_a_run_without_its_seal_is_refused_and_one_from_before_is_marked(finished, small_cvc, answers):
    seal_of(finished.folder / "record.json").unlink()
    assert "record.sha256" in refused("run.damaged", lambda: read_run(finished.folder))
    rows = [dump_json(line.row) for line in read_lines(finished.folder / "cases.jsonl")]
    (finished.folder / "cases.jsonl").write_text("".join(f"{row}\n" for row in rows))
    old = read_run(finished.folder)
    assert not old.sealed
    assert old.title.endswith("(unsealed)")
    page = report(finished.folder, data=small_cvc, predictions=answers)
    assert "Unsealed" in page.read_text()


def test_the_seal_is_what_sha256sum_checks(finished):
    done = subprocess.run(["sha256sum", "-c", "record.sha256"], cwd=finished.folder, capture_output=True)
    assert done.returncode == 0, done.stdout


def test_an_edited_row_of_a_leaderboard_is_named_and_nothing_is_written(board, small_cvc, answers, tmp_path):
    line = change_digit(board, '"value": ')
    before = board.read_bytes()
    for action in (
        lambda: load_board(tmp_path / "boards", "cvc_clinicdb"),
        lambda: build_board(tmp_path / "boards", "cvc_clinicdb"),
        lambda: evaluate(
            "cvc_clinicdb", answers, data=small_cvc, name="third", runs=tmp_path / "runs",
            leaderboards=tmp_path / "boards",
        ),
    ):  # fmt: skip
        assert f"results.jsonl, line {line}:" in refused("leaderboard.damaged", action)
    assert board.read_bytes() == before


@pytest.mark.parametrize("cut", [1, 2, 40, 900])
def test_a_torn_last_line_of_a_leaderboard_is_never_dropped(board, small_cvc, answers, tmp_path, cut):
    torn = board.read_bytes()[:-cut]
    board.write_bytes(torn)
    message = refused(
        "leaderboard.damaged",
        lambda: evaluate(
            "cvc_clinicdb", answers, data=small_cvc, name="third", runs=tmp_path / "runs",
            leaderboards=tmp_path / "boards",
        ),
    )  # fmt: skip
    assert "results.jsonl" in message
    assert cut < 3 or "line 2: is cut off" in message
    assert board.read_bytes() == torn


def test_a_line_taken_out_of_a_leaderboard_is_found(board, tmp_path):
    lines = board.read_text().splitlines(keepends=True)
    board.write_text(lines[0])
    message = refused("leaderboard.damaged", lambda: load_board(tmp_path / "boards", "cvc_clinicdb"))
    assert "results.sha256" in message
    seal_of(board).unlink()
    assert len(read_results(tmp_path / "boards", "cvc_clinicdb")) == 1


def test_rows_from_before_are_read_marked_and_stay_as_they_are(board, small_cvc, answers, tmp_path):
    old = dump_json({**read_lines(board)[0].row, "key": "0" * 64, "title": "old"})
    board.write_text(f"{old}\n")
    seal_of(board).unlink()
    (entry,) = load_board(tmp_path / "boards", "cvc_clinicdb").measured[0].entries
    assert not entry.sealed
    evaluate(
        "cvc_clinicdb", answers, data=small_cvc, name="new", runs=tmp_path / "runs",
        leaderboards=tmp_path / "boards",
    )  # fmt: skip
    assert old in board.read_text().split("\n")
    assert [row["sealed"] for row in read_results(tmp_path / "boards", "cvc_clinicdb")] == [False, True]
    page = (board.parent / "README.md").read_text()
    assert page.count("(unsealed)") == len(load_board(tmp_path / "boards", "cvc_clinicdb").measured)


@pytest.mark.parametrize("stop", range(3))
def test_an_interrupted_write_leaves_a_leaderboard_that_can_be_read(tmp_path, monkeypatch, stop):
    path = tmp_path / "results.jsonl"
    write_table(path, [sealed_line({"a": 1})])
    writes = []

    def write_or_stop(target, text):
        if len(writes) == stop:
            raise KeyboardInterrupt
        writes.append(target)
        files.write_text(target, text)

    with monkeypatch.context() as patched:
        patched.setattr(seals, "write_text", write_or_stop)
        with pytest.raises(KeyboardInterrupt):
            write_table(path, [sealed_line({"a": 1}), sealed_line({"a": 2})])
    assert len(read_table(path, "x")) == (2 if stop == 2 else 1)


EDITS = 500


def edited(content, generator):
    """The content with a byte changed, put in, taken out, or with lines cut, dropped or doubled."""
    place = generator.randrange(len(content))
    kind = generator.choice(["byte", "bit", "insert", "delete", "cut", "drop", "double", "digit"])
    if kind == "byte":
        return content[:place] + bytes([generator.randrange(256)]) + content[place + 1 :]
    if kind == "bit":
        return content[:place] + bytes([content[place] ^ 1 << generator.randrange(8)]) + content[place + 1 :]
    if kind == "insert":
        return content[:place] + bytes([generator.randrange(256)]) + content[place:]
    if kind == "delete":
        return content[:place] + content[place + 1 :]
    if kind == "cut":
        return content[:place]
    if kind == "digit":
        digits = [index for index, letter in enumerate(content) if chr(letter).isdigit()]
        place = generator.choice(digits)
        other = generator.choice([d for d in b"0123456789" if d != content[place]])
        return content[:place] + bytes([other]) + content[place + 1 :]
    lines = content.splitlines(keepends=True)
    index = generator.randrange(len(lines))
    lines[index : index + 1] = [] if kind == "drop" else [lines[index]] * 2
    return b"".join(lines)


def test_five_hundred_random_edits_are_all_found_and_no_row_is_lost(board, finished, tmp_path, say):
    """Journal, board, record, their seals and a cache; what is refused is left as it is."""
    cache = tmp_path / "kept.npy"
    array = np.arange(60, dtype=np.float32).reshape(3, 20)
    cached_array(cache, lambda: array)
    run, boards = finished.folder, tmp_path / "boards"

    def reads_run():
        read_run(run)

    def reads_board():
        read_results(boards, "cvc_clinicdb")

    targets = {
        run / "cases.jsonl": reads_run,
        run / "record.json": reads_run,
        run / "record.sha256": reads_run,
        board: reads_board,
        seal_of(board): reads_board,
        cache: None,
    }
    generator, found = random.Random(17), 0
    for number in range(EDITS):
        path, reader = list(targets.items())[number % len(targets)]
        before = path.read_bytes()
        after = edited(before, generator)
        if after == before:
            after = before + b" "
        path.write_bytes(after)
        if reader is None:
            drawn = []
            again = cached_array(cache, lambda drawn=drawn: drawn.append(1) or array)
            assert (drawn, again.tobytes()) == ([1], array.tobytes())
        else:
            with pytest.raises(MedbenchError):
                reader()
            assert path.read_bytes() == after
        found += 1
        path.write_bytes(before)
    read_run(run)
    assert found == EDITS
    assert len(read_results(boards, "cvc_clinicdb")) == 2
    say(f"{found} of {EDITS} edits found, 0 rows lost")


def test_an_edited_row_of_a_journal_is_not_taken_over(finished):
    from medbench.core.progress import SilentProgress
    from medbench.running.journal import kept_rows

    class Told(SilentProgress):
        lines: ClassVar = []

        def say(self, line):
            self.lines.append(line)

    path = finished.folder / "cases.jsonl"
    change_digit(path, '"value": ')
    kept_rows([], finished.folder, Told())
    assert Told.lines == [f"{path}, line 1: edited, so its case is done again."]
    assert broken_seals(seal_of(finished.folder / "record.json"), ["record.json", "cases.jsonl"]) == [
        "cases.jsonl"
    ]
