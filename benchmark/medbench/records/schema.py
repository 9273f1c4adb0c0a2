"""The run record: everything needed to repeat a run and to trust its numbers. Schema version 1."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

SCHEMA_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelRecord(_Part):
    """The model that predicted."""

    name: str = Field(description="model name, or 'predictions' for a scored folder")
    title: str = Field(description="how tables call it")
    options: dict[str, Any] = Field(default_factory=dict, description="options that differ from the defaults")
    parameters: int | None = Field(default=None, description="number of parameters")
    weights: Literal["none", "file", "trained", "foreign"] = Field(
        description="none: fresh weights; file: given by path; trained: left by medbench train; "
        "foreign: the predictions came from elsewhere"
    )
    weights_sha256: str | None = None
    untrained_parts: list[str] = Field(
        default_factory=list, description="parameters that the checkpoint did not provide"
    )
    training: dict[str, Any] | None = Field(
        default=None, description="recipe, data and seed of our own training"
    )


class ChallengeRecord(_Part):
    """The challenge that a run was measured on."""

    name: str
    title: str
    split: str
    cases: int
    groups: int
    manifest_sha256: str = Field(description="hash over the names and contents of all files of the split")
    split_rule: str = Field(default="", description="how the split is drawn, where there are several ways")
    split_sha256: str | None = Field(
        default=None, description="hash of the case names of the complete split, where it is known"
    )
    present_cases: int | None = Field(
        default=None, description="real data: cases in the folder, where the release's number is known"
    )
    released_cases: int | None = Field(default=None, description="cases in the complete release")
    subset: bool = Field(default=False, description="real data, but fewer cases than the release has")
    failure_rule: str
    sample_version: str | None = Field(
        default=None, description="version of the synthetic sample, if it is that"
    )
    conventions: dict[str, str] = Field(description="metric column -> id of its definition")


class SpreadRecord(_Part):
    """How a column is spread over the cases that have a value."""

    cases: int
    mean: float
    sd: float | None = Field(description="with cases - 1; none for one case")
    median: float
    q25: float
    q75: float
    worst: float
    worst_case: str = Field(description="id of the first case with the worst value")


class SubgroupRecord(_Part):
    """One metric over the cases of a subgroup."""

    value: float | None
    ci95_low: float | None
    ci95_high: float | None
    ci95_method: str
    groups: int
    scored: int
    failed: int
    missing: int
    undefined: int


class MetricRecord(_Part):
    """One metric over the split, with its denominators."""

    title: str
    unit: str
    better: Literal["higher", "lower"]
    convention: str
    protocol: str = Field(
        default="", description="evaluation protocol of the column, where the challenge has several"
    )
    pooled: bool
    value: float | None
    ci95_low: float | None
    ci95_high: float | None
    ci95_method: str
    groups: int = Field(description="groups that were resampled for the interval")
    scored: int
    failed: int
    missing: int
    undefined: int
    spread: SpreadRecord | None = Field(
        default=None, description="over cases; none for pooled metrics and where no case has a value"
    )

    @field_validator("protocol")
    @classmethod
    def _of_modalities(cls, protocol: str) -> str:
        """The protocol by its present name; records until 2026-11 call modalities sequences."""
        return protocol.replace("papers on missing sequences", "papers on missing modalities")


class Counts(_Part):
    """Cases by outcome; they add up to ``total``."""

    total: int
    ok: int
    failed: int
    missing: int


class Environment(_Part):
    """Where it ran."""

    medbench: str
    git_commit: str | None
    git_dirty: bool | None
    code_sha256: str = Field(description="hash of the package's own source files")
    scoring_sha256: str | None = Field(
        default=None, description="hash of those source files that read, score and pool"
    )
    python: str
    packages: dict[str, str]
    platform: str
    processor: str
    cores: int
    memory_bytes: int
    accelerator: str | None = None


class RunRecord(_Part):
    """A finished run."""

    schema_version: Literal[1] = 1
    key: str = Field(description="hash of everything that decides the result; names the run directory")
    status: Literal["complete", "complete_with_failures"]
    data: Literal["real", "sample"] = Field(
        description="'sample' is the synthetic sample, never a real result"
    )
    model: ModelRecord
    challenge: ChallengeRecord
    settings: dict[str, Any] = Field(description="inference settings that decide the result")
    seed: int
    metrics: dict[str, MetricRecord]
    subgroups: dict[str, dict[str, dict[str, SubgroupRecord]]] = Field(
        default_factory=dict, description="manifest column -> its value -> headline metric over those cases"
    )
    counts: Counts
    time_s: dict[str, float] = Field(
        description="seconds by phase, over the cases predicted in the last call"
    )
    cases_timed: int = Field(description="cases that time_s covers; resumed ones have no timing")
    environment: Environment
    started: str = Field(description="UTC, start of the call that finished the run")
    finished: str
    command: str = Field(description="the command that repeats it")
    citations: list[str]


def json_schema() -> dict[str, Any]:
    """JSON Schema of a record."""
    schema = RunRecord.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = f"medbench run record, version {SCHEMA_VERSION}"
    return schema
