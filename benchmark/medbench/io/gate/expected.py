"""What is known of a file before it is opened: whose it is, and how much memory it may take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from medbench.io.gate.refusal import Reject

MEMORY_BYTES = 2 << 30
LEAST_BYTES = 64 << 20
BYTES_A_VALUE = 32

Role = Literal["release", "prediction"]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the reader knows of a file in advance.

    Attributes:
        role: ``release`` for inputs and references, which may be symbolic links and MetaImage headers with
            their data beside them; ``prediction`` for what somebody hands in, which lies in its folder and
            in one file.
        shape: sizes of the reference that a prediction belongs to, where they are known.
        memory_bytes: most bytes that the file and its values may take together.
    """

    role: Role = "release"
    shape: tuple[int, ...] | None = None
    memory_bytes: int = MEMORY_BYTES

    @property
    def budget_bytes(self) -> int:
        """Bytes for the file and its values: 32 a value of the reference, at least 64 MiB, or the limit.

        >>> Expected(shape=(240, 240, 155)).budget_bytes >> 20
        272
        >>> Expected(memory_bytes=1000, shape=(10, 10)).budget_bytes
        1000
        """
        if self.shape is None:
            return self.memory_bytes
        return min(self.memory_bytes, max(LEAST_BYTES, math.prod(self.shape) * BYTES_A_VALUE))


def check_budget(wanted_bytes: int, budget_bytes: int) -> None:
    """Refuse what would take more memory than it may, before any of it is allocated.

    Raises:
        Reject: ``file.too_large`` with both sizes.
    """
    if wanted_bytes > budget_bytes:
        raise Reject(
            "file.too_large",
            f"takes {_mebibytes(wanted_bytes)} of memory, and {_mebibytes(budget_bytes)} are allowed",
            "Check the sizes in its header, or allow more memory.",
        )


def _mebibytes(count: int) -> str:
    return f"{count / (1 << 20):,.1f} MiB"
