"""Profiles of models, as ``medbench profile`` makes them: cost, memory and time, stored by machine."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.progress import Progress, SilentProgress
from medbench.models import model_entry
from medbench.models.devices import present_device
from medbench.profiling.cost import Cost, count_cost
from medbench.profiling.energy import measure_energy
from medbench.profiling.latency import Latency, measure_latency
from medbench.profiling.memory import (
    LargestBatch,
    Pass,
    PeakMemory,
    available_bytes,
    measure_memory,
    search_largest_batch,
)
from medbench.profiling.records import CostRecord, ProfileRecord, add_profiles, hardware, record_key
from medbench.profiling.workload import Workload

MEASURES = ("cost", "memory", "latency")
PASSES: tuple[Pass, ...] = ("forward", "training_step")
_SHARE_OF_FREE_MEMORY = 0.9


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """Models, inputs, devices and measures of a profile.

    Attributes:
        models: model names.
        shape: of one sample; the published input on the card if ``None``.
        num_classes: of every model; the card's number if ``None``.
        options: of every model.
        devices: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``mps``, or ``all``.
        batches: samples per forward pass.
        precisions: ``fp32``, ``bf16``, ``fp16``.
        measures: some of :data:`MEASURES`; the cost is always counted.
        channels_last: memory format.
        compiled: whether to compile networks by ``torch.compile``.
        threads: of the CPU; 0 for torch's own number.
        seconds: time for each latency.
        memory_limit_bytes: limit on a process's allocations.
        largest_batch: whether to search the largest batch that fits.
        energy: whether to measure energy.
    """

    models: tuple[str, ...]
    shape: tuple[int, ...] | None = None
    num_classes: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    devices: tuple[str, ...] = ("cpu",)
    batches: tuple[int, ...] = (1,)
    precisions: tuple[str, ...] = ("fp32",)
    measures: tuple[str, ...] = MEASURES
    channels_last: bool = False
    compiled: bool = False
    threads: int = 0
    seconds: float = 5.0
    memory_limit_bytes: int | None = None
    largest_batch: bool = False
    energy: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """A model's record, and its cost by module, which the record does not hold."""

    record: ProfileRecord
    cost: Cost


def profile(
    request: ProfileRequest, *, keep_in: Path | None = None, progress: Progress | None = None
) -> list[Profile]:
    """Profiles of every model on every device, with every batch and precision.

    Args:
        request: what to measure.
        keep_in: folder of leaderboards whose ``profiles.jsonl`` gets the rows; ``None`` stores nothing.
        progress: advanced by every measurement.

    Raises:
        MedbenchError: for unknown names, a device that is not there, or a wrong input.
    """
    progress = progress or SilentProgress()
    workloads = plan(request)
    costs = _count_all(workloads, progress)
    memory: list[dict[str, PeakMemory]] = [{} for _ in workloads]
    if "memory" in request.measures:
        progress.start("memory, each pass in a fresh process", len(workloads) * len(PASSES))
        for place, workload in enumerate(workloads):
            for what in PASSES:
                progress.advance(0, f"{workload.model}, {what.replace('_', ' ')}, batch {workload.batch}")
                memory[place][what] = _peak(workload, what, request.memory_limit_bytes)
                progress.advance()
        progress.finish()
    times: list[Latency | None] = [None] * len(workloads)
    if "latency" in request.measures:
        times = _time_all(workloads, memory, request.seconds, progress)
    largest = _search_all(workloads, request, progress) if request.largest_batch else [{}] * len(workloads)
    energy = [measure_energy(workload, request.seconds) if request.energy else None for workload in workloads]
    profiles = [
        Profile(_record(workload, *figures), figures[0].cost)
        for workload, *figures in zip(workloads, costs, memory, times, largest, energy, strict=True)
    ]
    if keep_in is not None:
        add_profiles(keep_in, [item.record for item in profiles])
    return profiles


def plan(request: ProfileRequest) -> list[Workload]:
    """Workloads of a request: every model with every device, batch and precision.

    Raises:
        MedbenchError: ``model.unknown``, ``precision.unknown``, ``device.missing``; ``profile.input`` for a
            shape or a memory format that a model cannot take.
    """
    shapes = {name: _fitting_shape(name, request) for name in request.models}
    return [
        Workload(
            name,
            shapes[name],
            request.num_classes or model_entry(name).num_classes,
            dict(request.options),
            batch,
            device,
            precision,
            request.channels_last,
            request.compiled,
            request.threads,
        )
        for device in present_devices(request.devices)
        for precision in request.precisions
        for batch in request.batches
        for name in request.models
    ]


def published_shape(name: str) -> tuple[int, ...]:
    """Shape of the published input on a model's card: channels and sides, or frames and features."""
    entry = model_entry(name)
    return entry.input_shape


def _fitting_shape(name: str, request: ProfileRequest) -> tuple[int, ...]:
    card_shape = published_shape(name)
    shape = request.shape or card_shape
    if len(shape) != len(card_shape):
        text, example = ("x".join(map(str, (1, *sides))) for sides in (shape, card_shape))
        raise MedbenchError("profile.input", f"{name} takes no {text}.", f"For example --input {example}.")
    if request.channels_last and len(shape) < 3:
        raise MedbenchError(
            "profile.input", f"{name} takes sequences, which have one memory format.", "Omit --channels-last."
        )
    return shape


def present_devices(names: Sequence[str]) -> list[str]:
    """Devices of this machine by name, where ``all`` is the CPU and every CUDA device.

    Raises:
        MedbenchError: as :func:`medbench.models.devices.present_device`.
    """
    devices: list[str] = []
    for device in names:
        if device == "all":
            import torch

            devices += ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        else:
            devices.append(present_device(device))
    return list(dict.fromkeys(devices))


@dataclass(frozen=True, slots=True)
class _Counted:
    cost: Cost
    record: CostRecord


def _count_all(workloads: Sequence[Workload], progress: Progress) -> list[_Counted]:
    """Cost of every workload, counted once for all workloads of one model and input."""
    progress.start("counting operations", len(workloads))
    by_identity: dict[str, _Counted] = {}
    costs = []
    for workload in workloads:
        identity = f"{workload.model} {workload.shape}"
        if identity not in by_identity:
            progress.advance(0, workload.model)
            by_identity[identity] = count_workload(workload)
        costs.append(by_identity[identity])
        progress.advance()
    progress.finish()
    return costs


def count_workload(workload: Workload) -> _Counted:
    """Operations of one sample, and sizes of parameters and file."""
    network, further = workload.network(), workload.further_inputs()
    cost = count_cost(network, (1, *workload.shape), further=further)
    activations, batch = cost.activation_bytes, 1
    if activations is None:
        batch = 2
        pair = count_cost(network, (batch, *workload.shape), further=further).activation_bytes
        activations = None if pair is None else pair // batch
    parameters = list(network.parameters())
    record = CostRecord(
        parameters=sum(parameter.numel() for parameter in parameters),
        trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        parameter_bytes=sum(parameter.nbytes for parameter in parameters),
        buffer_bytes=sum(buffer.nbytes for buffer in network.buffers()),
        file_bytes=saved_bytes(network),
        macs=cost.macs,
        flops=cost.flops,
        other_flops=cost.other_flops,
        kinds=cost.kinds,
        attention_macs=cost.attention_macs,
        uncounted=cost.uncounted,
        activation_bytes=activations,
        activation_batch=batch,
        counter=cost.counter,
        way=cost.way,
        note=cost.note,
    )
    return _Counted(cost, record)


def saved_bytes(network: Any) -> int:
    """Size in bytes of the state dictionary as ``torch.save`` writes it; nothing is written."""
    import torch

    class Meter:
        size = 0

        def write(self, data: Any) -> int:
            length = memoryview(data).nbytes
            self.size += length
            return length

        def flush(self) -> None:
            """Nothing to do."""

    meter = Meter()
    torch.save(network.state_dict(), meter)  # type: ignore[arg-type]
    return meter.size


def _peak(workload: Workload, what: Pass, limit: int | None) -> PeakMemory:
    """Peak memory of a pass; a training step that batch norm refuses with one sample is measured with two."""
    result = measure_memory(workload, what, limit_bytes=limit)
    is_refused = result.status == "failed" and "more than 1 value per channel" in result.reason
    if is_refused and workload.batch == 1:
        return measure_memory(dataclasses.replace(workload, batch=2), what, limit_bytes=limit)
    return result


def _time_all(
    workloads: Sequence[Workload],
    memory: Sequence[dict[str, PeakMemory]],
    seconds: float,
    progress: Progress,
) -> list[Latency | None]:
    """Latency of every workload, the models of one setting in turns; untimed where memory ran out."""
    times: list[Latency | None] = [None] * len(workloads)
    groups: dict[str, list[int]] = {}
    for place, workload in enumerate(workloads):
        forward = memory[place].get("forward")
        if forward is not None and forward.status != "ok":
            times[place] = Latency(forward.status, forward.reason)
            continue
        groups.setdefault(f"{workload.device} {workload.precision} {workload.batch}", []).append(place)
    for places in groups.values():
        latencies = measure_latency([workloads[i] for i in places], seconds=seconds, progress=progress)
        for place, latency in zip(places, latencies, strict=True):
            times[place] = latency
    return times


def _search_all(
    workloads: Sequence[Workload], request: ProfileRequest, progress: Progress
) -> list[dict[str, LargestBatch]]:
    progress.start("largest batch, each try in a fresh process", len(workloads) * len(PASSES))
    searches: list[dict[str, LargestBatch]] = []
    for workload in workloads:
        free = int(available_bytes(workload.device) * _SHARE_OF_FREE_MEMORY)
        limit = request.memory_limit_bytes or free
        row: dict[str, LargestBatch] = {}
        for what in PASSES:
            row[what] = search_largest_batch(workload, what, limit)
            if row[what].reason and "more than 1 value per channel" in row[what].reason:
                row[what] = search_largest_batch(workload, what, limit, least=2)
            progress.advance(1, f"{workload.model}, {what.replace('_', ' ')}: {row[what].batch}")
        searches.append(row)
    progress.finish()
    return searches


def _record(
    workload: Workload,
    count: _Counted,
    memory: dict[str, PeakMemory],
    latency: Latency | None,
    largest: dict[str, LargestBatch],
    energy: dict[str, Any] | None,
) -> ProfileRecord:
    import torch

    machine = hardware(workload.device, workload.threads or torch.get_num_threads())
    facts: dict[str, Any] = {
        "model": workload.model,
        "options": workload.options,
        "num_classes": workload.num_classes,
        "shape": list(workload.shape),
        "batch": workload.batch,
        "device": workload.device.partition(":")[0],
        "precision": workload.precision,
        "channels_last": workload.channels_last,
        "compiled": workload.compiled,
    }
    return ProfileRecord(
        **facts,
        key=record_key({**facts, "hardware": machine.key}),
        title=model_entry(workload.model).title,
        cost=count.record,
        memory={what: dataclasses.asdict(peak) for what, peak in memory.items()},
        latency=None if latency is None else dataclasses.asdict(latency),
        largest_batch={what: result.as_json() for what, result in largest.items()},
        energy=energy,
        hardware=machine,
        medbench=importlib.metadata.version("medbench"),
        measured=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
