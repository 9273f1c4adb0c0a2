"""Profiles on disk: a row per workload and machine, in ``profiles.jsonl`` beside the leaderboards."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_json
from medbench.core.machine import processor_name, usable_cores
from medbench.core.seals import Line, read_table, sealed_line, write_table
from medbench.core.text import counted
from medbench.models.devices import cuda_index

PROFILES = "profiles.jsonl"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Hardware(_Part):
    """The parts of a machine that times depend on."""

    key: str = Field(description="tables never mix times of different keys")
    processor: str
    cores: int
    threads: int
    accelerator: str | None
    torch: str


class CostRecord(_Part):
    """Operations of one sample, and sizes, which do not depend on the machine."""

    parameters: int
    trainable_parameters: int
    parameter_bytes: int
    buffer_bytes: int
    file_bytes: int = Field(description="size of the state dictionary as torch.save writes it")
    macs: int = Field(description="multiply-accumulates of convolutions and matrix products")
    flops: int = Field(description="two a multiply-accumulate")
    other_flops: int = Field(description="norms, activations, softmax, pooling, interpolation and the like")
    kinds: dict[str, int] = Field(description="multiply-accumulates by kind")
    attention_macs: int = Field(description="products of attention, without projections")
    uncounted: dict[str, int] = Field(description="operator without a formula -> calls")
    activation_bytes: int | None = Field(
        description="kept for the backward pass, a sample, from a training forward of activation_batch"
    )
    activation_batch: int
    counter: str
    way: Literal["shapes", "values"]
    note: str = ""


class ProfileRecord(_Part):
    """A row of ``profiles.jsonl``: a workload on a machine."""

    schema_version: Literal[1] = 1
    key: str = Field(description="hash of workload and machine; measuring again replaces the row")
    model: str
    title: str
    options: dict[str, Any]
    num_classes: int
    shape: tuple[int, ...] = Field(description="of one sample")
    batch: int
    device: str
    precision: str
    channels_last: bool
    compiled: bool
    cost: CostRecord
    memory: dict[str, dict[str, Any]] = Field(description="forward and training_step, as PeakMemory")
    latency: dict[str, Any] | None = Field(description="as Latency")
    largest_batch: dict[str, dict[str, Any]] = Field(default_factory=dict, description="as LargestBatch")
    energy: dict[str, Any] | None = None
    hardware: Hardware
    medbench: str
    measured: str = Field(description="UTC")


def hardware(device: str, threads: int) -> Hardware:
    """This machine, with the device of a measurement."""
    import torch

    version = importlib.metadata.version("torch").partition("+")[0]
    processor, cores, accelerator = processor_name(), usable_cores(), None
    where = f"{processor}, {counted(cores, 'core')}, {counted(threads, 'thread')}"
    if device.startswith("cuda"):
        accelerator = torch.cuda.get_device_name(cuda_index(device))
        where = f"{accelerator}, CUDA {torch.version.cuda}"
    return Hardware(
        key=f"{where}, torch {version}",
        processor=processor,
        cores=cores,
        threads=threads,
        accelerator=accelerator,
        torch=version,
    )


def record_key(facts: dict[str, Any]) -> str:
    """Key of a row: hash of its workload and machine."""
    return sha256_json(facts)


def add_profiles(leaderboards: Path, records: list[ProfileRecord]) -> Path:
    """Add rows to the file; a row replaces that of the same workload on the same machine.

    A figure that the new row lacks (memory, time, largest batch) is kept from the old one.
    """
    from filelock import FileLock

    path = leaderboards / PROFILES
    leaderboards.mkdir(parents=True, exist_ok=True)
    with FileLock(leaderboards / ".profiles.lock"):
        lines = _lines(path)
        rows = {row.key: row for row in map(_record, lines)}
        texts = {line.row["key"]: line.text for line in lines}
        for record in records:
            before = rows.get(record.key)
            rows[record.key] = record if before is None else _merged(before, record)
            texts[record.key] = sealed_line(rows[record.key].model_dump(mode="json"))
        in_order = sorted(rows.values(), key=lambda row: (row.model, row.shape, row.batch, row.key))
        write_table(path, [texts[row.key] for row in in_order])
    return path


def _merged(before: ProfileRecord, now: ProfileRecord) -> ProfileRecord:
    if before.cost.macs != now.cost.macs or before.medbench != now.medbench:
        return now
    return now.model_copy(
        update={
            "memory": {**before.memory, **now.memory},
            "latency": now.latency or before.latency,
            "largest_batch": {**before.largest_batch, **now.largest_batch},
            "energy": now.energy or before.energy,
        }
    )


def read_profiles(leaderboards: Path) -> list[ProfileRecord]:
    """All rows of the file; an empty list where there is no file.

    Raises:
        MedbenchError: ``profile.file`` for a row that was edited or is of another schema.
    """
    return [_record(line) for line in _lines(leaderboards / PROFILES)]


def _lines(path: Path) -> list[Line]:
    """The intact lines of the file, all of this schema.

    Raises:
        MedbenchError: ``profile.file``.
    """
    lines = read_table(path, "profile.file")
    try:
        for line in lines:
            _record(line)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise MedbenchError(
            "profile.file",
            f"{path}: a row does not fit the schema ({place}: {first['msg']}).",
            "Move the file away and measure again.",
        ) from error
    return lines


def _record(line: Line) -> ProfileRecord:
    return ProfileRecord.model_validate(line.row)
