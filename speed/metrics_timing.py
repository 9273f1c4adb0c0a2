"""Seconds and memory of calls that take turns in one run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

THREAD_COUNTS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median, least and largest of the ratios of rounds."""

    median: float
    least: float
    largest: float

    @classmethod
    def of(cls, peer: list[float], own: list[float]) -> Ratio:
        """Ratios of what two took in the same rounds; of the first rounds where one ran more often."""
        each = [a / b for a, b in zip(peer, own, strict=False)]
        return cls(statistics.median(each), min(each), max(each))

    def __str__(self) -> str:
        digits = 2 if self.median < 100 else 0
        middle, low, high = (f"{part:,.{digits}f}" for part in (self.median, self.least, self.largest))
        return f"{middle} ({low}–{high})"


def timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    value = call()
    return time.perf_counter() - wall, time.process_time() - cpu, value


def interleaved(calls: dict[str, Callable[[], Any]], repeats: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Seconds of rounds in which every tool that still has runs left gets one, and their medians."""
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    values: dict[str, Any] = {}
    for name in calls:
        if repeats[name] > 1:
            calls[name]()
    for round_ in range(max(repeats.values())):
        for name, call in calls.items():
            if round_ < repeats[name]:
                took = timed(call)
                wall[name].append(took[0])
                cpu[name].append(took[1])
                values[name] = took[2]
    return {
        name: {
            "wall_s": statistics.median(wall[name]),
            "wall_rounds": wall[name],
            "cpu_s": statistics.median(cpu[name]),
            "cpu_rounds": cpu[name],
            "runs": len(wall[name]),
            "values": values[name],
        }
        for name in calls
    }


def in_process(script: Path, words: list[str], threads: int) -> Any:
    """What ``script`` prints as JSON in its last line, in a process whose libraries take so many threads."""
    environment = os.environ | dict.fromkeys(THREAD_COUNTS, str(threads))
    command = [sys.executable, "-W", "ignore", str(script), *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def peak_resident() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0
