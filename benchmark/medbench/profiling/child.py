"""The fresh process that measures memory: a workload on standard input, a JSON line on standard output."""

from __future__ import annotations

import contextlib
import gc
import json
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.guard import describe
from medbench.core.machine import return_freed_memory
from medbench.core.silence import dropped
from medbench.models.devices import cuda_index
from medbench.profiling.memory import Pass, PeakMemory
from medbench.profiling.workload import Workload, ran_out_of_memory

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def main() -> None:
    """Read a workload, measure it, and print the result."""
    job = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        workload = Workload.from_json(job["workload"])
        result = measured(workload, job["what"], job["limit_bytes"], probe=job["probe"])
    print(json.dumps(asdict(result)))  # noqa: T201 - the answer to the parent process


def measured(workload: Workload, what: Pass, limit_bytes: int | None, *, probe: bool) -> PeakMemory:
    """Peak memory of a pass, measured in this process, which should be fresh."""
    import torch

    import medbench.models.registry  # noqa: F401 - counts to the libraries, not to the limit

    figures: dict[str, Any] = {}
    status, reason = "ok", ""
    try:
        workload.network()
        gc.collect()
        return_freed_memory()
        if limit_bytes is not None:
            limit_memory(workload.device, limit_bytes)
        call = workload.forward_pass() if what == "forward" else workload.training_step()
        call()
        if what == "training_step":
            call()
        if not probe:
            on_cuda = workload.device.startswith("cuda")
            figures = _cuda_peaks(call, workload.device) if on_cuda else _cpu_peaks(call)
        elif workload.device.startswith("cuda"):
            torch.cuda.synchronize(workload.device)
    except Exception as error:
        if isinstance(error, MedbenchError) and not ran_out_of_memory(error):
            raise
        status = "out_of_memory" if ran_out_of_memory(error) else "failed"
        reason = describe(error)
    return PeakMemory(what, workload.batch, status, reason, limit_bytes, **figures)  # type: ignore[arg-type]


def limit_memory(device: str, limit_bytes: int) -> None:
    """Limit what this process may allocate from now on.

    On the CPU by the operating system's limit on private writable memory (``RLIMIT_DATA``, Linux), on top of
    what the imported libraries have taken; on CUDA by torch's share of the device.

    Raises:
        MedbenchError: ``profile.no_limit`` where the system has no such limit.
    """
    if device.startswith("cuda"):
        import torch

        index = cuda_index(device)
        total = torch.cuda.get_device_properties(index).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes / total), index)
        return
    if not _STATUS.exists():
        raise MedbenchError(
            "profile.no_limit", "This system has no limit on a process's memory.", "Use Linux."
        )
    import resource

    limit = status_bytes("VmData") + limit_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def status_bytes(field: str) -> int:
    """A field of ``/proc/self/status`` in bytes."""
    match = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024


def _cuda_peaks(call: Callable[[], Any], device: str) -> dict[str, Any]:
    import torch

    index = cuda_index(device)
    torch.cuda.synchronize(index)
    torch.cuda.reset_peak_memory_stats(index)
    call()
    torch.cuda.synchronize(index)
    return {
        "allocated_bytes": torch.cuda.max_memory_allocated(index),
        "reserved_bytes": torch.cuda.max_memory_reserved(index),
    }


def _cpu_peaks(call: Callable[[], Any]) -> dict[str, Any]:
    return {**_resident_peaks(call), "allocated_bytes": allocation_peak(call)}


def _resident_peaks(call: Callable[[], Any]) -> dict[str, Any]:
    """Resident peaks by the kernel's high-water mark, reset before the pass, or the process's maximum."""
    if not _STATUS.exists():
        import resource

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        call()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        unit = 1 if sys.platform == "darwin" else 1024
        return {
            "resident_extra_bytes": (peak - before) * unit,
            "resident_peak_bytes": peak * unit,
            "resident_by": "ru_maxrss, beyond the warm-up's own maximum",
        }
    gc.collect()
    return_freed_memory()
    whole = status_bytes("VmHWM")
    try:
        _CLEAR.write_text("5")
    except OSError:
        return {"resident_peak_bytes": whole, "resident_by": "VmHWM of the warm-up; it could not be reset"}
    base = status_bytes("VmRSS")
    call()
    peak = status_bytes("VmHWM")
    return {
        "resident_extra_bytes": max(0, peak - base),
        "resident_peak_bytes": peak,
        "resident_by": "VmHWM, reset before a warm pass",
    }


def allocation_peak(call: Callable[[], Any]) -> int:
    """Largest sum of CPU allocations alive during a call, in bytes, from the profiler's allocation events."""
    from torch.profiler import ProfilerActivity, profile

    sys.stderr.flush()
    with dropped(2), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    changes = sorted(
        (event["ts"], event["args"]["Bytes"])
        for event in events
        if event.get("name") == "[memory]" and event["args"]["Device Type"] == 0
    )
    alive = peak = 0
    for _, change in changes:
        alive += change
        peak = max(peak, alive)
    return peak


if __name__ == "__main__":
    main()
