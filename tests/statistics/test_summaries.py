"""Spread over cases, subgroups and seeds."""

import numpy as np
import pytest

from medbench.core.result_table import CaseRow, MetricSpec, mean_statistic
from medbench.core.score import Score
from medbench.statistics.summaries import by_subgroup, over_seeds, spread

DICE = MetricSpec("dice", "Dice", "", "higher", "dice", (0.0, 1.0))
DISTANCE = MetricSpec("hd", "HD", "mm", "lower", "hd.set")


def rows_of(values, metric=DICE):
    return [
        CaseRow(
            f"c{index}", f"g{index}", "ok",
            {metric.name: Score.undefined("empty") if value is None else Score(float(value))}, {},
        )
        for index, value in enumerate(values)
    ]  # fmt: skip


def test_the_spread_of_a_column():
    values = [0.9, 0.4, None, 0.8, 0.7, 0.4]
    result = spread(DICE, rows_of(values))
    numbers = np.array([v for v in values if v is not None])
    assert (result.cases, result.mean, result.sd) == (
        5,
        pytest.approx(0.64),
        pytest.approx(numbers.std(ddof=1)),
    )
    assert (result.median, result.quartiles) == (0.7, (0.4, 0.8))
    assert (result.worst, result.worst_case) == (0.4, "c1")
    worst = spread(DISTANCE, rows_of([3, 9, 9, 1], DISTANCE))
    assert (worst.worst, worst.worst_case, worst.median) == (9.0, "c1", 6.0)
    signed = MetricSpec("df", "DF", "mm", "lower", "hc.df", signed=True)
    worst = spread(signed, rows_of([3, -9, 8, 1], signed))
    assert (worst.worst, worst.worst_case) == (-9.0, "c1"), "a shift to either side is as bad"
    assert spread(DICE, rows_of([0.5])).sd is None
    assert spread(DICE, rows_of([None])) is None


def test_subgroups_have_their_own_mean_and_interval():
    values = [0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.5, 0.6, 0.3]
    centres = {f"c{index}": "north" if index < 6 else "south" for index in range(8)}
    result = by_subgroup(mean_statistic, DICE, rows_of(values), centres)
    assert list(result) == ["north", "south"]
    assert result["north"].value == pytest.approx(0.925)
    assert (result["north"].groups, result["south"].groups) == (6, 2)
    assert 0.85 < result["north"].interval.low < 0.925 < result["north"].interval.high < 0.96
    assert result["south"].value == pytest.approx(0.55)
    assert result["south"].interval.low is None


def test_repetitions_with_other_seeds():
    result = over_seeds([0.8, 0.9, 0.85], "higher")
    assert (result.mean, result.sd) == (pytest.approx(0.85), pytest.approx(0.05))
    assert (result.worst, result.runs) == (0.8, 3)
    assert over_seeds([3.0, 4.0], "lower").worst == 4.0
    assert over_seeds([3.0], "lower").sd is None
