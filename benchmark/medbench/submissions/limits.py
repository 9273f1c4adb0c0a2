"""What a platform grants a container, and how near a measured run came to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from medbench.submissions.description import GIGABYTE, ImageLimits
from medbench.submissions.findings import Finding, error, warning

NEAR = 0.7


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one run.

    Attributes:
        time_s: seconds a case; where a run does all cases at once, its time divided by their number.
        memory_bytes: main memory.
        shared_memory_bytes: size of ``/dev/shm``.
        processes: processes and threads together.
        start_s: seconds until a server must answer.
        image_bytes: uncompressed size of the image; ``None`` where no limit is known.
    """

    time_s: float = 3600.0
    memory_bytes: int = 16 * GIGABYTE
    shared_memory_bytes: int = 128 << 20
    processes: int = 256
    start_s: float = 300.0
    image_bytes: int | None = None

    def with_phase(self, phase: ImageLimits) -> Limits:
        """The limits of a phase, where its submission file states them."""
        changes: dict[str, Any] = {
            "time_s": phase.time_s,
            "memory_bytes": None if phase.memory_gb is None else int(phase.memory_gb * GIGABYTE),
            "shared_memory_bytes": None if phase.shared_memory_mb is None else phase.shared_memory_mb << 20,
            "processes": phase.processes,
        }
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


@dataclass(frozen=True, slots=True)
class Usage:
    """What a case took.

    Attributes:
        case: id.
        time_s: seconds by the clock.
        peak_bytes: largest resident memory of the process so far; ``None`` where it was not measured.
    """

    case: str
    time_s: float
    peak_bytes: int | None = None


def judge_usage(usage: Usage, limits: Limits) -> Iterator[Finding]:
    """An error above a limit, a warning from 70 % of it on.

    >>> limits = Limits(time_s=100, memory_bytes=2 * GIGABYTE)
    >>> [finding.severity for finding in judge_usage(Usage("a", 80.0, 3 * GIGABYTE), limits)]
    ['warning', 'error']
    """
    amounts = [("time", usage.time_s, limits.time_s, "s", 1.0)]
    if usage.peak_bytes is not None:
        amounts.append(("memory", usage.peak_bytes, limits.memory_bytes, "GB", GIGABYTE))
    for what, value, limit, unit, scale in amounts:
        text = f"{usage.case}: {value / scale:.2f} {unit} of {limit / scale:g} {unit} {what}"
        advice = {
            "time": "Use a smaller image size or model, fewer passes, or a GPU; the platform may be slower.",
            "memory": "Use a smaller batch or image size, or ask for more memory.",
        }[what]
        if value > limit:
            yield error(f"limits.{what}", f"{text}: above the limit.", advice)
        elif value > NEAR * limit:
            yield warning(f"limits.{what}", f"{text}: {value / limit:.0%} of the limit.", advice)
