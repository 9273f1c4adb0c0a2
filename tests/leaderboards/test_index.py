"""The index over all boards: every row once, and what it shares with another protocol in words."""

import re
import shutil
from pathlib import Path

import pytest

from medbench.challenges import load_challenge
from medbench.leaderboards.boards import make_board
from medbench.leaderboards.index_page import _listed
from medbench.leaderboards.results import build_board, changed_rows, index_of, write_index

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
