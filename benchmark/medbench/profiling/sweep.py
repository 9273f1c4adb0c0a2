"""Cost against input size with its exponent; that of full attention is 2 in the number of tokens."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medbench.core.errors import MedbenchError
from medbench.core.progress import Progress, SilentProgress
from medbench.profiling.cost import count_cost
from medbench.profiling.latency import measure_latency
from medbench.profiling.workload import Workload

AXES = ("size", "frames")


@dataclass(frozen=True, slots=True)
class Range:
    """A range of input sizes such as ``size=128:1024:128``, both ends included.

    Attributes:
        axis: ``size`` (all sides of an image or volume) or ``frames`` (the first axis after the batch of
            ``(frames, features)``, the first side of ``(channels, frames, height, width)``).
        values: sizes along the axis.
    """

    axis: str
    values: tuple[int, ...]

    def shape(self, shape: Sequence[int], value: int) -> tuple[int, ...]:
        """Shape of one sample with the axis set to a value.

        Raises:
            MedbenchError: ``profile.sweep`` when the input has no such axis.
        """
        if self.axis == "size" and len(shape) > 2:
            return (shape[0], *(value for _ in shape[1:]))
        if self.axis == "frames" and len(shape) == 2:
            return (value, shape[1])
        if self.axis == "frames" and len(shape) == 4:
            return (shape[0], value, *shape[2:])
        text = "×".join(map(str, shape))
        raise MedbenchError(
            "profile.sweep", f"An input of {text} has no axis '{self.axis}'.", "Give --input or another axis."
        )


def parse_range(text: str) -> Range:
    """Range from text ``axis=first:last:step``.

    Raises:
        MedbenchError: ``profile.sweep``.

    >>> parse_range("size=128:512:128").values
    (128, 256, 384, 512)
    """
    match = re.fullmatch(r"(\w+)=(\d+):(\d+):(\d+)", text.strip())
    if match is None or match[1] not in AXES:
        raise MedbenchError(
            "profile.sweep",
            f"'{text}' is no range of size or frames.",
            "For example --sweep size=128:1024:128.",
        )
    first, last, step = (int(part) for part in match.groups()[1:])
    if first < 1 or step < 1 or last < first + step:
        raise MedbenchError(
            "profile.sweep", f"'{text}' has fewer than two values.", "For example size=128:1024:128."
        )
    return Range(match[1], tuple(range(first, last + 1, step)))


@dataclass(frozen=True, slots=True)
class Point:
    """Cost of a model at one input size.

    Attributes:
        value: size along the axis.
        elements: pixels, voxels or frames of the input, which the exponents refer to.
        macs: multiply-accumulates of one sample.
        attention_macs: multiply-accumulates of attention among them.
        activation_bytes: memory kept for the backward pass; ``None`` where the network cannot train.
        p50_s: median time of a forward pass, where measured.
    """

    value: int
    elements: int
    macs: int
    attention_macs: int
    activation_bytes: int | None
    p50_s: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """Cost of a model over a range of input sizes.

    Attributes:
        model: model name.
        axis: axis of the range.
        points: cost at every size, in the order of the range.
        exponents: quantity -> slope of log cost over log elements, by least squares.
        last_exponents: quantity -> slope between the last two points, where the fastest growing part of the
            cost shows most.
    """

    model: str
    axis: str
    points: tuple[Point, ...]
    exponents: dict[str, float]
    last_exponents: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Plain values for files."""
        return asdict(self)


QUANTITIES: dict[str, Callable[[Point], float | None]] = {
    "macs": lambda point: point.macs,
    "attention_macs": lambda point: point.attention_macs,
    "activation_bytes": lambda point: point.activation_bytes,
    "p50_s": lambda point: point.p50_s,
}


def sweep(
    workloads: Sequence[Workload],
    over: Range,
    *,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> list[Curve]:
    """Cost of every model at every size of a range.

    Args:
        workloads: one per model; the range replaces its axis of their shapes.
        over: the range.
        seconds: time for each latency; ``None`` measures none.
        progress: advanced at every size.
    """
    progress = progress or SilentProgress()
    progress.start("sweeping", len(workloads) * len(over.values))
    curves = []
    for workload in workloads:
        points = []
        for value in over.values:
            progress.advance(0, f"{workload.model}, {over.axis} {value}")
            shape = over.shape(workload.shape, value)
            points.append(_point(dataclasses.replace(workload, shape=shape), value, over.axis, seconds))
            progress.advance()
        curves.append(
            Curve(workload.model, over.axis, tuple(points), _exponents(points), _exponents(points[-2:]))
        )
    progress.finish()
    return curves


def _point(workload: Workload, value: int, axis: str, seconds: float | None) -> Point:
    cost = count_cost(workload.network(), (1, *workload.shape), further=workload.further_inputs())
    latency = None if seconds is None else measure_latency([workload], seconds=seconds)[0]
    elements = value if axis == "frames" else int(np.prod(workload.shape[1:]))
    return Point(
        value,
        elements,
        cost.macs,
        cost.attention_macs,
        cost.activation_bytes,
        latency.p50_s if latency else None,
    )


def _exponents(points: Sequence[Point]) -> dict[str, float]:
    sizes = [point.elements for point in points]
    slopes = {}
    for name, figure in QUANTITIES.items():
        values = [figure(point) for point in points]
        if all(values):
            slopes[name] = exponent(sizes, [float(value) for value in values if value])
    return slopes


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of log cost over log size, by least squares.

    >>> round(exponent([1, 2, 4], [3, 12, 48]), 6)
    2.0
    """
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])
