"""Budgets of training: rows state them with what was spent, and one that was missed stands in the name."""

import pytest

from medbench.leaderboards.board_page import budget, recipe_text
from medbench.leaderboards.costs import TRAINING, cost_columns
from medbench.leaderboards.naming import entry_names
from medbench.leaderboards.training_budget import TOLERANCE, cost_text, missed_budget


def row(minutes, planned=3.0, key="a"):
    changes = {"max_steps": 70, "cpu_minutes": planned} if planned else {}
    training = {"recipe": {"name": "quick", **changes}, "cpu_minutes": minutes}
    return {
        "key": key, "title": "U-Net", "recipe": "quick", "recipe_changes": changes, "training": training,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("minutes", "missed"),
    [
        ([3.0], ""),
        ([3 * (1 + TOLERANCE) - 0.01], ""),
        ([3 * (1 - TOLERANCE) + 0.01], ""),
        ([3 * (1 + TOLERANCE) + 0.01], "budget 3 CPU min, took 3.5"),
        ([1.1], "budget 3 CPU min, took 1.1"),
        ([3.0, 3.1, 1.1], "budget 3 CPU min, took 3.0 and 3.1 and 1.1"),
        ([], "budget 3 CPU min, cost unknown"),
    ],
)
def test_a_missed_budget_stands_in_the_name(minutes, missed):
    (name,) = entry_names([row(minutes)])
    assert missed_budget(row(minutes)) == missed
    assert (f"[{missed}]" in name) if missed else "[" not in name


def test_a_training_without_budget_misses_none():
    assert missed_budget(row([0.02], planned=0)) == ""
    assert missed_budget({"training": None}) == ""
    assert cost_text({"training": None}) == "–"


def test_cost_and_budget_stand_in_a_column_and_in_the_filter():
    rows = [row([2.9], key="a"), row([3.1, 3.0, 2.8], key="b"), row([0.02], planned=0, key="c")]
    columns = cost_columns(rows, [])
    place = columns.headings.index(TRAINING)
    assert [columns.of(key)[place] for key in "abc"] == ["2.9 of 3", "8.9 of 3 × 3", "0.0"]
    assert {budget(rows[0]), budget(rows[1])} == {"3 CPU minutes"}
    assert budget(rows[2]) == recipe_text(rows[2]) == "quick"
    assert "max_steps=70" in recipe_text(rows[0])
