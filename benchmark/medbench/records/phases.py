"""Time of a run by phase and case, and the slowest of the lanes that work at the same time."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from medbench.core.files import read_json, write_json
from medbench.core.machine import computes_bf16

PHASES = "phases.json"
HEADINGS = ("phase", "cases", "p50 [ms]", "p90 [ms]", "sum [s]", "of all work")

_CLOSE = 0.8
_LANES = {
    "reading ahead": (("read",), 1),
    "predicting": (("preprocess", "forward", "postprocess"), 1),
    "finishing behind": (("write", "score"), 2),
}
_ADVICE = {
    "read": "copy the data to a local disk, or store it less compressed",
    "preprocess": "give images near the network's own size",
    "postprocess": "predict at the images' own size, or fewer classes",
    "write": "put --runs on a local disk",
    "score": "the surface distances usually take most; see 'medbench metrics' for what the challenge demands",
}


def forward_advice(device: str) -> str:
    """How to make the forward pass shorter on a device."""
    if device.startswith("cuda"):
        ways = "use --precision bf16, a larger --batch-size"
    elif device == "cpu":
        ways = "use --device cuda where there is one" + (", --precision bf16" if computes_bf16() else "")
    else:
        ways = "use another --batch-size"
    return f"{ways} or a lighter model ('medbench profile' compares them)"


@dataclass(frozen=True, slots=True)
class PhaseTime:
    """Times of one phase over the cases that it was measured for.

    Attributes:
        phase: read, preprocess, forward, postprocess, write or score.
        cases: number of cases with this phase.
        p50_s: median over the cases.
        p90_s: nine tenths of the cases took at most this.
        total_s: sum over the cases.
        share: of this phase in the sum over all phases.
    """

    phase: str
    cases: int
    p50_s: float
    p90_s: float
    total_s: float
    share: float


@dataclass(frozen=True, slots=True)
class PhaseProfile:
    """Times of a run by phase, and what to speed up first.

    Attributes:
        phases: in the order in which a case passes them.
        wall_s: from the first case to the last; the lanes overlap, so it is less than the sum.
        lanes_s: lane -> its phases' sum over its threads.
        slowest_lane: the lane with the largest sum, which sets the pace.
        fix: the phase that takes most of the slowest lane.
        advice: how to make that phase shorter.
    """

    phases: tuple[PhaseTime, ...]
    wall_s: float
    lanes_s: dict[str, float]
    slowest_lane: str
    fix: str
    advice: str

    def rows(self) -> list[tuple[str, ...]]:
        """Cells under :data:`HEADINGS`."""
        return [
            (
                item.phase,
                str(item.cases),
                f"{item.p50_s * 1e3:.1f}",
                f"{item.p90_s * 1e3:.1f}",
                f"{item.total_s:.2f}",
                f"{item.share:.0%}",
            )
            for item in self.phases
        ]

    def verdict(self) -> str:
        """Which phase to speed up first, and how, in one sentence."""
        slowest = next(item for item in self.phases if item.phase == self.fix)
        most = self.lanes_s[self.slowest_lane]
        close = [
            f"{lane} is close behind ({seconds:.1f} s)"
            for lane, seconds in self.lanes_s.items()
            if lane != self.slowest_lane and seconds > _CLOSE * most
        ]
        return (
            f"Fix '{self.fix}' first: {self.slowest_lane} sets the pace of the {self.wall_s:.1f} s, and "
            f"{self.fix} takes {slowest.total_s:.1f} s of its {most:.1f} s. To do: {self.advice}."
            + (f" But {' and '.join(close)}." if close else "")
        )


def summarise_phases(timing: Timing, device: str = "cpu") -> PhaseProfile | None:
    """Times by phase of the cases that this call predicted on a device; ``None`` where it predicted none."""
    order = [phase for phases, _ in _LANES.values() for phase in phases]
    samples = {phase: timing.samples[phase] for phase in order if timing.samples.get(phase)}
    if not samples:
        return None
    everything = sum(sum(values) for values in samples.values()) or 1.0
    phases = tuple(
        PhaseTime(
            phase,
            len(values),
            float(np.percentile(values, 50)),
            float(np.percentile(values, 90)),
            sum(values),
            sum(values) / everything,
        )
        for phase, values in samples.items()
    )
    totals = {item.phase: item.total_s for item in phases}
    loads = {
        lane: sum(totals.get(phase, 0.0) for phase in names) / threads
        for lane, (names, threads) in _LANES.items()
    }
    slowest = max(loads, key=lambda lane: loads[lane])
    fix = max(_LANES[slowest][0], key=lambda phase: totals.get(phase, 0.0))
    advice = forward_advice(device) if fix == "forward" else _ADVICE[fix]
    return PhaseProfile(phases, timing.wall_s, loads, slowest, fix, advice)


def keep_phases(folder: Path, timing: Timing, device: str = "cpu") -> None:
    """Write the times into the run directory; nothing is written where no case was timed."""
    profile = summarise_phases(timing, device)
    if profile is not None:
        write_json(folder / PHASES, asdict(profile))


def read_phases(folder: Path) -> PhaseProfile | None:
    """Times that the last predicting call wrote into the run directory; ``None`` where there are none."""
    if not (folder / PHASES).exists():
        return None
    entry: dict[str, Any] = read_json(folder / PHASES)
    return PhaseProfile(**{**entry, "phases": tuple(PhaseTime(**item) for item in entry["phases"])})


T = TypeVar("T")


class Timing(defaultdict[str, float]):
    """Seconds by phase, summed over cases; phases overlap, so they may exceed the wall time.

    Attributes:
        cases: number of timed cases.
        samples: phase -> seconds of each case.
        wall_s: from the first case to the last.
    """

    def __init__(self) -> None:
        super().__init__(float)
        self.cases = 0
        self.samples: dict[str, list[float]] = defaultdict(list)
        self.wall_s = 0.0

    def add(self, phase: str, seconds: float) -> None:
        """Add the seconds that a phase of one case took."""
        self[phase] += seconds
        self.samples[phase].append(seconds)

    def add_samples(self, samples: Mapping[str, Sequence[float]]) -> None:
        """Add seconds by phase that were measured elsewhere."""
        for phase, values in samples.items():
            for seconds in values:
                self.add(phase, seconds)

    def measure(self, phase: str, function: Callable[[], T]) -> T:
        """The result of calling ``function``, whose time is added to the phase."""
        begin_s = time.perf_counter()
        try:
            return function()
        finally:
            self.add(phase, time.perf_counter() - begin_s)
