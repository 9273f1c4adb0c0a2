"""Seconds and memory of calls that take turns in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median, least and largest of the ratios of rounds."""

    median: float
    least: float
    largest: float

    @classmethod
    def of(cls, peer: list[float], own: list[float]) -> Ratio:
        """Ratios of what two took in the same rounds."""
        each = [a / b for a, b in zip(peer, own, strict=True)]
        return cls(statistics.median(each), min(each), max(each))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}–{self.largest:.2f})"


def timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    value = call()
    return time.perf_counter() - wall, time.process_time() - cpu, value


def interleaved(calls: dict[str, Callable[[], Any]], repeats: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Medians and CPU seconds of rounds in which every tool that still has runs left gets one."""
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
            "cpu_s": statistics.median(cpu[name]),
            "cpu_rounds": cpu[name],
            "runs": len(wall[name]),
            "values": values[name],
        }
        for name in calls
    }


def peak_resident() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0
