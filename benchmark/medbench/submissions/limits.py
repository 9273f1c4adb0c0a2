"""Limits of platforms on containers, and findings on runs near these limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from medbench.submissions.description import GIGABYTE, ImageLimits
from medbench.submissions.findings import Finding, error, warning

NEAR = 0.7


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a platform on a run.

    Attributes:
        time_s: seconds per case; of a run over all cases, the total time over their number.
        memory_bytes: main memory.
        shared_memory_bytes: size of ``/dev/shm``.
        processes: processes and threads together.
        start_s: seconds until a server must answer.
        image_bytes: uncompressed size of the image; ``None`` where no limit is known.
        upload_bytes: of an uploaded file; ``None`` where no limit is known.
        unverified_upload_bytes: of an uploaded file, for accounts that are not verified.
    """

    time_s: float = 3600.0
    memory_bytes: int = 16 * GIGABYTE
    shared_memory_bytes: int = 128 << 20
    processes: int = 256
    start_s: float = 300.0
    image_bytes: int | None = None
    upload_bytes: int | None = None
    unverified_upload_bytes: int | None = None

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
    """Time and memory of a case.

    Attributes:
        case: id.
        time_s: seconds by the clock.
        peak_bytes: largest resident memory of the process so far; ``None`` where it was not measured.
        is_start: whether this is the start of a server, which has a limit of its own.
        start_s: seconds of the call before and after its cases, the interpreter and the model's loading among
            them; ``None`` where the container does not log its cases, and for calls of a server.
    """

    case: str
    time_s: float
    peak_bytes: int | None = None
    is_start: bool = False
    start_s: float | None = None


def judge_upload(name: str, size: int, limits: Limits) -> Iterator[Finding]:
    """An error for a file that the platform refuses, a warning for one that only some accounts may upload.

    >>> limits = Limits(upload_bytes=100, unverified_upload_bytes=10)
    >>> [finding.severity for size in (10, 11, 101) for finding in judge_upload("a.tar.gz", size, limits)]
    ['warning', 'error']
    """
    advice = 'Hand in weights apart, or use accelerator = "cpu".'
    text = f"{name}: {size / GIGABYTE:.2f} GB"
    if limits.upload_bytes is not None and size > limits.upload_bytes:
        limit = limits.upload_bytes / GIGABYTE
        yield error("upload.size", f"{text}; uploads of more than {limit:.1f} GB are refused.", advice)
    elif limits.unverified_upload_bytes is not None and size > limits.unverified_upload_bytes:
        limit = limits.unverified_upload_bytes / GIGABYTE
        text += f"; accounts that are not verified may upload {limit:.1f} GB, all their files together."
        yield warning("upload.size", text, f"Have the account verified first. {advice}")


def judge_usage(usage: Usage, limits: Limits) -> Iterator[Finding]:
    """An error above a limit, a warning from 70 % of it on.

    >>> limits = Limits(time_s=100, memory_bytes=2 * GIGABYTE)
    >>> [finding.severity for finding in judge_usage(Usage("a", 80.0, 3 * GIGABYTE), limits)]
    ['warning', 'error']
    >>> [finding.rule for finding in judge_usage(Usage("start", 301.0, is_start=True), limits)]
    ['limits.start']
    """
    amounts = [("time", usage.time_s, limits.time_s, "s", 1.0)]
    if usage.is_start:
        amounts = [("start", usage.time_s, limits.start_s, "s", 1.0)]
    if usage.peak_bytes is not None:
        amounts.append(("memory", usage.peak_bytes, limits.memory_bytes, "GB", GIGABYTE))
    for what, value, limit, unit, scale in amounts:
        text = f"{usage.case}: {value / scale:.2f} {unit} of {limit / scale:g} {unit} {what}"
        advice = {
            "time": "Use a smaller image size or model, fewer passes, or a GPU; the platform may be slower.",
            "start": "Bake the weights into the image, or use a smaller model.",
            "memory": "Use a smaller batch or image size, or ask for more memory.",
        }[what]
        if value > limit:
            yield error(f"limits.{what}", f"{text}: above the limit.", advice)
        elif value > NEAR * limit:
            yield warning(f"limits.{what}", f"{text}: {value / limit:.0%} of the limit.", advice)
