"""A score never hides an undefined number."""

import pytest

from medbench.core.score import Score


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_only_finite_values(value):
    with pytest.raises(ValueError, match="finite"):
        Score(value)


def test_ok_needs_a_value():
    with pytest.raises(ValueError, match="needs a value"):
        Score(None)


@pytest.mark.parametrize(
    "score",
    [
        Score(0.5),
        Score.undefined("both empty"),
        Score.failed("wrong size", 0.0),
        Score.missing("no file", 100.0),
    ],
)
def test_json_round_trip(score):
    assert Score.from_json(score.as_json()) == score
