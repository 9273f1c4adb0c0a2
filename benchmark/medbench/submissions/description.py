"""The TOML file of a submission: model, challenge, platform, weights, image and limits."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
GIGABYTE = 10**9

Packages = Literal["index", "vendored", "base"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Weights(_Part):
    """Weights of a submission, and whether the image holds them."""

    file: str = Field(
        default="auto", description="a checkpoint beside this file or by full path, 'auto' or 'none'"
    )
    delivery: Literal["baked", "mounted"] = Field(
        default="baked", description="baked: in the image; mounted: uploaded apart, as model.tar.gz"
    )
    recipe: str | None = Field(default=None, description="recipe of the training that 'auto' takes")


class InferenceSettings(_Part):
    """Settings of the forward pass; the device is CUDA where there is one, else the CPU."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    batch_size: int | None = Field(default=None, ge=1, description="images (8) or windows of a volume (1)")
    image_size: int | None = Field(default=None, ge=16)
    overlap: float | None = Field(default=None, ge=0, lt=1, description="of a volume's windows")
    mirror: bool | None = Field(default=None, description="average over a volume's mirrored views")


class Image(_Part):
    """Settings of the image."""

    accelerator: Literal["cpu", "cuda"] = "cpu"
    base: str = Field(
        default="", description="base image; empty: the official Python image of the tested version"
    )
    digest: str = Field(default="", description="sha256:… of the base image, once known")
    packages: Packages = Field(
        default="index",
        description="index: pip installs the lock; vendored: copied from this environment; base: the base "
        "image has them",
    )
    torch_index: str = Field(
        default="", description="index of torch's wheels; empty: the one for the accelerator"
    )
    licence: str = "Apache-2.0"

    @field_validator("digest")
    @classmethod
    def _digest(cls, value: str) -> str:
        if value and not re.fullmatch(r"sha256:[0-9a-f]{64}", value):
            raise ValueError("is not of the form sha256: and 64 hexadecimal digits")
        return value


class ImageLimits(_Part):
    """Limits of the phase where they differ from the platform's own."""

    time_s: float | None = Field(default=None, gt=0, description="seconds a case")
    memory_gb: float | None = Field(default=None, gt=0, description="main memory, 10^9 bytes")
    shared_memory_mb: int | None = Field(default=None, gt=0)
    processes: int | None = Field(default=None, gt=0)


SocketKind = Literal[
    "image", "file", "json", "float", "integer", "string", "boolean", "bounding_boxes", "points"
]


class Socket(_Part):
    """An input or output of an algorithm on a platform that names them."""

    slug: str
    path: str = Field(description="below /input or /output; of an image, its folder")
    kind: SocketKind = "image"
    name: str = Field(
        default="",
        description="input: which of the challenge's inputs it is; empty: an image, read as it is",
    )
    answer: str = Field(
        default="",
        description="output: its value, e.g. class, probability:NAME, angle_of_progression; empty: by kind",
    )
    size: tuple[int, int] | None = Field(default=None, description="height and width in pixels, where fixed")

    @field_validator("path")
    @classmethod
    def _relative(cls, value: str) -> str:
        value = value.strip("/")
        if not value or ".." in value.split("/"):
            raise ValueError("is no path below /input or /output")
        return value


class Interface(_Part):
    """A set of sockets of one job; an algorithm may serve several sets."""

    inputs: tuple[Socket, ...] = Field(min_length=1)
    outputs: tuple[Socket, ...] = Field(min_length=1)

    @property
    def key(self) -> tuple[str, ...]:
        """The slugs of the inputs in alphabetical order, by which a platform tells interfaces apart."""
        return tuple(sorted(socket.slug for socket in self.inputs))


class Submission(_Part):
    """A submission, as its TOML file describes it."""

    name: str
    challenge: str
    model: str
    platform: str
    author: str = ""
    method: Literal["exec", "invoke"] = "exec"
    options: dict[str, Any] = Field(default_factory=dict)
    weights: Weights = Weights()
    inference: InferenceSettings = InferenceSettings()
    image: Image = Image()
    limits: ImageLimits = ImageLimits()
    interfaces: tuple[Interface, ...] = ()
    uploaded: tuple[str, ...] = Field(
        default=(), description="sha256:… of images that the platform already has"
    )
    registry: str = Field(default="", description="where the image is pushed, e.g. docker.synapse.org/syn123")

    def image_facts(self) -> dict[str, Any]:
        """Facts of the file that decide the image, as JSON, without registry and uploaded images."""
        return self.model_dump(mode="json", exclude={"registry", "uploaded"})

    @field_validator("name")
    @classmethod
    def _image_name(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError("may hold lower-case letters, digits and single . _ - between them only")
        return value

    @field_validator("interfaces")
    @classmethod
    def _distinct_outputs(cls, value: tuple[Interface, ...]) -> tuple[Interface, ...]:
        for one in value:
            places = [socket.path for socket in one.outputs]
            if len(set(places)) < len(places):
                raise ValueError("two outputs of an interface have the same path")
            if any(socket.kind == "file" for socket in one.outputs):
                raise ValueError("an output is an image of labels or a JSON value, no file")
        return value

    @model_validator(mode="after")
    def _distinct(self) -> Submission:
        keys = [interface.key for interface in self.interfaces]
        if len(set(keys)) < len(keys):
            raise ValueError("two interfaces have the same inputs, so a job could not be told apart")
        return self
