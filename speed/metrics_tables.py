"""Markdown of the parts that speed/metrics.py measures.

Every part comes as two measurements: on one thread, whose CPU seconds are shown, and on two, whose wall
seconds are. A ratio is the other tool's seconds over ours in the same round: the median, in brackets the
least and the largest.
"""

from __future__ import annotations

import statistics
from typing import Any

from metrics_timing import Ratio

Rows = dict[str, dict[str, Any]]
CLOCKS = {"cpu": "CPU, one thread", "wall": "wall, two threads"}


def mib(size: int | None) -> str:
    return "" if size is None else f"{size / 2**20:,.0f}"


def ratio(rows: Rows, peer: str, own: str, clock: str) -> Ratio:
    return Ratio.of(rows[peer][f"{clock}_rounds"], rows[own][f"{clock}_rounds"])


def seconds(rounds: list[float]) -> str:
    return f"{statistics.median(rounds):.1f} s ({min(rounds):.1f}–{max(rounds):.1f})"


def instance_lines(facts: dict[str, Any]) -> list[str]:
    return [
        "## Instance F1 of two 20,000 x 20,000 masks", "",
        f"{facts['n']} objects, F1 {facts['f1']:.4f}: {seconds(facts['wall_s'])} wall, "
        f"{seconds(facts['cpu_s'])} CPU, {mib(facts['memory'])} MiB beside the masks; medians of "
        f"{len(facts['wall_s'])} with the least and the largest.",
    ]  # fmt: skip


def surface_table(title: str, dice: float, one: Rows, two: Rows, memory: dict[str, int]) -> list[str]:
    lines = [f"## {title} (Dice {dice:.3f})", "",
             "| tool | CPU s, one thread | ÷ ours | wall s, two threads | ÷ ours | medpy ÷ this tool (CPU) "
             "| extra MiB | difference |", "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, row in one.items():
        tool, work = name.split(", ", 1)
        own, slow = f"ours, {work}", one.get(f"medpy, {work}")
        same = tool == "ours"
        wall = [f"{two[name]['wall_s']:.4f}", ratio(two, name, own, "wall")] if name in two else ["", ""]
        cells = [
            name, f"{row['cpu_s']:.4f}", "1" if same else ratio(one, name, own, "cpu"),
            wall[0], "1" if same else wall[1],
            f"{slow['cpu_s'] / row['cpu_s']:,.0f}" if slow else "",
            mib(memory.get(name)), f"{row['difference']:.1g}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def frame_table(one: Rows, two: Rows, rates: dict[int, tuple[float, float]], frames: int) -> list[str]:
    each = {name: row["cpu_s"] / frames * 1000 for name, row in one.items()}
    cpu, wall = ratio(one, "SimpleITK", "ours", "cpu"), ratio(two, "SimpleITK", "ours", "wall")
    lines = ["## Frames, 256 x 256: all nine IUGC/PSFHS numbers", "",
             f"One frame: {each['ours']:.2f} ms CPU; the organisers' way "
             f"with SimpleITK {each['SimpleITK']:.2f} ms, {cpu} times as much on one thread and {wall} times "
             "the wall time on two.", "",
             "| processes | frames a second | frames a CPU second of each, added |",
             "|---|---|---|"]  # fmt: skip
    return lines + [f"| {n} | {wall:,.0f} | {cpu:,.0f} |" for n, (wall, cpu) in rates.items()]


def worst_table(measured: dict[str, tuple[Rows, Rows]]) -> list[str]:
    tools = ("plain cKDTree", "plain pykdtree", "one transform", "medpy")
    lines = ["## Worst cases, 120 x 150 x 150: HD + HD95 + ASSD", "",
             "Seconds of ours, then the other tools' seconds over ours; one scipy distance transform of the "
             "crop is a yardstick, not a whole answer.", "",
             f"| masks, clock | ours, s | {' | '.join(f'{tool} ÷ ours' for tool in tools)} | difference |",
             "|---" * (len(tools) + 3) + "|"]  # fmt: skip
    for name, both in measured.items():
        for clock, words, rows in zip(
            ("cpu", "wall"), ("CPU, one thread", "wall, two threads"), both, strict=True
        ):
            cells = [f"{ratio(rows, tool, 'ours', clock)}" if tool in rows else "" for tool in tools]
            lines.append(
                f"| {name}, {words} | {rows['ours'][f'{clock}_s']:.3f} | {' | '.join(cells)} "
                f"| {both[0]['medpy']['difference']:.1g} |"
            )
    return lines


def label_table(measured: dict[str, tuple[Rows, Rows]], goals: dict[str, dict[str, float]]) -> list[str]:
    lines = ["## Label maps: Dice, HD, HD95 and ASSD of every label", "",
             "Behind a ratio of CPU seconds stand its goal and whether it is met.", "",
             "| case | CPU s, one thread: ours | plain, cKDTree | plain, pykdtree | ÷ cKDTree | ÷ pykdtree "
             "| wall s, two threads: ours | ÷ cKDTree | ÷ pykdtree | difference |",
             "|---" * 10 + "|"]  # fmt: skip
    for name, (one, two) in measured.items():
        cells = [f"{row['cpu_s']:.4f}" for row in one.values()]
        for peer, goal in goals[name].items():
            share = ratio(one, peer, "ours", "cpu")
            cells.append(f"{share}, {'≥' if share.median >= goal else 'misses'} {goal}")
        cells.append(f"{two['ours']['wall_s']:.4f}")
        cells += [f"{ratio(two, peer, 'ours', 'wall')}" for peer in goals[name]]
        difference = max(row["difference"] for row in one.values())
        lines.append(f"| {name} | {' | '.join(cells)} | {difference:.1g} |")
    return lines


def dice_table(measured: dict[str, tuple[Rows, Rows]]) -> list[str]:
    lines = ["## Label maps: Dice alone", "",
             "| case | CPU s, one thread: ours | plain | plain ÷ ours | wall s, two threads: ours "
             "| plain ÷ ours |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for name, (one, two) in measured.items():
        cells = [f"{row['cpu_s']:.4f}" for row in one.values()]
        cells += [f"{ratio(one, 'plain cKDTree', 'ours', 'cpu')}", f"{two['ours']['wall_s']:.4f}"]
        lines.append(f"| {name} | {' | '.join(cells)} | {ratio(two, 'plain cKDTree', 'ours', 'wall')} |")
    return lines
