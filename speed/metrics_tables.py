"""Markdown of the parts that speed/metrics.py measures."""

from __future__ import annotations

from typing import Any

DISTANCES = ("hd", "hd95.pooled", "assd.pooled")


def mib(size: int | None) -> str:
    return "" if size is None else f"{size / 2**20:,.0f}"


def instance_lines(facts: dict[str, Any]) -> list[str]:
    return [
        "## Instance F1 of two 20,000 x 20,000 masks", "",
        f"{facts['n']} objects, F1 {facts['f1']:.4f}: {facts['wall_s']:.1f} s wall, {facts['cpu_s']:.1f} s "
        f"CPU, {mib(facts['memory'])} MiB beside the masks.",
    ]  # fmt: skip


def surface_table(result: dict[str, Any]) -> list[str]:
    rows = result["rows"]
    base = {kind: rows.get(f"medpy, {kind}") for kind in ("HD + HD95 + ASSD", "HD95 alone")}
    lines = [f"## {result['title']} (Dice {result['dice']:.3f})", "",
             "| tool | CPU s | wall s | this tool ÷ ours (CPU) | medpy ÷ this tool (CPU) | extra MiB | "
             "difference |", "|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, row in rows.items():
        peer = base[name.split(", ", 1)[1]]
        faster = f"{peer['cpu_s'] / row['cpu_s']:,.0f}" if peer else ""
        own = rows[f"ours, {name.split(', ', 1)[1]}"]
        lines.append(
            f"| {name} | {row['cpu_s']:.4f} | {row['wall_s']:.4f} | {row['cpu_s'] / own['cpu_s']:.2f} | "
            f"{faster} | {mib(row['memory'])} | "
            f"{row['largest difference']:.1g} |"
        )
    return lines


def frame_table(peer: dict[str, Any], rates: dict[int, tuple[float, float]]) -> list[str]:
    each = {name: row["cpu_s"] / 8 * 1000 for name, row in peer.items()}
    lines = ["## Frames, 256 x 256: all nine IUGC/PSFHS numbers", "",
             f"One frame: {each['ours']:.2f} ms CPU; the organisers' way "
             f"with SimpleITK {each['SimpleITK']:.2f} ms ({each['SimpleITK'] / each['ours']:.0f} times).", "",
             "| processes | frames a second | frames a CPU second of each, added |",
             "|---|---|---|"]  # fmt: skip
    return lines + [f"| {n} | {wall:,.0f} | {cpu:,.0f} |" for n, (wall, cpu) in rates.items()]


def worst_table(found: dict[str, dict[str, Any]]) -> list[str]:
    tools = ("ours", "plain cKDTree", "plain pykdtree", "one transform", "medpy")
    lines = ["## Worst cases, 120 x 150 x 150: HD + HD95 + ASSD", "",
             "CPU seconds; one scipy distance transform of the crop is a yardstick, not a whole answer.", "",
             f"| masks | {' | '.join(tools)} | ours, wall s | difference |",
             "|---" * (len(tools) + 3) + "|"]  # fmt: skip
    for name, row in found.items():
        difference = max(abs(row["medpy"]["values"][id] - row["ours"]["values"][id]) for id in DISTANCES)
        cells = [f"{row[tool]['cpu_s']:.3f}" for tool in tools]
        lines.append(f"| {name} | {' | '.join(cells)} | {row['ours']['wall_s']:.3f} | {difference:.1g} |")
    return lines
