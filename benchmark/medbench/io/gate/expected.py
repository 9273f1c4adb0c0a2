"""Role and memory limit of a file, which are known before it is opened."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Literal

from medbench.io.gate.refusal import Reject

MEMORY_BYTES = 2 << 30
LEAST_BYTES = 64 << 20
BYTES_A_VALUE = 32

LIMIT_VARIABLE = "MEDBENCH_MEMORY_LIMIT"

Role = Literal["release", "prediction"]


def memory_limit_bytes() -> int:
    """Limit on the bytes of a file and its values together: ``--memory-limit``, else 2 GiB."""
    setting = os.environ.get(LIMIT_VARIABLE, "")
    return int(setting) if setting.isdecimal() and int(setting) > 0 else MEMORY_BYTES


@dataclass(frozen=True, slots=True)
class Expected:
    """Role and memory limit of a file.

    Attributes:
        role: ``release`` for inputs and references, which may be symbolic links and MetaImage headers with
            their data beside them; ``prediction`` for a submitted file, which must be one file in its folder.
        shape: shape of the prediction's reference, where it is known.
        memory_bytes: limit on the bytes of the file and its values together.
    """

    role: Role = "release"
    shape: tuple[int, ...] | None = None
    memory_bytes: int = field(default_factory=memory_limit_bytes)

    @property
    def budget_bytes(self) -> int:
        """Memory limit in bytes: 32 per value of the reference, at least 64 MiB, at most ``memory_bytes``.

        >>> Expected(shape=(240, 240, 155)).budget_bytes >> 20
        272
        >>> Expected(memory_bytes=1000, shape=(10, 10)).budget_bytes
        1000
        """
        if self.shape is None:
            return self.memory_bytes
        return min(self.memory_bytes, max(LEAST_BYTES, math.prod(self.shape) * BYTES_A_VALUE))


def handed_in(shape: tuple[int, ...] | None = None) -> Expected:
    """Expectation of a prediction whose reference has this shape."""
    return Expected("prediction", shape)


def check_budget(needed_bytes: int, budget_bytes: int) -> None:
    """Refuse a file that would take more memory than its limit, before any is allocated.

    Raises:
        Reject: ``file.too_large`` with both sizes.
    """
    if needed_bytes > budget_bytes:
        raise Reject(
            "file.too_large",
            f"takes {_mebibytes(needed_bytes)} of memory, and {_mebibytes(budget_bytes)} are allowed",
            "Check the sizes in its header, or allow more, for example --memory-limit 8GiB.",
        )


def _mebibytes(count: int) -> str:
    return f"{count / (1 << 20):,.1f} MiB"
