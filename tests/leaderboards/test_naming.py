"""Rows that differ in anything read differently, and stand in one table only where they may be compared."""

import itertools

import pytest

from medbench.challenges import load_challenge
from medbench.leaderboards.boards import make_board
from medbench.leaderboards.naming import entry_names
from medbench.leaderboards.rendering import as_csv, html, markdown
from medbench.leaderboards.sections import sections

CHALLENGE = load_challenge("cvc_clinicdb")
METHOD = "Student score interval over groups"


def row(value=0.5, **facts):
    """A row of a network that was trained by a changed recipe."""
    spread = {"cases": 9, "mean": value, "sd": 0.1, "median": 0.6, "q25": 0.4, "q75": 0.7, "worst": 0.05,
              "worst_case": "612"}  # fmt: skip
    cell = {"value": value, "ci95": [value - 0.1, value + 0.1], "groups": 7, "ci95_method": METHOD,
            "convention": "dice", "counts": [9, 1, 0, 0], "spread": spread}  # fmt: skip
    own = {
        "key": "a" * 64, "data": "real", "split": "test", "manifest_sha256": "m" * 64, "model": "net",
        "title": "Net", "options": {}, "parameters": 100, "weights": "trained", "weights_sha256": "w" * 64,
        "recipe": "quick", "recipe_changes": {"epochs": 12}, "training_seed": 0, "seed": 0, "subset": False,
        "settings": {"device": "cpu", "precision": "fp32", "cases": "*"}, "code_sha256": "c" * 64,
        "scoring_sha256": "s" * 64, "counts": {"total": 10, "ok": 9, "failed": 1, "missing": 0},
        "metrics": {"dice": cell}, "record_sha256": "r" * 64, "sealed": True,
    }  # fmt: skip
    return {**own, **facts}


CHANGES = {
    "title": ({"title": "Other"}, "Other (quick; epochs=12)"),
    "recipe": ({"recipe": "default"}, "Net (default; epochs=12)"),
    "changes": ({"recipe_changes": {"epochs": 6, "lr": 0.1}}, "Net (quick; epochs=6; lr=0.1)"),
    "options": ({"options": {"depth": 3}}, "Net (quick; epochs=12) (depth=3)"),
    "seed": ({"seed": 3}, "Net (quick; epochs=12), seed 3"),
    "training seed": ({"training_seed": 4}, "Net (quick; epochs=12), training seed 4"),
    "settings": (
        {"settings": {"device": "cpu", "precision": "bf16", "cases": "*"}},
        "Net (quick; epochs=12), precision=bf16",
    ),
    "weights": ({"weights_sha256": "v" * 64}, "Net (quick; epochs=12), weights vvvvvvvv"),
    "code": ({"code_sha256": "d" * 64}, "Net (quick; epochs=12), code dddddddd"),
    "plug-ins": (
        {"settings": {"device": "cpu", "precision": "fp32", "cases": "*", "plugins": {"p.py": "f" * 64}}},
        "Net (quick; epochs=12), plug-ins p.py ffffffff",
    ),
    "untrained": ({"weights": "none", "weights_sha256": None}, "Net (quick; epochs=12) [untrained]"),
    "parts": ({"untrained_parts": ["head"]}, "Net (quick; epochs=12) [partly untrained]"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_row_that_differs_reads_differently(change):
    facts, name = CHANGES[change]
    names = entry_names([row(), row(key="b" * 64, **facts)])
    assert names[0] != names[1]
    assert names[1] == name


def test_all_rows_read_differently_and_equal_ones_by_their_key():
    rows = [row(key=str(number) * 64, **facts) for number, (facts, _) in enumerate(CHANGES.values())]
    names = entry_names([row(), *rows, row(key="e" * 64)])
    assert len(set(names)) == len(names)
    assert names[-1].endswith("run eeeeeeee")
    assert entry_names([row()]) == ["Net (quick; epochs=12)"]


def test_what_learns_nothing_is_not_untrained():
    (name,) = entry_names([row(weights="none", parameters=0, recipe=None, recipe_changes=None)])
    assert name == "Net"


def test_an_exported_network_whose_file_holds_its_weights_is_not_untrained():
    settings = {"device": "cpu", "model_sha256": "f" * 64}
    own = {"weights": "none", "weights_sha256": None, "recipe": None, "recipe_changes": None}
    (name,) = entry_names([row(**own, title="file:net.onnx", settings=settings)])
    assert name == "file:net.onnx"


@pytest.mark.parametrize("apart", ["scoring_sha256", "convention", "manifest_sha256"])
def test_other_definitions_or_code_of_the_scoring_stand_in_another_table(apart):
    other = row(0.6, key="b" * 64)
    if apart == "convention":
        other["metrics"]["dice"]["convention"] = "dice.plus_one"
    else:
        other[apart] = "z" * 64
    tables = make_board(CHALLENGE, [row(), other]).measured
    assert [len(table.entries) for table in tables] == [1, 1]
    together = make_board(CHALLENGE, [row(), row(0.6, key="b" * 64, seed=1)]).measured
    assert [len(table.entries) for table in together] == [2]
    assert "scoring ssssssss" in together[0].title


def test_a_column_that_one_row_lacks_does_not_part_two_rows():
    more = row(0.6, key="b" * 64, seed=1)
    more["metrics"]["iou"] = {**more["metrics"]["dice"], "convention": "iou"}
    assert [len(table.entries) for table in make_board(CHALLENGE, [row(), more]).measured] == [2]


def test_ranks_are_shared_by_equal_values_and_given_to_no_reference_row():
    rows = [row(value, key=str(number) * 64, seed=number) for number, value in enumerate((0.5, 0.7, 0.7))]
    rows.append(row(0.9, key="f" * 64, reference_row=True))
    (table,) = make_board(CHALLENGE, rows).measured
    assert [entry.rank for entry in table.entries] == [1, 1, 3, None]
    (marked,) = make_board(CHALLENGE, [row(mark="saw the test labels")]).measured
    assert marked.entries[0].rank is None


def test_pages_show_spread_subgroups_and_mean_over_seeds():
    cell = {"ci95": [None, None], "ci95_method": "", "groups": 2, "counts": [4, 0, 0, 0]}
    centres = {name: {"dice": {**cell, "value": value}} for name, value in (("A", 0.4), ("B", 0.6))}
    groups = {"centre": centres}
    rows = [
        row(value, key=str(seed) * 64, training_seed=seed, weights_sha256=str(seed) * 64, subgroups=groups)
        for seed, value in enumerate((0.5, 0.7, 0.6))
    ]
    board = make_board(CHALLENGE, rows)
    titles = [section.title for section in board.measured[0].sections]
    assert titles == ["Spread over cases", "By centre", "Over seeds"]
    page = markdown(board)
    for words in ("0.6000 ± 0.1000", "0.0500 (612)", "0.4000 – 0.7000", "### By centre"):
        assert words in page
        assert words.removeprefix("### ") in html(board)
    assert as_csv(board).splitlines()[1].count("612") == 1
    assert "Student score interval over groups" in page
    assert "resampled by group" not in page


def test_rows_of_one_seed_have_no_mean_over_seeds():
    metric = CHALLENGE.metric("dice")
    for first, second in itertools.pairwise(
        [row(), row(key="b" * 64, options={"depth": 3}, training_seed=1), row(key="c" * 64)]
    ):
        assert "Over seeds" not in [section.title for section in sections([first, second], [metric])]


def test_rows_without_evidence_say_so():
    assert "aaaaaaaa (no evidence)" in markdown(make_board(CHALLENGE, [row(record_sha256=None)]))
    assert "(no evidence)" not in markdown(make_board(CHALLENGE, [row()]))


def test_a_substitute_is_named():
    (table,) = make_board(CHALLENGE, [row(settings={"substitute": "tiles of human sections"})]).measured
    assert table.title.startswith("Measured on a substitute for the release: tiles of human sections")
    assert "[substitute]" in table.entries[0].name
