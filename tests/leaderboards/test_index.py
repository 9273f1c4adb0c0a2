"""The index over all boards: every row once, and what it shares with another protocol in words."""

import re
import shutil
import threading
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from medbench.challenges import load_challenge
from medbench.cli.main import app
from medbench.core.errors import MedbenchError
from medbench.leaderboards.boards import make_board
from medbench.leaderboards.index_page import _listed
from medbench.leaderboards.results import build_board, changed_rows, index_of, write_index
from medbench.running.verify import verify

SHIPPED = Path(__file__).parents[2] / "leaderboards"
CHALLENGE = load_challenge("acdc")
FIRST, SECOND = dict.fromkeys(metric.protocol for metric in CHALLENGE.metrics)


def row(key, dice, other):
    def cell(value):
        return {"value": value, "ci95": [None, None], "convention": "x", "counts": [3, 0, 0, 0]}

    columns = {
        protocol: next(m.name for m in CHALLENGE.metrics if m.protocol == protocol)
        for protocol in (FIRST, SECOND)
    }
    return {
        "key": key * 16, "data": "real", "split": "test", "manifest_sha256": "m" * 64, "title": key,
        "recipe": None, "counts": {"total": 3, "ok": 3, "failed": 0, "missing": 0},
        "metrics": {columns[FIRST]: cell(dice), columns[SECOND]: cell(other)},
    }  # fmt: skip


def test_a_protocol_that_gives_all_rows_the_same_values_is_named_and_not_listed_again():
    same = make_board(CHALLENGE, [row("a", 0.8, 0.8), row("b", 0.7, 0.7)]).measured
    assert len(same) == 2
    ((place, table, protocols),) = _listed(same)
    assert (place, table) == (0, same[0])
    assert protocols == f"{FIRST}; the same values by protocol {SECOND}"


def test_one_value_that_differs_lists_both_protocols():
    tables = make_board(CHALLENGE, [row("a", 0.8, 0.8), row("b", 0.7, 0.6)]).measured
    assert [(place, protocols) for place, _, protocols in _listed(tables)] == [(0, FIRST), (1, SECOND)]


@pytest.fixture
def boards(tmp_path):
    """Three shipped boards without an index."""
    for name in ("acdc", "hc18", "tvsum"):
        shutil.copytree(SHIPPED / name, tmp_path / name)
    return tmp_path


def change(boards, challenge, dropped=()):
    """Write a board's rows anew, without some."""
    with changed_rows(boards, challenge) as lines:
        for key in list(lines)[: len(dropped)]:
            del lines[key]


@pytest.mark.parametrize("before", ["none", "whole", "of another program", "of other boards", "no text"])
def test_a_changed_board_leaves_the_index_of_all_boards_as_they_are(boards, before):
    index = boards / "index.html"
    if before != "none":
        write_index(boards)
    if before == "of another program":
        index.write_text(index.read_text().replace("<h1>", "<h1>Old ").replace(" data-kind=", " data-sort="))
    if before == "of other boards":
        shutil.rmtree(boards / "acdc")
    if before == "no text":
        index.write_bytes(b"\xff\x00")
    rows = index_of(boards).count("<tr ")
    change(boards, "hc18", "x")
    assert index.read_text() == index_of(boards)
    assert index.read_text().count("<tr ") == rows - 1
    assert 'href="hc18/index.html"' in index.read_text()


def test_of_an_index_that_stands_the_other_boards_are_not_read_again(boards, monkeypatch):
    write_index(boards)
    shown = (boards / "index.html").read_text()
    read = []
    monkeypatch.setattr("medbench.leaderboards.results.write_index", read.append)
    change(boards, "hc18", "x")
    assert read == []
    assert len((boards / "index.html").read_text()) < len(shown)


def test_the_way_from_a_board_to_all_boards_leads_somewhere(boards):
    change(boards, "tvsum")
    page = boards / "tvsum" / "index.html"
    (way,) = re.findall(r'href="([^"]*)">All boards<', page.read_text())
    assert (page.parent / way).resolve().is_file()
    build_board(boards, "tvsum")
    assert way in page.read_text()


def test_no_two_rows_of_the_shipped_index_read_alike():
    page = index_of(SHIPPED)
    rows = re.findall(r"<tr[ >].*?</tr>", page.split("<tbody>")[1], re.DOTALL)
    texts = [re.sub(r"<[^>]+>", "|", row).replace("|", " ").split() for row in rows]
    assert len(texts) == len({tuple(words) for words in texts})
    values = [re.sub(r'.*<th scope="row"[^>]*>(.*?)</th>.*data-v="([^"]+)".*', r"\1 \2", row) for row in rows]
    assert len(values) == len(set(values))
    assert page.count(">ACDC</a>") == 3


def lines_of(page, challenge):
    """Lines of an index that are of a challenge, without its name and what it alone knows."""
    lines = [line for line in page.splitlines() if f'<a href="{challenge}/index.html"' in line]
    plain = (re.sub(r' data-task="[^"]*"|<svg.*?</svg>|<span[^>]*></span>', "", line) for line in lines)
    return [re.sub(r"<[^>]+>", "|", line).replace(challenge, "") for line in plain]


@pytest.fixture
def with_unknown(boards):
    """Boards with one of a challenge that is not known here, and an index."""
    shutil.copytree(boards / "hc18", boards / "ours")
    write_index(boards)
    return boards


def test_a_board_of_a_challenge_that_is_not_known_here_stays_in_the_index(with_unknown):
    index = with_unknown / "index.html"
    own, other = (lines_of(index.read_text(), name) for name in ("ours", "hc18"))
    assert len(own) == len(other) > 0
    values = [re.findall(r"\|(-?\d+\.\d+)", line) for line in own]
    assert values == [re.findall(r"\|(-?\d+\.\d+)", line) for line in other]
    assert any(values)
    change(with_unknown, "tvsum")
    index.unlink()
    change(with_unknown, "tvsum")
    assert lines_of(index.read_text(), "ours") == own


def test_a_board_that_cannot_be_built_is_told_and_leaves_the_others_alone(with_unknown):
    (with_unknown / "acdc" / "results.jsonl").write_text('{"key": 1}\n')
    pages = {name: with_unknown / name / "README.md" for name in ("ours", "tvsum")}
    for page in pages.values():
        page.write_text("old")
    done = CliRunner().invoke(app, ["leaderboard", "build", "--leaderboards", str(with_unknown)])
    assert done.exit_code == 1
    assert "ours: its challenge is not known here, so its pages stay as they are" in done.stderr
    assert "acdc/results.jsonl: lines were added, changed or removed" in done.stderr
    assert [name for name, page in pages.items() if page.read_text() == "old"] == ["ours"]
    assert done.stderr.count("acdc/results.jsonl") == 1
    assert lines_of((with_unknown / "index.html").read_text(), "ours")
    with pytest.raises(MedbenchError, match="ours: its challenge is not known here"):
        CliRunner().invoke(
            app, ["leaderboard", "build", "ours", "--leaderboards", str(with_unknown)], catch_exceptions=False
        )


@pytest.mark.parametrize("others", ["stand", "are changed"])
def test_a_damaged_board_stays_in_the_index_with_the_reason(boards, others):
    """Field case: its rows dropped out of a rebuilt index without a word."""
    write_index(boards)
    (boards / "acdc" / "results.jsonl").write_text('{"key": 1}\n')
    done = CliRunner().invoke(app, ["leaderboard", "build", "tvsum", "--leaderboards", str(boards)])
    assert done.exit_code == 1
    assert done.stderr.count("error: ") == 1
    assert f"error: {boards}/acdc/results.jsonl: lines were added" in done.stderr
    if others == "are changed":
        change(boards, "hc18")
    page = (boards / "index.html").read_text()
    (line,) = [line for line in page.splitlines() if "acdc/" in line]
    assert '<a href="acdc/results.jsonl">damaged: acdc/results.jsonl: lines were added, changed' in line
    assert str(boards) not in page
    assert page == index_of(boards)
    assert {"hc18/index.html", "tvsum/index.html"} <= set(re.findall(r'href="([^"#]+)"', page))


def test_all_boards_damaged_are_told_one_by_one(boards):
    for name in ("acdc", "hc18", "tvsum"):
        (boards / name / "results.jsonl").write_text("{}\n")
    done = CliRunner().invoke(app, ["leaderboard", "build", "--leaderboards", str(boards)])
    assert done.exit_code == 1
    assert done.stderr.count("error: ") == 3
    assert (boards / "index.html").read_text().count(">damaged: ") == 3


def test_a_board_that_cannot_be_joined_is_told_and_leaves_the_others_alone(with_unknown, tmp_path_factory):
    place = tmp_path_factory.mktemp("joined")
    words = ["leaderboard", "merge", str(with_unknown), "--leaderboards", str(place)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert "no challenge named 'ours'" in done.stderr
    assert re.findall(r"^(\w+): \d+ rows? added", done.stdout, re.MULTILINE) == ["acdc", "hc18", "tvsum"]
    assert not (place / "ours").exists()


def test_no_row_of_a_challenge_that_is_not_known_here_is_changed(with_unknown):
    rows = with_unknown / "ours" / "results.jsonl"
    before = rows.read_bytes()
    with pytest.raises(MedbenchError, match="no challenge named 'ours'"):
        change(with_unknown, "ours", "x")
    assert rows.read_bytes() == before


def test_the_index_of_a_board_that_is_not_known_here_is_not_verified(with_unknown):
    index = with_unknown / "index.html"
    index.write_text(index.read_text().replace("Leaderboards", "Boards"))
    paths = {finding.path for report in verify([], with_unknown) for finding in report.findings}
    assert with_unknown / "ours" / "results.jsonl" in paths
    assert index not in paths


@pytest.mark.parametrize(
    ("lock", "write"), [(".", write_index), ("tvsum", lambda b: build_board(b, "tvsum"))]
)
def test_pages_are_written_by_one_at_a_time(boards, lock, write):
    writer = threading.Thread(target=write, args=(boards,))
    with FileLock(boards / lock / ".lock"):
        writer.start()
        writer.join(0.5)
        assert writer.is_alive()
    writer.join(60)
    assert not writer.is_alive()
