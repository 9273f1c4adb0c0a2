"""Peak memory of a forward pass and of a training step, each in a fresh process.

On the CPU there are two figures: the largest sum of torch's allocations (by the profiler; the same on every
machine), and the growth of the process (resident, with the scratch space of its libraries). On CUDA they are
the allocator's: tensors alone (allocated), and with its cache (reserved). Running out of memory is a result.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from medbench.models.devices import cuda_index
from medbench.profiling.workload import Workload

Pass = Literal["forward", "training_step"]
Status = Literal["ok", "out_of_memory", "failed"]
_KILLED = -9
_ABORTED = (-6, -11)


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """Peak memory of a pass; ``None`` where a figure does not apply or was not reached.

    Attributes:
        what: ``forward`` or ``training_step``.
        batch: samples per pass.
        status: ``ok``; ``out_of_memory`` where memory or ``limit_bytes`` was not enough; ``failed``
            otherwise.
        reason: of a status other than ``ok``, in words.
        limit_bytes: limit on the memory, where one was set.
        allocated_bytes: largest sum of allocations alive during a warm pass, without weights and input (CPU,
            torch's profiler), nor the optimizer's state; with all of them on CUDA (``max_memory_allocated``).
        reserved_bytes: CUDA's ``max_memory_reserved``.
        resident_extra_bytes: growth of the process's resident size during a warm pass (CPU).
        resident_peak_bytes: largest resident size, Python and libraries included (CPU).
        resident_by: how the resident size was measured.
    """

    what: Pass
    batch: int
    status: Status
    reason: str = ""
    limit_bytes: int | None = None
    allocated_bytes: int | None = None
    reserved_bytes: int | None = None
    resident_extra_bytes: int | None = None
    resident_peak_bytes: int | None = None
    resident_by: str = ""


def measure_memory(
    workload: Workload, what: Pass, *, limit_bytes: int | None = None, probe: bool = False
) -> PeakMemory:
    """Peak memory of a pass, measured in a fresh process.

    Args:
        workload: network, input and device.
        what: ``forward`` or ``training_step``.
        limit_bytes: limit on allocations besides the libraries (CPU), or on the device's memory (CUDA).
        probe: whether to test only if the pass fits.
    """
    job = {"workload": workload.as_json(), "what": what, "limit_bytes": limit_bytes, "probe": probe}
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "medbench.profiling.child"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = process.stdout.strip().splitlines()
    if process.returncode == 0 and lines:
        return PeakMemory(**json.loads(lines[-1]))
    ran_out = process.returncode == _KILLED or (limit_bytes is not None and process.returncode in _ABORTED)
    last = (process.stderr.strip().splitlines() or ["no message"])[-1]
    return PeakMemory(
        what,
        workload.batch,
        "out_of_memory" if ran_out or "MemoryError" in last else "failed",
        f"the process ended with {process.returncode}: {last}",
        limit_bytes,
    )


def available_bytes(device: str) -> int:
    """Free memory in bytes, of the machine and the container, or of the CUDA device."""
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(cuda_index(device))
        return int(free)
    import psutil

    return int(psutil.virtual_memory().available)


@dataclass(frozen=True, slots=True)
class LargestBatch:
    """The largest batch that fits within a limit.

    Attributes:
        what: ``forward`` or ``training_step``.
        batch: number of samples; 0 where not even one fits.
        limit_bytes: the limit on memory.
        tried: batch -> whether it fitted.
        reason: why no batch fits, or why the search ended early.
    """

    what: Pass
    batch: int
    limit_bytes: int
    tried: dict[int, bool]
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values for records."""
        return {**asdict(self), "tried": {str(batch): fits for batch, fits in self.tried.items()}}


def search_largest_batch(
    workload: Workload, what: Pass, limit_bytes: int, *, most: int = 1024, least: int = 1
) -> LargestBatch:
    """The largest batch that fits, by doubling and then bisection; every try is a fresh process.

    Args:
        workload: network, input and device; its own batch is ignored.
        what: ``forward`` or ``training_step``.
        limit_bytes: see :func:`measure_memory`.
        most: largest batch to try.
        least: smallest batch to try.
    """
    outcomes: dict[int, bool] = {}
    failure = ""

    def fits(batch: int) -> bool:
        nonlocal failure
        result = measure_memory(_with_batch(workload, batch), what, limit_bytes=limit_bytes, probe=True)
        if result.status == "failed":
            failure = result.reason
        outcomes[batch] = result.status == "ok"
        return outcomes[batch]

    good, bad = 0, most + 1
    batch = least
    while batch < bad and not failure:
        if fits(batch):
            good = batch
            batch = min(2 * batch, most) if batch < most else bad
        else:
            bad = batch
    while bad - good > 1 and good >= least and not failure:
        middle = (good + bad) // 2
        if fits(middle):
            good = middle
        else:
            bad = middle
    reason = failure or (f"{most} still fits; the search ends there" if good == most else "")
    return LargestBatch(what, good, limit_bytes, dict(sorted(outcomes.items())), reason)


def _with_batch(workload: Workload, batch: int) -> Workload:
    return replace(workload, batch=batch)
