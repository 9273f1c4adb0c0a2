"""Cases, volumes and data folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

LONGEST_FACT = 40


@dataclass(frozen=True, slots=True)
class Case:
    """One scored unit of a challenge.

    Attributes:
        id: unique within the split.
        inputs: name -> path of what the predictor may read.
        reference: name -> path of the reference; empty where the organisers do not publish it.
        group: patient, slide or video: the unit of resampling and of leakage checks.
        facts: other facts of the case (frame index, task, stain …).
    """

    id: str
    inputs: Mapping[str, Path]
    reference: Mapping[str, Path] = field(default_factory=dict)
    group: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> tuple[Path, ...]:
        """Inputs and reference."""
        return (*self.inputs.values(), *self.reference.values())

    @property
    def resampling_unit(self) -> str:
        """Unit that intervals resample: the case's group, or the case itself where it has none."""
        return self.group or self.id

    @property
    def subgroup_facts(self) -> dict[str, str]:
        """Facts that may name a subgroup, such as a centre: short words, no paths, not the case itself."""
        return {
            name: value
            for name, value in self.facts.items()
            if isinstance(value, str)
            and 0 < len(value) <= LONGEST_FACT
            and value != self.id
            and not {"/", "\\"} & set(value)
        }


@dataclass(frozen=True, slots=True)
class Volume:
    """An array of two or more axes with spacing, origin and direction.

    Attributes:
        array: spatial axes first, in the order that the file stores them.
        spacing: mm per step along each spatial axis, in array order; ``None`` when the file has none.
        origin: position of the first element in mm, in array order.
        direction: rotation matrix, row-major, in the file format's own convention.
    """

    array: npt.NDArray[Any]
    spacing: tuple[float, ...] | None = None
    origin: tuple[float, ...] | None = None
    direction: tuple[float, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(np.shape(self.array))


@dataclass(frozen=True, slots=True)
class Data:
    """A data folder, and whether it holds the release or the synthetic sample."""

    root: Path
    kind: Literal["real", "sample"]
