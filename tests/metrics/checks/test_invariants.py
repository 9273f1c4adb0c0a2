"""Records that contradict themselves are refused, and honest ones are not."""

from __future__ import annotations

import numpy as np
import pytest

from medbench.core.errors import MedbenchError
from medbench.core.score import Score
from medbench.metrics import evaluate_arrays, list_metrics, metric
from medbench.metrics.checks.invariants import check_case, check_counts, violations
from medbench.metrics.official.intrapartum import segmentation_scores

MASKS = [
    id for id in list_metrics()
    if metric(id).family in ("overlap", "surface") and "tolerance" not in metric(id).options
]  # fmt: skip


@pytest.mark.parametrize("seed", range(15))
def test_honest_scores_pass(seed):
    rng = np.random.default_rng(seed)
    maps = [rng.integers(0, 3, (14, 15)) for _ in range(2)]
    for scores in evaluate_arrays(*maps, MASKS, [1, 2], (1.0, 1.0)).values():
        assert list(violations(scores)) == []
    same = evaluate_arrays(maps[0], maps[0], MASKS, [1], (1.0, 1.0))["1"]
    assert list(violations(same)) == []


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"dice": 0.5, "iou": 0.5}, "iou"),
        ({"dice": 1.2}, "range"),
        ({"hd": -1.0}, "range"),
        ({"mcc": -1.5}, "range"),
        ({"hd": 3.0, "hd95.pooled": 4.0}, "larger than hd"),
        ({"hd.area": 3.0, "hd95.area": 4.0}, "larger than hd.area"),
        ({"dice": 1.0, "hd": 2.0}, "instead of 0"),
        ({"iou": 1.0, "asd.edge8": 0.5}, "instead of 0"),
        ({"dice": 0.5, "precision": 0.9, "sensitivity": 0.9}, "harmonic"),
    ],
)
def test_broken_scores_are_named(scores, words):
    found = list(violations({id: Score(value) for id, value in scores.items()}))
    assert any(words in violation for violation in found)


def test_assigned_values_take_no_part():
    assigned = Score.undefined("both empty", 374.0)
    scores = {"dice": Score(1.0), "hd95.pooled": assigned, "hd": Score.missing("")}
    assert list(violations(scores)) == []


def test_a_case_is_refused_by_name():
    conventions = {"dice_ps": "dice", "iou_ps": "iou", "dice_fh": "dice", "iou_fh": "iou", "x": "nobody"}
    scores = {"dice_ps": Score(0.5), "iou_ps": Score(1 / 3), "dice_fh": Score(0.5), "iou_fh": Score(0.4)}
    with pytest.raises(MedbenchError, match="Case p7: fh: iou") as raised:
        check_case("p7", {**scores, "x": Score(5.0)}, conventions)
    assert raised.value.code == "record.invariant"
    scores["iou_fh"] = Score(1 / 3)
    check_case("p7", scores, conventions)


def test_official_frames_pass():
    rng = np.random.default_rng(0)
    conventions = {
        f"{name}_{part}": id
        for part in ("ps", "fh", "all")
        for name, id in (("dice", "dice.plus_one"), ("hd", "hd.set"), ("asd", "asd.edge8"))
    }
    for _ in range(10):
        frames = [np.kron(rng.integers(0, 3, (4, 5)), np.ones((6, 6), int)) for _ in range(2)]
        check_case("frame", segmentation_scores(*frames), conventions)


def test_counts():
    check_counts("dice", 4, scored=2, failed=1, missing=1, undefined=0)
    for parts in ({"scored": 3, "failed": 2}, {"scored": 5, "failed": -1}):
        with pytest.raises(MedbenchError, match="do not add up"):
            check_counts("dice", 4, **parts)
