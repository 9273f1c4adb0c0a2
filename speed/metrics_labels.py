"""Whole label maps: Dice, HD, HD95 and ASSD of every label, beside the plain recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metrics_cases import SCAN_SPACING, frame_pairs, many_labels, organ_maps, scan_pairs
from metrics_timing import Ratio, interleaved
from plain_recipe import compare_labels

FOUR = ("dice", "hd", "hd95.pooled", "assd.pooled")
GOALS = {"plain cKDTree": 1.2, "plain pykdtree": 1.0}
"""Least ratio of the peer's CPU seconds to ours, where a case sets no other."""


def label_cases() -> dict[str, tuple[Callable[[], Any], tuple[float, ...], int, dict[str, float]]]:
    """Name -> what makes the pairs, spacing, rounds, goals."""
    scans = {
        f"{name}, 200 x 512 x 512": (lambda make=make: [make()], SCAN_SPACING, 5, {})
        for name, make in scan_pairs().items()
    }
    many = {"plain cKDTree": 1.3, "plain pykdtree": 1.3}
    return {
        "12 frames, 256 x 256, 2 labels": (
            lambda: list(zip(*frame_pairs(12), strict=True)), (1.0, 1.0), 25, {},
        ),
        **scans,
        "8 organs, 200 x 512 x 512": (lambda: [organ_maps()], SCAN_SPACING, 5, {}),
        "117 labels, 300 x 320 x 320": (lambda: [many_labels()], (1.5, 1.5, 1.5), 5, many),
    }  # fmt: skip


def measured(pairs: Any, spacing: tuple[float, ...], rounds: int, ids: tuple[str, ...]) -> dict[str, Any]:
    from pykdtree.kdtree import KDTree
    from scipy.spatial import cKDTree

    from medbench.metrics import evaluate_arrays

    far = len(ids) > 1
    calls: dict[str, Callable[[], Any]] = {
        "ours": lambda: [evaluate_arrays(*pair, ids, None, spacing) for pair in pairs],
        "plain cKDTree": lambda: [compare_labels(*pair, spacing, cKDTree, far) for pair in pairs],
    }
    if far:
        calls["plain pykdtree"] = lambda: [compare_labels(*pair, spacing, KDTree) for pair in pairs]
    rows = interleaved(calls, dict.fromkeys(calls, rounds))
    for name, row in rows.items():
        if name != "ours":
            row["difference"] = max(
                abs(value - own[str(label)][id].value)
                for own, peer in zip(rows["ours"]["values"], row["values"], strict=True)
                for label, values in peer.items()
                for id, value in values.items()
            )
    return rows


def label_lines() -> list[str]:
    lines = ["## Label maps: Dice, HD, HD95 and ASSD of every label", "",
             "CPU seconds, one thread, one run. A ratio is the peer's seconds over ours in the same round: "
             "the median, in brackets the least and the largest, then the goal and whether it is met.", "",
             "| case | ours | plain, cKDTree | plain, pykdtree | ÷ cKDTree | ÷ pykdtree | difference |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    dice = []
    for name, (make, spacing, rounds, goals) in label_cases().items():
        pairs = make()
        rows = measured(pairs, spacing, rounds, FOUR)
        cells = [f"{row['cpu_s']:.4f}" for row in rows.values()]
        for peer, goal in (GOALS | goals).items():
            ratio = Ratio.of(rows[peer]["cpu_rounds"], rows["ours"]["cpu_rounds"])
            cells.append(f"{ratio}, {'≥' if ratio.median >= goal else 'misses'} {goal}")
        difference = max(row["difference"] for peer, row in rows.items() if peer != "ours")
        lines.append(f"| {name} | {' | '.join(cells)} | {difference:.1g} |")
        if len(pairs) > 1 or "labels" in name:
            alone = measured(pairs, spacing, rounds, ("dice",))
            dice.append(
                f"| {name} | {alone['ours']['cpu_s']:.4f} | {alone['plain cKDTree']['cpu_s']:.4f} | "
                f"{alone['plain cKDTree']['cpu_s'] / alone['ours']['cpu_s']:.2f} |"
            )
    lines += ["", "Dice alone:", "", "| case | ours | plain | plain ÷ ours |", "|---|---|---|---|"]
    return lines + dice
