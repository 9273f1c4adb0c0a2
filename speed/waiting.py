"""Passes of DSSAU-Net on two threads, with and without another program, by how long waiting threads spin.

python speed/waiting.py [--write]
"""

from __future__ import annotations

import argparse
import datetime
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from medbench.core.machine import processor_name

HERE = Path(__file__).resolve()
SPINS = {"libgomp's own (300,000)": "", "10,000": "10000", "1,000": "1000", "none": "0"}
THREADS, ROUNDS, PASSES = 2, 3, 8
BURN = "while True: pass"


def child() -> None:
    """Print the median wall milliseconds of a pass on one image of 256×256."""
    import torch

    import medbench

    torch.set_num_threads(THREADS)
    network = medbench.create_model("dssau_net", num_classes=3).eval()
    images = torch.rand(1, 3, 256, 256)
    took = []
    with torch.inference_mode():
        for _ in range(1 + PASSES):
            began = time.perf_counter()
            network(images)
            took.append(time.perf_counter() - began)
    print(1e3 * statistics.median(took[1:]))


def milliseconds(spin: str) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {"OMP_NUM_THREADS": str(THREADS)} | ({"GOMP_SPINCOUNT": spin} if spin else {})
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE), "--child"],
        stdout=subprocess.PIPE, text=True, check=True, env=environment,
    )  # fmt: skip
    return float(done.stdout.split()[-1])


def measured() -> dict[str, list[float]]:
    """Milliseconds of every round, the settings taking turns."""
    took: dict[str, list[float]] = {name: [] for name in SPINS}
    for _ in range(ROUNDS):
        for name, spin in SPINS.items():
            took[name].append(milliseconds(spin))
    return took


def cell(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f}–{max(values):.0f})"


def report() -> str:
    load = os.getloadavg()[0]
    alone = measured()
    other = subprocess.Popen([sys.executable, "-c", BURN])
    try:
        beside = measured()
    finally:
        other.kill()
        other.wait()
    rows = [f"| {name} | {cell(alone[name])} | {cell(beside[name])} |" for name in SPINS]
    return "\n".join([
        "# Threads that wait for one another",
        "",
        "Written by `python speed/waiting.py --write`. Wall milliseconds of a forward pass of DSSAU-Net, one "
        f"image of 256×256, {THREADS} threads on {os.cpu_count()} cores ({processor_name()}, "
        f"{datetime.date.today().isoformat()}, load average before it began {load:.1f}): the median of "
        f"{ROUNDS} processes in turns, in brackets the least and the largest. The other program computes "
        "without end on one thread. medbench's commands take none where other programs use half of the "
        "cores, and libgomp's own number elsewhere.",
        "",
        "| rounds that a waiting thread spins (`GOMP_SPINCOUNT`) | alone | beside another program |",
        "|---|---|---|",
        *rows,
        "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write speed/waiting.md")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child()
        return
    text = report()
    print(text)
    if options.write:
        HERE.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
