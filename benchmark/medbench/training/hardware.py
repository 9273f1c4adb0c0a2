"""Devices, precision and processes of a training: what is asked for, and what this machine has."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.machine import usable_cores
from medbench.core.registry import unknown_name
from medbench.core.text import counted, counted_are
from medbench.models.devices import check_device_name, check_precision, cuda_index, present_device
from medbench.training.division import Division

PRECISIONS = ("32", "bf16-mixed", "16-mixed")
_MOST_WORKERS = 8
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@dataclass(frozen=True, slots=True)
class Hardware:
    """Devices, precision and reading processes of a training.

    Attributes:
        accelerator: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        devices: number of devices on each node, or ``auto`` for all that the batch can be shared by.
        nodes: number of machines.
        precision: ``32``, ``bf16-mixed`` or ``16-mixed``.
        workers: processes that read images on each device; 0 reads in the training process; ``None`` takes 0
            on the CPU, else as many as there are cores, at most 8.
        passes: passes whose gradients add up to a step's; more need less memory for the same batch.
        deterministic: use torch's deterministic algorithms and no TF32; ``None``: on the CPU alone.
        force_precision: accept a precision that the processor only emulates.
    """

    accelerator: str = "auto"
    devices: int | str = "auto"
    nodes: int = 1
    precision: str = "32"
    workers: int | None = None
    passes: int = 1
    deterministic: bool | None = None
    force_precision: bool = False

    def check(self) -> None:
        """Refuse what no machine has; torch is not needed for that.

        Raises:
            MedbenchError: ``device.unknown`` or ``precision.unknown`` with the nearest names,
                ``training.devices`` for numbers below 1.
        """
        check_device_name(self.accelerator)
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        devices = "1" if self.devices == "auto" else str(self.devices)
        if not devices.isdecimal() or int(devices) < 1 or self.nodes < 1 or self.passes < 1:
            raise MedbenchError(
                "training.devices",
                f"--devices {self.devices} --nodes {self.nodes} --accumulate {self.passes} cannot train.",
                "Give numbers from 1 on, or --devices auto.",
            )

    @property
    def kind(self) -> str:
        """``cpu``, ``cuda`` or ``mps``."""
        return self.accelerator.partition(":")[0]

    @property
    def division(self) -> Division:
        """How a step's batch is divided; of hardware that is present."""
        return Division(int(self.devices) * self.nodes, 0, self.passes)

    @property
    def is_fast(self) -> bool:
        """Whether TF32 and the fastest algorithms are used; of hardware that is present."""
        return self.kind == "cuda" and not self.deterministic

    def facts(self, effective_batch: int) -> dict[str, Any]:
        """Facts of the present hardware that decide the weights, for keys, records and rows.

        Args:
            effective_batch: examples of an optimizer step over all devices and passes.
        """
        return {
            "accelerator": self.kind,
            "devices": self.devices,
            "nodes": self.nodes,
            "precision": self.precision,
            "effective_batch": effective_batch,
            "accumulation": self.passes,
            "deterministic": self.deterministic,
            "tf32": self.is_fast,
        }

    def describe(self, effective_batch: int) -> str:
        """How a step's batch is divided among devices and passes, in words."""
        division = self.division
        if division.parts == 1:
            return f"Batches of {effective_batch} on one device ({self.accelerator}, {self.precision})."
        each = -(-effective_batch // division.parts)
        passes = counted(self.passes, "pass", "passes")
        devices = f"{counted(division.processes, 'device')} ({self.kind}, {self.precision})"
        return (
            f"Batches of {effective_batch} as the recipe has them, over {devices} with {passes} each: up to "
            f"{each} at a time."
        )

    def device_name(self) -> str | None:
        """Name of the accelerator; ``None`` for the CPU."""
        if self.kind != "cuda":
            return None
        import torch

        return torch.cuda.get_device_name(cuda_index(self.accelerator))

    @contextlib.contextmanager
    def torch_settings(self) -> Iterator[None]:
        """Set determinism, TF32 and the choice of algorithms for a block, then restore them."""
        import torch

        from medbench.inference.torch_settings import tf32, torch_settings

        with torch_settings(deterministic=bool(self.deterministic), threads=None):
            if self.kind != "cuda":
                yield
                return
            benchmark, workspace = torch.backends.cudnn.benchmark, os.environ.get(_CUBLAS)
            try:
                torch.backends.cudnn.benchmark = self.is_fast
                if self.deterministic and workspace is None:
                    os.environ[_CUBLAS] = ":4096:8"
                with tf32(self.is_fast):
                    yield
            finally:
                torch.backends.cudnn.benchmark = benchmark
                if workspace is None:
                    os.environ.pop(_CUBLAS, None)


def present_hardware(hardware: Hardware) -> Hardware:
    """The hardware with everything decided that was left to this machine.

    Raises:
        MedbenchError: ``device.unknown``, ``device.missing``, ``precision.unknown``, ``precision.device``,
            ``precision.emulated`` or ``training.devices``.
    """
    hardware.check()
    accelerator = present_device(hardware.accelerator)
    kind, _, index = accelerator.partition(":")
    if hardware.precision == "16-mixed" and kind == "cpu":
        raise MedbenchError(
            "precision.device", "16-mixed is a precision of accelerators.", "Use --precision 32 on the CPU."
        )
    check_precision(kind, hardware.precision, force=hardware.force_precision)
    devices = _count(hardware, kind, index)
    workers = hardware.workers
    if workers is None:
        workers = 0 if kind == "cpu" else max(1, min(_MOST_WORKERS, usable_cores() // devices))
    deterministic = kind == "cpu" if hardware.deterministic is None else hardware.deterministic
    return replace(
        hardware, accelerator=accelerator, devices=devices, workers=workers, deterministic=deterministic
    )


def hardware_for(hardware: Hardware, batch_size: int) -> Hardware:
    """Present hardware for a batch; ``auto`` takes no more devices than the batch has examples for.

    Raises:
        MedbenchError: as :func:`present_hardware`.
    """
    present = present_hardware(hardware)
    most = max(1, batch_size // (present.nodes * present.passes))
    if hardware.devices != "auto" or int(present.devices) <= most:
        return present
    return present_hardware(replace(hardware, devices=most))


def _count(hardware: Hardware, kind: str, index: str) -> int:
    import torch

    most = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind)
    devices = hardware.devices
    if devices == "auto":
        return 1 if index or most is None else most
    if (most is not None and int(devices) > most) or (index and int(devices) > 1):
        raise MedbenchError(
            "device.missing",
            f"{counted_are(int(devices), 'device')} asked for and {1 if index else most} can be used.",
            "Give --devices auto for all that there are.",
        )
    return int(devices)
