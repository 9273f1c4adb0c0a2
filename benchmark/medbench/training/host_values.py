"""Numbers that a device computes and people read, without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor


class HostValue:
    """The latest known value of a number that is computed on a device.

    A value on a CUDA device is copied behind the computation and known some steps later; any other is known
    at once.

    Attributes:
        value: the latest known value; NaN before the first.
        is_known: whether there is a value yet.
    """

    def __init__(self) -> None:
        self.value = float("nan")
        self.is_known = False
        self._copy: Tensor | None = None
        self._copied: torch.cuda.Event | None = None

    def offer(self, number: Tensor) -> None:
        """Take the number as it is now, unless the copy of an earlier one is still under way."""
        if number.device.type != "cuda":
            self._know(number)
            return
        if self._copied is None or self._copy is None:
            self._copied = torch.cuda.Event()
            self._copy = torch.empty((), dtype=torch.float64).pin_memory()
        elif not self._copied.query():
            return
        else:
            self._know(self._copy)
        self._copy.copy_(number.detach().double(), non_blocking=True)
        self._copied.record(torch.cuda.current_stream(number.device))

    def _know(self, number: Tensor) -> None:
        self.value, self.is_known = float(number), True
