"""Devices of this machine by name, and the precisions that they compute in."""

from __future__ import annotations

import os
import re
import sys

from medbench.core.errors import MedbenchError
from medbench.core.machine import computes_bf16, has_no_gpu
from medbench.core.registry import nearest_names

AUTO = "auto"
KINDS = (AUTO, "cpu", "cuda", "cuda:N", "mps")
_NAME = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def check_device_name(name: str) -> None:
    """Refuse a name that no device has, on any machine; torch is not needed for that.

    Raises:
        MedbenchError: ``device.unknown`` with the nearest name and all that there are.
    """
    if _NAME.fullmatch(name):
        return
    kind = name.lower().partition(":")[0].strip()
    near = ["cuda"] if kind in ("gpu", "nvidia") or kind.isdecimal() else nearest_names(kind, KINDS)[:1]
    advice = f"Did you mean {near[0]}? " if near else ""
    raise MedbenchError(
        "device.unknown", f"There is no device named '{name}'.", f"{advice}Known: {', '.join(KINDS)}."
    )


def present_device(name: str) -> str:
    """The device of that name on this machine; ``auto`` is the CUDA device where there is one, else the CPU.

    Raises:
        MedbenchError: ``device.unknown`` for a name that no device has, ``device.missing`` for a device that
            this machine lacks.
    """
    check_device_name(name)
    if name == "cpu":
        return name
    if name.startswith("cuda") and "torch" not in sys.modules and has_no_gpu():
        raise _missing(name, 0)
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == AUTO:
        return "cuda" if count else "cpu"
    kind, _, index = name.partition(":")
    if kind == "mps" and torch.backends.mps.is_available():
        return name
    if kind == "cuda" and int(index or 0) < count:
        return name
    raise _missing(name, count)


def _missing(name: str, count: int) -> MedbenchError:
    devices = [f"cuda:{number}" for number in range(count)]
    no_cuda = name.startswith("cuda") and not count
    return MedbenchError(
        "device.missing",
        "This machine has no CUDA device." if no_cuda else f"This machine has no device '{name}'.",
        f"Use --device {' or '.join(['auto', 'cpu', *devices])}. Nothing was drawn or fitted.",
    )


def cuda_index(device: str) -> int:
    """Number of a CUDA device; that of the current one for ``cuda`` without a number."""
    _, _, index = device.partition(":")
    if index:
        return int(index)
    import torch

    return torch.cuda.current_device()


def visible_cuda(number: int) -> str:
    """Name of a CUDA device of this process for ``CUDA_VISIBLE_DEVICES`` of a child process.

    Args:
        number: of the device here, from 0 on; a job of a cluster may see some of the machine's devices.
    """
    devices = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return devices[number] if number < len(devices) else str(number)


def check_precision(device: str, precision: str, *, force: bool) -> None:
    """Refuse ``tf32`` beside CUDA, and ``bf16`` on a processor that emulates it, about ten times slower.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
        precision: ``fp32``, ``bf16``, ``bf16-mixed`` …
        force: whether slowness is accepted.

    Raises:
        MedbenchError: ``precision.device`` or ``precision.emulated``.
    """
    if precision == "tf32" and device != "cuda":
        raise MedbenchError("precision.device", "tf32 is a precision of CUDA.", "Use --precision fp32.")
    if device == "cpu" and precision.startswith("bf16") and not force and not computes_bf16():
        raise MedbenchError(
            "precision.emulated",
            f"This processor has neither AVX512-BF16 nor AMX: {precision} is about ten times slower than "
            "single precision.",
            "Leave --precision out, or accept that with --force-precision.",
        )
