"""The index over all boards: every row once, and what it shares with another protocol in words."""

import re
from pathlib import Path

from medbench.challenges import load_challenge
from medbench.leaderboards.boards import make_board
from medbench.leaderboards.index_page import _listed, index_html

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


def test_no_two_rows_of_the_shipped_index_read_alike():
    page = index_html(SHIPPED)
    rows = re.findall(r"<tr[ >].*?</tr>", page.split("<tbody>")[1], re.DOTALL)
    texts = [re.sub(r"<[^>]+>", "|", row).replace("|", " ").split() for row in rows]
    assert len(texts) == len({tuple(words) for words in texts})
    values = [re.sub(r'.*<th scope="row"[^>]*>(.*?)</th>.*data-v="([^"]+)".*', r"\1 \2", row) for row in rows]
    assert len(values) == len(set(values))
    assert page.count(">ACDC</a>") == 3
