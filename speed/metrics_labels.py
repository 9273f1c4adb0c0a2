"""Whole label maps: Dice, HD, HD95 and ASSD of every label, beside the plain recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metrics_cases import SCAN_SPACING, frame_pairs, many_labels, organ_maps, scan_pairs
from metrics_timing import interleaved
from plain_recipe import compare_labels

FOUR = ("dice", "hd", "hd95.pooled", "assd.pooled")
GOALS = {"plain cKDTree": 1.2, "plain pykdtree": 1.0}
"""Least ratio of the peer's CPU seconds to ours, where a case sets no other."""


def label_cases() -> dict[str, tuple[Callable[[], Any], tuple[float, ...], int, dict[str, float]]]:
    """Name -> what makes the pairs, spacing, rounds, goals."""
    scans = {
        f"{name}, 200 x 512 x 512": (lambda make=make: [make()], SCAN_SPACING, 5, GOALS)
        for name, make in scan_pairs().items()
    }
    many = {"plain cKDTree": 1.3, "plain pykdtree": 1.3}
    return {
        "12 frames, 256 x 256, 2 labels": (
            lambda: list(zip(*frame_pairs(12), strict=True)), (1.0, 1.0), 25, GOALS,
        ),
        **scans,
        "8 organs, 200 x 512 x 512": (lambda: [organ_maps()], SCAN_SPACING, 5, GOALS),
        "117 labels, 300 x 320 x 320": (lambda: [many_labels()], (1.5, 1.5, 1.5), 5, many),
    }  # fmt: skip


DICE_CASES = ("12 frames, 256 x 256, 2 labels", "117 labels, 300 x 320 x 320")


def label_rows(case: str, ids: tuple[str, ...] = FOUR) -> dict[str, dict[str, Any]]:
    """Seconds of ours and of the recipe on the case's pairs, and the largest difference of their values."""
    from pykdtree.kdtree import KDTree
    from scipy.spatial import cKDTree

    from medbench.metrics import evaluate_arrays

    make, spacing, rounds, _ = label_cases()[case]
    pairs, far = make(), len(ids) > 1
    calls: dict[str, Callable[[], Any]] = {
        "ours": lambda: [evaluate_arrays(*pair, ids, None, spacing) for pair in pairs],
        "plain cKDTree": lambda: [compare_labels(*pair, spacing, cKDTree, far) for pair in pairs],
    }
    if far:
        calls["plain pykdtree"] = lambda: [compare_labels(*pair, spacing, KDTree) for pair in pairs]
    rows = interleaved(calls, dict.fromkeys(calls, rounds))
    values = {name: row.pop("values") for name, row in rows.items()}
    for name, row in rows.items():
        row["difference"] = 0.0 if name == "ours" else max(
            abs(value - own[str(label)][id].value)
            for own, peer in zip(values["ours"], values[name], strict=True)
            for label, scores in peer.items()
            for id, value in scores.items()
        )  # fmt: skip
    return rows


def dice_rows(case: str) -> dict[str, dict[str, Any]]:
    return label_rows(case, ("dice",))
