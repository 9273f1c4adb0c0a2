"""Processor and cores of this machine; no names of people or hosts."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import sys
from pathlib import Path


def processor_name() -> str:
    """Model name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@functools.cache
def processor_vendor() -> str:
    """Vendor of an x86 processor (``GenuineIntel``, ``AuthenticAMD``); empty where unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")


def memory_bytes() -> int:
    """Memory of this machine, in bytes; 64 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 64 << 30


def usable_cores() -> int:
    """Number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_held_to_one_thread() -> bool:
    """Whether the user, or whoever started this process as one of several workers, allows it one thread."""
    return os.environ.get("OMP_NUM_THREADS") == "1"


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of two settings of glibc's ``mallopt`` (malloc.h)."""
_KEPT_BYTES = 1 << 30
_LEAST_KEPT_BYTES = 32 << 20
"""Largest ``M_MMAP_THRESHOLD`` that older versions of glibc take (mallopt(3))."""
LOW_MEMORY = "MEDBENCH_LOW_MEMORY"
_shape_of_kept: tuple[int, ...] | None = None
"""Shape of the network's input whose arrays were freed last; ``None`` where freed memory is not kept."""


def keep_freed_memory() -> None:
    """Keep the memory of freed arrays for the arrays to come; large networks need less time by it.

    Otherwise the system takes the pages of large arrays back and clears them for each pass anew. A training
    in 3-D has a higher peak by it: ``speed/memory.md``. This is for medbench's own programs: it holds for the
    whole process. ``MEDBENCH_LOW_MEMORY=1`` and settings by ``MALLOC_…`` and ``GLIBC_TUNABLES`` go before;
    systems without glibc stay as they are.
    """
    global _shape_of_kept
    own = "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ)
    own |= os.environ.get(LOW_MEMORY, "0") not in ("", "0")
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc" or own:
        return
    import ctypes

    libc = ctypes.CDLL(None)
    if any(libc.mallopt(_MMAP_THRESHOLD, size) for size in (_KEPT_BYTES, _LEAST_KEPT_BYTES)):
        libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)  # alone it would hold the other threshold at 128 KiB
        _shape_of_kept = ()


def return_freed_memory() -> None:
    """Return freed memory to the system, where it has glibc."""
    import ctypes

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def return_freed_memory_of_other_shapes(shape: tuple[int, ...]) -> None:
    """Return kept memory when a network's input changes its shape: new arrays would not fill the old gaps."""
    global _shape_of_kept
    if _shape_of_kept is not None and shape != _shape_of_kept:
        return_freed_memory()
        _shape_of_kept = shape


_LOAD = Path("/proc/loadavg")
_BUSY_SHARE = 0.5
"""Share of the cores from which other programs are taken to use the machine too."""
_WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def sleep_while_waiting_on_busy_machines() -> None:
    """Let OpenMP's threads that wait for one another sleep, where other programs keep the cores busy.

    libgomp's threads otherwise spin for milliseconds, on the core that the one they wait for would need:
    ``speed/waiting.md``. On an idle machine, where sleeping takes longer, they go on to spin: busy is a Linux
    on which other programs compute now, and did so in the last minute. This is for medbench's own programs,
    before they load torch; the user's ``GOMP_SPINCOUNT`` and ``OMP_WAIT_POLICY`` go before.
    """
    if any(name in os.environ for name in _WAITING):
        return
    try:
        last_minute, _, _, running, *_ = _LOAD.read_text().split()
        others = int(running.partition("/")[0]) - 1
        busy = min(float(last_minute), others) >= _BUSY_SHARE * usable_cores()
    except (OSError, ValueError):
        return
    if busy:
        os.environ["GOMP_SPINCOUNT"] = "0"


_GPU_FILES = ("nvidia*", "nvmap", "kfd", "dxg")
"""Device files of drivers: NVIDIA's, Jetson's, AMD's, and Windows' own in its Linux."""


def has_no_gpu() -> bool:
    """Whether the system shows that no driver of a GPU is there; false where it does not say."""
    devices = Path("/dev")
    return sys.platform == "linux" and not any(next(devices.glob(name), None) for name in _GPU_FILES)


_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


@functools.cache
def computes_bf16() -> bool:
    """Whether the processor multiplies bfloat16 by itself (AVX512-BF16, AMX or Arm's BF16).

    Unknown processors count as those that do not.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.partition(":")[0].strip() in ("flags", "Features")), "")
    return bool(_BF16_FLAGS & set(flags.split()))
