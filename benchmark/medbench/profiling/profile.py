"""``medbench profile``: cost, memory and time of models, stored by machine."""

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
class Request:
    """What to measure.

    Attributes:
        models: model names.
        shape: of one sample; the card's published input if ``None``.
        num_classes: the card's if ``None``.
        options: of every model.
        devices: ``cpu``, ``cuda``, ``cuda:N``, or ``all`` there are.
        batches: samples a forward pass.
        precisions: ``fp32``, ``bf16``, ``fp16``.
        measures: some of :data:`MEASURES`; the cost is always counted.
        channels_last: memory format.
        compiled: whether ``torch.compile`` runs it.
        threads: of the CPU; 0 for torch's own number.
        seconds: time for each latency.
        memory_limit_bytes: what a process may allocate.
        largest_batch: whether to search for it.
        energy: whether to measure it.
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
    """A model's figures and the tree that only the caller sees."""

    record: ProfileRecord
    cost: Cost


def profile(
    request: Request, *, keep_in: Path | None = None, progress: Progress | None = None
) -> list[Profile]:
    """Measure every model on every device, with every batch and precision.

    Args:
        request: what.
        keep_in: folder of leaderboards whose ``profiles.jsonl`` takes the rows; none are kept if ``None``.
        progress: told of every step.

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


def plan(request: Request) -> list[Workload]:
    """The workloads of a request.

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
    """Channels and sides, or frames and features, of the input that a model's card names."""
    entry = model_entry(name)
    return entry.input_shape


def _fitting_shape(name: str, request: Request) -> tuple[int, ...]:
    published = published_shape(name)
    shape = request.shape or published
    if len(shape) != len(published):
        given, example = ("x".join(map(str, (1, *sides))) for sides in (shape, published))
        raise MedbenchError("profile.input", f"{name} takes no {given}.", f"For example --input {example}.")
    if request.channels_last and len(shape) < 3:
        raise MedbenchError(
            "profile.input", f"{name} takes sequences, which have one memory format.", "Omit --channels-last."
        )
    return shape


def present_devices(asked: Sequence[str]) -> list[str]:
    """``all`` becomes the CPU and every CUDA device.

    Raises:
        MedbenchError: ``device.missing``.
    """
    import torch

    devices: list[str] = []
    for device in asked:
        if device == "all":
            devices += ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        elif device == "cpu" or (device.startswith("cuda") and torch.cuda.is_available()):
            devices.append(device)
        else:
            raise MedbenchError("device.missing", f"There is no device '{device}' here.", "Use --device cpu.")
    return list(dict.fromkeys(devices))


@dataclass(frozen=True, slots=True)
class _Counted:
    cost: Cost
    record: CostRecord


def _count_all(workloads: Sequence[Workload], progress: Progress) -> list[_Counted]:
    """Costs, counted once where workloads differ in nothing that they depend on."""
    progress.start("counting operations", len(workloads))
    known: dict[str, _Counted] = {}
    counted = []
    for workload in workloads:
        identity = f"{workload.model} {workload.shape}"
        if identity not in known:
            progress.advance(0, workload.model)
            known[identity] = count_workload(workload)
        counted.append(known[identity])
        progress.advance()
    progress.finish()
    return counted


def count_workload(workload: Workload) -> _Counted:
    """Operations of one sample, and sizes."""
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
    """Size of the file that ``torch.save`` makes of the state dictionary; nothing is written."""
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
    """A training step of one sample that batch norm refuses is measured with two."""
    result = measure_memory(workload, what, limit_bytes=limit)
    refused = result.status == "failed" and "more than 1 value per channel" in result.reason
    if refused and workload.batch == 1:
        return measure_memory(dataclasses.replace(workload, batch=2), what, limit_bytes=limit)
    return result


def _time_all(
    workloads: Sequence[Workload],
    memory: Sequence[dict[str, PeakMemory]],
    seconds: float,
    progress: Progress,
) -> list[Latency | None]:
    """Models that differ in nothing else are timed in turns; what did not fit into memory is not tried."""
    times: list[Latency | None] = [None] * len(workloads)
    groups: dict[str, list[int]] = {}
    for place, workload in enumerate(workloads):
        forward = memory[place].get("forward")
        if forward is not None and forward.status != "ok":
            times[place] = Latency(forward.status, forward.reason)
            continue
        groups.setdefault(f"{workload.device} {workload.precision} {workload.batch}", []).append(place)
    for places in groups.values():
        measured = measure_latency([workloads[i] for i in places], seconds=seconds, progress=progress)
        for place, latency in zip(places, measured, strict=True):
            times[place] = latency
    return times


def _search_all(
    workloads: Sequence[Workload], request: Request, progress: Progress
) -> list[dict[str, LargestBatch]]:
    progress.start("largest batch, each try in a fresh process", len(workloads) * len(PASSES))
    found: list[dict[str, LargestBatch]] = []
    for workload in workloads:
        free = int(available_bytes(workload.device) * _SHARE_OF_FREE_MEMORY)
        limit = request.memory_limit_bytes or free
        row: dict[str, LargestBatch] = {}
        for what in PASSES:
            row[what] = search_largest_batch(workload, what, limit)
            if row[what].reason and "more than 1 value per channel" in row[what].reason:
                row[what] = search_largest_batch(workload, what, limit, least=2)
            progress.advance(1, f"{workload.model}, {what.replace('_', ' ')}: {row[what].batch}")
        found.append(row)
    progress.finish()
    return found


def _record(
    workload: Workload,
    counted: _Counted,
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
        cost=counted.record,
        memory={what: dataclasses.asdict(peak) for what, peak in memory.items()},
        latency=None if latency is None else dataclasses.asdict(latency),
        largest_batch={what: result.as_json() for what, result in largest.items()},
        energy=energy,
        hardware=machine,
        medbench=importlib.metadata.version("medbench"),
        measured=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
