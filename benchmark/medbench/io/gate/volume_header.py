"""Headers of volumes, independent of the file format."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.text import agreeing, counted
from medbench.io.gate.refusal import Reject, corrupt

LONGEST_AXIS = 1 << 31
FEWEST_AXES, MOST_AXES = 2, 4
MOST_CHANNELS = 256

Floats = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class VolumeHeader:
    """Shape, type and geometry of a volume by its header; arrays have the slowest axis first.

    Attributes:
        format: name of the file format, for messages.
        shape: sizes in array order, ``(z, y, x)``, channels last where there are any.
        dtype: type of the stored values, with the file's byte order.
        offset: first byte of the values, after decompression where the whole file is compressed.
        packing: ``none``, ``gzip`` (the whole file), or ``zlib`` and ``gzip values`` (the values alone).
        stored_bytes: length of the stored values where the header gives it.
        spacing: mm along each spatial axis in array order, or ``None`` where the file has none.
        origin: position of the first element in mm in array order, or ``None``.
        direction: rotation matrix, row-major, x to the left, y to the back and z up, or ``None``.
        slope: factor of stored values.
        intercept: summand after the factor.
        exact: whether the file must end after the values.
    """

    format: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    packing: Literal["none", "gzip", "zlib", "gzip values"] = "none"
    stored_bytes: int | None = None
    spacing: Floats | None = None
    origin: Floats | None = None
    direction: Floats | None = None
    slope: float = 1.0
    intercept: float = 0.0
    exact: bool = True

    @property
    def n_values(self) -> int:
        """Number of stored values."""
        return math.prod(self.shape)

    @property
    def value_bytes(self) -> int:
        """Bytes of the stored values after decompression."""
        return self.n_values * self.dtype.itemsize

    @property
    def scaled(self) -> bool:
        """Whether slope or intercept change the stored values."""
        return self.slope != 1.0 or self.intercept != 0.0

    @property
    def memory_bytes(self) -> int:
        """Bytes that decoding takes at its peak, without the file."""
        copies = (self.packing != "none") + (
            not self.dtype.isnative or self.offset % self.dtype.itemsize != 0
        )
        return copies * self.value_bytes + (12 * self.n_values if self.scaled else 0)


def check_axes(sizes: tuple[int, ...]) -> None:
    """Refuse shapes that no image has.

    Raises:
        Reject: ``data.axes``, or ``file.corrupt`` for a size out of range.
    """
    if not FEWEST_AXES <= len(sizes) <= MOST_AXES:
        raise Reject(
            "data.axes",
            f"has {len(sizes)} {agreeing(len(sizes), 'axis', 'axes')}; images have 2 to 4",
            "Give one image or volume a file.",
        )
    if any(not 1 <= size < LONGEST_AXIS for size in sizes):
        raise corrupt(f"its header announces the sizes {', '.join(str(size) for size in sizes)}")


def facts_of_axes(vectors: npt.NDArray[np.float64]) -> tuple[Floats | None, Floats | None]:
    """Spacing in array order, and direction, row-major, from the steps along each axis (columns).

    Both are ``None`` where a step has no length.

    >>> facts_of_axes(np.diag([2.0, 3.0]))
    ((3.0, 2.0), (1.0, 0.0, 0.0, 1.0))
    """
    lengths = np.linalg.norm(vectors, axis=0)
    if not np.all(np.isfinite(lengths)):
        raise corrupt("its geometry is not finite")
    if np.any(lengths <= 0):
        return None, None
    direction = vectors / lengths
    return tuple(lengths[::-1].tolist()), tuple((direction + 0.0).ravel().tolist())


def finite(values: list[str], count: int, what: str) -> Floats:
    """Finite numbers from text.

    Raises:
        Reject: ``file.corrupt`` when there are not ``count`` finite ones.
    """
    try:
        numbers = tuple(float(value) for value in values)
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise corrupt(f"its {what} is '{' '.join(values)[:60]}', not {counted(count, 'number')}")
    return numbers


def whole(values: list[str], what: str) -> tuple[int, ...]:
    """Whole numbers from text.

    Raises:
        Reject: ``file.corrupt``.
    """
    if not values or len(values) > 16 or not all(value.isascii() and value.isdigit() for value in values):
        raise corrupt(f"its {what} is '{' '.join(values)[:60]}'")
    if any(len(value) > 12 for value in values):
        raise corrupt(f"its {what} is out of range")
    return tuple(int(value) for value in values)
