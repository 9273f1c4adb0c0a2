"""Processor and cores of this machine; no names of people or hosts."""

from __future__ import annotations

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
